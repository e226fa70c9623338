"""Outcome to score, and which pairs teach: the answers to one problem become a preference, or a named reason why not (paper, section 3.4).

What the paper says: each outcome has a score; a problem whose teacher scores below the student is dropped; in the same outcome the teacher ranks higher.
What it leaves open, and we decide (docs/paper): the scores, the margin of a tie, the least a teacher must reach, and more than one answer a side.

With several answers a side, the best teacher is held against the best student, teachers that fall below any student are left out (they would be imitated),
and every remaining teacher is paired with every remaining student. Answers whose code is the same apart from layout and comments count once, and a student
that wrote what a teacher wrote gives no pair. What ties say is a policy (`RankingConfig.ties`). Not here: the loss (`rrtf.training.losses`).
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from rrtf.extraction.syntax import parse, shape
from rrtf.records import Answer, Outcome, Pair, Preference, Response, Verdict

OutcomeName = Literal["COMPILE_ERROR", "RUNTIME_ERROR", "PARTIAL", "PASSED"]


class OutcomeScores(BaseModel):
    """The score r of each outcome. The paper gives none; only the gaps matter, since they weight the pairs."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    compile_error: float = Field(default=0.0, allow_inf_nan=False)
    """No program, or one that does not compile."""
    runtime_error: float = Field(default=1.0, allow_inf_nan=False)
    """No test passed, and one at least ended in an error."""
    partial: float = Field(default=2.0, allow_inf_nan=False)
    """It ran, and some tests did not pass."""
    passed: float = Field(default=3.0, allow_inf_nan=False)
    """All tests passed. Evenly spaced, for want of a reason to do otherwise."""

    @model_validator(mode="after")
    def _rising(self) -> Self:
        values = (self.compile_error, self.runtime_error, self.partial, self.passed)
        if not all(low < high for low, high in itertools.pairwise(values)):
            raise ValueError(f"the scores must rise from compile_error over runtime_error and partial to passed, and are {', '.join(map(str, values))}")
        return self

    def of(self, outcome: Outcome) -> float:
        """The score of an outcome."""
        return {
            Outcome.COMPILE_ERROR: self.compile_error,
            Outcome.RUNTIME_ERROR: self.runtime_error,
            Outcome.PARTIAL: self.partial,
            Outcome.PASSED: self.passed,
        }[outcome]


class RankingConfig(BaseModel):
    """How answers are ranked.

    The paper, read literally, is `tie_bonus = 0`, `min_teacher_outcome = "COMPILE_ERROR"`, `max_students = 1`, `max_teachers = 1`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    scores: OutcomeScores = OutcomeScores()
    """Score of each outcome; a pair's weight is the gap."""
    tie_bonus: float = Field(default=0.5, ge=0, allow_inf_nan=False)
    """Margin of a teacher over a student in the same outcome. The paper ranks the teacher higher but names no gap: 0 is the literal reading, by which a tie
    teaches nothing in L_rank; the default is half of the smallest gap between outcomes."""
    ties: Literal["teacher", "none", "new-student"] = "teacher"
    """What an answer of each side in the same outcome says. `teacher`: the teacher's is better (paper). `none`: nothing. `new-student`: as `teacher`, but where
    both pass and the student's is built otherwise (another syntax tree, whatever the names), it is better and is imitated too, so that other ways of solving
    a problem are not unlearned; a failure that the paper names and does not treat."""
    min_teacher_outcome: OutcomeName = "PASSED"
    """A teacher's answer below this is never imitated. The paper names no floor, and would keep broken teachers beside equally broken students."""
    max_students: int = Field(default=4, ge=1)
    """Student answers per problem. Outcomes take turns, worst first, each with its earliest samples, so that rare outcomes are not crowded out.
    The paper speaks of one."""
    max_teachers: int = Field(default=1, ge=1)
    """Teacher answers per problem, the best first, earlier samples before later ones. The paper speaks of one."""
    deduplicate: bool = True
    """Count answers with the same code once per side."""
    on_policy: bool = False
    """Also pair the student's passing answers with its failing ones: published follow-ups find pairs from another model sub-optimal."""
    keep_without_pairs: bool = True
    """Keep a problem without pairs for the cross-entropy term, when its teacher's answer is good enough."""


