"""What every executor promises (`rrtf.protocols.Executor`), tried on each of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from rrtf.engine.cluster import RayHow
from rrtf.engine.executors import open_executor
from rrtf.engine.local import InlineExecutor, ProcessExecutor
from rrtf.errors import EngineError
from rrtf.protocols import Executor, Needs

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from ray_cluster import cluster
from toy_stages import doubling, refusing

EXECUTORS = {"inline": InlineExecutor(), "processes": ProcessExecutor(2)}


@pytest.fixture(scope="module")
def on_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    with cluster() as made, open_executor("ray", 1, RayHow(address=made.address), tmp_path_factory.mktemp("run"), print) as opened:
        yield opened


@pytest.fixture(params=[*EXECUTORS, "ray"])
def executor(request: pytest.FixtureRequest) -> Executor:
    return EXECUTORS[request.param] if request.param in EXECUTORS else request.getfixturevalue("on_ray")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def test_every_item_gets_its_result_once(executor: Executor, log: Path) -> None:
    assert sorted(executor.map(partial(doubling, log), range(20, 31))) == [(position, 2 * (20 + position)) for position in range(11)]


@pytest.mark.parametrize("needs", ["driver", "processors", "devices"])
def test_whatever_work_needs_the_results_are_the_same(executor: Executor, log: Path, needs: Needs) -> None:
    assert sorted(executor.map(partial(doubling, log), range(5), needs)) == [(position, 2 * position) for position in range(5)]


def test_no_items_give_no_results(executor: Executor, log: Path) -> None:
    assert list(executor.map(partial(doubling, log), [])) == []


def test_work_is_opened_once_per_worker_and_closed(executor: Executor, log: Path) -> None:
    list(executor.map(partial(doubling, log), range(12)))
    lines = log.read_text().splitlines()
    opened, closed = ([line.split()[1] for line in lines if line.startswith(word)] for word in ("open", "close"))
    assert len(opened) == len(set(opened))
    assert 1 <= len(opened) <= 2
    assert sorted(opened) == sorted(closed)


def test_an_error_of_the_work_keeps_kind_and_sentences(executor: Executor, log: Path) -> None:
    with pytest.raises(EngineError) as caught:
        list(executor.map(partial(doubling, log), [1, 13, 2]))
    assert (caught.value.message, caught.value.why, caught.value.hint) == ("Thirteen.", "Bad luck.", "Take twelve.")
    assert log.read_text().count("open") == log.read_text().count("close")


def test_work_that_cannot_be_opened_says_why(executor: Executor) -> None:
    with pytest.raises(EngineError, match="No engine here") as caught:
        list(executor.map(partial(refusing, "No engine here."), [1, 2]))
    assert caught.value.hint == "Install it."


def test_items_are_taken_as_they_are_needed(executor: Executor, log: Path) -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield number

    results = executor.map(partial(doubling, log), items())
    for _ in range(3):
        next(results)
    assert taken <= 3 + 4  # memory must not grow with the number of items
    results.close()  # type: ignore[attr-defined]
    assert log.read_text().count("open") == log.read_text().count("close")


def test_an_error_while_taking_items_is_not_swallowed(executor: Executor, log: Path) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise EngineError("No more items.")

    with pytest.raises(EngineError, match="No more items"):
        list(executor.map(partial(doubling, log), items()))


def test_the_inline_executor_works_in_this_process(log: Path) -> None:
    list(InlineExecutor().map(partial(doubling, log), [1]))
    assert log.read_text().split() == ["open", str(os.getpid()), "close", str(os.getpid())]
