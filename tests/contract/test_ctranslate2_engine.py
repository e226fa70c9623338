"""The `ctranslate2` engine beyond the seam: conversions, what is refused, and how answers are drawn."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ctranslate2
import pytest
import tiny_models
from tiny_models import FAMILIES, checkpoint

from rrtf import checkpoints
from rrtf.errors import EngineError
from rrtf.generation import CTranslate2Config, GenerationHow, ctranslate2_models, identity, open_generator, revision
from rrtf.generation.ctranslate2_models import find, is_converted
from rrtf.generation.transformers import TransformersGenerator
from rrtf.protocols import Generator, Prompt, Sampling

PROMPTS = [Prompt("short", "a", (0, 1)), Prompt("long", "def f(x):\n    return x + " * 2, (7,)), Prompt("chat", "Add.", (5,), chat=True, prefill="```python\n")]
GREEDY = Sampling(max_new_tokens=24)
FLOAT = CTranslate2Config(compute="float32")
CPU = GenerationHow(device="cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "rrtf" / "ctranslate2"


def _saved(place: Path, family: str, **settings: Any) -> str:
    made = checkpoint(family, **settings)
    checkpoints.save(made.model, made.tokenizer, place / family)
    return str(place / family)


@pytest.fixture
def model(tmp_path: Path) -> str:
    return _saved(tmp_path, "llama")


@pytest.fixture
def opened(model: str) -> Iterator[Generator]:
    with open_generator(FLOAT, model, CPU) as generator:
        yield generator


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "gemma3_text"])
def test_in_float32_it_says_what_the_model_says(family: str, tmp_path: Path) -> None:
    plain = TransformersGenerator(checkpoint(family), family, "sha256:0", CPU)
    with open_generator(FLOAT, _saved(tmp_path, family), CPU) as generator:
        assert sorted(generator.generate(PROMPTS, GREEDY), key=repr) == sorted(plain.generate(PROMPTS, GREEDY), key=repr)


def test_rounded_weights_are_another_author(model: str) -> None:
    whole, rounded = FLOAT, CTranslate2Config(compute="int8")
    assert revision(whole, model) == f"{checkpoints.revision(model)}:float32"
    assert revision(rounded, model) == f"{checkpoints.revision(model)}:int8"
    assert len({str(identity(config)) for config in (whole, rounded, CTranslate2Config(seeds="together"))}) == 3
    with open_generator(whole, model, CPU) as first, open_generator(rounded, model, CPU) as second:
        assert (first.model, first.revision, second.revision) == (model, revision(whole, model), revision(rounded, model))
        assert [c.text for c in first.generate(PROMPTS, GREEDY)] != [c.text for c in second.generate(PROMPTS, GREEDY)]


def test_a_model_is_converted_once_for_each_way_of_rounding(model: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = find(model, "float32").folder
    assert (first.parent, is_converted(first), is_converted(Path(model))) == (cache, True, False)
    assert find(model, "int8").folder != first
    assert sorted(cache.iterdir()) == sorted({first, find(model, "int8").folder}), "nothing half made is left"
    monkeypatch.setattr(ctranslate2_models, "_convert", None)
    assert find(model, "float32").folder == first


def test_a_converted_folder_is_taken_as_it_is(model: str, tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    shutil.copytree(find(model, "float32").folder, folder)
    (folder / "rrtf.json").unlink()
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2]}))
    with open_generator(FLOAT, str(folder), CPU) as theirs, open_generator(FLOAT, model, CPU) as ours:
        assert sorted(theirs.generate(PROMPTS, GREEDY), key=repr) == sorted(ours.generate(PROMPTS, GREEDY), key=repr)
        assert theirs.revision != ours.revision


def test_a_converted_folder_without_a_tokenizer_is_refused(model: str, tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    for name in ("model.bin", "config.json", "vocabulary.json"):
        shutil.copy(find(model, "float32").folder / name, folder)
    with pytest.raises(EngineError, match="has no tokenizer that can be read"):
        find(str(folder), "float32")


def test_the_tokenizer_of_another_model_is_refused(model: str) -> None:
    folder = find(model, "float32").folder
    (folder / "vocabulary.json").write_text(json.dumps(["a", "b"]))
    with pytest.raises(EngineError, match="has 259 tokens, and the model knows 2"):
        find(str(folder), "float32")
    (folder / "vocabulary.json").write_text(json.dumps(["a"] * 300))
    with pytest.raises(EngineError, match="share a name"):
        find(str(folder), "float32")


def test_an_unknown_architecture_is_refused_in_one_sentence(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tiny_models.FAMILIES, "olmo", tiny_models.FAMILIES["llama"])
    with pytest.raises(EngineError, match="it knows no Olmo models") as raised:
        find(_saved(tmp_path, "olmo"), "float32")
    assert raised.value.hint == 'Use engine = "transformers" for it.'
    assert list(cache.iterdir()) == []


def test_a_conversion_that_cannot_run_is_refused(tmp_path: Path) -> None:
    # Its window is 8 tokens, and CTranslate2 cannot read a prompt longer than the window at once.
    with pytest.raises(EngineError, match="cannot run the model"):
        find(_saved(tmp_path, "gemma3_text"), "float32")


def test_a_conversion_that_says_something_else_is_refused(model: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    convert = ctranslate2_models._run_converter  # pyright: ignore[reportPrivateUsage]

    def another(name: str, compute: Any, made: checkpoints.Checkpoint, config: Path, place: Path) -> None:
        convert(name, compute, checkpoint("llama", seed=1), config, place)

    monkeypatch.setattr(ctranslate2_models, "_run_converter", another)
    with pytest.raises(EngineError, match="gives other numbers for the model"):
        find(model, "float32")
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(EngineError, match="cannot be written"):
        find(model, "float32")


def test_an_arithmetic_that_is_not_there_is_refused_rather_than_replaced(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctranslate2, "get_supported_compute_types", lambda device: {"float32"})
    with pytest.raises(EngineError, match="no fast int8 arithmetic on this cpu") as raised:
        open_generator(CTranslate2Config(), model, CPU).__enter__()
    assert raised.value.hint.endswith("has here: float32.")


def test_a_device_that_is_not_there_is_refused(model: str) -> None:
    with pytest.raises(EngineError, match="does not find the device 'cuda:99'"):
        open_generator(FLOAT, model, GenerationHow(device="cuda:99")).__enter__()


def test_a_prompt_that_fills_the_context_is_refused_before_anything_is_decoded(opened: Generator) -> None:
    with pytest.raises(EngineError, match=r"'too long' has 128 tokens.*context holds 128"):
        next(iter(opened.generate([PROMPTS[0], Prompt("too long", "x" * 128, (0,))], GREEDY)))
    (found,) = opened.generate([Prompt("nearly", "x" * 125, (0,))], GREEDY)
    assert found.completion_tokens <= 3


def test_more_answers_than_fresh_workers_still_follow_from_their_seeds(opened: Generator) -> None:
    seeds = tuple(range(40))
    many = {c.index: c.text for c in opened.generate([Prompt("p", "a", seeds)], Sampling(temperature=1.0, max_new_tokens=6))}
    again = {c.index: c.text for c in opened.generate([Prompt("p", "a", seeds[::-1])], Sampling(temperature=1.0, max_new_tokens=6))}
    assert [many[index] for index in range(40)] == [again[39 - index] for index in range(40)]
    assert len(set(many.values())) > 20


def test_drawn_together_every_seed_has_an_answer(model: str) -> None:
    with open_generator(CTranslate2Config(compute="float32", seeds="together"), model, GenerationHow(device="cpu", max_rows=8)) as generator:
        found = list(generator.generate([Prompt("p", "a", tuple(range(20))), *PROMPTS], Sampling(temperature=1.0, max_new_tokens=6)))
    assert sorted((c.key, c.index) for c in found) == sorted((p.key, i) for p in [Prompt("p", "a", tuple(range(20))), *PROMPTS] for i in range(len(p.seeds)))
    assert len({c.text for c in found if c.key == "p"}) > 10


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=1.0, max_new_tokens=24)])
def test_whoever_stops_listening_leaves_nothing_running(opened: Generator, sampling: Sampling) -> None:
    answers = opened.generate(PROMPTS, sampling)
    next(iter(answers))
    answers.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert len(list(opened.generate(PROMPTS, sampling))) == 4


@pytest.mark.parametrize(
    ("error", "said"), [(RuntimeError("CUDA failed with error out of memory"), "memory did not suffice"), (ValueError("odd"), "failed while decoding: odd")]
)
@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=1.0, max_new_tokens=24)])
def test_what_breaks_while_decoding_is_a_sentence(model: str, error: Exception, said: str, sampling: Sampling, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __init__(self, *args: Any, **kwargs: Any) -> None: ...

        def generate_batch(self, *args: Any, **kwargs: Any) -> list[Broken]:
            return [self]

        def done(self) -> bool:
            return True

        def result(self) -> None:
            raise error

    with open_generator(FLOAT, model, CPU) as generator:
        monkeypatch.setattr(ctranslate2, "Generator", Broken)
        with pytest.raises(EngineError, match=said):
            list(generator.generate(PROMPTS, sampling))


def test_an_engine_is_not_ended_by_its_own_workers(model: str) -> None:
    # A worker that drops the last hold on its engine waits for itself, and the process aborts. Seen in one of fifty before callbacks let go of the engine.
    for _ in range(25):
        with open_generator(FLOAT, model, CPU) as generator:
            assert len(list(generator.generate(PROMPTS, GREEDY))) == 4
