"""How sure a score is, and whether a difference is more than luck. Problems are the unit: answers to one problem are not independent.

- `wilson`: a share of problems solved by one answer each (Wilson 1927; Brown, Cai and DasGupta 2001 recommend it over the textbook interval).
- `bootstrap`: the mean of per-problem values such as pass@k, percentile bootstrap over problems (Efron 1979).
- `mcnemar`: two models, one answer per problem, exact test on the problems that only one of them solves (McNemar 1947).
- `sign_flip`: two models, any per-problem values, paired permutation test on the mean difference (Fisher 1935; Dror et al. 2018 on its use for language
  models). Exact for few problems, else by seeded sampling, counted so that p is never 0 (Phipson and Smyth 2010).
- `compare`: the two tests behind one door, with a paired bootstrap interval of the difference.

These speak of other problems of the same kind. They do not cover luck in training: for that, train with several seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, sqrt
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rrtf.errors import DataError

RESAMPLES = 10_000
_EXACT_UP_TO = 14
"""With this many problems that differ, all 2**n sign patterns are counted; beyond it they are sampled."""
_CHUNK = 4_000_000
"""Numbers drawn at once, to bound memory."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the true value is believed to be."""

    low: float
    high: float
    confidence: float
    method: Literal["wilson", "bootstrap"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models on the same problems, in the same order."""

    before: float
    after: float
    """Means over problems."""
    difference: float
    """after - before."""
    interval: Interval
    """Paired bootstrap over problems around the difference."""
    p_value: float
    """Two-sided: how often a difference at least as large would come about if both models were equally good."""
    test: Literal["mcnemar-exact", "sign-flip-exact", "sign-flip-sampled"]
    gained: int
    """Problems with a higher value after than before."""
    lost: int
    """Problems with a lower value after than before."""


def wilson(solved: int, problems: int, confidence: float = 0.95) -> Interval:
    """Wilson score interval of `solved` out of `problems`. Raises `DataError` without problems."""
    _check_confidence(confidence)
    if problems < 1:
        raise _no_problems()
    if not 0 <= solved <= problems:
        raise ValueError(f"{solved} solved of {problems}")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = solved / problems
    scale = 1 + z * z / problems
    centre = (share + z * z / (2 * problems)) / scale
    half = z / scale * sqrt(share * (1 - share) / problems + z * z / (4 * problems * problems))
    # At both ends the formula gives 0 and 1 exactly, but for rounding.
    low = 0.0 if solved == 0 else max(0.0, centre - half)
    high = 1.0 if solved == problems else min(1.0, centre + half)
    return Interval(low, high, confidence, "wilson")


def bootstrap(values: Sequence[float], *, seed: int, confidence: float = 0.95, resamples: int = RESAMPLES) -> Interval:
    """Percentile interval of the mean of per-problem values, resampling problems. The same seed gives the same interval.

    Where every value is 0, or every value 1, resampling would find no other mean and claim certainty: there it is Wilson's interval.
    """
    _check_confidence(confidence)
    if len(values) and (not any(values) or all(value == 1 for value in values)):
        return wilson(round(sum(values)), len(values), confidence)
    means = _resampled_means(_array(values), seed, resamples)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high), confidence, "bootstrap")


def mcnemar(before: Sequence[bool], after: Sequence[bool]) -> float:
    """Exact two-sided p-value that two models solve equally many problems, from the problems that exactly one of them solves."""
    _check_paired(before, after)
    lost = sum(old and not new for old, new in zip(before, after, strict=True))
    gained = sum(new and not old for old, new in zip(before, after, strict=True))
    apart = lost + gained
    tail = sum(comb(apart, i) for i in range(min(lost, gained) + 1))
    return min(1.0, 2 * tail / 2**apart)


def sign_flip(before: Sequence[float], after: Sequence[float], *, seed: int, resamples: int = RESAMPLES) -> float:
    """Two-sided p-value of the mean paired difference: how often it is at least as far from 0 when every difference may change its sign."""
    _check_paired(before, after)
    differences = _array(after) - _array(before)
    differences = differences[differences != 0]
    if not len(differences):
        return 1.0
    # A hair of slack, so that sums that are equal on paper count as equal whatever order they were added in.
    observed = abs(float(differences.sum())) - 1e-9 * float(np.abs(differences).sum())
    if len(differences) <= _EXACT_UP_TO:
        sums = np.zeros(1)
        for difference in differences:
            sums = np.concatenate([sums - difference, sums + difference])
        return float(np.mean(np.abs(sums) >= observed))
    generator = np.random.default_rng(seed)
    extreme = 0
    for size in _chunks(resamples, len(differences)):
        signs = 2.0 * generator.integers(0, 2, size=(size, len(differences))) - 1
        extreme += int(np.sum(np.abs(signs @ differences) >= observed))
    return (extreme + 1) / (resamples + 1)


def compare(before: Sequence[float], after: Sequence[float], *, seed: int, confidence: float = 0.95, resamples: int = RESAMPLES) -> Comparison:
    """Two models' per-problem values, paired by position: McNemar's exact test where every value is 0 or 1, the sign-flip test elsewhere."""
    _check_paired(before, after)
    _check_confidence(confidence)
    old, new = _array(before), _array(after)
    if bool((new == old).all()):
        # No problem differs. The share of those that would is below Wilson's bound, and they might all differ the same way.
        bound = wilson(0, len(old), confidence).high
        interval = Interval(-bound, bound, confidence, "wilson")
    else:
        low, high = np.quantile(_resampled_means(new - old, seed, resamples), [(1 - confidence) / 2, (1 + confidence) / 2])
        interval = Interval(float(low), float(high), confidence, "bootstrap")
    if all(value in (0, 1) for value in [*before, *after]):
        p_value, test = mcnemar([value == 1 for value in before], [value == 1 for value in after]), "mcnemar-exact"
    else:
        p_value = sign_flip(before, after, seed=seed, resamples=resamples)
        test = "sign-flip-exact" if int(np.sum(old != new)) <= _EXACT_UP_TO else "sign-flip-sampled"
    return Comparison(
        before=float(old.mean()),
        after=float(new.mean()),
        difference=float((new - old).mean()),
        interval=interval,
        p_value=p_value,
        test=test,
        gained=int(np.sum(new > old)),
        lost=int(np.sum(new < old)),
    )


def _resampled_means(values: NDArray[np.float64], seed: int, resamples: int) -> NDArray[np.float64]:
    """Means of `resamples` draws of problems with replacement, shape (resamples,)."""
    if resamples < 1:
        raise ValueError(f"{resamples} resamples")
    generator = np.random.default_rng(seed)
    parts = [values[generator.integers(0, len(values), size=(size, len(values)))].mean(axis=1) for size in _chunks(resamples, len(values))]
    return np.concatenate(parts)


def _chunks(total: int, width: int) -> list[int]:
    size = max(1, _CHUNK // max(1, width))
    return [min(size, total - start) for start in range(0, total, size)]


def _array(values: Sequence[float]) -> NDArray[np.float64]:
    if not len(values):
        raise _no_problems()
    return np.asarray(values, dtype=np.float64)


def _check_paired(before: Sequence[float], after: Sequence[float]) -> None:
    if len(before) != len(after):
        raise DataError(
            f"{len(before)} problems before and {len(after)} after cannot be compared.",
            why="A paired test needs the same problems in the same order.",
            hint="Evaluate both models on the same benchmark with the same limit.",
        )
    if not len(before):
        raise _no_problems()


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence of {confidence}")


def _no_problems() -> DataError:
    return DataError("There are no problems to score.", why="An interval is taken over problems.", hint="Check the benchmark and its limit.")
