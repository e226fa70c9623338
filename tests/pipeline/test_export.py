"""rrtf export: the rows of a small finished run for other trainers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from small_world import World

from rrtf import formats, judge, pipeline, recipe
from rrtf.cli import cli
from rrtf.engine import runner
from rrtf.export import FORMATS, export
from rrtf.joins import EXECUTE, RANK


@pytest.fixture(scope="session")
def ranked(make_world: Callable[..., World], tmp_path_factory: pytest.TempPathFactory) -> World:
    """A run up to ranking."""
    world = make_world(tmp_path_factory.mktemp("ranked"))
    built = pipeline.build(recipe.load(world.recipe))
    pipeline.run(recipe.load(world.recipe), built, ["curate", "sample.teacher", "sample.student", "execute", "rank"], lambda line: None)
    return world


def written(world: World, kind: Any, tmp_path: Path, **options: Any) -> list[dict[str, Any]]:
    out = tmp_path / "out.jsonl"
    found = export(world.run, kind, out, **options)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert found.rows == len(rows)
    return rows


def test_every_pair_and_every_target(ranked: World, tmp_path: Path) -> None:
    built = pipeline.build(recipe.load(ranked.recipe))
    preferences = [row.preference for row in runner.rows(built, RANK) if row.preference]
    pairs = written(ranked, "trl-dpo", tmp_path)
    assert len(pairs) == sum(len(preference.pairs) for preference in preferences)
    assert all(row["margin"] > 0 and row["chosen"] != row["rejected"] for row in pairs)
    assert len(written(ranked, "sft", tmp_path)) == sum(len(preference.targets) for preference in preferences)


def test_labels_are_the_verdicts(ranked: World, tmp_path: Path) -> None:
    built = pipeline.build(recipe.load(ranked.recipe))
    verdicts = list(runner.rows(built, EXECUTE))
    rows = written(ranked, "trl-kto", tmp_path)
    assert sum(row["label"] for row in rows) == sum(verdict.outcome.name == "PASSED" for verdict in verdicts)
    assert len(rows) == len(verdicts), "nothing is left out of this world"


@pytest.mark.parametrize("form", ["paper", "chat", "chat-prefill"])
def test_what_is_written_is_what_would_be_asked_and_answered(ranked: World, tmp_path: Path, form: Any) -> None:
    for row in written(ranked, "sft", tmp_path, prompting=form):
        if form == "paper":
            assert isinstance(row["prompt"], str)
            compile(row["prompt"] + row["completion"], "whole", "exec")
        else:
            assert [message["role"] for message in (*row["prompt"], *row["completion"])] == ["user", "assistant"]
            assert row["completion"][0]["content"].startswith("```python\n")


def test_a_reward_function_can_judge_what_grpo_samples(ranked: World, tmp_path: Path) -> None:
    rows = written(ranked, "grpo", tmp_path)
    (tmp_path / "problems.jsonl").write_text("".join(row["problem"] + "\n" for row in rows))
    problems = formats.read_problems(tmp_path / "problems.jsonl")
    answers = [(problem.name, f"```python\n{problem.reference}\n```") for problem in problems]
    assert judge(problems, answers, form="chat").pass_at(1) == 1.0


def test_everything(ranked: World, tmp_path: Path) -> None:
    rows = written(ranked, "jsonl", tmp_path)
    assert {row["decision"] for row in rows} > {None} or all(row["decision"] for row in rows)
    assert all(answer["outcome"] for row in rows for answer in row["answers"])
    known = {answer["id"] for row in rows for answer in row["answers"]}
    assert {side for row in rows for pair in row["pairs"] for side in (pair["chosen"], pair["rejected"])} <= known


def test_the_command(ranked: World, tmp_path: Path) -> None:
    for kind in FORMATS:
        found = CliRunner().invoke(cli, ["export", str(ranked.run), "--format", kind, "--out", str(tmp_path / f"{kind}.jsonl")])
        assert found.exit_code == 0, found.output
        assert f"{kind}.jsonl: " in found.output


def test_no_run_and_no_stage_are_sentences(ranked: World, tmp_path: Path) -> None:
    found = CliRunner().invoke(cli, ["export", str(tmp_path / "none"), "--format", "sft", "--out", str(tmp_path / "x")])
    assert found.exit_code != 0
    (tmp_path / "empty").mkdir()
    with pytest.raises(Exception, match="rank"):
        export(tmp_path / "empty", "sft", tmp_path / "x")
    assert not (tmp_path / "x").exists()
