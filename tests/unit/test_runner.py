"""The runner: what it reuses, resumes and runs, what that costs, and that interruptions, order and workers change no row."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from toy_stages import Draw, Item, Toy

from rrtf.engine import artifacts, runner, tables
from rrtf.engine.artifacts import Manifest
from rrtf.engine.local import InlineExecutor, ProcessExecutor
from rrtf.engine.runner import Decision
from rrtf.engine.stage import Case, FoldStage, Stage
from rrtf.errors import DataError, EngineError, RecipeError, RrtfError


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    return Toy(log=tmp_path / "paid.log")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "run"


def go(toy: Toy, directory: Path, only: list[str] | None = None, said: list[str] | None = None) -> dict[str, Manifest]:
    return runner.run(toy.pipeline(directory), only, InlineExecutor(), (said if said is not None else []).append)


def digests(directory: Path) -> dict[str, str]:
    return {folder.name: artifacts.require_manifest(folder).digest for folder in directory.iterdir() if folder.is_dir()}


def paid_for(toy: Toy, work: Callable[[], object]) -> list[str]:
    """What `work` paid for, without openings."""
    toy.forget()
    work()
    return [line for line in toy.paid() if not line.endswith("draw")]


def actions(toy: Toy, directory: Path) -> dict[str, str]:
    return {decision.stage: decision.action for decision in runner.plan(toy.pipeline(directory))}


def why(toy: Toy, directory: Path, stage: str) -> str:
    return next(decision.why for decision in runner.plan(toy.pipeline(directory)) if decision.stage == stage)


# ------------------------------------------------------------------------------------------------ run and reuse


def test_a_first_run_does_everything_in_order(toy: Toy, directory: Path) -> None:
    manifests = go(toy, directory)
    assert list(manifests) == ["source", "draw", "total"]
    assert manifests["source"].summary == {"rows": 5}
    assert manifests["draw"].rows == 10
    assert manifests["draw"].notes == {"toy": True}
    assert len(manifests["draw"].parts) == 3
    assert manifests["draw"].inputs == {"source": manifests["source"].digest}
    assert manifests["total"].summary == {"cases": 5, "numbers": 10}
    assert [row.key for row in runner.rows(toy.pipeline(directory), "draw")] == [key for key in "abcde" for _ in range(2)]
    assert (directory / "total" / manifests["total"].parts[0].file).read_text().startswith("title\na ")


def test_a_second_run_pays_for_nothing_and_says_why(toy: Toy, directory: Path) -> None:
    first = go(toy, directory)
    said: list[str] = []
    assert paid_for(toy, lambda: go(toy, directory, said=said)) == []
    assert toy.paid() == []
    assert said == [
        "source: reuse (same config and inputs, 5 rows)",
        "draw: reuse (same config and inputs, 10 rows)",
        "total: reuse (same config and inputs)",
    ]
    assert go(toy, directory) == first


def test_the_work_is_opened_once_and_closed(toy: Toy, directory: Path) -> None:
    go(toy, directory)
    assert [line for line in toy.paid() if line.endswith(" draw")] == ["open draw", "close draw"]


def test_a_stage_can_be_run_alone_once_its_inputs_exist(toy: Toy, directory: Path) -> None:
    with pytest.raises(DataError, match="source holds no finished artefact") as caught:
        go(toy, directory, ["draw"])
    assert "before it" in caught.value.hint
    assert list(go(toy, directory, ["source"])) == ["source"]
    assert list(go(toy, directory, ["draw"])) == ["draw"]
    assert actions(toy, directory) == {"source": "reuse", "draw": "reuse", "total": "run"}


def test_a_stage_alone_refuses_inputs_of_another_config(toy: Toy, directory: Path) -> None:
    go(toy, directory)
    salted = toy.but(salt="other")
    with pytest.raises(DataError, match=r"draw in .* is outdated: the config changed: salt 'salt' -> 'other'") as caught:
        go(salted, directory, ["total"])
    assert "`rrtf draw`" in caught.value.hint
    with pytest.raises(DataError, match=r"source in .* is outdated"):
        go(toy.but(items=(("a", 9),)), directory, ["total"])
    assert list(go(salted, directory, ["draw", "total"])) == ["draw", "total"]
    # Failures of ours do not make an artefact outdated: the rows that are there are right.
    failing = toy.but(failing=frozenset({"a"}), salt="third")
    go(failing, directory, ["draw"])
    assert list(go(failing, directory, ["total"])) == ["total"]


# ------------------------------------------------------------------------------------------------ what changes what


def test_growing_n_pays_only_for_the_difference(toy: Toy, directory: Path, tmp_path: Path) -> None:
    go(toy.but(n=2), directory)
    larger = toy.but(n=5)
    assert why(larger, directory, "draw") == "n 2 -> 5; what is there is kept"
    paid = paid_for(toy, lambda: go(larger, directory))
    assert sorted(paid) == sorted([f"draw {key} {index}" for key in "abcde" for index in (2, 3, 4)] + ["total"])
    go(larger, tmp_path / "fresh")
    assert digests(directory) == digests(tmp_path / "fresh")


def test_only_current_parts_lie_where_readers_look_and_old_ones_come_back_for_nothing(toy: Toy, directory: Path) -> None:
    first = go(toy, directory)["draw"]
    for changed in (toy.but(salt="other"), toy.but(n=3), toy):
        paid = paid_for(toy, lambda changed=changed: go(changed, directory))
        manifest = artifacts.require_manifest(directory / "draw")
        assert {path.name for path in (directory / "draw").glob("part-*")} == {part.file for part in manifest.parts}
    assert paid == ["total"]
    assert manifest.digest == first.digest


def test_a_stage_that_tells_about_its_inputs_is_owed_when_one_was_made_again(toy: Toy, directory: Path) -> None:
    def pipeline(version: int) -> runner.Pipeline:
        source, draw, total = toy.but(version=version).pipeline(directory).stages
        return runner.Pipeline(directory, (source, draw, _with(total, tells=True)))

    first = runner.run(pipeline(1), None, InlineExecutor(), lambda line: None)
    assert [decision.action for decision in runner.plan(pipeline(1))] == ["reuse"] * 3
    second = runner.run(pipeline(2), None, InlineExecutor(), lambda line: None)
    assert first["draw"].digest == second["draw"].digest
    assert first["total"].inputs != second["total"].inputs
    assert [decision.action for decision in runner.plan(pipeline(2))] == ["reuse"] * 3


def test_lowering_n_gives_exactly_the_rows_of_a_fresh_run_and_is_free(toy: Toy, directory: Path, tmp_path: Path) -> None:
    go(toy.but(n=5), directory)
    smaller = toy.but(n=2)
    assert paid_for(toy, lambda: go(smaller, directory)) == ["total"]
    go(smaller, tmp_path / "fresh")
    assert digests(directory) == digests(tmp_path / "fresh")
    assert list(runner.rows(smaller.pipeline(directory), "draw")) != []
    assert {row.index for row in runner.rows(smaller.pipeline(directory), "draw")} == {0, 1}


def test_one_changed_case_recomputes_only_its_own_rows(toy: Toy, directory: Path, tmp_path: Path) -> None:
    go(toy, directory)
    before = {path.name for path in (directory / "draw").glob("part-*")}
    # `b` gets a successor of another name: the work matches by key, as stages match by content id.
    changed = toy.but(items=(("a", 1), ("B", 20), ("c", 3), ("d", 4), ("e", 5)))
    assert why(changed, directory, "draw") == "after source; what is still valid is then reused"
    said: list[str] = []
    paid = paid_for(toy, lambda: go(changed, directory, said=said))
    assert paid == ["source", "draw B 0", "draw B 1", "total"]
    assert "draw: resume (source changed; cases that did not are kept)" in said
    assert "  2 of 3 parts are kept" in said
    assert len({path.name for path in (directory / "draw").glob("part-*")} - before) == 1
    go(changed, tmp_path / "fresh")
    assert digests(directory) == digests(tmp_path / "fresh")


def test_an_upstream_rerun_with_the_same_rows_invalidates_nothing(toy: Toy, directory: Path) -> None:
    go(toy, directory)
    for path in sorted((directory / "source").iterdir()):
        path.unlink()
    assert actions(toy, directory) == {"source": "run", "draw": "run", "total": "run"}
    said: list[str] = []
    assert paid_for(toy, lambda: go(toy, directory, said=said)) == ["source"]
    assert [line.split(" ")[1] for line in said] == ["run", "reuse", "reuse"]


@pytest.mark.parametrize(
    ("change", "action", "reason"),
    [
        ({"salt": "pepper"}, "run", "the config changed: salt 'salt' -> 'pepper'"),
        ({"version": 2}, "run", "version 1 became 2"),
        ({"n": 3}, "resume", "n 2 -> 3; what is there is kept"),
        ({"title": "other"}, "reuse", "same config and inputs, 10 rows"),
        ({"part": 5}, "reuse", "same config and inputs, 10 rows"),
        ({"shuffled": 7}, "reuse", "same config and inputs, 10 rows"),
    ],
)
def test_the_reason_names_what_changed(toy: Toy, directory: Path, change: dict[str, object], action: str, reason: str) -> None:
    go(toy, directory)
    (decision,) = [found for found in runner.plan(toy.but(**change).pipeline(directory)) if found.stage == "draw"]
    assert decision == Decision("draw", action, reason)


def test_another_config_shares_no_rows_and_coming_back_is_free(toy: Toy, directory: Path) -> None:
    first = go(toy, directory)
    paid = paid_for(toy, lambda: go(toy.but(salt="pepper"), directory))
    assert len(paid) == 11
    assert paid_for(toy, lambda: go(toy, directory)) == ["total"]
    assert {name: manifest.digest for name, manifest in go(toy, directory).items()} == {name: manifest.digest for name, manifest in first.items()}


def test_a_fold_stage_runs_again_only_when_what_it_reads_or_asks_changes(toy: Toy, directory: Path) -> None:
    go(toy, directory)
    other = toy.but(title="other")
    assert why(other, directory, "total") == "the config changed: title 'title' -> 'other'"
    assert paid_for(toy, lambda: go(other, directory)) == ["total"]
    larger = other.but(n=3)
    go(larger, directory, ["draw"])
    (decision,) = [found for found in runner.plan(larger.pipeline(directory)) if found.stage == "total"]
    assert (decision.action, decision.why) == ("run", "draw changed")


def test_a_rerun_fold_stage_that_writes_the_same_file_changes_no_digest(toy: Toy, directory: Path) -> None:
    first = go(toy, directory)["total"]
    (directory / "total" / "manifest.json").unlink()
    assert actions(toy, directory)["total"] == "run"
    assert go(toy, directory)["total"].digest == first.digest


def test_a_fold_stage_replaces_all_it_wrote_before_and_leaves_nothing_beside_it(toy: Toy, directory: Path) -> None:
    go(toy, directory)
    go(toy.but(title="other"), directory)
    assert sorted(str(path.relative_to(directory / "total")) for path in (directory / "total").rglob("*") if path.is_file()) == [
        "manifest.json",
        "more/other.txt",
        "total.txt",
    ]
    assert not list((directory / "total").glob(".*"))


def test_a_fold_stage_publishes_where_files_cannot_be_linked(toy: Toy, directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go(toy, directory)

    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    go(toy, tmp_path / "copied")
    assert digests(directory) == digests(tmp_path / "copied")


def test_tuples_in_a_config_are_no_change(toy: Toy, directory: Path) -> None:
    def pipeline(n: int) -> runner.Pipeline:
        built = toy.but(n=n).pipeline(directory)
        source, draw, total = built.stages
        return runner.Pipeline(directory, (source, _with(draw, identity={"salts": ("a", "b")}), total))

    runner.run(pipeline(2), None, InlineExecutor(), lambda line: None)
    (_, decision, _) = runner.plan(pipeline(3))
    assert decision.why == "n 2 -> 3; what is there is kept"


def _with(stage: Stage, **changes: object) -> Stage:
    import dataclasses

    return dataclasses.replace(stage, **changes)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ how it is computed changes nothing


@pytest.mark.parametrize("shuffled", [1, 2, 3])
def test_the_order_of_completion_changes_no_digest(toy: Toy, directory: Path, tmp_path: Path, shuffled: int) -> None:
    go(toy, directory)
    go(toy.but(shuffled=shuffled), tmp_path / "shuffled")
    assert digests(directory) == digests(tmp_path / "shuffled")


class Backwards:
    """An executor that finishes the last item first."""

    def map(self, work: Callable[..., object], items: object, needs: str) -> object:
        return reversed(list(InlineExecutor().map(work, items)))  # type: ignore[arg-type]


def test_the_order_of_parts_changes_no_digest(toy: Toy, directory: Path, tmp_path: Path) -> None:
    go(toy, directory)
    runner.run(toy.pipeline(tmp_path / "backwards"), None, Backwards(), lambda line: None)  # type: ignore[arg-type]
    assert digests(directory) == digests(tmp_path / "backwards")


@pytest.mark.parametrize("part", [1, 3, 100])
def test_the_size_of_parts_changes_no_digest(toy: Toy, directory: Path, tmp_path: Path, part: int) -> None:
    go(toy, directory)
    go(toy.but(part=part), tmp_path / "other")
    assert digests(directory) == digests(tmp_path / "other")


def test_another_size_of_parts_keeps_the_rows_that_are_there(toy: Toy, directory: Path) -> None:
    go(toy, directory)
    paid = paid_for(toy, lambda: go(toy.but(part=5, n=3), directory))
    assert sorted(paid) == sorted([f"draw {key} 2" for key in "abcde"] + ["total"])


def test_worker_processes_change_no_digest(toy: Toy, directory: Path, tmp_path: Path) -> None:
    go(toy, directory)
    runner.run(toy.pipeline(tmp_path / "workers"), None, ProcessExecutor(2), lambda line: None)
    assert digests(directory) == digests(tmp_path / "workers")


class Elsewhere:
    """An executor whose items are each done on another machine."""

    def map(self, work: Callable[..., object], items: object, needs: str) -> object:
        for position, found in InlineExecutor().map(work, items):  # type: ignore[arg-type]
            yield position, replace(found, notes={"machine": position})  # type: ignore[type-var]


def test_what_is_noted_of_several_machines_is_agreed_upon(toy: Toy, directory: Path) -> None:
    built = toy.pipeline(directory)
    stages = [replace(stage, agree=list) if stage.name == "draw" else stage for stage in built.stages]  # type: ignore[type-var]
    manifests = runner.run(runner.Pipeline(directory, stages), None, Elsewhere(), lambda line: None)  # type: ignore[arg-type]
    assert manifests["draw"].notes == [{"machine": 0}, {"machine": 1}, {"machine": 2}]
    assert manifests["source"].notes is None, "what reads nothing is never sent away"


def test_an_error_in_a_worker_process_keeps_its_sentence(toy: Toy, directory: Path) -> None:
    with pytest.raises(EngineError, match="The toy crashed") as caught:
        runner.run(toy.but(crash_after=2).pipeline(directory), None, ProcessExecutor(2), lambda line: None)
    assert caught.value.hint == "Run it again."


def test_measurements_change_no_digest(toy: Toy, directory: Path, tmp_path: Path) -> None:
    one, other = go(toy, directory)["draw"], go(toy, tmp_path / "again")["draw"]
    rows = [list(runner.rows(toy.pipeline(path), "draw")) for path in (directory, tmp_path / "again")]
    assert rows[0] != rows[1]  # their times differ
    assert one.digest == other.digest


# ------------------------------------------------------------------------------------------------ failures of ours


def test_failures_are_counted_and_never_rows(toy: Toy, directory: Path) -> None:
    said: list[str] = []
    manifest = go(toy.but(failing=frozenset("bd")), directory, said=said)["draw"]
    assert manifest.failures == ({"key": "b", "reason": "the toy broke on b 1"}, {"key": "d", "reason": "the toy broke on d 1"})
    assert manifest.rows == 8
    assert manifest.summary == {"rows": 8}
    assert any(line.strip().startswith("2 cases of draw failed on our side, the first with: the toy broke on b 1.") for line in said)


def test_failures_are_retried_by_the_next_run_which_pays_for_nothing_else(toy: Toy, directory: Path, tmp_path: Path) -> None:
    go(toy.but(failing=frozenset("bd")), directory)
    assert why(toy, directory, "draw") == "2 cases failed on our side last time"
    assert paid_for(toy, lambda: go(toy, directory)) == ["draw b 1", "draw d 1", "total"]
    go(toy, tmp_path / "fresh")
    assert digests(directory) == digests(tmp_path / "fresh")
    assert go(toy, directory)["draw"].failures == ()


def test_failures_that_stay_are_tried_once_per_run_and_change_nothing(toy: Toy, directory: Path) -> None:
    broken = toy.but(failing=frozenset("b"))
    first = go(broken, directory)
    paid = paid_for(toy, lambda: go(broken, directory))
    assert paid == []
    assert go(broken, directory)["draw"].digest == first["draw"].digest
    assert len(go(broken, directory)["draw"].failures) == 1


def test_rows_for_cases_that_were_not_given_are_a_bug_and_are_not_stored(toy: Toy, directory: Path) -> None:
    built = toy.pipeline(directory)
    source, draw, total = built.stages
    lying = runner.Pipeline(directory, (source, _with(draw, key=lambda row: f"not {row.key}"), total))
    with pytest.raises(RrtfError, match="rows for cases it was not given") as caught:
        runner.run(lying, None, InlineExecutor(), lambda line: None)
    assert caught.value.exit_code == 1
    assert not list((directory / "draw").glob("part-*"))


# ------------------------------------------------------------------------------------------------ interruptions


@pytest.mark.parametrize("after", [0, 1, 3, 4, 7, 9])
def test_what_was_finished_before_a_crash_is_kept(toy: Toy, directory: Path, tmp_path: Path, after: int) -> None:
    with pytest.raises(EngineError, match="The toy crashed"):
        go(toy.but(crash_after=after), directory)
    assert artifacts.load_manifest(directory / "draw") is None
    assert actions(toy, directory)["draw"] == ("resume" if after >= 4 else "run")
    kept = after // 4 * 4
    paid = paid_for(toy, lambda: go(toy, directory))
    assert len([line for line in paid if line.startswith("draw")]) == 10 - kept
    go(toy, tmp_path / "fresh")
    assert digests(directory) == digests(tmp_path / "fresh")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    place = tmp_path_factory.mktemp("uninterrupted")
    go(Toy(log=place / "log"), place / "run")
    return digests(place / "run")


@pytest.mark.parametrize(
    ("renames", "after"), [(1, False), (2, True), (3, False), (4, True), (5, False), (6, True), (7, False), (8, True), (9, False), (9, True)]
)
def test_kill_9_at_any_rename_ends_with_the_same_rows(toy: Toy, directory: Path, uninterrupted: dict[str, str], renames: int, after: bool) -> None:
    # In order: source part and manifest, three draw parts, draw manifest, two files of total, its manifest.
    program = f"import toy_stages; toy_stages.run_until_killed({str(directory)!r}, {str(toy.log)!r}, {renames}, after={after})"
    ended = subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": str(Path(__file__).parent)}, capture_output=True, check=False)
    assert ended.returncode == -9, ended.stderr
    assert len(list(directory.rglob(".*.tmp"))) == (renames != 7 and not after)
    assert actions(toy, directory)["total"] == ("run" if renames < 7 else "reuse" if renames == 9 and after else "resume")
    kept = {1: 0, 2: 0, 3: 0, 4: 8, 5: 8}.get(renames, 10)
    assert sum(line.startswith("draw") for line in paid_for(toy, lambda: go(toy, directory))) == 10 - kept
    assert digests(directory) == uninterrupted
    assert not list(directory.rglob(".work-*"))
    assert not list(directory.rglob(".*.tmp")), "what the killed run left half-written is swept away"


def test_a_missing_part_is_computed_again(toy: Toy, directory: Path) -> None:
    first = go(toy, directory)
    lost = directory / "draw" / first["draw"].parts[1].file
    lost.unlink()
    assert why(toy, directory, "draw") == f"{lost.name} is missing"
    assert paid_for(toy, lambda: go(toy, directory)) == [f"draw {key} {index}" for key in "cd" for index in (0, 1)]
    assert digests(directory) == {name: manifest.digest for name, manifest in first.items()}


def test_a_part_cut_short_by_a_crash_of_the_machine_is_computed_again(toy: Toy, directory: Path) -> None:
    first = go(toy, directory)
    (directory / "draw" / "manifest.json").unlink()
    part = directory / "draw" / first["draw"].parts[0].file
    part.write_bytes(part.read_bytes()[:100])
    assert paid_for(toy, lambda: go(toy, directory)) == [f"draw {key} {index}" for key in "ab" for index in (0, 1)]
    assert digests(directory) == {name: manifest.digest for name, manifest in first.items()}


def test_a_damaged_part_of_a_finished_stage_is_a_sentence_with_a_way_out(toy: Toy, directory: Path) -> None:
    first = go(toy, directory)
    part = directory / "draw" / first["draw"].parts[0].file
    part.write_bytes(b"PAR1" + b"x" * 100)
    with pytest.raises(DataError, match=part.name) as caught:
        go(toy.but(title="other"), directory)
    assert "delete it" in caught.value.hint
    part.unlink()
    go(toy, directory)
    assert digests(directory) == {name: manifest.digest for name, manifest in first.items()}


# ------------------------------------------------------------------------------------------------ manifests and locks


def manifest_of(directory: Path, stage: str) -> Path:
    return directory / stage / "manifest.json"


def test_a_manifest_of_another_version_is_a_sentence(toy: Toy, directory: Path) -> None:
    go(toy, directory)
    path = manifest_of(directory, "draw")
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    before = path.read_text()
    with pytest.raises(DataError, match="has format 99, and this version reads format 1") as caught:
        go(toy, directory)
    assert str(directory / "draw") in caught.value.hint
    assert path.read_text() == before


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"format": 1}', '{"format": 1, "parts": 3}', '{"format": 1, "parts": [{"file": 1}], "failures": []}', "\xff"]
)
def test_a_damaged_manifest_is_a_sentence_that_keeps_the_rest(toy: Toy, directory: Path, text: str) -> None:
    go(toy, directory)
    manifest_of(directory, "draw").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"draw/manifest\.json") as caught:
        go(toy, directory)
    assert "other stages are kept" in caught.value.hint or "another version" in caught.value.why
    with pytest.raises(DataError):
        runner.plan(toy.pipeline(directory))


def test_two_runs_in_one_directory_do_not_meet(toy: Toy, directory: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import pathlib, rrtf.engine.artifacts as a\nwith a.exclusive(pathlib.Path({str(directory)!r})): print('held', flush=True); input()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RecipeError, match=f"is in use by process {holder.pid}") as caught:
            go(toy, directory)
        assert caught.value.exit_code == 2
        assert "run.directory" in caught.value.hint
        assert toy.paid() == []
        assert [path.name for path in directory.iterdir()] == [".lock"]
    finally:
        holder.kill()
        holder.communicate()
    go(toy, directory)  # the kernel let go of it


def test_planning_changes_nothing_and_needs_no_lock(toy: Toy, directory: Path) -> None:
    assert actions(toy, directory) == {"source": "run", "draw": "run", "total": "run"}
    assert not directory.exists()
    go(toy, directory)
    with artifacts.exclusive(directory):
        assert set(actions(toy, directory).values()) == {"reuse"}


@pytest.mark.parametrize(
    "change", [{}, {"n": 3}, {"salt": "s"}, {"title": "t"}, {"items": (("a", 1),)}, {"version": 3}, {"failing": frozenset("a"), "n": 4}], ids=str
)
def test_a_plan_says_what_the_run_then_does(toy: Toy, directory: Path, change: dict[str, object]) -> None:
    go(toy, directory)
    changed = toy.but(**change)
    planned = [(found.stage, found.action, found.why) for found in runner.plan(changed.pipeline(directory))]
    said: list[str] = []
    go(changed, directory, said=said)
    done = [(line.split(":")[0], line.split(" ")[1], line.partition("(")[2][:-1]) for line in said if not line.startswith(" ")]
    for plan, fact in zip(planned, done, strict=True):
        # What follows a stage that must run is judged again once its inputs exist; the plan says so.
        assert plan == fact or (plan[2].startswith("after ") and plan[0] == fact[0])
    first_run = next((place for place, plan in enumerate(planned) if plan[1] != "reuse"), len(planned))
    assert planned[: first_run + 1] == done[: first_run + 1]


# ------------------------------------------------------------------------------------------------ no room


@pytest.mark.parametrize("stage", ["source", "draw", "total"])
def test_a_full_disk_ends_in_a_sentence_and_the_next_run_resumes(
    toy: Toy, directory: Path, uninterrupted: dict[str, str], monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    real = Path.replace

    def full(self: Path, target: Path) -> Path:
        if target.parent.name == stage and target.name.startswith(("part-00001", "manifest")):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(DataError, match="No space left on device"):
            go(toy, directory)
    assert artifacts.load_manifest(directory / stage) is None
    assert not list(directory.rglob("*.tmp"))
    go(toy, directory)
    assert digests(directory) == uninterrupted


def test_a_file_where_a_folder_should_be_is_a_sentence(toy: Toy, directory: Path) -> None:
    directory.write_text("not a folder")
    with pytest.raises(DataError, match="cannot be written"):
        go(toy, directory)


def test_a_file_where_a_stage_should_be_is_a_sentence(toy: Toy, directory: Path) -> None:
    directory.mkdir()
    (directory / "draw").write_text("not a folder")
    with pytest.raises(DataError, match="draw"):
        go(toy, directory)


# ------------------------------------------------------------------------------------------------ cases and rows


def test_cases_join_rows_by_key_in_the_order_of_the_first_artefact(toy: Toy, directory: Path) -> None:
    go(toy.but(failing=frozenset("c"), n=1), directory)
    pipeline = toy.pipeline(directory)
    cases = list(runner.cases(pipeline, pipeline.stage("total")))
    assert [case.key for case in cases] == list("abcde")
    assert cases[0].rows["source"] == [Item("a", 1)]
    assert [type(row) for row in cases[0].rows["draw"]] == [Draw]


def test_a_stage_without_inputs_gets_one_empty_case(toy: Toy, directory: Path) -> None:
    pipeline = toy.pipeline(directory)
    assert list(runner.cases(pipeline, pipeline.stage("source"))) == [Case("", {})]


def test_a_case_without_rows_in_a_later_artefact_is_still_a_case(toy: Toy, directory: Path) -> None:
    go(toy, directory)
    pipeline = runner.Pipeline(directory, (*toy.but(items=()).pipeline(directory).stages,))
    assert [case.key for case in runner.cases(pipeline, pipeline.stage("draw"))] == list("abcde")


def test_no_cases_at_all_is_an_empty_artefact(toy: Toy, directory: Path) -> None:
    manifests = go(toy.but(items=()), directory)
    assert manifests["draw"].rows == 0
    assert actions(toy.but(items=()), directory) == {"source": "reuse", "draw": "reuse", "total": "reuse"}


def test_parts_are_plain_parquet_of_the_declared_rows(toy: Toy, directory: Path) -> None:
    manifest = go(toy, directory)["draw"]
    found = [row for part in manifest.parts for row in tables.read(directory / "draw" / part.file, Draw)]
    assert [len(tables.read(directory / "draw" / part.file, Draw)) for part in manifest.parts] == [part.rows for part in manifest.parts] == [4, 4, 2]
    assert manifest.digest == tables.digest(found)


def test_fold_stages_read_rows_of_artefacts_whose_keys_are_others(toy: Toy, directory: Path) -> None:
    seen: list[object] = []
    base = toy.pipeline(directory)
    fold = FoldStage(
        name="look", version=1, reads=("source", "draw"), identity=None, work=lambda task: seen.extend(task.rows("draw")), outputs=lambda folder: []
    )
    runner.run(runner.Pipeline(directory, (*base.stages[:2], fold)), None, InlineExecutor(), lambda line: None)
    assert len(seen) == 10
