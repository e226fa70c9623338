"""evolve: seed problems -> harder ones with tests, each with its lineage, each drop with its reason (paper, section 3.3).

    evolve.seeds -> evolve.rewrite -> evolve.write -+-> evolve.solve, .2, ... -+-> evolve.tests -> evolve.problems
                                                    +-------------------------+

Seeds are read; a model rewrites them, round after round; it writes tests for what it wrote; it and other witnesses solve that, and what the solutions agree
on is kept; the last is a file of problems in our own format, which `problems.source = "evolve"` learns from. Not here: the rewriting and the agreement
(`rrtf.evolution`), evolution without a model (`rrtf.stages.grow`, whose problems end in the same file), and the gate that every problem passes
(`rrtf.stages.curate`).
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Literal, cast

from pydantic import BaseModel, ConfigDict

from rrtf import seeds
from rrtf.answering import answers
from rrtf.engine import artifacts, tables
from rrtf.engine.artifacts import write_text
from rrtf.engine.stage import Case, Failure, FoldStage, FoldTask, MapStage, Opener, Stage, Task, Work
from rrtf.errors import DataError, RecipeError
from rrtf.evolution import depth, testing
from rrtf.evolution.depth import DepthConfig
from rrtf.evolution.lineage import Evolved, Solution
from rrtf.evolution.testing import SolvingConfig, TestingConfig, Witnesses
from rrtf.formats import write_problems
from rrtf.generation import GenerationHow, GeneratorConfig, TransformersConfig, open_generator
from rrtf.generation import identity as engine_identity
from rrtf.generation import revision as model_revision
from rrtf.identity import Json, derive_seed, fingerprint
from rrtf.joins import EVOLVED, GUIDED, REWRITE, SEEDS, TESTS, WRITE, solver
from rrtf.judging import Judge, judge_identity, open_judge, weakest
from rrtf.protocols import Generator as ModelGenerator
from rrtf.protocols import Sandbox
from rrtf.records import Author, Problem, Response
from rrtf.sandbox import SandboxConfig, SandboxRuntime, open_sandbox
from rrtf.seeds import Seed, SeedsConfig

PROBLEMS_FILE, DROPS_FILE = "problems.jsonl", "drops.md"
_EXAMPLES = 3


class WitnessConfig(SolvingConfig):
    """Another model that solves what the first one wrote."""

    model: str
    """A local folder, a hub id, or an endpoint's name for it."""
    engine: GeneratorConfig = TransformersConfig()
    """The engine that completes its prompts."""


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
    witnesses: tuple[WitnessConfig, ...] = ()
    """Other models that solve them. Their solutions count like those of the model itself, which alone may agree with itself in what is wrong;
    `evolve.tests.agreement.authors` says how many models must agree."""


def stages(
    config: EvolveConfig,
    revision: str,
    seed: int,
    sandbox: SandboxConfig,
    runtime: SandboxRuntime,
    how: GenerationHow,
    part_cases: int,
    notes: Callable[[], Json],
) -> tuple[Stage, ...]:
    """All of them, in order."""
    author: dict[str, Json] = {"model": config.model, "revision": revision, "engine": engine_identity(config.engine), "seed": seed}
    solvers: list[tuple[str, GeneratorConfig, str, SolvingConfig]] = [(config.model, config.engine, revision, config.tests)]
    solvers += [(one.model, one.engine, model_revision(one.engine, one.model), one) for one in config.witnesses]
    if config.tests.agreement.authors > len(solvers):
        raise RecipeError(
            f"evolve.tests.agreement.authors is {config.tests.agreement.authors}, and the models that solve tasks are {len(solvers)}.",
            why="So many can never agree, and every task would be dropped.",
            hint="Add [[evolve.witnesses]], or lower it.",
        )
    names = tuple(map(solver, range(len(solvers))))
    return (
        seeds_stage(config.seeds, given(config.seeds)),
        MapStage(
            name=REWRITE,
            version=1,
            reads=(SEEDS,),
            row=Evolved,
            key=lambda row: row.lineage.seed,
            order=lambda row: (row.lineage.round,),
            identity={**author, "depth": config.depth.model_dump(mode="json")},
            open=partial(_rewrite_open, config, seed, how),
            expected=partial(_tasks_due, config.depth),
            unit="tasks",
            summarize=summary,
            part_cases=part_cases,
            needs="devices",
        ),
        MapStage(
            name=WRITE,
            version=2,
            reads=(REWRITE,),
            row=Evolved,
            key=lambda row: row.lineage.seed,
            order=lambda row: (row.lineage.round,),
            identity={**author, "tests": [config.tests.tests, config.tests.max_new_tokens]},
            open=partial(_write_open, config, seed, how),
            expected=lambda case: len(case.rows[REWRITE]),
            unit="tasks",
            summarize=summary,
            part_cases=part_cases,
            needs="devices",
        ),
        *(
            MapStage(
                name=name,
                version=1,
                reads=(WRITE,),
                row=Solution,
                key=lambda row: row.seed,
                order=lambda row: (row.response.problem_id, row.response.index),
                identity={
                    "model": model,
                    "revision": known,
                    "engine": engine_identity(engine),
                    "decoding": dataclasses.asdict(solving.decoding),
                    "seed": seed,
                    "place": place,
                },
                extent={"n": solving.solutions},
                open=partial(_solve_open, engine, model, solving, derive_seed(seed, "witness", place) if place else seed, how),
                expected=partial(_solutions_due, solving),
                unit="solutions",
                summarize=_solve_summary,
                part_cases=part_cases,
                needs="devices",
            )
            for place, (name, (model, engine, known, solving)) in enumerate(zip(names, solvers, strict=True))
        ),
        MapStage(
            name=TESTS,
            version=2,
            reads=(WRITE, *names),
            row=Evolved,
            key=lambda row: row.lineage.seed,
            order=lambda row: (row.lineage.round,),
            identity={
                "agreement": config.tests.agreement.model_dump(mode="json"),
                "widening": [config.tests.inputs, config.tests.more, seed],
                "sandbox": judge_identity(sandbox),
            },
            open=partial(_tests_open, config, seed, sandbox, runtime, names),
            expected=lambda case: len(case.rows[WRITE]),
            unit="tasks",
            summarize=summary,
            notes=notes,
            agree=weakest,
            part_cases=part_cases,
        ),
        problems_stage(TESTS),
    )


