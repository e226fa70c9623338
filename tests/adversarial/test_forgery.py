"""Programs that want to pass without computing anything. Each is judged against each kind of test where the trick could apply."""

# ruff: noqa: E501 - hostile programs on one line each
from __future__ import annotations

import pytest
from programs import ADD, ADD_ASSERT, DOUBLE, verdict

from rrtf.records import Outcome

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
