"""Sandboxes that hostile programs are run in: as whoever runs the tests and, where that is root, as an ordinary user too."""

from __future__ import annotations

import pytest

from rrtf.sandbox import ProcessConfig, SandboxRuntime, open_sandbox
from rrtf.sandbox.process import ProcessSandbox


@pytest.fixture(scope="session")
def sandbox():
    with ProcessSandbox(workers=1) as opened:
        yield opened


@pytest.fixture(scope="session")
def full(sandbox):
    """The same sandbox, for programs that are only safe to run, or only fail to do harm, behind every namespace."""
    if sandbox.isolation().missing:
        pytest.skip("this machine does not give the full isolation: " + "; ".join(sandbox.isolation().missing))
    return sandbox


@pytest.fixture(scope="session")
def with_pytest():
    """A sandbox whose programs may have pytest files as their tests."""
    with open_sandbox(ProcessConfig(), SandboxRuntime(workers=1)) as opened:
        yield opened
