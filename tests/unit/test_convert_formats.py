"""Rows as APPS, TACO, LeetCodeDataset and KodCode release them, made up for the purpose, become problems whose references pass."""

# ruff: noqa: E501 - programs on one line each
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rrtf import formats, values
from rrtf.convert import Kind, convert
from rrtf.errors import DataError
from rrtf.prompting import FORMATS, answer_text, extract_code, render
from rrtf.records import AssertTest, CallTest, IOTest, Outcome, Problem, PytestTest
from rrtf.sandbox import ProcessConfig, SandboxRuntime, open_sandbox
from rrtf.sandbox.harness import judge

APPS_PRINTED: dict[str, Any] = {
    "problem_id": 7,
    "question": "Read n and print its half.",
    "solutions": json.dumps(["print raw_input()", "n = int(input())\r\nprint(n / 2)\r\n"]),
    "input_output": json.dumps({"inputs": ["3\n", ["4"]], "outputs": ["1.50\n", ["2.0"]]}),
    "difficulty": "interview",
    "url": "",
    "starter_code": "",
}
APPS_CALLED = APPS_PRINTED | {
    "problem_id": 8,
    "question": "Count the letters of each word.",
    "solutions": json.dumps(
        ["class Solution:\n    def count(self, words: List[str], more: Dict[int, int]) -> List[int]:\n        return [len(w) + more[1] for w in words]\n"]
    ),
    "input_output": json.dumps({"fn_name": "count", "inputs": [[["a", "bc"], {"1": 0}]], "outputs": [[[1, 2]]]}),
    "starter_code": "class Solution:\n    def count(self, words: List[str], more: Dict[int, int]) -> List[int]:\n        ",
}
TACO = {
    "question": "Add two numbers.",
    "solutions": ["def add(a, b):\n    return a + b"],
    "input_output": json.dumps({"fn_name": "add", "inputs": [[1, 2], [3, 4]], "outputs": [3, 7]}),
    "difficulty": "EASY",
    "source": "codewars",
    "starter_code": "def add(a, b):\n\t",
    "tags": "[]",
}
LISTS = "class ListNode:\n    def __init__(self, val=0, next=None):\n        self.val = val\n        self.next = next\n\ndef list_node(values):\n    head = None\n    for value in reversed(values):\n        head = ListNode(value, head)\n    return head\n\ndef same(a, b):\n    return a is b is None or (bool(a) and bool(b) and a.val == b.val and same(a.next, b.next))\n"
LEETCODE: dict[str, Any] = {
    "task_id": "two-sum",
    "prompt": f"from typing import *\nimport math\n\n{LISTS}",
    "completion": "class Solution:\n    def twoSum(self, nums: List[int], target: int) -> List[int]:\n        return [nums.index(target - n) for n in nums][::-1]\n",
    "entry_point": "Solution().twoSum",
    "test": "def check(candidate):\n    assert candidate(nums = [2,7],target = 9) == [0, 1]\n",
    "query": "Find two.\n \nPlease complete the following python code precisely:\n```python\n...\n```",
    "meta": {
        "difficulty": "Easy",
        "lang_code": "class Solution:\n    def twoSum(self, nums: List[int], target: int) -> List[int]:",
        "question_title": "Find\xa0two \\ numbers.",
    },
}
LEETCODE_LISTS = LEETCODE | {
    "task_id": "first",
    "completion": "class Solution:\n    def first(self, head: Optional[ListNode]) -> Optional[ListNode]:\n        return ListNode(head.val)\n",
    "entry_point": "Solution().first",
    "test": "def check(candidate):\n    assert same(candidate(head = list_node([1, 2])), list_node([1]))\n",
    "starter_code": "class Solution:\n    def first(self, head: Optional[ListNode]) -> Optional[ListNode]:\n        ",
    "problem_description": "Keep the first.",
    "difficulty": "Hard",
}
KODCODE: dict[str, Any] = {
    "question_id": "Algorithm_1_I",
    "question": "Write add(a, b).",
    "solution": "def add(a, b):\n    return a + b",
    "test": "import pytest\nfrom solution import add\n\n@pytest.mark.parametrize('n', [1, 2])\ndef test_small(n):\n    assert add(n, 1) == n + 1\n\nclass TestMore:\n    def test_zero(self):\n        assert add(0, 0) == 0\n\ndef helper(): pass\n",
    "test_info": [{"function_name": "add", "parameter_list": "(a, b)", "function_declaration": "def add(a, b):", "docstring": ""}],
    "subset": "Algorithm",
    "gpt_difficulty": "easy",
}
KODCODE_CLASS = KODCODE | {
    "question_id": None,
    "solution": "class Box:\n    pass\n\ndef make():\n    return Box()",
    "test": "from solution import Box, make\n\ndef test_make():\n    assert isinstance(make(), Box)\n",
    "test_info": json.dumps([{"function_name": "make"}]),
}


