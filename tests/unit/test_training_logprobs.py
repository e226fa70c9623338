"""Chunked log-probabilities against torch's own log-softmax, values and gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rrtf.training.logprobs import Head, selected_log_probs


def plain(hidden: torch.Tensor, head: Head, target: torch.Tensor) -> torch.Tensor:
    logits = hidden @ head.weight.t() + (0 if head.bias is None else head.bias)
    logits = logits * head.scale
    if head.softcap is not None:
        logits = head.softcap * torch.tanh(logits / head.softcap)
    return torch.log_softmax(logits, -1).gather(-1, target[:, None]).squeeze(-1)


def made(tokens: int, seed: int, *, bias: bool, scale: float, softcap: float | None) -> tuple[torch.Tensor, Head, torch.Tensor]:
    g = torch.Generator().manual_seed(seed)
    hidden = torch.randn(tokens, 5, generator=g, dtype=torch.double, requires_grad=True)
    weight = torch.randn(11, 5, generator=g, dtype=torch.double, requires_grad=True)
    offset = torch.randn(11, generator=g, dtype=torch.double, requires_grad=True) if bias else None
    return hidden, Head(weight, offset, scale, softcap), torch.randint(11, (tokens,), generator=g)


HEADS = st.fixed_dictionaries({"bias": st.booleans(), "scale": st.sampled_from([1.0, 0.25]), "softcap": st.sampled_from([None, 2.0])})


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 9), st.integers(1, 10), st.integers(0, 99), HEADS)
def test_equals_log_softmax_whatever_the_chunk(tokens: int, chunk: int, seed: int, kind: dict[str, object]) -> None:
    hidden, head, target = made(tokens, seed, **kind)  # type: ignore[arg-type]
    upstream = torch.linspace(-1, 2, tokens, dtype=torch.double)
    wrt = [x for x in (hidden, head.weight, head.bias) if x is not None]
    ours = selected_log_probs(hidden, head, target, chunk=chunk)
    theirs = plain(hidden, head, target)
    torch.testing.assert_close(ours, theirs)
    for a, b in zip(torch.autograd.grad(ours, wrt, upstream), torch.autograd.grad(theirs, wrt, upstream), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("softcap", [None, 1.5])
def test_gradcheck(softcap: float | None) -> None:
    hidden, head, target = made(4, 0, bias=True, scale=0.5, softcap=softcap)
    assert head.bias is not None
    assert torch.autograd.gradcheck(lambda h, w, b: selected_log_probs(h, Head(w, b, 0.5, softcap), target, chunk=3), (hidden, head.weight, head.bias))


def test_frozen_head_gets_no_gradient() -> None:
    hidden, head, target = made(3, 1, bias=False, scale=1.0, softcap=None)
    frozen = Head(head.weight.detach())
    selected_log_probs(hidden, frozen, target).sum().backward()
    assert hidden.grad is not None
    assert frozen.weight.grad is None


def test_bf16_gives_float32_close_to_exact() -> None:
    hidden, head, target = made(6, 2, bias=False, scale=1.0, softcap=None)
    low = selected_log_probs(hidden.detach().bfloat16(), Head(head.weight.detach().bfloat16()), target)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low.double(), plain(hidden, head, target).detach(), atol=0.1, rtol=0.05)


def test_no_tokens() -> None:
    hidden, head, _ = made(1, 3, bias=False, scale=1.0, softcap=None)
    out = selected_log_probs(hidden[:0], head, torch.zeros(0, dtype=torch.long))
    out.sum().backward()
    assert out.shape == (0,)
