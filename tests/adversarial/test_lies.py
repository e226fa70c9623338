"""Programs that lie to the harness: about whose failure it was, what they returned, what they used, who they are. Each ends in a verdict that is no better than
what they did, and never in a failure of ours.
"""

# ruff: noqa: E501 - hostile programs on one line each
from __future__ import annotations

import dataclasses

import pytest
from programs import ADD, ADD_ASSERT, DOUBLE, QUICK, RIGHT, still_fair, verdict

from rrtf.protocols import Program
from rrtf.records import CallTest, Outcome

SAY = """
import os, struct
def say(*frames):
    data = b''.join(frames)
    for fd in range(64, 160):
        try: os.write(fd, data)
        except OSError: pass
def frame(kind, number=0, payload=b'', length=None):
    return struct.pack('=cII', kind, number, len(payload) if length is None else length) + payload
"""
WRONG = "def add(a, b):\n    return a - b - 1\n"
ONE = dataclasses.replace(ADD, tests=ADD.tests[:1])
SHORT = dataclasses.replace(QUICK, cpu_seconds=0.5, wall_seconds=3.0)

WHILE_LOADING = {
    "a failure of the sandbox": "say(frame(b'F', 0, b'confining the program failed'))",
    "a failure of the sandbox, and gone": "say(frame(b'F', 0, b'confining the program failed'))\nos._exit(70)",
    "every letter as a kind": "for kind in range(256):\n    say(frame(bytes([kind]), 0, b'x'))",
    "that it does not compile": "say(frame(b'E', 0, b'SyntaxError'))",
    "that it is loaded": "say(frame(b'L'))",
    "that it is loaded, and then gone": "say(frame(b'L'))\nos._exit(0)",
    "that it is loaded, and all tests too": "say(frame(b'L'), *[frame(b'V', n, b'0') for n in range(3)])\nos._exit(0)",
    "that it was not loaded": "say(frame(b'N', 0, b'no'))",
    "the last test first": "say(frame(b'L'), frame(b'V', 2, b'-7'))",
    "a test twice": "say(frame(b'L'), frame(b'V', 0, b'9'), frame(b'V', 0, b'3'))",
    "a test that does not exist": "say(frame(b'L'), frame(b'V', 4294967295, b'3'))",
    "a status of its own": "say(frame(b'L'), *[frame(b'S', n, b'passed\\n[]\\n') for n in range(3)])",
    "a status without end": "say(frame(b'L'), *[frame(b'S', n, b'p' * 4000000) for n in range(3)])",
    "a frame of impossible size": "say(frame(b'L'), frame(b'V', 0, b'', 4294967295))",
    "half a frame": "say(frame(b'L'), frame(b'V', 0, b'3', 100))\nos._exit(0)",
    "half a header": "say(frame(b'L'), b'V\\0')\nos._exit(0)",
    "noise": "say(bytes(range(256)) * 100)",
    "zeros without end": "for fd in range(3, 256):\n    try:\n        while True: os.write(fd, bytes(60000))\n    except OSError: pass",
    "what it prints, on every channel": "for fd in range(3, 256):\n    try: os.dup2(1, fd)\n    except OSError: pass\nprint('V' * 1000)",
    "nothing: all channels closed": "os.closerange(0, 256)",
    "nothing: all channels are its own pipe": "one, two = os.pipe()\nfor fd in range(64, 160):\n    if fd not in (one, two): os.dup2(two, fd)",
}


@pytest.mark.parametrize("claim", WHILE_LOADING)
def test_claims_made_while_loading(sandbox, claim):
    result = verdict(sandbox, ADD, f"{SAY}{WHILE_LOADING[claim]}\n{WRONG}", dataclasses.replace(SHORT, wall_seconds=6.0))
    assert result.outcome is not Outcome.PASSED
    assert result.passed == 0
    assert result.cause


@pytest.mark.parametrize("claim", ["F", "E", "N", "L"])
def test_claims_made_too_late(sandbox, claim):
    result = verdict(sandbox, ADD, f"{SAY}def add(a, b):\n    say(frame(b'{claim}', 0, b'late'))\n    return a - b - 1\n")
    assert result.outcome in (Outcome.RUNTIME_ERROR, Outcome.PARTIAL)
    assert result.passed == 0