def converted(folder: Path, kind: Kind, *rows: Any) -> list[Problem]:
    source = folder / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = convert(source, kind, folder / "out.jsonl")
    assert not done.set_aside
    assert done.written == len(rows)
    return formats.read_problems(folder / "out.jsonl")


@pytest.fixture(scope="module")
def sandbox():
    with open_sandbox(ProcessConfig(), SandboxRuntime(workers=1)) as opened:
        yield opened


def test_apps_rows_that_print(tmp_path, sandbox):
    (problem,) = converted(tmp_path, "apps", APPS_PRINTED)
    assert problem.tests == (IOTest("3\n", "1.50\n", "tokens"), IOTest("4", "2.0", "tokens"))
    assert (problem.name, problem.entry_point, problem.prompt, problem.level) == ("APPS/7", None, "", "interview")
    assert problem.reference == "n = int(input())\nprint(n / 2)\n"  # the first is in a language of the past
    assert judge(problem, problem.reference, sandbox).outcome is Outcome.PASSED


def test_apps_rows_that_are_called(tmp_path, sandbox):
    (problem,) = converted(tmp_path, "apps", APPS_CALLED)
    assert problem.tests == (CallTest(args=values.dumps([["a", "bc"], {1: 0}]), expected="[1,2]"),)
    assert problem.entry_point == "Solution().count"
    assert problem.prompt.endswith('-> List[int]:\n        """Count the letters of each word.\n        """\n')
    assert judge(problem, problem.reference, sandbox).outcome is Outcome.PASSED


def test_taco_rows(tmp_path, sandbox):
    first, second = converted(tmp_path, "apps", TACO, TACO | {"solutions": [], "starter_code": ""})
    assert [first.name, second.name] == ["TACO/1", "TACO/2"]
    assert (first.entry_point, first.level, first.topic) == ("add", "easy", "codewars")
    assert first.tests == (CallTest(args="[1,2]", expected="3"), CallTest(args="[3,4]", expected="7"))
    assert judge(first, first.reference, sandbox).outcome is Outcome.PASSED
    assert (second.reference, second.prompt) == (None, "")


def test_leetcode_rows(tmp_path, sandbox):
    calls, code = converted(tmp_path, "leetcode", LEETCODE, LEETCODE_LISTS)
    assert calls.tests == (CallTest(args="[]", kwargs='{"nums":[2,7],"target":9}', expected="[0,1]", match="equal"),)
    assert (calls.name, calls.instruction, calls.level, calls.entry_point) == ("LeetCode/two-sum", "Find two \\ numbers.", "easy", "Solution().twoSum")
    assert (code.instruction, code.level) == ("Keep the first.", "hard")
    (test,) = code.tests
    assert isinstance(test, AssertTest)
    assert test.code.startswith("def list_node(values)")
    assert test.code.endswith("check(candidate)")
    for problem in (calls, code):
        assert judge(problem, problem.reference, sandbox).outcome is Outcome.PASSED
    forged = f"{code.prompt}        return None\n\ndef same(a, b): return True\n"
    assert judge(code, forged, sandbox).outcome is Outcome.PARTIAL


def test_answers_to_methods_are_found_in_every_format(tmp_path, sandbox):
    problem, lists = converted(tmp_path, "leetcode", LEETCODE, LEETCODE_LISTS)
    for form in FORMATS:
        assert render(form, problem).text
        answer = answer_text(form, problem, problem.reference or "")  # None where a format cannot express it, which callers count
        if answer is not None:
            assert judge(problem, extract_code(form, problem, answer).code, sandbox).outcome is Outcome.PASSED
    assert "Complete this Python class." in render("chat", problem).text
    for given, asked in ((LEETCODE, problem), (LEETCODE_LISTS, lists)):
        found = extract_code("chat", asked, f"So:\n```python\n{given['completion']}```\n")
        assert judge(asked, found.code, sandbox).outcome is Outcome.PASSED, found
        body = given["completion"].split(":\n", 2)[2]
        assert judge(asked, extract_code("raw", asked, body).code, sandbox).outcome is Outcome.PASSED


