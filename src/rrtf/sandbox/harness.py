"""From problems and answers to verdicts: run each program in the sandbox, retry what failed for reasons of ours, judge time-outs on a busy machine again.

Trouble of ours is retried and then raised (`judge`) or yielded as a `JudgingFailure` (`judge_many`), never turned into an outcome. A time-out that happened on
a busy machine is judged once more, alone and under the same limits, before it counts. Not here: what one execution says (`verdicts`), how programs are run
(`rrtf.protocols.Sandbox`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from rrtf.errors import SandboxFailure
from rrtf.protocols import Execution, Program, Sandbox
from rrtf.records import Limits, Problem, Response, Verdict
from rrtf.sandbox.verdicts import program_of, verdict_of, without_program

_ATTEMPTS = 3
"""Runs that may fail for reasons of ours before we give up on one answer."""
_BUSY = 1.25
"""Where the machine does not say how long programs wait for a processor: a time-out of at most this many times as long by the clock had one to itself."""
_WAITED = 0.25
"""A time-out of which this share of the wall time was spent waiting for a processor happened on a busy machine."""


@dataclass(frozen=True, slots=True)
class JudgingFailure:
    """An answer that could not be judged, for reasons of ours."""

    problem_id: str
    response_id: str
    reason: str
    attempts: int


def judge(
    problem: Problem, code: str | None, sandbox: Sandbox, *, response_id: str = "", limits: Limits | None = None, without: str = "no program was found"
) -> Verdict:
    """Judge one answer, a time-out twice.

    `code` is the whole program, or None when none was extracted: then the outcome is COMPILE_ERROR with `without` as its cause. Raises `SandboxFailure` when
    the sandbox failed three times, `DataError` for a problem that cannot be judged.
    """
    if code is None:
        return without_program(problem, response_id, without)
    program = program_of(problem, code, limits)
    execution = _run(program, sandbox)
    if timed_out_under_load(execution):
        execution = _run(program, sandbox)
    return verdict_of(problem, execution, response_id)


def judge_many(
    items: Iterable[tuple[Problem, Response]], sandbox: Sandbox, *, threads: int, limits: Limits | None = None
) -> Iterator[Verdict | JudgingFailure]:
    """Judge answers in `threads` threads (as many as the sandbox has workers); yields each as soon as it is known, in no particular order.

    Time-outs that happened under load come last, each run once more with nothing of ours beside it. Raises `DataError` as `judge` does.
    """
    again: list[tuple[Problem, Response, Program]] = []
    lock = threading.Lock()

    def one(problem: Problem, response: Response) -> Verdict | JudgingFailure | None:
        if response.code is None:
            return judge(problem, None, sandbox, response_id=response.id, without=f"no program was found ({response.rule})")
        program = program_of(problem, response.code, limits)
        try:
            execution = _run(program, sandbox)
        except SandboxFailure as error:
            return JudgingFailure(problem.id, response.id, error.message, _ATTEMPTS)
        if timed_out_under_load(execution):
            with lock:
                again.append((problem, response, program))
            return None
        return verdict_of(problem, execution, response.id)

    with ThreadPoolExecutor(threads, thread_name_prefix="judge") as pool:
        waiting: set[Future[Verdict | JudgingFailure | None]] = set()
        try:
            for problem, response in items:
                waiting.add(pool.submit(one, problem, response))
                if len(waiting) >= 4 * threads:
                    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    yield from (result for result in (future.result() for future in done) if result is not None)
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                yield from (result for result in (future.result() for future in done) if result is not None)
        finally:
            for future in waiting:
                future.cancel()
    for problem, response, program in again:
        try:
            yield verdict_of(problem, _run(program, sandbox), response.id)
        except SandboxFailure as error:
            yield JudgingFailure(problem.id, response.id, error.message, _ATTEMPTS)


def _run(program: Program, sandbox: Sandbox) -> Execution:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return sandbox.run(program)
        except SandboxFailure as error:
            if attempt == _ATTEMPTS:
                raise SandboxFailure(
                    f"The sandbox failed {attempt} times on the same program; the last time: {error.message}", why=error.why, hint=error.hint
                ) from error
    raise AssertionError("unreachable")


def timed_out_under_load(execution: Execution) -> bool:
    """Whether a time-out happened that might not happen on a quiet machine."""
    timed_out = execution.load_error.startswith("timeout:") or any(reply.status == "timeout" for reply in execution.replies)
    if execution.waited_seconds is None:
        return timed_out and execution.wall_seconds > _BUSY * execution.cpu_seconds + 0.1
    return timed_out and execution.waited_seconds > _WAITED * execution.wall_seconds  # not a program that merely sleeps: that takes as long every time
