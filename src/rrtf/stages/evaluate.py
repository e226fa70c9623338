"""evaluate: a model's answers to problems it never learned from, judged like training data: same generator, harness and verdicts.

One stage makes the examination (the benchmarks' problems as rows), another sits it with one model.
Scores are computed from the rows by `rrtf.benchmarks.results`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from rrtf.answering import Decoding, answers
from rrtf.benchmarks import open_benchmark
from rrtf.benchmarks.results import summary
from rrtf.engine import artifacts
from rrtf.engine.stage import Case, Failure, MapStage, Opener, Task, Work
from rrtf.errors import DataError, RecipeError
from rrtf.generation import GenerationHow, GeneratorConfig, open_generator
from rrtf.generation import identity as engine_identity
from rrtf.identity import Json, fingerprint
from rrtf.joins import EXAM, ExamProblem, Graded, exam_problem
from rrtf.judging import Judge, judge_identity, open_judge, weakest
from rrtf.prompting import FormatName
from rrtf.protocols import Generator as ModelGenerator
from rrtf.records import Author, Problem, Response
from rrtf.sandbox import SandboxConfig, SandboxRuntime
from rrtf.sandbox.harness import JudgingFailure


class DecodingConfig(BaseModel):
    """One way of decoding in the examination."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    n: int = Field(default=1, ge=1)
    """Answers per problem; can be raised later at the price of the difference."""
    temperature: float = Field(default=0.0, ge=0)
    """0 is greedy. The paper uses 0.2 for pass@1 and 1.2 for pass@10 and pass@100 (4.1)."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Section 4.3."""
    benchmarks: tuple[str, ...] = ()
    """Only on these benchmarks; empty means on all."""
    prompting: tuple[FormatName, ...] = ()
    """Only in these prompt formats; empty means in all."""


class EvaluateConfig(BaseModel):
    """The examination."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    benchmarks: tuple[str, ...] = Field(default=("starter", "humaneval"), min_length=1)
    """`starter` (its held-out split), `humaneval`, `mbpp`, or the path of a problem file (its `test` split)."""
    decodings: dict[str, DecodingConfig] = Field(default={"greedy": DecodingConfig()}, min_length=1)
    """The decodings by name."""
    before: tuple[FormatName, ...] = Field(default=("chat-prefill", "paper"), min_length=1)
    """Prompt formats for the model before training; the best one counts as *before*."""
    max_new_tokens: int = Field(default=512, ge=1)
    """Section 4.3."""
    seed: int = 0
    """Seed of sampled answers. Apart from the run's, so that models trained with other seeds sit the same examination and one *before* serves them all."""
    limit: int | None = Field(default=None, ge=1)
    """Use only the first so many problems of each benchmark; for trying things out, since it changes the score."""


def exam_problems(config: EvaluateConfig) -> list[ExamProblem]:
    """Every problem of the examination, under its benchmark's own name. Raises `RecipeError`, `DataError` or `EngineError`."""
    benchmarks = [open_benchmark(name, split="test") for name in config.benchmarks]
    names = [benchmark.name for benchmark in benchmarks]
    for name in names:
        if names.count(name) > 1:
            raise RecipeError(f"evaluate.benchmarks has two called {name!r}.", why="Their scores would be mixed.", hint="Leave one out, or rename a file.")
    for key, decoding in config.decodings.items():
        for name in decoding.benchmarks:
            if not any(_means(name, known) for known in names):
                raise RecipeError(f"evaluate.decodings.{key}.benchmarks has {name!r}, which is not examined.", hint=f"Examined are: {', '.join(names)}.")
    chosen: dict[str, ExamProblem] = {}
    for benchmark in benchmarks:
        for problem in benchmark.problems()[: config.limit]:
            if twin := chosen.get(problem.id):
                raise DataError(
                    f"{problem.name} of {benchmark.name} is the same problem as {twin.problem.name} of {twin.benchmark}.",
                    why="It would count twice in the examination.",
                    hint="Leave one of them out.",
                )
            chosen[problem.id] = ExamProblem(benchmark.name, problem)
    return list(chosen.values())


def _means(name: str, benchmark: str) -> bool:
    """Whether a name in a recipe (`humaneval`, `mbpp:FILE`, a file, or a file's name) means the benchmark of that name."""
    return benchmark in (name, name.partition(":")[0], Path(name).stem)


def exam_stage(problems: Sequence[ExamProblem]) -> MapStage:
    """The examination as rows."""
    return MapStage(
        name=EXAM,
        version=2,
        reads=(),
        row=ExamProblem,
        key=lambda row: row.problem.id,
        order=lambda row: (),
        identity=fingerprint([[row.benchmark, row.problem.name, row.problem.id] for row in problems]),
        open=lambda inputs: partial(_exam_opened, problems),
        expected=lambda case: len(problems),
        unit="problems",
        summarize=_exam_summary,
    )


@contextmanager
def _exam_opened(problems: Sequence[ExamProblem]) -> Generator[Work]:
    yield partial(_exam_work, problems)


def _exam_work(problems: Sequence[ExamProblem], task: Task) -> Iterator[ExamProblem]:
    for row in problems:
        task.tick(1)
        yield row


