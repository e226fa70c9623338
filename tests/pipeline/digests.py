"""What came out of a run, as digests: equal digests mean equal rows and equal weights."""

from __future__ import annotations

from pathlib import Path

from rrtf.engine import artifacts


def digests(run: Path) -> dict[str, str]:
    """The digest of every artefact. Of the report only the results: its page says how long things took."""
    found = {folder.name: artifacts.require_manifest(folder).digest for folder in sorted(run.iterdir()) if folder.is_dir()}
    return {**found, "report": next(part.digest for part in artifacts.require_manifest(run / "report").parts if part.file == "results.json")}
