"""Random models of a few thousand weights, of families that number positions and share keys in different ways, and a byte-level tokenizer for all of them."""

from __future__ import annotations

from typing import Any, cast

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from rrtf.checkpoints import Checkpoint, Source

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_SIZES = {"vocab_size": 300, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}
_LLAMA_LIKE = {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 8}
_GPT_LIKE = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {**_LLAMA_LIKE, "max_position_embeddings": 128},  # rotary positions, grouped keys
    "qwen2": {**_LLAMA_LIKE, "max_position_embeddings": 128},  # biases in the projections
    "gpt_bigcode": {**_GPT_LIKE, "multi_query": True},  # learned absolute positions, one key head (the paper's own base model)
    "codegen": {**_GPT_LIKE, "n_ctx": 128, "rotary_dim": 4},  # attention of its own, no backend
    "gemma3_text": {
        **_LLAMA_LIKE,
        "sliding_window": 8,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        "max_position_embeddings": 128,
    },
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},  # biases that follow from a 2-D mask: decoded one by one
}


def tokenizer() -> PreTrainedTokenizerFast:
    """Bytes and three special tokens, ChatML."""
    pieces = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    inner = Tokenizer(models.BPE(vocab={piece: number for number, piece in enumerate(pieces)}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token=SPECIAL[1], eos_token=SPECIAL[2], unk_token=SPECIAL[0], pad_token=SPECIAL[2])
    made.chat_template = TEMPLATE
    return made


def checkpoint(family: str, seed: int = 0, **settings: Any) -> Checkpoint:
    """A random model of a family. Weights are large enough for its logits to differ clearly from token to token."""
    config = AutoConfig.for_model(family, **{**_SIZES, **FAMILIES[family], **settings})
    torch.manual_seed(seed)
    model = cast("Any", AutoModelForCausalLM.from_config(config, dtype=torch.float32))
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(std=0.25)
    return Checkpoint(model.eval(), tokenizer(), Source(family, "local", None))