class Reason(StrEnum):
    """Why a problem was kept or dropped: the keys under which decisions are counted."""

    KEPT = "kept"
    KEPT_WITHOUT_PAIRS = "kept without pairs"
    """For the cross-entropy term alone."""
    NO_TEACHER = "no teacher answer"
    NO_TEACHER_CODE = "no program in the teacher's answer"
    TEACHER_BELOW_MINIMUM = "teacher below the minimum outcome"
    TEACHER_BELOW_STUDENT = "teacher below the student"
    """The drop rule of section 3.4."""
    NO_STUDENT = "no student answer"
    NO_STUDENT_CODE = "no program in any student answer"
    SAME_AS_TEACHER = "student answers equal the teacher's"
    ONLY_TIES = "only ties, and a tie has no margin"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A response and what was found about it."""

    response: Response
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Drop:
    """A problem that teaches nothing."""

    reason: Reason


def rank(problem_id: str, candidates: Sequence[Candidate], config: RankingConfig) -> Preference | Drop:
    """The preference of one problem: teachers first, then students, with pairs and targets by position; or why there is none.

    The result does not depend on the order of `candidates`.
    """
    ordered = sorted(candidates, key=lambda item: (item.response.author.role, item.response.author.model, item.response.index, item.response.id))
    students = [item for item in ordered if item.response.author.role == "student"]
    chosen = _teachers([item for item in ordered if item.response.author.role != "student"], students, config)
    if isinstance(chosen, Drop):
        return chosen
    rivals = _students(students, chosen, config)
    answers = [_answer(item, config) for item in [*chosen, *(rivals if isinstance(rivals, list) else [])]]
    new = _new(answers, len(chosen)) if config.ties == "new-student" else frozenset[int]()
    pairs = _pairs(answers, len(chosen), new, config)
    if not pairs and not config.keep_without_pairs:
        return Drop(rivals if isinstance(rivals, Reason) else Reason.ONLY_TIES)
    # Answers that neither teach nor are taught against would only cost a forward pass.
    used = sorted({*range(len(chosen)), *new, *(place for pair in pairs for place in (pair.chosen, pair.rejected))})
    place_of = {old: new for new, old in enumerate(used)}
    return Preference(
        problem_id=problem_id,
        answers=tuple(answers[place] for place in used),
        pairs=tuple(Pair(place_of[pair.chosen], place_of[pair.rejected], pair.margin) for pair in pairs),
        targets=(*range(len(chosen)), *(place_of[place] for place in sorted(new))),
    )


def reason_of(decided: Preference | Drop) -> Reason:
    """The key under which a decision is counted."""
    if isinstance(decided, Drop):
        return decided.reason
    return Reason.KEPT if decided.pairs else Reason.KEPT_WITHOUT_PAIRS


def _teachers(teachers: list[Candidate], students: list[Candidate], config: RankingConfig) -> list[Candidate] | Drop:
    """The teacher answers to imitate, best first."""
    if not teachers:
        return Drop(Reason.NO_TEACHER)
    with_code = [item for item in teachers if item.response.code is not None]
    if not with_code:
        return Drop(Reason.NO_TEACHER_CODE)
    fit = [item for item in with_code if item.verdict.outcome >= Outcome[config.min_teacher_outcome]]
    if not fit:
        return Drop(Reason.TEACHER_BELOW_MINIMUM)
    best_student = max((item.verdict.outcome for item in students), default=Outcome.COMPILE_ERROR)
    not_below = [item for item in fit if item.verdict.outcome >= best_student]
    if not not_below:
        return Drop(Reason.TEACHER_BELOW_STUDENT)
    best_first = sorted(not_below, key=lambda item: -item.verdict.outcome)
    return (_first_of_each((_shape(item), item) for item in best_first) if config.deduplicate else best_first)[: config.max_teachers]


def _students(students: list[Candidate], teachers: list[Candidate], config: RankingConfig) -> list[Candidate] | Reason:
    """The student answers to rank against the teachers, or why there are none."""
    if not students:
        return Reason.NO_STUDENT
    with_code = [item for item in students if item.response.code is not None]
    if not with_code:
        return Reason.NO_STUDENT_CODE
    taught = {_shape(item) for item in teachers}
    other = [(form, item) for item in with_code if (form := _shape(item)) not in taught]
    if not other:
        return Reason.SAME_AS_TEACHER
    distinct = _first_of_each(other) if config.deduplicate else [item for _, item in other]
    turns: dict[Outcome, int] = {}
    queue: list[tuple[int, Outcome, int]] = []
    for position, item in enumerate(distinct):
        turn = turns.get(item.verdict.outcome, 0)
        turns[item.verdict.outcome] = turn + 1
        queue.append((turn, item.verdict.outcome, position))
    return [distinct[position] for position in sorted(position for _, _, position in sorted(queue)[: config.max_students])]


def _pairs(answers: list[Answer], teachers: int, new: frozenset[int], config: RankingConfig) -> list[Pair]:
    """`new`: places of students' answers that win their ties."""
    pairs: list[Pair] = []
    bonus = 0.0 if config.ties == "none" else config.tie_bonus
    for teacher in range(teachers):
        for student in range(teachers, len(answers)):
            gap = answers[teacher].score - answers[student].score
            better, worse = (student, teacher) if gap == 0 and student in new else (teacher, student)
            if (margin := gap or bonus) > 0:
                pairs.append(Pair(better, worse, margin))
    if config.on_policy:
        own = range(teachers, len(answers))
        pairs += [
            Pair(better, worse, answers[better].score - answers[worse].score)
            for better in own
            for worse in own
            if answers[better].outcome is Outcome.PASSED and answers[worse].outcome is not Outcome.PASSED
            if answers[better].code != answers[worse].code  # one program with two outcomes is no better than itself
        ]
    return pairs


