"""What was kept so far, by behaviour and by text: is a candidate something new?

Problems with the same kinds of arguments are compared on a pool of inputs. Whatever agrees on the whole pool is compared on the tests of the other, too: only
then it is the same. Not here: likeness of statements, which for problems made from the same templates says little.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rrtf.evolution.guided.forms import Form, program
from rrtf.evolution.guided.running import Outcome, Trial
from rrtf.identity import fingerprint

POOL = 24
"""Inputs on which problems are compared at first."""

Kinds = tuple[str, ...]


def kinds_of(form: Form) -> Kinds:
    """What is compared with what."""
    return tuple(one.kind for one in form.parameters)


def normal_text(form: Form) -> str:
    """A statement but for case and signs."""
    return " ".join(re.findall(r"[^\W_]+", form.text.lower()))


@dataclass(frozen=True, slots=True)
class Member:
    """A problem in the index."""

    form: Form
    """With the inputs and outputs that it is told by."""
    name: str
    held_out: bool = False


@dataclass(slots=True)
class Index:
    """Everything that a candidate must differ from."""

    texts: set[str] = field(default_factory=set[str])
    pools: dict[Kinds, tuple[str, ...]] = field(default_factory=dict[Kinds, tuple[str, ...]])
    members: dict[tuple[Kinds, str], list[Member]] = field(default_factory=lambda: defaultdict[tuple[Kinds, str], list[Member]](list))

    def grow(self, forms: Iterable[Form], rng: random.Random) -> None:
        """A pool of inputs for all kinds of arguments that have none yet."""
        known: dict[Kinds, dict[str, None]] = defaultdict(dict)
        for form in forms:
            if kinds_of(form) not in self.pools:
                known[kinds_of(form)].update(dict.fromkeys(form.inputs))
        for kinds, inputs in known.items():
            every = list(inputs)
            rng.shuffle(every)
            self.pools[kinds] = tuple(every[:POOL])

    def trial(self, form: Form, inputs: Sequence[str] = ()) -> Trial:
        """A form on inputs of its own and on the pool."""
        return Trial(program(form), form.name, (*inputs, *self.pools[kinds_of(form)]))

    def alike(self, form: Form, did: str) -> list[Member]:
        """Members that agree on the pool, by the name of what was done there (`told`)."""
        return self.members.get((kinds_of(form), did), [])

    def add(self, member: Member, did: str) -> None:
        """One more that later candidates must differ from."""
        self.texts.add(normal_text(member.form))
        self.members[kinds_of(member.form), did].append(member)


def told(outcomes: Sequence[Outcome]) -> str:
    """A name for what a program did on the pool."""
    return fingerprint([[outcome.value, outcome.error] for outcome in outcomes])


def agrees(member: Member, outcomes: Sequence[Outcome]) -> bool:
    """Whether a program did on a member's inputs what the member does."""
    return [outcome.value for outcome in outcomes] == list(member.form.outputs)
