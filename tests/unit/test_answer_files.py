"""`rrtf judge`: a file of answers in, a file of verdicts out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rrtf.benchmarks import open_benchmark
from rrtf.errors import SandboxFailure
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
    """The programs that really ran."""
    ran: list[str] = []
    real = ProcessSandbox.run

    def counting(self: Any, program: Any) -> Any:
        ran.append(program.source)
        return real(self, program)

    monkeypatch.setattr(ProcessSandbox, "run", counting)
    return ran


def test_one_line_per_answer_in_their_order(rrtf: Any, tmp_path: Path, runs: list[str]) -> None:
    given = answers(tmp_path / "a.jsonl", (PROBLEM.name, GOOD), (OTHER.name, "no program here ("), (PROBLEM.name, GOOD), (OTHER.name, ALSO_GOOD))
    out = tmp_path / "new" / "v.jsonl"
    ended = rrtf("judge", given, "--benchmark", "starter", "--out", out)
    assert ended.code == 0, ended.err
    rows = read(out)
    assert [(row["task_id"], row["index"]) for row in rows] == [(PROBLEM.name, 0), (OTHER.name, 0), (PROBLEM.name, 1), (OTHER.name, 1)]
    assert [row["outcome"] for row in rows] == ["PASSED", "COMPILE_ERROR", "PASSED", "PASSED"]
    assert list(rows[0])[:10] == ["task_id", "index", "outcome", "passed", "total", "tests", "cause", "cpu_seconds", "wall_seconds", "peak_mb"]
    assert rows[0]["passed"] == rows[0]["total"] == len(PROBLEM.tests)
    assert len(runs) == 2, "equal programs are judged once, and what is no program is not run"
    assert "4 answers, 3 programs, 0 of them judged before: PASSED 3, PARTIAL 0, RUNTIME_ERROR 0, COMPILE_ERROR 1" in ended.out
    assert "| 1 | 2 | 75.0 (" in ended.out
    assert not out.with_name("v.jsonl.journal").exists()


def test_more_answers_pay_for_themselves_alone(rrtf: Any, tmp_path: Path, runs: list[str]) -> None:
    out = tmp_path / "v.jsonl"
    rrtf("judge", answers(tmp_path / "a.jsonl", (PROBLEM.name, GOOD)), "--benchmark", "starter", "--out", out)
    (first,) = read(out)
    ended = rrtf("judge", answers(tmp_path / "b.jsonl", (OTHER.name, ALSO_GOOD), (PROBLEM.name, GOOD)), "--benchmark", "starter", "--out", out)
    assert "1 of 2 answers have a verdict already" in ended.err
    assert len(runs) == 2
    assert read(out)[1] == first


def test_a_killed_run_goes_on_from_its_journal(rrtf: Any, tmp_path: Path, runs: list[str]) -> None:
    given, out = answers(tmp_path / "a.jsonl", (PROBLEM.name, GOOD), (OTHER.name, ALSO_GOOD)), tmp_path / "v.jsonl"
    rrtf("judge", given, "--benchmark", "starter", "--out", out)
    whole = read(out)
    # As a kill leaves it: no output yet, one finished verdict, and half a line.
    half = json.dumps({key: value for key, value in whole[1].items() if key not in ("task_id", "index")})
    out.with_name("v.jsonl.journal").write_text(json.dumps({k: v for k, v in whole[0].items() if k not in ("task_id", "index")}) + "\n" + half[:40])
    out.unlink()
    runs.clear()
    assert rrtf("judge", given, "--benchmark", "starter", "--out", out).code == 0
    assert runs == [ALSO_GOOD]
    measured = ("cpu_seconds", "wall_seconds", "peak_mb")
    assert [{k: v for k, v in row.items() if k not in measured} for row in read(out)] == [{k: v for k, v in row.items() if k not in measured} for row in whole]


def test_a_failure_of_ours_is_no_verdict(rrtf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, out, real = answers(tmp_path / "a.jsonl", (PROBLEM.name, GOOD), (OTHER.name, ALSO_GOOD)), tmp_path / "v.jsonl", ProcessSandbox.run

    def falls_over(self: Any, program: Any) -> Any:
        if program.source == GOOD:
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


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        ([("starter/nothing", "x")], ("--benchmark", "starter"), "answer 1 is to 'starter/nothing', which is not among the problems"),
        ([(PROBLEM.name, GOOD)], (), "Give either --benchmark or --problems"),
        ([(PROBLEM.name, GOOD)], ("--benchmark", "startre"), "Did you mean 'starter'?"),
        ([], ("--benchmark", "starter"), "holds no responses"),
    ],
)
def test_mistakes_end_in_a_sentence(rrtf: Any, tmp_path: Path, rows: list[tuple[str, str]], options: tuple[str, ...], said: str) -> None:
    ended = rrtf("judge", answers(tmp_path / "a.jsonl", *rows), *options, "--out", tmp_path / "v.jsonl")
    assert ended.code in (2, 3)
    assert said in ended.err
