"""execute: responses -> verdicts, by running every answer against its problem's tests (paper, section 3.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from rrtf.engine.stage import Failure, MapStage, Opener, Task, Work
from rrtf.identity import Json
from rrtf.joins import CURATE, EXECUTE, STUDENT, TEACHER, kept_problem, responses
from rrtf.judging import Judge, judge_identity, open_judge, weakest
from rrtf.records import Outcome, Problem, Response, Verdict
from rrtf.sandbox import SandboxConfig, SandboxRuntime
from rrtf.sandbox.harness import JudgingFailure


def stage(sandbox: SandboxConfig, runtime: SandboxRuntime, notes: Callable[[], Json], part_cases: int, teachers: Sequence[str] = (TEACHER,)) -> MapStage:
    """The stage. `notes` says what is isolated on this machine, `teachers` where the teachers' answers lie."""
    return MapStage(
        name=EXECUTE,
        version=2,
        reads=(CURATE, *teachers, STUDENT),
        row=Verdict,
        key=lambda row: row.problem_id,
        order=lambda row: (row.response_id,),
        identity=judge_identity(sandbox),
        open=partial(_open, sandbox, runtime),
        expected=lambda case: len(responses(case)),
        unit="programs",
        summarize=_summary,
        notes=notes,
        agree=weakest,
        part_cases=part_cases,
    )


def _open(sandbox: SandboxConfig, runtime: SandboxRuntime, inputs: Mapping[str, Path]) -> Opener:
    return partial(_opened, sandbox, runtime)


@contextmanager
def _opened(sandbox: SandboxConfig, runtime: SandboxRuntime) -> Generator[Work]:
    with open_judge(sandbox, runtime) as judge:
        yield partial(_work, judge)


def _work(judge: Judge, task: Task) -> Iterator[Verdict | Failure]:
    answers: list[tuple[Problem, Response]] = []
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
                answers.append((problem, response))
    for verdict in judge(answers):
        task.tick(1)
        yield Failure(verdict.problem_id, verdict.reason) if isinstance(verdict, JudgingFailure) else verdict


def _summary(rows: Iterator[Verdict]) -> Json:
    counts = Counter(row.outcome for row in rows)
    return {outcome.name: counts[outcome] for outcome in Outcome}
