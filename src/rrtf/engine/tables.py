"""Frozen records as Parquet rows and back, with nothing but their type annotations to go by (`rrtf.engine.codecs`), as many at a time as fit into memory.

The files are plain Parquet: DuckDB, pandas and polars open them without us. Digests are taken over rows, not bytes, so that the Parquet version changes
no digest. Not here: which rows belong to which artefact (`rrtf.engine.artifacts`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rrtf.engine.codecs import codec
from rrtf.errors import DataError, RrtfError
from rrtf.identity import canonical, unset

# Annotations are only known at run time, so values in this module are `Any` by nature.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeStubs=false

ROWS = 4096
"""Rows of one row group: what is in memory while a file is written."""
_BATCH = 1024
"""Rows that are decoded at once."""


def schema(kind: type) -> Any:
    """The `pyarrow.Schema` of a record type."""
    return pa.schema(list(codec(kind).arrow))


def write(path: Path, kind: type, rows: Iterable[object], metadata: Mapping[str, str] | Callable[[], Mapping[str, str]]) -> None:
    """Write rows to `path` whole or not at all: aside first, flushed to disk, then renamed. Rows are taken as they are written.

    `metadata` is readable by `read_metadata`; a function is asked when all rows were taken.
    """
    dump, columns = codec(kind).dump, schema(kind)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    source = _Source(rows)
    try:
        with aside.open("wb") as file:
            with pq.ParquetWriter(file, columns, compression="zstd", write_page_checksum=True) as writer:
                while some := list(map(dump, source.some(ROWS))):
                    writer.write_table(pa.Table.from_pylist(some, schema=columns))
                said = metadata() if callable(metadata) else metadata
                writer.add_key_value_metadata({f"rrtf.{key}": value for key, value in said.items()})
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        if source.failed:
            raise
        raise disk_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):  # what forbade the rest may forbid this too
            aside.unlink(missing_ok=True)


class _Source:
    """Where rows come from. Their own trouble must not pass for trouble with the file that they go to."""

    def __init__(self, rows: Iterable[object]) -> None:
        self._rows, self.failed = iter(rows), False

    def some(self, count: int) -> list[object]:
        self.failed = True
        found = list(itertools.islice(self._rows, count))
        self.failed = False
        return found


def read(path: Path, kind: type) -> list[Any]:
    """Every row of a file written by `write`. Raises `DataError` when it is not one."""
    return list(stream(path, kind))


def stream(path: Path, kind: type, start: int = 0) -> Iterator[Any]:
    """The same one by one, from the row `start` on: a batch of them is in memory."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            if file.schema_arrow.remove_metadata() != schema(kind):
                raise DataError(
                    f"{path} holds other columns than {kind.__name__} records have now.",
                    why="It was written by another version.",
                    hint="Delete that stage's folder to compute it again.",
                )
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            before = 0
            while before < len(sizes) and sizes[before] <= start:
                start -= sizes[before]
                before += 1
            for batch in file.iter_batches(_BATCH, row_groups=range(before, len(sizes))) if before < len(sizes) else ():
                rows = codec(kind).load(batch.slice(start).to_struct_array())
                start = max(0, start - batch.num_rows)
                yield from rows
    except (pa.ArrowInvalid, pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{path} holds a value that {kind.__name__} records cannot have ({type(error).__name__}: {error}).",
            why="It was written or changed by something else.",
            hint="Delete that stage's folder to compute it again.",
        ) from error


def read_plain(path: Path) -> Iterator[dict[str, Any]]:
    """Every row of anybody's Parquet file as plain dictionaries. Raises `OSError` when it cannot be opened, `DataError` when it is not Parquet."""
    with path.open("rb"):
        pass  # the operating system's own reason, when there is one, before Arrow's
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH):
                yield from batch.to_pylist()
    except (pa.ArrowInvalid, pa.ArrowException) as error:
        raise unreadable(path, error) from error


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata given to `write`."""
    try:
        metadata: Mapping[bytes, bytes] = pq.read_metadata(path).metadata or {}
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


@cache
def _always(kind: type) -> tuple[str, ...] | None:
    """The names of the lasting fields where none of them came later; None where one did, or it is no record."""
    if not dataclasses.is_dataclass(kind) or any(field.metadata.get("later") for field in dataclasses.fields(kind)):
        return None
    return tuple(field.name for field in _lasting(kind))


_PLAIN = frozenset({str, int, bool, float, type(None)})


def _without_measurements(value: Any) -> Any:
    """Records as dictionaries, measurements left out at every depth: a graded answer holds a verdict, and that its seconds."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is tuple:
        return [_without_measurements(item) for item in value]
    names = _always(kind)
    if names is not None:
        return {name: _without_measurements(getattr(value, name)) for name in names}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _without_measurements(getattr(value, field.name)) for field in _lasting(kind) if not unset(field, value)}
    return value


def line(row: object) -> bytes:
    """What a row adds to a digest: measurements left out."""
    return f"{canonical(_without_measurements(row))}\n".encode()


def digest(rows: Iterable[object]) -> str:
    """SHA-256 over rows in order, measurements left out."""
    total = hashlib.sha256()
    for row in rows:
        total.update(line(row))
    return total.hexdigest()


def as_json(row: object) -> str:
    """One row as a line of JSON."""
    return json.dumps(codec(type(row)).dump(row), ensure_ascii=False)
