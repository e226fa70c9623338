"""Problems against one another and against benchmarks: every kind of likeness, as findings.

A set in which two problems are one, or a problem is a benchmark's, cannot be split into learning and examination. Not here: the rules (`rrtf.quality.likeness`,
`rrtf.quality.behaviour`) and problems taken by themselves (`rrtf.quality.fitness`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rrtf.protocols import Sandbox
from rrtf.quality.behaviour import alike
from rrtf.quality.findings import Finding
from rrtf.quality.likeness import near_references, near_statements, overlaps
from rrtf.records import Problem


def near_duplicates(problems: Sequence[Problem], sandbox: Sandbox, threads: int = 1) -> Iterator[Finding]:
    """Pairs of problems of one set that are one problem, by statement, by reference or by behaviour."""
    for one, other, similarity in near_statements(problems):
        yield Finding(one.name, "near-duplicate by its statement", f"{similarity:.0%} of the shingles are those of {other.name}")
    for one, other in near_references(problems):
        yield Finding(one.name, "near-duplicate by its reference", f"the same program as {other.name} but for names and texts")
    for pair in alike(problems, problems, sandbox, threads):
        yield Finding(pair.reference.name, "near-duplicate by behaviour", f"its reference passes the tests of {pair.exam.name}")


def overlap(problems: Sequence[Problem], benchmark: Sequence[Problem], sandbox: Sandbox, threads: int = 1) -> Iterator[Finding]:
    """Problems that a benchmark holds too, by ten words or code tokens in a row, or by behaviour in either direction."""
    for problem, theirs, shared in overlaps(problems, benchmark):
        yield Finding(problem.name, "overlap on paper", f"it shares {shared!r} with {theirs.name}")
    for pair in alike(problems, benchmark, sandbox, threads):
        yield Finding(pair.reference.name, "overlap by behaviour", f"its reference passes the tests of {pair.exam.name}")
    for pair in alike(benchmark, problems, sandbox, threads):
        yield Finding(pair.exam.name, "overlap by behaviour", f"the reference of {pair.reference.name} passes its tests")