def test_kodcode_rows(tmp_path, sandbox):
    add, make = converted(tmp_path, "kodcode", KODCODE, KODCODE_CLASS)
    assert add.tests == (PytestTest("test_solution.py::test_small"), PytestTest("test_solution.py::TestMore::test_zero"))
    assert (add.name, add.entry_point, add.level, add.topic, add.prompt) == ("KodCode/Algorithm_1_I", "add", "easy", "Algorithm", "")
    assert (make.name, make.entry_point) == ("KodCode/2", None)
    for problem in (add, make):
        assert judge(problem, problem.reference, sandbox).outcome is Outcome.PASSED
        assert judge(problem, extract_code("chat", problem, f"```python\n{problem.reference}```").code, sandbox).outcome is Outcome.PASSED
    assert "Write a Python module." in render("chat", make).text


def test_parquet_is_read_as_the_hubs_give_it(tmp_path):
    pq.write_table(pa.Table.from_pylist([KODCODE]), tmp_path / "rows.parquet")
    assert convert(tmp_path / "rows.parquet", "kodcode", tmp_path / "out.jsonl").written == 1
    with pytest.raises(DataError, match="cannot be read"):
        convert(tmp_path / "missing.parquet", "kodcode", tmp_path / "out.jsonl")


@pytest.mark.parametrize(
    ("kind", "row", "reason"),
    [
        ("apps", 5, "is not a JSON object"),
        ("apps", APPS_PRINTED | {"question": ""}, "has no text as 'question'"),
        ("apps", APPS_PRINTED | {"input_output": ""}, "has no tests in 'input_output'"),
        ("apps", APPS_PRINTED | {"input_output": "{"}, "has 'input_output' that is not JSON"),
        ("apps", APPS_PRINTED | {"input_output": json.dumps({"inputs": ["a"], "outputs": []})}, "has no inputs with as many outputs"),
        ("apps", APPS_PRINTED | {"input_output": json.dumps({"inputs": [1], "outputs": ["1"]})}, "neither text nor lines of text"),
        ("apps", TACO | {"input_output": json.dumps({"fn_name": "add", "inputs": ["ab"], "outputs": [1]})}, "has arguments that are no list"),
        ("apps", TACO | {"input_output": json.dumps({"fn_name": "a b", "inputs": [[1]], "outputs": [1]})}, "has 'a b' as the function to call"),
        ("apps", APPS_PRINTED | {"solutions": "[", "problem_id": 1}, "has 'solutions' that is not JSON"),
        ("leetcode", LEETCODE | {"test": None}, "has no text as 'test'"),
        ("leetcode", LEETCODE | {"completion": "class"}, "that does not parse"),
        ("leetcode", LEETCODE | {"meta": None, "query": ""}, "says nowhere what is asked"),
        ("leetcode", LEETCODE | {"entry_point": "Solution.twoSum"}, "entry_point cannot be used"),
        ("kodcode", KODCODE | {"test": "def helper(): pass"}, "has no test function that pytest would find"),
        ("kodcode", KODCODE | {"test": "def test_a(:"}, "has a test that does not parse"),
        ("kodcode", KODCODE | {"solution": "def add(:"}, "has a solution that does not parse"),
    ],
)
def test_rows_that_cannot_be_used_are_set_aside_with_their_reason(tmp_path: Path, kind: Kind, row: Any, reason: str) -> None:
    good = {"apps": APPS_PRINTED | {"problem_id": 99}, "leetcode": LEETCODE | {"task_id": "other"}, "kodcode": KODCODE | {"question_id": "other"}}[kind]
    source = tmp_path / "rows.jsonl"
    source.write_text(json.dumps(row) + "\n" + json.dumps(good) + "\n")
    done = convert(source, kind, tmp_path / "out.jsonl")
    assert (done.written, len(done.set_aside)) == (1, 1)
    assert reason in done.set_aside[0].reason
    assert "line 1" in done.set_aside[0].reason


def test_what_became_of_asserts_is_counted(tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text(json.dumps(LEETCODE) + "\n" + json.dumps(LEETCODE_LISTS) + "\n")
    done = convert(source, "leetcode", tmp_path / "out.jsonl")
    assert (done.calls, done.kept) == (1, {"helper functions": 1})
    assert "asserts of 1 problems became calls, compared outside the sandbox; of 1 they stayed code" in list(done.lines())
    assert "stayed code: helper functions (1)" in list(done.lines())
