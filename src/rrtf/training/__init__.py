"""Training: preferences -> a better model, as an ordinary Hugging Face folder. The front door; importing it loads no torch.

    config -> what is learned · prompts, batches -> token ids and steps · scoring, attention, logprobs -> log-probabilities · losses -> the methods ·
    model -> load, adapters, hand back · loop, state -> steps, checkpoints

A method is a function in `losses` and a name in `config.Method`; nothing else changes. Not here: which answers teach (`rrtf.ranking`).
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rrtf.errors import missing_extra
from rrtf.identity import fingerprint
from rrtf.training.batches import EncodeCounts, TrainingExample
from rrtf.training.config import LoraConfig, Method, TrainConfig, TrainHow
from rrtf.training.memory import within_memory
from rrtf.training.prompts import prompt_ids

if TYPE_CHECKING:
    from rrtf.training.loop import StepReport

__all__ = ["EncodeCounts", "LoraConfig", "Method", "TrainConfig", "TrainHow", "TrainResult", "TrainingExample", "prompt_ids", "train"]

MODEL_FOLDER = "model"
METRICS_FILE = "metrics.jsonl"
"""One line per step; the same bytes whether or not the run was interrupted."""
RESULT_FILE = "training.json"

_SPARE = "Lower how.training.micro_batch_tokens, or set how.training.gradient_checkpointing, and run again: it goes on from its newest checkpoint."


@dataclass(frozen=True, slots=True)
class TrainResult:
    """A finished training."""

    model: Path
    """Ordinary Hugging Face folder; adapters are merged."""
    metrics: Path
    """JSON lines, one per step: see `rrtf.training.losses.Metrics.summary`, plus learning rate, gradient norm and tokens so far."""
    counts: EncodeCounts
    steps: int
    tokens: int
    """Prompt and answer tokens over all steps, prompts counted once per answer."""
    resumed_at: int
    """Step that this call went on from: 0 for a fresh start, `steps` when nothing was left to do."""


def train(
    model_name: str,
    examples: Iterable[TrainingExample],
    config: TrainConfig,
    how: TrainHow,
    out_dir: Path,
    progress: Callable[[StepReport], None] | None = None,
) -> TrainResult:
    """Train `model_name` (as in `rrtf.checkpoints.load`) on `examples` and save it under `out_dir`.

    Killed at any moment and called again with the same arguments, it goes on from its newest checkpoint and ends with the same weights, bit for
    bit on a processor. Raises `DataError` when nothing is left to train on or `out_dir` belongs to another training, `EngineError` for a model that
    cannot be used, a loss that is not finite or too little memory.
    """
    for module in ("torch", "transformers", "accelerate"):
        if importlib.util.find_spec(module) is None:
            raise missing_extra("train", module)
    from rrtf import checkpoints
    from rrtf.training.batches import encode
    from rrtf.training.loop import CHECKPOINTS, fit
    from rrtf.training.losses import objective
    from rrtf.training.model import finished, prepare
    from rrtf.training.prompts import Tokenizer
    from rrtf.training.state import clear_state

    device = checkpoints.pick_device(how.device)
    loaded = checkpoints.load(model_name, "float32", "cpu")
    groups, counts = encode(examples, cast("Tokenizer", loaded.tokenizer), config)
    asked = fingerprint([checkpoints.revision(model_name), config.model_dump(), groups])
    done = _read_result(out_dir, asked, counts)
    if done is not None:
        clear_state(out_dir / CHECKPOINTS)  # a kill may have come between the result and this
        return done
    with within_memory("training", _SPARE):
        student = prepare(loaded.model, config, how, device, groups[0])
        ended = fit(student.weights, student.scorer, groups, objective(config), config, how, out_dir, asked, progress)
    _sweep(out_dir)
    checkpoints.save(finished(student), loaded.tokenizer, out_dir / MODEL_FOLDER)
    record = {"fingerprint": asked, "steps": ended.steps, "tokens": ended.tokens, "counts": asdict(counts)}
    aside = out_dir / f".{RESULT_FILE}.tmp"
    aside.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    aside.replace(out_dir / RESULT_FILE)
    clear_state(out_dir / CHECKPOINTS)
    return TrainResult(out_dir / MODEL_FOLDER, out_dir / METRICS_FILE, counts, ended.steps, ended.tokens, ended.resumed_at)


def _sweep(out_dir: Path) -> None:
    """Remove half-written models, each as large as the model, that killed calls left beside its folder."""
    for left in out_dir.glob(f".{MODEL_FOLDER}.*"):
        shutil.rmtree(left, ignore_errors=True)


def _read_result(out_dir: Path, asked: str, counts: EncodeCounts) -> TrainResult | None:
    """The finished training in `out_dir`, if it is the one that is asked for. What another one left behind is removed, so that it cannot be taken for ours."""
    file = out_dir / RESULT_FILE
    if not file.is_file():
        return None
    record = json.loads(file.read_text(encoding="utf-8"))
    if record["fingerprint"] != asked:
        file.unlink()
        shutil.rmtree(out_dir / MODEL_FOLDER, ignore_errors=True)
        return None
    return TrainResult(out_dir / MODEL_FOLDER, out_dir / METRICS_FILE, counts, record["steps"], record["tokens"], record["steps"])
