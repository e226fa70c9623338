"""Decides for each stage: reuse, resume or run, says why, and does it.

A stage is reused when its fingerprint matches its manifest; of one that is not, finished parts are kept (`rrtf.engine.making`).
Not here: what stages do, and how rows become cases (`rrtf.engine.joining`).
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from rrtf.engine import artifacts, parts, tables
from rrtf.engine.artifacts import Manifest, Part
from rrtf.engine.joining import cases, rows
from rrtf.engine.making import make
from rrtf.engine.progress import progress
from rrtf.engine.stage import FoldStage, FoldTask, MapStage, Pipeline, Stage
from rrtf.errors import DataError, EngineError
from rrtf.identity import Json, fingerprint, stable
from rrtf.protocols import Executor

__all__ = ["Action", "Decision", "Pipeline", "cases", "plan", "rows", "run"]

Action = Literal["reuse", "resume", "run"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What will happen to a stage, and why."""

    stage: str
    action: Action
    why: str


def plan(pipeline: Pipeline) -> list[Decision]:
    """What `run` would do now. A stage after one that must run is judged again once its inputs exist, which is said."""
    decisions: list[Decision] = []
    found: dict[str, Manifest] = {}
    for stage in pipeline.stages:
        owed = [name for name in stage.reads if name not in found]
        if owed:
            decisions.append(Decision(stage.name, "run", f"after {', '.join(owed)}; what is still valid is then reused"))
            continue
        decision = _decide(pipeline, stage, _inputs(stage, found))
        decisions.append(decision)
        manifest = artifacts.load_manifest(pipeline.folder(stage.name)) if decision.action == "reuse" else None
        if manifest:
            found[stage.name] = manifest
    return decisions


def run(
    pipeline: Pipeline, only: Iterable[str] | None, executor: Executor, say: Callable[[str], None], begin: Callable[[], object] = lambda: None
) -> dict[str, Manifest]:
    """Bring the stages named in `only` (all when None) up to date, in order. Returns the manifests of the stages that are finished.

    `begin` is called once the directory is ours: what it writes there cannot disturb another run. Raises `DataError` when a stage reads an artefact that is
    not there, `RecipeError` when another process holds the directory, `EngineError` when every
    case of a stage failed on our side.
    """
    wanted = {stage.name for stage in pipeline.stages} if only is None else set(only)
    manifests: dict[str, Manifest] = {}
    with artifacts.exclusive(pipeline.directory):
        begin()
        for stage in pipeline.stages:
            if stage.name not in wanted:
                continue
            for name in stage.reads:
                if name not in wanted:
                    _require_current(pipeline, pipeline.stage(name))
            inputs = _inputs(stage, {name: artifacts.require_manifest(pipeline.folder(name)) for name in stage.reads})
            decision = _decide(pipeline, stage, inputs)
            say(f"{stage.name}: {decision.action} ({decision.why})")
            if decision.action == "reuse":
                manifests[stage.name] = artifacts.require_manifest(pipeline.folder(stage.name))
                # Killed between the manifest and these, they are still to do.
                _sweep(pipeline.folder(stage.name))
                parts.set_aside(pipeline.folder(stage.name), manifests[stage.name])
                continue
            artifacts.make_folder(pipeline.folder(stage.name))
            begun = time.monotonic()
            build = make(pipeline, stage, inputs, executor, say) if isinstance(stage, MapStage) else _run_fold(pipeline, stage, inputs)
            manifest = replace(build, fingerprint=_fingerprint(stage, inputs), inputs=inputs, seconds=round(time.monotonic() - begun, 3))
            artifacts.save_manifest(pipeline.folder(stage.name), manifest)
            _sweep(pipeline.folder(stage.name))
            parts.set_aside(pipeline.folder(stage.name), manifest)
            manifests[stage.name] = manifest
            if manifest.failures:
                first = manifest.failures[0]
                owed = f"{len(manifest.failures)} cases of {stage.name} failed on our side, the first with: {first['reason']}."
                if not manifest.rows:
                    raise EngineError(owed, why="Nothing is left for the later stages.", hint="See what `rrtf check` says, and run it again: nothing is lost.")
                say(f"  {owed} They are no results; the next run tries them again.")
    return manifests


def _inputs(stage: Stage, manifests: Mapping[str, Manifest]) -> dict[str, str]:
    """What stands for each artefact that the stage reads: the digest of its rows, or its whole birth certificate where the stage tells about that."""
    if isinstance(stage, FoldStage) and stage.tells:
        return {name: fingerprint(stable(dataclasses.asdict(manifests[name]))) for name in stage.reads}
    return {name: manifests[name].digest for name in stage.reads}


def _require_current(pipeline: Pipeline, stage: Stage) -> None:
    """Raise `DataError` when an artefact that is only read was made by another recipe than this, or from what has changed since."""
    manifest = artifacts.require_manifest(pipeline.folder(stage.name))
    for name in stage.reads:
        _require_current(pipeline, pipeline.stage(name))
    inputs = _inputs(stage, {name: artifacts.require_manifest(pipeline.folder(name)) for name in stage.reads})
    if manifest.fingerprint != _fingerprint(stage, inputs):
        raise DataError(
            f"{stage.name} in {pipeline.directory} is outdated: {_decide(pipeline, stage, inputs).why}.",
            why="What is made from it would not belong to this recipe.",
            hint=f"Run `rrtf {stage.name.partition('.')[0]}` first, or everything with `rrtf run`.",
        )


