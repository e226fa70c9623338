"""Programs that take more than their share. Each ends in a verdict, and the sandbox judges fairly afterwards."""

# ruff: noqa: E501 - hostile programs on one line each
from __future__ import annotations

import dataclasses
import json

import pytest
from programs import ADD, ADD_ASSERT, DOUBLE, QUICK, RIGHT, answer, still_fair, verdict

from rrtf.records import CallTest, IOTest, Limits, Outcome

SHORT = dataclasses.replace(QUICK, cpu_seconds=0.5, wall_seconds=3.0)

LOOPS = {
    "python": "while True: pass",
    "integer power": "9 ** 9 ** 9",
    "regular expression": "import re; re.match(r'(a+)+$', 'a' * 64 + 'b')",
    "sum of a range": "sum(range(10 ** 13))",
    "caught exceptions": "while True:\n        try: raise KeyboardInterrupt\n        except BaseException: pass",
    "ignored signals": "import signal\n    for n in range(1, 32):\n        try: signal.signal(n, signal.SIG_IGN)\n        except (OSError, ValueError): pass\n    while True: pass",
}


@pytest.mark.parametrize("name", LOOPS)
def test_endless_computation_is_a_timeout(sandbox, name):
    result = verdict(sandbox, ADD, f"def add(a, b):\n    {LOOPS[name]}\n", SHORT)
    assert result.tests == ("timeout", "not-run", "not-run"), result
    assert result.outcome is Outcome.RUNTIME_ERROR


def test_endless_computation_at_import_is_a_timeout(sandbox):
    result = verdict(sandbox, ADD, "while True: pass", SHORT)
    assert result.outcome is Outcome.RUNTIME_ERROR
    assert "timeout" in result.cause


def test_tests_before_a_timeout_count(sandbox):
    result = verdict(sandbox, ADD, "def add(a, b):\n    while a == 20: pass\n    return a + b\n", SHORT)
    assert result.tests == ("passed", "timeout", "not-run")
    assert result.outcome is Outcome.PARTIAL


def test_sleeping_past_the_wall_limit_is_not_given_a_second_longer_chance(sandbox):
    code = "import time\ndef add(a, b):\n    time.sleep(0.8)\n    return a + b\n"
    assert verdict(sandbox, ADD, code, dataclasses.replace(QUICK, wall_seconds=0.4)).tests[0] == "timeout"


def test_sleeping_is_ended_by_the_wall(sandbox):
    result = verdict(sandbox, ADD, "import time\ndef add(a, b):\n    time.sleep(1000)\n", dataclasses.replace(QUICK, wall_seconds=0.3))
    assert result.tests[0] == "timeout"
    assert "wall" in result.cause


def test_processor_time_of_children_counts(sandbox):
    code = "import os\ndef add(a, b):\n    for _ in range(3):\n        if os.fork() == 0:\n            while True: pass\n    os.wait()\n"
    result = verdict(sandbox, ADD, code, dataclasses.replace(SHORT, wall_seconds=30))
    assert result.tests[0] == "timeout"
    assert "processor" in result.cause


def test_fork_bomb_is_contained(full):
    code = "import os\ndef add(a, b):\n    while True:\n        try: os.fork()\n        except OSError: pass\n"
    result = verdict(full, ADD, code, SHORT)
    assert result.outcome is Outcome.RUNTIME_ERROR
    still_fair(full)


def test_number_of_processes_is_limited(full):
    body = """
count = 0
try:
    while count < 500:
        if os.fork() == 0:
            time.sleep(30)
        count += 1
except OSError:
    return count
return count
"""
    assert 1 <= answer(full, body, head="import os, time") <= QUICK.processes + 3


def test_number_of_threads_is_limited(full):
    body = """
import threading, time
count = 0
try:
    while count < 500:
        threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
        count += 1
except RuntimeError:
    return count
return count
"""
    assert 1 <= answer(full, body) <= QUICK.processes + 3


def test_memory_bomb_is_an_answer_not_a_crash_of_ours(sandbox):
    result = verdict(sandbox, ADD, "def add(a, b):\n    x = []\n    while True: x.append(bytearray(10 ** 7))\n")
    assert result.tests == ("memory",) * 3
    assert result.peak_mb < QUICK.memory_mb + 100
    still_fair(sandbox)


def test_memory_of_all_processes_together_is_limited(sandbox):
    if any("memory" in item for item in sandbox.isolation().missing):
        pytest.skip("no /proc to measure with")
    code = "import os, time\ndef add(a, b):\n    for _ in range(6):\n        if os.fork() == 0:\n            x = bytearray(os.urandom(1)) * 10 ** 8\n            time.sleep(30)\n    time.sleep(30)\n"
    result = verdict(sandbox, ADD, code, dataclasses.replace(QUICK, wall_seconds=30, cpu_seconds=20))
    assert result.tests[0] == "memory", result


def test_shared_memory_counts(sandbox):
    code = "import mmap\ndef add(a, b):\n    m = mmap.mmap(-1, 10 ** 9)\n    for i in range(0, 10 ** 9, 4096): m[i] = 1\n    return a + b\n"
    result = verdict(sandbox, ADD, code)
    assert result.tests[0] == "memory", result


def test_a_peak_between_two_measurements_counts(sandbox):
    code = f"base = b'x' * ({QUICK.memory_mb - 31} << 20)\ndef add(a, b):\n    y = b'y' * (24 << 20)\n    return a + b\n"
    for _ in range(5):
        result = verdict(sandbox, ADD, code)
        assert result.outcome is not Outcome.PASSED
        assert result.tests[-1] == "memory"  # where a measurement meets the peak of an earlier test, those before it stand


