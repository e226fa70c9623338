"""What is left of a killed run: one line per traced test file and per tried function, appended as soon as it is known.

A line is found again by a fingerprint of everything that decides it, so a repository that changed pays for what changed. Torn and foreign lines are owed again.
Not here: the problems themselves, which are made from the repository each time.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, TextIO, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from rrtf.engine.tables import disk_error

_Row = TypeVar("_Row")


@dataclass(slots=True)
class Journal:
    """Lines by key."""

    path: Path
    file: TextIO
    known: dict[str, Any]
    lock: Lock = field(default_factory=Lock)

    def get(self, key: str, kind: type[_Row]) -> _Row | None:
        """What is known under a key."""
        try:
            return TypeAdapter(kind).validate_json(json.dumps(self.known[key])) if key in self.known else None
        except ValidationError:
            return None

    def put(self, key: str, row: Any) -> None:
        """Remember; from any thread. Raises `DataError` when the disk refuses."""
        with self.lock:
            try:
                self.file.write(json.dumps({"key": key, "row": asdict(row)}, ensure_ascii=True) + "\n")
                self.file.flush()
            except OSError as error:
                raise disk_error(self.path, error) from error


@contextmanager
def opened(path: Path) -> Generator[Journal]:
    """The journal at a path, new or not. Raises `DataError`."""
    known: dict[str, Any] = {}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        raise disk_error(path, error) from error
    for line in text.splitlines():
        try:
            found: Any = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and {"key", "row"} <= found.keys():
            row = cast("dict[str, Any]", found)
            known[str(row["key"])] = row["row"]
    with file:
        file.write("\n" if text and not text.endswith("\n") else "")  # a torn last line must not swallow the next
        yield Journal(path, file, known)
