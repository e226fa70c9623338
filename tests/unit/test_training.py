"""The front door: what a finished training leaves behind, and what stops one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rrtf import checkpoints
from rrtf.errors import DataError, EngineError
from rrtf.training import TrainConfig
from rrtf.training.state import load_state

sys.path.insert(0, str(Path(__file__).parents[1] / "pipeline"))
from tiny_training import CONFIG, run, tiny_model


@pytest.fixture
def out(tmp_path: Path) -> Path:
    tiny_model(tmp_path / "base")
    return tmp_path / "out"


def test_importing_it_loads_no_torch() -> None:
    code = "import sys, rrtf.training; assert not {'torch', 'transformers', 'peft', 'accelerate'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_it_learns_and_leaves_an_ordinary_model(out: Path) -> None:
    result = run(out, CONFIG.model_copy(update={"epochs": 12}))
    lines = [json.loads(line) for line in result.metrics.read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, result.steps + 1))
    assert lines[-1]["epoch"] == 12.0
    assert lines[-1]["nats_per_token"] < 0.7 * lines[0]["nats_per_token"]
    assert not any("seconds" in key or "per_second" in key for key in lines[0])
    assert len((out / "speed.jsonl").read_text().splitlines()) == result.steps
    loaded = checkpoints.load(str(result.model), "float32")
    assert loaded.model.config._attn_implementation != "rrtf_tree"
    assert isinstance(loaded.model.generate(torch.tensor([[5, 6]]), max_new_tokens=2, do_sample=False), torch.Tensor)
    assert sorted(p.name for p in out.iterdir()) == ["metrics.jsonl", "model", "speed.jsonl", "training.json"]


def test_a_finished_training_is_not_repeated(out: Path) -> None:
    first = run(out)
    stamp = (first.model / "model.safetensors").stat().st_mtime_ns
    again = run(out)
    assert (again.model, again.steps, again.tokens, again.counts) == (first.model, first.steps, first.tokens, first.counts)
    assert again.resumed_at == again.steps
    assert (again.model / "model.safetensors").stat().st_mtime_ns == stamp
    other = run(out, CONFIG.model_copy(update={"epochs": 1}))
    assert (other.resumed_at, other.steps) == (0, 4)
    assert len(other.metrics.read_text().splitlines()) == 4


def test_what_kills_left_behind_goes(out: Path) -> None:
    (out / ".model.ab12_xyz").mkdir(parents=True)
    (out / ".model.ab12_xyz" / "model.safetensors").write_text("half")
    (out / ".model.old.ab12_xyz").mkdir()
    run(out)
    (out / "checkpoints" / "step-00000008").mkdir(parents=True)  # as a kill right before they are cleared leaves them
    run(out)
    assert sorted(p.name for p in out.iterdir()) == ["metrics.jsonl", "model", "speed.jsonl", "training.json"]


def interrupted(out: Path) -> Path:
    """The newest checkpoint of a run that stopped after step 4 of 8."""

    class Stop(Exception): ...

    from tiny_training import examples

    from rrtf.training import TrainHow, train

    def stop(report: object) -> None:
        if report.step == 5:  # type: ignore[attr-defined]
            raise Stop

    with pytest.raises(Stop):
        train(str(out.parent / "base"), examples(), CONFIG, TrainHow(device="cpu", precision="fp32", checkpoint_every=2), out, stop)
    (checkpoint,) = (out / "checkpoints").iterdir()
    return checkpoint


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")]
)
def test_too_little_memory_in_a_step_names_the_keys_to_lower_and_keeps_the_checkpoint(out: Path, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = interrupted(out)

    def score(*args: object) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("rrtf.training.loop.score", score)
        with pytest.raises(EngineError, match="memory did not suffice for training") as raised:
            run(out)
    assert "how.training.micro_batch_tokens" in raised.value.hint
    assert "how.training.gradient_checkpointing" in raised.value.hint
    assert checkpoint.is_dir()
    assert run(out).resumed_at == 4


def test_a_checkpoint_of_another_training_is_refused(out: Path) -> None:
    interrupted(out)
    with pytest.raises(DataError, match="other settings"):
        run(out, CONFIG.model_copy(update={"learning_rate": 1e-3}))


def test_a_damaged_checkpoint_is_a_sentence(out: Path) -> None:
    checkpoint = interrupted(out)
    file = checkpoint / "state.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match="damaged"):
        run(out)


def test_a_half_written_checkpoint_is_not_taken(out: Path) -> None:
    checkpoint = interrupted(out)
    checkpoint.rename(checkpoint.with_name(f".{checkpoint.name}.123"))
    assert load_state(out / "checkpoints", "any", {}, torch.optim.SGD([torch.zeros(1)])).step == 0


def test_a_half_written_metrics_line_is_written_again(out: Path) -> None:
    interrupted(out)
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "ep')
    result = run(out)
    assert [json.loads(line)["step"] for line in result.metrics.read_text().splitlines()] == list(range(1, 9))


def test_a_loss_that_is_not_finite_stops_with_a_sentence(out: Path) -> None:
    with pytest.raises(EngineError, match=r"of training step \d is (nan|inf)") as error:
        run(out, CONFIG.model_copy(update={"learning_rate": 1e30, "warmup": 0.0}), checkpoint_every=1)
    assert "p-" in str(error.value)
    (checkpoint,) = (out / "checkpoints").iterdir()
    assert all(tensor.isfinite().all() for tensor in load_file(checkpoint / "state.safetensors").values())


def test_damaged_weights_are_a_sentence(out: Path) -> None:
    file = out.parent / "base" / "model.safetensors"
    weights = load_file(file)
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(EngineError, match="not finite before training"):
        run(out)


@pytest.mark.parametrize("wrong", [{"method": "dpo"}, {"epochs": 0}, {"learning_rate": 0.0}, {"lora": {"rank": 0}}, {"learing_rate": 1e-4}])
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrainConfig.model_validate(wrong)
