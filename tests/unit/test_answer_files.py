"""`rrtf judge`: a file of answers in, a file of verdicts out."""

from __future__ import annotations

import gzip
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rrtf.benchmarks import open_benchmark
from rrtf.errors import SandboxFailure
from rrtf.protocols import Isolation
from rrtf.sandbox.process import ProcessSandbox

PROBLEM = open_benchmark("starter", split="train").problems()[0]
OTHER = open_benchmark("starter", split="train").problems()[1]
GOOD, ALSO_GOOD = PROBLEM.reference or "", OTHER.reference or ""


def answers(path: Path, *rows: tuple[str, str]) -> Path:
    path.write_text("".join(json.dumps({"task_id": name, "completion": text}) + "\n" for name, text in rows))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The programs that really ran, references that were measured aside."""
    ran: list[str] = []
    real = ProcessSandbox.run

    def counting(self: Any, program: Any) -> Any:
        if program.limits.cpu_seconds < 20:
            ran.append(program.source)
        return real(self, program)

    monkeypatch.setattr(ProcessSandbox, "run", counting)
    return ran


COLUMNS = ["task_id", "index", "outcome", "passed", "total", "tests", "cause", "cpu_seconds", "wall_seconds", "peak_mb"]


def test_one_line_per_answer_in_their_order(rrtf: Any, tmp_path: Path, runs: list[str]) -> None:
    given = answers(tmp_path / "a.jsonl", (PROBLEM.name, GOOD), (OTHER.name, "no program here ("), (PROBLEM.name, GOOD), (OTHER.name, ALSO_GOOD))
    out = tmp_path / "new" / "v.jsonl"
    ended = rrtf("judge", given, "--benchmark", "starter", "--out", out)
    assert ended.code == 0, ended.err
    rows = read(out)
    assert [(row["task_id"], row["index"]) for row in rows] == [(PROBLEM.name, 0), (OTHER.name, 0), (PROBLEM.name, 1), (OTHER.name, 1)]
    assert [row["outcome"] for row in rows] == ["PASSED", "COMPILE_ERROR", "PASSED", "PASSED"]
    assert all(list(row) == COLUMNS for row in rows)
    assert rows[0]["passed"] == rows[0]["total"] == len(PROBLEM.tests)
    assert len(runs) == 2, "equal programs are judged once, and what is no program is not run"
    assert "4 answers: 2 programs run, 0 answers known from before (0 %), 1 equal to another, 1 without a program" in ended.out
    assert "PASSED 3, PARTIAL 0, RUNTIME_ERROR 0, COMPILE_ERROR 1" in ended.out
    assert "| 1 | 2 | 75.0 (" in ended.out
    assert [path.name for path in out.parent.iterdir()] == ["v.jsonl"]


def test_more_answers_pay_for_themselves_alone(rrtf: Any, tmp_path: Path, runs: list[str]) -> None:
    out = tmp_path / "v.jsonl"
    rrtf("judge", answers(tmp_path / "a.jsonl", (PROBLEM.name, GOOD)), "--benchmark", "starter", "--out", out)
    (first,) = read(out)
    ended = rrtf("judge", answers(tmp_path / "b.jsonl", (OTHER.name, ALSO_GOOD), (PROBLEM.name, GOOD)), "--benchmark", "starter", "--out", out)
    assert "1 programs run, 1 answers known from before (50 %)" in ended.out
    assert len(runs) == 2
    assert read(out)[1] == first


def test_the_cache_lies_where_it_is_told(rrtf: Any, tmp_path: Path, runs: list[str]) -> None:
    given, out = answers(tmp_path / "a.jsonl", (PROBLEM.name, GOOD)), tmp_path / "v.jsonl"
    for cache, known in ((tmp_path / "mine", 0), (tmp_path / "mine", 1), ("none", 0), ("none", 0)):
        ended = rrtf("judge", given, "--benchmark", "starter", "--out", out, "--cache", cache)
        assert f"{known} answers known from before" in ended.out
    assert len(runs) == 3
    assert (tmp_path / "mine" / "verdicts.sqlite").is_file()


def test_without_the_caches_file_everything_is_judged_all_the_same(rrtf: Any, tmp_path: Path) -> None:
    given, out = answers(tmp_path / "a.jsonl", (PROBLEM.name, GOOD)), tmp_path / "v.jsonl"
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "verdicts.sqlite").write_text("something else, and long enough to be looked at" * 30)
    ended = rrtf("judge", given, "--benchmark", "starter", "--out", out, "--cache", tmp_path / "cache")
    assert ended.code == 0
    assert "file is not a database" in ended.err
    assert [row["outcome"] for row in read(out)] == ["PASSED"]


def test_a_compressed_file_is_read_as_it_is(rrtf: Any, tmp_path: Path) -> None:
    plain = answers(tmp_path / "a.jsonl", (PROBLEM.name, GOOD))
    given, out = tmp_path / "a.jsonl.gz", tmp_path / "v.jsonl"
    given.write_bytes(gzip.compress(plain.read_bytes()))
    assert rrtf("judge", given, "--benchmark", "starter", "--out", out).code == 0
    assert [row["outcome"] for row in read(out)] == ["PASSED"]
    given.write_bytes(given.read_bytes()[:-12])
    ended = rrtf("judge", given, "--benchmark", "starter", "--out", out)
    assert ended.code == 3
    assert "the file ends in the middle of its compressed data" in ended.err


def test_a_bad_line_is_named_before_anything_is_judged(rrtf: Any, tmp_path: Path, runs: list[str]) -> None:
    given = answers(tmp_path / "a.jsonl", (PROBLEM.name, GOOD))
    with given.open("a") as file:
        file.write('\n{"task_id": 3}\n')
    ended = rrtf("judge", given, "--benchmark", "starter", "--out", tmp_path / "v.jsonl")
    assert ended.code == 3
    assert "line 3, field completion: it is missing" in ended.err or "line 3, field task_id" in ended.err
    assert runs == []


def test_a_long_file_is_not_held_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between reading a line and giving its verdict only so many are in hand, however long the file is."""
    from rrtf import answer_files, judged
    from rrtf.answer_files import judge_file
    from rrtf.sandbox import ProcessConfig, SandboxRuntime

    most = Counter[str]()
    extract, row = judged.extract_code, answer_files._row

    def reading(*arguments: Any) -> Any:
        most["read"] += 1
        most["held"] = max(most["held"], most["read"] - most["given"])
        return extract(*arguments)

    def giving(*arguments: Any) -> Any:
        most["given"] += 1
        return row(*arguments)

    monkeypatch.setattr(judged, "extract_code", reading)
    monkeypatch.setattr(answer_files, "_row", giving)
    given = answers(tmp_path / "a.jsonl", *[(PROBLEM.name, GOOD)] * 1000, *[(PROBLEM.name, "no program (")] * 1000)
    for programs in (1, 0):
        found = judge_file(given, [PROBLEM], tmp_path / "v.jsonl", ProcessConfig(), SandboxRuntime(workers=1), "raw", pytest.fail)
        assert found.answers == len(read(tmp_path / "v.jsonl")) == 2000
        assert found.tally.programs == programs
    assert most["held"] < 200


