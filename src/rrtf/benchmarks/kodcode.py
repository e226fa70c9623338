"""KodCode (Xu et al. 2025, arXiv 2503.02951): rows of a file in its release format; it is not shipped with us.

A row has `question`, `solution`, and `test`: a pytest file that imports from `solution`. Each of its test functions is a test; which there are is read off the
syntax now, so no answer can change it. Where the tests import a single function, that is the entry point. Not here: running them (`rrtf.sandbox.inside.suite`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import cast

from rrtf.benchmarks.release_rows import fields, text, unpacked
from rrtf.errors import DataError
from rrtf.extraction.syntax import functions, parse
from rrtf.records import File, Problem, PytestTest

_NEEDED = "question, solution and test"
TEST_FILE = "test_solution.py"


def problem_of(row: object, where: str, number: int) -> Problem:
    """The problem of one row, the `number`th of its file; `where` names it in errors. Raises `DataError`."""
    given = fields(row, where, _NEEDED)
    words, solution, test = (text(given, key, where, _NEEDED) for key in ("question", "solution", "test"))
    module, tests = parse(solution), parse(test)
    if module is None or tests is None:
        raise DataError(f"{where} has a {'solution' if module is None else 'test'} that does not parse.", hint="Mend or remove the entry.")
    found = nodes(tests, TEST_FILE)
    if not found:
        raise DataError(f"{where} has no test function that pytest would find.", why="Answers could not be judged.", hint="Remove the entry.")
    return Problem(
        name=f"KodCode/{given.get('question_id') or given.get('conversation_id') or number}",
        instruction=words.strip(),
        prompt="",
        entry_point=_entry_point(module, tests, unpacked(given.get("test_info"), "test_info", where)),
        tests=tuple(PytestTest(node) for node in found),
        reference=solution.rstrip() + "\n",
        level=str(given.get("gpt_difficulty") or ""),
        topic=str(given.get("subset") or ""),
        files=(File(TEST_FILE, test.rstrip() + "\n"),),
    )


def nodes(module: ast.Module, path: str) -> list[str]:
    """The test functions of a pytest file, as pytest names them, in order: functions `test*`, and methods `test*` of classes `Test*` or of unittest's."""
    found: list[str] = []
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            found.append(f"{path}::{node.name}")
        elif isinstance(node, ast.ClassDef) and _is_tests(node):
            methods = [part.name for part in node.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)]
            found += [f"{path}::{node.name}::{name}" for name in methods if name.startswith("test")]
    return list(dict.fromkeys(found))


def _is_tests(node: ast.ClassDef) -> bool:
    if any(ast.unparse(base).rpartition(".")[2] == "TestCase" for base in node.bases):
        return True
    return node.name.startswith("Test") and not any(isinstance(part, ast.FunctionDef) and part.name == "__init__" for part in node.body)


def _entry_point(module: ast.Module, tests: ast.Module, info: object) -> str | None:
    """The one function that the tests import from the solution; the one that `test_info` names where they import all."""
    imported = {alias.name for node in ast.walk(tests) if isinstance(node, ast.ImportFrom) and node.module == "solution" for alias in node.names}
    if not imported - {"*"}:
        rows = cast("list[object]", info) if isinstance(info, list) else []
        names = [str(cast("Mapping[str, object]", row).get("function_name")) for row in rows if isinstance(row, Mapping)]
        imported = {name for name in names if re.fullmatch(r"\w+", name)}
    return next(iter(imported)) if len(imported) == 1 and functions(module, next(iter(imported))) else None
