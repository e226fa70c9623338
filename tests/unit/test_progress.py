"""Progress: silent when quick, plain lines when not on a terminal, a bar on one; never in the way."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from rrtf.engine import progress as module
from rrtf.engine.progress import progress


class Clock:
    """Stands in for `time`: a second passes when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(module, "time", found)
    return found


def drive(clock: Clock, seconds: list[float], out: io.StringIO, total: int = 10) -> list[str]:
    with progress("sample", total, "answers", out) as tick:
        for step in seconds:
            clock.now += step
            tick(1)
    return out.getvalue().splitlines()


def test_quick_work_says_nothing(clock: Clock) -> None:
    assert drive(clock, [0.1] * 10, io.StringIO()) == []


def test_work_of_more_than_two_seconds_says_what_it_took(clock: Clock) -> None:
    assert drive(clock, [0.5] * 10, io.StringIO()) == ["  sample: 10/10 answers, 2.0/s, 5 s"]


def test_long_work_says_rate_and_time_left_now_and_then(clock: Clock) -> None:
    assert drive(clock, [10.0] * 10, io.StringIO()) == [
        "  sample: 2/10 answers, 0.1/s, 20 s, about 80 s left",
        "  sample: 4/10 answers, 0.1/s, 40 s, about 60 s left",
        "  sample: 6/10 answers, 0.1/s, 60 s, about 40 s left",
        "  sample: 8/10 answers, 0.1/s, 80 s, about 20 s left",
        "  sample: 10/10 answers, 0.1/s, 100 s",
    ]


@pytest.mark.parametrize("total", [0, 5])
def test_a_total_that_was_guessed_wrong_is_no_error(clock: Clock, total: int) -> None:
    lines = drive(clock, [10.0] * 10, io.StringIO(), total)
    assert lines[-1].endswith(f"10/{total} answers, 0.1/s, 100 s")


def test_an_error_passes_through(clock: Clock) -> None:
    with pytest.raises(KeyError), progress("sample", 1, "answers", io.StringIO()):
        raise KeyError("x")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_and_nothing_else_does(capsys: pytest.CaptureFixture[str]) -> None:
    out = Terminal()
    with progress("sample", 4, "answers", out) as tick:
        tick(1)
        tick(3)
    assert "sample" in out.getvalue()
    assert "4/4" in out.getvalue()
    assert capsys.readouterr().err == ""


def use(tick: Callable[[int], None]) -> None:
    tick(0)


def test_counting_nothing_is_allowed(clock: Clock) -> None:
    out = io.StringIO()
    with progress("sample", 1, "answers", out) as tick:
        use(tick)
    assert out.getvalue() == ""


def test_what_is_expected_may_change_on_the_way(clock: Clock) -> None:
    out = io.StringIO()
    with progress("sample", 0, "answers", out) as bar:
        for step in range(1, 5):
            bar.expect(10 * step)
            clock.now += 20.0
            bar(5)
    assert out.getvalue().splitlines() == [
        "  sample: 5/10 answers, 0.2/s, 20 s, about 20 s left",
        "  sample: 10/20 answers, 0.2/s, 40 s, about 40 s left",
        "  sample: 15/30 answers, 0.2/s, 60 s, about 60 s left",
        "  sample: 20/40 answers, 0.2/s, 80 s, about 80 s left",
        "  sample: 20/40 answers, 0.2/s, 80 s",
    ]
