"""From problems and answers to verdicts: run each program in the sandbox, retry what failed for reasons of ours, judge time-outs again.

Trouble of ours is retried and then raised (`judge`) or yielded as a `JudgingFailure` (`judge_all`, `judge_many`), never turned into an outcome. A time-out
counts when the program had the machine to itself, as far as that is ours to say: one met in company is judged again under the same limits with nothing of ours
beside it. Not here: what one execution says (`verdicts`), what limits a problem has (`calibration`), verdicts that are known already (`rrtf.judging`), how
programs are run (`rrtf.protocols.Sandbox`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue

from rrtf.errors import SandboxFailure
from rrtf.protocols import Execution, Program, Sandbox
from rrtf.records import Limits, Problem, Response, Verdict
from rrtf.sandbox.verdicts import program_of, verdict_of, without_program

JUDGE_VERSION = 4
"""Of what decides a verdict beside program, tests and limits: raised when the judge changes its mind about any program. All that keeps verdicts asks it."""
_ATTEMPTS = 3
"""Runs that may fail for reasons of ours before we give up on one answer."""
_WAITED = 0.05
"""A program that waited for a processor for this share of the wall time, or used so little of one, tells what the machine did and not only what it did."""
_CROWD = 8
"""From so many programs at once, judging every time-out alone would leave more processors idle than it is worth: see `_STRETCH`."""
_STRETCH = 4.0
"""Company makes a program slower in processor time too (shared cores, caches, memory): less than this many times, on what we know of."""
_TAIL = 64
"""Time-outs that wait to be judged alone before everything else does; a kill costs no more than their first runs."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the answers to one problem may use."""

    limits: Limits
    cpu_words: str = ""
    """How a verdict names the processor limit where it follows from a measurement, whose digits would make another verdict every time; empty: as it is."""
    wall_words: str = ""


@dataclass(frozen=True, slots=True)
class Ruling:
    """A verdict that was just given."""

    verdict: Verdict
    lasting: bool
    """False for a time-out in which the machine may have had a part: it counts, but is not worth keeping."""
    again: bool = False
    """It timed out in company, and this is what came of judging it again."""


@dataclass(frozen=True, slots=True)
class JudgingFailure:
    """An answer that could not be judged, for reasons of ours."""

    problem_id: str
    response_id: str
    reason: str
    attempts: int


@dataclass(frozen=True, slots=True)
class _Owed:
    """A time-out that must be judged alone."""

    problem: Problem
    response_id: str
    program: Program
    allowance: Allowance


def judge(
    problem: Problem, code: str | None, sandbox: Sandbox, *, response_id: str = "", limits: Limits | None = None, without: str = "no program was found"
) -> Verdict:
    """Judge one answer; a time-out that waited for a processor twice, beside whatever else runs.

    `code` is the whole program, or None when none was extracted: then the outcome is COMPILE_ERROR with `without` as its cause. Raises `SandboxFailure` when
    the sandbox failed three times, `DataError` for a problem that cannot be judged.
    """
    if code is None:
        return without_program(problem, response_id, without)
    program = program_of(problem, code, limits)
    execution = attempt(program, sandbox)
    if timed_out(execution) and not undisturbed(execution):
        execution = attempt(program, sandbox)
    return verdict_of(problem, execution, response_id)


def judge_many(
    items: Iterable[tuple[Problem, Response]], sandbox: Sandbox, *, threads: int, limits: Limits | None = None
) -> Iterator[Verdict | JudgingFailure]:
    """Judge answers under the same limits, whatever their problem. As `judge_all`."""
    allowance = Allowance(limits or Limits())
    for found in judge_all(items, sandbox, threads=threads, allow=lambda problem: allowance):
        yield found.verdict if isinstance(found, Ruling) else found


