from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrtf.benchmarks.passk import mean_pass_at_k, pass_at_k, per_problem
from rrtf.errors import DataError, RecipeError


@st.composite
def counts(draw: st.DrawFn, most: int = 300) -> tuple[int, int, int]:
    n = draw(st.integers(1, most))
    return n, draw(st.integers(0, n)), draw(st.integers(1, n))


@given(counts())
def test_is_the_exact_fraction_rounded_once(case: tuple[int, int, int]) -> None:
    n, correct, k = case
    # The paper's product form, in whole numbers.
    exact = 1 - prod((Fraction(n - correct - i, n - i) for i in range(k)), start=Fraction(1)) if n - correct >= k else Fraction(1)
    assert pass_at_k(n, correct, k) == float(exact)


@given(counts(most=9))
def test_is_the_share_of_draws_that_hold_a_right_answer(case: tuple[int, int, int]) -> None:
    n, correct, k = case
    draws = list(combinations(range(n), k))
    assert pass_at_k(n, correct, k) == pytest.approx(sum(any(i < correct for i in draw) for draw in draws) / len(draws))


@given(counts())
def test_grows_with_k_and_with_right_answers(case: tuple[int, int, int]) -> None:
    n, correct, k = case
    value = pass_at_k(n, correct, k)
    assert 0 <= value <= 1
    assert pass_at_k(n, correct, 1) == correct / n
    assert k == n or value <= pass_at_k(n, correct, k + 1)
    assert correct == n or value <= pass_at_k(n, correct + 1, k)


def test_large_numbers_lose_nothing() -> None:
    # In floats 1 - (1 - 1e-06) is 1.0000000000287557e-06.
    assert pass_at_k(10**6, 1, 1) == 1e-06


def test_the_mean_is_over_problems_whatever_their_number_of_answers() -> None:
    assert per_problem([(2, 1), (10, 0)], 1) == [0.5, 0.0]
    assert mean_pass_at_k([(2, 1), (10, 0)], 1) == 0.25


@pytest.mark.parametrize(("n", "k"), [(5, 10), (0, 1), (1, 2)])
def test_too_few_answers_is_a_sentence(n: int, k: int) -> None:
    with pytest.raises(RecipeError, match=rf"pass@{k} cannot be estimated from {n} answers.*Sample at least {k}"):
        pass_at_k(n, 0, k)


def test_other_bad_input() -> None:
    with pytest.raises(RecipeError, match="pass@0 does not exist"):
        pass_at_k(3, 1, 0)
    with pytest.raises(ValueError, match="4 right answers of 3"):
        pass_at_k(3, 4, 1)
    with pytest.raises(DataError, match="no problems to score"):
        mean_pass_at_k([], 1)
