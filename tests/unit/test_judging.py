"""Judging as stages use it: a machine that cannot judge is found out early."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import pytest

from rrtf import judging
from rrtf.answering import reference_response
from rrtf.benchmarks import open_benchmark
from rrtf.errors import SandboxError, SandboxFailure
from rrtf.sandbox import PlainConfig, SandboxRuntime
from rrtf.sandbox.harness import JudgingFailure, judge

PROBLEMS = open_benchmark("starter", split="train").problems()[:40]


class Failing:
    """A sandbox that falls over, except for the programs whose entry points are named."""

    def __init__(self, real: Any, fine: frozenset[str]) -> None:
        self.real, self.fine, self.runs = real, fine, 0

    def run(self, program: Any) -> Any:
        self.runs += 1
        if program.entry_point in self.fine:
            return self.real.run(program)
        raise SandboxFailure("no more processes")


def judge_with(monkeypatch: pytest.MonkeyPatch, fine: frozenset[str]) -> tuple[Failing, list[Any]]:
    real = judging.open_sandbox
    made: list[Failing] = []

    @contextmanager
    def opened(*args: Any) -> Any:
        with real(*args) as sandbox:
            made.append(Failing(sandbox, fine))
            yield made[0]

    monkeypatch.setattr(judging, "open_sandbox", opened)
    found: list[Any] = []
    try:
        with judging.open_judge(PlainConfig(backend="plain"), SandboxRuntime(workers=1)) as judge:
            found.extend(judge((problem, reference_response(problem)) for problem in PROBLEMS))
    except SandboxError as error:
        found.append(error)
    return made[0], found


def test_a_machine_that_can_judge_nothing_says_so_early(monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox, found = judge_with(monkeypatch, frozenset())
    assert found[-1].message.startswith("20 programs in a row could not be judged; the last with:")
    assert found[-1].message.endswith("no more processes.")
    assert sandbox.runs < 3 * len(PROBLEMS)


def test_failures_beside_a_verdict_are_only_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    fine = {problem.entry_point for problem in PROBLEMS[::10]}
    _, found = judge_with(monkeypatch, frozenset(name or "" for name in fine))
    assert sum(isinstance(item, JudgingFailure) for item in found) == sum(problem.entry_point not in fine for problem in PROBLEMS)
    assert len(found) == len(PROBLEMS)


def test_a_machine_that_breaks_down_half_way_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = judge_with(monkeypatch, frozenset({PROBLEMS[0].entry_point or ""}))
    assert isinstance(found[-1], SandboxError)


def test_answers_without_a_program_do_not_hide_a_broken_machine() -> None:
    failure = JudgingFailure("p", "r", "no more processes", 3)
    without = judge(PROBLEMS[0], None, Failing(None, frozenset()))
    with pytest.raises(SandboxError, match="20 programs in a row"):
        list(judging._unless_hopeless(iter([item for _ in range(20) for item in (without, failure)])))


def test_of_several_machines_only_what_all_isolate_is_granted() -> None:
    first, second = {"granted": ["mounts", "network", "memory"], "missing": []}, {"granted": ["mounts", "memory"], "missing": ["network (refused)"]}
    assert judging.weakest([first, second]) == {"granted": ["mounts", "memory"], "missing": ["network (refused)"]}
    assert judging.weakest([second, first]) == {"granted": ["mounts", "memory"], "missing": ["network (refused)"]}
    assert judging.weakest([first]) == first
