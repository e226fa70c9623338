"""Scores and comparisons on rows small enough to count by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrtf.benchmarks.results import Comparison, compare, comparison_json, p_text, scores, summary, table
from rrtf.joins import Graded
from rrtf.records import Author, Outcome, Response, StopReason, Verdict


def graded(problem: str, passed: bool, *, index: int = 0, prompting: str = "paper", decoding: str = "greedy", benchmark: str = "b", **other: Any) -> Graded:
    stop: StopReason = other.get("stop", "stop")
    response = Response(
        problem_id=problem,
        author=Author("student", "m", ""),
        index=index,
        text="x",
        code=other.get("code", "x"),
        rule="bare",
        stop=stop,
        completion_tokens=1,
    )
    outcome = Outcome.PASSED if passed else other.get("outcome", Outcome.PARTIAL)
    verdict = Verdict(
        problem_id=problem,
        response_id=response.id,
        outcome=outcome,
        tests=("passed",) if passed else ("wrong",),
        cause="",
        cpu_seconds=0,
        wall_seconds=0,
        peak_mb=0,
    )
    return Graded(benchmark=benchmark, prompting=prompting, decoding=decoding, temperature=0.0, top_p=0.95, response=response, verdict=verdict)


def greedy(bits: str, **other: Any) -> list[Graded]:
    return [graded(f"p{number:03}", bit == "1", **other) for number, bit in enumerate(bits)]


def sampled(counts: list[int], n: int, **other: Any) -> list[Graded]:
    return [graded(f"p{number:03}", index < right, index=index, decoding="t", **other) for number, right in enumerate(counts) for index in range(n)]


def test_greedy_is_pass_at_1_with_wilson() -> None:
    (score,) = scores(greedy("1" * 3 + "0" * 7))
    assert (score.k, score.n, score.problems, score.value, score.interval) == (1, 1, 10, 0.3, "Wilson")
    assert score.low == pytest.approx(0.10779, abs=1e-5)
    assert score.high == pytest.approx(0.60322, abs=1e-5)


def test_sampled_is_the_unbiased_estimator() -> None:
    first, second = scores(sampled([0, 1, 4], 4))
    assert (first.k, first.value) == (1, pytest.approx(5 / 12))
    assert (second.k, second.value) == (4, pytest.approx(2 / 3))
    assert first.low <= first.value <= first.high
    assert first.interval == "bootstrap over problems"


@pytest.mark.parametrize(("n", "ks"), [(1, [1]), (2, [1, 2]), (10, [1, 10]), (12, [1, 10]), (100, [1, 10, 100])])
def test_only_k_that_the_answers_allow(n: int, ks: list[int]) -> None:
    assert [score.k for score in scores(sampled([1, 0], n))] == ks


def test_counts_outcomes_missing_programs_and_cut_answers() -> None:
    rows = [*greedy("10"), graded("q", False, outcome=Outcome.COMPILE_ERROR, code=None, stop="length")]
    (score,) = scores(rows)
    assert dict(score.outcomes) == {"COMPILE_ERROR": 1, "RUNTIME_ERROR": 0, "PARTIAL": 1, "PASSED": 1}
    assert (score.no_program, score.cut_off, score.answers) == (1, 1, 3)


def test_problem_with_too_few_answers_is_left_out_not_failed() -> None:
    rows = [row for row in sampled([2, 2], 2) if not (row.response.problem_id == "p001" and row.response.index == 1)]
    assert [(score.k, score.value, score.problems, score.left_out) for score in scores(rows)] == [(1, 1.0, 2, 0), (2, 1.0, 1, 1)]


def test_problems_without_any_row_are_left_out_and_counted() -> None:
    (score,) = scores(greedy("110"), {"b": 10})
    assert (score.problems, score.left_out) == (3, 7)
    (pair,) = compare(greedy("110"), greedy("111"), None, {"b": 10})
    assert (pair.problems, pair.left_out) == (3, 7)


def test_before_is_taken_at_its_best() -> None:
    before = [*greedy("1000", prompting="paper"), *greedy("0110", prompting="chat")]
    (pair,) = compare(before, greedy("0111"))
    assert (pair.before_prompting, pair.after_prompting) == ("chat", "paper")
    assert (pair.before, pair.after, pair.difference) == (0.5, 0.75, 0.25)


def test_won_lost_both_neither_by_name() -> None:
    names = {"p000": "zero", "p001": "one", "p002": "two", "p003": "three"}
    (pair,) = compare(greedy("0101"), greedy("0110"), names)
    assert (pair.won, pair.lost, pair.both, pair.neither) == (("two",), ("three",), ("one",), ("zero",))
    assert pair.p == 1.0
    assert pair.test == "exact McNemar test"


def test_problems_on_one_side_are_left_out_and_counted() -> None:
    (pair,) = compare(greedy("0000"), greedy("11"))
    assert (pair.problems, pair.left_out) == (2, 2)


def test_significance_follows_the_exact_test() -> None:
    (five,) = compare(greedy("0" * 5), greedy("1" * 5))
    (six,) = compare(greedy("0" * 6), greedy("1" * 6))
    assert five.p == pytest.approx(2 / 32)
    assert not five.significant
    assert five.sentence.startswith("no significant difference: +100.0 points")
    assert six.p == pytest.approx(2 / 64)
    assert six.significant
    assert six.sentence == "better: +100.0 points (95 % interval 100.0 to 100.0, p = 0.031, n = 6)"
    (worse,) = compare(greedy("1" * 6), greedy("0" * 6))
    assert worse.verdict == "worse"


def test_sampled_uses_the_permutation_test() -> None:
    first, last = compare(sampled([0, 1, 1, 0, 2], 4), sampled([3, 2, 4, 1, 4], 4))
    assert "sign-flip" in first.test
    assert first.difference == pytest.approx(0.5)
    assert last.k == 4


def test_benchmarks_that_only_one_model_sat_are_not_compared() -> None:
    assert compare(greedy("01", benchmark="a"), greedy("11", benchmark="b")) == []


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12), st.randoms())
def test_comparison_does_not_depend_on_the_order_of_rows(bits: list[tuple[bool, bool]], random: Any) -> None:
    before = [graded(f"p{number}", old) for number, (old, _) in enumerate(bits)]
    after = [graded(f"p{number}", new) for number, (_, new) in enumerate(bits)]
    straight = compare(before, after)
    random.shuffle(before)
    random.shuffle(after)
    assert compare(before, after) == straight
    pair: Comparison = straight[0]
    assert len(pair.won) + len(pair.lost) + len(pair.both) + len(pair.neither) == pair.problems
    assert pair.difference == pytest.approx((len(pair.won) - len(pair.lost)) / pair.problems)


def test_json_is_plain() -> None:
    rows = greedy("0101")
    assert json.loads(json.dumps(summary(iter(rows))))[0]["value"] == 0.5
    (pair,) = compare(rows, greedy("1111"))
    plain = json.loads(json.dumps(comparison_json(pair)))
    assert plain["won"] == ["p000", "p002"]
    assert plain["verdict"] == "no significant difference"


def test_table_shows_every_format_and_marks_the_best() -> None:
    before = [*greedy("1000", prompting="paper"), *greedy("0110", prompting="chat")]
    after = greedy("0111")
    text = table(scores(before), scores(after), compare(before, after))
    heading, rule, line = text.splitlines()
    assert len({len(heading), len(rule), len(line)}) == 1
    assert "before: chat" in heading
    assert "after: paper" in heading
    assert "50.0 (15.0 to 85.0) *" in line
    assert "1.00, not significant" in line


def test_table_of_one_model_alone() -> None:
    text = table(scores(greedy("10")))
    assert "before" not in text
    assert "difference" not in text
    assert "50.0 (" in text


@pytest.mark.parametrize(("p", "text"), [(1.0, "p = 1.00"), (0.0312, "p = 0.031"), (0.00042, "p = 0.0004"), (1e-9, "p < 0.0001")])
def test_p_values_in_words(p: float, text: str) -> None:
    assert p_text(p) == text
