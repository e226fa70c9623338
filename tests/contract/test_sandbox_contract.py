"""What every sandbox backend must do, run against each of them: `process` at full and at reduced isolation, and `plain`."""

# ruff: noqa: E501 - programs and values on one line each
from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from rrtf import values
from rrtf.errors import SandboxError
from rrtf.protocols import Program
from rrtf.records import AssertTest, CallTest, File, IOTest, Limits, PytestTest
from rrtf.sandbox.packages import package_paths
from rrtf.sandbox.plain import PlainSandbox
from rrtf.sandbox.process import ProcessSandbox

BACKENDS = {
    "process": ProcessSandbox,
    "process without namespaces": lambda **options: ProcessSandbox(namespaces=False, **options),
    "plain": PlainSandbox,
}
LIMITS = Limits(cpu_seconds=3.0, wall_seconds=10.0, memory_mb=256, processes=16, file_mb=4, output_kb=8)


@pytest.fixture(scope="module", params=BACKENDS)
def make(request):
    return BACKENDS[request.param]


@pytest.fixture(scope="module")
def sandbox(make):
    with make(workers=2) as opened:
        yield opened


def call(source: str, *arguments: str, limits: Limits = LIMITS, entry: str = "f") -> Program:
    return Program(source, entry, tuple(CallTest(text, "null") for text in arguments), limits)


def test_calls_return_values(sandbox):
    execution = sandbox.run(call("def f(*a, **k):\n    return a, k", "[1,[2.5,null,true]]", '["x"]'))
    assert [reply.status for reply in execution.replies] == ["passed", "passed"]
    assert values.loads(execution.replies[0].value) == ((1, [2.5, None, True]), {})
    assert execution.compile_error == execution.load_error == ""
    assert execution.cpu_seconds > 0
    assert execution.wall_seconds > 0
    assert 1 < execution.peak_mb < 256


@pytest.mark.parametrize(
    "value",
    [None, True, -3, 10**30, 1.5, float("inf"), "é\n\U0001f600", b"\0\xff", [1, [2]], (1, (2,)), {1, 2}, frozenset("ab"), {"a": 1}, {1: (2,)}, {"$set": 1}, 1j],
)
def test_values_survive_both_ways(sandbox, value):
    (reply,) = sandbox.run(call("def f(x):\n    return x", values.dumps([value]))).replies
    assert values.loads(reply.value) == value
    assert type(values.loads(reply.value)) is type(value)


def test_keyword_arguments(sandbox):
    program = Program("def f(a, *, b):\n    return a - b", "f", (CallTest("[5]", "3", kwargs='{"b":2}'),), LIMITS)
    assert sandbox.run(program).replies[0].value == "3"


def test_arguments_are_fresh_for_every_call(sandbox):
    execution = sandbox.run(call("def f(x):\n    x.append(1)\n    return x", "[[]]", "[[]]"))
    assert [reply.value for reply in execution.replies] == ["[1]", "[1]"]


def test_subclasses_are_reduced_to_what_they_hold(sandbox):
    source = "from collections import Counter, namedtuple\nfrom enum import IntEnum\nP = namedtuple('P', 'a b')\nclass E(IntEnum):\n    x = 4\ndef f():\n    return [Counter('aab'), P(1, 2), E.x]"
    assert values.loads(sandbox.run(call(source, "[]")).replies[0].value) == [{"a": 2, "b": 1}, (1, 2), 4]


def test_exceptions_name_their_classes(sandbox):
    (reply,) = sandbox.run(call("class Odd(ValueError): pass\ndef f():\n    raise Odd('so\\nso')", "[]")).replies
    assert reply.status == "raised"
    assert reply.error == "Odd: so so"
    assert reply.value.startswith('["Odd", "ValueError", ')


