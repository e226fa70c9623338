"""Frozen records as Parquet rows and back, with nothing but their type annotations to go by.

Nested records become structs, tuples become lists, enums their names, unions of records structs with a `kind`; a content id is a column too.
The files are plain Parquet: DuckDB, pandas and polars open them without us. Digests are taken over rows, not bytes, so that the Parquet version changes
no digest. Not here: which rows belong to which artefact (`rrtf.engine.artifacts`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import hashlib
import json
import os
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union

import pyarrow as pa
import pyarrow.parquet as pq

from rrtf.errors import DataError, RrtfError
from rrtf.identity import canonical, unset

# Annotations are only known at run time, so values in this module are `Any` by nature.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

_SCALARS: dict[object, pa.DataType] = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}


@dataclasses.dataclass(frozen=True)
class _Codec:
    """How one annotation is stored."""

    arrow: pa.DataType
    dump: Callable[[Any], Any]
    load: Callable[[Any], Any]


@cache
def _codec(annotation: object) -> _Codec:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in _SCALARS:
        return _Codec(_SCALARS[annotation], lambda value: value, lambda value: value)
    if origin is Literal:
        return _codec(type(args[0]))
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _Codec(pa.string(), lambda value: value.name, lambda name: annotation[name])
    if origin is tuple and len(args) == 2 and args[1] is Ellipsis:
        inner = _codec(args[0])
        return _Codec(pa.list_(inner.arrow), lambda value: [inner.dump(item) for item in value], lambda value: tuple(inner.load(item) for item in value))
    if origin in (Union, types.UnionType):
        members = [arg for arg in args if arg is not type(None)]
        inner = _codec(members[0]) if len(members) == 1 else _union(tuple(members))
        if len(members) == len(args):
            return inner
        return _Codec(inner.arrow, lambda value: None if value is None else inner.dump(value), lambda value: None if value is None else inner.load(value))
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        return _record(annotation)
    raise TypeError(f"no Parquet form for {annotation!r}")


def _record(kind: type) -> _Codec:
    hints = typing.get_type_hints(kind)
    fields = {field.name: _codec(hints[field.name]) for field in dataclasses.fields(kind)}
    # An id that follows from the content is written for those who join tables without us, and not read back.
    written = {"id": _codec(str), **fields} if isinstance(getattr(kind, "id", None), property) else fields
    return _Codec(
        pa.struct([pa.field(name, codec.arrow) for name, codec in written.items()]),
        lambda record: {name: codec.dump(getattr(record, name)) for name, codec in written.items()},
        lambda row: kind(**{name: codec.load(row[name]) for name, codec in fields.items()}),
    )


def _union(members: tuple[type, ...]) -> _Codec:
    codecs = {member.__name__: _record(member) for member in members}
    arrow: dict[str, pa.DataType] = {"kind": pa.string()}
    for codec in codecs.values():
        arrow |= {field.name: field.type for field in codec.arrow}
    return _Codec(
        pa.struct([pa.field(name, kind) for name, kind in arrow.items()]),
        lambda record: {**dict.fromkeys(arrow), **codecs[type(record).__name__].dump(record), "kind": type(record).__name__},
        lambda row: codecs[row["kind"]].load(row),
    )


def schema(kind: type) -> Any:
    """The `pyarrow.Schema` of a record type."""
    return pa.schema(list(_codec(kind).arrow))


def write(path: Path, kind: type, rows: Iterable[object], metadata: Mapping[str, str]) -> None:
    """Write rows to `path` whole or not at all: aside first, flushed to disk, then renamed. `metadata` is readable by `read_metadata`."""
    codec = _codec(kind)
    table = pa.Table.from_pylist([codec.dump(row) for row in rows], schema=schema(kind).with_metadata({f"rrtf.{k}": v for k, v in metadata.items()}))
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("wb") as file:
            pq.write_table(table, file, compression="zstd", write_page_checksum=True)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):  # the same trouble may forbid this too
            aside.unlink(missing_ok=True)
        raise disk_error(path, error) from error


def read(path: Path, kind: type) -> list[Any]:
    """Every row of a file written by `write`. Raises `DataError` when it is not one."""
    codec = _codec(kind)
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        if table.schema.remove_metadata() != schema(kind):
            raise DataError(
                f"{path} holds other columns than {kind.__name__} records have now.",
                why="It was written by another version.",
                hint="Delete that stage's folder to compute it again.",
            )
        return [codec.load(row) for row in table.to_pylist()]
    except (pa.ArrowInvalid, pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{path} holds a value that {kind.__name__} records cannot have ({type(error).__name__}: {error}).",
            why="It was written or changed by something else.",
            hint="Delete that stage's folder to compute it again.",
        ) from error


def read_plain(path: Path) -> list[dict[str, Any]]:
    """Every row of anybody's Parquet file as plain dictionaries. Raises `OSError` when it cannot be opened, `DataError` when it is not Parquet."""
    with path.open("rb"):
        pass  # the operating system's own reason, when there is one, before Arrow's
    try:
        return pq.read_table(path).to_pylist()
    except (pa.ArrowInvalid, pa.ArrowException) as error:
        raise unreadable(path, error) from error


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata given to `write`."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (pa.ArrowInvalid, pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error
    return {key.decode().removeprefix("rrtf."): value.decode() for key, value in metadata.items() if key.startswith(b"rrtf.")}


def unreadable(path: Path, error: Exception) -> RrtfError:
    """The error for a Parquet file that cannot be read."""
    return DataError(f"{path} cannot be read as Parquet ({str(error).splitlines()[0]}).", hint="If it belongs to a run, delete it: the run computes it again.")


def disk_error(path: Path, error: OSError) -> RrtfError:
    """The error for a file that cannot be written."""
    return DataError(
        f"{path} cannot be written ({error.strerror or error}).",
        why="Nothing half-written was kept.",
        hint="Free some space or choose another folder, then run it again: it resumes.",
    )


@cache
def _lasting(kind: type) -> tuple[Any, ...]:
    return tuple(field for field in dataclasses.fields(kind) if not field.metadata.get("measured"))


def _without_measurements(value: Any) -> Any:
    """Records as dictionaries, measurements left out at every depth: a graded answer holds a verdict, and that its seconds."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _without_measurements(getattr(value, field.name)) for field in _lasting(type(value)) if not unset(field, value)}
    return [_without_measurements(item) for item in value] if isinstance(value, tuple) else value


def digest(rows: Iterable[object]) -> str:
    """SHA-256 over rows in order, measurements left out."""
    total = hashlib.sha256()
    for row in rows:
        total.update(canonical(_without_measurements(row)).encode())
        total.update(b"\n")
    return total.hexdigest()


def as_json(row: object) -> str:
    """One row as a line of JSON."""
    return json.dumps(_codec(type(row)).dump(row), ensure_ascii=False)
