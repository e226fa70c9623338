"""report: everything a run learned -> one HTML page, and the same results as JSON and Markdown.

This file gathers; the page is made by `rrtf.reporting`. It computes nothing that is not in the artefacts, so it can be made again at any time.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import cast

from rrtf.benchmarks.results import compare, scores
from rrtf.engine.artifacts import Manifest, require_manifest
from rrtf.engine.stage import FoldStage, FoldTask, Row, Tick
from rrtf.identity import Json, fingerprint
from rrtf.joins import AFTER, BEFORE, CURATE, EXAM, EXECUTE, RANK, REPORT, SAMPLED, STUDENT, TEACHER, TRAIN, Curation, ExamProblem, Graded, Ranking
from rrtf.records import Outcome, Problem, Response, Verdict
from rrtf.reporting import FILES, TRAINING, Example, Flow, Histogram, Question, ReportData, StageRun, Standing, results_json, write_report
from rrtf.reporting.examples import choose
from rrtf.reporting.flips import FlipTest
from rrtf.reporting.words import headline, primary

_OTHERS = (EXECUTE, RANK, TRAIN, EXAM, BEFORE, AFTER)
_NAMED = 3
"""Dropped problems that are named for each reason."""
_PASSES = {BEFORE: 3, AFTER: 3}
"""How often rows are read: for scores, comparison and examples. Answers of a large examination do not fit into memory."""


def stage(title: str, flips: FlipTest | None = None, teachers: Sequence[str] = (TEACHER,)) -> FoldStage:
    """The stage. `flips` is what the run's flip test found, if there was one; `teachers` where the teachers' answers lie."""
    identity: Json = {"title": title, "flips": fingerprint(flips) if flips else None}
    return FoldStage(
        name=REPORT, version=4, reads=(CURATE, STUDENT, *teachers, *_OTHERS), identity=identity, work=partial(_work, title, flips), outputs=_outputs, tells=True
    )


def gather(title: str, task: FoldTask, flips: FlipTest | None = None) -> ReportData:
    """The data of a run's report."""
    manifests = {name: require_manifest(task.inputs[name]) for name in task.inputs}
    total = sum(manifest.rows * _PASSES.get(name, 1) for name, manifest in manifests.items() if name != TRAIN)
    with task.progress(REPORT, total, "rows") as tick:
        return _gathered(title, task, manifests, flips, tick)


def _gathered(title: str, task: FoldTask, manifests: Mapping[str, Manifest], flips: FlipTest | None, tick: Tick) -> ReportData:
    teachers = [name for name in manifests if name.startswith(SAMPLED) and name != STUDENT]

    def graded(name: str) -> Iterator[Graded]:
        return _rows(task, name, tick)

    curated: list[Curation] = list(_rows(task, CURATE, tick))
    rankings: list[Ranking] = list(_rows(task, RANK, tick))
    verdicts: dict[str, Verdict] = {row.response_id: row for row in _rows(task, EXECUTE, tick)}
    exam: list[ExamProblem] = list(_rows(task, EXAM, tick))
    learned = {row.problem.id: row.problem for row in curated}
    asked = {row.problem.id: row.problem for row in exam}
    sizes = Counter(row.benchmark for row in exam)
    comparisons = compare(graded(BEFORE), graded(AFTER), {key: problem.name for key, problem in asked.items()}, sizes)
    counts: dict[str, Counter[Outcome]] = {}
    lacking: Counter[tuple[str, str]] = Counter()
    solved: dict[str, dict[str, bool]] = {name: {} for name in (*teachers, STUDENT)}
    """Of each author's artefact: the problems that it answered, and whether an answer passes."""

    def trained_on() -> Iterator[Example]:
        for place, row in cast("Iterator[tuple[str, Response]]", ((name, row) for name in (*teachers, STUDENT) for row in _rows(task, name, tick))):
            verdict = verdicts.get(row.id)
            if verdict is None:  # our own failure: no verdict, no example
                continue
            author = {"reference": "reference solutions", "teacher": "teacher", "student": "student"}[row.author.role]
            counts.setdefault(author, Counter())[verdict.outcome] += 1
            solved[place][row.problem_id] = solved[place].get(row.problem_id, False) or verdict.outcome is Outcome.PASSED
            lacking[author, "no program"] += row.code is None
            lacking[author, "cut off"] += row.stop == "length"
            yield _example(learned[row.problem_id], row, verdict, TRAINING, f"{author}, training", "sampled" if row.author.role != "reference" else "as given")

    def examined() -> Iterator[Example]:
        for name, author in ((BEFORE, "student, before"), (AFTER, "student, after")):
            for row in graded(name):
                yield _example(asked[row.response.problem_id], row.response, row.verdict, row.benchmark, author, f"{row.prompting}, {row.decoding}")

    changed = {(item.benchmark, name) for item in primary(comparisons) for name in (*item.won, *item.lost)}
    examples, examples_of = choose(_both(trained_on, examined), changed)
    questions = [_question(row.problem, TRAINING) for row in curated] + [_question(row.problem, row.benchmark) for row in exam]
    return ReportData(
        title=title,
        student=_model(manifests[STUDENT]),
        teacher=", ".join("reference solutions" if (model := _model(manifests[name])) == "reference" else model for name in teachers),
        before=tuple(scores(graded(BEFORE), sizes)),
        after=tuple(scores(graded(AFTER), sizes)),
        comparisons=tuple(comparisons),
        exam=dict(sizes),
        histograms=tuple(
            Histogram(author=author, counts=dict(found), no_program=lacking[author, "no program"], cut_off=lacking[author, "cut off"])
            for author, found in counts.items()
        ),
        standings=tuple(_standing(name, _model(manifests[name]), solved, learned) for name in teachers),
        unsolved=len({key for found in solved.values() for key in found} - {key for found in solved.values() for key, passed in found.items() if passed}),
        flow=_flow(curated, rankings),
        curve=tuple(_curve(task.inputs[TRAIN], manifests[TRAIN])),
        questions=tuple(questions),
        examples=tuple(examples),
        examples_of=examples_of,
        runs=tuple(_run(name, manifest) for name, manifest in manifests.items()),
        flips=flips,
        versions=manifests[AFTER].environment,
    )


