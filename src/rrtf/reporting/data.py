"""What a report shows, as plain records: everything the page needs and nothing about where it came from.

Not here: gathering it from a run (`rrtf.stages.report`), choosing which examples to embed (`rrtf.reporting.examples`), drawing (`rrtf.reporting.charts`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rrtf.benchmarks.results import Comparison, Score
from rrtf.records import Outcome, StopReason, TestStatus
from rrtf.reporting.flips import FlipTest

TRAINING = "training"
"""The place of answers to training problems, beside the names of benchmarks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A problem, as readers of the report see it."""

    id: str
    name: str
    place: str
    """`TRAINING` or the benchmark's name."""
    text: str
    """What was asked: the code to continue, or the instruction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One answer with its verdict."""

    problem_id: str
    problem: str
    """The problem's name."""
    place: str
    author: str
    """Such as `student, before`."""
    setting: str
    """Prompt format and decoding, or the rule of sampling."""
    index: int
    outcome: Outcome
    tests: tuple[TestStatus, ...]
    cause: str
    code: str | None
    text: str
    rule: str
    stop: StopReason
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Answers of one author by outcome."""

    author: str
    counts: Mapping[Outcome, int]
    no_program: int = 0
    cut_off: int = 0

    @property
    def total(self) -> int:
        """All answers."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one teacher's answers stand before the tests: a teacher who is wrong where others are right is biased there, or its tests are wrong."""

    teacher: str
    answered: int
    """Problems it answered, and was judged on."""
    passed: int
    """Those where an answer of it passes all tests."""
    student_alone: int
    """Those where none of its answers passes, and one of the student's does."""
    others_alone: int
    """Those where none of its answers passes, and one of another teacher's does."""
    such: tuple[str, ...] = ()
    """The first few problems that the student solves and it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What became of the training problems."""

    problems: int
    """Problems read."""
    dropped_before: Mapping[str, int]
    """Dropped before sampling, by reason."""
    dropped_after: Mapping[str, int]
    """Dropped by ranking, by reason."""
    kept: int
    """Problems that teach."""
    without_pairs: int
    """Those among them that teach by imitation alone."""
    answers: int
    """Ranked answers of the kept problems."""
    pairs: int
    """Pairs of a better and a worse answer."""
    targets: int
    """Answers that the cross-entropy term imitates."""
    dropped_such: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """The first few problems that were dropped before sampling, by reason, each with what was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRun:
    """How one stage ran."""

    name: str
    rows: int
    seconds: float
    failures: tuple[str, ...] = ()
    """Work of ours that did not finish, each with its reason."""
    granted: tuple[str, ...] = ()
    """Isolation that the sandbox had, where the stage used one."""
    missing: tuple[str, ...] = ()
    config: str = ""
    """What bears its identity, as JSON text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """Everything in one report."""

    title: str
    student: str = ""
    """Name of the student model."""
    teacher: str = ""
    before: tuple[Score, ...] = ()
    after: tuple[Score, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    exam: Mapping[str, int] = field(default_factory=dict[str, int])
    """Problems of the examination by benchmark."""
    histograms: tuple[Histogram, ...] = ()
    """Answers to training problems, by author."""
    standings: tuple[Standing, ...] = ()
    """Teachers against tests."""
    unsolved: int = 0
    """Training problems that nobody's answer solves."""
    flow: Flow | None = None
    curve: tuple[Mapping[str, float], ...] = ()
    """One mapping per training step; `step` is the horizontal axis."""
    questions: tuple[Question, ...] = ()
    """The problems of the examples."""
    examples: tuple[Example, ...] = ()
    examples_of: int = 0
    """How many answers the examples were chosen from."""
    runs: tuple[StageRun, ...] = ()
    flips: FlipTest | None = None
    """Whether verdicts depended on the machine's load, where that was measured."""
    versions: Mapping[str, str] = field(default_factory=dict[str, str])
