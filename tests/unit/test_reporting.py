"""Reports as text: what the sentences say, what the charts draw, and that hostile text stays text. The page in a browser: tests/browser."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrtf.benchmarks.results import Comparison, Score
from rrtf.errors import RrtfError
from rrtf.records import Outcome
from rrtf.reporting import TRAINING, Example, Flow, Histogram, Question, ReportData, StageRun, Standing, charts, results_json, words, write_report
from rrtf.reporting.examples import LONGEST, choose, cut, embedded, escaped

HOSTILE = "</script><script>alert(1)</script><!-- \u2028 & ]]> \ud800"


def comparison(benchmark: str = "b", decoding: str = "greedy", k: int = 1, p: float = 0.01, difference: float = 0.1, **other: Any) -> Comparison:
    values: dict[str, Any] = {
        "benchmark": benchmark,
        "decoding": decoding,
        "k": k,
        "before_prompting": "chat",
        "after_prompting": "paper",
        "problems": 10,
        "left_out": 0,
        "before": 0.2,
        "after": 0.2 + difference,
        "difference": difference,
        "low": difference - 0.05,
        "high": difference + 0.05,
        "p": p,
        "test": "exact McNemar test",
        "won": ("one",),
        "lost": (),
        "both": (),
        "neither": (),
    }
    return Comparison(**{**values, **other})


def score(benchmark: str = "b", prompting: str = "paper", value: float = 0.2) -> Score:
    return Score(
        benchmark=benchmark,
        prompting=prompting,
        decoding="greedy",
        problems=10,
        left_out=0,
        n=1,
        k=1,
        value=value,
        low=value / 2,
        high=min(1.0, value * 2),
        interval="Wilson",
        answers=10,
        outcomes={outcome.name: 2 for outcome in Outcome},
        no_program=1,
        cut_off=1,
    )


def example(problem: str = "p", author: str = "student", outcome: Outcome = Outcome.PARTIAL, index: int = 0, **other: Any) -> Example:
    values: dict[str, Any] = {
        "problem_id": f"p-{problem}",
        "problem": problem,
        "place": TRAINING,
        "author": author,
        "setting": "sampled",
        "index": index,
        "outcome": outcome,
        "tests": ("passed", "wrong"),
        "cause": "test 2: wrong",
        "code": "x = 1",
        "text": "```\nx = 1\n```",
        "rule": "fence",
        "stop": "stop",
        "tokens": 3,
    }
    return Example(**{**values, **other})


def test_headline_claims_only_what_every_decoding_shows() -> None:
    assert words.headline([]) == "There is nothing to compare yet: no benchmark was sat both before and after training."
    assert words.headline([comparison("a"), comparison("b")]) == "Training made the student better on a and b."
    assert words.headline([comparison("a"), comparison("b", p=0.5)]) == "Training made the student better on a. No significant difference on b."
    assert words.headline([comparison("a", difference=-0.1)]) == "Training made the student worse on a."
    mixed = [comparison("a"), comparison("a", "sampled", p=0.5)]
    assert words.headline(mixed) == "On a: better (greedy), no significant difference (sampled)."


def test_headline_speaks_of_the_smallest_k() -> None:
    assert words.headline([comparison(k=1, p=0.5), comparison(k=10)]) == "No significant difference on b."


def test_caveats_tell_of_several_tests_and_missing_problems() -> None:
    said = " ".join(words.caveats(ReportData(title="t", comparisons=(comparison(left_out=2), comparison("c")))))
    assert "The 2 p-values are not corrected" in said
    assert "2 problems without an answer on both sides, because runs of ours failed, are left out" in said


def test_failures_of_ours_are_told() -> None:
    runs = (StageRun(name="execute", rows=1, seconds=1, failures=("a: gone",)),)
    assert words.failure_words(ReportData(title="t", runs=runs)).startswith("1 case failed on our side.")
    assert words.failure_words(ReportData(title="t")) == "Every run of ours finished: no result is missing."


@pytest.mark.parametrize(("items", "text"), [([], "nothing"), (["a"], "a"), (["a", "b", "a"], "a and b"), (["a", "b", "c"], "a, b and c")])
def test_lists_in_words(items: list[str], text: str) -> None:
    assert words.listed(items) == text


@pytest.mark.parametrize(("seconds", "text"), [(4.24, "4.2 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (59.99, "60.0 s"), (3599.9, "1 h 0 min")])
def test_durations_in_words(seconds: float, text: str) -> None:
    assert words.seconds_text(seconds) == text


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.text())
def test_interval_charts_are_well_formed_and_stay_inside(a: float, b: float, c: float, text: str) -> None:
    low, value, high = sorted((a, b, c))
    drawn = charts.interval(value, low, high, "after", text=text)
    clean = re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", drawn)  # what XML cannot hold at all
    root = ET.fromstring(clean)
    places = [float(found) for found in re.findall(r'(?:x1|x2|cx)="([\d.]+)%"', drawn)]
    assert root.tag == "svg"
    assert all(0 <= place <= 100 for place in places)


@given(st.lists(st.tuples(st.integers(0, 10_000), st.floats(-1e6, 1e6)), min_size=1, max_size=60))
def test_curves_stay_inside_their_box(points: list[tuple[int, float]]) -> None:
    drawn = charts.curves([charts.Line(sorted(points), "raw")], "a curve")
    ET.fromstring(drawn)
    found = re.search(r'points="([^"]*)"', drawn)
    assert found
    for pair in found.group(1).split():
        x, y = (float(number) for number in pair.split(","))
        assert 0 <= x <= 1000
        assert -0.1 <= y <= 1000.1


def test_curve_of_nothing_is_nothing() -> None:
    assert charts.curves([], "empty") == ""


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_ticks_span_the_range(low: float, width: float) -> None:
    high = low + width
    marks = charts.ticks(low, high)
    if high > low:
        assert marks[0] <= low + 1e-6 * abs(low) + 1e-9
        assert marks[-1] >= high - 1e-6 * abs(high) - 1e-9
    assert 1 <= len(marks) <= 9


def test_running_mean_keeps_a_constant_and_its_length() -> None:
    points = [(float(step), 3.0) for step in range(100)]
    assert charts.smooth(points) == points
    assert charts.thinned(points, 10)[0] == points[0]
    assert charts.thinned(points, 10)[-1] == points[-1]
    assert len(charts.thinned(points, 10)) == 10


def test_shares_of_nothing_are_zero() -> None:
    assert charts.shares({"a": 0}, 0) == [(0.0, "a")]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10))
def test_embedded_json_has_nothing_a_parser_could_act_on(value: Any) -> None:
    text = escaped(value)
    assert json.loads(text) == value
    assert text.isascii()
    assert not set(text) & set("<>&")


def test_examples_are_chosen_in_equal_shares() -> None:
    many = [example(f"q{number}", outcome=Outcome.PARTIAL) for number in range(50)]
    few = [example(f"q{number}", outcome=Outcome.PASSED) for number in range(3)]
    chosen, count = choose([*many, *few], limit=10)
    assert count == 53
    assert sum(item.outcome is Outcome.PASSED for item in chosen) == 3
    assert len(chosen) == 10


def test_problems_that_changed_come_first() -> None:
    many = [example(f"q{number}") for number in range(500)]
    chosen, _ = choose(many, first={(TRAINING, "q77"), (TRAINING, "q401")}, limit=2)
    assert [item.problem for item in chosen] == ["q77", "q401"]


def test_choice_does_not_depend_on_order() -> None:
    many = [example(f"q{number}", author=author) for number in range(100) for author in ("student", "teacher")]
    forth, _ = choose(many, limit=12)
    back, _ = choose(reversed(many), limit=12)
    assert forth == back
    assert {item.problem for item in forth if item.author == "student"} == {item.problem for item in forth if item.author == "teacher"}


def test_long_texts_are_cut_and_say_so() -> None:
    assert cut("a" * LONGEST) == "a" * LONGEST
    assert cut("a" * (LONGEST + 5)).endswith("[5 more characters are not shown]")
    (chosen,), _ = choose([example(code="b" * 100_000)])
    assert len(chosen.code or "") < LONGEST + 100


def test_only_used_problems_are_embedded() -> None:
    questions = [Question(id=f"p-{name}", name=name, place=TRAINING, text="?") for name in ("p", "other")]
    assert list(json.loads(embedded([example()], questions))["problems"]) == ["p-p"]


def hostile() -> ReportData:
    return ReportData(
        title=HOSTILE,
        student=HOSTILE,
        teacher=HOSTILE,
        before=(score(prompting=HOSTILE),),
        after=(score(value=0.5),),
        comparisons=(comparison(won=(HOSTILE,), before_prompting=HOSTILE),),
        histograms=(Histogram(author=HOSTILE, counts={Outcome.PASSED: 1}),),
        flow=Flow(problems=2, dropped_before={HOSTILE: 1}, dropped_after={}, kept=1, answers=2, pairs=1, targets=1, without_pairs=0),
        curve=({"step": 1.0, "loss": 2.0, HOSTILE: 1.0}, {"step": 2.0, "loss": 1.0, HOSTILE: 1.0}),
        questions=(Question(id="p-p", name=HOSTILE, place=HOSTILE, text=HOSTILE),),
        examples=(example(problem=HOSTILE, place=HOSTILE, author=HOSTILE, setting=HOSTILE, cause=HOSTILE, code=HOSTILE, text=HOSTILE, rule=HOSTILE),),
        examples_of=1,
        runs=(StageRun(name=HOSTILE, rows=1, seconds=1, failures=(HOSTILE,), granted=(HOSTILE,), missing=(HOSTILE,), config=HOSTILE),),
        versions={HOSTILE: HOSTILE},
    )


def test_hostile_text_is_never_markup(tmp_path: Path) -> None:
    page = write_report(hostile(), tmp_path)[0].read_text(encoding="utf-8")
    assert "alert(1)</script>" not in page
    assert "<script>alert" not in page
    assert page.count("<script") == 2
    assert page.count("</script") == 2


def test_page_asks_for_nothing_outside_itself(tmp_path: Path) -> None:
    page = write_report(hostile(), tmp_path)[0].read_text(encoding="utf-8")
    assert re.findall(r"""(?:src|href)\s*=\s*["'](?!#|data:)""", page) == []
    assert "default-src 'none'" in html.unescape(page)
    assert re.search(r"https?://|@import|url\(", page) is None


