"""Judging as stages use it: a machine that cannot judge is found out early, and what is known is not judged again."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

import pytest

from rrtf import judging
from rrtf.answering import reference_response
from rrtf.benchmarks import open_benchmark
from rrtf.errors import SandboxError, SandboxFailure
from rrtf.judging import Tally
from rrtf.protocols import Execution, Isolation, Reply
from rrtf.records import Author, CallTest, IOTest, Problem, Response, Verdict
from rrtf.sandbox import LimitsConfig, PlainConfig, ProcessConfig, SandboxRuntime
from rrtf.sandbox.harness import JudgingFailure
from rrtf.sandbox.verdicts import without_program

PROBLEMS = open_benchmark("starter", split="train").problems()[:40]


class Failing:
    """A sandbox that falls over, except for the programs whose entry points are named."""

    def __init__(self, real: Any, fine: frozenset[str]) -> None:
        self.real, self.fine, self.runs = real, fine, 0

    def isolation(self) -> Isolation:
        return self.real.isolation()

    def run(self, program: Any) -> Any:
        self.runs += 1
        if program.entry_point in self.fine:
            return self.real.run(program)
        raise SandboxFailure("no more processes")


def judge_with(monkeypatch: pytest.MonkeyPatch, fine: frozenset[str]) -> tuple[Failing, list[Any]]:
    real = judging.open_sandbox
    made: list[Failing] = []

    @contextmanager
    def opened(*args: Any) -> Any:
        with real(*args) as sandbox:
            made.append(Failing(sandbox, fine))
            yield made[0]

    monkeypatch.setattr(judging, "open_sandbox", opened)
    found: list[Any] = []
    try:
        with judging.open_judge(PlainConfig(backend="plain"), SandboxRuntime(workers=1)) as judge:
            found.extend(judge((problem, reference_response(problem)) for problem in PROBLEMS))
    except SandboxError as error:
        found.append(error)
    return made[0], found


def test_a_machine_that_can_judge_nothing_says_so_early(monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox, found = judge_with(monkeypatch, frozenset())
    assert found[-1].message.startswith("20 programs in a row could not be judged; the last with:")
    assert found[-1].message.endswith("no more processes.")
    assert sandbox.runs < 3 * len(PROBLEMS)


def test_failures_beside_a_verdict_are_only_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    fine = {problem.entry_point for problem in PROBLEMS[::10]}
    _, found = judge_with(monkeypatch, frozenset(name or "" for name in fine))
    assert sum(isinstance(item, JudgingFailure) for item in found) == sum(problem.entry_point not in fine for problem in PROBLEMS)
    assert len(found) == len(PROBLEMS)


def test_a_machine_that_breaks_down_half_way_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = judge_with(monkeypatch, frozenset({PROBLEMS[0].entry_point or ""}))
    assert isinstance(found[-1], SandboxError)


def test_answers_without_a_program_do_not_hide_a_broken_machine() -> None:
    failure = JudgingFailure("p", "r", "no more processes", 3)
    without = without_program(PROBLEMS[0], "r", "none")
    with pytest.raises(SandboxError, match="20 programs in a row"):
        list(judging._unless_hopeless(iter([item for _ in range(20) for item in (without, failure)])))


# ------------------------------------------------------------------------------------------------ what is known already

ASKED = Problem(name="p", instruction="Say x.", prompt="", entry_point="f", tests=(CallTest("[1]", "1"),), reference="reference")
LATE = (Reply("timeout", "", "more than 2 s of processor time"),)


class Machine:
    """Stands in for every sandbox that is opened: says what each program does, and counts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ran: list[str] = []
        self.granted = ("user namespace",)
        self.broken = self.busy = False

        @contextmanager
        def opened(*args: Any) -> Any:
            yield self

        monkeypatch.setattr(judging, "open_sandbox", opened)

    def isolation(self) -> Isolation:
        return Isolation(self.granted, ())

    def run(self, program: Any) -> Execution:
        self.ran.append(program.source)
        if self.broken and program.source != "reference":
            raise SandboxFailure("no more processes")
        late = program.source == "loop"
        replies = LATE if late else (Reply("passed", "2" if program.source == "wrong" else "1"),)
        return Execution("", "", replies, "", "", 2.0 if late else 0.01, 2.0, 1.0, waited_seconds=1.0 if self.busy else 0.0)

    @property
    def answers(self) -> list[str]:
        """The programs that ran, references aside."""
        return [source for source in self.ran if source != "reference"]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def asked(*codes: str | None, problem: Problem = ASKED, config: Any = None, cache: str = "default") -> tuple[list[Verdict | JudgingFailure], Tally]:
    """Judge, and return what was said of each in order."""
    author, tally = Author("student", "m", ""), Tally()
    items = [
        Response(problem_id=problem.id, author=author, index=number, text="", code=code, rule="raw", stop="stop", completion_tokens=1)
        for number, code in enumerate(codes)
    ]
    with judging.open_judge(config or ProcessConfig(), SandboxRuntime(workers=1, cache=cache), tally) as judge:
        found = {said.response_id: said for said in judge((problem, item) for item in items)}
    assert all(said.problem_id == problem.id for said in found.values())
    return [found[item.id] for item in items], tally


