"""APPS (Hendrycks et al. 2021, arXiv 2105.09938) and TACO (Li et al. 2023, arXiv 2312.14852): rows of their releases; neither is shipped with us.

A row has `question`, `solutions` (a list as JSON text) and `input_output`: JSON text with `inputs`, `outputs` and perhaps `fn_name`. Without it they are
programs that read standard input, and printed words are compared one by one, numbers within 1e-6, since the data was made for judges that forgive white space.
With it they are calls, of a method where the starter code or a solution has `class Solution`.

Two habits of the releases are undone as their own harness does it: results wrapped in a list of one (taken off where all results of a problem are wrapped), and
dictionaries whose keys JSON made text. The first solution that parses in this Python is the reference. Not here: the other solutions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from rrtf import values
from rrtf.benchmarks.release_rows import documented, fields, text, unpacked
from rrtf.errors import DataError
from rrtf.extraction.syntax import parse
from rrtf.records import CallTest, IOTest, Problem, Test

_NEEDED = "question and input_output (JSON with inputs and outputs)"
PRELUDE = """import collections
import copy
import functools
import heapq
import itertools
import math
import random
import re
import string
import sys
from bisect import *
from collections import *
from fractions import *
from functools import *
from heapq import *
from itertools import *
from math import *
from typing import *
"""
"""What the harness of APPS puts above every solution, and solutions of calls rely on; numpy aside."""


def problem_of(row: object, where: str, number: int) -> Problem:
    """The problem of one row, the `number`th of its file; `where` names it in errors. Raises `DataError`."""
    given = fields(row, where, _NEEDED)
    words = text(given, "question", where, _NEEDED).strip()
    pairs = unpacked(given.get("input_output"), "input_output", where)
    if not isinstance(pairs, Mapping):
        raise DataError(f"{where} has no tests in 'input_output'.", why="Answers could not be judged.", hint="Remove the entry.")
    pairs = cast("Mapping[str, Any]", pairs)
    inputs, outputs = (cast("list[Any]", pairs[key]) if isinstance(pairs.get(key), list) else [] for key in ("inputs", "outputs"))
    if not inputs or len(inputs) != len(outputs):
        raise DataError(f"{where} has no inputs with as many outputs.", why="Answers could not be judged.", hint="Mend or remove the entry.")
    starter = str(given.get("starter_code") or "").replace("\r\n", "\n").replace("\t", "    ").rstrip()
    reference = _reference(given, where)
    function = pairs.get("fn_name")
    if function is not None and not (isinstance(function, str) and function.isidentifier()):
        raise DataError(f"{where} has {function!r} as the function to call.", hint="Mend or remove the entry.")
    called = "class Solution" in f"{starter}\n{reference}" if function else False
    opened = documented(starter, words) if function and starter else None
    return Problem(
        name=f"{'APPS' if 'problem_id' in given else 'TACO'}/{given.get('problem_id', number)}",
        instruction=words,
        prompt=f"{PRELUDE}\n\n{opened}" if opened else "",
        entry_point=f"Solution().{function}" if called else function,
        tests=_calls(inputs, outputs, where) if function else _printed(inputs, outputs, where),
        reference=f"{PRELUDE}\n\n{reference}" if reference and function else reference,
        level=str(given.get("difficulty") or "").lower(),
        topic=str(given.get("source") or "") if isinstance(given.get("source"), str) else "",
    )


def _reference(row: Mapping[str, object], where: str) -> str | None:
    solutions = unpacked(row.get("solutions"), "solutions", where)
    for solution in cast("list[object]", solutions) if isinstance(solutions, list) else ():
        if isinstance(solution, str) and solution.strip():
            code = solution.replace("\r\n", "\n").rstrip() + "\n"
            if parse(code) is not None:
                return code
    return None


def _printed(inputs: list[Any], outputs: list[Any], where: str) -> tuple[Test, ...]:
    return tuple(IOTest(_lines(given, where), _lines(expected, where), match="tokens") for given, expected in zip(inputs, outputs, strict=True))


def _lines(value: object, where: str) -> str:
    """What a program reads or prints: text, or a list of lines."""
    if isinstance(value, list) and all(isinstance(line, str) for line in cast("list[object]", value)):
        return "\n".join(cast("list[str]", value))
    if not isinstance(value, str):
        raise DataError(f"{where} has an input or output that is neither text nor lines of text.", hint="Mend or remove the entry.")
    return value


def _calls(inputs: list[Any], outputs: list[Any], where: str) -> tuple[Test, ...]:
    if not all(isinstance(given, list) for given in inputs):
        raise DataError(f"{where} has arguments that are no list.", hint="Mend or remove the entry.")
    wrapped = all(isinstance(expected, list) and len(cast("list[object]", expected)) == 1 for expected in outputs)
    try:
        return tuple(
            CallTest(args=values.dumps([_numbered(argument) for argument in given]), expected=values.dumps(_numbered(expected[0] if wrapped else expected)))
            for given, expected in zip(inputs, outputs, strict=True)
        )
    except values.NotPlain as error:
        raise DataError(f"{where} has a test that cannot be kept ({error}).", hint="Mend or remove the entry.") from error


def _numbered(value: Any) -> Any:
    """A dictionary with its whole numbers as keys again, which JSON turned into text."""
    if not isinstance(value, dict):
        return value
    items = cast("dict[str, Any]", value)
    return {int(key): item for key, item in items.items()} if all(key.removeprefix("-").isdecimal() for key in items) else items
