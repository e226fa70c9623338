"""A problem from a function: what is shown of its file, and which files travel.

The prompt shows, in the order of the file and as long as it fits: imports, short constants, the heads of the other functions and classes, the enclosing class
with its attributes and the heads of its methods; then decorators, signature and docstring. The whole file is in the problem's frame. Files that travel are
those which its tests were seen to import or open, with conftest.py and settings. Not here: which tests are kept (`selection`).
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterable, Iterator

from rrtf.extraction.syntax import first_line, parse
from rrtf.mining.candidates import Candidate
from rrtf.mining.repository import Repository
from rrtf.mining.tracing import Traced
from rrtf.records import File, Problem, PytestTest, Split

MOST_CONTEXT = 6000
"""Characters of a prompt above the function; of a longer file, its neighbours are left out first."""
_SHORT = 300
"""Characters of a constant or of a block of imports that is shown."""


def problem(repository: Repository, candidate: Candidate, nodes: Iterable[str], traces: dict[str, Traced], split: Split) -> Problem:
    """The problem of a candidate with these tests."""
    chosen = tuple(nodes)
    frame = candidate.frame
    return Problem(
        name=f"{repository.name}/{candidate.name}",
        instruction=candidate.docstring,
        prompt=f"# {candidate.path}\n{_context(candidate)}{frame.header}",
        entry_point=None,
        tests=tuple(PytestTest(node) for node in chosen),
        reference=frame.before + candidate.text + frame.after,
        split=split,
        level=candidate.level,
        topic=candidate.module,
        files=_files(repository, candidate, chosen, traces),
        module=candidate.module,
        frame=frame,
    )


def _files(repository: Repository, candidate: Candidate, nodes: tuple[str, ...], traces: dict[str, Traced]) -> tuple[File, ...]:
    """What the tests need: what was imported or opened while their files ran, and what pytest looks for by itself."""
    tests = dict.fromkeys(node.partition("::")[0] for node in nodes)
    wanted = {"pytest.ini", *tests, *(path for test in tests for path in traces[test].files)}
    folders = {folder for path in tests for folder in _folders(path)}
    wanted |= {f"{folder}{name}" for folder in folders for name in ("conftest.py", "__init__.py")}
    wanted |= {f"{folder}__init__.py" for folder in _folders(candidate.path)}
    return tuple(File(path, text) for path, text in sorted(repository.files.items()) if path in wanted and path != candidate.path)


def _folders(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["".join(f"{part}/" for part in parts[:depth]) for depth in range(len(parts) + 1)]


def _context(candidate: Candidate) -> str:
    """What stands above the function in a prompt."""
    frame = candidate.frame
    module = parse(frame.before + candidate.text + frame.after)
    number = frame.before.count("\n") + 1
    body = [] if module is None else module.body
    owner = next((node for node in body if isinstance(node, ast.ClassDef) and node.lineno < number <= (node.end_lineno or 0)), None)
    lines = (frame.before + candidate.text + frame.after).splitlines(keepends=True)
    imports = [text for node in body if (text := _import_text(node, lines))]
    neighbours = [text for node in body if node is not owner and not _holds(node, number) and (text := _head(node, lines))]
    function = next(node for node in (owner.body if owner else body) if _holds(node, number))
    decorators = "".join(lines[first_line(function) - 1 : number - 1])
    for parts in ([*neighbours, *_class_lines(owner, number, lines, whole=True)], [*imports, *_class_lines(owner, number, lines, whole=True)]):
        if sum(map(len, parts)) <= MOST_CONTEXT:
            return "".join(parts) + decorators
    return "".join([*imports, *_class_lines(owner, number, lines, whole=False)]) + decorators


def _holds(node: ast.stmt, number: int) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.lineno == number


def _import_text(node: ast.stmt, lines: list[str]) -> str:
    only_imports = isinstance(node, ast.Try | ast.If) and any(isinstance(part, ast.Import | ast.ImportFrom) for part in ast.walk(node))
    text = _text(node, lines)
    return text if isinstance(node, ast.Import | ast.ImportFrom) or (only_imports and len(text) <= _SHORT) else ""


def _head(node: ast.stmt, lines: list[str], indent: str = "") -> str:
    """A statement as a neighbour shows itself: without what it does."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            bare = copy.copy(node)
            bare.body, bare.decorator_list = [], []
            return f"{indent}{ast.unparse(bare)} ...\n"
        case ast.ClassDef():
            bare = copy.copy(node)
            bare.body, bare.decorator_list = [], []
            return f"{indent}{ast.unparse(bare)} ...\n"
        case ast.Assign() | ast.AnnAssign():
            text = _text(node, lines)
            return text if len(text) <= _SHORT else ""
        case _:
            return _import_text(node, lines)


def _class_lines(owner: ast.ClassDef | None, number: int, lines: list[str], *, whole: bool) -> Iterator[str]:
    """The enclosing class up to the method: its head, and what is in it."""
    if owner is None:
        return
    yield "".join(lines[first_line(owner) - 1 : first_line(owner.body[0]) - 1]) if owner.body[0].lineno > owner.lineno else _text(owner, lines)
    indent = lines[number - 1][: len(lines[number - 1]) - len(lines[number - 1].lstrip())]
    for node in owner.body if whole else ():
        if not _holds(node, number):
            yield _head(node, lines, indent)


def _text(node: ast.stmt, lines: list[str]) -> str:
    return "".join(lines[first_line(node) - 1 : node.end_lineno])
