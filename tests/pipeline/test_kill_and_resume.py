"""Killed with -9 again and again, at any moment, the loop ends with the rows, scores and weights of a run that nobody killed."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from small_world import World, digests

PROGRAM = [sys.executable, str(Path(__file__).with_name("killed.py"))]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def start(world: World, count: int, under: str = ".") -> subprocess.Popen[str]:
    command = [*PROGRAM, str(count), str(world.run / under), "run", str(world.recipe)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)


def finish(world: World, count: int = 0, under: str = ".") -> tuple[int, str, str]:
    process = start(world, count, under)
    out, err = process.communicate()
    return process.returncode, out, err


@pytest.fixture(scope="module")
def uninterrupted(make_world: Callable[..., World], tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], int]:
    """What comes out of a run that nobody kills, and how many renames and links it makes."""
    world = make_world(tmp_path_factory.mktemp("uninterrupted"))
    code, out, err = finish(world)
    assert code == 0, err
    return digests(world.run), int(out.splitlines()[-1])


def test_killed_at_random_events(make_world: Callable[..., World], tmp_path: Path, uninterrupted: tuple[dict[str, str], int]) -> None:
    expected, events = uninterrupted
    world, chance, kills = make_world(tmp_path), random.Random(20230727), 0
    while True:
        # About seven kills spread over the run, whatever the number of its events.
        code, _, err = finish(world, chance.randint(1, 2 * events // 8))
        if code == 0:
            break
        assert code == -9, err
        kills += 1
        assert kills < 60, "it makes no progress"
    assert kills >= 5
    assert digests(world.run) == expected
    assert not list(world.run.rglob("*.tmp")), "leftovers of the killed runs are swept away"
    assert not list(world.run.rglob(".work-*"))


def test_killed_while_a_model_is_being_published(make_world: Callable[..., World], tmp_path: Path, uninterrupted: tuple[dict[str, str], int]) -> None:
    """Between the first file of a trained model that is in its place and its manifest: the riskiest moments there are."""
    world = make_world(tmp_path)
    for count in (1, 4):
        code, _, err = finish(world, count, "train/model")
        assert code == -9, err
        assert not (world.run / "train" / "manifest.json").exists()
        assert len(list((world.run / "train" / "model").iterdir())) == count - count % 2
    code, _, err = finish(world)
    assert code == 0, err
    assert "train: resume (an interrupted run of the same work is there)" in err
    assert digests(world.run) == uninterrupted[0]


def test_killed_at_random_times(make_world: Callable[..., World], tmp_path: Path, uninterrupted: tuple[dict[str, str], int]) -> None:
    expected, _ = uninterrupted
    world, chance = make_world(tmp_path), random.Random(7)
    for _ in range(3):
        process = start(world, 0)
        time.sleep(chance.uniform(0.3, 4.0))
        process.kill()
        process.communicate()
    code, _, err = finish(world)
    assert code == 0, err
    assert digests(world.run) == expected
