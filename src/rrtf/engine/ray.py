"""The executor on a Ray cluster: actors open the work once each, this process hands them items and takes the results.

Whoever dies (a worker, or a node with all of its workers) costs the items that were on it: they are given to others, and an item that several workers died
with becomes `Lost`. Parts are written by the runner, here, whoever computed them. Not here: the settings (`rrtf.engine.cluster`), and starting a cluster.
"""

# Ray is an extra: types are known only where it is installed, and every remote value is `Any`.
# pyright: reportMissingImports=false, reportMissingModuleSource=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false, reportPrivateUsage=false, reportAttributeAccessIssue=false

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import ray
import ray._private.worker as ray_worker
from ray._private.services import get_ray_address_from_environment
from ray.exceptions import GetTimeoutError, NodeDiedError, ObjectLostError, OutOfMemoryError, RayActorError, RayError, WorkerCrashedError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from rrtf.engine.cluster import RayHow
from rrtf.engine.local import InlineExecutor
from rrtf.engine.nodes import Check, facts_of_node
from rrtf.engine.tables import disk_error
from rrtf.errors import EngineError, RrtfError
from rrtf.protocols import Lost, Needs

Item = TypeVar("Item")
Result = TypeVar("Result")

_DEATHS = (RayActorError, NodeDiedError, WorkerCrashedError, OutOfMemoryError, ObjectLostError)
"""What says that a worker is gone, or the result it had; everything else is an error of the work or of the cluster."""
_ATTEMPTS = 4
"""Workers that may die with an item before it is given up: nodes of a cluster come and go, but an item that kills whoever has it must not go round for ever."""
_DEPTH = 2
"""Items that a worker has at once: one it works on, and one that it need not wait for."""
_LOOK_SECONDS = 3.0
"""How often the nodes are counted again."""
_PROBE_SECONDS = 120.0
_CONNECT_SECONDS = 10.0
_CLOSE_SECONDS = 20.0
_STALE_SECONDS = 86400.0


@contextmanager
def connected(how: RayHow, directory: Path, say: Callable[[str], None]) -> Generator[RayExecutor]:
    """Connect to the cluster, see that every node runs this same rrtf and sees `directory`. Raises `EngineError` where that is not so."""
    _connect(how.address)
    token = secrets.token_hex(8)
    probe = directory.absolute() / f".probe-{token}"  # there as long as we are: nodes that join later are asked, too
    try:
        probe.parent.mkdir(parents=True, exist_ok=True)
        for left in directory.glob(".probe-*"):
            if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                left.unlink(missing_ok=True)  # of a run that was killed
        probe.write_text(token, encoding="utf-8")
        check = Check(str(probe), token, facts_of_node()(str(probe), token))
        nodes = [node for node in _alive() if node["Resources"].get("CPU", 0) >= 1]
        _check_nodes(nodes, check)
        total = {name: sum(node["Resources"].get(name, 0) for node in nodes) for name in ("CPU", "GPU")}
        say(f"ray: {len(nodes)} nodes with {total['CPU']:g} processors and {total['GPU']:g} GPUs")
        yield RayExecutor(how, check, say)
    except OSError as error:
        raise disk_error(probe, error) if error.filename == str(probe) else error from error
    finally:
        ray.shutdown()
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def _connect(address: str) -> None:
    hint = "Start one with `ray start --head`, on other machines `ray start --address=HEAD:6379`, and run rrtf on one of them; or set how.executor = 'local'."
    try:
        known = os.environ.get("RAY_ADDRESS", "") if address == "auto" else address
        if address == "auto" and known in ("", "auto"):
            known = get_ray_address_from_environment("auto", None) or ""
        host, _, port = known.rpartition(":")
        if host and port.isdigit() and "/" not in host:
            # Ray itself waits for minutes for a head that is not there, and does not listen to Ctrl-C meanwhile.
            socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
        # What died is said by us, in a line; Ray would print its own story to standard output, where results go.
        ray_worker._worker_logs_enabled = False
        ray.init(address=address, log_to_driver=False, configure_logging=False, logging_level=logging.ERROR)
    except (ConnectionError, TimeoutError, OSError, ValueError) as error:
        where = "No Ray cluster was found" if address == "auto" else f"The Ray cluster at {address} cannot be reached"
        raise EngineError(f"{where} ({' '.join(str(error).split())[:200]}).", why='The recipe says how.executor = "ray".', hint=hint) from error
    except RuntimeError as error:
        if "ersion mismatch" not in str(error):
            raise
        told = "; ".join(line.strip() for line in str(error).splitlines()[1:] if ":" in line)[:400]
        raise EngineError(
            f"The cluster runs another Ray or Python than this process ({told or error}).",
            why="What is sent there could not be read.",
            hint="Install the same versions on every node and here, and start the cluster again.",
        ) from error


