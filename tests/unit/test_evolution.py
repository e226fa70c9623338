"""Evolution by a model: requests, elimination, rounds and lineage, with completions written beforehand."""

from __future__ import annotations

import dataclasses
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrtf import values
from rrtf.answering import answers
from rrtf.errors import SandboxFailure
from rrtf.evolution import agreement, authoring, elimination, testing, widening
from rrtf.evolution.agreement import AgreementConfig, agree
from rrtf.evolution.depth import DepthConfig, evolve
from rrtf.evolution.lineage import Evolved, Lineage
from rrtf.evolution.methods import METHODS
from rrtf.evolution.rewriting import LEAKS, request, rewritten
from rrtf.evolution.testing import TestingConfig
from rrtf.generation.scripted import ScriptedGenerator
from rrtf.judging import Tally, open_judge
from rrtf.records import Author, CallTest, Problem
from rrtf.sandbox import ProcessConfig, SandboxRuntime, open_sandbox
from rrtf.sandbox.harness import JudgingFailure

TASK = "Write a function that takes a list of whole numbers and returns the largest of them."
HARDER = "Write a function that takes a list of whole numbers and returns the second largest different one, or None when there is none."


def task(text: str = TASK, name: str = "one") -> Problem:
    return Problem(name=name, instruction=text, prompt="", entry_point=None, tests=())


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_request_is_whole(method):
    text = request(TASK, method, 30)
    assert method.words in text
    assert TASK in text
    assert "{" not in text
    assert not elimination.leak("", method.words, 0), "its own words must not get a result thrown away"


def test_names_of_methods_are_their_own():
    assert len({method.name for method in METHODS}) == len(METHODS)


@pytest.mark.parametrize(
    "answer",
    [
        HARDER,
        f"\n\n{HARDER}  \n",
        f"#Rewritten Task#\n{HARDER}",
        f"**Rewritten Task:**\n\n{HARDER}",
        f'"""\n{HARDER}\n"""',
        f"```\n{HARDER}\n```",
        f"```text\n{HARDER}\n```",
        f"Sure! Here is a harder one:\n\n{HARDER}",
        f"Here's the rewritten task:\n{HARDER}",
    ],
)
def test_the_task_is_found_in_an_answer(answer):
    assert rewritten(answer) == HARDER


def test_code_in_a_task_stays():
    text = "Return the sum.\n\n```python\ndef f(x):\n    return x\n```\n\nDo not repeat that mistake."
    assert rewritten(text) == text


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "empty"),
        ("Sort it.", "empty"),
        ("I'm sorry, but I can't help with rewriting this task into a harder one.", "refusal"),
        (f"#Given Task# {HARDER}", "prompt leaked"),
        ("This is harder than the given task: write a function that returns the second largest of them.", "prompt leaked"),
        (TASK, "copy of the parent"),
        (TASK.upper(), "copy of the parent"),
        (HARDER + " It must also hold that" * 40, "too long"),
        ("Build a web application that shows the largest number of a list that people type in.", "not a function"),
        ("Think about numbers and lists, and about all the ways to order them nicely.", "not a function"),
    ],
)
def test_elimination_says_why(text, rule):
    assert elimination.reason(TASK, text, 30).startswith(f"{rule}: ")


def test_a_good_task_stays():
    assert elimination.reason(TASK, HARDER, 30) == ""
    assert elimination.reason(TASK, HARDER, 30, "length").startswith("cut off")
    sorry = "Write a function that takes a text and returns how often it says I'm sorry."
    assert elimination.refusal(sorry, sorry + " Ignore case.", 30) == "", "a word of the parent's is no refusal"


def _script(texts):
    """Every request gets the next text, by what it asks for: the same request always the same."""
    return ScriptedGenerator(lambda prompt, index: texts[hash_of(prompt.text) % len(texts)], model="scripted")


def hash_of(text):
    return sum(map(ord, text))


