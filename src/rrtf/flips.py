"""The flip test: are verdicts the same on a busy machine? The same answers judged twice, the second time beside processes that only burn processor time.

Nothing is remembered between the two, nor from before. Not here: what keeps verdicts from flipping (`rrtf.sandbox.harness`), how the result is told
(`rrtf.reporting.flips`).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rrtf import joins
from rrtf.answer_files import judge_file
from rrtf.engine import artifacts, tables
from rrtf.engine.progress import progress
from rrtf.errors import RecipeError
from rrtf.identity import fingerprint
from rrtf.joins import Curation, ExamProblem, Graded
from rrtf.judging import Tally, open_judge
from rrtf.prompting import FormatName
from rrtf.records import Problem, Response
from rrtf.reporting.flips import FILE, Flip, FlipTest, write
from rrtf.sandbox import PlainConfig, ProcessConfig, SandboxRuntime
from rrtf.sandbox.harness import JUDGE_VERSION, JudgingFailure

_BURN = "import select\nwhile not select.select([0], [], [], 0)[0]:\n    for _ in range(200_000): pass"
"""Burns until its standard input ends, as it does when whoever holds the other end is gone, killed or not."""

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one judging said of an answer."""

    outcome: str
    tests: str
    """Hash of its statuses."""
    cause: str


@contextlib.contextmanager
def burning(processes: int) -> Generator[None]:
    """Keep so many processes busy for the length of the block. They end with it, and with us, however we end."""
    burners: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(processes):
            burners.append(subprocess.Popen([sys.executable, "-S", "-E", "-c", _BURN], stdin=subprocess.PIPE, start_new_session=True))  # noqa: PERF401 - each must be ended, also when the next does not start
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.communicate()


def file_flips(
    answers: Path,
    problems: Sequence[Problem],
    out: Path,
    sandbox: ProcessConfig | PlainConfig,
    runtime: SandboxRuntime,
    form: FormatName,
    busy: int,
    say: Say,
) -> FlipTest:
    """The flip test on a file of answers. Writes the verdicts to `out` and, from the busy machine, beside it; and the result beside both."""
    forgetful = runtime.model_copy(update={"cache": "none"})

    def once(place: Path) -> tuple[Mapping[str, _Seen], Tally, int]:
        found = judge_file(answers, problems, place, sandbox, forgetful, form, say)
        return dict(_lines(place)), found.tally, len(found.failures)

    found = _twice(lambda: once(out), lambda: once(out.with_name(f"{out.name}.busy")), runtime, busy, say)
    write(out.with_name(f"{out.name}.{FILE}"), found)
    return found


def run_flips(directory: Path, runtime: SandboxRuntime, busy: int, say: Say) -> FlipTest:
    """The flip test on all answers of a finished run. Writes the result where the run's report finds it. Raises `RecipeError` when there is no such run."""
    from rrtf.recipe import load

    if not (directory / "recipe.toml").is_file():
        raise RecipeError(f"{directory} is not the directory of a run.", hint="Give one such as runs/starter, or a file of answers with --benchmark.")
    sandbox = load(directory / "recipe.toml").sandbox
    forgetful = runtime.model_copy(update={"cache": "none"})
    total = sum(1 for _ in _answers(directory))
    if not total:
        raise RecipeError(f"{directory} holds no answers yet.", why="There is nothing to judge twice.", hint="Finish the run first.")

    def once() -> tuple[Mapping[str, _Seen], Tally, int]:
        seen, labels, tally, failures = dict[str, _Seen](), dict[str, str](), Tally(), 0

        def items() -> Iterator[tuple[Problem, Response]]:
            for label, problem, response in _answers(directory):
                labels[response.id] = label
                yield problem, response

        with open_judge(sandbox, forgetful, tally, say) as judge, progress("judge", total, "answers") as tick:
            for found in judge(items()):
                tick(1)
                label = labels.pop(found.response_id)
                if isinstance(found, JudgingFailure):
                    failures += 1
                else:
                    seen[label] = _Seen(found.outcome.name, fingerprint(found.tests), found.cause)
        return seen, tally, failures

    result = _twice(once, once, runtime, busy, say)
    write(directory / FILE, result)
    return result


def _twice(
    quiet: Callable[[], tuple[Mapping[str, _Seen], Tally, int]],
    loaded: Callable[[], tuple[Mapping[str, _Seen], Tally, int]],
    runtime: SandboxRuntime,
    busy: int,
    say: Say,
) -> FlipTest:
    begun = time.monotonic()
    say("judging on the machine as it is")
    before, tally, failed = quiet()
    between = time.monotonic()
    say(f"  {tally.words()}; judging again beside {busy} busy processes")
    with burning(busy):
        after, again, failed_again = loaded()
    ended = time.monotonic()
    say(f"  {again.words()}")
    both = [answer for answer in before if answer in after]
    flips = tuple(
        Flip(answer=answer, quiet=one.outcome, busy=other.outcome, quiet_cause=one.cause, busy_cause=other.cause)
        for answer, one, other in ((answer, before[answer], after[answer]) for answer in both)
        if one.outcome != other.outcome
    )
    return FlipTest(
        answers=len(both),
        programs=tally.programs,
        busy_processes=busy,
        processors=os.cpu_count() or 1,
        workers=runtime.count(),
        quiet_seconds=round(between - begun, 1),
        busy_seconds=round(ended - between, 1),
        judge_version=JUDGE_VERSION,
        failures=max(failed, failed_again),
        other_tests=sum(before[answer].tests != after[answer].tests and before[answer].outcome == after[answer].outcome for answer in both),
        flips=flips,
    )


def _lines(path: Path) -> Iterator[tuple[str, _Seen]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            yield f"{row['task_id']} {row['index']}", _Seen(row["outcome"], fingerprint(row["tests"]), row["cause"])


def _answers(directory: Path) -> Iterator[tuple[str, Problem, Response]]:
    """Every answer of a run's training and examination, each once, with a name for it."""
    learned = {row.problem.id: row.problem for row in _rows(directory, joins.CURATE, Curation)}
    asked = {row.problem.id: row.problem for row in _rows(directory, joins.EXAM, ExamProblem)}
    seen: set[str] = set()
    sampled = joins.sampled(directory)
    for artefact in (*sampled, joins.BEFORE, joins.AFTER):
        training = artefact in sampled
        for row in _rows(directory, artefact, Response if training else Graded):
            response: Response = row if training else row.response
            problem = (learned if training else asked)[response.problem_id]
            if response.id not in seen:
                seen.add(response.id)
                yield f"{problem.name} {response.index} of {artefact} ({response.id})", problem, response


def _rows(directory: Path, artefact: str, kind: type) -> Iterator[Any]:
    if artifacts.load_manifest(directory / artefact) is not None:
        for path in artifacts.outputs(directory / artefact):
            yield from tables.read(path, kind)
