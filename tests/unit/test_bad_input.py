"""Every mistake a user can make ends in one sentence that says what, where and what to do, with a telling exit status, and leaves nothing half-written.

Faults inside problem files are tried in detail in test_formats.py, and recipe keys in test_recipe.py; here is what a user sees on the command line.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import user_files
from user_files import problem

from rrtf.engine import artifacts

Prepare = Callable[[Path], Sequence[object]]
"""Makes the mistake in a folder, and gives the command line that meets it."""


@dataclass(frozen=True)
class Mistake:
    """A mistake, and what must be said about it."""

    name: str
    code: int
    prepare: Prepare
    says: tuple[str, ...]
    sampled: bool
    """It is made in a run whose first stages are done."""


MISTAKES: list[Mistake] = []


def mistake(code: int, *says: str, sampled: bool = False) -> Callable[[Prepare], Prepare]:
    def add(prepare: Prepare) -> Prepare:
        MISTAKES.append(Mistake(prepare.__name__, code, prepare, says, sampled))
        return prepare

    return add


def world(folder: Path, text: str = "", **changes: str) -> Path:
    user_files.problems(folder)
    return user_files.recipe(folder, text, **changes)


# ------------------------------------------------------------------------------------------------ 2: recipe and command line


@mistake(2, "There is no recipe", "nowhere.toml", "recipes/starter.toml")
def recipe_not_there(folder: Path) -> Sequence[object]:
    return ["run", folder / "nowhere.toml"]


@mistake(2, "cannot be read", "Is a directory")
def recipe_is_a_folder(folder: Path) -> Sequence[object]:
    return ["plan", folder]


@mistake(2, "cannot be read", "text file")
def recipe_is_not_text(folder: Path) -> Sequence[object]:
    (folder / "x.toml").write_bytes(b"\x80\x81")
    return ["plan", folder / "x.toml"]


@mistake(2, "my.toml is not valid TOML", "line 1", "Mend that line")
def recipe_is_not_toml(folder: Path) -> Sequence[object]:
    (folder / "my.toml").write_text("[run\n")
    return ["run", folder / "my.toml"]


@mistake(2, "my.toml", "no key 'train.epoch'", "It would have been ignored", "Did you mean 'train.epochs'?")
def unknown_key(folder: Path) -> Sequence[object]:
    return ["run", world(folder, train="[train]\nepoch = 1")]


@mistake(2, "my.toml", "sample.n is 'two'", "valid integer", "rrtf explain sample.n")
def wrong_type(folder: Path) -> Sequence[object]:
    return ["plan", world(folder, sample="[sample]\nn = 'two'")]


@mistake(2, "train.learning_rate is -1", "greater than 0", "rrtf explain train.learning_rate")
def out_of_range(folder: Path) -> Sequence[object]:
    return ["plan", world(folder), "--set", "train.learning_rate=-1"]


@mistake(2, "teacher.kind is 'oracle'", "'reference', 'model'")
def unknown_kind_of_teacher(folder: Path) -> Sequence[object]:
    return ["plan", world(folder, "[teacher]\nkind = 'oracle'")]


@mistake(2, "teacher.model is missing")
def teacher_without_a_model(folder: Path) -> Sequence[object]:
    return ["plan", world(folder, "[teacher]\nkind = 'model'")]


@mistake(2, "--set 'train.epochs' is not key=value", "--set train.epochs=3")
def set_without_a_value(folder: Path) -> Sequence[object]:
    return ["plan", world(folder), "--set", "train.epochs"]


@mistake(2, "no key 'train.epoch'", "'train.epochs'")
def set_of_an_unknown_key(folder: Path) -> Sequence[object]:
    return ["run", world(folder), "--set", "train.epoch=3"]


@mistake(2, "no benchmark 'humanevil'", "'humaneval'")
def unknown_benchmark(folder: Path) -> Sequence[object]:
    return ["plan", world(folder), "--set", 'evaluate.benchmarks=["humanevil"]']


@mistake(2, "'mbpp' needs a file", "mbpp:PATH")
def mbpp_without_its_file(folder: Path) -> Sequence[object]:
    return ["plan", world(folder), "--set", 'evaluate.benchmarks=["mbpp"]']


@mistake(2, "No such command 'rnu'")
def unknown_command(folder: Path) -> Sequence[object]:
    return ["rnu", world(folder)]


@mistake(2, "No such option", "--fast")
def unknown_option(folder: Path) -> Sequence[object]:
    return ["run", world(folder), "--fast"]


@mistake(2, "Missing argument 'RECIPE'")
def no_recipe(folder: Path) -> Sequence[object]:
    return ["run"]


@mistake(2, "either a RECIPE or --model")
def recipe_and_model(folder: Path) -> Sequence[object]:
    return ["evaluate", world(folder), "--model", "x"]


@mistake(2, "either a RECIPE or --model")
def neither_recipe_nor_model(folder: Path) -> Sequence[object]:
    return ["evaluate"]


@mistake(2, "--n", "0 is not in the range")
def no_samples(folder: Path) -> Sequence[object]:
    return ["evaluate", "--model", "x", "--n", "0"]


@mistake(2, "--n, --temperature, --out would be ignored", "--set evaluate.")
def evaluation_options_beside_a_recipe(folder: Path) -> Sequence[object]:
    return ["evaluate", world(folder), "--n", "1", "--temperature", "0.8", "--out", folder / "out"]


@mistake(2, "evaluate.before has 'paper' twice", "Leave one out.")
def a_repeated_prompt_format(folder: Path) -> Sequence[object]:
    return ["evaluate", "--model", user_files.model(folder), "--format", "paper,raw,paper", "--out", folder / "out"]


@mistake(2, "--limit", "-1 is not in the range x>=0")
def a_negative_number_of_rows(folder: Path) -> Sequence[object]:
    return ["show", folder, "curate", "--limit", "-1"]


@mistake(2, "evaluate.before.0 is 'poem'", "'paper'")
def unknown_prompt_format(folder: Path) -> Sequence[object]:
    return ["evaluate", "--model", user_files.model(folder), "--format", "poem", "--out", folder / "out"]


@mistake(2, "There is no run in", "nowhere", "Give the directory of a run")
def show_no_run(folder: Path) -> Sequence[object]:
    return ["show", folder / "nowhere"]


@mistake(2, "no rows called 'samples'")
def show_an_unknown_artefact(folder: Path) -> Sequence[object]:
    return ["show", folder, "samples"]


@mistake(2, "no recipe key 'train.epoch'", "'train.epochs'")
def explain_an_unknown_key(folder: Path) -> Sequence[object]:
    return ["explain", "train.epoch"]


@mistake(2, "There is no run in")
def explain_a_problem_of_no_run(folder: Path) -> Sequence[object]:
    return ["explain", folder / "nowhere", "add/1"]


@mistake(2, "'csv' is not one of 'humaneval', 'mbpp'")
def convert_an_unknown_kind(folder: Path) -> Sequence[object]:
    return ["convert", "csv", folder / "x", folder / "y"]


@mistake(2, "has two called 'problems'", "Leave one out")
def two_benchmarks_of_one_name(folder: Path) -> Sequence[object]:
    return ["plan", world(folder), "--set", f'evaluate.benchmarks=["problems.jsonl", "{folder / "problems.jsonl"}"]']


@mistake(2, "evaluate.decodings.greedy.benchmarks has 'humanevil', which is not examined", "Examined are: problems")
def decoding_of_a_benchmark_that_is_not_examined(folder: Path) -> Sequence[object]:
    return ["plan", world(folder, text='[evaluate.decodings.greedy]\nbenchmarks = ["humanevil"]')]


# ------------------------------------------------------------------------------------------------ 3: problem files


@mistake(3, "There is no file", "problems.jsonl", "Check the path")
def problems_not_there(folder: Path) -> Sequence[object]:
    return ["run", user_files.recipe(folder)]


@mistake(3, "problems.jsonl", "holds no problems", "docs/formats.md")
def problems_empty(folder: Path) -> Sequence[object]:
    (folder / "problems.jsonl").write_text("\n\n")
    return ["run", user_files.recipe(folder)]


@mistake(3, "problems.jsonl, line 9", "not valid JSON", "cut off")
def problems_half_written(folder: Path) -> Sequence[object]:
    path = user_files.problems(folder)
    path.write_text(path.read_text()[:-40])
    return ["run", user_files.recipe(folder)]


@mistake(3, "problems.jsonl, line 2", "field name", "'add/0' is already the name of line 1")
def problems_of_one_name(folder: Path) -> Sequence[object]:
    user_files.problems(folder, [problem(0), problem(1, name="add/0")])
    return ["run", user_files.recipe(folder)]


@mistake(3, "problems.jsonl, line 1", "tests.0.code", "not valid Python")
def assertion_that_does_not_parse(folder: Path) -> Sequence[object]:
    user_files.problems(folder, [problem(0, tests=[{"code": "assert add0(1) =="}])])
    return ["run", user_files.recipe(folder)]


@mistake(3, "problems.jsonl, line 1", "reference", "not valid Python")
def reference_that_does_not_parse(folder: Path) -> Sequence[object]:
    user_files.problems(folder, [problem(0, reference="def add0(x:\n")])
    return ["run", user_files.recipe(folder)]


@mistake(3, "no problem whose split is 'train'", 'Set "split"')
def nothing_to_learn_from(folder: Path) -> Sequence[object]:
    user_files.problems(folder, [problem(number) for number in (6, 7)])
    return ["run", user_files.recipe(folder)]


@mistake(3, "no problem whose split is 'test'", "problems")
def nothing_to_be_examined_on(folder: Path) -> Sequence[object]:
    user_files.problems(folder, [problem(number) for number in (0, 1)])
    return ["run", user_files.recipe(folder)]


@mistake(3, "is the same problem as add/6 of", "count twice")
def the_same_problem_twice_in_the_examination(folder: Path) -> Sequence[object]:
    user_files.problems(folder, [problem(0), problem(6), problem(6, name="other")])
    return ["run", user_files.recipe(folder)]


@mistake(3, "1 of 2 problems", "its reference fails", "add/1", "Their tests would teach the wrong thing", "problems.gate.reference_fails=drop")
def reference_that_fails(folder: Path) -> Sequence[object]:
    user_files.problems(folder, [problem(0), problem(1, reference="def add1(x):\n    return x\n"), problem(6)])
    return ["run", user_files.recipe(folder)]


@mistake(3, "problems.parquet", "cannot be read as Parquet")
def parquet_that_is_none(folder: Path) -> Sequence[object]:
    (folder / "problems.parquet").write_text("not Parquet")
    return ["run", world(folder, source='[problems]\nsource = "problems.parquet"')]


@mistake(3, "cannot be read", "Is a directory")
def problems_are_a_folder(folder: Path) -> Sequence[object]:
    (folder / "problems.jsonl").mkdir()
    return ["run", user_files.recipe(folder)]


@mistake(3, "There is no file", "mine.jsonl")
def check_no_file(folder: Path) -> Sequence[object]:
    return ["check", folder / "mine.jsonl"]


# ------------------------------------------------------------------------------------------------ 3: runs


@mistake(3, "curate holds no finished artefact", "Run the stage before it first")
def stage_before_its_inputs(folder: Path) -> Sequence[object]:
    return ["rank", world(folder)]


@mistake(3, "execute holds no finished artefact", "Run the stage before it first", sampled=True)
def stage_before_some_of_its_inputs(folder: Path) -> Sequence[object]:
    return ["rank", user_files.recipe(folder)]


def manifest(folder: Path, stage: str = "sample.student") -> Path:
    return folder / "run" / stage / "manifest.json"


@mistake(3, "sample.student", "has format 99", "another version of rrtf", "delete", sampled=True)
def artefact_of_another_version(folder: Path) -> Sequence[object]:
    path = manifest(folder)
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    return ["run", user_files.recipe(folder)]


@mistake(3, "manifest.json is damaged", "other stages are kept", sampled=True)
def manifest_cut_off(folder: Path) -> Sequence[object]:
    path = manifest(folder)
    path.write_text(path.read_text()[:100])
    return ["plan", user_files.recipe(folder)]


@mistake(3, "manifest.json is damaged", sampled=True)
def show_a_damaged_manifest(folder: Path) -> Sequence[object]:
    manifest(folder).write_text("{}")
    manifest(folder).write_text('{"format": 1}')
    return ["show", folder / "run"]


@mistake(3, "part-00000", "cannot be read as Parquet", "delete it: the run computes it again", sampled=True)
def damaged_part(folder: Path) -> Sequence[object]:
    next((folder / "run" / "sample.student").glob("part-00000*")).write_bytes(b"PAR1 no PAR1")
    return ["execute", user_files.recipe(folder)]


@mistake(3, "part-00000", "cannot be read as Parquet", sampled=True)
def show_a_lost_part(folder: Path) -> Sequence[object]:
    next((folder / "run" / "sample.student").glob("part-00000*")).unlink()
    return ["show", folder / "run", "sample.student"]


@mistake(3, "holds other columns than Response records", "another version", sampled=True)
def show_rows_of_another_version(folder: Path) -> Sequence[object]:
    shutil.copy(next((folder / "run" / "curate").glob("part-*")), next((folder / "run" / "sample.student").glob("part-00000*")))
    return ["show", folder / "run", "sample.student"]


@mistake(3, "sample.student holds no finished artefact", sampled=True)
def show_an_unfinished_artefact(folder: Path) -> Sequence[object]:
    manifest(folder).unlink()
    return ["show", folder / "run", "sample.student"]


@mistake(2, "has no problem 'add/10'", "Did you mean 'add/1'?", sampled=True)
def explain_an_unknown_problem(folder: Path) -> Sequence[object]:
    return ["explain", folder / "run", "add/10"]


@mistake(3, "run cannot be written", "File exists", "choose another folder")
def run_directory_is_a_file(folder: Path) -> Sequence[object]:
    (folder / "run").write_text("")
    return ["curate", world(folder)]


@mistake(3, "sample.student", "cannot be read (Not a directory)", "delete it", sampled=True)
def file_in_the_place_of_a_stage(folder: Path) -> Sequence[object]:
    shutil.rmtree(folder / "run" / "sample.student")
    (folder / "run" / "sample.student").write_text("rank")
    return ["sample", user_files.recipe(folder)]


# ------------------------------------------------------------------------------------------------ 4: models


def examine(folder: Path, model: object) -> Sequence[object]:
    return ["evaluate", "--model", model, "--benchmark", user_files.problems(folder), "--format", "paper", "--out", folder / "run"]


@mistake(4, "There is no model at", "gone", "config.json")
def model_not_there(folder: Path) -> Sequence[object]:
    return examine(folder, folder / "gone")


@mistake(4, "is a file", "neither a folder nor a .gguf file")
def model_is_a_file(folder: Path) -> Sequence[object]:
    (folder / "weights.bin").write_bytes(b"x")
    return examine(folder, folder / "weights.bin")


@mistake(4, "has no config.json", "save_pretrained")
def model_without_config(folder: Path) -> Sequence[object]:
    (user_files.model(folder) / "config.json").unlink()
    return examine(folder, folder / "model")


@mistake(4, "has no tokenizer", "tokenizer.json")
def model_without_tokenizer(folder: Path) -> Sequence[object]:
    (user_files.model(folder) / "tokenizer.json").unlink()
    return examine(folder, folder / "model")


@mistake(4, "has no weights", "Save or download")
def model_without_weights(folder: Path) -> Sequence[object]:
    (user_files.model(folder) / "model.safetensors").unlink()
    return examine(folder, folder / "model")


@mistake(4, "cut short or damaged", "model.safetensors")
def model_cut_short(folder: Path) -> Sequence[object]:
    path = user_files.model(folder) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-3])
    return examine(folder, folder / "model")


@mistake(4, "config.json", "is not JSON")
def model_config_damaged(folder: Path) -> Sequence[object]:
    (user_files.model(folder) / "config.json").write_text("{")
    return examine(folder, folder / "model")


@mistake(4, "holds only an adapter", "Merge it")
def model_is_an_adapter(folder: Path) -> Sequence[object]:
    (user_files.model(folder) / "config.json").rename(folder / "model" / "adapter_config.json")
    return examine(folder, folder / "model")


@mistake(4, "'nobody/nothing' is not on this machine", "Check the id and the connection")
def model_unknown_to_the_hub(folder: Path) -> Sequence[object]:
    return examine(folder, "nobody/nothing")


@mistake(4, "There is no model at", "gone")
def student_not_there(folder: Path) -> Sequence[object]:
    return ["run", world(folder, model=f'[student]\nmodel = "{folder / "gone"}"', engine="")]


@mistake(4, "There is no model at", "gone")
def teacher_not_there(folder: Path) -> Sequence[object]:
    return ["run", world(folder, f'[teacher]\nkind = "model"\nmodel = "{folder / "gone"}"')]


# ------------------------------------------------------------------------------------------------ 5: sandbox


@mistake(5, "'no_such_package'", "not installed here", "remove it from `packages`")
def sandbox_package_not_installed(folder: Path) -> Sequence[object]:
    return ["curate", world(folder, '[sandbox]\nbackend = "process"\npackages = ["no_such_package"]')]


@mistake(5, "does not give the full isolation", "confined less than you asked for")
def isolation_less_than_required(folder: Path) -> Sequence[object]:
    return ["curate", world(folder, '[sandbox]\nbackend = "plain"\n[how.sandbox]\nrequire = "full"')]


# ------------------------------------------------------------------------------------------------ the test


@pytest.fixture(scope="session")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run whose first stages are done."""
    folder = tmp_path_factory.mktemp("sampled")
    recipe = world(folder)
    for verb in ("curate", "sample"):
        subprocess.run([sys.executable, "-c", "from rrtf.cli import main; main()", verb, str(recipe)], check=True, capture_output=True)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("case", MISTAKES, ids=lambda case: case.name)
