"""Reports: one self-contained HTML file, and the same results as JSON and Markdown.

`write_report(data, folder)` is the front door. Not here: gathering the data of a run (`rrtf.stages.report`).
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from rrtf.benchmarks.results import comparison_json, score_json, table
from rrtf.engine.tables import disk_error
from rrtf.identity import Json
from rrtf.reporting import flips, words
from rrtf.reporting.data import TRAINING, Example, Flow, Histogram, Question, ReportData, StageRun, Standing
from rrtf.reporting.page import page

__all__ = [
    "FILES",
    "TRAINING",
    "Example",
    "Flow",
    "Histogram",
    "Question",
    "ReportData",
    "StageRun",
    "Standing",
    "results_json",
    "results_markdown",
    "write_report",
]

FILES = ("report.html", "results.json", "results.md")


def write_report(data: ReportData, folder: Path) -> tuple[Path, ...]:
    """Write `report.html`, `results.json` and `results.md` into `folder` and return their paths. Raises `DataError` when the disk refuses."""
    texts = (page(data), json.dumps(results_json(data), indent=1, ensure_ascii=False) + "\n", results_markdown(data))
    for name, text in zip(FILES, texts, strict=True):
        try:
            # Lone surrogates, which hostile text may hold, have no UTF-8.
            (folder / name).write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise disk_error(folder / name, error) from error
    return tuple(folder / name for name in FILES)


def results_json(data: ReportData) -> Json:
    """Every number of the report as plain JSON data."""
    return {
        "title": data.title,
        "headline": words.headline(data.comparisons),
        "before": [score_json(score) for score in data.before],
        "after": [score_json(score) for score in data.after],
        "comparisons": [comparison_json(item) for item in data.comparisons],
        "training": {item.author: {outcome.name: count for outcome, count in item.counts.items()} for item in data.histograms},
        "teachers against tests": [{**asdict(item), "such": list(item.such)} for item in data.standings],
        "solved by nobody": data.unsolved,
        "failures": {run.name: list(run.failures) for run in data.runs if run.failures},
        "flips": flips.as_json(data.flips),
        "versions": dict(data.versions),
    }


def results_markdown(data: ReportData) -> str:
    """The table and the sentences, for the terminal."""
    lines = [words.headline(data.comparisons), "", table(data.before, data.after, data.comparisons), ""]
    lines += ["Differences are in points. In brackets: 95 % intervals; * marks the prompt format that counts as before.", ""]
    lines += [f"- {words.where(item)}: {item.sentence}" for item in data.comparisons]
    lines += ["", *(f"- {sentence}" for sentence in [*words.training_words(data), *words.caveats(data), words.failure_words(data)])]
    lines += [f"- {sentence}" for sentence in flips.words(data.flips)]
    return "\n".join(lines) + "\n"
