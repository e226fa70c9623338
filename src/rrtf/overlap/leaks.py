"""Which training problems a benchmark holds too, found in three ways, each with what was seen: by words, by syntax tree, and by running.

On paper every problem is compared with an index of the benchmark, one by one. Running is for those that are left (`rrtf.overlap.behaviour` says how it is
made cheap). Not here: nearly equal problems of one set (`rrtf.overlap.duplicates`), and a problem that *is* one of the examination (`rrtf.stages.curate`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain

from pydantic import BaseModel, ConfigDict, Field

from rrtf.framing import alone
from rrtf.judging import Tally, open_judge
from rrtf.overlap.behaviour import Helpers, Unjudged, alike
from rrtf.overlap.trees import solutions
from rrtf.overlap.words import GRAM, statements
from rrtf.quality.findings import Action, Finding
from rrtf.records import Problem
from rrtf.sandbox import SandboxConfig, SandboxRuntime, open_sandbox

WAYS: Mapping[str, str] = {
    "words": "it says what a benchmark's task says",
    "program": "its reference is a benchmark's solution",
    "behaviour": "its reference passes a benchmark's tests",
}
"""Every way: its key in a recipe, and its words in findings."""


class OverlapConfig(BaseModel):
    """What becomes of problems that a benchmark holds too. Each way: `drop`, `warn`, `off`, or `stop`, which ends the run so that somebody looks."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    benchmarks: tuple[str, ...] = ()
    """Benchmarks to keep away from beside those of the examination, which always count: names as in `evaluate.benchmarks`, such as `humaneval` or
    `mbpp:PATH/mbpp.jsonl`. Name those that others will examine the model on."""
    words: Action = "drop"
    """Its statement, or a docstring of it, shares `gram` words in a row with a task, or all of a shorter text."""
    program: Action = "drop"
    """At least seven tenths of a task's solution stand in its reference, whatever the names, texts, order and small habits (`rrtf.overlap.trees`)."""
    behaviour: Action = "drop"
    """A function of its reference passes a task's tests. Where it has no reference, the task's solution passes its tests."""
    gram: int = Field(default=GRAM, ge=4)
    """Words in a row that make an overlap. Published decontaminations use 8 to 13."""


def paper(benchmark: Sequence[Problem], config: OverlapConfig) -> Callable[[Problem], Iterator[Finding]]:
    """What finds overlaps by words and by syntax tree, one problem at a time."""
    said = statements(benchmark if config.words != "off" else (), config.gram)
    solved = solutions(benchmark if config.program != "off" else ())

    def find(given: Problem) -> Iterator[Finding]:
        problem = alone(given)
        words = said.shared(problem)
        if words is not None:
            yield Finding(problem.name, WAYS["words"], f"{words[0]}: {words[1]!r}", config.words)
        held = solved.held(problem.reference) if problem.reference is not None else None
        if held is not None:
            yield Finding(problem.name, WAYS["program"], f"{held[0]}: {held[1]}", config.program)

    return find


def on_paper(problems: Iterable[Problem], benchmark: Sequence[Problem], config: OverlapConfig) -> Iterator[Finding]:
    """The same for many, in their order."""
    find = paper(benchmark, config)
    for problem in problems:
        yield from find(problem)


def by_running(
    problems: Sequence[Problem], benchmark: Sequence[Problem], action: Action, sandbox: SandboxConfig, runtime: SandboxRuntime, helpers: Helpers | None = None
) -> Iterator[Finding | Unjudged]:
    """Overlaps by behaviour: what a problem's reference passes, or, for problems without one, whose reference passes its tests. And who could not be judged.

    `helpers` goes from call to call where the problems of one set come in several.
    """
    if action == "off" or not benchmark or not problems:
        return
    bare: list[Problem] = []

    def answered() -> Iterator[Problem]:
        for problem in problems:
            if problem.reference is not None:
                yield problem
            else:
                bare.append(problem)

    with open_sandbox(sandbox, runtime) as box, open_judge(sandbox, runtime, Tally()) as judge:
        for pair in alike(answered(), benchmark, box, judge, runtime.count(), helpers):
            if isinstance(pair, Unjudged):
                yield pair
                continue
            which = "" if pair.function == pair.reference.entry_point else f" (its function {pair.function})"
            yield Finding(pair.reference.name, WAYS["behaviour"], f"{pair.exam.name}: it passes all {len(pair.exam.tests)} tests{which}", action)
        for pair in alike(benchmark, bare, box, judge, runtime.count()) if bare else ():
            if isinstance(pair, Unjudged):
                yield from (Unjudged(problem, pair.reason) for problem in bare)  # any of them may be the one
                continue
            yield Finding(pair.exam.name, WAYS["behaviour"], f"{pair.reference.name}: its solution passes all {len(pair.exam.tests)} tests of this one", action)


def leaks(
    problems: Sequence[Problem], benchmark: Sequence[Problem], config: OverlapConfig, sandbox: SandboxConfig, runtime: SandboxRuntime
) -> Iterator[Finding | Unjudged]:
    """Every overlap in every way that is not off, also of problems for which one way would do. And who could not be judged."""
    yield from chain(on_paper(problems, benchmark, config), by_running(problems, benchmark, config.behaviour, sandbox, runtime))
