"""Statements as words: what two problems say, and which long runs of words they share.

- *Words* are runs of letters, lower case and in one Unicode form, without `>>>` examples; numbers do not count, or lists of numbers would look like sentences.
- A problem's *texts* are its instruction and the docstrings of its prompt and of its reference, each taken once.
- Two problems *share words* when `GRAM` words in a row stand in a text of each. A benchmark's text of fewer words, but at least `LEAST`, is shared when a
  text of the other problem is the same words from end to end.

Not here: nearly equal statements within one set (`rrtf.overlap.duplicates`), programs (`rrtf.overlap.trees`).
"""

from __future__ import annotations

import ast
import inspect
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rrtf.extraction.syntax import bare_text, parse
from rrtf.records import Problem

GRAM = 10
"""Words in a row that make an overlap: the length published decontaminations use."""
LEAST = 4
"""Shorter texts are anyone's."""


def words(text: str) -> list[str]:
    """The words of a text."""
    return re.findall(r"[^\W\d_]+", unicodedata.normalize("NFKC", _told(text)).lower())


def numbers(text: str) -> frozenset[str]:
    """The whole numbers that a text names."""
    return frozenset(re.findall(r"\d+", _told(text)))


def _told(text: str) -> str:
    """What is said beside the examples."""
    lines: list[str] = []
    example = False
    for line in text.splitlines():
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        if not example:
            lines.append(line)
    return " ".join(lines)


def shingles(tokens: Sequence[str], size: int = 3) -> frozenset[tuple[str, ...]]:
    """The set of runs of `size` tokens; of a shorter sequence, the sequence itself."""
    if len(tokens) < size:
        return frozenset([tuple(tokens)])
    return frozenset(tuple(tokens[start : start + size]) for start in range(len(tokens) - size + 1))


def texts(problem: Problem) -> Iterator[list[str]]:
    """The words of the instruction, and of docstrings that say something else."""
    seen: set[tuple[str, ...]] = set()
    for text in (problem.instruction, *_docstrings(problem.prompt), *_docstrings(problem.reference or "")):
        found = words(text)
        if found and tuple(found) not in seen:
            seen.add(tuple(found))
            yield found


def _docstrings(source: str) -> Iterator[str]:
    tree = parse(source) if source.strip() else None
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            text = bare_text(node.body[0])
            if text:
                yield inspect.cleandoc(text)


@dataclass(slots=True)
class Statements:
    """The runs of words of a benchmark, to look others up in."""

    length: int
    """Words in a row."""
    runs: dict[tuple[str, ...], str] = field(default_factory=dict[tuple[str, ...], str])
    """A run -> the first task in which it stands."""

    def shared(self, problem: Problem) -> tuple[str, str] | None:
        """The task with which a problem shares the most runs, and the words that they share first; None without any."""
        counts: dict[str, int] = {}
        first: dict[str, tuple[str, ...]] = {}
        for found in texts(problem):
            for run in _runs(found, self.length):
                task = self.runs.get(run)
                if task is not None:
                    counts[task] = counts.get(task, 0) + 1
                    first.setdefault(task, run)
        if not counts:
            return None
        task = max(counts, key=lambda task: counts[task])
        return task, " ".join(first[task])


def statements(benchmark: Sequence[Problem], length: int = GRAM) -> Statements:
    """What a benchmark says."""
    made = Statements(length)
    for problem in benchmark:
        for found in texts(problem):
            for run in _runs(found, length):
                made.runs.setdefault(run, problem.name)
    return made


def _runs(found: list[str], length: int) -> Iterator[tuple[str, ...]]:
    """The runs of a text in order; a short text is one run as a whole, and a very short one is none."""
    if LEAST <= len(found) < length:
        yield tuple(found)
    for start in range(len(found) - length + 1):
        yield tuple(found[start : start + length])
