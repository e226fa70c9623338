"""The training loop: steps over problems with one loss argument. It knows log-probabilities and a loss, and no method by name.

The gradient of a unit of problems is taken in two halves, for any loss that is a function of the answers' log-probabilities: the loss's gradient in those
numbers first (a handful of floats), then each forward pass is carried back with its part of it. So an answer is computed forward once however many pairs
it is in, a pack whose answers have no gradient (an inactive hinge) is never carried back, and a unit larger than memory is computed in pieces
with the same gradient. Not here: what a step holds (`rrtf.training.batches`), how answers are scored (`rrtf.training.scoring`).
"""

# torch's and accelerate's signatures are partly untyped.
# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from rrtf.errors import EngineError
from rrtf.identity import derive_seed
from rrtf.training import METRICS_FILE
from rrtf.training.batches import Group, Unit, plan, step_problems, steps_per_epoch
from rrtf.training.config import TrainConfig, TrainHow
from rrtf.training.losses import Loss, Metrics, Objective, Scored
from rrtf.training.precision import Weights
from rrtf.training.scoring import Scorer, score
from rrtf.training.state import Position, load_state, save_state

SPEED_FILE = "speed.jsonl"
"""Seconds and tokens per second of each step that this machine ran; no part of any identity."""
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True, slots=True)
class StepReport:
    """One optimiser step, as it goes to `metrics.jsonl` and to the progress callback."""

    step: int
    """From 1."""
    steps: int
    epoch: float
    metrics: dict[str, float]
    seconds: float
    tokens_per_second: float


Progress = Callable[[StepReport], None]


@dataclass(frozen=True, slots=True)
class Finished:
    """What the loop did."""

    steps: int
    resumed_at: int
    """Step the run went on from; 0 for a fresh start."""
    tokens: int
    """Prompt and answer tokens of every scored answer over all steps, prompts counted once per answer."""


def fit(
    weights: Weights,
    scorer: Scorer,
    groups: Sequence[Group],
    objective: Objective,
    config: TrainConfig,
    how: TrainHow,
    folder: Path,
    fingerprint: str,
    progress: Progress | None = None,
) -> Finished:
    """Train `weights` in place, from the newest checkpoint under `folder` if there is one. Raises `EngineError` at a loss or gradient that is not finite."""
    accelerator = _accelerator(scorer.device)
    optimizer = _optimizer(weights.master, config)
    steps = config.epochs * steps_per_epoch(len(groups), config.batch_problems)
    position = load_state(folder / CHECKPOINTS, fingerprint, weights.master, optimizer)
    weights.publish()
    resumed_at, tokens, active = position.step, position.tokens, position.active
    _forget_after(folder / METRICS_FILE, resumed_at)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / METRICS_FILE).open("a", encoding="utf-8") as metrics_file, (folder / SPEED_FILE).open("a", encoding="utf-8") as speed_file:
        for step in range(resumed_at, steps):
            began = time.perf_counter()
            batch = [groups[i] for i in step_problems(step, len(groups), config)]
            rate = learning_rate(step, steps, config)
            for settings in optimizer.param_groups:
                settings["lr"] = rate
            metrics, norm = _step(accelerator, optimizer, weights, scorer, batch, objective, config, how, step, active)
            if metrics.ranked_problems:
                active = 0.8 * active + 0.2 * metrics.active_problems / metrics.ranked_problems
            seen = sum(len(group.prompt) + len(answer) for group in batch for answer in group.answers)
            tokens += seen
            epoch = round((step + 1) * config.epochs / steps, 6)
            values = {**metrics.summary(), "learning_rate": rate, "grad_norm": norm, "tokens": float(tokens)}
            metrics_file.write(json.dumps({"step": step + 1, "epoch": epoch, **values}) + "\n")
            metrics_file.flush()
            seconds = time.perf_counter() - began
            speed_file.write(json.dumps({"step": step + 1, "seconds": round(seconds, 4), "tokens": seen, "tokens_per_second": round(seen / seconds, 1)}) + "\n")
            speed_file.flush()
            if progress is not None:
                progress(StepReport(step + 1, steps, epoch, values, seconds, seen / seconds))
            if (step + 1) % how.checkpoint_every == 0 or step + 1 == steps:
                save_state(folder / CHECKPOINTS, fingerprint, Position(step + 1, tokens, active), weights.master, optimizer)
    return Finished(steps, resumed_at, tokens)


def learning_rate(step: int, steps: int, config: TrainConfig) -> float:
    """Rate of step `step` (from 0) of `steps`: a straight rise over the warm-up, then the schedule's fall to 0 (reached just after the last step)."""
    warm = math.ceil(steps * config.warmup)
    if step < warm:
        return config.learning_rate * (step + 1) / warm
    done = (step - warm) / max(1, steps - warm)
    if config.schedule == "cosine":
        return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * done))
    return config.learning_rate * (1.0 - done) if config.schedule == "linear" else config.learning_rate


