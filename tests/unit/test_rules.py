"""The rules of thumb for rows of a corpus: each finds its fault, and none finds one in problems that people wrote."""

from __future__ import annotations

from typing import Any

import pytest

from rrtf.benchmarks import open_benchmark
from rrtf.quality.rules import RULES, RulesConfig, broken
from rrtf.records import CallTest, IOTest, Problem, Test

TEXT = "Return the sum of the given numbers."
SOLUTION = "def f(numbers):\n    total = 0\n    for number in numbers:\n        total += number\n    return total\n"
CONFIG = RulesConfig()


def row(**changes: Any) -> Problem:
    tests: tuple[Test, ...] = (CallTest("[[1]]", "1"),)
    fields: dict[str, Any] = {"name": "p", "instruction": TEXT, "prompt": "", "entry_point": "f", "tests": tests, "reference": SOLUTION}
    return Problem(**{**fields, **changes})


FAULTY = [
    ("no_code", row(instruction="Describe your last holiday to me.", entry_point=None, reference=None)),
    ("too_short", row(instruction="Sum it.")),
    ("too_long", row(instruction=" ".join(f"{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}{chr(97 + n // 676)}" for n in range(1001)))),
    ("too_long", row(reference=SOLUTION + "x = 1\n" * 300)),
    ("not_function_level", row(entry_point=None, tests=(IOTest("1", "1"),), reference="print(input())")),
    ("no_program", row(reference="Sure! Here is the code")),
    ("no_program", row(reference="'''The answer is 3.'''")),
    ("no_program", row(reference="def g(numbers):\n    return sum(numbers)\n")),
    ("unfinished", row(reference="def f(numbers):\n    raise NotImplementedError\n")),
    ("unfinished", row(reference="def f(numbers):\n    # Your code here\n    return 0\n")),
    ("only_prints", row(reference="def f(numbers):\n    print(sum(numbers))\n")),
    ("only_prints", row(reference="def f(numbers):\n    if not numbers:\n        return None\n    print(sum(numbers))\n")),
    ("reads_input", row(reference="def f(numbers):\n    return int(input()) + sum(numbers)\n")),
    ("not_english", row(instruction="返回给定数字的总和 of all")),
    ("garbled", row(instruction="Return the sum of the donâ€™t numbers.")),
    ("repeated_text", row(instruction="Return the sum of the given numbers. " * 12)),
    ("refusal", row(instruction="I'm sorry, but I cannot write this function.")),
    ("refusal", row(reference="# As an AI, I would write\n" + SOLUTION)),
    ("prompt_words", row(instruction="#Rewritten Prompt#: return the sum of the numbers.")),
    ("prompt_words", row(instruction="The given task is made harder: return the sum.")),
    ("answer_in_statement", row(instruction=f"Write this again:\n\n{SOLUTION}")),
]


@pytest.mark.parametrize(("rule", "faulty"), FAULTY, ids=[f"{rule}-{number}" for number, (rule, _) in enumerate(FAULTY)])
def test_each_fault_is_found_by_its_rule_alone_and_not_when_that_is_off(rule: str, faulty: Problem) -> None:
    beside = CONFIG if rule == "not_function_level" else CONFIG.model_copy(update={"not_function_level": "off"})
    assert [(finding.rule, finding.action) for finding in broken(faulty, beside)] == [(RULES[rule][0], CONFIG.action(rule))]
    assert list(broken(faulty, beside.model_copy(update={rule: "off"}))) == []


def test_every_rule_has_a_fault_here_and_a_key_in_the_recipe() -> None:
    assert {rule for rule, _ in FAULTY} == set(RULES)
    assert set(RULES) < set(RulesConfig.model_fields)


@pytest.mark.parametrize(
    "fine",
    [
        row(),
        row(reference=None),
        row(instruction="Sum it.", prompt="def f(numbers):\n"),
        row(reference="class Solution:\n    def go(self, v):\n        print(v)\n        return v\n", entry_point="Solution().go"),
        row(reference="def f(v):\n    print(v)\n    v[0] = 1\n"),
        row(reference="from math import fsum as f\n"),
        row(instruction="Gib die Summe der Zahlen zurück, größer als null."),
    ],
)
def test_what_is_fine_breaks_no_rule(fine: Problem) -> None:
    assert list(broken(fine, CONFIG)) == []


@pytest.mark.parametrize("name", ["starter", "humaneval"])
def test_problems_that_people_wrote_break_no_rule(name: str) -> None:
    assert [finding for problem in open_benchmark(name).problems() for finding in broken(problem, CONFIG)] == []
