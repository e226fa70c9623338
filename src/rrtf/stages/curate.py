"""curate: problem files -> problems fit to learn from, each drop with its reason.

What costs least comes first, and what is dropped goes no further: equal problems and those that *are* examination problems; the rules of thumb
(`rrtf.quality.rules`); overlap with benchmarks on paper and then by running (`rrtf.overlap.leaks`); the gate, which is that of `rrtf check`
(`rrtf.quality.gate`); and of what the gate keeps, problems that are nearly an earlier one (`rrtf.overlap.duplicates`). Problems go through some thousands at a
time, so that memory does not grow with the corpus. Not here: what any of these look at.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import cast

from pydantic import BaseModel, ConfigDict, Field

from rrtf.benchmarks import open_benchmark
from rrtf.engine import artifacts
from rrtf.engine.stage import Failure, MapStage, Opener, Task
from rrtf.errors import DataError
from rrtf.formats import stream_problems
from rrtf.identity import Json, fingerprint, fingerprint_each
from rrtf.joins import CURATE, EVOLVED, Curation
from rrtf.judging import judge_identity
from rrtf.overlap.behaviour import Helpers, Unjudged
from rrtf.overlap.duplicates import Earlier
from rrtf.overlap.leaks import WAYS, OverlapConfig, by_running, paper
from rrtf.quality import gate as gates
from rrtf.quality import rules as rules_of_thumb
from rrtf.quality.findings import Finding
from rrtf.quality.gate import GateConfig, gate
from rrtf.quality.rules import RulesConfig, broken
from rrtf.records import Problem
from rrtf.sandbox import SandboxConfig, SandboxRuntime

EVOLVE_SOURCE = "evolve"
_VERSION = 4
_TOGETHER = 2000
"""Problems that are looked at together. Of all others, an id and what `Earlier` remembers is in memory."""


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
    rules: RulesConfig = RulesConfig()
    """Rules of thumb for rows of a corpus; each can be switched off."""
    overlap: OverlapConfig = OverlapConfig()
    """How far to keep away from benchmarks."""


def training_problems(config: ProblemsConfig, evolved: Path | None = None) -> Iterator[Problem]:
    """The problems of the source whose split is `train`, each when it is asked for; `evolved` is where those of the source `evolve` lie."""
    starter = config.source == "starter"
    problems = open_benchmark("starter", split="train").problems() if starter else stream_problems(evolved or Path(config.source))
    found = 0
    for problem in islice((problem for problem in problems if problem.split == "train"), config.limit):
        found += 1
        yield problem
    if not found:
        raise DataError(f"{config.source} has no problem whose split is 'train'.", why="There is nothing to learn from.", hint='Set "split": "train".')


def benchmarks(config: OverlapConfig) -> list[Problem]:
    """The problems of the benchmarks to keep away from beside the examination."""
    return [problem for name in config.benchmarks for problem in open_benchmark(name).problems()]


def stage(config: ProblemsConfig, sandbox: SandboxConfig, runtime: SandboxRuntime, exam: Sequence[Problem], folder: Path | None = None) -> MapStage:
    """The stage. `exam` holds the problems that will be examined, which must not be learned from. `folder` is where its artefact lies if it ran before, which
    tells what a file holds that has not changed since.
    """
    evolved = config.source == EVOLVE_SOURCE
    held = _Held(0, "") if evolved else _held(config, folder)
    others = benchmarks(config.overlap)
    identity: Json = {
        "problems": [EVOLVE_SOURCE, config.limit] if evolved else held.fingerprint,
        "gate": config.gate.model_dump(mode="json"),
        "rules": config.rules.model_dump(mode="json"),
        "overlap": config.overlap.model_dump(mode="json", exclude={"benchmarks"}),
        "sandbox": judge_identity(sandbox),
        "exam": fingerprint(sorted(problem.id for problem in exam)),
        "benchmarks": fingerprint(sorted(problem.id for problem in others)),
    }
    return MapStage(
        name=CURATE,
        version=_VERSION,
        reads=(EVOLVED,) if evolved else (),
        row=Curation,
        key=lambda row: row.problem.id,
        order=lambda row: (),
        identity=identity,
        open=partial(_open, config, sandbox, runtime, exam, others),
        expected=lambda case: held.problems,
        unit="problems",
        summarize=_summary,
        notes=held.notes,
    )


@dataclass(frozen=True, slots=True)
class _Held:
    """What a source holds, without holding it."""

    problems: int
    fingerprint: str
    """Of the ids and names of its problems."""
    file: Json = None
    """What it follows from: the digest of the file, the limit, and how files are read. None where there is no file."""

    def notes(self) -> Json:
        """The same for the manifest, which saves reading the file again: it may hold a hundred thousand problems."""
        return None if self.file is None else {"source": {"file": self.file, "problems": self.problems, "fingerprint": self.fingerprint}}


def _held(config: ProblemsConfig, folder: Path | None) -> _Held:
    file: Json = None
    if config.source != "starter":
        with suppress(OSError):  # reading it says so in a sentence
            file = [_VERSION, artifacts.file_digest(Path(config.source)), config.limit]
    with suppress(DataError):  # whoever needs the manifest says what is wrong with it
        manifest = artifacts.load_manifest(folder) if folder is not None and file is not None else None
        match manifest.notes if manifest is not None else None:
            case {"source": {"file": known, "problems": int(problems), "fingerprint": str(found)}} if known == file:
                return _Held(problems, found, file)
            case _:
                pass
    count = itertools.count()
    found = fingerprint_each([problem.id, problem.name] for problem, _ in zip(training_problems(config), count, strict=False))
    return _Held(next(count), found, file)


def _open(
    config: ProblemsConfig,
    sandbox: SandboxConfig,
    runtime: SandboxRuntime,
    exam: Sequence[Problem],
    others: Sequence[Problem],
    inputs: Mapping[str, Path],
) -> Opener:
    evolved = artifacts.outputs(inputs[EVOLVED])[0] if EVOLVED in inputs else None
    return partial(nullcontext, partial(_work, config, sandbox, runtime, exam, others, evolved))


def _work(
    config: ProblemsConfig,
    sandbox: SandboxConfig,
    runtime: SandboxRuntime,
    exam: Sequence[Problem],
    others: Sequence[Problem],
    evolved: Path | None,
    task: Task,
) -> Iterator[Curation | Failure]:
    examined = {_question(problem): problem.name for problem in exam}
    problems, ids, alarm = training_problems(config, evolved), set[str](), _Alarm(config)
    helpers, written = Helpers(), paper([*exam, *others], config.overlap)
    with closing(Earlier()) as earlier:
        while some := list(islice(problems, _TOGETHER)):
            fresh = [problem for problem in some if problem.id not in ids and not ids.add(problem.id)]  # of equal ones, the first
            left = [problem for problem in fresh if _question(problem) not in examined]
            seen = _Seen({problem.id: [] for problem in left})
            seen.add(left, (finding for problem in left for finding in broken(problem, config.rules)))
            left = seen.kept(left)
            seen.add(left, (finding for problem in left for finding in written(problem)))
            left = seen.kept(left)
            failed: dict[str, str] = {}  # what could not be judged, for reasons of ours, says nothing about its problem: the next run decides
            seen.add(left, _told(by_running(left, [*exam, *others], config.overlap.behaviour, sandbox, runtime, helpers), failed))
            left = [problem for problem in seen.kept(left) if problem.id not in failed]
            task.tick(len(some) - len(left))
            for found in gate(left, config.gate, sandbox, runtime, task.tick):
                if found.judged:
                    seen.add([found.problem], found.findings)
                else:
                    failed[found.problem.id] = found.fitness.failures[0]
            if config.gate.near_duplicate != "off":
                left = [problem for problem in seen.kept(left) if problem.id not in failed]
                words = gates.RULES["near_duplicate"]
                twins = (twin for problem in left if (twin := earlier.repeated(problem)) is not None)
                seen.add(left, (Finding(twin.problem, words, twin.how, config.gate.near_duplicate) for twin in twins))
            alarm.look(len(some), seen)
            for problem in fresh:
                if _question(problem) in examined:
                    yield Curation(problem, f"it is {examined[_question(problem)]} of the examination")
                elif problem.id in failed:
                    yield Failure(problem.id, failed[problem.id])
                else:
                    yield _curation(problem, seen.findings[problem.id])
    alarm.ring()


def _told(found: Iterable[Finding | Unjudged], failed: dict[str, str]) -> Iterator[Finding]:
    """The findings; `failed` takes who could not be judged, by id."""
    for one in found:
        if isinstance(one, Finding):
            yield one
        else:
            failed.setdefault(one.reference.id, one.reason)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was found so far of the problems at hand."""

    findings: dict[str, list[Finding]]
    """By the id of the problem."""

    def add(self, problems: Sequence[Problem], found: Iterable[Finding]) -> None:
        """Take findings about some of the problems; `Finding` names them by name."""
        ids = {problem.name: problem.id for problem in problems}
        for finding in found:
            self.findings[ids[finding.problem]].append(finding)

    def kept(self, problems: Sequence[Problem]) -> list[Problem]:
        """Those of the problems against which nothing was found so far."""
        return [problem for problem in problems if not any(finding.action in _GRAVE for finding in self.findings[problem.id])]


