"""`rrtf judge`: verdicts on a file of answers made elsewhere, one line per answer in the order of the file.

The file is read as it is judged, and of what was read only numbers are held, so it may be as long as one likes. Verdicts are kept as they come, in the cache
(`rrtf.verdict_store`): a killed run loses at most the programs that were running, and a longer file pays for what is new. The output is written whole at the
end. A failure of ours is in a list of its own and never among the verdicts. Not here: what became of answers from Python (`rrtf.judged`).
"""

from __future__ import annotations

import json
import os
import tempfile
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from rrtf.benchmarks import intervals
from rrtf.benchmarks.passk import per_problem
from rrtf.engine import tables
from rrtf.engine.progress import progress
from rrtf.formats import read_responses
from rrtf.judged import results, unknown
from rrtf.judging import Tally, open_judge
from rrtf.prompting import FormatName
from rrtf.records import Outcome, Problem, Verdict
from rrtf.sandbox import PlainConfig, ProcessConfig, SandboxRuntime
from rrtf.sandbox.harness import JudgingFailure

_KS = (1, 10, 100)
_NONE = -1
"""The place of a line that has no verdict."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a file of answers."""

    answers: int
    outcomes: Mapping[Outcome, int]
    failures: Mapping[str, str]
    """Name of the problem and number of the answer -> why we could not judge it."""
    scores: str
    """pass@k with intervals over problems, as a Markdown table; empty where no problem has all its verdicts."""
    tally: Tally
    """What was run, and what was known already."""


def judge_file(
    answers: Path,
    problems: Sequence[Problem],
    out: Path,
    sandbox: ProcessConfig | PlainConfig,
    runtime: SandboxRuntime,
    form: FormatName,
    say: Callable[[str], object],
) -> Judged:
    """Judge every answer of a JSONL or Parquet file and write `out`, a JSON object per answer. Raises `DataError` or `SandboxError`.

    `form` is the prompt format that the answers continue, as `rrtf.prompting` has it: `raw` for completions of the problem's own prompt.
    """
    by_name = {problem.name: problem for problem in problems}
    total = _checked(answers, by_name)
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    outcomes: Counter[Outcome] = Counter()
    names, indices, failures, tally = list[str](), array("q"), dict[str, str](), Tally()
    asked: Counter[str] = Counter()

    def pairs() -> Iterator[tuple[Problem, str]]:
        for _, row in read_responses(answers):
            problem = by_name[row.name]
            names.append(problem.name)
            indices.append(asked[problem.name])
            asked[problem.name] += 1
            yield problem, row.completion

    with _Lines(out, total) as lines, open_judge(sandbox, runtime, tally, say) as judge, progress("judge", total, "answers") as tick:
        for position, found in results(pairs(), judge, form):
            name, index = names[position], indices[position]
            counts[name][0] += 1
            if isinstance(found, JudgingFailure):
                failures[f"{name} {index}"] = found.reason
                counts[name][0] = _NONE * total  # never whole again: leaving out one of its answers would bend its score
            else:
                outcomes[found.outcome] += 1
                counts[name][1] += found.outcome is Outcome.PASSED
                lines.put(position, _row(name, index, found))
            tick(1)
        lines.publish()
    return Judged(total, outcomes, failures, _scores([(n, correct) for n, correct in counts.values() if n > 0]), tally)


def _checked(path: Path, by_name: Mapping[str, Problem]) -> int:
    """The number of answers. Raises `DataError` for the first that cannot be judged, before any is."""
    total = 0
    for number, row in read_responses(path):
        if row.name not in by_name:
            raise unknown(row.name, by_name, f"{path}: line {number}")
        total += 1
    return total


def _row(name: str, index: int, verdict: Verdict) -> dict[str, Any]:
    return {
        "task_id": name,
        "index": index,
        "outcome": verdict.outcome.name,
        "passed": verdict.passed,
        "total": verdict.total,
        "tests": list(verdict.tests),
        "cause": verdict.cause,
        "cpu_seconds": verdict.cpu_seconds,
        "wall_seconds": verdict.wall_seconds,
        "peak_mb": verdict.peak_mb,
    }


class _Lines:
    """A file of lines that come in any order: they lie in a nameless file until all are there. Raises `DataError` when the disk refuses."""

    def __init__(self, out: Path, total: int) -> None:
        self._out, self._places, self._end = out, array("q", [_NONE]) * total, 0
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = tempfile.TemporaryFile(dir=out.parent)  # noqa: SIM115 - closed by `__exit__`
        except OSError as error:
            raise tables.disk_error(out, error) from error

    def put(self, position: int, row: Mapping[str, Any]) -> None:
        """Take the line at this position."""
        # Lone surrogates, which a hostile program's output may hold, have no UTF-8.
        line = f"{json.dumps(row, ensure_ascii=False)}\n".encode("utf-8", "backslashreplace")
        try:
            self._file.write(line)
        except OSError as error:
            raise tables.disk_error(self._out, error) from error
        self._places[position] = self._end
        self._end += len(line)

    def publish(self) -> None:
        """Write the lines in their order: whole or not at all."""
        aside = self._out.with_name(f".{self._out.name}.{os.getpid()}.tmp")
        try:
            with aside.open("wb") as file:
                for place in self._places:
                    if place != _NONE:
                        self._file.seek(place)
                        file.write(self._file.readline())
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self._out)
        except OSError as error:
            with suppress(OSError):
                aside.unlink(missing_ok=True)
            raise tables.disk_error(self._out, error) from error

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *ended: object) -> None:
        with suppress(OSError):  # a full disk has been told about, or nobody needs the rest
            self._file.close()


def _scores(counts: Sequence[tuple[int, int]]) -> str:
    """A table of pass@k from (answers, passed) of each problem."""
    if not counts:
        return ""
    least = min(n for n, _ in counts)
    lines = ["| k | problems | pass@k, % |", "|---|---|---|"]
    for k in (k for k in _KS if k <= least):
        values = per_problem(counts, k)
        where = intervals.bootstrap(values, seed=0)
        lines.append(f"| {k} | {len(values)} | {100 * sum(values) / len(values):.1f} ({100 * where.low:.1f} to {100 * where.high:.1f}) |")
    return "\n".join(lines)