def accumulate(scorer: Scorer, unit: Unit, loss: Loss, problems: int, seed: int, backward: Callable[[Tensor], object]) -> Metrics:
    """Add the gradient of (the unit's loss / `problems`) to the parameters. `problems`: of the whole optimiser step. `seed` fixes dropout."""
    scores: list[Tensor] = []
    with torch.set_grad_enabled(unit.hold):
        for number, pack in enumerate(unit.packs):
            torch.manual_seed(seed + number)
            scores.append(score(scorer, unit.groups, pack))
    leaf = torch.cat([part.detach() for part in scores]).requires_grad_()
    value, metrics = loss(scored(unit, leaf))
    # Without any target or pair that bears on it the loss is a constant.
    (grad,) = torch.autograd.grad(value / problems, leaf, allow_unused=True) if value.requires_grad else (None,)
    if grad is None or not math.isfinite(metrics.loss):
        return metrics
    for number, (pack, part, weight) in enumerate(zip(unit.packs, scores, torch.split(grad, [len(part) for part in scores]), strict=True)):
        if not bool((weight != 0).any()):
            continue
        if not unit.hold:
            # The same seed as in the first pass: with dropout, the same network.
            torch.manual_seed(seed + number)
        carried = part if unit.hold else score(scorer, unit.groups, pack)
        backward((carried * weight).sum())
    return metrics


def scored(unit: Unit, logprob_a: Tensor) -> Scored:
    """The loss's view of a unit, with answers in the order of its packs."""
    place = {member: at for at, member in enumerate((g, i) for pack in unit.packs for g, answers in pack.members for i in answers)}
    device = logprob_a.device

    def index(values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=device)

    pairs = [(g, pair) for g, group in enumerate(unit.groups) for pair in group.pairs]
    return Scored(
        logprob_a=logprob_a,
        length_a=torch.tensor([len(unit.groups[g].answers[i]) for g, i in place], dtype=logprob_a.dtype, device=device),
        problem_a=index([g for g, _ in place]),
        chosen_n=index([place[g, pair.chosen] for g, pair in pairs]),
        rejected_n=index([place[g, pair.rejected] for g, pair in pairs]),
        margin_n=torch.tensor([pair.margin for _, pair in pairs], dtype=logprob_a.dtype, device=device),
        target_m=index([place[g, target] for g, group in enumerate(unit.groups) for target in group.targets]),
        problems=len(unit.groups),
    )


def _step(
    accelerator: Accelerator,
    optimizer: torch.optim.Optimizer,
    weights: Weights,
    scorer: Scorer,
    batch: Sequence[Group],
    objective: Objective,
    config: TrainConfig,
    how: TrainHow,
    step: int,
    active: float,
) -> tuple[Metrics, float]:
    metrics = Metrics()
    units = plan(batch, how.micro_batch_tokens, active=active if objective.sparse else 1.0, shared_prompt=scorer.shared_prompt)
    for number, unit in enumerate(units):
        seed = derive_seed("train dropout", config.seed, step, number)
        metrics += accumulate(scorer, unit, objective.loss, len(batch), seed, cast("Callable[[Tensor], object]", accelerator.backward))
        _require_finite(metrics.loss, "loss", step, batch)
    norm = float(torch.nn.utils.clip_grad_norm_(weights.master.values(), config.max_grad_norm))
    _require_finite(norm, "gradient", step, batch)
    optimizer.step()
    weights.publish()
    optimizer.zero_grad(set_to_none=True)
    return metrics, norm


def _require_finite(value: float, what: str, step: int, batch: Sequence[Group]) -> None:
    if not math.isfinite(value):
        raise EngineError(
            f"The {what} of training step {step + 1} is {value}.",
            why=f"Training stopped before the weights took it in; the step held the problems {', '.join(group.problem_id for group in batch)}.",
            hint="Lower the learning rate, or set the precision to fp32; the newest checkpoint is kept.",
        )


def _accelerator(device: torch.device) -> Accelerator:
    # Precision is decided per model in `rrtf.training.model`: accelerate's own setting is one per process.
    accelerator = Accelerator(cpu=device.type == "cpu")
    if accelerator.num_processes > 1:
        raise EngineError(f"Training was launched with {accelerator.num_processes} processes.", why="It runs in one process.", hint="Launch one process.")
    return accelerator


def _optimizer(parameters: dict[str, nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    matrices = [p for p in parameters.values() if p.ndim >= 2]
    others = [p for p in parameters.values() if p.ndim < 2]
    groups: list[dict[str, Any]] = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=config.learning_rate, fused=True)


def _forget_after(metrics: Path, step: int) -> None:
    """Drop the lines of steps that will run again, and a half-written last line."""
    if metrics.exists():
        lines = metrics.read_text(encoding="utf-8").splitlines(keepends=True)[:step]
        aside = metrics.with_name(f".{metrics.name}.tmp")
        aside.write_text("".join(lines), encoding="utf-8")
        aside.replace(metrics)
