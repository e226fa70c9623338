"""The judge for hours: mixed programs, a fifth of them hostile, while memory, descriptors and processes are watched.

    python benchmarks/soak.py [--programs 100000] [--workers N] [--json FILE]

Ends with status 1 when anything is left behind, when memory or descriptors grow, or when a verdict is not the one that program gets every time. Needs the `dev`
extra (psutil). Not here: speed against a peer (`judging`), escapes and forgeries one by one (tests/adversarial).
"""

# ruff: noqa: E501 - programs on one line each
from __future__ import annotations

import argparse
import datetime as dt
import json
import platform
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import psutil

from rrtf.records import AssertTest, Author, CallTest, IOTest, Limits, Problem, Response, Verdict
from rrtf.sandbox import SandboxRuntime, open_sandbox
from rrtf.sandbox.harness import JudgingFailure, judge_many

LIMITS = Limits(cpu_seconds=0.5, wall_seconds=3.0, memory_mb=128, processes=8, file_mb=4, output_kb=64)
SAMPLES = 100
GROWTH = 0.05
"""The last tenth may differ from the second tenth by this share, in memory and in descriptors."""

_CALL = Problem(name="call", instruction="", prompt="", entry_point="f", tests=tuple(CallTest(f"[{n}]", str(n + 1)) for n in range(5)))
_ASSERT = Problem(
    name="assert", instruction="", prompt="", entry_point="f", tests=(AssertTest("assert f(1) == 2\nassert f(2) == 3"), AssertTest("assert f(9) > 9"))
)
_IO = Problem(name="io", instruction="", prompt="", entry_point=None, tests=(IOTest("3\n", "4\n"), IOTest("5\n", "6\n")))
_METHOD = Problem(name="method", instruction="", prompt="", entry_point="Solution().f", tests=(CallTest("[1]", "2"), CallTest("[[1]]", "[1,1]")))

_HONEST: tuple[tuple[Problem, str], ...] = (
    (_CALL, "def f(x):\n    return x + 1\n"),
    (_CALL, "import math, re, collections\ndef f(x):\n    return int(math.fsum([x, 1]))\n"),
    (_CALL, "def f(x):\n    return x\n"),
    (_CALL, "def f(x):\n    raise ValueError(x)\n"),
    (_CALL, "def f(x)\n    return x\n"),
    (_CALL, "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\ndef f(x):\n    return sorted([P(x + 1).x, 0])[-1]\n"),
    (_ASSERT, "def f(x):\n    return x + 1\n"),
    (_ASSERT, "def f(x):\n    return 2\n"),
    (_IO, "print(int(input()) + 1)\n"),
    (_IO, "import sys\nfor line in sys.stdin:\n    print(line, end='')\n"),
    (_METHOD, "class Solution:\n    def f(self, x):\n        return x + (1 if isinstance(x, int) else [1])\n"),
    (_METHOD, "class Solution:\n    seen = []\n    def f(self, x):\n        self.seen.append(x)\n        return len(self.seen)\n"),
)
_HOSTILE: tuple[str, ...] = (
    "import os\ndef f(x):\n    os._exit(0)\n",
    "import sys\nsys.exit(0)\n",
    "import os, signal\ndef f(x):\n    os.kill(-1, signal.SIGKILL)\n    os.killpg(0, signal.SIGKILL)\n",
    "import os\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        import time\n        time.sleep(1000)\n    os._exit(0)\ndef f(x):\n    return x + 1\n",
    "import os\ndef f(x):\n    for _ in range(50):\n        os.fork()\n    return x + 1\n",
    "def f(x):\n    print('x' * 10 ** 6)\n    return x + 1\n",
    "def f(x):\n    return 'x' * 10 ** 7\n",
    "import os\ndef f(x):\n    for n in range(200):\n        open(f'/tmp/{x}-{n}', 'w').write('x' * 10000)\n    os.chmod('/tmp', 0)\n    return x + 1\n",
    "import os\ndef f(x):\n    for n in range(3, 256):\n        try:\n            os.close(n)\n        except OSError:\n            pass\n    return x + 1\n",
    "import os\ndef f(x):\n    for n in range(3, 256):\n        try:\n            os.write(n, b'V' * 100)\n        except OSError:\n            pass\n    return x\n",
    "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\ndef f(x):\n    return x + 1\n",
    "import mmap, os\nm = mmap.mmap(-1, 1 << 20)\nopen('/dev/shm/left', 'w').write('x')\ndef f(x):\n    return x + 1\n",
    "import builtins, json, math\nbuiltins.len = json.dumps = math.floor = lambda *a, **k: 0\ndef f(x):\n    return x + 1\n",
    "import sys\nsys.setrecursionlimit(10 ** 6)\ndef f(x):\n    return f(x)\n",
    "def f(x):\n    a = []\n    while True:\n        a.append(bytearray(10 ** 6))\n",
    "import ctypes\ndef f(x):\n    ctypes.string_at(0)\n",
    "class Liar:\n    def __eq__(self, other):\n        return True\ndef f(x):\n    return Liar()\n",
    "import os\ndef f(x):\n    os.kill(os.getpid(), 19)\n    return x + 1\n",
)
_SLOW: tuple[str, ...] = (
    "def f(x):\n    while True:\n        pass\n",
    "import time\ndef f(x):\n    time.sleep(1000)\n",
    "import os\nwhile True:\n    os.fork()\n",
)
_SLOW_EVERY = 250
"""These cost a limit each, and so the hours of a soak: every so many programs one."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the judge had at one moment, its workers included."""

    programs: int
    seconds: float
    resident_mb: float
    descriptors: int
    processes: int


