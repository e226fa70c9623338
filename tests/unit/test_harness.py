from __future__ import annotations

import json
import threading
import time
from collections import Counter

import pytest

from rrtf.errors import DataError, SandboxFailure
from rrtf.protocols import Execution, Isolation, Reply
from rrtf.records import AssertTest, Author, CallTest, IOTest, Limits, Outcome, Problem, Response
from rrtf.sandbox.harness import Allowance, JudgingFailure, judge, judge_all, judge_many
from rrtf.sandbox.verdicts import program_of

ME = Author("reference", "reference", "")


class Scripted:
    """A sandbox that answers from a list: executions, or failures to raise."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.programs = []

    def run(self, program):
        self.programs.append(program)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def isolation(self):
        return Isolation((), ())

    def close(self):
        pass


def problem(*tests, name="p", entry="f"):
    return Problem(name=name, instruction="", prompt="", entry_point=entry, tests=tests)


def ran(*replies, cpu=0.1, wall=0.1, waited=None, **other):
    texts = {"compile_error": "", "load_error": "", "stdout": "", "stderr": ""} | other
    return Execution(**texts, replies=replies, cpu_seconds=cpu, wall_seconds=wall, waited_seconds=waited, peak_mb=9.0)


def response(code, index=0, problem_id="p"):
    return Response(problem_id=problem_id, author=ME, index=index, text=code or "", code=code, rule="no code fence", stop="stop", completion_tokens=1)


THREE = problem(CallTest("[1]", "1"), CallTest("[2]", "2"), CallTest("[3]", "3"))
OK = [Reply("passed", str(n)) for n in (1, 2, 3)]
WRONG = Reply("passed", "9")


@pytest.mark.parametrize(
    ("replies", "outcome", "tests"),
    [
        (OK, Outcome.PASSED, ("passed",) * 3),
        ([OK[0], WRONG, WRONG], Outcome.PARTIAL, ("passed", "wrong", "wrong")),
        ([WRONG] * 3, Outcome.PARTIAL, ("wrong",) * 3),
        ([WRONG, WRONG, Reply("raised", "[]", "ValueError: x")], Outcome.RUNTIME_ERROR, ("wrong", "wrong", "raised")),
        ([OK[0], Reply("crashed", "", "signal 11"), Reply("not-run")], Outcome.PARTIAL, ("passed", "crashed", "not-run")),
        ([Reply("memory", "", "MemoryError"), Reply("not-run"), Reply("not-run")], Outcome.RUNTIME_ERROR, ("memory", "not-run", "not-run")),
        ([Reply("timeout", "", "5 s"), Reply("not-run"), Reply("not-run")], Outcome.RUNTIME_ERROR, ("timeout", "not-run", "not-run")),
    ],
)
def test_outcomes(replies, outcome, tests):
    verdict = judge(THREE, "x", Scripted(ran(*replies)))
    assert (verdict.outcome, verdict.tests) == (outcome, tests)
    assert verdict.passed == tests.count("passed")
    assert verdict.total == 3
    assert bool(verdict.cause) == (outcome is not Outcome.PASSED)


def test_the_cause_holds_no_address_since_that_is_another_one_in_every_run():
    causes = set()
    for address in ("0x7f03e2abaa40", "0x7f6752abea40"):
        value = json.dumps(f"<generator object f at {address}>")
        causes.add(judge(THREE, "x", Scripted(ran(Reply("passed", value), *OK[1:]))).cause)
    assert causes == {"test 0: returned '<generator object f at 0x...>', expected 1"}


def test_the_cause_names_the_first_trouble_with_both_values():
    verdict = judge(THREE, "x", Scripted(ran(OK[0], Reply("passed", "[7]"), WRONG)))
    assert verdict.cause == "test 1: returned [7], expected 2"


def test_compile_and_load_errors():
    verdict = judge(THREE, "x", Scripted(ran(compile_error="SyntaxError: no")))
    assert (verdict.outcome, verdict.tests, verdict.cause) == (Outcome.COMPILE_ERROR, ("not-run",) * 3, "SyntaxError: no")
    verdict = judge(THREE, "x", Scripted(ran(load_error="ImportError: no")))
    assert (verdict.outcome, verdict.tests) == (Outcome.RUNTIME_ERROR, ("not-run",) * 3)
    assert "ImportError: no" in verdict.cause


def test_no_code_is_a_compile_error_without_running_anything():
    sandbox = Scripted()
    verdict = judge(THREE, None, sandbox, response_id="r", without="nothing found")
    assert (verdict.outcome, verdict.cause, verdict.response_id) == (Outcome.COMPILE_ERROR, "nothing found", "r")
    assert sandbox.programs == []


def test_expected_exceptions():
    p = problem(CallTest("[]", None, raises="ValueError"))
    assert judge(p, "x", Scripted(ran(Reply("raised", json.dumps(["JSONDecodeError", "ValueError", "Exception"]), "e")))).outcome is Outcome.PASSED
    assert judge(p, "x", Scripted(ran(Reply("raised", '["KeyError"]', "KeyError: 1")))).tests == ("raised",)
    assert judge(p, "x", Scripted(ran(Reply("passed", "null")))).tests == ("wrong",)
    assert judge(p, "x", Scripted(ran(Reply("raised", "{", "odd")))).tests == ("raised",)
    assert judge(p, "x", Scripted(ran(Reply("crashed", "", "odd")))).tests == ("crashed",)


def test_printed_output_is_compared_outside():
    p = problem(IOTest("1", "a\nb\n"), entry=None)
    assert judge(p, "x", Scripted(ran(Reply("passed", "a \nb")))).outcome is Outcome.PASSED
    assert "expected" in judge(p, "x", Scripted(ran(Reply("passed", "a")))).cause


def test_room_is_made_for_long_expected_output():
    program = program_of(problem(IOTest("", "x" * 1_000_000), entry=None), "x", Limits(output_kb=16))
    assert program.limits.output_kb * 1024 > 1_000_000


def test_failures_are_retried_then_raised():
    assert judge(THREE, "x", Scripted(SandboxFailure("a"), SandboxFailure("b"), ran(*OK))).outcome is Outcome.PASSED
    with pytest.raises(SandboxFailure, match=r"3 times.*no room"):
        judge(THREE, "x", Scripted(*[SandboxFailure("no room")] * 3))


TIMEOUT = (Reply("timeout", "", "t"), Reply("not-run"), Reply("not-run"))


def test_a_timeout_under_load_is_judged_again_under_the_same_limits():
    sandbox = Scripted(ran(*TIMEOUT, cpu=5.0, wall=12.0, waited=6.0), ran(*OK))
    assert judge(THREE, "x", sandbox).outcome is Outcome.PASSED
    first, second = sandbox.programs
    assert second.limits == first.limits
    sandbox = Scripted(ran(*TIMEOUT, cpu=5.0, wall=5.4, waited=0.3), ran(*OK))
    assert judge(THREE, "x", sandbox).outcome is Outcome.PASSED, "a twentieth of waiting is too much"
    load = ran(load_error="timeout: more than 30 s of wall time", cpu=0.1, wall=240.0, waited=210.0)
    assert judge(THREE, "x", Scripted(load, ran(*OK))).outcome is Outcome.PASSED


def test_where_waiting_cannot_be_measured_the_clock_decides_what_is_judged_again():
    assert judge(THREE, "x", Scripted(ran(*TIMEOUT, cpu=5.0, wall=12.0), ran(*OK))).outcome is Outcome.PASSED


@pytest.mark.parametrize(("cpu", "wall", "waited"), [(5.0, 5.1, 0.0), (5.0, 5.1, None), (0.1, 30.0, 0.2), (5.0, 5.3, 0.2)])
def test_a_timeout_that_is_the_programs_own_is_final(cpu, wall, waited):
    assert judge(THREE, "x", Scripted(ran(*TIMEOUT, cpu=cpu, wall=wall, waited=waited))).tests == ("timeout", "not-run", "not-run")


def test_a_second_timeout_is_final():
    assert judge(THREE, "x", Scripted(*[ran(*TIMEOUT, cpu=5.0, wall=12.0)] * 2)).outcome is Outcome.RUNTIME_ERROR


@pytest.mark.parametrize(
    "bad",
    [
        problem(CallTest("[]", "1"), IOTest("", "")),
        problem(CallTest("[]", "1"), entry=None),
        problem(AssertTest("assert (")),
        problem(AssertTest("a\0b")),
    ],
)
def test_problems_that_cannot_be_judged_are_data_errors(bad):
    with pytest.raises(DataError):
        judge(bad, "x", Scripted())


def test_many_yields_verdicts_and_failures_apart_and_timeouts_last():
    class ByCode(Scripted):
        def run(self, program):
            self.programs.append(program)
            if program.source == "fails":
                raise SandboxFailure("no")
            if program.source == "slow" and sum(other.source == "slow" for other in self.programs) <= 2:
                return ran(*TIMEOUT, cpu=1.0, wall=9.0)
            return ran(*OK)

    items = [(THREE, response(code, index)) for index, code in enumerate(["slow", "fails", None, "fine", "slow", "fine"])]
    sandbox = ByCode()
    results = list(judge_many(iter(items), sandbox, threads=2))
    assert Counter(type(result) for result in results)[JudgingFailure] == 1
    failure = next(result for result in results if isinstance(result, JudgingFailure))
    assert (failure.response_id, failure.attempts) == (items[1][1].id, 3)
    verdicts = {result.response_id: result for result in results if not isinstance(result, JudgingFailure)}
    assert {item[1].id for item in items} - set(verdicts) == {failure.response_id}
    assert verdicts[items[2][1].id].outcome is Outcome.COMPILE_ERROR
    assert "no code fence" in verdicts[items[2][1].id].cause
    assert [result.response_id for result in results[-2:]] == [items[0][1].id, items[4][1].id]
    assert verdicts[items[0][1].id].outcome is Outcome.PASSED


def test_many_reads_its_items_as_it_goes():
    read = []

    def items():
        for index in range(100):
            read.append(index)
            yield THREE, response("fine", index)

    results = judge_many(items(), Scripted(*[ran(*OK)] * 100), threads=1)
    next(results)
    assert len(read) < 20
    assert len(list(results)) == 99


class Timed(Scripted):
    """Answers by program: the next of its executions. Knows how many ran beside one another."""

    def __init__(self, **answers):
        super().__init__()
        self.by_source = {name: list(found) for name, found in answers.items()}
        self.lock, self.running, self.beside = threading.Lock(), 0, []

    def run(self, program):
        with self.lock:
            self.running += 1
            self.programs.append(program)
            self.beside.append((program.source, self.running))
            answer = self.by_source[program.source].pop(0) if program.source in self.by_source else ran(*OK)
        time.sleep(0.01)
        with self.lock:
            self.running -= 1
        return answer


QUIET = ran(*TIMEOUT, cpu=2.0, wall=2.02, waited=0.0)
BUSY = ran(*TIMEOUT, cpu=2.0, wall=9.0, waited=7.0)
ASLEEP = ran(*TIMEOUT, cpu=0.01, wall=12.0, waited=0.0)


def ruled(sandbox, *codes, threads, allow=lambda problem: Allowance(Limits())):
    items = [(THREE, response(code, index)) for index, code in enumerate(codes)]
    found = {ruling.verdict.response_id: ruling for ruling in judge_all(iter(items), sandbox, threads=threads, allow=allow)}
    return [found[item.id] for _, item in items]


def test_a_timeout_in_company_is_judged_alone_before_it_is_final():
    sandbox = Timed(slow=[QUIET, ran(*OK)], loop=[QUIET, QUIET], busy=[BUSY, BUSY])
    slow, loop, busy, *_ = ruled(sandbox, "slow", "loop", "busy", *(f"quick {n}" for n in range(20)), threads=4)
    assert slow.verdict.outcome is Outcome.PASSED
    assert loop.verdict.outcome is busy.verdict.outcome is Outcome.RUNTIME_ERROR
    assert (slow.again, loop.again, busy.again) == (True, True, True)
    assert (slow.lasting, loop.lasting, busy.lasting) == (True, True, False), "what waited for a processor even alone is not kept"
    assert [running for source, running in sandbox.beside if source in ("slow", "loop", "busy")][-3:] == [1, 1, 1]
    assert len({program.limits for program in sandbox.programs}) == 1, "the same limits"


def test_a_timeout_that_was_alone_already_is_final():
    sandbox = Timed(loop=[QUIET], busy=[BUSY, ran(*OK)])
    loop, busy = ruled(sandbox, "loop", "busy", threads=1)
    assert (loop.again, loop.lasting) == (False, True)
    assert (busy.again, busy.verdict.outcome) == (True, Outcome.PASSED)


def test_sleeping_takes_as_long_in_any_company():
    (asleep,) = ruled(Timed(asleep=[ASLEEP]), "asleep", threads=4)
    assert (asleep.again, asleep.lasting) == (False, True)
    started = ran(*TIMEOUT, cpu=3.0, wall=12.0, waited=0.0)  # its first thread waited for others, which may have waited for a processor
    (waits,) = ruled(Timed(waits=[started, ran(*OK)]), "waits", threads=4)
    assert waits.verdict.outcome is Outcome.PASSED


def test_in_a_crowd_four_times_the_limits_stand_for_being_alone():
    later = ran(OK[0], Reply("timeout", "", "t"), Reply("not-run"), cpu=8.0, wall=9.0, waited=0.0)
    sandbox = Timed(loop=[QUIET, QUIET], slow=[QUIET, ran(*OK), ran(*OK)], between=[QUIET, later, QUIET])
    loop, slow, between = ruled(sandbox, "loop", "slow", "between", threads=16)
    assert (loop.verdict.outcome, loop.again, loop.lasting) == (Outcome.RUNTIME_ERROR, True, True)
    assert slow.verdict.outcome is Outcome.PASSED
    assert between.verdict.tests == TIMEOUT_TESTS
    runs = {name: [program.limits.cpu_seconds for program in sandbox.programs if program.source == name] for name in ("loop", "slow", "between")}
    assert runs == {"loop": [5.0, 20.0], "slow": [5.0, 20.0, 5.0], "between": [5.0, 20.0, 5.0]}


TIMEOUT_TESTS = ("timeout", "not-run", "not-run")


def test_many_timeouts_are_judged_alone_a_few_at_a_time():
    sandbox = Timed(**{f"loop {n}": [QUIET, QUIET] for n in range(150)})
    read = []

    def items():
        for index in range(150):
            read.append(index)
            yield THREE, response(f"loop {index}", index)

    found = judge_all(items(), sandbox, threads=4, allow=lambda problem: Allowance(Limits()))
    next(found)
    assert len(read) < 100, "the first come out before the last go in"
    assert len(list(found)) == 149


def test_verdicts_among_the_items_pass_through():
    known = judge(THREE, None, Scripted(), response_id="known")
    found = list(judge_all(iter([known, (THREE, response("fine")), known]), Timed(), threads=2, allow=lambda problem: Allowance(Limits())))
    assert [item for item in found if item is known] == [known, known]
    assert len(found) == 3


def test_a_limit_that_was_measured_is_named_by_its_rule():
    limits = Limits(cpu_seconds=7.25, wall_seconds=43.5)
    allowance = Allowance(limits, "10 times the processor time of the reference", "the wall time that goes with that")
    over = [
        ran(Reply("timeout", "", f"more than {limits.cpu_seconds:g} s of processor time"), *TIMEOUT[1:], cpu=7.3, wall=7.3, waited=0.0),
        ran(load_error=f"timeout: more than {limits.wall_seconds:g} s of wall time", cpu=0.1, wall=43.5, waited=0.0),
    ]
    first, second = ruled(Timed(a=[over[0]], b=[over[1]]), "a", "b", threads=1, allow=lambda problem: allowance)
    assert first.verdict.cause == "test 0: more than 10 times the processor time of the reference"
    assert second.verdict.cause == "before the tests: timeout: more than the wall time that goes with that"
