"""From prompts to requests: which answers are owed, which of them go together, and the body of each request. Pure functions.

Not here: sending (`rrtf.generation.openai`) and reading what comes back (`rrtf.generation.replies`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from rrtf.errors import EngineError
from rrtf.generation.completion_store import Answer, address
from rrtf.generation.endpoints import OpenAIConfig
from rrtf.identity import Json
from rrtf.protocols import Prompt, Sampling
from rrtf.records import Completion


@dataclass(slots=True)
class Wanted:
    """An answer, and everybody who wants it: equal prompts with equal seeds are asked once."""

    prompt: Prompt
    seed: int
    places: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    """(key of a prompt, position of the seed in it)."""

    def completions(self, answer: Answer) -> Iterator[Completion]:
        """The answer, once for each who wants it."""
        for key, index in self.places:
            yield Completion(key, index, answer.text, answer.stop, answer.prompt_tokens, answer.completion_tokens)


@dataclass(frozen=True, slots=True)
class Job:
    """Answers of one prompt that may be asked for in one request: (address, seed) of each."""

    prompt: Prompt
    answers: tuple[tuple[str, int], ...]


def wanted(prompts: Iterable[Prompt], sampling: Sampling, config: OpenAIConfig, engine: Json) -> dict[str, Wanted]:
    """Every answer that is wanted, by its address. Raises `EngineError` for a prompt that the API cannot take."""
    found: dict[str, Wanted] = {}
    for prompt in prompts:
        if prompt.chat and config.api == "completions":
            raise EngineError(
                f"The prompt {prompt.key!r} is a message, and the endpoint {config.base_url} is asked by completions alone.",
                why="Without a chat template the model would not know it for a message.",
                hint='Set the engine\'s api to "auto" or "chat", or choose the prompt format "raw" or "paper".',
            )
        for index, seed in enumerate(prompt.seeds):
            place = address(engine, prompt, sampling, seed)
            found.setdefault(place, Wanted(prompt, seed)).places.append((prompt.key, index))
    return found


def jobs(owed: Sequence[tuple[str, Wanted]], config: OpenAIConfig) -> list[Job]:
    """The answers owed, put together as the config says. What goes together does not depend on the order of the prompts."""
    most = config.how.together_most if config.seeds == "together" else 1
    groups: dict[tuple[bool, str, str], list[tuple[str, Wanted]]] = {}
    for place, one in owed:
        groups.setdefault((one.prompt.chat, one.prompt.text, one.prompt.prefill), []).append((place, one))
    made: list[Job] = []
    for group in groups.values():
        group.sort(key=lambda item: item[1].seed)
        for start in range(0, len(group), most):
            chunk = group[start : start + most]
            made.append(Job(chunk[0][1].prompt, tuple((place, one.seed) for place, one in chunk)))
    return made


def path_of(config: OpenAIConfig, prompt: Prompt) -> str:
    """Which API a prompt goes to."""
    return "/chat/completions" if prompt.chat or config.api == "chat" else "/completions"


def body(config: OpenAIConfig, model: str, prompt: Prompt, sampling: Sampling, seeds: Sequence[int], limit_field: str) -> dict[str, Json]:
    """The body of a request for one answer per seed."""
    made: dict[str, Json] = {"model": model}
    continued = prompt.chat and prompt.prefill and config.prefill != "after"
    if path_of(config, prompt) == "/completions":
        made["prompt"] = prompt.text
    else:
        messages: list[Json] = [{"role": "user", "content": prompt.text}]
        if continued:
            begun: dict[str, Json] = {"role": "assistant", "content": prompt.prefill}
            messages.append({**begun, "prefix": True} if config.prefill == "prefix" else begun)
        made["messages"] = messages
        if continued and config.prefill == "continue":
            made |= {"continue_final_message": True, "add_generation_prompt": False}
    made |= {limit_field: sampling.max_new_tokens, "temperature": sampling.temperature, "top_p": sampling.top_p}
    # A reply that does not begin where the stop strings expect it would end at once: what opens it may be one of them.
    whole = not (prompt.chat and prompt.prefill) or continued
    if whole and (stops := [stop for stop in sampling.stop if stop][: config.how.stop_strings]):
        made["stop"] = list[Json](stops)
    if len(seeds) > 1:
        made["n"] = len(seeds)  # and no seed: some servers give n times the same answer for one
    elif sampling.temperature > 0:
        made["seed"] = seeds[0]
    for name in config.omit:
        made.pop(name, None)
    return {**made, **config.extra}
