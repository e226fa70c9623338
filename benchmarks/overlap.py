"""What is found of planted leaks, what is found where nobody planted any, and how fast.

    python benchmarks/overlap.py planted                            # the leaks of tests/unit/planted.py: kind by way
    python benchmarks/overlap.py flagged FILE ... [--show]          # problem files beside HumanEval: how many each way and each rule of thumb flags
    python benchmarks/overlap.py speed [N]                          # N made-up problems (100,000): rows a second of each step, and peak memory

Prints Markdown. FILE is a problem file in our format (`rrtf convert` makes one). Not here: whether what is flagged is a leak; somebody has to read that.
"""

from __future__ import annotations

import argparse
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from rrtf.benchmarks.humaneval import HumanEval
from rrtf.benchmarks.intervals import wilson
from rrtf.benchmarks.starter import starter
from rrtf.formats import read_problems
from rrtf.overlap.duplicates import repeats
from rrtf.overlap.leaks import WAYS, OverlapConfig, by_running, leaks, on_paper
from rrtf.quality.findings import Finding
from rrtf.quality.rules import RulesConfig, broken
from rrtf.records import Problem
from rrtf.sandbox import ProcessConfig, SandboxRuntime

BOX, RUNTIME = ProcessConfig(), SandboxRuntime(cache="none")


def planted_table() -> None:
    """Kind of disguise by way."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "unit"))
    import planted

    plants = planted.plants()
    found: dict[str, set[str]] = {}
    right = {plant.problem.name: plant.task for plant in plants}
    for finding in leaks([plant.problem for plant in plants], planted.benchmark(), OverlapConfig(), BOX, RUNTIME):
        if isinstance(finding, Finding) and finding.detail.startswith(f"{right[finding.problem]}:"):
            found.setdefault(finding.problem, set()).add(finding.rule)
    print(f"| disguise | planted | {' | '.join(WAYS)} | any |\n|---|---|{'---|' * (len(WAYS) + 1)}")
    for kind in [*dict.fromkeys(plant.kind for plant in plants), "**all**"]:
        names = [plant.problem.name for plant in plants if kind in (plant.kind, "**all**")]
        cells = [sum(words in found.get(name, ()) for name in names) for words in WAYS.values()]
        print(f"| {kind} | {len(names)} | {' | '.join(map(str, cells))} | {sum(name in found for name in names)} |")


def flagged(path: Path, show: bool) -> None:
    """How many problems of a file each way and each rule flags, and those themselves."""
    problems, benchmark = read_problems(path), HumanEval().problems()
    rows: list[tuple[str, Iterable[Finding]]] = [
        (f"overlap with HumanEval by {way}", [found for found in _overlaps(problems, benchmark) if found.rule == words]) for way, words in WAYS.items()
    ]
    rows.append(("nearly an earlier one", [Finding(found.problem, "nearly an earlier one", f"{found.of}: {found.how}") for found in repeats(problems)]))
    rules = [finding for problem in problems for finding in broken(problem, RulesConfig())]
    rows += [(rule, [finding for finding in rules if finding.rule == rule]) for rule in dict.fromkeys(finding.rule for finding in rules)]
    print(f"\n| {path.name}, n = {len(problems)} | problems | share, % (95 % interval) |\n|---|---|---|")
    for words, found in rows:
        count = len({finding.problem for finding in found})
        where = wilson(count, len(problems))
        print(f"| {words} | {count} | {100 * count / len(problems):.2f} ({100 * where.low:.2f} to {100 * where.high:.2f}) |")
    for _, found in rows if show else ():
        for finding in found:
            print(f"- {finding}")


_KNOWN: dict[int, list[Finding]] = {}


def _overlaps(problems: list[Problem], benchmark: Iterable[Problem]) -> list[Finding]:
    if id(problems) not in _KNOWN:
        found = list(leaks(problems, list(benchmark), OverlapConfig(), BOX, RUNTIME))
        unjudged = [one for one in found if not isinstance(one, Finding)]
        if unjudged:
            print(f"{len(unjudged)} could not be judged, the first: {unjudged[0]}", file=sys.stderr)
        _KNOWN[id(problems)] = [one for one in found if isinstance(one, Finding)]
    return _KNOWN[id(problems)]


def made_up(count: int) -> Iterator[Problem]:
    """Problems that are all different: the starter's with other words, names and numbers in them."""
    chance, seeds = random.Random(0), [problem for problem in starter().problems() if problem.reference]
    vocabulary = ["".join(chance.choices("abcdefghijklmnoprstuvw", k=6)) for _ in range(5000)]
    for number in range(count):
        seed = seeds[number % len(seeds)]
        words = seed.instruction.split()
        for _ in range(len(words) // 2):
            words[chance.randrange(len(words))] = chance.choice(vocabulary)
        source = f"{seed.reference}\n\ndef extra_{number}(x):\n    return x * {number} + {chance.randrange(10**6)}\n"
        yield replace(seed, name=f"{seed.name}-{number}", instruction=" ".join(words), reference=source)


def speed(count: int) -> None:
    """Rows a second and peak memory of each step."""
    benchmark = HumanEval().problems()
    steps: dict[str, Callable[[], Iterable[object]]] = {
        "made up": lambda: made_up(count),
        "rules of thumb": lambda: (finding for problem in made_up(count) for finding in broken(problem, RulesConfig())),
        "near-duplicates": lambda: repeats(made_up(count)),
        "by words": lambda: on_paper(made_up(count), benchmark, OverlapConfig(program="off")),
        "by syntax tree": lambda: on_paper(made_up(count), benchmark, OverlapConfig(words="off")),
        "by behaviour": lambda: by_running(made_up(count), benchmark, "drop", BOX, RUNTIME),
    }
    print("| step | rows | seconds | rows/s | found | peak MB so far |\n|---|---|---|---|---|---|")
    for name, work in steps.items():
        began = time.monotonic()
        found = Counter(type(item).__name__ for item in work()).total()
        took = time.monotonic() - began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"| {name} | {count} | {took:.1f} | {count / took:.0f} | {found} | {peak:.0f} |", flush=True)


def main() -> None:
    """Do what is asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("what", choices=("planted", "flagged", "speed"))
    parser.add_argument("given", nargs="*")
    parser.add_argument("--show", action="store_true", help="list every flagged problem")
    options = parser.parse_args()
    match options.what:
        case "planted":
            planted_table()
        case "flagged":
            for path in options.given:
                flagged(Path(path), options.show)
        case _:
            speed(int(options.given[0]) if options.given else 100_000)


if __name__ == "__main__":
    main()
