"""A run of many made-up problems through `rrtf curate`, `sample`, `execute` and `rank`, as a user would: rows per second, memory, resuming, planning.

    python benchmarks/scale.py [--problems 2000] [--n 10] [--processes 2] [--part 128] [--directory DIR]

Problems, recipe and answers are made here. The student is the scripted engine, and programs "run" in a stub of the sandbox, in the judging process itself: the
judge, its store of verdicts and everything around them are the real ones. `execute` is killed with -9 when half of its parts are there, and goes on. Memory is
the resident set of a command's processes together, looked at ten times a second, shared pages counted as often as they are shared; and the largest that the
kernel saw of any one of them. Not here: how fast programs run (`benchmarks/judging.py`), models (`benchmarks/sampling.py`).
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import datetime as dt
import functools
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

STUB = "RRTF_SCALE_STUB"
"""Set in the commands that are measured, and in their workers, which import this file too."""
ANSWERS = (
    "return a * b + 7 * a - 3 * b",
    "return a * (b + 7) - 3 * b",
    "return b * (a - 3) + 7 * a",
    "return sum((a * b, 7 * a, -3 * b))",
    "return a * b + 7 * a - 3 * b if a % 2 else a * b",
    "return a * b",
    "return a * b + 7 * a",
    "raise NotImplementedError",
    "return undefined",
    "return (a * b",
)
"""Bodies of the answers: four right, one right at times, two wrong, two that raise, one that does not compile."""
RECIPE = """
[run]
title = "scale"
directory = "run"
[problems]
source = "problems.jsonl"
gate.stub_passes = "off"
gate.weak_tests = "off"
gate.flaky = "off"
overlap.behaviour = "off"
[student]
model = "scripted/student"
[student.engine]
engine = "scripted"
default = {answers}
[sample]
n = {n}
prompting = "chat"
[evaluate]
benchmarks = ["starter"]
[how]
processes = {processes}
part_problems = {part}
sandbox.cache = "{cache}"
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=2000)
    parser.add_argument("--n", type=int, default=10, help="answers to each")
    parser.add_argument("--processes", type=int, default=2, help="worker processes (`how.processes`)")
    parser.add_argument("--part", type=int, default=128, help="problems in a part (`how.part_problems`)")
    parser.add_argument("--directory", type=Path, help="where it is made, and stays; a temporary folder otherwise")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = options.directory or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        measure(folder.resolve(), options)


