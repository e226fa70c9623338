"""A function taken out of its file and an answer put back, whatever surrounds either."""

from __future__ import annotations

import ast
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrtf import formats
from rrtf.errors import DataError
from rrtf.framing import alone, restored, taken_out
from rrtf.mining.levels import level
from rrtf.prompting import FORMATS, answer_text, extract_code
from rrtf.records import File, Frame, Outcome, Problem, PytestTest
from rrtf.sandbox import ProcessConfig, SandboxRuntime, open_sandbox
from rrtf.sandbox.harness import judge

BEFORE = "import os\n\n\nclass Box(list):\n    '''A box.'''\n\n    @property\n"
METHOD = Frame("Box.area", '    def area(self):\n        """The area.\n\n        More.\n        """\n', BEFORE, "\n    def other(self): return 2\n\nlast = 1\n")
FUNCTION = Frame("area", 'def area(width):\n    """The area."""\n', "import os\nLIMIT = 1\n\n@deco\n", "")
BODIES = [
    "return 1",
    "x = 1  # one\n\nif x:\n    return '''a\nb'''\nreturn x",
    "# first\nfor i in range(3):\n    yield i",
    "def inner():\n    return 2\nreturn inner()",
]


def framed(frame: Frame, body: str) -> Problem:
    indent = "        " if "." in frame.name else "    "
    inside = ast.parse(body)
    strings = {line for node in ast.walk(inside) if isinstance(node, ast.Constant) for line in range(node.lineno + 1, (node.end_lineno or 0) + 1)}
    text = "".join(f"{'' if number in strings or not line else indent}{line}\n" for number, line in enumerate(body.split("\n"), 1))
    return Problem(
        name="x",
        instruction="The area.",
        prompt=f"# box.py\nimport os\n{frame.header}",
        entry_point=None,
        tests=(PytestTest("test_box.py::test_area"),),
        reference=frame.before + frame.header + text + frame.after,
        files=(File("test_box.py", ""),),
        module="shapes.box",
        frame=frame,
    )


@pytest.mark.parametrize("form", FORMATS)
@given(frame=st.sampled_from([METHOD, FUNCTION]), body=st.sampled_from(BODIES), tail=st.sampled_from(BODIES))
def test_an_answer_text_is_read_back_as_the_program_it_came_from(form, frame, body, tail):
    problem = framed(frame, f"{body}\n{tail}")
    text = answer_text(form, problem, problem.reference)
    assert text is not None
    assert ast.dump(ast.parse(extract_code(form, problem, text).code)) == ast.dump(ast.parse(_without_docstring(form, problem)))


def _without_docstring(form: str, problem: Problem) -> str:
    """In the paper's format of a function the docstring stands above, and the answer has none."""
    return problem.reference.replace('    """The area."""\n', "") if form == "paper" and problem.frame is FUNCTION else problem.reference


@given(frame=st.sampled_from([METHOD, FUNCTION]), body=st.sampled_from(BODIES))
def test_taking_out_undoes_putting_in(frame, body):
    problem = framed(frame, body)
    own = taken_out(frame, problem.reference)
    assert restored(frame, own) == problem.reference
    assert alone(problem).reference == own


@pytest.mark.parametrize(
    "answer",
    [
        "```python\nfrom math import pi\n\n\ndef area(self):\n    return help_with(pi)\n\n\ndef help_with(x):\n    return x\n```",
        (
            "```python\nfrom math import pi\nimport os\n\n\ndef help_with(x):\n    return x\n\n\n"
            "class Box(list):\n    last: int\n\n    def area(self): return help_with(pi)\n```"
        ),
        (
            "```python\nfrom math import pi\n\nlast = 7\n\n\n"
            "class Box:\n    @property\n    def area(self):\n        def help_with(x):\n            return x\n\n        return help_with(pi)\n```"
        ),
    ],
)
def test_what_an_answer_brings_and_the_file_lacks_moves_into_the_function(answer):
    code = extract_code("chat", framed(METHOD, "return 1"), answer).code
    assert code.startswith(BEFORE)
    assert code.endswith(METHOD.after)
    assert code.count("@property") == 1
    names: dict[str, object] = {}
    exec(code, names)
    assert names["Box"]().area == pytest.approx(3.14159, abs=1e-4)
    assert names["last"] == 1
    assert "pi" not in names


def test_an_answer_without_the_function_is_none_and_a_broken_one_does_not_compile():
    problem = framed(FUNCTION, "return 1")
    assert extract_code("chat", problem, "I cannot do that.").code is None
    broken = extract_code("chat", problem, "```python\ndef area(width):\n    return (width\n```")
    with pytest.raises(SyntaxError):
        compile(broken.code, "x", "exec")


