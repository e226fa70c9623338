"""Attention for several answers behind one prompt, packed in one row without padding: each answer sees its prompt and itself, never another answer.

A row is a sequence of groups, each a prompt followed by its answers; positions of every answer start behind the prompt. Every block of queries then is an
ordinary causal attention (over the prompt, or over prompt and answer), so the numbers are those of separate sequences, while each prompt is computed once.
Registered with transformers under `TREE_ATTENTION`, for models that use its attention interface. Whether a model gives the same numbers this way is not
assumed: `rrtf.training.model` measures it before training. Not here: generation, caches, masks made by the model.
"""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone knows
from torch import Tensor

TREE_ATTENTION = "rrtf_tree"

Layout = tuple[tuple[int, tuple[int, ...]], ...]
"""Of each group in a row: (prompt tokens, tokens of each answer)."""


def register() -> None:
    """Make `TREE_ATTENTION` a choice of `model.set_attn_implementation`. Calling it again changes nothing."""
    from transformers import AttentionInterface

    # No mask function is registered under this name: transformers then builds no mask, and the blocks below are exact without one.
    cast("Any", AttentionInterface).register(TREE_ATTENTION, tree_attention)


def tree_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    rrtf_layout: Layout | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **unused: object,
) -> tuple[Tensor, None]:
    """Attention of one row. query (1, heads, L, D); key, value (1, kv_heads, L, D) -> (1, L, heads, D)."""
    if rrtf_layout is None or attention_mask is not None or unused.get("s_aux") is not None:
        raise ValueError("tree attention needs a layout, takes no mask and knows no attention sinks")
    heads, kv_heads, width = query.shape[1], key.shape[1], query.shape[3]
    scale = width**-0.5 if scaling is None else scaling
    q = query[0].view(kv_heads, heads // kv_heads, -1, width)
    k, v = key[0], value[0]
    outputs: list[Tensor] = []
    dropout = dropout if module.training else 0.0
    start = 0
    for prompt, answers in rrtf_layout:
        end = start + prompt
        k_prompt, v_prompt = k[:, start:end], v[:, start:end]
        outputs.append(_causal_block(q[:, :, start:end], k_prompt, v_prompt, scale, dropout, sliding_window, softcap))
        for length in answers:
            if length:
                own = slice(end, end + length)
                k_all, v_all = torch.cat((k_prompt, k[:, own]), dim=1), torch.cat((v_prompt, v[:, own]), dim=1)
                outputs.append(_causal_block(q[:, :, own], k_all, v_all, scale, dropout, sliding_window, softcap))
                end += length
        start = end
    out = torch.cat(outputs, dim=2)
    return out.reshape(1, heads, -1, value.shape[3]).transpose(1, 2).contiguous(), None


def _causal_block(q: Tensor, k: Tensor, v: Tensor, scale: float, dropout: float, window: int | None, softcap: float | None) -> Tensor:
    """Queries (kv_heads, group, Q, D) are the last Q positions of the keys (kv_heads, K, D).

    Written as matrix products: on processors these beat the fused kernel in bfloat16, most of all backward, and blocks are short (benchmarks/training.py).
    """
    kv_heads, group, queries, width = q.shape
    keys = k.shape[1]
    hidden = ~torch.ones(queries, keys, dtype=torch.bool, device=q.device).tril(keys - queries)
    if window is not None and keys > window:
        hidden |= torch.ones_like(hidden).tril(keys - queries - window)
    if q.is_cuda and softcap is None:
        repeated = (x[:, None].expand(-1, group, -1, -1) for x in (k, v))
        return F.scaled_dot_product_attention(q, *repeated, attn_mask=~hidden, dropout_p=dropout, scale=scale)
    scores = (q.reshape(kv_heads, group * queries, width) * scale) @ k.transpose(1, 2)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    scores = scores.view(kv_heads, group, queries, keys).masked_fill(hidden, float("-inf"))
    weights = torch.softmax(scores, dim=-1)
    if dropout:
        weights = F.dropout(weights, dropout)
    return (weights.view(kv_heads, group * queries, keys) @ v).view(kv_heads, group, queries, -1)
