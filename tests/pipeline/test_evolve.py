"""rrtf evolve: from seeds to problems that curation takes, with a scripted engine and a real sandbox."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from rrtf import formats, pipeline, recipe
from rrtf.cli import cli
from rrtf.engine import runner
from rrtf.errors import DataError, RecipeError
from rrtf.joins import CURATE, EVOLVED, REWRITE, SEEDS, TESTS

# One text answers every request: as a rewritten task, as its signature and tests, and as a solution.
ANSWER = """Write a function that takes a list of whole numbers and returns the second largest different one, and None where there is none.

```python
def second_largest(numbers):
    found = sorted(set(numbers))
    return found[-2] if len(found) > 1 else None
```

```python
assert second_largest([1, 2, 3]) == 2
assert second_largest([7, 7, 6]) == 6
assert second_largest([1, 1]) is None
assert second_largest([-1, -5, 4]) == -1
assert second_largest([]) is None
assert second_largest([7, 7, 6]) == 7
```
"""
RECIPE = """
[run]
directory = "{run}"

[evolve]
model = "scripted"
seeds = {{ source = "seeds.jsonl", format = "alpaca" }}
depth = {{ rounds = 2, longer = 200 }}
tests = {{ solutions = 2, inputs = 0, agreement = {{ solutions = 1 }} }}

[evolve.engine]
engine = "scripted"
default = '''{answer}'''

[problems]
source = "evolve"
rules.answer_in_statement = "off"

[evaluate]
benchmarks = ["starter"]
limit = 2
"""


@pytest.fixture
def grown(tmp_path: Path) -> Path:
    seeds = [
        {"instruction": "Write a function that takes a list of whole numbers and returns the largest of them."},
        {"instruction": "Write a function that takes a text and returns how many vowels there are in it."},
        {"instruction": ""},
    ]
    (tmp_path / "seeds.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in seeds))
    (tmp_path / "my.toml").write_text(RECIPE.format(run=tmp_path / "run", answer=ANSWER))
    return tmp_path


def test_from_seeds_to_problems(grown: Path) -> None:
    found = CliRunner().invoke(cli, ["evolve", str(grown / "my.toml")])
    assert found.exit_code == 0, found.output
    assert 'evolve.seeds: {"seeds": 2, "set aside": 1' in found.output
    built = pipeline.build(recipe.load(grown / "my.toml"))
    assert [decision.action for decision in runner.plan(built)][:6] == ["reuse"] * 6
    aside = [row for row in runner.rows(built, SEEDS) if not row.problem]
    assert "line 3 has no text in 'instruction'" in aside[0].dropped
    rewritten = list(runner.rows(built, REWRITE))
    assert len(rewritten) == 4
    assert [row.dropped.split(":")[0] for row in rewritten if row.dropped] == ["copy of the parent"] * 2, "the second round gives the first one's task again"
    tested = [row for row in runner.rows(built, TESTS) if not row.dropped]
    assert tested
    assert all(len(row.problem.tests) == 5 and row.evidence.tests == 6 for row in tested)
    (problem,) = formats.read_problems(grown / "run" / EVOLVED / "problems.jsonl")
    assert problem.entry_point == "second_largest"
    assert problem.reference
    drops = (grown / "run" / EVOLVED / "drops.md").read_text()
    assert "| 1 | kept |" in drops
    assert "copy of the parent" in drops

    curated = CliRunner().invoke(cli, ["curate", str(grown / "my.toml")])
    assert curated.exit_code == 0, curated.output
    (row,) = runner.rows(built, CURATE)
    assert row.problem == problem
    assert row.dropped == "", "it passes the gate of every other problem"
    again = CliRunner().invoke(cli, ["plan", str(grown / "my.toml")])
    assert again.output.splitlines()[6].split()[:2] == ["curate", "reuse"]


def test_more_rounds_leave_nothing_stale(grown: Path) -> None:
    for setting in ("evolve.depth.rounds=1", "evolve.depth.rounds=2"):
        found = CliRunner().invoke(cli, ["evolve", str(grown / "my.toml"), "--set", setting])
        assert found.exit_code == 0, found.output
    fresh = grown / "fresh"
    CliRunner().invoke(cli, ["evolve", str(grown / "my.toml"), "--set", f"run.directory={fresh}"])
    assert (fresh / EVOLVED / "problems.jsonl").read_bytes() == (grown / "run" / EVOLVED / "problems.jsonl").read_bytes()


def test_another_model_bears_witness(grown: Path) -> None:
    """It is paid for alone: what the first one wrote and solved stays."""
    assert CliRunner().invoke(cli, ["evolve", str(grown / "my.toml")]).exit_code == 0
    text = (grown / "my.toml").read_text()
    witness = f"[[evolve.witnesses]]\nmodel = 'another'\nsolutions = 3\nengine = {{ engine = 'scripted', default = {json.dumps(ANSWER)} }}\n\n[problems]"
    (grown / "my.toml").write_text(
        text.replace("[problems]", witness).replace("inputs = 0, agreement = { solutions = 1 }", "agreement = { solutions = 1, authors = 2 }")
    )
    found = CliRunner().invoke(cli, ["evolve", str(grown / "my.toml")])
    assert found.exit_code == 0, found.output
    said = dict(line.split(" ", 2)[:2] for line in found.output.splitlines() if line.startswith("evolve.") and "(" in line)
    assert [name for name, action in said.items() if action != "reuse"] == ["evolve.solve.2:", "evolve.tests:", "evolve.problems:"]
    built = pipeline.build(recipe.load(grown / "my.toml"))
    kept = [row for row in runner.rows(built, TESTS) if not row.dropped]
    assert kept
    assert all(len(row.evidence.models) == 5 and len(set(row.evidence.models)) == 2 and row.evidence.widened for row in kept)
    assert len(list(runner.rows(built, "evolve.solve.2"))) == 3 * len(kept)
    shown = CliRunner().invoke(cli, ["show", str(grown / "run"), "evolve.solve.2"])
    assert shown.exit_code == 0, shown.output
    with pytest.raises(RecipeError, match=r"evolve\.tests\.agreement\.authors is 3, and the models that solve tasks are 2"):
        pipeline.build(recipe.load(grown / "my.toml", ["evolve.tests.agreement.authors=3"]))


def test_bad_seeds_and_recipes_are_sentences(grown: Path) -> None:
    (grown / "seeds.jsonl").write_text('{"instruction": ""}\n')
    with pytest.raises(DataError, match="holds no seed that can be used"):
        pipeline.build(recipe.load(grown / "my.toml"))
    with pytest.raises(RecipeError, match="there is no \\[evolve\\]"):
        recipe.assemble({"problems": {"source": "evolve"}})
    with pytest.raises(RecipeError, match=r"evolve\.model is missing"):
        recipe.assemble({"evolve": {}})
