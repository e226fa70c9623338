"""Parts: the files of a map stage's artefact, each the rows of some cases. Written whole, found finished or owed, set aside when superseded.

Every part carries an index of its cases (key, number of rows, digest), so that most questions about an artefact are answered without reading its rows.
Not here: which parts an artefact consists of (`rrtf.engine.making`), how rows become Parquet (`rrtf.engine.tables`).
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rrtf.engine import artifacts, tables
from rrtf.engine.artifacts import Manifest
from rrtf.engine.stage import Case, Failure, MapStage, Row
from rrtf.errors import DataError, RrtfError

SUPERSEDED = "superseded"
"""Where parts go that another config or other inputs left behind."""
_OPEN = 8
"""Earlier parts whose rows are kept at hand."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Rows with one key that lie beside one another in a part."""

    key: str
    rows: int
    digest: str
    """`rrtf.engine.tables.digest` of them."""


def store(path: Path, stage: MapStage, identity: str, group: Sequence[Case], found: Iterable[Row | Failure]) -> None:
    """Write what the work found about a group of cases, in the cases' order. Failures of ours go into the part's metadata.

    Where the only case is the empty one, rows lie as they come, and are written as they come.
    """
    failed: list[Failure] = []
    good = _good(found, failed)
    if any(case.key for case in group):
        places = {case.key: place for place, case in enumerate(group)}
        rows = list(good)
        strangers = {stage.key(row) for row in rows} - set(places)
        if strangers:
            raise RrtfError(f"Stage {stage.name} returned rows for cases it was not given: {sorted(strangers)[:3]}.")
        good = iter(sorted(rows, key=lambda row: (places[stage.key(row)], *stage.order(row))))
    index = _Index(stage)
    metadata = {"identity": identity}
    tables.write(
        path,
        stage.row,
        index.through(good),
        lambda: {
            **metadata,
            "rows": str(index.count),
            "digest": index.total.hexdigest(),
            "failures": "\n".join(f"{failure.key}\t{' '.join(failure.reason.split())}" for failure in failed),
            "cases": index.lines.decode(),
        },
    )


def _good(found: Iterable[Row | Failure], failed: list[Failure]) -> Iterator[Row]:
    for item in found:
        if isinstance(item, Failure):
            failed.append(item)
        else:
            yield item


class _Index:
    """What is noted of rows while they pass."""

    def __init__(self, stage: MapStage) -> None:
        self._key = stage.key
        self.count, self.total = 0, hashlib.sha256()
        self.lines = bytearray()  # of a whole corpus: a list of texts would be three times as large

    def through(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows, as they are."""
        for key, some in itertools.groupby(rows, self._key):
            digest, count = hashlib.sha256(), 0
            for row in some:
                line = tables.line(row)
                digest.update(line)
                self.total.update(line)
                count += 1
                yield row
            self.count += count
            self.lines += f"{digest.hexdigest()} {count} {json.dumps(key)}\n".encode()


def index(path: Path, stage: MapStage) -> Iterator[Entry]:
    """The cases of a part, in the order of their rows. Parts of older versions have no index: their rows are read."""
    told = tables.read_metadata(path).get("cases")
    if told is None:
        noting = _Index(stage)
        for _ in noting.through(tables.stream(path, stage.row)):
            pass
        told = noting.lines.decode()
    start = 0
    while (end := told.find("\n", start)) >= 0:  # the part of a whole corpus is not split into a list of lines
        digest, count, key = told[start:end].split(" ", 2)
        yield Entry(json.loads(key), int(count), digest)
        start = end + 1


def finished(path: Path) -> bool:
    """Whether a part is there, whole, and without a failure of ours."""
    if not path.is_file():
        return False
    try:
        metadata = tables.read_metadata(path)
    except DataError:
        return False  # damaged by a crash of the machine: it is owed again
    return "digest" in metadata and not failures(metadata)


def failures(metadata: Mapping[str, str]) -> list[tuple[str, str]]:
    """(case key, reason) of every failure of ours in a part."""
    return [(key, reason) for key, _, reason in (line.partition("\t") for line in metadata.get("failures", "").splitlines())]


def set_aside(folder: Path, manifest: Manifest) -> None:
    """Move parts that are no longer of the artefact out of the way of whoever reads `part-*`. A config that comes back finds their rows again."""
    current = {part.file for part in manifest.parts}
    old = [path for path in folder.glob("part-*.parquet") if path.name not in current]
    if old:
        artifacts.make_folder(folder / SUPERSEDED)
    for path in old:
        path.replace(folder / SUPERSEDED / path.name)


class Known:
    """Rows of earlier parts of the same stage and config, found by case key when they are asked for.

    What is in memory is a number for each key, and the rows of the last few parts that were asked for.
    """

    def __init__(self, folder: Path, stage: MapStage, identity: str, current: Collection[str]) -> None:
        """`current` names parts that need no looking into: their cases are finished."""
        self._stage = stage
        self._paths: list[Path] = []
        self._places: dict[int, tuple[int, ...]] = {}
        """Hash of a key -> which of the paths. Keys that share a hash cost a look, and no more."""
        self._rows: OrderedDict[int, dict[str, list[Row]]] = OrderedDict()
        for path in sorted([*folder.glob("part-*.parquet"), *folder.glob(f"{SUPERSEDED}/part-*.parquet")]):
            if path.parent == folder and path.name in current:
                continue
            try:
                if tables.read_metadata(path).get("identity") == identity:
                    self._note(path)
            except DataError:
                continue  # a damaged or older part has nothing to offer; it is computed again

    def _note(self, path: Path) -> None:
        keys = {hash(entry.key) for entry in index(path, self._stage)}
        here = (len(self._paths),)
        self._paths.append(path)
        for key in keys:
            before = self._places.get(key)
            self._places[key] = here if before is None else before + here

    def of(self, group: Iterable[Case]) -> dict[str, list[Row]]:
        """What is known of some cases, by key."""
        wanted = {case.key for case in group}
        found: dict[str, list[Row]] = {}
        for place in sorted({place for key in wanted for place in self._places.get(hash(key), ())}):
            for key, rows in self._read(place).items():
                if key in wanted:
                    found.setdefault(key, []).extend(rows)
        return found

    def _read(self, place: int) -> dict[str, list[Row]]:
        if place in self._rows:
            self._rows.move_to_end(place)
            return self._rows[place]
        rows: dict[str, list[Row]] = {}
        try:
            for row in tables.stream(self._paths[place], self._stage.row):
                rows.setdefault(self._stage.key(row), []).append(row)
        except DataError:
            rows = {}  # damaged in the middle
        self._rows[place] = rows
        if len(self._rows) > _OPEN:
            self._rows.popitem(last=False)
        return rows
