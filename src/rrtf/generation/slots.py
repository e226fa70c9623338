"""A key/value cache of slots, one per row, and the attention that reads it.

Every row starts at column 0 of its slot and writes in place, so a finished row is replaced without touching the others and there is no padding on the left.
A row's arithmetic then does not depend on its neighbours: the same kernel runs over the same numbers, and masked columns contribute exact zeros. (Padding on
the left would shift every row by its neighbours' lengths.) Slots lie in blocks of a few rows, each as wide as its longest row needs.
Shapes: R rows, H key/value heads, C columns (positions), D head size.
Not here: which row is in which slot (`rrtf.generation.decoding`); recurrent layers and biases that follow from a 2-D mask (such models are decoded one by one).
"""

# transformers' cache and config classes are untyped or partly typed.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor
from transformers import AttentionInterface, DynamicCache, PreTrainedModel
from transformers.cache_utils import Cache, CacheLayerMixin
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

_ATTENTION = "rrtf_slots"
_BLOCK_ROWS = 16
"""Rows of a block that `slot_attention` reads: few, so that short rows do not wait for long ones, and their scores stay in the processor's cache."""
_ROUND = 64
"""Blocks are as wide as a multiple of this. They grow by copying, and matrix kernels are compiled per shape: both must not happen at every step."""


@dataclass(slots=True)
class Aim:
    """Where the step in progress writes. One object, seen by all layers."""

    rows: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
    columns: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))


