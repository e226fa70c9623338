"""The starter problems: small Python problems written for this project, 250 to learn from and the others held out.

They are data (`src/rrtf/data/starter.jsonl`, the format of `docs/formats.md`). The split is part of the data and follows from the names alone
(`rrtf.quality.split`); `scripts/check_starter.py` proves that, and everything else that is claimed for them.
Not here: the claims themselves (`rrtf.quality`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from rrtf import formats
from rrtf.records import Problem, Split

TRAIN = 250
"""Problems to learn from; the others are held out."""


@dataclass(frozen=True, slots=True)
class Starter:
    """The shipped problems of one split, or all of them."""

    split: Split | None = None

    @property
    def name(self) -> str:
        """`starter`, whichever the split: the held-out problems are what the name means on the command line."""
        return "starter"

    def problems(self) -> Sequence[Problem]:
        """The problems in the order of their names."""
        with resources.as_file(resources.files("rrtf.data") / "starter.jsonl") as path:
            return [problem for problem in formats.read_problems(path) if self.split in (None, problem.split)]


def starter(split: Split | None = None) -> Starter:
    """The shipped problems: those to learn from (`train`), those held out (`test`), or all of them (None)."""
    return Starter(split)
