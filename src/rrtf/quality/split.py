"""A fixed split into problems to learn from and problems held out, the same on every machine.

Within each stratum (level and topic) problems stand in the order of the SHA-256 of their names, which has nothing to do with what they ask; the first
of them are for training. Each stratum gives its share of the training problems, rounded by largest remainder, so that their number is exact.
Not here: reading or writing problems (`rrtf.formats`).
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction

from rrtf.errors import DataError
from rrtf.records import Problem


def stratified(problems: Iterable[Problem], train: int) -> list[Problem]:
    """The same problems in the same order, exactly `train` of them in the split `train` and all others in `test`.

    Raises `DataError` when there are fewer problems than that.
    """
    given = list(problems)
    if not 0 <= train <= len(given):
        raise DataError(f"There are {len(given)} problems, and {train} of them cannot be set aside for training.", hint=f"Ask for 0 to {len(given)}.")
    strata: dict[tuple[str, str], list[str]] = defaultdict(list)
    for problem in given:
        strata[problem.level, problem.topic].append(problem.name)
    quotas = _quotas({key: len(names) for key, names in strata.items()}, train, len(given))
    chosen = {name for key, names in strata.items() for name in _shuffled(names)[: quotas[key]]}
    return [replace(problem, split="train" if problem.name in chosen else "test") for problem in given]


def _shuffled(names: Sequence[str]) -> list[str]:
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())


def _quotas(sizes: dict[tuple[str, str], int], train: int, total: int) -> dict[tuple[str, str], int]:
    shares = {key: Fraction(size * train, total) for key, size in sizes.items()}
    quotas = {key: int(share) for key, share in shares.items()}
    by_remainder = sorted(shares, key=lambda key: (quotas[key] - shares[key], key))
    for key in by_remainder[: train - sum(quotas.values())]:
        quotas[key] += 1
    return quotas
