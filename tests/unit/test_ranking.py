from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rrtf.ranking import Candidate, Drop, OutcomeScores, RankingConfig, Reason, rank, reason_of
from rrtf.records import Author, Outcome, Preference, Response, Role, Verdict

LITERAL = RankingConfig(tie_bonus=0, min_teacher_outcome="COMPILE_ERROR", max_students=1, max_teachers=1)


def candidate(role: Role, outcome: Outcome, code: str | None = "def f(): return 1", index: int = 0, model: str = "m") -> Candidate:
    response = Response(
        problem_id="p-1", author=Author(role, model, ""), index=index, text=code or "", code=code, rule="bare", stop="stop", completion_tokens=3
    )
    verdict = Verdict(problem_id="p-1", response_id=response.id, outcome=outcome, tests=("passed",), cause="", cpu_seconds=0.0, wall_seconds=0.0, peak_mb=0.0)
    return Candidate(response, verdict)


codes = st.sampled_from(["def f(): return 1", "def f():\n    return 1  # the same", "def f(): return 2", "def f(): return", "def f(", "x", None])
candidates = st.lists(
    st.builds(candidate, st.sampled_from(["teacher", "student", "reference"]), st.sampled_from(Outcome), codes, st.integers(0, 9)), max_size=9
)
configs = st.builds(
    RankingConfig,
    tie_bonus=st.sampled_from([0.0, 0.5]),
    min_teacher_outcome=st.sampled_from(["COMPILE_ERROR", "RUNTIME_ERROR", "PARTIAL", "PASSED"]),
    max_students=st.integers(1, 5),
    max_teachers=st.integers(1, 3),
    deduplicate=st.booleans(),
    on_policy=st.booleans(),
    keep_without_pairs=st.booleans(),
)


@settings(deadline=None)
@given(candidates, configs)
def test_what_holds_for_every_preference(found: list[Candidate], config: RankingConfig) -> None:
    decided = rank("p-1", found, config)
    assert reason_of(decided) in Reason
    if isinstance(decided, Drop):
        return
    students = [item for item in found if item.response.author.role == "student"]
    best_student = max((item.verdict.outcome for item in students), default=Outcome.COMPILE_ERROR)
    answers = decided.answers
    assert len({answer.response_id for answer in answers}) == len(answers) or not config.deduplicate
    assert decided.targets
    for place in decided.targets:
        assert answers[place].role != "student"
        assert answers[place].outcome >= max(best_student, Outcome[config.min_teacher_outcome])
    for pair in decided.pairs:
        better, worse = answers[pair.chosen], answers[pair.rejected]
        assert pair.margin > 0
        assert better.score >= worse.score
        assert worse.role == "student"
        assert better.code != worse.code
        if better.role == "student":
            assert config.on_policy
            assert better.outcome is Outcome.PASSED
            assert worse.outcome is not Outcome.PASSED
        else:
            assert pair.margin == (better.score - worse.score or config.tie_bonus)
    in_use = {*decided.targets, *(place for pair in decided.pairs for place in (pair.chosen, pair.rejected))}
    assert in_use == set(range(len(answers)))
    assert sum(answer.role == "student" for answer in answers) <= config.max_students
    assert len(decided.targets) <= config.max_teachers
    assert len(set(decided.pairs)) == len(decided.pairs)
    assert config.keep_without_pairs or decided.pairs


def test_one_program_with_two_outcomes_is_no_better_than_itself() -> None:
    config = RankingConfig(deduplicate=False, on_policy=True, min_teacher_outcome="COMPILE_ERROR")
    found = [candidate("teacher", Outcome.PASSED, "x"), candidate("student", Outcome.PASSED, "y"), candidate("student", Outcome.PARTIAL, "y", 1)]
    decided = rank("p-1", found, config)
    assert isinstance(decided, Preference)
    assert {decided.answers[pair.chosen].role for pair in decided.pairs} == {"teacher"}


