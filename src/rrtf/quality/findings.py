"""What a check found, in one shape for every check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Action = Literal["stop", "drop", "warn", "off"]
"""What is done about a finding: end everything until somebody mends the problem, leave the problem out, say so and keep it; or do not look at all."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason why a problem is not fit for use."""

    problem: str
    """The problem's name."""
    rule: str
    """Which rule it breaks, in a few words that are the same for every problem."""
    detail: str
    """What was seen, on one line."""
    action: Action = "warn"
    """What the gate does about it; checks that decide nothing leave it at `warn`."""

    def __str__(self) -> str:
        return f"{self.problem}: {self.rule} ({self.detail})"