def given(config: SeedsConfig) -> list[Seed]:
    """Every row of the seeds. Raises `DataError` when none of them can be used."""
    rows = list(seeds.read(config))
    if not any(row.problem for row in rows):
        reason = f" The first row: {rows[0].dropped}" if rows else ""
        raise DataError(f"{config.source} holds no seed that can be used.{reason}", hint="See `rrtf explain evolve.seeds`.")
    return rows


def seeds_stage(config: SeedsConfig, rows: Sequence[Seed]) -> MapStage:
    """The stage that evolution begins with, by a model or without one."""
    return MapStage(
        name=SEEDS,
        version=1,
        reads=(),
        row=Seed,
        key=lambda row: row.key,
        order=lambda row: (),
        identity={"rows": fingerprint([[row.key, row.dropped] for row in rows])},
        open=partial(_seeds_open, config),
        expected=lambda case: len(rows),
        unit="seeds",
        summarize=_seeds_summary,
    )


def problems_stage(source: str) -> FoldStage:
    """The stage that evolution ends with: what is kept of the artefact `source`, as a file."""
    return FoldStage(name=EVOLVED, version=1, reads=(source,), identity=None, work=partial(_problems_work, source), outputs=_outputs)


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


def _tasks_due(depth: DepthConfig, case: Case) -> int:
    problem = _seed(case)
    return 0 if problem is None else depth.rounds + (depth.seeds and not problem.tests)


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


def _write_open(config: EvolveConfig, seed: int, how: GenerationHow, inputs: Mapping[str, Path]) -> Opener:
    return partial(_write_opened, config, seed, how)


@contextmanager
def _write_opened(config: EvolveConfig, seed: int, how: GenerationHow) -> Generator[Work]:
    with open_generator(config.engine, config.model, how) as generator:
        yield partial(_write_work, config, seed, generator)


def _write_work(config: EvolveConfig, seed: int, generator: ModelGenerator, task: Task) -> Iterator[Evolved]:
    rewritten = [cast("Evolved", row) for case in task.cases for row in case.rows[REWRITE]]
    yield from testing.written(rewritten, config.tests, generator, seed, task.tick)


def _written(case: Case) -> list[Evolved]:
    """The tasks of a case that can be solved."""
    return [row for row in cast("Sequence[Evolved]", case.rows[WRITE]) if not row.dropped]


def _solutions_due(solving: SolvingConfig, case: Case) -> int:
    return solving.solutions * len(_written(case))


def _solve_open(engine: GeneratorConfig, model: str, solving: SolvingConfig, seed: int, how: GenerationHow, inputs: Mapping[str, Path]) -> Opener:
    return partial(_solve_opened, engine, model, solving, seed, how)


@contextmanager
def _solve_opened(engine: GeneratorConfig, model: str, solving: SolvingConfig, seed: int, how: GenerationHow) -> Generator[Work]:
    with open_generator(engine, model, how) as generator:
        yield partial(_solve_work, solving, seed, generator)