def _exam_summary(rows: Iterator[ExamProblem]) -> Json:
    counts: dict[str, Json] = {}
    for row in rows:
        found = counts.get(row.benchmark)
        counts[row.benchmark] = (found if isinstance(found, int) else 0) + 1
    return counts


def stage(
    name: str,
    config: EvaluateConfig,
    prompting: tuple[FormatName, ...],
    engine: GeneratorConfig,
    model: str | None,
    revision: str,
    trained: str | None,
    sandbox: SandboxConfig,
    runtime: SandboxRuntime,
    how: GenerationHow,
    part_cases: int,
    notes: Callable[[], Json],
) -> MapStage:
    """The examination of one model: `model` by name, or the one that the stage `trained` wrote."""
    identity: Json = {
        "model": model or "trained",
        "revision": revision,
        "engine": engine_identity(engine),
        "max_new_tokens": config.max_new_tokens,
        "sandbox": judge_identity(sandbox),
        "seed": config.seed,
    }
    return MapStage(
        name=name,
        version=4,
        reads=(EXAM, trained) if trained else (EXAM,),
        row=Graded,
        key=lambda row: row.response.problem_id,
        order=lambda row: (row.prompting, row.decoding, row.response.index),
        identity=identity,
        # Answers to what is asked for no longer are not among the rows, and one more way of asking pays for itself alone.
        extent={"prompting": list(prompting), "decodings": {key: item.model_dump(mode="json") for key, item in config.decodings.items()}},
        open=partial(_open, config, prompting, engine, model, trained, sandbox, runtime, how),
        expected=partial(_expected, config, prompting),
        unit="answers",
        summarize=summary,
        notes=notes,
        agree=weakest,
        part_cases=part_cases,
        needs="devices",
    )


def _applies(decoding: DecodingConfig, form: FormatName, benchmark: str) -> bool:
    wanted = not decoding.benchmarks or any(_means(name, benchmark) for name in decoding.benchmarks)
    return wanted and (not decoding.prompting or form in decoding.prompting)


def _expected(config: EvaluateConfig, prompting: tuple[FormatName, ...], case: Case) -> int:
    benchmark = exam_problem(case).benchmark
    return sum(item.n for form in prompting for item in config.decodings.values() if _applies(item, form, benchmark))


def _open(
    config: EvaluateConfig,
    prompting: tuple[FormatName, ...],
    engine: GeneratorConfig,
    model: str | None,
    trained: str | None,
    sandbox: SandboxConfig,
    runtime: SandboxRuntime,
    how: GenerationHow,
    inputs: Mapping[str, Path],
) -> Opener:
    weights = str(artifacts.outputs(inputs[trained])[0].parent) if trained else model or ""
    return partial(_opened, config, prompting, engine, weights, trained, sandbox, runtime, how)


@contextmanager
def _opened(
    config: EvaluateConfig,
    prompting: tuple[FormatName, ...],
    engine: GeneratorConfig,
    model: str,
    trained: str | None,
    sandbox: SandboxConfig,
    runtime: SandboxRuntime,
    how: GenerationHow,
) -> Generator[Work]:
    with open_generator(engine, model, how) as generator, open_judge(sandbox, runtime) as judge:
        author = Author("student", "trained" if trained else generator.model, generator.revision)
        yield partial(_work, config, prompting, author, generator, judge)


def _work(
    config: EvaluateConfig, prompting: tuple[FormatName, ...], author: Author, generator: ModelGenerator, judge: Judge, task: Task
) -> Iterator[Graded | Failure]:
    exam = {case.key: exam_problem(case) for case in task.cases}
    problems: dict[str, Problem] = {key: row.problem for key, row in exam.items()}
    for form in prompting:
        for name, decoding in config.decodings.items():
            how = Decoding(form, decoding.temperature, decoding.top_p, config.max_new_tokens)
            wanted: dict[str, tuple[int, ...]] = {}
            for key, row in exam.items():
                if not _applies(decoding, form, row.benchmark):
                    continue
                known: dict[int, Graded] = {
                    old.response.index: old
                    for old in task.known.get(key, ())
                    if (old.prompting, old.temperature, old.top_p) == (form, decoding.temperature, decoding.top_p)
                    and old.decoding == name
                    and old.response.index < decoding.n
                    and old.response.author == author
                }
                # The same problem may stand in another benchmark now, or that under another name.
                yield from (replace(old, benchmark=row.benchmark) for old in known.values())
                task.tick(len(known))
                if missing := tuple(index for index in range(decoding.n) if index not in known):
                    wanted[key] = missing
            by_id = {answer.id: answer for answer in _ticking(answers(problems, wanted, author, how, config.seed, generator), task)}
            for verdict in judge([(problems[found.problem_id], found) for found in by_id.values()]):
                if isinstance(verdict, JudgingFailure):
                    yield Failure(verdict.problem_id, verdict.reason)
                else:
                    yield Graded(
                        benchmark=exam[verdict.problem_id].benchmark,
                        prompting=form,
                        decoding=name,
                        temperature=decoding.temperature,
                        top_p=decoding.top_p,
                        response=by_id[verdict.response_id],
                        verdict=verdict,
                    )


def _ticking(found: Iterator[Response], task: Task) -> Iterator[Response]:
    for answer in found:
        task.tick(1)
        yield answer
