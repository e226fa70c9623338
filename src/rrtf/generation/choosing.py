"""From logits to the next token of every row: greedy, or temperature and nucleus (top-p) sampling by one uniform number a row.

Sampling inverts the cumulative distribution over tokens sorted by probability, so a row's token follows from its logits and its number alone, whatever
else is in the batch. Not here: where the numbers come from (`rrtf.generation.decoding`) and repetition penalties, beams or other rules, which no stage needs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

_HEAD = 64
"""Tokens looked at first. Sorting a vocabulary of 49,152 for every row costs more than a layer of the model; the first 64 nearly always hold the nucleus."""
_GROUP = 64


def choose(logits: Tensor, temperature: float, top_p: float, uniforms: Sequence[float]) -> Tensor:
    """Next token of each row, shape [R].

    `logits` is [rows, vocabulary]; `uniforms` holds a number in [0, 1) per row, unused when `temperature` is 0. The nucleus is the smallest
    set of most likely tokens with a total of at least `top_p` (Holtzman et al., arXiv 1904.09751), after temperature.
    """
    if temperature == 0:
        return _likeliest(logits)
    scaled = logits.float() / temperature
    numbers = torch.tensor(uniforms, dtype=torch.float32, device=scaled.device)
    head = min(_HEAD, scaled.shape[-1])
    values, tokens = scaled.topk(head, dim=-1)
    cumulative = torch.exp(values - scaled.logsumexp(-1, keepdim=True)).cumsum(-1)
    # With the whole vocabulary as nucleus it is enough that the number falls inside the head.
    needed = numbers if top_p >= 1 else torch.full_like(numbers, top_p)
    chosen = _invert(cumulative, tokens, numbers, top_p)
    short = (cumulative[:, -1] <= needed).nonzero().flatten()
    if len(short) and head < scaled.shape[-1]:
        probabilities, tokens = scaled[short].softmax(-1).sort(-1, descending=True)
        chosen[short] = _invert(probabilities.cumsum(-1), tokens, numbers[short], top_p)
    return chosen


def _likeliest(logits: Tensor) -> Tensor:
    """The first largest of each row, as `argmax`, which is five times slower on a processor: it does not use vector instructions."""
    rows, size = logits.shape
    if size % _GROUP:
        return logits.argmax(-1)
    groups = logits.view(rows, -1, _GROUP)
    best = groups.amax(-1).argmax(-1)
    inside = groups[torch.arange(rows, device=logits.device), best].argmax(-1)
    return best * _GROUP + inside


def _invert(cumulative: Tensor, tokens: Tensor, numbers: Tensor, top_p: float) -> Tensor:
    """The token at which the cumulative probability, [rows, sorted tokens], passes number times the nucleus' total."""
    if top_p >= 1:
        totals = torch.ones_like(numbers)
        last = torch.full_like(numbers, cumulative.shape[-1] - 1, dtype=torch.long)
    else:
        last = (cumulative < top_p).sum(-1).clamp(max=cumulative.shape[-1] - 1)
        totals = cumulative.gather(-1, last[:, None]).squeeze(-1)
    place = (cumulative <= (numbers * totals)[:, None]).sum(-1)
    return tokens.gather(-1, torch.minimum(place, last)[:, None]).squeeze(-1)