def _solve_work(solving: SolvingConfig, seed: int, generator: ModelGenerator, task: Task) -> Iterator[Solution]:
    problems: dict[str, Problem] = {}
    wanted: dict[str, tuple[int, ...]] = {}
    seeds_of: dict[str, str] = {}
    for case in task.cases:
        known = {(row.response.problem_id, row.response.index): row for row in cast("Sequence[Solution]", task.known.get(case.key, ()))}
        for problem in (row.problem for row in _written(case)):
            kept = {index: known[problem.id, index] for index in range(solving.solutions) if (problem.id, index) in known}
            yield from kept.values()
            task.tick(len(kept))
            missing = tuple(index for index in range(solving.solutions) if index not in kept)
            if missing:
                problems[problem.id], wanted[problem.id], seeds_of[problem.id] = problem, missing, case.key
    author = Author("teacher", generator.model, generator.revision)
    for found in answers(problems, wanted, author, solving.decoding, seed, generator):
        task.tick(1)
        yield Solution(seed=seeds_of[found.problem_id], response=found)


def _solve_summary(rows: Iterator[Solution]) -> Json:
    rules, tokens = Counter[str](), 0
    for row in rows:
        rules[row.response.rule] += 1
        tokens += row.response.completion_tokens
    return {"solutions": rules.total(), "tokens": tokens, "extraction": dict(sorted(rules.items()))}


def _tests_open(config: EvolveConfig, seed: int, sandbox: SandboxConfig, runtime: SandboxRuntime, names: tuple[str, ...], inputs: Mapping[str, Path]) -> Opener:
    return partial(_tests_opened, config, seed, sandbox, runtime, names)


@contextmanager
def _tests_opened(config: EvolveConfig, seed: int, sandbox: SandboxConfig, runtime: SandboxRuntime, names: tuple[str, ...]) -> Generator[Work]:
    with open_judge(sandbox, runtime) as judge, open_sandbox(sandbox, runtime) as box:
        yield partial(_tests_work, config, seed, judge, box, runtime.count(), names)


def _tests_work(config: EvolveConfig, seed: int, judge: Judge, box: Sandbox, threads: int, names: tuple[str, ...], task: Task) -> Iterator[Evolved | Failure]:
    tasks = [cast("Evolved", row) for case in task.cases for row in case.rows[WRITE]]
    solutions: dict[str, list[Response]] = {}
    for case in task.cases:
        for row in (cast("Solution", row) for name in names for row in case.rows[name]):
            solutions.setdefault(row.response.problem_id, []).append(row.response)
    for found in testing.decided(tasks, config.tests, Witnesses(solutions, judge, box, threads), seed, task.tick):
        if isinstance(found, Evolved):
            yield found
        else:
            row, reason = found
            yield Failure(row.lineage.seed, reason)


def summary(rows: Iterator[Evolved]) -> Json:
    """How many are kept, how many are dropped by which rule, and how many were made by which method."""
    counts, methods = Counter[str](), Counter[str]()
    for row in rows:
        counts[row.dropped.split(":")[0] if row.dropped else "kept"] += 1
        methods.update([row.lineage.method] if not row.dropped else [])
    return {**dict(sorted(counts.items())), "kept by method": dict(sorted(methods.items()))}


def _problems_work(source: str, task: FoldTask) -> Json:
    examples: dict[str, list[str]] = {}
    counts = Counter[str]()
    seen: set[str] = set()

    def kept() -> Iterator[Problem]:
        for row in _evolved(source, task):
            dropped = row.dropped
            if not dropped and row.problem.id in seen:
                dropped = "repeated: another seed gave the same problem"
            rule, _, found = dropped.partition(": ")
            counts[rule or "kept"] += 1
            if dropped and len(examples.setdefault(rule, [])) < _EXAMPLES:
                examples[rule].append(f"{found or rule}. Task: {' '.join(row.problem.instruction.split())[:200]}")
            if not dropped:
                seen.add(row.problem.id)
                yield row.problem

    write_problems(task.folder / PROBLEMS_FILE, kept())
    write_text(task.folder / DROPS_FILE, _table(counts, examples))
    return cast("Json", json.loads(json.dumps(dict(sorted(counts.items())))))


def _evolved(source: str, task: FoldTask) -> Iterable[Evolved]:
    if source == GUIDED:
        (file,) = artifacts.outputs(task.inputs[source])
        return tables.stream(file, Evolved)
    return (row for case in task.cases() for row in cast("Sequence[Evolved]", case.rows[source]))


def _table(counts: Counter[str], examples: Mapping[str, Sequence[str]]) -> str:
    lines = ["| tasks | what became of them | for example |", "|---|---|---|"]
    for rule, count in sorted(counts.items(), key=lambda item: (item[0] != "kept", -item[1], item[0])):
        shown = "<br>".join(text.replace("|", "\\|") for text in examples.get(rule, ()))
        lines.append(f"| {count} | {rule} | {shown} |")
    return "\n".join(lines) + "\n"


def _outputs(folder: Path) -> Sequence[Path]:
    return [folder / PROBLEMS_FILE, folder / DROPS_FILE]
