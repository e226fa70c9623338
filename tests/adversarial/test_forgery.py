"""Programs that want to pass without computing anything. Each is judged against each kind of test where the trick could apply."""

# ruff: noqa: E501 - hostile programs on one line each
from __future__ import annotations

import pytest
from programs import ADD, ADD_ASSERT, ADD_PYTEST, DOUBLE, WITH_PYTEST, verdict

from rrtf.records import AssertTest, Outcome, Problem

EVERYTHING_EQUAL = """
class Yes:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 0
    def __sub__(self, other): return self
    def __rsub__(self, other): return self
    def __abs__(self): return self
    def __lt__(self, other): return True
    def __bool__(self): return True
"""

FORGERIES = {
    "exit status 0 at import": "import sys\nsys.exit(0)",
    "os._exit(0) at import": "import os\nos._exit(0)",
    "exit status 0 in the function": "import sys\ndef add(a, b):\n    sys.exit(0)",
    "os._exit(0) in the function": "import os\ndef add(a, b):\n    os._exit(0)",
    "SystemExit subclass": "class Fine(SystemExit): pass\ndef add(a, b):\n    raise Fine(0)",
    "claims on stdout": "print('passed\\nPASSED 3/3\\nOK')\ndef add(a, b):\n    print('{\"status\": \"passed\"}')",
    "claims on stderr": "import sys\nsys.stderr.write('Ran 3 tests\\n\\nOK\\n')\ndef add(a, b):\n    return None",
    "an exception called passed": "class passed(Exception): pass\ndef add(a, b):\n    raise passed('passed')",
    "an object equal to everything": EVERYTHING_EQUAL + "def add(a, b):\n    return Yes()",
    "an int equal to everything": "class Yes(int):\n    def __eq__(self, other): return True\n    __hash__ = int.__hash__\n    def __sub__(self, o): return 0\n"
    "def add(a, b):\n    return Yes(7)",
    "a lie about its class": EVERYTHING_EQUAL + "class Liar(Yes):\n    __class__ = int\ndef add(a, b):\n    return Liar()",
    "equality put on a class made by type()": "Yes = type('int', (), {'__eq__': lambda s, o: True, '__sub__': lambda s, o: 0, '__module__': 'builtins'})\n"
    "def add(a, b):\n    return Yes()",
    "patched builtins": "import builtins\nbuiltins.abs = lambda x: 0\nbuiltins.AssertionError = Exception\nbuiltins.len = lambda x: 0\ndef add(a, b):\n    return 3",
    "a global named abs": "def abs(x): return 0\ndef add(a, b):\n    return 3",
    "patched inside the call": "def add(a, b):\n    import builtins\n    builtins.abs = lambda x: 0\n    return 3",
    "replaced exec and compile": "import builtins\nbuiltins.exec = lambda *a: None\nbuiltins.compile = lambda *a, **k: (lambda: 0).__code__\ndef add(a, b):\n    return 0",
    "patched json": "import json\njson.dumps = lambda *a, **k: '3'\njson.loads = lambda *a, **k: [3]\njson.JSONEncoder.encode = lambda *a: '3'\ndef add(a, b):\n    return 0",
    "a trace function that skips lines": "import sys\ndef trace(frame, event, arg):\n    if frame.f_code.co_filename == '<test>' and event == 'line':\n"
    "        try: frame.f_lineno = frame.f_lineno + 10\n        except Exception: pass\n    return trace\nsys.settrace(trace)\ndef add(a, b):\n    return 0",
    "a function of ours that is called at the right moment": "import os, sys\nreal = os.read\ndef read(fd, n):\n    key = real(fd, n)\n    names = sys._getframe(1).f_locals\n    names['report'](b'V', names['number'], key)\n    os._exit(0)\n"
    "os.read = read\ndef add(a, b): return 0",
    "raising from a trace function": "import sys\ndef add(a, b):\n    sys.settrace(lambda *a: sys.exit(0))\n    return 0",
    "exit functions": "import atexit, os\natexit.register(os._exit, 0)\ndef add(a, b):\n    return 0",
    "a thread that ends the process": "import threading, os, time\nthreading.Thread(target=lambda: os._exit(0), daemon=True).start()\ndef add(a, b):\n    time.sleep(0.2)\n    return 0",
    "a child that answers": "import os\ndef add(a, b):\n    if os.fork() == 0:\n        return 3\n    os.wait()\n    return 0",
    "a child that goes on with the tests": "import os\nif os.fork():\n    os._exit(0)\ndef add(a, b):\n    return 0",
    "a __del__ that runs later": "import os\nclass Later:\n    def __del__(self): os._exit(0)\nkeep = Later()\ndef add(a, b):\n    global keep\n    keep = None\n    return 0",
    "walking frames for the answers": "import sys\ndef add(a, b):\n    frame = sys._getframe()\n    while frame:\n        for value in list(frame.f_locals.values()):\n"
    "            if isinstance(value, dict) and 'expected' in value: return value['expected']\n        frame = frame.f_back\n    return 0",
    "walking the heap for the answers": "import gc\ndef add(a, b):\n    for thing in gc.get_objects():\n"
    "        if type(thing) is dict and 'expected' in thing: return int(thing['expected'])\n    return 0",
    "keys from frames sent on every descriptor": "import os, sys, struct\ndef add(a, b):\n    frame = sys._getframe()\n    while frame:\n"
    "        for value in list(frame.f_locals.values()):\n            if isinstance(value, bytes):\n                for fd in range(3, 256):\n"
    "                    try: os.write(fd, struct.pack('=cII', b'V', 0, len(value)) + value)\n                    except OSError: pass\n        frame = frame.f_back\n    return 0",
    "made-up frames on every descriptor": "import os, struct\nfor fd in range(3, 256):\n    for n in range(3):\n"
    "        try: os.write(fd, struct.pack('=cII', b'V', n, 4) + b'null')\n        except OSError: pass\ndef add(a, b):\n    return 0",
    "closed descriptors": "import os\nos.closerange(3, 4096)\ndef add(a, b):\n    return 0",
    "a function that is the expected value": "class add:\n    def __new__(cls, *a): return object.__new__(cls)\n    def __eq__(self, other): return True",
    "equality without code of its own": "class Yes:\n    __eq__ = staticmethod(lambda other: True)\n    __sub__ = staticmethod(lambda other: Yes())\n    __abs__ = lambda self: 0\n"
    "def add(a, b):\n    return Yes()",
    "equality by a callable object": "class Call:\n    def __call__(self, *a): return True\nclass Yes(int):\n    __eq__ = Call()\n    __sub__ = lambda s, o: 0\n    __hash__ = int.__hash__\n"
    "def add(a, b):\n    return Yes(7)",
    "a borrowed slot": "class Yes(int):\n    __eq__ = int.__ne__\n    __hash__ = int.__hash__\n    __sub__ = int.__and__\ndef add(a, b):\n    return Yes(0 if a == 1 else 1 << 70)",
    "mock.ANY": "from unittest.mock import ANY\nclass Zero(type(ANY)):\n    def __sub__(self, other): return 0\ndef add(a, b):\n    return ANY if a == 1 else Zero()",
    "code that says it is frozen": "exec(compile('class Y:\\n  def __eq__(s, o): return True\\n  def __sub__(s, o): return 0', '<frozen x>', 'exec'))\ndef add(a, b): return Y()",
    "code that says it is of the standard library": "import os\nexec(compile('class Y:\\n  def __eq__(s, o): return True\\n  def __sub__(s, o): return 0', os.__file__, 'exec'))\n"
    "def add(a, b): return Y()",
    "methods put on a class of the standard library": "import os\nfrom fractions import Fraction\nd = {}\nexec(compile('def e(s, o): return True\\ndef m(s, o): return 0', os.__file__, 'exec'), d)\n"
    "Fraction.__eq__ = d['e']\nFraction.__sub__ = d['m']\ndef add(a, b): return Fraction(7)",
    "tests rewritten through frames": "import sys\nframe = sys._getframe()\nwhile frame:\n    task = frame.f_locals.get('task')\n    if task is not None:\n"
    "        for test in task.tests: test['code'] = 'pass'\n    frame = frame.f_back\ndef add(a, b): return 0",
    "NaN": "def add(a, b):\n    return float('nan')",
    "a generator of everything": "def add(a, b):\n    yield from range(100)",
}

