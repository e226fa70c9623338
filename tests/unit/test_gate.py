"""The gate: one problem for each fault, judged for real. What the command line makes of it is in test_problem_files.py."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrtf import values
from rrtf.quality import fitness as trials
from rrtf.quality.fitness import Fitness
from rrtf.quality.gate import RULES, GateConfig, Gated, findings, gate
from rrtf.quality.suites import contradicting, repeated
from rrtf.records import AssertTest, CallTest, IOTest, Outcome, Problem, Test, Verdict
from rrtf.sandbox import LimitsConfig, ProcessConfig, SandboxRuntime

BOX = ProcessConfig(limits=LimitsConfig(cpu_seconds=0.5))
RUNTIME = SandboxRuntime(workers=2)
ALL = GateConfig(**dict.fromkeys(RULES, "drop"))  # type: ignore[arg-type]

GRADE = '''def grade(points: int) -> str:
    """Name the result of an exam."""
    if points >= 50:
        return "pass"
    if points >= 40:
        return "resit"
    return "fail"
'''


def call(*args: object, expected: object = None, **kwargs: object) -> CallTest:
    return CallTest(args=values.dumps(list(args)), expected=values.dumps(expected), kwargs=values.dumps(kwargs))


def problem(reference: str | None, *tests: Test, name: str = "p", entry_point: str | None = "f", instruction: str = "Do it.") -> Problem:
    return Problem(name=name, instruction=instruction, prompt="", entry_point=entry_point, tests=tests, reference=reference)


def grade(*tests: CallTest) -> Problem:
    return problem(GRADE, *tests, entry_point="grade")


def gated(*problems: Problem, config: GateConfig = ALL) -> list[Gated]:
    found = list(gate(problems, config, BOX, RUNTIME))
    assert [item.problem for item in found] == list(problems)
    assert all(item.judged for item in found)
    return found


def seen(checked: Problem, **changes: Any) -> dict[str, str]:
    """Rule and detail of every finding about one problem."""
    (found,) = gated(checked, config=ALL.model_copy(update=changes))
    assert found.keep == (not found.findings)
    return {finding.rule: finding.detail for finding in found.findings}


STRONG = tuple(call(points, expected=name) for points, name in [(50, "pass"), (49, "resit"), (40, "resit"), (39, "fail"), (100, "pass"), (0, "fail")])


def test_a_sound_problem_has_no_findings() -> None:
    (found,) = gated(grade(*STRONG))
    assert found.findings == ()
    assert found.keep
    assert (found.fitness.mutants, found.fitness.killed) == (7, 7)
    assert found.fitness.programs == 7 + 3 + 1 + 4  # mutants, stubs, the reference and its repeats


def test_a_reference_that_fails_is_found_and_its_mutants_are_not_blamed() -> None:
    found = seen(grade(call(50, expected="pass"), call(5, expected="pass"), call(1, expected="fail")))
    assert found == {"its reference fails": "test 1: returned 'fail', expected 'pass' (2 of 3 tests passed)"}


@pytest.mark.parametrize(
    "body", ["import os\nos._exit(0)\ndef f(a): return a + 1", "def f(a): return undefined", "def g(a): return a", "def f(a):\n    while True: pass"]
)
def test_references_that_do_not_work_in_other_ways(body: str) -> None:
    assert list(seen(problem(body, *(call(n, expected=n + 1) for n in range(3))))) == ["its reference fails"]


def test_tests_that_miss_faults_are_found() -> None:
    found = seen(grade(call(100, expected="pass"), call(0, expected="fail"), call(-1, expected="fail")))
    assert list(found) == ["its tests miss small faults"]
    assert found["its tests miss small faults"].startswith("2 of 7 noticed; missed: line 3: 50 became 51; line 3: >= became >; ")


def test_the_kill_rate_is_the_users() -> None:
    weak = grade(call(100, expected="pass"), call(0, expected="fail"), call(-1, expected="fail"))
    assert seen(weak, kill_rate=2 / 7) == {}
    assert seen(weak, kill_rate=2.1 / 7) != {}


def test_few_mutants_are_chosen_by_their_text_alone() -> None:
    (found,) = gated(grade(call(100, expected="pass"), call(0, expected="fail"), call(-1, expected="fail")), config=ALL.model_copy(update={"mutants": 3}))
    assert found.fitness.mutants == 3


def test_mutants_that_loop_for_ever_count_as_noticed() -> None:
    source = "def f(n):\n    total = 0\n    while n > 0:\n        total += n\n        n -= 1\n    return total\n"
    (found,) = gated(problem(source, *(call(n, expected=n * (n + 1) // 2) for n in range(5))))
    assert found.fitness.mutants == 7
    assert "line 5: - became +" not in found.fitness.survivors


@pytest.mark.parametrize(
    ("source", "expected", "stub"),
    [
        ("def f(a):\n    return None\n", lambda n: None, "pass"),
        ("def f(a):\n    return 7\n", lambda n: 7, "the constant 7"),
        ("def f(a):\n    return a\n", lambda n: n, "echo of argument 1"),
    ],
)
def test_tests_that_a_stub_passes_are_found(source: str, expected: Any, stub: str) -> None:
    assert stub in seen(problem(source, *(call(n, expected=expected(n)) for n in range(1, 4))))["a program that does nothing passes"]


def test_methods_are_checked_like_functions() -> None:
    source = "class Solution:\n    def double(self, x: int) -> int:\n        return self.plus(x, x)\n\n    def plus(self, a, b):\n        return a + b\n"
    sound = problem(source, *(call(x=n, expected=2 * n) for n in (1, 4, 9)), entry_point="Solution().double")
    (found,) = gated(sound)
    assert found.findings == ()
    assert found.fitness.mutants == 3  # two results, one sum
    same = problem(source.replace("a + b", "a"), *(call(x=n, expected=n) for n in (1, 4, 9)), entry_point="Solution().double")
    assert seen(same) == {"a program that does nothing passes": "echo of argument x"}


def test_programs_that_read_stdin_are_checked_too() -> None:
    source = "import sys\n\ndef main():\n    print(int(sys.stdin.readline()) + 1)\n\nif __name__ == '__main__':\n    main()\n"
    good = problem(source, IOTest("1\n", "2\n"), IOTest("5\n", "6\n"), IOTest("0\n", "1\n"), entry_point=None)
    (found,) = gated(good)
    assert found.findings == ()
    assert found.fitness.mutants == 2
    echo = problem("print(input())\n", *(IOTest(f"{n}\n", f"{n}\n") for n in range(3)), entry_point=None)
    assert seen(echo) == {"a program that does nothing passes": "echo of the input"}


def test_a_result_that_follows_the_hash_seed_is_flaky() -> None:
    words = ["pear", "plum", "fig", "kiwi", "lime", "date"]
    source = "def f(words):\n    return list(set(words))\n"
    first = problem(source, call(words, expected=None))
    with trials.open_judge(BOX, RUNTIME) as judge:  # what this set gives with the usual seed
        (verdict,) = judge([(first, trials.reference_response(first))])
    assert isinstance(verdict, Verdict)
    import ast

    order = ast.literal_eval(verdict.cause.removeprefix("test 0: returned ").removesuffix(", expected None"))
    flaky = problem(source, call(["a"], expected=["a"]), call(words, expected=order), call([], expected=[]))
    detail = seen(flaky)["its tests do not say the same every time"]
    assert detail.startswith('test 1 ([["pear","plum",')
    assert "passed at first, wrong with hash seed" in detail


def test_a_result_that_follows_chance_is_flaky() -> None:
    draw = random.Random(0).random() < 0.5
    source = "from __future__ import annotations\nimport random\nCOIN = [random.random() < 0.5 for _ in range(20)]\ndef f(place):\n    return COIN[place]\n"
    assert "its tests do not say the same every time" in seen(problem(source, call(0, expected=draw), *(call(n, expected=True) for n in range(1, 20))))


def test_tests_that_lean_on_those_before_them_are_flaky() -> None:
    source = "SEEN = []\n\ndef f(x):\n    SEEN.append(x)\n    return len(SEEN)\n"
    leaning = problem(source, *(AssertTest(f"assert f({n}) == {n + 1}") for n in range(3)))
    (found,) = trials.measure([leaning], BOX, RUNTIME, trials.Effort(stubs=False, mutants=0, repeats=1))
    assert found.flaky[0] == "test 0 (assert f(0) == 1): passed at first, wrong with hash seed 1 and its tests backwards"
    assert len(found.flaky) == 2  # the middle one stays where it is


def test_a_reference_that_only_runs_out_of_time_is_not_flaky() -> None:
    looping = problem("def f(n):\n    while n == 1: pass\n    return n\n", call(0, expected=0), call(1, expected=1), call(2, expected=2))
    assert list(seen(looping, stub_passes="off")) == ["its reference fails"]


def test_a_slow_reference_is_found_and_its_faults_get_more_time() -> None:
    slow = "import time\ndef f(n):\n    end = time.process_time() + 0.15\n    while time.process_time() < end: pass\n    return n + 1\n"
    found = seen(problem(slow, *(call(n, expected=n + 1) for n in range(2))), slow_share=0.5, few_tests="off", weak_tests="off")
    assert list(found) == ["its reference is slow"]


def test_problems_without_a_reference_are_said_to_have_none() -> None:
    assert list(seen(problem(None, *(call(n, expected=n + 2) for n in range(3))))) == ["no reference"]


def test_rules_that_are_off_cost_nothing_and_say_nothing() -> None:
    off = ALL.model_copy(update=dict.fromkeys(RULES, "off"))
    (found,) = gated(grade(call(5, expected="pass")), config=off)
    assert found.findings == ()
    assert found.fitness.programs == 1  # the reference: everything else leans on it


def test_actions_decide() -> None:
    failing = grade(call(5, expected="pass"), call(1, expected="fail"), call(2, expected="fail"))
    for action, keep in (("stop", False), ("drop", False), ("warn", True)):
        (found,) = gated(failing, config=GateConfig(reference_fails=action))  # type: ignore[arg-type]
        assert [finding.action for finding in found.findings] == [action]
        assert found.keep is keep


def test_every_assertion_in_code_is_a_test() -> None:
    suite = problem("def f(x):\n    return x + 1\n", AssertTest("def check(c):\n    assert c(1) == 2\n    assert c(2) == 3\n    assert c(5) == 6\n\ncheck(f)"))
    assert seen(suite, weak_tests="off") == {}
    assert list(seen(suite, weak_tests="off", least_tests=4)) == ["it has few tests"]


# Reading tests


def test_contradictions_and_repetitions() -> None:
    tests: list[tuple[Sequence[Test], int, int]] = [
        ([call(1, expected=2), call(1, expected=3)], 1, 0),
        ([call(1, expected=2), call(1, expected=2.0)], 0, 1),
        ([call(1, expected=2), call(1.0, expected=3)], 0, 0),
        ([call(1, x=2, expected=1), call(1, x=3, expected=2)], 0, 0),
        ([call(1, expected=2), CallTest("[1]", raises="ValueError")], 1, 0),
        ([CallTest("[1]", raises="ValueError"), CallTest("[1]", raises="ValueError")], 0, 1),
        ([IOTest("1\n", "2 \n\n"), IOTest("1\n", "2")], 0, 1),
        ([IOTest("1\n", "2"), IOTest("1\n", "3")], 1, 0),
        ([AssertTest("assert f(1) == [2]"), AssertTest("assert f( 1 )==[3]")], 1, 0),
        ([AssertTest("def check(c):\n    assert c(x = 1) == 2\n    assert c(x = 1) == 2")], 0, 1),
        ([AssertTest("x = 1\nassert f(x) == 2\nx = 2\nassert f(x) == 3")], 0, 0),
    ]
    for asked, contradictions, repetitions in tests:
        assert (len(contradicting(problem(None, *asked))), len(repeated(problem(None, *asked)))) == (contradictions, repetitions), asked


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), max_size=8))
def test_every_question_after_the_first_is_repeated_or_contradicts(asked: list[tuple[int, int]]) -> None:
    checked = problem(None, *(call(question, expected=answer) for question, answer in asked))
    again = len(asked) - len({question for question, _ in asked})
    assert len(repeated(checked)) + len(contradicting(checked)) == again
    consistent = len({question for question, _ in asked}) == len(set(asked))
    assert (not contradicting(checked)) == consistent


# Deciding, without running


def verdict(*statuses: Any) -> Verdict:
    outcome = Outcome.PASSED if set(statuses) == {"passed"} else Outcome.PARTIAL
    return Verdict(problem_id="", response_id="", outcome=outcome, tests=statuses, cause="c", cpu_seconds=0.1, wall_seconds=0.1, peak_mb=1)


@given(st.integers(0, 60), st.data(), st.floats(0, 1))
def test_tests_are_weak_exactly_below_the_rate(mutants: int, data: st.DataObject, rate: float) -> None:
    missed = data.draw(st.integers(0, mutants))
    fitness = Fitness(problem=grade(*STRONG), reference=verdict("passed"), mutants=mutants, survivors=["line 1: < became <="] * missed)
    found = list(findings(fitness, GateConfig(kill_rate=rate), 5.0))
    assert bool(found) == (mutants - missed < rate * mutants)


@given(st.dictionaries(st.sampled_from(list(RULES)), st.sampled_from(["stop", "drop", "warn", "off"])))
def test_a_problem_is_kept_unless_a_finding_drops_or_stops(actions: dict[str, Any]) -> None:
    fitness = Fitness(problem=problem(None, call(1, expected=1), call(1, expected=2)), passing_stubs=["pass"])
    config = GateConfig(**actions)
    found = Gated(fitness, tuple(findings(fitness, config, 5.0)))
    broken = {"no_reference", "contradicting_tests", "stub_passes", "few_tests"}
    assert {finding.rule for finding in found.findings} == {RULES[rule] for rule in broken if config.action(rule) != "off"}
    assert found.keep == all(config.action(rule) in ("warn", "off") for rule in broken)


@given(st.lists(st.sampled_from(["passed", "wrong", "raised", "timeout"]), min_size=1, max_size=5), st.data())
def test_only_changes_between_passing_and_failing_are_flaky(first: list[Any], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(first))))
    again = data.draw(st.lists(st.sampled_from(["passed", "wrong", "raised"]), min_size=len(first), max_size=len(first)))
    checked = problem("x = 1", *(call(n, expected=n) for n in range(len(first))))
    told = list(trials._differences(checked, verdict(*first), verdict(*again), order, 2))
    steady = [place for place, status in enumerate(first) if status != "timeout" and (status == "passed") != (again[order.index(place)] == "passed")]
    assert {f"test {place} " for place in steady} <= {line[: len(f"test {line.split()[1]} ")] for line in told}
    assert not list(trials._differences(checked, verdict(*first), verdict(*(first[place] for place in order)), order, 2))


@given(st.integers(0, 12), st.integers(1, 30))
def test_tests_are_tried_in_another_order_but_all_of_them(tests: int, repeat: int) -> None:
    assert sorted(trials._order(tests, repeat)) == list(range(tests))
    assert trials._order(tests, 1) == list(range(tests))[::-1]


@given(st.floats(0, 10), st.floats(0.01, 10))
def test_faulty_copies_get_time_in_few_steps_and_never_more_than_answers(reference: float, limit: float) -> None:
    seconds = trials._seconds(reference, limit)
    assert seconds == limit or seconds >= max(trials.LEAST_SECONDS, trials.PATIENCE * reference)
    assert seconds <= limit
