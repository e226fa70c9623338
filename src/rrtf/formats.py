"""Reading and writing users' files: problems and responses as JSONL or Parquet, with errors that name file, line and field.

`docs/formats.md` documents both with examples; `rrtf.rows` has their fields and JSON Schema. Values that JSON lacks are tagged as in `rrtf.values`.
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
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import pydantic
from pydantic import BaseModel

from rrtf import values
from rrtf.engine import tables
from rrtf.errors import DataError
from rrtf.records import AssertTest, CallTest, File, Frame, IOTest, Problem, PytestTest, Test
from rrtf.rows import AssertTestRow, CallTestRow, FileRow, FrameRow, IOTestRow, ProblemRow, PytestTestRow, ResponseRow, TestRow
from rrtf.sandbox.inside.surroundings import module_path

_Row = TypeVar("_Row", bound=BaseModel)
Fault = Callable[[str, str], DataError]
"""The error for a field and what is wrong with it; the place is known to whoever made it."""


def read_problems(path: Path) -> list[Problem]:
    """Every problem of a JSONL or Parquet file, in order. Raises `DataError` naming the line and field of the first fault."""
    return list(stream_problems(path))


def stream_problems(path: Path) -> Iterator[Problem]:
    """The same, each when it is asked for: only their names are kept."""
    lines: dict[str, int] = {}
    for number, row in _rows(path, ProblemRow):
        problem = _problem(row, partial(_fault, path, number))
        if problem.name in lines:
            raise _fault(path, number, "name", f"{problem.name!r} is already the name of {_unit(path)} {lines[problem.name]}")
        lines[problem.name] = number
        yield problem
    if not lines:
        raise DataError(f"{path} holds no problems.", hint="It needs one JSON object per line; see docs/formats.md.")


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
    aside = path.with_name(f".{path.name}.tmp")
    count = 0
    try:
        with aside.open("w", encoding="utf-8") as file:
            for problem in problems:
                file.write(f"{values.json_text(problem_json(problem))}\n")
                count += 1
        aside.replace(path)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}).", hint="Choose another place or free some space.") from error
    finally:
        aside.unlink(missing_ok=True)
    return count


def problem_json(problem: Problem) -> dict[str, Any]:
    """The JSON object of a problem; fields that hold their default are left out."""
    row: dict[str, Any] = {"name": problem.name, "instruction": problem.instruction}
    for field in ("prompt", "entry_point", "reference", "level", "topic"):
        value = getattr(problem, field)
        if value or (field == "reference" and value is not None):
            row[field] = value
    if problem.files:
        row["files"] = [{"path": file.path, "text": file.text} for file in problem.files]
    if problem.module != "solution":
        row["module"] = problem.module
    if problem.frame is not None:
        row["frame"] = asdict(problem.frame)
    return {**row, "split": problem.split, "tests": [_test_json(test) for test in problem.tests]}


def _test_json(test: Test) -> dict[str, Any]:
    match test:
        case IOTest():
            return {"stdin": test.stdin, "stdout": test.stdout, **_rule(test, "lines")}
        case AssertTest():
            return {"code": test.code}
        case PytestTest():
            return {"node": test.node}
        case CallTest():
            row: dict[str, Any] = {"args": json.loads(test.args)}
            if test.kwargs != "{}":
                row["kwargs"] = json.loads(test.kwargs)
            return {**row, **({"raises": test.raises} if test.raises else {"expected": json.loads(test.expected or "null")}), **_rule(test, "near")}


def _rule(test: CallTest | IOTest, usual: str) -> dict[str, Any]:
    given: dict[str, Any] = {} if test.match == usual else {"match": test.match}
    return given if test.tolerance is None else {**given, "tolerance": test.tolerance}


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
        known = {*kind.model_fields, *(name for row in (CallTestRow, IOTestRow, AssertTestRow, PytestTestRow, FileRow, FrameRow) for name in row.model_fields)}
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
        given = cast("dict[str, Any]", test) if isinstance(test, dict) else {}
        kinds = {"stdin": "IOTestRow", "stdout": "IOTestRow", "code": "AssertTestRow", "node": "PytestTestRow"}
        meant = next((kind for field, kind in kinds.items() if field in given), "CallTestRow")
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
    for number, found in enumerate(_plain_rows(path), 1):
        row = _given(found)
        for field in ("tests", "files"):
            if isinstance(row.get(field), str):
                try:
                    row[field] = json.loads(row[field])
                except (ValueError, RecursionError) as error:
                    raise _fault(path, number, field, f"its JSON text is not valid ({error})") from error
            elif isinstance(row.get(field), list):
                row[field] = [_given(cast("dict[str, Any]", item)) if isinstance(item, dict) else item for item in row[field]]
        yield number, row


def _plain_rows(path: Path) -> Iterator[dict[str, Any]]:
    try:
        yield from tables.read_plain(path)
    except OSError as error:
        raise _no_file(path, error) from error


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
    _check_together(row, fault)
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
        files=tuple(File(file.path, file.text) for file in row.files),
        module=row.module,
        frame=None if row.frame is None else Frame(row.frame.name, row.frame.header, row.frame.before, row.frame.after),
    )


def _check_together(row: ProblemRow, fault: Fault) -> None:
    """What one field says about another."""
    kinds = {type(test) for test in row.tests}
    if len(kinds) > 1:
        raise fault("tests", "tests of one problem must be all of one kind: args/expected, stdin/stdout, code, or node")
    if kinds == {CallTestRow} and not row.entry_point:
        raise fault("entry_point", "it is missing, and `args` tests need a function to call")
    if row.entry_point is not None:
        name, dotted, method = row.entry_point.partition("().")
        if not all(map(_is_name, (name, method) if dotted else (name,))):
            raise fault("entry_point", f"{row.entry_point!r} is not a Python name, nor a method such as Solution().name")
        if dotted and kinds & {IOTestRow, PytestTestRow}:
            raise fault("entry_point", "only `args` and `code` tests can call a method of a new instance")
    if not all(map(_is_name, row.module.split("."))):
        raise fault("module", f"{row.module!r} is not a Python name")
    if row.frame is not None and not all(map(_is_name, row.frame.name.split("."))):
        raise fault("frame.name", f"{row.frame.name!r} is neither a function nor Class.method")
    paths = [file.path for file in row.files]
    for place, path in enumerate(paths):
        parts = path.split("/")
        if any(part in ("", ".", "..") or not part.isprintable() or set(part) & set("\\:[]") for part in parts):
            raise fault(f"files.{place}.path", f"{path!r} is not a plain relative path, such as data/input.txt")
        if any(other == path or other.startswith(path + "/") for other in paths[place + 1 :]) or any(path.startswith(other + "/") for other in paths[:place]):
            raise fault(f"files.{place}.path", f"{path!r} stands in the way of another file")
    for place, test in enumerate(row.tests):
        if isinstance(test, PytestTestRow):
            _check_node(test.node, paths, row.module, fault, f"tests.{place}.node")


def _is_name(text: str) -> bool:
    return text.isidentifier() and not keyword.iskeyword(text)


def _check_node(node: str, paths: list[str], module: str, fault: Fault, field: str) -> None:
    path, *names = node.split("::")
    if not names or not all(map(_is_name, names)):
        raise fault(field, f"{node!r} is not a file and a test function in it, such as test_solution.py::test_add (without parameters)")
    if path not in paths:
        raise fault(field, f"there is no {path!r} among `files`")
    if not path.endswith(".py"):
        raise fault(field, f"{path!r} is no Python file")
    place = module_path(module, paths)
    if place in paths:
        raise fault("files", f"{place} is where the program goes; name the file otherwise, or set `module`")


def _parses(code: str, field: str, fault: Fault) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # doubtful escapes in strings are not our business
            ast.parse(code)
    except SyntaxError as error:
        raise fault(field, f"it is not valid Python ({error.msg}, its line {error.lineno})") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise fault(field, f"it is not valid Python ({str(error) or 'nested too deeply'})") from error


def _test(test: TestRow, field: str, fault: Fault) -> Test:
    match test:
        case IOTestRow():
            if test.tolerance is not None and test.match != "tokens":
                raise fault(f"{field}.tolerance", f"it says nothing with match {test.match!r}, only with 'tokens'")
            return IOTest(test.stdin, test.stdout, test.match, test.tolerance)
        case AssertTestRow():
            _parses(test.code, f"{field}.code", fault)
            return AssertTest(test.code)
        case PytestTestRow():
            return PytestTest(test.node)
        case CallTestRow():
            return _call_test(test, field, fault)


def _call_test(test: CallTestRow, field: str, fault: Fault) -> CallTest:
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
    expected = None if test.raises else _plain(test.expected, f"{field}.expected", fault)
    _check_rule(test, expected, field, fault)
    return CallTest(
        args=_plain(test.args, f"{field}.args", fault), kwargs=keywords, expected=expected, raises=test.raises, match=test.match, tolerance=test.tolerance
    )


def _check_rule(test: CallTestRow, expected: str | None, field: str, fault: Fault) -> None:
    """Whether the rule of comparison fits what is expected."""
    if test.match != "near" and expected is None:
        raise fault(f"{field}.match", "it says how a result compares, and with `raises` there is none")
    if (test.tolerance is not None) != (test.match == "within"):
        raise fault(
            f"{field}.tolerance", "match 'within' needs it" if test.match == "within" else f"it says nothing with match {test.match!r}, only with 'within'"
        )
    single = {"truth": ("true", "false"), "is": ("true", "false", "null")}.get(test.match)
    if single and expected not in single:
        raise fault(f"{field}.expected", f"with match {test.match!r} it must be {' or '.join(single)}")
    if test.match == "within" and not (isinstance(test.expected, (int, float)) and not isinstance(test.expected, bool)):
        raise fault(f"{field}.expected", "with match 'within' it must be a number")


def _plain(data: Any, field: str, fault: Fault) -> str:
    try:
        return values.dumps(values.decode(data))
    except (values.NotPlain, RecursionError) as error:
        raise fault(field, f"it is not plain data ({error})") from error
