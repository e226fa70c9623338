"""What is said about an OpenAI-compatible endpoint: what bears identity, what does not, and where the key comes from.

A key is only ever read from the environment, at the moment it is used: no config, manifest, log or error holds one. Not here: asking
(`rrtf.generation.openai`), which needs the extra `openai`; this module needs nothing.
"""

from __future__ import annotations

import os
import re
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from rrtf.errors import EngineError

_CLOSED = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)
_OURS = frozenset({"model", "messages", "prompt", "n", "seed", "stop", "stream", "temperature", "top_p", "max_tokens", "max_completion_tokens"})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", "0.0.0.0"})  # noqa: S104 - compared with, never bound to
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


class EndpointHow(BaseModel):
    """How an endpoint is asked. No field bears identity: answers already given stay valid whatever changes here."""

    model_config = _CLOSED

    concurrency: int = Field(default=16, ge=1, le=4096)
    """Requests in flight at once, of one worker."""
    timeout_seconds: float = Field(default=600.0, gt=0)
    """How long one request may take from its first byte to its last; then it is asked again."""
    attempts: int = Field(default=10, ge=1)
    """How often a request is tried before the stage ends. Rate limits, server errors, lost connections, time-outs and unusable replies are tried again."""
    backoff_seconds: float = Field(default=0.5, gt=0)
    """The wait before the n-th new try is drawn between 0 and this times 2 to the n (exponential backoff with full jitter)."""
    backoff_most_seconds: float = Field(default=60.0, gt=0)
    """The longest such wait. A server's own `Retry-After` is kept to even where it is longer."""
    patience_seconds: float = Field(default=900.0, gt=0)
    """A server that asks for a longer wait than this ends the stage with a sentence; run it again later, nothing is lost."""
    together_most: int = Field(default=16, ge=1)
    """The most answers asked for in one request (`n`)."""
    stop_strings: int = Field(default=4, ge=0)
    """How many stop strings the server takes; OpenAI's API takes 4. Answers end before the first of all of them anyway, but tokens after it are paid for."""
    cache: str = "default"
    """Where answers are kept as they arrive, to be asked for only once: `default` is the user's cache folder, `none` remembers nothing beyond one
    opening, and all else is a folder."""
    log: str = ""
    """A file that gets a line of JSON for every request: when, which, how long, what came of it, tokens, money. Neither keys nor texts. Empty: no file."""
    money_per_million_in: float = Field(default=0.0, ge=0)
    """Price of a million prompt tokens, in whatever currency."""
    money_per_million_out: float = Field(default=0.0, ge=0)
    """Price of a million answer tokens."""
    budget_money: float | None = Field(default=None, gt=0)
    """What one worker may spend before its stage ends with a sentence; what is in flight is taken, and the next run goes on with a new budget."""
    budget_tokens: int | None = Field(default=None, gt=0)
    """The same in tokens, of prompts and answers together."""

    @model_validator(mode="after")
    def _priced(self) -> EndpointHow:
        if self.budget_money is not None and not (self.money_per_million_in or self.money_per_million_out):
            raise ValueError("budget_money needs a price: set money_per_million_in and money_per_million_out")
        return self


