"""Source text cut into its top-level statements: where the parser says, or, where the text does not parse, by brackets, strings and indentation.

Time is linear in the text, apart from parsing each piece once. Not here: which pieces belong to a program (`rrtf.extraction.programs`).
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from rrtf.extraction.syntax import binds, first_line, parse

_TOKEN = re.compile(r"\"\"\"|'''|\"(?:\\.|[^\"\\\n])*(?:\"|(?=\n)|\Z)|'(?:\\.|[^'\\\n])*(?:'|(?=\n)|\Z)|#[^\n]*|[()\[\]{}]|\\\n|\n")
_SURE_START = re.compile(r"(?:async\s+def|def|class)\s+\w+\s*[(:\[]|import\s+\w|from\s+[\w.]+\s+import\b|@\w|if\s+__name__\b")
_CONTINUES = re.compile(r"(?:else|finally)\s*:|(?:elif|except)\b.*:\s*(?:#.*)?$")


@dataclass(frozen=True, slots=True)
class Piece:
    """One top-level statement (or several on one line)."""

    lead: str
    """Blank lines and comments above it."""
    text: str
    nodes: tuple[ast.stmt, ...] | None
    """None when it does not parse."""

    @property
    def names(self) -> set[str]:
        """What it binds in the module."""
        return set[str]().union(*(binds(node) for node in self.nodes or ()))


def pieces(source: str) -> list[Piece]:
    """The source as top-level statements. A source that parses is cut where the parser says, any other by its brackets, strings and indentation."""
    module = parse(source)
    lines = source.split("\n")
    spans = _scanned(source, lines) if module is None else _parsed(module)
    out: list[Piece] = []
    done = 0
    for start, end in spans:
        text = "\n".join(lines[start:end]).rstrip()
        tree = parse(text)
        lead = "\n".join([*lines[done:start], ""])
        out.append(Piece(lead, text, None if tree is None else tuple(tree.body)))
        done = end
    return out


def _parsed(module: ast.Module) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = []
    for node in module.body:
        start, end = first_line(node) - 1, node.end_lineno or node.lineno
        if spans and start < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return spans


def _scanned(source: str, lines: list[str]) -> list[tuple[int, int]]:
    """Spans of lines (from, up to) that hold one statement each as far as brackets, strings and indentation tell."""
    inside = _lines_inside(source, lines)
    spans: list[tuple[int, int]] = []
    decorated = False
    for number, line in enumerate(lines):
        if not line.strip() and number not in inside:
            continue
        if number in inside or line[0] in " \t":
            if spans:
                spans[-1] = (spans[-1][0], number + 1)
            else:
                spans.append((number, number + 1))
        elif line[0] != "#":
            if spans and (decorated or _CONTINUES.match(line)):
                spans[-1] = (spans[-1][0], number + 1)
            else:
                spans.append((number, number + 1))
            decorated = line[0] == "@"
    return spans


def _lines_inside(source: str, lines: list[str]) -> set[int]:
    """Numbers of the lines that begin inside a bracket, a string or after a backslash."""
    inside: set[int] = set()
    unclosed: set[str] = set()
    depth = number = position = 0
    while found := _TOKEN.search(source, position):
        mark, position = found[0], found.end()
        if mark == "\n":
            number += 1
            if depth and _SURE_START.match(lines[number]):
                depth = 0
            if depth:
                inside.add(number)
        elif mark == "\\\n":
            number += 1
            inside.add(number)
        elif mark in ('"""', "'''"):
            end = -1 if mark in unclosed else _string_end(source, mark, position)
            if end < 0:
                # Never closed: read it as if it were not there, or all that follows would be lost with it.
                unclosed.add(mark)
                continue
            crossed = source.count("\n", position, end)
            inside.update(range(number + 1, number + crossed + 1))
            number += crossed
            position = end
        elif mark in "([{":
            depth += 1
        elif mark in ")]}":
            depth = max(0, depth - 1)
    return inside


def _string_end(source: str, quotes: str, position: int) -> int:
    """Where the triple-quoted string that is open at `position` ends, or -1."""
    while (end := source.find(quotes, position)) >= 0:
        before = source[max(0, end - 64) : end]
        if (len(before) - len(before.rstrip("\\"))) % 2 == 0:
            return end + 3
        position = end + 1
    return -1