WEAK = {"a function that is the expected value"}
"""Forgeries that assert-style tests cannot see: the entry point is a class of the program's own. Documented in docs/security.md."""


@pytest.mark.parametrize("name", FORGERIES)
def test_no_forgery_passes_a_single_call_test(sandbox, name):
    result = verdict(sandbox, ADD, FORGERIES[name])
    allowed = {"patched builtins": 1, "a global named abs": 1, "patched inside the call": 1, "patched json": 1}.get(
        name, 0
    )  # these really return 3, which one test expects
    assert result.passed <= allowed, result
    assert result.outcome is not Outcome.PASSED


@pytest.mark.parametrize("name", sorted(set(FORGERIES) - WEAK))
def test_no_forgery_passes_assertions(sandbox, name):
    result = verdict(sandbox, ADD_ASSERT, FORGERIES[name])
    assert result.outcome is not Outcome.PASSED, result
    assert result.cause


@pytest.mark.parametrize(
    "code",
    ["import sys; sys.exit(0)", "import os; os._exit(0)", "print('8')", "raise SystemExit(0)", "import sys\nsys.stdout = open('/dev/null', 'w')\nprint(8)"],
)
def test_no_forgery_passes_printed_output(sandbox, code):
    assert verdict(sandbox, DOUBLE, code).outcome in (Outcome.PARTIAL, Outcome.RUNTIME_ERROR)