def measure(folder: Path, options: Any) -> None:
    """The whole series, in a folder."""
    begun = time.perf_counter()
    size = write_problems(folder / "problems.jsonl", options.problems)
    answers = [f"```python\ndef solve(a, b):\n    {body}\n```" for body in ANSWERS]
    text = RECIPE.format(answers=json.dumps(answers), n=options.n, processes=options.processes, part=options.part, cache=folder / "cache")
    (folder / "my.toml").write_text(text)
    where = f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f} at the start"
    print(f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d %H:%M} UTC, {where}; {options.problems} problems x {options.n} answers, {options.processes} processes")
    print(f"made {size / 1e6:.0f} MB of problems in {time.perf_counter() - begun:.0f} s\n", flush=True)
    print(
        "| command | rows | seconds | rows/s | processor seconds | all processes, peak MB | largest process, peak MB |\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    line(folder, ["curate"], ["curate"])
    line(folder, ["sample"], ["sample.teacher", "sample.student"])
    parts = -(-options.problems // options.part)
    killed = command(folder, "execute", kill=lambda: done(folder, "execute") >= max(1, parts // 2))
    kept = done(folder, "execute")
    tell("execute, killed with -9", killed, 0)
    again = command(folder, "execute", watch=lambda: done(folder, "execute") > kept)
    tell("execute, again", again, rows(folder, "execute"), f" (both: {rows(folder, 'execute') / (killed.seconds + again.seconds):.0f})")
    line(folder, ["rank"], ["rank"])
    print(f"\nkilled with {kept} of {parts} parts; the first new part was there {again.seen:.1f} s after the command was given again")
    for what in ("plan", "curate", "sample", "execute", "rank"):
        taken = [command(folder, what) for _ in range(3)]
        print(
            f"`rrtf {what}`, nothing to do: {min(one.seconds for one in taken):.2f} s (best of 3), peak {max(one.largest for one in taken):.0f} MB", flush=True
        )
    size = sum(path.stat().st_size for path in (folder / "run").rglob("*") if path.is_file())
    print(f"the run on disk: {size / 1e6:.0f} MB; load at the end {os.getloadavg()[0]:.1f}")


def line(folder: Path, verbs: list[str], artefacts: list[str]) -> None:
    """Run a command and say what it took."""
    tell(" ".join(verbs), command(folder, *verbs), sum(rows(folder, name) for name in artefacts))


def tell(name: str, spent: Spent, count: int, more: str = "") -> None:
    """One row of the table."""
    rate = f"{count / spent.seconds:.0f}" if count else "-"
    print(f"| {name} | {count or '-'} | {spent.seconds:.1f} | {rate}{more} | {spent.processor:.1f} | {spent.together:.0f} | {spent.largest:.0f} |", flush=True)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a command took."""

    seconds: float
    processor: float
    together: float
    """MB of all its processes at once."""
    largest: float
    """MB of the largest of them."""
    seen: float
    """Seconds until what was watched for happened."""


def command(folder: Path, *verbs: str, kill: Callable[[], bool] | None = None, watch: Callable[[], bool] | None = None) -> Spent:
    """`rrtf VERBS my.toml`, in processes of its own; killed with -9 once `kill` says so."""
    arguments = [sys.executable, __file__, "--as-rrtf", *verbs, "my.toml"]
    begun = time.perf_counter()
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(arguments, cwd=folder, env={**os.environ, STUB: "1"}, stdout=log, stderr=log, start_new_session=True)
    together, ended, seen = 0.0, threading.Event(), [0.0]

    def look() -> None:
        nonlocal together
        while not ended.wait(0.1):
            together = max(together, resident(process.pid))
            if kill is not None and kill():
                os.killpg(process.pid, signal.SIGKILL)
                return
            if watch is not None and not seen[0] and watch():
                seen[0] = time.perf_counter() - begun

    looking = threading.Thread(target=look)
    looking.start()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    ended.set()
    looking.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, -signal.SIGKILL if kill else 0):
        raise SystemExit(f"rrtf {' '.join(verbs)} ended with {process.returncode}; see {folder / 'log.txt'}:\n{(folder / 'log.txt').read_text()[-2000:]}")
    return Spent(seconds, usage.ru_utime + usage.ru_stime, together, usage.ru_maxrss / 1024, seen[0])


def resident(pid: int) -> float:
    """MB of a process and everything below it."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        for process in [parent, *parent.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
    return total / (1 << 20)


def done(folder: Path, stage: str) -> int:
    """Parts of a stage that are there."""
    return sum(1 for _ in (folder / "run" / stage).glob("part-*"))


def rows(folder: Path, stage: str) -> int:
    """Rows of a finished stage."""
    return sum(part["rows"] for part in json.loads((folder / "run" / stage / "manifest.json").read_text())["parts"])


# ------------------------------------------------------------------------------------------------ what is made up


def write_problems(path: Path, count: int) -> int:
    """Problems in words of no language, which a small function solves; no two statements are alike. Returns the size of the file."""
    chance = random.Random(20230727)
    words = ["".join(chance.choice(letters) for letters in ("bdfgklmnprst", "aeiou") * chance.randint(2, 3)) for _ in range(8000)]
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            said = " ".join(chance.choice(words) for _ in range(40))
            pairs = [(chance.randint(-99, 99), 2 * chance.randint(-40, 40) + place % 2) for place in range(5)]
            row = {
                "name": f"made/{number}",
                "instruction": f"Write a function that returns a number: {said}.",
                "entry_point": "solve",
                "tests": [{"args": [a, b], "expected": a * b + 7 * a - 3 * b} for a, b in pairs],
                "reference": f"def solve(a, b):\n    {ANSWERS[number % 4]}\n",
            }
            file.write(json.dumps(row) + "\n")
    return path.stat().st_size


class Stub:
    """A sandbox that is none: our own made-up programs, in this process."""

    def __enter__(self) -> Stub:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def run(self, program: Any) -> Any:
        """See `rrtf.protocols.Sandbox.run`."""
        from rrtf.protocols import Execution

        spent = {"stdout": "", "stderr": "", "cpu_seconds": 0.001, "wall_seconds": 0.001, "peak_mb": 1.0, "waited_seconds": 0.0}
        loaded = _loaded(program.source, program.entry_point)
        if isinstance(loaded, str):
            return Execution(compile_error=loaded, load_error="", replies=(), **spent)
        return Execution(compile_error="", load_error="", replies=tuple(_replies(loaded, program.tests)), **spent)

    def isolation(self) -> Any:
        """See `rrtf.protocols.Sandbox.isolation`."""
        from rrtf.protocols import Isolation

        return Isolation((), ("everything (the stub of benchmarks/scale.py)",))

    def close(self) -> None:
        """Nothing is open."""


@functools.cache
def _loaded(source: str, entry_point: str) -> Callable[..., object] | str:
    """The function of a program; a handful of programs, whatever the number of problems."""
    try:
        code = compile(ast.parse(source), "solution", "exec")
    except SyntaxError as error:
        return f"SyntaxError: {error.msg}"
    module = types.ModuleType("solution")
    exec(code, module.__dict__)  # `ANSWERS`, and nothing else
    return getattr(module, entry_point)


def _replies(function: Callable[..., object], tests: Any) -> Iterator[Any]:
    from rrtf.protocols import Reply

    for test in tests:
        try:
            yield Reply("passed", json.dumps(function(*json.loads(test.args))))
        except Exception as error:  # noqa: BLE001 - whatever the answer raises
            yield Reply("raised", error=f"{type(error).__name__}: {error}")


if os.environ.get(STUB):
    import rrtf.judging

    rrtf.judging.open_sandbox = lambda config, runtime: Stub()  # type: ignore[assignment, misc, return-value]

if __name__ == "__main__":
    if sys.argv[1:2] == ["--as-rrtf"]:
        from rrtf.cli import main as rrtf_main

        del sys.argv[1]
        rrtf_main()
    else:
        main()
