"""curate: problem files -> problems fit to learn from, each drop with its reason.

Not here yet: overlap with benchmarks by text and behaviour; a problem that *is* an examination problem is dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from rrtf.answering import reference_response
from rrtf.benchmarks import open_benchmark
from rrtf.engine.stage import Failure, MapStage, Opener, Task, Work
from rrtf.errors import DataError
from rrtf.formats import read_problems
from rrtf.identity import Json, fingerprint
from rrtf.joins import CURATE, Curation
from rrtf.judging import Judge, judge_identity, open_judge
from rrtf.records import Outcome, Problem
from rrtf.sandbox import SandboxConfig, SandboxRuntime
from rrtf.sandbox.harness import JudgingFailure


class ProblemsConfig(BaseModel):
    """Which problems to learn from."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    source: str = "starter"
    """`starter` for the embedded problems, or the path of a JSONL or Parquet file in our format (`rrtf convert` makes one from MBPP or HumanEval)."""
    limit: int | None = Field(default=None, ge=1)
    """Use only the first so many training problems; none means all."""
    bad_reference: Literal["stop", "drop"] = "stop"
    """What to do when a reference solution fails its own tests: stop with a sentence, or drop the problem and count it."""


def training_problems(config: ProblemsConfig) -> list[Problem]:
    """The problems of the source whose split is `train`."""
    problems = open_benchmark("starter", split="train").problems() if config.source == "starter" else read_problems(Path(config.source))
    chosen = [problem for problem in problems if problem.split == "train"][: config.limit]
    if not chosen:
        raise DataError(f"{config.source} has no problem whose split is 'train'.", why="There is nothing to learn from.", hint='Set "split": "train".')
    return chosen


def stage(config: ProblemsConfig, sandbox: SandboxConfig, runtime: SandboxRuntime, exam: Sequence[Problem]) -> MapStage:
    """The stage. `exam` holds the problems that will be examined, which must not be learned from."""
    problems = training_problems(config)
    identity: Json = {
        "problems": fingerprint([[problem.id, problem.name] for problem in problems]),
        "bad_reference": config.bad_reference,
        "sandbox": judge_identity(sandbox),
        "exam": fingerprint(sorted(problem.id for problem in exam)),
    }
    return MapStage(
        name=CURATE,
        version=2,
        reads=(),
        row=Curation,
        key=lambda row: row.problem.id,
        order=lambda row: (),
        identity=identity,
        open=partial(_open, config, sandbox, runtime, exam),
        expected=lambda case: sum(problem.reference is not None for problem in problems),
        unit="references",
        summarize=_summary,
    )


def _open(config: ProblemsConfig, sandbox: SandboxConfig, runtime: SandboxRuntime, exam: Sequence[Problem], inputs: Mapping[str, Path]) -> Opener:
    return partial(_opened, config, sandbox, runtime, exam)


@contextmanager
def _opened(config: ProblemsConfig, sandbox: SandboxConfig, runtime: SandboxRuntime, exam: Sequence[Problem]) -> Generator[Work]:
    with open_judge(sandbox, runtime) as judge:
        yield partial(_work, config, judge, exam)


def _work(config: ProblemsConfig, judge: Judge, exam: Sequence[Problem], task: Task) -> Iterator[Curation | Failure]:
    problems = training_problems(config)
    examined = {_question(problem): problem.name for problem in exam}
    failing: dict[str, str] = {}
    unjudged: set[str] = set()
    answers = [(problem, reference_response(problem)) for problem in problems if problem.reference is not None]
    for verdict in judge(answers):
        task.tick(1)
        if isinstance(verdict, JudgingFailure):
            unjudged.add(verdict.problem_id)
            yield Failure(verdict.problem_id, verdict.reason)
        elif verdict.outcome is not Outcome.PASSED:
            failing[verdict.problem_id] = verdict.cause
    if failing and config.bad_reference == "stop":
        names = [f"{problem.name} ({failing[problem.id]})" for problem in problems if problem.id in failing]
        raise DataError(
            f"{len(failing)} reference solutions in {config.source} fail their own tests: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}.",
            why="Their tests would teach the wrong thing.",
            hint="Mend them, or drop them with --set problems.bad_reference=drop.",
        )
    seen: set[str] = set()
    for problem in problems:
        reason = ""
        if _question(problem) in examined:
            reason = f"it is {examined[_question(problem)]} of the examination"
        elif problem.id in failing:
            reason = f"its reference fails: {failing[problem.id]}"
        # A reference that could not be judged, for reasons of ours, says nothing about its problem: the next run decides.
        if problem.id not in seen | unjudged:
            seen.add(problem.id)
            yield Curation(problem, reason)


def _question(problem: Problem) -> str:
    return " ".join(f"{problem.instruction} {problem.entry_point}".split())


def _summary(rows: Iterator[Curation]) -> Json:
    counts = Counter(row.dropped.split(":")[0].split(" of ")[-1] if row.dropped else "kept" for row in rows)
    return dict(sorted(counts.items()))
