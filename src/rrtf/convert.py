"""Files of HumanEval, MBPP, APPS, TACO, LeetCodeDataset and KodCode, as their authors released them, -> problem files in our format.

Reads JSONL, a JSON list (sanitized-mbpp.json), either of them gzipped, and Parquet. A row that cannot be used is set aside with its reason instead of ending
everything. Not here: how a row of a benchmark becomes a problem (`rrtf.benchmarks`), and whether the problems are any good (`rrtf check`).
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, cast

from rrtf import formats
from rrtf.benchmarks import apps, humaneval, kodcode, leetcode, mbpp
from rrtf.benchmarks.assertions import Kept, rewritten
from rrtf.engine import tables
from rrtf.errors import DataError
from rrtf.quality.split import stratified
from rrtf.records import AssertTest, CallTest, Problem

Kind = Literal["humaneval", "mbpp", "apps", "leetcode", "kodcode"]
_SUITES = ("humaneval", "mbpp", "leetcode")
"""Those that are written as asserts."""

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
    calls: int = 0
    """Problems whose asserts became calls that are compared outside the sandbox."""
    kept: Mapping[str, int] = field(default_factory=dict[str, int])
    """Why asserts stayed code, and in how many problems."""

    @property
    def written(self) -> int:
        """Problems written."""
        return self.train + self.test

    def lines(self) -> Iterator[str]:
        """The same for people."""
        for row in self.set_aside:
            yield f"set aside: {row.reason}"
        if self.calls or self.kept:
            yield f"asserts of {self.calls} problems became calls, compared outside the sandbox; of {sum(self.kept.values())} they stayed code"
        for reason, count in sorted(self.kept.items(), key=lambda pair: (-pair[1], pair[0])):
            yield f"stayed code: {reason} ({count})"
        yield f"{self.out}: {self.written} problems ({self.train} train, {self.test} test), {len(self.set_aside)} rows set aside"


def convert(source: Path, kind: Kind, out: Path, *, train: int | None = None) -> Conversion:
    """Write the problems of a file of that kind (`apps` is TACO's too) to `out` as JSONL, whole or not at all.

    `train` sets that many aside for training (`rrtf.quality.split`) instead of the split that the benchmark's authors made. Raises `DataError` when the
    file cannot be read, when nothing in it can be used, or when there are fewer problems than `train`.
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
    calls = sum(isinstance(problem.tests[0], CallTest) for problem in chosen) if kind in _SUITES else 0
    kept = Counter(_why_kept(problem) for problem in chosen if isinstance(problem.tests[0], AssertTest))
    return Conversion(out, trained, len(chosen) - trained, tuple(set_aside), calls, kept)


def _why_kept(problem: Problem) -> str:
    code = "\n".join(test.code for test in problem.tests if isinstance(test, AssertTest))
    found = rewritten(code, problem.entry_point or "")
    return found.reason if isinstance(found, Kept) else "set-up code"


def _problems(source: Path, kind: Kind) -> Iterator[tuple[str, Problem | DataError]]:
    if kind == "humaneval" and source == PACKAGE and not source.exists():
        yield from ((problem.name, problem) for problem in humaneval.HumanEval().problems())
        return
    for number, (where, row) in enumerate(rows(source), 1):
        try:
            if isinstance(row, DataError):
                raise row
            problem = problem_of(kind, row, where, number)
            formats.require_readable(problem, partial(_fault, where))
            yield where, problem
        except DataError as error:
            yield where, error


def problem_of(kind: Kind, row: object, where: str, number: int) -> Problem:
    """The problem in a row, the `number`-th of its file; `where` names it in errors. Raises `DataError`."""
    match kind:
        case "humaneval":
            return _humaneval(row, where)
        case "mbpp":
            return mbpp.problem_of(row, where)[1]
        case "apps":
            return apps.problem_of(row, where, number)
        case "leetcode":
            return leetcode.problem_of(row, where)
        case "kodcode":
            return kodcode.problem_of(row, where, number)


def _fault(where: str, field: str, what: str) -> DataError:
    return DataError(f"{where} gives a problem whose {field} cannot be used: {what}.", hint="Mend or remove the row.")


def _humaneval(row: object, where: str) -> Problem:
    fields = cast("Mapping[str, object]", row if isinstance(row, Mapping) else {})
    for name in _HUMANEVAL_FIELDS:
        if not isinstance(fields.get(name), str):
            raise DataError(f"{where} has no text as {name!r}.", hint=f"Each row needs {', '.join(_HUMANEVAL_FIELDS)}.")
    return humaneval.problem_of(cast("Mapping[str, str]", fields))


def rows(source: Path) -> Iterator[tuple[str, object]]:
    """Place and content of every row; a `DataError` for one that is not JSON. Raises `DataError` for a file that is none."""
    if source.suffix == ".parquet":
        try:
            yield from ((f"{source}, row {number}", row) for number, row in enumerate(tables.read_plain(source), 1))
        except OSError as error:
            raise DataError(f"{source} cannot be read ({error.strerror or error}).", hint="Give the file as its authors released it.") from error
        return
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