def test_rounds_follow_one_another_and_say_where_they_come_from():
    texts = [HARDER, HARDER.replace("second", "third"), "No.", TASK + " Return it as a text, with the sign in front of it in any case."]
    seeds = [task(), task("Write a function that takes a text and returns it with every vowel doubled.", "two")]
    config = DepthConfig(rounds=4)
    found = list(evolve(seeds, config, _script(texts), seed=3))
    assert len(found) == 8, "one for each seed and round"
    assert {row.lineage.seed for row in found} == {seed.id for seed in seeds}
    made = {seed.id: seed for seed in seeds} | {row.problem.id: row.problem for row in found if not row.dropped}
    for row in found:
        assert row.lineage.parent in made, "what was dropped has no children"
        assert row.problem.name == f"{made[row.lineage.seed].name}~{row.lineage.round}"
        assert row.lineage.author.startswith("scripted")
    assert any(row.dropped for row in found)
    assert found == list(evolve(seeds, config, _script(texts), seed=3)), "deterministic given the completions"
    shuffled = list(evolve(seeds[::-1], config, _script(texts), seed=3))
    assert sorted(row.problem.id for row in shuffled) == sorted(row.problem.id for row in found), "the order of seeds decides nothing"
    assert {row.lineage.method for row in evolve(seeds, config, _script(texts), seed=4)} != {row.lineage.method for row in found}


def test_seeds_without_tests_may_be_tasks_themselves():
    bare = dataclasses.replace(task(), reference="def f(x):\n    return max(x)\n")
    judged = dataclasses.replace(task(name="two"), tests=(CallTest("[[1]]", "1"),), entry_point="f")
    found = list(evolve([bare, judged], DepthConfig(rounds=1, seeds=True), _script([HARDER]), seed=0))
    assert [(row.lineage.round, row.lineage.method, row.dropped) for row in found if row.lineage.round == 0] == [(0, "seed", "")]
    assert found[0].problem == task()
    assert len(found) == 3
    assert found[1:] == list(evolve([bare, judged], DepthConfig(rounds=1), _script([HARDER]), seed=0))


@pytest.mark.parametrize(("breadth", "directions"), [(0.0, {"deeper"}), (1.0, {"wider"})])
def test_breadth_is_an_option(breadth, directions):
    by_name = {method.name: method.direction for method in METHODS}
    seeds = [task(f"{TASK} Case {number}.", str(number)) for number in range(40)]
    found = evolve(seeds, DepthConfig(rounds=1, breadth=breadth), _script([HARDER]), seed=0)
    assert {by_name[row.lineage.method] for row in found} == directions


@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=8), st.integers(0, 12), st.randoms(use_true_random=False))
def test_agreement_does_not_hang_on_order(table, rounds, chance):
    config = AgreementConfig(rounds=rounds)
    found = agree(table, config)
    order = list(range(len(table)))
    chance.shuffle(order)
    mixed = agree([table[place] for place in order], config)
    assert mixed.test_shares == pytest.approx(found.test_shares)
    assert all(0 <= share <= 1 + 1e-9 for share in found.test_shares)
    assert {order[place] for place in mixed.solutions} == set(found.solutions) or mixed.tests != found.tests, "but for shares at the very edge"


@given(st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=2, max_size=6))
def test_what_agreement_keeps_is_passed_by_what_it_keeps(table):
    found = agree(table, AgreementConfig())
    assert all(table[place][number] for place in found.solutions for number in found.tests)
    assert bool(found.dropped) == (len(found.tests) < 3 or len(found.solutions) < 2)


def test_refining_outvotes_solutions_that_agree_with_nothing_else():
    good, bad = [True, True, True, True, False], [False, False, False, False, True]
    table = [good, good, bad, bad, bad]
    plain, refined = agree(table, AgreementConfig(rounds=0)), agree(table, AgreementConfig(rounds=10))
    assert plain.tests == (4,)
    assert refined.tests == (0, 1, 2, 3)
    assert refined.solutions == (0, 1)


def test_the_same_program_again_is_no_second_witness():
    table = [[True] * 3, [True] * 3]
    assert agree(table, AgreementConfig()).dropped == ""
    assert agree(table, AgreementConfig(), ["a", "a"]).dropped.startswith("not solvable: 1 of 2")
    assert agree([], AgreementConfig()).dropped.startswith("too few tests")
    assert agreement.agree([[False] * 4] * 3, AgreementConfig()).test_shares == (0.0,) * 4


AUTHORED = """Here you are.

```python
from typing import Optional

def second_largest(numbers: list[int]) -> Optional[int]:
    pass
```

```python
assert second_largest([1, 2, 3]) == 2
assert second_largest([1, 1]) is None
assert second_largest([5]) is None, "one number"
assert second_largest([1, 2, 3]) == 2
assert second_largest(list(range(3))) == 1
assert len("x") == 1
```
"""


