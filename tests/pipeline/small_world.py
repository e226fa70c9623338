"""Where a small whole run lies, and what came out of it as digests: equal digests mean equal rows and equal weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rrtf.engine import artifacts


@dataclass(frozen=True)
class World:
    """A folder with problems, a model and a recipe, whose run goes to `run`."""

    folder: Path
    recipe: Path

    @property
    def run(self) -> Path:
        return self.folder / "run"


def digests(run: Path) -> dict[str, str]:
    """The digest of every artefact. Of the report only the results: its page says how long things took."""
    found = {folder.name: artifacts.require_manifest(folder).digest for folder in sorted(run.iterdir()) if folder.is_dir()}
    return {**found, "report": next(part.digest for part in artifacts.require_manifest(run / "report").parts if part.file == "results.json")}
