"""A prompt as the model's token ids, the same in training and in generation. Not here: how problems become prompt texts (`rrtf.prompting`)."""

from __future__ import annotations

from typing import Any, Protocol

from rrtf.errors import EngineError
from rrtf.protocols import Prompt

_ANY = "a"
"""Some text: what stands in front of its tokens stands in front of any."""


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
    """Token ids of the prompt. A chat gets the special tokens of its template alone; plain text those that the tokenizer puts in front of any text.

    Raises `EngineError` for a template that is missing or refuses the prompt.
    """
    if prompt.chat:
        return list(tokenizer.encode(_chat(tokenizer, prompt.text) + prompt.prefill, add_special_tokens=False))
    return [*_start(tokenizer), *tokenizer.encode(prompt.text, add_special_tokens=False)]


def _chat(tokenizer: Tokenizer, text: str) -> str:
    from jinja2 import TemplateError

    advice = "Use a plain prompt format, or an instruction-tuned model."
    if not tokenizer.chat_template:
        raise EngineError("The model has no chat template, and the prompts are chat messages.", hint=advice)
    try:
        return str(tokenizer.apply_chat_template([{"role": "user", "content": text}], add_generation_prompt=True, tokenize=False))
    except (TemplateError, TypeError, ValueError, LookupError, AttributeError) as error:
        # A template is a program of the model's authors: some refuse a chat without a system message.
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:300].rstrip('.')}"
        raise EngineError(f"The model's chat template does not take a prompt of one user message: {said}.", hint=advice) from error


def _start(tokenizer: Tokenizer) -> list[int]:
    """The model's start token, for the families that were trained with one in front of every text (Llama, Gemma, Mistral); never an end token behind it."""
    bare: list[int] = list(tokenizer.encode(_ANY, add_special_tokens=False))
    whole: list[int] = list(tokenizer.encode(_ANY, add_special_tokens=True))
    found = next((at for at in range(len(whole)) if whole[at : at + len(bare)] == bare), 0)
    return whole[:found]
