"""What guided evolution is asked for, and what it says of every candidate. Not here: how it is done."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from rrtf.evolution.lineage import Lineage
from rrtf.quality.gate import GateConfig
from rrtf.records import Problem

GATE = GateConfig(
    no_reference="drop", reference_fails="drop", weak_tests="drop", slow="drop", few_tests="drop", near_duplicate="off", least_tests=8, mutants=8, repeats=1
)
"""Problems that nobody has read must be better than those that somebody has. Likeness is looked at here by behaviour, which says more than statements that
share a template."""


class GuidedConfig(BaseModel):
    """Evolution without a model: operators change a problem together with its reference."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    target: int = Field(default=5000, ge=1)
    """Problems to keep. Fewer come back when the rounds do not yield as many."""
    rounds: int = Field(default=3, ge=1, le=8)
    """How often problems are evolved, the evolved ones included."""
    tests: int = Field(default=14, ge=4, le=100)
    """Most tests of an evolved problem."""
    longest: int = Field(default=900, ge=100)
    """Most characters of a statement, without examples."""
    per_parent: int = Field(default=24, ge=1)
    """Most problems kept of one parent and round, so that no parent fills the corpus."""
    gate: GateConfig = GATE
    """What a problem must stand up to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evolved:
    """A candidate and what became of it."""

    problem: Problem
    """With tests, unless it was dropped before they were known."""
    lineage: Lineage
    dropped: str = ""
    """Why it was not kept, in one of few phrases; empty for those that were."""
    detail: str = ""
    """What was seen."""

    @property
    def kept(self) -> bool:
        """Whether it belongs to the corpus."""
        return not self.dropped
