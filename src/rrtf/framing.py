"""A file with one function taken out, and an answer put back into it: how problems of whole repositories use what is made for single functions.

Alone, a function is a small program: its text, and for a method its class with nothing else in it. What a model answers beside the function (imports, helpers)
moves to the beginning of the function's body, unless the file has that name already: a prompt shows the heads of its neighbours, and models like to repeat
them. Decorators are the file's. Not here: which functions make problems (`rrtf.mining`), prompts (`rrtf.prompting`).
"""

from __future__ import annotations

import ast
import re
from dataclasses import replace

from rrtf.extraction import Extraction, extract
from rrtf.extraction.syntax import FunctionNode, binds, bound, docstring_node, first_line, functions, loaded, parse, reindented, string_lines
from rrtf.records import Frame, Problem


def class_line(frame: Frame) -> str:
    """The head of the class that a method stands in when it is alone; empty for functions."""
    owner, dot, _ = frame.name.rpartition(".")
    return f"class {owner.rpartition('.')[2]}:\n" if dot else ""


def alone(problem: Problem) -> Problem:
    """The same problem as if its function were all there is of the file. Its tests then mean nothing."""
    frame = problem.frame
    if frame is None:
        return problem
    owner, dot, name = frame.name.rpartition(".")
    reference = None if problem.reference is None else taken_out(frame, problem.reference)
    return replace(problem, prompt=class_line(frame) + frame.header, entry_point=f"{owner}().{name}" if dot else name, reference=reference, frame=None)


def taken_out(frame: Frame, code: str) -> str | None:
    """The function of a program made with this frame, alone; None when the program was not made with it."""
    if not (code.startswith(frame.before) and code.endswith(frame.after) and len(code) > len(frame.before) + len(frame.after)):
        return None
    return class_line(frame) + code[len(frame.before) : len(code) - len(frame.after)]


def restored(frame: Frame, code: str) -> str | None:
    """The program with the function of `code`, where it may stand alone or in its class, put into the file; None when `code` does not hold it.

    Code that does not parse goes in as it is: a broken answer is the compiler's business.
    """
    module = parse(code)
    if module is None:
        return frame.before + code.removeprefix(class_line(frame)).rstrip("\n") + "\n" + frame.after
    found = _found(frame, module)
    return None if found is None else frame.before + _placed(frame, code, module, found) + frame.after


def put_back(frame: Frame, text: str, continues: str) -> Extraction:
    """The program in a completion: what `rrtf.extraction` finds in it, in its file."""
    owner, _, name = frame.name.rpartition(".")
    found = extract(text, "", name) if owner else extract(text, continues, name)
    if owner and (found.code is None or ":" in found.rule or "without-entry-point" in found.rule or not _holds(frame, found.code)):
        found = extract(text, continues, owner)
    if found.code is None:
        return found
    program = restored(frame, found.code)
    return Extraction(None, "none:no-entry-point") if program is None else Extraction(program, found.rule)


def _holds(frame: Frame, code: str) -> bool:
    module = parse(code)
    return module is not None and _found(frame, module) is not None


def body_indent(frame: Frame) -> str:
    """The indentation of its body."""
    module = parse(class_line(frame) + frame.header)
    function = None if module is None else _found(frame, module)
    first = None if function is None else docstring_node(function)
    lines = (class_line(frame) + frame.header).splitlines()
    return _indent(frame.header) + "    " if first is None else _indent(lines[first.lineno - 1])


def _found(frame: Frame, module: ast.Module) -> FunctionNode | None:
    """The function in code that holds it alone or in its class."""
    owner, _, name = frame.name.rpartition(".")
    classes = [node for node in module.body if owner and isinstance(node, ast.ClassDef) and node.name == owner]
    candidates = [found for node in classes for found in functions(ast.Module(node.body, []), name)] or functions(module, name)
    return candidates[-1] if candidates else None


def _placed(frame: Frame, code: str, module: ast.Module, function: FunctionNode) -> str:
    """The text of the function as it stands in the file."""
    lines, inside = code.splitlines(keepends=True), string_lines(module)
    end = function.end_lineno or function.lineno
    old, new = _indent(lines[function.lineno - 1]), _indent(frame.header)
    moved = _moved(frame, module, function)
    first = function.body[1 if docstring_node(function) and len(function.body) > 1 else 0]
    if moved and first.lineno == function.lineno:  # a body on the line of its header
        function.body[:0] = moved
        return "".join(f"{new}{line}\n" for line in ast.unparse(_bare(function)).splitlines())
    if not moved:
        return reindented("".join(lines[function.lineno - 1 : end]), function.lineno, inside, old, new) + "\n"
    start = first_line(first)
    deep = _indent(lines[start - 1]).removeprefix(old)
    head = reindented("".join(lines[function.lineno - 1 : start - 1]), function.lineno, inside, old, new)
    parts = [reindented("".join(lines[first_line(node) - 1 : node.end_lineno]), first_line(node), inside, "", new + deep) for node in moved]
    return "\n".join([head, *parts, reindented("".join(lines[start - 1 : end]), start, inside, old, new)]) + "\n"


def _bare(function: FunctionNode) -> FunctionNode:
    function.decorator_list = []
    return function


def _moved(frame: Frame, module: ast.Module, function: FunctionNode) -> list[ast.stmt]:
    """What the function needs of the statements around it and the file lacks."""
    known, own = _known(frame), bound([function])
    kept: list[ast.stmt] = []
    wanted = loaded([function])
    for node in reversed(module.body):
        names = binds(node)
        if node is function or not names & wanted or names & (known | own) or not _movable(node):
            continue
        kept.insert(0, node)
        wanted |= loaded([node])
    return kept


def _movable(node: ast.stmt) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.module != "__future__" and node.names[0].name != "*"
    return isinstance(node, ast.Import | ast.Assign | ast.AnnAssign | ast.FunctionDef | ast.ClassDef)


def _known(frame: Frame) -> set[str]:
    """Names that the rest of the file binds at its top."""
    hole = f"{_indent(frame.header)}def {frame.name.rpartition('.')[2]}(): pass\n"
    module = parse(frame.before + hole + frame.after)
    return set[str]() if module is None else set[str]().union(*(binds(node) for node in module.body))


def _indent(text: str) -> str:
    return re.match(r"[ \t]*", text)[0]  # type: ignore[index] - it always matches
