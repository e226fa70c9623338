"""Nearly equal problems within one set: found by MinHash, confirmed exactly, the first one kept.

A problem *repeats* an earlier one when

- the Jaccard similarity of the three-word shingles of their statements is at least `NEAR`, and their references, where both have one, are mostly the same
  program (`SAME` of their fingerprints): "the greatest" and "the smallest" of a list are two problems in nearly the same words. Where one has no reference,
  their statements must name the same numbers; or
- their references are one program but for names, texts and order (`rrtf.overlap.normal`), and that is more than a line or two (`SHAPE_NODES` nodes).

Candidates for the first come from MinHash with locality-sensitive hashing (the library `rensa`, half a megabyte without dependencies, and so part of the light
core: `rrtf check` needs it). Each candidate is then compared exactly, so nothing is called a repetition by chance; that one is missed has the probability
(1 - s^3)^42 at similarity s: 0.4 % at the threshold, one in a million at 0.65. Problems are read one by one; what is kept of each is its signature and the
hashes of its shingles and fingerprints, in a temporary file. Not here: likeness to benchmarks (`rrtf.overlap.leaks`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from rrtf.framing import alone
from rrtf.overlap.trees import Form, form
from rrtf.overlap.words import numbers, shingles, words
from rrtf.records import Problem
from rrtf.sqlite_files import temporary

NEAR = 0.5
"""Jaccard similarity of statements from which they are near."""
SAME = 0.8
"""Jaccard similarity of fingerprints from which two references are mostly the same program."""
SHAPE_NODES = 25
"""Smaller programs are not compared without their statements."""
_HASHES, _BANDS, _SEED = 126, 42, 0
_MIX = np.uint64(0x9E3779B97F4A7C15)
_TABLES = """
    CREATE TABLE bands (band INTEGER, place INTEGER, PRIMARY KEY (band, place)) WITHOUT ROWID;
    CREATE TABLE kept (place INTEGER PRIMARY KEY, name TEXT, numbers TEXT, shingles BLOB, prints BLOB);
    CREATE TABLE shapes (whole INTEGER PRIMARY KEY, name TEXT);
"""


@dataclass(frozen=True, slots=True)
class Repeat:
    """A problem that is nearly an earlier one."""

    problem: str
    """Its name."""
    of: str
    """The name of the earlier one."""
    how: str
    """What they share, for people."""


class _Sketch(Protocol):
    def update(self, items: list[str]) -> None: ...
    def digest(self) -> list[int]: ...


@dataclass(frozen=True, slots=True)
class _Kept:
    name: str
    numbers: frozenset[str]
    """Those of the statement."""
    shingles: NDArray[np.uint64]
    prints: NDArray[np.uint64] | None
    """None without a reference that parses."""


def repeats(problems: Iterable[Problem]) -> Iterator[Repeat]:
    """Every problem that is nearly an earlier one, in order, with the one it is most like. What is itself a repetition is not compared with later ones."""
    with closing(Earlier()) as earlier:
        for problem in problems:
            found = earlier.repeated(problem)
            if found is not None:
                yield found


class Earlier:
    """What is remembered of the problems so far: signatures and hashes, in a file of our own that is gone when it is closed, so that memory does not grow."""

    def __init__(self) -> None:
        self._file, self._places = temporary(_TABLES), itertools.count()

    def close(self) -> None:
        """Forget everything."""
        self._file.close()

    def repeated(self, given: Problem) -> Repeat | None:
        """The earlier problem that this one nearly is. Where there is none, it is remembered itself."""
        problem = alone(given)
        runs = [" ".join(run) for run in shingles(words(problem.instruction))]
        bands = _bands(runs) if any(runs) else []
        known = form(problem.reference) if problem.reference is not None else None
        this = _Kept(problem.name, numbers(problem.instruction), _hashed(runs), None if known is None else _prints(known))
        found = _nearest(this, self._candidates(bands))
        if found is None and known is not None and known.size >= SHAPE_NODES and (same := self._shape(known.whole)) is not None:
            found = same, "its reference is that of {} but for names and texts"
        if found is not None:
            return Repeat(problem.name, found[0], found[1].format(found[0]))
        if known is not None:
            self._file.execute("INSERT OR IGNORE INTO shapes VALUES (?, ?)", (_signed(known.whole), problem.name))
        if bands:
            place = next(self._places)
            self._file.executemany("INSERT OR IGNORE INTO bands VALUES (?, ?)", [(band, place) for band in bands])
            prints = None if this.prints is None else this.prints.tobytes()
            self._file.execute("INSERT INTO kept VALUES (?, ?, ?, ?, ?)", (place, this.name, " ".join(this.numbers), this.shingles.tobytes(), prints))
        return None

    def _candidates(self, bands: list[int]) -> Iterator[_Kept]:
        """Earlier problems that share a band with this one, in their order."""
        places = {place for band in bands for (place,) in self._file.execute("SELECT place FROM bands WHERE band = ?", (band,))}
        for place in sorted(places):
            name, named, runs, prints = self._file.execute("SELECT name, numbers, shingles, prints FROM kept WHERE place = ?", (place,)).fetchone()
            known = None if prints is None else np.frombuffer(prints, np.uint64)
            yield _Kept(name, frozenset(named.split()), np.frombuffer(runs, np.uint64), known)

    def _shape(self, whole: int) -> str | None:
        found = self._file.execute("SELECT name FROM shapes WHERE whole = ?", (_signed(whole),)).fetchone()
        return None if found is None else found[0]


def _nearest(this: _Kept, candidates: Iterable[_Kept]) -> tuple[str, str] | None:
    best, most = None, NEAR
    for other in candidates:
        similarity = _jaccard(this.shingles, other.shingles)
        if similarity < most or (best is not None and similarity == most):
            continue
        if this.prints is None or other.prints is None:
            if this.numbers != other.numbers:
                continue
        elif _jaccard(this.prints, other.prints) < SAME:
            continue
        best, most = other.name, similarity
    return None if best is None else (best, f"{most:.0%} of the shingles of its statement are those of {{}}")


def _jaccard(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> float:
    shared = len(np.intersect1d(one, other, assume_unique=True))
    return shared / max(1, len(one) + len(other) - shared)


def _hashed(runs: list[str]) -> NDArray[np.uint64]:
    """64-bit hashes in order: what is left of a statement."""
    import rensa  # pyright: ignore[reportMissingTypeStubs] - it has none

    found = cast("list[list[int]]", rensa.RMinHash.hash_token_sets([runs]))  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]
    return np.unique(np.array(found[0], dtype=np.uint64))


def _prints(known: Form) -> NDArray[np.uint64]:
    return np.unique(np.array([known.whole, *known.prints], dtype=np.uint64))


def _bands(runs: list[str]) -> list[int]:
    """A number for each band of the MinHash: problems that share one are candidates."""
    import rensa  # pyright: ignore[reportMissingTypeStubs]

    sketch = cast("_Sketch", rensa.RMinHash(_HASHES, _SEED))  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]
    sketch.update(runs)
    rows = np.array(sketch.digest(), dtype=np.uint64).reshape(_BANDS, -1)
    mixed = np.arange(1, _BANDS + 1, dtype=np.uint64)
    for column in rows.T:  # what falls together by chance costs a comparison, and no more
        mixed = (mixed ^ column) * _MIX
        mixed ^= mixed >> np.uint64(29)
    return cast("list[int]", mixed.view(np.int64).tolist())


def _signed(whole: int) -> int:
    """64 bits as SQLite has them."""
    return whole - (1 << 64) if whole >> 63 else whole