@dataclass(frozen=True, slots=True)
class Soaked:
    """What came of it."""

    samples: tuple[Sample, ...]
    outcomes: dict[str, int]
    failures: tuple[str, ...]
    unsteady: tuple[str, ...]
    """Programs with more than one outcome over the run."""
    left: tuple[str, ...]
    """What was there after the end and not before the beginning."""

    def faults(self) -> list[str]:
        """Why this soak is not clean; empty when it is."""
        found = [f"{len(self.failures)} programs could not be judged; the first: {self.failures[0]}"] if self.failures else []
        found += [f"more than one outcome: {line}" for line in self.unsteady] + [f"left behind: {line}" for line in self.left]
        for name in ("resident_mb", "descriptors"):
            early, late = self._tenth(name, 1), self._tenth(name, 9)
            if late > early * (1 + GROWTH):
                found.append(f"{name} grew from {early:.1f} to {late:.1f} between the second and the last tenth")
        return found

    def _tenth(self, name: str, number: int) -> float:
        part = self.samples[len(self.samples) * number // 10 : len(self.samples) * (number + 1) // 10] or self.samples[-1:]
        return sum(getattr(sample, name) for sample in part) / len(part)


def programs() -> Iterator[tuple[Problem, str]]:
    """Mixed programs without end: a fifth hostile, among them a few that cost a whole limit."""
    kinds = (_CALL, _ASSERT, _IO, _METHOD)
    number = 0
    while True:
        number += 1
        if number % _SLOW_EVERY == 0:
            yield _CALL, _SLOW[number // _SLOW_EVERY % len(_SLOW)]
        elif number % 5 == 0:
            place = number // 5
            yield kinds[place // len(_HOSTILE) % len(kinds)], _HOSTILE[place % len(_HOSTILE)]
        else:
            yield _HONEST[number % len(_HONEST)]


def soak(count: int, workers: int) -> Soaked:
    """Judge `count` programs with so many workers."""
    before, others = _surroundings(), set(psutil.Process().children(recursive=True))
    author = Author("student", "soak", "")
    sources: dict[str, str] = {}

    def items() -> Iterator[tuple[Problem, Response]]:
        for number, (problem, code) in enumerate(islice(programs(), count)):
            response = Response(problem_id=problem.id, author=author, index=number, text="", code=code, rule="soak", stop="stop", completion_tokens=0)
            sources[response.id] = f"{problem.name}: {code!r}"
            yield problem, response

    outcomes: dict[str, Counter[str]] = {}
    failures: list[str] = []
    samples: list[Sample] = []
    ours: set[psutil.Process] = set()
    begun = time.monotonic()
    with open_sandbox(runtime=SandboxRuntime(workers=workers)) as sandbox:
        for number, found in enumerate(judge_many(items(), sandbox, threads=workers, limits=LIMITS), 1):
            source = sources.pop(found.response_id)
            if isinstance(found, JudgingFailure):
                failures.append(f"{source}: {found.reason}")
            else:
                outcomes.setdefault(source, Counter())[_told(found)] += 1
            if number % max(1, count // SAMPLES) == 0:
                ours |= set(psutil.Process().children(recursive=True)) - others
                samples.append(_sample(number, time.monotonic() - begun, others))
    unsteady = [f"{source}: {dict(counts)}" for source, counts in outcomes.items() if len(counts) > 1]
    total = Counter[str]()
    for counts in outcomes.values():
        for told, times in counts.items():
            total[told.split(" ", 1)[0]] += times
    return Soaked(tuple(samples), dict(total), tuple(failures), tuple(unsteady), tuple(sorted((_surroundings() - before) | _alive([*ours]))))


def _told(verdict: Verdict) -> str:
    return f"{verdict.outcome.name} {verdict.passed}"


def _sample(programs_done: int, seconds: float, others: set[psutil.Process]) -> Sample:
    resident = descriptors = alive = 0
    for process in _judge(others):
        try:
            with process.oneshot():
                resident, descriptors, alive = resident + process.memory_info().rss, descriptors + process.num_fds(), alive + 1
        except psutil.Error:
            continue
    return Sample(programs_done, round(seconds, 1), round(resident / (1 << 20), 1), descriptors, alive)


def _judge(others: set[psutil.Process]) -> list[psutil.Process]:
    """Ours and the workers' own: what starts a worker, its supervisor, its zygote. Programs are the zygotes' children. Without those that ran before us."""
    found = layer = [psutil.Process()]
    for _ in range(3):
        layer = [child for process in layer for child in _children(process) if child not in others]
        found = [*found, *layer]
    return found


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children()
    except psutil.Error:
        return []


def _surroundings() -> set[str]:
    """What must be the same after the end: mounts, temporary directories, shared memory."""
    found = {f"mount {line.split()[4]}" for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()}
    found |= {f"file {path}" for path in Path(tempfile.gettempdir()).glob("rrtf-programs-*")}
    return found | {f"shared memory {path}" for path in Path("/dev/shm").glob("*")}


def _alive(processes: list[psutil.Process]) -> set[str]:
    """Those of our processes that the end should have ended, zombies among them."""
    found: set[str] = set()
    for process in processes:
        if process.is_running():  # it knows a later process of the same number
            found.add(f"process {process.pid} ({process.status()})")
    return found


def main() -> None:
    """Soak, print the curve and what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=SandboxRuntime().count())
    parser.add_argument("--json", type=Path, help="write every sample there")
    options = parser.parse_args()
    found = soak(options.programs, options.workers)
    if options.json:
        options.json.write_text(json.dumps(asdict(found), indent=1), encoding="utf-8")
    print(
        f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}, {platform.machine()}, {SandboxRuntime().count()} cores, Python {platform.python_version()}, {options.workers} workers"
    )
    print(
        f"{options.programs} programs in {found.samples[-1].seconds:.0f} s: {', '.join(f'{name} {count}' for name, count in sorted(found.outcomes.items()))}\n"
    )
    print("| programs | seconds | resident MB | descriptors | processes |\n|---|---|---|---|---|")
    for sample in found.samples[:: max(1, len(found.samples) // 10)]:
        print(f"| {sample.programs} | {sample.seconds:.0f} | {sample.resident_mb:.1f} | {sample.descriptors} | {sample.processes} |")
    faults = found.faults()
    print("\n" + ("\n".join(faults) if faults else "Nothing left behind, nothing grew, every program got the same outcome every time."))
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
