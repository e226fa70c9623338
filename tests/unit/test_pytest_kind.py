"""Problems whose tests are pytest files: what passes, what does not, and what is said when it does not."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from rrtf.errors import DataError, SandboxError
from rrtf.records import CallTest, File, Limits, Outcome, Problem, PytestTest, Verdict
from rrtf.sandbox import PlainConfig, ProcessConfig, SandboxRuntime, open_sandbox
from rrtf.sandbox.harness import judge
from rrtf.sandbox.inside.surroundings import lay_out, lay_out_again
from rrtf.sandbox.verdicts import program_of

RIGHT = "def add(a, b):\n    return a + b\n\n\nclass Box:\n    def __init__(self, n):\n        self.n = n\n"
LIMITS = Limits(cpu_seconds=10.0, wall_seconds=60.0)


@pytest.fixture(scope="module", params=["process", "plain"])
def sandbox(request):
    with open_sandbox(ProcessConfig() if request.param == "process" else PlainConfig(backend="plain"), SandboxRuntime(workers=1)) as opened:
        yield opened


def problem(tests: str, *names: str, **files: str) -> Problem:
    beside = tuple(File(path.replace("__", "/").replace("_dot_", "."), text) for path, text in files.items())
    return Problem(
        name="x",
        instruction="x",
        prompt="",
        entry_point=None,
        tests=tuple(PytestTest(f"test_solution.py::{name}") for name in names),
        files=(File("test_solution.py", tests), *beside),
    )


def verdict(sandbox, asked: Problem, code: str = RIGHT) -> Verdict:
    return judge(asked, code, sandbox, limits=LIMITS)


GOOD_TESTS = """
import unittest
from pathlib import Path

import pytest
import helper
from solution import Box, add


@pytest.fixture
def three():
    yield 3


@pytest.fixture(scope="module")
def opened():
    return []


@pytest.mark.parametrize(("a", "b", "total"), [(1, 2, 3), (2, 3, 5)])
def test_parameters(a, b, total):
    assert add(a, b) == total


def test_fixtures(three, seven, opened):
    opened.append(1)
    assert add(three, seven) == 10


def test_built_in_fixtures(capsys, monkeypatch, tmp_path):
    print("hello")
    assert capsys.readouterr().out == "hello\\n"
    monkeypatch.setattr(helper, "N", 3)
    assert helper.N == 3
    (tmp_path / "a").write_text("x")


def test_files():
    assert Path("data/numbers.txt").read_text() == "1 2"


def test_raises():
    with pytest.raises(TypeError):
        add(1, "a")


class TestBox:
    def test_method(self):
        assert Box(2).n == helper.N


class Old(unittest.TestCase):
    def setUp(self):
        self.box = Box(1)

    def test_old(self):
        self.assertEqual(add(self.box.n, 2), 3)
"""
GOOD_NAMES = ("test_parameters", "test_fixtures", "test_built_in_fixtures", "test_files", "test_raises", "TestBox::test_method", "Old::test_old")
BESIDE = {"conftest_dot_py": "import pytest\n\n@pytest.fixture\ndef seven():\n    return 7\n", "helper_dot_py": "N = 2\n", "data__numbers_dot_txt": "1 2"}


def test_fixtures_parameters_classes_and_files_work(sandbox):
    asked = problem(GOOD_TESTS, *GOOD_NAMES, **BESIDE)
    found = verdict(sandbox, asked)
    assert found.outcome is Outcome.PASSED, found
    wrong = verdict(sandbox, asked, RIGHT.replace("a + b", "a - b"))
    assert wrong.tests == ("wrong", "wrong", "passed", "passed", "passed", "passed", "wrong")
    assert wrong.outcome is Outcome.PARTIAL
    assert wrong.cause.startswith("test 0: AssertionError: assert -1 == 3")


def test_the_module_may_have_another_name(sandbox):
    asked = replace(problem("from mine import add\n\ndef test_add():\n    assert add(1, 2) == 3\n", "test_add"), module="mine")
    assert verdict(sandbox, asked).outcome is Outcome.PASSED


BAD_TESTS = """
import os, sys
import pytest
from solution import add

def test_wrong(): assert add(1, 1) == 3
def test_fails(): pytest.fail("so it is")
def test_does_not_raise():
    with pytest.raises(ValueError): add(1, 1)
def test_error(): add(1, None)
@pytest.mark.skip
def test_skipped(): pass
@pytest.mark.xfail
def test_expected_to_fail(): assert add(1, 1) == 3
@pytest.mark.xfail
def test_passes_unexpectedly(): assert add(1, 1) == 2
@pytest.fixture
def broken(): raise KeyError("a")
def test_broken_fixture(broken): pass
@pytest.fixture
def dirty():
    yield
    raise KeyError("b")
