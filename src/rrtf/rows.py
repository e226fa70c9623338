"""The shape of users' files: every field of a problem and of a response, with its documentation and its JSON Schema.

Not here: reading and writing them, and what no shape can say, such as that Python parses (`rrtf.formats`).
"""

from __future__ import annotations

from typing import Any

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from rrtf.records import CallMatch, IOMatch, Role, Split

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
    match: CallMatch = "near"
    """How the result compares: `near` (as by ==, floats may differ in the last digits), `equal` (exactly as by ==), `is` (None, true or false itself), `truth`
    (what bool() makes of it), or `within` (a number that differs by less than `tolerance`)."""
    tolerance: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """With `within`: the difference that is just too much."""


class IOTestRow(BaseModel):
    """Run the program and compare what it prints."""

    model_config = _CONFIG
    stdin: str
    """What the program reads."""
    stdout: str
    """What it must print."""
    match: IOMatch = "lines"
    """How it compares: `lines` (white space at line ends and final newlines do not count), `exact`, or `tokens` (words; numbers within `tolerance`)."""
    tolerance: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """With `tokens`: how far numbers may differ, relatively or absolutely; 1e-6 when it is left out."""


class AssertTestRow(BaseModel):
    """Run code after the program; it passes by finishing without an exception."""

    model_config = _CONFIG
    code: str
    """Python statements, such as `assert f(1) == 2`."""


class PytestTestRow(BaseModel):
    """Run one test function of a pytest file, with all its parameters."""

    model_config = _CONFIG
    node: str = Field(min_length=1)
    """The file among `files` and the function, such as `test_solution.py::test_add` or `test_solution.py::TestAdd::test_zero`."""


class FileRow(BaseModel):
    """A file that every program for the problem finds in its working directory."""

    model_config = _CONFIG
    path: str = Field(min_length=1)
    """Relative, with `/` between folders."""
    text: str
    """What it holds."""


class FrameRow(BaseModel):
    """A file with one function taken out, into which an answer is put."""

    model_config = _CONFIG
    name: str = Field(min_length=1)
    """The function, or `Class.method`."""
    header: str = Field(min_length=1)
    """Its signature and docstring, as they stand in the file."""
    before: str
    """The file up to the line of its `def`."""
    after: str
    """The file from the line behind it."""


TestRow = CallTestRow | IOTestRow | AssertTestRow | PytestTestRow


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
    """The function that the tests call, or `Solution().method` for that method of a new instance. Needed by `args` tests."""
    tests: list[TestRow] = Field(min_length=1)
    """All of one kind. In Parquet: a list, or this list as JSON text."""
    reference: str | None = None
    """A whole program that passes every test; the teacher's answer when the teacher is `reference`."""
    split: Split = "train"
    """`train` to learn from, `test` to be held out."""
    level: str = ""
    """Difficulty, for reports."""
    topic: str = ""
    """Topic, for reports."""
    files: list[FileRow] = []
    """Files beside the program: data, helpers, and the test files of `node` tests. In Parquet: a list, or this list as JSON text."""
    module: str = "solution"
    """The name by which pytest files import the program; dotted where it is a file of a package among `files`."""
    frame: FrameRow | None = None
    """Where an answer's function goes; left out where the answer is the program."""


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


def json_schema() -> dict[str, Any]:
    """The JSON Schema of problem and response rows."""
    return {"problem": ProblemRow.model_json_schema(), "response": ResponseRow.model_json_schema(by_alias=False)}
