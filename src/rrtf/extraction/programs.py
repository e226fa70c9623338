"""From text that holds a program to the program: cut into top-level statements, keep what the entry point needs, drop the rest.

A statement that does not parse costs only itself, so prose around code and a torn last line go away, while a broken entry point stays broken: the
caller is told, and the compiler will say so too. Time is linear in the text, apart from parsing each piece once. Not here: finding the text
(`rrtf.extraction.answer`).
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Literal

from rrtf.extraction.syntax import BUILTINS, bare_text, binds, bound, error_line, first_line, is_stub, loaded, parse

Prefer = Literal["first", "last"]

_TOKEN = re.compile(r"\"\"\"|'''|\"(?:\\.|[^\"\\\n])*(?:\"|(?=\n)|\Z)|'(?:\\.|[^'\\\n])*(?:'|(?=\n)|\Z)|#[^\n]*|[()\[\]{}]|\\\n|\n")
_SURE_START = re.compile(r"(?:async\s+def|def|class)\s+\w+\s*[(:\[]|import\s+\w|from\s+[\w.]+\s+import\b|@\w|if\s+__name__\b")
_CONTINUES = re.compile(r"(?:else|finally)\s*:|(?:elif|except)\b.*:\s*(?:#.*)?$")
_CODE_LIKE = re.compile(
    r"(?:async\s+def|def|class)\s+\w|import\s+\w+\s*$|from\s+[\w.]+\s+import\b|@\w|(?:for|while|if|with|try)\b.*:\s*$|[A-Za-z_]\w*\s*=[^=]|\w+\("
)
_SHOWS = frozenset({"print", "input", "exit", "quit", "help", "breakpoint"})


@dataclass(frozen=True, slots=True)
class Piece:
    """One top-level statement (or several on one line)."""

    lead: str
    """Blank lines and comments above it."""
    text: str
    nodes: tuple[ast.stmt, ...] | None
    """None when it does not parse."""

    @property
    def names(self) -> set[str]:
        """What it binds in the module."""
        return set[str]().union(*(binds(node) for node in self.nodes or ()))


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A program found in a text."""

    code: str
    status: Literal["complete", "stub", "broken"]
    """`stub`: the entry point says nothing; `broken`: the entry point, or something it needs, does not parse."""


def pieces(source: str) -> list[Piece]:
    """The source as top-level statements. A source that parses is cut where the parser says, any other by its brackets, strings and indentation."""
    module = parse(source)
    lines = source.split("\n")
    spans = _scanned(source, lines) if module is None else _parsed(module)
    out: list[Piece] = []
    done = 0
    for start, end in spans:
        text = "\n".join(lines[start:end]).rstrip()
        tree = parse(text)
        lead = "\n".join([*lines[done:start], ""])
        out.append(Piece(lead, text, None if tree is None else tuple(tree.body)))
        done = end
    return out


def clean(source: str, entry_point: str | None, prefer: Prefer = "last") -> Cleaned | None:
    """The program in `source`; None when it holds none. With several definitions of the entry point, `prefer` says which of those that do something stays."""
    found = pieces(source)
    return _program(found) if entry_point is None else _function(found, entry_point, prefer)


def completed(code: str, offered: list[ast.stmt], text_of: dict[int, str]) -> str:
    """`code` with the offered statements put above it that bind names it needs and lacks, and what those need in turn.

    `text_of` maps `id(statement)` to its source text.
    """
    tree = parse(code)
    if tree is None:
        return code
    own = bound(tree.body) | BUILTINS
    missing = loaded(tree.body) - own
    chosen: set[int] = set()
    while missing:
        news = [node for node in offered if id(node) not in chosen and binds(node) & missing]
        if not news:
            break
        chosen |= {id(node) for node in news}
        own |= set[str]().union(*(binds(node) for node in news))
        missing = (missing | loaded(news)) - own
        own |= bound(news)
        missing -= own
    texts = dict.fromkeys(text_of[id(node)] for node in offered if id(node) in chosen)
    if not texts:
        return code
    # A module docstring and `from __future__` must stay in front.
    head = 0
    for node in tree.body:
        if (bare_text(node) is None or head > 0) and not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            break
        head = node.end_lineno or 0
    lines = code.split("\n")
    imports = [text for text in texts if text.startswith(("import ", "from "))]
    parts = ["\n".join(imports), *(text for text in texts if text not in imports), "\n".join(lines[head:]).lstrip("\n")]
    above = "\n".join(lines[:head]) + "\n" if head else ""
    return above + "\n\n\n".join(part for part in parts if part)


def _parsed(module: ast.Module) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    for node in module.body:
        start, end = first_line(node) - 1, node.end_lineno or node.lineno
        if spans and start < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return spans


def _scanned(source: str, lines: list[str]) -> list[tuple[int, int]]:
    """Spans of lines (from, up to) that hold one statement each as far as brackets, strings and indentation tell."""
    inside = _lines_inside(source, lines)
    spans: list[tuple[int, int]] = []
    decorated = False
    for number, line in enumerate(lines):
        if not line.strip() and number not in inside:
            continue
        if number in inside or line[0] in " \t":
            if spans:
                spans[-1] = (spans[-1][0], number + 1)
            else:
                spans.append((number, number + 1))
        elif line[0] != "#":
            if spans and (decorated or _CONTINUES.match(line)):
                spans[-1] = (spans[-1][0], number + 1)
            else:
                spans.append((number, number + 1))
            decorated = line[0] == "@"
    return spans


