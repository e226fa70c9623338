"""From text that holds a program to the program: of its top-level statements, keep what the entry point needs (without one: all), drop the rest.

A statement that does not parse costs only itself, so prose around code and a torn last line go away, while a broken entry point stays broken: the
caller is told, and the compiler will say so too. Not here: finding the text (`rrtf.extraction.answer`), what belongs to a function (`rrtf.extraction.serving`).
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Literal

from rrtf.extraction.cutting import Piece, pieces
from rrtf.extraction.effects import acts
from rrtf.extraction.serving import belonging, module_of
from rrtf.extraction.syntax import BUILTINS, bare_text, bound, error_line, is_stub, loaded, parse

Prefer = Literal["first", "last"]

_CODE_LIKE = re.compile(
    r"(?:async\s+def|def|class)\s+\w|import\s+\w+\s*$|from\s+[\w.]+\s+import\b|@\w|(?:for|while|if|with|try)\b.*:\s*$|[A-Za-z_]\w*\s*=[^=]|\w+\("
)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A program found in a text."""

    code: str
    status: Literal["complete", "stub", "broken"]
    """`stub`: the entry point says nothing; `broken`: the entry point, or something it needs, does not parse."""


def clean(source: str, entry_point: str | None, prefer: Prefer = "last") -> Cleaned | None:
    """The program in `source`; None when it holds none. With several definitions of the entry point, `prefer` says which of those that do something stays."""
    found = pieces(source)
    return _program(found) if entry_point is None else _function(found, entry_point, prefer)


def _function(found: list[Piece], entry_point: str, prefer: Prefer) -> Cleaned | None:
    found, torn = _mended(found, entry_point)
    anchor = _anchor(found, entry_point, prefer)
    if anchor is None:
        return None if torn is None else Cleaned(_rendered(found, set(range(torn + 1))), "broken")
    module = module_of(found)
    lacking = _lacking(found, module.needed({anchor}))
    kept = belonging(module, anchor, entry_point)
    kept -= _repeated(found, kept)
    if lacking:
        return Cleaned(_rendered(found, kept | lacking), "broken")
    function = next((node for node in found[anchor].nodes or () if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == entry_point), None)
    return Cleaned(_rendered(found, kept), "stub" if function is not None and is_stub(function) else "complete")


def _anchor(found: list[Piece], entry_point: str, prefer: Prefer) -> int | None:
    """The piece that defines the entry point: a definition that does something before a stub, a definition before an assignment."""
    binders = [number for number, piece in enumerate(found) if entry_point in piece.names]
    definitions = [n for n in binders if any(not isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) for node in found[n].nodes or ())]
    full = [n for n in definitions if not any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and is_stub(node) for node in found[n].nodes or ())]
    choice = full or definitions or binders
    return None if not choice else choice[0 if prefer == "first" else -1]


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
    todo = [body]
    while todo:
        block = todo.pop()
        match block[-1] if block else None:
            case ast.Return() | ast.Raise():
                pass
            case ast.If(body=yes, orelse=no):
                todo += [yes, no]
            case ast.With(body=inner):
                todo.append(inner)
            case ast.Try(body=inner, handlers=handlers, orelse=orelse):
                todo += [orelse or inner, *(handler.body for handler in handlers)]
            case _:
                return False
    return True


def _program(found: list[Piece]) -> Cleaned | None:
    """A whole program that reads stdin: from the first piece of code to the last piece before one that does not parse."""
    kept: set[int] = set()
    broken = False
    known = _known(found)
    for number, piece in enumerate(found):
        if piece.nodes is None:
            if kept or _CODE_LIKE.match(piece.text.partition("\n")[0]):
                broken = bool(_CODE_LIKE.match(piece.text.partition("\n")[0]))
                kept |= {number} if broken else set()
                break
        elif (number == 0 and any(bare_text(node) is not None for node in piece.nodes)) or not all(_is_prose(node, known) for node in piece.nodes):
            kept.add(number)
    nodes = [node for number in kept for node in found[number].nodes or ()]
    if not broken and all(isinstance(node, ast.Expr) and not acts(node) for node in nodes):
        return None
    return Cleaned(_rendered(found, kept), "broken" if broken else "complete")


def _known(found: list[Piece]) -> set[str] | None:
    """The names that a program may read; None where not every piece parses, so that there is prose in between."""
    nodes = [node for piece in found for node in piece.nodes or ()]
    return None if any(piece.nodes is None for piece in found) else bound(nodes) | BUILTINS


def _is_prose(node: ast.stmt, known: set[str] | None) -> bool:
    """Whether a statement that parses is words all the same: it does nothing, and stands among prose or names what is bound nowhere."""
    if not isinstance(node, ast.Expr) or acts(node):
        return False
    return known is None or ("*" not in known and bool(loaded([node]) - known))


def _rendered(found: list[Piece], kept: set[int]) -> str:
    parts: list[str] = []
    for number in sorted(kept):
        piece = found[number]
        lead = piece.lead if parts and number - 1 in kept else ("\n\n\n" if parts else "") + piece.lead.strip("\n") + ("\n" if piece.lead.strip("\n") else "")
        parts.append(("" if not parts or number - 1 not in kept else "\n") + lead + piece.text)
    return "".join(parts).strip("\n") + "\n"
