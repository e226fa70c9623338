"""Cases: the rows of several artefacts, joined by key while they are read, one case at a time.

The cases of a stage are the keys of its first artefact, in their order, each with every row of the others. All artefacts of a run have their keys in that
order, so they are read side by side, and memory does not grow with them. That it is so is looked up in the parts' indices beforehand; an artefact whose keys
lie otherwise (foreign keys, another order, one key in two places) is held in memory by key instead. No row is ever lost or misplaced for it.

Not here: what is done with the cases (`rrtf.engine.making`, fold stages).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rrtf.engine import artifacts, parts, tables
from rrtf.engine.parts import Entry
from rrtf.engine.stage import Case, MapStage, Pipeline, Row, Stage
from rrtf.errors import DataError


@dataclass(frozen=True, slots=True)
class Outline:
    """A case without its rows."""

    key: str
    digests: Mapping[str, str]
    """Of its rows, by the name of the artefact they come from."""


def reads_rows(pipeline: Pipeline, stage: Stage) -> bool:
    """Whether anything that the stage reads holds rows. If not, its only case is an empty one."""
    return any(isinstance(pipeline.stage(name), MapStage) for name in stage.reads)


def cases(pipeline: Pipeline, stage: Stage) -> Iterator[Case]:
    """The cases a stage reads; one empty case where it reads no rows."""
    return (case for _, case in Join(pipeline, stage).cases())


def rows(pipeline: Pipeline, name: str) -> Iterator[Row]:
    """Every row of a finished artefact, in order."""
    stage = pipeline.stage(name)
    if isinstance(stage, MapStage):
        for path in _files(pipeline, name):
            yield from tables.stream(path, stage.row)


def _files(pipeline: Pipeline, name: str) -> list[Path]:
    return [pipeline.folder(name) / part.file for part in artifacts.require_manifest(pipeline.folder(name)).parts]


class Join:
    """What a stage reads, to be gone through as often as one likes."""

    def __init__(self, pipeline: Pipeline, stage: Stage) -> None:
        self._empty = not reads_rows(pipeline, stage)
        self._sources = {name: _Source(name, kind, _files(pipeline, name)) for name in stage.reads if isinstance(kind := pipeline.stage(name), MapStage)}
        self._first = self._sources.get(stage.reads[0]) if stage.reads else None
        self._checked = False

    def outlines(self) -> Iterator[Outline]:
        """Every case without its rows, from the indices alone."""
        if self._empty:
            yield Outline("", {})
            return
        for key, found in self._walk():
            yield Outline(key, {name: one.digest for name, one in found.items()})

    def cases(self, wanted: Callable[[int], bool] = lambda number: True) -> Iterator[tuple[int, Case]]:
        """The cases whose numbers are wanted, with them. Rows of others are not read."""
        if self._empty:
            if wanted(0):
                yield 0, Case("", {})
            return
        for number, (key, found) in enumerate(self._walk()):
            if wanted(number):
                yield number, Case(key, {name: one.rows() for name, one in found.items()})

    def _walk(self) -> Iterator[tuple[str, Mapping[str, _Found]]]:
        if self._first is None:
            return
        self._check()
        cursors = {name: source.cursor() for name, source in self._sources.items()}
        keys = cursors[self._first.name].keys()
        for key in keys:
            yield key, {name: cursor.find(key) for name, cursor in cursors.items()}

    def _check(self) -> None:
        """Find out which artefacts cannot be read beside the first."""
        if self._checked or self._first is None:
            return
        others = [source for source in self._sources.values() if source is not self._first]
        entries = [source.entries() for source in others]
        heads = [next(found, None) for found in entries]
        seen: set[int] = set()
        for _, _, entry in self._first.entries():
            if hash(entry.key) in seen:
                self._first.gather()
                break
            seen.add(hash(entry.key))
            for place, head in enumerate(heads):
                if head is not None and head[2].key == entry.key:
                    heads[place] = next(entries[place], None)
        for source, head in zip(others, heads, strict=True):
            if head is not None:  # what is left has no place in the order of the first
                source.gather()
        self._checked = True


class _Source:
    """One artefact that is read."""

    def __init__(self, name: str, stage: MapStage, files: Sequence[Path]) -> None:
        self.name, self.stage, self._files = name, stage, files
        self._gathered: dict[str, list[Row]] | None = None

    def entries(self) -> Iterator[tuple[Path, int, Entry]]:
        """Every entry of the parts' indices with its file and the number of its first row there."""
        for path in self._files:
            start = 0
            for entry in parts.index(path, self.stage):
                yield path, start, entry
                start += entry.rows

    def gather(self) -> None:
        """Hold everything in memory, by key."""
        self._gathered = {}
        for path in self._files:
            for row in tables.stream(path, self.stage.row):
                self._gathered.setdefault(self.stage.key(row), []).append(row)

    def cursor(self) -> _Cursor | _Gathered:
        """Finds what there is under a key, asked for in the order of the first artefact."""
        return _Cursor(self) if self._gathered is None else _Gathered(self._gathered)


@dataclass(frozen=True, slots=True)
class _Found:
    """What an artefact has under a key."""

    digest: str
    rows: Callable[[], Sequence[Row]]
    """Reads them, before the next key is asked for."""


_ABSENT = _Found(tables.digest(()), lambda: ())


@dataclass(frozen=True, slots=True)
class _Gathered:
    """An artefact in memory."""

    table: Mapping[str, Sequence[Row]]

    def keys(self) -> Iterator[str]:
        """Every key, once."""
        return iter(self.table)

    def find(self, key: str) -> _Found:
        """What there is under a key."""
        rows = self.table.get(key, ())
        return _Found(tables.digest(rows), lambda: rows)


class _Cursor:
    """Goes through an artefact once, and reads only the rows that are asked for."""

    def __init__(self, source: _Source) -> None:
        self._source = source
        self._entries = source.entries()
        self._next = next(self._entries, None)
        self._path: Path | None = None
        self._place = 0
        """Number of the row in that file that comes next."""
        self._rows: Iterator[Any] = iter(())

    def keys(self) -> Iterator[str]:
        """Every key, each found before the next is asked for."""
        while self._next is not None:
            yield self._next[2].key

    def find(self, key: str) -> _Found:
        """What there is under a key: nothing, unless it is its turn."""
        found = self._next
        if found is None or found[2].key != key:
            return _ABSENT
        self._next = next(self._entries, None)
        return _Found(found[2].digest, partial(self._read, *found))

    def _read(self, path: Path, start: int, entry: Entry) -> Sequence[Row]:
        if path != self._path or start - self._place > tables.ROWS:
            self._path, self._place = path, start
            self._rows = tables.stream(path, self._source.stage.row, start)
        skipped = start - self._place
        rows = list(itertools.islice(self._rows, skipped, skipped + entry.rows))
        self._place = start + entry.rows
        if len(rows) != entry.rows or any(self._source.stage.key(row) != entry.key for row in rows):
            raise DataError(
                f"{path} does not hold what its index says of {entry.key}.", why="It was changed by something else.", hint="Delete it to compute it again."
            )
        return rows
