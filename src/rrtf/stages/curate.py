"""curate: problem files -> problems fit to learn from, each drop with its reason.

The gate is that of `rrtf check` (`rrtf.quality.gate`). A problem that *is* an examination problem is dropped too. Not here yet: overlap with benchmarks by text
and behaviour.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from rrtf.benchmarks import open_benchmark
from rrtf.engine import artifacts
from rrtf.engine.stage import Failure, MapStage, Opener, Task
from rrtf.errors import DataError
from rrtf.formats import read_problems
from rrtf.identity import Json, fingerprint
from rrtf.joins import CURATE, EVOLVED, Curation
from rrtf.judging import judge_identity
from rrtf.quality.gate import RULES, GateConfig, Gated, gate
from rrtf.records import Problem
from rrtf.sandbox import SandboxConfig, SandboxRuntime

EVOLVE_SOURCE = "evolve"


class ProblemsConfig(BaseModel):
    """Which problems to learn from."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    source: str = "starter"
    """`starter` for the embedded problems, the path of a JSONL or Parquet file in our format (`rrtf convert` makes one from MBPP or HumanEval), or `evolve` for
    what the stages under `[evolve]` make."""
    limit: int | None = Field(default=None, ge=1)
    """Use only the first so many training problems; none means all."""
    gate: GateConfig = GateConfig()
    """Which of them are fit to learn from. `rrtf check` asks the same and shows what would be dropped."""


def training_problems(config: ProblemsConfig, evolved: Path | None = None) -> list[Problem]:
    """The problems of the source whose split is `train`; `evolved` is where those of the source `evolve` lie."""
    problems = open_benchmark("starter", split="train").problems() if config.source == "starter" else read_problems(evolved or Path(config.source))
    chosen = [problem for problem in problems if problem.split == "train"][: config.limit]
    if not chosen:
        raise DataError(f"{config.source} has no problem whose split is 'train'.", why="There is nothing to learn from.", hint='Set "split": "train".')
    return chosen


def stage(config: ProblemsConfig, sandbox: SandboxConfig, runtime: SandboxRuntime, exam: Sequence[Problem]) -> MapStage:
    """The stage. `exam` holds the problems that will be examined, which must not be learned from."""
    evolved = config.source == EVOLVE_SOURCE
    problems = [] if evolved else training_problems(config)
    identity: Json = {
        "problems": [EVOLVE_SOURCE, config.limit] if evolved else fingerprint([[problem.id, problem.name] for problem in problems]),
        "gate": config.gate.model_dump(mode="json"),
        "sandbox": judge_identity(sandbox),
        "exam": fingerprint(sorted(problem.id for problem in exam)),
    }
    return MapStage(
        name=CURATE,
        version=3,
        reads=(EVOLVED,) if evolved else (),
        row=Curation,
        key=lambda row: row.problem.id,
        order=lambda row: (),
        identity=identity,
        open=partial(_open, config, sandbox, runtime, exam),
        expected=lambda case: len(problems),
        unit="problems",
        summarize=_summary,
    )


def _open(config: ProblemsConfig, sandbox: SandboxConfig, runtime: SandboxRuntime, exam: Sequence[Problem], inputs: Mapping[str, Path]) -> Opener:
    evolved = artifacts.outputs(inputs[EVOLVED])[0] if EVOLVED in inputs else None
    return partial(nullcontext, partial(_work, config, sandbox, runtime, exam, evolved))


def _work(
    config: ProblemsConfig, sandbox: SandboxConfig, runtime: SandboxRuntime, exam: Sequence[Problem], evolved: Path | None, task: Task
) -> Iterator[Curation | Failure]:
    problems = training_problems(config, evolved)
    examined = {_question(problem): problem.name for problem in exam}
    different = {problem.id: problem for problem in reversed(problems)}  # of equal ones, the first
    asked = [problem for problem in problems if different[problem.id] is problem and _question(problem) not in examined]
    task.tick(len(problems) - len(asked))
    gated = {found.problem.id: found for found in gate(asked, config.gate, sandbox, runtime, task.tick)}
    _stop(config, list(gated.values()))
    for problem in problems:
        if different[problem.id] is not problem:
            continue
        if _question(problem) in examined:
            yield Curation(problem, f"it is {examined[_question(problem)]} of the examination")
        elif gated[problem.id].judged:
            yield _curation(gated[problem.id])
        else:  # what could not be judged, for reasons of ours, says nothing about its problem: the next run decides
            yield Failure(problem.id, gated[problem.id].fitness.failures[0])


def _curation(gated: Gated) -> Curation:
    dropped = next((f"{finding.rule}: {finding.detail}" for finding in gated.grave), "")
    return Curation(gated.problem, dropped, tuple(f"{finding.rule}: {finding.detail}" for finding in gated.findings))


def _stop(config: ProblemsConfig, gated: Sequence[Gated]) -> None:
    """Raise `DataError` when somebody should look first."""
    stopping = [finding for found in gated if found.judged for finding in found.findings if finding.action == "stop"]
    if not stopping:
        return
    names = list(dict.fromkeys(finding.problem for finding in stopping))
    keys = sorted({rule for rule, words in RULES.items() for finding in stopping if finding.rule == words})
    raise DataError(
        f"{len(names)} of {len(gated)} problems in {config.source} are not fit to learn from: "
        f"{', '.join(map(str, stopping[:3]))}{', ...' if len(stopping) > 3 else ''}.",
        why="Their tests would teach the wrong thing.",
        hint=f"Mend them, or drop them with {' '.join(f'--set problems.gate.{key}=drop' for key in keys)}.",
    )


def _question(problem: Problem) -> str:
    return " ".join(f"{problem.instruction} {problem.entry_point}".split())


def _summary(rows: Iterator[Curation]) -> Json:
    """How many are kept, how many are dropped by which rule, and of those kept, how many were warned of by which."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row.dropped.split(":")[0].split(" of ")[-1] if row.dropped else "kept"] += 1
        if not row.dropped:
            counts.update(f"kept, but {finding.split(':')[0]}" for finding in row.findings)
    return dict(sorted(counts.items()))