def test_mistake(case: Mistake, tmp_path: Path, request: pytest.FixtureRequest, rrtf: Any) -> None:
    if case.sampled:
        shutil.copytree(request.getfixturevalue("sampled"), tmp_path, dirs_exist_ok=True)
    command = case.prepare(tmp_path)
    before = contents(tmp_path)
    ended = rrtf(*command)
    assert ended.code == case.code, ended
    for words in case.says:
        assert words in ended.err
    assert "Traceback" not in ended.err
    last = ended.err.strip().splitlines()[-1]
    assert last.startswith(("rrtf: ", "Error: ")), ended.err
    assert len(last) < 900
    after = contents(tmp_path)
    kept = {name: text for name, text in before.items() if not name.endswith((".lock", "run/recipe.toml"))}
    assert {name: after.get(name) for name in kept} == kept
    assert not [name for name in after if ".tmp" in name]
    for path in tmp_path.rglob("manifest.json"):
        if str(path.relative_to(tmp_path)) not in before:  # what was finished before the mistake was met is whole
            assert all(file.is_file() for file in artifacts.outputs(path.parent))


def test_there_are_more_than_forty_mistakes() -> None:
    assert len(MISTAKES) >= 60
    assert len({case.name for case in MISTAKES}) == len(MISTAKES)