def test_compile_and_load_errors(sandbox):
    execution = sandbox.run(call("def f(:", "[]"))
    assert execution.compile_error.startswith("SyntaxError")
    assert execution.replies == ()
    execution = sandbox.run(call("raise KeyError('x')", "[]"))
    assert execution.load_error == "KeyError: 'x'"
    assert execution.replies == ()
    assert "f" in sandbox.run(call("g = 1", "[]")).load_error
    assert sandbox.run(call("f = 1", "[]")).load_error


def test_assertions_finish_fail_and_raise(sandbox):
    tests = tuple(
        AssertTest(code)
        for code in ("assert f(1) == 2", "assert f(1) == 3, 'no'", "import nothing_of_the_kind", "def check(c):\n    assert c(2) == 3\ncheck(f)")
    )
    execution = sandbox.run(Program("def f(x):\n    assert x >= 0\n    return x + 1", "f", (*tests, AssertTest("f(-1)")), LIMITS))
    assert [reply.status for reply in execution.replies] == ["passed", "wrong", "raised", "passed", "raised"]


def test_stdin_and_stdout(sandbox):
    source = "import sys\nif __name__ == '__main__':\n    for line in sys.stdin:\n        print(line.strip()[::-1])\n    sys.exit(0)"
    execution = sandbox.run(Program(source, None, (IOTest("ab\ncd\n", ""), IOTest("", ""), IOTest("é", "")), LIMITS))
    assert [(reply.status, reply.value) for reply in execution.replies] == [("passed", "ba\ndc\n"), ("passed", ""), ("passed", "é\n")]


def test_exit_status_of_programs_that_read_stdin(sandbox):
    source = "import sys\nprint('out')\nsys.exit(int(input()))"
    execution = sandbox.run(Program(source, None, (IOTest("0", ""), IOTest("3", "")), LIMITS))
    assert [reply.status for reply in execution.replies] == ["passed", "raised"]


@pytest.mark.parametrize(("end", "status"), [("exit()", "passed"), ("quit()", "passed"), ("exit(0)", "passed"), ("exit(1)", "raised")])
def test_programs_may_end_as_the_interactive_interpreter_does(sandbox, end, status):
    (reply,) = sandbox.run(Program(f"print(2 * int(input()))\n{end}\nprint('after')", None, (IOTest("4\n", ""),), LIMITS)).replies
    assert reply.status == status
    assert reply.value == "8\n" or "SystemExit: 1" in reply.error


def test_names_that_every_interpreter_starts_with_are_there(sandbox):
    source = "def f():\n    return [name for name in ('exit', 'quit', 'help', 'license', 'credits', 'copyright') if not hasattr(__import__('builtins'), name)]"
    assert sandbox.run(call(source, "[]")).replies[0].value == "[]"


def test_main_block_does_not_run_for_calls(sandbox):
    source = "seen = []\nif __name__ == '__main__':\n    seen.append(input())\ndef f():\n    return seen"
    assert sandbox.run(call(source, "[]")).replies[0].value == "[]"


def test_dataclasses_and_annotations_work(sandbox):
    source = "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom typing import *\n@dataclass\nclass P:\n    x: List[int]\ndef f() -> Optional[int]:\n    return len(P([1]).x)"
    assert sandbox.run(call(source, "[]")).replies[0].value == "1"


def test_output_is_kept_up_to_the_limit(sandbox):
    execution = sandbox.run(call("import sys\ndef f():\n    print('x' * 100000)\n    sys.stderr.write('y' * 100000)\n    return 1", "[]"))
    assert execution.replies[0].value == "1"
    assert execution.stdout == "x" * 8192
    assert execution.stderr == "y" * 8192


def test_a_crash_costs_one_test(sandbox):
    execution = sandbox.run(call("import os\ndef f(x):\n    return x if x else os._exit(3)", "[1]", "[0]", "[2]"))
    assert [reply.status for reply in execution.replies] == ["passed", "crashed", "passed"]
    assert "3" in execution.replies[1].error


