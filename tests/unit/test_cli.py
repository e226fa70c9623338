"""The command line: what is printed, where it goes, how it ends. Mistakes are in test_bad_input.py, whole runs in tests/pipeline."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import user_files

from rrtf import pipeline, recipe
from rrtf.cli import cli

PROGRAM = [sys.executable, "-c", "from rrtf.cli import main; main()"]


@pytest.fixture
def world(tmp_path: Path) -> Path:
    user_files.problems(tmp_path)
    return user_files.recipe(tmp_path)


@pytest.fixture(scope="module")
def ranked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe whose run is done up to ranking."""
    folder = tmp_path_factory.mktemp("ranked")
    user_files.problems(folder)
    path = user_files.recipe(folder)
    for verb in ("curate", "sample", "execute", "rank"):
        subprocess.run([*PROGRAM, verb, str(path)], check=True, capture_output=True)
    return path


def test_help_lists_every_command(rrtf: Any) -> None:
    ended = rrtf("--help")
    assert ended.code == 0
    assert set(cli.commands) == {*pipeline.VERBS, "run", "plan", "show", "explain", "check", "convert", "export", "judge", "mine", "schema"}
    assert all(f"  {name} " in ended.out for name in cli.commands)


@pytest.mark.parametrize("command", cli.commands)
def test_every_command_explains_itself(rrtf: Any, command: str) -> None:
    ended = rrtf(command, "-h")
    assert ended.code == 0
    assert ended.out.startswith("Usage: ")
    assert cli.commands[command].help


def test_version(rrtf: Any) -> None:
    from importlib.metadata import version

    assert rrtf("--version").out.strip().endswith(version("rrtf"))


def test_no_command_shows_the_help_and_is_a_mistake(rrtf: Any) -> None:
    ended = rrtf()
    assert ended.code == 2
    assert "Commands:" in ended.out + ended.err


def test_a_plan_names_every_stage_with_its_reason_and_changes_nothing(rrtf: Any, world: Path) -> None:
    ended = rrtf("plan", world)
    names = [stage.name for stage in pipeline.build(recipe.load(world)).stages]
    assert [line.split()[0] for line in ended.out.splitlines()] == names
    assert ended.out.splitlines()[0].split(None, 2)[1:] == ["run", "nothing there yet"]
    assert not (world.parent / "run").exists()


def test_results_go_to_stdout_and_progress_to_stderr(rrtf: Any, world: Path) -> None:
    ended = rrtf("curate", world)
    assert ended.out == 'curate: {"kept": 6}\n'
    assert ended.err.startswith("curate: run (nothing there yet)")
    again = rrtf("curate", world)
    assert again.out == ended.out
    assert again.err == "curate: reuse (same config and inputs, 6 rows)\n"


def test_overrides_reach_the_run_and_the_frozen_recipe(rrtf: Any, world: Path) -> None:
    directory = world.parent / "elsewhere"
    assert rrtf("curate", world, "--set", f"run.directory={directory}", "--set", "problems.limit=2").out == 'curate: {"kept": 2}\n'
    frozen = recipe.load(directory / "recipe.toml")
    assert (frozen.problems.limit, frozen.run.directory) == (2, str(directory))
    assert not (world.parent / "run").exists()


def test_a_frozen_recipe_runs_as_it_did(rrtf: Any, ranked: Path) -> None:
    ended = rrtf("rank", ranked.parent / "run" / "recipe.toml")
    assert ended.err == "rank: reuse (same config and inputs, 6 rows)\n"


def test_show_lists_artefacts_with_their_counts(rrtf: Any, ranked: Path) -> None:
    lines = rrtf("show", ranked.parent / "run").out.splitlines()
    assert [line.split()[0] for line in lines[::2]] == ["curate", "execute", "rank", "sample.student", "sample.teacher"]
    assert " 12 rows in 3 parts" in lines[6]
    assert json.loads(lines[3]) == {"COMPILE_ERROR": 0, "RUNTIME_ERROR": 0, "PARTIAL": 10, "PASSED": 8}


