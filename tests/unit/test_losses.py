"""The losses against a brute-force oracle in plain Python, their gradients, and their edges."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rrtf.training.config import TrainConfig
from rrtf.training.losses import Loss, Metrics, Scored, objective, rrtf_bt_loss, rrtf_loss, sft_loss


@dataclass(frozen=True)
class Case:
    """Problems as token log-probabilities of their answers, pairs with margins, and targets."""

    answers: list[list[list[float]]]
    pairs: list[list[tuple[int, int, float]]]
    targets: list[list[int]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    answers, pairs, targets = [], [], []
    for _ in range(draw(st.integers(1, 4))):
        count = draw(st.integers(1, 4))
        answers.append([draw(st.lists(st.floats(-9, -0.001), min_size=1, max_size=5)) for _ in range(count)])
        place = st.integers(0, count - 1)
        pairs.append(draw(st.lists(st.tuples(place, place, st.floats(0.1, 3)).filter(lambda p: p[0] != p[1]), max_size=4)) if count > 1 else [])
        targets.append(draw(st.lists(place, unique=True, max_size=count)))
    return Case(answers, pairs, targets)


def tensors(case: Case) -> Scored:
    starts = [sum(len(a) for a in case.answers[:i]) for i in range(len(case.answers))]
    flat = [(problem, tokens) for problem, group in enumerate(case.answers) for tokens in group]
    pairs = [(starts[i] + c, starts[i] + r, m) for i, group in enumerate(case.pairs) for c, r, m in group]
    return Scored(
        logprob_a=torch.tensor([sum(tokens) for _, tokens in flat], dtype=torch.double, requires_grad=True),
        length_a=torch.tensor([len(tokens) for _, tokens in flat], dtype=torch.double),
        problem_a=torch.tensor([problem for problem, _ in flat], dtype=torch.long),
        chosen_n=torch.tensor([c for c, _, _ in pairs], dtype=torch.long),
        rejected_n=torch.tensor([r for _, r, _ in pairs], dtype=torch.long),
        margin_n=torch.tensor([m for _, _, m in pairs], dtype=torch.double),
        target_m=torch.tensor([starts[i] + t for i, group in enumerate(case.targets) for t in group], dtype=torch.long),
        problems=len(case.answers),
    )


def oracle(case: Case, *, method: str, ce_reduction: str, rank_weight: float, temperature: float, margin: float) -> float:
    total = 0.0
    for answers, pairs, targets in zip(case.answers, case.pairs, case.targets, strict=True):
        p = [sum(tokens) / len(tokens) for tokens in answers]
        for chosen, rejected, gap in pairs:
            if method == "rrtf":
                total += rank_weight * -gap * min(0.0, p[chosen] - p[rejected])
            elif method == "rrtf-bt":
                total += rank_weight * gap * temperature * math.log1p(math.exp((margin - p[chosen] + p[rejected]) / temperature))
        tokens = [token for target in targets for token in answers[target]]
        total += -sum(tokens) / (len(tokens) if ce_reduction == "mean" and tokens else 1)
    return total


SETTINGS = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["rrtf", "rrtf-bt", "sft"]),
        "ce_reduction": st.sampled_from(["sum", "mean"]),
        "rank_weight": st.sampled_from([0.0, 0.5, 1.0, 30.0]),
        "temperature": st.sampled_from([0.1, 1.0, 3.0]),
        "margin": st.sampled_from([0.0, 0.3]),
    }
)


def loss_of(asked: dict[str, object]) -> Loss:
    return objective(TrainConfig.model_validate(asked)).loss


@settings(deadline=None, max_examples=60)
@given(cases(), SETTINGS)
def test_equals_the_oracle(case: Case, asked: dict[str, object]) -> None:
    loss, metrics = loss_of(asked)(tensors(case))
    expected = oracle(case, **asked)  # type: ignore[arg-type]
    assert loss.item() == pytest.approx(expected, rel=1e-7, abs=1e-7)
    assert metrics.loss == loss.item()


@settings(deadline=None, max_examples=60)
@given(cases(), SETTINGS)
def test_is_a_sum_over_problems(case: Case, asked: dict[str, object]) -> None:
    """So that micro-batches add up to the whole batch, loss and metrics alike."""
    loss = loss_of(asked)
    whole, metrics = loss(tensors(case))
    parts = [loss(tensors(Case([a], [p], [t]))) for a, p, t in zip(case.answers, case.pairs, case.targets, strict=True)]
    assert whole.item() == pytest.approx(sum(part.item() for part, _ in parts), rel=1e-9, abs=1e-9)
    assert sum((m for _, m in parts), Metrics()).summary() == pytest.approx(metrics.summary(), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("method", ["rrtf", "rrtf-bt", "sft"])
def test_gradcheck(method: str, reduction: str) -> None:
    case = Case(
        [[[-1.0, -2.0], [-0.5], [-3.0, -0.2, -0.1]], [[-2.0], [-0.1, -4.0]]],
        [[(0, 1, 1.5), (2, 1, 0.5), (0, 2, 1.0)], [(1, 0, 2.0)]],
        [[0, 2], [1]],
    )
    scored = tensors(case)
    loss = loss_of({"method": method, "ce_reduction": reduction, "rank_weight": 2.0, "temperature": 0.7, "margin": 0.2})

    def value(logprob: torch.Tensor) -> torch.Tensor:
        return loss(Scored(logprob, *(getattr(scored, name) for name in list(Scored.__dataclass_fields__)[1:])))[0]

    assert torch.autograd.gradcheck(value, (scored.logprob_a,))


def two(teacher: float, student: float, margin: float = 3.0) -> Scored:
    return tensors(Case([[[teacher] * 2, [student] * 3]], [[(0, 1, margin)]], [[0]]))


def test_the_hinge_is_off_once_the_better_answer_is_likelier() -> None:
    scored = two(-1.0, -2.0)
    loss, metrics = rrtf_loss(scored)
    assert loss.item() == 2.0
    assert (metrics.rank_loss, metrics.active, metrics.summary()["rank_accuracy"]) == (0.0, 0, 1.0)
    (grad,) = torch.autograd.grad(loss, scored.logprob_a)
    assert grad.tolist() == [-1.0, 0.0]


def test_the_hinge_is_on_while_the_worse_answer_is_likelier() -> None:
    scored = two(-2.0, -1.0)
    loss, metrics = rrtf_loss(scored, rank_weight=10.0)
    assert loss.item() == pytest.approx(10 * 3.0 * 1.0 + 4.0)
    assert (metrics.active, metrics.gap) == (1, -1.0)
    (grad,) = torch.autograd.grad(loss, scored.logprob_a)
    # Length-normalised: the answer of three tokens is pushed by a third of its weight per log-probability.
    assert grad.tolist() == pytest.approx([-30.0 / 2 - 1.0, 30.0 / 3])


def test_equal_likelihood_has_no_rank_gradient() -> None:
    scored = two(-1.5, -1.5)
    loss, _ = rrtf_loss(scored)
    (grad,) = torch.autograd.grad(loss, scored.logprob_a)
    assert grad.tolist() == [-1.0, 0.0]


def test_the_smooth_variant_becomes_the_hinge() -> None:
    for teacher, student in ((-2.0, -1.0), (-1.0, -2.0)):
        hinge, _ = rrtf_loss(two(teacher, student))
        smooth, _ = rrtf_bt_loss(two(teacher, student), temperature=1e-4)
        assert smooth.item() == pytest.approx(hinge.item(), abs=1e-6)


def test_no_pairs_and_no_targets() -> None:
    scored = tensors(Case([[[-1.0]]], [[]], [[]]))
    for loss in (rrtf_loss, rrtf_bt_loss, sft_loss):
        for reduction in ("sum", "mean"):
            value, metrics = loss(scored, ce_reduction=reduction)
            assert value.item() == 0.0
            assert metrics.summary()["rank_accuracy"] == 0.0
            (grad,) = torch.autograd.grad(value, scored.logprob_a)
            assert grad.tolist() == [0.0]


def test_sft_measures_pairs_without_learning_from_them() -> None:
    loss, metrics = sft_loss(two(-2.0, -1.0))
    assert (loss.item(), metrics.rank_loss, metrics.pairs, metrics.active) == (4.0, 0.0, 1, 1)