def judge_all(
    items: Iterable[tuple[Problem, Response] | Verdict | None], sandbox: Sandbox, *, threads: int, allow: Callable[[Problem], Allowance]
) -> Iterator[Ruling | Verdict | JudgingFailure]:
    """Judge answers in `threads` threads (as many as the sandbox has workers); yields each as soon as it is known, in no particular order.

    Items are read as they are needed. A verdict among them is passed on as it is, so that who knows some verdicts can say so in turn; None asks for something
    to be finished before the next one is read. `allow` is called from the threads. Time-outs met in company are put off and judged with nothing of ours beside
    them, a few at a time. Raises `DataError` as `judge` does.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="judge") as pool:
        waiting: set[Future[Ruling | JudgingFailure | _Owed]] = set()
        ended: SimpleQueue[Future[Ruling | JudgingFailure | _Owed]] = SimpleQueue()  # `concurrent.futures.wait` costs as much as all else here
        owed: list[_Owed] = []

        def finished() -> Iterator[Ruling | JudgingFailure]:
            future = ended.get()
            waiting.discard(future)
            result = future.result()
            if isinstance(result, _Owed):
                owed.append(result)
            else:
                yield result

        def alone() -> Iterator[Ruling | JudgingFailure]:
            while waiting:
                yield from finished()
            while owed:
                yield _alone(owed.pop(0), sandbox)

        try:
            for item in items:
                if isinstance(item, Verdict):
                    yield item
                    continue
                if item is None:
                    yield from finished() if waiting else alone()
                    continue
                future = pool.submit(_first, *item, sandbox, threads, allow)
                waiting.add(future)
                future.add_done_callback(ended.put)
                if len(waiting) >= 4 * threads:
                    yield from finished()
                if len(owed) >= _TAIL:
                    yield from alone()
            yield from alone()
        finally:
            for future in waiting:
                future.cancel()


def _first(problem: Problem, response: Response, sandbox: Sandbox, threads: int, allow: Callable[[Problem], Allowance]) -> Ruling | JudgingFailure | _Owed:
    if response.code is None:
        return Ruling(judge(problem, None, sandbox, response_id=response.id, without=f"no program was found ({response.rule})"), lasting=True)
    try:
        allowance = allow(problem)
        program = program_of(problem, response.code, allowance.limits)
        execution = attempt(program, sandbox)
        if timed_out(execution) and not (undisturbed(execution) and (threads == 1 or _sleeping(execution))):
            if threads < _CROWD or not _hopeless(problem, program, execution, sandbox):
                return _Owed(problem, response.id, program, allowance)
            return Ruling(_named(verdict_of(problem, execution, response.id), program, allowance), lasting=True, again=True)
    except SandboxFailure as error:
        return JudgingFailure(problem.id, response.id, error.message, _ATTEMPTS)
    return Ruling(_named(verdict_of(problem, execution, response.id), program, allowance), lasting=True)


def _alone(owed: _Owed, sandbox: Sandbox) -> Ruling | JudgingFailure:
    try:
        execution = attempt(owed.program, sandbox)
    except SandboxFailure as error:
        return JudgingFailure(owed.problem.id, owed.response_id, error.message, _ATTEMPTS)
    verdict = _named(verdict_of(owed.problem, execution, owed.response_id), owed.program, owed.allowance)
    return Ruling(verdict, lasting=not timed_out(execution) or undisturbed(execution), again=True)


def _hopeless(problem: Problem, program: Program, execution: Execution, sandbox: Sandbox) -> bool:
    """Whether a program still runs out of time in the same test when it has so much more of it that no company explains that: an endless loop, as a rule."""
    limits = dataclasses.replace(program.limits, cpu_seconds=_STRETCH * program.limits.cpu_seconds, wall_seconds=_STRETCH * program.limits.wall_seconds)
    longer = attempt(dataclasses.replace(program, limits=limits), sandbox)
    return timed_out(longer) and verdict_of(problem, longer, "").tests == verdict_of(problem, execution, "").tests


def _named(verdict: Verdict, program: Program, allowance: Allowance) -> Verdict:
    """The same with its limits named as the allowance does, so that a cause holds nothing measured."""
    cause, limits = verdict.cause, program.limits
    if allowance.cpu_words:
        cause = cause.replace(f"more than {limits.cpu_seconds:g} s of processor time", f"more than {allowance.cpu_words}")
    if allowance.wall_words:
        cause = cause.replace(f"more than {limits.wall_seconds:g} s of wall time", f"more than {allowance.wall_words}")
    return verdict if cause == verdict.cause else dataclasses.replace(verdict, cause=cause)


def attempt(program: Program, sandbox: Sandbox) -> Execution:
    """Run a program, again where the sandbox failed. Raises `SandboxFailure` after the third failure."""
    for number in range(1, _ATTEMPTS + 1):
        try:
            return sandbox.run(program)
        except SandboxFailure as error:
            if number == _ATTEMPTS:
                raise SandboxFailure(
                    f"The sandbox failed {number} times on the same program; the last time: {error.message}", why=error.why, hint=error.hint
                ) from error
    raise AssertionError("unreachable")


def timed_out(execution: Execution) -> bool:
    """Whether a limit of time ended the program."""
    return execution.load_error.startswith("timeout:") or any(reply.status == "timeout" for reply in execution.replies)


def undisturbed(execution: Execution) -> bool:
    """Whether the program had a processor whenever it wanted one, as far as this machine tells."""
    if execution.waited_seconds is None:  # then by the clock, which cannot tell waiting from sleeping
        return execution.wall_seconds <= (1 + _WAITED) * execution.cpu_seconds + 0.1
    return execution.waited_seconds <= _WAITED * execution.wall_seconds


def _sleeping(execution: Execution) -> bool:
    """Whether it hardly computed at all, and so takes as long in whatever company."""
    return execution.cpu_seconds <= _WAITED * execution.wall_seconds
