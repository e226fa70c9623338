"""Names that follow from content: canonical JSON, fingerprints, content ids and derived seeds.

Two runs that ask for the same thing get the same fingerprint on every machine and in every process. Values without a stable form (floats that
are not finite, sets, objects, functions) are refused rather than guessed at. Not here: hashing of files that are not ours (`rrtf.checkpoints`).
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import cast

from rrtf.errors import RecipeError

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)

LATER = {"later": True}
"""Field metadata of what a record type did not always have: left out while it holds its default, so that what was named before keeps its name."""


class _OddError(Exception):
    """A value that needs a second look."""


def stable(value: object, where: str = "value") -> Json:
    """`value` as plain JSON data, or a `RecipeError` that names the place of the first part without a stable form.

    Accepts None, bool, int, finite float, str, enums (by name), sequences, string-keyed mappings and dataclass instances.
    """
    try:
        return _quick(value)
    except _OddError:
        return _thorough(value, where)


def _quick(value: object) -> Json:
    """The same for what nearly every value is made of: rows are named by the million. It never says why not."""
    kind = type(value)
    if kind is str or kind is int or value is None or kind is bool:
        return cast("Json", value)
    if kind is float and math.isfinite(cast("float", value)):
        return cast("Json", value)
    if kind is list or kind is tuple:
        return [_quick(item) for item in cast("Sequence[object]", value)]
    if kind is dict:
        mapping = cast("dict[object, object]", value)
        if all(type(key) is str for key in mapping):
            return {cast("str", key): _quick(item) for key, item in mapping.items()}
    elif isinstance(value, enum.Enum):
        return value.name
    elif (fields := _fields(kind)) is not None:
        return {field.name: _quick(getattr(value, field.name)) for field, later in fields if not (later and unset(field, value))}
    raise _OddError


@cache
def _fields(kind: type) -> tuple[tuple[dataclasses.Field[object], bool], ...] | None:
    """The fields of a record type, each with whether it came later; None where it is no record."""
    return tuple((field, bool(field.metadata.get("later"))) for field in dataclasses.fields(kind)) if dataclasses.is_dataclass(kind) else None


def _thorough(value: object, where: str) -> Json:
    if isinstance(value, enum.Enum):
        return value.name
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise RecipeError(f"{where} is {value!r}.", why="It has no stable form, so results could not be matched to it.", hint="Use a finite number.")
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _thorough(getattr(value, field.name), f"{where}.{field.name}") for field in dataclasses.fields(value) if not unset(field, value)}
    if isinstance(value, Mapping):
        mapping = cast("Mapping[object, object]", value)
        out: dict[str, Json] = {}
        for key, item in mapping.items():
            if not isinstance(key, str):
                raise RecipeError(f"{where} has the key {key!r}, which is not text.", hint="Use text keys.")
            out[key] = _thorough(item, f"{where}.{key}")
        return out
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [_thorough(item, f"{where}[{i}]") for i, item in enumerate(cast("Sequence[object]", value))]
    raise RecipeError(
        f"{where} is a {type(value).__name__}, which has no stable form.",
        why="Work is matched to earlier work by a fingerprint, and this value would give another one in every process.",
        hint="Use numbers, text, lists and mappings.",
    )


def unset(field: dataclasses.Field[object], record: object) -> bool:
    """Whether a field that came later (`LATER`) still holds its default."""
    return bool(field.metadata.get("later")) and getattr(record, field.name) == field.default


def canonical(value: object) -> str:
    """Canonical JSON: sorted keys, no spaces, non-ASCII kept. Equal values give equal text."""
    return _CANONICAL.encode(stable(value))


def fingerprint(value: object) -> str:
    """SHA-256 of the canonical JSON, 64 hex digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def fingerprint_each(items: Iterable[object]) -> str:
    """`fingerprint` of the list of items, which need not be in memory at once."""
    total, separator = hashlib.sha256(b"["), b""
    for item in items:
        total.update(separator + canonical(item).encode())
        separator = b","
    total.update(b"]")
    return total.hexdigest()


def content_id(prefix: str, *parts: object) -> str:
    """A short id made from content, such as `p-3f2a9c0d1e4b5a67` (64 bits)."""
    return f"{prefix}-{fingerprint(list(parts))[:16]}"


def derive_seed(*parts: object) -> int:
    """A seed in [0, 2**31) that follows from `parts` alone, so that order and parallelism cannot change it."""
    return int(fingerprint(list(parts))[:8], 16) & 0x7FFFFFFF
