"""sample: problems -> responses of one author, several per problem (paper, section 3.4).

The student and every teacher are one stage each, with the same work. Reference solutions count as the answers of a teacher, as the paper allows human experts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from rrtf.answering import Decoding, answers, reference_response
from rrtf.engine.stage import Failure, MapStage, Opener, Task, Work
from rrtf.generation import GenerationHow, GeneratorConfig, open_generator
from rrtf.generation import identity as engine_identity
from rrtf.identity import Json
from rrtf.joins import CURATE, kept_problem
from rrtf.prompting import FormatName
from rrtf.protocols import Generator as ModelGenerator
from rrtf.records import Author, Problem, Response, Role


class SampleConfig(BaseModel):
    """How one author answers the training problems."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    n: int = Field(default=2, ge=1)
    """Answers per problem. The paper leaves the number open (3.4); it can be raised later at the price of the difference."""
    temperature: float = Field(default=0.8, ge=0)
    """The paper says several temperatures and names none; 0.8 keeps a small model varied without noise."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """Section 4.3."""
    max_new_tokens: int = Field(default=256, ge=1)
    """Longest answer in tokens."""
    prompting: FormatName = "chat-prefill"
    """Prompt format; see `rrtf.prompting`."""

    @property
    def decoding(self) -> Decoding:
        """The same without the number of answers."""
        return Decoding(self.prompting, self.temperature, self.top_p, self.max_new_tokens)


def stage(
    name: str, role: Role, config: SampleConfig, engine: GeneratorConfig, model: str, revision: str, seed: int, how: GenerationHow, part_cases: int
) -> MapStage:
    """Answers of a model."""
    identity: Json = {
        "model": model,
        "revision": revision,
        "role": role,
        "engine": engine_identity(engine),
        "sampling": config.model_dump(mode="json", exclude={"n"}),
        "seed": seed,
    }
    return MapStage(
        name=name,
        version=2,
        reads=(CURATE,),
        row=Response,
        key=lambda row: row.problem_id,
        order=lambda row: (row.index,),
        identity=identity,
        extent={"n": config.n},
        open=partial(_open, role, config, engine, model, seed, how),
        expected=lambda case: config.n if kept_problem(case) else 0,
        unit="answers",
        summarize=_summary,
        part_cases=part_cases,
        needs="devices",
    )


def reference_stage(name: str) -> MapStage:
    """Answers that came with the data."""
    return MapStage(
        name=name,
        version=1,
        reads=(CURATE,),
        row=Response,
        key=lambda row: row.problem_id,
        order=lambda row: (row.index,),
        identity={"model": "reference"},
        open=lambda inputs: _references,
        expected=lambda case: 1,
        unit="answers",
        summarize=_summary,
        part_cases=1024,
        needs="driver",
    )


def _open(role: Role, config: SampleConfig, engine: GeneratorConfig, model: str, seed: int, how: GenerationHow, inputs: Mapping[str, Path]) -> Opener:
    return partial(_opened, role, config, engine, model, seed, how)


@contextmanager
def _opened(role: Role, config: SampleConfig, engine: GeneratorConfig, model: str, seed: int, how: GenerationHow) -> Generator[Work]:
    with open_generator(engine, model, how) as generator:
        yield partial(_work, Author(role, generator.model, generator.revision), config, seed, generator)


def _work(author: Author, config: SampleConfig, seed: int, generator: ModelGenerator, task: Task) -> Iterator[Response | Failure]:
    problems: dict[str, Problem] = {}
    wanted: dict[str, tuple[int, ...]] = {}
    for case in task.cases:
        problem = kept_problem(case)
        if problem is None:
            continue
        known: dict[int, Response] = {row.index: row for row in task.known.get(case.key, ()) if row.index < config.n}
        yield from known.values()
        task.tick(len(known))
        missing = tuple(index for index in range(config.n) if index not in known)
        if missing:
            problems[case.key], wanted[case.key] = problem, missing
    for found in answers(problems, wanted, author, config.decoding, seed, generator):
        task.tick(1)
        yield found


@contextmanager
def _references() -> Generator[Work]:
    yield _reference_work


def _reference_work(task: Task) -> Iterator[Response]:
    for case in task.cases:
        problem = kept_problem(case)
        task.tick(1)
        if problem is not None and problem.reference is not None:
            yield reference_response(problem)


def _summary(rows: Iterator[Response]) -> Json:
    rules: Counter[str] = Counter()
    stops: Counter[str] = Counter()
    tokens = count = 0
    for row in rows:
        rules[row.rule] += 1
        stops[row.stop] += 1
        tokens += row.completion_tokens
        count += 1
    return {"responses": count, "tokens": tokens, "extraction": dict(sorted(rules.items())), "stop": dict(sorted(stops.items()))}
