"""Tests for a task that is words alone: a model writes a signature and asserts, and what it writes becomes a problem that can be judged.

The asserts are taken apart, and only those whose meaning is a call and a constant are used, because these are compared outside the sandbox
(`rrtf.benchmarks.assertions`). What they expect is the model's claim and nothing more: `agreement` decides which of them to believe.
Not here: running anything.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace

from rrtf.benchmarks.assertions import Kept, rewritten
from rrtf.benchmarks.release_rows import documented
from rrtf.extraction.syntax import FunctionNode, header_end, parse
from rrtf.records import CallTest, Problem

_REQUEST = """Turn this programming task into a Python function and tests for it.

{task}

Answer with two Python code blocks and nothing else.
The first holds the imports that the signature needs and the signature with type hints, ending in a colon and `pass`: no solution and no docstring.
The second holds {count} different tests, each on one line in the form `assert name(arguments) == expected` with constants written out.
They must follow from the task, cover usual input and edge cases, and be right."""
_TESTS_REQUEST = """Somebody will write this Python function:

{prompt}

Write {count} different tests for it, and nothing else: one Python code block in which each line has the form `assert {name}(arguments) == expected`, with
constants written out. They must follow from the task, cover usual input and edge cases, and be right."""
_FENCE = "```"
OPENING = f"{_FENCE}python\n"
"""How the answer to `tests_request` is begun for the model."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why an answer gives no problem."""

    reason: str
    prompt: str = ""
    """Its signature and docstring, where tests are all that is missing."""
    entry_point: str = ""


def request(task: str, count: int) -> str:
    """The user message that asks for a signature and so many tests."""
    return _REQUEST.format(task=task.strip(), count=count)


def tests_request(found: Unusable, count: int) -> str:
    """The user message that asks for tests alone, where an answer gave only a signature: small models forget half of what they are asked."""
    return _TESTS_REQUEST.format(prompt=found.prompt.strip(), count=count, name=found.entry_point)


def problem_of(task: Problem, answer: str, tests: str = "") -> Problem | Unusable:
    """The task with the signature that stands in an answer, and the tests there and in a second one; or why there is none."""
    blocks = [*_blocks(answer), *(_blocks(tests) if tests else ())]
    code = [block for block in blocks if parse(block) is not None]
    if not code:
        return Unusable("no code: nothing in the answer parses as Python")
    modules = [(block, parse(block)) for block in code]
    found = next(((block, node) for block, module in modules if module for node in module.body if isinstance(node, ast.FunctionDef)), None)
    if found is None:
        return Unusable("no signature: no function is defined")
    block, function = found
    prompt = _prompt(block, function, task.instruction)
    if prompt is None:
        return Unusable(f"no signature: the header of {function.name} cannot be used")
    asserts = [text for one in blocks for text in _asserts(one)]
    claimed = _tests(asserts, function.name)
    if not claimed:
        return Unusable(f"no tests: of {len(asserts)} asserts none is a call of {function.name} compared with a constant", prompt, function.name)
    return replace(task, prompt=prompt, entry_point=function.name, tests=claimed)


def _asserts(block: str) -> list[str]:
    """The asserts of a block; of one that does not parse, because it was cut off, say, the lines that are one."""
    module = parse(block)
    if module is None:
        lines = [line.strip() for line in block.splitlines()]
        return [line for line in lines if line.startswith("assert ") and parse(line) is not None]
    return [ast.unparse(node) for node in ast.walk(module) if isinstance(node, ast.Assert)]


def _blocks(answer: str) -> list[str]:
    parts = answer.split(_FENCE)
    blocks = [part.partition("\n")[2] for part in parts[1::2]]
    return blocks or [answer]


def _tests(asserts: list[str], name: str) -> tuple[CallTest, ...]:
    """The usable ones, each once: two with the same arguments and different results both stay, for agreement to decide."""
    tests: dict[CallTest, None] = {}
    for code in asserts:
        calls = rewritten(code, name)
        if not isinstance(calls, Kept):
            tests.update(dict.fromkeys(calls))
    return tuple(tests)


def _prompt(block: str, function: FunctionNode, words: str) -> str | None:
    """Imports, signature, and the task as its docstring."""
    end = header_end(block, function)
    module = parse(block)
    if end is None or module is None:
        return None
    imports = [ast.unparse(node) for node in module.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    start = block.rfind("\n", 0, block.index(f"def {function.name}")) + 1
    header = "\n".join([*imports, *(["", ""] if imports else []), block[start:end]])
    return documented(header, words)
