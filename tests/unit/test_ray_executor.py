"""What the Ray executor does beyond the contract (tests/contract/test_executor_contract.py): nodes and workers that die, Ctrl-C, what is checked."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import ray_work
from ray_cluster import MISSING, Killing, alive, cluster, eventually, gone
from toy_stages import Toy, doubling

from rrtf.engine import runner
from rrtf.engine.cluster import ProcessorsHow, RayHow
from rrtf.engine.executors import open_executor
from rrtf.engine.local import InlineExecutor
from rrtf.errors import EngineError
from rrtf.protocols import Lost

pytest.importorskip("ray", reason=MISSING)
ray_executor: Any = importlib.import_module("rrtf.engine.ray")  # after the line above: it needs the extra

ITEMS = tuple((letter, number) for number, letter in enumerate("abcdefghijklmnop"))


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    with cluster() as made:
        yield made


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def opened(nodes: Any, directory: Path, said: list[str] | None = None, **how: Any) -> Any:
    return open_executor("ray", 1, RayHow(address=nodes.address, **how), directory, (said if said is not None else []).append)


def digests(directory: Path) -> list[str]:
    return [runner.artifacts.require_manifest(directory / name).digest for name in ("source", "draw", "total")]


def uninterrupted(folder: Path) -> list[str]:
    runner.run(Toy(log=folder / "log", items=ITEMS).pipeline(folder / "run"), None, InlineExecutor(), lambda line: None)
    return digests(folder / "run")


def test_stages_give_the_same_rows_on_a_cluster(nodes: Any, tmp_path: Path) -> None:
    toy, directory = Toy(log=tmp_path / "log", items=ITEMS), tmp_path / "run"
    with opened(nodes, directory) as executor:
        runner.run(toy.pipeline(directory), None, executor, lambda line: None)
    (tmp_path / "local").mkdir()
    assert digests(directory) == uninterrupted(tmp_path / "local")
    assert not list(directory.glob(".probe*")), "what was written to see whether nodes see it is gone"


def test_a_killed_node_costs_only_its_parts(nodes: Any, tmp_path: Path) -> None:
    toy, directory, said = Toy(log=tmp_path / "log", items=ITEMS, part=1), tmp_path / "run", list[str]()
    extra = nodes.add_node(num_cpus=1)
    with opened(nodes, directory, said) as executor:
        # When all three work, and have two parts each; slow enough that they still do when the node goes.
        killing = Killing(executor, lambda: toy.paid().count("open draw") == 3, lambda: nodes.remove_node(extra, allow_graceful=False))
        runner.run(toy.but(pause=0.4).pipeline(directory), None, killing, lambda line: None)
    assert killing.called
    (tmp_path / "local").mkdir()
    assert digests(directory) == uninterrupted(tmp_path / "local")
    times = Counter(line for line in toy.paid() if line.startswith("draw"))
    assert len(times) == len(ITEMS) * toy.n
    assert len({line.split()[1] for line, count in times.items() if count > 1}) <= 2, "of one worker on one node at most the two parts that it had are repeated"
    assert [line for line in said if "a worker ended" in line]


def test_a_worker_that_dies_costs_nothing_but_time(nodes: Any, tmp_path: Path, log: Path) -> None:
    said: list[str] = []
    with opened(nodes, tmp_path, said) as executor:
        found = dict(executor.map(partial(doubling, log), [1, 2, -9, 3, 4]))
    lost = found.pop(2)
    assert found == {0: 2, 1: 4, 3: 6, 4: 8}
    assert isinstance(lost, Lost)
    assert lost.reason.startswith("4 workers ended while they worked on it, the last: ")
    assert sum("a worker ended" in line for line in said) == 4


def test_an_item_is_not_given_up_for_what_its_neighbours_do(nodes: Any, tmp_path: Path) -> None:
    items = [1, -9, 2, -9, 3, -9, 4, 5, -9]
    with opened(nodes, tmp_path) as executor:
        found = dict(executor.map(ray_work.deadly, items))
    assert {position: found[position] for position, item in enumerate(items) if item > 0} == {position: item for position, item in enumerate(items) if item > 0}
    assert {position for position, result in found.items() if isinstance(result, Lost)} == {1, 3, 5, 8}


def test_a_suspect_is_alone_with_its_worker() -> None:
    pool = ray_executor._Pool(None, ray_executor._Shape(2, {"CPU": 1.0}), 1.0, None, print)  # type: ignore[arg-type]
    actor = SimpleNamespace(apply=SimpleNamespace(remote=lambda item: f"result of {item}"))
    pool._slots = [ray_executor._Slot(actor, "open") for _ in range(2)]
    pool._backlog.extend(ray_executor._Job(number, number, suspect=number in (0, 3)) for number in range(5))
    pool._hand_out()
    assert [[job.item for job in slot.jobs.values()] for slot in pool._slots] == [[0], [1, 2]]
    assert [job.item for job in pool._backlog] == [3, 4], "the next suspect waits for a worker that has nothing"


class Losing:
    """An executor that loses its first item."""

    def map(self, work: Any, items: Any, needs: str) -> Any:
        for position, found in InlineExecutor().map(work, items):
            yield position, found if position or needs == "driver" else Lost("lost\tit\nall")


def test_a_lost_part_is_a_counted_failure_and_owed(tmp_path: Path) -> None:
    toy, directory = Toy(log=tmp_path / "log"), tmp_path / "run"
    manifest = runner.run(toy.pipeline(directory), None, Losing(), lambda line: None)["draw"]  # type: ignore[arg-type]
    assert manifest.failures == ({"key": "a", "reason": "lost it all"}, {"key": "b", "reason": "lost it all"})
    assert manifest.rows == 6
    manifest = runner.run(toy.pipeline(directory), None, InlineExecutor(), lambda line: None)["draw"]
    assert (manifest.rows, manifest.failures) == (10, ())


def test_sandboxes_of_a_killed_worker_end_with_it(nodes: Any, tmp_path: Path, log: Path) -> None:
    sources = [f"def f():\n    return {number}" for number in range(6)]
    with opened(nodes, tmp_path) as executor:
        found = dict(executor.map(partial(ray_work.judging, log), [*sources[:3], "kill me", *sources[3:]]))
    assert [found[position] for position in (0, 1, 2, 4, 5, 6)] == list(range(6))
    assert isinstance(found[3], Lost)
    pids = {int(line) for line in log.read_text().split()}
    assert len(pids) >= 8, "four workers died and left at least a sandbox each"
    assert gone(pids)


def test_workers_that_die_while_they_open_are_a_sentence(nodes: Any, tmp_path: Path, log: Path) -> None:
    with opened(nodes, tmp_path) as executor, pytest.raises(EngineError, match="workers in a row ended before their work was opened"):
        list(executor.map(partial(ray_work.dying, log), range(9)))
    assert gone({int(line) for line in log.read_text().split()})


def test_no_room_is_a_sentence(nodes: Any, tmp_path: Path, log: Path) -> None:
    how = {"processors": ProcessorsHow(cpus=64), "wait_seconds": 1.0}
    with opened(nodes, tmp_path, **how) as executor, pytest.raises(EngineError, match="had room for a worker with 64 CPU for 1 s") as caught:
        list(executor.map(partial(doubling, log), [1]))
    assert "how.ray.processors" in caught.value.hint


def test_models_take_a_gpu_where_there_is_one(nodes: Any, tmp_path: Path) -> None:
    work = partial(ray_work.visible, "CUDA_VISIBLE_DEVICES")
    node = nodes.add_node(num_cpus=1, num_gpus=1)
    try:
        with opened(nodes, tmp_path) as executor:
            assert dict(executor.map(work, [0, 1, 2], "devices")) == {0: "0", 1: "0", 2: "0"}
    finally:
        nodes.remove_node(node)


# ------------------------------------------------------------------------------------------------ the driver ends

_DRIVER = """
import sys
from functools import partial
from pathlib import Path
from rrtf.engine import runner
from rrtf.engine.cluster import RayHow
from rrtf.engine.executors import open_executor
import ray_work
from toy_stages import Toy

