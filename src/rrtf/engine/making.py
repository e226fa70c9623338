"""Makes the artefact of a map stage: which parts it has, which of them are there, the work for the others, and the manifest.

A part's name is a hash of identity, extent and the content of its cases, so a part that exists under its name is the one that is wanted, whatever happened
since. Names follow from the indices of what is read; rows are read for the parts that are owed, part by part. Not here: whether the stage runs at all
(`rrtf.engine.runner`).
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rrtf.engine import artifacts, parts, tables
from rrtf.engine.artifacts import Manifest, Part
from rrtf.engine.joining import Join, Outline, reads_rows
from rrtf.engine.progress import Bar, progress
from rrtf.engine.stage import Case, Failure, FoldStage, MapStage, Opener, Pipeline, Row, Task, Tick, Work
from rrtf.identity import Json, fingerprint
from rrtf.protocols import Executor, Lost


def make(pipeline: Pipeline, stage: MapStage, inputs: Mapping[str, str], executor: Executor, say: Callable[[str], None]) -> Manifest:
    """Bring the parts of a stage up to date. Returns its manifest, without the fingerprint, inputs and seconds that the runner knows."""
    folder = pipeline.folder(stage.name)
    # What is not joined into cases (a trained model, say) must still change the parts when it changes.
    folds = {name: digest for name, digest in inputs.items() if isinstance(pipeline.stage(name), FoldStage)}
    identity = fingerprint([stage.name, stage.version, stage.identity, folds])
    join = Join(pipeline, stage)
    names, sizes = _names(join.outlines(), stage, identity)
    owed = [number for number, name in enumerate(names) if not parts.finished(folder / name)]
    if owed and len(owed) < len(names):
        say(f"  {len(names) - len(owed)} of {len(names)} parts are kept")
    notes: list[Json] = []
    if owed:
        opener = stage.open({name: pipeline.folder(name).absolute() for name in stage.reads})
        with progress(stage.name, 0, stage.unit) as bar:
            if reads_rows(pipeline, stage):
                known = parts.Known(folder, stage, identity, {names[number] for number in set(range(len(names))) - set(owed)})
                share = _Share(stage, join, names, set(owed), sum(sizes[number] for number in owed), known, bar)
                notes = share.out(opener, executor, folder, identity)
            else:
                notes = [_alone(opener, stage, folder / names[0], identity, bar)]
    return _manifest(folder, stage, names, notes)


def _names(outlines: Iterator[Outline], stage: MapStage, identity: str) -> tuple[list[str], list[int]]:
    """The names of all parts, and how many cases each has."""
    names, sizes = list[str](), list[int]()
    while group := list(itertools.islice(outlines, stage.part_cases)):
        content = [[one.key, dict(one.digests)] for one in group]
        names.append(f"part-{len(names):05d}-{fingerprint([identity, stage.extent, content])[:12]}.parquet")
        sizes.append(len(group))
    return names, sizes


def _alone(opener: Opener, stage: MapStage, path: Path, identity: str, bar: Bar) -> Json:
    """Work that reads no rows: there is one part and nothing to share out, so it is done here, and its rows are written as they come."""
    case = Case("", {})
    bar.expect(stage.expected(case))
    notes = stage.notes()
    with opener() as work:
        parts.store(path, stage, identity, (case,), work(Task((case,), {}, bar)))
    return notes


class _Share:
    """Owed parts on their way to workers and back."""

    def __init__(self, stage: MapStage, join: Join, names: Sequence[str], owed: set[int], cases: int, known: parts.Known, bar: Bar) -> None:
        self._stage, self._join, self._names, self._owed, self._cases, self._known, self._bar = stage, join, names, owed, cases, known, bar
        self._away: dict[int, tuple[int, tuple[Case, ...], int]] = {}
        """Position -> number, cases and units of a part that is not back yet."""

    def out(self, opener: Opener, executor: Executor, folder: Path, identity: str) -> list[Json]:
        """Have the work done and its rows stored. Returns what workers note, each note once."""
        stage, notes = self._stage, list[Json]()
        count, done = _Count(self._bar), 0
        for position, found in executor.map(partial(_collecting, opener, stage.notes), self._tasks(count), stage.needs):
            number, group, units = self._away.pop(position)
            told = _Told([Failure(case.key, found.reason) for case in group], None) if isinstance(found, Lost) else found
            parts.store(folder / self._names[number], stage, identity, group, told.rows)
            if told is found and told.notes not in notes:
                notes.append(told.notes)
            done += units
            count.reach(done)
        return notes

    def _tasks(self, count: _Count) -> Iterator[Task]:
        """The work of the owed parts. How much it is in all is guessed from what was given out, and known at the end: nobody reads everything for a bar."""
        cases = units = 0
        for position, (number, group) in enumerate(self._groups()):
            here = sum(self._stage.expected(case) for case in group)
            cases, units = cases + len(group), units + here
            self._bar.expect(round(units * self._cases / cases))
            self._away[position] = number, group, here
            yield Task(group, self._known.of(group), count)

    def _groups(self) -> Iterator[tuple[int, tuple[Case, ...]]]:
        size = self._stage.part_cases
        wanted = self._join.cases(lambda number: number // size in self._owed)
        for number, some in itertools.groupby(wanted, lambda found: found[0] // size):
            yield number, tuple(case for _, case in some)


class _Count:
    """Counts finished units for the progress bar. A copy that was sent to another process counts nothing; `reach` makes up for it when a part comes back."""

    def __init__(self, tick: Tick) -> None:
        self._tick = tick
        self._done = 0

    def __call__(self, count: int) -> None:
        self._done += count
        self._tick(count)

    def reach(self, done: int) -> None:
        """Count up to `done`, if that many are not counted yet."""
        if done > self._done:
            self(done - self._done)

    def __reduce__(self) -> tuple[object, ...]:
        return (_nowhere, ())


def _nowhere() -> Tick:
    return _Count(lambda count: None)


@dataclass(frozen=True, slots=True)
class _Told:
    """What a worker sends back for a part."""

    rows: Sequence[Row | Failure]
    notes: Json
    """Of the worker, about where it works."""


@contextmanager
def _collecting(opener: Opener, notes: Callable[[], Json]) -> Generator[Callable[[Task], _Told]]:
    with opener() as work:
        yield partial(_collect, work, notes())


def _collect(work: Work, notes: Json, task: Task) -> _Told:
    return _Told(list(work(task)), notes)


def _manifest(folder: Path, stage: MapStage, names: Sequence[str], notes: list[Json]) -> Manifest:
    written: list[Part] = []
    failures: list[dict[str, str]] = []
    for name in names:
        metadata = tables.read_metadata(folder / name)
        written.append(Part(name, int(metadata["rows"]), metadata["digest"]))
        failures.extend({"key": key, "reason": reason} for key, reason in parts.failures(metadata))
    # The digest is of the rows, not of the parts they happen to lie in: the size of parts bears no identity.
    total = hashlib.sha256()
    rows = _digested((row for part in written for row in tables.stream(folder / part.file, stage.row)), total.update)
    summary = stage.summarize(rows)
    for _ in rows:
        pass  # what a summary does not look at counts too
    return Manifest(
        stage=stage.name,
        version=stage.version,
        fingerprint="",
        digest=total.hexdigest(),
        identity=stage.identity,
        extent=stage.extent,
        inputs={},
        parts=tuple(written),
        summary=summary,
        notes=stage.agree(sorted(notes, key=repr)) if notes else stage.notes(),
        failures=tuple(failures),
        seconds=0.0,
        environment=artifacts.environment(),
    )


def _digested(rows: Iterable[Row], take: Callable[[bytes], object]) -> Iterator[Row]:
    for row in rows:
        take(tables.line(row))
        yield row
