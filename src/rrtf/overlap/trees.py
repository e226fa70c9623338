"""How much of one program stands in another, whatever its names, texts, order and small habits: fingerprints of the subtrees of normalised programs.

A *form* is a program's functions in normal order of writing (`rrtf.overlap.normal`), with the fingerprint of every statement and expression of at least `LEAST`
nodes, names being only places within each. A training program *holds* a benchmark's solution when the subtrees of the solution that stand in it too make up
at least `SHARE` of its nodes, largest first and none twice; of a solution of fewer than `NODES` nodes, all of it. Subtrees that stand in the solutions of
more than `IDIOM` tasks are idioms and count for nothing, unless they are a whole function. A solution of fewer than `SMALLEST` nodes holds too little to tell
copying from chance; behaviour does that (`rrtf.overlap.behaviour`).

Not here: which problems are compared (`rrtf.overlap.leaks`).
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from rrtf.overlap.flattening import Span, fingerprint, flat, own_names
from rrtf.overlap.normal import normal
from rrtf.records import Problem

LEAST = 6
"""Nodes of the smallest subtree that counts."""
NODES, SMALLEST = 20, 12
"""Nodes of the smallest solution of which a share is enough, and of the smallest that is compared."""
SHARE = 0.7
"""Of a solution's nodes that must stand in the other program."""
IDIOM = 4
"""Subtrees in more tasks than this are anyone's."""


@dataclass(frozen=True, slots=True)
class Form:
    """A program, to be compared."""

    whole: int
    """The fingerprint of all of it, in whatever order its functions stand."""
    size: int
    """Nodes of its syntax tree, normalised."""
    prints: frozenset[int]
    """Fingerprints of its subtrees."""


@dataclass(frozen=True, slots=True)
class _Task:
    name: str
    size: int
    functions: tuple[tuple[tuple[int, int, int, int], ...], ...]
    """Of each function its subtrees, outer ones first: fingerprint, beginning, end, nodes."""


def form(source: str) -> Form | None:
    """The form of a program; None when it does not parse, or is nested too deeply."""
    functions = _functions(source)
    if functions is None:
        return None
    wholes = sorted(subtrees[0][0] for subtrees in functions if subtrees)
    size = sum(subtrees[0][3] for subtrees in functions if subtrees)
    return Form(fingerprint(map(str, wholes)), size, frozenset(subtree[0] for subtrees in functions for subtree in subtrees))


@lru_cache(maxsize=64)
def _functions(source: str) -> tuple[tuple[tuple[int, int, int, int], ...], ...] | None:
    """Of each function of a program its subtrees, outer ones first."""
    made = normal(source)
    if made is None:
        return None
    try:
        own = own_names(made)
        return tuple(tuple(_subtrees(function, own)) for function in made)
    except RecursionError:
        return None


def _subtrees(function: ast.stmt, own: frozenset[str]) -> list[tuple[int, int, int, int]]:
    spans: list[Span] = []
    words = flat(function, own, spans)
    spans.sort(key=lambda span: (span[0], -span[1]))
    return [(fingerprint(words[start:end]), start, end, size) for start, end, size in spans if size >= LEAST]


@dataclass(frozen=True, slots=True)
class Solutions:
    """The solutions of a benchmark, to look programs up in."""

    tasks: tuple[_Task, ...]
    found: dict[int, list[tuple[int, int]]]
    """A fingerprint -> the tasks in which it stands, by place, and its nodes there."""
    wholes: frozenset[int]

    def held(self, source: str) -> tuple[str, str] | None:
        """The task whose solution a program holds, the one it holds most of, and how much of it; None for a program that holds none."""
        made = form(source)
        if made is None:
            return None
        promise: Counter[int] = Counter()
        for mark in made.prints:
            for place, size in self.found.get(mark, ()):
                promise[place] += size
        best, most = None, 0.0
        for place, sizes in promise.items():
            task = self.tasks[place]
            least = SHARE if task.size >= NODES else 1.0
            if sizes < least * task.size:
                continue
            share = self._covered(task, made.prints) / task.size
            if share >= least and share > most:
                best, most = task, share
        return None if best is None else (best.name, f"{most:.0%} of the {best.size} nodes of its solution stand in this one, whatever the names")

    def _covered(self, task: _Task, prints: frozenset[int]) -> int:
        covered = 0
        for subtrees in task.functions:
            end = -1
            for mark, start, last, size in subtrees:
                if start >= end and mark in prints and mark in self.found:
                    covered += size
                    end = last
        return covered


def solutions(benchmark: Sequence[Problem]) -> Solutions:
    """The solutions of a benchmark's tasks, where they have one."""
    tasks: list[_Task] = []
    where: dict[int, dict[int, int]] = defaultdict(dict)
    wholes: set[int] = set()
    for problem in benchmark:
        functions = _functions(problem.reference) if problem.reference else None
        size = sum(subtrees[0][3] for subtrees in functions or () if subtrees)
        if functions is None or size < SMALLEST:
            continue
        wholes.update(subtrees[0][0] for subtrees in functions if subtrees)
        for subtrees in functions:
            for mark, _, _, nodes in subtrees:
                where[mark][len(tasks)] = nodes
        tasks.append(_Task(problem.name, size, functions))
    found = {mark: list(places.items()) for mark, places in where.items() if len(places) <= IDIOM or mark in wholes}
    return Solutions(tuple(tasks), found, frozenset(wholes))
