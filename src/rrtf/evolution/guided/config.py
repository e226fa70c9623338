"""What guided evolution is asked for, and what its problems must stand up to. Not here: how it is done."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from rrtf.quality.gate import GateConfig

GATE = GateConfig(
    no_reference="drop", reference_fails="drop", weak_tests="drop", slow="drop", few_tests="drop", near_duplicate="off", least_tests=8, mutants=8, repeats=1
)
"""Problems that nobody has read must be better than those that somebody has. Likeness is looked at here by behaviour, which says more than statements that
share a template."""


class GuidedConfig(BaseModel):
    """Evolution without a model: operators change a problem together with its reference."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    target: int = Field(default=5100, ge=1)
    """Problems to keep. Fewer come back when the rounds do not yield as many. Curation drops a few in a thousand of the default, which leaves 5,000."""
    rounds: int = Field(default=3, ge=1, le=8)
    """How often problems are evolved, the evolved ones included."""
    tests: int = Field(default=14, ge=4, le=100)
    """Most tests of an evolved problem."""
    longest: int = Field(default=900, ge=100)
    """Most characters of a statement, without examples."""
    per_parent: int = Field(default=24, ge=1)
    """Most problems kept of one parent and round, so that no parent fills the corpus."""
