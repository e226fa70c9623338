"""Data sets of the Hugging Face hub by id: their rows as Parquet files on this machine.

The hub converts every public data set to Parquet on a branch of its own, `refs/convert/parquet`, as SUBSET/SPLIT/0000.parquet and so on (`partial-SPLIT` for
the beginning of very large ones), so no code of a data set is run here. What was downloaded once is taken from the hub's cache when there is no network.
Not here: models (`rrtf.checkpoints`), what rows mean (`rrtf.seeds`).
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from rrtf.errors import DataError, missing_extra

PREFIX = "hub:"
"""How the name of a source begins that is a data set's id."""
_BRANCH = "refs/convert/parquet"


def parquet_files(name: str, subset: str = "default", split: str = "train") -> list[Path]:
    """The files of one split, in order; `name` is OWNER/NAME. Raises `DataError` when the hub does not give them, `EngineError` for a missing extra."""
    try:
        from huggingface_hub import snapshot_download  # pyright: ignore[reportUnknownVariableType]
    except ModuleNotFoundError as error:
        raise missing_extra("hub", "huggingface_hub") from error
    patterns = [f"{subset}/{split}/*.parquet", f"{subset}/partial-{split}/*.parquet"]
    folder, why = None, ""
    try:
        folder = Path(snapshot_download(name, repo_type="dataset", revision=_BRANCH, allow_patterns=patterns))
    except Exception as error:  # noqa: BLE001 - without a network the hub's client raises what its HTTP library does, which shares no base but this
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        with contextlib.suppress(OSError, ValueError):
            folder = Path(snapshot_download(name, repo_type="dataset", revision=_BRANCH, allow_patterns=patterns, local_files_only=True))
    found = sorted(path for pattern in patterns for path in folder.glob(pattern)) if folder else []
    if found:
        return found
    if folder is None:
        raise DataError(
            f"The hub did not give the data set {name!r} ({why}).",
            why="Nothing of it is on this machine either.",
            hint="Check the id and the connection, or download its files and name one of them.",
        )
    there = sorted({"/".join(path.relative_to(folder).parts[:2]) for path in folder.glob("*/*/*.parquet")})
    raise DataError(
        f"The data set {name!r} has no rows under {subset}/{split}.",
        why=f"It has {', '.join(there)}." if there else "The hub has not converted it, or calls its parts otherwise.",
        hint="See the data set's page for its subsets and splits, and set evolve.seeds.subset and evolve.seeds.split.",
    )
