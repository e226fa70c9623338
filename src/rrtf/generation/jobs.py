"""From prompts to token jobs, alike for every engine that decodes in this process: tokens, seeds, and how long an answer may become.

Not here: tokens of a prompt (`rrtf.training.prompts`, which training uses as well), decoding, and any tensor.
"""

# Hugging Face tokenizers are untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from rrtf.errors import EngineError
from rrtf.protocols import Prompt, Sampling
from rrtf.training.prompts import prompt_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Job:
    """A prompt in tokens, and how long its answers may become."""

    key: str
    ids: tuple[int, ...]
    seeds: tuple[int, ...]
    limit: int


@dataclass(frozen=True, slots=True)
class Intake:
    """What turns prompts into jobs: the model's tokenizer, the tokens its context holds (None: nobody said), and its name for errors."""

    tokenizer: PreTrainedTokenizerBase
    context: int | None
    model: str

    def jobs(self, prompts: Iterable[Prompt], sampling: Sampling) -> list[Job]:
        """Everything asked for, shortest first: jobs of similar length side by side waste least. Raises `EngineError` before anything is decoded."""
        found: list[Job] = []
        for prompt in prompts:
            if prompt.seeds and sampling.max_new_tokens > 0:
                ids = self._ids(prompt)
                limit = check_room(prompt.key, prompt.text, len(ids), self.context, sampling.max_new_tokens)
                found.append(Job(prompt.key, ids, prompt.seeds, limit))
        return sorted(found, key=lambda job: len(job.ids) + job.limit)

    def _ids(self, prompt: Prompt) -> tuple[int, ...]:
        """The prompt's tokens: the very ones it is trained with. Empty text begins with the model's start token."""
        ids = prompt_ids(cast("Any", self.tokenizer), prompt)
        start = self.tokenizer.bos_token_id if self.tokenizer.bos_token_id is not None else self.tokenizer.eos_token_id
        if not ids and start is None:
            raise EngineError(
                f"The prompt {prompt.key!r} is empty, and the model {self.model!r} has no token to begin with.", hint="Give the prompt some text."
            )
        return tuple(ids or [cast("int", start)])


def check_room(key: str, text: str, tokens: int, context: int | None, limit: int) -> int:
    """Tokens an answer may have: `limit`, or what the model's context leaves. Raises `EngineError` when it leaves nothing; prompts are never cut.

    An id tells nobody which problem it is: `text` is the prompt's, and its beginning is shown.
    """
    if context is None:
        return limit
    if tokens >= context:
        raise EngineError(
            f"The prompt {key!r} has {tokens} tokens, and the model's context holds {context}. It begins {_beginning(text)!r}.",
            why="There is no room for an answer, and prompts are never cut.",
            hint="Leave this problem out, shorten it, or take a model with a longer context.",
        )
    return min(limit, context - tokens)


def context_of(config: object) -> int | None:
    """Tokens that fit a model, by its Hugging Face config (that of its text part)."""
    for name in ("max_position_embeddings", "n_positions", "max_seq_len"):
        size = getattr(config, name, None)
        if isinstance(size, int):
            return size
    return None


def _beginning(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 80 else f"{line[:77]}..."
