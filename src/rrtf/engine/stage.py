"""What a stage is: a frozen record that says what it reads, what bears its identity, and how its work is opened.

The engine knows nothing of code, models or RRTF: it joins rows by a key into cases, hands cases to work, and stores the rows that come back.
Not here: deciding what to run (`rrtf.engine.runner`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rrtf.identity import Json
from rrtf.protocols import Needs

Row = Any
"""A frozen record. Its type is the stage's `row`."""

Tick = Callable[[int], None]
"""Called with the number of units of work just finished."""


@dataclass(frozen=True, slots=True)
class Case:
    """One key (a problem's id) and every row learned about it so far."""

    key: str
    rows: Mapping[str, Sequence[Row]]
    """Rows by the name of the artefact they come from."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Work on one case that *we* could not finish: retried by the next run, counted, never turned into a row."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class Task:
    """A part's worth of cases, with what earlier runs of the same stage already know about them."""

    cases: tuple[Case, ...]
    known: Mapping[str, Sequence[Row]]
    """Rows of earlier parts by case key: same stage, same config, but perhaps another extent or other inputs. Match by content id before reuse."""
    tick: Tick


Work = Callable[[Task], Iterator[Row | Failure]]
"""Rows for the task's cases, in any order; the runner sorts them."""

Opener = Callable[[], AbstractContextManager[Work]]
"""Opens what the work needs (a model, a sandbox), once per worker."""


def _nothing() -> Json:
    return None


def _first(notes: Sequence[Json]) -> Json:
    return notes[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class MapStage:
    """Cases in, rows out, part by part. Interrupted work keeps its finished parts."""

    name: str
    version: int
    """Raised when the same inputs and config would give other rows than before."""
    reads: tuple[str, ...]
    """Names of the artefacts it reads; the cases are those of the first. Where none of them holds rows, the work gets one empty case."""
    row: type
    key: Callable[[Row], str]
    """The case key of a row."""
    order: Callable[[Row], tuple[Any, ...]]
    """Sort key of rows within a case, so that the order of completion does not matter."""
    identity: Json
    """The config that can change rows. What only says how to compute stays out."""
    extent: Json = None
    """Config that says how many rows, such as n: growing it keeps what is there."""
    open: Callable[[Mapping[str, Path]], Opener]
    """Given the folders of the artefacts it reads, how to open the work. Must survive pickling for process executors."""
    expected: Callable[[Case], int]
    """Units of work in a case, for the progress bar."""
    unit: str
    summarize: Callable[[Iterator[Row]], Json]
    """Counts for the manifest."""
    notes: Callable[[], Json] = _nothing
    """Facts about where it ran that belong into the manifest, such as what was isolated. Asked once per worker, there: must survive pickling."""
    agree: Callable[[Sequence[Json]], Json] = _first
    """What is noted where workers differ: their notes, each once."""
    part_cases: int = 32
    """Cases in one part: what a kill can cost. Bears no identity."""
    needs: Needs = "processors"
    """What its work asks of where it runs, for executors that have a choice. Bears no identity."""


@dataclass(frozen=True, slots=True)
class FoldTask:
    """Everything a fold stage reads, and the folder it writes."""

    cases: Callable[[], Iterator[Case]]
    inputs: Mapping[str, Path]
    folder: Path
    """Its own folder, kept over interruptions of the same work: half-finished work in it may be resumed."""
    progress: Callable[[str, int, str], AbstractContextManager[Tick]]
    """Opens a progress bar: label, total, unit."""
    rows: Callable[[str], Iterator[Row]]
    """Every row of an artefact it reads, by name, in order: for those whose keys are not the cases' own (an examination, in a report)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldStage:
    """All cases in, one folder out: training, reports."""

    name: str
    version: int
    reads: tuple[str, ...]
    identity: Json
    work: Callable[[FoldTask], Json]
    """Writes the folder and returns the summary for the manifest."""
    outputs: Callable[[Path], Sequence[Path]]
    """The files in the folder that count as its result: they make its digest."""
    tells: bool = False
    """It tells how its inputs came about (seconds, isolation, settings), not only what their rows are; then it is owed again whenever one was made again."""


Stage = MapStage | FoldStage


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Stages in order, in one directory. Every artefact is `directory/stage name`."""

    directory: Path
    stages: Sequence[Stage]

    def folder(self, name: str) -> Path:
        """Where the artefact of a stage lies."""
        return self.directory / name

    def stage(self, name: str) -> Stage:
        """The stage of that name."""
        return next(stage for stage in self.stages if stage.name == name)