def test_an_answer_becomes_a_problem():
    made = authoring.problem_of(task(HARDER), AUTHORED)
    assert isinstance(made, Problem)
    assert made.entry_point == "second_largest"
    assert made.prompt.startswith("from typing import Optional\n\n\ndef second_largest(numbers: list[int]) -> Optional[int]:\n")
    assert HARDER in made.prompt
    assert [test.args for test in made.tests if isinstance(test, CallTest)][:3] == ["[[1,2,3]]", "[[1,1]]", "[[5]]"]
    assert len(made.tests) <= 4, "each once, and only calls with constants"


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("I would rather not.", "no code"),
        ("```python\nx = 1\n```", "no signature"),
        ("```python\ndef f(x):\n    pass\n```\n```python\nassert g(1) == 2\n```", "no tests"),
        ("```python\ndef f(x):\n    pass\n```", "no tests: of 0"),
    ],
)
def test_an_answer_that_is_none_says_why(answer, why):
    made = authoring.problem_of(task(), answer)
    assert isinstance(made, authoring.Unusable)
    assert made.reason.startswith(why)


def test_lines_of_tests_that_were_cut_off_count():
    made = authoring.problem_of(task(), "```python\ndef f(x):\n    pass\n```\n```python\nassert f(1) == 2\nassert f(2) == 3\nassert f(3")
    assert isinstance(made, Problem)
    assert [test.args for test in made.tests] == ["[1]", "[2]"]


def test_tests_that_were_forgotten_are_asked_for_alone(judge):
    asked = []

    def script(prompt, index):
        asked.append(prompt)
        if "two Python code blocks" in prompt.text:
            return "```python\ndef second_largest(numbers: list[int]):\n    pass\n```"
        if "tests for it, and nothing else" in prompt.text:
            return "assert second_largest([1, 2, 3]) == 2\nassert second_largest([1, 1]) is None\nassert second_largest([4, 2]) == 2\n```"
        return f"```python\n{SOLUTIONS['right' if index % 2 else 'right too']}```"

    (found,) = _tested([_evolved()], PLAIN, [ScriptedGenerator(script, model="scripted")], judge)
    assert found.dropped == ""
    assert len(found.problem.tests) == 3
    assert [prompt.prefill for prompt in asked[:2]] == ["", "```python\n"]
    assert "def second_largest(numbers: list[int]):" in asked[1].text


def test_leaks_are_those_of_the_request():
    text = request(TASK, random.Random(0).choice(METHODS), 10).lower()
    assert all(leak in text for leak in LEAKS)


# Tests for rewritten tasks, judged for real.

SOLUTIONS = {
    "right": "def second_largest(numbers):\n    found = sorted(set(numbers))\n    return found[-2] if len(found) > 1 else None\n",
    "right too": "def second_largest(numbers):\n    rest = {n for n in numbers if n != max(numbers)}\n    return max(rest, default=None)\n",
    "wrong": "def second_largest(numbers):\n    return sorted(numbers)[-2]\n",
    "broken": "def second_largest(numbers) return 1\n",
}
CLAIMED = AUTHORED.replace("assert second_largest([5]) is None", "assert second_largest([7, 7, 6]) == 7\nassert second_largest([5]) is None")


def _teacher(solutions, written=CLAIMED):
    def script(prompt, index):
        if "different tests" in prompt.text:
            return written
        return f"```python\n{SOLUTIONS[solutions[index % len(solutions)]]}```"

    return ScriptedGenerator(script, model="scripted")


def _evolved(text=HARDER, dropped=""):
    lineage = Lineage(seed="s", parent="s", method="rarer", round=1, author="scripted")
    return Evolved(problem=task(text), lineage=lineage, dropped=dropped)


@pytest.fixture(scope="module")
def judge():
    with open_judge(ProcessConfig(), SandboxRuntime(workers=1, cache="none"), Tally()) as opened:
        yield opened


@pytest.fixture(scope="module")
def box():
    with open_sandbox(ProcessConfig(), SandboxRuntime(workers=1)) as opened:
        yield opened


def _tested(rows, config, models, judge, box=None):
    """What the stages do one after the other: the first of the models writes, all solve."""
    ticks, first = [], models[0]
    tasks = list(testing.written(rows, config, first, 0, ticks.append))
    assert sum(ticks) == len(rows)
    problems = {row.problem.id: row.problem for row in tasks if not row.dropped}
    solutions = {}
    for model in models:
        wanted = {key: tuple(range(config.solutions)) for key in problems}
        for answer in answers(problems, wanted, Author("teacher", model.model, model.revision), config.decoding, 0, model):
            solutions.setdefault(answer.problem_id, []).append(answer)
    found = list(testing.decided(tasks, config, testing.Witnesses(solutions, judge, box, 1), 0, ticks.append))
    assert sum(ticks) == 2 * len(rows)
    return found


