"""That a test which pytest calls is the one the problem has, by its code; and that what a program did to modules is undone."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest
from _pytest.assertion.rewrite import rewrite_asserts

from rrtf.records import File, Limits, Outcome, Problem, PytestTest
from rrtf.sandbox import ProcessConfig, SandboxRuntime, open_sandbox
from rrtf.sandbox.harness import judge
from rrtf.sandbox.inside import genuine

TESTS = """
import unittest, functools
from unittest import mock
import pytest

def wrapped(function):
    @functools.wraps(function)
    def inner(*args, **kwargs):
        return function(*args, **kwargs)
    return inner

def test_plain(): assert 1 + 1 == 2

@pytest.mark.parametrize('n', [1, 2])
@pytest.mark.filterwarnings('ignore')
def test_marked(n): assert n

@wrapped
def test_decorated(): assert True

@mock.patch('os.getcwd')
def test_patched(getcwd): assert getcwd is not None

class Base:
    def test_inherited(self): assert True

class TestOne(Base):
    def test_method(self): assert self
    @staticmethod
    def test_static(): assert True

class TestTwo(unittest.TestCase):
    def test_old(self): self.assertTrue(1)

def make():
    def test_made(): assert True
    return test_made
test_made = make()

if True:
    def test_indented(): assert True
else:
    def test_indented(): assert False

def test_twice(): assert False
def test_twice(): assert True
"""
CHECKED = {"test_plain", "test_marked", "TestOne::test_method", "TestTwo::test_old"}
UNCHECKED = {"test_decorated", "test_patched", "TestOne::test_inherited", "TestOne::test_static", "test_made", "test_indented", "test_twice"}


def codes(text: str, *names: str) -> genuine.Codes:
    return genuine.codes(rewrite_asserts, {"test_a.py": text}, tuple(f"test_a.py::{name}" for name in names))


def test_tests_written_plainly_are_known_by_their_code():
    assert {node.partition("::")[2] for node in codes(TESTS, *CHECKED, *UNCHECKED)} == CHECKED
    assert codes("def test_plain(:", "test_plain") == {}
    assert codes("def test_plain(): return '\\d'", "test_plain")
    assert codes("\0", "test_plain") == codes("\ud800", "test_plain") == {}
    assert codes("def test_plain(): pass # enable_assertion_pass_hook", "test_plain") == {}


@pytest.mark.parametrize("settings", ["", "[pytest]\naddopts = --assert=plain\n", "[pytest]\nenable_assertion_pass_hook = true\n"])
def test_honest_tests_of_every_make_pass(settings):
    names = sorted(CHECKED | UNCHECKED)
    files = (File("test_a.py", TESTS), *((File("pytest.ini", settings),) if settings else ()))
    problem = Problem(name="x", instruction="x", prompt="", entry_point=None, tests=tuple(PytestTest(f"test_a.py::{name}") for name in names), files=files)
    with open_sandbox(ProcessConfig(), SandboxRuntime(workers=1)) as sandbox:
        found = judge(problem, "x = 1\n", sandbox, limits=Limits(cpu_seconds=20.0, wall_seconds=60.0))
    assert found.outcome is Outcome.PASSED, found


def test_a_conftest_may_exchange_tests():
    conftest = "def pytest_collection_modifyitems(items):\n    for item in items:\n        item.obj = lambda: None\n"
    files = (File("test_a.py", "def test_a(): assert False\n"), File("conftest.py", conftest))
    problem = Problem(name="x", instruction="x", prompt="", entry_point=None, tests=(PytestTest("test_a.py::test_a"),), files=files)
    with open_sandbox(ProcessConfig(), SandboxRuntime(workers=1)) as sandbox:
        assert judge(problem, "x = 1\n", sandbox, limits=Limits(cpu_seconds=20.0, wall_seconds=60.0)).outcome is Outcome.PASSED


def compiled(text: str, name: str = "f") -> Any:
    names: dict[str, object] = {}
    exec(compile(text, "somewhere else", "exec"), names)
    return names[name]


def test_a_function_is_known_by_its_code_wherever_it_was_compiled():
    wanted = (compiled("def f(x):\n    return x + 1").__code__,)
    assert genuine.is_one_of(compiled("def f(x):\n    return x + 1"), wanted)
    assert genuine.is_one_of(types.MethodType(compiled("def f(x):\n    return x + 1"), 1), wanted)
    for other in ("def f(x):\n    return x + 2", "def f(y):\n    return y + 1", "def f(x):\n    return x + 1.0", "\ndef f(x):\n    return x + 1"):
        assert not genuine.is_one_of(compiled(other), wanted)


def test_what_only_looks_like_a_function_has_no_code():
    real = compiled("def f(x):\n    return x + 1")
    like = type("Like", (), {"__code__": real.__code__, "__call__": lambda self: None})()
    lying = type("Lying", (), {"__class__": types.FunctionType, "__code__": real.__code__, "__call__": lambda self: None})()
    for other in (like, lying, types.MethodType(like, 1), None, real.__code__):
        assert not genuine.is_one_of(other, (real.__code__,))


def test_modules_are_put_back(monkeypatch):
    module = types.ModuleType("toy")
    exec("class C:\n    def m(self): return 1\n    @property\n    def p(self): return 2\ndef f(a, b=1, *, c=2): return a + b + c\nstate = [1]\n", vars(module))
    monkeypatch.setitem(sys.modules, "toy", module)
    toy: Any = module
    before, kind = genuine.remembered(), toy.C
    toy.f.__code__, toy.f.__defaults__, toy.f.__kwdefaults__ = (lambda a, b, *, c: 0).__code__, (5,), {"c": 7}
    toy.C.m = toy.C.p = lambda self: 0
    toy.f = toy.C = None
    toy.state, toy.more = [2], 1
    genuine.put_back(before)
    assert toy.f(1) == 4
    assert toy.C is kind
    assert (toy.C().m(), toy.C().p) == (1, 2)
    assert toy.state == [2]  # what a module holds besides functions and classes is its state, which a program may change
