"""Preferences -> token ids -> optimiser steps -> what is computed at once. Plain lists; not here: tensors (`rrtf.training.scoring`).

Prompt and answer are tokenised apart and joined as ids, so which tokens belong to the answer is exact. A preference's answers stay together in one step.
The order of problems follows from seed and epoch alone, so the split into micro-batches cannot change what is learned.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rrtf.errors import DataError, EngineError
from rrtf.identity import derive_seed
from rrtf.protocols import Prompt
from rrtf.records import Pair, Preference
from rrtf.training.config import TrainConfig
from rrtf.training.prompts import Tokenizer, prompt_ids


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """A preference with its texts as the model will see them."""

    prompt: Prompt
    preference: Preference
    answers: tuple[str | None, ...] | None = None
    """Text of each answer in the prompt's format, in the preference's order; None inside for one that the format cannot express (left out and counted).
    None as a whole: each answer's code as it is."""


@dataclass(frozen=True, slots=True)
class Group:
    """One problem as token ids. Only answers that take part (targets, or in a pair) are here."""

    problem_id: str
    prompt: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]
    """Each ends with the end-of-text token, unless it was truncated."""
    pairs: tuple[Pair, ...]
    targets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EncodeCounts:
    """What became of the examples."""

    problems: int
    """Problems that teach."""
    dropped_problems: int
    """Problems left without a target and without a pair."""
    answers: int
    tokens: int
    """Prompt and answer tokens of every answer, prompts counted once per answer."""
    over_long: int
    """Answers longer than `max_tokens` with their prompt: dropped or truncated, as the config says."""
    unrenderable: int
    """Answers that the prompt format cannot express: dropped."""


def encode(examples: Iterable[TrainingExample], tokenizer: Tokenizer, config: TrainConfig) -> tuple[list[Group], EncodeCounts]:
    """Token ids of every example that teaches. Raises `DataError` when none does or a prompt has no tokens, `EngineError` for a tokenizer without an end."""
    if tokenizer.eos_token_id is None:
        raise EngineError(
            "The model's tokenizer has no end-of-text token.",
            why="Every answer is trained to end with it; without one the model would not learn to stop.",
            hint="Name the token of the vocabulary that ends a text as eos_token in the model's tokenizer_config.json.",
        )
    groups: list[Group] = []
    dropped = over_long = unrenderable = 0
    for example in examples:
        group, long, lost = _encode_one(example, tokenizer, config)
        over_long, unrenderable = over_long + long, unrenderable + lost
        if group is None:
            dropped += 1
        else:
            groups.append(group)
    if not groups:
        raise DataError(
            "No problem is left to train on.",
            why=f"{dropped} were dropped: {over_long} answers are longer than max_tokens = {config.max_tokens}, {unrenderable} do not fit the prompt format.",
            hint="Raise max_tokens, or look at what ranking kept.",
        )
    tokens = sum(len(group.prompt) + len(answer) for group in groups for answer in group.answers)
    return groups, EncodeCounts(len(groups), dropped, sum(len(group.answers) for group in groups), tokens, over_long, unrenderable)


def _encode_one(example: TrainingExample, tokenizer: Tokenizer, config: TrainConfig) -> tuple[Group | None, int, int]:
    preference = example.preference
    pairs = preference.pairs if config.method != "sft" else ()
    used = sorted({*preference.targets, *(pair.chosen for pair in pairs), *(pair.rejected for pair in pairs)})
    if not used:
        return None, 0, 0
    prompt = tuple(prompt_ids(tokenizer, example.prompt))
    if not prompt:
        raise DataError(f"The prompt of problem {preference.problem_id} has no tokens.", why="The first token of an answer is predicted from the prompt.")
    room = config.max_tokens - len(prompt)
    answers: list[tuple[int, ...]] = []
    place: dict[int, int] = {}
    over_long = unrenderable = 0
    for position in used:
        text = preference.answers[position].code if example.answers is None else example.answers[position]
        if text is None:
            unrenderable += 1
            continue
        ids = (*tokenizer.encode(text, add_special_tokens=False), int(tokenizer.eos_token_id))
        if len(ids) > room:
            over_long += 1
            if config.over_long == "drop" or room < 1:
                continue
            ids = ids[:room]
        place[position] = len(answers)
        answers.append(tuple(ids))
    kept = tuple(Pair(place[p.chosen], place[p.rejected], p.margin) for p in pairs if p.chosen in place and p.rejected in place)
    targets = tuple(place[position] for position in preference.targets if position in place)
    if not kept and not targets:
        return None, over_long, unrenderable
    return _only_used(Group(preference.problem_id, prompt, tuple(answers), kept, targets)), over_long, unrenderable