def test_a_program_in_a_package_is_imported_as_its_own_tests_import_it(tmp_path):
    frame = Frame("area", 'def area(x):\n    """Area."""\n', "from . import size\n\n\n", "\n\nBIG = area(3)\n")
    tests = "import shapes\nfrom shapes.deep.box import BIG, area\n\ndef test_area():\n    assert area(2) == 4 and BIG == 6 and shapes.area is area\n"
    files = {
        "shapes/__init__.py": "from .deep.box import area\n",
        "shapes/deep/__init__.py": "from .size import size\n",
        "shapes/deep/size.py": "def size(x):\n    return 2 * x\n",
        "tests/test_box.py": tests,
    }
    problem = replace(
        framed(frame, "return size(x)"),
        module="shapes.deep.box",
        tests=(PytestTest("tests/test_box.py::test_area"),),
        files=tuple(File(*pair) for pair in files.items()),
    )
    path = tmp_path / "problems.jsonl"
    formats.write_problems(path, [problem])
    (again,) = formats.read_problems(path)
    assert again == problem
    assert again.id == problem.id != replace(problem, frame=None).id
    with open_sandbox(ProcessConfig(), SandboxRuntime(workers=1)) as sandbox:
        assert judge(problem, problem.reference, sandbox).outcome is Outcome.PASSED
        assert judge(problem, restored(frame, "def area(x):\n    return x\n"), sandbox).passed == 0
        unloadable = judge(problem, "import nothing_here\n", sandbox)
        assert unloadable.passed == 0
        assert "nothing_here" in unloadable.cause
        package = replace(
            problem,
            module="shapes",
            files=(*(file for file in problem.files if file.path != "shapes/__init__.py"), File("shapes/deep/box.py", "area = BIG = 1\n")),
        )
        assert "int" in judge(package, "from .deep.box import area\n", sandbox).cause


@pytest.mark.parametrize(
    ("field", "value"), [("module", "shapes..box"), ("module", "shapes.1"), ("frame", {"name": "a b", "header": "x", "before": "", "after": ""})]
)
def test_a_bad_place_is_refused(tmp_path, field, value):
    import json

    row = {**formats.problem_json(framed(FUNCTION, "return 1")), field: value}
    path = tmp_path / "problems.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match=field):
        formats.read_problems(path)


MODULE = """
from __future__ import annotations
import math, numpy as np
import os.path
from . import near
from tiny.far import thing
from tiny.stars import *
try:
    import json
except ImportError:
    json = None
LIMIT = 1
class Base: pass
class Local(Base):
    def known(self): pass
class Far(thing):
    def known(self): pass
"""


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return [y for y in x if y]", "self_contained"),
        ("return f(x)", "self_contained"),
        ("z: LIMIT = x\nreturn z", "self_contained"),
        ("LIMIT = 2\nreturn LIMIT", "self_contained"),
        ("return os.path.join(x)", "slib_runnable"),
        ("import re\nreturn re.sub(x)", "slib_runnable"),
        ("return (lambda math: math)(x)", "self_contained"),
        ("return lambda: math.pi", "slib_runnable"),
        ("return np.array(math.pi)", "plib_runnable"),
        ("return json.loads(x)", "file_runnable"),
        ("global LIMIT\nLIMIT = x", "file_runnable"),
        ("return eval(x)", "file_runnable"),
        ("def g():\n    return Base()\nreturn g", "file_runnable"),
        ("return [LIMIT for LIMIT in x] + [LIMIT]", "file_runnable"),
        ("return near.f(x)", "project_runnable"),
        ("from .near import f as g\nreturn g(x)", "project_runnable"),
        ("import tiny.far\nreturn x", "project_runnable"),
        ("return starred(x)", "project_runnable"),
    ],
)
def test_the_level_of_a_function_follows_from_its_names(body, expected):
    assert _level("f", "x", body, None) == expected


@pytest.mark.parametrize(
    ("owner", "args", "body", "expected"),
    [
        ("Local", "self", "return 1", "self_contained"),
        ("Local", "self", "return self", "class_runnable"),
        ("Local", "self", "return self.known()", "class_runnable"),
        ("Local", "self", "return Local()", "class_runnable"),
        ("Local", "self", "return self.inherited()", "file_runnable"),
        ("Far", "self", "return self.inherited()", "project_runnable"),
        ("Far", "this", "return [this for this in this.known()]", "class_runnable"),
        ("Local", "self, x", "return math.floor(x)", "slib_runnable"),
    ],
)
def test_the_level_of_a_method_follows_from_its_instance_too(owner, args, body, expected):
    assert _level("m", args, body, owner) == expected


def _level(name: str, args: str, body: str, owner: str | None) -> str:
    function = ast.parse(f"def {name}({args}):\n" + "".join(f"    {line}\n" for line in body.split("\n"))).body[0]
    module = ast.parse(MODULE)
    return level(
        function,
        next((node for node in module.body if isinstance(node, ast.ClassDef) and node.name == owner), None),
        module,
        "tiny.here",
        False,
        frozenset({"tiny"}),
    )
