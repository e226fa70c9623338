"""The whole loop on a small world: real files, real sandbox, real trainer; the student's answers are scripted, so that everything about them is known."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_world import World, digests

from rrtf import joins, pipeline, recipe
from rrtf.engine import artifacts, runner
from rrtf.records import Outcome

ALL = ["curate", "sample.teacher", "sample.student", "execute", "rank", "train", "evaluate.exam", "evaluate.before", "evaluate.after", "report"]


@pytest.fixture(scope="session")
def done(make_world: Callable[..., World], tmp_path_factory: pytest.TempPathFactory) -> World:
    """A finished run. Tests that change something work on a copy."""
    from rrtf.engine.local import InlineExecutor

    world = make_world(tmp_path_factory.mktemp("done"))
    runner.run(pipeline.build(recipe.load(world.recipe)), None, InlineExecutor(), lambda line: None)
    return world


@pytest.fixture
def again(done: World, make_world: Callable[..., World], tmp_path: Path) -> Callable[..., World]:
    """The finished run in another folder, with a recipe that may differ."""

    def copy(text: str = "", **changes: str) -> World:
        world = make_world(tmp_path, text, **changes)
        shutil.copytree(done.run, world.run)
        return world

    return copy


def rows(world: World, name: str) -> list[Any]:
    return list(runner.rows(pipeline.build(recipe.load(world.recipe)), name))


def decided(err: str) -> dict[str, str]:
    return {line.split(":")[0]: line.split()[1] for line in err.splitlines() if not line.startswith(" ") and "(" in line}


def test_every_stage_finishes_and_says_what_came_out(done: World) -> None:
    summaries = {name: artifacts.require_manifest(done.run / name).summary for name in ALL}
    assert summaries["curate"] == {"kept": 6}
    assert summaries["sample.teacher"] == {"responses": 6, "tokens": 0, "extraction": {"reference": 6}, "stop": {"stop": 6}}
    assert summaries["execute"] == {"COMPILE_ERROR": 0, "RUNTIME_ERROR": 0, "PARTIAL": 10, "PASSED": 8}
    assert summaries["rank"]["pairs"] == 5  # type: ignore[index, call-overload]
    assert summaries["train"]["steps"] == 2  # type: ignore[index, call-overload]
    assert summaries["evaluate.exam"] == {"problems": 3}


def test_rows_are_right(done: World) -> None:
    assert {row.problem.name for row in rows(done, joins.CURATE)} == {f"add/{number}" for number in range(6)}
    answers = {(row.problem_id, row.index): row for row in rows(done, joins.STUDENT)}
    assert len(answers) == 12
    verdicts = {row.response_id: row for row in rows(done, joins.EXECUTE)}
    names = {row.problem.id: row.problem.name for row in rows(done, joins.CURATE)}
    for row in [*answers.values(), *rows(done, joins.TEACHER)]:
        right = row.author.role == "reference" or names[row.problem_id] == "add/3"
        assert verdicts[row.id].outcome is (Outcome.PASSED if right else Outcome.PARTIAL)
    for ranking in rows(done, joins.RANK):
        assert ranking.preference is not None
        assert [pair.margin for pair in ranking.preference.pairs] == ([] if names[ranking.problem_id] == "add/3" else [1.0])


def test_the_model_is_an_ordinary_folder_and_differs_from_the_student(done: World, student: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    before, after = (AutoModelForCausalLM.from_pretrained(folder).state_dict() for folder in (student, done.run / "train" / "model"))
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    assert AutoTokenizer.from_pretrained(done.run / "train" / "model")("x")["input_ids"]


def test_every_manifest_says_how_it_was_made(done: World) -> None:
    for name in ALL:
        manifest = artifacts.require_manifest(done.run / name)
        assert len(manifest.fingerprint) == len(manifest.digest) == 64
        assert {"python", "rrtf", "torch"} <= manifest.environment.keys()
        assert manifest.failures == ()
    for name in ("execute", "evaluate.before", "evaluate.after"):
        notes = artifacts.require_manifest(done.run / name).notes
        assert isinstance(notes, dict)
        assert notes["granted"]
        assert "missing" in notes


def test_everything_is_plain_parquet_and_json(done: World) -> None:
    import pyarrow.parquet as pq

    parts = list(done.run.rglob("*.parquet"))
    assert len(parts) > 10
    assert all(pq.read_table(path).num_rows for path in parts)
    assert json.loads((done.run / "report" / "results.json").read_text())["comparisons"]
    assert [json.loads(line)["step"] for line in (done.run / "train" / "metrics.jsonl").read_text().splitlines()] == [1, 2]


def test_the_command_prints_the_table_and_the_report(again: Callable[..., World], rrtf: Any) -> None:
    world = again()
    ended = rrtf("run", world.recipe)
    assert ended.code == 0
    assert decided(ended.err) == dict.fromkeys(ALL, "reuse")
    assert "| benchmark" in ended.out
    page = Path(ended.out.strip().splitlines()[-1].removeprefix("Report: "))
    assert page.is_absolute()
    assert page.read_text().startswith("<!doctype html>")


def test_a_run_elsewhere_gives_the_same_rows_and_weights(done: World, make_world: Callable[..., World], tmp_path: Path, rrtf: Any) -> None:
    other = make_world(tmp_path / "elsewhere")
    assert rrtf("run", other.recipe, "--set", "how.part_problems=4").code == 0
    assert digests(other.run) == digests(done.run)


def test_worker_processes_give_the_same_rows(again: Callable[..., World], done: World, rrtf: Any) -> None:
    world = again()
    for name in ("sample.student", "execute"):
        shutil.rmtree(world.run / name)
    ended = rrtf("run", world.recipe, "--set", "how.processes=2")
    assert ended.code == 0, ended.err
    assert decided(ended.err) == {**dict.fromkeys(ALL, "reuse"), "sample.student": "run", "execute": "run", "report": "run"}
    assert digests(world.run) == digests(done.run)


def test_raising_n_pays_only_for_the_difference(again: Callable[..., World], done: World, rrtf: Any) -> None:
    world = again()
    ended = rrtf("sample", world.recipe, "--set", "sample.n=3")
    assert "n 2 -> 3; what is there is kept" in ended.err
    ended = rrtf("execute", world.recipe, "--set", "sample.n=3")
    assert decided(ended.err) == {"execute": "resume"}
    kept = {row.response_id: row for row in rows(done, joins.EXECUTE)}
    now = {row.response_id: row for row in rows(world, joins.EXECUTE)}
    assert len(now) == len(kept) + 6
    # A verdict that was given again would bear other measurements.
    assert all(now[key] == row for key, row in kept.items())


def test_lowering_n_gives_what_a_fresh_run_gives(again: Callable[..., World], make_world: Callable[..., World], tmp_path: Path, rrtf: Any) -> None:
    world, fresh = again(), make_world(tmp_path / "fresh")
    for verb in ("curate", "sample", "execute", "rank"):
        for place in (world, fresh):
            assert rrtf(verb, place.recipe, "--set", "sample.n=1").code == 0
    for name in ("sample.student", "execute", "rank"):
        assert artifacts.require_manifest(world.run / name).digest == artifacts.require_manifest(fresh.run / name).digest


def test_another_seed_is_another_run(again: Callable[..., World], rrtf: Any) -> None:
    planned = {line.split()[0]: line.split(None, 2)[1:] for line in rrtf("plan", again().recipe, "--set", "run.seed=1").out.splitlines()}
    assert planned["curate"][0] == "reuse"
    assert planned["sample.student"] == ["run", "the config changed: seed 0 -> 1"]


@pytest.mark.parametrize(
    "override", ["how.part_problems=7", "how.sandbox.workers=1", "how.generation.max_rows=3", "how.training.micro_batch_tokens=64", "how.processes=2"]
)
def test_how_it_is_computed_changes_nothing(again: Callable[..., World], rrtf: Any, override: str) -> None:
    assert {line.split()[1] for line in rrtf("plan", again().recipe, "--set", override).out.splitlines()} == {"reuse"}


def test_a_title_makes_only_the_report_again(again: Callable[..., World], rrtf: Any) -> None:
    ended = rrtf("run", again().recipe, "--set", "run.title=Another title")
    assert decided(ended.err) == {**dict.fromkeys(ALL, "reuse"), "report": "run"}
    assert "Another title" in Path(ended.out.strip().splitlines()[-1].removeprefix("Report: ")).read_text()


def test_a_sandbox_that_fails_gives_no_verdict_and_is_tried_again(again: Callable[..., World], done: World, rrtf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from rrtf.errors import SandboxFailure
    from rrtf.sandbox.process import ProcessSandbox

    world, real = again(), ProcessSandbox.run
    shutil.rmtree(world.run / "execute")

    def fails_on_some(self: Any, program: Any) -> Any:
        if program.entry_point == "add2":
            raise SandboxFailure("the toy sandbox fell over")
        return real(self, program)

    with monkeypatch.context() as patch:
        patch.setattr(ProcessSandbox, "run", fails_on_some)
        ended = rrtf("execute", world.recipe)
    assert ended.code == 0
    assert "3 cases of execute failed on our side" in ended.err
    assert "the toy sandbox fell over" in ended.err
    manifest = artifacts.require_manifest(world.run / "execute")
    assert (manifest.rows, len(manifest.failures)) == (15, 3)
    assert sum(manifest.summary.values()) == 15  # type: ignore[union-attr]
    ended = rrtf("run", world.recipe)
    assert "execute: resume (3 cases failed on our side last time)" in ended.err
    assert digests(world.run) == digests(done.run)


def test_a_reference_that_we_could_not_judge_is_neither_kept_nor_dropped(
    make_world: Callable[..., World], tmp_path: Path, rrtf: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rrtf.errors import SandboxFailure
    from rrtf.sandbox.process import ProcessSandbox

    world = make_world(tmp_path)

    def fails(self: Any, program: Any) -> Any:
        raise SandboxFailure("down")

    with monkeypatch.context() as patch:
        patch.setattr(ProcessSandbox, "run", fails)
        ended = rrtf("run", world.recipe)
    assert ended.code == 4
    assert "6 cases of curate failed on our side, the first with:" in " ".join(ended.err.split())
    assert "down. Nothing is left for the later stages." in " ".join(ended.err.split())
    assert "train:" not in ended.err
    assert artifacts.require_manifest(world.run / "curate").rows == 0
    assert rrtf("curate", world.recipe).out == 'curate: {"kept": 6}\n'


def test_a_reference_that_fails_can_be_dropped_with_its_reason(make_world: Callable[..., World], tmp_path: Path, rrtf: Any) -> None:
    import user_files

    world = make_world(tmp_path)
    user_files.problems(tmp_path, [user_files.problem(0), user_files.problem(1, reference="def add1(x):\n    return x\n"), user_files.problem(6)])
    for verb in ("curate", "sample"):
        ended = rrtf(verb, world.recipe, "--set", "problems.gate.reference_fails=drop")
        assert ended.code == 0
    dropped = {row.problem.name: row.dropped for row in rows(World(world.folder, world.run / "recipe.toml"), joins.CURATE)}
    assert dropped["add/0"] == ""
    assert dropped["add/1"].startswith("its reference fails: test 0: returned 0, expected 1")
    assert {row.problem_id for row in rows(World(world.folder, world.run / "recipe.toml"), joins.STUDENT)} == {
        row.problem.id for row in rows(World(world.folder, world.run / "recipe.toml"), joins.CURATE) if not row.dropped
    }


def test_a_problem_of_the_examination_is_not_learned_from(make_world: Callable[..., World], tmp_path: Path, rrtf: Any) -> None:
    import user_files

    world = make_world(tmp_path)
    twin = user_files.problem(6, name="twin", split="train")
    user_files.problems(tmp_path, [user_files.problem(0), twin, user_files.problem(6)])
    assert rrtf("curate", world.recipe).code == 0
    assert {row.problem.name: row.dropped for row in rows(world, joins.CURATE)} == {"add/0": "", "twin": "it is add/6 of the examination"}


HOSTILE = [
    "raise ValueError('\\ud800 \\x00 \\u2028')",
    "print('\\ud800'.encode('utf-16', 'surrogatepass')); return '\\ud800'",
    "import os; os._exit(0)",
    "import sys; sys.stdout.write('\\x00' * 1000); return x",
    "class X(str): pass\n    return X('\\udfff')",
    "return {'\\ud800': '\\udfff'}",
]


def test_hostile_answers_are_data(make_world: Callable[..., World], tmp_path: Path, rrtf: Any) -> None:
    """Text that has no UTF-8, and programs that try to leave: verdicts, never an error of ours."""
    world = make_world(tmp_path, sample=f'[sample]\nn = {len(HOSTILE)}\nprompting = "paper"\nmax_new_tokens = 200')
    by_name = json.dumps({row: [f"\n    {text}" for text in HOSTILE] for row in prompts(world)})
    text = world.recipe.read_text().replace('engine = "scripted"', f'engine = "scripted"\nanswers = {_toml(json.loads(by_name))}')
    world.recipe.write_text(text)
    for verb in ("curate", "sample", "execute", "rank"):
        ended = rrtf(verb, world.recipe)
        assert ended.code == 0, ended.err
    verdicts = rows(world, joins.EXECUTE)
    assert len(verdicts) == 6 * (1 + len(HOSTILE))
    assert artifacts.require_manifest(world.run / "execute").failures == ()
    assert sum(row.outcome is Outcome.PASSED for row in verdicts) == 6 + 1  # the references, and `return x` for "add 0"


def prompts(world: World) -> list[str]:
    from rrtf.stages.curate import training_problems

    return [problem.id for problem in training_problems(recipe.load(world.recipe).problems)]


def _toml(answers: dict[str, list[str]]) -> str:
    return "{" + ", ".join(f"{json.dumps(key)} = {json.dumps(value)}" for key, value in answers.items()) + "}"