class OpenAIConfig(BaseModel):
    """Ask any endpoint that speaks OpenAI's API: a hosted model, or vLLM, SGLang, llama.cpp and their like. Needs the extra `openai`."""

    model_config = _CLOSED

    engine: Literal["openai"] = "openai"
    base_url: str
    """Where the API begins, such as `http://localhost:8000/v1`. Bears no identity, so a server may move."""
    key_env: str = ""
    """Name of the environment variable that holds the key; the key itself stands nowhere. Empty: no key is sent."""
    revision: str = ""
    """What you know of the weights behind the model's name (a date, a quantisation). It bears identity. Empty: the host's name without its port."""
    api: Literal["auto", "chat", "completions"] = "auto"
    """`auto`: messages go to `chat/completions` and text to be continued to `completions`. `chat`: text goes as a message too. `completions`: messages are
    refused, since there is no chat template."""
    prefill: Literal["after", "message", "continue", "prefix"] = "after"
    """How a reply is made to begin as the prompt format wants. `after`: it is not; what stands in the reply up to that beginning is taken away, which works
    everywhere. `message`: as an assistant's message that the server continues (llama.cpp). `continue`: the same with `continue_final_message` (vLLM, SGLang).
    `prefix`: the same with `prefix` (Mistral, DeepSeek)."""
    seeds: Literal["together", "each"] = "together"
    """`together`: all answers of a prompt in one request, so that its prompt is paid for once; which answer belongs to which seed is settled by what is kept.
    `each`: a request per answer, with its seed: where the server keeps to seeds, they can be had again."""
    reasoning: Literal["drop", "keep"] = "drop"
    """What the model thought aloud (`reasoning_content`, `reasoning`, a leading `<think>` block) is left out of the answer, or kept in a `<think>` block."""
    omit: tuple[Literal["seed", "stop", "temperature", "top_p"], ...] = ()
    """Fields the server refuses, which are then not sent. Stop strings hold all the same."""
    extra: dict[str, JsonValue] = {}
    """Further fields of every request, such as `{ top_k = 20, chat_template_kwargs = { enable_thinking = false } }`."""
    how: EndpointHow = EndpointHow()
    """How it is asked; bears no identity."""

    @model_validator(mode="after")
    def _fits(self) -> OpenAIConfig:
        if twice := sorted(_OURS & self.extra.keys()):
            raise ValueError(f"extra may not set {twice[0]}, which follows from the recipe")
        return self

    def identity(self) -> dict[str, Any]:
        """What changes answers, and nothing else."""
        return self.model_dump(mode="json", exclude={"base_url", "key_env", "how"})


def endpoint_revision(config: OpenAIConfig) -> str:
    """What stands for the weights behind the endpoint. Raises `EngineError` where the config cannot be used; such an error never repeats what may be a key."""
    # Whoever wrote a key into the recipe by mistake must not find it in the terminal's history, or in a log, as well.
    if config.key_env and not _VARIABLE.fullmatch(config.key_env):
        raise EngineError(
            "key_env is not the name of an environment variable (capitals, digits and underscores).",
            why="It may be the key itself, so it is not repeated here; a key in a recipe ends up in every run made from it.",
            hint='Put the key into the environment and its name into the recipe, such as key_env = "OPENAI_API_KEY".',
        )
    try:
        parts = urlsplit(config.base_url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if "@" in config.base_url or parts.query or parts.fragment:
        raise EngineError(
            "base_url has a user, a password or a query in it.",
            why="It may hold a key, so it is not repeated here; a key in a recipe ends up in every run made from it.",
            hint="Give the bare address, and name the key's environment variable in key_env.",
        )
    if parts.scheme not in {"http", "https"} or not host:
        raise EngineError(f"base_url {config.base_url!r} is no http address.", hint="It looks like http://localhost:8000/v1 or https://api.example.com/v1.")
    return config.revision or f"endpoint:{'loopback' if host in _LOOPBACK else host}"


def key_of(config: OpenAIConfig) -> str:
    """The key, from the environment; empty where none is wanted. Raises `EngineError`."""
    if not config.key_env:
        return ""
    key = os.environ.get(config.key_env, "").strip()
    if not key:
        raise EngineError(
            f"The environment variable {config.key_env} is not set.",
            why=f"The recipe says that the key of {config.base_url} is there.",
            hint=f"Set it (export {config.key_env}=...) and run the same command again.",
        )
    if not key.isascii() or not key.isprintable():
        raise EngineError(f"The environment variable {config.key_env} holds characters that no key has.", hint="Set it again, without quotes or line breaks.")
    return key