@settings(deadline=None)
@given(candidates, configs, st.randoms())
def test_the_order_of_candidates_does_not_matter(found: list[Candidate], config: RankingConfig, random: object) -> None:
    # Two answers with one author, sample number and text are one answer; only their verdicts could differ.
    found = list({item.response.id: item for item in found}.values())
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert rank("p-1", shuffled, config) == rank("p-1", found, config)


@given(st.sampled_from(Outcome), st.sampled_from(Outcome))
def test_the_rules_of_the_paper_for_one_teacher_and_one_student(teacher: Outcome, student: Outcome) -> None:
    decided = rank("p-1", [candidate("teacher", teacher, "a = 1"), candidate("student", student, "a = 2")], LITERAL)
    if teacher < student:
        assert decided == Drop(Reason.TEACHER_BELOW_STUDENT)
    else:
        assert isinstance(decided, Preference)
        assert [pair.margin for pair in decided.pairs] == ([] if teacher == student else [float(teacher - student)])


def test_a_tie_gives_the_bonus_and_zero_bonus_gives_nothing() -> None:
    tie = [candidate("teacher", Outcome.PASSED, "a = 1"), candidate("student", Outcome.PASSED, "a = 2")]
    decided = rank("p-1", tie, RankingConfig())
    assert isinstance(decided, Preference)
    assert [(pair.chosen, pair.rejected, pair.margin) for pair in decided.pairs] == [(0, 1, 0.5)]
    literal = rank("p-1", tie, LITERAL)
    assert isinstance(literal, Preference)
    assert literal.pairs == ()
    assert len(literal.answers) == 1
    assert reason_of(literal) is Reason.KEPT_WITHOUT_PAIRS
    assert rank("p-1", tie, LITERAL.model_copy(update={"keep_without_pairs": False})) == Drop(Reason.ONLY_TIES)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ([candidate("student", Outcome.PASSED)], Reason.NO_TEACHER),
        ([], Reason.NO_TEACHER),
        ([candidate("teacher", Outcome.COMPILE_ERROR, None)], Reason.NO_TEACHER_CODE),
        ([candidate("reference", Outcome.PARTIAL)], Reason.TEACHER_BELOW_MINIMUM),
        ([candidate("teacher", Outcome.PASSED)], Reason.NO_STUDENT),
        ([candidate("teacher", Outcome.PASSED), candidate("student", Outcome.COMPILE_ERROR, None)], Reason.NO_STUDENT_CODE),
        ([candidate("teacher", Outcome.PASSED), candidate("student", Outcome.PASSED, "def f():\n  # mine\n  return 1")], Reason.SAME_AS_TEACHER),
    ],
)
def test_every_drop_has_its_reason(found: list[Candidate], reason: Reason) -> None:
    assert rank("p-1", found, RankingConfig(keep_without_pairs=False)) == Drop(reason)


def test_a_problem_without_pairs_is_kept_for_the_cross_entropy_term() -> None:
    decided = rank("p-1", [candidate("reference", Outcome.PASSED)], RankingConfig())
    assert isinstance(decided, Preference)
    assert (decided.targets, decided.pairs, reason_of(decided)) == ((0,), (), Reason.KEPT_WITHOUT_PAIRS)


def test_rare_outcomes_are_not_crowded_out() -> None:
    students = [candidate("student", Outcome.COMPILE_ERROR, f"a = {i} +", i) for i in range(8)] + [candidate("student", Outcome.PARTIAL, "b = 1", 8)]
    decided = rank("p-1", [candidate("teacher", Outcome.PASSED), *students], RankingConfig(max_students=3))
    assert isinstance(decided, Preference)
    assert [answer.code for answer in decided.answers[1:]] == ["a = 0 +", "a = 1 +", "b = 1"]


