"""The `transformers` engine: any Hugging Face causal language model, decoded in this process with continuous batching.

What holds: on the processor a completion does not depend on which prompts share a batch, nor on their order (what was measured, and for which dtype, stands in
docs/decisions/0003-generation-engine.md), and the same seed gives the same completion on the same machine with the same number of threads. On CUDA the matrix
library picks kernels by batch size, so near-ties between tokens may fall differently. Between machines nothing is promised beyond rounding.
Prompts are never cut: answers get `max_new_tokens` or what the context leaves, and a prompt that leaves nothing is an `EngineError`.
"""

# Hugging Face tokenizers and configs are untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Generator as Yields
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

from rrtf.checkpoints import Checkpoint, Dtype, load, pick_device, revision
from rrtf.errors import missing_extra
from rrtf.generation import GenerationHow
from rrtf.generation.jobs import Intake, context_of
from rrtf.protocols import Prompt, Sampling
from rrtf.records import Completion, StopReason
from rrtf.training.memory import within_memory

try:
    import torch
    from torch import Tensor

    from rrtf.generation.choosing import choose
    from rrtf.generation.decoding import SPARE, Decoder, Row
    from rrtf.generation.stopping import Reader, end_tokens
except ModuleNotFoundError as error:
    raise missing_extra("train", error.name or "torch") from error


@contextmanager
def open_transformers(dtype: Dtype, how: GenerationHow, model_name: str) -> Yields[TransformersGenerator]:
    """Load a model and decode with it for the length of the block. Raises `EngineError`."""
    before = torch.get_num_threads()
    if how.threads:
        torch.set_num_threads(how.threads)
    try:
        fixed = revision(model_name)
        yield TransformersGenerator(load(model_name, dtype, pick_device(how.device)), model_name, fixed, how)
    finally:
        torch.set_num_threads(before)


class TransformersGenerator:
    """A `Generator` over a loaded checkpoint."""

    def __init__(self, checkpoint: Checkpoint, model: str, revision: str, how: GenerationHow | None = None) -> None:
        how = how or GenerationHow()
        self._tokenizer = checkpoint.tokenizer
        self._model = model
        self._revision = revision
        self._ends = end_tokens(checkpoint.tokenizer, checkpoint.model.generation_config)
        self._intake = Intake(checkpoint.tokenizer, context_of(checkpoint.model.config.get_text_config()), model)
        self._decoder = Decoder(checkpoint.model, batch_tokens=how.batch_tokens, max_rows=how.max_rows)

    @property
    def model(self) -> str:
        """The name it was opened under."""
        return self._model

    @property
    def revision(self) -> str:
        """Content digest of the model's files, or hub commit."""
        return self._revision

    def generate(self, prompts: Iterable[Prompt], sampling: Sampling) -> Iterator[Completion]:
        """One completion per prompt and seed, each as soon as it is finished. Every prompt is checked before the first is decoded."""
        jobs = self._intake.jobs(prompts, sampling)
        reader = Reader(self._tokenizer, sampling.stop)

        def pick(logits: Tensor, rows: Sequence[Row]) -> list[int]:
            sampled = sampling.temperature > 0
            uniforms = [row.uniforms[len(row.ids)] for row in rows] if sampled else []
            return cast("list[int]", choose(logits, sampling.temperature, sampling.top_p, uniforms).tolist())

        def judge(row: Row) -> StopReason | None:
            if row.ids[-1] in self._ends or reader.stopped(row.ids):
                return "stop"
            return "length" if len(row.ids) >= row.job.limit else None

        with within_memory("decoding", SPARE):
            for row, reason in self._decoder.run(jobs, sampling.temperature > 0, pick, judge):
                ids = row.ids[:-1] if row.ids[-1] in self._ends else row.ids
                text, cut = reader.text(row.job.ids, ids)
                yield Completion(row.job.key, row.index, text, "stop" if cut else reason, len(row.job.ids), len(row.ids))
