"""LeetCodeDataset (Xia et al. 2025, arXiv 2504.14655; MIT), rows of a file in its release format; it is not shipped with us.

A row has imports and helper classes (`prompt`), a solution (`completion`), `check(candidate)` (`test`), and `Solution().method` as entry point. Its asserts
become calls where that means the same (`rrtf.benchmarks.assertions`), each of a new instance; the data set's own harness calls one instance for all asserts.
Suites that build lists and trees stay code, which brings the row's own helper functions with it, so that no answer can put others in their place. Not here:
whether the references pass (`rrtf check`).
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import cast

from rrtf.benchmarks.assertions import suite
from rrtf.benchmarks.release_rows import documented, fields, text
from rrtf.errors import DataError
from rrtf.extraction.syntax import first_line, loaded, parse
from rrtf.records import Problem

_NEEDED = "task_id, prompt, completion, entry_point and test"


def problem_of(row: object, where: str) -> Problem:
    """The problem of one row; `where` names it in errors. Raises `DataError`."""
    given = fields(row, where, _NEEDED)
    name, test, completion = (text(given, key, where, _NEEDED) for key in ("task_id", "test", "completion"))
    context = str(given.get("prompt") or "").strip()
    entry_point = text(given, "entry_point", where, _NEEDED).strip()
    meta = cast("Mapping[str, object]", given["meta"] if isinstance(given.get("meta"), Mapping) else {})
    words = str(given.get("problem_description") or meta.get("question_title") or "") or str(given.get("query") or "").partition("Please complete")[0]
    if not words.strip():
        raise DataError(f"{where} says nowhere what is asked.", hint="It needs problem_description, query, or meta with question_title.")
    header = str(given.get("starter_code") or meta.get("lang_code") or "")
    tree, tests = parse(context), parse(test)
    if tree is None or tests is None or parse(completion) is None:
        raise DataError(f"{where} has a prompt, completion or test that does not parse.", hint="Mend or remove the entry.")
    words = "\n".join(line.rstrip() for line in words.replace("\xa0", " ").strip().split("\n"))
    opened = documented(header, words) if header else None
    return Problem(
        name=f"LeetCode/{name}",
        instruction=words,
        prompt=f"{context}\n\n\n{opened}" if opened else "",
        entry_point=entry_point,
        tests=suite(f"{_helpers(tree, context, tests)}{test}\n\ncheck({'candidate' if '.' in entry_point else entry_point})", entry_point),
        reference=f"{context}\n\n\n{completion.rstrip()}\n",
        level=str(given.get("difficulty") or meta.get("difficulty") or "").lower(),
    )


def _helpers(tree: ast.Module, context: str, tests: ast.Module) -> str:
    """The functions of the prompt that the tests use, and what these use in turn."""
    defined = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    wanted, used = loaded(tests.body), dict[str, ast.FunctionDef]()
    while news := {name: node for name, node in defined.items() if name in wanted and name not in used}:
        used |= news
        wanted |= loaded(news.values())
    lines = context.split("\n")
    return "".join("\n".join(lines[first_line(node) - 1 : node.end_lineno]) + "\n\n\n" for name, node in defined.items() if name in used)
