"""Stop strings and text, with a tokenizer of single bytes: every border falls inside characters and stop strings."""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GenerationConfig, PreTrainedTokenizerFast

from rrtf.generation.stopping import Reader, end_tokens

SPECIAL = ["<|endoftext|>", "<|im_end|>", "<|tool|>"]


def _tokenizer() -> Any:
    inner = Tokenizer(models.BPE(vocab={piece: n for n, piece in enumerate([*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())])}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=SPECIAL[1])
    made.add_special_tokens({"additional_special_tokens": [SPECIAL[0], SPECIAL[2]]})
    return made


TOKENIZER = _tokenizer()


def _ids(text: str) -> list[int]:
    return cast("list[int]", TOKENIZER.encode(text, add_special_tokens=False))


def _read(ids: list[int], stops: tuple[str, ...]) -> tuple[int, str, bool]:
    """Feed token by token: (tokens until it stopped, text, whether it stopped)."""
    reader = Reader(TOKENIZER, stops)
    for count in range(1, len(ids) + 1):
        if reader.stopped(ids[:count]):
            return count, *reader.text(_ids("prompt"), ids[:count])
    return len(ids), *reader.text(_ids("prompt"), ids)


@given(text=st.text(alphabet="abné\n`😀 ", max_size=30), stops=st.lists(st.text(alphabet="abé\n`😀", min_size=1, max_size=4), max_size=3))
def test_it_stops_at_the_first_stop_string_and_not_before(text: str, stops: list[str]) -> None:
    count, found, stopped = _read(_ids(text), tuple(stops))
    # The first to be complete ends it; of those complete by then, the text ends before the earliest.
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    seen = text[: min(ends)] if ends else text
    assert stopped == bool(ends)
    assert found == seen[: min((seen.find(stop) for stop in stops if stop in seen), default=len(seen))]
    assert count == len(_ids(seen))


def test_special_tokens_neither_show_nor_hide_a_stop_string() -> None:
    ids = [*_ids("x```"), 2, 2, 2, 2, 2, *_ids("\ny")]
    assert _read(ids, ("```\n",)) == (len(ids) - 1, "x", True)
    assert _read(ids, ())[1] == "x```\ny"


def test_a_leading_blank_of_the_answer_is_kept() -> None:
    assert _read(_ids("  return 1"), ())[1] == "  return 1"


def test_empty_stop_strings_stop_nothing() -> None:
    assert _read(_ids("abc"), ("",)) == (3, "abc", False)


@pytest.mark.parametrize(("named", "expected"), [(None, {0, 1}), (2, {0, 1, 2}), ([2, 5], {0, 1, 2, 5})])
def test_end_tokens_come_from_config_tokenizer_and_known_marks(named: object, expected: set[int]) -> None:
    assert end_tokens(TOKENIZER, GenerationConfig(eos_token_id=named)) == expected
    assert end_tokens(TOKENIZER, None) == {0, 1}
