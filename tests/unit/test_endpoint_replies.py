"""What an endpoint's bodies mean: requests as a server wants them, replies as the seam wants them, and failures that pass or do not."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrtf.generation import refusals, replies, requests
from rrtf.generation.endpoints import EndpointHow, OpenAIConfig
from rrtf.generation.replies import Reading, UnusableReply
from rrtf.protocols import Prompt, Sampling

MESSAGE = Prompt("k", "Write f.", (1,), chat=True)
BEGUN = Prompt("k", "Write f.", (1,), chat=True, prefill="```python\n")
SAMPLING = Sampling(temperature=0.8, top_p=0.9, max_new_tokens=20, stop=("\n```", "END"))
DROP = Reading("after", "drop")
ASK = OpenAIConfig(base_url="http://localhost:1/v1")


def chat(*texts: Any, finish: str = "stop", usage: dict[str, Any] | None = None, **message: Any) -> dict[str, Any]:
    choices = [{"index": index, "message": {"content": text, **message}, "finish_reason": finish} for index, text in enumerate(texts)]
    return {"choices": choices, **({"usage": usage} if usage else {})}


def text_of(found: dict[str, Any], prompt: Prompt = MESSAGE, how: Reading = DROP) -> str:
    return replies.read(found, 9, prompt, SAMPLING, how).answers[0].text


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({"content": "a", "reasoning_content": "hm"}, "a"),
        ({"content": "a", "reasoning": "hm"}, "a"),
        ({"content": "<think>\nhm\n</think>\n\na"}, "a"),
        ({"content": "hm</think>\na"}, "a"),
        ({"content": "<think>never finished"}, ""),
        ({"content": None, "reasoning_content": "hm"}, ""),
        ({"content": None, "refusal": "no"}, ""),
        ({"content": [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]}, "ab"),
        ({"content": "what <think> means</think>"}, "what <think> means</think>"),
        ({"content": "half \ud83d a character"}, "half \ufffd a character"),
    ],
)
def test_the_text_of_an_answer_is_what_was_said_and_not_what_was_thought(said: dict[str, Any], text: str) -> None:
    assert text_of({"choices": [{"message": said}]}) == text


def test_thoughts_are_kept_where_they_are_wanted() -> None:
    keep = Reading("after", "keep")
    assert text_of(chat("a", reasoning_content="hm"), how=keep) == "<think>\nhm\n</think>\n\na"
    assert text_of(chat("<think>hm</think>a"), how=keep) == "<think>hm</think>a"


@pytest.mark.parametrize("stopped", ["a\n```", "a\n``` and more", "aEND\n```"])
def test_text_ends_before_the_first_stop_string_even_when_the_server_includes_it(stopped: str) -> None:
    (answer,) = replies.read(chat(stopped, finish="length"), 1, MESSAGE, SAMPLING, DROP).answers
    assert (answer.text, answer.stop) == ("a", "stop")


@pytest.mark.parametrize("finish", ["length", "max_tokens", "model_length"])
def test_a_cut_answer_says_so(finish: str) -> None:
    (answer,) = replies.read(chat("a", finish=finish), 1, MESSAGE, SAMPLING, DROP).answers
    assert answer.stop == "length"


@pytest.mark.parametrize("reply", ["```python\nx = 1\n```\nDone.", "Here it is:\n```python\nx = 1\n```", "Here:\n```py\nx = 1\n```", "```\nx = 1\n```"])
def test_a_reply_that_was_not_begun_for_the_model_is_taken_from_where_it_begins(reply: str) -> None:
    assert text_of(chat(reply), BEGUN) == "x = 1"


@pytest.mark.parametrize("prefill", ["message", "continue", "prefix"])
def test_a_continued_reply_is_taken_whole_and_a_repeated_beginning_is_left_out(prefill: Any) -> None:
    assert text_of(chat("x = 1\n```"), BEGUN, Reading(prefill, "drop")) == "x = 1"
    assert text_of(chat("```python\nx = 1\n```"), BEGUN, Reading(prefill, "drop")) == "x = 1"


def test_without_a_beginning_the_whole_reply_counts() -> None:
    assert text_of(chat("I cannot."), BEGUN) == "I cannot."


@pytest.mark.parametrize(
    ("found", "cause"),
    [
        ({}, "malformed JSON"),
        ({"choices": "no"}, "malformed JSON"),
        ({"choices": [1]}, "malformed JSON"),
        ({"choices": [{}]}, "malformed JSON"),
        ({"choices": [{"message": {}}]}, "malformed JSON"),
        ({"choices": [{"message": {"content": 3}}]}, "malformed JSON"),
        ({"choices": []}, "wrong count"),
        (chat("a", "b", "c"), "wrong count"),
    ],
)
def test_what_cannot_be_used(found: dict[str, Any], cause: str) -> None:
    with pytest.raises(UnusableReply) as raised:
        replies.read(found, 2, MESSAGE, SAMPLING, DROP)
    assert raised.value.cause == cause


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"a": ', b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_is_no_object(body: bytes) -> None:
    with pytest.raises(UnusableReply):
        replies.decoded(body)


def test_choices_come_in_the_order_of_their_index() -> None:
    found = chat("first", "second")
    found["choices"].reverse()
    assert [answer.text for answer in replies.read(found, 2, MESSAGE, SAMPLING, DROP).answers] == ["first", "second"]


@given(
    texts=st.lists(st.tuples(st.text(), st.sampled_from(["stop", "length"])), min_size=1, max_size=8),
    total=st.none() | st.integers(0, 500),
    limit=st.integers(1, 50),
)
def test_shares_of_the_tokens_add_up(texts: list[tuple[str, str]], total: int | None, limit: int) -> None:
    rows = [{"index": index, "text": text, "finish_reason": finish} for index, (text, finish) in enumerate(texts)]
    cut = sum(finish == "length" for _, finish in texts)
    usage = {"prompt_tokens": 3, "completion_tokens": total} if total is not None else None
    found = replies.read({"choices": rows, "usage": usage}, 8, Prompt("k", "t", (1,)), Sampling(0.8, 1, limit), DROP)
    shares = [answer.completion_tokens for answer in found.answers]
    assert found.counted == (total is not None)
    if len(texts) > 1:
        assert all(share == limit for share, (_, finish) in zip(shares, texts, strict=True) if finish == "length")
    if total is not None:
        assert found.completion_tokens == total
        if len(texts) == 1 or (cut < len(texts) and total >= cut * limit):
            assert sum(shares) == total
    else:
        assert all(1 <= share <= limit for share in shares)


def test_a_request_carries_what_was_asked_for() -> None:
    made = requests.body(ASK, "m", MESSAGE, SAMPLING, [5], "max_tokens")
    assert made == {
        "model": "m",
        "messages": [{"role": "user", "content": "Write f."}],
        "max_tokens": 20,
        "temperature": 0.8,
        "top_p": 0.9,
        "stop": ["\n```", "END"],
        "seed": 5,
    }
    text = requests.body(ASK, "m", Prompt("k", "def f():", (5,)), SAMPLING, [5, 6], "max_tokens")
    assert (text["prompt"], text["n"]) == ("def f():", 2)
    assert "seed" not in text  # some servers give n times the same answer for one seed
    assert "seed" not in requests.body(ASK, "m", MESSAGE, Sampling(), [5], "max_tokens")


@pytest.mark.parametrize(
    ("prefill", "last", "more"),
    [
        ("message", {"role": "assistant", "content": "```python\n"}, {}),
        ("continue", {"role": "assistant", "content": "```python\n"}, {"continue_final_message": True, "add_generation_prompt": False}),
        ("prefix", {"role": "assistant", "content": "```python\n", "prefix": True}, {}),
    ],
)
def test_a_beginning_is_sent_as_the_server_wants_it(prefill: Any, last: dict[str, Any], more: dict[str, Any]) -> None:
    made = requests.body(ASK.model_copy(update={"prefill": prefill}), "m", BEGUN, SAMPLING, [5], "max_tokens")
    messages: Any = made["messages"]
    assert messages[-1] == last
    assert {key: made[key] for key in ("continue_final_message", "add_generation_prompt") if key in made} == more
    assert made["stop"] == ["\n```", "END"]


def test_a_beginning_that_is_not_sent_takes_the_stop_strings_with_it() -> None:
    made = requests.body(ASK, "m", BEGUN, SAMPLING, [5], "max_tokens")
    assert len(made["messages"]) == 1  # type: ignore[arg-type]
    assert "stop" not in made  # the first fence would be taken for the last


def test_fields_may_be_left_out_and_added() -> None:
    config = OpenAIConfig(base_url="http://localhost:1/v1", omit=("seed", "top_p"), extra={"top_k": 3}, how=EndpointHow(stop_strings=1))
    made = requests.body(config, "m", MESSAGE, SAMPLING, [5], "max_tokens")
    assert made["top_k"] == 3
    assert made["stop"] == ["\n```"]
    assert not {"seed", "top_p"} & made.keys()
    with pytest.raises(ValueError, match="extra may not set messages"):
        OpenAIConfig(base_url="http://localhost:1/v1", extra={"messages": []})


NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        (format_datetime(NOW + timedelta(seconds=30), usegmt=True), 30.0),
        (format_datetime(NOW - timedelta(seconds=30), usegmt=True), 0.0),
        ("Fri, 01 May 2026 12:00:10", 10.0),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert refusals.retry_after(value, NOW) == seconds


@given(st.integers(0, 10_000), st.floats(0.001, 10), st.floats(0.001, 100))
def test_waits_are_drawn_below_a_growing_bound(attempt: int, first: float, most: float) -> None:
    assert 0 <= refusals.wait(attempt, first, most) <= most


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_what_passes(status: int) -> None:
    assert refusals.passes(status, {})


@pytest.mark.parametrize("status", [301, 400, 401, 402, 403, 404, 413, 422, 501])
def test_what_does_not(status: int) -> None:
    assert not refusals.passes(status, {})
    error = refusals.refusal(status, {"message": "no\nway"}, "http://h/v1", "m", "KEY")
    assert str(status) in error.message
    assert "'no way'" in error.message
    assert "are kept" in error.why
    assert error.hint


@pytest.mark.parametrize("code", ["insufficient_quota", "credit_balance_exhausted", "project_spend_limit_exceeded", "organization_usage_limit_exceeded"])
def test_an_empty_purse_does_not_pass(code: str) -> None:
    assert not refusals.passes(429, {"code": code})
    assert not refusals.passes(429, {"type": code, "code": None})
    assert "credit" in refusals.refusal(429, {"code": code}, "http://h/v1", "m", "").hint


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (chat("a"), None),
        ({"choices": []}, None),
        ({"error": {"code": 429, "message": "slow down"}}, 429),
        ({"error": {"code": "upstream"}}, 502),
        ({"error": "broken"}, 502),
        ({"detail": "broken", "code": 400}, 400),
        ({**chat("a"), "error": None}, None),
    ],
)
def test_errors_behind_status_200(found: dict[str, Any], status: int | None) -> None:
    assert refusals.hidden_status(json.loads(json.dumps(found))) == status
