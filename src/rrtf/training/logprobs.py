"""Log-probabilities of chosen tokens from hidden states, without ever holding all logits.

Full-vocabulary log-softmax is what fills memory in pair trainers: one answer of 150 tokens takes 30 MB of float32 logits at a vocabulary of 49,152, several
times over in autograd. Here logits exist for `chunk` tokens at a time, forward and again backward. Matrix products run in the precision
of the hidden states; log-softmax is float32 at least. Not here: where hidden states come from (`rrtf.training.scoring`).
"""

# torch's signatures are partly untyped, and its pattern for functions with a backward pass does not type-check as an override.
# pyright: reportUnknownMemberType=false, reportIncompatibleMethodOverride=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


@dataclass(frozen=True, slots=True)
class Head:
    """How a model turns hidden states into logits: `softcap(scale * (hidden @ weight.T + bias))`."""

    weight: Tensor
    """(V, H)"""
    bias: Tensor | None = None
    """(V,)"""
    scale: float = 1.0
    softcap: float | None = None
    """Gemma 2 and 3: logits become `softcap * tanh(logits / softcap)`."""


def selected_log_probs(hidden_th: Tensor, head: Head, target_t: Tensor, *, chunk: int = 128) -> Tensor:
    """Log P(target) per position (T,), float32 or wider. The matrix product runs in the precision of the hidden states."""
    return cast("Tensor", _SelectedLogProbs.apply(hidden_th, head.weight, head.bias, target_t, head.scale, head.softcap, chunk))


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None, scale: float, softcap: float | None) -> Tensor:
    logits = hidden @ weight.t()
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if bias is not None:
        logits += bias
    if scale != 1.0:
        logits *= scale
    if softcap is not None:
        logits = logits.div_(softcap).tanh_().mul_(softcap)
    return logits


class _SelectedLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        target: Tensor,
        scale: float,
        softcap: float | None,
        chunk: int,
    ) -> Tensor:
        low = weight.to(hidden.dtype)
        wide = torch.promote_types(hidden.dtype, torch.float32)
        out = torch.empty(len(target), dtype=wide, device=hidden.device)
        norm = torch.empty_like(out)
        for start in range(0, len(target), chunk):
            part = slice(start, start + chunk)
            logits = _logits(hidden[part], low, bias, scale, softcap)
            norm[part] = torch.logsumexp(logits, dim=-1)
            out[part] = logits.gather(-1, target[part, None]).squeeze(-1) - norm[part]
        ctx.save_for_backward(hidden, weight, bias, target, norm)
        ctx.settings = (scale, softcap, chunk)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grad_outputs
        hidden, weight, bias, target, norm = cast("tuple[Tensor, Tensor, Tensor | None, Tensor, Tensor]", ctx.saved_tensors)
        scale, softcap, chunk = cast("tuple[float, float | None, int]", ctx.settings)
        needs_hidden, needs_weight, needs_bias = cast("tuple[bool, ...]", ctx.needs_input_grad)[:3]
        low = weight.to(hidden.dtype)
        grad_hidden = torch.empty_like(hidden) if needs_hidden else None
        # Chunks are added up in float32, whatever the weights are held in.
        grad_weight = torch.zeros_like(weight, dtype=torch.promote_types(weight.dtype, torch.float32)) if needs_weight else None
        grad_bias = torch.zeros_like(bias) if needs_bias and bias is not None else None
        for start in range(0, len(target), chunk):
            part = slice(start, start + chunk)
            states = hidden[part]
            logits = _logits(states, low, bias, scale, softcap)
            # d log P(target) / d logit = [logit is target] - softmax; the softcap's slope is 1 - (capped / softcap)^2.
            slope = None if softcap is None else 1.0 - (logits / softcap).square_()
            delta = logits.sub_(norm[part, None]).exp_().neg_()
            delta.scatter_add_(-1, target[part, None], torch.ones_like(delta[:, :1]))
            delta.mul_(grad[part, None] * scale)
            if slope is not None:
                delta.mul_(slope)
            if grad_bias is not None:
                grad_bias += delta.sum(0).to(grad_bias.dtype)
            small = delta.to(hidden.dtype)
            if grad_hidden is not None:
                grad_hidden[part] = small @ low
            if grad_weight is not None:
                grad_weight += small.t() @ states
        return grad_hidden, None if grad_weight is None else grad_weight.to(weight.dtype), grad_bias, None, None, None, None
