"""From the body of an endpoint's reply to answers: texts, why they ended, and what they cost in tokens. Pure functions.

Servers differ in what they leave out. Counts that are missing are estimated and marked so; a choice cut by the token limit has exactly that many. Not here:
asking (`rrtf.generation.openai`), and what a failed request means (`rrtf.generation.refusals`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from rrtf.generation.completion_store import Answer
from rrtf.protocols import Prompt, Sampling
from rrtf.records import StopReason

_LENGTH = frozenset({"length", "max_tokens", "model_length"})
_THOUGHT = re.compile(r"\s*<think>.*?(?:</think>\s*|\Z)", re.DOTALL)
_FENCE = re.compile(r"^```[\w+-]*[ \t]*\n", re.MULTILINE)
_BYTES_PER_TOKEN = 4
"""Where a server says nothing: what tokenizers of today make of code and English, roughly."""
_SURROGATE = re.compile("[\ud800-\udfff]")
"""JSON may escape half of a character; no file of ours could hold it."""


class UnusableReply(Exception):
    """A reply of status 200 that holds no answer. `cause` is the word it is counted under."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Reply:
    """The answers of one request, and what it cost."""

    answers: tuple[Answer, ...]
    prompt_tokens: int
    completion_tokens: int
    counted: bool
    """The server said what it cost; False: estimated."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How replies are read."""

    prefill: Literal["after", "message", "continue", "prefix"]
    reasoning: Literal["drop", "keep"]


def decoded(body: bytes) -> Mapping[str, Any]:
    """The reply as JSON. Raises `UnusableReply`."""
    try:
        found: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UnusableReply("malformed JSON") from error
    if not isinstance(found, dict):
        raise UnusableReply("malformed JSON")
    return cast("dict[str, Any]", found)


def read(found: Mapping[str, Any], wanted: int, prompt: Prompt, sampling: Sampling, how: Reading) -> Reply:
    """The answers in a reply to a request for `wanted`: as many, or fewer. Raises `UnusableReply` for none, or more than were asked for."""
    choices = found.get("choices")
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in cast("list[object]", choices)):
        raise UnusableReply("malformed JSON")
    rows = cast("list[dict[str, Any]]", choices)
    if not rows or len(rows) > wanted:
        raise UnusableReply("wrong count")
    raw = [_raw(choice, how) for choice in sorted(rows, key=_index)]
    cut = [_clean(text, prompt, sampling, how) for text in raw]
    ended: list[StopReason] = [_ended(choice) for choice in sorted(rows, key=_index)]
    stops: list[StopReason] = ["stop" if stopped else reason for (_, stopped), reason in zip(cut, ended, strict=True)]
    prompt_tokens, total = _usage(found)
    tokens = _shared(total, raw, ended, sampling.max_new_tokens)
    known = prompt_tokens is not None and total is not None
    if prompt_tokens is None:
        prompt_tokens = _estimate(prompt.text + prompt.prefill)
    answers = tuple(Answer(text, stop, prompt_tokens, count) for (text, _), stop, count in zip(cut, stops, tokens, strict=True))
    return Reply(answers, prompt_tokens, sum(tokens) if total is None else total, known)


def _index(choice: Mapping[str, Any]) -> int:
    index = choice.get("index")
    return index if isinstance(index, int) else 0


def _raw(choice: Mapping[str, Any], how: Reading) -> str:
    """The text of a choice, with what was thought aloud where that is to be kept."""
    message = choice.get("message")
    if not isinstance(message, dict):
        text = choice.get("text")
        if not isinstance(text, str):
            raise UnusableReply("malformed JSON")
        return text
    said = cast("dict[str, Any]", message)
    if "content" not in said and "refusal" not in said and "reasoning_content" not in said and "reasoning" not in said:
        raise UnusableReply("malformed JSON")
    text = _content(said.get("content"))
    thought = said.get("reasoning_content") or said.get("reasoning")
    return f"<think>\n{thought}\n</think>\n\n{text}" if how.reasoning == "keep" and isinstance(thought, str) else text


def _content(content: object) -> str:
    """A message's content, which may be text, a list of parts, or nothing at all (a refusal, or all tokens went into thinking)."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [cast("dict[str, object]", part) for part in cast("list[object]", content) if isinstance(part, dict)]
        return "".join(text for part in parts if part.get("type") == "text" and isinstance(text := part.get("text"), str))
    raise UnusableReply("malformed JSON")


def _ended(choice: Mapping[str, Any]) -> StopReason:
    return "length" if choice.get("finish_reason") in _LENGTH else "stop"


def _clean(text: str, prompt: Prompt, sampling: Sampling, how: Reading) -> tuple[str, bool]:
    """The text as the seam wants it, and whether a stop string ended it."""
    text = _SURROGATE.sub("\ufffd", text)
    if how.reasoning == "drop":
        text = without_thought(text)
    if prompt.chat and prompt.prefill:
        text = after_prefill(text, prompt.prefill) if how.prefill == "after" else text.removeprefix(prompt.prefill)
    cuts = [at for at in (text.find(stop) for stop in sampling.stop if stop) if at >= 0]
    return (text[: min(cuts)], True) if cuts else (text, False)


def without_thought(text: str) -> str:
    """The text without a leading `<think>` block. Some templates open the block in the prompt, so that only its end is in the text."""
    found = _THOUGHT.match(text)
    if found:
        return text[found.end() :]
    before, end, after = text.partition("</think>")
    return after.lstrip() if end and "<think>" not in before else text


def after_prefill(text: str, prefill: str) -> str:
    """What follows the first place where the reply begins as it should have; the whole reply where it never does. Any opening fence is as good as ours."""
    before, found, after = text.partition(prefill)
    fence = _FENCE.search(text) if _FENCE.fullmatch(prefill) else None
    if fence and (not found or fence.start() < len(before)):
        return text[fence.end() :]
    return after if found else text


def _usage(found: Mapping[str, Any]) -> tuple[int | None, int | None]:
    usage = found.get("usage")
    if not isinstance(usage, dict):
        return None, None
    counts = cast("dict[str, object]", usage)
    prompt, completion = counts.get("prompt_tokens"), counts.get("completion_tokens")
    return prompt if isinstance(prompt, int) and prompt > 0 else None, completion if isinstance(completion, int) and completion >= 0 else None


def _shared(total: int | None, texts: Sequence[str], ended: Sequence[StopReason], limit: int) -> list[int]:
    """Tokens of each choice. A server tells only their sum; those that the limit cut have exactly `limit`, and the others share the rest by length."""
    if total is not None and len(texts) == 1:
        return [total]
    open_ = [number for number, reason in enumerate(ended) if reason == "stop"]
    counts = [limit if reason == "length" else min(limit, _estimate(text)) for text, reason in zip(texts, ended, strict=True)]
    if total is not None and open_:
        rest, weights = max(0, total - limit * (len(texts) - len(open_))), [len(texts[number].encode("utf-8", "replace")) + 1 for number in open_]
        passed, given = 0, 0
        for number, weight in zip(open_, weights, strict=True):
            passed += weight
            share = rest * passed // sum(weights) - given
            counts[number], given = share, given + share
    return counts


def _estimate(text: str) -> int:
    return max(1, -(-len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN))