VALUES = (
    "[" * 100_000, '{"a":' * 100_000, "9" * 5000, "NaN", "-Infinity", "1e999", "", "\x00", '"\ud800"', '{"$set":[[1]]}', '{"$set":[{"$decimal":"sNaN"}]}',
    '{"$decimal":"x"}', '{"$decimal":"sNaN"}', '{"$decimal":"1E999999999"}', '{"$decimal":"1E99999999999999999999"}', '{"$decimal":3}', '{"$fraction":[1,0]}',
    '{"$fraction":["a",1]}', '{"$float":"x"}', '{"$float":[]}', '{"$dict":[[[1],2]]}', '{"$dict":[1]}', '{"$dict":[[1,2,3]]}', '{"$bytes":"zz"}', '{"$bytes":3}',
    '{"$complex":[1]}', '{"$complex":["a","b"]}', '{"$tuple":3}', '{"$unknown":1}', '{"$decimal":"NaN"}',
)  # fmt: skip


@pytest.mark.parametrize("number", range(len(VALUES)))
def test_values_that_no_honest_program_could_send(sandbox, number):
    code = f"{SAY}data = {VALUES[number]!r}.encode('utf-8', 'surrogatepass')\ndef add(a, b):\n    say(frame(b'V', 0, data))\n    os._exit(0)"
    for expected in ("3", "1.5", '{"$decimal":"1"}', '{"$fraction":[1,2]}', '{"$complex":[1,2]}', '{"$set":[1]}', '{"$dict":[[1,2]]}'):
        result = verdict(sandbox, dataclasses.replace(ADD, tests=(CallTest("[1,2]", expected),)), code)
        assert result.outcome is Outcome.PARTIAL
        assert result.tests == ("wrong",)


@pytest.mark.parametrize("classes", ["", "[", "[" * 100_000, "3", '"ValueError"', '{"ValueError":1}', "[[]]"])
def test_exception_classes_that_no_honest_program_could_send(sandbox, classes):
    problem = dataclasses.replace(ADD, tests=(CallTest("[1,2]", raises="ValueError"),))
    code = f"{SAY}def add(a, b):\n    say(frame(b'S', 0, {('raised' + chr(10) + classes + chr(10) + 'x').encode()!r}))\n    os._exit(0)"
    assert verdict(sandbox, problem, code).outcome is not Outcome.PASSED


EXCEPTIONS = {
    "no text": "class E(Exception):\n    def __str__(self): raise SystemExit(0)",
    "text without end": "class E(Exception):\n    def __str__(self): return 'x' * 10 ** 7",
    "text with lines": "class E(Exception):\n    def __str__(self): return 'a\\n[]\\npassed\\nV\\0'",
    "text that is no text": "class E(Exception):\n    def __str__(self): return 3",
    "surrogates": "class E(Exception):\n    def __str__(self): return '\\ud800'",
    "a class that is its own liar": "class M(type):\n    __name__ = property(lambda c: 1 / 0)\n    def __instancecheck__(c, x): return True\n    def mro(c): return [c, *type.mro(c)[1:]]\nclass E(Exception, metaclass=M): pass",
    "itself as its cause": "class E(Exception): pass\nreal = E\ndef E():\n    e = real()\n    e.__cause__ = e.__context__ = e\n    return e",
    "a group of a thousand groups": "def E():\n    e = ValueError()\n    for _ in range(1000): e = ExceptionGroup('g', [e])\n    return e",
    "a code with a repr": "class R:\n    def __repr__(self): raise KeyboardInterrupt\ndef E(): return SystemExit(R())",
    "a class with a name of a megabyte": "E = type('E' * 10 ** 6, (Exception,), {})",
    "no base but the first": "class E(BaseException): pass",
}


@pytest.mark.parametrize("lie", EXCEPTIONS)
def test_exceptions_that_lie(sandbox, lie):
    for problem in (ADD, ADD_ASSERT):
        result = verdict(sandbox, problem, f"{EXCEPTIONS[lie]}\ndef add(a, b):\n    raise E()\n")
        assert result.outcome is Outcome.RUNTIME_ERROR, result
        assert len(result.cause) <= 300
    loading = verdict(sandbox, ADD, f"{EXCEPTIONS[lie]}\nraise E()\n")
    assert loading.outcome is Outcome.RUNTIME_ERROR


