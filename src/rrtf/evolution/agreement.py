"""Which tests of a task, and which solutions, to believe when nobody knows the right ones: those that agree.

The evidence is one table, which solution passes which test. A test is believed when enough of the solutions pass it, each counted by how far it is believed
itself; `rounds` of that refine both (mutual, as in CodeDPO, arXiv 2410.05605, section 3.1; 0 counts every solution alike, as in CodeT, arXiv 2207.10397).
Not here: who writes tests and solutions (`authoring`), and running them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

Table = Sequence[Sequence[bool]]
"""One row for each solution: which tests it passes."""


class AgreementConfig(BaseModel):
    """When tests and solutions that a model wrote are believed."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    share: float = Field(default=0.5, gt=0, le=1)
    """Share of the solutions, each weighted by its score, that must pass a test. A half: more would throw hard tests away, less would keep wrong ones."""
    tests: int = Field(default=3, ge=1)
    """Tests that must be left, or the task is dropped."""
    solutions: int = Field(default=2, ge=1)
    """Different solutions that must pass all tests that are left: one alone may have been made for them."""
    authors: int = Field(default=1, ge=1)
    """Different models that must have written them. With `evolve.witnesses`, two: what only one model believes may be its own mistake, made again and again."""
    rounds: int = Field(default=10, ge=0)
    """Times that scores of tests and solutions refine each other; 0 leaves every solution its one vote."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the table says."""

    tests: tuple[int, ...]
    """The tests to keep, by number."""
    solutions: tuple[int, ...]
    """The solutions that pass all of them, the most believed first."""
    test_shares: tuple[float, ...]
    """Weighted share of the solutions that pass each test, from 0 to 1."""
    solution_scores: tuple[float, ...]
    """Weight of each solution; the largest is 1, unless all are 0."""
    dropped: str
    """Why the task is not used; empty when it is."""


def agree(table: Table, config: AgreementConfig, different: Sequence[object] | None = None, authors: Sequence[object] | None = None) -> Agreement:
    """Read the table. `different`: one label for each solution; those with equal ones (the same program again) count as one. `authors`: who wrote each."""
    solutions, count = len(table), max((len(row) for row in table), default=0)
    labels: list[object] = list(different) if different is not None else list(range(solutions))
    first = [labels.index(label) == place for place, label in enumerate(labels)]
    weights = [1.0 if chosen else 0.0 for chosen in first]
    shares = _shares(table, weights, count)
    for _ in range(config.rounds):
        scores = [sum(share for share, passed in zip(shares, row, strict=True) if passed) if chosen else 0.0 for row, chosen in zip(table, first, strict=True)]
        top = max(scores, default=0.0)
        if top == 0.0:
            break
        weights = [score / top for score in scores]
        shares = _shares(table, weights, count)
    kept = tuple(number for number, share in enumerate(shares) if share >= config.share)
    fitting = [place for place, row in enumerate(table) if first[place] and kept and all(row[number] for number in kept)]
    fitting.sort(key=lambda place: (-weights[place], place))
    dropped = _why(config, solutions, count, len(kept), len(fitting))
    # A program that two models wrote has two authors, though it counts once.
    models = {authors[place] for place, row in enumerate(table) if all(row[number] for number in kept)} if authors is not None else set[object]()
    if not dropped and authors is not None and len(models) < config.authors:
        dropped = f"not agreed: the solutions that pass the tests that are left are of {len(models)} model{'s' * (len(models) != 1)}, not of {config.authors}"
    return Agreement(kept, tuple(fitting), tuple(shares), tuple(weights), dropped)


def _shares(table: Table, weights: Sequence[float], count: int) -> list[float]:
    total = sum(weights)
    if total == 0.0:
        return [0.0] * count
    return [sum(weight for weight, row in zip(weights, table, strict=True) if row[number]) / total for number in range(count)]


def _why(config: AgreementConfig, solutions: int, count: int, kept: int, fitting: int) -> str:
    if kept < config.tests:
        return f"too few tests: the solutions agree on {kept} of {count}, and {config.tests} are needed"
    if fitting < config.solutions:
        return f"not solvable: {fitting} of {solutions} solutions pass the tests that are left, and {config.solutions} are needed"
    return ""