def _only_used(group: Group) -> Group:
    """Without answers whose only pairs went away with a partner."""
    used = sorted({*group.targets, *(p.chosen for p in group.pairs), *(p.rejected for p in group.pairs)})
    if len(used) == len(group.answers):
        return group
    place = {old: new for new, old in enumerate(used)}
    pairs = tuple(Pair(place[p.chosen], place[p.rejected], p.margin) for p in group.pairs)
    return Group(group.problem_id, group.prompt, tuple(group.answers[i] for i in used), pairs, tuple(place[t] for t in group.targets))


def steps_per_epoch(problems: int, batch_problems: int) -> int:
    """Optimiser steps in one epoch; the last may hold fewer problems."""
    return -(-problems // batch_problems)


def step_problems(step: int, problems: int, config: TrainConfig) -> list[int]:
    """Positions of the problems in optimiser step `step` (from 0), from seed and epoch alone."""
    per_epoch = steps_per_epoch(problems, config.batch_problems)
    epoch, within = divmod(step, per_epoch)
    order = list(range(problems))
    random.Random(derive_seed("train order", config.seed, epoch)).shuffle(order)  # noqa: S311 - an order, not a secret
    return order[within * config.batch_problems : (within + 1) * config.batch_problems]


@dataclass(frozen=True, slots=True)
class Pack:
    """What one forward pass scores: answers of one or more groups of a unit."""

    members: tuple[tuple[int, tuple[int, ...]], ...]
    """(position of the group in its unit, positions of its answers), each prompt once."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Groups whose loss is computed together, and the forward passes it takes."""

    groups: tuple[Group, ...]
    packs: tuple[Pack, ...]
    hold: bool
    """True: the activations of all packs fit at once, so each answer is computed forward once. False: a first pass without activations gives the loss's
    gradient in the answers' log-probabilities, and a second pass carries it back pack by pack: the same gradient in bounded memory."""


def plan(groups: Sequence[Group], budget: int, *, active: float, shared_prompt: bool) -> list[Unit]:
    """The groups of one step as units of at most `budget` tokens, longest first (so that equal lengths meet).

    A group whose answers are split, targets here and the others there, can leave out the backward pass of the others where the loss has no gradient in
    them (an inactive hinge), but computes its prompt twice. `active` is the expected share of groups that need that pass, and decides with the
    group's lengths. `shared_prompt`: whether a pack computes a group's prompt once, or once per answer. Nothing here changes the gradient.
    """
    units: list[Unit] = []
    waiting: list[Group] = []
    load = 0

    def flush() -> None:
        nonlocal load
        if waiting:
            units.append(Unit(tuple(waiting), tuple(_packs([(group, _worth_splitting(group, active, shared_prompt)) for group in waiting])), hold=True))
        waiting.clear()
        load = 0

    for group in sorted(groups, key=lambda g: -_cost(g, range(len(g.answers)), shared_prompt)):
        parts = [answers for _, answers in (member for pack in _packs([(group, _worth_splitting(group, active, shared_prompt))]) for member in pack.members)]
        cost = sum(_cost(group, part, shared_prompt) for part in parts)
        if cost > budget:
            units.append(Unit((group,), tuple(_pieces(group, parts, budget, shared_prompt)), hold=False))
            continue
        if load + cost > budget:
            flush()
        waiting.append(group)
        load += cost
    flush()
    return units


def _cost(group: Group, answers: Iterable[int], shared_prompt: bool) -> int:
    lengths = [len(group.answers[i]) for i in answers]
    return sum(lengths) + len(group.prompt) * (1 if shared_prompt else len(lengths))


def _worth_splitting(group: Group, active: float, shared_prompt: bool) -> bool:
    """Whether a forward pass of its own for the answers that are no targets costs less. A backward pass costs as much as two forward passes."""
    others = sum(len(answer) for i, answer in enumerate(group.answers) if i not in group.targets)
    again = len(group.prompt) if shared_prompt else 0
    return bool(group.targets) and (1 + 2 * active) * (again + others) < 3 * others


def _packs(groups: Sequence[tuple[Group, bool]]) -> Iterator[Pack]:
    """What is carried back in any case, and what perhaps is not, of (group, whether to split it)."""
    first: list[tuple[int, tuple[int, ...]]] = []
    second: list[tuple[int, tuple[int, ...]]] = []
    for position, (group, split) in enumerate(groups):
        every = range(len(group.answers))
        first.append((position, tuple(i for i in every if not split or i in group.targets)))
        if split:
            second.append((position, tuple(i for i in every if i not in group.targets)))
    for members in (first, second):
        if members:
            yield Pack(tuple(members))


def _pieces(group: Group, parts: Sequence[tuple[int, ...]], budget: int, shared_prompt: bool) -> Iterator[Pack]:
    """A group's answers in pieces of at most `budget` tokens; an answer longer than that stands alone."""
    for part in parts:
        piece: list[int] = []
        for answer in part:
            if piece and _cost(group, [*piece, answer], shared_prompt) > budget:
                yield Pack(((0, tuple(piece)),))
                piece = []
            piece.append(answer)
        if piece:
            yield Pack(((0, tuple(piece)),))
