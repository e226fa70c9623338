"""The rows of operators, read from `rrtf/data/guided.jsonl`: each is a sentence and the expression that does what it says.

Families: `after` (something is done with the result), `each` (the task is done for every item of a list), `condition` (something is done with an argument
first) and `error` (some arguments are refused). In sentences `{it}` is the result, such as `the resulting list`, `{p}` a parameter and `{x}` an additional
one; in expressions `r`, `p` and `x` are their values, and `items` and `results` those of `each`. Every row is rendered and run by the tests.
Not here: how rows become problems.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

Family = Literal["after", "each", "condition", "error"]


@dataclass(frozen=True, slots=True)
class Extra:
    """A parameter that a row adds."""

    name: str
    kind: str
    values: tuple[object, ...]
    """What the tests give it; none: what is met in the values of the parameter it stands beside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row."""

    family: Family
    name: str
    """Goes into the name of the new function."""
    on: str
    """The kinds it takes, as `kinds.matches` reads it; with `each` also `any` and `hashable`."""
    item: str = "any"
    """With `each`: the kinds of parameters that may become a list."""
    needs: str = ""
    """With `condition`: what must have been seen of the parameter, so that the new arguments are allowed as the old ones were (`operators.allowed`)."""
    gives: str = ""
    """The kind it returns, as `kinds.concrete` reads it."""
    expression: str
    text: str
    extra: Extra | None = None
    imports: tuple[str, ...] = ()
    message: str = ""
    """With `error`: what the error says."""
    values: tuple[object, ...] = ()
    """With `error`: arguments that are refused."""
    clash: tuple[str, ...] = ()
    """With `error`: words of a statement that speaks of such arguments already."""


def _row(data: Mapping[str, Any]) -> Row:
    extra = data.get("extra")
    made = None if extra is None else Extra(extra["name"], extra["kind"], tuple(extra["values"]))
    lists: dict[str, Any] = {name: tuple(data.get(name, ())) for name in ("imports", "values", "clash")}
    plain: dict[str, Any] = {**data, **lists, "extra": made}
    return Row(**plain)


@cache
def rows(family: Family) -> tuple[Row, ...]:
    """The rows of a family, in order."""
    lines = resources.files("rrtf.data").joinpath("guided.jsonl").read_text(encoding="utf-8").splitlines()
    return tuple(row for row in map(_row, map(json.loads, lines)) if row.family == family)


def filled(expression: str, names: Mapping[str, str]) -> str:
    """An expression with other names in the places of its variables."""
    tree = ast.parse(expression, mode="eval")
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
    return ast.unparse(tree)
