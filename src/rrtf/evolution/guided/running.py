"""References run in the sandbox, many in one program, each on its own inputs: how new expected values come to be.

In there the references share a process. What they return is only a proposal: whatever is kept is judged by the gate, in a process of its own.
Not here: what is made of the results (`growing`).
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import cast

from rrtf import values
from rrtf.evolution.guided import trial
from rrtf.overlap import probe
from rrtf.protocols import Program, Sandbox
from rrtf.records import CallTest, Limits
from rrtf.sandbox.harness import attempt

PATIENCE = 0.05
"""Processor seconds of one call."""
_BATCH = 24
_LIMITS = Limits(cpu_seconds=60.0, wall_seconds=600.0, memory_mb=1024)
_ALONE = Limits(cpu_seconds=5.0, wall_seconds=60.0, memory_mb=512)


@dataclass(frozen=True, slots=True)
class Trial:
    """A program to be called on inputs."""

    source: str
    entry_point: str
    inputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one call gave."""

    value: str = ""
    """The encoded result; empty where there is none."""
    error: str = ""
    """The class of the exception."""
    message: str = ""


def run_all(trials: Sequence[Trial], sandbox: Sandbox, threads: int) -> list[list[Outcome]]:
    """The outcomes of every trial, in order; none at all for programs that do not load or end the process. Raises `SandboxFailure`."""
    groups = [trials[start : start + _BATCH] for start in range(0, len(trials), _BATCH)]
    with ThreadPoolExecutor(threads, thread_name_prefix="trial") as pool:
        return [outcomes for group in pool.map(partial(_group, sandbox=sandbox), groups) for outcomes in group]


def _group(group: Sequence[Trial], sandbox: Sandbox) -> list[list[Outcome]]:
    tests = tuple(CallTest(args=json.dumps([place]), expected="null") for place in range(len(group)))
    execution = attempt(Program(_source(group), "run", tests, _LIMITS if len(group) > 1 else _ALONE), sandbox)
    whole = len(execution.replies) == len(group) and all(reply.status == "passed" for reply in execution.replies)
    if whole:
        return [_read(reply.value) for reply in execution.replies]
    if len(group) == 1:
        return [[]]
    middle = len(group) // 2
    return [*_group(group[:middle], sandbox), *_group(group[middle:], sandbox)]


def _read(reply: str) -> list[Outcome]:
    found: list[Outcome] = []
    for kind, *said in cast("list[list[object]]", values.loads(reply)):
        if kind == "value":
            found.append(Outcome(value=values.dumps(said[0])))
        else:
            found.append(Outcome(error=str(said[0]), message=str(said[1])) if kind == "raised" else Outcome())
    return found


def _source(group: Sequence[Trial]) -> str:
    candidates = [(one.source, one.entry_point, [values.loads(text) for text in one.inputs]) for one in group]
    body = "\n\n".join(inspect.getsource(part) for part in (trial.outcomes, trial.inside, trial.called))
    return f"""{inspect.getsource(probe)}

LARGEST = {trial.LARGEST}
CANDIDATES = {candidates!r}


{body}

def run(place):
    load([])
    return outcomes(*CANDIDATES[place], {PATIENCE})
"""
