"""Tests for tasks that a model rewrote: it writes them, several models solve each task several times, and what the solutions agree on is kept (paper, section
3.3, leaves open how evolved problems got their tests).

Not here: the words of the requests (`authoring`), how agreement is read (`agreement`), and how further tests are made (`widening`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import BaseModel, ConfigDict, Field

from rrtf.answering import Decoding
from rrtf.evolution import authoring
from rrtf.evolution.agreement import Agreement, AgreementConfig, agree
from rrtf.evolution.lineage import Evidence, Evolved
from rrtf.evolution.widening import Widening, widened
from rrtf.identity import derive_seed
from rrtf.judging import Judge
from rrtf.prompting import FormatName
from rrtf.protocols import Generator, Prompt, Sampling, Sandbox
from rrtf.records import Response, Verdict


class SolvingConfig(BaseModel):
    """How a model solves tasks to bear witness."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    solutions: int = Field(default=6, ge=1)
    """Solutions to sample for each task. They are the witnesses, so with fewer than four in all agreement says little. More can be had later at the price of
    the difference."""
    temperature: float = Field(default=0.8, ge=0)
    """Of the solutions: witnesses should differ. Tests are written greedily."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """As in section 4.3."""
    max_new_tokens: int = Field(default=768, ge=1)
    """Longest answer in tokens, tests and solutions alike."""
    prompting: FormatName = "chat"
    """Prompt format of the solutions; see `rrtf.prompting`."""

    @property
    def decoding(self) -> Decoding:
        """The same without the number of solutions."""
        return Decoding(self.prompting, self.temperature, self.top_p, self.max_new_tokens)


class TestingConfig(SolvingConfig):
    """How rewritten tasks get their tests."""

    __test__ = False

    tests: int = Field(default=8, ge=1)
    """Tests to ask for; wrong ones are thrown away, so more than are needed."""
    agreement: AgreementConfig = AgreementConfig()
    """When to believe them."""
    inputs: int = Field(default=24, ge=0)
    """Further inputs to try for each task, made of those in its tests (`rrtf.evolution.widening`); 0 for none. Where all solutions that agree so far give the
    same result, it becomes a test."""
    more: int = Field(default=8, ge=0)
    """Tests at most that a task gets that way."""


@dataclass(frozen=True, slots=True)
class Witnesses:
    """What was answered, and where it is tried."""

    solutions: Mapping[str, Sequence[Response]]
    """By the id of the problem."""
    judge: Judge
    sandbox: Sandbox
    """For what is tried without tests."""
    threads: int


def written(tasks: Sequence[Evolved], config: TestingConfig, model: Generator, seed: int, tick: Callable[[int], None]) -> Iterator[Evolved]:
    """Every task with a signature and the tests that the model claims, or dropped with its reason. Each task is asked for once."""
    rows = {row.problem.id: row for row in tasks if not row.dropped}
    for row in tasks:
        if row.dropped or rows[row.problem.id] is not row:
            tick(1)
            yield row if row.dropped else replace(row, dropped="repeated: another rewriting gave the same task")
    sampling = Sampling(max_new_tokens=config.max_new_tokens)
    prompts = [
        Prompt(key, authoring.request(row.problem.instruction, config.tests), (derive_seed(seed, key, "tests"),), chat=True) for key, row in rows.items()
    ]
    found = {answer.key: answer for answer in model.generate(prompts, sampling)}
    lacking = {
        key: made for key, row in rows.items() if isinstance(made := authoring.problem_of(row.problem, found[key].text), authoring.Unusable) and made.prompt
    }
    again = [
        Prompt(key, authoring.tests_request(made, config.tests), (derive_seed(seed, key, "tests alone"),), chat=True, prefill=authoring.OPENING)
        for key, made in lacking.items()
    ]
    alone = {answer.key: authoring.OPENING + answer.text for answer in (model.generate(again, sampling) if again else ())}
    known: set[str] = set()
    for key, row in rows.items():  # in their order, whatever order the answers came in
        tick(1)
        made = authoring.problem_of(row.problem, found[key].text, alone.get(key, ""))
        if isinstance(made, authoring.Unusable):
            cut = " (the answer was cut off)" if found[key].stop == "length" else ""
            yield replace(row, dropped=f"{made.reason}{cut}")
        elif made.id in known:
            yield replace(row, dropped="repeated: another rewriting gave the same problem")
        else:
            known.add(made.id)
            yield replace(row, problem=made)


def decided(
    tasks: Sequence[Evolved], config: TestingConfig, witnesses: Witnesses, seed: int, tick: Callable[[int], None]
) -> Iterator[Evolved | tuple[Evolved, str]]:
    """Every task with the tests to believe and a reference, or dropped with its reason; with a text beside it where we could not judge it."""
    verdicts: dict[str, Verdict] = {}
    failures: dict[str, str] = {}
    asked = [(row.problem, answer) for row in tasks if not row.dropped for answer in witnesses.solutions.get(row.problem.id, ())]
    for found in witnesses.judge(asked):
        if isinstance(found, Verdict):
            verdicts[found.response_id] = found
        else:
            failures[found.problem_id] = found.reason
    fit: list[tuple[Evolved, list[str]]] = []
    for row in tasks:
        if row.dropped or row.problem.id in failures:
            tick(1)
            yield row if row.dropped else (row, failures[row.problem.id])
            continue
        made, programs = _decided(row, witnesses.solutions.get(row.problem.id, ()), verdicts, config)
        if made.dropped or not config.inputs or not config.more:
            tick(1)
            yield made
        else:
            fit.append((made, programs))
    effort = Widening(config.inputs, config.more)
    for (row, _), tests in zip(
        fit, widened([(row.problem, programs) for row, programs in fit], effort, witnesses.sandbox, witnesses.threads, seed), strict=True
    ):
        tick(1)
        if isinstance(tests, str):
            yield row, tests
        elif row.evidence is not None:
            problem = replace(row.problem, tests=(*row.problem.tests, *tests))
            yield replace(row, problem=problem, evidence=replace(row.evidence, widened=len(tests)))


def _decided(row: Evolved, responses: Sequence[Response], verdicts: Mapping[str, Verdict], config: TestingConfig) -> tuple[Evolved, list[str]]:
    """The task as its witnesses leave it, and the programs that agree."""
    table = [[status == "passed" for status in verdicts[answer.id].tests] for answer in responses]
    models = [f"{answer.author.model} {answer.author.revision}".strip() for answer in responses]
    found = agree(table, config.agreement, [answer.code or answer.id for answer in responses], models)
    evidence = _evidence(found, len(row.problem.tests), models)
    if found.dropped:
        return replace(row, dropped=found.dropped, evidence=evidence), []
    kept = tuple(row.problem.tests[number] for number in found.tests)
    programs = [code for place in found.solutions if (code := responses[place].code) is not None]
    return replace(row, problem=replace(row.problem, tests=kept, reference=programs[0]), evidence=evidence), programs


def _evidence(found: Agreement, tests: int, models: Sequence[str]) -> Evidence:
    return Evidence(
        tests=tests,
        shares=found.test_shares,
        solutions=len(models),
        scores=found.solution_scores,
        agreeing=len(found.solutions),
        models=tuple(models),
    )
