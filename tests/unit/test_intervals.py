from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrtf.benchmarks.intervals import bootstrap, compare, mcnemar, sign_flip, wilson
from rrtf.errors import DataError

quick = settings(max_examples=50, deadline=None)
shares = st.lists(st.floats(0, 1), min_size=1, max_size=12)
pairs = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40)


def test_wilson_against_published_values() -> None:
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3 (score method without continuity correction).
    for solved, problems, low, high in [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]:
        found = wilson(solved, problems)
        assert (round(found.low, 4), round(found.high, 4)) == (low, high)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_and_mirrors(case: tuple[int, int]) -> None:
    solved, problems = case
    found, mirror = wilson(solved, problems), wilson(problems - solved, problems)
    assert 0 <= found.low <= solved / problems <= found.high <= 1
    assert found.low == pytest.approx(1 - mirror.high)
    assert wilson(solved, problems, 0.99).high >= found.high


@quick
@given(shares, st.integers(0, 2**31 - 1))
def test_bootstrap_stays_within_the_values_and_follows_its_seed(values: list[float], seed: int) -> None:
    found = bootstrap(values, seed=seed, resamples=200)
    if found.method == "wilson":
        assert {*values} in ({0.0}, {1.0})
        assert found == wilson(round(sum(values)), len(values))
    else:
        assert min(values) - 1e-12 <= found.low <= found.high <= max(values) + 1e-12
    assert bootstrap(values, seed=seed, resamples=200) == found


def test_no_success_and_no_difference_are_not_certainty() -> None:
    assert bootstrap([0.0] * 8, seed=0).high == pytest.approx(0.3244, abs=1e-4)
    assert bootstrap([1.0] * 8, seed=0).low == pytest.approx(1 - 0.3244, abs=1e-4)
    same = compare([0.0, 0.5, 1.0, 0.0], [0.0, 0.5, 1.0, 0.0], seed=0)
    assert (same.interval.low, same.interval.high) == (-wilson(0, 4).high, wilson(0, 4).high)
    assert same.p_value == 1.0


def test_bootstrap_agrees_with_the_normal_interval_of_many_problems() -> None:
    values = np.random.default_rng(5).uniform(size=2000)
    found = bootstrap(list(values), seed=1, resamples=4000)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_mcnemar_by_hand() -> None:
    # 1 problem lost and 5 gained: 2 * (C(6,0) + C(6,1)) / 2**6.
    before = [True, False, False, False, False, False, True, False]
    after = [False, True, True, True, True, True, True, False]
    assert mcnemar(before, after) == 2 * 7 / 64


@given(pairs)
def test_mcnemar_is_the_sign_flip_test_of_single_answers(answers: list[tuple[bool, bool]]) -> None:
    before, after = [old for old, _ in answers], [new for _, new in answers]
    assert mcnemar(before, after) == mcnemar(after, before)
    apart = sum(old != new for old, new in answers)
    if apart <= 14:
        assert mcnemar(before, after) == pytest.approx(sign_flip(before, after, seed=0))


@quick
@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=8))
def test_exact_sign_flip_against_brute_force(values: list[tuple[float, float]]) -> None:
    before, after = [old for old, _ in values], [new for _, new in values]
    differences = [new - old for old, new in values if new != old]
    observed = abs(sum(differences)) - 1e-9 * sum(map(abs, differences))
    patterns = list(itertools.product((-1, 1), repeat=len(differences)))
    extreme = sum(abs(sum(sign * value for sign, value in zip(signs, differences, strict=True))) >= observed for signs in patterns)
    assert sign_flip(before, after, seed=0) == pytest.approx(extreme / len(patterns))


def test_sampled_sign_flip_is_close_to_the_exact_one_and_never_zero() -> None:
    before = [0.0] * 20
    assert sign_flip(before, [1.0] * 20, seed=3, resamples=500) == pytest.approx(1 / 501)
    after = [1.0] * 13 + [-1.0] * 7
    exact = mcnemar([value < 0 for value in after], [value > 0 for value in after])
    assert sign_flip(before, after, seed=3, resamples=20_000) == pytest.approx(exact, abs=0.02)


def test_compare_chooses_the_test_and_counts() -> None:
    single = compare([1, 0, 0, 1], [1, 1, 1, 0], seed=0, resamples=500)
    assert (single.test, single.gained, single.lost) == ("mcnemar-exact", 2, 1)
    assert (single.before, single.after, single.difference) == (0.5, 0.75, 0.25)
    assert single.interval.low <= 0.25 <= single.interval.high
    assert compare([0.5, 0.2], [0.7, 0.9], seed=0, resamples=50).test == "sign-flip-exact"
    assert compare([0.5] * 30, [0.6] * 30, seed=0, resamples=50).test == "sign-flip-sampled"


def test_no_difference_is_no_evidence() -> None:
    found = compare([0.2, 1.0, 0.4], [0.2, 1.0, 0.4], seed=9, resamples=50)
    assert (found.p_value, found.difference, found.interval.method) == (1.0, 0.0, "wilson")


def test_a_true_null_is_rejected_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(11)
    rejected = sum(sign_flip(list(generator.normal(size=10)), list(generator.normal(size=10)), seed=0) <= 0.1 for _ in range(300))
    assert 12 <= rejected <= 50


@pytest.mark.parametrize(
    "call", [lambda: wilson(0, 0), lambda: bootstrap([], seed=0), lambda: compare([], [], seed=0), lambda: mcnemar([], []), lambda: sign_flip([], [], seed=0)]
)
def test_no_problems_is_a_sentence(call: object) -> None:
    with pytest.raises(DataError, match="no problems to score"):
        call()  # type: ignore[operator]


def test_other_bad_input() -> None:
    with pytest.raises(DataError, match="3 problems before and 2 after cannot be compared"):
        compare([1, 1, 1], [1, 1], seed=0)
    with pytest.raises(ValueError, match="confidence"):
        wilson(1, 2, confidence=1.0)
    with pytest.raises(ValueError, match="3 solved of 2"):
        wilson(3, 2)
