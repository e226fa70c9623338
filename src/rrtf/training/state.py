"""Training checkpoints: everything a killed run needs to go on to the same weights, bit for bit on a processor.

That is the trained weights, AdamW's moments and the step number. The rest follows from them: the order of problems, dropout and the learning rate are
functions of seed and step. Written aside, synced and renamed; the older one goes only when the newer one is whole. safetensors and JSON, no pickle.
Not here: the finished model (`rrtf.checkpoints.save`).
"""

# safetensors' signatures are partly untyped.
# pyright: reportUnknownVariableType=false

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rrtf.errors import DataError, EngineError

_STEP = "step-"


@dataclass(frozen=True, slots=True)
class Position:
    """Where a training stands."""

    step: int
    """Optimiser steps done."""
    tokens: int
    active: float = 1.0
    """Running share of ranked problems with an active pair: decides how the next step is split (`rrtf.training.batches.plan`)."""


def save_state(folder: Path, fingerprint: str, position: Position, parameters: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> None:
    """Write a checkpoint and remove the older ones. Raises `EngineError` when it cannot be written."""
    final = folder / f"{_STEP}{position.step:08d}"
    aside = folder / f".{final.name}.{os.getpid()}"
    tensors = {f"weight/{name}": parameter.detach() for name, parameter in parameters.items()}
    for name, parameter in parameters.items():
        for key, value in cast("dict[str, Tensor]", optimizer.state[parameter]).items():
            tensors[f"{key}/{name}"] = value
    try:
        aside.mkdir(parents=True, exist_ok=True)
        save_file({key: value.contiguous() for key, value in tensors.items()}, aside / "state.safetensors")
        (aside / "position.json").write_text(
            json.dumps({"fingerprint": fingerprint, "step": position.step, "tokens": position.tokens, "active": position.active}) + "\n", encoding="utf-8"
        )
        for file in (aside / "state.safetensors", aside / "position.json", aside):
            _sync(file)
        if final.exists():
            shutil.rmtree(final)
        aside.rename(final)
        _sync(folder)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise EngineError(
            f"The training checkpoint {str(final)!r} cannot be written: {error}.", why="A killed run could not go on.", hint="Free some disk space."
        ) from error
    for old in folder.iterdir():
        if old != final and old.name.lstrip(".").startswith(_STEP):
            shutil.rmtree(old, ignore_errors=True)


def load_state(folder: Path, fingerprint: str, parameters: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> Position:
    """Put the newest checkpoint into `parameters` and `optimizer`; position 0 when there is none.

    Raises `DataError` when it belongs to another config, model or data, or is damaged.
    """
    found = sorted(path for path in folder.glob(f"{_STEP}*") if path.is_dir()) if folder.is_dir() else []
    if not found:
        return Position(0, 0)
    try:
        meta = json.loads((found[-1] / "position.json").read_text(encoding="utf-8"))
        same, position = meta["fingerprint"] == fingerprint, Position(int(meta["step"]), int(meta["tokens"]), float(meta["active"]))
        # Read only when it is ours: it can be gigabytes.
        tensors = load_file(found[-1] / "state.safetensors") if same else {}
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DataError(f"The training checkpoint {str(found[-1])!r} is damaged: {error}.", hint="Delete it to start this training again.") from error
    if not same:
        raise DataError(
            f"The training checkpoint {str(found[-1])!r} was made with other settings, another model or other data.",
            why="Going on from it would give weights that nothing describes.",
            hint="Use another output folder, or delete this one.",
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors.pop(f"weight/{name}"))
    state: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        kind, _, name = key.partition("/")
        state.setdefault(name, {})[kind] = value
    for name, parameter in parameters.items():
        if name in state:
            # A step counter stays where the optimiser made it; moments live beside their weights.
            cast("Any", optimizer).state[parameter] = {kind: value.to(parameter.device) for kind, value in state[name].items()}
    return position


def clear_state(folder: Path) -> None:
    """Remove every checkpoint of a finished training."""
    shutil.rmtree(folder, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
