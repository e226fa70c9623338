"""Reading and writing users' files: problems and responses as JSONL or Parquet, with errors that name file, line and field.

`docs/formats.md` documents both with examples; `json_schema` gives their JSON Schema. Values that JSON lacks are tagged as in `rrtf.values`.
Not here: other people's formats (`rrtf.benchmarks`), and artefacts of a run (`rrtf.engine.tables`).
"""

from __future__ import annotations

import ast
import difflib
import gzip
import json
import keyword
import reprlib
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from rrtf import values
from rrtf.engine import tables
from rrtf.errors import DataError
from rrtf.records import AssertTest, CallTest, IOTest, Problem, Role, Split, Test

_CONFIG = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class CallTestRow(BaseModel):
    """Call the entry point and compare the result."""

    model_config = _CONFIG
    args: list[Any]
    """Positional arguments."""
    kwargs: dict[str, Any] = {}
    """Keyword arguments."""
    expected: Any = None
    """The result; null means None. Leave it out when `raises` is given."""
    raises: str | None = Field(default=None, min_length=1)
    """Name of the exception class that the call must raise."""


class IOTestRow(BaseModel):
    """Run the program and compare what it prints."""

    model_config = _CONFIG
    stdin: str
    """What the program reads."""
    stdout: str
    """What it must print; white space at line ends and final newlines do not count."""


class AssertTestRow(BaseModel):
    """Run code after the program; it passes by finishing without an exception."""

    model_config = _CONFIG
    code: str
    """Python statements, such as `assert f(1) == 2`."""


class ProblemRow(BaseModel):
    """One problem: one line of a JSONL file, or one row of a Parquet file."""

    model_config = _CONFIG
    name: str = Field(min_length=1)
    """Unique in the file."""
    instruction: str = Field(min_length=1)
    """What is asked, in words; for a function usually its docstring."""
    prompt: str = ""
    """Code the answer continues: imports, signature, docstring. May be empty."""
    entry_point: str | None = None
    """The function that the tests call. Needed by `args` tests."""
    tests: list[CallTestRow | IOTestRow | AssertTestRow] = Field(min_length=1)
    """All of one kind. In Parquet: a list, or this list as JSON text."""
    reference: str | None = None
    """A whole program that passes every test; the teacher's answer when the teacher is `reference`."""
    split: Split = "train"
    """`train` to learn from, `test` to be held out."""
    level: str = ""
    """Difficulty, for reports."""
    topic: str = ""
    """Topic, for reports."""


class ResponseRow(BaseModel):
    """One answer to a problem."""

    model_config = _CONFIG
    name: str = Field(min_length=1, validation_alias=pydantic.AliasChoices("name", "task_id"))
    """The problem's name (`task_id` is read too, as in OpenAI's sample files)."""
    completion: str
    """The answer as the model gave it: text, a fenced block, or code."""
    model: str = "unknown"
    """Who wrote it."""
    role: Role = "student"
    """`student`, `teacher` or `reference`."""


_Row = TypeVar("_Row", bound=BaseModel)
Fault = Callable[[str, str], DataError]
"""The error for a field and what is wrong with it; the place is known to whoever made it."""


def json_schema() -> dict[str, Any]:
    """The JSON Schema of problem and response rows."""
    return {"problem": ProblemRow.model_json_schema(), "response": ResponseRow.model_json_schema(by_alias=False)}


def read_problems(path: Path) -> list[Problem]:
    """Every problem of a JSONL or Parquet file, in order. Raises `DataError` naming the line and field of the first fault."""
    problems: list[Problem] = []
    lines: dict[str, int] = {}
    for number, row in _rows(path, ProblemRow):
        problem = _problem(row, partial(_fault, path, number))
        if problem.name in lines:
            raise _fault(path, number, "name", f"{problem.name!r} is already the name of {_unit(path)} {lines[problem.name]}")
        lines[problem.name] = number
        problems.append(problem)
    if not problems:
        raise DataError(f"{path} holds no problems.", hint="It needs one JSON object per line; see docs/formats.md.")
    return problems


def require_readable(problem: Problem, fault: Fault) -> None:
    """Raise `fault(field, what)` when a problem that came from elsewhere could be written, but not be read back."""
    _problem(_row(problem_json(problem), ProblemRow, fault), fault)


def read_responses(path: Path) -> Iterator[tuple[int, ResponseRow]]:
    """Every response of a JSONL file (`.gz` too) or a Parquet file with the number of its line or row, in order, each read when it is asked for.

    Raises `DataError` naming the line and field of the first fault, also when there is none at all.
    """
    number = 0
    for number, row in _rows(path, ResponseRow):
        yield number, row
    if not number:
        raise DataError(f"{path} holds no responses.", hint="It needs one JSON object per line; see docs/formats.md.")


