"""A key/value cache of fixed slots, one per row, and the attention that reads it.

Every row starts at column 0 of its slot and writes in place, so a finished row is replaced without touching the others and there is no padding on the left.
A row's arithmetic then does not depend on its neighbours: the same kernel runs over the same numbers, and masked columns contribute exact zeros. (Padding on
the left would shift every row by its neighbours' lengths.) Shapes: R rows, H key/value heads, C columns (positions), D head size.
Not here: which row is in which slot (`rrtf.generation.decoding`); recurrent layers and biases that follow from a 2-D mask (such models are decoded one by one).
"""

# transformers' cache and config classes are untyped or partly typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor
from transformers import AttentionInterface, DynamicCache, PreTrainedModel
from transformers.cache_utils import Cache, CacheLayerMixin
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

_ATTENTION = "rrtf_slots"
_SPAN_ROWS = 16
"""Rows attended to together. Each span reads only as many columns as its longest row has, and its scores stay in the processor's cache."""
_ROUND = 32
"""Columns are rounded up to a multiple of this: matrix kernels are compiled per shape, and a new length every step would compile every step."""


@dataclass(slots=True)
class Aim:
    """Where the step in progress writes and how far it reads. One object, seen by all layers."""

    rows: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
    columns: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
    width: int = 0


