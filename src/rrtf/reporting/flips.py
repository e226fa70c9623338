"""The flip test's result: outcomes of the same answers on a quiet and on a busy machine, as a file and as sentences.

Not here: judging them (`rrtf.flips`).
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from rrtf.engine.artifacts import write_json
from rrtf.errors import DataError
from rrtf.identity import Json

FILE = "flips.json"
"""Where a run keeps its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """An answer whose outcome depended on the load."""

    answer: str
    """Its problem and number."""
    quiet: str
    """Outcome."""
    busy: str
    quiet_cause: str
    busy_cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipTest:
    """The same answers judged twice."""

    answers: int
    """Judged both times."""
    programs: int
    """Different ones among them."""
    busy_processes: int
    processors: int
    workers: int
    quiet_seconds: float
    busy_seconds: float
    judge_version: int
    failures: int
    """Answers that we failed to judge, at least once."""
    other_tests: int
    """Answers of the same outcome of which other tests passed."""
    flips: tuple[Flip, ...]

    def table(self) -> str:
        """How many went from which outcome to which, as Markdown; empty when none did."""
        counts = Counter((flip.quiet, flip.busy) for flip in self.flips)
        lines = [f"| {quiet} | {busy} | {count} |" for (quiet, busy), count in sorted(counts.items())]
        return "\n".join(["| quiet | busy | answers |", "|---|---|---|", *lines]) + "\n\n" if lines else ""

    def sentence(self) -> str:
        """The result in one sentence."""
        beside = f"{self.busy_processes} busy processes on {self.processors} processors"
        return f"{len(self.flips)} of {self.answers} answers ({self.programs} programs) had another outcome beside {beside} than without."


def write(path: Path, found: FlipTest) -> None:
    """Write the result, whole or not at all. Raises `DataError`."""
    write_json(path, dataclasses.asdict(found))


def as_json(found: FlipTest | None) -> Json:
    """The same as data."""
    return None if found is None else cast("Json", json.loads(json.dumps(dataclasses.asdict(found))))


def read(path: Path) -> FlipTest | None:
    """The result in a file; None where there is none. Raises `DataError` when it is damaged."""
    try:
        data = cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
        flips = tuple(Flip(**flip) for flip in cast("list[dict[str, Any]]", data.pop("flips")))
        return FlipTest(**data, flips=flips)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not the result of a flip test ({error}).", hint="Delete it, and judge again with --flips.") from error


def words(found: FlipTest | None) -> Iterator[str]:
    """What a report says of it."""
    if found is None:
        yield "Whether verdicts depend on the machine's load was not measured here (`rrtf judge RUN --flips` does)."
        return
    yield found.sentence()
    if found.failures:
        yield f"{found.failures} more could not be judged both times, for reasons of ours."
