"""Preferences -> token ids -> steps -> forward passes."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import TemplateError

from rrtf.errors import DataError, EngineError
from rrtf.protocols import Prompt
from rrtf.records import Answer, Outcome, Pair, Preference
from rrtf.training.batches import Group, TrainingExample, encode, plan, step_problems, steps_per_epoch
from rrtf.training.config import TrainConfig
from rrtf.training.prompts import prompt_ids

EOS = 0


class Letters:
    """A tokenizer: one token per character."""

    chat_template: str | None = "{{ messages }}"
    eos_token_id: int | None = EOS
    start: tuple[int, ...] = ()
    """Special tokens in front of every text, and behind it."""
    end: tuple[int, ...] = ()

    def apply_chat_template(self, conversation: list[dict[str, str]], *, add_generation_prompt: bool, tokenize: bool) -> str:
        assert add_generation_prompt
        assert not tokenize
        return f"<{conversation[0]['role']}>{conversation[0]['content']}<bot>"

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        ids = [ord(c) for c in text]
        return [*self.start, *ids, *self.end] if add_special_tokens else ids


def letters(text: str) -> tuple[int, ...]:
    return tuple(ord(c) for c in text)


def example(codes: list[str], pairs: list[tuple[int, int]], targets: list[int], *, answers: tuple[str | None, ...] | None = None) -> TrainingExample:
    preference = Preference(
        problem_id="p-1",
        answers=tuple(Answer(f"r-{i}", "student", code, Outcome.PASSED, 1.0) for i, code in enumerate(codes)),
        pairs=tuple(Pair(c, r, 1.0) for c, r in pairs),
        targets=tuple(targets),
    )
    return TrainingExample(Prompt("k", "ask", ()), preference, answers)


def test_prompt_ids() -> None:
    assert prompt_ids(Letters(), Prompt("k", "ask", ())) == list(letters("ask"))
    assert prompt_ids(Letters(), Prompt("k", "ask", (), chat=True, prefill="```")) == list(letters("<user>ask<bot>```"))


def test_a_chat_prompt_needs_a_template() -> None:
    tokenizer = Letters()
    tokenizer.chat_template = None
    with pytest.raises(EngineError, match="no chat template"):
        prompt_ids(tokenizer, Prompt("k", "ask", (), chat=True))


def test_plain_text_begins_with_the_start_token_that_the_tokenizer_puts_there_itself() -> None:
    tokenizer = Letters()
    tokenizer.start, tokenizer.end = (7,), (EOS,)
    assert prompt_ids(tokenizer, Prompt("k", "ask", ())) == [7, *letters("ask")]
    assert prompt_ids(tokenizer, Prompt("k", "", ())) == [7]
    # The template of a chat has its own.
    assert prompt_ids(tokenizer, Prompt("k", "ask", (), chat=True)) == list(letters("<user>ask<bot>"))
    (group,), _ = encode([example(["ab"], [], [0])], tokenizer, TrainConfig())
    assert group == Group("p-1", (7, *letters("ask")), ((*letters("ab"), EOS),), (), (0,))


def test_an_end_token_behind_every_text_is_not_a_start_token() -> None:
    tokenizer = Letters()
    tokenizer.end = (EOS,)
    assert prompt_ids(tokenizer, Prompt("k", "ask", ())) == list(letters("ask"))
    assert prompt_ids(tokenizer, Prompt("k", "", ())) == []


def test_a_tokenizer_without_an_end_token_is_a_sentence() -> None:
    tokenizer = Letters()
    tokenizer.eos_token_id = None
    with pytest.raises(EngineError, match="no end-of-text token"):
        encode([example(["ab"], [], [0])], tokenizer, TrainConfig())


def test_a_template_that_refuses_the_prompt_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> str:
        raise TemplateError("system role required")

    monkeypatch.setattr(Letters, "apply_chat_template", refuse)
    with pytest.raises(EngineError, match=r"TemplateError: system role required\.") as raised:
        prompt_ids(Letters(), Prompt("k", "ask", (), chat=True))
    assert "plain prompt format" in raised.value.hint


def test_an_answer_is_its_code_and_the_end() -> None:
    (group,), counts = encode([example(["ab", "c"], [(0, 1)], [0])], Letters(), TrainConfig())
    assert group == Group("p-1", letters("ask"), ((*letters("ab"), EOS), (*letters("c"), EOS)), (Pair(0, 1, 1.0),), (0,))
    assert (counts.problems, counts.answers, counts.tokens) == (1, 2, 3 + 3 + 3 + 2)


def test_rendered_answers_replace_code_and_what_has_no_rendering_is_left_out() -> None:
    (group,), counts = encode([example(["a", "b", "c"], [(0, 1), (0, 2)], [0], answers=("A", None, "C"))], Letters(), TrainConfig())
    assert group.answers == ((*letters("A"), EOS), (*letters("C"), EOS))
    assert group.pairs == (Pair(0, 1, 1.0),)
    assert counts.unrenderable == 1


def test_sft_scores_only_targets() -> None:
    (group,), _ = encode([example(["a", "b"], [(0, 1)], [0])], Letters(), TrainConfig(method="sft"))
    assert (len(group.answers), group.pairs, group.targets) == (1, (), (0,))


def test_unused_answers_are_left_out() -> None:
    (group,), _ = encode([example(["a", "b", "c"], [(2, 1)], [])], Letters(), TrainConfig())
    assert group.answers == ((*letters("b"), EOS), (*letters("c"), EOS))
    assert group.pairs == (Pair(1, 0, 1.0),)


def test_over_long_answers_are_dropped_with_their_pairs() -> None:
    config = TrainConfig(max_tokens=6)
    (group,), counts = encode([example(["ab", "abc", "b"], [(0, 1), (0, 2)], [0, 1])], Letters(), config)
    assert group.answers == ((*letters("ab"), EOS), (*letters("b"), EOS))
    assert (group.pairs, group.targets, counts.over_long) == ((Pair(0, 1, 1.0),), (0,), 1)


def test_the_partner_of_a_dropped_answer_goes_too() -> None:
    config = TrainConfig(max_tokens=6)
    (group,), _ = encode([example(["ab", "a", "abc"], [(1, 2)], [0])], Letters(), config)
    assert group.answers == ((*letters("ab"), EOS),)


def test_over_long_answers_are_truncated_without_an_end() -> None:
    (group,), counts = encode([example(["abcd"], [], [0])], Letters(), TrainConfig(max_tokens=6, over_long="truncate"))
    assert group.answers == (letters("abc"),)
    assert counts.over_long == 1


def test_nothing_left_is_a_sentence() -> None:
    with pytest.raises(DataError, match="No problem is left") as error:
        encode([example(["abcd"], [], [0]), example(["x"], [], [])], Letters(), TrainConfig(max_tokens=5))
    assert "2 were dropped" in str(error.value)


def test_an_empty_prompt_is_refused() -> None:
    empty = TrainingExample(Prompt("k", "", ()), example(["a"], [], [0]).preference)
    with pytest.raises(DataError, match="no tokens"):
        encode([empty], Letters(), TrainConfig())


@given(st.integers(1, 60), st.integers(1, 17), st.integers(0, 5), st.integers(1, 3))
def test_every_epoch_sees_every_problem_once(problems: int, batch: int, seed: int, epochs: int) -> None:
    config = TrainConfig(batch_problems=batch, seed=seed)
    per_epoch = steps_per_epoch(problems, batch)
    orders = []
    for epoch in range(epochs):
        steps = [step_problems(epoch * per_epoch + i, problems, config) for i in range(per_epoch)]
        assert all(steps)
        orders.append([at for step in steps for at in step])
        assert sorted(orders[-1]) == list(range(problems))
    if problems > 20 and epochs > 1:
        assert orders[0] != orders[1]


def test_the_order_does_not_depend_on_the_batch() -> None:
    def order(batch: int) -> list[int]:
        return [at for step in range(steps_per_epoch(30, batch)) for at in step_problems(step, 30, TrainConfig(batch_problems=batch, seed=3))]

    assert order(4) == order(7)
    assert order(4) != [at for step in range(8) for at in step_problems(step, 30, TrainConfig(batch_problems=4, seed=4))]


@st.composite
def groups(draw: st.DrawFn) -> list[Group]:
    out = []
    for number in range(draw(st.integers(1, 5))):
        lengths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
        targets = tuple(draw(st.lists(st.integers(0, len(lengths) - 1), unique=True, max_size=len(lengths))))
        out.append(Group(f"p-{number}", (7,) * draw(st.integers(1, 9)), tuple((8,) * n for n in lengths), (), targets))
    return out


@settings(deadline=None)
@given(groups(), st.integers(1, 60), st.floats(0, 1), st.booleans())
def test_a_plan_scores_every_answer_once_within_the_budget(made: list[Group], budget: int, active: float, shared: bool) -> None:
    units = plan(made, budget, active=active, shared_prompt=shared)
    seen: Counter[tuple[str, int]] = Counter()
    for unit in units:
        total = 0
        for pack in unit.packs:
            cost = 0
            for at, answers in pack.members:
                group = unit.groups[at]
                assert answers
                seen.update((group.problem_id, i) for i in answers)
                cost += sum(len(group.answers[i]) for i in answers) + len(group.prompt) * (1 if shared else len(answers))
            total += cost
            if not unit.hold:
                assert cost <= budget or sum(len(answers) for _, answers in pack.members) == 1
        if unit.hold:
            assert total <= budget
    assert seen == {(group.problem_id, i): 1 for group in made for i in range(len(group.answers))}


def packs(group: Group, *, active: float, shared: bool) -> list[tuple[int, ...]]:
    (unit,) = plan([group], 10_000, active=active, shared_prompt=shared)
    return [answers for pack in unit.packs for _, answers in pack.members]


def test_answers_are_split_where_that_saves_work() -> None:
    group = Group("p", (1,) * 30, ((2,) * 20,) * 4, (), (1,))
    apart, together = [(1,), (0, 2, 3)], [(0, 1, 2, 3)]
    # Split: 1.0 to 3.0 passes over 30 + 60 tokens; together: 3 more passes over 60.
    assert packs(group, active=0.4, shared=True) == apart
    assert packs(group, active=0.6, shared=True) == together
    assert packs(group, active=0.9, shared=False) == apart
    assert packs(group, active=1.0, shared=False) == together
    assert packs(Group("p", (1,), ((2,), (2,)), (), ()), active=0.0, shared=True) == [(0, 1)]
