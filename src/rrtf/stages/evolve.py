"""evolve: seed problems -> harder ones with tests, each with its lineage, each drop with its reason (paper, section 3.3).

    evolve.seeds -+-> evolve.rewrite -> evolve.tests -+-> evolve.problems
                  +-> evolve.guided ------------------+

Seeds are read. Either a model rewrites them, round after round, and writes tests and solutions for what it wrote, and what these agree on is kept; or
operators change them together with their references, and no model takes part. The last is a file of problems in our own format, which
`problems.source = "evolve"` learns from. Not here: the rewriting, the agreement and the operators (`rrtf.evolution`), and the gate that every problem passes
(`rrtf.stages.curate`).
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Literal, cast

from pydantic import BaseModel, ConfigDict

from rrtf import seeds
from rrtf.engine import artifacts, tables
from rrtf.engine.artifacts import write_text
from rrtf.engine.stage import Case, Failure, FoldStage, FoldTask, MapStage, Opener, Task, Work
from rrtf.errors import DataError
from rrtf.evolution import depth, guided, testing
from rrtf.evolution.depth import DepthConfig
from rrtf.evolution.guided import GuidedConfig, Journal
from rrtf.evolution.guided.config import GATE
from rrtf.evolution.lineage import Evolved
from rrtf.evolution.testing import TestingConfig
from rrtf.formats import write_problems
from rrtf.generation import GenerationHow, GeneratorConfig, TransformersConfig, open_generator
from rrtf.generation import identity as engine_identity
from rrtf.identity import Json, fingerprint
from rrtf.joins import EVOLVED, GUIDED, REWRITE, SEEDS, TESTS
from rrtf.judging import Judge, judge_identity, open_judge, weakest
from rrtf.protocols import Generator as ModelGenerator
from rrtf.records import Problem
from rrtf.sandbox import SandboxConfig, SandboxRuntime
from rrtf.seeds import Seed, SeedsConfig

PROBLEMS_FILE, DROPS_FILE, CANDIDATES_FILE = "problems.jsonl", "drops.md", "candidates.parquet"
_EXAMPLES = 3


class EvolveConfig(BaseModel):
    """Growing a corpus of problems from seeds: a model rewrites them."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    method: Literal["model"] = "model"
    """`model`: a model rewrites tasks and writes their tests. `guided`: operators change a task together with its reference, without any model."""
    seeds: SeedsConfig = SeedsConfig()
    """Where it begins."""
    model: str
    """The model that rewrites tasks, writes their tests and solves them: a local folder, a hub id, or an endpoint's name for it."""
    engine: GeneratorConfig = TransformersConfig()
    """The engine that completes its prompts."""
    depth: DepthConfig = DepthConfig()
    """How tasks are rewritten."""
    tests: TestingConfig = TestingConfig()
    """How they get tests."""


class GuidedEvolveConfig(GuidedConfig):
    """Growing a corpus of problems from seeds: operators change them, without any model."""

    method: Literal["guided"]
    """`guided`: operators change a task together with its reference, without any model. `model`: a model rewrites tasks and writes their tests."""
    seeds: SeedsConfig = SeedsConfig()
    """Where it begins: problems with references and tests. The starter problems are."""


def stages(
    config: EvolveConfig,
    revision: str,
    seed: int,
    sandbox: SandboxConfig,
    runtime: SandboxRuntime,
    how: GenerationHow,
    part_cases: int,
    notes: Callable[[], Json],
) -> tuple[MapStage, MapStage, MapStage, FoldStage]:
    """The four of them, in order."""
    author: dict[str, Json] = {"model": config.model, "revision": revision, "engine": engine_identity(config.engine), "seed": seed}
    return (
        _seeds_stage(config.seeds, _given(config.seeds)),
        MapStage(
            name=REWRITE,
            version=1,
            reads=(SEEDS,),
            row=Evolved,
            key=lambda row: row.lineage.seed,
            order=lambda row: (row.lineage.round,),
            identity={**author, "depth": config.depth.model_dump(mode="json")},
            open=partial(_rewrite_open, config, seed, how),
            expected=lambda case: config.depth.rounds if _seed(case) else 0,
            unit="tasks",
            summarize=summary,
            part_cases=part_cases,
            needs="devices",
        ),
        MapStage(
            name=TESTS,
            version=1,
            reads=(REWRITE,),
            row=Evolved,
            key=lambda row: row.lineage.seed,
            order=lambda row: (row.lineage.round,),
            identity={**author, "tests": config.tests.model_dump(mode="json"), "sandbox": judge_identity(sandbox)},
            open=partial(_tests_open, config, seed, how, sandbox, runtime),
            expected=lambda case: len(case.rows[REWRITE]),
            unit="tasks",
            summarize=summary,
            notes=notes,
            agree=weakest,
            part_cases=part_cases,
            needs="devices",
        ),
        FoldStage(name=EVOLVED, version=1, reads=(TESTS,), identity=None, work=_tested_problems, outputs=_outputs),
    )


