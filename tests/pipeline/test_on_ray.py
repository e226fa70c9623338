"""The whole loop on a Ray cluster of several nodes, real sandboxes included: the rows, weights and scores of a run on this machine alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ray_cluster import MISSING, Killing, cluster
from small_world import World, digests

from rrtf import joins, pipeline, recipe
from rrtf.engine import artifacts, runner
from rrtf.engine.executors import open_executor
from rrtf.engine.local import InlineExecutor

pytest.importorskip("ray", reason=MISSING)


@pytest.fixture(scope="module")
def alone(make_world: Callable[..., World], tmp_path_factory: pytest.TempPathFactory) -> World:
    world = make_world(tmp_path_factory.mktemp("alone"))
    runner.run(pipeline.build(recipe.load(world.recipe)), None, InlineExecutor(), lambda line: None)
    return world


@pytest.fixture(scope="module")
def nodes() -> Any:
    with cluster() as made:
        yield made


def test_a_run_on_a_cluster_gives_what_a_run_here_gives(nodes: Any, alone: World, make_world: Callable[..., World], tmp_path: Path, rrtf: Any) -> None:
    world = make_world(tmp_path)
    there = ["--set", "how.executor=ray", "--set", f"how.ray.address={nodes.address}"]
    ended = rrtf("run", world.recipe, *there)
    assert ended.code == 0, ended.err
    assert "ray: 2 nodes with 2 processors and 0 GPUs" in ended.err
    assert digests(world.run) == digests(alone.run)
    for name in ("execute", "evaluate.after"):
        notes = [artifacts.require_manifest(run / name).notes for run in (world.run, alone.run)]
        assert notes[0] == notes[1], "what the nodes isolate, which are this machine"
    # A finished run asks for no cluster, and how it was computed bears no identity.
    for where in (["--set", "how.executor=ray", "--set", "how.ray.address=127.0.0.1:1"], []):
        ended = rrtf("run", world.recipe, *where)
        assert ended.code == 0, ended.err
        assert ": run" not in ended.err


def test_a_node_that_dies_while_programs_are_judged_changes_no_verdict(nodes: Any, alone: World, make_world: Callable[..., World], tmp_path: Path) -> None:
    world = make_world(tmp_path)
    loaded = recipe.load(world.recipe, ["how.part_problems=1", "how.executor=ray", f"how.ray.address={nodes.address}"])
    built = pipeline.build(loaded)
    first, judged = [joins.CURATE, joins.TEACHER, joins.STUDENT], [joins.EXECUTE]
    runner.run(built, first, InlineExecutor(), lambda line: None)
    extra = nodes.add_node(num_cpus=1)
    with open_executor("ray", 1, loaded.how.ray, world.run, lambda line: None) as executor:
        killing = Killing(executor, lambda: True, lambda: nodes.remove_node(extra, allow_graceful=False))
        runner.run(built, judged, killing, lambda line: None)
    assert killing.called
    manifests = [artifacts.require_manifest(run / joins.EXECUTE) for run in (world.run, alone.run)]
    assert manifests[0].digest == manifests[1].digest
    assert not manifests[0].failures


def test_a_cluster_that_is_not_there_ends_the_run_before_it_begins(make_world: Callable[..., World], tmp_path: Path, rrtf: Any) -> None:
    world = make_world(tmp_path)
    ended = rrtf("run", world.recipe, "--set", "how.executor=ray", "--set", "how.ray.address=127.0.0.1:1")
    assert ended.code == 4
    assert "The Ray cluster at 127.0.0.1:1 cannot be reached" in ended.err
    assert "curate" not in ended.err