address, what, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
try:
    with open_executor("ray", 1, RayHow(address=address), folder / "run", lambda line: None) as executor:
        if what == "sleep":
            print("going", flush=True)
            list(executor.map(partial(ray_work.sleeping, folder / "pids"), [600.0] * 8))
        toy = Toy(log=folder / "log", items={items!r}, part=1, pause=0.3)
        runner.run(toy.pipeline(folder / "run"), None, executor, lambda line: None)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(130)
"""


def start(nodes: Any, what: str, folder: Path) -> subprocess.Popen[str]:
    script = folder / "driver.py"
    script.write_text(_DRIVER.format(items=ITEMS))
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2] / "src")])
    command = [sys.executable, str(script), nodes.address, what, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, env={**os.environ, "PYTHONPATH": path})


def test_a_killed_driver_leaves_nobody_and_is_resumed(nodes: Any, tmp_path: Path) -> None:
    toy, directory = Toy(log=tmp_path / "log", items=ITEMS, part=1), tmp_path / "run"
    process = start(nodes, "run", tmp_path)
    try:
        assert eventually(lambda: len(list(directory.glob("draw/part-*"))) >= 4 or process.poll() is not None, 60)
        workers = {worker.pid for worker in psutil.process_iter() if worker.name().startswith("ray::_Worker")}
        assert workers
        process.kill()
    finally:
        process.kill()
        _, err = process.communicate()
    assert process.returncode == -9, err
    assert gone(workers)
    kept = len(list(directory.glob("draw/part-*")))
    with opened(nodes, directory) as executor:
        runner.run(toy.pipeline(directory), None, executor, lambda line: None)
    (tmp_path / "local").mkdir()
    assert digests(directory) == uninterrupted(tmp_path / "local")
    times = Counter(line for line in toy.paid() if line.startswith("draw"))
    assert 4 <= kept < len(ITEMS)
    assert sum(count - 1 for count in times.values()) <= 4 * toy.n, "at most the parts in flight are repeated, two for each worker"


def test_ctrl_c_ends_the_workers_at_once(nodes: Any, tmp_path: Path) -> None:
    process = start(nodes, "sleep", tmp_path)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "going\n"
        log = tmp_path / "pids"
        assert eventually(lambda: log.exists() and len(log.read_text().split()) == 2, 60)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)  # far less than an item takes
    finally:
        process.kill()
        process.communicate()
    assert (out, process.returncode) == ("interrupted\n", 130), err
    assert "Traceback" not in err
    assert gone({int(line) for line in log.read_text().split()})


# ------------------------------------------------------------------------------------------------ what is checked at the start


@pytest.mark.parametrize(
    ("address", "said"), [("127.0.0.1:1", "The Ray cluster at 127.0.0.1:1 cannot be reached"), ("nowhere.invalid:6379", "cannot be reached")]
)
def test_a_cluster_that_is_not_there_is_a_sentence(tmp_path: Path, address: str, said: str) -> None:
    with pytest.raises(EngineError, match=said) as caught, open_executor("ray", 1, RayHow(address=address), tmp_path, print):
        pass
    assert caught.value.exit_code == 4
    assert "ray start --head" in caught.value.hint


def test_no_cluster_at_all_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**settings: Any) -> None:
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr("rrtf.engine.ray.get_ray_address_from_environment", lambda address, folder: None)
    monkeypatch.setattr("ray.init", init)
    with pytest.raises(EngineError, match=r"No Ray cluster was found \(Could not find any"), open_executor("ray", 1, RayHow(), tmp_path, print):
        pass


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ({"python": "3.9.1"}, "runs Python 3.9.1, and this process"),
        ({"rrtf": ""}, "has no rrtf"),
        ({"rrtf": "0" * 64}, "has another rrtf than this process"),
        ({"sees": ""}, "does not see"),
    ],
)
def test_a_node_that_differs_is_refused_by_name(nodes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: dict[str, str], said: str) -> None:
    from rrtf.engine import nodes as real

    here = os.getpid()

    def other() -> Any:
        facts = real.facts_of_node()

        def changed(probe: str, token: str) -> dict[str, str]:
            return {**facts(probe, token), **(there if os.getpid() != here else {})}

        return changed

    monkeypatch.setattr("rrtf.engine.ray.facts_of_node", other)
    with pytest.raises(EngineError, match=said) as caught, opened(nodes, tmp_path):
        pass
    assert caught.value.message.startswith("Node ")


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "rrtf.engine.ray", raising=False)
    with pytest.raises(EngineError, match="'ray' is not installed") as caught, open_executor("ray", 1, RayHow(), tmp_path, print):
        pass
    assert "rrtf[ray]" in caught.value.hint


def test_nothing_of_a_run_is_left_on_the_nodes(nodes: Any, tmp_path: Path, log: Path) -> None:
    with opened(nodes, tmp_path) as executor:
        list(executor.map(partial(ray_work.judging, log), ["def f():\n    return 1"] * 4))
    assert gone({int(line) for line in log.read_text().split()})
    assert not [process for process in psutil.process_iter() if process.name().startswith("ray::_Worker") and alive(process.pid)]
