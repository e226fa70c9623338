"""Verdicts and measurements that are known already: one SQLite file, written by as many processes as like to.

A verdict is found by the address of all that decides it (`rrtf.judging` makes addresses) and names neither its problem nor its answer: whoever asks puts those
in. Every row carries a check of its content. Whatever goes wrong with the file (no room, no rights, no locks, damage, somebody else's) costs what it would
have saved, and a sentence: from then on this process remembers for itself, in a temporary file.

Not here: whether a verdict is worth keeping (`rrtf.sandbox.harness`).
"""

from __future__ import annotations

import itertools
import json
import secrets
import sqlite3
import threading
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from rrtf.errors import DataError
from rrtf.records import Outcome, TestStatus, Verdict
from rrtf.sqlite_files import digest, folder_of, opened, temporary

FILE = "verdicts.sqlite"
_APPLICATION = 0x72727466
"""Says in the file's header that it is ours."""
_FORMAT = 1
_TABLES = """
    CREATE TABLE IF NOT EXISTS verdicts (address TEXT PRIMARY KEY, content TEXT NOT NULL, writer TEXT NOT NULL, digest TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS timings (address TEXT PRIMARY KEY, content TEXT NOT NULL, writer TEXT NOT NULL, digest TEXT NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Known:
    """What the store holds under an address."""

    content: dict[str, Any]
    earlier: bool
    """It was there before this store was opened, or somebody else wrote it meanwhile."""


class VerdictStore:
    """An open store. Safe to use from several threads; other processes may use the same file."""

    def __init__(self, folder: Path | None, say: Callable[[str], object]) -> None:
        """Open the store in `folder`; None remembers only until it is closed."""
        self._say, self._lock, self._writer = say, threading.Lock(), secrets.token_hex(8)
        self._path = folder and folder / FILE
        self._file: sqlite3.Connection | None = None
        if folder is None:
            self._file = temporary(_TABLES)
            return
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = opened(folder / FILE, _APPLICATION, _FORMAT, _TABLES)
        except (sqlite3.Error, OSError, DataError) as error:
            self._go_on_without(error)

    def verdict(self, address: str) -> Known | None:
        """What is known under an address, as `verdict_content` made it."""
        return self._read("verdicts", address)

    def keep_verdict(self, address: str, content: dict[str, Any]) -> None:
        """Remember a verdict. What is there already stays."""
        self._write("verdicts", address, content)

    def timing(self, address: str) -> Known | None:
        """What was measured under an address."""
        return self._read("timings", address)

    def keep_timing(self, address: str, content: dict[str, Any]) -> None:
        """Remember a measurement."""
        self._write("timings", address, content)

    def close(self) -> None:
        """Nothing that was kept is lost without it."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _read(self, table: str, address: str) -> Known | None:
        with self._lock:
            if self._file is None:
                return None
            try:
                row = self._file.execute(f"SELECT content, writer, digest FROM {table} WHERE address = ?", (address,)).fetchone()  # noqa: S608 - our own names
            except sqlite3.Error as error:
                self._go_on_without(error)
                return None
        if row is None:
            return None
        content, writer, check = row
        if check != digest(address, content):
            self._run(f"DELETE FROM {table} WHERE address = ? AND digest = ?", (address, check))  # noqa: S608 - our own names
            return None
        return Known(cast("dict[str, Any]", json.loads(content)), earlier=writer != self._writer)

    def _write(self, table: str, address: str, content: dict[str, Any]) -> None:
        text = json.dumps(content, separators=(",", ":"))
        # What another writer put there meanwhile stays, so that everybody reads the same from then on.
        self._run(f"INSERT OR IGNORE INTO {table} VALUES (?, ?, ?, ?)", (address, text, self._writer, digest(address, text)))  # noqa: S608 - our own names

    def _run(self, statement: str, row: tuple[str, ...]) -> None:
        with self._lock:
            for _ in range(2):  # into the file, or else into what takes its place
                if self._file is None:
                    return
                try:
                    self._file.execute(statement, row)
                except sqlite3.Error as error:
                    self._go_on_without(error)
                else:
                    return

    def _go_on_without(self, error: Exception) -> None:
        if self._file is not None:
            self._file.close()
        place, self._path, self._file = self._path, None, None
        if place is None:
            return  # the temporary one failed too: then nothing is remembered
        reason = error.message if isinstance(error, DataError) else f"it cannot be used ({error})"
        self._say(f"The cache of verdicts {place}: {reason.rstrip('.')}. Judging goes on without it; another place: --cache DIR or --cache none.")
        try:
            self._file = temporary(_TABLES)
        except sqlite3.Error:
            self._file = None


@contextmanager
def open_store(where: str, say: Callable[[str], object]) -> Generator[VerdictStore]:
    """The store that `SandboxRuntime.cache` names, for the length of the block."""
    with closing(VerdictStore(folder_of(where), say)) as store:
        yield store


def verdict_content(verdict: Verdict) -> dict[str, Any]:
    """A verdict without the names of its problem and its answer, small: equal neighbours among the tests are counted."""
    return {
        "outcome": verdict.outcome.name,
        "tests": [[status, len(list(group))] for status, group in itertools.groupby(verdict.tests)],
        "cause": verdict.cause,
        "cpu_seconds": verdict.cpu_seconds,
        "wall_seconds": verdict.wall_seconds,
        "peak_mb": verdict.peak_mb,
    }


def verdict_from(content: dict[str, Any], problem_id: str, response_id: str) -> Verdict:
    """The verdict again, as one on this answer."""
    tests: list[TestStatus] = [status for status, count in content["tests"] for _ in range(count)]
    return Verdict(
        problem_id=problem_id,
        response_id=response_id,
        outcome=Outcome[content["outcome"]],
        tests=tuple(tests),
        cause=content["cause"],
        cpu_seconds=content["cpu_seconds"],
        wall_seconds=content["wall_seconds"],
        peak_mb=content["peak_mb"],
    )
