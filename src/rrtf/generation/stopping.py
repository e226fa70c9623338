"""When an answer ends, and its text: end tokens, true stop strings and detokenisation. Knows tokens and text, no tensors.

A stop string is found in the *text*, wherever token borders fall, and the text ends before it.
"""

# Hugging Face tokenizers are untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_END_MARKS = ("<|endoftext|>", "<|im_end|>", "<|eot_id|>", "<|end_of_text|>", "<|end|>", "<|EOT|>", "<end_of_turn>", "</s>", "<eos>")
"""Special tokens that mean the end of a text or a turn in the model families we know. A chat model that continues raw text ends it with the mark of its
pre-training, which its generation config does not name; what follows such a mark is another document."""

_CONTEXT = 8
"""Prompt tokens decoded in front of an answer, so that decoders that drop a leading blank drop it from the prompt."""


def end_tokens(tokenizer: PreTrainedTokenizerBase, config: object) -> frozenset[int]:
    """Every token that ends an answer: those of the generation config (an object, or its content), the tokenizer's, and the known end marks."""
    content = cast("Mapping[str, object]", config) if isinstance(config, Mapping) else {"eos_token_id": getattr(config, "eos_token_id", None)}
    named = content.get("eos_token_id")
    ends = [*cast("Sequence[int | None]", named)] if isinstance(named, (list, tuple)) else [cast("int | None", named)]
    ends.append(cast("int | None", tokenizer.eos_token_id))
    special = {str(token): number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    ends.extend(special.get(mark) for mark in _END_MARKS)
    return frozenset(end for end in ends if end is not None)


class Reader:
    """Turns tokens into text for one set of stop strings."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, stops: Iterable[str]) -> None:
        self._tokenizer = tokenizer
        self._stops = tuple(stop for stop in stops if stop)
        # A token stands for at least one byte, so this many tokens hold every stop string that ends at the last one.
        self._reach = max((len(stop.encode()) for stop in self._stops), default=0) + 1
        self._special = frozenset(tokenizer.all_special_ids)

    def stopped(self, ids: Sequence[int]) -> bool:
        """Whether the newest token completes a stop string."""
        if not self._stops:
            return False
        tail: list[int] = []
        for token in reversed(ids):
            if token not in self._special:
                tail.append(token)
                if len(tail) == self._reach:
                    break
        text = self._decode(tail[::-1])
        return any(stop in text for stop in self._stops)

    def text(self, prompt_ids: Sequence[int], ids: Sequence[int]) -> tuple[str, bool]:
        """The answer's text, cut before the first stop string, and whether one was found."""
        before = list(prompt_ids[-_CONTEXT:])
        lead, whole = self._decode(before), self._decode([*before, *ids])
        text = whole[len(lead) :] if whole.startswith(lead) else self._decode(ids)
        cuts = [at for at in (text.find(stop) for stop in self._stops) if at >= 0]
        return (text[: min(cuts)], True) if cuts else (text, False)

    def _decode(self, ids: Sequence[int]) -> str:
        return cast("str", self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))