# ------------------------------------------------------------------------------------------------ mistakes that need more than a command


def test_two_runs_at_once(tmp_path: Path, rrtf: Any) -> None:
    recipe = world(tmp_path)
    with artifacts.exclusive(tmp_path / "run"):
        ended = rrtf("curate", recipe)
    assert ended.code == 2
    assert f"in use by process {os.getpid()}" in ended.err
    assert "run.directory" in ended.err
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"], "the second run must not touch what belongs to the first"


@pytest.mark.parametrize("what", ["part-", "manifest", "recipe"])
def test_no_space_left(tmp_path: Path, rrtf: Any, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    recipe, real = world(tmp_path), Path.replace

    def full(self: Path, target: Path) -> Path:
        if target.name.startswith(what):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        ended = rrtf("curate", recipe)
    assert ended.code == 3
    assert "No space left on device" in ended.err
    assert "Free some space" in ended.err
    assert "Traceback" not in ended.err
    assert not [name for name in contents(tmp_path) if ".tmp" in name or name.endswith("manifest.json")]
    assert rrtf("curate", recipe).code == 0


def test_no_space_left_where_nobody_expects_it(tmp_path: Path, rrtf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from rrtf.engine import runner

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere")

    monkeypatch.setattr(runner, "run", full)
    ended = rrtf("curate", world(tmp_path))
    assert ended.code == 3
    assert "No space left on device (somewhere)" in ended.err


def test_a_bug_of_ours_keeps_its_traceback(tmp_path: Path, rrtf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from rrtf.engine import runner

    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(runner, "run", broken)
    with pytest.raises(ZeroDivisionError):  # Python prints it and ends with 1
        rrtf("curate", world(tmp_path))


@pytest.mark.parametrize("command", ["plan", "rnu", "run"])
def test_sentences_come_without_a_traceback_from_a_real_process(tmp_path: Path, command: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "from rrtf.cli import main; main()", command, "nowhere.toml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


def test_ctrl_c_is_a_sentence_and_keeps_what_is_finished(tmp_path: Path) -> None:
    looping = "def add0(x):\n    return x\n" + "import time\ntime.sleep(60)\n"
    user_files.problems(tmp_path, [problem(0, reference=looping), problem(6)])
    command = [sys.executable, "-c", "from rrtf.cli import main; main()", "curate", str(user_files.recipe(tmp_path))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("curate: run")
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to everybody
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert said.strip().splitlines()[-1] == "rrtf: interrupted. Finished parts are kept; run the same command again to go on."
    assert "Traceback" not in said
    assert not [name for name in contents(tmp_path) if ".tmp" in name or name.endswith("manifest.json")]