def test_empty_report_is_still_a_page(tmp_path: Path) -> None:
    page, results, table = write_report(ReportData(title="nothing yet"), tmp_path)
    assert "There is nothing to compare yet" in page.read_text(encoding="utf-8")
    assert json.loads(results.read_text(encoding="utf-8"))["comparisons"] == []
    assert "There is nothing to compare yet" in table.read_text(encoding="utf-8")


def test_the_same_data_gives_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = (write_report(hostile(), tmp_path / name) for name in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_terminal_text_holds_table_and_sentences(tmp_path: Path) -> None:
    data = ReportData(title="t", before=(score(prompting="chat"),), after=(score(value=0.3),), comparisons=(comparison(),))
    text = write_report(data, tmp_path)[2].read_text(encoding="utf-8")
    assert text.startswith("Training made the student better on b.")
    assert "| before: chat" in text
    assert "- b (greedy, pass@1): better: +10.0 points (95 % interval 5.0 to 15.0, p = 0.010, n = 10)" in text


def test_numbers_as_json() -> None:
    found = json.loads(json.dumps(results_json(hostile()), ensure_ascii=True))
    assert found["comparisons"][0]["significant"] is True
    assert found["before"][0]["value"] == 0.2


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(RrtfError):
        write_report(ReportData(title="t"), tmp_path / "absent")


def test_teachers_against_tests_are_said() -> None:
    biased = Standing(teacher="T", answered=10, passed=7, student_alone=2, others_alone=1, such=("one", "two"))
    said = words.training_words(ReportData(title="t", standings=(biased, replace(biased, passed=10)), unsolved=1))
    assert said == [
        (
            "Teacher against tests: an answer of T passes on 7 of 10 problems. Of the others the student solves 2 (such as one, two), and another teacher 1: "
            "there it is wrong, or the tests are."
        ),
        "1 training problem is solved by nobody: its tests may ask for what is not said.",
    ]