def write_problems(path: Path, problems: Iterable[Problem]) -> int:
    """Write problems as JSONL, whole or not at all. Returns how many."""
    lines = [values.json_text(problem_json(problem)) for problem in problems]
    aside = path.with_name(f".{path.name}.tmp")
    try:
        aside.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise DataError(f"{path} cannot be written ({error.strerror}).", hint="Choose another place or free some space.") from error
    return len(lines)


def problem_json(problem: Problem) -> dict[str, Any]:
    """The JSON object of a problem; fields that hold their default are left out."""
    row: dict[str, Any] = {"name": problem.name, "instruction": problem.instruction}
    for field in ("prompt", "entry_point", "reference", "level", "topic"):
        value = getattr(problem, field)
        if value or (field == "reference" and value is not None):
            row[field] = value
    return {**row, "split": problem.split, "tests": [_test_json(test) for test in problem.tests]}


def _test_json(test: Test) -> dict[str, Any]:
    if isinstance(test, IOTest):
        return {"stdin": test.stdin, "stdout": test.stdout}
    if isinstance(test, AssertTest):
        return {"code": test.code}
    row: dict[str, Any] = {"args": json.loads(test.args)}
    if test.kwargs != "{}":
        row["kwargs"] = json.loads(test.kwargs)
    return {**row, **({"raises": test.raises} if test.raises else {"expected": json.loads(test.expected or "null")})}


def _rows(path: Path, kind: type[_Row]) -> Iterator[tuple[int, _Row]]:
    source = _parquet_rows(path) if path.suffix == ".parquet" else _jsonl_rows(path)
    for number, data in source:
        yield number, _row(data, kind, partial(_fault, path, number))


def _row(data: object, kind: type[_Row], fault: Fault) -> _Row:
    if not isinstance(data, dict):
        raise fault("", f"it is {_json_type(data)}, not a JSON object")
    try:
        row = kind.model_validate(data)
    except pydantic.ValidationError as error:
        first = _most_telling(error, cast("dict[str, Any]", data))
        place = ".".join(str(part) for part in first["loc"] if not str(part).endswith("Row"))
        raise fault(place, _said(first, kind)) from error
    for field, value in row.model_dump().items():
        if not all(map(_is_unicode, _texts(value))):
            raise fault(field, "it holds half of a surrogate pair, which no UTF-8 file can hold")
    return row


def _json_type(data: object) -> str:
    match data:
        case None:
            return "null"
        case bool():
            return "a truth value"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "a number"


def _said(error: Any, kind: type[BaseModel]) -> str:
    """What pydantic found, in a user's words."""
    field = str(error["loc"][-1])
    if error["type"] == "extra_forbidden":
        known = {*kind.model_fields, *CallTestRow.model_fields, *IOTestRow.model_fields, *AssertTestRow.model_fields}
        near = difflib.get_close_matches(field, sorted(known), n=1)
        return "there is no such field here" + (f"; did you mean {near[0]!r}?" if near and near[0] != field else "")
    if error["type"] == "missing":
        return "it is missing"
    return f"{error['msg'][0].lower()}{error['msg'][1:]} (got {reprlib.repr(error['input'])})"


