"""The Generator seam: what every engine promises, asked of each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, cast

import fake_vllm
import pytest
import torch
from tiny_models import FAMILIES, checkpoint
from tokenizers import processors

from rrtf import checkpoints
from rrtf.errors import EngineError
from rrtf.generation import (
    CTranslate2Config,
    GenerationHow,
    OpenAIConfig,
    ScriptedConfig,
    TransformersConfig,
    VLLMConfig,
    VLLMHow,
    loopback,
    open_generator,
)
from rrtf.generation.decoding import Decoder
from rrtf.generation.endpoints import EndpointHow
from rrtf.generation.scripted import ScriptedGenerator
from rrtf.generation.transformers import TransformersGenerator
from rrtf.protocols import Generator, Prompt, Sampling
from rrtf.records import Completion
from rrtf.training.prompts import prompt_ids

PROMPTS = [
    Prompt("short", "a", (0, 1, 2)),
    Prompt("long", "def f(x):\n    return x + " * 2, (7,)),
    Prompt("same text", "a", (0,)),
    Prompt("middle", "import math", (3, 4)),
    Prompt("chat", "Add two numbers.", (5,), chat=True, prefill="```python\n"),
]
GREEDY = Sampling(max_new_tokens=12)
SAMPLED = Sampling(temperature=0.8, top_p=0.95, max_new_tokens=12)


def _scripted() -> Generator:
    words = [f"{start} one two  three\nfour five six seven eight nine ten" for start in ("alpha", "beta", "gamma")]
    return ScriptedGenerator(lambda prompt, index: words[(len(prompt.text) + prompt.seeds[index]) % 3])


ENDPOINTS: dict[str, dict[str, Any]] = {
    "endpoint": {},
    "endpoint, a request per answer": {"seeds": "each"},
    "endpoint, chat alone": {"api": "chat", "prefill": "continue"},
    "endpoint without n": {},
}


def _answer(asked: loopback.Asked) -> str:
    starts = ["alpha", "beta", "gamma"]
    return f"{starts[(len(asked.text) + asked.seed) % 3]} one two  three\nfour five six seven eight nine ten"


CONVERTED = ["ctranslate2 llama", "ctranslate2 gpt_bigcode"]
REAL = {
    "ctranslate2 int8": CTranslate2Config(),
    "ctranslate2 float32": CTranslate2Config(compute="float32"),
    "vllm float32": VLLMConfig(dtype="float32", context=512, how=VLLMHow(eager=True, memory_share=0.1)),
}
"""Engines on the embedded student."""

Open = Callable[..., Generator]


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, GenerationHow], Generator]]:
    """Every engine by its name, each opened once; endpoints are real servers, closed with the module."""
    with ExitStack() as stack:
        home = tmp_path_factory.mktemp("cache")

        @cache
        def saved(family: str) -> Path:
            made = checkpoint(family)
            checkpoints.save(made.model, made.tokenizer, home / family)
            return home / family

        @cache
        def opened(name: str, how: GenerationHow) -> Generator:
            if name == "scripted":
                return _scripted()
            if name in CONVERTED:
                with pytest.MonkeyPatch.context() as patch:
                    patch.setenv("XDG_CACHE_HOME", str(home))
                    return stack.enter_context(open_generator(CTranslate2Config(compute="float32"), str(saved(name.split()[1])), how))
            if name in REAL:
                if name.startswith("vllm"):
                    pytest.importorskip("vllm", reason="vLLM is not installed")
                return stack.enter_context(open_generator(REAL[name], "smollm2-135m-instruct", how))
            if name == "vllm pretended":
                fake_vllm.install(stack.enter_context(pytest.MonkeyPatch.context()))
                return stack.enter_context(open_generator(VLLMConfig(), str(saved("llama")), how))
            if name not in ENDPOINTS:
                return TransformersGenerator(checkpoint(name), name, "sha256:0", how)
            server = stack.enter_context(loopback.serve(_answer, n="refused" if name.endswith("without n") else "known"))
            config = OpenAIConfig(base_url=server.url, how=EndpointHow(cache="none", concurrency=how.max_rows), **ENDPOINTS[name])
            return stack.enter_context(open_generator(config, "fake", how))

        yield opened


@pytest.fixture(params=["scripted", *ENDPOINTS, *FAMILIES, *CONVERTED, "vllm pretended", *(pytest.param(name, marks=pytest.mark.slow) for name in REAL)])
def opened(request: pytest.FixtureRequest, engines: Callable[[str, GenerationHow], Generator]) -> Open:
    return lambda **how: engines(request.param, GenerationHow(device="cpu", **how))


def _by_seed(found: list[Completion]) -> dict[tuple[str, int], Completion]:
    return {(c.key, c.index): c for c in found}


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED])
def test_one_completion_per_prompt_and_seed(opened: Open, sampling: Sampling) -> None:
    found = list(opened().generate(iter(PROMPTS), sampling))
    assert sorted((c.key, c.index) for c in found) == sorted((p.key, i) for p in PROMPTS for i in range(len(p.seeds)))


def test_nothing_asked_nothing_returned(opened: Open) -> None:
    assert list(opened().generate([], GREEDY)) == []
    assert list(opened().generate([Prompt("no seeds", "a", ())], GREEDY)) == []


@pytest.mark.parametrize("sampling", [GREEDY, SAMPLED])
def test_order_and_batch_change_nothing(opened: Open, sampling: Sampling) -> None:
    together = _by_seed(list(opened().generate(PROMPTS, sampling)))
    backwards = _by_seed(list(opened().generate(PROMPTS[::-1], sampling)))
    few_rows = _by_seed(list(opened(max_rows=2).generate(PROMPTS, sampling)))
    few_tokens = _by_seed(list(opened(batch_tokens=100).generate(PROMPTS, sampling)))
    alone = _by_seed([c for p in PROMPTS for c in opened().generate([p], sampling)])
    assert together == backwards == few_rows == few_tokens == alone


def test_same_seed_same_completion(opened: Open) -> None:
    found = _by_seed(list(opened().generate(PROMPTS, SAMPLED)))
    assert found["short", 0].text == found["same text", 0].text
    again = _by_seed(list(opened().generate([Prompt("short", "a", (2, 1, 0))], SAMPLED)))
    assert [again["short", i].text for i in (2, 1, 0)] == [found["short", i].text for i in (0, 1, 2)]


def test_other_seeds_give_other_completions(opened: Open) -> None:
    texts = {c.text for c in opened().generate([Prompt("p", "a", tuple(range(12)))], SAMPLED)}
    assert len(texts) > 1


def test_greedy_ignores_seeds(opened: Open) -> None:
    if isinstance(opened(), ScriptedGenerator):
        pytest.skip("a script has no temperature")
    assert len({c.text for c in opened().generate([Prompt("p", "a", (1, 2, 3))], GREEDY)}) == 1


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_the_token_limit_holds(opened: Open, limit: int) -> None:
    for c in opened().generate(PROMPTS, Sampling(max_new_tokens=limit)):
        assert 1 <= c.completion_tokens <= limit
        assert c.stop == "stop" or c.completion_tokens == limit
        assert c.prompt_tokens > 0


def test_a_longer_limit_only_goes_on(opened: Open) -> None:
    short = _by_seed(list(opened().generate(PROMPTS, Sampling(max_new_tokens=4))))
    long = _by_seed(list(opened().generate(PROMPTS, GREEDY)))
    for key, c in long.items():
        # A character may be cut in two by the limit; it is then shown as U+FFFD.
        assert c.text.startswith(short[key].text.rstrip("\ufffd"))


@pytest.mark.parametrize("length", [1, 2, 3])
def test_text_ends_before_the_stop_string(opened: Open, length: int) -> None:
    free = _by_seed(list(opened().generate(PROMPTS, GREEDY)))
    for key, c in free.items():
        clean = c.text.split("\ufffd")[0]
        if len(clean) < length + 1:
            continue
        stop = clean[-length:]
        prompt = next(p for p in PROMPTS if p.key == key[0])
        (found,) = (x for x in opened().generate([prompt], Sampling(max_new_tokens=12, stop=("\0", stop))) if x.index == key[1])
        assert found.text == c.text[: c.text.find(stop)]
        assert found.stop == "stop"
        assert found.completion_tokens <= c.completion_tokens


def test_it_names_its_model(opened: Open) -> None:
    assert opened().model
    assert opened().revision


def test_the_front_door_opens_a_script() -> None:
    config = ScriptedConfig(answers={"k": ("one", "two")}, default="other")
    with open_generator(config, "fake") as generator:
        found = _by_seed(list(generator.generate([Prompt("k", "x", (0, 0, 0)), Prompt("z", "x", (0,))], GREEDY)))
    assert [found["k", i].text for i in range(3)] == ["one", "two", "one"]
    assert found["z", 0].text == "other"
    with open_generator(ScriptedConfig(default=("one", "two")), "fake") as generator:
        found = _by_seed(list(generator.generate([Prompt("k", "x", (0, 0, 0)), Prompt("z", "x", (0,))], GREEDY)))
    assert [found[place].text for place in (("k", 0), ("k", 1), ("k", 2), ("z", 0))] == ["one", "two", "one", "one"]
    assert TransformersConfig().engine == "transformers"


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_text_is_what_the_model_itself_generates(family: str) -> None:
    made = checkpoint(family)
    generator = TransformersGenerator(made, family, "sha256:0", GenerationHow(device="cpu", max_rows=3))
    for completion in generator.generate(PROMPTS, GREEDY):
        prompt = next(p for p in PROMPTS if p.key == completion.key)
        ids = torch.tensor([prompt_ids(cast("Any", made.tokenizer), prompt)])
        plain = checkpoint(family).model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False, eos_token_id=[0, 2], pad_token_id=2, use_cache=False
        )
        whole = made.tokenizer.decode(plain[0, ids.shape[1] :], skip_special_tokens=True)
        assert completion.text == whole
        assert completion.prompt_tokens == ids.shape[1]
        assert completion.completion_tokens == plain.shape[1] - ids.shape[1]


def test_families_are_batched_unless_their_architecture_forbids_it() -> None:
    batched = {family: Decoder(checkpoint(family).model, batch_tokens=1000, max_rows=4).batches for family in FAMILIES}
    assert batched == {family: family != "bloom" for family in FAMILIES}


def test_a_second_engine_on_the_same_model_decodes_alike() -> None:
    made = checkpoint("llama")
    first, second = (TransformersGenerator(made, "llama", "sha256:0", GenerationHow(device="cpu")) for _ in range(2))
    assert _attends_in_slots(first)
    assert _attends_in_slots(second)
    assert _by_seed(list(first.generate(PROMPTS, SAMPLED))) == _by_seed(list(second.generate(PROMPTS, SAMPLED)))


def _attends_in_slots(generator: TransformersGenerator) -> bool:
    return generator._decoder._own_attention  # pyright: ignore[reportPrivateUsage]


def test_a_prompt_that_fills_the_context_is_refused_before_anything_is_decoded() -> None:
    generator = TransformersGenerator(checkpoint("llama"), "llama", "sha256:0")
    with pytest.raises(EngineError, match=r"'too long' has 128 tokens.*context holds 128\. It begins 'x{77}\.\.\.'\."):
        next(generator.generate([PROMPTS[0], Prompt("too long", "x" * 128, (0,))], GREEDY))
    (found,) = generator.generate([Prompt("nearly", "x" * 125, (0,))], Sampling(max_new_tokens=50))
    assert found.completion_tokens <= 3


def test_plain_prompts_begin_as_the_tokenizer_begins_any_text() -> None:
    made = checkpoint("llama")
    plain = prompt_ids(cast("Any", made.tokenizer), PROMPTS[1])
    assert plain == made.tokenizer.encode(PROMPTS[1].text)
    cast("Any", made.tokenizer).backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|im_start|> $A <|im_end|>", special_tokens=[("<|im_start|>", 1), ("<|im_end|>", 2)]
    )
    assert prompt_ids(cast("Any", made.tokenizer), PROMPTS[1]) == [1, *plain]
    (found,) = TransformersGenerator(made, "llama", "sha256:0").generate([PROMPTS[1]], GREEDY)
    assert found.prompt_tokens == 1 + len(plain)


def test_chat_without_a_template_is_refused() -> None:
    made = checkpoint("llama")
    made.tokenizer.chat_template = None
    with pytest.raises(EngineError, match="chat template"):
        list(TransformersGenerator(made, "llama", "sha256:0").generate([PROMPTS[-1]], GREEDY))


SHORT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    MemoryError(),
]


@pytest.mark.parametrize("error", SHORT_OF_MEMORY)
@pytest.mark.parametrize("good_passes", [0, 1, 3])  # none but those of the check, a prompt's, and some steps
def test_too_little_memory_names_the_keys_to_lower(error: Exception, good_passes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = checkpoint("llama")
    generator = TransformersGenerator(made, "llama", "sha256:0", GenerationHow(device="cpu"))
    _fails_after(made.model, good_passes, error, monkeypatch)
    with pytest.raises(EngineError, match="memory did not suffice") as raised:
        list(generator.generate(PROMPTS, GREEDY))
    assert "how.generation.batch_tokens" in raised.value.hint
    assert "how.generation.max_rows" in raised.value.hint


def _fails_after(model: Any, passes: int, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, left = model.forward, iter(range(passes))

    def forward(*args: Any, **kwargs: Any) -> Any:
        if next(left, None) is None:
            raise error
        return whole(*args, **kwargs)

    monkeypatch.setattr(model, "forward", forward)


def test_too_little_memory_is_not_taken_for_an_architecture_that_cannot_be_batched(monkeypatch: pytest.MonkeyPatch) -> None:
    made = checkpoint("llama")
    _fails_after(made.model, 1, SHORT_OF_MEMORY[0], monkeypatch)
    with pytest.raises(EngineError, match="memory did not suffice"):
        Decoder(made.model, batch_tokens=1000, max_rows=4)


def test_another_error_of_torch_is_not_taken_for_too_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    made = checkpoint("llama")
    generator = TransformersGenerator(made, "llama", "sha256:0", GenerationHow(device="cpu"))
    _fails_after(made.model, 1, RuntimeError("mat1 and mat2 shapes cannot be multiplied"), monkeypatch)
    with pytest.raises(RuntimeError, match="mat1"):
        list(generator.generate(PROMPTS, GREEDY))