def _lines_inside(source: str, lines: list[str]) -> set[int]:
    """Numbers of the lines that begin inside a bracket, a string or after a backslash."""
    inside: set[int] = set()
    unclosed: set[str] = set()
    depth = number = position = 0
    while found := _TOKEN.search(source, position):
        mark, position = found[0], found.end()
        if mark == "\n":
            number += 1
            if depth and _SURE_START.match(lines[number]):
                depth = 0
            if depth:
                inside.add(number)
        elif mark == "\\\n":
            number += 1
            inside.add(number)
        elif mark in ('"""', "'''"):
            end = -1 if mark in unclosed else _string_end(source, mark, position)
            if end < 0:
                # Never closed: read it as if it were not there, or all that follows would be lost with it.
                unclosed.add(mark)
                continue
            crossed = source.count("\n", position, end)
            inside.update(range(number + 1, number + crossed + 1))
            number += crossed
            position = end
        elif mark in "([{":
            depth += 1
        elif mark in ")]}":
            depth = max(0, depth - 1)
    return inside


def _string_end(source: str, quotes: str, position: int) -> int:
    """Where the triple-quoted string that is open at `position` ends, or -1."""
    while (end := source.find(quotes, position)) >= 0:
        before = source[max(0, end - 64) : end]
        if (len(before) - len(before.rstrip("\\"))) % 2 == 0:
            return end + 3
        position = end + 1
    return -1


def _is_main_guard(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__name__" in loaded([node.test])


def _function(found: list[Piece], entry_point: str, prefer: Prefer) -> Cleaned | None:
    found, torn = _mended(found, entry_point)
    anchor = _anchor(found, entry_point, prefer)
    if anchor is None:
        return None if torn is None else Cleaned(_rendered(found, set(range(torn + 1))), "broken")
    needed = _needed(found, {anchor})
    lacking = _lacking(found, needed)
    kept, more = {anchor}, _kept(found, anchor, needed, entry_point)
    while more - kept:
        # A kept statement (a loop that fills a table, say) needs names of its own.
        kept |= more
        needed = _needed(found, kept)
        more = _kept(found, anchor, needed, entry_point)
    kept -= _repeated(found, kept)
    if lacking:
        return Cleaned(_rendered(found, kept | lacking), "broken")
    function = next((node for node in found[anchor].nodes or () if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == entry_point), None)
    return Cleaned(_rendered(found, kept), "stub" if function is not None and is_stub(function) else "complete")


def _kept(found: list[Piece], anchor: int, needed: set[str], entry_point: str) -> set[int]:
    """The pieces that belong to the program, given the names it needs."""
    tables = {name for piece in found for node in piece.nodes or () if isinstance(node, ast.Assign | ast.AnnAssign) for name in binds(node)} & needed
    known = set[str]().union(*(piece.names for piece in found)) | BUILTINS
    kept = {anchor}
    for number, piece in enumerate(found):
        if not piece.nodes:
            continue
        if entry_point in piece.names:
            # `entry = cache(entry)` behind the definition wraps it; any other binding of the name is a definition that was not chosen.
            serves = number > anchor and isinstance(piece.nodes[0], ast.Assign) and entry_point in loaded(piece.nodes)
        else:
            is_docstring = number == 0 and bare_text(piece.nodes[0]) is not None
            serves = is_docstring or any(_serves(node, number < anchor, needed, tables, known, entry_point) for node in piece.nodes)
        if serves:
            kept.add(number)
    return kept


def _anchor(found: list[Piece], entry_point: str, prefer: Prefer) -> int | None:
    """The piece that defines the entry point: a definition that does something before a stub, a definition before an assignment."""
    binders = [number for number, piece in enumerate(found) if entry_point in piece.names]
    definitions = [n for n in binders if any(not isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) for node in found[n].nodes or ())]
    full = [n for n in definitions if not any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and is_stub(node) for node in found[n].nodes or ())]
    choice = full or definitions or binders
    return None if not choice else choice[0 if prefer == "first" else -1]


def _needed(found: list[Piece], roots: set[int]) -> set[str]:
    """Every name the roots read, directly or through pieces that bind what they read."""
    binders: dict[str, list[int]] = {}
    for number, piece in enumerate(found):
        for name in piece.names:
            binders.setdefault(name, []).append(number)
    needed: set[str] = set()
    seen = set(roots)
    todo = list(roots)
    while todo:
        for name in loaded(found[todo.pop()].nodes or ()) - needed:
            needed.add(name)
            news = [number for number in binders.get(name, []) if number not in seen]
            seen.update(news)
            todo.extend(news)
    return needed


