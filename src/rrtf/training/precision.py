"""Float32 master weights beside the weights that a model computes with.

In bf16 the whole forward and backward pass runs in bf16 (autocast casts every weight for every pass and every gradient back; it took a tenth longer over 750
tokens at once: docs/decisions/0004-training.md). What must not be lost to rounding stays float32: master weights, gradients
summed over micro-batches, AdamW's moments.
In fp32 masters and working weights are the same tensors. Not here: which precision to use (`rrtf.training.model`).
"""

# torch's signatures are partly untyped.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of a model in training, by name; tied ones once."""

    master: dict[str, nn.Parameter]
    """What is trained: float32, with the summed gradient in `.grad`. The optimiser sees only these."""
    working: dict[str, nn.Parameter]
    """What the model computes with, of the same names."""
    frozen: dict[str, tuple[nn.Parameter, Tensor]]
    """Weights that are not trained: (working, float32 original)."""

    def publish(self) -> None:
        """Carry the masters over to the working weights, after a step."""
        with torch.no_grad():
            for name, working in self.working.items():
                if working is not self.master[name]:
                    working.copy_(self.master[name])

    def restore(self) -> None:
        """Turn the model back into float32: the masters and the originals of what was frozen."""
        for name, working in self.working.items():
            working.data = self.master[name].data
        for working, original in self.frozen.values():
            working.data = original


def split_weights(model: nn.Module, dtype: torch.dtype) -> Weights:
    """Masters of what requires a gradient in `model` (float32), whose parameters compute in `dtype` from here on. Buffers stay as they are."""
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if dtype == torch.float32:
        return Weights(trained, trained, {})
    frozen = {name: (parameter, parameter.data) for name, parameter in model.named_parameters() if not parameter.requires_grad}
    master = {name: nn.Parameter(parameter.data) for name, parameter in trained.items()}
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    for name, parameter in trained.items():
        parameter.register_post_accumulate_grad_hook(_collect(master[name]))
    return Weights(master, trained, frozen)


def _collect(master: nn.Parameter) -> Callable[[Tensor], None]:
    def collect(working: Tensor) -> None:
        if working.grad is None:
            return
        if master.grad is None:
            master.grad = working.grad.to(master.dtype)
        else:
            master.grad.add_(working.grad)
        working.grad = None

    return collect
