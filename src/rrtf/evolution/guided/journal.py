"""What became of candidates, chunk by chunk, on disk: an evolution that was killed goes on behind its last whole chunk.

Candidates as such are not stored: the same seeds, configuration and seed make them again, in the same order. What is stored is what took programs to find
out. Not here: how candidates are judged (`growing`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from rrtf.engine import tables
from rrtf.engine.artifacts import make_folder
from rrtf.errors import DataError
from rrtf.evolution.lineage import Evolved


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A candidate, what became of it, and what later ones have to differ from."""

    evolved: Evolved
    inputs: tuple[str, ...] = ()
    """Inputs that it allows; none where it was not compared with others."""
    outputs: tuple[str, ...] = ()
    """Results on these."""
    did: str = ""
    """A name for what it did on the pool (`distinct.told`); empty where it was not compared with others."""


@dataclass(frozen=True, slots=True)
class Journal:
    """The chunks of one evolution, in a folder of their own."""

    folder: Path | None = None
    """None remembers nothing."""

    def open(self) -> None:
        """Make the folder, and sweep away what a killed process left half-written. Raises `DataError`."""
        if self.folder is not None:
            make_folder(self.folder)

    def known(self, number: int, names: Sequence[str]) -> list[Judged] | None:
        """A chunk of an earlier process; None where there is none of candidates with these names, or it was damaged by a crash of the machine."""
        path = self._path(number)
        if path is None or not path.is_file():
            return None
        try:
            found = cast("list[Judged]", tables.read(path, Judged))
        except DataError:
            return None  # it is judged again
        return found if [one.evolved.problem.name for one in found] == list(names) else None

    def store(self, number: int, judged: Sequence[Judged]) -> None:
        """Write a chunk, whole or not at all. Raises `DataError`."""
        path = self._path(number)
        if path is not None:
            tables.write(path, Judged, judged, {})

    def _path(self, number: int) -> Path | None:
        return None if self.folder is None else self.folder / f"chunk-{number:05}.parquet"


NOWHERE = Journal()
"""Remembers nothing."""