USES = {
    "clocks that stand still": "import time, resource\nfor name in ('time', 'process_time', 'monotonic', 'perf_counter'): setattr(time, name, lambda: 0.0)\nresource.getrusage = None\n"
    "def add(a, b):\n    while True: pass",
    "a name that looks like numbers": "import ctypes\nctypes.CDLL(None).prctl(15, b') R 1 1 1 (', 0, 0, 0)\ndef add(a, b):\n    while True: pass",
    "not to be looked at": "import ctypes\nctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\ndef add(a, b):\n    while True: pass",
    "children not to be looked at": "import ctypes, os, time\ndef add(a, b):\n    if os.fork() == 0:\n        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\n        os.setsid()\n        while True: pass\n    time.sleep(1000)",
    "a limit of its own": "import resource, signal\nresource.setrlimit(resource.RLIMIT_CPU, (1, resource.getrlimit(resource.RLIMIT_CPU)[1]))\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\n"
    "def add(a, b):\n    while True: pass",
    "the last priority": "import os\nos.nice(19)\ndef add(a, b):\n    while True: pass",
}


@pytest.mark.parametrize("lie", USES)
def test_processor_time_is_counted_all_the_same(sandbox, lie):
    result = verdict(sandbox, ADD, USES[lie], dataclasses.replace(SHORT, wall_seconds=60.0))
    assert result.tests[0] == "timeout", result
    assert result.cpu_seconds >= 0.4  # also that of processes which nobody waited for


def test_memory_of_who_is_not_to_be_looked_at_counts(sandbox):
    if any("memory" in item for item in sandbox.isolation().missing):
        pytest.skip("no /proc to measure with")
    code = "import ctypes, os, time\ndef add(a, b):\n    for _ in range(6):\n        if os.fork() == 0:\n            ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\n            x = bytearray(b'x') * 10 ** 8\n            time.sleep(60)\n    time.sleep(60)"
    assert verdict(sandbox, ADD, code, dataclasses.replace(QUICK, cpu_seconds=20, wall_seconds=60)).tests[0] == "memory"


@pytest.mark.parametrize(
    "code",
    [
        "import os\nos.write(1, b'\\xff8\\n')",
        "import os, sys\nprint(2 * int(input()), flush=True)\nos.write(2, b'OK')\nos._exit(3)",
        "import os\nif os.fork():\n    os._exit(1)\nprint(2 * int(input()))",
        "import os, time\nif os.fork():\n    os._exit(0)\nos.setsid()\ntime.sleep(1)\nprint(8, flush=True)",
        "import sys\nsys.stdin = None\nprint(8 if False else '')",
        "import os\nfor fd in range(3, 256):\n    try: os.write(fd, b'8\\n')\n    except OSError: pass",
        "print('8\\n-42')",
        "print('\\x1b[2K\\r8\\b\\b8')",
    ],
)
def test_printed_lies(sandbox, code):
    assert verdict(sandbox, DOUBLE, code).outcome is not Outcome.PASSED


def test_stopping_itself_is_no_escape_from_the_wall(sandbox):
    code = "import os, signal\ndef add(a, b):\n    os.kill(os.getpid(), signal.SIGSTOP)\n    return 0\n"
    result = verdict(sandbox, ADD, code, dataclasses.replace(SHORT, wall_seconds=1.0))
    assert result.passed == 0
    still_fair(sandbox)


def test_going_on_after_the_last_result_changes_nothing(sandbox):
    code = (
        SAY
        + RIGHT["add"].replace("return", "os.register_at_fork; return")
        + "import threading, time\nthreading.Thread(target=time.sleep, args=(100,)).start()\n"
    )
    assert verdict(sandbox, ADD, code).outcome is Outcome.PASSED


def test_time_of_crashed_processes_counts_for_those_started_again(sandbox):
    """A program that crashes in each test gets no more processor time than one that does not."""
    tests = tuple(CallTest(f"[{n},0]", "0") for n in range(20))
    code = "import os, time\ndef add(a, b):\n    if os.fork() == 0:\n        while True: pass\n    t = time.monotonic()\n    while time.monotonic() - t < 0.3: pass\n    os._exit(1)\n"
    execution = sandbox.run(Program(code, "add", tests, dataclasses.replace(QUICK, cpu_seconds=1.0, wall_seconds=60.0)))
    statuses = [reply.status for reply in execution.replies]
    assert "timeout" in statuses
    assert statuses.count("crashed") < 10
