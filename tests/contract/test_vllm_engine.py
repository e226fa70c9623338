"""The `vllm` engine beyond the seam: what it asks of vLLM, and what it makes of trouble."""

from __future__ import annotations

import sys
from pathlib import Path

import fake_vllm
import pytest
from fake_vllm import LLM
from tiny_models import checkpoint

from rrtf import checkpoints
from rrtf.errors import EngineError
from rrtf.generation import GenerationHow, VLLMConfig, VLLMHow, identity, open_generator, revision
from rrtf.protocols import Prompt, Sampling

PROMPT = Prompt("p", "def f(x):\n", (4, 5))


@pytest.fixture
def folder(tmp_path: Path) -> str:
    made = checkpoint("llama")
    checkpoints.save(made.model, made.tokenizer, tmp_path / "model")
    return str(tmp_path / "model")


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[LLM]:
    return fake_vllm.install(monkeypatch)


def test_a_request_per_seed_and_one_for_all_where_seeds_do_not_matter(folder: str, engines: list[LLM]) -> None:
    with open_generator(VLLMConfig(context=64), folder, GenerationHow(max_rows=3)) as generator:
        drawn = {c.index: c.text for c in generator.generate([PROMPT], Sampling(temperature=0.5, top_p=0.9, max_new_tokens=500, stop=("", "\0")))}
        greedy = {c.index: c.text for c in generator.generate([PROMPT], Sampling(max_new_tokens=5))}
    (engine,) = engines
    assert engine.settings == {
        "model": folder,
        "dtype": "auto",
        "max_num_seqs": 3,
        "max_model_len": 64,
        "tensor_parallel_size": 1,
        "enforce_eager": False,
        "gpu_memory_utilization": 0.9,
        "disable_log_stats": True,
    }
    asked = [request.params for request in engine.llm_engine.seen]
    assert [params.seed for params in asked] == [4, 5, None]
    assert (asked[0].temperature, asked[0].top_p, asked[0].stop, asked[0].stop_token_ids) == (0.5, 0.9, ["\0"], [0, 2])
    assert asked[0].max_tokens == 64 - len(PROMPT.text)
    assert len(drawn) == 2
    assert greedy[0] == greedy[1]
    assert engine.llm_engine.closed


def test_no_more_is_in_flight_than_keeps_it_busy_and_what_nobody_wants_is_ended(folder: str, engines: list[LLM]) -> None:
    prompts = [Prompt(str(number), "x" * number, (number,)) for number in range(1, 50)]
    with open_generator(VLLMConfig(), folder, GenerationHow(max_rows=2)) as generator:
        answers = generator.generate(prompts, Sampling(temperature=1, max_new_tokens=20))
        next(answers)
        assert len(engines[0].llm_engine.live) <= 8
        answers.close()
        assert not engines[0].llm_engine.live
        assert len(list(generator.generate(prompts, Sampling(temperature=1, max_new_tokens=3)))) == 49


def test_an_answer_that_vllm_gives_up_is_no_answer(folder: str, engines: list[LLM]) -> None:
    with open_generator(VLLMConfig(), folder) as generator:
        engines[0].llm_engine.breaks = True
        with pytest.raises(EngineError, match=r"without finishing it \(abort\)"):
            list(generator.generate([PROMPT], Sampling()))


def test_a_prompt_beyond_the_context_is_refused_before_anything_is_asked(folder: str, engines: list[LLM]) -> None:
    with open_generator(VLLMConfig(context=32), folder) as generator, pytest.raises(EngineError, match="has 32 tokens, and the model's context holds 32"):
        list(generator.generate([PROMPT, Prompt("long", "x" * 32, (0,))], Sampling()))
    assert not engines[0].llm_engine.seen


def test_a_start_that_fails_is_a_sentence(folder: str, engines: list[LLM]) -> None:
    Path(folder).rename(Path(folder).with_name("broken"))
    with pytest.raises(EngineError, match=r"cannot start with the model .*broken': RuntimeError: Engine core initialization failed\. See root cause above\."):
        open_generator(VLLMConfig(), str(Path(folder).with_name("broken"))).__enter__()
    assert not engines


def test_without_vllm_it_says_what_to_install(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(EngineError, match=r"rrtf\[vllm\]"):
        open_generator(VLLMConfig(), folder).__enter__()


def test_what_changes_answers_bears_identity(folder: str) -> None:
    assert identity(VLLMConfig(how=VLLMHow(cards=2, eager=True))) == identity(VLLMConfig())
    assert len({str(identity(config)) for config in (VLLMConfig(), VLLMConfig(dtype="float16"), VLLMConfig(quantization="fp8"), VLLMConfig(context=9))}) == 4
    assert revision(VLLMConfig(quantization="fp8"), folder) == f"{checkpoints.revision(folder)}:fp8"
    assert revision(VLLMConfig(), folder) == checkpoints.revision(folder)
