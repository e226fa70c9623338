"""A training that is killed and called again ends with the same weights, bit for bit, and the same metrics."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parent))
from tiny_training import CONFIG, LORA, run, tiny_model


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As many threads as the killed runs have: a sum that is split over other threads rounds otherwise, and the last bit is what is compared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def killed_at(out: Path, step: int, method: str, precision: str) -> None:
    script = Path(__file__).with_name("tiny_training.py")
    env = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run([sys.executable, str(script), str(out), str(step), method, precision], env=env, capture_output=True, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


@pytest.mark.parametrize(("method", "precision"), [("full", "bf16"), ("lora", "fp32")])
def test_killed_trainings_end_with_the_same_weights(tmp_path: Path, method: str, precision: str) -> None:
    tiny_model(tmp_path / "base")
    config = LORA if method == "lora" else CONFIG
    whole = run(tmp_path / "whole", config, precision=precision)
    assert (whole.steps, whole.resumed_at) == (8, 0)
    # Before the first checkpoint (nothing to go on from), and twice after it, once right behind a checkpoint.
    for step in (2, 4, 8):
        killed_at(tmp_path / "killed", step, method, precision)
    again = run(tmp_path / "killed", config, precision=precision)
    assert again.resumed_at == 6
    ours, theirs = (load_file(result.model / "model.safetensors") for result in (again, whole))
    assert ours.keys() == theirs.keys()
    assert all(ours[name].equal(theirs[name]) for name in ours)
    assert again.metrics.read_bytes() == whole.metrics.read_bytes()
    assert (again.tokens, again.counts) == (whole.tokens, whole.counts)
    base = load_file(tmp_path / "base" / "model.safetensors")
    assert any(not base[name].equal(ours[name]) for name in base)
