"""`rrtf check` on a file with one problem for each fault, from the command line to the files it writes. The rules one by one are in test_gate.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import user_files

from rrtf import problem_files
from rrtf.formats import read_problems
from rrtf.quality.gate import RULES

TEXTS = {
    "sound": "Give twice the whole number that the caller hands over.",
    "no-reference": "Cube what arrives here, whatever its sign may be today.",
    "reference-fails": "Tell how far the two given stations lie apart in kilometres.",
    "contradicting": "Name the planet whose distance from our sun comes closest.",
    "flaky": "List each different word of this sentence exactly one time.",
    "stub": "Return the longest title unless somebody borrowed that book already.",
    "weak": "Decide whether travellers of such an age may ride for free.",
    "slow": "Wait until enough processor seconds went by, then add one.",
    "few": "Add seven to it, as the old recipe of grandmother demands.",
    "repeated": "Take nine away from every price that ends with a zero.",
    "twin": "Give twice the whole number that the caller hands over now.",
}


def row(name: str, body: str | None, *tests: tuple[Any, Any], **changes: Any) -> dict[str, Any]:
    fields = {
        "name": name,
        "instruction": TEXTS[name],
        "entry_point": "f",
        "tests": [{"args": [given], "expected": expected} for given, expected in tests],
        "reference": None if body is None else f"def f(x):\n    {body}\n",
    }
    return {key: value for key, value in {**fields, **changes}.items() if value is not None}


LEANING = "SEEN = []\n\ndef f(x):\n    SEEN.append(x)\n    return 10 * len(SEEN) + x\n"
"""Right for its tests in their order, and in no other."""
SLOW = "import time\n    end = time.process_time() + 0.15\n    while time.process_time() < end: pass\n    return x + 1"
FAULTS = [
    row("sound", "return x * 2", (1, 2), (5, 10), (0, 0)),
    row("no-reference", None, (1, 1), (2, 8), (3, 27)),
    row("reference-fails", "return x + 1", (1, 2), (2, 3), (3, 5)),
    row("contradicting", "return x - 3", (1, -2), (2, -1), (1, -1)),
    row("flaky", "", (3, 13), (2, 22), (1, 31), reference=LEANING),
    row("stub", "return x", ("a", "a"), ("b", "b"), ("", "")),
    row("weak", "return x >= 65 or x <= 5", (70, True), (3, True), (30, False)),
    row("slow", SLOW, (1, 2), (2, 3), (3, 4)),
    row("few", "return x + 7", (1, 8), (2, 9)),
    row("repeated", "return x - 9", (1, -8), (10, 1), (1, -8)),
    row("twin", "return x + x", (1, 2), (7, 14), (0, 0)),
]
SETTINGS = [
    *(
        "--set",
        "sandbox.backend=process",
        "--set",
        "sandbox.limits.cpu_seconds=0.7",
        "--set",
        "problems.gate.near_duplicate=drop",
        "--set",
        "problems.gate.few_tests=drop",
    ),
    *("--set", "problems.gate.mutants=10"),
]


QUICK = ["--set", "problems.gate.flaky=off"]


def write(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "problems.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checked file of problems, its findings and what it keeps."""
    import click.testing

    from rrtf.cli import cli

    folder = tmp_path_factory.mktemp("faults")
    path = write(folder, FAULTS)
    runner = click.testing.CliRunner()
    ended = runner.invoke(cli, ["check", str(path), "--out", str(folder / "found.jsonl"), "--keep", str(folder / "kept.jsonl"), *SETTINGS])
    assert ended.exception is None, ended.output
    (folder / "said.txt").write_text(ended.stdout)
    return folder


def found(folder: Path, name: str = "found.jsonl") -> dict[str, dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / name).read_text().splitlines()]
    return {row["name"]: row for row in rows}


