"""Mining a small repository: which functions become problems, of which level, with which tests, and why the others do not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_repository import FILES, lay_out

from rrtf.errors import DataError
from rrtf.formats import read_problems
from rrtf.mining import MiningConfig, mine
from rrtf.mining import work as mining_work
from rrtf.mining.repository import read
from rrtf.prompting import FORMATS, answer_text, extract_code, render
from rrtf.quality.mutants import some_mutants
from rrtf.quality.stubs import stubs
from rrtf.records import Outcome, Problem
from rrtf.sandbox import ProcessConfig, SandboxRuntime, open_sandbox
from rrtf.sandbox.harness import judge

pytest.importorskip("coverage")

RUNTIME = SandboxRuntime(workers=2)
LEVELS = {
    "plain.double": "self_contained",
    "plain.root": "slib_runnable",
    "plain.bare": "plib_runnable",
    "plain.scaled": "file_runnable",
    "plain.names": "self_contained",
    "boxes.Shape.corners": "class_runnable",
    "boxes.Box.__init__": "class_runnable",
    "boxes.Box.area": "class_runnable",
    "boxes.Box.wider": "project_runnable",
    "boxes.Box.unit": "class_runnable",
    "boxes.Box.corners": "class_runnable",
}


@pytest.fixture(scope="module")
def mined(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("mined")
    return mine(lay_out(folder / "repository"), folder / "problems.jsonl", MiningConfig(), ProcessConfig(), RUNTIME)


@pytest.fixture(scope="module")
def problems(mined) -> dict[str, Problem]:
    return {problem.name.removeprefix("tiny-shapes/shapes."): problem for problem in read_problems(mined.out)}


def test_each_level_is_found(problems):
    assert {name: problem.level for name, problem in problems.items()} == LEVELS


def test_what_is_set_aside_has_its_reason_in_a_file(mined):
    rows = [json.loads(line) for line in (mined.out.parent / "problems.jsonl.set-aside.jsonl").read_text().splitlines()]
    reasons = {row["name"].partition(" ")[0].removeprefix("shapes."): row["reason"] for row in rows}
    assert reasons == {
        "plain.unused": "no test executes it",
        "plain.weak": "no test that executes it fails on a stub",
        "plain.doubtful": "its tests do not pass on the original every time",
        "plain.broken": "only tests that do not pass execute it",
        "plain.later": "its body does nothing",
        "plain.inner": "it is nested in a function, a block or an inner class",
    }
    assert len(rows) + len(mined.problems) == mined.documented


def test_a_problem_brings_what_its_tests_need_and_not_its_own_answer(problems):
    names = problems["plain.names"]
    paths = {file.path for file in names.files}
    assert {"tests/data/names.txt", "tests/conftest.py", "tests/__init__.py", "pytest.ini", "shapes/__init__.py", "shapes/boxes.py"} <= paths
    assert "shapes/plain.py" not in paths
    assert "tests/data/names.txt" not in {file.path for file in problems["boxes.Box.area"].files}
    for problem in problems.values():
        body = problem.reference[len(problem.frame.before) + len(problem.frame.header) : -len(problem.frame.after) or None]
        assert body.strip()
        assert not any(body in file.text for file in problem.files)
        assert body not in problem.prompt
        assert problem.prompt.endswith(problem.frame.header)


def test_kept_tests_are_those_that_notice(problems):
    assert [test.node for test in problems["plain.double"].tests] == ["tests/test_plain.py::test_double", "tests/check_boxes.py::TestWider::test_wider"]
    assert {test.node for test in problems["boxes.Box.corners"].tests} == {"tests/check_boxes.py::OldStyle::test_corners"}


def test_the_prompt_shows_the_file_above_the_function(problems):
    area = problems["boxes.Box.area"].prompt
    assert "from .plain import double" in area
    assert "class Shape: ..." in area
    assert "    def wider(self): ..." in area
    assert area.endswith('    @property\n    def area(self):\n        """The area."""\n')


def test_originals_pass_and_stubs_fail_as_answers_of_every_format(mined, problems):
    with open_sandbox(ProcessConfig(packages=mined.packages), RUNTIME) as sandbox:
        for place, problem in enumerate(problems.values()):
            form = FORMATS[place % len(FORMATS)]
            text = answer_text(form, problem, problem.reference)
            assert text is not None
            assert text not in render(form, problem).text
            found = extract_code(form, problem, text)
            verdict = judge(problem, found.code, sandbox)
            assert verdict.outcome is Outcome.PASSED, (problem.name, verdict.cause)
            stub = next(stubs(problem)).source
            assert judge(problem, stub, sandbox).passed == 0


def test_faults_are_put_into_the_function_alone(problems):
    from rrtf.quality.fitness import _faulty_copies

    double = problems["plain.double"]
    made = _faulty_copies(double, 100)
    assert len(made) == len(some_mutants('def double(x):\n    """Twice x."""\n    if x == 0:\n        return 0\n    return x + x\n', "double", 100)) > 3
    assert all(mutant.source.startswith(double.frame.before) and mutant.source.endswith(double.frame.after) for mutant in made)


def test_a_second_run_tries_nothing_again(mined, tmp_path, monkeypatch):
    repository = lay_out(tmp_path / "repository")
    out = tmp_path / "problems.jsonl"
    journal = tmp_path / "problems.jsonl.journal"
    whole = (mined.out.parent / "problems.jsonl.journal").read_text()
    journal.write_text(whole)
    monkeypatch.setattr(mining_work, "open_sandbox", None)  # not to be asked for
    again = mine(repository, out, MiningConfig(), ProcessConfig(), RUNTIME)
    assert out.read_bytes() == mined.out.read_bytes()
    assert again.known == len(whole.splitlines())


def test_a_killed_run_owes_what_is_not_in_its_journal(mined, tmp_path, monkeypatch):
    out = tmp_path / "problems.jsonl"
    lines = (mined.out.parent / "problems.jsonl.journal").read_text().splitlines(keepends=True)
    (tmp_path / "problems.jsonl.journal").write_text("".join(lines[:-2]) + lines[-2][:40])  # the last line is torn
    tried: list[str] = []
    select = mining_work.select

    def counted(problem, *rest):
        tried.append(problem.name)
        return select(problem, *rest)

    monkeypatch.setattr(mining_work, "select", counted)
    mine(lay_out(tmp_path / "repository"), out, MiningConfig(), ProcessConfig(), RUNTIME)
    assert len(tried) == 2
    assert out.read_bytes() == mined.out.read_bytes()


def test_the_command_tells_counts_levels_and_reasons(rrtf: Callable[..., object], mined, tmp_path):
    shutil.copy(mined.out.parent / "problems.jsonl.journal", tmp_path / "found.jsonl.journal")
    ended = rrtf("mine", lay_out(tmp_path / "repository"), "--out", tmp_path / "found.jsonl")
    assert ended.code == 0, ended.err
    assert "| kept | 11 |" in ended.out
    assert "| kept, class_runnable | 5 |" in ended.out
    assert "| set aside: no test executes it | 1 |" in ended.out
    assert """--set sandbox.packages='["click"]'""" in ended.out


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "holds no Python files"),
        ({"a.py": "def f():\n    '''Doc.'''\n    return 1\n"}, "holds no pytest files"),
        ({"test_a.py": "def test_a(): pass\n"}, "holds no package and no module"),
        ({"a.py": "def f():\n    return 1\n", "test_a.py": "def test_a(): pass\n"}, "no documented function"),
        ({"pluggy/__init__.py": "", "test_a.py": "def test_a(): pass\n"}, "which runs the tests"),
        ({"a.py": "def f():\n    '''Doc.'''\n    return 1\n", "test_a.py": "import nothing_here\ndef test_a(): pass\n"}, "No test of"),
    ],
)
def test_a_folder_that_gives_nothing_is_told_in_a_sentence(tmp_path: Path, files: dict[str, str], said: str):
    root = tmp_path / "repository"
    root.mkdir()
    for path, text in files.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(text)
    with pytest.raises(DataError, match=said):
        mine(root, tmp_path / "out.jsonl", MiningConfig(), ProcessConfig(), RUNTIME)


def test_no_folder_at_all_is_told(tmp_path: Path):
    with pytest.raises(DataError, match="not a folder"):
        read(tmp_path / "nothing")


def test_reading_takes_src_away_follows_no_links_and_counts_what_is_not_text(tmp_path: Path):
    root = lay_out(tmp_path / "repository")
    (root / "src" / "shapes" / "logo.png").write_bytes(b"\x89PNG\0")
    (root / "secret").write_text("x")
    (root / "link.txt").symlink_to(root / "secret")
    found = read(root)
    assert found.name == "tiny-shapes"
    assert set(found.modules) == {"shapes", "shapes.plain", "shapes.boxes"}
    assert found.tests == ("tests/check_boxes.py", "tests/test_plain.py")
    assert found.unread == 1
    assert "link.txt" not in found.files
    assert "addopts" not in found.files["pytest.ini"]
    assert found.packages == ("click",)
    assert len(found.files) == len(FILES) - 1 + 2 + 1  # less pyproject.toml, with settings, metadata and the secret
