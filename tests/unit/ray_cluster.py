"""A real Ray cluster of several nodes on this machine, for tests. A head without processors, so that every worker is on a node that a test may kill.

Imported only where Ray is installed: the tests that need it are skipped elsewhere, with this reason.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

TESTS = Path(__file__).parents[1]
MISSING = "ray is not installed (pip install 'rrtf[ray]')"
SYSTEM = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 6}


@contextmanager
def cluster(nodes: int = 2, **node: Any) -> Generator[Any]:
    """A `ray.cluster_utils.Cluster` with so many nodes of one processor. This process is not connected to it."""
    utils = pytest.importorskip("ray.cluster_utils", reason=MISSING)
    with pytest.MonkeyPatch.context() as patch:
        # Workers get this from the node that starts them: they must be able to import what tests send them.
        source = str(TESTS.parent / "src")
        patch.setenv("PYTHONPATH", os.pathsep.join([source, str(TESTS / "unit"), str(TESTS / "contract")]))
        patch.delenv("RAY_ADDRESS", raising=False)
        made = utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, "_system_config": SYSTEM})
        try:
            for _ in range(nodes):
                made.add_node(num_cpus=1, **node)
            yield made
        finally:
            made.shutdown()


def gone(pids: set[int], seconds: float = 20.0) -> bool:
    """Whether all of these processes end within some time: the kernel takes a moment, and so does Ray."""
    return eventually(lambda: not any(alive(pid) for pid in pids), seconds)


def alive(pid: int) -> bool:
    """Whether a process runs. One that waits to be collected by its parent does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def eventually(true: Callable[[], bool], seconds: float) -> bool:
    """Whether something becomes true."""
    for _ in range(int(seconds / 0.1)):
        if true():
            return True
        time.sleep(0.1)
    return true()


class Killing:
    """An executor that calls `event` once, after the first result that came when `ready` said so."""

    def __init__(self, real: Any, ready: Callable[[], bool], event: Callable[[], object]) -> None:
        self.real, self.ready, self.event, self.called = real, ready, event, False

    def map(self, *arguments: Any) -> Iterator[Any]:
        for found in self.real.map(*arguments):
            yield found
            if not self.called and self.ready():
                self.called = True
                self.event()
