"""Tests for tasks that a model rewrote: the model writes them and solves each task several times, and what its solutions agree on is kept (paper, section 3.3,
leaves open how evolved problems got their tests).

Not here: the words of the requests (`authoring`), and how agreement is read (`agreement`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from pydantic import BaseModel, ConfigDict, Field

from rrtf.answering import Decoding, answers
from rrtf.evolution import authoring
from rrtf.evolution.agreement import Agreement, AgreementConfig, agree
from rrtf.evolution.lineage import Evidence, Evolved
from rrtf.identity import derive_seed
from rrtf.judging import Judge
from rrtf.prompting import FormatName
from rrtf.protocols import Generator, Prompt, Sampling
from rrtf.records import Author, Problem, Response, Verdict


class TestingConfig(BaseModel):
    """How rewritten tasks get their tests."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)
    __test__ = False

    tests: int = Field(default=8, ge=1)
    """Tests to ask for; wrong ones are thrown away, so more than are needed."""
    solutions: int = Field(default=6, ge=2)
    """Solutions to sample for each task. They are the witnesses, so with fewer than four agreement says little."""
    temperature: float = Field(default=0.8, ge=0)
    """Of the solutions: witnesses should differ. Tests are written greedily."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """As in section 4.3."""
    max_new_tokens: int = Field(default=768, ge=1)
    """Longest answer in tokens, tests and solutions alike."""
    prompting: FormatName = "chat"
    """Prompt format of the solutions; see `rrtf.prompting`."""
    agreement: AgreementConfig = AgreementConfig()
    """When to believe them."""


def tested(
    tasks: Sequence[Evolved], config: TestingConfig, model: Generator, judge: Judge, seed: int, tick: Callable[[int], None]
) -> Iterator[Evolved | tuple[Evolved, str]]:
    """Every task with its tests and a reference, or dropped with its reason; with a text beside it where it could not be judged, for reasons of ours."""
    rows = {row.problem.id: row for row in tasks if not row.dropped}
    for row in tasks:
        if row.dropped or rows[row.problem.id] is not row:
            tick(1)
            yield row if row.dropped else replace(row, dropped="repeated: another rewriting gave the same task")
    authored: dict[str, tuple[Evolved, Problem]] = {}
    for row, found in _authored(rows, config, model, seed):
        if isinstance(found, authoring.Unusable):
            tick(1)
            yield replace(row, dropped=found.reason)
        elif found.id in authored:
            tick(1)
            yield replace(row, dropped="repeated: another rewriting gave the same problem")
        else:
            authored[found.id] = (row, found)
    responses, verdicts, failures = _witnesses({key: problem for key, (_, problem) in authored.items()}, config, model, judge, seed)
    for key, (row, problem) in authored.items():
        tick(1)
        if key in failures:
            yield row, failures[key]
        else:
            yield _decided(row, problem, responses.get(key, []), verdicts, config)


def _authored(rows: dict[str, Evolved], config: TestingConfig, model: Generator, seed: int) -> Iterator[tuple[Evolved, Problem | authoring.Unusable]]:
    prompts = [
        Prompt(key, authoring.request(row.problem.instruction, config.tests), (derive_seed(seed, key, "tests"),), chat=True) for key, row in rows.items()
    ]
    found = {answer.key: answer for answer in model.generate(prompts, Sampling(max_new_tokens=config.max_new_tokens))}
    for key, row in rows.items():  # in their order, whatever order the answers came in
        cut = found[key].stop == "length"
        made = authoring.problem_of(row.problem, found[key].text)
        yield row, authoring.Unusable(f"{made.reason} (the answer was cut off)") if cut and isinstance(made, authoring.Unusable) else made


def _witnesses(
    problems: dict[str, Problem], config: TestingConfig, model: Generator, judge: Judge, seed: int
) -> tuple[dict[str, list[Response]], dict[str, Verdict], dict[str, str]]:
    """Solutions by problem, verdicts by response, and what could not be judged by problem."""
    decoding = Decoding(config.prompting, config.temperature, config.top_p, config.max_new_tokens)
    author = Author("teacher", model.model, model.revision)
    wanted = {key: tuple(range(config.solutions)) for key in problems}
    responses: dict[str, list[Response]] = {}
    for answer in answers(problems, wanted, author, decoding, seed, model):
        responses.setdefault(answer.problem_id, []).append(answer)
    verdicts: dict[str, Verdict] = {}
    failures: dict[str, str] = {}
    for found in judge((problems[key], answer) for key, listed in responses.items() for answer in listed):
        if isinstance(found, Verdict):
            verdicts[found.response_id] = found
        else:
            failures[found.problem_id] = found.reason
    return {key: sorted(listed, key=lambda answer: answer.index) for key, listed in responses.items()}, verdicts, failures


def _decided(row: Evolved, problem: Problem, responses: Sequence[Response], verdicts: dict[str, Verdict], config: TestingConfig) -> Evolved:
    table = [[status == "passed" for status in verdicts[answer.id].tests] for answer in responses]
    found = agree(table, config.agreement, [answer.code or answer.id for answer in responses])
    evidence = _evidence(found, len(problem.tests), len(responses))
    if found.dropped:
        return replace(row, problem=problem, dropped=found.dropped, evidence=evidence)
    kept = tuple(problem.tests[number] for number in found.tests)
    reference = responses[found.solutions[0]].code
    return replace(row, problem=replace(problem, tests=kept, reference=reference), evidence=evidence)


def _evidence(found: Agreement, tests: int, solutions: int) -> Evidence:
    return Evidence(tests=tests, shares=found.test_shares, solutions=solutions, scores=found.solution_scores, agreeing=len(found.solutions))
