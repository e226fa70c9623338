"""pass@k: the chance that at least one of k answers, drawn without replacement from n of which c are right, is right.

The unbiased estimator of Chen et al., "Evaluating Large Language Models Trained on Code" (arXiv 2107.03374, equation 1): 1 - C(n-c, k) / C(n, k).
It is computed in whole numbers with one division at the end, so the result is the true value rounded once: there is no product of factors to lose
digits in. Not here: intervals around it (`rrtf.benchmarks.intervals`).
"""

from __future__ import annotations

from collections.abc import Iterable
from math import comb, fsum

from rrtf.errors import DataError, RecipeError


def pass_at_k(n: int, correct: int, k: int) -> float:
    """The estimate for one problem with `correct` of `n` answers right. Raises `RecipeError` when there are fewer than k answers."""
    if k < 1:
        raise RecipeError(f"pass@{k} does not exist.", why="k counts the answers that are drawn.", hint="Use k of at least 1.")
    if n < k:
        raise RecipeError(
            f"pass@{k} cannot be estimated from {n} answers to a problem.",
            why="k answers are drawn without replacement.",
            hint=f"Sample at least {k} answers to every problem, or ask for a smaller k.",
        )
    if not 0 <= correct <= n:
        raise ValueError(f"{correct} right answers of {n}")
    draws = comb(n, k)
    return (draws - comb(n - correct, k)) / draws


def per_problem(counts: Iterable[tuple[int, int]], k: int) -> list[float]:
    """The estimate for each problem of `(answers, right answers)`; these are what intervals and comparisons are taken over."""
    return [pass_at_k(n, correct, k) for n, correct in counts]


def mean_pass_at_k(counts: Iterable[tuple[int, int]], k: int) -> float:
    """The mean over problems, each with its own number of answers. Raises `DataError` without problems."""
    values = per_problem(counts, k)
    if not values:
        raise DataError("There are no problems to score.", why=f"pass@{k} is a mean over problems.", hint="Check the benchmark and its limit.")
    return fsum(values) / len(values)