def test_a_timeout_ends_the_program(sandbox):
    execution = sandbox.run(call("def f(x):\n    while not x: pass\n    return x", "[1]", "[0]", "[2]", limits=Limits(cpu_seconds=0.3, wall_seconds=20)))
    assert [reply.status for reply in execution.replies] == ["passed", "timeout", "not-run"]
    assert execution.cpu_seconds >= 0.3


def test_memory_is_limited(sandbox):
    (reply,) = sandbox.run(call("def f():\n    return len(bytearray(10 ** 9))", "[]")).replies
    assert reply.status == "memory"


def test_the_directory_is_private_and_empty(sandbox):
    source = "import os\ndef f():\n    seen = os.listdir('.')\n    open('x', 'w').write('1')\n    return seen, os.environ['HOME'] == os.getcwd()"
    for _ in range(2):
        assert values.loads(sandbox.run(call(source, "[]")).replies[0].value) == ([], True)


def test_hash_order_and_chance_are_the_same_every_time(make):
    source = "import random\ndef f():\n    return [hash('a'), list({'a', 'b', 'c', 'd'}), random.random()]"
    seen = set()
    for _ in range(2):
        with make(workers=1) as sandbox:
            seen.add(sandbox.run(call(source, "[]")).replies[0].value)
    assert len(seen) == 1


def test_another_hash_seed_is_another_order_of_sets(make):
    program = call("def f():\n    return hash('a'), list({'a', 'b', 'c', 'd', 'e', 'f'})", "[]")
    seen = {}
    for seed in (0, 1, 1):
        with make(workers=1, hash_seed=seed) as sandbox:
            seen.setdefault(seed, set()).add(sandbox.run(program).replies[0].value)
    assert [len(values) for values in seen.values()] == [1, 1]
    assert seen[0] != seen[1]


def test_programs_without_tests_run(sandbox):
    execution = sandbox.run(Program("x = 1", None, (), LIMITS))
    assert (execution.compile_error, execution.load_error, execution.replies) == ("", "", ())


def test_many_assertions(sandbox):
    execution = sandbox.run(Program("def f():\n    return 1", "f", tuple(AssertTest("assert f()") for _ in range(300)), LIMITS))
    assert {reply.status for reply in execution.replies} == {"passed"}
    assert len(execution.replies) == 300


def test_several_threads_share_it(sandbox):
    def one(number: int) -> str:
        return sandbox.run(call("def f(x):\n    return x * x", f"[{number}]")).replies[0].value

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(12))) == [str(n * n) for n in range(12)]


def test_isolation_is_said_plainly(sandbox):
    isolation = sandbox.isolation()
    assert any("processor time" in item for item in isolation.granted)
    assert all("(" in item and item.endswith(")") for item in isolation.missing)
    assert not set(isolation.granted) & set(isolation.missing)


def test_closing_leaves_nothing_behind_and_is_final(make):
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    threads = threading.active_count()
    sandbox = make(workers=2)
    sandbox.run(call("def f():\n    return 1", "[]"))
    sandbox.close()
    sandbox.close()
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before
    assert threading.active_count() == threads
    with pytest.raises(SandboxError, match="closed"):
        sandbox.run(call("def f():\n    return 1", "[]"))


def test_temporary_files_lie_in_the_programs_own_directory(sandbox):
    source = "import os, tempfile\ndef f():\n    with tempfile.NamedTemporaryFile() as file:\n        return os.path.dirname(file.name) == os.getcwd()"
    assert sandbox.run(call(source, "[]")).replies[0].value == "true"


def test_truth_and_identity_travel_without_the_value(sandbox):
    source = "class Odd:\n    def __bool__(self): return False\ndef f(x):\n    return [Odd(), object(), True, 1, None, []][x]"
    numbers = range(6)
    tests = tuple(CallTest(f"[{x}]", "true", match=match) for match in ("truth", "is") for x in numbers)
    replies = sandbox.run(Program(source, "f", tests, LIMITS)).replies
    assert [reply.value for reply in replies[:6]] == ["false", "true", "true", "true", "false", "false"]
    assert [reply.value in ("true", "false", "null") for reply in replies[6:]] == [False, False, True, False, True, False]