def guided_stages(
    config: GuidedEvolveConfig, seed: int, sandbox: SandboxConfig, runtime: SandboxRuntime, held_out: Sequence[Problem]
) -> tuple[MapStage, FoldStage, FoldStage]:
    """The three of them that need no model, in order. `held_out` holds the problems to keep away from."""
    given = _given(config.seeds)
    known = [row.problem for row in given if row.problem]
    if not any(problem.reference and problem.tests for problem in known):
        raise DataError(
            f"None of the {len(known)} seeds in {config.seeds.source} has a reference and tests.",
            why="Guided evolution changes a problem together with its reference, and finds new expected values by running that.",
            hint="Use seeds that have both, such as evolve.seeds.source = 'starter', or a model: evolve.method = 'model'.",
        )
    identity: Json = {
        **config.model_dump(mode="json", exclude={"seeds", "method"}),
        "gate": GATE.model_dump(mode="json"),
        "sandbox": judge_identity(sandbox),
        "held out": fingerprint(sorted([problem.id, problem.name] for problem in held_out)),
        "seed": seed,
    }
    work = partial(_guided_work, config, seed, sandbox, runtime, held_out)
    return (
        _seeds_stage(config.seeds, given),
        FoldStage(name=GUIDED, version=1, reads=(SEEDS,), identity=identity, work=work, outputs=lambda folder: [folder / CANDIDATES_FILE]),
        FoldStage(name=EVOLVED, version=1, reads=(GUIDED,), identity=None, work=_guided_problems, outputs=_outputs),
    )


def _given(config: SeedsConfig) -> list[Seed]:
    """Every row of the seeds. Raises `DataError` when none of them can be used."""
    given = list(seeds.read(config))
    if not any(row.problem for row in given):
        reason = f" The first row: {given[0].dropped}" if given else ""
        raise DataError(f"{config.source} holds no seed that can be used.{reason}", hint="See `rrtf explain evolve.seeds`.")
    return given


def _seeds_stage(config: SeedsConfig, given: Sequence[Seed]) -> MapStage:
    return MapStage(
        name=SEEDS,
        version=1,
        reads=(),
        row=Seed,
        key=lambda row: row.key,
        order=lambda row: (),
        identity={"rows": fingerprint([[row.key, row.dropped] for row in given])},
        open=partial(_seeds_open, config),
        expected=lambda case: len(given),
        unit="seeds",
        summarize=_seeds_summary,
    )


def _seeds_open(config: SeedsConfig, inputs: Mapping[str, Path]) -> Opener:
    return partial(nullcontext, partial(_seeds_work, config))


def _seeds_work(config: SeedsConfig, task: Task) -> Iterator[Seed]:
    for row in seeds.read(config):
        task.tick(1)
        yield row


def _seeds_summary(rows: Iterator[Seed]) -> Json:
    used, aside, first = 0, 0, list[Json]()
    for row in rows:
        if row.problem:
            used += 1
        else:
            aside += 1
            if len(first) < _EXAMPLES:
                first.append(row.dropped)
    return {"seeds": used, "set aside": aside, "for example": first}


def _seed(case: Case) -> Problem | None:
    return cast("Seed", case.rows[SEEDS][0]).problem


def _rewrite_open(config: EvolveConfig, seed: int, how: GenerationHow, inputs: Mapping[str, Path]) -> Opener:
    return partial(_rewrite_opened, config, seed, how)


@contextmanager
def _rewrite_opened(config: EvolveConfig, seed: int, how: GenerationHow) -> Generator[Work]:
    with open_generator(config.engine, config.model, how) as generator:
        yield partial(_rewrite_work, config, seed, generator)


def _rewrite_work(config: EvolveConfig, seed: int, generator: ModelGenerator, task: Task) -> Iterator[Evolved]:
    problems = [problem for case in task.cases if (problem := _seed(case)) is not None]
    for row in depth.evolve(problems, config.depth, generator, seed):
        task.tick(1)
        yield row


def _tests_open(config: EvolveConfig, seed: int, how: GenerationHow, sandbox: SandboxConfig, runtime: SandboxRuntime, inputs: Mapping[str, Path]) -> Opener:
    return partial(_tests_opened, config, seed, how, sandbox, runtime)


@contextmanager
def _tests_opened(config: EvolveConfig, seed: int, how: GenerationHow, sandbox: SandboxConfig, runtime: SandboxRuntime) -> Generator[Work]:
    with open_generator(config.engine, config.model, how) as generator, open_judge(sandbox, runtime) as judge:
        yield partial(_tests_work, config, seed, generator, judge)


