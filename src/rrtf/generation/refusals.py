"""What a failed request means: try again, and when; or a sentence at once. Pure functions.

Not here: sending and waiting (`rrtf.generation.openai`).
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, cast

from rrtf.errors import EngineError

_PASSING = frozenset({408, 409, 425, 429})
_FINAL_5XX = frozenset({501, 505})
_SPENT = ("insufficient_quota", "credit_balance_exhausted", "spend_limit", "usage_limit", "billing")
"""In the code of a 429 that no waiting mends: the account has no money left, or a limit of its own was reached."""
_SHOWN = 300


def passes(status: int, error: Mapping[str, Any]) -> bool:
    """Whether the same request may well succeed later."""
    if status == 429 and any(word in str(error.get(key)) for key in ("code", "type") for word in _SPENT):
        return False
    return status in _PASSING or (500 <= status < 600 and status not in _FINAL_5XX)


def error_of(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """The error in a body, in whichever of the usual shapes; empty where there is none."""
    error = found.get("error")
    if isinstance(error, dict):
        return cast("dict[str, Any]", error)
    if isinstance(error, str):
        return {"message": error}
    if "choices" not in found and ("message" in found or "detail" in found):
        return {"message": found.get("message") or found.get("detail"), "code": found.get("code"), "type": found.get("type")}
    return {}


def hidden_status(found: Mapping[str, Any]) -> int | None:
    """The status of an error that came with status 200, as gateways send it; None for a reply that is none."""
    error = error_of(found)
    if found.get("choices") or not error:
        return None
    code = error.get("code")
    return code if isinstance(code, int) and 400 <= code < 600 else 502


def wait(attempt: int, first: float, most: float) -> float:
    """Seconds before new try number `attempt` (from 0): full jitter over an exponential, so that clients that failed together do not come back together."""
    return random.uniform(0, min(most, first * 2 ** min(attempt, 60)))  # noqa: S311 - spreads load, hides nothing


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds that a `Retry-After` header asks for: a number, or a date. None where there is none that can be read."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            date = parsedate_to_datetime(value)
        except ValueError:
            return None
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())
    return max(0.0, seconds) if seconds < float("inf") else None


def refusal(status: int, error: Mapping[str, Any], base_url: str, model: str, key_env: str) -> EngineError:
    """The sentence for a status that no new try mends."""
    said = " ".join(str(error.get("message") or "").split())[:_SHOWN]
    what = f"The endpoint {base_url} refused with status {status}" + (f": {said!r}." if said else ".")
    kept = "Answers already given are kept."
    if status in {401, 403}:
        named = f"the key in the environment variable {key_env}" if key_env else "the recipe, which names no key (key_env)"
        return EngineError(what, why=f"It does not accept the request for the model {model!r}. {kept}", hint=f"Check {named}, and run the same command again.")
    if status == 404:
        return EngineError(
            what,
            why=f"There is no such address, or no model {model!r} there. {kept}",
            hint="Check base_url (it usually ends in /v1), the model's name, and api: some servers have only chat/completions, or only completions.",
        )
    if status in {402, 429}:
        return EngineError(
            what, why=f"The account has nothing left to spend. {kept}", hint="Add credit or raise its limit there, and run the same command again."
        )
    if 300 <= status < 400:
        return EngineError(what, why=f"It sends us elsewhere, and a key must not follow. {kept}", hint="Give the final address as base_url.")
    return EngineError(
        what, why=f"The same request would be refused again. {kept}", hint="Change what it names: engine.extra, engine.omit, engine.prefill, or the sampling."
    )
