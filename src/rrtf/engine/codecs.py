"""How the annotations of frozen records become Arrow types, and how values go there and come back, a column at a time.

Nested records become structs, tuples become lists, enums their names, unions of records structs with a `kind`; a content id is a column too.
Not here: files of them (`rrtf.engine.tables`).
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal, Union

import pyarrow as pa

# Annotations are only known at run time, so values in this module are `Any` by nature.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false
# pyright: reportUnknownLambdaType=false, reportUnknownParameterType=false

_SCALARS: dict[object, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


@dataclasses.dataclass(frozen=True)
class Codec:
    """How one annotation is stored."""

    arrow: pa.DataType
    dump: Callable[[Any], Any]
    """A value as plain data."""
    load: Callable[[pa.Array], list[Any]]
    """The values of a column. Column by column is several times as fast as row by row."""


@cache
def codec(annotation: object) -> Codec:
    """The codec of an annotation. Raises `TypeError` where there is none."""
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in _SCALARS:
        return Codec(_SCALARS[annotation], lambda value: value, _scalars)
    if origin is Literal:
        return codec(type(args[0]))
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        members = {member.name: member for member in annotation}
        return Codec(pa.string(), lambda value: value.name, lambda column: [members[name] for name in _scalars(column)])
    if origin is tuple and len(args) == 2 and args[1] is Ellipsis:
        inner = codec(args[0])
        return Codec(pa.list_(inner.arrow), lambda value: [inner.dump(item) for item in value], lambda column: _tuples(column, inner))
    if origin in (Union, types.UnionType):
        members = [arg for arg in args if arg is not type(None)]
        inner = codec(members[0]) if len(members) == 1 else _union(tuple(members))
        if len(members) == len(args):
            return inner
        return Codec(inner.arrow, lambda value: None if value is None else inner.dump(value), lambda column: _perhaps(column, inner))
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        return _record(annotation)
    raise TypeError(f"no Parquet form for {annotation!r}")


def _scalars(column: pa.Array) -> list[Any]:
    if column.null_count and not pa.types.is_string(column.type):
        return column.to_pylist()
    return column.to_numpy(zero_copy_only=False).tolist()  # in one go: ten times as fast as one by one


def _perhaps(column: pa.Array, inner: Codec) -> list[Any]:
    if not column.null_count:
        return inner.load(column)
    values = iter(inner.load(column.drop_null()))
    return [next(values) if there else None for there in column.is_valid().to_pylist()]


def _require_whole(column: pa.Array) -> None:
    if column.null_count:
        raise TypeError("a null where there must be a value")


def _tuples(column: pa.Array, inner: Codec) -> list[Any]:
    _require_whole(column)
    flat, found, start = inner.load(column.flatten()), list[Any](), 0
    for length in _scalars(column.value_lengths()):
        found.append(tuple(flat[start : start + length]))
        start += length
    return found


def _record(kind: type) -> Codec:
    fields = _fields(kind)
    # An id that follows from the content is written for those who join tables without us, and not read back.
    written = {"id": codec(str), **fields} if isinstance(getattr(kind, "id", None), property) else fields
    make = _maker(kind)

    def load(column: pa.Array) -> list[Any]:
        _require_whole(column)
        parts = dict(zip(written, column.flatten(), strict=True))
        return make([inner.load(parts[name]) for name, inner in fields.items()])

    return Codec(
        pa.struct([pa.field(name, inner.arrow) for name, inner in written.items()]),
        lambda record: {name: inner.dump(getattr(record, name)) for name, inner in written.items()},
        load,
    )


def _fields(kind: type) -> dict[str, Codec]:
    hints = typing.get_type_hints(kind)
    return {field.name: codec(hints[field.name]) for field in dataclasses.fields(kind)}


def _maker(kind: type) -> Callable[[Sequence[list[Any]]], list[Any]]:
    """From the columns of all fields to records."""
    names = [field.name for field in dataclasses.fields(kind)]
    if any(field.kw_only for field in dataclasses.fields(kind)):
        return lambda columns: [kind(**dict(zip(names, values, strict=True))) for values in zip(*columns, strict=True)]
    return lambda columns: [kind(*values) for values in zip(*columns, strict=True)]


def _union(members: tuple[type, ...]) -> Codec:
    codecs = {member.__name__: codec(member) for member in members}
    arrow: dict[str, pa.DataType] = {"kind": pa.string()}
    for member in codecs.values():
        arrow |= {field.name: field.type for field in member.arrow}
    kinds = {member.__name__: (_fields(member), _maker(member)) for member in members}

    def load(column: pa.Array) -> list[Any]:
        _require_whole(column)
        parts = dict(zip(arrow, column.flatten(), strict=True))
        names = _scalars(parts["kind"])
        found = {name: iter(_of_kind(parts, names, name, *kinds[name])) for name in dict.fromkeys(names)}
        return [next(found[name]) for name in names]

    return Codec(
        pa.struct([pa.field(name, kind) for name, kind in arrow.items()]),
        lambda record: {**dict.fromkeys(arrow), **codecs[type(record).__name__].dump(record), "kind": type(record).__name__},
        load,
    )


def _of_kind(
    parts: dict[str, pa.Array], names: list[str], wanted: str, fields: dict[str, Codec], make: Callable[[Sequence[list[Any]]], list[Any]]
) -> list[Any]:
    mask = [name == wanted for name in names]
    chosen = None if all(mask) else pa.array(mask)  # mostly a column holds one kind
    return make([inner.load(parts[name] if chosen is None else parts[name].filter(chosen)) for name, inner in fields.items()])
