"""New arguments made of known ones, kept to what a problem is seen to allow: its statement may promise that a list is sorted or two lists equally long, and
only the known arguments tell.

Not here: whether a reference can do anything with them; that shows when it runs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, pairwise
from typing import cast

from rrtf import values
from rrtf.evolution.guided.forms import Form, arguments

MOST = 28
"""Inputs tried for one problem."""
_ENOUGH = 3
"""Known inputs that must bear out a relation which could as well fail."""

Relation = Callable[[Sequence[object]], bool]


def size(value: object) -> int:
    """Length of a value that has one; -1 otherwise."""
    return len(cast("list[object]", value)) if isinstance(value, (list, tuple, dict, set, frozenset, str)) else -1


def ordered(value: object) -> bool:
    """Whether a list is in increasing order as far as it can be compared."""
    items = cast("list[object]", value)
    try:
        return all(a <= b for a, b in pairwise(items))  # type: ignore[operator]
    except TypeError:
        return False


def always_sorted(known: Sequence[object]) -> bool:
    """Whether every list among the known values is sorted, and more than by chance."""
    long = [cast("list[object]", value) for value in known if isinstance(value, list) and size(cast("object", value)) > 1]
    return len(long) >= _ENOUGH and all(map(ordered, long))


def always_different(known: Sequence[object]) -> bool:
    """Whether no list among the known values holds anything twice."""
    long = [cast("list[object]", value) for value in known if isinstance(value, list) and size(cast("object", value)) > 1]
    return len(long) >= _ENOUGH and all(all(item not in items[:i] for i, item in enumerate(items)) for items in long)


def relations(form: Form) -> list[Relation]:
    """What holds between arguments in every known input, and so may be meant to hold: order of numbers, equal lengths, membership."""
    known = [arguments(text) for text in form.inputs]
    return [relation for one, other in combinations(range(len(form.parameters)), 2) for relation in _between(one, other) if all(map(relation, known))]


def _between(one: int, other: int) -> Iterator[Relation]:
    for left, right in ((one, other), (other, one)):
        yield lambda row, a=left, b=right: _comparable(row[a], row[b]) and row[a] <= row[b]  # type: ignore[operator]
        yield lambda row, a=left, b=right: isinstance(row[b], (list, dict, str)) and _inside(row[a], row[b])
        yield lambda row, a=left, b=right: type(row[a]) is int and isinstance(row[b], (list, str)) and 0 <= cast("int", row[a]) <= size(row[b])
    yield lambda row: isinstance(row[one], list) and isinstance(row[other], list) and size(row[one]) == size(row[other])


def _comparable(one: object, other: object) -> bool:
    return type(one) is int and type(other) is int


def _inside(one: object, other: object) -> bool:
    try:
        return one in other  # type: ignore[operator]
    except TypeError:
        return False


def related(form: Form, name: str) -> bool:
    """Whether a list parameter always goes with another list of the same length."""
    column = form.column(name)
    if not all(isinstance(value, list) for value in column):
        return False
    return any(
        [size(value) for value in column] == [size(value) for value in form.column(other.name)] and len(set(map(size, column))) > 1
        for other in form.parameters
        if other.name != name
    )


def more(form: Form, rng: random.Random, most: int = MOST) -> list[list[object]]:
    """The known inputs and recombinations of them that respect what holds between arguments, the known ones first."""
    known = [arguments(text) for text in form.inputs]
    found = {values.dumps(row): row for row in known[:most]}
    if not known or not known[0]:
        return list(found.values())
    rules = relations(form)
    columns = [[row[place] for row in known] for place in range(len(known[0]))]
    for _ in range(3 * most):
        if len(found) >= most:
            break
        row = [_value(column, form.parameters[place].kind, rng) for place, column in enumerate(columns)]
        if all(rule(row) for rule in rules):
            found.setdefault(values.dumps(row), row)
    return list(found.values())


def _value(column: Sequence[object], kind: str, rng: random.Random) -> object:
    """A known value, or for numbers often one between the known ones, and for lists of numbers one with an item exchanged."""
    value = rng.choice(column)
    if kind == "int" and rng.random() < 0.7:
        numbers = sorted(cast("list[int]", column))
        low, high = numbers[0], numbers[-1]
        return rng.randint(low, high) if rng.random() < 0.5 else rng.randint(low, max(low, min(high, 30)))
    if kind in ("list[int]", "list[str]", "list[bool]") and not always_sorted(column) and not always_different(column):
        items = list(cast("list[object]", value))
        pool = [item for other in column for item in cast("list[object]", other)]
        if items and rng.random() < 0.7:
            items[rng.randrange(len(items))] = rng.choice(pool)
        if len(items) > 1 and rng.random() < 0.4:
            rng.shuffle(items)
        return items
    return value


def within(value: object, known: Sequence[object], kind: str) -> bool:
    """Whether a value is of the sort that a parameter is seen to take: a number between the known ones, a text of known characters, a list of such."""
    if kind == "int":
        numbers = cast("list[int]", known)
        return min(numbers) <= cast("int", value) <= max(numbers)
    if kind == "bool":
        return True
    if kind == "float":
        floats = cast("list[float]", known)
        return min(floats) <= cast("float", value) <= max(floats)
    if isinstance(value, str):
        texts = cast("list[str]", known)
        return value in texts or (bool(value) and _characters([value]) <= _characters(texts) and _free(texts) and _always(texts) <= set(value))
    if isinstance(value, list):
        items, lists = cast("list[object]", value), cast("list[list[object]]", known)
        if (
            (not items and [] not in lists)
            or (always_sorted(lists) and not ordered(items))
            or (always_different(lists) and any(item in items[:i] for i, item in enumerate(items)))
        ):
            return False
        inner = [item for one in lists for item in one]
        return len(items) <= max(map(len, lists)) + 2 and all(within(item, inner, kind.partition("[")[2][:-1]) for item in items) if inner else not items
    return value in known


def _characters(texts: Sequence[str]) -> set[str]:
    """The kinds of characters in texts: letters and digits as such, all others by themselves."""
    return {("A" if c.isupper() else "a") if c.isalpha() else "0" if c.isdigit() else c for text in texts for c in text}


def _always(texts: Sequence[str]) -> set[str]:
    """Signs that every text has, such as the dashes of a date: a new one without them would not be of that form."""
    return {c for c in texts[0] if not c.isalnum() and all(c in text for text in texts)} if texts else set()


def _free(texts: Sequence[str]) -> bool:
    """Whether texts look like free text rather than a form such as a date: their lengths differ, and many different letters occur."""
    return len(set(map(len, texts))) >= 4 and len({c for text in texts for c in text if c.isalpha()}) >= 8


def free_text(known: Sequence[object]) -> bool:
    """Whether a text parameter takes any words."""
    texts = [value for value in known if isinstance(value, str)]
    return (
        len(texts) == len(known)
        and _free(texts)
        and any(" " in text or not text for text in texts)
        and not any(c in "{}[]()<>=#@" for text in texts for c in text)
    )