def test_memory_behind_descriptors_is_refused(sandbox):
    if not any("system call filter" in item for item in sandbox.isolation().granted):
        pytest.skip("no system call filter")
    assert answer(sandbox, "try:\n    os.memfd_create('x')\nexcept PermissionError:\n    return True\nreturn False", head="import os") is True


ROOMY = Limits(cpu_seconds=60.0, wall_seconds=200.0, memory_mb=512, output_kb=256)


def test_results_that_together_are_too_much_are_wrong_not_our_failure(sandbox):
    problem = dataclasses.replace(ADD, tests=tuple(CallTest(f"[{n},0]", "1") for n in range(44)))
    result = verdict(sandbox, problem, "def add(a, b):\n    return '\"' * 2000000\n", ROOMY)
    assert result.passed == 0
    assert set(result.tests[:8]) == {"wrong"}


def test_output_that_is_too_much_as_json_is_wrong_not_our_failure(sandbox):
    problem = dataclasses.replace(DOUBLE, tests=tuple(IOTest(f"{n}\n", "1\n") for n in range(45)))
    result = verdict(sandbox, problem, "print('\\0' * 1000000)", dataclasses.replace(ROOMY, output_kb=1024))
    assert result.passed == 0
    assert set(result.tests[:8]) == {"wrong"}


@pytest.mark.honest
def test_large_right_results_pass(sandbox):
    problem = dataclasses.replace(ADD, tests=tuple(CallTest(f"[{n},0]", json.dumps("a" * 3_900_000)) for n in range(10)))
    assert verdict(sandbox, problem, "def add(a, b): return 'a' * 3900000", ROOMY).outcome is Outcome.PASSED


def test_disk_is_limited(full):
    body = """
written = 0
try:
    for n in range(100):
        with open(f'/tmp/{n}', 'wb') as file:
            written += file.write(bytes(1 << 20))
except OSError:
    pass
return written >> 20
"""
    assert answer(full, body) <= QUICK.file_mb


def test_input_cannot_be_made_a_store(sandbox):
    code = "import os, sys\nn = int(input())\ntry:\n    for i in range(64): os.pwrite(0, bytes(1 << 20), i << 20)\nexcept OSError:\n    print(2 * n)\n"
    result = verdict(sandbox, DOUBLE, "import signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n" + code)
    assert result.outcome is Outcome.PASSED, result


def test_one_file_is_limited(sandbox):
    assert (
        answer(sandbox, "try:\n    with open('big', 'wb') as f:\n        f.seek(10 ** 10)\n        f.write(b'x')\nexcept OSError:\n    return 'refused'")
        == "refused"
    )


def test_a_hundred_megabytes_of_output_are_read_and_dropped(sandbox):
    code = "import sys\ndef add(a, b):\n    for _ in range(35): sys.stdout.write('x' * 10 ** 6)\n    return a + b\n"
    result = verdict(sandbox, ADD, code, dataclasses.replace(QUICK, cpu_seconds=10, wall_seconds=60))
    assert result.outcome is Outcome.PASSED


def test_output_without_end_is_a_timeout(sandbox):
    result = verdict(sandbox, DOUBLE, "while True: print('x' * 1000)", SHORT)
    assert result.tests == ("timeout", "not-run")


def test_too_many_descriptors(sandbox):
    assert answer(sandbox, "files = []\ntry:\n    while len(files) < 5000: files.append(open('/dev/null'))\nexcept OSError:\n    return True\nreturn False")


@pytest.mark.parametrize(
    "code",
    [
        "def add(a, b):\n    return add(a, b)",
        "import sys\nsys.setrecursionlimit(10 ** 9)\ndef add(a, b):\n    return add(a, b)",
        "def add(a, b):\n    x = []\n    for _ in range(10 ** 6): x = [x]\n    return x",
        "def add(a, b):\n    x = []\n    x.append(x)\n    return x",
        "def add(a, b):\n    return [0] * 10 ** 7",
        "def add(a, b):\n    return 'x' * (5 << 20)",
        "def add(a, b):\n    return 10 ** 10 ** 6",
        "import sys\nsys.set_int_max_str_digits(0)\ndef add(a, b):\n    return 10 ** 100000",
        "def add(a, b):\n    return {i * (2 ** 61 - 1) for i in range(3000)}",
        "import ctypes\ndef add(a, b):\n    ctypes.string_at(0)",
        "import os, signal\ndef add(a, b):\n    os.kill(os.getpid(), signal.SIGKILL)\n    os._exit(9)",
    ],
)
def test_odd_ends_and_values_are_verdicts(sandbox, code):
    result = verdict(sandbox, ADD, code)
    assert result.passed == 0
    assert "not-run" not in result.tests[:1]
    assert result.cause


@pytest.mark.parametrize(
    "code", ["(" * 100_000, "x = " + "-" * 100_000 + "1", "def f(:", "\0", "x = '\udcff'".encode("utf-8", "surrogatepass").decode("latin-1") + "(", "return 1"]
)
def test_what_does_not_compile_is_a_compile_error(sandbox, code):
    assert verdict(sandbox, ADD, code).outcome is Outcome.COMPILE_ERROR


def test_a_crash_costs_one_test(sandbox):
    result = verdict(sandbox, ADD, "import os\ndef add(a, b):\n    if a == 1: os._exit(1)\n    return a + b\n")
    assert result.tests == ("crashed", "passed", "passed")
    assert result.outcome is Outcome.PARTIAL


def test_assertions_of_a_looping_program(sandbox):
    assert verdict(sandbox, ADD_ASSERT, "def add(a, b):\n    while True: pass", SHORT).tests == ("timeout",)


@pytest.mark.honest
def test_right_answers_still_pass(sandbox):
    assert verdict(sandbox, ADD, RIGHT["add"]).outcome is Outcome.PASSED
