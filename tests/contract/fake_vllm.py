"""As much of vLLM's Python interface (0.32) as our engine uses, over a pseudo-random model. Not here: anything about vLLM's own numbers."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import tiny_models

CONTEXT = 128


@dataclass
class SamplingParams:
    temperature: float
    top_p: float
    seed: int | None
    max_tokens: int
    stop: list[str]
    stop_token_ids: list[int]
    output_kind: str


@dataclass
class _Request:
    name: str
    prompt: list[int]
    params: SamplingParams
    ids: list[int] = field(default_factory=list)

    def step(self, tokenizer: Any) -> str | None:
        """One more token, and why it is the last."""
        seed = self.params.seed if self.params.temperature else None
        self.ids.append(random.Random(f"{self.prompt} {self.ids} {seed}").randrange(2, 259))
        if self.ids[-1] in self.params.stop_token_ids or any(stop in tokenizer.decode(self.ids) for stop in self.params.stop):
            return "stop"
        return "length" if len(self.ids) == self.params.max_tokens else None


class _Engine:
    def __init__(self, llm: LLM) -> None:
        self.llm = llm
        self.live: dict[str, _Request] = {}
        self.seen: list[_Request] = []
        self.closed = False
        self.breaks = False
        self.model_config = SimpleNamespace(max_model_len=llm.settings.get("max_model_len", CONTEXT), try_get_generation_config=lambda: {"eos_token_id": [2]})
        self.engine_core = SimpleNamespace(shutdown=self._shutdown)

    def _shutdown(self) -> None:
        self.closed = True

    def add_request(self, name: str, prompt: dict[str, list[int]], params: SamplingParams) -> str:
        assert name not in self.live
        assert len(prompt["prompt_token_ids"]) < self.model_config.max_model_len
        self.live[name] = _Request(name, prompt["prompt_token_ids"], params)
        self.seen.append(self.live[name])
        return f"{name}-0a1b"  # the engine's own name, which nobody outside is to use

    def step(self) -> list[Any]:
        done: list[Any] = []
        for request in list(self.live.values())[: self.llm.settings["max_num_seqs"]]:
            reason = "abort" if self.breaks else request.step(self.llm.tokenizer)
            if reason:
                del self.live[request.name]
                answer = SimpleNamespace(token_ids=tuple(request.ids), finish_reason=reason)
                done.append(SimpleNamespace(request_id=request.name, finished=True, outputs=[answer]))
        return done

    def abort_request(self, names: Sequence[str]) -> None:
        for name in names:
            self.live.pop(name, None)  # vLLM does not mind one that has ended


class LLM:
    made: list[LLM]

    def __init__(self, **settings: Any) -> None:
        if settings["model"].endswith("broken"):
            raise RuntimeError("Engine core initialization failed.\nSee root cause above.")
        self.settings = settings
        self.tokenizer = tiny_models.tokenizer()
        self.llm_engine = _Engine(self)
        LLM.made.append(self)

    def get_tokenizer(self) -> Any:
        return self.tokenizer


def install(patch: Any) -> list[LLM]:
    """Put it in vLLM's place; every engine that is made stands in the list."""
    LLM.made = []
    top, params = ModuleType("vllm"), ModuleType("vllm.sampling_params")
    vars(top).update(LLM=LLM, SamplingParams=SamplingParams, __version__="0.32.0")
    vars(params).update(RequestOutputKind=SimpleNamespace(FINAL_ONLY="final"))
    patch.setitem(sys.modules, "vllm", top)
    patch.setitem(sys.modules, "vllm.sampling_params", params)
    return LLM.made
