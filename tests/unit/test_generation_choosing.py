"""The choice of tokens, against the definition written out for one row."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rrtf.generation.choosing import choose


def _by_definition(logits: list[float], temperature: float, top_p: float, uniform: float) -> int:
    probabilities = (torch.tensor(logits, dtype=torch.float64) / temperature).softmax(-1).tolist()
    order = sorted(range(len(logits)), key=lambda token: -probabilities[token])
    nucleus, total = [], 0.0
    for token in order:
        nucleus.append(token)
        total += probabilities[token]
        if top_p < 1 and total >= top_p:
            break
    passed = 0.0
    for token in nucleus:
        passed += probabilities[token]
        if passed > uniform * total:
            return token
    return nucleus[-1]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    size=st.sampled_from([3, 50, 64, 65, 200, 1000]),
    temperature=st.sampled_from([0.2, 0.8, 1.0, 1.7]),
    top_p=st.sampled_from([0.1, 0.5, 0.95, 1.0]),
    flatness=st.sampled_from([0.0, 0.3, 3.0]),
)
def test_every_row_gets_the_token_of_the_definition(seed: int, size: int, temperature: float, top_p: float, flatness: float) -> None:
    random = torch.Generator().manual_seed(seed)
    # Distinct logits, or equal ones: where probabilities tie, any of the tied tokens is right.
    logits = torch.randn(7, size, generator=random) * flatness
    uniforms = torch.rand(7, generator=random).tolist()
    found = choose(logits, temperature, top_p, uniforms).tolist()
    for row, token, uniform in zip(logits.tolist(), found, uniforms, strict=True):
        expected = _by_definition(row, temperature, top_p, uniform)
        # float32 sums against float64: a number within rounding of a border may fall on its other side.
        nearby = {_by_definition(row, temperature, top_p, min(max(uniform + shift, 0.0), 1.0 - 1e-9)) for shift in (-1e-4, 1e-4)}
        assert token == expected or token in nearby or flatness == 0.0


def test_rows_do_not_see_one_another() -> None:
    logits = torch.randn(9, 5000, generator=torch.Generator().manual_seed(0)) * 2
    uniforms = [i / 9 for i in range(9)]
    together = choose(logits, 1.0, 0.9, uniforms)
    assert together.tolist() == [int(choose(logits[i : i + 1], 1.0, 0.9, [uniforms[i]])) for i in range(9)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("size", [7, 64, 300, 49152])
def test_greedy_takes_the_first_largest(size: int, dtype: torch.dtype) -> None:
    logits = (torch.randn(5, size, generator=torch.Generator().manual_seed(1)) * 3).to(dtype)
    logits[0] = 1.0
    assert choose(logits, 0.0, 1.0, []).tolist() == [row.index(max(row)) for row in logits.tolist()]


def test_frequencies_follow_the_probabilities() -> None:
    probabilities = torch.tensor([0.5, 0.3, 0.15, 0.05])
    uniforms = [(i + 0.5) / 2000 for i in range(2000)]
    found = choose(probabilities.log().expand(2000, -1), 1.0, 0.9, uniforms)
    # The nucleus of 0.9 is the first three tokens, renormalised over 0.95.
    assert torch.allclose(torch.bincount(found, minlength=4) / 2000, torch.tensor([0.5, 0.3, 0.15, 0.0]) / 0.95, atol=2e-3)
