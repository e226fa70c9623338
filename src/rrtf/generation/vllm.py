"""The `vllm` engine: models decoded by vLLM in this process and its workers, for graphics cards and large models.

Prompts go in as our own tokens and answers come back as tokens, so that texts, stop strings and counts are those of every other engine here. What holds: a
request has the seed of its answer, so an answer follows from its seed up to rounding; which answers share a batch can change the rounding, and so near-ties
between tokens. Not here: vLLM's server, which is an endpoint (`rrtf.generation.openai`).
"""

# vLLM is no dependency of ours that could be installed everywhere, and untyped where it is.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator as Yields
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import count
from typing import TYPE_CHECKING, Any, cast

from rrtf import checkpoints
from rrtf.errors import EngineError, missing_extra
from rrtf.generation import GenerationHow, VLLMConfig, revision
from rrtf.generation.jobs import Intake, Job
from rrtf.generation.stopping import Reader, end_tokens
from rrtf.protocols import Prompt, Sampling
from rrtf.records import Completion
from rrtf.training.memory import within_memory

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_QUIET = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"}
"""Unless the user says otherwise: no pages of logs, and nothing is reported to anybody."""
_AHEAD = 4
"""Requests in the engine's hands for every row it decodes at once: enough that it never waits, and memory does not follow the number of prompts."""
_SPARE = "Lower engine.how.memory_share, engine.context or how.generation.max_rows, and run again."


