"""Evolution without a model, from the starter problems: what each operator gave, why candidates were dropped, and how long it took.

    python benchmarks/guided.py [--target 5000] [--mbpp PATH/mbpp.jsonl] [--out PROBLEMS.jsonl] [--audit 200] [--show 20]

Held out are HumanEval (with its extra), MBPP where its file is given, and the starter problems of the other split. `--audit` judges so many of the kept
problems once more by the gate as it stands, with every faulty copy in a program of its own. Not here: what the corpus does for a student.
"""

from __future__ import annotations

import argparse
import ast
import random
import resource
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

from rrtf import formats
from rrtf.benchmarks.humaneval import HumanEval
from rrtf.benchmarks.mbpp import Mbpp
from rrtf.benchmarks.starter import starter
from rrtf.errors import RrtfError
from rrtf.evolution.guided import GuidedConfig, evolve
from rrtf.evolution.guided.config import GATE
from rrtf.evolution.lineage import Evolved
from rrtf.overlap.duplicates import repeats
from rrtf.overlap.leaks import OverlapConfig, on_paper
from rrtf.overlap.trees import form
from rrtf.overlap.words import words
from rrtf.quality.gate import gate
from rrtf.records import Problem
from rrtf.sandbox import ProcessConfig, SandboxRuntime


def table(found: list[Evolved]) -> list[str]:
    """Rows of operators and their fate."""
    reasons = [reason for reason, _ in Counter(rule(one) for one in found if one.dropped).most_common()]
    by_family: dict[str, Counter[str]] = defaultdict(Counter)
    for one in found:
        for family in (one.lineage.method.partition(":")[0], "all"):
            by_family[family][rule(one)] += 1
    lines = [f"| operators | candidates | kept | {' | '.join(reasons)} |", "|---" * (3 + len(reasons)) + "|"]
    for family in [*sorted(set(by_family) - {"all"}), "all"]:
        counts = by_family[family]
        lines.append(f"| {family} | {sum(counts.values())} | {counts['']} | {' | '.join(str(counts[reason]) for reason in reasons)} |")
    return lines


def rule(one: Evolved) -> str:
    """Why it was dropped, without what was found."""
    return one.dropped.partition(":")[0]


def counted(kept: list[Evolved], held_out: list[Problem]) -> list[str]:
    """What can be said of the corpus as a whole."""
    problems = [one.problem for one in kept]
    shapes = {known.whole for problem in problems if (known := form(problem.reference or "")) is not None}
    trees = {ast.dump(ast.parse(problem.reference or "")) for problem in problems}
    texts = {" ".join(words(problem.instruction)) for problem in problems}
    twins = list(repeats(problems))
    leaks = {found.problem for found in on_paper(problems, held_out, OverlapConfig())}
    rounds = Counter(one.lineage.round for one in kept)
    return [
        f"kept per round: {', '.join(f'{number}: {count}' for number, count in sorted(rounds.items()))}",
        f"seeds with descendants: {len({one.lineage.seed for one in kept})}; rows of operators in use: {len({one.lineage.method for one in kept})}",
        f"different references, syntax tree: {len(trees)}; but for names, texts and order: {len(shapes)}",
        f"different statements by their words: {len(texts)}; that repeat an earlier problem by the rules of curation: {len(twins)}",
        f"tests: {sum(len(problem.tests) for problem in problems)}",
        f"overlapping on paper with one of {len(held_out)} held-out problems: {len(leaks)}",
    ]


def _spent() -> float:
    """Processor seconds of this process and of all that it waited for."""
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def main() -> int:
    """Grow, count, show."""
    parser = argparse.ArgumentParser(description="Evolution without a model, from the starter problems.")
    parser.add_argument("--target", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mbpp", type=Path, help="MBPP in its release format, to be kept clear of it too")
    parser.add_argument("--out", type=Path, help="where the kept problems are written, as JSONL")
    parser.add_argument("--audit", type=int, default=0)
    parser.add_argument("--show", type=int, default=0)
    options = parser.parse_args()
    runtime = SandboxRuntime(cache="none")
    held_out = [*starter("test").problems(), *HumanEval().problems(), *(Mbpp(options.mbpp).problems() if options.mbpp else ())]
    began, spent = time.monotonic(), _spent()
    found: list[Evolved] = []
    try:
        for one in evolve(starter("train").problems(), GuidedConfig(target=options.target), ProcessConfig(), runtime, options.seed, held_out=held_out):
            found.append(one)
            if len(found) % 500 == 0:
                so_far = sum(not known.dropped for known in found)
                print(f"{len(found)} candidates, {so_far} kept, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("interrupted: what follows is about the candidates so far")
    took = time.monotonic() - began
    kept = [one for one in found if not one.dropped]
    print(f"{len(kept)} of {len(found)} candidates kept in {took / 60:.1f} minutes, {_spent() - spent:.0f} processor seconds of its own")
    print("\n".join([*table(found), *counted(kept, held_out)]), flush=True)
    if options.out:
        formats.write_problems(options.out, [one.problem for one in kept])
    sample = random.Random(options.seed).sample(kept, min(max(options.audit, options.show), len(kept)))
    for one in sample[: options.show]:
        print(f"\n--- {one.lineage.method}, round {one.lineage.round}\n{one.problem.reference}")
    audited = list(gate([one.problem for one in sample[: options.audit]], GATE, ProcessConfig(), runtime)) if options.audit else []
    bad = [item for item in audited if not item.keep]
    print(f"audit: {len(audited) - len(bad)} of {len(audited)} accepted by the whole gate")
    for item in bad:
        print("  ", *item.grave)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RrtfError as error:
        sys.exit(f"guided: {error}")
