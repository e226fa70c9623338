"""HumanEval and MBPP files, as their authors released them, -> problem files in our format.

Reads JSONL, a JSON list (sanitized-mbpp.json), and either of them gzipped. A row that cannot be used is set aside with its reason instead of ending
everything. Not here: how a
row of a benchmark becomes a problem (`rrtf.benchmarks`), and whether the problems are any good (`rrtf check`).
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, cast

from rrtf import formats
from rrtf.benchmarks import humaneval, mbpp
from rrtf.errors import DataError
from rrtf.quality.split import stratified
from rrtf.records import Problem

Kind = Literal["humaneval", "mbpp"]

PACKAGE = Path("package")
"""As the source of HumanEval: its Python package, which carries the data."""
_HUMANEVAL_FIELDS = ("task_id", "prompt", "entry_point", "canonical_solution", "test")


@dataclass(frozen=True, slots=True)
class SetAside:
    """A row that was not converted."""

    where: str
    """File and line, or entry of a list."""
    reason: str


@dataclass(frozen=True, slots=True)
class Conversion:
    """What became of a file."""

    out: Path
    train: int
    """Problems written whose split is `train`."""
    test: int
    set_aside: tuple[SetAside, ...]

    @property
    def written(self) -> int:
        """Problems written."""
        return self.train + self.test

    def lines(self) -> Iterator[str]:
        """The same for people."""
        for row in self.set_aside:
            yield f"set aside: {row.reason}"
        yield f"{self.out}: {self.written} problems ({self.train} train, {self.test} test), {len(self.set_aside)} rows set aside"


def convert(source: Path, kind: Kind, out: Path, *, train: int | None = None) -> Conversion:
    """Write the problems of a HumanEval or MBPP file to `out` as JSONL, whole or not at all.

    `train` sets that many aside for training (`rrtf.quality.split`) instead of the split that the benchmark's authors made. Raises `DataError` when the
    file cannot be
    read, when nothing in it can be used, or when there are fewer problems than `train`.
    """
    problems: dict[str, Problem] = {}
    set_aside: list[SetAside] = []
    for where, problem in _problems(source, kind):
        if isinstance(problem, DataError):
            set_aside.append(SetAside(where, problem.message))
        elif problem.name in problems:
            set_aside.append(SetAside(where, f"{where} repeats {problem.name}."))
        else:
            problems[problem.name] = problem
    if not problems:
        reason = f" The first row: {set_aside[0].reason}" if set_aside else ""
        raise DataError(f"{source} holds no {kind} problem that can be used.{reason}", hint="Give the file as its authors released it.")
    chosen = list(problems.values()) if train is None else stratified(problems.values(), train)
    formats.write_problems(out, chosen)
    trained = sum(problem.split == "train" for problem in chosen)
    return Conversion(out, trained, len(chosen) - trained, tuple(set_aside))


def _problems(source: Path, kind: Kind) -> Iterator[tuple[str, Problem | DataError]]:
    if kind == "humaneval" and source == PACKAGE and not source.exists():
        yield from ((problem.name, problem) for problem in humaneval.HumanEval().problems())
        return
    for where, row in _rows(source):
        try:
            if isinstance(row, DataError):
                raise row
            problem = mbpp.problem_of(row, where)[1] if kind == "mbpp" else _humaneval(row, where)
            formats.require_readable(problem, partial(_fault, where))
            yield where, problem
        except DataError as error:
            yield where, error


def _fault(where: str, field: str, what: str) -> DataError:
    return DataError(f"{where} gives a problem whose {field} cannot be used: {what}.", hint="Mend or remove the row.")


def _humaneval(row: object, where: str) -> Problem:
    fields = cast("Mapping[str, object]", row if isinstance(row, Mapping) else {})
    for name in _HUMANEVAL_FIELDS:
        if not isinstance(fields.get(name), str):
            raise DataError(f"{where} has no text as {name!r}.", hint=f"Each row needs {', '.join(_HUMANEVAL_FIELDS)}.")
    return humaneval.problem_of(cast("Mapping[str, str]", fields))


def _rows(source: Path) -> Iterator[tuple[str, object]]:
    """Place and content of every row; a `DataError` for one that is not JSON. Raises `DataError` for a file that is none."""
    text = _text(source)
    if text.lstrip().startswith("["):
        try:
            rows = cast("Iterable[object]", json.loads(text))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{source} is not JSON ({error}).", why="The file may be half-written.", hint="Fetch it again.") from error
        yield from ((f"{source}, entry {number}", row) for number, row in enumerate(rows, 1))
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{source}, line {number}"
            try:
                yield where, json.loads(line)
            except (ValueError, RecursionError) as error:
                yield where, DataError(f"{where} is not JSON ({error}).")


def _text(source: Path) -> str:
    try:
        content = source.read_bytes()
        return (gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content).decode("utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"There is no file {source}.", hint="Give the file as its authors released it, or `package` for HumanEval's package.") from error
    except (UnicodeDecodeError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{source} is neither UTF-8 text nor gzipped text ({error}).", hint="Give the file as its authors released it.") from error
    except OSError as error:
        raise DataError(f"{source} cannot be read ({error.strerror or error}).", hint="Check that it is a file you may read.") from error
