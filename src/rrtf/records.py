"""What flows through the pipeline, on one page: Problem -> Response -> Verdict -> Preference.

Records are frozen and slotted; ids are content hashes, so equal content has equal ids on every machine.
They hold no paths, clocks or hosts (measurements of an execution are the exception, and they take no part in any id).
Not here: how records are stored (`rrtf.engine.tables`) or read from users' files (`rrtf.formats`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

from rrtf.identity import LATER, content_id

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


CallMatch = Literal["near", "equal", "is", "truth", "within"]
"""How a result compares with the expected one (`rrtf.sandbox.compare` has the rules).

`near`: as by `==`, but floats may differ in the last digits and NaN equals NaN; `equal`: exactly as by `==`; `is`: it is that very None, True or False;
`truth`: `bool` of it; `within`: a number that differs by less than `tolerance`.
"""
IOMatch = Literal["lines", "exact", "tokens"]
"""How printed text compares: line by line without trailing white space, character by character, or word by word with numbers within `tolerance`."""


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
    match: CallMatch = field(default="near", metadata=LATER)
    tolerance: float | None = field(default=None, metadata=LATER)
    """With `within`: the difference that is just too much. None otherwise."""


@dataclass(frozen=True, slots=True)
class IOTest:
    """Run the program with `stdin` and compare what it prints, outside the sandbox."""

    stdin: str
    stdout: str
    match: IOMatch = field(default="lines", metadata=LATER)
    tolerance: float | None = field(default=None, metadata=LATER)
    """With `tokens`: how far numbers may differ; None takes `rrtf.sandbox.compare.TOLERANCE`."""


@dataclass(frozen=True, slots=True)
class AssertTest:
    """Run `code` in the program's namespace; it passes by finishing without an exception. Weaker than the other kinds: see `rrtf.sandbox.verdicts`.

    Where the entry point is a method, `candidate` is that method of a fresh instance.
    """

    code: str


@dataclass(frozen=True, slots=True)
class PytestTest:
    """One test function of a pytest file among the problem's `files`, with all of its parameters. As weak as `AssertTest`."""

    node: str
    """As pytest writes it, without parameters: `test_solution.py::test_add`, `test_solution.py::TestAdd::test_zero`."""


Test = CallTest | IOTest | AssertTest | PytestTest


@dataclass(frozen=True, slots=True)
class File:
    """A file that a program finds in its working directory."""

    path: str
    """Relative, with `/` between folders and without `..`."""
    text: str


@dataclass(frozen=True, slots=True)
class Frame:
    """A file of somebody's repository with one function taken out: the program of an answer is `before`, the answer's function, `after` (`rrtf.framing`)."""

    name: str
    """The function, or `Class.method`."""
    header: str
    """Its signature and docstring as they stand in the file, without decorators."""
    before: str
    """The file up to the line of its `def`, decorators included."""
    after: str
    """The file from the line behind it."""


class _Identified:
    """Keeps a content id once it is computed: it is asked for far more often than records are made. No field: not in equality, storage or copies."""

    __slots__ = ("_known_id",)
    _known_id: str

    @property
    def id(self) -> str:
        """Content id; what it covers is said where `_content` is."""
        try:
            return self._known_id
        except AttributeError:
            object.__setattr__(self, "_known_id", self._content())
            return self._known_id

    def _content(self) -> str:
        """The id, computed. Every record says for itself what it covers; this one has none."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem(_Identified):
    """An instruction with tests."""

    name: str
    """The name its source gave it, such as `HumanEval/0`; unique in its source."""
    instruction: str
    """What is asked, in words; for function problems the docstring, examples included."""
    prompt: str
    """Code the answer continues: imports, signature and docstring. Empty when the problem is words alone."""
    entry_point: str | None
    """The function the tests call, or `Solution().method`: that method of a new instance for each test. None for programs that read stdin."""
    tests: tuple[Test, ...]
    """All of one kind."""
    reference: str | None = None
    """A whole program that passes every test."""
    split: Split = "train"
    level: str = ""
    topic: str = ""
    files: tuple[File, ...] = field(default=(), metadata=LATER)
    """What every program for this problem finds in its working directory; for `PytestTest` the tests themselves too."""
    module: str = field(default="solution", metadata=LATER)
    """The name by which pytest files import the program; dotted (`package.module`) where the program is a file of a package among `files`."""
    frame: Frame | None = field(default=None, metadata=LATER)
    """Where an answer's function goes; None where the answer is the program."""

    def _content(self) -> str:
        """Content id over everything that can change an answer or a verdict; name, split, level and topic are labels."""
        beside = [self.files, self.module] if self.files or self.module != "solution" else []  # so that problems without keep the ids they always had
        beside += [self.frame] if self.frame is not None else []
        return content_id("p", self.instruction, self.prompt, self.entry_point, [[type(t).__name__, t] for t in self.tests], self.reference, *beside)

    @property
    def defines(self) -> str | None:
        """The name that a program must define: the entry point, or the class of which it is a method."""
        return None if self.entry_point is None else self.entry_point.partition("().")[0]


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
class Response(_Identified):
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

    def _content(self) -> str:
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
    """Positions of the answers that the cross-entropy term imitates: the teachers', and students' that a policy of ranking chose."""