SLOW = """
import time
def {name}(*a, pause=time.sleep(0.1), **k):
    return {number}
"""


def test_a_run_ended_by_kill_9_goes_on_where_it_was(tmp_path: Path) -> None:
    count = 40
    given = answers(tmp_path / "a.jsonl", *[(PROBLEM.name, SLOW.format(name=PROBLEM.entry_point, number=number)) for number in range(count)])
    command = [sys.executable, "-c", "from rrtf.cli import main; main()", "judge", str(given), "--benchmark", "starter", "--out", str(tmp_path / "v.jsonl")]
    command += ["--format", "chat", "--workers", "2", "--cache", str(tmp_path / "cache")]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def kept() -> int:
        try:
            file = sqlite3.connect(f"file:{tmp_path / 'cache' / 'verdicts.sqlite'}?mode=ro", uri=True)
            try:
                return int(file.execute("SELECT count(*) FROM verdicts").fetchone()[0])
            finally:
                file.close()
        except sqlite3.Error:
            return 0

    while kept() < 5:
        assert running.poll() is None
        time.sleep(0.05)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    done = kept()
    assert 5 <= done < count
    assert not (tmp_path / "v.jsonl").exists()
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert f"{count} answers: {count - done} programs run, {done} answers known from before" in ended.stdout
    assert [row["index"] for row in read(tmp_path / "v.jsonl")] == list(range(count))