def _work(title: str, flips: FlipTest | None, task: FoldTask) -> Json:
    data = gather(title, task, flips)
    write_report(data, task.folder)
    results = cast("dict[str, Json]", results_json(data))
    return {"headline": headline(data.comparisons), "comparisons": results["comparisons"]}


def _outputs(folder: Path) -> Sequence[Path]:
    return [folder / name for name in FILES]


def _rows(task: FoldTask, name: str, tick: Tick) -> Iterator[Row]:
    for row in task.rows(name):
        tick(1)
        yield row


def _both(*sources: Callable[[], Iterator[Example]]) -> Iterator[Example]:
    for source in sources:
        yield from source()


def _example(problem: Problem, response: Response, verdict: Verdict, place: str, author: str, setting: str) -> Example:
    return Example(
        problem_id=problem.id,
        problem=problem.name,
        place=place,
        author=author,
        setting=setting,
        index=response.index,
        outcome=verdict.outcome,
        tests=verdict.tests,
        cause=verdict.cause,
        code=response.code,
        text=response.text,
        rule=response.rule,
        stop=response.stop,
        tokens=response.completion_tokens,
    )


def _question(problem: Problem, place: str) -> Question:
    return Question(id=problem.id, name=problem.name, place=place, text=problem.prompt or problem.instruction)


def _flow(curated: Sequence[Curation], rankings: Sequence[Ranking]) -> Flow:
    kept = [row.preference for row in rankings if row.preference is not None]
    before = Counter(row.reason for row in curated if row.dropped)
    such: dict[str, list[str]] = {}
    for row in curated:
        if row.dropped and len(named := such.setdefault(row.reason, [])) < _NAMED:
            named.append(f"{row.problem.name}: {row.dropped.removeprefix(row.reason).removeprefix(': ')}")
    after = Counter(row.decision for row in rankings if row.preference is None)
    usable = sum(not row.dropped for row in curated)
    if missing := usable - len(rankings):
        after["a run of ours failed"] = missing
    return Flow(
        problems=len(curated),
        dropped_before=dict(before.most_common()),
        dropped_such={reason: tuple(named) for reason, named in such.items()},
        dropped_after=dict(after.most_common()),
        kept=len(kept),
        answers=sum(len(item.answers) for item in kept),
        pairs=sum(len(item.pairs) for item in kept),
        targets=sum(len(item.targets) for item in kept),
        without_pairs=sum(not item.pairs for item in kept),
    )


def _standing(name: str, model: str, solved: Mapping[str, Mapping[str, bool]], problems: Mapping[str, Problem]) -> Standing:
    failed = {key for key, passed in solved[name].items() if not passed}
    student = sorted(problems[key].name for key in failed if solved[STUDENT].get(key))
    others = sum(any(found.get(key) for other, found in solved.items() if other not in (name, STUDENT)) for key in failed)
    return Standing(
        teacher="reference solutions" if model == "reference" else model,
        answered=len(solved[name]),
        passed=len(solved[name]) - len(failed),
        student_alone=len(student),
        others_alone=others,
        such=tuple(student[:_NAMED]),
    )


def _curve(folder: Path, manifest: Manifest) -> Iterator[dict[str, float]]:
    """Steps of the training metrics, finite numbers only: an absent or odd value leaves a gap, not an error."""
    for part in manifest.parts:
        path = folder / part.file
        if path.suffix != ".jsonl" or not path.is_file():
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                found: object = json.loads(line)
            except json.JSONDecodeError:
                continue  # a torn line
            if isinstance(found, dict):
                plain = cast("dict[str, object]", found)
                yield {key: float(value) for key, value in plain.items() if isinstance(value, (int, float)) and math.isfinite(value)}


def _model(manifest: Manifest) -> str:
    identity = manifest.identity
    found = identity.get("model") if isinstance(identity, dict) else None
    return found if isinstance(found, str) else ""


def _run(name: str, manifest: Manifest) -> StageRun:
    settings = {"identity": manifest.identity, **({"extent": manifest.extent} if manifest.extent is not None else {})}
    return StageRun(
        name=name,
        rows=manifest.rows,
        seconds=manifest.seconds,
        failures=tuple(f"{failure.get('key', '')}: {failure.get('reason', '')}" for failure in manifest.failures),
        granted=tuple(_listed(manifest.notes, "granted")),
        missing=tuple(_listed(manifest.notes, "missing")),
        config=json.dumps(settings, indent=2, ensure_ascii=False),
    )


def _listed(notes: Json, key: str) -> list[str]:
    """The list of texts under `key`, wherever it lies in a manifest's notes."""
    if not isinstance(notes, dict):
        return []
    found = notes.get(key)
    if isinstance(found, list):
        return [str(item) for item in found]
    return [text for value in notes.values() for text in _listed(value, key)]