def _fingerprint(stage: Stage, inputs: Mapping[str, str]) -> str:
    extent = stage.extent if isinstance(stage, MapStage) else None
    return fingerprint([stage.name, stage.version, stage.identity, extent, dict(inputs)])


def _decide(pipeline: Pipeline, stage: Stage, inputs: Mapping[str, str]) -> Decision:
    folder = pipeline.folder(stage.name)
    manifest = artifacts.load_manifest(folder)
    if manifest is None:
        if isinstance(stage, FoldStage) and _work_folder(folder, _fingerprint(stage, inputs)).is_dir():
            return Decision(stage.name, "resume", "an interrupted run of the same work is there")
        if isinstance(stage, MapStage) and any(folder.glob("part-*")):
            return Decision(stage.name, "resume", "finished parts of an interrupted run are there")
        return Decision(stage.name, "run", "nothing there yet")
    lost = [part.file for part in manifest.parts if not (folder / part.file).is_file()]
    if lost:
        return Decision(stage.name, "resume", f"{lost[0]} is missing")
    if manifest.fingerprint == _fingerprint(stage, inputs):
        if manifest.failures:
            return Decision(stage.name, "resume", f"{len(manifest.failures)} cases failed on our side last time")
        return Decision(stage.name, "reuse", f"same config and inputs, {manifest.rows} rows" if manifest.rows else "same config and inputs")
    if manifest.version != stage.version:
        return Decision(stage.name, "run", f"version {manifest.version} became {stage.version}")
    identity = stable(stage.identity)
    if manifest.identity != identity:
        return Decision(stage.name, "run", f"the config changed: {_difference(manifest.identity, identity)}")
    changed = [name for name in inputs if manifest.inputs.get(name) != inputs[name]]
    if changed or set(manifest.inputs) != set(inputs):
        what = f"{', '.join(changed) or 'the list of inputs'} changed"
        # A fold looks at everything at once: a change anywhere is a change of all of it. The same goes for a map stage that reads a fold's result.
        whole = isinstance(stage, FoldStage) or any(isinstance(pipeline.stage(name), FoldStage) for name in changed)
        return Decision(stage.name, "run", what) if whole else Decision(stage.name, "resume", f"{what}; cases that did not are kept")
    extent = stage.extent if isinstance(stage, MapStage) else None
    return Decision(stage.name, "resume", f"{_difference(manifest.extent, stable(extent))}; what is there is kept")


def _difference(old: Json, new: Json, where: str = "") -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in (*new, *(key for key in old if key not in new)):
            if old.get(key) != new.get(key):
                return _difference(old.get(key), new.get(key), f"{where}.{key}" if where else key)
    return f"{where or 'value'} {old!r} -> {new!r}"[:160]


def _run_fold(pipeline: Pipeline, stage: FoldStage, inputs: Mapping[str, str]) -> Manifest:
    folder = pipeline.folder(stage.name)
    identity = _fingerprint(stage, inputs)
    work = _work_folder(folder, identity)
    artifacts.make_folder(work)

    def bar(label: str, total: int, unit: str) -> AbstractContextManager[Callable[[int], None]]:
        return progress(label, total, unit)

    task = FoldTask(partial(cases, pipeline, stage), {name: pipeline.folder(name) for name in stage.reads}, work, bar, partial(rows, pipeline))
    summary = stage.work(task)
    files = [path.relative_to(work) for path in stage.outputs(work)]
    _publish(work, folder)
    published = tuple(Part(str(file), 0, artifacts.file_digest(folder / file)) for file in files)
    return Manifest(
        stage=stage.name,
        version=stage.version,
        fingerprint="",
        digest=fingerprint([[part.file, part.digest] for part in published]),
        identity=stage.identity,
        extent=None,
        inputs={},
        parts=published,
        summary=summary,
        notes=None,
        failures=(),
        seconds=0.0,
        environment=artifacts.environment(),
    )


def _work_folder(folder: Path, identity: str) -> Path:
    """Where a fold works until it is done. Another identity works elsewhere, so that nothing half-done is taken for its own."""
    return folder / f".work-{identity[:12]}"


def _publish(work: Path, folder: Path) -> None:
    """Put a finished work's files into the stage's folder, in the place of what was there. Until the new manifest is written, the stage is unfinished.

    The work keeps its files (as further names of the same ones, where the file system can) until then: killed here, it need not be done again.
    """
    try:
        (folder / artifacts.MANIFEST).unlink(missing_ok=True)
        for old in folder.iterdir():
            if not old.name.startswith("."):
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        for path in sorted(path for path in work.rglob("*") if path.is_file()):
            place = folder / path.relative_to(work)
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                place.hardlink_to(path)
            except OSError:
                shutil.copyfile(path, place)
    except OSError as error:
        raise tables.disk_error(folder, error) from error


def _sweep(folder: Path) -> None:
    for leftover in folder.glob(".work-*"):
        shutil.rmtree(leftover, ignore_errors=True)