def _tests_work(config: EvolveConfig, seed: int, generator: ModelGenerator, judge: Judge, task: Task) -> Iterator[Evolved | Failure]:
    rewritten = [cast("Evolved", row) for case in task.cases for row in case.rows[REWRITE]]
    for found in testing.tested(rewritten, config.tests, generator, judge, seed, task.tick):
        if isinstance(found, Evolved):
            yield found
        else:
            row, reason = found
            yield Failure(row.lineage.seed, reason)


def summary(rows: Iterator[Evolved]) -> Json:
    """How many are kept, how many are dropped by which rule, and how many were made by which method or family of operators."""
    counts, methods = Counter[str](), Counter[str]()
    for row in rows:
        counts[row.dropped.split(":")[0] if row.dropped else "kept"] += 1
        methods.update([row.lineage.method.partition(":")[0]] if not row.dropped else [])
    return {**dict(sorted(counts.items())), "kept by method": dict(sorted(methods.items()))}


def _guided_work(config: GuidedEvolveConfig, seed: int, sandbox: SandboxConfig, runtime: SandboxRuntime, held_out: Sequence[Problem], task: FoldTask) -> Json:
    given = [problem for case in task.cases() if (problem := _seed(case)) is not None]
    file, journal = task.folder / CANDIDATES_FILE, task.folder / "chunks"
    if not file.is_file():
        held = sorted(held_out, key=lambda problem: (problem.id, problem.name))  # their order in a recipe changes nothing
        with task.progress(GUIDED, config.target, "problems") as tick:
            found = list(guided.evolve(given, config, sandbox, runtime, seed, tick, held, Journal(journal)))
        tables.write(file, Evolved, found, {})
    shutil.rmtree(journal, ignore_errors=True)  # it has served
    rows = cast("list[Evolved]", tables.read(file, Evolved))
    kept = sum(not row.dropped for row in rows)
    parents = sum(guided.readable(problem) for problem in given)
    if not kept:
        raise DataError(
            f"No problem could be grown from {len(given)} seeds, of which operators can take {parents} apart.",
            why="A seed must be one function with annotated parameters and a reference, and its tests must call it and compare.",
            hint="Use other seeds, such as evolve.seeds.source = 'starter', or a model: evolve.method = 'model'.",
        )
    counts: dict[str, Json] = {"asked for": config.target, "seeds": len(given), "seeds that operators can take apart": parents}
    if kept < config.target:
        counts["note"] = f"{kept} of {config.target} problems: no candidate is left. More seeds, rounds or problems per parent give more."
    return {**cast("dict[str, Json]", summary(iter(rows))), **counts}


def _guided_problems(task: FoldTask) -> Json:
    (file,) = artifacts.outputs(task.inputs[GUIDED])
    return _problems(task.folder, cast("list[Evolved]", tables.read(file, Evolved)))


def _tested_problems(task: FoldTask) -> Json:
    return _problems(task.folder, (row for case in task.cases() for row in cast("Sequence[Evolved]", case.rows[TESTS])))


def _problems(folder: Path, rows: Iterable[Evolved]) -> Json:
    """The file of problems and the table of drops."""
    kept: list[Problem] = []
    examples: dict[str, list[str]] = {}
    counts = Counter[str]()
    seen: set[str] = set()
    for row in rows:
        dropped = row.dropped
        if not dropped and row.problem.id in seen:
            dropped = "repeated: another seed gave the same problem"
        rule, _, found = dropped.partition(": ")
        counts[rule or "kept"] += 1
        if dropped and len(examples.setdefault(rule, [])) < _EXAMPLES:
            examples[rule].append(f"{found or rule}. Task: {' '.join(row.problem.instruction.split())[:200]}")
        if not dropped:
            seen.add(row.problem.id)
            kept.append(row.problem)
    write_problems(folder / PROBLEMS_FILE, kept)
    write_text(folder / DROPS_FILE, _table(counts, examples))
    return cast("Json", json.loads(json.dumps(dict(sorted(counts.items())))))


def _table(counts: Counter[str], examples: Mapping[str, Sequence[str]]) -> str:
    lines = ["| tasks | what became of them | for example |", "|---|---|---|"]
    for rule, count in sorted(counts.items(), key=lambda item: (item[0] != "kept", -item[1], item[0])):
        shown = "<br>".join(text.replace("|", "\\|") for text in examples.get(rule, ()))
        lines.append(f"| {count} | {rule} | {shown} |")
    return "\n".join(lines) + "\n"


def _outputs(folder: Path) -> Sequence[Path]:
    return [folder / PROBLEMS_FILE, folder / DROPS_FILE]
