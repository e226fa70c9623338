"""Looking at runs, recipes and machines: the words behind `rrtf show`, `rrtf explain` and `rrtf check`. Reads only; changes nothing."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, cast

from rrtf import joins
from rrtf.engine import artifacts, tables
from rrtf.errors import RecipeError, RrtfError, SandboxError
from rrtf.evolution.lineage import Evolved, Solution
from rrtf.joins import Curation, ExamProblem, Graded, Ranking
from rrtf.records import Problem, Response, Verdict
from rrtf.seeds import Seed

_ROWS: dict[str, type] = {
    joins.SEEDS: Seed,
    joins.REWRITE: Evolved,
    joins.WRITE: Evolved,
    **{joins.solver(number): Solution for number in range(16)},
    joins.TESTS: Evolved,
    joins.GUIDED: Evolved,
    joins.CURATE: Curation,
    joins.EXECUTE: Verdict,
    joins.RANK: Ranking,
    joins.EXAM: ExamProblem,
    joins.BEFORE: Graded,
    joins.AFTER: Graded,
}


def artefacts(directory: Path) -> Iterator[str]:
    """One line per artefact of a run, and its summary."""
    _require_run(directory)
    for folder in sorted(path for path in directory.iterdir() if path.is_dir()):
        manifest = artifacts.load_manifest(folder)
        if manifest is None:
            yield f"{folder.name:16} unfinished"
            continue
        failed = f", {len(manifest.failures)} failed on our side" if manifest.failures else ""
        yield f"{folder.name:16} {manifest.rows} rows in {len(manifest.parts)} parts, {manifest.seconds:.0f} s, digest {manifest.digest[:12]}{failed}"
        yield f"{'':16} {json.dumps(manifest.summary, ensure_ascii=False)}"


def rows(directory: Path, artefact: str, limit: int) -> Iterator[str]:
    """The first rows of an artefact as JSON lines."""
    _require_run(directory)
    if artefact not in _ROWS and artefact not in joins.sampled(directory):
        known = [*(name for name in _ROWS if (directory / name).is_dir()), *joins.sampled(directory)]
        raise RecipeError(f"{directory} has no rows called {artefact!r}.", hint=f"It has: {', '.join(known) or 'none'}.")
    for row in islice(_read(directory, artefact), limit):
        yield tables.as_json(row)


def explain_key(key: str) -> Iterator[str]:
    """The documentation of a recipe key and of those below it."""
    from rrtf.recipe import documented

    keys = documented()
    found = [(name, text) for name, text in keys if name == key or name.startswith(f"{key}.")]
    if not found:
        near = difflib.get_close_matches(key, [name for name, _ in keys], n=1, cutoff=0.0)
        raise RecipeError(f"There is no recipe key {key!r}.", hint=f"Did you mean {near[0]!r}? For a run: rrtf explain RUN PROBLEM." if near else "")
    for name, text in found:
        yield f"{name}: {text}"


def explain_problem(directory: Path, name: str) -> Iterator[str]:
    """Everything a run learned about one problem, from its text to its place in the examination."""
    _require_run(directory)
    problem = _find(directory, name)
    yield f"{problem.name} ({problem.id}), {problem.split}, {len(problem.tests)} tests"
    yield from _indented(problem.prompt or problem.instruction)
    yield from _limits(directory, problem)
    yield from _lineage(directory, problem)
    for row in _of(directory, joins.CURATE, problem.id):
        yield f"curate: {cast('Curation', row).dropped or 'kept'}"
    found: dict[str, Verdict] = {row.response_id: row for row in _of(directory, joins.EXECUTE, problem.id)}
    for artefact in joins.sampled(directory):
        for row in cast("list[Response]", _of(directory, artefact, problem.id)):
            yield f"{row.author.role} {row.author.model} #{row.index} (found by rule: {row.rule}): {_verdict(found.get(row.id))}"
            yield from _indented(row.code or row.text)
    for row in cast("list[Ranking]", _of(directory, joins.RANK, problem.id)):
        yield f"rank: {row.decision}"
        if row.preference:
            for pair in row.preference.pairs:
                better, worse = row.preference.answers[pair.chosen], row.preference.answers[pair.rejected]
                scores = f"{better.outcome.name} {better.score:g} over {worse.role} {worse.outcome.name} {worse.score:g}"
                yield f"  pair: {better.role} {scores}, margin {pair.margin:g}"
    for artefact in (joins.BEFORE, joins.AFTER):
        for row in cast("list[Graded]", _of(directory, artefact, problem.id)):
            yield f"{artefact} {row.prompting}/{row.decoding} #{row.response.index}: {_verdict(row.verdict)}"
            yield from _indented(row.response.code or row.response.text)


def _lineage(directory: Path, problem: Problem) -> Iterator[str]:
    """Whose child an evolved problem is, back to its seed."""
    made: dict[str, Evolved] = {}
    names: dict[str, str] = {}
    for artefact in (joins.SEEDS, joins.TESTS, joins.GUIDED):
        if artifacts.load_manifest(directory / artefact) is not None:
            for row in cast("Iterator[Seed | Evolved]", _read(directory, artefact)):
                if row.problem is not None:
                    names[row.problem.id] = row.problem.name
                if isinstance(row, Evolved) and not row.dropped:
                    made[row.problem.id] = row
    children = [problem.id]
    for child in children:  # its parents join them
        if child in made:
            birth = made[child].lineage
            parents = [one for one in (birth.parent, birth.other) if one]
            children += [one for one in parents if one not in children]
            of = " and ".join(names.get(one, one) for one in parents)
            yield f"evolve: {names[child]} was made of {of} by {birth.method}, round {birth.round}, author {birth.author}"


def _limits(directory: Path, problem: Problem) -> Iterator[str]:
    """What the answers to a problem may use on this machine, and why."""
    if not (directory / "recipe.toml").is_file():
        return
    from rrtf.judging import known_timing
    from rrtf.recipe import load
    from rrtf.sandbox.calibration import allowance
    from rrtf.sqlite_files import folder_of
    from rrtf.verdict_store import FILE, open_store

    recipe = load(directory / "recipe.toml")
    folder, timing, said = folder_of(recipe.how.sandbox.cache), None, list[str]()
    if folder is not None and (folder / FILE).is_file():
        with open_store(str(folder), said.append) as store:
            timing = known_timing(problem, recipe.sandbox, store)
    yield from said
    limits = allowance(recipe.sandbox.limits, timing).limits
    why = "its reference was not measured on this machine yet"
    if timing is not None:
        why = timing.fault or f"its reference needs {timing.cpu_seconds:.3g} s"
    yield f"limits: {limits.cpu_seconds:.3g} s of processor time, {limits.wall_seconds:.3g} s of wall time ({why})"


def check_machine(*, only_sandbox: bool, require: str | None) -> Iterator[str]:
    """What this machine offers: sandbox isolation first, then engines. Raises `SandboxError` when `require` is not met."""
    from rrtf.sandbox import SandboxRuntime, open_sandbox

    with open_sandbox(runtime=SandboxRuntime(workers=1)) as box:
        isolation = box.isolation()
    yield f"isolated:     {', '.join(isolation.granted) or 'nothing'}"
    yield f"not isolated: {', '.join(isolation.missing) or 'nothing is missing'}"
    if require == "full" and isolation.missing:
        raise SandboxError(
            f"Isolation is reduced: {', '.join(isolation.missing)}.",
            hint="Run where the kernel allows it, or leave out --require isolation=full.",
        )
    if only_sandbox:
        return
    yield f"python {artifacts.interpreter()}, {os.cpu_count()} processors"
    yield ", ".join(f"{name} {version}" for name, version in artifacts.environment().items())
    from rrtf import checkpoints

    try:
        yield f"student smollm2-135m-instruct: {checkpoints.resolve('smollm2-135m-instruct').kind}"
    except RrtfError as error:
        yield f"student smollm2-135m-instruct: {error}"


def _require_run(directory: Path) -> None:
    if not directory.is_dir():
        raise RecipeError(f"There is no run in {directory}.", hint="Give the directory of a run, such as runs/starter.")


def _read(directory: Path, artefact: str) -> Iterator[Any]:
    for path in artifacts.outputs(directory / artefact):
        yield from tables.read(path, _ROWS.get(artefact, Response))


def _of(directory: Path, artefact: str, problem_id: str) -> list[Any]:
    if artifacts.load_manifest(directory / artefact) is None:
        return []
    return [row for row in _read(directory, artefact) if _key(row) == problem_id]


def _key(row: Any) -> str:
    if isinstance(row, (Curation, ExamProblem)):
        return row.problem.id
    return row.response.problem_id if isinstance(row, Graded) else row.problem_id


def _find(directory: Path, name: str) -> Problem:
    names: list[str] = []
    for artefact in (joins.CURATE, joins.EXAM):
        if artifacts.load_manifest(directory / artefact) is None:
            continue
        for row in _read(directory, artefact):
            if name in (row.problem.name, row.problem.id):
                return row.problem
            names.append(row.problem.name)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
    raise RecipeError(f"{directory} has no problem {name!r}.", hint=f"Did you mean {near[0]!r}?" if near else "")


def _verdict(verdict: Verdict | None) -> str:
    if verdict is None:
        return "no verdict (failed on our side, or not run yet)"
    cause = f": {verdict.cause}" if verdict.cause else ""
    return f"{verdict.outcome.name}, {verdict.passed} of {verdict.total} tests{cause}"


def _indented(text: str) -> Iterator[str]:
    for line in text.rstrip().splitlines():
        yield f"    {line}"
