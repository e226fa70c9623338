"""What flows through the pipeline, on one page: Problem -> Response -> Verdict -> Preference.

Records are frozen and slotted; ids are content hashes, so equal content has equal ids on every machine.
They hold no paths, clocks or hosts (measurements of an execution are the exception, and they take no part in any id).
Not here: how records are stored (`rrtf.engine.tables`) or read from users' files (`rrtf.formats`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

from rrtf.identity import content_id

MEASURED = {"measured": True}
"""Field metadata of measurements: stored, but left out of every digest, since they differ from run to run."""

Role = Literal["teacher", "student", "reference"]
Split = Literal["train", "test"]
StopReason = Literal["stop", "length"]
"""`stop`: the model ended its answer or a stop string was met; `length`: the token limit cut it."""


class Outcome(IntEnum):
    """The paper's four outcomes, worst to best (section 3.4). There is no ERROR: a failure of ours is not an outcome."""

    COMPILE_ERROR = 0
    """No program was found, or it does not compile."""
    RUNTIME_ERROR = 1
    """No test passed, and at least one ended in an exception, a crash or a limit."""
    PARTIAL = 2
    """It ran, and some tests did not pass: at least one passed, or all of them returned wrong answers without an error."""
    PASSED = 3
    """Every test passed."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who wrote a response."""

    role: Role
    model: str
    """Model name, or `reference` for solutions that came with the data (the paper allows human experts as teachers)."""
    revision: str
    """What fixes the weights: a content digest or a hub commit; empty for references."""


@dataclass(frozen=True, slots=True)
class CallTest:
    """Call the entry point and compare its result outside the sandbox."""

    args: str
    """Canonical JSON (`rrtf.values`) of the list of positional arguments."""
    expected: str | None = None
    """Canonical JSON of the expected result; None exactly when `raises` is set."""
    raises: str | None = None
    """Name of the exception class that the call must raise."""
    kwargs: str = "{}"
    """Canonical JSON of the keyword arguments."""


@dataclass(frozen=True, slots=True)
class IOTest:
    """Run the program with `stdin` and compare what it prints, outside the sandbox."""

    stdin: str
    stdout: str


@dataclass(frozen=True, slots=True)
class AssertTest:
    """Run `code` in the program's namespace; it passes by finishing without an exception. Weaker than the other kinds: see `rrtf.sandbox.verdicts`."""

    code: str


Test = CallTest | IOTest | AssertTest


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An instruction with tests."""

    name: str
    """The name its source gave it, such as `HumanEval/0`; unique in its source."""
    instruction: str
    """What is asked, in words; for function problems the docstring, examples included."""
    prompt: str
    """Code the answer continues: imports, signature and docstring. Empty when the problem is words alone."""
    entry_point: str | None
    """The function the tests call; None for programs that read stdin."""
    tests: tuple[Test, ...]
    """All of one kind."""
    reference: str | None = None
    """A whole program that passes every test."""
    split: Split = "train"
    level: str = ""
    topic: str = ""

    @property
    def id(self) -> str:
        """Content id over everything that can change an answer or a verdict; name, split, level and topic are labels."""
        return content_id("p", self.instruction, self.prompt, self.entry_point, [[type(t).__name__, t] for t in self.tests], self.reference)


@dataclass(frozen=True, slots=True)
class Completion:
    """Raw text a generator returned for one seed of one prompt."""

    key: str
    """The key of the prompt it answers."""
    index: int
    """Position of its seed in the prompt's seeds."""
    text: str
    stop: StopReason
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A completion taken as an answer to a problem."""

    problem_id: str
    author: Author
    index: int
    """Sample number of this author for this problem, from 0."""
    text: str
    code: str | None
    """The whole program extracted from `text`; None when none was found."""
    rule: str
    """Which extraction rule fired, or why nothing was found."""
    stop: StopReason
    completion_tokens: int

    @property
    def id(self) -> str:
        """Content id: same author, same sample number, same text and same program found in it give the same id, and so the same verdict."""
        return content_id("r", self.problem_id, self.author, self.index, self.text, self.code)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one program may use."""

    cpu_seconds: float = 5.0
    """Processor time for the program and all its tests together: the limit that decides."""
    wall_seconds: float = 30.0
    """Wall time, the backstop for programs that sleep or wait."""
    memory_mb: int = 512
    processes: int = 16
    """Processes and threads at once."""
    file_mb: int = 16
    """Largest file, and largest total in the private temporary directory where the kernel can bound it."""
    output_kb: int = 256
    """Output kept; what is beyond is drained, counted and thrown away."""


TestStatus = Literal["passed", "wrong", "raised", "timeout", "memory", "crashed", "not-run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an execution says about a response."""

    problem_id: str
    response_id: str
    outcome: Outcome
    tests: tuple[TestStatus, ...]
    """One status per test, in the problem's order."""
    cause: str
    """One line on the first thing that went wrong; empty when passed."""
    cpu_seconds: float = field(metadata=MEASURED)
    wall_seconds: float = field(metadata=MEASURED)
    peak_mb: float = field(metadata=MEASURED)

    @property
    def passed(self) -> int:
        """Number of tests passed."""
        return sum(status == "passed" for status in self.tests)

    @property
    def total(self) -> int:
        """Number of tests."""
        return len(self.tests)


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of a preference, as the trainer sees it."""

    response_id: str
    role: Role
    code: str
    outcome: Outcome
    score: float


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers of one preference, by position, where the first is better."""

    chosen: int
    rejected: int
    margin: float
    """Score gap r_chosen - r_rejected > 0: the pair's weight in L_rank (section 3.4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """One problem's ranked answers and the pairs that teach."""

    problem_id: str
    answers: tuple[Answer, ...]
    pairs: tuple[Pair, ...]
    targets: tuple[int, ...]
    """Positions of the answers that the cross-entropy term imitates (teacher answers)."""
