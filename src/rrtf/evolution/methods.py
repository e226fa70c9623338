"""The ways in which a model is asked to rewrite a task, as data (paper, section 3.3 and Figure 2; WizardCoder, arXiv 2306.08568).

`deeper` makes the same task harder; `wider` asks for another one of the same kind, which the paper leaves out and is off by default. The words are ours.
Not here: the request around them (`rewriting`), and what becomes of the answers (`elimination`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Method:
    """One way of rewriting."""

    name: str
    direction: Literal["deeper", "wider"]
    words: str
    """What to do to the task, as an instruction to the model."""


METHODS = (
    Method("constraint", "deeper", "Add one or two constraints that the solution must respect, on its input, its result or the means it may use."),
    Method("rarer", "deeper", "Replace one common requirement by a less common and more specific one."),
    Method("steps", "deeper", "If it can be solved in one or two obvious steps, add requirements until it takes several steps of reasoning."),
    Method("complexity", "deeper", "Demand a bound on time or memory that the obvious solution misses, and say how large the input may be."),
    Method(
        "distraction", "deeper", "Quote a short piece of wrong code that looks like a solution, as a mistake that somebody made and that must not be repeated."
    ),
    Method(
        "edge-cases", "deeper", "Say exactly what is expected for input that is empty, repeated, negative, very large or malformed, where that makes it harder."
    ),
    Method(
        "structure", "deeper", "Let the input or the result be a richer structure: nested lists, records with several fields, intervals, a grid or a graph."
    ),
    Method("state", "deeper", "Turn it into a task that processes a sequence of operations or events and must keep track of what happened before."),
    Method(
        "sibling",
        "wider",
        "Think of another task from the same field, of about the same difficulty, that somebody who can solve this one would not know at once.",
    ),
    Method("elsewhere", "wider", "Carry its core idea over into quite another field, with other names and other data."),
)
"""Names are part of an artefact's lineage: change the words rather than the names."""
