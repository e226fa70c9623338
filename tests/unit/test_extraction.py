"""Properties of extraction: it never raises, gives programs back out of any wrapping, and leaves plain programs alone."""

from __future__ import annotations

import ast
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrtf.extraction import extract
from rrtf.extraction.cutting import pieces
from rrtf.extraction.syntax import parse

thorough = settings(max_examples=60, deadline=None)
NAME = "solve"
SIGNATURE = f"def {NAME}(xs, n=2):"
BODIES = [
    "return xs",
    "total = 0\nfor x in xs:\n    total += x\n\n# the sum\nreturn total",
    'text = """\nnot code (\n    [\n"""\nreturn text, n',
    "def inner(y):\n    return y + 1\n\nreturn [inner(x) for x in xs]",
    "try:\n    return xs[n]\nexcept IndexError:\n    return None\nfinally:\n    n = 0",
    "if n:\n    return {'a': (1,\n        2), \"it's\": '#'}\nelse:\n    raise ValueError('```')",
    "return help_me(xs) + LIMIT",
]
HELPERS = [
    "import math",
    "from collections import (\n    Counter,\n    deque,\n)",
    "def help_me(xs):\n    return len(xs)",
    "LIMIT = 3",
    "class Box:\n    size = 1\n\n    def grow(self):\n        self.size += 1",
    "@staticmethod\ndef decorated():\n    return None",
]
PROSE = [
    "Here is the function you asked for:",
    "It's simple (really), isn't it?",
    "Note: the list may be empty; then we return 0.",
    "1. First, we loop.\n2. Then, we add.",
    "    This one is indented.",
    "**Complexity** is O(n).",
    "",
]


@st.composite
def programs(draw: st.DrawFn) -> str:
    body = textwrap.indent(draw(st.sampled_from(BODIES)), "    ")
    around = draw(st.lists(st.sampled_from(HELPERS), unique=True, max_size=4))
    if "help_me" in body:
        around = list(dict.fromkeys([HELPERS[2], HELPERS[3], *around]))
    return "\n\n\n".join([*around, f"{SIGNATURE}\n{body}"]) + "\n"


def same(code: str | None, program: str) -> bool:
    return code is not None and ast.dump(ast.parse(code)) == ast.dump(ast.parse(program))


prose = st.sampled_from(PROSE)
WORDS = [*"abc(){}[]'\"`~#:,\\\n \t@=<>/", "def solve", "(xs):\n", "```", '"""', "    ", "return", "import ", "<think>", "</think>", "\n\n"]
noise = st.lists(st.sampled_from(WORDS), max_size=60).map("".join)


@thorough
@given(programs())
def test_a_plain_program_comes_back_unchanged(program: str) -> None:
    assert extract(program, "", NAME).code == program
    assert extract(program, "", NAME).rule == "bare"


@thorough
@given(programs(), prose, prose, st.sampled_from(["python", "", "py", "Python3", "{.python}"]), st.sampled_from(["```", "~~~", "````"]))
def test_out_of_a_fence_between_prose(program: str, before: str, behind: str, label: str, mark: str) -> None:
    if "'```'" in program and mark == "```":
        mark = "````"
    assert same(extract(f"{before}\n\n{mark}{label}\n{program}{mark}\n\n{behind}", "", NAME).code, program)


@thorough
@given(programs(), prose)
def test_out_of_a_fence_that_was_never_closed(program: str, before: str) -> None:
    assert same(extract(f"{before}\n```python\n{program}", "", NAME).code, program)


@thorough
@given(programs(), prose, prose)
def test_out_of_prose_without_fences(program: str, before: str, behind: str) -> None:
    # Without a fence, prose that is indented as the code is cannot be told from it where the body does not end in a return.
    found = extract(f"{before}\n\n{program}\n{behind}", "", NAME)
    assert same(found.code, program) or (behind.startswith(" ") and found.rule.startswith("broken:"))


@thorough
@given(programs(), prose)
def test_out_of_thinking(program: str, thought: str) -> None:
    assert same(extract(f"<think>\n{thought}\n</think>\n{program}", "", NAME).code, program)


@thorough
@given(
    st.sampled_from(BODIES[:-1]), st.booleans(), st.sampled_from(["", "\n\nprint(solve([1]))", "\n\n\ndef main():\n    solve([])\n", "\n```\nDone, isn't it?"])
)
def test_a_continued_prompt(body: str, documented: bool, behind: str) -> None:
    prompt = SIGNATURE + ('\n    """What it does.\n\n    >>> solve([])\n    0\n    """' if documented else "")
    rest = "\n" + textwrap.indent(body, "    ")
    found = extract(rest + behind, prompt, NAME)
    assert same(found.code, prompt + rest)
    assert found.rule == "continuation"


@thorough
@given(programs(), programs())
def test_of_two_closed_blocks_the_later_one_counts(first: str, second: str) -> None:
    found = extract(f"````python\n{first}````\nor\n````python\n{second}````\n", "", NAME)
    assert found.code is not None
    assert set(map(ast.dump, ast.parse(second).body)) <= set(map(ast.dump, ast.parse(found.code).body))


@thorough
@given(noise, st.sampled_from(["", SIGNATURE, SIGNATURE + '\n    """Doc."""']), st.sampled_from([NAME, None]))
def test_noise_never_raises_and_has_a_named_rule(text: str, continues: str, entry_point: str | None) -> None:
    found = extract(text, continues, entry_point)
    assert found.rule
    assert (found.code is None) == found.rule.startswith("none:")
    assert extract(text, continues, entry_point) == found


@thorough
@given(st.text(max_size=200), st.text(max_size=50), st.sampled_from([NAME, None, "ä"]))
def test_any_text_never_raises(text: str, continues: str, entry_point: str | None) -> None:
    assert extract(text, continues, entry_point).rule


@thorough
@given(programs(), noise, noise)
def test_what_was_found_is_found_again(program: str, before: str, behind: str) -> None:
    found = extract(f"{before}\n{program}\n{behind}", "", NAME)
    if found.code is not None and ":" not in found.rule:
        assert parse(found.code) is not None
        assert extract(found.code, "", NAME).code == found.code


@thorough
@given(programs(), noise)
def test_pieces_cover_every_line_once(program: str, behind: str) -> None:
    source = program + behind
    joined = "\n".join(piece.lead + piece.text for piece in pieces(source))
    assert [line.strip() for line in joined.split("\n") if line.strip() and not line.strip().startswith("#")] == [
        line.strip() for line in source.split("\n") if line.strip() and not line.strip().startswith("#")
    ]


@pytest.mark.parametrize(
    "text",
    [
        '"' + '\\"' * 2_000,
        "'''" + "\\'''" * 2_000,
        "(" * 5_000,
        "```" * 2_000,
        "```python\n" * 1_000,
        "<think>" * 2_000,
        "def solve(xs):\n" * 1_000,
        "- " * 1_000 + "1" * 5_000,
        "x = " + "+".join(["1"] * 5_000),
        "def solve(xs):\n    return [\n" + "    1,\n" * 2_000,
        ("def solve(xs):\n    return 1\n\n" * 500),
        "\\\n" * 3_000,
        "`" * 5_000 + "python",
        "\x00def solve(xs):\n    return 1\n",
    ],
    ids=lambda text: repr(text[:12]),
)
def test_hostile_lengths_are_finished_with(text: str) -> None:
    # No clock here: with a step that grows with the square of the text these would hold up the whole suite.
    for entry_point in (NAME, None):
        assert extract(text, SIGNATURE, entry_point).rule
