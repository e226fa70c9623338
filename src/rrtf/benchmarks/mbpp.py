"""MBPP (Austin et al. 2021, arXiv 2108.07732; CC BY 4.0), read from a file in its release format; it is not shipped with us.

Reads `mbpp.jsonl` (fields task_id, text, code, test_list, test_setup_code) and `sanitized-mbpp.json` (prompt and test_imports instead of text and
test_setup_code). Split as its authors say: task ids 11-510 are for testing; 601-974 (training), 511-600 (validation) and 1-10 (few-shot prompts) may be
learned from, and are `train` here.

MBPP asks in words alone. We ask in the shape of the other benchmarks: the signature of the reference's function, and a docstring with the words and the first
assert (without an example many tasks cannot be understood). Asserts become call-and-compare tests, whose expected values stay outside the sandbox, where
that means the same (`rrtf.benchmarks.assertions`); where it does not for one of them, all asserts of that problem stay code, one test each.
"""

from __future__ import annotations

import ast
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from rrtf.benchmarks.assertions import Kept, rewritten
from rrtf.benchmarks.release_rows import documented
from rrtf.errors import DataError
from rrtf.extraction.syntax import binds, first_line, functions, loaded, parse, unbound
from rrtf.records import AssertTest, Problem, Test

TEST_IDS = range(11, 511)


@dataclass(frozen=True, slots=True)
class Mbpp:
    """The benchmark, in the file at `path`."""

    path: Path
    name: str = "mbpp"

    def problems(self) -> Sequence[Problem]:
        """Every problem of the file, by task id. Raises `DataError` naming the entry that cannot be used."""
        problems: dict[int, Problem] = {}
        for where, row in _rows(self.path):
            number, problem = problem_of(row, where)
            if number in problems:
                raise DataError(f"{where} repeats task_id {number}.", hint="Remove one of the two.")
            problems[number] = problem
        if not problems:
            raise DataError(f"{self.path} holds no problems.", hint="Use mbpp.jsonl or sanitized-mbpp.json as its authors released it.")
        return [problems[number] for number in sorted(problems)]


def _rows(path: Path) -> list[tuple[str, object]]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).", hint="Give the path of MBPP's mbpp.jsonl.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text.", hint="Give the path of MBPP's mbpp.jsonl, unpacked.") from error
    if text.lstrip().startswith("["):
        rows = _loaded(text, str(path))
        return [(f"{path}, entry {number}", row) for number, row in enumerate(cast("list[object]", rows), start=1)]
    lines = enumerate(text.split("\n"), start=1)
    return [(f"{path}, line {number}", _loaded(line, f"{path}, line {number}")) for number, line in lines if line.strip()]


def _loaded(text: str, where: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} is not JSON ({error}).", why="The file may be half-written.", hint="Fetch it again.") from error


def problem_of(row: object, where: str) -> tuple[int, Problem]:
    """Task id and problem of one entry; `where` names it in errors. Raises `DataError`."""
    if not isinstance(row, Mapping):
        raise DataError(f"{where} is not a JSON object.", hint="Each entry needs task_id, text, code and test_list.")
    fields = cast("Mapping[str, object]", row)
    number = fields.get("task_id")
    if not isinstance(number, int) or isinstance(number, bool):
        raise DataError(f"{where} has no whole number as task_id, but {number!r}.", why="The split follows from it.", hint="Use MBPP's own numbers.")
    words = _text(fields, "text" if "text" in fields else "prompt", where).strip()
    code = _text(fields, "code", where).replace("\r\n", "\n").replace("\r", "\n").rstrip() + "\n"
    asserts = [line.replace("\r\n", "\n").strip() for line in _texts(fields, "test_list", where)]
    setup = str(fields.get("test_setup_code") or "") or "\n".join(_texts(fields, "test_imports", where) if "test_imports" in fields else [])
    module = parse(code)
    if module is None:
        raise DataError(f"The code in {where} does not parse.", why="The signature is taken from it.", hint="Mend or remove the entry.")
    if not asserts:
        raise DataError(f"{where} has an empty test_list.", why="Answers could not be judged.", hint="Remove the entry.")
    trees = [parse(line) for line in asserts]
    if None in trees:
        raise DataError(f"Test {trees.index(None) + 1} in {where} does not parse.", hint="Mend or remove the entry.")
    entry_point = _entry_point(module, [tree for tree in trees if tree])
    if entry_point is None:
        raise DataError(f"The tests in {where} call nothing that its code defines.", why="There is no entry point.", hint="Mend or remove the entry.")
    return number, Problem(
        name=f"MBPP/{number}",
        instruction=f"{words}\n\n{asserts[0]}",
        prompt=_context(module, code, "\n".join([setup, *asserts]), entry_point) + _prompt(module, entry_point, words, asserts[0]),
        entry_point=entry_point,
        tests=_tests(asserts, setup.strip(), entry_point),
        reference=code,
        split="test" if number in TEST_IDS else "train",
    )


def _text(fields: Mapping[str, object], key: str, where: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{where} has no text as {key!r}.", hint="Each entry needs task_id, text (or prompt), code and test_list.")
    return value


def _texts(fields: Mapping[str, object], key: str, where: str) -> list[str]:
    value = fields.get(key)
    if not isinstance(value, list) or not all(isinstance(item, str) for item in cast("list[object]", value)):
        raise DataError(f"{where} has no list of texts as {key!r}.", hint="Each entry needs task_id, text (or prompt), code and test_list.")
    return cast("list[str]", value)


def _entry_point(module: ast.Module, tests: list[ast.Module]) -> str | None:
    """The function of the code that the asserts call most; the earliest called of equals."""
    defined = {function.name for function in functions(module, None)}
    calls = Counter(
        node.func.id for tree in tests for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in defined
    )
    return calls.most_common(1)[0][0] if calls else None


def _context(module: ast.Module, code: str, tests: str, entry_point: str) -> str:
    """What the tests themselves use of the reference's code beside the entry point: a class, an import. Without it no answer could pass them."""
    tree = parse(tests)
    missing = unbound(tree) - {entry_point} if tree else set[str]()
    used: list[ast.stmt] = []
    while news := [node for node in module.body if node not in used and entry_point not in binds(node) and binds(node) & missing]:
        used += news
        missing |= loaded(news)
    lines = code.split("\n")
    return "".join("\n".join(lines[first_line(node) - 1 : node.end_lineno]) + "\n\n\n" for node in module.body if node in used)


def _prompt(module: ast.Module, entry_point: str, words: str, example: str) -> str:
    function = functions(module, entry_point)[-1]
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    return documented(f"def {entry_point}({ast.unparse(function.args)}){returns}:", f"{words}\n\n{example}") or ""


def _tests(asserts: list[str], setup: str, entry_point: str) -> tuple[Test, ...]:
    calls = rewritten("\n".join([setup, *asserts]), entry_point)
    return tuple(AssertTest(f"{setup}\n{line}" if setup else line) for line in asserts) if isinstance(calls, Kept) else calls