def test_on_policy_pairs_are_added_by_the_switch() -> None:
    found = [candidate("teacher", Outcome.PASSED), candidate("student", Outcome.PASSED, "a = 1", 0), candidate("student", Outcome.RUNTIME_ERROR, "a = 2", 1)]
    without, with_them = (rank("p-1", found, RankingConfig(on_policy=on)) for on in (False, True))
    assert isinstance(without, Preference)
    assert isinstance(with_them, Preference)
    assert set(with_them.pairs) - set(without.pairs) == {type(with_them.pairs[0])(1, 2, 2.0)}


def test_scores_must_rise() -> None:
    with pytest.raises(ValidationError, match="must rise"):
        OutcomeScores(partial=5.0)
    with pytest.raises(ValidationError):
        RankingConfig(tie_bonus=-0.1)
    with pytest.raises(ValidationError):
        OutcomeScores(passed=float("inf"))


LOOP = "def f(x):\n    total = 0\n    for item in x:\n        total += item\n    return total\n"
OTHER_NAMES = LOOP.replace("total", "s").replace("item", "v")
CALL = "def f(x):\n    return sum(x)\n"


def tied(config: RankingConfig, *students: str, outcome: Outcome = Outcome.PASSED) -> Preference:
    found = [candidate("teacher", outcome, LOOP), *(candidate("student", outcome, code, index) for index, code in enumerate(students))]
    decided = rank("p-1", found, config)
    assert isinstance(decided, Preference)
    return decided


def test_ties_as_the_paper_has_them() -> None:
    decided = tied(RankingConfig(), CALL)
    assert [(decided.answers[pair.chosen].role, pair.margin) for pair in decided.pairs] == [("teacher", 0.5)]


def test_ties_that_say_nothing() -> None:
    decided = tied(RankingConfig(ties="none"), CALL)
    assert decided.pairs == ()
    assert decided.targets == (0,)
    gap = rank("p-1", [candidate("teacher", Outcome.PASSED, LOOP), candidate("student", Outcome.PARTIAL, CALL)], RankingConfig(ties="none"))
    assert isinstance(gap, Preference)
    assert [pair.margin for pair in gap.pairs] == [1.0], "a gap is no tie"


def test_a_student_that_solves_it_otherwise_is_better_and_imitated() -> None:
    decided = tied(RankingConfig(ties="new-student"), CALL, OTHER_NAMES)
    sides = {(decided.answers[pair.chosen].code, decided.answers[pair.rejected].code) for pair in decided.pairs}
    assert sides == {(CALL, LOOP), (LOOP, OTHER_NAMES)}, "other names alone are nothing new"
    assert [decided.answers[place].code for place in decided.targets] == [LOOP, CALL]


def test_what_fails_is_nothing_new() -> None:
    decided = tied(RankingConfig(ties="new-student", min_teacher_outcome="PARTIAL"), CALL, outcome=Outcome.PARTIAL)
    assert [decided.answers[pair.chosen].role for pair in decided.pairs] == ["teacher"]
    assert decided.targets == (0,)


@settings(deadline=None)
@given(candidates, configs, st.sampled_from(["none", "new-student"]))
def test_policies_of_ties_change_ties_alone(found: list[Candidate], config: RankingConfig, ties: str) -> None:
    usual, other = rank("p-1", found, config), rank("p-1", found, RankingConfig.model_validate({**config.model_dump(), "ties": ties}))

    def gaps(decided: Preference | Drop) -> set[tuple[str, str, float]]:
        if isinstance(decided, Drop):
            return set()
        answers = decided.answers
        return {
            (answers[pair.chosen].response_id, answers[pair.rejected].response_id, pair.margin)
            for pair in decided.pairs
            if answers[pair.chosen].score > answers[pair.rejected].score
        }

    assert gaps(usual) == gaps(other)
    if isinstance(other, Preference):
        assert all(other.answers[place].outcome is Outcome.PASSED for place in other.targets if other.answers[place].role == "student")
