"""`rrtf evaluate --model`: the examination of any model on its own, as rows, scores and a table in a folder.

Not here: the examination itself (`rrtf.stages.evaluate`), which is the one the whole loop uses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from rrtf import pipeline, recipe
from rrtf.benchmarks.results import scores, table
from rrtf.engine import artifacts, runner
from rrtf.joins import BEFORE, EXAM


def examine(
    model: str,
    *,
    benchmarks: str,
    n: int,
    temperature: float,
    top_p: float,
    max_new_tokens: int,
    prompting: str,
    seed: int,
    limit: int | None,
    out: Path,
    overrides: Iterable[str],
    say: Callable[[str], None],
) -> str:
    """Examine `model` and return the table of its scores. Run again with a larger `n` to pay only for the difference."""
    name = "greedy" if temperature == 0 else f"t{temperature:g}"
    asked = {
        "run": {"title": model, "directory": str(out)},
        "student": {"model": model},
        "evaluate": {
            "benchmarks": benchmarks.split(","),
            "before": prompting.split(","),
            "decodings": {name: {"n": n, "temperature": temperature, "top_p": top_p}},
            "max_new_tokens": max_new_tokens,
            "limit": limit,
            "seed": seed,
        },
    }
    wanted = recipe.assemble(asked, overrides)
    built = pipeline.examination(wanted)
    pipeline.run(wanted, built, None, say)
    examined = Counter(row.benchmark for row in runner.rows(built, EXAM))
    found = table(scores(runner.rows(built, BEFORE), examined))
    artifacts.write_text(built.directory / "results.md", f"{found}\n")
    return found
