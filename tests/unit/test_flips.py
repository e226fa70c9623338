"""The flip test: the same answers twice, the second time beside busy processes that end with us."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from rrtf import flips
from rrtf.benchmarks import open_benchmark
from rrtf.errors import DataError
from rrtf.reporting import flips as told
from rrtf.reporting.flips import Flip, FlipTest
from rrtf.sandbox.process import ProcessSandbox

PROBLEM, OTHER = open_benchmark("starter", split="train").problems()[:2]
FOUND = FlipTest(
    answers=9,
    programs=8,
    busy_processes=8,
    processors=2,
    workers=2,
    quiet_seconds=1.5,
    busy_seconds=9.0,
    judge_version=3,
    failures=0,
    other_tests=1,
    flips=(Flip(answer="a 0", quiet="PASSED", busy="RUNTIME_ERROR", quiet_cause="", busy_cause="late"),),
)


@pytest.fixture
def given(tmp_path: Path) -> Path:
    path = tmp_path / "a.jsonl"
    rows = [(PROBLEM.name, PROBLEM.reference), (OTHER.name, OTHER.reference), (PROBLEM.name, "no program (")]
    path.write_text("".join(json.dumps({"task_id": name, "completion": text}) + "\n" for name, text in rows))
    return path


def test_answers_that_do_not_flip(rrtf: Any, tmp_path: Path, given: Path) -> None:
    before = set(psutil.Process().children(recursive=True))
    ended = rrtf("judge", given, "--benchmark", "starter", "--out", tmp_path / "v.jsonl", "--flips", "--busy", 2)
    assert ended.code == 0, ended.err
    assert "0 of 3 answers (2 programs) had another outcome beside 2 busy processes on" in ended.out
    found = told.read(tmp_path / "v.jsonl.flips.json")
    assert found is not None
    assert (found.answers, found.programs, found.busy_processes, found.flips) == (3, 2, 2, ())
    assert len((tmp_path / "v.jsonl").read_text().splitlines()) == len((tmp_path / "v.jsonl.busy").read_text().splitlines()) == 3
    assert not set(psutil.Process().children(recursive=True)) - before


def test_an_answer_that_flips_is_shown_with_both_causes(rrtf: Any, tmp_path: Path, given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    real = ProcessSandbox.run

    def moody(self: Any, program: Any) -> Any:
        busy = sum("select.select" in " ".join(child.cmdline()) for child in psutil.Process().children())
        runs.append(busy)
        if busy and program.source == OTHER.reference and program.limits.cpu_seconds < 20:
            program = type(program)("raise ValueError('moody')", program.entry_point, program.tests, program.limits)
        return real(self, program)

    monkeypatch.setattr(ProcessSandbox, "run", moody)
    ended = rrtf("judge", given, "--benchmark", "starter", "--out", tmp_path / "v.jsonl", "--flips", "--busy", 3)
    assert ended.code == 5
    assert set(runs) == {0, 3}
    assert "| PASSED | RUNTIME_ERROR | 1 |" in ended.out
    assert f"{OTHER.name} 0: PASSED (), busy RUNTIME_ERROR (before the tests: ValueError: moody)" in ended.out
    assert "1 outcomes differ" in ended.err
    (flip,) = json.loads((tmp_path / "v.jsonl.flips.json").read_text())["flips"]
    assert flip["answer"] == f"{OTHER.name} 0"


def test_busy_processes_end_with_us_however_we_end() -> None:
    script = "import time, psutil\nfrom rrtf.flips import burning\n"
    script += "with burning(3):\n    print(*[c.pid for c in psutil.Process().children()], flush=True)\n    time.sleep(600)"
    running = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None
    burners = [psutil.Process(int(pid)) for pid in running.stdout.readline().split()]
    assert len(burners) == 3
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    _, alive = psutil.wait_procs(burners, timeout=30)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_they_end_with_an_error_too() -> None:
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(ZeroDivisionError), flips.burning(2):
        raise ZeroDivisionError
    assert not set(psutil.Process().children(recursive=True)) - before


def test_the_result_is_kept_and_told(tmp_path: Path) -> None:
    assert told.read(tmp_path / "flips.json") is None
    told.write(tmp_path / "flips.json", FOUND)
    assert told.read(tmp_path / "flips.json") == FOUND
    assert list(told.words(FOUND)) == ["1 of 9 answers (8 programs) had another outcome beside 8 busy processes on 2 processors than without."]
    assert "not measured" in next(told.words(None))
    (tmp_path / "flips.json").write_text('{"flips": 3}')
    with pytest.raises(DataError, match="not the result of a flip test"):
        told.read(tmp_path / "flips.json")


@pytest.mark.parametrize(("make", "said"), [(False, "is not the directory of a run"), (True, "holds no answers yet")])
def test_a_folder_that_is_no_run(rrtf: Any, tmp_path: Path, make: bool, said: str) -> None:
    if make:
        (tmp_path / "recipe.toml").write_text("")
    ended = rrtf("judge", tmp_path, "--flips")
    assert ended.code == 2
    assert said in ended.err
