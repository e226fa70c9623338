"""Which tests a problem keeps: those that fail on both stubs and pass on the original every time, in the shape in which users will judge it.

The stubs are a body of `pass` and one of `raise NotImplementedError`. The original runs three times, the second time with another hash seed and its tests
backwards. Not here: which tests execute the function (`tracing`), stubs that return constants (`rrtf check` tries those against the whole suite).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from rrtf.protocols import Sandbox
from rrtf.quality.stubs import stubbed
from rrtf.records import Frame, Limits, Problem, PytestTest, Test, Verdict
from rrtf.sandbox.harness import judge

STUBS = ("pass", "raise NotImplementedError")


@dataclass(frozen=True, slots=True)
class Selected:
    """What became of a problem's tests."""

    nodes: tuple[str, ...]
    """Those that are kept; none where there is a reason."""
    reason: str = ""
    detail: str = ""
    unnoticed: int = 0
    """Tests that execute the function and pass on a stub."""
    unsteady: int = 0
    """Tests that fail on the original at least once."""


def select(problem: Problem, frame: Frame, usual: Sandbox, other: Sandbox, limits: Limits) -> Selected:
    """Try the tests of a problem. `other` has another hash seed. Raises `SandboxFailure`."""
    total = len(problem.tests)
    for body in STUBS:
        verdict = judge(problem, stubbed(frame, body), usual, limits=limits)
        problem = _with(problem, (test for test, status in zip(problem.tests, verdict.tests, strict=True) if status != "passed"))
        if not problem.tests:
            return Selected((), "no test that executes it fails on a stub", f"{total} tests pass with a body of `{body}`", unnoticed=total)
    unnoticed = total - len(problem.tests)
    noticing, reference = len(problem.tests), problem.reference or ""
    cause = ""
    for sandbox, backwards in ((usual, False), (other, True), (usual, False)):
        asked = _with(problem, reversed(problem.tests)) if backwards else problem
        verdict = judge(asked, reference, sandbox, limits=limits)
        cause = cause or verdict.cause
        passed = set(_passed(asked, verdict))
        problem = _with(problem, (test for test in problem.tests if test in passed))
        if not problem.tests:
            return Selected((), "its tests do not pass on the original every time", cause, unnoticed, noticing)
    return Selected(_nodes(problem.tests), unnoticed=unnoticed, unsteady=noticing - len(problem.tests))


def _with(problem: Problem, tests: Iterable[Test]) -> Problem:
    return replace(problem, tests=tuple(tests))


def _passed(problem: Problem, verdict: Verdict) -> list[Test]:
    return [test for test, status in zip(problem.tests, verdict.tests, strict=True) if status == "passed"]


def _nodes(tests: Iterable[Test]) -> tuple[str, ...]:
    return tuple(test.node for test in tests if isinstance(test, PytestTest))
