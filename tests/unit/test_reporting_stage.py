"""The report stage on a small made-up run: what it gathers from rows and manifests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rrtf.engine.artifacts import Manifest, Part, save_manifest
from rrtf.engine.stage import FoldTask
from rrtf.joins import AFTER, BEFORE, CURATE, EXAM, EXECUTE, RANK, STUDENT, TEACHER, TRAIN, Curation, ExamProblem, Graded, Ranking
from rrtf.records import Answer, Author, CallTest, Outcome, Pair, Preference, Problem, Response, Role, Verdict
from rrtf.reporting import FILES, TRAINING
from rrtf.stages import report


def problem(name: str) -> Problem:
    return Problem(name=name, instruction=f"Do {name}.", prompt=f"def {name}():", entry_point=name, tests=(CallTest("[]", "1"),), reference="r")


def response(of: Problem, role: Role, index: int = 0, code: str | None = "c") -> Response:
    author = Author(role, "m", "")
    return Response(problem_id=of.id, author=author, index=index, text="t", code=code, rule="fence", stop="length", completion_tokens=2)


def verdict(of: Response, outcome: Outcome) -> Verdict:
    tests = ("passed",) if outcome is Outcome.PASSED else ("wrong",)
    return Verdict(problem_id=of.problem_id, response_id=of.id, outcome=outcome, tests=tests, cause="", cpu_seconds=1, wall_seconds=1, peak_mb=1)


def graded(of: Problem, outcome: Outcome, form: str) -> Graded:
    answer = response(of, "student")
    return Graded(benchmark="starter", prompting=form, decoding="greedy", temperature=0.0, top_p=0.95, response=answer, verdict=verdict(answer, outcome))


@pytest.fixture
def task(tmp_path: Path) -> FoldTask:
    learned = [problem("one"), problem("two"), problem("three")]
    examined = [problem(f"exam{number}") for number in range(8)]
    taught = response(learned[0], "reference")
    tried = [response(learned[0], "student", 0), response(learned[0], "student", 1, code=None)]
    pair = Preference(
        problem_id=learned[0].id,
        answers=(Answer(taught.id, "reference", "c", Outcome.PASSED, 3.5), Answer(tried[0].id, "student", "c", Outcome.PARTIAL, 2)),
        pairs=(Pair(0, 1, 1.5),),
        targets=(0,),
    )
    rows: dict[str, list[Any]] = {
        CURATE: [Curation(learned[0]), Curation(learned[1], "it is exam0 of the examination"), Curation(learned[2])],
        TEACHER: [taught],
        STUDENT: tried,
        EXECUTE: [verdict(taught, Outcome.PASSED), verdict(tried[0], Outcome.PARTIAL)],
        RANK: [Ranking(learned[0].id, "kept", pair), Ranking(learned[2].id, "no student answer", None)],
        EXAM: [ExamProblem("starter", item) for item in examined],
        BEFORE: [graded(item, Outcome.PARTIAL, form) for item in examined for form in ("chat", "paper")],
        AFTER: [graded(item, Outcome.PASSED, "paper") for item in examined],
    }
    inputs: dict[str, Path] = {}
    for name in report.stage("a").reads:
        inputs[name] = tmp_path / name
        inputs[name].mkdir()
        parts = (Part("part", len(rows[name]), ""),) if name in rows else (Part("work/model.bin", 0, ""), Part("work/metrics.jsonl", 0, ""))
        notes = {"isolation": {"granted": ["user namespace"], "missing": ["cgroups (no right)"]}} if name == EXECUTE else None
        failures = ({"key": tried[1].problem_id, "reason": "the sandbox died"},) if name == EXECUTE else ()
        identity: Any = {"model": "reference" if name == TEACHER else "m"}
        save_manifest(
            inputs[name],
            Manifest(
                stage=name, version=1, fingerprint="", digest="", identity=identity, extent=None, inputs={}, parts=parts, summary=None,
                notes=notes, failures=failures, seconds=1.0, environment={"rrtf": "0"},
            ),
        )  # fmt: skip
    (inputs[TRAIN] / "work").mkdir()
    lines = ['{"step": 1, "loss": 2.5, "note": "text"}', '{"step": 2, "loss": NaN, "rank_loss": 0.5}', "[1]", '{"step": 3, "lo']
    (inputs[TRAIN] / "work" / "metrics.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "out").mkdir()

    @contextmanager
    def progress(label: str, total: int, unit: str) -> Iterator[Any]:
        ticks: list[int] = []
        yield ticks.append
        assert sum(ticks) == total

    return FoldTask(cases=lambda: iter(()), inputs=inputs, folder=tmp_path / "out", progress=progress, rows=lambda name: iter(rows[name]))


def test_gathers_scores_and_a_significant_comparison(task: FoldTask) -> None:
    data = report.gather("a title", task)
    assert [(score.prompting, score.value) for score in data.before] == [("chat", 0.0), ("paper", 0.0)]
    (pair,) = data.comparisons
    assert pair.significant
    assert pair.won == tuple(f"exam{number}" for number in range(8))
    assert (data.student, data.teacher) == ("m", "reference solutions")


def test_counts_training_answers_and_leaves_out_those_without_verdict(task: FoldTask) -> None:
    data = report.gather("t", task)
    assert {item.author: dict(item.counts) for item in data.histograms} == {
        "reference solutions": {Outcome.PASSED: 1},
        "student": {Outcome.PARTIAL: 1},
    }
    assert data.histograms[1].cut_off == 1
    assert sum(item.place == TRAINING for item in data.examples) == 2


def test_teachers_stand_before_the_tests_too(task: FoldTask) -> None:
    (standing,) = report.gather("t", task).standings
    assert (standing.teacher, standing.answered, standing.passed) == ("reference solutions", 1, 1)
    assert report.gather("t", task).unsolved == 0
    solved = {
        TEACHER: {"a": True, "b": False, "c": False, "d": False},
        "sample.teacher.2": {"a": False, "b": True, "c": False},
        STUDENT: {"a": True, "b": False, "c": True, "d": False},
    }
    problems = {key: problem(f"problem {key}") for key in "abcd"}
    first, second = (report._standing(name, name, solved, problems) for name in (TEACHER, "sample.teacher.2"))
    assert (first.answered, first.passed, first.student_alone, first.others_alone, first.such) == (4, 1, 1, 1, ("problem c",))
    assert (second.answered, second.passed, second.student_alone, second.others_alone, second.such) == (3, 1, 2, 1, ("problem a", "problem c"))


def test_tells_what_became_of_every_problem(task: FoldTask) -> None:
    flow = report.gather("t", task).flow
    assert flow is not None
    assert flow.dropped_before == {"it is a problem of the examination": 1}
    assert flow.dropped_after == {"no student answer": 1}
    assert flow.problems == flow.kept + sum(flow.dropped_before.values()) + sum(flow.dropped_after.values())
    assert (flow.answers, flow.pairs, flow.targets, flow.without_pairs) == (2, 1, 1, 0)


def test_training_curve_forgives_what_it_cannot_read(task: FoldTask) -> None:
    assert report.gather("t", task).curve == ({"step": 1.0, "loss": 2.5}, {"step": 2.0, "rank_loss": 0.5})


def test_failures_and_isolation_come_from_the_manifests(task: FoldTask) -> None:
    runs = {run.name: run for run in report.gather("t", task).runs}
    assert runs[EXECUTE].failures[0].endswith("the sandbox died")
    assert runs[EXECUTE].granted == ("user namespace",)
    assert runs[EXECUTE].missing == ("cgroups (no right)",)
    assert runs[CURATE].granted == ()


def test_stage_writes_three_files_and_a_small_summary(task: FoldTask) -> None:
    stage = report.stage("a title")
    summary = stage.work(task)
    assert [path.name for path in stage.outputs(task.folder)] == list(FILES)
    assert all(path.is_file() for path in stage.outputs(task.folder))
    assert isinstance(summary, dict)
    assert summary["headline"] == "Training made the student better on starter."
    assert len(json.dumps(summary)) < 5000
    assert "a title" in (task.folder / "report.html").read_text(encoding="utf-8")


def test_title_is_the_only_config(task: FoldTask) -> None:
    assert report.stage("a").identity != report.stage("b").identity
    assert report.stage("a").reads == tuple(task.inputs)