def test_each_fault_is_found_in_its_problem_and_in_no_other(faults: Path) -> None:
    words = RULES
    rules = {name: {finding["rule"] for finding in row["findings"]} for name, row in found(faults).items()}
    assert list(rules) == [row["name"] for row in FAULTS]
    assert rules["sound"] == set()
    assert rules["no-reference"] == {words["no_reference"]}
    assert rules["reference-fails"] == {words["reference_fails"]}
    assert rules["contradicting"] == {words["contradicting_tests"], words["reference_fails"]}
    assert rules["flaky"] == {words["flaky"]}
    assert rules["stub"] == {words["stub_passes"]}
    assert rules["weak"] == {words["weak_tests"]}
    assert rules["slow"] - {words["weak_tests"]} == {words["slow"]}  # some of its faults do no more than save time
    assert rules["few"] == {words["few_tests"]}
    assert rules["repeated"] == {words["duplicate_tests"]}
    assert rules["twin"] == {words["near_duplicate"]}


def test_kept_problems_are_those_without_a_grave_fault(faults: Path) -> None:
    kept = {name for name, row in found(faults).items() if row["keep"]}
    assert kept == {"sound", "no-reference", "weak", "slow", "repeated"}
    before = {problem.name: problem for problem in read_problems(faults / "problems.jsonl")}
    assert read_problems(faults / "kept.jsonl") == [problem for name, problem in before.items() if name in kept]


def test_rows_tell_what_was_tried(faults: Path) -> None:
    rows = found(faults)
    weak = rows["weak"]
    assert weak["reference"] == "PASSED"
    assert weak["killed"] + len(weak["survivors"]) == weak["mutants"] == 6
    assert "line 2: >= became >" in weak["survivors"]
    assert rows["no-reference"]["mutants"] == rows["reference-fails"]["mutants"] == 0


def test_people_see_a_table_the_drops_and_the_warnings(faults: Path) -> None:
    said = (faults / "said.txt").read_text()
    assert "| its reference fails | 2 | 18.2 (5.1 to 47.7) | stop |" in said
    assert "warning: its tests miss small faults: weak" in said
    assert "drop reference-fails: its reference fails (test 2: returned 4, expected 5 (2 of 3 tests passed))" in said
    assert "drop contradicting: its reference fails" in said
    assert said.splitlines()[-1].endswith("programs: 5 to keep, 6 to mend or drop")


