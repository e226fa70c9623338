"""An evolved problem, where it comes from, what witnesses answered, and why its tests are believed. Not here: how it was made."""

from __future__ import annotations

from dataclasses import dataclass

from rrtf.records import Problem, Response


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """The birth of one problem."""

    seed: str
    """Id of the problem before any evolution."""
    parent: str
    """Id of the problem it was made from; the seed's in the first round."""
    other: str = ""
    """Id of the second parent, where two problems became one."""
    method: str
    """Name of the operator or of the rewriting method."""
    round: int
    """From 1 on; 0 is the seed itself."""
    author: str
    """The model that rewrote it, with its revision; `program` where no model took part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What speaks for the tests of a problem that a model wrote."""

    tests: int
    """Tests that were written."""
    shares: tuple[float, ...] = ()
    """Of each of them: the weighted share of solutions that pass it."""
    solutions: int = 0
    """Solutions that were run."""
    scores: tuple[float, ...] = ()
    """Weight of each, from 0 to 1."""
    agreeing: int = 0
    """Different solutions that pass every test that was kept."""
    models: tuple[str, ...] = ()
    """Who wrote each solution."""
    widened: int = 0
    """Tests that were added because all these solutions agree on their results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evolved:
    """A problem made of another one, and what became of it."""

    problem: Problem
    lineage: Lineage
    dropped: str = ""
    """Why it is not used: rule and what was found; empty when it is."""
    evidence: Evidence | None = None
    """None where the tests were not written by a model, or never run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """What a witness answered to a problem that a model wrote."""

    seed: str
    """Of the problem's lineage."""
    response: Response