def _new(answers: list[Answer], teachers: int) -> frozenset[int]:
    """Places of students' passing answers that are built unlike every teacher's, and unlike those before them."""
    seen = {_build(answer.code) for answer in answers[:teachers]}
    found: set[int] = set()
    for place, answer in enumerate(answers[teachers:], teachers):
        build = _build(answer.code)
        if answer.outcome is Outcome.PASSED and build not in seen:
            seen.add(build)
            found.add(place)
    return frozenset(found)


def _build(code: str) -> tuple[str, ...]:
    """The kinds of nodes of its syntax tree, level by level: the same for programs that differ in names, constants and layout alone."""
    tree = parse(code)
    return (code,) if tree is None else tuple(type(node).__name__ for node in ast.walk(tree) if not isinstance(node, ast.expr_context))


def _answer(item: Candidate, config: RankingConfig) -> Answer:
    code = item.response.code
    assert code is not None, "answers without code are left out before"  # noqa: S101 - an invariant of this file
    return Answer(item.response.id, item.response.author.role, code, item.verdict.outcome, config.scores.of(item.verdict.outcome))


def _shape(item: Candidate) -> tuple[str, ...]:
    """What two answers share when they differ in layout and comments alone."""
    code = item.response.code or ""
    tree = parse(code)
    return (code.strip(),) if tree is None else shape(tree)


def _first_of_each(shaped: Iterable[tuple[tuple[str, ...], Candidate]]) -> list[Candidate]:
    first: dict[tuple[str, ...], Candidate] = {}
    for form, item in shaped:
        first.setdefault(form, item)
    return list(first.values())