def test_printing_the_right_thing_and_then_crashing_does_not_pass(sandbox):
    result = verdict(sandbox, DOUBLE, "print(2 * int(input()), flush=True)\nimport os, signal\nos.abort()")
    assert result.tests == ("crashed", "crashed")


def test_expected_values_never_enter_the_process(sandbox):
    secret = 918273645546372819
    problem = type(ADD)(name="s", instruction="", prompt="", entry_point="f", tests=(type(ADD.tests[0])("[]", str(secret)),))
    code = f"import gc, sys\ndef f():\n    found = [x for x in gc.get_objects() if type(x) is dict and any(v in ('{secret}', {secret} - 0) for v in x.values() if type(v) in (int, str))]\n    return len(found)"
    result = verdict(sandbox, problem, code)
    assert result.outcome is not Outcome.PASSED


CLOSE = Problem(
    name="close",
    instruction="",
    prompt="",
    entry_point="f",
    tests=(AssertTest("import math\nassert math.isclose(f(1), 3.5)\nassert math.fabs(f(1) - 3.5) < 1e-4"),),
)
FALSE_MATH = "import sys, types, math\nclass M(types.ModuleType):\n    isclose = property(lambda s: lambda *a, **k: True)\n    fabs = property(lambda s: lambda x: 0.0)\n"


@pytest.mark.parametrize(
    "change", ["sys.modules['math'] = M('math')", "math.__class__ = M", "sys.modules = {'math': M('math')}", "math.isclose = math.fabs = lambda *a: 0"]
)
def test_assertions_use_the_real_modules(sandbox, change):
    assert verdict(sandbox, CLOSE, f"{FALSE_MATH}{change}\ndef f(a): return 0.0").outcome is not Outcome.PASSED
    assert verdict(sandbox, CLOSE, f"{FALSE_MATH}{change}\ndef f(a): return 3.5").outcome is Outcome.PASSED


def test_lies_inside_subclasses_of_containers_are_found(sandbox):
    problem = Problem(name="pair", instruction="", prompt="", entry_point="f", tests=(AssertTest("assert f() == (1, 2) or f() == [1, 2] or f() == {1: 2}"),))
    for kind, held in (("tuple", "(Yes(), Yes())"), ("list", "[Yes(), Yes()]"), ("dict", "{1: Yes()}")):
        code = f"{EVERYTHING_EQUAL}class Sub({kind}): pass\ndef f(): return Sub({held})"
        assert verdict(sandbox, problem, code).outcome is not Outcome.PASSED


FIRST_RIGHT = Problem(
    name="lines",
    instruction="",
    prompt="",
    entry_point="f",
    tests=(AssertTest("def check(f):\n    assert f(1) == 1\n    assert f(2) == 2\n    assert f(3) == 3\n    assert True\ncheck(f)"),),
)


SKIPS_LINES = "import sys\ndef trace(frame, event, arg):\n    if event == 'line' and frame.f_code.co_name == 'check': frame.f_lineno = 5\n    return trace\n"


@pytest.mark.parametrize("hold", ["", "sys.settrace = sys.setprofile = lambda f: None", "sys.gettrace = lambda: None", "del sys.settrace"])
def test_a_trace_function_is_taken_away_before_assertions(sandbox, hold):
    code = f"{SKIPS_LINES}sys.settrace(trace)\n{hold}\ndef f(n): return 1"
    assert verdict(sandbox, FIRST_RIGHT, code).outcome is not Outcome.PASSED


