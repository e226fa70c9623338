"""Functions and methods of a repository that could become problems: documented, with a body that does something, at the top of a module or of a class in it.

Everything else with a docstring is set aside with the reason. Not here: whether any test runs them (`tracing`).
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from rrtf.extraction.syntax import FunctionNode, docstring_node, first_line, is_stub, parse
from rrtf.mining.levels import Level, level
from rrtf.mining.repository import Repository
from rrtf.records import Frame


@dataclass(frozen=True, slots=True)
class Candidate:
    """A function that could become a problem."""

    module: str
    path: str
    frame: Frame
    text: str
    """The whole function, without decorators."""
    docstring: str
    first: int
    """First line (from 1) of the body behind the docstring, in the file."""
    last: int
    level: Level

    @property
    def name(self) -> str:
        """Its importable name."""
        return f"{self.module}.{self.frame.name}"


@dataclass(frozen=True, slots=True)
class SetAside:
    """A function that became no problem."""

    name: str
    reason: str
    detail: str = ""


def candidates(repository: Repository) -> tuple[list[Candidate], list[SetAside], int]:
    """The candidates, what is set aside already, and how many functions and methods there are at all."""
    found: list[Candidate] = []
    aside: list[SetAside] = []
    total = 0
    for module, path in repository.modules.items():
        text = repository.files[path]
        text = text if text.endswith("\n") or not text else text + "\n"
        tree = parse(text)
        if tree is None:
            aside.append(SetAside(module, "the file does not parse on this Python"))
            continue
        total += sum(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(tree))
        for item in _of_module(repository, module, path, text, tree):
            (found if isinstance(item, Candidate) else aside).append(item)  # type: ignore[arg-type]
    return found, aside, total


def _of_module(repository: Repository, module: str, path: str, text: str, tree: ast.Module) -> Iterator[Candidate | SetAside]:
    places: list[tuple[str, ast.ClassDef | None, FunctionNode]] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            places.append((node.name, None, node))
        elif isinstance(node, ast.ClassDef):
            places += [(f"{node.name}.{item.name}", node, item) for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)]
    seen = {id(node) for _, _, node in places}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and id(node) not in seen and docstring_node(node):
            yield SetAside(f"{module}.{node.name} (line {node.lineno})", "it is nested in a function, a block or an inner class")
    counts = Counter(name for name, _, _ in places)
    classes = Counter(node.name for node in tree.body if isinstance(node, ast.ClassDef))
    for name, owner, node in places:
        if docstring_node(node) is None:
            continue
        twice = counts[name] > 1 or (owner is not None and classes[owner.name] > 1)
        reason = "its name is defined more than once in its file (a property's setter, an overload)" if twice else _unfit(node, text)
        yield SetAside(f"{module}.{name}", reason) if reason else _candidate(repository, module, path, text, tree, name, owner, node)


def _unfit(node: FunctionNode, text: str) -> str:
    documented = docstring_node(node)
    lines = text.splitlines(keepends=True)
    if is_stub(node):
        return "its body does nothing"
    if documented is None or documented.lineno == node.lineno or node.body[1].lineno == documented.end_lineno:
        return "its docstring shares a line with code"
    if not ast.get_docstring(node):
        return "its docstring is empty"
    if lines[node.lineno - 1].lstrip()[:4] not in ("def ", "asyn") or "\f" in text or len(lines) != text.count("\n"):
        return "its file has line ends of other kinds"
    if any(isinstance(part, ast.Name) and part.id == "__class__" for part in ast.walk(node)):
        return "it asks for __class__"
    return ""


def _candidate(
    repository: Repository, module: str, path: str, text: str, tree: ast.Module, name: str, owner: ast.ClassDef | None, node: FunctionNode
) -> Candidate:
    lines = text.splitlines(keepends=True)
    documented = docstring_node(node)
    head = documented.end_lineno or 0 if documented else 0
    end = node.end_lineno or 0
    frame = Frame(name, "".join(lines[node.lineno - 1 : head]), "".join(lines[: node.lineno - 1]), "".join(lines[end:]))
    return Candidate(
        module=module,
        path=path,
        frame=frame,
        text="".join(lines[node.lineno - 1 : end]),
        docstring=ast.get_docstring(node) or "",
        first=first_line(node.body[1]),
        last=end,
        level=level(node, owner, tree, module, path.endswith("__init__.py"), repository.own),
    )