def _texts(value: object) -> Iterator[str]:
    """The text of a field, or all text directly in its tests. What arguments and results hold does not matter: it is stored escaped."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for test in cast("list[dict[str, object]]", value):
            yield from (text for text in test.values() if isinstance(text, str))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _most_telling(error: pydantic.ValidationError, data: dict[str, Any]) -> Any:
    """Of the errors of a union of test kinds, one about the kind that was meant."""
    errors = error.errors(include_url=False)
    first = errors[0]
    if first["loc"] and first["loc"][0] == "tests" and len(first["loc"]) > 1:
        tests = data.get("tests")
        place = first["loc"][1]
        test = cast("Any", tests)[place] if isinstance(tests, list) and isinstance(place, int) else None
        meant = "IOTestRow" if isinstance(test, dict) and ("stdin" in test or "stdout" in test) else "CallTestRow"
        meant = "AssertTestRow" if isinstance(test, dict) and "code" in test else meant
        return next((item for item in errors if item["loc"][:3] == ("tests", place, meant)), first)
    return first


def _jsonl_rows(path: Path) -> Iterator[tuple[int, Any]]:
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                if text.strip():
                    yield number, json.loads(text)
    except json.JSONDecodeError as error:
        raise _fault(path, number, "", f"it is not valid JSON ({error.msg} at column {error.colno}); perhaps the file was cut off") from error
    except UnicodeDecodeError as error:
        raise _fault(path, number, "", f"it is not UTF-8 text (byte {error.start})") from error
    except RecursionError as error:
        raise _fault(path, number, "", "it is nested too deeply") from error
    except ValueError as error:  # such as an integer of more digits than Python converts
        raise _fault(path, number, "", f"it cannot be read ({error})") from error
    except EOFError as error:
        raise _fault(path, number + 1, "", "the file ends in the middle of its compressed data; perhaps it was cut off") from error
    except (OSError, zlib.error) as error:
        raise _no_file(path, error) from error


def _parquet_rows(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        rows = tables.read_plain(path)
    except OSError as error:
        raise _no_file(path, error) from error
    for number, found in enumerate(rows, 1):
        row = _given(found)
        if isinstance(row.get("tests"), str):
            try:
                row["tests"] = json.loads(row["tests"])
            except (ValueError, RecursionError) as error:
                raise _fault(path, number, "tests", f"its JSON text is not valid ({error})") from error
        elif isinstance(row.get("tests"), list):
            row["tests"] = [_given(cast("dict[str, Any]", test)) if isinstance(test, dict) else test for test in row["tests"]]
        yield number, row


def _given(row: dict[str, Any]) -> dict[str, Any]:
    """Parquet stores every column for every row: a null stands for a field that was not given."""
    return {key: value for key, value in row.items() if value is not None}


def _no_file(path: Path, error: OSError | zlib.error) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"There is no file {path}.", hint="Check the path; relative paths start at the recipe's folder, or at yours on the command line.")
    return DataError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error}).", hint="Check that it is a file you may read.")


def _unit(path: Path) -> str:
    return "row" if path.suffix == ".parquet" else "line"


def _fault(path: Path, number: int, field: str, what: str) -> DataError:
    unit = _unit(path)
    where = f"{path}, {unit} {number}" + (f", field {field}" if field else "")
    end = "" if what.endswith("?") else "."
    return DataError(f"{where}: {what}{end}", hint=f"Mend that {unit}; see docs/formats.md, or `rrtf schema` for the JSON Schema.")


def _problem(row: ProblemRow, fault: Fault) -> Problem:
    kinds = {type(test) for test in row.tests}
    if len(kinds) > 1:
        raise fault("tests", "tests of one problem must be all of one kind: args/expected, stdin/stdout, or code")
    if kinds == {CallTestRow} and not row.entry_point:
        raise fault("entry_point", "it is missing, and `args` tests need a function to call")
    if row.entry_point is not None and (not row.entry_point.isidentifier() or keyword.iskeyword(row.entry_point)):
        raise fault("entry_point", f"{row.entry_point!r} is not a Python name")
    if row.reference is not None:
        _parses(row.reference, "reference", fault)
    return Problem(
        name=row.name,
        instruction=row.instruction,
        prompt=row.prompt,
        entry_point=row.entry_point,
        tests=tuple(_test(test, f"tests.{place}", fault) for place, test in enumerate(row.tests)),
        reference=row.reference,
        split=row.split,
        level=row.level,
        topic=row.topic,
    )


def _parses(code: str, field: str, fault: Fault) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # doubtful escapes in strings are not our business
            ast.parse(code)
    except SyntaxError as error:
        raise fault(field, f"it is not valid Python ({error.msg}, its line {error.lineno})") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise fault(field, f"it is not valid Python ({str(error) or 'nested too deeply'})") from error


def _test(test: CallTestRow | IOTestRow | AssertTestRow, field: str, fault: Fault) -> Test:
    if isinstance(test, IOTestRow):
        return IOTest(test.stdin, test.stdout)
    if isinstance(test, AssertTestRow):
        _parses(test.code, f"{field}.code", fault)
        return AssertTest(test.code)
    if test.raises is not None and "expected" in test.model_fields_set:
        raise fault(field, "it has both `expected` and `raises`; a call does one or the other")
    if test.raises is None and "expected" not in test.model_fields_set:
        raise fault(field, "it has neither `expected` nor `raises`, so nothing could be checked")
    if test.raises is not None and not test.raises.isidentifier():
        raise fault(f"{field}.raises", f"{test.raises!r} is not the name of an exception class, such as ValueError")
    keywords = _plain(test.kwargs, f"{field}.kwargs", fault)
    given = values.loads(keywords)
    if not isinstance(given, dict) or not all(isinstance(name, str) and name.isidentifier() for name in cast("dict[object, object]", given)):
        raise fault(f"{field}.kwargs", "it must be an object whose keys are names of arguments")
    return CallTest(
        args=_plain(test.args, f"{field}.args", fault),
        kwargs=keywords,
        expected=None if test.raises else _plain(test.expected, f"{field}.expected", fault),
        raises=test.raises,
    )


def _plain(data: Any, field: str, fault: Fault) -> str:
    try:
        return values.dumps(values.decode(data))
    except (values.NotPlain, RecursionError) as error:
        raise fault(field, f"it is not plain data ({error})") from error