def test_what_python_calls_equal_to_plain_data_travels_as_that(sandbox):
    source = "from decimal import Decimal\nfrom fractions import Fraction\ndef f():\n    return [Decimal('1.50'), Fraction(1, 3), {1: 2}.keys(), {1: 2}.items(), bytearray(b'a')]"
    assert (
        sandbox.run(call(source, "[]")).replies[0].value
        == '[{"$decimal":"15E-1"},{"$fraction":[1,3]},{"$set":[1]},{"$set":[{"$tuple":[1,2]}]},{"$bytes":"61"}]'
    )


SOLUTION = "class Solution:\n    made = 0\n    def __init__(self):\n        Solution.made += 1\n        self.seen = []\n    def add(self, x):\n        self.seen.append(x)\n        return self.seen, Solution.made"


def test_methods_are_called_on_a_new_instance_for_each_test(sandbox):
    replies = sandbox.run(call(SOLUTION, "[1]", "[2]", entry="Solution().add")).replies
    assert [values.loads(reply.value) for reply in replies] == [([1], 1), ([2], 2)]
    tests = (AssertTest("assert candidate(5) == ([5], 1)\nassert candidate(6)[0] == [5, 6]"), AssertTest("assert candidate(7)[0] == [7]"))
    assert [reply.status for reply in sandbox.run(Program(SOLUTION, "Solution().add", tests, LIMITS)).replies] == ["passed", "passed"]


def test_a_missing_class_or_method_is_the_programs_fault(sandbox):
    execution = sandbox.run(call("def f(x): return x", "[1]", entry="Solution().add"))
    assert "there is no class Solution" in execution.load_error
    (reply,) = sandbox.run(call(SOLUTION, "[1]", entry="Solution().sub")).replies
    assert (reply.status, "sub" in reply.error) == ("raised", True)


def test_files_lie_in_the_working_directory_of_every_process(sandbox):
    files = (File("data/numbers.txt", "1 2\r\n"), File("helper.py", "N = 4\n"))
    source = "import os, helper\ndef f(x):\n    return open('data/numbers.txt', newline='').read() + str(helper.N) if x else os._exit(1)"
    execution = sandbox.run(Program(source, "f", tuple(CallTest(text, "null") for text in ("[1]", "[0]", "[1]")), LIMITS, files))
    assert [reply.status for reply in execution.replies] == ["passed", "crashed", "passed"]
    assert execution.replies[2].value == values.dumps("1 2\r\n4")
    printed = Program("print(open('data/numbers.txt').read(), input())", None, (IOTest("x", ""), IOTest("y", "")), LIMITS, files)
    assert [reply.value for reply in sandbox.run(printed).replies] == ["1 2\n x\n", "1 2\n y\n"]


def test_equal_texts_are_one_object_as_in_a_program(sandbox):
    (reply,) = sandbox.run(call("def f(x, y):\n    return [x is y, x is 'day']", '["day","day"]')).replies
    assert reply.value == "[true,true]"


def test_pytest_files_run_where_pytest_may_be_imported(make):
    files = (File("test_f.py", "from mine import f\n\ndef test_one(tmp_path):\n    assert f() == 1\n\ndef test_two():\n    assert f() == 2\n"),)
    tests = (PytestTest("test_f.py::test_one"), PytestTest("test_f.py::test_two"))
    with make(workers=1, packages=package_paths(("pytest",))) as sandbox:
        execution = sandbox.run(Program("def f(): return 1", None, tests, Limits(), files, "mine"))
    assert [reply.status for reply in execution.replies] == ["passed", "wrong"]
    assert execution.replies[0].value == ""
