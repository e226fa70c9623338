"""Proves what is claimed for the starter problems, and exits with 1 when something does not hold. Part of CI; about 80 processor seconds.

    python scripts/check_starter.py [--mbpp PATH/mbpp.jsonl]

Claims: the file is in canonical form and its split follows from the names; each problem has at least 8 call-and-compare tests; every reference passes;
stubs fail; at least 80 % of the mutants of each reference are noticed; no two problems are near-duplicates; none overlaps with HumanEval, nor with MBPP where
its file is given (it is not shipped with us). The rules are stated in `rrtf.quality` and `rrtf.overlap`. Not here: repairs; whoever changes the file mends
what is found.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import resources
from pathlib import Path

from rrtf import formats
from rrtf.benchmarks.humaneval import HumanEval
from rrtf.benchmarks.mbpp import Mbpp
from rrtf.benchmarks.starter import TRAIN, starter
from rrtf.errors import RrtfError
from rrtf.judging import Judge, Tally, open_judge
from rrtf.overlap.behaviour import Unjudged, alike
from rrtf.overlap.duplicates import repeats
from rrtf.overlap.leaks import WAYS, OverlapConfig, on_paper
from rrtf.protocols import Sandbox
from rrtf.quality.findings import Finding
from rrtf.quality.gate import GateConfig, Gated, gate
from rrtf.quality.split import stratified
from rrtf.records import CallTest, Problem
from rrtf.sandbox import ProcessConfig, SandboxRuntime, open_sandbox

LEAST_PROBLEMS, LEAST_TESTS = 350, 8
GATE = GateConfig(no_reference="drop", weak_tests="drop", slow="drop", duplicate_tests="drop", near_duplicate="drop", mutants=1000)
"""Our own problems must be better than what a user may learn from."""


def form(problems: Sequence[Problem]) -> Iterator[Finding]:
    """What can be seen without running anything."""
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder, "starter.jsonl")
        formats.write_problems(written, problems)
        if written.read_bytes() != resources.files("rrtf.data").joinpath("starter.jsonl").read_bytes():
            yield Finding("starter.jsonl", "not in canonical form", "write it with rrtf.formats.write_problems")
    if len(problems) < LEAST_PROBLEMS:
        yield Finding("starter.jsonl", "too few problems", f"{len(problems)} of {LEAST_PROBLEMS}")
    if list(problems) != sorted(problems, key=lambda problem: problem.name):
        yield Finding("starter.jsonl", "not in order", "problems stand in the order of their names")
    for given, due in zip(problems, stratified(problems, TRAIN), strict=True):
        if given.split != due.split:
            yield Finding(given.name, "in the wrong split", f"{given.split}, but rrtf.quality.split says {due.split}")
        calls = sum(isinstance(test, CallTest) for test in given.tests)
        if calls < LEAST_TESTS:
            yield Finding(given.name, "too few tests", f"{calls} of {LEAST_TESTS}")


def near_duplicates(problems: Sequence[Problem], box: Sandbox, judge: Judge, threads: int) -> Iterator[Finding]:
    """Pairs of our problems that are nearly one, on paper or by what their references do."""
    for found in repeats(problems):
        yield Finding(found.problem, "near-duplicate", found.how)
    for pair in alike(problems, problems, box, judge, threads):
        yield (
            _unjudged(pair)
            if isinstance(pair, Unjudged)
            else Finding(pair.reference.name, "near-duplicate by behaviour", f"its reference passes the tests of {pair.exam.name}")
        )


def overlap(problems: Sequence[Problem], benchmark: Sequence[Problem], box: Sandbox, judge: Judge, threads: int) -> Iterator[Finding]:
    """Problems that a benchmark holds too: on paper, or by behaviour in either direction."""
    yield from on_paper(problems, benchmark, OverlapConfig())
    for pair in alike(problems, benchmark, box, judge, threads):
        yield _unjudged(pair) if isinstance(pair, Unjudged) else Finding(pair.reference.name, WAYS["behaviour"], pair.exam.name)
    for pair in alike(benchmark, problems, box, judge, threads):
        said = "a benchmark's reference passes its tests"
        yield _unjudged(pair) if isinstance(pair, Unjudged) else Finding(pair.exam.name, said, pair.reference.name)


def _unjudged(found: Unjudged) -> Finding:
    return Finding(found.reference.name, "could not be judged, for reasons of ours", found.reason)


def report(claim: str, check: Callable[[], Iterable[Finding]]) -> int:
    """Print a claim and what speaks against it; returns how much does."""
    began = time.monotonic()
    findings = list(check())
    print(f"{'FAILS' if findings else 'holds'}  {claim}  ({time.monotonic() - began:.0f} s)", flush=True)
    for finding in findings:
        print(f"       {finding}", flush=True)
    return len(findings)


def main() -> int:
    """Check every claim."""
    parser = argparse.ArgumentParser(description="Check the starter problems.")
    parser.add_argument("--mbpp", type=Path, help="MBPP in its release format, to check the overlap with it too")
    options = parser.parse_args()
    runtime = SandboxRuntime()
    threads = runtime.count()
    problems = starter().problems()
    print(f"{len(problems)} problems, {sum(len(problem.tests) for problem in problems)} tests, {TRAIN} problems to learn from", flush=True)
    counted: list[Gated] = []

    def fit() -> Iterable[Finding]:
        counted.extend(gate(problems, GATE, ProcessConfig(), runtime))
        for found in counted:
            yield from found.findings
            yield from (Finding(found.problem.name, "not judged", failure) for failure in found.fitness.failures)

    with open_sandbox(runtime=runtime) as box, open_judge(ProcessConfig(), runtime, Tally()) as judge:
        found = report("canonical form, split by the rule, enough tests", lambda: form(problems))
        found += report(f"references pass, every time; stubs fail; at least {GATE.kill_rate:.0%} of each reference's mutants are noticed", fit)
        tried = [found.fitness for found in counted]
        mutants = f"{sum(one.killed for one in tried)} of {sum(one.mutants for one in tried)} mutants noticed"
        print(f"       {sum(one.programs for one in tried)} programs judged; {mutants}", flush=True)
        found += report("no near-duplicates by statement, reference or behaviour", lambda: near_duplicates(problems, box, judge, threads))
        found += report("no overlap with HumanEval", lambda: overlap(problems, HumanEval().problems(), box, judge, threads))
        if options.mbpp:
            mbpp = Mbpp(options.mbpp).problems()
            found += report(f"no overlap with the {len(mbpp)} MBPP problems given", lambda: overlap(problems, mbpp, box, judge, threads))
        else:
            print("not checked: overlap with MBPP (its file is not shipped with us; give --mbpp PATH)")
    return 1 if found else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RrtfError as error:
        sys.exit(f"check_starter: {error}")
