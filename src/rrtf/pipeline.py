"""The map of the program, on one page: the stages in order, wired by the names of their artefacts.

    evolve.seeds -+-> evolve.rewrite -> .write -> .solve -> evolve.tests -+-> evolve.problems -+
                  +-> evolve.guided --------------------------------------+                    |
    a file of problems ------------------------------------------------------------------------+-> curate

    curate -+-> sample.teacher -+-> execute -> rank -> train -+-> evaluate.after -+-> report
            +-> sample.student -+                             |                   |
    benchmarks -> evaluate.exam ------------------------------+-> evaluate.before-+

Not here: what the stages do (`rrtf.stages`), and when they run (`rrtf.engine.runner`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from rrtf.engine import runner
from rrtf.engine.artifacts import Manifest
from rrtf.engine.executors import open_executor
from rrtf.engine.runner import Pipeline
from rrtf.engine.stage import MapStage, Stage
from rrtf.generation import revision
from rrtf.identity import Json
from rrtf.joins import AFTER, BEFORE, CURATE, STUDENT, TRAIN, teacher
from rrtf.judging import isolation
from rrtf.recipe import ModelTeacher, Recipe, TeacherConfig, freeze
from rrtf.records import Problem
from rrtf.reporting import flips
from rrtf.stages import curate, evaluate, evolve, execute, grow, rank, report, sample, train

VERBS = ("evolve", "curate", "sample", "execute", "rank", "train", "evaluate", "report")
"""The stages as commands; `evolve`, `sample` and `evaluate` each name several artefacts."""


def build(recipe: Recipe) -> Pipeline:
    """The whole loop for a recipe. Reads the problems and finds the models, so that bad input ends it here; loads no weights."""
    how = recipe.how.generation
    part, seed = recipe.how.part_problems, recipe.run.seed
    student, engine = recipe.student.model, recipe.student.engine
    known = revision(engine, student)
    exam = evaluate.exam_problems(recipe.evaluate)
    notes = partial(isolation, recipe.sandbox)
    sitting = partial(
        evaluate.stage,
        config=recipe.evaluate,
        engine=engine,
        sandbox=recipe.sandbox,
        runtime=recipe.how.sandbox_of("devices"),
        how=how,
        part_cases=part,
        notes=notes,
    )
    teachers = {teacher(number): config for number, config in enumerate((recipe.teacher, *recipe.more_teachers))}
    stages = (
        *_growth(recipe, notes, [row.problem for row in exam]),
        curate.stage(recipe.problems, recipe.sandbox, recipe.how.sandbox, [row.problem for row in exam], Path(recipe.run.directory) / CURATE),
        *(_teacher(recipe, name, config) for name, config in teachers.items()),
        sample.stage(STUDENT, "student", recipe.sample, engine, student, known, seed, how, part),
        execute.stage(recipe.sandbox, recipe.how.sandbox_of("processors"), notes, part, tuple(teachers)),
        rank.stage(recipe.rank, tuple(teachers)),
        train.stage(recipe.train, recipe.how.training, recipe.student.prompting, student, known, seed),
        evaluate.exam_stage(exam),
        sitting(BEFORE, prompting=recipe.evaluate.before, model=student, revision=known, trained=None),
        sitting(AFTER, prompting=(recipe.student.prompting,), model=None, revision="", trained=TRAIN),
        report.stage(recipe.run.title, flips.read(Path(recipe.run.directory) / flips.FILE), tuple(teachers)),
    )
    return Pipeline(Path(recipe.run.directory), stages)


def examination(recipe: Recipe) -> Pipeline:
    """Only the examination of the recipe's student, for `rrtf evaluate --model`."""
    exam = evaluate.exam_problems(recipe.evaluate)
    sitting = evaluate.stage(
        BEFORE,
        config=recipe.evaluate,
        prompting=recipe.evaluate.before,
        engine=recipe.student.engine,
        model=recipe.student.model,
        revision=revision(recipe.student.engine, recipe.student.model),
        trained=None,
        sandbox=recipe.sandbox,
        runtime=recipe.how.sandbox_of("devices"),
        how=recipe.how.generation,
        part_cases=recipe.how.part_problems,
        notes=partial(isolation, recipe.sandbox),
    )
    return Pipeline(Path(recipe.run.directory), (evaluate.exam_stage(exam), sitting))


def run(recipe: Recipe, built: Pipeline, only: Sequence[str] | None, say: Callable[[str], None]) -> dict[str, Manifest]:
    """Bring stages of a recipe's pipeline up to date where the recipe says, as `rrtf.engine.runner.run` does. Freezes the recipe beside them."""
    frozen = partial(freeze, recipe, built.directory / "recipe.toml")
    # A cluster is asked for at the start when anything may be sent there, and not when everything is there already.
    owed = recipe.how.executor != "local" and any(
        decision.action != "reuse" and isinstance(stage, MapStage) and stage.reads and (only is None or stage.name in only)
        for stage, decision in zip(built.stages, runner.plan(built), strict=True)
    )
    with open_executor(recipe.how.executor if owed else "local", recipe.how.processes, recipe.how.ray, built.directory, say) as executor:
        return runner.run(built, only, executor, say, frozen)


def of_verb(pipeline: Pipeline, verb: str) -> list[str]:
    """The names of the stages that a verb stands for."""
    return [stage.name for stage in pipeline.stages if stage.name.split(".")[0] == verb]


def _growth(recipe: Recipe, notes: Callable[[], Json], exam: Sequence[Problem]) -> tuple[Stage, ...]:
    config = recipe.evolve
    if config is None:
        return ()
    if isinstance(config, grow.GrowConfig):
        given, held_out = evolve.given(config.seeds), [*exam, *curate.benchmarks(recipe.problems.overlap)]
        growing = grow.stage(config, given, recipe.run.seed, recipe.sandbox, recipe.how.sandbox, held_out)
        return evolve.seeds_stage(config.seeds, given), growing, evolve.problems_stage(growing.name)
    known = revision(config.engine, config.model)
    sandbox = recipe.how.sandbox_of("devices")
    return evolve.stages(config, known, recipe.run.seed, recipe.sandbox, sandbox, recipe.how.generation, recipe.how.part_problems, notes)


def _teacher(recipe: Recipe, name: str, config: TeacherConfig) -> MapStage:
    if not isinstance(config, ModelTeacher):
        return sample.reference_stage(name)
    known = revision(config.engine, config.model)
    return sample.stage(name, "teacher", config.sample, config.engine, config.model, known, recipe.run.seed, recipe.how.generation, recipe.how.part_problems)