PLAIN = TestingConfig(inputs=0)


def test_what_solutions_agree_on_is_kept(judge):
    (found,) = _tested([_evolved()], PLAIN, [_teacher(["right", "right too", "wrong", "right", "broken", "right too"])], judge)
    assert found.dropped == ""
    expected = {test.args: test.expected for test in found.problem.tests if isinstance(test, CallTest)}
    assert expected["[[1,2,3]]"] == "2"
    assert "[[7,7,6]]" not in expected, "the wrong claim is outvoted"
    assert (found.problem.reference or "").endswith((SOLUTIONS["right"], SOLUTIONS["right too"]))
    assert found.evidence is not None
    assert found.evidence.agreeing == 2
    assert len(found.evidence.shares) == found.evidence.tests == 4
    assert found.evidence.models == (found.evidence.models[0],) * 6


def test_inputs_are_widened_where_all_that_agree_agree(judge, box):
    teacher = _teacher(["right", "right too", "wrong", "right", "broken", "right too"])
    (plain,) = _tested([_evolved()], PLAIN, [teacher], judge)
    (found,) = _tested([_evolved()], TestingConfig(inputs=24, more=5), [teacher], judge, box)
    assert found.problem.tests[: len(plain.problem.tests)] == plain.problem.tests
    added = found.problem.tests[len(plain.problem.tests) :]
    assert 0 < len(added) == found.evidence.widened <= 5
    namespace = {}
    exec(SOLUTIONS["right"], namespace)
    assert all(namespace["second_largest"](*values.loads(test.args)) == values.loads(test.expected) for test in added)
    assert len({test.args for test in found.problem.tests}) == len(found.problem.tests)


def test_programs_that_differ_on_new_inputs_give_no_tests(box):
    problem = task(HARDER, "p")
    tests = tuple(CallTest(args=f"[[{a},{b}]]", expected=str(min(a, b))) for a, b in ((1, 2), (3, 4), (9, 5)))
    one, other = "def f(x):\n    return x[0] if x[0] < x[1] else x[1]\n", "def f(x):\n    return x[0] if x[1] - x[0] in (1, 2) else 5\n"
    problem = dataclasses.replace(problem, prompt="def f(x):\n", entry_point="f", tests=tests, reference=one)
    alone, both = (next(widening.widened([(problem, programs)], widening.Widening(40, 40), box, 1)) for programs in ([one], [one, other]))
    assert len(alone) > len(both)
    assert {(test.args, test.expected) for test in both} <= {(test.args, test.expected) for test in alone}
    namespace = {}
    exec(other, namespace)
    assert all(namespace["f"](*values.loads(test.args)) == values.loads(test.expected) for test in both)


def test_what_raises_changes_or_cannot_be_read_gives_no_tests(box):
    asked = dataclasses.replace(task(HARDER, "p"), prompt="def f(x):\n", entry_point="f", tests=tuple(CallTest(f"[[{n},{n + 1}]]", "1") for n in range(4)))
    for source in ("def f(x):\n    raise ValueError\n", "def f(x):\n    x.append(1)\n    return 1\n", "import os\ndef f(x):\n    os._exit(0)\n", "f = 1\n"):
        assert list(widening.widened([(dataclasses.replace(asked, reference=source), [source])], widening.Widening(), box, 1)) == [()]
    others = [dataclasses.replace(asked, tests=(*asked.tests, CallTest("[1, 2]", "1"))), dataclasses.replace(asked, tests=(CallTest("[]", "1"),))]
    source = "def f(*x):\n    return 1\n"
    assert list(widening.widened([(dataclasses.replace(one, reference=source), [source]) for one in others], widening.Widening(), box, 1)) == [(), ()]


def test_a_sandbox_that_is_down_is_our_failure_when_widening(box):
    class Down:
        def run(self, program):
            raise SandboxFailure("down")

    source = "def f(x):\n    return x[0]\n"
    asked = dataclasses.replace(
        task(HARDER, "p"), prompt="def f(x):\n", entry_point="f", reference=source, tests=tuple(CallTest(f"[[{n},7]]", f"{n}") for n in range(4))
    )
    (found,) = widening.widened([(asked, [source])], widening.Widening(), Down(), 1)
    assert "down" in found


