"""SQLite files that are ours, written by as many processes as like to: opening one, and knowing it for what it is.

Not here: what stands in them (`rrtf.verdict_store`, `rrtf.generation.completion_store`).
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from pathlib import Path

from rrtf.errors import DataError

_BUSY_SECONDS = 30.0
"""How long another writer is waited for; writing a row takes well below a millisecond."""


def folder_of(where: str) -> Path | None:
    """The folder that a `cache` key names; None when nothing is to be kept."""
    if where == "none":
        return None
    if where != "default":
        return Path(where).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "rrtf"


def digest(address: str, content: str) -> str:
    """A check of a row's content, kept beside it."""
    return hashlib.sha256(f"{address} {content}".encode()).hexdigest()[:16]


def temporary(tables: str) -> sqlite3.Connection:
    """A file of our own that grows on disk and is gone when it is closed, or when we are."""
    file = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    file.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {tables}")
    return file


def opened(path: Path, application: int, form: int, tables: str) -> sqlite3.Connection:
    """The file, made if need be. `application` says in its header that it is ours, `form` is the version of its format.

    Raises `DataError` for one that is not ours, `sqlite3.Error` where it cannot be used.
    """
    file = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    until = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            _claim(file, application, form, tables)
        except sqlite3.OperationalError as error:
            # Where several open a new file together, SQLite gives up at once instead of waiting.
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY and time.monotonic() < until:
                file.rollback()
                time.sleep(0.02)
                continue
            file.close()
            raise
        except BaseException:
            file.close()
            raise
        return file


def _claim(file: sqlite3.Connection, application: int, form: int, tables: str) -> None:
    file.execute("BEGIN")  # one moment's state: somebody may be making it just now
    (owner,), (found,), (count,) = (
        file.execute(query).fetchone() for query in ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
    )
    file.execute("COMMIT")
    if owner != application and (owner or count):
        raise DataError("it is a database of something else")
    if owner == application and found > form:
        raise DataError(f"it was written by a later version of rrtf (format {found}, and this one reads {form})")
    # Readers and a writer do not wait for one another. Where the file system cannot do that, SQLite stays with what it can, and says so if that is nothing.
    file.execute("PRAGMA journal_mode = WAL")
    file.execute("PRAGMA synchronous = NORMAL")  # a killed process loses nothing; a power cut may lose the last rows, and never damages the file
    if owner != application:
        file.execute("BEGIN IMMEDIATE")
        for statement in (*tables.split(";"), f"PRAGMA application_id = {application}", f"PRAGMA user_version = {form}"):
            file.execute(statement)
        file.execute("COMMIT")
