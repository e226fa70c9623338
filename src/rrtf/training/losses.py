"""Losses as pure functions of tensors: log-probabilities, lengths, pairs and margins -> loss and metrics.

One contract for every method, so the loop has one loss argument: a `Loss` maps `Scored` answers of some problems to the **sum over those problems** of each
problem's loss. The loop divides by the number of problems in the optimiser step, so the gradient is the mean over problems and does not depend
on how a step is split into micro-batches. Within a problem pairs are summed, as in the paper's formula (section 3.4).
Not here: how log-probabilities are computed (`rrtf.training.logprobs`), padding and masks (there are none: each answer is already one sum and one length).
"""

# torch's signatures are partly untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self, cast

import torch.nn.functional as F  # noqa: N812 - the name everyone knows
from torch import Tensor

from rrtf.training.config import TrainConfig


@dataclass(frozen=True, slots=True)
class Scored:
    """A answers of some problems, flat. Shapes: `_a` one per answer, `_n` one per pair, `_m` one per target."""

    logprob_a: Tensor
    """Sum over the answer's tokens of log P(token | prompt, tokens before), in nats; float."""
    length_a: Tensor
    """Number of answer tokens, at least 1; float."""
    problem_a: Tensor
    """Which problem an answer belongs to, from 0; long."""
    chosen_n: Tensor
    rejected_n: Tensor
    """Positions of the better and the worse answer of each pair; long."""
    margin_n: Tensor
    """Score gap r_chosen - r_rejected of each pair, the pair's weight; float."""
    target_m: Tensor
    """Positions of the answers that the cross-entropy imitates; long."""
    problems: int
    """Number of problems."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """Sums over problems, answers, pairs or tokens, so that micro-batches add up exactly as they are. Ratios are taken at the end of a step (`summary`)."""

    problems: int = 0
    loss: float = 0.0
    rank_loss: float = 0.0
    ce: float = 0.0
    """The cross-entropy term as it enters the loss."""
    target_nats: float = 0.0
    target_tokens: int = 0
    pairs: int = 0
    active: int = 0
    """Pairs whose worse answer is the likelier one per token: where the paper's hinge has a gradient."""
    ranked_problems: int = 0
    """Problems with a pair."""
    active_problems: int = 0
    """Problems with an active pair."""
    gap: float = 0.0
    """Sum over pairs of p_chosen - p_rejected, nats per token."""

    def __add__(self, other: Self) -> Self:
        ours, theirs = dataclasses.astuple(self), dataclasses.astuple(other)
        return type(self)(*(a + b for a, b in zip(ours, theirs, strict=True)))

    def summary(self) -> dict[str, float]:
        """Means: losses per problem, `nats_per_token` per target token, the rest per pair (0 where there is none)."""
        problems, pairs = max(self.problems, 1), max(self.pairs, 1)
        return {
            "loss": self.loss / problems,
            "rank_loss": self.rank_loss / problems,
            "ce": self.ce / problems,
            "nats_per_token": self.target_nats / max(self.target_tokens, 1),
            "pairs": float(self.pairs),
            "active_share": self.active / pairs,
            "gap": self.gap / pairs,
            "rank_accuracy": (self.pairs - self.active) / pairs if self.pairs else 0.0,
        }


Loss = Callable[[Scored], tuple[Tensor, Metrics]]


@dataclass(frozen=True, slots=True)
class Objective:
    """A loss, and what the loop may make use of."""

    loss: Loss
    sparse: bool
    """True: the loss often has no gradient at all in answers that are not targets (a hinge), so they are worth a forward pass of their own."""


def objective(config: TrainConfig) -> Objective:
    """The loss that the config names."""
    reduction, weight = config.ce_reduction, config.rank_weight
    if config.method == "rrtf":
        return Objective(lambda scored: rrtf_loss(scored, ce_reduction=reduction, rank_weight=weight), sparse=True)
    if config.method == "rrtf-bt":
        temperature, margin = config.temperature, config.margin
        return Objective(lambda scored: rrtf_bt_loss(scored, ce_reduction=reduction, rank_weight=weight, temperature=temperature, margin=margin), sparse=False)
    return Objective(lambda scored: sft_loss(scored, ce_reduction=reduction), sparse=True)