PLAIN_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text("ab ", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=2) | st.tuples(inner),
    max_leaves=6,
)


@given(st.integers(1, 3).flatmap(lambda count: st.lists(st.lists(PLAIN_VALUES, min_size=count, max_size=count), min_size=1, max_size=5)), st.integers(0, 9))
def test_new_inputs_are_new_and_of_as_many_arguments(rows, seed):
    problem = dataclasses.replace(task(HARDER, "p"), entry_point="f", tests=tuple(CallTest(values.dumps(row), "1") for row in rows))
    found = widening._inputs(problem, 8, seed)
    assert len(set(found)) == len(found) <= 8
    assert not set(found) & {test.args for test in problem.tests}
    assert all(len(values.loads(text)) == len(rows[0]) for text in found)
    assert found == widening._inputs(problem, 8, seed)


def test_problems_get_more_tests_from_their_references_alone():
    source = "def f(x):\n    return sum(x)\n"
    tests = tuple(CallTest(args=values.dumps([given]), expected=values.dumps(sum(given))) for given in ([1, 2], [3, 3, 4], [5], [9, 1]))
    good = dataclasses.replace(task(HARDER, "good"), entry_point="f", reference=source, tests=tests)
    bare = dataclasses.replace(good, name="bare", reference=None)
    wide, same = widening.with_more_tests([good, bare], widening.Widening(12, 4), ProcessConfig(), SandboxRuntime(workers=1))
    assert same == bare
    assert wide.tests[:4] == tests
    assert len(wide.tests) == 8
    assert all(values.loads(test.expected) == sum(values.loads(test.args)[0]) for test in wide.tests)


def test_models_bear_witness_together(judge):
    two = TestingConfig(inputs=0, solutions=2, agreement=AgreementConfig(authors=2))
    same, other = _teacher(["right", "right too"]), _other(_teacher(["right too", "wrong"]))
    (found,) = _tested([_evolved()], two, [same, other], judge)
    assert found.dropped == ""
    assert len(set(found.evidence.models)) == 2
    (found,) = _tested([_evolved()], two, [same, _other(_teacher(["broken"]))], judge)
    assert found.dropped == "not agreed: the solutions that pass the tests that are left are of 1 model, not of 2"
    (found,) = _tested([_evolved()], two.model_copy(update={"agreement": AgreementConfig()}), [same, _other(_teacher(["broken"]))], judge)
    assert found.dropped == ""


def test_a_program_of_two_models_has_two_authors_and_one_vote():
    table, config = [[True] * 3] * 3, AgreementConfig(authors=2)
    assert agree(table, config, ["a", "b", "a"], ["one", "one", "two"]).dropped == ""
    assert agree(table, config, ["a", "b", "c"], ["one", "one", "one"]).dropped.startswith("not agreed")
    assert agree(table, config, ["a", "a", "a"], ["one", "two", "two"]).dropped.startswith("not solvable: 1 of 3")


def _other(teacher):
    return ScriptedGenerator(teacher._script, model="another")


@pytest.mark.parametrize(
    ("solutions", "written", "why"),
    [
        (["wrong", "broken"], CLAIMED, "too few tests"),
        (["right"], CLAIMED, "not solvable: 1 of 6"),
        (["right"], "No.", "no code"),
    ],
)
def test_what_they_do_not_agree_on_is_dropped(judge, solutions, written, why):
    (found,) = _tested([_evolved()], PLAIN, [_teacher(solutions, written)], judge)
    assert found.dropped.startswith(why)


def test_what_was_dropped_before_and_what_repeats_costs_nothing(judge):
    rows = [_evolved(dropped="refusal: it says no"), _evolved(), _evolved()]
    asked = []
    teacher = _teacher(["right", "right too"])
    spying = ScriptedGenerator(lambda prompt, index: asked.append(prompt.key) or teacher._script(prompt, index), model="scripted")
    found = _tested(rows, PLAIN, [spying], judge)
    assert sorted(row.dropped.split(":")[0] for row in found) == ["", "refusal", "repeated"]
    assert len(asked) == 1 + TestingConfig().solutions


def test_a_failure_of_ours_is_no_reason_to_drop():
    def failing(items):
        for problem, answer in items:
            yield JudgingFailure(problem.id, answer.id, "the machine went away", 3)

    (found,) = _tested([_evolved()], PLAIN, [_teacher(["right"])], failing)
    assert isinstance(found, tuple)
    assert found[1] == "the machine went away"
