"""Typed views of a case: what the stages read from the rows that the engine joined for them.

The artefact names live here once, since the stages that write and read them never import one another. Not here: the joining itself (`rrtf.engine.runner`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from rrtf.engine.stage import Case
from rrtf.records import Preference, Problem, Response, Verdict

CURATE, STUDENT, TEACHER, EXECUTE, RANK, TRAIN = "curate", "sample.student", "sample.teacher", "execute", "rank", "train"
SAMPLED = "sample."
"""How the names of all artefacts begin that hold responses."""
SEEDS, REWRITE, WRITE, SOLVE, TESTS, EVOLVED = "evolve.seeds", "evolve.rewrite", "evolve.write", "evolve.solve", "evolve.tests", "evolve.problems"
GUIDED = "evolve.guided"
EXAM, BEFORE, AFTER, REPORT = "evaluate.exam", "evaluate.before", "evaluate.after", "report"


@dataclass(frozen=True, slots=True)
class Curation:
    """A problem and what became of it before anything was sampled."""

    problem: Problem
    dropped: str = ""
    """Why it is not used; empty when it is."""
    findings: tuple[str, ...] = ()
    """What was found, each as rule and detail, the gravest first; kept problems may have some too."""

    @property
    def reason(self) -> str:
        """The kind of reason why it is not used, the same for every problem; empty when it is used."""
        return "it is a problem of the examination" if self.dropped.endswith(" of the examination") else self.dropped.partition(":")[0]


@dataclass(frozen=True, slots=True)
class Ranking:
    """What ranking decided about one problem."""

    problem_id: str
    decision: str
    """One of `rrtf.ranking.Reason`: kept, kept without pairs, or why it was dropped."""
    preference: Preference | None


@dataclass(frozen=True, slots=True)
class ExamProblem:
    """A problem of a benchmark."""

    benchmark: str
    problem: Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """One answer of an examined model with its verdict."""

    benchmark: str
    prompting: str
    """Prompt format."""
    decoding: str
    """Name of the decoding in the recipe, such as `greedy`."""
    temperature: float
    top_p: float
    response: Response
    verdict: Verdict


def teacher(number: int) -> str:
    """The artefact of a teacher's responses, counted from 0."""
    return f"{TEACHER}.{number + 1}" if number else TEACHER


def solver(number: int) -> str:
    """The artefact of a witness's solutions to evolved tasks, counted from 0: the model that wrote them is the first."""
    return f"{SOLVE}.{number + 1}" if number else SOLVE


def sampled(run: Path) -> list[str]:
    """The artefacts of a run that hold responses: the teachers', then the student's."""
    return sorted((path.name for path in run.glob(f"{SAMPLED}*")), key=lambda name: (name == STUDENT, len(name), name))


def kept_problem(case: Case) -> Problem | None:
    """The case's problem, None when curation dropped it."""
    curation = cast("Curation", case.rows[CURATE][0])
    return None if curation.dropped else curation.problem


def responses(case: Case) -> list[Response]:
    """Every response to the case's problem: the teachers', then the student's, as the stage reads them."""
    return [cast("Response", row) for name, rows in case.rows.items() if name.startswith(SAMPLED) for row in rows]


def verdicts(case: Case) -> dict[str, Verdict]:
    """The case's verdicts by response id."""
    return {row.response_id: row for row in cast("Sequence[Verdict]", case.rows.get(EXECUTE, ()))}


def ranking(case: Case) -> Ranking | None:
    """What ranking decided about the case's problem."""
    found = cast("Sequence[Ranking]", case.rows.get(RANK, ()))
    return found[0] if found else None


def exam_problem(case: Case) -> ExamProblem:
    """The benchmark problem of an examination case."""
    return cast("ExamProblem", case.rows[EXAM][0])
