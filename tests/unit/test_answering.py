"""How a model answers problems: which seeds, which prompts, which answer belongs to which sample number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrtf.answering import Decoding, answers, reference_response
from rrtf.prompting import FORMATS, render
from rrtf.protocols import Prompt, Sampling
from rrtf.records import Author, CallTest, Completion, Problem, Response

AUTHOR = Author("student", "toy", "r1")
DECODING = Decoding("paper", 0.8, 0.95, 64)


def problem(number: int, prompt: str | None = None) -> Problem:
    code = f'def f{number}(x: int) -> int:\n    """Add {number}."""\n' if prompt is None else prompt
    tests = (CallTest("[1]", str(1 + number)),)
    return Problem(
        name=f"p/{number}", instruction=f"Add {number}.", prompt=code, entry_point=f"f{number}", tests=tests, reference=f"def f{number}(x): return x + {number}"
    )


PROBLEMS = {item.id: item for item in map(problem, range(4))}


@dataclass
class Seeded:
    """A model whose answer is its seed, given in an order of its own."""

    backwards: bool = False
    asked: list[tuple[list[Prompt], Sampling]] = field(default_factory=list[tuple[list[Prompt], Sampling]])
    model: str = "toy"
    revision: str = "r1"

    def generate(self, prompts: Iterable[Prompt], sampling: Sampling) -> Iterator[Completion]:
        taken = list(prompts)
        self.asked.append((taken, sampling))
        found = [Completion(prompt.key, at, f"\n    return {seed}", "stop", 5, 3) for prompt in taken for at, seed in enumerate(prompt.seeds)]
        yield from reversed(found) if self.backwards else found


def ask(wanted: dict[str, tuple[int, ...]], model: Seeded | None = None, seed: int = 0, decoding: Decoding = DECODING) -> dict[tuple[str, int], Response]:
    found = list(answers(PROBLEMS, wanted, AUTHOR, decoding, seed, model or Seeded()))
    assert len(found) == len({(row.problem_id, row.index) for row in found})
    return {(row.problem_id, row.index): row for row in found}


def all_of(*indices: int) -> dict[str, tuple[int, ...]]:
    return dict.fromkeys(PROBLEMS, indices)


def test_every_wanted_answer_comes_once_under_its_number() -> None:
    found = ask({key: (place, 7) for place, key in enumerate(PROBLEMS)})
    assert found.keys() == {(key, index) for place, key in enumerate(PROBLEMS) for index in (place, 7)}
    assert all(row.author == AUTHOR and row.stop == "stop" and row.completion_tokens == 3 for row in found.values())


@settings(max_examples=15, deadline=None)
@given(st.permutations(list(PROBLEMS)), st.permutations(range(4)), st.booleans())
def test_order_and_batches_change_no_answer(keys: list[str], indices: list[int], backwards: bool) -> None:
    expected = ask(all_of(0, 1, 2, 3))
    assert ask({key: tuple(indices) for key in keys}, Seeded(backwards)) == expected
    one_by_one: dict[tuple[str, int], Response] = {}
    for key in keys:
        for index in indices:
            one_by_one |= ask({key: (index,)})
    assert one_by_one == expected


def test_later_samples_change_no_earlier_ones() -> None:
    few, many = ask(all_of(0, 1)), ask(all_of(*range(10)))
    assert {key: many[key] for key in few} == few
    assert {**few, **ask(all_of(*range(2, 10)))} == many


def test_answers_differ_by_seed_problem_and_number() -> None:
    texts = {(seed, key): row.text for seed in (0, 1) for key, row in ask(all_of(0, 1, 2), seed=seed).items()}
    assert len(set(texts.values())) == len(texts) == 24


def test_the_program_is_read_in_the_format_it_was_asked_in() -> None:
    row = next(iter(ask({next(iter(PROBLEMS)): (0,)}).values()))
    assert row.code is not None
    assert row.code.startswith("def f0(x: int) -> int:\n")
    assert row.rule


@pytest.mark.parametrize("form", FORMATS)
def test_the_model_is_asked_as_the_format_says(form: str) -> None:
    model, decoding = Seeded(), replace(DECODING, prompting=form)  # type: ignore[arg-type]
    ask(all_of(0), model, decoding=decoding)
    ((prompts, sampling),) = model.asked
    rendered = [render(decoding.prompting, item) for item in PROBLEMS.values()]
    assert [(prompt.text, prompt.chat, prompt.prefill) for prompt in prompts] == [(item.text, item.chat, item.prefill) for item in rendered]
    assert sampling == Sampling(0.8, 0.95, 64, rendered[0].stop)


def test_problems_with_other_stop_strings_are_asked_apart() -> None:
    words = problem(9, prompt="")
    everything = {**PROBLEMS, words.id: words}
    model = Seeded()
    found = list(answers(everything, dict.fromkeys(everything, (0, 1)), AUTHOR, DECODING, 0, model))
    assert len(found) == 10
    assert [len(prompts) for prompts, _ in model.asked] == [4, 1]
    assert model.asked[0][1].stop
    assert not model.asked[1][1].stop


def test_nothing_wanted_asks_for_nothing() -> None:
    model = Seeded()
    assert ask({}, model) == {}
    assert model.asked == []


def test_a_reference_is_an_answer_of_its_own_author() -> None:
    row = reference_response(problem(1))
    assert (row.author.role, row.code, row.text, row.index) == ("reference", problem(1).reference, problem(1).reference, 0)
    assert row.problem_id == problem(1).id


def test_an_answer_read_otherwise_is_another_answer() -> None:
    # Verdicts are kept by the answer's id: a better extraction of the same text must be judged again.
    row = reference_response(problem(1))
    assert replace(row, code=None).id != row.id
    assert replace(row, rule="another name of the rule").id == row.id
