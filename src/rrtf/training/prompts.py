"""A prompt as the model's token ids, the same in training and in generation. Not here: how problems become prompt texts (`rrtf.prompting`)."""

from __future__ import annotations

from typing import Any, Protocol

from rrtf.errors import EngineError
from rrtf.protocols import Prompt


class Tokenizer(Protocol):
    """The part of a Hugging Face tokenizer that training needs."""

    chat_template: Any
    eos_token_id: Any

    def apply_chat_template(self, conversation: list[dict[str, str]], *, add_generation_prompt: bool, tokenize: bool) -> Any:
        """The conversation as text in the model's own chat format."""
        ...

    def encode(self, text: str, *, add_special_tokens: bool) -> Any:
        """Token ids of a text."""
        ...


def prompt_ids(tokenizer: Tokenizer, prompt: Prompt) -> list[int]:
    """Token ids of the prompt. Special tokens come from the chat template alone; plain text gets none. Raises `EngineError` for a missing template."""
    text = prompt.text
    if prompt.chat:
        if not tokenizer.chat_template:
            raise EngineError(
                "The model has no chat template, and the prompts are chat messages.", hint="Use a plain prompt format, or an instruction-tuned model."
            )
        text = str(tokenizer.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False)) + prompt.prefill
    return list(tokenizer.encode(text, add_special_tokens=False))