def test_another_look_runs_nothing_and_says_the_same(faults: Path, rrtf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> Any:
        raise AssertionError("it was checked before")

    monkeypatch.setattr(problem_files, "gate", refuse)
    before = (faults / "found.jsonl").read_bytes()
    ended = rrtf("check", faults / "problems.jsonl", "--out", faults / "found.jsonl", *SETTINGS)
    assert ended.code == 3
    assert "11 problems, 11 of them checked before" in ended.out
    assert (faults / "found.jsonl").read_bytes() == before


def test_drops_are_a_mistake_of_the_data_unless_the_others_are_kept(rrtf: Any, tmp_path: Path) -> None:
    path = write(tmp_path, FAULTS[:3])
    ended = rrtf("check", path, *QUICK)
    assert ended.code == 3
    assert "1 of 3 problems in" in ended.err
    assert "--keep FILE" in " ".join(ended.err.split())
    assert rrtf("check", path, "--keep", tmp_path / "kept.jsonl", *QUICK).code == 0
    assert [problem.name for problem in read_problems(tmp_path / "kept.jsonl")] == ["sound", "no-reference"]
    assert rrtf("check", path, "--set", "problems.gate.reference_fails=warn", *QUICK).code == 0


def test_a_killed_check_goes_on_where_it_was(rrtf: Any, tmp_path: Path) -> None:
    whole, part = tmp_path / "whole.jsonl", tmp_path / "part.jsonl"
    path = write(tmp_path, [FAULTS[0], FAULTS[1], FAULTS[8]])
    rrtf("check", path, "--out", whole, *QUICK)
    lines = whole.read_text().splitlines(keepends=True)
    Path(f"{part}.journal").write_text(lines[1] + lines[0][:40])  # the last line was torn
    ended = rrtf("check", path, "--out", part, *QUICK)
    assert "3 problems, 1 of them checked before" in ended.out
    assert not Path(f"{part}.journal").exists()

    def timeless(folder_rows: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
        return [{key: value for key, value in row.items() if key != "cpu_seconds"} for row in folder_rows.values()]

    assert timeless(found(tmp_path, "part.jsonl")) == timeless(found(tmp_path, "whole.jsonl"))


def test_another_gate_looks_again(rrtf: Any, tmp_path: Path) -> None:
    path, out = write(tmp_path, [FAULTS[0]]), tmp_path / "out.jsonl"
    rrtf("check", path, "--out", out, *QUICK)
    assert "1 of them checked before" in rrtf("check", path, "--out", out, *QUICK).out
    assert "checked before" not in rrtf("check", path, "--out", out, "--set", "problems.gate.mutants=3", *QUICK).out


def test_problems_that_differ_in_their_names_alone_are_checked_once(rrtf: Any, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    rrtf("check", write(tmp_path, [FAULTS[0], {**FAULTS[0], "name": "again"}]), "--out", out, *QUICK)
    rows = found(tmp_path, "out.jsonl")
    assert [finding["rule"] for finding in rows["again"]["findings"]] == [RULES["near_duplicate"]]
    assert not rows["again"]["keep"]
    assert {**rows["again"], "name": "sound", "findings": [], "keep": True} == rows["sound"]


def test_what_we_could_not_judge_is_neither_kept_nor_dropped(rrtf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rrtf.errors import SandboxFailure
    from rrtf.sandbox.process import ProcessSandbox

    right, out, kept = ProcessSandbox.run, tmp_path / "out.jsonl", tmp_path / "kept.jsonl"

    def fails(self: Any, program: Any) -> Any:
        if "x + 7" in program.source:
            raise SandboxFailure("down")
        return right(self, program)

    with monkeypatch.context() as patch:
        patch.setattr(ProcessSandbox, "run", fails)
        ended = rrtf("check", write(tmp_path, [FAULTS[0], FAULTS[8]]), "--out", out, "--keep", kept, *QUICK)
    assert ended.code == 5
    assert "1 problems could not be checked" in ended.err
    assert list(found(tmp_path, "out.jsonl")) == ["sound"]
    assert [problem.name for problem in read_problems(kept)] == ["sound"]
    assert "2 problems, 1 of them checked before" in rrtf("check", tmp_path / "problems.jsonl", "--out", out, *QUICK).out


def test_an_unknown_key_of_the_gate_is_a_mistake(rrtf: Any, tmp_path: Path) -> None:
    ended = rrtf("check", write(tmp_path, FAULTS[:1]), "--set", "problems.gate.kill_rat=0.5")
    assert ended.code == 2
    assert "problems.gate.kill_rate" in ended.err


def test_the_pipeline_drops_what_the_check_drops_and_counts_it(rrtf: Any, tmp_path: Path) -> None:
    chosen = [fault for fault in FAULTS if fault["name"] != "slow"]
    write(tmp_path, [*chosen, user_files.problem(6)])
    recipe = user_files.recipe(tmp_path, source='[problems]\nsource = "problems.jsonl"\n[problems.gate]\nreference_fails = "drop"\nmutants = 10')
    assert json.loads(rrtf("curate", recipe).out.removeprefix("curate: ")) == {
        "kept": 5,
        "it is nearly another problem": 1,
        "kept, but it has few tests": 1,
        "kept, but its tests miss small faults": 1,
        "kept, but no reference": 1,
        "kept, but tests ask the same twice": 1,
        "a program that does nothing passes": 1,
        "its reference fails": 2,
        "its tests do not say the same every time": 1,
        "dropped, such as": {
            "its reference fails": ["reference-fails", "contradicting"],
            "its tests do not say the same every time": ["flaky"],
            "a program that does nothing passes": ["stub"],
            "it is nearly another problem": ["twin"],
        },
    }
    shown = [json.loads(line) for line in rrtf("show", tmp_path / "run", "curate").out.splitlines()]
    dropped = {row["problem"]["name"]: row["dropped"] for row in shown if row["dropped"]}
    assert dropped["stub"] == "a program that does nothing passes: echo of argument 1"
    assert dropped["contradicting"].startswith("its reference fails: test 2: returned -2, expected -1")
    weak = next(row for row in shown if row["problem"]["name"] == "weak")
    assert [finding.split(":")[0] for finding in weak["findings"]] == ["its tests miss small faults"]
    checked = rrtf("check", tmp_path / "problems.jsonl", "--out", tmp_path / "out.jsonl", "--set", "problems.gate.mutants=10")
    assert checked.code == 3
    assert {name for name, row in found(tmp_path, "out.jsonl").items() if not row["keep"]} == set(dropped)
