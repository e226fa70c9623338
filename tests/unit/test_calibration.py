"""Limits by what a reference needs here: the rule, the measurement, and that no right answer of about the same speed fails."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrtf.errors import SandboxFailure
from rrtf.protocols import Execution, Reply
from rrtf.records import CallTest, Limits, Problem
from rrtf.sandbox import LimitsConfig
from rrtf.sandbox.calibration import Timing, allowance, measure

RULE = LimitsConfig()
SECONDS = st.floats(0, 1000)
RULES = st.builds(
    LimitsConfig,
    cpu_seconds=st.floats(0.1, 100),
    least_cpu_seconds=st.floats(0.1, 100),
    reference_factor=st.floats(0, 100),
    slow_factor=st.floats(1, 100),
    wall_seconds=st.floats(1, 1000),
)
PROBLEM = Problem(name="p", instruction="", prompt="", entry_point="f", tests=(CallTest("[1]", "1"),), reference="def f(x): return x")


class Sandbox:
    """Takes the given processor seconds, one after the other, then fails."""

    def __init__(self, *seconds: float, value: str = "1") -> None:
        self.left, self.value, self.limits = list(seconds), value, list[Limits]()

    def run(self, program: Any) -> Execution:
        self.limits.append(program.limits)
        if not self.left:
            raise SandboxFailure("no room")
        cpu = self.left.pop(0)
        return Execution("", "", (Reply("passed", self.value),), "", "", cpu, wall_seconds=3 * cpu, peak_mb=1.0, waited_seconds=cpu)


@pytest.mark.parametrize(
    ("needed", "cpu", "wall", "words"),
    [
        (0.004, 2.0, 12.0, ""),
        (0.3, 3.0, 18.0, "10 times the processor time of the reference"),
        (0.7, 5.0, 30.0, ""),
        (1.0, 5.0, 30.0, ""),
        (2.0, 10.0, 60.0, "5 times the processor time of the reference"),
    ],
)
def test_the_rule_as_it_is_documented(needed: float, cpu: float, wall: float, words: str) -> None:
    found = allowance(RULE, Timing(needed, needed))
    assert (found.limits.cpu_seconds, found.limits.wall_seconds) == pytest.approx((cpu, wall))
    assert found.cpu_words == words
    assert bool(found.wall_words) == bool(words)


def test_a_reference_that_sleeps_has_the_wall_time_for_it() -> None:
    found = allowance(RULE, Timing(0.01, 20.0))
    assert (found.limits.cpu_seconds, found.limits.wall_seconds) == (2.0, 100.0)
    assert found.wall_words == "5 times the wall time of the reference"


@pytest.mark.parametrize("timing", [None, Timing(fault="its reference does not pass")])
def test_without_a_usable_reference_the_limits_are_the_rules_own(timing: Timing | None) -> None:
    assert allowance(RULE, timing).limits == RULE.limits() == Limits()
    assert allowance(LimitsConfig(reference_factor=0), Timing(9.0, 9.0)).limits == Limits()


@given(RULES, SECONDS, SECONDS)
def test_limits_are_never_near_what_the_reference_needs(rule: LimitsConfig, cpu: float, wall: float) -> None:
    found = allowance(rule, Timing(cpu, wall)).limits
    if rule.reference_factor >= rule.slow_factor:
        assert found.cpu_seconds >= min(rule.slow_factor * cpu, rule.reference_factor * cpu)
    assert found.cpu_seconds >= min(rule.least_cpu_seconds, rule.cpu_seconds)
    assert found.cpu_seconds <= max(rule.cpu_seconds, rule.slow_factor * cpu)


@given(RULES, st.lists(SECONDS, min_size=2, max_size=2).map(sorted))
def test_a_slower_reference_never_means_less_time(rule: LimitsConfig, seconds: list[float]) -> None:
    less, more = (allowance(rule, Timing(second, second)).limits for second in seconds)
    assert less.cpu_seconds <= more.cpu_seconds
    assert less.wall_seconds <= more.wall_seconds or more.wall_seconds == pytest.approx(less.wall_seconds)


def test_a_quick_reference_is_run_once_and_another_three_times() -> None:
    quick = Sandbox(0.125)
    assert measure(PROBLEM, quick, RULE) == Timing(0.125, 0.25)
    assert quick.limits == [Limits(cpu_seconds=25.0, wall_seconds=150.0)], "with much time"
    slow = Sandbox(2.0, 1.5, 1.75)
    assert measure(PROBLEM, slow, RULE) == Timing(1.5, 3.0), "company only ever makes it slower"


def test_a_reference_that_does_not_pass_calibrates_nothing_and_says_so() -> None:
    found = measure(PROBLEM, Sandbox(0.01, value="2"), RULE)
    assert found.fault == "its reference does not pass: test 0: returned 2, expected 1"
    assert measure(Problem(name="p", instruction="", prompt="", entry_point="f", tests=PROBLEM.tests), Sandbox(), RULE).fault == "it has no reference"


def test_a_failure_of_ours_is_no_measurement() -> None:
    with pytest.raises(SandboxFailure, match="3 times"):
        measure(PROBLEM, Sandbox(), RULE)


def test_every_field_of_the_rule_bears_identity() -> None:
    dumps = [LimitsConfig(**{name: 7.0}).model_dump() for name in ("cpu_seconds", "least_cpu_seconds", "reference_factor", "slow_factor", "wall_seconds")]
    assert all(one != other for one, other in itertools.combinations(dumps, 2))
