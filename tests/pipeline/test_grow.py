"""rrtf evolve without a model: from seeds with references to problems that curation takes, killed and taken up again, and mistakes told in sentences."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from rrtf import formats, pipeline, recipe
from rrtf.benchmarks.starter import starter
from rrtf.cli import cli
from rrtf.engine import artifacts, runner, tables
from rrtf.errors import DataError, RecipeError
from rrtf.evolution.lineage import Evolved
from rrtf.joins import CURATE, EVOLVED, GUIDED

RECIPE = """
[run]
directory = "{run}"

[evolve]
method = "guided"
seeds = {{ source = "seeds.jsonl" }}
target = 12
rounds = 3

[problems]
source = "evolve"
gate.weak_tests = "off"

[evaluate]
benchmarks = ["starter"]
limit = 2
"""
SEEDS = ("count_longer_than", "cinema_price", "is_good_nickname", "double_and_add_one", "running_lengths")


def world(folder: Path) -> Path:
    """A recipe beside five seeds."""
    chosen = [problem for problem in starter("train").problems() if problem.name.removeprefix("starter/") in SEEDS]
    formats.write_problems(folder / "seeds.jsonl", chosen)
    (folder / "my.toml").write_text(RECIPE.format(run=folder / "run"))
    return folder / "my.toml"


def candidates(run: Path) -> list[Evolved]:
    (file,) = artifacts.outputs(run / GUIDED)
    return tables.read(file, Evolved)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = world(tmp_path_factory.mktemp("grown"))
    found = CliRunner().invoke(cli, ["evolve", str(path)])
    assert found.exit_code == 0, found.output
    return path


def test_from_seeds_to_problems_that_curation_takes(grown: Path) -> None:
    run = grown.parent / "run"
    problems = formats.read_problems(run / EVOLVED / "problems.jsonl")
    rows = candidates(run)
    assert [problem.id for problem in problems] == [row.problem.id for row in rows if not row.dropped]
    assert len(problems) == 12
    assert {row.lineage.round for row in rows} == {1, 2, 3}
    drops = (run / EVOLVED / "drops.md").read_text()
    assert "| 12 | kept |" in drops
    assert len(drops.splitlines()) > 3
    assert not list(run.rglob("chunks")), "the journal goes when it has served"
    curated = CliRunner().invoke(cli, ["curate", str(grown)])
    assert curated.exit_code == 0, curated.output
    built = pipeline.build(recipe.load(grown))
    kept = [row for row in runner.rows(built, CURATE) if not row.dropped]
    assert len(kept) == 12
    assert [decision.action for decision in runner.plan(built)][:4] == ["reuse"] * 4


def test_a_problem_tells_its_lineage(grown: Path) -> None:
    run = grown.parent / "run"
    shown = CliRunner().invoke(cli, ["show", str(run), GUIDED, "--limit", "3"])
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.output.splitlines()[0])["lineage"]["author"] == "program"
    assert CliRunner().invoke(cli, ["curate", str(grown)]).exit_code == 0
    child = next(row for row in candidates(run) if not row.dropped and row.lineage.round == 2)
    explained = CliRunner().invoke(cli, ["explain", str(run), child.problem.name])
    assert explained.exit_code == 0, explained.output
    told = [line for line in explained.output.splitlines() if line.startswith("evolve: ")]
    assert f"{child.problem.name} was made of " in told[0]
    assert child.lineage.method in told[0]
    assert any("starter/" in line for line in told[1:]), "the chain ends at a seed"


def test_killed_between_its_chunks_it_goes_on_and_gives_the_same(grown: Path, tmp_path: Path) -> None:
    path = world(tmp_path)
    journal = tmp_path / "run" / GUIDED
    program = [sys.executable, str(Path(__file__).with_name("killed.py")), "2", str(journal), "evolve", str(path)]
    kept: dict[Path, int] = {}
    for _ in range(2):  # after the second chunk; then two events later
        ended = subprocess.run(program, capture_output=True, text=True, check=False)
        assert ended.returncode == -9, ended.stderr
        chunks = {file: file.stat().st_mtime_ns for file in journal.rglob("chunk-*.parquet")}
        assert len(chunks) >= 2
        assert {file: chunks[file] for file in kept} == kept, "what is there is not judged again"
        kept = chunks
    ended = CliRunner().invoke(cli, ["evolve", str(path)])
    assert ended.exit_code == 0, ended.output
    assert f"{GUIDED}: resume (an interrupted run of the same work is there)" in ended.output
    digests = [artifacts.require_manifest(one.parent / "run" / name).digest for one in (grown, path) for name in (GUIDED, EVOLVED)]
    assert digests[:2] == digests[2:]
    assert not list((tmp_path / "run").rglob(".work-*"))


def test_what_is_held_out_bears_identity_and_its_order_does_not(grown: Path) -> None:
    def action(*overrides: str) -> str:
        return {one.stage: one.action for one in runner.plan(pipeline.build(recipe.load(grown, overrides)))}[GUIDED]

    assert action() == "reuse"
    assert action("problems.overlap.benchmarks=['starter']") == "run"
    assert action("run.seed=1") == "run"
    assert action("how.sandbox.workers=1") == "reuse"


def test_a_target_out_of_reach_is_told(tmp_path: Path) -> None:
    path = world(tmp_path)
    found = CliRunner().invoke(cli, ["evolve", str(path), "--set", "evolve.target=5000", "--set", "evolve.rounds=1", "--set", "evolve.seeds.limit=1"])
    assert found.exit_code == 0, found.output
    assert "No candidate is left. More seeds, more rounds" in found.output
    assert 0 < len(formats.read_problems(tmp_path / "run" / EVOLVED / "problems.jsonl")) < 100


def test_mistakes_are_sentences(tmp_path: Path) -> None:
    path = world(tmp_path)
    (tmp_path / "words.json").write_text('[{"instruction": "Write a function that returns the largest of a list."}]')
    words = ["evolve.seeds.source=words.json", "evolve.seeds.format=alpaca"]
    with pytest.raises(DataError, match=r"None of the 1 seeds .* has a reference and tests"):
        pipeline.build(recipe.load(path, words))
    bare = {"name": "a", "instruction": "Add one.", "entry_point": "f", "reference": "def f(x):\n    return x + 1\n"}
    (tmp_path / "seeds.jsonl").write_text(json.dumps({**bare, "split": "train", "tests": [{"args": [1], "expected": 2}]}) + "\n")
    found = CliRunner().invoke(cli, ["evolve", str(path)])
    assert isinstance(found.exception, DataError)
    assert "No problem could be grown from 1 seeds, of which operators can take 0 apart" in str(found.exception)
    with pytest.raises(RecipeError, match=r"there is no key 'evolve\.model'"):
        recipe.assemble({"evolve": {"method": "guided", "model": "m"}})
    with pytest.raises(RecipeError, match=r"evolve\.method is 'guidd', and that does not fit: it can be 'model', 'guided'"):
        recipe.assemble({"evolve": {"method": "guidd"}})