def outcomes(found: list[Verdict | JudgingFailure]) -> list[str]:
    return [said.outcome.name if isinstance(said, Verdict) else "failure" for said in found]


def test_equal_programs_are_judged_once_and_more_answers_pay_for_what_is_new(machine: Machine) -> None:
    found, tally = asked("right", "wrong", None, "right", "right")
    assert outcomes(found) == ["PASSED", "PARTIAL", "COMPILE_ERROR", "PASSED", "PASSED"]
    assert machine.answers == ["right", "wrong"]
    assert (tally.answers, tally.programs, tally.known, tally.equal, tally.without_program) == (5, 2, 0, 2, 1)
    found, tally = asked("right", "wrong", None, "right", "new")
    assert outcomes(found) == ["PASSED", "PARTIAL", "COMPILE_ERROR", "PASSED", "PASSED"]
    assert machine.answers == ["right", "wrong", "new"]
    assert (tally.programs, tally.known, tally.equal) == (1, 3, 0)
    assert "3 answers known from before (75 %)" in tally.words()


def test_a_reference_is_measured_once_for_each_machine(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked("right")
    asked("wrong")
    assert machine.ran.count("reference") == 1
    monkeypatch.setattr(judging, "machine", lambda: "another")
    asked("new")
    assert machine.ran.count("reference") == 2


def test_labels_do_not_matter_and_all_else_does(machine: Machine) -> None:
    asked("right")
    same = replace(ASKED, name="other", instruction="Say y.", prompt="def f", split="test", level="hard", topic="t")
    found, tally = asked("right", problem=same)
    assert (outcomes(found), tally.known) == (["PASSED"], 1)
    for other in (
        replace(ASKED, tests=(CallTest("[1]", "2"),)),
        replace(ASKED, entry_point="g"),
        replace(ASKED, reference="r"),
        replace(ASKED, tests=(IOTest("[1]", "1"),)),
    ):
        assert asked("right", problem=other)[1].programs == 1
    limits = LimitsConfig(least_cpu_seconds=1.5)
    for config in (ProcessConfig(limits=limits), PlainConfig(backend="plain")):
        assert asked("right", config=config)[1].programs == 1


def test_no_field_of_a_problem_is_left_out_by_accident() -> None:
    assert {item.name for item in fields(Problem)} >= judging._LABELS
    assert "reference" not in judging._LABELS, "limits go by it"


@pytest.mark.parametrize("what", ["version", "isolation", "interpreter"])
def test_another_judge_judges_again(machine: Machine, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    asked("right")
    if what == "version":
        monkeypatch.setattr(judging, "JUDGE_VERSION", judging.JUDGE_VERSION + 1)
    elif what == "isolation":
        machine.granted = ()
    else:
        monkeypatch.setattr(judging, "_interpreter", lambda: ["another"])
    assert asked("right")[1].programs == 1


def test_without_a_cache_nothing_is_remembered_beyond_one_opening(machine: Machine) -> None:
    assert asked("right", "right", cache="none")[1].programs == 1
    assert asked("right", cache="none")[1].programs == 1


def test_a_timeout_is_known_on_the_same_machine_only(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked("loop", "right")
    assert asked("loop", "right")[1].known == 2
    monkeypatch.setattr(judging, "machine", lambda: "another")
    assert asked("loop", "right")[1].known == 1
    assert machine.answers == ["loop", "right", "loop"]


def test_a_timeout_on_a_busy_machine_counts_but_is_not_kept(machine: Machine) -> None:
    machine.busy = True
    found, tally = asked("loop", "right", "loop")
    assert outcomes(found) == ["RUNTIME_ERROR", "PASSED", "RUNTIME_ERROR"]
    assert (tally.again, tally.unkept) == (1, 1)
    machine.busy = False
    found, tally = asked("loop", "right")
    assert (outcomes(found), tally.programs, tally.known) == (["RUNTIME_ERROR", "PASSED"], 1, 1)


def test_a_failure_of_ours_is_never_kept(machine: Machine) -> None:
    machine.broken = True
    found, _ = asked("right", "right")
    assert outcomes(found) == ["failure", "failure"]
    machine.broken = False
    found, tally = asked("right")
    assert (outcomes(found), tally.known) == (["PASSED"], 0)


def test_a_reference_that_sets_no_limits_is_named(machine: Machine) -> None:
    bad = replace(ASKED, reference="loop")
    _, tally = asked("right", problem=bad)
    assert tally.uncalibrated == {"p": "its reference does not pass: test 0: more than 2 s of processor time"}
    assert "1 references set no limits" in next(tally.limit_words())


def test_limits_of_a_few_problems_are_at_hand_and_references_are_measured_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "_LIMITS_KEPT", 2)
    many = [replace(ASKED, name=f"p{number}", tests=(CallTest(f"[{number}]", "1"),)) for number in range(5)]
    answers = [(one, replace(reference_response(one), text=code, code=code)) for code in ("right", "fine") for one in many]
    with judging.open_judge(ProcessConfig(), SandboxRuntime(workers=1, cache="none"), Tally()) as judge:
        found = [said for answer in answers for said in judge([answer])]
        assert len(judge.__self__.allowances) == 2  # type: ignore[attr-defined]
    assert outcomes(found) == ["PASSED"] * 10
    assert machine.ran.count("reference") == 5


def test_stages_say_what_was_known(machine: Machine) -> None:
    said: list[str] = []
    for _ in range(2):
        with judging.open_judge(ProcessConfig(), SandboxRuntime(workers=1), say=said.append) as judge:
            list(judge([(ASKED, reference_response(ASKED))]))
    assert said == [
        "  verdicts: 1 answers: 1 programs run, 0 answers known from before (0 %), 0 equal to another",
        "  verdicts: 1 answers: 0 programs run, 1 answers known from before (100 %), 0 equal to another",
    ]


def test_of_several_machines_only_what_all_isolate_is_granted() -> None:
    first, second = {"granted": ["mounts", "network", "memory"], "missing": []}, {"granted": ["mounts", "memory"], "missing": ["network (refused)"]}
    assert judging.weakest([first, second]) == {"granted": ["mounts", "memory"], "missing": ["network (refused)"]}
    assert judging.weakest([second, first]) == {"granted": ["mounts", "memory"], "missing": ["network (refused)"]}
    assert judging.weakest([first]) == first
