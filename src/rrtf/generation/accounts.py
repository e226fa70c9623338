"""What asking an endpoint cost: tokens, money, tries, and the log of requests. Not here: prices and budgets, which stand in `EndpointHow`.

A log line holds numbers and ids: never a key, and nothing of a prompt or an answer.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rrtf.errors import DataError, EngineError
from rrtf.generation.endpoints import EndpointHow
from rrtf.identity import Json


@dataclass(slots=True)
class Account:
    """Counts of one opening of an engine."""

    requests: int = 0
    """Sent, new tries included."""
    retries: Counter[str] = field(default_factory=Counter[str])
    """New tries by what made them necessary."""
    answers: int = 0
    """Received and kept."""
    known: int = 0
    """Found in the store, and not asked for."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    uncounted: int = 0
    """Replies without token counts, which were estimated."""

    def money(self, how: EndpointHow) -> float:
        """What it cost, by the prices in the recipe."""
        return (self.prompt_tokens * how.money_per_million_in + self.completion_tokens * how.money_per_million_out) / 1e6

    def spent(self, how: EndpointHow) -> str:
        """Which budget is used up, in words; empty while none is."""
        tokens, money = self.prompt_tokens + self.completion_tokens, self.money(how)
        if how.budget_tokens is not None and tokens >= how.budget_tokens:
            return f"{tokens} tokens of {how.budget_tokens} (how.budget_tokens)"
        if how.budget_money is not None and money >= how.budget_money:
            return f"{money:.4f} of {how.budget_money:g} (how.budget_money)"
        return ""

    def row(self, how: EndpointHow) -> dict[str, Json]:
        """The same as data."""
        return {
            "requests": self.requests,
            "retries": dict(sorted(self.retries.items())),
            "answers": self.answers,
            "known": self.known,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "uncounted": self.uncounted,
            "money": round(self.money(how), 6),
        }


def out_of_budget(spent: str, left: int) -> EngineError:
    """The sentence that ends a stage whose budget is used up."""
    return EngineError(
        f"The budget of the endpoint is used up: {spent}; {left} answers are still to be asked for.",
        why="What was in flight was taken, nothing new was asked, and every answer is kept.",
        hint="Raise or lift the budget in the engine's how and run the same command again: it asks only for what is missing.",
    )


class Journal:
    """The log of requests: lines of JSON, each written whole, so that several processes may share the file."""

    def __init__(self, path: str, **always: str) -> None:
        """Append to `path`, or to nothing when it is empty; `always` stands in every line. Raises `DataError`."""
        self._path, self._always, self._lock = Path(path).expanduser() if path else None, always, threading.Lock()
        if self._path:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                self._path.touch()
            except OSError as error:
                raise DataError(f"The log {self._path} cannot be written ({error}).", hint="Choose another place with the engine's how.log.") from error

    def write(self, event: str, **row: Json) -> None:
        """One line."""
        if self._path is None:
            return
        line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **self._always, **row})
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
