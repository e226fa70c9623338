"""A run whose teacher is an endpoint: its answers become rows, they are asked for once, and the key is nowhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import user_files

from rrtf.generation import loopback
from rrtf.generation.loopback import Asked, Loopback

KEY = "sk-proj-Zx81kkQ7secret"
Command = Callable[..., subprocess.CompletedProcess[str]]

TEACHER = """
[teacher]
kind = "model"
model = "teacher-1"
engine = {{ engine = "openai", base_url = "{url}", key_env = "TEACHER_KEY" }}
sample = {{ n = 2, prompting = "chat-prefill" }}
"""


def answer(asked: Asked) -> str:
    (number,) = set(re.findall(r"add(\d+)", asked.text))
    return f"Of course.\n```python\ndef add{number}(x: int) -> int:\n    return x + {number} + {asked.seed % 2}\n```\nThat is it."


@pytest.fixture
def command(tmp_path: Path) -> Command:
    user_files.problems(tmp_path)

    def run(server: Loopback, *arguments: str, key: str = KEY) -> subprocess.CompletedProcess[str]:
        recipe = user_files.recipe(tmp_path, TEACHER.format(url=server.url))
        environment = {**os.environ, "TEACHER_KEY": key, "XDG_CACHE_HOME": str(tmp_path / "cache")}
        verb, *more = arguments
        line = [sys.executable, "-c", "from rrtf.cli import main; main()", verb, str(recipe), *more]
        done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, env=environment)
        assert KEY not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return done

    return run


def _is_nowhere(folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {"recipe.toml", "manifest.json", "completions.sqlite"} <= {path.name for path in files}
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_a_teacher_behind_an_endpoint(command: Command, tmp_path: Path) -> None:
    with loopback.serve(answer, loopback.every(3, "500", "truncated"), key=KEY, model="teacher-1") as server:
        for verb in ("curate", "sample"):
            done = command(server, verb, "--set", 'teacher.engine.how.log="run/requests.jsonl"')
            assert not done.returncode, done.stderr
        assert sum(server.given.values()) == 12  # six problems, two answers each
        assert max(server.given.values()) == 1
        manifest = json.loads((tmp_path / "run" / "sample.teacher" / "manifest.json").read_text())
        assert manifest["summary"]["responses"] == 12
        assert "none" not in manifest["summary"]["extraction"]
        asked = server.requests
    assert (tmp_path / "run" / "requests.jsonl").read_text().count('"answered"') == 6
    _is_nowhere(tmp_path)
    with loopback.serve(answer, key=KEY) as moved:
        planned = command(moved, "plan").stdout
        assert "sample.teacher   reuse" in planned
        # Another run of the same asks for nothing.
        for verb in ("curate", "sample"):
            assert not command(moved, verb, "--set", f"run.directory={tmp_path / 'again'}").returncode
        assert moved.requests == 0 < asked
        # One more answer per problem is one more to ask for.
        assert not command(moved, "sample", "--set", "teacher.sample.n=3").returncode
        assert sum(moved.given.values()) == 6


def test_a_wrong_key_and_a_used_up_budget_end_in_sentences_and_the_next_run_goes_on(command: Command, tmp_path: Path) -> None:
    with loopback.serve(answer, key=KEY) as server:
        assert not command(server, "curate").returncode
        done = command(server, "sample", key="another")
        assert done.returncode == 4
        assert "environment variable TEACHER_KEY" in done.stderr
        done = command(server, "sample", key="")
        assert done.returncode == 4
        assert "TEACHER_KEY is not set" in done.stderr
        assert not server.given
        limited = ("--set", "teacher.engine.how.budget_tokens=1", "--set", "teacher.engine.how.concurrency=1")
        done = command(server, "sample", *limited)
        assert done.returncode == 4
        assert "budget of the endpoint is used up" in done.stderr
        assert sum(server.given.values()) == 2  # one request
        assert not command(server, "sample").returncode
        assert sum(server.given.values()) == 12
        assert max(server.given.values()) == 1
    _is_nowhere(tmp_path)


def test_a_key_in_the_recipe_is_refused_before_anything_is_written(command: Command, tmp_path: Path) -> None:
    with loopback.serve(answer) as server:
        done = command(server, "curate", "--set", f"teacher.engine.key_env={KEY}")
        assert done.returncode == 4
        assert "may be the key itself" in done.stderr
        assert not (tmp_path / "run").exists()
