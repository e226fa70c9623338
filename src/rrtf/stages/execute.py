"""execute: responses -> verdicts, by running every answer against its problem's tests (paper, section 3.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from rrtf.engine.stage import Failure, MapStage, Opener, Task, Work
from rrtf.identity import Json
from rrtf.joins import CURATE, EXECUTE, STUDENT, TEACHER, kept_problem, responses
from rrtf.protocols import Sandbox
from rrtf.records import Outcome, Verdict
from rrtf.sandbox import SandboxConfig, open_sandbox
from rrtf.sandbox.harness import Answer, JudgingFailure, judge_many


def stage(sandbox: SandboxConfig, workers: int, notes: Callable[[], Json], part_cases: int) -> MapStage:
    """The stage. `notes` says what is isolated on this machine."""
    return MapStage(
        name=EXECUTE,
        version=1,
        reads=(CURATE, TEACHER, STUDENT),
        row=Verdict,
        key=lambda row: row.problem_id,
        order=lambda row: (row.response_id,),
        identity=sandbox.model_dump(mode="json"),
        open=partial(_open, sandbox, workers),
        expected=lambda case: len(responses(case)),
        unit="programs",
        summarize=_summary,
        notes=notes,
        part_cases=part_cases,
    )


def _open(sandbox: SandboxConfig, workers: int, inputs: Mapping[str, Path]) -> Opener:
    return partial(_opened, sandbox, workers)


@contextmanager
def _opened(sandbox: SandboxConfig, workers: int) -> Generator[Work]:
    with open_sandbox(sandbox, workers=workers) as box:
        yield partial(_work, box)


def _work(box: Sandbox, task: Task) -> Iterator[Verdict | Failure]:
    answers: list[Answer] = []
    for case in task.cases:
        problem = kept_problem(case)
        if problem is None:
            continue
        # A response's id is a hash of its content, so an earlier verdict on it still holds.
        known: dict[str, Verdict] = {row.response_id: row for row in task.known.get(case.key, ())}
        for response in responses(case):
            if response.id in known:
                task.tick(1)
                yield known[response.id]
            else:
                answers.append(Answer(problem, response.id, response.code))
    for verdict in judge_many(answers, box):
        task.tick(1)
        yield Failure(verdict.problem_id, verdict.reason) if isinstance(verdict, JudgingFailure) else verdict


def _summary(rows: Iterator[Verdict]) -> Json:
    counts = Counter(row.outcome for row in rows)
    return {outcome.name: counts[outcome] for outcome in Outcome}
