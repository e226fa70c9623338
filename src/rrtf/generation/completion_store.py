"""Answers of endpoints that are known already: one SQLite file, written as they arrive by as many processes as like to.

An answer is found by the address of all that decides it: the engine's identity, the prompt, the sampling, the seed. What was paid for is never asked for again,
and a process killed at any moment loses only what it had not received. Prompts stand in the file as hashes alone; keys never.

Not here: answers of models in this process, which are cheaper to give again than to keep.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import cast

from rrtf.errors import DataError, EngineError
from rrtf.identity import Json, fingerprint
from rrtf.protocols import Prompt, Sampling
from rrtf.records import StopReason
from rrtf.sqlite_files import digest, folder_of, opened, temporary

FILE = "completions.sqlite"
_APPLICATION = 0x72727463
_FORMAT = 1
_TABLES = "CREATE TABLE IF NOT EXISTS completions (address TEXT PRIMARY KEY, content TEXT NOT NULL, digest TEXT NOT NULL) WITHOUT ROWID"


@dataclass(frozen=True, slots=True)
class Answer:
    """What an endpoint gave: a completion without the names of who asked."""

    text: str
    stop: StopReason
    prompt_tokens: int
    completion_tokens: int


def address(engine: Json, prompt: Prompt, sampling: Sampling, seed: int) -> str:
    """The address of an answer. Greedy decoding knows no seed."""
    asked: list[Json] = [prompt.chat, prompt.text, prompt.prefill]
    how: list[Json] = [sampling.temperature, sampling.top_p, sampling.max_new_tokens, list(sampling.stop)]
    return fingerprint([_FORMAT, engine, asked, how, seed if sampling.temperature > 0 else None])


class CompletionStore:
    """An open store. Safe to use from several threads; other processes may use the same file."""

    def __init__(self, folder: Path | None) -> None:
        """Open the store in `folder`; None remembers only until it is closed. Raises `EngineError`."""
        self._lock, self._path = threading.Lock(), folder and folder / FILE
        try:
            if folder is None:
                self._file = temporary(_TABLES)
            else:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._file = opened(folder / FILE, _APPLICATION, _FORMAT, _TABLES)
                self._file.execute("PRAGMA synchronous = FULL")  # what was paid for outlives a power cut as well
        except (sqlite3.Error, OSError, DataError) as error:
            raise self._refused(error) from error

    def get(self, place: str) -> Answer | None:
        """What is known under an address."""
        with self._lock:
            try:
                row = self._file.execute("SELECT content, digest FROM completions WHERE address = ?", (place,)).fetchone()
                if row is None:
                    return None
                content, check = row
                if check != digest(place, content):
                    self._file.execute("DELETE FROM completions WHERE address = ? AND digest = ?", (place, check))
                    return None
            except sqlite3.Error as error:
                raise self._refused(error) from error
        text, stop, prompt_tokens, completion_tokens = json.loads(content)
        return Answer(text, cast("StopReason", stop), prompt_tokens, completion_tokens)

    def keep(self, place: str, answer: Answer) -> Answer:
        """Remember an answer. What another writer put there meanwhile stays and is given back, so that everybody reads the same from then on."""
        content = json.dumps(astuple(answer), separators=(",", ":"))
        with self._lock:
            try:
                self._file.execute("INSERT OR IGNORE INTO completions VALUES (?, ?, ?)", (place, content, digest(place, content)))
            except sqlite3.Error as error:
                raise self._refused(error) from error
        return self.get(place) or answer

    def count(self) -> int:
        """How many answers are there."""
        with self._lock:
            return cast("int", self._file.execute("SELECT count(*) FROM completions").fetchone()[0])

    def close(self) -> None:
        """Nothing that was kept is lost without it."""
        with self._lock:
            self._file.close()

    def _refused(self, error: Exception) -> EngineError:
        reason = error.message if isinstance(error, DataError) else f"it cannot be used ({error})"
        return EngineError(
            f"The store of answers {self._path or '(temporary)'}: {reason.rstrip('.')}.",
            why="Answers that are paid for would be lost.",
            hint="See to it, or choose another folder with the engine's how.cache (none: nothing is kept).",
        )


@contextmanager
def open_store(where: str) -> Generator[CompletionStore]:
    """The store that `EndpointHow.cache` names, for the length of the block. Raises `EngineError`."""
    with closing(CompletionStore(folder_of(where))) as store:
        yield store
