"""A small pipeline of made-up stages for the tests of the engine: source -> draw -> total. It knows nothing of code or models, as the engine does.

Every unit of work that is really done leaves a line in a log file, so that tests can count what was paid for, in this process or in workers.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from rrtf.engine.runner import Pipeline
from rrtf.engine.stage import Case, Failure, FoldStage, FoldTask, MapStage, Task, Work
from rrtf.errors import EngineError
from rrtf.identity import Json, derive_seed


@dataclass(frozen=True, slots=True)
class Item:
    key: str
    value: int


@dataclass(frozen=True, slots=True)
class Draw:
    key: str
    index: int
    number: int
    spent: float = field(metadata={"measured": True})


@dataclass(frozen=True, slots=True, kw_only=True)
class Toy:
    """How the toy pipeline is to behave."""

    log: Path
    items: tuple[tuple[str, int], ...] = (("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5))
    n: int = 2
    salt: str = "salt"
    version: int = 1
    part: int = 2
    failing: frozenset[str] = frozenset()
    """Keys on which work fails on our side."""
    shuffled: int = 0
    """Another number is another order of completion within a part."""
    crash_after: int | None = None
    """Raise after so many draws."""
    broken: str = ""
    """Opening the draw stage ends with this sentence."""
    title: str = "title"
    pause: float = 0.0
    """Seconds that each draw takes."""

    def pipeline(self, directory: Path) -> Pipeline:
        return Pipeline(directory, (self.source(), self.draw(), self.total()))

    def but(self, **changes: object) -> Toy:
        return replace(self, **changes)  # type: ignore[arg-type]

    def source(self) -> MapStage:
        return MapStage(
            name="source",
            version=1,
            reads=(),
            row=Item,
            key=lambda row: row.key,
            order=lambda row: (),
            identity=[list(item) for item in self.items],
            open=lambda inputs: partial(_source, self),
            expected=lambda case: len(self.items),
            unit="items",
            summarize=_count,
        )

    def draw(self) -> MapStage:
        return MapStage(
            name="draw",
            version=self.version,
            reads=("source",),
            row=Draw,
            key=lambda row: row.key,
            order=lambda row: (row.index,),
            identity={"salt": self.salt},
            extent={"n": self.n},
            open=lambda inputs: partial(_draw, self, inputs),
            expected=lambda case: self.n,
            unit="draws",
            summarize=_count,
            notes=_toy_notes,
            part_cases=self.part,
        )

    def total(self) -> FoldStage:
        return FoldStage(
            name="total",
            version=1,
            reads=("source", "draw"),
            identity={"title": self.title},
            work=partial(_total, self),
            outputs=lambda folder: [folder / "total.txt", *sorted((folder / "more").iterdir())],
        )

    def paid(self) -> list[str]:
        """Every unit of work done so far: `draw a 0`, `total`, ..."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def forget(self) -> None:
        self.log.write_text("")


def pay(log: Path, what: str) -> None:
    with log.open("a") as file:
        file.write(f"{what}\n")


def _toy_notes() -> Json:
    return {"toy": True}


def _count(rows: Iterator[Item | Draw]) -> Json:
    return {"rows": sum(1 for _ in rows)}


@contextmanager
def _source(toy: Toy) -> Generator[Work]:
    yield partial(_source_work, toy)


def _source_work(toy: Toy, task: Task) -> Iterator[Item]:
    pay(toy.log, "source")
    for key, value in toy.items:
        task.tick(1)
        yield Item(key, value)


@contextmanager
def _draw(toy: Toy, inputs: Mapping[str, Path]) -> Generator[Work]:
    assert (inputs["source"] / "manifest.json").is_file()
    if toy.broken:
        raise EngineError(toy.broken, hint="Mend it.")
    pay(toy.log, "open draw")
    try:
        yield partial(_draw_work, toy)
    finally:
        pay(toy.log, "close draw")


def _draw_work(toy: Toy, task: Task) -> Iterator[Draw | Failure]:
    rows: list[Draw | Failure] = []
    for case in task.cases:
        known: dict[int, Draw] = {row.index: row for row in task.known.get(case.key, ()) if row.index < toy.n}
        rows.extend(known.values())
        for index in range(toy.n):
            if index not in known:
                rows.append(_one(toy, case, index))
                task.tick(1)
    random.Random(toy.shuffled).shuffle(rows)
    yield from rows


def _one(toy: Toy, case: Case, index: int) -> Draw | Failure:
    if case.key in toy.failing and index % 2:
        return Failure(case.key, f"the\ttoy broke\non {case.key} {index}")
    if toy.crash_after is not None and sum(line.startswith("draw") for line in toy.paid()) >= toy.crash_after:
        raise EngineError("The toy crashed.", hint="Run it again.")
    time.sleep(toy.pause)
    pay(toy.log, f"draw {case.key} {index}")
    return Draw(case.key, index, derive_seed(toy.salt, case.key, case.rows["source"][0].value, index), random.random())


def _total(toy: Toy, task: FoldTask) -> Json:
    pay(toy.log, "total")
    cases = list(task.cases())
    numbers = [row.number for case in cases for row in case.rows["draw"]]
    assert numbers == [row.number for row in task.rows("draw")]
    with task.progress("total", 1, "sums") as tick:
        tick(1)
    text = "".join(f"{case.key} {sum(row.number for row in case.rows['draw'])}\n" for case in cases)
    (task.folder / "more").mkdir(exist_ok=True)
    (task.folder / "total.txt").write_text(f"{toy.title}\n{text}")
    (task.folder / "more" / f"{toy.title}.txt").write_text("as large as you like")
    return {"cases": len(cases), "numbers": len(numbers)}


# ------------------------------------------------------------------------------------------------ executors


@contextmanager
def doubling(log: Path) -> Generator[Callable[[int], int]]:
    """Work for the executors' contract: says when it is opened and closed, and in which process."""
    pay(log, f"open {os.getpid()}")
    try:
        yield _double
    finally:
        pay(log, f"close {os.getpid()}")


def _double(number: int) -> int:
    if number == 13:
        raise EngineError("Thirteen.", why="Bad luck.", hint="Take twelve.")
    if number == -9:
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


@contextmanager
def refusing(message: str) -> Generator[Callable[[int], int]]:
    raise EngineError(message, hint="Install it.")
    yield _double


# ------------------------------------------------------------------------------------------------ killing


def run_until_killed(directory: str, log: str, renames: int, *, after: bool) -> None:
    """Run the toy pipeline in this process, and kill -9 it just before or after its `renames`-th rename or link of a file."""
    from rrtf.engine import runner
    from rrtf.engine.local import InlineExecutor

    count = 0

    def counted(real: Callable[[Path, Path], object]) -> Callable[[Path, Path], object]:
        def counting(self: Path, target: Path) -> object:
            nonlocal count
            count += 1
            if count == renames and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            moved = real(self, target)
            if count == renames:
                os.kill(os.getpid(), signal.SIGKILL)
            return moved

        return counting

    Path.replace = counted(Path.replace)  # type: ignore[method-assign, assignment]
    Path.hardlink_to = counted(Path.hardlink_to)  # type: ignore[method-assign, assignment]
    runner.run(Toy(log=Path(log)).pipeline(Path(directory)), None, InlineExecutor(), print)
