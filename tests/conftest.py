"""What all tests share: no test may reach the network, and the command line is called as a user calls it."""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="rrtf-tests-")  # nothing a test judges may be kept where this user's own verdicts are
atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts us with `&` has us ignore Ctrl-C, and what we start would inherit that


@dataclass(frozen=True)
class Ended:
    """How a call of the command line ended."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each test has a cache of its own, so that none passes on what another judged."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def rrtf(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """`rrtf("plan", "x.toml")`: the command line in this process. An exception that it lets through (a bug of ours) reaches the test."""

    def call(*arguments: object) -> Ended:
        from rrtf.cli import main

        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "argv", ["rrtf", *map(str, arguments)])
        code: object = 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main()
            except SystemExit as ended:
                code = ended.code or 0
        assert isinstance(code, int)
        return Ended(code, out.getvalue(), err.getvalue())

    return call
