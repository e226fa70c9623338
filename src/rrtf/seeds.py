"""Seed problems for evolution: rows of many formats -> problems, with or without tests, and what could not be used.

Reads our own format, the formats that `rrtf convert` reads, CodeAlpaca's (`instruction`, `input`, `output`) and any other whose columns are named. A row that
cannot be used is set aside with file, line and field. Not here: what becomes of the seeds (`rrtf.evolution`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal, cast

from pydantic import BaseModel, ConfigDict, Field

from rrtf import convert, formats
from rrtf.benchmarks import open_benchmark
from rrtf.errors import DataError, RecipeError
from rrtf.extraction.syntax import parse
from rrtf.hub_data import PREFIX, parquet_files
from rrtf.identity import content_id
from rrtf.records import Problem

SeedFormat = Literal["problems", "alpaca", "columns", "humaneval", "mbpp", "apps", "leetcode", "kodcode"]
SeedField = Literal["instruction", "input", "name", "prompt", "entry_point", "reference"]


class SeedsConfig(BaseModel):
    """Where evolution begins."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    source: str = "starter"
    """`starter` for the training problems that come with rrtf; a file: JSONL, a JSON list, either of them gzipped, or Parquet; or `hub:OWNER/NAME`, a data set
    of the Hugging Face hub."""
    subset: str = "default"
    """Of a data set of the hub: its subset, which the hub also calls its config."""
    split: str = "train"
    """Of a data set of the hub: its split."""
    format: SeedFormat = "problems"
    """`problems` is ours (docs/formats.md), `alpaca` CodeAlpaca's, `columns` any whose columns are named; the others are as for `rrtf convert`."""
    columns: dict[SeedField, str] = {}
    """With `columns`: our field -> the file's. `instruction` is needed; `input` is added to it; the others are optional."""
    limit: int | None = Field(default=None, ge=1)
    """Use only the first so many rows; none means all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """A row and what became of it."""

    key: str
    """Content id of the problem; of the place, where there is none."""
    where: str
    """File and line, or entry of a list."""
    problem: Problem | None
    dropped: str = ""
    """Why it is set aside, with the field; empty when it is used."""


_ALPACA: dict[SeedField, str] = {"instruction": "instruction", "input": "input"}


def read(config: SeedsConfig) -> Iterator[Seed]:
    """Every row, in order, each when it is asked for; of equal problems the first. Raises `DataError` for a file that is none, `RecipeError`."""
    if config.format == "columns" and "instruction" not in config.columns:
        raise RecipeError(
            "evolve.seeds.columns names no column for 'instruction'.", why="A seed is a task in words.", hint="Say, for example, columns.instruction = 'text'."
        )
    seen: dict[str, str] = {}
    for where, found in islice(_found(config), config.limit):
        if isinstance(found, DataError):
            yield Seed(key=content_id("s", where), where=where, problem=None, dropped=found.message)
        elif found.id in seen:
            yield Seed(key=content_id("s", where), where=where, problem=None, dropped=f"{where} repeats {seen[found.id]}")
        else:
            seen[found.id] = where
            yield Seed(key=found.id, where=where, problem=found)


def _found(config: SeedsConfig) -> Iterator[tuple[str, Problem | DataError]]:
    if config.source == "starter":
        yield from ((problem.name, problem) for problem in open_benchmark("starter", split="train").problems())
        return
    hub = config.source.startswith(PREFIX)
    files = parquet_files(config.source.removeprefix(PREFIX), config.subset, config.split) if hub else [Path(config.source)]
    if config.format == "problems":
        yield from ((f"{_place(config, path)}, {problem.name}", problem) for path in files for problem in formats.read_problems(path))
    else:
        yield from _converted(config, config.format, (row for path in files for row in _rows(config, path)))


def _place(config: SeedsConfig, path: Path) -> str:
    """A file as errors name it: where the hub's cache lies says nothing."""
    return f"{config.source} {'/'.join(path.parts[-3:])}" if config.source.startswith(PREFIX) else str(path)


def _rows(config: SeedsConfig, path: Path) -> Iterator[tuple[str, object]]:
    return ((f"{_place(config, path)}{where.removeprefix(str(path))}", row) for where, row in convert.rows(path))


def _converted(
    config: SeedsConfig, form: Literal["alpaca", "columns", "humaneval", "mbpp", "apps", "leetcode", "kodcode"], rows: Iterator[tuple[str, object]]
) -> Iterator[tuple[str, Problem | DataError]]:
    for number, (where, row) in enumerate(rows, 1):
        try:
            if isinstance(row, DataError):
                raise row
            match form:
                case "alpaca":
                    yield where, _worded(row, _ALPACA, where, number)
                case "columns":
                    yield where, _worded(row, config.columns, where, number)
                case kind:
                    problem = convert.problem_of(kind, row, where, number)
                    formats.require_readable(problem, partial(_fault, where))
                    yield where, problem
        except DataError as error:
            yield where, error


def _worded(row: object, columns: Mapping[SeedField, str], where: str, number: int) -> Problem:
    """A task in words, without tests."""
    if not isinstance(row, Mapping):
        raise DataError(f"{where} is not a JSON object.", hint="Each row needs fields with names.")
    given = cast("Mapping[str, object]", row)
    words = _text(given, columns["instruction"], where)
    if not words:
        raise DataError(f"{where} has no text in {columns['instruction']!r}.", why="A seed is a task in words.", hint="Mend or remove the row.")
    rest = _text(given, columns["input"], where) if "input" in columns else ""
    reference = _text(given, columns["reference"], where) if "reference" in columns else ""
    if reference and parse(reference) is None:
        raise DataError(f"{where} has a {columns['reference']!r} that is not valid Python.", hint="Leave that column out, or mend the row.")
    return Problem(
        name=(_text(given, columns["name"], where) if "name" in columns else "") or f"seed-{number}",
        instruction=f"{words}\n\n{rest}" if rest and rest.lower() not in ("<noinput>", "no input", "none", "n/a") else words,
        prompt=_text(given, columns["prompt"], where) if "prompt" in columns else "",
        entry_point=(_text(given, columns["entry_point"], where) or None) if "entry_point" in columns else None,
        tests=(),
        reference=reference or None,
    )


def _text(row: Mapping[str, object], column: str, where: str) -> str:
    value = row.get(column)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(f"{where} has {value!r:.60} in {column!r}, which is not text.", hint="Mend or remove the row.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise DataError(f"{where} has half of a surrogate pair in {column!r}.", why="No file can hold it.", hint="Mend or remove the row.") from None
    return value.replace("\r\n", "\n").strip()


def _fault(where: str, field: str, what: str) -> DataError:
    return DataError(f"{where} gives a problem whose {field} cannot be used: {what}.", hint="Mend or remove the row.")
