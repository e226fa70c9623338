"""Log-probability of answers under a model: packs of answers -> one number per answer. Only answer tokens go through the head.

Two layouts give the same numbers. *Shared*: one row without padding, each prompt computed once (`rrtf.training.attention`). *Separate*: one right-padded row
per answer through the model's own attention, for models that the shared layout does not suit. Not here: losses and gradients' bookkeeping.
"""

# torch's signatures are partly untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from rrtf.training.attention import Layout
from rrtf.training.batches import Group, Pack
from rrtf.training.logprobs import Head, selected_log_probs


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a decoder is fed. B rows of L tokens."""

    token_bl: Tensor
    position_bl: Tensor
    mask_bl: Tensor | None
    """1 for tokens, 0 for padding on the right; None when there is none."""
    layout: Layout | None
    """Of the one row, in the shared layout."""
    pick_t: Tensor
    """Where the answers' tokens are predicted: positions in the flattened rows."""
    target_t: Tensor
    """The tokens predicted there."""
    lengths: tuple[int, ...]
    """Tokens of each answer; they add up to T."""


class Decoder(Protocol):
    """A decoder stack: inputs -> last hidden states (B, L, H)."""

    def __call__(self, inputs: Inputs) -> Tensor:
        """Run the stack."""
        ...


@dataclass(frozen=True, slots=True)
class Scorer:
    """A model as the loop sees it."""

    decoder: Decoder
    head: Callable[[], Head]
    shared_prompt: bool
    chunk: int
    device: torch.device


def score(scorer: Scorer, groups: Sequence[Group], pack: Pack) -> Tensor:
    """Log P(answer | prompt) of the pack's answers, in the pack's order (A,), float32; with gradient when grad is enabled."""
    inputs = (shared_inputs if scorer.shared_prompt else separate_inputs)(groups, pack, scorer.device)
    picked_th = scorer.decoder(inputs).flatten(0, 1)[inputs.pick_t]
    logprob_t = selected_log_probs(picked_th, scorer.head(), inputs.target_t, chunk=scorer.chunk)
    return torch.stack([part.sum() for part in torch.split(logprob_t, list(inputs.lengths))])


def shared_inputs(groups: Sequence[Group], pack: Pack, device: torch.device) -> Inputs:
    """One row: each group's prompt, then its answers without their last tokens (which predict nothing)."""
    tokens: list[int] = []
    positions: list[int] = []
    picks: list[int] = []
    targets: list[int] = []
    layout: list[tuple[int, tuple[int, ...]]] = []
    for group_at, answers in pack.members:
        group = groups[group_at]
        prompt = len(group.prompt)
        tokens += group.prompt
        positions += range(prompt)
        last_of_prompt = len(tokens) - 1
        for answer in (group.answers[i] for i in answers):
            picks += [last_of_prompt, *range(len(tokens), len(tokens) + len(answer) - 1)]
            targets += answer
            tokens += answer[:-1]
            positions += range(prompt, prompt + len(answer) - 1)
        layout.append((prompt, tuple(len(group.answers[i]) - 1 for i in answers)))
    lengths = tuple(len(groups[g].answers[i]) for g, answers in pack.members for i in answers)
    return Inputs(_row(tokens, device)[None], _row(positions, device)[None], None, tuple(layout), _row(picks, device), _row(targets, device), lengths)


def separate_inputs(groups: Sequence[Group], pack: Pack, device: torch.device) -> Inputs:
    """One right-padded row per answer. Causal attention never looks to the right, so padding cannot change a number."""
    rows = [(groups[g].prompt, groups[g].answers[i]) for g, answers in pack.members for i in answers]
    longest = max(len(prompt) + len(answer) - 1 for prompt, answer in rows)
    token_bl = torch.zeros(len(rows), longest, dtype=torch.long)
    mask_bl = torch.zeros_like(token_bl)
    picks: list[int] = []
    for row, (prompt, answer) in enumerate(rows):
        used = len(prompt) + len(answer) - 1
        token_bl[row, :used] = torch.tensor((*prompt, *answer[:-1]))
        mask_bl[row, :used] = 1
        picks += range(row * longest + len(prompt) - 1, row * longest + used)
    position_bl = torch.arange(longest).expand(len(rows), -1)
    padded = bool((mask_bl == 0).any())
    return Inputs(
        token_bl.to(device),
        position_bl.to(device),
        mask_bl.to(device) if padded else None,
        None,
        _row(picks, device),
        _row([token for _, answer in rows for token in answer], device),
        tuple(len(answer) for _, answer in rows),
    )


def _row(values: list[int], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.long, device=device)
