"""Programs that want other tests than theirs to be run by pytest: other files, other modules, another parser, another moment."""

# ruff: noqa: E501 - hostile programs on one line each
from __future__ import annotations

import dataclasses

import pytest
from programs import ADD_PYTEST, WITH_PYTEST, verdict

from rrtf.records import File, Outcome, PytestTest

WRONG = "def add(a, b): return 0"
EMPTY = "def test_small(): pass\\ndef test_large(): pass\\n"
CONFTEST = "def pytest_collection_modifyitems(items):\\n    for item in items: item.obj = lambda **k: None\\n"
YES = "class Yes:\n    def __eq__(self, other): return True\n"
OVER_AND_OVER = f"""import os
def over_and_over(path, text):
    while True:
        try:
            fd = os.open('/tmp/next', os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
            os.write(fd, text)
            os.close(fd)
            os.replace('/tmp/next', path)
        except OSError: pass
EMPTY, CONFTEST = b'{EMPTY}', b'{CONFTEST}'
"""
FORGERIES = {
    "files that cannot be removed": f"import os\nopen('conftest.py', 'w').write('{CONFTEST}')\nos.unlink = os.remove = lambda *a, **k: None",
    "nothing that would be suppressed": f"import contextlib\nopen('conftest.py', 'w').write('{CONFTEST}')\ncontextlib.suppress = None",
    "folders that seem empty": f"import os\nos.makedirs('conftest.py')\nopen('conftest.py/x', 'w').write('{CONFTEST}')\nos.listdir = lambda *a: []\nos.rmdir = lambda *a: None",
    "links that seem none": f"import os\nopen('x.py', 'w').write('{CONFTEST}')\nos.symlink('/tmp/x.py', 'conftest.py')\nos.path.islink = lambda p: False\nos.path.isdir = lambda p: True",
    "another working directory": f"import os\nos.makedirs('mine')\nopen('mine/test_add.py', 'w').write('{EMPTY}')\nreal = os.chdir\nos.chdir = lambda p: real('/tmp/mine')\nos.getcwd = lambda: '/tmp/mine'\nos.chdir('/')",
    "a working directory that is a link": f"import os\nos.makedirs('mine')\nopen('mine/test_add.py', 'w').write('{EMPTY}')\nos.symlink('/tmp/mine', 'link')\nos.chdir('link')",
    "another real path": f"import os\nos.makedirs('mine')\nopen('mine/test_add.py', 'w').write('{EMPTY}')\nos.path.realpath = lambda p, **k: '/tmp/mine'",
    "tests that are a folder": "import os\nos.unlink('test_add.py')\nos.makedirs('mine')\nos.symlink('/tmp/mine', 'test_add.py')",
    "tests that are a queue": "import os\nos.unlink('test_add.py')\nos.mkfifo('test_add.py')",
    "a directory nobody may write to": f"import os\nopen('conftest.py', 'w').write('{CONFTEST}')\nos.chmod('/tmp', 0o555)",
    "no room for the tests": "import os\ntry:\n    with open('full', 'wb') as file:\n        while True: file.write(bytes(1 << 16))\nexcept OSError: pass\nos.truncate('test_add.py', 0)",
    "a list of finders that does not change": "import sys, importlib.machinery\nclass F:\n    def find_spec(self, name, path=None, target=None):\n        return importlib.machinery.ModuleSpec(name, self) if name == 'test_add' else None\n"
    "    def create_module(self, spec): return None\n    def exec_module(self, m): m.__file__ = '/tmp/test_add.py'; m.test_small = m.test_large = lambda: None\n"
    "class L(list):\n    def __setitem__(s, k, v): pass\n    def insert(s, k, v): s.append(v)\nsys.meta_path = L([F(), *sys.meta_path])",
    "a path that does not change": f"import sys, os\nos.makedirs('mine')\nopen('mine/test_add.py', 'w').write('{EMPTY}')\nclass L(list):\n    def __setitem__(s, k, v): pass\n    def insert(s, k, v): pass\n"
    "    def __iter__(s): return iter(['/tmp/mine', *list.__iter__(s)])\nsys.path = L(sys.path)",
    "other modules altogether": "import sys\nclass D(dict):\n    def pop(s, *a): pass\n    def __delitem__(s, k): pass\nsys.modules = D(sys.modules)",
    "another parser": f"import ast\nreal = ast.parse\nast.parse = lambda *a, **k: real('{EMPTY}')",
    "another code of the parser": f"import ast\ndef parse(source, filename='<unknown>', mode='exec', *, type_comments=False, feature_version=None):\n    return compile('{EMPTY}', filename, mode, 1024)\nast.parse.__code__ = parse.__code__",
    "other defaults of the parser": "import ast\nast.parse.__defaults__ = ('<unknown>', 'eval')\nast.parse.__kwdefaults__ = {'type_comments': True, 'feature_version': (3, 7)}",
    "another way to read files": f"import pathlib\npathlib.Path.read_bytes = lambda s: b'{EMPTY}'",
    "another way to import": "import importlib, types, sys\nreal = importlib.import_module\ndef other(name, package=None):\n    if name != 'test_add': return real(name, package)\n"
    "    m = types.ModuleType(name); m.__file__ = '/tmp/test_add.py'; m.test_small = m.test_large = lambda: None; sys.modules[name] = m; return m\nimportlib.import_module = other",
    "a module that pytest uses": "import _pytest.pathlib as p, importlib, types, sys\nclass Fake:\n    def __getattr__(s, n): return getattr(importlib, n)\n    def import_module(s, name):\n"
    "        m = types.ModuleType(name); m.__file__ = '/tmp/test_add.py'; m.test_small = m.test_large = lambda: None; sys.modules[name] = m; return m\np.importlib = Fake()",
    "tests that look like coroutines": "import inspect\ninspect.iscoroutinefunction = lambda f: True",
    "options in the environment": f"import os\nos.environ['PYTEST_ADDOPTS'] = '-p evil'\nos.environ['PYTEST_PLUGINS'] = 'evil'\nopen('evil.py', 'w').write('{CONFTEST}')",
    "an environment of its own": f"import os\nos.environ = {{**os.environ, 'PYTEST_ADDOPTS': '-p evil'}}\nopen('evil.py', 'w').write('{CONFTEST}')",
    "modules that come first": f"for name in ('sitecustomize', 'usercustomize', 'pytest', 'ast', 'test_add.cpython'): open(name + '.py', 'w').write('{EMPTY}')",
    "being the conftest": "import sys\nsys.modules['conftest'] = sys.modules[__name__]\ndef pytest_collection_modifyitems(items):\n    for i in items: i.obj = lambda **k: None",
    "being the tests": "import sys\nsys.modules['test_add'] = sys.modules[__name__]\ndef test_small(): pass\ndef test_large(): pass",
    "a thread that waits for the tests": "import threading, time, sys\ndef late():\n    while not hasattr(sys.modules.get('test_add'), 'test_large'): time.sleep(0)\n"
    "    m = sys.modules['test_add']\n    m.test_small = m.test_large = lambda **k: None\nthreading.Thread(target=late, daemon=True).start()",
    "a thread that writes the tests": OVER_AND_OVER
    + "import threading\nthreading.Thread(target=over_and_over, args=('/tmp/test_add.py', EMPTY), daemon=True).start()",
    "a child that writes the tests": OVER_AND_OVER + "if os.fork() == 0: over_and_over('/tmp/test_add.py', EMPTY)",
    "a child that writes a conftest": OVER_AND_OVER + "if os.fork() == 0: over_and_over('/tmp/conftest.py', CONFTEST)",
}
IN_THE_CALL = {
    "tests found on the heap": "import gc, _pytest.python as p\nfor o in gc.get_objects():\n    if isinstance(o, p.Function): o.obj = lambda **k: None",
    "the code of the tests": "import sys\nfor name in ('test_small', 'test_large'): getattr(sys.modules['test_add'], name).__code__ = (lambda n=0: None).__code__",
    "objects with the code of the tests": "import gc, _pytest.python as p\nclass Like:\n    def __init__(s, f): s.__code__ = f.__code__\n    def __call__(s, **k): pass\nfor o in gc.get_objects():\n    if isinstance(o, p.Function): o.obj = Like(o.obj)",
    "builtins that agree": "import builtins, gc, _pytest.python as p\nfor o in gc.get_objects():\n    if isinstance(o, p.Function): o.obj = lambda **k: None\nbuiltins.any = builtins.all = lambda *a: True",
    "code equal to any other": "import gc, _pytest.python as p\nclass Code:\n    def __eq__(s, o): return True\nclass Like:\n    __code__ = Code()\n    def __call__(s, **k): pass\nfor o in gc.get_objects():\n    if isinstance(o, p.Function): o.obj = Like()",
}


