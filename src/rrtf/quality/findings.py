"""What a check found, in one shape for every check."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason why a problem is not fit for use."""

    problem: str
    """The problem's name."""
    rule: str
    """Which rule it breaks, in a few words that are the same for every problem."""
    detail: str
    """What was seen, on one line."""

    def __str__(self) -> str:
        return f"{self.problem}: {self.rule} ({self.detail})"
