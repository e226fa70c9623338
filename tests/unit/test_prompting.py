"""Prompts and answers fit together: what is trained in a format is what its prompt asks for, and comes back as the same program."""

from __future__ import annotations

import ast
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrtf.prompting import FORMATS, FormatName, answer_text, extract_code, render, signature_of
from rrtf.records import CallTest, Problem

thorough = settings(max_examples=60, deadline=None)
TESTS = (CallTest(args="[1]", expected="1"),)
DOC = "Count the items.\n\n>>> count([1, 2])\n2\n"
HEAD = "from typing import List\n\n\n"
HEADER = "def count(items: List[int], *, start: int = 0) -> int:"
PROMPT = f'{HEAD}{HEADER}\n    """{textwrap.indent(DOC, "    ").strip()}\n    """\n'
PROBLEM = Problem(name="t/1", instruction=DOC, prompt=PROMPT, entry_point="count", tests=TESTS)
WORDS = Problem(name="t/2", instruction="Write count(items).", prompt="", entry_point="count", tests=TESTS)


def program(body: str, *, header: str = HEADER, above: str = HEAD, documented: bool = True) -> str:
    doc = f'    """{textwrap.indent(DOC, "    ").strip()}\n    """\n' if documented else ""
    return f"{above}{header}\n{doc}{textwrap.indent(body, '    ')}\n"


def body_of(code: str) -> list[str]:
    function = next(node for node in ast.parse(code).body if isinstance(node, ast.FunctionDef) and node.name == "count")
    return [ast.dump(node) for node in function.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]


def test_the_paper_format() -> None:
    found = render("paper", PROBLEM)
    assert found.text == f'"""\nCount the items.\n\n>>> count([1, 2])\n2\n"""\n{HEAD}{HEADER}'
    assert (found.chat, found.prefill, found.continues) == (False, "", HEAD + HEADER)
    assert answer_text("paper", PROBLEM, program("return len(items) + start")) == "\n    return len(items) + start"


def test_the_raw_format() -> None:
    found = render("raw", PROBLEM)
    assert found.text == found.continues == PROMPT.rstrip()
    assert answer_text("raw", PROBLEM, program("return len(items) + start")) == "\n    return len(items) + start"


def test_the_chat_formats() -> None:
    plain, begun = render("chat", PROBLEM), render("chat-prefill", PROBLEM)
    assert plain.chat
    assert plain.text == begun.text
    assert f"```python\n{PROMPT.strip()}\n```" in plain.text
    assert (plain.prefill, plain.stop) == ("", ())
    assert (begun.prefill, begun.stop) == ("```python\n", ("\n```",))
    code = program("return 1")
    assert answer_text("chat", PROBLEM, code) == f"```python\n{code}```"
    assert answer_text("chat-prefill", PROBLEM, code) == f"{code}```"
    sent = begun.prompt("key", (3, 4))
    assert (sent.key, sent.text, sent.seeds, sent.chat, sent.prefill) == ("key", begun.text, (3, 4), True, "```python\n")


def test_a_problem_without_code() -> None:
    assert render("paper", WORDS).text == '"""\nWrite count(items).\n"""\n'
    assert render("paper", WORDS).stop == ()
    code = "def count(items):\n    return len(items)\n"
    for form in FORMATS:
        answer = answer_text(form, WORDS, code)
        assert answer is not None
        assert extract_code(form, WORDS, answer).code == code
    assert "named `count`" in render("chat", WORDS).text
    stdin = Problem(name="t/3", instruction="Add two numbers.", prompt="", entry_point=None, tests=TESTS)
    assert "standard input" in render("chat", stdin).text


@pytest.mark.parametrize(
    ("prompt", "entry_point", "signature"),
    [
        ("def f(x):\n", "f", "def f(x):"),
        ('\n\ndef helper(y):\n    return y\n\n\ndef f(x: "a:b" = {1: 2}[1], *a):  # why\n    """Doc."""\n', "f", None),
        ("class Solution:\n    def f(self, x):\n", "f", "class Solution:\n    def f(self, x):"),
        ("def f(x):\n    import math\n    '''Doc.'''\n", "f", "def f(x):\n    import math\n    '''Doc.'''"),
        ("not code at all (", "f", "not code at all ("),
        ("async def f(\n    x,\n    y=lambda: 0,\n):\n    'Doc'\n    pass", None, "async def f(\n    x,\n    y=lambda: 0,\n):"),
        ("", "f", ""),
    ],
)
def test_the_signature(prompt: str, entry_point: str | None, signature: str | None) -> None:
    problem = Problem(name="t", instruction="i", prompt=prompt, entry_point=entry_point, tests=TESTS)
    if signature is None:
        signature = 'def helper(y):\n    return y\n\n\ndef f(x: "a:b" = {1: 2}[1], *a):'
    assert signature_of(problem) == signature