class SlotLayer(CacheLayerMixin):
    """One layer's keys and values: a list of blocks, [rows, H, C, D] each, contiguous: products of strided ones begin with a copy that costs more."""

    is_sliding = False

    def __init__(self, aim: Aim, own_attention: bool, blocks: list[tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.aim, self.own_attention, self.blocks = aim, own_attention, blocks
        self.is_initialized = True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing to do: blocks are made before the first step."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write one position a row, [R, H, 1, D], and return what the step may read, [R, H, C, D]; with `slot_attention` that does both, return the input."""
        if self.own_attention:
            return key_states, value_states
        keys, values = self.write(0, 0, len(self.aim.rows), key_states, value_states)
        return keys, values

    def write(self, block: int, first: int, after: int, key_states: Tensor, value_states: Tensor) -> tuple[Tensor, Tensor]:
        """Write rows `first` to `after` of the step into their block; returns the block's part that holds them."""
        keys, values = self.blocks[block]
        rows, columns = self.aim.rows[: after - first], self.aim.columns[first:after]
        keys[rows, :, columns] = key_states[first:after, :, 0]
        values[rows, :, columns] = value_states[first:after, :, 0]
        return keys[: after - first], values[: after - first]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """(columns to read, offset)."""
        return self.get_max_length(), 0

    def get_seq_length(self) -> int:
        """Columns before the step's own, of the longest row."""
        return int(self.aim.columns.max()) if len(self.aim.columns) else 0

    def get_max_length(self) -> int:
        """Columns of the widest block."""
        return max(keys.shape[2] for keys, _ in self.blocks)

    # The name of `get_max_length` before transformers 5.10.
    get_max_cache_shape = get_max_length


class SlotCache(Cache):
    """Slots for up to `slots` rows, with layers shaped after one prompt's cache. With `own_attention` they lie in small blocks, else in one."""

    def __init__(self, like: DynamicCache, slots: int, own_attention: bool) -> None:
        self.aim = Aim()
        self._block_rows = min(_BLOCK_ROWS, slots) if own_attention else slots
        self._widths = [0] * -(-slots // self._block_rows)
        self.slot_layers: list[SlotLayer] = []
        for layer in like.layers:
            keys, values = (t.new_zeros(self._block_rows, t.shape[1], 0, t.shape[3]) for t in _pair(layer))
            self.slot_layers.append(SlotLayer(self.aim, own_attention, [(keys, values)] * len(self._widths)))
        super().__init__(layers=cast("Any", list(self.slot_layers)))

    @property
    def width(self) -> int:
        """Columns of the widest block."""
        return max(self._widths)

    def point(self, columns: list[int], device: torch.device) -> None:
        """Row i of the next step writes at `columns[i]` of slot i. Blocks are made as wide as that needs, and narrower where that saves much."""
        for block in range(-(-len(columns) // self._block_rows)):
            needed = max(columns[block * self._block_rows : (block + 1) * self._block_rows]) + 1
            if needed > self._widths[block] or self._widths[block] - needed >= 2 * _ROUND:
                self._resize(block, needed)
        self.aim.rows = torch.arange(len(columns), device=device)
        self.aim.columns = torch.tensor(columns, device=device)

    def fill(self, slot: int, prompt: DynamicCache) -> None:
        """Copy one prompt's keys and values to the start of a slot."""
        block, row = divmod(slot, self._block_rows)
        length = prompt.get_seq_length()
        if length > self._widths[block]:
            self._resize(block, length)
        for mine, theirs in zip(self.slot_layers, prompt.layers, strict=True):
            for target, source in zip(mine.blocks[block], _pair(theirs), strict=True):
                target[row, :, :length] = source[0]

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` columns of one slot to another."""
        (from_block, from_row), (to_block, to_row) = divmod(source, self._block_rows), divmod(target, self._block_rows)
        if length > self._widths[to_block]:
            self._resize(to_block, length)
        for layer in self.slot_layers:
            for old, new in zip(layer.blocks[from_block], layer.blocks[to_block], strict=True):
                new[to_row, :, :length] = old[from_row, :, :length]

    def blocks(self, rows: int) -> Iterator[tuple[int, int, int]]:
        """(block, first row, row after the last) of the first `rows` rows."""
        for block, first in enumerate(range(0, rows, self._block_rows)):
            yield block, first, min(first + self._block_rows, rows)

    def _resize(self, block: int, needed: int) -> None:
        width = -(-needed // _ROUND) * _ROUND
        kept = min(width, self._widths[block])
        for layer in self.slot_layers:
            layer.blocks[block] = cast("tuple[Tensor, Tensor]", tuple(_resized(tensor, width, kept) for tensor in layer.blocks[block]))
        self._widths[block] = width


def _pair(layer: Any) -> tuple[Tensor, Tensor]:
    return layer.keys, layer.values


def _resized(tensor: Tensor, width: int, kept: int) -> Tensor:
    # Zeros, not garbage: a masked column has weight zero, and zero times a NaN would still be one.
    new = tensor.new_zeros(*tensor.shape[:2], width, tensor.shape[3])
    new[:, :, :kept] = tensor[:, :, :kept]
    return new


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
    if model.device.type != "cpu" or chosen not in ("sdpa", _ATTENTION) or not getattr(model, "_supports_attention_backend", False):
        return False
    # Registration by name is how transformers finds an attention; the name is ours, and doing it twice changes nothing.
    AttentionInterface.register(_ATTENTION, slot_attention)
    AttentionMaskInterface.register(_ATTENTION, sdpa_mask)
    model.set_attn_implementation(_ATTENTION)
    return True


def slot_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    slots: SlotCache | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of one query a row, [R, heads, 1, D], over its slot; without `slots` (a prompt's first pass) torch's own.

    On processors torch's kernel spends most of its time on the tiny product of a few query heads with a long key matrix. Here grouped heads share their keys
    without a copy, and each block stops at its longest row: half the time at 64 rows of 320 columns (docs/decisions/0003-generation-engine.md).
    """
    if slots is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    rows, heads, _, size = query.shape
    groups = key.shape[1]
    share = heads // groups
    layer = slots.slot_layers[cast("int", module.layer_idx)]
    query = query.reshape(rows * groups, share, size)
    out = query.new_empty(rows * groups, share, value.shape[-1])
    for block, first, after in slots.blocks(rows):
        keys, values = layer.write(block, first, after, key, value)
        low, high, width = first * groups, after * groups, keys.shape[2]
        scores = torch.bmm(query[low:high], keys.flatten(0, 1).transpose(1, 2)).float()
        scores = scores.mul_(size**-0.5 if scaling is None else scaling).view(after - first, heads, width)
        if attention_mask is not None:
            scores += attention_mask[first:after, 0, :, :width]
        weights = scores.softmax(-1).to(query.dtype).view(high - low, share, width)
        torch.bmm(weights, values.flatten(0, 1), out=out[low:high])
    return out.view(rows, 1, heads, value.shape[-1]), None