def test_broken_teardown(dirty): pass
@pytest.mark.parametrize("n", [2, 3])
def test_one_of_two(n): assert add(1, 1) == n
def test_exits(): sys.exit(0)
def test_ends_the_process(): os._exit(0)
async def test_coroutine(): assert False
def test_after(): assert add(0, 0) == 0
def test_leaves_pytest(): pytest.exit("bye", returncode=0)
def test_last(): assert add(0, 0) == 0
"""
EXPECTED = {
    "test_wrong": ("wrong", "assert 2 == 3"),
    "test_fails": ("wrong", "so it is"),
    "test_does_not_raise": ("wrong", "DID NOT RAISE"),
    "test_error": ("raised", "TypeError"),
    "test_skipped": ("wrong", "skipped, which proves nothing"),
    "test_expected_to_fail": ("wrong", "expected to fail, which proves nothing"),
    "test_passes_unexpectedly": ("wrong", "expected to fail, which proves nothing"),
    "test_broken_fixture": ("raised", "KeyError"),
    "test_broken_teardown": ("raised", "KeyError"),
    "test_one_of_two": ("wrong", "assert 2 == 3"),
    "test_exits": ("raised", "SystemExit"),
    "test_ends_the_process": ("crashed", "exit status 0"),
    "test_missing": ("raised", "no such test"),
}


def test_what_is_no_pass(sandbox):
    execution = sandbox.run(program_of(problem(BAD_TESTS, *EXPECTED, "test_after"), RIGHT, LIMITS))
    *replies, last = execution.replies
    assert last.status == "passed"
    for (name, (status, words)), reply in zip(EXPECTED.items(), replies, strict=True):
        assert (reply.status, words in reply.error) == (status, True), (name, reply)


def test_a_coroutine_nobody_waits_for_is_no_pass(sandbox):
    assert verdict(sandbox, problem(BAD_TESTS, "test_coroutine")).outcome is not Outcome.PASSED


def test_leaving_pytest_ends_the_tests_after_it(sandbox):
    found = verdict(sandbox, problem(BAD_TESTS, "test_after", "test_leaves_pytest", "test_last"))
    assert found.tests == ("passed", "raised", "raised")


@pytest.mark.parametrize(
    ("code", "outcome", "words"),
    [
        ("def add(a, b:\n    return 1\n", Outcome.COMPILE_ERROR, "SyntaxError"),
        ("raise ValueError('no')\n", Outcome.RUNTIME_ERROR, "before the tests: ValueError: no"),
        ("def plus(a, b):\n    return a + b\n", Outcome.RUNTIME_ERROR, "cannot import name 'add' from 'solution' (solution.py)"),
    ],
)
def test_programs_that_do_not_get_as_far_as_their_tests(sandbox, code, outcome, words):
    found = verdict(sandbox, problem(BAD_TESTS, "test_after"), code)
    assert (found.outcome, found.passed) == (outcome, 0)
    assert words in found.cause


def test_a_loop_costs_its_time(sandbox):
    found = judge(problem(BAD_TESTS, "test_after", "test_wrong"), "def add(a, b):\n    while True: pass\n", sandbox, limits=Limits(cpu_seconds=1.5))
    assert found.tests[0] == "timeout"


def test_other_programs_see_no_pytest():
    with open_sandbox(ProcessConfig(), SandboxRuntime(workers=1)) as sandbox:
        assert verdict(sandbox, problem(BAD_TESTS, "test_after")).outcome is Outcome.PASSED
        asked = Problem(name="y", instruction="y", prompt="", entry_point="f", tests=(CallTest("[]", "0"),))
        found = verdict(sandbox, asked, "def f():\n    import pytest\n    return 0\n")
    assert found.tests == ("raised",)
    assert "No module named 'pytest'" in found.cause


def test_pytest_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytest", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    from rrtf.sandbox.packages import package_paths

    package_paths.cache_clear()
    with open_sandbox(ProcessConfig(), SandboxRuntime(workers=1)) as sandbox, pytest.raises(SandboxError, match="pytest is not installed here"):
        verdict(sandbox, problem(BAD_TESTS, "test_after"))
    package_paths.cache_clear()


def test_a_test_without_its_file_is_named(sandbox):
    with pytest.raises(DataError, match=r"a test test_solution.py::test_after, but no such file"):
        verdict(sandbox, replace(problem(BAD_TESTS, "test_after"), files=()))


def test_folders_and_files_are_laid_out_again_as_they_were(tmp_path, monkeypatch):
    files = {"checks/deep/test_laid_out.py": "x = 1\n", "checks/conftest.py": "y = 1\n", "data/numbers.txt": "1"}
    root, other = tmp_path / "root", tmp_path / "other"
    for folder in (root, other / "deep"):
        folder.mkdir(parents=True)
    monkeypatch.chdir(root)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    lay_out(files)
    (root / "checks").rename(tmp_path / "gone")
    (root / "checks").symlink_to(other)
    (other / "deep" / "conftest.py").write_text("z = 1\n")
    (root / "conftest.py").mkdir()
    (root / "pytest.ini").write_text("[pytest]\n")
    (root / "data" / "numbers.txt").unlink()
    (root / "data" / "numbers.txt").symlink_to(other / "numbers.txt")
    monkeypatch.chdir(tmp_path)
    lay_out_again(str(root), files, ("checks/deep/test_laid_out.py::test_a",))
    assert {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()} == files
    assert not any(path.is_symlink() for path in root.rglob("*"))
    assert [path.name for path in (other / "deep").iterdir()] == ["conftest.py"]  # what lies elsewhere is left alone
