"""The table of adversarial families in docs/security.md says what there is: each family's files, its programs and its tests."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).parent
DOCS = HERE.parent.parent / "docs" / "security.md"
FAMILIES = {
    "forged success": ("test_forgery.py", "test_pytest_forgery.py"),
    "escape": ("test_escape.py",),
    "resource exhaustion": ("test_exhaustion.py",),
    "interference with the next program": ("test_interference.py", "test_residue.py"),
    "lies to the harness": ("test_lies.py",),
}
NOT_HOSTILE = {"test_families.py", "test_humaneval_references.py", "test_ordinary_user.py", "test_soak.py"}
"""Tests of other things: of this table, of honest programs, of all the others once more, of many programs one after the other."""
SANDBOXES = ("plain", "process", "process without namespaces")
AT_LEAST = 80
ROW = re.compile(r"^\| ([a-z ]+) \| (\d+) \| (\d+) \| (.+) \|$", re.MULTILINE)


def collected() -> dict[str, list[str]]:
    """The hostile tests by file, each as `function[parameters]`."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-p",
        "no:cacheprovider",
        "-m",
        "not honest",
        str(HERE),
        f"--rootdir={HERE.parent.parent}",
    ]
    done = subprocess.run(command, cwd=HERE.parent.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found = defaultdict(list)
    for line in done.stdout.splitlines():
        path, separator, test = line.partition("::")
        if separator and path.startswith("tests/adversarial/"):
            found[Path(path).name].append(test)
    return found


def program(test: str) -> str:
    """What names the program of a test: the same name is the same program, judged against tests of several kinds or in several sandboxes."""
    function, _, parameters = test.partition("[")
    parameters = parameters.removesuffix("]")
    if parameters in SANDBOXES:
        return function
    return test if parameters.isdigit() or not parameters else parameters


def test_every_file_is_of_one_family():
    files = {path.name for path in HERE.glob("test_*.py")}
    listed = [name for names in FAMILIES.values() for name in names]
    assert len(listed) == len(set(listed))
    assert set(listed) | NOT_HOSTILE == files
    assert not set(listed) & NOT_HOSTILE


def test_the_table_says_what_there_is():
    tests = collected()
    said = {name: (int(programs), int(count), tuple(re.findall(r"test_\w+\.py", files))) for name, programs, count, files in ROW.findall(DOCS.read_text())}
    there = {
        family: (len({(name, program(test)) for name in names for test in tests[name]}), sum(len(tests[name]) for name in names), names)
        for family, names in FAMILIES.items()
    }
    assert said == there
    assert sum(programs for programs, _, _ in there.values()) >= AT_LEAST


def test_a_program_judged_twice_counts_once():
    assert program("test_a[same]") == program("test_b[same]")
    assert program("test_a[0]") != program("test_b[0]")
    assert program("test_a[plain]") == program("test_a[process]") != program("test_b[plain]")
