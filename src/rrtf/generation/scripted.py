"""The fake generator we ship: answers come from a function, and every promise of the seam holds. Not here: any model.

One token is a run of blanks or a run of other characters, so limits and counts mean something without a tokenizer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from rrtf.identity import fingerprint
from rrtf.protocols import Prompt, Sampling
from rrtf.records import Completion, StopReason

Script = Callable[[Prompt, int], str]
"""(prompt, position of the seed) -> the whole answer, before stop strings and limits."""

_TOKEN = re.compile(r"\s+|\S+")


def from_mapping(answers: Mapping[str, Sequence[str]], default: str | Sequence[str] = "") -> Script:
    """A script that looks up the prompt's key, then its text; the n-th seed gets the n-th answer, round and round."""
    others = (default,) if isinstance(default, str) else tuple(default) or ("",)

    def script(prompt: Prompt, index: int) -> str:
        known = answers.get(prompt.key) or answers.get(prompt.text) or others
        return known[index % len(known)]

    return script


class ScriptedGenerator:
    """A `Generator` that reads from a script. Its revision is `scripted`, or follows from `answers` where these are given."""

    def __init__(self, script: Script | Mapping[str, Sequence[str]], model: str = "scripted") -> None:
        self._script = script if callable(script) else from_mapping(script)
        self._model = model
        self._revision = "scripted" if callable(script) else f"scripted:{fingerprint(script)[:16]}"

    @property
    def model(self) -> str:
        """The name it was opened under."""
        return self._model

    @property
    def revision(self) -> str:
        """What fixes the answers."""
        return self._revision

    def generate(self, prompts: Iterable[Prompt], sampling: Sampling) -> Iterator[Completion]:
        """One completion per prompt and seed, in the order asked for."""
        for prompt in prompts:
            for index in range(len(prompt.seeds)):
                text, stop, count = limited(self._script(prompt, index), sampling)
                yield Completion(prompt.key, index, text, stop, token_count(prompt.text + prompt.prefill), count)


def limited(answer: str, sampling: Sampling) -> tuple[str, StopReason, int]:
    """Apply stop strings and the token limit as a model's engine would: (text, reason, tokens)."""
    tokens = _TOKEN.findall(answer)
    text = "".join(tokens[: sampling.max_new_tokens])
    stop: StopReason = "stop" if len(tokens) <= sampling.max_new_tokens else "length"
    cuts = [at for at in (text.find(string) for string in sampling.stop) if at >= 0]
    if cuts:
        text, stop = text[: min(cuts)], "stop"
    return text, stop, token_count(text)


def token_count(text: str) -> int:
    """How many tokens a text has here."""
    return len(_TOKEN.findall(text))