@dataclass(slots=True)
class _Alarm:
    """Findings after which somebody should look first."""

    config: ProblemsConfig
    looked: int = 0
    """Problems in the source."""
    stopping: int = 0
    """Problems with such a finding."""
    first: list[str] = field(default_factory=list[str])
    count: int = 0
    rules: set[str] = field(default_factory=set[str])

    def look(self, problems: int, seen: _Seen) -> None:
        """Take note of some more problems."""
        self.looked += problems
        for found in seen.findings.values():
            stopping = [finding for finding in found if finding.action == "stop"]
            self.stopping += bool(stopping)
            self.count += len(stopping)
            self.rules.update(finding.rule for finding in stopping)
            self.first += [str(finding) for finding in stopping][: _NAMED - len(self.first)]

    def ring(self) -> None:
        """Raise `DataError` when somebody should look first."""
        if not self.stopping:
            return
        keys = sorted(key for key, words in _KEYS.items() if words in self.rules)
        raise DataError(
            f"{self.stopping} of {self.looked} problems in {self.config.source} are not fit to learn from: "
            f"{', '.join(self.first)}{', ...' if self.count > _NAMED else ''}.",
            why="Their tests would teach the wrong thing.",
            hint=f"Mend them, or drop them with {' '.join(f'--set problems.{key}=drop' for key in keys)}.",
        )


