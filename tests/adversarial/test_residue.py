"""Programs that look through their own memory for what earlier programs left in it: the process they were forked from saw those programs."""

from __future__ import annotations

import pytest
from programs import ADD, QUICK, RIGHT, still_fair, verdict

from rrtf.protocols import Program
from rrtf.records import CallTest, IOTest, Outcome, Problem
from rrtf.sandbox.plain import PlainSandbox
from rrtf.sandbox.process import ProcessSandbox

FORMULA = Problem(
    name="formula", instruction="", prompt="", entry_point="f", tests=tuple(CallTest(f"[{n}]", str((n * 7919 + 13) % 1009)) for n in range(5, 12))
)
REFERENCE = f"def f(x):\n    '''As long as such solutions usually are. {'More words. ' * 150}'''\n    return (x * 7919 + 13) % 1009\n"
READ_MEMORY = r"""
import re
def memory():
    with open("/proc/self/mem", "rb") as mem, open("/proc/self/maps") as maps:
        for line in maps:
            m = re.match(r"(\w+)-(\w+) rw", line)
            if not m or "[v" in line: continue
            start, end = int(m[1], 16), int(m[2], 16)
            try:
                mem.seek(start)
                yield mem.read(end - start)
            except (OSError, ValueError): continue
"""
THIEF = (
    READ_MEMORY
    + r"""
def steal():
    for data in memory():
        for found in re.finditer(rb"return [^\n\\\x00\"]*", data):
            try:
                stolen = eval("lambda x: " + found[0][7:].decode(), {})
                if isinstance(stolen(5), int) and b"x" in found[0] and b"%" in found[0]: return stolen
            except BaseException: continue
stolen = steal()
def f(x): return stolen(x)
"""
)


@pytest.fixture(params=["process", "process without namespaces", "plain"])
def fresh(request):
    options = {"process": ProcessSandbox, "process without namespaces": lambda: ProcessSandbox(namespaces=False), "plain": PlainSandbox}
    with options[request.param]() as opened:
        yield opened


def test_a_solution_judged_before_cannot_be_stolen(fresh):
    for _ in range(2):
        assert verdict(fresh, FORMULA, REFERENCE).outcome is Outcome.PASSED
        assert verdict(fresh, FORMULA, THIEF).passed == 0


def test_nothing_of_earlier_programs_is_in_memory(fresh):
    """Source, arguments, input, results and output, each with a mark of its own; the marks are put together by the one who looks."""
    source = f"# MARK-source-{'x' * 3000}\ndef f(x):\n    print('MARK-' + 'output-' * 500)\n    return x + 'MARK-result-' * 500"
    program = Program(source, "f", tuple(CallTest(f'["MARK-argument-{"y" * size}"]', "1") for size in (10, 600, 9000)), QUICK)
    stdin = Program("print(input() * 2, 'MARK-' + 'printed')", None, (IOTest("MARK-input" + "z" * 5000, ""),), QUICK)
    look = READ_MEMORY + "def f():\n    mark = b'MARK' + b'-'\n    return [k.decode() for d in memory() for k in re.findall(mark + b'[a-z]+', d)]"
    for _ in range(2):
        assert {reply.status for reply in fresh.run(program).replies} == {"passed"}
        assert {reply.status for reply in fresh.run(stdin).replies} == {"passed"}
        (reply,) = fresh.run(Program(look, "f", (CallTest("[]", "[]"),), QUICK)).replies
        assert (reply.status, reply.value) == ("passed", "[]")


@pytest.mark.honest
def test_the_one_who_looks_can_see(fresh):
    look = READ_MEMORY + "x = 'OWN-' + 'mark'\ndef f():\n    return any(b'OWN-' + b'mark' in d for d in memory())"
    (reply,) = fresh.run(Program(look, "f", (CallTest("[]", "true"),), QUICK)).replies
    assert reply.value == "true"


def test_a_program_may_be_followed_by_any_other(fresh):
    assert verdict(fresh, ADD, "import os\nos.fork()\nos.setsid()\n" + RIGHT["add"]).outcome is not Outcome.PASSED
    still_fair(fresh)
