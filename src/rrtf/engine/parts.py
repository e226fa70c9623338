"""Parts: the files of a map stage's artefact, each the rows of some cases. Written whole, found finished or owed, set aside when superseded.

Not here: which parts an artefact consists of (`rrtf.engine.runner`), how rows become Parquet (`rrtf.engine.tables`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from rrtf.engine import artifacts, tables
from rrtf.engine.artifacts import Manifest
from rrtf.engine.stage import Case, Failure, MapStage, Row
from rrtf.errors import DataError, RrtfError

SUPERSEDED = "superseded"
"""Where parts go that another config or other inputs left behind."""


def store(path: Path, stage: MapStage, identity: str, group: Sequence[Case], found: Sequence[Row | Failure]) -> None:
    """Write what the work found about a group of cases, in the cases' order. Failures of ours go into the part's metadata."""
    failed = [item for item in found if isinstance(item, Failure)]
    places = {case.key: place for place, case in enumerate(group)}
    good = [item for item in found if not isinstance(item, Failure)]
    if any(case.key for case in group):
        strangers = {stage.key(row) for row in good} - set(places)
        if strangers:
            raise RrtfError(f"Stage {stage.name} returned rows for cases it was not given: {sorted(strangers)[:3]}.")
        good.sort(key=lambda row: (places[stage.key(row)], *stage.order(row)))
    metadata = {
        "identity": identity,
        "rows": str(len(good)),
        "digest": tables.digest(good),
        "failures": "\n".join(f"{failure.key}\t{' '.join(failure.reason.split())}" for failure in failed),
    }
    tables.write(path, stage.row, good, metadata)


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


def known(folder: Path, stage: MapStage, identity: str) -> dict[str, list[Row]]:
    """Rows of every earlier part of the same stage and config, by case key."""
    known: dict[str, list[Row]] = defaultdict(list)
    for path in sorted([*folder.glob("part-*.parquet"), *folder.glob(f"{SUPERSEDED}/part-*.parquet")]):
        try:
            if tables.read_metadata(path).get("identity") == identity:
                for row in tables.read(path, stage.row):
                    known[stage.key(row)].append(row)
        except DataError:
            continue  # a damaged or older part has nothing to offer; it is computed again
    return known
