"""Asking a loopback endpoint, and counting what was lost, doubled or asked twice. Not here: tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rrtf.generation import open_generator
from rrtf.generation.endpoints import EndpointHow, OpenAIConfig
from rrtf.generation.loopback import Asked, Loopback
from rrtf.generation.openai import OpenAIGenerator
from rrtf.protocols import Prompt, Sampling
from rrtf.records import Completion

QUICK: dict[str, Any] = {"cache": "none", "timeout_seconds": 20.0, "backoff_seconds": 0.01, "backoff_most_seconds": 0.05, "attempts": 40}
SAMPLED = Sampling(temperature=0.8, top_p=0.95, max_new_tokens=64)


def script(asked: Asked) -> str:
    """An answer that names its question and its seed."""
    return f"answer to {asked.text} by {asked.seed}"


def prompts(count: int, seeds: Sequence[int] = (0, 1)) -> list[Prompt]:
    """So many different messages."""
    return [Prompt(f"p{number}", f"question {number}", tuple(seeds), chat=True) for number in range(count)]


def config(server: Loopback, how: dict[str, Any] | None = None, **settings: Any) -> OpenAIConfig:
    """The endpoint, asked without much patience."""
    return OpenAIConfig(base_url=server.url, how=EndpointHow(**{**QUICK, **(how or {})}), **settings)


@contextmanager
def asking(server: Loopback, how: dict[str, Any] | None = None, **settings: Any) -> Iterator[OpenAIGenerator]:
    """An open engine on the endpoint."""
    with open_generator(config(server, how, **settings), "fake") as generator:
        assert isinstance(generator, OpenAIGenerator)
        yield generator


def lost_and_doubled(asked: Sequence[Prompt], found: Sequence[Completion]) -> tuple[int, int]:
    """How many completions are missing, and how many came more than once."""
    counts = Counter((completion.key, completion.index) for completion in found)
    wanted = {(prompt.key, index) for prompt in asked for index in range(len(prompt.seeds))}
    assert counts.keys() <= wanted
    return len(wanted - counts.keys()), sum(counts.values()) - len(counts)
