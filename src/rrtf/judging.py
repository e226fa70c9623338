"""Judging as stages use it: a sandbox opened with its workers and limits, and what it isolates, for the manifest.

Not here: how programs are run (`rrtf.sandbox`), and how their results become verdicts (`rrtf.sandbox.harness`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import cast

from rrtf.errors import SandboxError
from rrtf.identity import Json
from rrtf.records import Problem, Response, Verdict
from rrtf.sandbox import PlainConfig, ProcessConfig, SandboxRuntime, open_sandbox
from rrtf.sandbox.harness import JudgingFailure, judge_many

Judge = Callable[[Iterable[tuple[Problem, Response]]], Iterator[Verdict | JudgingFailure]]
"""Judges answers, in no particular order."""
_HOPELESS = 20
"""So many failures of ours in a row are no hiccups: going on would retry every program in vain and end far from the cause."""


@contextmanager
def open_judge(config: ProcessConfig | PlainConfig, runtime: SandboxRuntime) -> Generator[Judge]:
    """A sandbox for the length of the block, as a function from answers to verdicts. That raises `SandboxError` when nothing can be judged on this machine."""
    with open_sandbox(config, runtime) as sandbox:
        judge = partial(judge_many, sandbox=sandbox, threads=runtime.count(), limits=config.limits.limits())
        yield lambda answers: _unless_hopeless(judge(answers))


def _unless_hopeless(found: Iterator[Verdict | JudgingFailure]) -> Iterator[Verdict | JudgingFailure]:
    failures = 0
    for item in found:
        if isinstance(item, JudgingFailure):
            failures += 1
        elif item.wall_seconds > 0:  # an answer without a program has a verdict, but never saw the sandbox
            failures = 0
        if isinstance(item, JudgingFailure) and failures == _HOPELESS:
            raise SandboxError(
                f"{_HOPELESS} programs in a row could not be judged; the last with: {item.reason.rstrip('.')}.",
                why="That is this machine's trouble and says nothing about the programs.",
                hint="See what `rrtf check` says about the sandbox; finished work is kept.",
            )
        yield item


def isolation(config: ProcessConfig | PlainConfig) -> Json:
    """What is isolated on this machine and what is not."""
    with open_sandbox(config, SandboxRuntime(workers=1)) as sandbox:
        found = sandbox.isolation()
    return {"granted": list(found.granted), "missing": list(found.missing)}


def weakest(found: Sequence[Json]) -> Json:
    """What can be said of several machines together: isolated is what all of them isolate, missing what any of them lacks."""
    each = [cast("dict[str, list[str]]", notes) for notes in found]
    common = [name for name in each[0]["granted"] if all(name in notes["granted"] for notes in each)]
    return {"granted": cast("Json", common), "missing": cast("Json", list(dict.fromkeys(name for notes in each for name in notes["missing"])))}
