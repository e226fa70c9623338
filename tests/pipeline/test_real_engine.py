"""The whole loop with a real, if tiny and random, model: transformers generates, the trainer trains, and the trained weights are examined."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_world import World, digests

from rrtf import joins, pipeline, recipe
from rrtf.engine import artifacts, runner

ENGINE = '[student.engine]\nengine = "transformers"\ndtype = "float32"\n[how.generation]\ndevice = "cpu"\nmax_rows = 4'
SAMPLED = "[evaluate.decodings.greedy]\nn = 1\n[evaluate.decodings.warm]\nn = 2\ntemperature = 1.0"


@pytest.fixture(scope="module")
def done(make_world: Callable[..., World], tmp_path_factory: pytest.TempPathFactory) -> World:
    from rrtf.engine.local import InlineExecutor

    world = make_world(tmp_path_factory.mktemp("real"), SAMPLED, engine=ENGINE)
    runner.run(pipeline.build(recipe.load(world.recipe)), None, InlineExecutor(), lambda line: None)
    return world


def rows(world: World, name: str, *overrides: str) -> list[Any]:
    return list(runner.rows(pipeline.build(recipe.load(world.recipe, overrides)), name))


def test_answers_are_numbered_and_bear_their_author(done: World, student: Path) -> None:
    answers = rows(done, joins.STUDENT)
    assert [row.index for row in answers] == [0, 1] * 6
    assert {row.author.role for row in answers} == {"student"}
    assert {row.author.revision for row in answers} == {recipe_revision(student)}
    assert len({row.text for row in answers}) > 6, "seeds differ from problem to problem and from sample to sample"
    assert all(0 < row.completion_tokens <= 24 for row in answers)


def recipe_revision(model: Path) -> str:
    from rrtf import checkpoints

    return checkpoints.revision(str(model))


def test_the_examination_after_is_of_the_trained_weights(done: World) -> None:
    before, after = rows(done, joins.BEFORE), rows(done, joins.AFTER)
    assert len(before) == len(after) == 3 * (1 + 2)
    revisions = {row.response.author.revision for row in before}, {row.response.author.revision for row in after}
    assert len(revisions[0]) == len(revisions[1]) == 1
    assert revisions[0] != revisions[1]
    assert {row.response.author.model for row in after} == {"trained"}
    assert {(row.decoding, row.response.index) for row in after} == {("greedy", 0), ("warm", 0), ("warm", 1)}


def test_no_path_of_this_machine_is_in_any_row(done: World) -> None:
    from rrtf.engine import tables

    for name in (joins.CURATE, joins.TEACHER, joins.EXECUTE, joins.RANK, joins.EXAM, joins.AFTER):
        assert not [row for row in rows(done, name) if str(done.folder) in tables.as_json(row)]


def test_a_run_elsewhere_gives_the_same_rows_weights_and_scores(done: World, make_world: Callable[..., World], tmp_path: Path, rrtf: Any) -> None:
    # Other batches on the way, which must not matter.
    other = make_world(tmp_path, SAMPLED, engine=ENGINE)
    assert rrtf("run", other.recipe, "--set", "how.generation.max_rows=3").code == 0
    assert digests(other.run) == digests(done.run)


def test_raising_n_of_the_examination_keeps_what_is_there(done: World, make_world: Callable[..., World], tmp_path: Path, rrtf: Any) -> None:
    world = make_world(tmp_path, SAMPLED, engine=ENGINE)
    shutil.copytree(done.run, world.run)
    more = ("--set", "evaluate.decodings.warm.n=3")
    ended = rrtf("evaluate", world.recipe, *more)
    assert ended.code == 0, ended.err
    assert "evaluate.before: resume (decodings.warm.n 2 -> 3; what is there is kept)" in ended.err
    for name in (joins.BEFORE, joins.AFTER):
        kept = {row.response.id: row for row in rows(done, name)}
        now = {row.response.id: row for row in rows(world, name, more[1])}
        assert len(now) == len(kept) + 3
        assert {key: now[key] for key in kept} == kept, "verdicts that were given again would bear other measurements"


def test_evaluate_a_model_on_its_own(done: World, student: Path, tmp_path: Path, rrtf: Any) -> None:
    out, problems = tmp_path / "out", done.folder / "problems.jsonl"
    common = ["--benchmark", problems, "--format", "paper", "--max-new-tokens", "8", "--temperature", "0.7", "--out", out, "--set", "how.generation.device=cpu"]
    first = rrtf("evaluate", "--model", student, "--n", "1", *common)
    assert first.code == 0, first.err
    assert "problems" in first.out
    assert (out / "results.md").read_text().strip() == first.out.strip()
    assert artifacts.require_manifest(out / "evaluate.before").rows == 3
    again = rrtf("evaluate", "--model", student, "--n", "2", *common)
    assert "what is there is kept" in again.err
    assert artifacts.require_manifest(out / "evaluate.before").rows == 6
    trained = rrtf("evaluate", "--model", done.run / "train" / "model", "--n", "1", *common)
    assert trained.code == 0
    assert "evaluate.before: run (the config changed: model" in trained.err


def test_a_student_can_learn_from_another_model(make_world: Callable[..., World], student: Path, tmp_path: Path, rrtf: Any) -> None:
    teacher = f'[teacher]\nkind = "model"\nmodel = "{student}"\n[teacher.sample]\nn = 1\nprompting = "paper"\nmax_new_tokens = 24\n[teacher.engine]\n'
    teacher += 'engine = "scripted"\ndefault = "\\n    return x + 2"'
    world = make_world(tmp_path, teacher)
    for verb in ("curate", "sample", "execute", "rank"):
        assert rrtf(verb, world.recipe).code == 0
    assert {row.author.role for row in rows(world, joins.TEACHER)} == {"teacher"}
    decisions = [row.decision for row in rows(world, joins.RANK)]
    assert sorted(set(decisions)) == ["kept", "teacher below the minimum outcome"]
    assert decisions.count("kept") == 1  # the teacher is right about "add 2" alone
