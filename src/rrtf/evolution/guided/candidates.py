"""Everything that can be tried in a round of guided evolution, families of operators by turns, one candidate at a time.

Not here: what becomes of it (`growing`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rrtf.evolution.guided import kinds
from rrtf.evolution.guided.forms import Form
from rrtf.evolution.guided.operators import Draft, condition, each, error, generalise, pipe
from rrtf.evolution.guided.operators import after as after_result
from rrtf.evolution.guided.tables import rows
from rrtf.identity import fingerprint

_TURNS = ("after", "compose", "each", "condition", "after", "compose", "each", "error", "after", "compose", "generalise", "condition")
"""In which order families of operators take turns; who has nothing left is passed over."""
_PAIRS = 6
"""Pairs of problems tried in a round, per problem that is wanted."""


@dataclass(frozen=True, slots=True)
class Known:
    """A problem that may be evolved."""

    form: Form
    id: str
    seed: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A draft and whom it was made of."""

    draft: Draft
    parent: Known
    other: Known | None


def _mark(one: Candidate) -> str:
    """What tells apart candidates with one name."""
    return fingerprint([one.draft.form.text, one.parent.id, one.draft.method])[:8]


def name(one: Candidate) -> str:
    """The name of its problem."""
    return f"guided/{one.draft.form.name}-{_mark(one)}"


_Try = Callable[[], Iterator[Candidate]]


def candidates(parents: Sequence[Known], seeds: Sequence[Known], rng: random.Random, wanted: int) -> Iterator[Candidate]:
    """Everything that can be tried where so many problems are wanted, families of operators by turns."""
    left = {family: _shuffled(_family(family, parents, seeds, rng, _PAIRS * wanted), rng) for family in dict.fromkeys(_TURNS)}
    while left:
        for family in _TURNS:
            if family in left:
                found = next(left[family], None)
                if found is None:
                    del left[family]
                else:
                    yield found


def _shuffled(tries: list[_Try], rng: random.Random) -> Iterator[Candidate]:
    rng.shuffle(tries)
    for attempt in tries:
        yield from attempt()


def _family(family: str, parents: Sequence[Known], seeds: Sequence[Known], rng: random.Random, pairs: int) -> list[_Try]:
    """What one family of operators can try, not yet tried."""

    def made(parent: Known, make: Callable[[random.Random], Iterator[Draft | None]], other: Known | None = None) -> _Try:
        state = rng.getrandbits(32)
        return lambda: (Candidate(draft, parent, other) for draft in make(random.Random(state)) if draft is not None)  # noqa: S311

    match family:
        case "after":
            return [
                made(one, lambda luck, one=one, row=row: iter([after_result(one.form, row, luck)]))
                for one in parents
                for row in rows("after")
                if kinds.matches(row.on, one.form.result)
            ]
        case "each":
            return [made(one, lambda luck, one=one, row=row: iter([each(one.form, row, luck)])) for one in parents for row in rows("each")]
        case "condition" | "error":
            change = condition if family == "condition" else error
            table = rows(family)
            return [
                made(one, lambda luck, one=one, row=row, given=given: iter([change(one.form, row, given, luck)]))
                for one in parents
                for given in one.form.parameters
                for row in table
                if kinds.matches(row.on, given.kind)
            ]
        case "generalise":
            return [made(one, lambda luck, one=one: generalise(one.form, luck)) for one in parents]
        case _:
            return [
                made(first, lambda luck, first=first, second=second, given=given: iter([pipe(first.form, second.form, given, luck)]), second)
                for first, second in _pairs(parents, seeds, rng, pairs)
                for given in second.form.parameters
                if given.kind == first.form.result
            ]


def _pairs(parents: Sequence[Known], seeds: Sequence[Known], rng: random.Random, most: int) -> list[tuple[Known, Known]]:
    """Pairs in which one result may be the other's argument: an evolved problem and a seed, in either order."""
    fitting = [(one, other) for one in parents for other in seeds if one is not other and _pipes(one.form, other.form)]
    if parents is not seeds:
        fitting += [(other, one) for one in parents for other in seeds if _pipes(other.form, one.form)]
    rng.shuffle(fitting)
    return fitting[:most]


def _pipes(first: Form, second: Form) -> bool:
    return first.result not in ("bool", "int | None", "str | None") and any(given.kind == first.result for given in second.parameters)
