"""The gradient of a step is the same however it is computed: shared or separate prompts, one unit or pieces, held or twice forward."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from rrtf.errors import EngineError
from rrtf.records import Pair
from rrtf.training.batches import Group, plan
from rrtf.training.config import LoraConfig, TrainConfig, TrainHow
from rrtf.training.loop import accumulate, learning_rate
from rrtf.training.losses import objective
from rrtf.training.model import Student, finished, prepare

SMALL = {"vocab_size": 61, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": SMALL | {"tie_word_embeddings": True},
    "qwen3": SMALL | {"head_dim": 4},
    "starcoder2": SMALL | {"sliding_window": 5},
    "gemma2": SMALL | {"head_dim": 4, "sliding_window": 6, "query_pre_attn_scalar": 4},
    "gpt_bigcode": {"vocab_size": 61, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 64, "attn_pdrop": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0},
    "codegen": {"vocab_size": 61, "n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 64, "rotary_dim": 4},
}
SHARED = {"llama", "qwen3", "starcoder2", "gemma2", "gpt_bigcode"}
SPECIAL = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, "max_position_embeddings": 64}


def tiny(family: str = "llama") -> Any:
    torch.manual_seed(0)
    settings = FAMILIES[family] | (SPECIAL if "n_positions" not in FAMILIES[family] else {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0})
    model = AutoModelForCausalLM.from_config(CONFIG_MAPPING[family](**settings))
    for parameter in model.parameters():
        if parameter.ndim >= 2:
            # Larger than usual, so that attention and ranking matter in the numbers.
            parameter.data.mul_(8)
    return model


def some_groups() -> list[Group]:
    generator = torch.Generator().manual_seed(1)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(int(x) for x in torch.randint(1, 61, (count,), generator=generator))

    return [
        Group("p-0", ids(5), (ids(4), ids(7), ids(1)), (Pair(0, 1, 2.0), Pair(0, 2, 1.0)), (0,)),
        Group("p-1", ids(3), (ids(6), ids(2)), (Pair(0, 1, 0.5), Pair(1, 0, 0.5)), (0, 1)),
        Group("p-2", ids(8), (ids(3),), (), (0,)),
        Group("p-3", ids(4), (ids(3), ids(9)), (Pair(1, 0, 1.0),), ()),
    ]


CONFIG = TrainConfig(max_tokens=64, rank_weight=20.0)
HOW = TrainHow(device="cpu", precision="fp32", head_chunk_tokens=3)


def reference(model: Any, groups: list[Group], config: TrainConfig) -> tuple[float, dict[str, torch.Tensor]]:
    """The paper's formula, one answer at a time through the model's own logits."""
    model.zero_grad()
    total = torch.zeros(())
    for group in groups:
        p, nats, lengths = [], [], []
        for answer in group.answers:
            logits = model(input_ids=torch.tensor([group.prompt + answer])).logits[0].log_softmax(-1)
            own = torch.stack([logits[len(group.prompt) - 1 + t, token] for t, token in enumerate(answer)])
            p.append(own.mean())
            nats.append(-own.sum())
            lengths.append(len(answer))
        rank = sum((pair.margin * -torch.clamp(p[pair.chosen] - p[pair.rejected], max=0.0) for pair in group.pairs), torch.zeros(()))
        total = total + config.rank_weight * rank + sum((nats[t] for t in group.targets), torch.zeros(()))
    (total / len(groups)).backward()
    return total.item() / len(groups), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def gradient(student: Student, groups: list[Group], config: TrainConfig, budget: int, active: float = 1.0) -> tuple[float, dict[str, torch.Tensor]]:
    chosen = objective(config)
    for parameter in student.weights.master.values():
        parameter.grad = None
    loss = 0.0
    for unit in plan(groups, budget, active=active if chosen.sparse else 1.0, shared_prompt=student.scorer.shared_prompt):
        loss += accumulate(student.scorer, unit, chosen.loss, len(groups), 0, lambda x: x.backward()).loss
    return loss / len(groups), {name: p.grad.clone() for name, p in student.weights.master.items() if p.grad is not None}


def assert_same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, grad in theirs.items():
        torch.testing.assert_close(ours[name], grad, rtol=1e-3, atol=1e-4 * float(grad.abs().max()), msg=name)


@pytest.mark.parametrize("family", FAMILIES)
def test_equals_the_formula_for_every_split(family: str) -> None:
    groups = some_groups()
    model = tiny(family)
    model.eval()
    loss, expected = reference(model, groups, CONFIG)
    assert float(expected[next(iter(expected))].abs().max()) > 0
    model.zero_grad()
    student = prepare(model, CONFIG, HOW, "cpu", groups[0])
    assert student.scorer.shared_prompt == (family in SHARED)
    for budget, active in ((1, 0.0), (15, 0.5), (40, 0.0), (1000, 0.0), (1000, 1.0)):
        ours, grads = gradient(student, groups, CONFIG, budget, active)
        assert ours == pytest.approx(loss, rel=1e-4)
        assert_same(grads, expected)


def test_the_smooth_variant_does_not_depend_on_the_split() -> None:
    groups, config = some_groups(), TrainConfig(method="rrtf-bt", max_tokens=64, ce_reduction="mean")
    student = prepare(tiny(), config, HOW, "cpu", groups[0])
    loss, expected = gradient(student, groups, config, 1000)
    for budget in (1, 20):
        ours, grads = gradient(student, groups, config, budget)
        assert ours == pytest.approx(loss, rel=1e-5)
        assert_same(grads, expected)


def test_dropout_is_the_same_in_both_passes() -> None:
    groups = some_groups()[:1]
    config = TrainConfig(max_tokens=64, rank_weight=20.0, lora=LoraConfig(rank=2, dropout=0.5))
    student = prepare(tiny(), config, HOW, "cpu", groups[0])
    with torch.no_grad():
        for parameter in student.weights.master.values():
            parameter.normal_(std=0.3)
    first = gradient(student, groups, config, 1)
    assert_same(gradient(student, groups, config, 1)[1], first[1])


def test_an_inactive_hinge_is_not_carried_back() -> None:
    """The better answer is the likelier one: only its own pack has a gradient."""
    student = prepare(tiny("codegen"), CONFIG, HOW, "cpu", some_groups()[0])
    prompt, one, two = (5, 6, 7), (8, 9), (10, 11, 12)
    calls: list[torch.Tensor] = []

    def count(group: Group) -> int:
        calls.clear()
        (unit,) = plan([group], 100, active=0.0, shared_prompt=False)
        accumulate(student.scorer, unit, objective(CONFIG).loss, 1, 0, calls.append)
        return len(calls)

    counts = sorted(count(Group("p", prompt, (one, two), (Pair(c, 1 - c, 1.0),), (c,))) for c in (0, 1))
    assert counts == [1, 2]


def test_bf16_follows_float32() -> None:
    groups = some_groups()
    _, expected = gradient(prepare(tiny(), CONFIG, HOW, "cpu", groups[0]), groups, CONFIG, 1000)
    student = prepare(tiny(), CONFIG, HOW.model_copy(update={"precision": "bf16"}), "cpu", groups[0])
    _, grads = gradient(student, groups, CONFIG, 1000)
    ours, theirs = (torch.cat([g.flatten().float() for _, g in sorted(x.items())]) for x in (grads, expected))
    assert all(p.dtype == torch.float32 for p in student.weights.master.values())
    assert all(p.dtype == torch.bfloat16 for p in student.causal.parameters())
    assert torch.cosine_similarity(ours, theirs, dim=0) > 0.95


def test_bf16_restores_the_float32_weights() -> None:
    model = tiny()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    student = prepare(model, CONFIG, HOW.model_copy(update={"precision": "bf16"}), "cpu", some_groups()[0])
    for name, parameter in finished(student).named_parameters():
        assert torch.equal(parameter, before[name])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_lora_trains_adapters_and_merges_them(precision: str) -> None:
    groups, config = some_groups(), TrainConfig(max_tokens=64, lora=LoraConfig(rank=2))
    model = tiny()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    student = prepare(model, config, HOW.model_copy(update={"precision": precision}), "cpu", groups[0])
    assert student.weights.master
    assert all("lora_" in name for name in student.weights.master)
    gradient(student, groups, config, 1000)
    with torch.no_grad():
        for parameter in student.weights.master.values():
            assert parameter.grad is not None
            parameter.add_(0.1)
    student.weights.publish()
    merged = finished(student)
    after = dict(merged.named_parameters())
    assert after.keys() == before.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {name for name in before if "_proj" in name}
    assert merged.config._attn_implementation != "rrtf_tree"


def test_unknown_lora_targets_are_a_sentence() -> None:
    with pytest.raises(EngineError, match="LoRA cannot be added"):
        prepare(tiny(), TrainConfig(max_tokens=64, lora=LoraConfig(targets=("nowhere",))), HOW, "cpu", some_groups()[0])


def test_more_tokens_than_positions_are_a_sentence() -> None:
    with pytest.raises(EngineError, match="64 positions"):
        prepare(tiny(), TrainConfig(max_tokens=65), HOW, "cpu", some_groups()[0])


def test_a_model_that_does_more_to_its_logits_is_refused() -> None:
    model = tiny()
    model.lm_head.register_forward_hook(lambda module, args, out: out * 1.5)
    with pytest.raises(EngineError, match="not its head applied"):
        prepare(model, CONFIG, HOW, "cpu", some_groups()[0])


def test_learning_rate() -> None:
    config = TrainConfig(learning_rate=1.0, warmup=0.2, schedule="linear")
    assert [round(learning_rate(step, 10, config), 4) for step in range(10)] == [0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]
    cosine = [learning_rate(step, 10, TrainConfig(learning_rate=1.0, warmup=0.0)) for step in range(10)]
    assert cosine[0] == 1.0
    assert cosine == sorted(cosine, reverse=True)
    assert cosine[5] == pytest.approx(0.5)
    assert learning_rate(0, 1, TrainConfig(learning_rate=1.0, warmup=1.0, schedule="constant")) == 1.0
