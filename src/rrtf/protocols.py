"""The seams, on one page: what a backend must do to be used by every stage.

Each seam has at least two real implementations and one contract suite (`tests/contract`) that runs against all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

from rrtf.records import Completion, File, Limits, Problem, Test, TestStatus

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Prompt:
    """One text to complete, once per seed."""

    key: str
    """The caller's name for it; every completion carries it back."""
    text: str
    seeds: tuple[int, ...]
    """One completion per seed. The same seed, prompt and sampling give the same completion wherever the engine can promise it."""
    chat: bool = False
    """True: `text` is a user message and the engine applies the model's own chat template. False: `text` is continued as it is."""
    prefill: str = ""
    """With `chat`: how the assistant's reply begins. The completion's text does not repeat it."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to decode. `temperature` 0 is greedy."""

    temperature: float = 0.0
    top_p: float = 1.0
    max_new_tokens: int = 512
    stop: tuple[str, ...] = ()
    """Strings that end the answer. The completion's text ends before the first of them."""


class Generator(Protocol):
    """A model that completes prompts."""

    @property
    def model(self) -> str:
        """Name of the model, as it stands in `Author.model`."""
        ...

    @property
    def revision(self) -> str:
        """What fixes the weights, as it stands in `Author.revision`."""
        ...

    def generate(self, prompts: Iterable[Prompt], sampling: Sampling) -> Iterator[Completion]:
        """Exactly one completion per prompt and seed, in any order, each as soon as it is finished. Raises `EngineError`."""
        ...


@dataclass(frozen=True, slots=True)
class Program:
    """A program and what to do with it: everything the sandbox may know. It never holds an expected value."""

    source: str
    entry_point: str | None
    tests: tuple[Test, ...]
    """All of one kind. Of a `CallTest` only the arguments, of an `IOTest` only stdin go inside."""
    limits: Limits = field(default_factory=Limits)
    files: tuple[File, ...] = ()
    module: str = "solution"


@dataclass(frozen=True, slots=True)
class Reply:
    """What one test gave, before any comparison."""

    status: TestStatus
    """`passed` here means: it finished. Whether the value is right is decided outside."""
    value: str = ""
    """Canonical JSON of the returned value (CallTest), or what was printed (IOTest)."""
    error: str = ""
    """Exception class and message, on one line."""


@dataclass(frozen=True, slots=True)
class Execution:
    """What the sandbox saw of one program that finished our protocol."""

    compile_error: str
    """Empty when the source compiled."""
    load_error: str
    """Why the program ended before its tests (exception at import, missing entry point, limit); empty when it loaded."""
    replies: tuple[Reply, ...]
    """One per test; empty when it did not compile or load."""
    stdout: str
    stderr: str
    """The first `Limits.output_kb` of what it printed."""
    cpu_seconds: float
    wall_seconds: float
    peak_mb: float
    waited_seconds: float | None = None
    """Of the wall time, what the program's first thread was ready to run but had no processor: the machine's doing. None where the machine does not say."""


@dataclass(frozen=True, slots=True)
class Isolation:
    """What separates a program from this machine, said plainly."""

    granted: tuple[str, ...]
    """Such as `user namespace`, `network namespace`, `memory limit`."""
    missing: tuple[str, ...]
    """What this machine did not give, each with its reason in brackets."""


class Sandbox(Protocol):
    """A place to run hostile programs. Use as a context manager; safe to call from several threads."""

    def run(self, program: Program) -> Execution:
        """Run one program. Raises `SandboxFailure` when the sandbox itself failed; never for anything the program did."""
        ...

    def isolation(self) -> Isolation:
        """What is isolated on this machine and what is not."""
        ...

    def close(self) -> None:
        """End every process and remove every file of this sandbox."""
        ...


class Benchmark(Protocol):
    """A set of problems to be examined on."""

    @property
    def name(self) -> str:
        """Its name on the command line and in results."""
        ...

    def problems(self) -> Sequence[Problem]:
        """Every problem, in a fixed order. Raises `DataError` or `EngineError` with what to install."""
        ...


Needs = Literal["driver", "processors", "devices"]
"""What work asks of where it runs: nothing worth sending it away for, processors, or devices that hold a model (a GPU, where there is one)."""


@dataclass(frozen=True, slots=True)
class Lost:
    """In the place of a result: every worker that had the item died. A failure of ours, and none of the item's."""

    reason: str


class Executor(Protocol):
    """Where the work of a stage runs."""

    def map(
        self, work: Callable[[], AbstractContextManager[Callable[[Item], Result]]], items: Iterable[Item], needs: Needs = "processors"
    ) -> Iterator[tuple[int, Result | Lost]]:
        """Open `work` once per worker and apply it to every item; yields (position of the item, result) in order of completion.

        Items are taken as they are needed. An error of the work ends it, with its kind and sentences; `needs` matters only to executors that have a choice.
        """
        ...
