"""What all tests share: no test may reach the network, and the command line is called as a user calls it."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts us with `&` has us ignore Ctrl-C, and what we start would inherit that


@dataclass(frozen=True)
class Ended:
    """How a call of the command line ended."""

    code: int
    out: str
    err: str


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
