"""What the answers to a problem may use, from what its reference needs on this machine.

A reference that needs t processor seconds gives its problem `reference_factor` times that, but at least `least_cpu_seconds` and at most the larger of
`cpu_seconds` and `slow_factor` times t. A reference that does not pass calibrates nothing: its problem has the limits of one without. Not here: where
measurements are kept (`rrtf.verdict_store`).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from rrtf.protocols import Sandbox
from rrtf.records import Outcome, Problem
from rrtf.sandbox import LimitsConfig
from rrtf.sandbox.harness import Allowance, attempt
from rrtf.sandbox.verdicts import program_of, verdict_of

_RUNS = 3
"""Runs of a reference whose time matters; the quickest counts, since company only ever makes a program slower."""


@dataclass(frozen=True, slots=True)
class Timing:
    """What a reference needed here."""

    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    """Without what it waited for a processor."""
    fault: str = ""
    """Why it calibrates nothing; empty when it does."""


def measure(problem: Problem, sandbox: Sandbox, config: LimitsConfig) -> Timing:
    """Run the problem's reference, under limits that leave it much time. Raises `SandboxFailure`."""
    if problem.reference is None:
        return Timing(fault="it has no reference")
    plain = config.limits()
    limits = dataclasses.replace(plain, cpu_seconds=config.slow_factor * plain.cpu_seconds, wall_seconds=config.slow_factor * plain.wall_seconds)
    program = program_of(problem, problem.reference, limits)
    found: list[Timing] = []
    while len(found) < _RUNS:
        execution = attempt(program, sandbox)
        verdict = verdict_of(problem, execution, "")
        if verdict.outcome is not Outcome.PASSED:
            return Timing(fault=f"its reference does not pass: {verdict.cause}")
        found.append(Timing(execution.cpu_seconds, max(0.0, execution.wall_seconds - (execution.waited_seconds or 0.0))))
        if allowance(config, found[-1]).limits.cpu_seconds <= min(config.least_cpu_seconds, config.cpu_seconds):
            break  # so quick that more runs change nothing
    return Timing(min(timing.cpu_seconds for timing in found), min(timing.wall_seconds for timing in found))


def allowance(config: LimitsConfig, timing: Timing | None) -> Allowance:
    """The limits that follow. `timing` is None where nothing was measured."""
    limits = config.limits()
    if timing is None or timing.fault or not config.reference_factor:
        return Allowance(limits)
    most, needed = config.cpu_seconds, timing.cpu_seconds
    least, factor = min(config.least_cpu_seconds, most), config.reference_factor
    cpu = max(least, min(factor * needed, max(most, config.slow_factor * needed)))
    words = ""
    if cpu not in (least, most):
        words = f"{factor if cpu == factor * needed else config.slow_factor:g} times the processor time of the reference"
    wall, wall_words = config.wall_seconds * cpu / most, "the wall time that goes with that" if words else ""
    if wall < config.slow_factor * timing.wall_seconds:  # it sleeps, or waits for what it started
        wall, wall_words = config.slow_factor * timing.wall_seconds, f"{config.slow_factor:g} times the wall time of the reference"
    return Allowance(dataclasses.replace(limits, cpu_seconds=cpu, wall_seconds=wall), words, wall_words)
