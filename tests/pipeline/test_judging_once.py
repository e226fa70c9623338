"""Verdicts across runs: what one run judged the next one knows, with the same results; and whether load changes them is told in the report."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from small_world import World, digests


def test_another_run_of_the_same_answers_judges_nothing(rrtf: Any, make_world: Callable[..., World], tmp_path: Path) -> None:
    worlds = [make_world(tmp_path / name) for name in ("one", "two", "three")]
    said = [rrtf("run", world.recipe, *options).err for world, options in zip(worlds, ((), (), ("--set", "how.sandbox.cache=none")), strict=True)]
    programs = [[int(count) for count in re.findall(r"verdicts: .*? (\d+) programs run", text)] for text in said]
    assert sum(programs[0]) > 0
    assert set(programs[1]) == {0}, "curate, execute and evaluate share what they know, and know it from before"
    assert sum(programs[2]) >= sum(programs[0])
    assert digests(worlds[0].run) == digests(worlds[1].run) == digests(worlds[2].run), "what was known is no part of any result"


def test_a_run_is_judged_again_on_a_busy_machine_and_its_report_tells(rrtf: Any, make_world: Callable[..., World], tmp_path: Path) -> None:
    world = make_world(tmp_path)
    assert rrtf("run", world.recipe).code == 0
    results = world.run / "report" / "results.md"
    assert "was not measured here" in results.read_text()
    ended = rrtf("judge", world.run, "--flips", "--busy", 2)
    assert ended.code == 0, ended.err
    found = json.loads((world.run / "flips.json").read_text())
    assert (found["flips"], found["failures"], found["busy_processes"]) == ([], 0, 2)
    assert found["answers"] >= 18
    planned = rrtf("plan", world.recipe).out.splitlines()
    assert [line.split()[0] for line in planned if " reuse " not in line] == ["report"]
    assert rrtf("run", world.recipe).code == 0
    sentence = f"0 of {found['answers']} answers ({found['programs']} programs) had another outcome beside 2 busy processes"
    assert sentence in results.read_text()
    assert sentence in (world.run / "report" / "report.html").read_text()
    assert json.loads((world.run / "report" / "results.json").read_text())["flips"] == found


def test_explain_says_what_limits_a_problem_has_here(rrtf: Any, make_world: Callable[..., World], tmp_path: Path) -> None:
    world = make_world(tmp_path)
    assert rrtf("curate", world.recipe).code == 0
    (line,) = [line for line in rrtf("explain", world.run, "add/1").out.splitlines() if line.startswith("limits:")]
    assert re.fullmatch(r"limits: 2 s of processor time, 12 s of wall time \(its reference needs [\d.e-]+ s\)", line)