def test_show_says_which_artefact_is_unfinished(rrtf: Any, world: Path) -> None:
    rrtf("curate", world)
    (world.parent / "run" / "curate" / "manifest.json").unlink()
    assert rrtf("show", world.parent / "run").out.split() == ["curate", "unfinished"]


def test_show_prints_rows_as_json_lines(rrtf: Any, ranked: Path) -> None:
    rows = [json.loads(line) for line in rrtf("show", ranked.parent / "run", "sample.student", "--limit", "3").out.splitlines()]
    assert [row["index"] for row in rows] == [0, 1, 0]
    assert rows[0]["author"] == {"role": "student", "model": "somebody/student", "revision": rows[0]["author"]["revision"]}
    assert "return x + 3" in rows[0]["code"]


def test_explain_a_key_and_everything_below_it(rrtf: Any) -> None:
    assert "train.epochs: " in rrtf("explain", "train.epochs").out
    lines = rrtf("explain", "rank").out.splitlines()
    assert lines[0].startswith("rank: ")
    assert any(line.startswith("rank.scores.passed: ") for line in lines)


@pytest.mark.parametrize("name", ["add/1", "add/3"])
def test_explain_a_problem_tells_its_whole_story(rrtf: Any, ranked: Path, name: str) -> None:
    text = rrtf("explain", ranked.parent / "run", name).out
    assert f"{name} (p-" in text
    assert "curate: kept" in text
    assert "reference reference #0 (found by rule: reference): PASSED, 3 of 3 tests" in text
    if name == "add/1":
        assert "student somebody/student #0" in text
        assert "PARTIAL, 0 of 3 tests: test 0: returned 3, expected 1" in text
        assert "pair: reference PASSED 3 over student PARTIAL 2, margin 1" in text
    else:
        assert "PASSED, 3 of 3 tests" in text.split("student somebody/student #0")[1]


def test_a_problem_is_found_by_its_id_too(rrtf: Any, ranked: Path) -> None:
    key = rrtf("explain", ranked.parent / "run", "add/1").out.split("(")[1].split(")")[0]
    assert rrtf("explain", ranked.parent / "run", key).out.startswith("add/1 ")


def test_schema_is_json_schema(rrtf: Any) -> None:
    from jsonschema import Draft202012Validator

    found = json.loads(rrtf("schema").out)
    assert set(found) == {"problem", "response"}
    Draft202012Validator.check_schema(found["problem"])
    Draft202012Validator(found["problem"]).validate(user_files.problem(3))


def test_check_says_what_is_isolated(rrtf: Any) -> None:
    ended = rrtf("check", "--sandbox")
    assert ended.code == 0
    assert [line.split(":")[0] for line in ended.out.splitlines()] == ["isolated", "not isolated"]


def test_check_says_what_the_machine_offers(rrtf: Any) -> None:
    out = rrtf("check").out
    assert "python" in out
    assert "student smollm2-135m-instruct: " in out


def test_check_a_problem_file(rrtf: Any, tmp_path: Path) -> None:
    weak = user_files.problem(1, name="weak", tests=[{"args": [0], "expected": 1}])
    path = user_files.problems(tmp_path, [user_files.problem(0), weak])
    ended = rrtf("check", path)
    assert ended.code == 3
    assert "weak: " in ended.out
    assert "should be mended or dropped" in ended.err


def test_nothing_heavy_is_loaded_for_help() -> None:
    program = """
import sys
from rrtf.cli import main
try:
    main()
finally:
    print(sorted({"torch", "pyarrow", "pydantic", "numpy"} & set(sys.modules)))
"""
    ended = subprocess.run([sys.executable, "-c", program, "--help"], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"


def test_a_reader_that_goes_away_is_no_error(ranked: Path) -> None:
    command = f"{sys.executable} -c '{PROGRAM[2]}' show {ranked.parent / 'run'} sample.student | head -c 1 > /dev/null; echo ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() in ("0", "141")
    assert ended.stderr == ""
