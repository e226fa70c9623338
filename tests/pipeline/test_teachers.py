"""Several teachers in one run: the references and two scripted models, of which one is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner
from small_world import World

from rrtf import joins, pipeline, recipe
from rrtf.cli import cli
from rrtf.engine import runner
from rrtf.records import Response

STAGES = ["curate", "sample.teacher", "sample.teacher.2", "sample.teacher.3", "sample.student", "execute", "rank"]
MORE = """
[[more_teachers]]
kind = "model"
model = "sometimes right"
engine = { engine = "scripted", default = "\\n    return 3 + x" }
sample = { n = 2, prompting = "paper" }

[[more_teachers]]
kind = "model"
model = "wrong"
engine = { engine = "scripted", default = "\\n    return None" }
sample = { n = 1, prompting = "paper" }

[rank]
max_teachers = 3
"""


def test_each_teacher_answers_and_tests_decide_who_teaches(make_world: Callable[..., World], tmp_path: Path) -> None:
    world = make_world(tmp_path, MORE)
    settings = recipe.load(world.recipe)
    built = pipeline.build(settings)
    pipeline.run(settings, built, STAGES, lambda line: None)
    kept = sum(not row.dropped for row in runner.rows(built, joins.CURATE))
    answers: dict[str, list[Response]] = {name: list(runner.rows(built, name)) for name in joins.sampled(world.run)}
    assert list(answers) == ["sample.teacher", "sample.teacher.2", "sample.teacher.3", "sample.student"]
    assert [len(answers[name]) for name in list(answers)[:3]] == [kept, 2 * kept, kept]
    assert {row.author.model for name in ("sample.teacher.2", "sample.teacher.3") for row in answers[name]} == {"sometimes right", "wrong"}
    everyone = {row.id for rows in answers.values() for row in rows}
    assert {row.response_id for row in runner.rows(built, joins.EXECUTE)} == everyone
    wrong = {row.id for row in answers["sample.teacher.3"]}
    taught = {row.preference.answers[place].response_id for row in runner.rows(built, joins.RANK) if row.preference for place in row.preference.targets}
    assert taught & {row.id for row in answers["sample.teacher.2"]}
    assert not taught & wrong, "what fails its tests teaches nobody"
    shown = CliRunner().invoke(cli, ["show", str(world.run), "sample.teacher.2", "--limit", "1"])
    assert "sometimes right" in shown.output
    exported = CliRunner().invoke(cli, ["export", str(world.run), "--format", "trl-kto", "--out", str(tmp_path / "kto.jsonl")])
    assert exported.exit_code == 0, exported.output
    assert len((tmp_path / "kto.jsonl").read_text().splitlines()) > 3 * kept