@contextmanager
def open_vllm(config: VLLMConfig, how: GenerationHow, model_name: str) -> Yields[VLLMGenerator]:
    """Start vLLM with a model for the length of the block. Raises `EngineError`."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        vllm: Any = import_module("vllm")
    except ImportError as error:
        raise missing_extra("vllm", "vllm") from error
    fixed = revision(config, model_name)
    with within_memory("starting vLLM", _SPARE):
        engine = _start(vllm, config, how, model_name)
    try:
        yield VLLMGenerator(vllm, engine, model_name, fixed, how)
    finally:
        with contextlib.suppress(AttributeError):  # versions differ in whether the core runs in a process of its own
            engine.llm_engine.engine_core.shutdown()


def _start(vllm: Any, config: VLLMConfig, how: GenerationHow, model_name: str) -> Any:
    place, commit = _place(model_name)
    settings: dict[str, Any] = {
        "model": place,
        "dtype": config.dtype,
        "max_num_seqs": how.max_rows,
        "tensor_parallel_size": config.how.cards,
        "enforce_eager": config.how.eager,
        "gpu_memory_utilization": config.how.memory_share,
        "disable_log_stats": True,
    }
    optional = {"revision": commit, "tokenizer_revision": commit, "quantization": config.quantization, "max_model_len": config.context}
    settings |= {name: value for name, value in optional.items() if value}
    try:
        return vllm.LLM(**settings)
    except Exception as error:
        # Of whatever kind: what goes wrong in its workers comes back as it likes.
        if not isinstance(error, MemoryError):
            raise _unstarted(vllm.__version__, model_name, error) from error
        raise


def _unstarted(version: str, model_name: str, error: Exception) -> EngineError:
    said = " ".join(str(error).split())[:400].rstrip(".")
    return EngineError(
        f"vLLM {version} cannot start with the model {model_name!r}: {type(error).__name__}: {said}.",
        hint='Set VLLM_LOGGING_LEVEL=INFO to see more, or use engine = "transformers".',
    )


def _place(name: str) -> tuple[str, str]:
    """Folder or hub id for vLLM, and the commit there. What is in a GGUF, it reads from the copy that we keep."""
    source = checkpoints.resolve(name)
    if source.folder is None:
        return source.hub_id, source.commit
    if not source.gguf:
        return str(source.folder), ""
    for _ in range(2):  # the first load makes the copy
        place = str(checkpoints.load(name, "float32").model.name_or_path)
        if os.path.isdir(place):  # noqa: PTH112 - it may be empty text, which Path takes for the current folder
            return place, ""
    raise EngineError(f"The GGUF model {name!r} cannot be kept as a folder, which vLLM needs.", hint="Free some disk space in your cache folder.")


@dataclass(frozen=True, slots=True)
class _Request:
    """One answer that vLLM is asked for, for as many seeds as share it."""

    job: Job
    places: tuple[int, ...]
    seed: int | None


class VLLMGenerator:
    """A `Generator` over a running vLLM."""

    def __init__(self, vllm: Any, engine: Any, model: str, revision: str, how: GenerationHow) -> None:
        self._vllm, self._engine, self._how = vllm, engine.llm_engine, how
        self._model, self._revision = model, revision
        self._tokenizer = cast("PreTrainedTokenizerBase", engine.get_tokenizer())
        self._intake = Intake(self._tokenizer, int(self._engine.model_config.max_model_len), model)
        self._ends = end_tokens(self._tokenizer, self._engine.model_config.try_get_generation_config())
        self._numbers = count()

    @property
    def model(self) -> str:
        """The name it was opened under."""
        return self._model

    @property
    def revision(self) -> str:
        """What fixes the weights, and how they are rounded."""
        return self._revision

    def generate(self, prompts: Iterable[Prompt], sampling: Sampling) -> Iterator[Completion]:
        """One completion per prompt and seed, each as soon as it is finished. Every prompt is checked before the first is decoded."""
        jobs = self._intake.jobs(prompts, sampling)
        reader = Reader(self._tokenizer, sampling.stop)
        with within_memory("decoding", _SPARE), contextlib.closing(self._run(_requests(jobs, sampling), sampling)) as finished:
            for request, ids, reason in finished:
                job, ended = request.job, ids[-1] in self._ends
                text, cut = reader.text(job.ids, ids[:-1] if ended else ids)
                for place in request.places:
                    yield Completion(job.key, place, text, "length" if reason == "length" and not cut and not ended else "stop", len(job.ids), len(ids))

    def _run(self, requests: Iterator[_Request], sampling: Sampling) -> Yields[tuple[_Request, list[int], str]]:
        """(request, tokens of its answer, why it ended), each as soon as it is finished."""
        live: dict[str, _Request] = {}
        try:
            while True:
                while len(live) < _AHEAD * self._how.max_rows and (request := next(requests, None)) is not None:
                    name = f"rrtf-{next(self._numbers)}"
                    self._engine.add_request(name, {"prompt_token_ids": list(request.job.ids)}, self._params(request, sampling))
                    live[name] = request
                if not live:
                    return
                for output in self._engine.step():
                    if output.finished and (request := live.pop(output.request_id, None)) is not None:
                        answer = output.outputs[0]
                        if not answer.token_ids or answer.finish_reason not in {"stop", "length"}:
                            raise EngineError(
                                f"vLLM ended the answer to the prompt {request.job.key!r} without finishing it ({answer.finish_reason}).",
                                hint="See what it logs with VLLM_LOGGING_LEVEL=INFO.",
                            )
                        yield request, list(answer.token_ids), str(answer.finish_reason)
        finally:
            if live:
                self._engine.abort_request(list(live))

    def _params(self, request: _Request, sampling: Sampling) -> Any:
        return self._vllm.SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            seed=request.seed,
            max_tokens=request.job.limit,
            stop=[stop for stop in sampling.stop if stop],
            stop_token_ids=sorted(self._ends),
            output_kind=import_module("vllm.sampling_params").RequestOutputKind.FINAL_ONLY,
        )


def _requests(jobs: Iterable[Job], sampling: Sampling) -> Iterator[_Request]:
    """Greedy decoding knows no seed: one request answers for all of them."""
    for job in jobs:
        if sampling.temperature == 0:
            yield _Request(job, tuple(range(len(job.seeds))), None)
            continue
        for place, seed in enumerate(job.seeds):
            yield _Request(job, (place,), seed)