def rrtf_loss(scored: Scored, *, ce_reduction: Literal["sum", "mean"] = "sum", rank_weight: float = 1.0) -> tuple[Tensor, Metrics]:
    """The paper's loss (section 3.4): `rank_weight * -sum margin * min(0, p_chosen - p_rejected)` + cross-entropy on targets.

    At exactly equal p the hinge counts as satisfied: it has no gradient there.
    """
    gap_n = pair_gaps(scored)
    rank = -(scored.margin_n * gap_n.clamp(max=0.0).where(gap_n < 0, 0.0)).sum()
    return _combine(scored, gap_n, rank, cross_entropy(scored, ce_reduction), rank_weight)


def rrtf_bt_loss(
    scored: Scored, *, ce_reduction: Literal["sum", "mean"] = "sum", rank_weight: float = 1.0, temperature: float = 1.0, margin: float = 0.0
) -> tuple[Tensor, Metrics]:
    """The smooth variant: `margin_pair * temperature * softplus((margin - (p_chosen - p_rejected)) / temperature)` in place of the hinge.

    The negative log-likelihood of a Bradley-Terry model whose strengths are p / temperature; as temperature goes to 0 it becomes the hinge (with `margin` = 0).
    """
    gap_n = pair_gaps(scored)
    rank = (scored.margin_n * temperature * F.softplus((margin - gap_n) / temperature)).sum()
    return _combine(scored, gap_n, rank, cross_entropy(scored, ce_reduction), rank_weight)


def sft_loss(scored: Scored, *, ce_reduction: Literal["sum", "mean"] = "sum") -> tuple[Tensor, Metrics]:
    """Cross-entropy on targets alone. Pairs, where given, are only measured."""
    gap_n = pair_gaps(scored)
    return _combine(scored, gap_n, gap_n.new_zeros(()), cross_entropy(scored, ce_reduction), 0.0)


def pair_gaps(scored: Scored) -> Tensor:
    """p_chosen - p_rejected of each pair (N,), where p is the mean log-probability per answer token."""
    p_a = scored.logprob_a / scored.length_a
    return p_a[scored.chosen_n] - p_a[scored.rejected_n]


def cross_entropy(scored: Scored, reduction: Literal["sum", "mean"]) -> Tensor:
    """-log P of the target tokens: `sum` over all of them, or the sum over problems of each problem's `mean` over its target tokens."""
    nats_m = -scored.logprob_a[scored.target_m]
    if reduction == "sum":
        return nats_m.sum()
    problem_m = scored.problem_a[scored.target_m]
    tokens_p = scored.length_a.new_zeros(scored.problems).index_add(0, problem_m, scored.length_a[scored.target_m])
    return (nats_m / tokens_p[problem_m]).sum()


def _combine(scored: Scored, gap_n: Tensor, rank: Tensor, ce: Tensor, rank_weight: float) -> tuple[Tensor, Metrics]:
    loss = rank_weight * rank + ce
    metrics = Metrics(
        problems=scored.problems,
        loss=float(loss.detach()),
        rank_loss=float(rank.detach()),
        ce=float(ce.detach()),
        target_nats=float(-scored.logprob_a.detach()[scored.target_m].sum()),
        target_tokens=int(scored.length_a[scored.target_m].sum()),
        pairs=gap_n.numel(),
        active=int((gap_n.detach() < 0).sum()),
        ranked_problems=_distinct(scored.problem_a[scored.chosen_n]),
        active_problems=_distinct(scored.problem_a[scored.chosen_n[gap_n.detach() < 0]]),
        gap=float(gap_n.detach().sum()),
    )
    return loss, metrics


def _distinct(problems: Tensor) -> int:
    return len(set(cast("list[int]", problems.tolist())))
