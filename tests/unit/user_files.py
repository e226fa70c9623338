"""What a user has on disk: a problem file, a recipe, a model folder; small, and whole until a test damages it. Nothing here needs torch."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any


def problem(number: int, **changes: Any) -> dict[str, Any]:
    """A problem row: add `number`. Those from 6 on are held out."""
    row = {
        "name": f"add/{number}",
        "instruction": f"Add {number}.",
        "prompt": f'def add{number}(x: int) -> int:\n    """Add {number}."""\n',
        "entry_point": f"add{number}",
        "tests": [{"args": [value], "expected": value + number} for value in range(3)],
        "reference": f"def add{number}(x: int) -> int:\n    return x + {number}\n",
        "split": "train" if number < 6 else "test",
    }
    return {key: value for key, value in {**row, **changes}.items() if value is not None}


def problems(folder: Path, rows: list[dict[str, Any]] | None = None) -> Path:
    """`problems.jsonl`: six to learn from and three to be examined on."""
    path = folder / "problems.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows or [problem(number) for number in range(9)]))
    return path


ANSWERS = ["\n    return x + 3", "\n    return x +", "no idea"]
"""What the scripted student always says: right for one problem, then a syntax error, then words."""


def recipe(folder: Path, text: str = "", **changes: str) -> Path:
    """`my.toml`: the whole loop with a scripted student on `problems.jsonl`, in `run`; `text` is added at the end, `changes` replace lines by their key."""
    lines = {
        "directory": f'[run]\ndirectory = "{folder / "run"}"',
        # To add 0 is what a program that does nothing does, `x - 0` is no fault, and numbers make no difference between statements.
        "source": '[problems]\nsource = "problems.jsonl"\ngate.stub_passes = "off"\ngate.weak_tests = "off"\ngate.near_duplicate = "off"',
        "model": '[student]\nmodel = "somebody/student"',
        "engine": f'[student.engine]\nengine = "scripted"\ndefault = {json.dumps(ANSWERS[0])}',
        "sample": '[sample]\nn = 2\nprompting = "paper"\nmax_new_tokens = 24',
        "train": "[train]\nepochs = 1\nbatch_problems = 3\nmax_tokens = 120",
        "evaluate": '[evaluate]\nbenchmarks = ["problems.jsonl"]\nbefore = ["paper"]\nmax_new_tokens = 24',
        "how": '[how]\npart_problems = 2\n[how.training]\ndevice = "cpu"\nprecision = "fp32"\ncheckpoint_every = 1',
        **changes,
    }
    path = folder / "my.toml"
    path.write_text("\n".join([*lines.values(), text]))
    return path


def model(folder: Path) -> Path:
    """`model`: what looks like a whole Hugging Face folder from outside."""
    path = folder / "model"
    path.mkdir()
    (path / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": 8}))
    (path / "tokenizer.json").write_text("{}")
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    (path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    return path
