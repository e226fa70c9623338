"""A tiny random model on disk, and a training on it: `python tiny_training.py OUT [kill step]` (that step's report ends the process as `kill -9` does)."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rrtf.protocols import Prompt
from rrtf.records import Answer, Outcome, Pair, Preference
from rrtf.training import LoraConfig, TrainConfig, TrainHow, TrainingExample, TrainResult, train
from rrtf.training.loop import StepReport


def tiny_model(folder: Path) -> Path:
    """A two-layer Llama with a byte-level tokenizer, in a Hugging Face folder."""
    vocabulary = {c: i for i, c in enumerate(["<end>", *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>", pad_token="<end>").save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        max_position_embeddings=128, bos_token_id=0, eos_token_id=0, pad_token_id=0, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def examples() -> list[TrainingExample]:
    out = []
    for number in range(7):
        codes = [f"return x + {number}", f"return x - {number}", "pass", "return"][: 2 + number % 3]
        answers = tuple(Answer(f"r-{i}", "student" if i else "teacher", code, Outcome.PASSED, 3.0 - i) for i, code in enumerate(codes))
        pairs = tuple(Pair(0, i, float(i)) for i in range(1, len(codes)))
        preference = Preference(problem_id=f"p-{number}", answers=answers, pairs=pairs, targets=(0,))
        out.append(TrainingExample(Prompt(f"p-{number}", f"# add {number}\n", ()), preference))
    return out


CONFIG = TrainConfig(epochs=2, batch_problems=2, learning_rate=3e-3, max_tokens=100, rank_weight=20.0)
LORA = CONFIG.model_copy(update={"lora": LoraConfig(rank=2, dropout=0.3)})


def run(out: Path, config: TrainConfig = CONFIG, kill_at: int | None = None, checkpoint_every: int = 3, precision: str = "fp32") -> TrainResult:
    def report(step: StepReport) -> None:
        if step.step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    how = TrainHow.model_validate({"device": "cpu", "precision": precision, "micro_batch_tokens": 60, "checkpoint_every": checkpoint_every})
    return train(str(out.parent / "base"), examples(), config, how, out, report)


if __name__ == "__main__":
    run(Path(sys.argv[1]), LORA if sys.argv[3] == "lora" else CONFIG, int(sys.argv[2]), precision=sys.argv[4])