def _serves(node: ast.stmt, before: bool, needed: set[str], tables: set[str], known: set[str], entry_point: str) -> bool:
    """Whether a top-level statement belongs to the program of the entry point."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return before or bool(binds(node) & needed)
    if _is_main_guard(node) or isinstance(node, ast.Assert | ast.Return):
        return False
    if binds(node) & needed or (before and isinstance(node, ast.Assign) and _is_literal(node.value)):
        return True
    if entry_point in loaded([node]):
        return False
    touched = loaded([node]) - BUILTINS
    if isinstance(node, ast.Expr):
        if not isinstance(node.value, ast.Call) or (isinstance(node.value.func, ast.Name) and node.value.func.id in _SHOWS):
            return False
        # `sys.setrecursionlimit(...)` before the function stays; a line of prose that happens to parse as a call does not.
        return bool(touched & tables) or (before and touched <= known)
    return bool((touched | bound([node])) & tables)


def _is_literal(node: ast.expr) -> bool:
    """Whether the value is written out, so that binding it can do no harm."""
    return not any(isinstance(part, ast.Name | ast.Call | ast.Attribute | ast.Subscript | ast.BinOp) for part in ast.walk(node))


def _repeated(found: list[Piece], kept: set[int]) -> set[int]:
    """Kept definitions that say the same as an earlier kept one."""
    seen: set[str] = set()
    again: set[int] = set()
    for number in sorted(kept):
        text = found[number].text
        if text in seen and isinstance((found[number].nodes or (None,))[0], ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom):
            again.add(number)
        seen.add(text)
    return again


def _defined_name(text: str) -> str:
    found = re.search(r"^(?:async\s+)?(?:def|class)\s+(\w+)", text, re.MULTILINE)
    return found[1] if found else ""


def _lacking(found: list[Piece], needed: set[str]) -> set[int]:
    """Definitions that the entry point needs and that are there only in a form that does not parse."""
    whole = set[str]().union(*(piece.names for piece in found))
    return {number for number, piece in enumerate(found) if piece.nodes is None and _defined_name(piece.text) in needed - whole}


def _mended(found: list[Piece], entry_point: str) -> tuple[list[Piece], int | None]:
    """Pieces that define the entry point but do not parse are cut back to where they do, if what is left comes to an end by itself.

    Gives all pieces, and the number of the first that stays torn.
    """
    out: list[Piece] = []
    torn: int | None = None
    for number, piece in enumerate(found):
        shorter: tuple[str, tuple[ast.stmt, ...]] | None = None
        if piece.nodes is None and _defined_name(piece.text) == entry_point:
            shorter = _cut_back(piece.text, entry_point)
            torn = number if torn is None and shorter is None else torn
        out.append(Piece(piece.lead, *shorter) if shorter else piece)
    return out, torn


def _cut_back(text: str, entry_point: str) -> tuple[str, tuple[ast.stmt, ...]] | None:
    for _ in range(8):
        line = error_line(text)
        if line is None or line < 2:
            return None
        text = "\n".join(text.split("\n")[: line - 1]).rstrip()
        tree = parse(text)
        if tree is not None:
            last = tree.body[-1] if tree.body else None
            ends = isinstance(last, ast.FunctionDef | ast.AsyncFunctionDef) and last.name == entry_point and _ends(last.body)
            return (text, tuple(tree.body)) if ends else None
    return None


def _ends(body: list[ast.stmt]) -> bool:
    """Whether control cannot run past the last statement."""
    match body[-1] if body else None:
        case ast.Return() | ast.Raise():
            return True
        case ast.If(body=yes, orelse=no):
            return _ends(yes) and _ends(no)
        case ast.With(body=inner):
            return _ends(inner)
        case ast.Try(body=inner, handlers=handlers, orelse=orelse):
            return _ends(orelse or inner) and all(_ends(handler.body) for handler in handlers)
        case _:
            return False


def _program(found: list[Piece]) -> Cleaned | None:
    """A whole program that reads stdin: from the first piece of code to the last piece before one that does not parse."""
    kept: set[int] = set()
    broken = False
    for number, piece in enumerate(found):
        if piece.nodes is None:
            if kept or _CODE_LIKE.match(piece.text.partition("\n")[0]):
                broken = bool(_CODE_LIKE.match(piece.text.partition("\n")[0]))
                kept |= {number} if broken else set()
                break
        elif any(
            not isinstance(node, ast.Expr) or isinstance(node.value, ast.Call | ast.Await) or (number == 0 and bare_text(node) is not None)
            for node in piece.nodes
        ):
            kept.add(number)
    if not kept or (len(kept) == 1 and all(bare_text(node) is not None for node in found[min(kept)].nodes or ()) and not broken):
        return None
    return Cleaned(_rendered(found, kept), "broken" if broken else "complete")


def _rendered(found: list[Piece], kept: set[int]) -> str:
    parts: list[str] = []
    for number in sorted(kept):
        piece = found[number]
        lead = piece.lead if parts and number - 1 in kept else ("\n\n\n" if parts else "") + piece.lead.strip("\n") + ("\n" if piece.lead.strip("\n") else "")
        parts.append(("" if not parts or number - 1 not in kept else "\n") + lead + piece.text)
    return "".join(parts).strip("\n") + "\n"