_GRAVE = ("stop", "drop")
_NAMED = 3
"""Problems of one rule that the summary names, and findings that the alarm does."""
_KEYS = {
    **{f"rules.{key}": words for key, (words, _) in rules_of_thumb.RULES.items()},
    **{f"overlap.{key}": words for key, words in WAYS.items()},
    **{f"gate.{key}": words for key, words in gates.RULES.items()},
}
"""Recipe keys of all findings, below `problems`, with their words."""


def _curation(problem: Problem, found: Sequence[Finding]) -> Curation:
    grave = [finding for finding in found if finding.action in _GRAVE]
    ordered = [*grave, *(finding for finding in found if finding not in grave)]
    return Curation(problem, f"{grave[0].rule}: {grave[0].detail}" if grave else "", tuple(f"{finding.rule}: {finding.detail}" for finding in ordered))


def _question(problem: Problem) -> str:
    return " ".join(f"{problem.instruction} {problem.entry_point}".split())


def _summary(rows: Iterator[Curation]) -> Json:
    """How many are kept, how many are dropped by which rule, with the first few of each, and of those kept, how many were warned of by which."""
    counts: Counter[str] = Counter()
    such: dict[str, Json] = {}
    for row in rows:
        counts[row.reason or "kept"] += 1
        if row.dropped:
            names = cast("list[Json]", such.setdefault(row.reason, []))
            names += [row.problem.name] if len(names) < _NAMED else []
        else:
            counts.update(f"kept, but {finding.split(':')[0]}" for finding in row.findings)
    return {**dict(sorted(counts.items())), **({"dropped, such as": such} if such else {})}
