"""`rrtf judge`: verdicts on a file of answers made elsewhere, one line per answer in the order of the file.

Finished verdicts are appended to a journal beside the output at once, and the output is written whole at the end, so a killed run loses at most the programs
that were running, and a longer file of answers pays for what is new. Equal programs for one problem are judged once. A failure of ours is in a list of its own
and never among the verdicts. Not here: how a verdict comes about (`rrtf.sandbox.harness`), where in an answer its program is (`rrtf.extraction`).
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from rrtf.benchmarks import intervals
from rrtf.benchmarks.passk import per_problem
from rrtf.engine import tables
from rrtf.engine.artifacts import write_text
from rrtf.engine.progress import progress
from rrtf.errors import DataError
from rrtf.formats import ResponseRow, read_responses
from rrtf.identity import fingerprint
from rrtf.judging import open_judge
from rrtf.prompting import FormatName, extract_code
from rrtf.records import Author, Outcome, Problem, Response, Verdict
from rrtf.sandbox import SandboxConfig, SandboxRuntime
from rrtf.sandbox.harness import JudgingFailure

_VERSION = 1
"""Of what decides a verdict beside program, tests and limits: raised when the harness changes its mind about any program."""
_KS = (1, 10, 100)


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of a file of answers."""

    answers: int
    programs: int
    """Different programs among them, counted per problem."""
    known: int
    """Programs whose verdicts were there already."""
    outcomes: Mapping[Outcome, int]
    failures: Mapping[str, str]
    """Name of the problem and number of the answer -> why we could not judge it."""
    scores: str
    """pass@k with intervals over problems, as a Markdown table; empty where a problem has a failure of ours among its answers."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """One line of the file."""

    problem: Problem
    index: int
    response: Response
    key: str
    """Of the program, the tests and the limits: equal keys have equal verdicts."""


def judge_file(
    answers: Path, problems: Sequence[Problem], out: Path, sandbox: SandboxConfig, runtime: SandboxRuntime, form: FormatName, say: Callable[[str], object]
) -> Judged:
    """Judge every answer of a JSONL or Parquet file and write `out`, a JSON object per answer. Raises `DataError` or `SandboxError`.

    `form` is the prompt format that the answers continue, as `rrtf.prompting` has it: `raw` for completions of the problem's own prompt.
    """
    lines = list(_read(answers, problems, sandbox, form))
    journal = out.with_name(f"{out.name}.journal")
    known = {**_kept(out), **_kept(journal)}
    owed = {line.key: line for line in lines if line.key not in known}
    if known:
        say(f"{sum(line.key in known for line in lines)} of {len(lines)} answers have a verdict already")
    reused = len({line.key for line in lines}) - len(owed)
    failed = _judge(owed, known, journal, sandbox, runtime) if owed else {}
    rows = [_row(line, known[line.key]) for line in lines if line.key in known]
    try:
        write_text(out, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))
        journal.unlink(missing_ok=True)
    except OSError as error:
        raise tables.disk_error(out, error) from error
    return Judged(
        answers=len(lines),
        programs=reused + len(owed),
        known=reused,
        outcomes=Counter(Outcome[row["outcome"]] for row in rows),
        failures={f"{line.problem.name} {line.index}": failed[line.key] for line in lines if line.key in failed},
        scores=_scores(rows, {line.problem.name for line in lines if line.key in failed}),
    )


def _read(path: Path, problems: Sequence[Problem], sandbox: SandboxConfig, form: FormatName) -> Iterator[_Answer]:
    by_name = {problem.name: problem for problem in problems}
    asked: Counter[str] = Counter()
    limits = sandbox.model_dump(mode="json")
    for number, row in enumerate(read_responses(path), 1):
        problem = by_name.get(row.name)
        if problem is None:
            raise DataError(
                f"{path}: answer {number} is to {row.name!r}, which is not among the problems.",
                why="There are no tests to run it against.",
                hint="Give the benchmark or problem file that it belongs to.",
            )
        yield _answer(problem, row, asked[row.name], limits, form)
        asked[row.name] += 1


def _answer(problem: Problem, row: ResponseRow, index: int, limits: Any, form: FormatName) -> _Answer:
    found = extract_code(form, problem, row.completion)
    # What is equal here is judged once, so neither the author nor the number of the answer may be part of it.
    response = Response(
        problem_id=problem.id,
        author=Author(row.role, "", ""),
        index=0,
        text="",
        code=found.code,
        rule=found.rule,
        stop="stop",
        completion_tokens=0,
    )
    return _Answer(problem, index, response, fingerprint([_VERSION, problem.id, found.code, found.rule if found.code is None else "", limits]))


def _judge(owed: Mapping[str, _Answer], known: dict[str, dict[str, Any]], journal: Path, sandbox: SandboxConfig, runtime: SandboxRuntime) -> dict[str, str]:
    """Judge what is owed into `known` and the journal. Returns why some could not be judged."""
    keys: dict[tuple[str, str], list[str]] = defaultdict(list)
    for key, line in owed.items():
        keys[line.problem.id, line.response.id].append(key)
    failed: dict[str, str] = {}
    try:
        journal.parent.mkdir(parents=True, exist_ok=True)
        # A torn last line of a killed run must not swallow the first of this one.
        torn = journal.exists() and not journal.read_bytes().endswith(b"\n")
        with journal.open("a", encoding="utf-8") as file, open_judge(sandbox, runtime) as judge, progress("judge", len(owed), "programs") as tick:
            file.write("\n" if torn else "")
            for verdict in judge((line.problem, line.response) for line in owed.values()):
                tick(1)
                for key in keys[verdict.problem_id, verdict.response_id]:
                    if isinstance(verdict, JudgingFailure):
                        failed[key] = verdict.reason
                    else:
                        known[key] = _fields(key, verdict)
                        file.write(f"{json.dumps(known[key], ensure_ascii=False)}\n")
                file.flush()
    except OSError as error:
        raise tables.disk_error(journal, error) from error
    return failed


def _fields(key: str, verdict: Verdict) -> dict[str, Any]:
    return {
        "outcome": verdict.outcome.name,
        "passed": verdict.passed,
        "total": verdict.total,
        "tests": list(verdict.tests),
        "cause": verdict.cause,
        "cpu_seconds": verdict.cpu_seconds,
        "wall_seconds": verdict.wall_seconds,
        "peak_mb": verdict.peak_mb,
        "key": key,
    }


def _row(line: _Answer, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"task_id": line.problem.name, "index": line.index, **{name: value for name, value in fields.items() if name not in ("task_id", "index")}}


def _kept(path: Path) -> dict[str, dict[str, Any]]:
    """Verdicts that an earlier run left in a file, by key; half-written lines are owed again."""
    found: dict[str, dict[str, Any]] = {}
    if path.is_file() and os.access(path, os.R_OK):
        for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = json.loads(text)
            except ValueError:
                continue
            fields = cast("dict[str, Any]", row) if isinstance(row, dict) else {}
            if fields.get("outcome") in Outcome.__members__ and isinstance(fields.get("key"), str):
                found[fields["key"]] = fields
    return found


def _scores(rows: Iterable[Mapping[str, Any]], failed: set[str]) -> str:
    """A problem with a failure of ours has no score: leaving out one of its answers would bend it."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for row in rows:
        if row["task_id"] not in failed:
            counts[row["task_id"]][0] += 1
            counts[row["task_id"]][1] += row["outcome"] == Outcome.PASSED.name
    if not counts:
        return ""
    least = min(n for n, _ in counts.values())
    lines = ["| k | problems | pass@k, % |", "|---|---|---|"]
    for k in (k for k in _KS if k <= least):
        values = per_problem([(n, correct) for n, correct in counts.values()], k)
        where = intervals.bootstrap(values, seed=0)
        lines.append(f"| {k} | {len(values)} | {100 * sum(values) / len(values):.1f} ({100 * where.low:.1f} to {100 * where.high:.1f}) |")
    return "\n".join(lines)
