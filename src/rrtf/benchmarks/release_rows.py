"""What rows of other people's data sets have in common: fields that must be text, JSON inside text, code with words put into it.

Not here: any one format (`apps`, `kodcode`, `leetcode`, `mbpp`).
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from typing import cast

from rrtf.errors import DataError
from rrtf.extraction.syntax import parse


def fields(row: object, where: str, needed: str) -> Mapping[str, object]:
    """The row as a mapping. Raises `DataError`; `needed` says what it should have held."""
    if not isinstance(row, Mapping):
        raise DataError(f"{where} is not a JSON object.", hint=f"Each entry needs {needed}.")
    return cast("Mapping[str, object]", row)


def text(row: Mapping[str, object], key: str, where: str, needed: str) -> str:
    """A field that must be text with something in it."""
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{where} has no text as {key!r}.", hint=f"Each entry needs {needed}.")
    return value.replace("\r\n", "\n")


def unpacked(value: object, key: str, where: str) -> object:
    """A field that holds JSON as text, or as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value.strip() else None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where} has {key!r} that is not JSON ({error}).", hint="Mend or remove the entry.") from error


def documented(header: str, words: str) -> str | None:
    """Code that ends in the header of a function, with the words as its docstring; None where it does not end so."""
    header = header.rstrip()
    last = header.rsplit("\n", 1)[-1]
    indent = last[: len(last) - len(last.lstrip())] + "    "
    if not header.endswith(":"):
        return None
    lines = textwrap.indent("\n".join(line.rstrip() for line in words.strip().split("\n")), indent).strip()
    mark = "r" if "\\" in lines else ""
    if '"""' in lines or lines.endswith(("\\", '"')):
        lines, mark = lines.replace("\\", "\\\\").replace('"""', '\\"\\"\\"') + f"\n{indent}", ""
    result = f'{header}\n{indent}{mark}"""{lines}\n{indent}"""\n'
    return result if parse(result) is not None else None