@pytest.mark.parametrize("frames", ["check", "check entry_point"])
@pytest.mark.parametrize("hook", ["settrace", "settrace_all_threads"])
def test_a_call_cannot_leave_a_trace_function_that_skips_the_assertions_after_it(sandbox, hook, frames):
    code = f"""
import sys, threading
def trace(frame, event, arg):
    if event == 'line' and frame.f_code.co_name == 'check' and frame.f_lineno == 3: frame.f_lineno = 5
    if event == 'line' and frame.f_code.co_name == 'entry_point': frame.f_lineno += 2
    return trace
def f(n):
    frame = sys._getframe(1)
    while frame:
        if frame.f_code.co_name in {frames.split()!r}: frame.f_trace = trace
        frame = frame.f_back
    getattr(threading, {hook!r}, sys.settrace)(trace)
    sys.settrace(trace)
    return 1
"""
    assert verdict(sandbox, FIRST_RIGHT, code).outcome is not Outcome.PASSED
    assert verdict(sandbox, FIRST_RIGHT, "def f(n): return n").outcome is Outcome.PASSED


@pytest.mark.parametrize(
    "code",
    [
        "from unittest.mock import ANY\ndef f(): return ANY",
        "from unittest.mock import ANY\ndef f(): return [ANY]",
        "class S(str):\n    __eq__ = str.__ne__\n    __hash__ = str.__hash__\ndef f(): return S()",
    ],
)
def test_equality_that_others_made_is_not_asserted(sandbox, code):
    problem = Problem(name="any", instruction="", prompt="", entry_point="f", tests=(AssertTest("value = f()\nassert value == 'a' or value == ['a']"),))
    assert verdict(sandbox, problem, code).outcome is not Outcome.PASSED


@pytest.mark.honest
@pytest.mark.parametrize(
    ("head", "value"),
    [
        ("from fractions import Fraction", "Fraction(1, 2)"),
        ("from decimal import Decimal", "Decimal('1.5')"),
        (
            "from collections import Counter, OrderedDict, deque, defaultdict, UserList",
            "[Counter('aab'), OrderedDict(a=1), deque([1]), defaultdict(int, a=1), UserList([1])]",
        ),
        ("from datetime import date, timedelta", "(date(2020, 1, 2), timedelta(1))"),
        ("from pathlib import PurePosixPath", "PurePosixPath('/a')"),
        ("from types import SimpleNamespace", "SimpleNamespace(a=1)"),
        ("from enum import Enum, Flag\nE = Enum('E', 'a b')\nF = Flag('F', 'a b')", "[E.a, F.a | F.b]"),
        ("from collections import namedtuple\nP = namedtuple('P', 'a b')", "P(1, 2)"),
        ("import re, array", "[re.compile('a'), array.array('i', [1]), range(3), {'a': 1}.keys(), memoryview(b'a'), bytearray(b'a')]"),
        ("class Plain: pass\none = Plain()", "one"),
    ],
)
def test_honest_objects_may_be_asserted(sandbox, head, value):
    problem = Problem(name="same", instruction="", prompt="", entry_point="f", tests=(AssertTest(f"assert f() == {value}\nassert f()"),))
    result = verdict(sandbox, problem, f"{head}\ndef f():\n    return {value}")
    assert result.outcome is Outcome.PASSED, result.cause