BODIES = [
    "return len(items) + start",
    "total = start\nfor item in items:\n    total += 1\n# done\nreturn total",
    'text = """\nseveral\n  lines\n"""\n\nreturn len(text)',
    "def inner(x):\n    return x\n\nreturn sum(map(inner, items))",
    "if items: return 1\nelse:\n    return 0",
    "values = [\n    1,\n  2,\n]\nreturn len(values)",
]
ABOVE = ["", "import math", "import math as m, os", "LIMITS = {'a': 1}", "def helper(x):\n    return x", 'TEXT = """a\nb"""', "class Box:\n    size = 1\n"]
HEADERS = [HEADER, "def count(items, *, start=0):", "def count(\n    items: list[int],\n    *,\n    start: int = 0,  # at\n) -> int:"]


@thorough
@given(
    st.sampled_from(FORMATS),
    st.sampled_from(BODIES),
    st.lists(st.sampled_from(ABOVE), unique=True, max_size=3),
    st.sampled_from(HEADERS),
    st.booleans(),
    st.sampled_from(["    ", "  ", "\t"]),
)
def test_an_answer_comes_back_as_the_same_program(form: FormatName, body: str, above: list[str], header: str, documented: bool, indent: str) -> None:
    code = program(body, header=header, above=HEAD + "\n\n".join([*above, ""]), documented=documented)
    if indent != "    " and '"""\n' not in body:
        code = code.replace("    ", indent)
    answer = answer_text(form, PROBLEM, code)
    if answer is None:
        # Only layouts that cannot be indented anew, such as tabs in the middle of a table of blanks.
        assert indent != "    "
        return
    assert not any(stop in answer.removesuffix("```").rstrip() for stop in render(form, PROBLEM).stop)
    found = extract_code(form, PROBLEM, answer)
    assert found.code is not None
    assert found.rule in ("continuation", "fence", "fence+prompt")
    # In `paper` and `raw` what stood above the function may stand in it now, in front of the same statements.
    assert body_of(found.code)[-len(body_of(code)) :] == body_of(code)
    for piece in above:
        if piece and form not in ("chat", "chat-prefill"):
            assert ast.dump(ast.parse(piece).body[0]) in body_of(found.code)


@pytest.mark.parametrize(
    "code",
    [
        program("return 1", header="def count(items):"),
        program("return 1", header="def count(items, *, start=1):"),
        program("return 1", header="def count(things, *, start=0):"),
        program("return 1", header="async def count(items, *, start=0):"),
        program("return 1", header="@staticmethod\ndef count(items, *, start=0):"),
        program("return 1", header="def tally(items, *, start=0):"),
        program("return cache", above="cache = {}\n"),
        program("return cache", above="import os\ncache = os.environ\n"),
        program("items = 1\nreturn math", above="import math as items\n"),
        program("global state\nstate = 1\nreturn helper()", above="def helper():\n    return 1\n"),
        program("return 1", above="from math import *\n"),
        program("return 1") + program("return 2"),
        f"{HEADER}\n    'only a docstring'\n",
        "def broken(:",
        "",
    ],
)
def test_programs_that_a_continuation_cannot_express(code: str) -> None:
    assert answer_text("paper", PROBLEM, code) is None
    assert answer_text("raw", PROBLEM, code) is None


def test_a_broken_program_in_the_format_of_the_prompt_is_still_an_answer() -> None:
    found = extract_code("paper", PROBLEM, "\n    return (items")
    assert found.rule == "broken:continuation"
    assert found.code is not None
    assert answer_text("paper", PROBLEM, found.code) == "\n    return (items"


def test_code_with_a_fence_in_it() -> None:
    code = 'def count(items):\n    return """\n```\n"""\n'
    assert answer_text("chat-prefill", PROBLEM, code) is None
    answer = answer_text("chat", WORDS, code)
    assert answer is not None
    assert answer.startswith("````python\n")
    assert extract_code("chat", WORDS, answer).code == code


def test_no_format_has_an_answer_for_no_code() -> None:
    assert [answer_text(form, problem, " \n") for form in FORMATS for problem in (PROBLEM, WORDS)] == [None] * 8


def test_a_completion_that_a_stop_string_ended_is_whole() -> None:
    answer = "\n    return len(items)\n\n\ndef main():"
    cut = answer[: min(answer.index(stop) for stop in render("paper", PROBLEM).stop if stop in answer)]
    assert extract_code("paper", PROBLEM, cut).code == f"{HEAD}{HEADER}\n    return len(items)\n"
