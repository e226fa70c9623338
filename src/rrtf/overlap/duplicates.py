"""Nearly equal problems within one set: found by MinHash, confirmed exactly, the first one kept.

A problem *repeats* an earlier one when

- the Jaccard similarity of the three-word shingles of their statements is at least `NEAR`, and their references, where both have one, are mostly the same
  program (`SAME` of their fingerprints): "the greatest" and "the smallest" of a list are two problems in nearly the same words. Where one has no reference,
  their statements must name the same numbers; or
- their references are one program but for names, texts and order (`rrtf.overlap.normal`), and that is more than a line or two (`SHAPE_NODES` nodes).

Candidates for the first come from MinHash with locality-sensitive hashing (the library `rensa`, half a megabyte without dependencies, and so part of the light
core: `rrtf check` needs it). Each candidate is then compared exactly, so nothing is called a repetition by chance; that one is missed has the probability
(1 - s^3)^42 at similarity s: 0.4 % at the threshold, one in a million at 0.65. Problems are read one by one; what is kept of each is its signature and the
hashes of its shingles and fingerprints. Not here: likeness to benchmarks (`rrtf.overlap.leaks`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from rrtf.framing import alone
from rrtf.overlap.trees import Form, form
from rrtf.overlap.words import numbers, shingles, words
from rrtf.records import Problem

NEAR = 0.5
"""Jaccard similarity of statements from which they are near."""
SAME = 0.8
"""Jaccard similarity of fingerprints from which two references are mostly the same program."""
SHAPE_NODES = 25
"""Smaller programs are not compared without their statements."""
_HASHES, _BANDS, _SEED = 126, 42, 0


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


class _Index(Protocol):
    def insert(self, key: int, minhash: _Sketch) -> None: ...
    def query(self, minhash: _Sketch) -> list[int]: ...


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
    earlier = Earlier()
    for problem in problems:
        found = earlier.repeated(problem)
        if found is not None:
            yield found


class Earlier:
    """What is remembered of the problems so far: signatures and hashes, some 4 kB for each."""

    def __init__(self) -> None:
        self._index, self._kept, self._shapes = _index(), list[_Kept](), dict[int, str]()

    def repeated(self, given: Problem) -> Repeat | None:
        """The earlier problem that this one nearly is. Where there is none, it is remembered itself."""
        problem = alone(given)
        runs = [" ".join(run) for run in shingles(words(problem.instruction))]
        sketch = _sketch(runs)
        known = form(problem.reference) if problem.reference is not None else None
        this = _Kept(problem.name, numbers(problem.instruction), _hashed(runs), None if known is None else _prints(known))
        found = _nearest(this, [self._kept[place] for place in sorted(self._index.query(sketch))]) if any(runs) else None
        if found is None and known is not None and known.size >= SHAPE_NODES and known.whole in self._shapes:
            found = self._shapes[known.whole], "its reference is that of {} but for names and texts"
        if found is not None:
            return Repeat(problem.name, found[0], found[1].format(found[0]))
        if known is not None:
            self._shapes.setdefault(known.whole, problem.name)
        if any(runs):
            self._index.insert(len(self._kept), sketch)
            self._kept.append(this)
        return None


def _nearest(this: _Kept, candidates: list[_Kept]) -> tuple[str, str] | None:
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


def _sketch(runs: list[str]) -> _Sketch:
    import rensa  # pyright: ignore[reportMissingTypeStubs]

    made = cast("_Sketch", rensa.RMinHash(_HASHES, _SEED))  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]
    made.update(runs)
    return made


def _index() -> _Index:
    import rensa  # pyright: ignore[reportMissingTypeStubs]

    return cast("_Index", rensa.RMinHashLSH(NEAR, _HASHES, _BANDS))  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]