PYTEST_FORGERIES = {
    "exit status 0 at import": "import os\nos._exit(0)",
    "exit status 0 in the function": "import os\ndef add(a, b):\n    os._exit(0)",
    "SystemExit in the function": "import sys\ndef add(a, b):\n    sys.exit(0)",
    "leaving pytest with success": "import pytest\ndef add(a, b):\n    pytest.exit('fine', returncode=0)",
    "skipping": "import pytest\ndef add(a, b):\n    pytest.skip('not today')",
    "skipping the file": "import pytest\npytest.skip('not today', allow_module_level=True)",
    "expecting to fail": "import pytest\ndef add(a, b):\n    pytest.xfail('as expected')",
    "tests that do nothing": "import _pytest.python as p\np.Function.runtest = lambda self: None\ndef add(a, b): return 0",
    "calls that do nothing": "import _pytest.python as p\np.pytest_pyfunc_call = lambda pyfuncitem: True\ndef add(a, b): return 0",
    "reports made up": "import _pytest.reports as r\nr.TestReport.from_item_and_call = classmethod(lambda c, i, call: c(i.nodeid, i.location, {}, 'passed', None, call.when))\n"
    "def add(a, b): return 0",
    "a phase left out": "import _pytest.runner as r\nr.call_and_report = lambda *a, **k: None\ndef add(a, b): return 0",
    "patched inside the call": "def add(a, b):\n    import _pytest.python as p\n    p.Function.runtest = lambda self: None\n    return 0",
    "another pytest": "import sys, types\nfake = types.ModuleType('pytest')\nfake.mark = type('M', (), {'parametrize': staticmethod(lambda *a: lambda f: lambda: None)})\n"
    "sys.modules['pytest'] = fake\ndef add(a, b): return 0",
    "the test file written anew": "open('test_add.py', 'w').write('def test_small(): pass\\ndef test_large(): pass\\n')\ndef add(a, b): return 0",
    "a conftest.py of its own": "open('conftest.py', 'w').write('def pytest_pyfunc_call(pyfuncitem): return True\\n')\ndef add(a, b): return 0",
    "a conftest.py that takes the tests away": "open('conftest.py', 'w').write('def pytest_collection_modifyitems(items): items.clear()\\n')\ndef add(a, b): return 0",
    "a conftest.py that exchanges the tests": "open('conftest.py', 'w').write('def pytest_collection_modifyitems(items):\\n    for item in items: item.obj = lambda **k: None\\n')\n"
    "def add(a, b): return 0",
    "a module in place of the tests": "import sys, types, os\nm = types.ModuleType('test_add')\nm.__file__ = os.path.abspath('test_add.py')\n"
    "m.test_small = m.test_large = lambda: None\nsys.modules['test_add'] = m\ndef add(a, b): return 0",
    "a finder of its own": "import sys, types, importlib.machinery\nclass F:\n    def find_spec(self, name, path=None, target=None):\n"
    "        return importlib.machinery.ModuleSpec(name, self) if name == 'test_add' else None\n    def create_module(self, spec): return None\n"
    "    def exec_module(self, m): m.test_small = m.test_large = lambda: None\nsys.meta_path.insert(0, F())\ndef add(a, b): return 0",
    "compiled tests of its own": "import sys, os, importlib._bootstrap_external as b\nimport _pytest.assertion.rewrite as r\nopen('x.py', 'w').write('')\ns = os.stat('test_add.py')\n"
    "code = compile('def test_small(): pass\\ndef test_large(): pass', 'test_add.py', 'exec')\nos.makedirs('__pycache__', exist_ok=True)\n"
    "open('__pycache__/test_add' + r.PYC_TAIL, 'wb').write(bytes(b._code_to_timestamp_pyc(code, int(s.st_mtime), s.st_size)))\ndef add(a, b): return 0",
    "a pytest.ini of its own": "open('pytest.ini', 'w').write('[pytest]\\naddopts = --collect-only\\n')\ndef add(a, b): return 0",
    "an assert statement without effect": "import builtins\nbuiltins.AssertionError = type('Never', (Warning,), {})\ndef add(a, b): return 0",
    "an object equal to everything": EVERYTHING_EQUAL + "def add(a, b): return Yes()",
    "made-up frames on every descriptor": FORGERIES["made-up frames on every descriptor"],
    "closed descriptors": FORGERIES["closed descriptors"],
    "claims on stdout": "print('2 passed in 0.01s')\ndef add(a, b): return 0",
    "a thread that ends the process": FORGERIES["a thread that ends the process"],
    "exit functions": FORGERIES["exit functions"],
    "a function of ours that is called at the right moment": FORGERIES["a function of ours that is called at the right moment"]
    .replace("names['number']", "number")
    .replace("names['report'](", "report, number = names['report'], names['number']; report("),
    "a trace function that skips lines": FORGERIES["a trace function that skips lines"].replace("<test>", "test_add.py"),
    "tests rewritten through frames": "import sys\nframe = sys._getframe()\nwhile frame:\n    task = frame.f_locals.get('task')\n    if task is not None:\n"
    "        task.tests[:] = [{'node': 'test_add.py::test_none'}] * 2\n    frame = frame.f_back\ndef add(a, b): return 0",
}


@pytest.mark.parametrize("name", PYTEST_FORGERIES)
def test_no_forgery_passes_pytest_files(with_pytest, name):
    result = verdict(with_pytest, ADD_PYTEST, PYTEST_FORGERIES[name], WITH_PYTEST)
    assert result.outcome is not Outcome.PASSED, result
    assert result.cause