class SlotLayer(CacheLayerMixin):
    """One layer's keys and values, [slots, H, C, D] each."""

    is_sliding = False

    def __init__(self, aim: Aim, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.aim, self.keys, self.values = aim, keys, values
        self.is_initialized = True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to do: slots are made before the first step."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write one position a row, [R, H, 1, D]; returns what the step may read, [R, H, width, D], without a copy."""
        aim, keys, values = self.aim, cast("Tensor", self.keys), cast("Tensor", self.values)
        keys[aim.rows, :, aim.columns] = key_states[:, :, 0]
        values[aim.rows, :, aim.columns] = value_states[:, :, 0]
        count = len(aim.rows)
        return keys[:count, :, : aim.width], values[:count, :, : aim.width]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """(columns to read, offset)."""
        return self.aim.width, 0

    def get_seq_length(self) -> int:
        """Columns before the step's own, of the longest row."""
        return max(self.aim.width - 1, 0)

    def get_max_length(self) -> int:
        """Columns of a slot."""
        return cast("Tensor", self.keys).shape[2]

    # The name of `get_max_length` before transformers 5.10.
    get_max_cache_shape = get_max_length


class SlotCache(Cache):
    """Slots for many rows, shaped after one prompt's cache."""

    def __init__(self, like: DynamicCache, slots: int, columns: int) -> None:
        self.aim = Aim()
        self.slots, self.columns = slots, -(-columns // _ROUND) * _ROUND
        layers: list[CacheLayerMixin] = []
        for layer in like.layers:
            pair = [tensor.new_zeros(slots, tensor.shape[1], self.columns, tensor.shape[3]) for tensor in _pair(layer)]
            layers.append(SlotLayer(self.aim, *pair))
        super().__init__(layers=cast("Any", layers))

    def point(self, columns: list[int], device: torch.device) -> None:
        """Row i of the next step writes at `columns[i]` of slot i."""
        self.aim.rows = torch.arange(len(columns), device=device)
        self.aim.columns = torch.tensor(columns, device=device)
        self.aim.width = -(-(max(columns) + 1) // _ROUND) * _ROUND

    def fill(self, slot: int, prompt: DynamicCache) -> None:
        """Copy one prompt's keys and values to the start of a slot."""
        for mine, theirs in zip(self.layers, prompt.layers, strict=True):
            for target, source in zip(_pair(mine), _pair(theirs), strict=True):
                target[slot, :, : source.shape[2]] = source[0]

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` columns of one slot to another."""
        for layer in self.layers:
            for tensor in _pair(layer):
                tensor[target, :, :length] = tensor[source, :, :length]

    def grown(self, like: DynamicCache, slots: int, columns: int, lengths: list[int]) -> SlotCache:
        """A cache of another size with the first `len(lengths)` slots copied."""
        new = SlotCache(like, slots, columns)
        for mine, theirs in zip(new.layers, self.layers, strict=True):
            for target, source in zip(_pair(mine), _pair(theirs), strict=True):
                for slot, length in enumerate(lengths):
                    target[slot, :, :length] = source[slot, :, :length]
        return new


def _pair(layer: Any) -> tuple[Tensor, Tensor]:
    return cast("Tensor", layer.keys), cast("Tensor", layer.values)


Masks = Callable[[Tensor, int], "Tensor | dict[str, Tensor]"]
"""(columns written, [R]; width) -> additive mask [R, 1, 1, width], or one per kind of layer."""


def masks_for(model: PreTrainedModel) -> Masks | None:
    """How this model's rows are masked, or None when it has layers that slots cannot serve."""
    config = model.config.get_text_config()
    kinds = set(cast("list[str]", getattr(config, "layer_types", None) or []))
    window = cast("int | None", getattr(config, "sliding_window", None))
    if kinds - {"full_attention", "sliding_attention"}:
        return None
    dtype = model.dtype

    def full(columns: Tensor, width: int) -> Tensor:
        hidden = torch.arange(width, device=columns.device) > columns[:, None]
        return torch.zeros(hidden.shape, dtype=dtype, device=columns.device).masked_fill_(hidden, torch.finfo(dtype).min)[:, None, None]

    def sliding(columns: Tensor, width: int) -> Tensor:
        past = torch.arange(width, device=columns.device) <= (columns - cast("int", window))[:, None]
        return full(columns, width).masked_fill_(past[:, None, None], torch.finfo(dtype).min)

    if len(kinds) == 2 and window:
        return lambda columns, width: {"full_attention": full(columns, width), "sliding_attention": sliding(columns, width)}
    return sliding if window and kinds != {"full_attention"} else full


def install_attention(model: PreTrainedModel) -> bool:
    """On the processor, let `model` attend through `slot_attention`; True where it does. Elsewhere torch's own kernels serve better."""
    chosen = getattr(model.config, "_attn_implementation", None)
    if model.device.type != "cpu" or chosen != "sdpa" or not getattr(model, "_supports_attention_backend", False):
        return False
    # Registration by name is how transformers finds an attention; the name is ours, and doing it twice changes nothing.
    AttentionInterface.register(_ATTENTION, slot_attention)
    AttentionMaskInterface.register(_ATTENTION, sdpa_mask)
    model.set_attn_implementation(_ATTENTION)
    return True


def spans(columns: list[int]) -> list[tuple[int, int, int]]:
    """(first row, row after the last, columns to read) of each group of rows that attends together."""
    groups = [(start, columns[start : start + _SPAN_ROWS]) for start in range(0, len(columns), _SPAN_ROWS)]
    return [(start, start + len(group), -(-(max(group) + 1) // _ROUND) * _ROUND) for start, group in groups]


def slot_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    slot_spans: list[tuple[int, int, int]] | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of one query a row over its slot; without `slot_spans` (a prompt's first pass) torch's own.

    On processors torch's kernel spends most of its time on the tiny product of a few query heads with a long key matrix; the products below are laid out so
    that the long side comes first, grouped heads share their keys without a copy, and each span stops at its longest row.
    """
    if slot_spans is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    rows, heads, _, size = query.shape
    groups = key.shape[1]
    share = heads // groups
    query_gsd = (query * (size**-0.5 if scaling is None else scaling)).reshape(rows * groups, share, size).transpose(1, 2)
    out = query.new_empty(rows * groups, share, value.shape[-1])
    for first, after, width in slot_spans:
        low, high, count = first * groups, after * groups, after - first
        scores = torch.bmm(key[first:after, :, :width].flatten(0, 1), query_gsd[low:high])
        weights = scores.transpose(1, 2).to(torch.float32, memory_format=torch.contiguous_format).contiguous().view(count, heads, width)
        if attention_mask is not None:
            weights += attention_mask[first:after, 0, :, :width]
        weights = weights.softmax(-1).to(query.dtype).view(high - low, share, width)
        torch.bmm(weights, value[first:after, :, :width].flatten(0, 1), out=out[low:high])
    return out.view(rows, 1, heads, value.shape[-1]), None
