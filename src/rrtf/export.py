"""`rrtf export`: what a run learned, as files that other trainers read.

    sft       prompt, completion                        the answers that the cross-entropy term imitates
    trl-dpo   prompt, chosen, rejected                  every pair that teaches, with its margin
    trl-kto   prompt, completion, label                 every judged answer; `label` says whether it passed all tests
    grpo      prompt, problem, tests                    what to sample for, with the problem in our format for a reward function that calls `rrtf.judged.judge`
    jsonl     everything that is known of a problem     in our own words

The first four are TRL's (conversational where the prompt format is a chat, else plain text). Artefacts are read side by side, in their common order, so memory
does not grow with the run. Not here: our own training (`rrtf.stages.train`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, cast

from rrtf import joins
from rrtf.engine import artifacts, tables
from rrtf.errors import DataError, RecipeError
from rrtf.formats import problem_json
from rrtf.joins import Curation, Ranking
from rrtf.prompting import FormatName, answer_text, render
from rrtf.records import Outcome, Problem, Response, Verdict

ExportFormat = Literal["sft", "trl-dpo", "trl-kto", "grpo", "jsonl"]
FORMATS: tuple[ExportFormat, ...] = ("sft", "trl-dpo", "trl-kto", "grpo", "jsonl")
_NEEDED = {"sft": joins.RANK, "trl-dpo": joins.RANK, "trl-kto": joins.EXECUTE, "grpo": joins.CURATE, "jsonl": joins.CURATE}
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    out: Path
    rows: int
    left_out: Counter[str]
    """Why answers are not among them, and how many."""

    def lines(self) -> Iterator[str]:
        """The same for people."""
        for reason, count in sorted(self.left_out.items(), key=lambda item: (-item[1], item[0])):
            yield f"left out: {count} {reason}"
        yield f"{self.out}: {self.rows} rows"


@dataclass(frozen=True, slots=True)
class _Known:
    """One kept problem and every row about it."""

    problem: Problem
    ranking: Ranking | None
    responses: tuple[Response, ...]
    verdicts: dict[str, Verdict]


def export(run: Path, kind: ExportFormat, out: Path, prompting: FormatName | None = None) -> Exported:
    """Write the rows of a finished run, whole or not at all. `prompting` is the run's own when it is None.

    Raises `RecipeError` where there is no run, `DataError` where the stage it needs has not finished, or nothing is there to write.
    """
    if not run.is_dir():
        raise RecipeError(f"There is no run in {run}.", hint="Give the directory of a run, such as runs/starter.")
    artifacts.require_manifest(run / _NEEDED[kind])
    form = prompting or _own_format(run)
    left_out: Counter[str] = Counter()
    rows: dict[str, Callable[[_Known, FormatName, Counter[str]], Iterator[Json]]] = {
        "sft": _sft, "trl-dpo": _dpo, "trl-kto": _kto, "grpo": _grpo, "jsonl": _everything,
    }  # fmt: skip
    aside = out.with_name(f".{out.name}.tmp")
    count = 0
    try:
        with aside.open("w", encoding="utf-8") as file:
            for known in _known(run):
                for row in rows[kind](known, form, left_out):
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
                    count += 1
        if not count:
            raise DataError(f"{run} holds nothing to export as {kind}.", hint=f"See `rrtf show {run}`.")
        aside.replace(out)
    except OSError as error:
        raise DataError(f"{out} cannot be written ({error.strerror}).", hint="Choose another place or free some space.") from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)
    return Exported(out, count, left_out)


def _own_format(run: Path) -> FormatName:
    from rrtf.recipe import load

    return load(run / "recipe.toml").student.prompting


def _known(run: Path) -> Iterator[_Known]:
    sampled = joins.sampled(run)
    kinds = {joins.RANK: Ranking, joins.EXECUTE: Verdict, **dict.fromkeys(sampled, Response)}
    beside = {name: _Beside(run, name, row) for name, row in kinds.items() if artifacts.load_manifest(run / name) is not None}
    for path in artifacts.outputs(run / joins.CURATE):
        for row in cast("Iterator[Curation]", tables.read(path, Curation)):
            found: dict[str, list[Any]] = {name: rows.of(row.problem.id) for name, rows in beside.items()}
            if not row.dropped:
                responses = tuple(response for name in sampled for response in found.get(name, ()))
                verdicts = {verdict.response_id: verdict for verdict in found.get(joins.EXECUTE, ())}
                yield _Known(row.problem, next(iter(found.get(joins.RANK, ())), None), responses, verdicts)


class _Beside:
    """The rows of one artefact, problem by problem, in the order in which curation has them."""

    def __init__(self, run: Path, name: str, row: type) -> None:
        rows = (item for path in artifacts.outputs(run / name) for item in tables.read(path, row))
        self._groups = groupby(rows, key=lambda item: cast("str", item.problem_id))
        self._next: tuple[str, list[Any]] | None = self._advance()

    def _advance(self) -> tuple[str, list[Any]] | None:
        return next(((key, list(group)) for key, group in self._groups), None)

    def of(self, problem_id: str) -> list[Any]:
        """The rows about this problem, if it is its turn."""
        if self._next is None or self._next[0] != problem_id:
            return []
        found, self._next = self._next[1], self._advance()
        return found


def _asked(problem: Problem, form: FormatName) -> str | list[dict[str, str]]:
    rendered = render(form, problem)
    return [{"role": "user", "content": rendered.text}] if rendered.chat else rendered.text


def _answered(problem: Problem, code: str | None, form: FormatName, left_out: Counter[str]) -> str | list[dict[str, str]] | None:
    """The answer as the prompt format would have it; None, and counted, where it cannot be written so."""
    text = answer_text(form, problem, code) if code else None
    if text is None:
        left_out["answers without a program" if not code else f"answers that the format {form} cannot express"] += 1
        return None
    rendered = render(form, problem)
    return [{"role": "assistant", "content": rendered.prefill + text}] if rendered.chat else text


def _sft(known: _Known, form: FormatName, left_out: Counter[str]) -> Iterator[Json]:
    preference = known.ranking.preference if known.ranking else None
    for place in preference.targets if preference else ():
        answer = cast("Any", preference).answers[place]
        if (completion := _answered(known.problem, answer.code, form, left_out)) is not None:
            yield {"prompt": _asked(known.problem, form), "completion": completion, "problem": known.problem.name, "score": answer.score}


def _dpo(known: _Known, form: FormatName, left_out: Counter[str]) -> Iterator[Json]:
    preference = known.ranking.preference if known.ranking else None
    for pair in preference.pairs if preference else ():
        answers = cast("Any", preference).answers
        chosen, rejected = (_answered(known.problem, answers[place].code, form, left_out) for place in (pair.chosen, pair.rejected))
        if chosen is not None and rejected is not None:
            scores = {"score_chosen": answers[pair.chosen].score, "score_rejected": answers[pair.rejected].score, "margin": pair.margin}
            yield {"prompt": _asked(known.problem, form), "chosen": chosen, "rejected": rejected, "problem": known.problem.name, **scores}


def _kto(known: _Known, form: FormatName, left_out: Counter[str]) -> Iterator[Json]:
    for response in known.responses:
        verdict = known.verdicts.get(response.id)
        if verdict is None:
            left_out["answers without a verdict"] += 1
        elif (completion := _answered(known.problem, response.code, form, left_out)) is not None:
            told = {"problem": known.problem.name, "author": response.author.model, "outcome": verdict.outcome.name}
            yield {"prompt": _asked(known.problem, form), "completion": completion, "label": verdict.outcome is Outcome.PASSED, **told}


def _grpo(known: _Known, form: FormatName, left_out: Counter[str]) -> Iterator[Json]:
    yield {"prompt": _asked(known.problem, form), "problem": json.dumps(problem_json(known.problem), ensure_ascii=False), "tests": len(known.problem.tests)}


def _everything(known: _Known, form: FormatName, left_out: Counter[str]) -> Iterator[Json]:
    answers = [
        {
            "id": response.id,
            **asdict(response.author),
            "text": response.text,
            "code": response.code,
            "outcome": verdict.outcome.name if (verdict := known.verdicts.get(response.id)) else None,
            "passed": verdict.passed if verdict else None,
            "cause": verdict.cause if verdict else None,
        }
        for response in known.responses
    ]
    ranking = known.ranking
    preference = ranking.preference if ranking else None
    pairs = [{"chosen": preference.answers[pair.chosen].response_id, "rejected": preference.answers[pair.rejected].response_id, "margin": pair.margin}
             for pair in preference.pairs] if preference else []  # fmt: skip
    yield {"problem": problem_json(known.problem), "answers": answers, "decision": ranking.decision if ranking else None, "pairs": pairs}