@pytest.mark.parametrize("name", FORGERIES)
def test_no_forgery_exchanges_the_tests(with_pytest, name):
    result = verdict(with_pytest, ADD_PYTEST, f"{FORGERIES[name]}\n{WRONG}", WITH_PYTEST)
    assert result.outcome is not Outcome.PASSED, result
    assert result.passed == 0
    assert result.cause


@pytest.mark.parametrize("name", IN_THE_CALL)
def test_no_call_exchanges_the_tests_after_it(with_pytest, name):
    body = "\n".join("    " + line for line in IN_THE_CALL[name].splitlines())
    result = verdict(with_pytest, ADD_PYTEST, f"def add(a, b):\n{body}\n    return a + b if a == 1 else 0", WITH_PYTEST)
    assert result.outcome is not Outcome.PASSED, result
    assert result.tests[1] != "passed"


@pytest.mark.parametrize(
    "code",
    [
        f"{YES}def add(a, b): return Yes()\nadd.__name__ = 'sub'",
        f"{YES}import sys, types\nother = types.ModuleType('solution')\nother.add = lambda a, b: Yes()\nsys.modules['solution'] = other\n{WRONG}",
        f"{YES}import sys, types\nclass M(types.ModuleType):\n    add = property(lambda s: lambda a, b: Yes())\nsys.modules['solution'].__class__ = M\n{WRONG}",
    ],
)
def test_what_the_tests_import_is_what_was_loaded_and_looked_at(with_pytest, code):
    assert verdict(with_pytest, ADD_PYTEST, code, WITH_PYTEST).passed == 0


