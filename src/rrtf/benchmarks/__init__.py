"""Sets of problems to be examined on, and how their results are counted: the front door.

`open_benchmark("humaneval")`, `("starter")`, `("mbpp:PATH")`, or the path of a problem file in our own format. Not here: asking models and judging
answers, which are the same for every benchmark (`rrtf.stages.evaluate`).
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rrtf.errors import DataError, RecipeError
from rrtf.protocols import Benchmark
from rrtf.records import Problem, Split

NAMES = ("humaneval", "mbpp", "starter")


@dataclass(frozen=True, slots=True)
class ProblemFile:
    """A problem file in our own format (`rrtf.formats`) as a benchmark."""

    path: Path

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    def problems(self) -> Sequence[Problem]:
        """Every problem of the file. Raises `DataError`."""
        from rrtf.formats import read_problems

        return read_problems(self.path)


@dataclass(frozen=True, slots=True)
class OneSplit:
    """The problems of a benchmark that belong to one split."""

    whole: Benchmark
    split: Split

    @property
    def name(self) -> str:
        """The name of the whole benchmark."""
        return self.whole.name

    def problems(self) -> Sequence[Problem]:
        """The problems of the split, in order. Raises `DataError` when there are none."""
        chosen = [problem for problem in self.whole.problems() if problem.split == self.split]
        if not chosen:
            raise DataError(
                f"{self.name} has no problem whose split is {self.split!r}.",
                why="There would be nothing to use.",
                hint=f'Give some problems "split": "{self.split}", or choose another benchmark.',
            )
        return chosen


def open_benchmark(name: str, path: Path | None = None, *, split: Split | None = None) -> Benchmark:
    """The benchmark of that name: one of `NAMES`, `mbpp:PATH` for `("mbpp", PATH)`, or the path of a problem file.

    `split` keeps only the problems of that split. Raises `RecipeError` for an unknown name; reading happens in `problems()`.
    """
    whole = _open(name, path)
    return OneSplit(whole, split) if split else whole


def _open(name: str, path: Path | None) -> Benchmark:
    kind, colon, rest = name.partition(":")
    match kind:
        case "humaneval" if not colon:
            from rrtf.benchmarks.humaneval import HumanEval

            return HumanEval()
        case "starter" if not colon:
            from rrtf.benchmarks.starter import Starter

            return Starter()
        case "mbpp":
            from rrtf.benchmarks.mbpp import Mbpp

            if path is None and not rest:
                raise RecipeError(
                    "The benchmark 'mbpp' needs a file.",
                    why="MBPP is not shipped with this package.",
                    hint="Download mbpp.jsonl from its authors and write mbpp:PATH/mbpp.jsonl.",
                )
            return Mbpp(path or Path(rest))
        case _:
            file = Path(name)
            if file.suffix in (".jsonl", ".parquet") or file.exists():
                return ProblemFile(file)
            near = difflib.get_close_matches(name, NAMES, n=1)
            raise RecipeError(
                f"There is no benchmark {name!r}.",
                hint=f"Did you mean {near[0]!r}?" if near else f"Use {', '.join(NAMES)}, or the path of a .jsonl or .parquet problem file.",
            )
