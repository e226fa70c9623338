"""Ways to judge one hostile program, shared by the adversarial tests."""

from __future__ import annotations

from rrtf.protocols import Program
from rrtf.records import AssertTest, CallTest, File, IOTest, Limits, Outcome, Problem, PytestTest, Verdict
from rrtf.sandbox.harness import judge

QUICK = Limits(cpu_seconds=2.0, wall_seconds=6.0, memory_mb=256, processes=16, file_mb=8, output_kb=64)
WITH_PYTEST = Limits(cpu_seconds=6.0, wall_seconds=20.0, memory_mb=256, processes=16, file_mb=8, output_kb=64)

ADD = Problem(
    name="add",
    instruction="Add two numbers.",
    prompt="",
    entry_point="add",
    tests=(CallTest("[1,2]", "3"), CallTest("[20,22]", "42"), CallTest("[-1,-1]", "-2")),
)
ADD_ASSERT = Problem(
    name="add-assert",
    instruction="Add two numbers.",
    prompt="",
    entry_point="add",
    tests=(AssertTest("def check(candidate):\n    assert candidate(1, 2) == 3\n    assert abs(candidate(20, 22.5) - 42.5) < 1e-6\n\ncheck(add)"),),
)
ADD_PYTEST = Problem(
    name="add-pytest",
    instruction="Add two numbers.",
    prompt="",
    entry_point="add",
    tests=(PytestTest("test_add.py::test_small"), PytestTest("test_add.py::test_large")),
    files=(
        File(
            "test_add.py",
            "import pytest\nfrom solution import add\n\n\n@pytest.mark.parametrize('n', [1, 2])\ndef test_small(n):\n    assert add(n, 2) == n + 2\n\n\n"
            "def test_large():\n    assert add(20, 22) == 42\n",
        ),
    ),
)
DOUBLE = Problem(name="double", instruction="Print twice the number read.", prompt="", entry_point=None, tests=(IOTest("4\n", "8\n"), IOTest("-21\n", "-42\n")))
RIGHT = {"add": "def add(a, b):\n    return a + b\n", "add-assert": "def add(a, b):\n    return a + b\n", "double": "print(2 * int(input()))\n"}


def verdict(sandbox, problem: Problem, code: str, limits: Limits = QUICK) -> Verdict:
    return judge(problem, code, sandbox, limits=limits)


def answer(sandbox, body: str, limits: Limits = QUICK, head: str = "") -> object:
    """What a function with this body returns inside."""
    from rrtf import values

    code = head + "\ndef f():\n" + "\n".join("    " + line for line in body.strip().splitlines())
    execution = sandbox.run(Program(code, "f", (CallTest("[]", "null"),), limits))
    assert not execution.load_error, execution.load_error
    (reply,) = execution.replies
    assert reply.status == "passed", reply
    return values.loads(reply.value)


def still_fair(sandbox) -> None:
    """The sandbox judges right and wrong answers as before."""
    for problem in (ADD, ADD_ASSERT, DOUBLE):
        assert verdict(sandbox, problem, RIGHT[problem.name]).outcome is Outcome.PASSED
    assert verdict(sandbox, ADD, "def add(a, b):\n    return a - b\n").outcome is Outcome.PARTIAL