UNITTEST = dataclasses.replace(
    ADD_PYTEST,
    tests=(PytestTest("test_add.py::Old::test_first"), PytestTest("test_add.py::Old::test_second")),
    files=(
        File(
            "test_add.py",
            "import unittest\nfrom solution import add\n\nclass Old(unittest.TestCase):\n"
            "    def test_first(self):\n        self.assertEqual(add(1, 2), 3)\n    def test_second(self):\n        self.assertEqual(add(2, 2), 4)\n",
        ),
    ),
)


@pytest.mark.parametrize(
    "code",
    [
        f"import unittest\nunittest.TestCase.assertEqual = lambda *a: None\n{WRONG}",
        "import unittest\ndef add(a, b):\n    unittest.TestCase.assertEqual = lambda *a: None\n    return a + b if a == 1 else 0",
        "import sys\ndef add(a, b):\n    sys.modules['test_add'].Old.test_second = lambda s: None\n    return a + b if a == 1 else 0",
        f"import unittest\nunittest.TestCase.__call__ = lambda *a, **k: None\n{WRONG}",
        f"import unittest\nunittest.TestCase.run = lambda *a, **k: None\n{WRONG}",
    ],
)
def test_unittest_is_not_to_be_changed(with_pytest, code):
    assert verdict(with_pytest, UNITTEST, code, WITH_PYTEST).outcome is not Outcome.PASSED
    assert verdict(with_pytest, UNITTEST, "def add(a, b): return a + b", WITH_PYTEST).outcome is Outcome.PASSED


def test_folders_that_lead_elsewhere_are_made_anew(with_pytest):
    nested = dataclasses.replace(
        ADD_PYTEST,
        tests=(PytestTest("checks/test_add.py::test_seven"),),
        files=(
            File("conftest.py", "import pytest\n@pytest.fixture\ndef seven(): return 7\n"),
            File("checks/test_add.py", "from solution import add\n\ndef test_seven(seven):\n    assert add(3, 4) == seven\n"),
        ),
    )
    code = "import os\nos.rename('checks', 'old')\nos.makedirs('a/b')\nopen('a/conftest.py', 'w').write('import pytest\\n@pytest.fixture\\ndef seven(): return 0\\n')\nos.symlink('/tmp/a/b', 'checks')\n"
    assert verdict(with_pytest, nested, code + WRONG, WITH_PYTEST).outcome is not Outcome.PASSED
    assert verdict(with_pytest, nested, code + "def add(a, b): return a + b", WITH_PYTEST).outcome is Outcome.PASSED


def test_a_helper_of_the_tests_is_not_one_the_program_made(with_pytest):
    helped = dataclasses.replace(
        ADD_PYTEST,
        tests=(PytestTest("test_add.py::test_helped"),),
        files=(
            File("tools/__init__.py", ""),
            File("tools/helper.py", "def right(n): return n == 3\n"),
            File("test_add.py", "from solution import add\nfrom tools.helper import right\n\ndef test_helped():\n    assert right(add(1, 2))\n"),
        ),
    )
    code = f"import sys, types\nm = types.ModuleType('tools.helper')\nm.right = lambda n: True\nsys.modules['tools'] = types.ModuleType('tools')\nsys.modules['tools.helper'] = m\n{WRONG}"
    assert verdict(with_pytest, helped, code, WITH_PYTEST).outcome is not Outcome.PASSED
    assert verdict(with_pytest, helped, f"from tools.helper import right\n{WRONG}".replace("0", "a + b"), WITH_PYTEST).outcome is Outcome.PASSED