def _alive() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def _check_nodes(nodes: list[dict[str, Any]], check: Check) -> None:
    facts = ray.remote(num_cpus=0, max_retries=0)(facts_of_node())
    asked = {
        facts.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(check.probe, check.token): _name(node)
        for node in nodes
    }
    ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=_PROBE_SECONDS) if asked else ([], [])
    for ref in ready:
        try:
            found = ray.get(ref)
        except RayError as error:
            raise EngineError(f"Node {asked[ref]} cannot be used ({_short(error)}).", hint="See to it, or remove it from the cluster.") from error
        check.complain(asked[ref], found)
    if late:
        names = ", ".join(sorted(asked[ref] for ref in late)[:5])
        raise EngineError(f"{len(late)} nodes did not answer within {_PROBE_SECONDS:.0f} s: {names}.", hint="See what `ray status` says about them.")


def _name(node: Mapping[str, Any]) -> str:
    return f"{node['NodeManagerHostname']} ({node['NodeID'][:8]})"


def _short(error: BaseException) -> str:
    """The sentence of an error of Ray's that says something: it comes with tables and tracebacks."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("The actor", "Task was killed", "Worker exit", "Owner's node", "The node"))]
    return (telling or lines or [type(error).__name__])[0].rstrip(".")[:200]


class _Worker:
    """What runs as an actor. Errors of ours come back as values: Ray would wrap them."""

    def __init__(self, work: Callable[[], AbstractContextManager[Callable[[Any], Any]]], folder: str) -> None:
        self._work = work
        self._apply: Callable[[Any], Any]  # from `open` on
        self._stack = ExitStack()
        with contextlib.suppress(OSError):  # relative paths start where rrtf was started, if this node has that place
            os.chdir(folder)

    def hello(self, probe: str, token: str) -> tuple[str, dict[str, str]]:
        """The node, and what it says about itself: it may have joined after the check."""
        return ray.get_runtime_context().get_node_id(), facts_of_node()(probe, token)

    def open(self) -> RrtfError | None:
        try:
            self._apply = self._stack.enter_context(self._work())
        except RrtfError as error:
            return error
        return None

    def apply(self, item: Any) -> tuple[bool, Any]:
        try:
            return True, self._apply(item)
        except RrtfError as error:
            return False, error

    def close(self) -> None:
        self._stack.close()


@dataclass(frozen=True, slots=True)
class _Shape:
    """What one worker takes of its node."""

    workers: int
    resources: Mapping[str, float]

    def fit(self, node: Mapping[str, Any]) -> int:
        """How many of them a node has room for when nothing else runs there."""
        return min(int(node["Resources"].get(name, 0) // amount) for name, amount in self.resources.items())

    def options(self) -> dict[str, float]:
        """As Ray names them."""
        names = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
        return {"num_gpus": 0, **{names[name]: amount for name, amount in self.resources.items()}}

    def __str__(self) -> str:
        amounts = {name: amount / (1 << 30) if name == "memory" else amount for name, amount in self.resources.items()}
        return " and ".join(f"{amount:g} {'GB' if name == 'memory' else name}" for name, amount in amounts.items())


class RayExecutor:
    """`rrtf.protocols.Executor` over a cluster that this process is connected to. Items and results must survive pickling."""

    def __init__(self, how: RayHow, check: Check, say: Callable[[str], None]) -> None:
        self._how = how
        self._check = check
        self._say = say

    def map(
        self, work: Callable[[], AbstractContextManager[Callable[[Item], Result]]], items: Iterable[Item], needs: Needs = "processors"
    ) -> Iterator[tuple[int, Result | Lost]]:
        """See `rrtf.protocols.Executor.map`. Two items per worker are in flight, so that memory does not grow with the number of items."""
        if needs == "driver":
            yield from InlineExecutor().map(work, items)
            return
        pool = _Pool(ray.put(work), self._shape(needs), self._how.wait_seconds, self._check, self._say)
        try:
            yield from pool.results(items)
        except KeyboardInterrupt:
            pool.kill()  # whoever waits for Ctrl-C to work does not wait for sandboxes to be tidied: they end with their worker
            raise
        except RayError as error:
            if isinstance(error, ray.exceptions.RayTaskError):
                raise  # a bug of ours in the work, with the traceback from where it happened
            raise EngineError(
                f"The cluster failed ({_short(error)}).", why="The work could not go on.", hint="Finished parts are kept: see `ray status`, and run again."
            ) from error
        finally:
            pool.close()

    def _shape(self, needs: Literal["processors", "devices"]) -> _Shape:
        if needs == "processors":
            how, gpus = self._how.processors, 0.0
        else:
            how = self._how.devices
            gpus = how.gpus if how.gpus is not None else float(any(node["Resources"].get("GPU", 0) >= 1 for node in _alive()))
        wanted = {"CPU": float(how.cpus), "GPU": gpus, "memory": how.memory_gb * (1 << 30)}
        return _Shape(how.workers, {name: amount for name, amount in wanted.items() if amount})


@dataclass(slots=True)
class _Job:
    """An item, its place, and how many workers died with it."""

    position: int
    item: Any
    deaths: int = 0
    suspect: bool = False
    """It was with a worker that died, and is alone with the next: none is given up for what its neighbour does, which may kill a result on its way."""


@dataclass(eq=False, slots=True)
class _Slot:
    """A worker as seen from here: starting (no process yet), opening (the work), open."""

    actor: Any
    state: Literal["starting", "opening", "open"] = "starting"
    node: str = ""
    jobs: dict[Any, _Job] = field(default_factory=dict[Any, _Job])
    """By the reference to the result, in the order in which they were given."""


class _Pool:
    """The workers of one map: started as items come and nodes have room, replaced when they die, ended at its end."""

    def __init__(self, work: Any, shape: _Shape, patience: float, check: Check, say: Callable[[str], None]) -> None:
        self._work, self._shape, self._patience, self._check, self._say = work, shape, patience, check, say
        self._actor = ray.remote(_Worker)
        self._slots: list[_Slot] = []
        self._controls: dict[Any, _Slot] = {}
        self._backlog: deque[_Job] = deque()
        self._room, self._counted, self._names = 1, float("-inf"), dict[str, str]()
        self._stillborn = 0

    def results(self, items: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        """Every item's position and result. Raises what the work raised, and `EngineError` when there are no workers to be had."""
        source = enumerate(items)
        exhausted, idle_since = False, time.monotonic()
        while True:
            self._count_room()
            while not exhausted and self._outstanding() < _DEPTH * self._room:
                try:
                    self._backlog.append(_Job(*next(source)))
                except StopIteration:
                    exhausted = True
            if exhausted and not self._outstanding():
                return
            self._start_workers()
            self._hand_out()
            refs = [*self._controls, *(ref for slot in self._slots for ref in slot.jobs)]
            ready, _ = ray.wait(refs, num_returns=1, timeout=_LOOK_SECONDS)
            for ref in ready:
                yield from self._settle(ref)
            now = time.monotonic()
            idle_since = now if ready or any(slot.state != "starting" for slot in self._slots) else idle_since
            if now - idle_since > self._patience:
                raise EngineError(
                    f"No node of the cluster had room for a worker with {self._shape} for {self._patience:.0f} s.",
                    why="The work waits for one.",
                    hint="See `ray status`; lower how.ray.processors or how.ray.devices, or add nodes. Finished parts are kept.",
                )

    def kill(self) -> None:
        """End every worker at once."""
        while self._slots:
            with contextlib.suppress(RayError):
                ray.kill(self._slots.pop().actor)
        self._controls.clear()

    def close(self) -> None:
        """Let every worker close its work, and end it."""
        if not ray.is_initialized():
            return  # the connection ended before us, and with it the workers
        for slot in self._slots:
            for ref in list(slot.jobs)[1:]:
                ray.cancel(ref)  # not begun: nobody waits for it any more
        closing = [slot.actor.close.remote() for slot in self._slots if slot.state != "starting"]
        if closing:
            ray.wait(closing, num_returns=len(closing), timeout=_CLOSE_SECONDS)
        self.kill()

    def _outstanding(self) -> int:
        return len(self._backlog) + sum(len(slot.jobs) for slot in self._slots)

    def _count_room(self) -> None:
        """How many workers there should be. Counted again now and then: nodes join and leave."""
        if time.monotonic() - self._counted < _LOOK_SECONDS:
            return
        nodes = _alive()
        self._names = {node["NodeID"]: _name(node) for node in nodes}
        # At least one, though it may have to wait: that is what tells an autoscaler that something is wanted.
        self._room = self._shape.workers or max(1, sum(self._shape.fit(node) for node in nodes))
        self._counted = time.monotonic()

    def _start_workers(self) -> None:
        while len(self._slots) < min(self._room, self._outstanding()):
            slot = _Slot(self._actor.options(max_restarts=0, max_task_retries=0, **self._shape.options()).remote(self._work, str(Path.cwd())))
            self._slots.append(slot)
            self._controls[slot.actor.hello.remote(self._check.probe, self._check.token)] = slot

    def _hand_out(self) -> None:
        for depth in range(_DEPTH):
            for slot in self._slots:
                free = self._backlog and not (depth and self._backlog[0].suspect) and not any(job.suspect for job in slot.jobs.values())
                if free and slot.state == "open" and len(slot.jobs) == depth:
                    job = self._backlog.popleft()
                    slot.jobs[slot.actor.apply.remote(job.item)] = job

    def _settle(self, ref: Any) -> Iterator[tuple[int, Any]]:
        """Take what a reference brought."""
        slot = self._controls.get(ref) or next(slot for slot in self._slots if ref in slot.jobs)
        try:
            value: Any = ray.get(ref)
        except _DEATHS as error:
            yield from self._bury(slot, error)
            return
        if ref in slot.jobs:
            job, (good, result) = slot.jobs.pop(ref), value
            if not good:
                raise result
            yield job.position, result
            return
        del self._controls[ref]
        if slot.state == "starting":
            node, facts = value
            slot.node = self._names.get(node, facts["node"])
            self._check.complain(slot.node, facts)
            slot.state = "opening"
            self._controls[slot.actor.open.remote()] = slot
            return
        if value is not None:
            raise value
        slot.state, self._stillborn = "open", 0

    def _bury(self, slot: _Slot, error: BaseException) -> Iterator[tuple[int, Any]]:
        """Take what a dead worker had finished, and give the rest of its items to others."""
        self._slots.remove(slot)
        self._controls = {ref: other for ref, other in self._controls.items() if other is not slot}
        self._counted = float("-inf")
        with contextlib.suppress(RayError):
            ray.kill(slot.actor)  # it may only be out of reach
        jobs: list[_Job] = []
        for ref, job in slot.jobs.items():
            try:
                good, result = ray.get(ref, timeout=0)
            except (*_DEATHS, GetTimeoutError):
                jobs.append(job)
                continue
            if not good:
                raise result
            yield job.position, result
        reason = f"{_short(error)}, on node {slot.node or 'unknown'}"
        self._say(f"  ray: a worker ended ({reason}); {len(jobs)} parts that it had are given to others")
        if slot.state != "open":
            self._stillborn += 1
            if self._stillborn >= max(3, 2 * self._room):
                raise EngineError(
                    f"{self._stillborn} workers in a row ended before their work was opened ({reason}).",
                    why="No work can be done there.",
                    hint="See the logs of Ray's workers on that node; perhaps memory is short: how.ray.processors.memory_gb and how.ray.devices.memory_gb.",
                ) from error
        for number, job in enumerate(jobs):
            job.deaths, job.suspect = job.deaths + (number == 0), True  # it worked on the first; the others only waited
        self._backlog.extendleft(job for job in reversed(jobs) if job.deaths < _ATTEMPTS)
        for job in jobs:
            if job.deaths >= _ATTEMPTS:
                yield job.position, Lost(f"{job.deaths} workers ended while they worked on it, the last: {reason}")
