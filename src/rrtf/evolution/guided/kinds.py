"""Types of arguments and results as operators see them: normal texts of annotations such as `list[int]`.

Not here: how values travel (`rrtf.values`).
"""

from __future__ import annotations

import ast
from typing import cast

_OLD = {"List": "list", "Dict": "dict", "Tuple": "tuple", "Set": "set", "FrozenSet": "frozenset"}
NOUNS = {"int": "number", "float": "number", "str": "text", "bool": "truth value", "list": "list", "dict": "dictionary", "tuple": "tuple", "set": "set"}
"""What a value of a kind is called in a statement."""
_PLAIN = {"int": int, "float": (int, float), "str": str, "bool": bool, "list": list, "dict": dict, "tuple": tuple, "set": (set, frozenset), "None": type(None)}


class _Modern(ast.NodeTransformer):
    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Name(_OLD.get(node.id, node.id))

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.value, ast.Name) and node.value.id == "Optional":
            return ast.BinOp(node.slice, ast.BitOr(), ast.Constant(None))
        return node


def normal(annotation: ast.expr | None) -> str:
    """An annotation in today's spelling; empty for none."""
    return "" if annotation is None else ast.unparse(_Modern().visit(ast.parse(ast.unparse(annotation), mode="eval").body))


def head(kind: str) -> str:
    """`list` of `list[int]`; empty for unions, which are none of the plain kinds."""
    return "" if "|" in parted(kind) else kind.partition("[")[0]


def parted(kind: str) -> str:
    """What of a kind stands outside its brackets."""
    depth, out = 0, ""
    for character in kind:
        depth += (character == "[") - (character == "]")
        out += character if not depth else ""
    return out


def parts(kind: str) -> list[str]:
    """The kinds between the brackets: `str` and `int` of `dict[str, int]`."""
    inner, depth, found = kind.partition("[")[2][:-1], 0, [""]
    for character in inner:
        depth += (character == "[") - (character == "]")
        if character == "," and not depth:
            found.append("")
        else:
            found[-1] += character
    return [part.strip() for part in found if part.strip()]


def noun(kind: str) -> str:
    """What a value of this kind is called; `value` where it may be of several."""
    return NOUNS.get(head(kind), "value")


def hashable(kind: str) -> bool:
    """Whether values of this kind may be keys."""
    return kind in ("int", "str", "bool") or (head(kind) == "tuple" and all(map(hashable, parts(kind))))


def fits(kind: str, value: object) -> bool:
    """Whether a value is of a kind; True where the kind says nothing we know."""
    if "|" in parted(kind):
        return True
    name, inside = head(kind), parts(kind)
    expected = _PLAIN.get(name)
    if expected is None:
        return True
    if not isinstance(value, expected) or (isinstance(value, bool) and name != "bool"):
        return False
    if isinstance(value, dict) and len(inside) == 2:
        return all(fits(inside[0], key) and fits(inside[1], item) for key, item in cast("dict[object, object]", value).items())
    if isinstance(value, tuple):
        items = cast("tuple[object, ...]", value)
        return not inside or (len(inside) == len(items) and all(fits(part, item) for part, item in zip(inside, items, strict=True))) or inside[-1] == "..."
    if isinstance(value, (list, set, frozenset)) and inside:
        return all(fits(inside[0], item) for item in cast("list[object]", value))
    return True


def matches(pattern: str, kind: str) -> bool:
    """Whether a kind is what a table of operators asks for: `list` is any list, `list[int]` that very kind, `pair` a tuple of two."""
    if pattern == "pair":
        return head(kind) == "tuple" and len(parts(kind)) == 2 and "..." not in kind
    return kind == pattern or (pattern in ("list", "dict", "set") and head(kind) == pattern)


def concrete(gives: str, kind: str) -> str:
    """The kind that a table names, with `{k}` for the kind it is given, `{0}` and `{1}` for what stands between its brackets; empty where that is unknown."""
    inside = parts(kind)
    if ("{0}" in gives and not inside) or ("{1}" in gives and len(inside) < 2):
        return ""
    return gives.format(*inside, k=kind)
