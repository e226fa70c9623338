"""Judging as stages use it: a sandbox opened with its workers and limits, and what it isolates, for the manifest.

Not here: how programs are run (`rrtf.sandbox`), and how their results become verdicts (`rrtf.sandbox.harness`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from rrtf.identity import Json
from rrtf.records import Problem, Response, Verdict
from rrtf.sandbox import PlainConfig, ProcessConfig, SandboxRuntime, open_sandbox
from rrtf.sandbox.harness import JudgingFailure, judge_many

Judge = Callable[[Iterable[tuple[Problem, Response]]], Iterator[Verdict | JudgingFailure]]
"""Judges answers, in no particular order."""


@contextmanager
def open_judge(config: ProcessConfig | PlainConfig, runtime: SandboxRuntime) -> Generator[Judge]:
    """A sandbox for the length of the block, as a function from answers to verdicts."""
    with open_sandbox(config, runtime) as sandbox:
        yield partial(judge_many, sandbox=sandbox, threads=runtime.count(), limits=config.limits.limits())


def isolation(config: ProcessConfig | PlainConfig) -> Json:
    """What is isolated on this machine and what is not."""
    with open_sandbox(config, SandboxRuntime(workers=1)) as sandbox:
        found = sandbox.isolation()
    return {"granted": list(found.granted), "missing": list(found.missing)}