def test_a_failure_of_ours_is_no_verdict(rrtf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, out, real = answers(tmp_path / "a.jsonl", (PROBLEM.name, GOOD), (OTHER.name, ALSO_GOOD)), tmp_path / "v.jsonl", ProcessSandbox.run

    def falls_over(self: Any, program: Any) -> Any:
        if program.source == GOOD and program.limits.cpu_seconds < 20:
            raise SandboxFailure("no more room")
        return real(self, program)

    with monkeypatch.context() as patch:
        patch.setattr(ProcessSandbox, "run", falls_over)
        ended = rrtf("judge", given, "--benchmark", "starter", "--out", out)
    assert ended.code == 5
    assert f"1 answers could not be judged, for reasons of ours; the first, {PROBLEM.name} 0" in ended.err
    assert [row["task_id"] for row in read(out)] == [OTHER.name]
    assert rrtf("judge", given, "--benchmark", "starter", "--out", out).code == 0
    assert [row["outcome"] for row in read(out)] == ["PASSED", "PASSED"]


def test_what_programs_may_import_is_said_with_a_key_of_the_recipe(rrtf: Any, tmp_path: Path) -> None:
    given, out = answers(tmp_path / "a.jsonl", (PROBLEM.name, "import numpy\n" + GOOD)), tmp_path / "v.jsonl"
    assert rrtf("judge", given, "--benchmark", "starter", "--out", out).code == 0
    assert [row["outcome"] for row in read(out)] == ["RUNTIME_ERROR"]
    assert rrtf("judge", given, "--benchmark", "starter", "--out", out, "--set", 'sandbox.packages=["numpy"]').code == 0
    assert [row["outcome"] for row in read(out)] == ["PASSED"]


@pytest.mark.parametrize("command", ["judge", "check"])
def test_reduced_isolation_is_refused_when_asked(rrtf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setattr(ProcessSandbox, "isolation", lambda _: Isolation(("mounts",), ("network namespace (refused)",)))
    given = answers(tmp_path / "a.jsonl", (PROBLEM.name, GOOD))
    arguments = (given, "--benchmark", "starter", "--out", tmp_path / "v.jsonl") if command == "judge" else ("--sandbox",)
    ended = rrtf(command, *arguments, "--require", "isolation=full")
    assert ended.code == 5
    assert "network namespace (refused)" in ended.err


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        ([("starter/nothing", "x")], ("--benchmark", "starter"), "line 1 is to 'starter/nothing', which is not among the problems"),
        ([(PROBLEM.name, GOOD)], (), "Give either --benchmark or --problems"),
        ([(PROBLEM.name, GOOD)], ("--benchmark", "startre"), "Did you mean 'starter'?"),
        ([], ("--benchmark", "starter"), "holds no responses"),
    ],
)
def test_mistakes_end_in_a_sentence(rrtf: Any, tmp_path: Path, rows: list[tuple[str, str]], options: tuple[str, ...], said: str) -> None:
    ended = rrtf("judge", answers(tmp_path / "a.jsonl", *rows), *options, "--out", tmp_path / "v.jsonl")
    assert ended.code in (2, 3)
    assert said in ended.err
