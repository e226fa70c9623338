"""Completing prompts: which engine, with which settings, and one front door.

An engine is chosen by the `engine` field of its config. What changes results stands in the config; what only says how to compute them stands in
`GenerationHow`, which bears no identity. Not here: what is asked (`rrtf.prompting`) and what becomes of the text (`rrtf.extraction`).
"""

from __future__ import annotations

from collections.abc import Generator as Yields
from contextlib import contextmanager
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from rrtf.generation.endpoints import OpenAIConfig, endpoint_revision
from rrtf.identity import Json, fingerprint, stable
from rrtf.protocols import Generator


class GenerationHow(BaseModel):
    """How to compute: machine matters. No field here bears identity, so changing one invalidates nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    device: str = "auto"
    """`auto` is CUDA where torch sees it, else `cpu`. Any torch device name."""
    threads: int | None = Field(default=None, ge=1)
    """Processor threads of the engine; by default what torch chooses (one per core)."""
    batch_tokens: int = Field(default=65536, ge=1)
    """Tokens of key/value cache at once: the sum of prompt and answer lengths over rows. Memory follows it: 23 kB a token for the 135M student in bfloat16."""
    max_rows: int = Field(default=128, ge=1)
    """Answers decoded side by side at most. More rows make each cheaper (on two cores, 128 rows cost a fifth less each than 64) and need more memory."""


class TransformersConfig(BaseModel):
    """Decode with a Hugging Face causal language model in this process."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    engine: Literal["transformers"] = "transformers"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Type of the weights; it changes results. `auto`: bfloat16 on CUDA and where the processor computes it fast (AMX, AVX512-BF16), else float32."""


CTranslate2Compute = Literal["int8", "int8_float32", "int8_float16", "int8_bfloat16", "int16", "float16", "bfloat16", "float32"]
"""Type of the weights and of the arithmetic. `int8` rounds the weights, and lets the device choose the type of the rest."""


class CTranslate2Config(BaseModel):
    """Decode with CTranslate2 in this process: fast and small on processors. Needs the extra `ctranslate2`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    engine: Literal["ctranslate2"] = "ctranslate2"
    compute: CTranslate2Compute = "int8"
    """Type of the weights and of the arithmetic; it changes results. Other models than converted ones are converted once, into your cache folder."""
    seeds: Literal["each", "together"] = "each"
    """How answers with a temperature are drawn. `each`: every answer follows from its own seed, as many at once as there are cores. `together`: in
    batches, several times as fast; such answers cannot be had again."""


class VLLMHow(BaseModel):
    """How vLLM computes. No field bears identity."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    cards: int = Field(default=1, ge=1)
    """Graphics cards that hold the model together."""
    memory_share: float = Field(default=0.9, gt=0, le=1)
    """How much of the memory it may take for weights and key/value cache."""
    eager: bool = False
    """Start in seconds, without compiled graphs; slower from then on."""


class VLLMConfig(BaseModel):
    """Decode with vLLM in this process. Needs the extra `vllm`. (A running vLLM server is an endpoint: `engine = "openai"`.)"""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    engine: Literal["vllm"] = "vllm"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Type of the weights; it changes results. `auto` is vLLM's choice: mostly what the model's files hold."""
    quantization: str = ""
    """A way of rounding weights that vLLM knows, such as `fp8`; it changes results. Empty: what the model's files hold."""
    context: int | None = Field(default=None, ge=1)
    """Tokens that a prompt and its answer may have together; answers end there. By default what the model was made for, if that fits the memory."""
    how: VLLMHow = VLLMHow()
    """How it computes; bears no identity."""

    def identity(self) -> Json:
        """What changes answers, and nothing else."""
        return self.model_dump(mode="json", exclude={"how"})


class ScriptedConfig(BaseModel):
    """Answers written beforehand: the fake for tests and dry runs. No model is loaded."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    engine: Literal["scripted"] = "scripted"
    answers: dict[str, tuple[str, ...]] = {}
    """Prompt key, or prompt text, to its answers; the n-th seed of a prompt gets the n-th answer, round and round."""
    default: str | tuple[str, ...] = ""
    """The answer to every other prompt; of several, the n-th seed gets the n-th, round and round."""


AnyEngine = TransformersConfig | CTranslate2Config | VLLMConfig | OpenAIConfig | ScriptedConfig
GeneratorConfig = Annotated[AnyEngine, Field(discriminator="engine")]


@contextmanager
def open_generator(config: AnyEngine, model_name: str, how: GenerationHow | None = None) -> Yields[Generator]:
    """The engine that `config` names, with `model_name` loaded, for the length of the block. Raises `EngineError`."""
    match config:
        case TransformersConfig():
            from rrtf.generation.transformers import open_transformers

            with open_transformers(config.dtype, how or GenerationHow(), model_name) as generator:
                yield generator
        case CTranslate2Config():
            from rrtf.generation.ctranslate2 import open_ctranslate2

            with open_ctranslate2(config, how or GenerationHow(), model_name) as generator:
                yield generator
        case VLLMConfig():
            from rrtf.generation.vllm import open_vllm

            with open_vllm(config, how or GenerationHow(), model_name) as generator:
                yield generator
        case OpenAIConfig():
            from rrtf.generation.openai import open_openai

            with open_openai(config, model_name) as generator:
                yield generator
        case ScriptedConfig():
            from rrtf.generation.scripted import ScriptedGenerator, from_mapping

            yield ScriptedGenerator(from_mapping(config.answers, config.default), model=model_name)


def revision(config: AnyEngine, model_name: str) -> str:
    """What fixes the answers of a model under this engine, found without loading weights. Raises `EngineError`."""
    match config:
        case TransformersConfig():
            from rrtf import checkpoints

            return checkpoints.revision(model_name)
        case CTranslate2Config():
            from rrtf import checkpoints

            # Rounded weights are other weights: their author must not be taken for the model they were made of.
            return f"{checkpoints.revision(model_name)}:{config.compute}"
        case VLLMConfig():
            from rrtf import checkpoints

            return ":".join(part for part in (checkpoints.revision(model_name), config.quantization) if part)
        case OpenAIConfig():
            return endpoint_revision(config)
        case ScriptedConfig():
            return fingerprint([config.answers, config.default])


def identity(config: AnyEngine) -> Json:
    """What of an engine's config changes results: what stands for it in the identity of a stage."""
    return config.identity() if isinstance(config, OpenAIConfig | VLLMConfig) else stable(config.model_dump(mode="json"))
