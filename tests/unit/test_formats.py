from __future__ import annotations

import dataclasses
import json
import re
import string
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rrtf import formats, rows, values
from rrtf.errors import DataError
from rrtf.records import AssertTest, CallTest, File, IOTest, Problem, PytestTest

ROOT = Path(__file__).parents[2]

GOOD: dict[str, Any] = {
    "name": "set/double",
    "instruction": "Double a number.",
    "prompt": 'def double(n: int) -> int:\n    """Double a number."""\n',
    "entry_point": "double",
    "reference": "def double(n):\n    return 2 * n\n",
    "tests": [{"args": [1], "expected": 2}, {"args": ["a"], "expected": "aa"}],
    "split": "test",
    "level": "easy",
    "topic": "numbers",
}


def without(*fields: str) -> dict[str, Any]:
    return {field: value for field, value in GOOD.items() if field not in fields}


def with_(**fields: Any) -> dict[str, Any]:
    return GOOD | fields


def having(*tests: Any) -> dict[str, Any]:
    return GOOD | {"tests": list(tests)}


def written(folder: Path, *rows: Any, name: str = "problems.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def fault(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        formats.read_problems(path)
    assert caught.value.hint
    return caught.value.message


def test_a_problem_file_is_read_field_by_field(tmp_path: Path) -> None:
    (problem,) = formats.read_problems(written(tmp_path, GOOD))
    assert problem == Problem(
        name="set/double",
        instruction="Double a number.",
        prompt=GOOD["prompt"],
        entry_point="double",
        tests=(CallTest(args="[1]", expected="2"), CallTest(args='["a"]', expected='"aa"')),
        reference=GOOD["reference"],
        split="test",
        level="easy",
        topic="numbers",
    )


def test_what_is_left_out_has_its_documented_default(tmp_path: Path) -> None:
    (problem,) = formats.read_problems(written(tmp_path, {"name": "a", "instruction": "Echo.", "tests": [{"stdin": "x\n", "stdout": "x\n"}]}))
    assert (problem.prompt, problem.entry_point, problem.reference, problem.split, problem.level, problem.topic) == ("", None, None, "train", "", "")


def test_blank_lines_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_bytes(b"\xef\xbb\xbf\r\n" + json.dumps(GOOD).encode() + b"\r\n   \r\n" + json.dumps(with_(name="other")).encode())
    assert [problem.name for problem in formats.read_problems(path)] == ["set/double", "other"]


def test_a_result_of_none_is_not_a_missing_result(tmp_path: Path) -> None:
    (problem,) = formats.read_problems(written(tmp_path, having({"args": [1], "expected": None})))
    assert problem.tests == (CallTest(args="[1]", expected="null"),)


# Each case: what the file holds, and what the message must say beside the file's name. Places are (line, field).
BAD_ROWS: dict[str, tuple[Any, str]] = {
    "a list for a row": ([1, 2], "line 1: it is a list, not a JSON object"),
    "a number for a row": (5, "line 1: it is a number, not a JSON object"),
    "null for a row": (None, "line 1: it is null, not a JSON object"),
    "no name": (without("name"), "line 1, field name: it is missing"),
    "an empty name": (with_(name=""), "line 1, field name: string should have at least 1 character"),
    "a number for the name": (with_(name=7), "line 1, field name: input should be a valid string (got 7)"),
    "no instruction": (without("instruction"), "line 1, field instruction: it is missing"),
    "null for the prompt": (with_(prompt=None), "line 1, field prompt: input should be a valid string (got None)"),
    "no tests": (without("tests"), "line 1, field tests: it is missing"),
    "an empty list of tests": (having(), "line 1, field tests: list should have at least 1 item"),
    "text for the tests": (with_(tests="assert f(1)"), "line 1, field tests: input should be a valid list (got 'assert f(1)')"),
    "text for a test": (having("assert f(1)"), "line 1, field tests.0"),
    "a misspelt field": (with_(entrypoint="double"), "line 1, field entrypoint: there is no such field here; did you mean 'entry_point'?"),
    "a misspelt test field": (having({"args": [1], "expcted": 2}), "line 1, field tests.0.expcted: there is no such field here; did you mean 'expected'?"),
    "a split that does not exist": (with_(split="dev"), "line 1, field split: input should be 'train' or 'test' (got 'dev')"),
    "mixed kinds of tests": (
        having({"args": [1], "expected": 2}, {"code": "assert True"}),
        "line 1, field tests: tests of one problem must be all of one kind",
    ),
    "one test of two kinds": (having({"args": [1], "stdin": ""}), "line 1, field tests.0"),
    "a call without an expectation": (having({"args": [1]}), "line 1, field tests.0: it has neither `expected` nor `raises`"),
    "a call with two expectations": (having({"args": [1], "expected": 1, "raises": "ValueError"}), "line 1, field tests.0: it has both"),
    "args that are not a list": (having({"args": 1, "expected": 2}), "line 1, field tests.0.args: input should be a valid list (got 1)"),
    "kwargs that are a tuple": (having({"args": [], "kwargs": {"$tuple": []}, "expected": 2}), "line 1, field tests.0.kwargs: it must be an object"),
    "kwargs with an impossible name": (having({"args": [], "kwargs": {"a b": 1}, "expected": 2}), "line 1, field tests.0.kwargs: it must be an object"),
    "raises that is no name": (having({"args": [], "raises": "ValueError()"}), "line 1, field tests.0.raises: 'ValueError()' is not the name"),
    "an unknown tag": (
        having({"args": [], "expected": 1}, {"args": [{"$date": "x"}], "expected": 2}),
        "line 1, field tests.1.args: it is not plain data (unknown",
    ),
    "a malformed tag": (having({"args": [], "expected": {"$set": [[1]]}}), "line 1, field tests.0.expected: it is not plain data (the tagged value $set"),
    "nesting without end in a value": (
        having({"args": [json.loads("[" * 250 + "]" * 250)], "expected": 1}),
        "line 1, field tests.0.args: it is not plain data (nested",
    ),
    "a rule that does not exist": (having({"args": [], "expected": 1, "match": "same"}), "line 1, field tests.0.match: input should be 'near', 'equal'"),
    "a rule for an exception": (having({"args": [], "raises": "ValueError", "match": "equal"}), "line 1, field tests.0.match: it says how a result compares"),
    "a tolerance without a rule": (having({"args": [], "expected": 1, "tolerance": 0.1}), "line 1, field tests.0.tolerance: it says nothing with match 'near'"),
    "a rule without its tolerance": (having({"args": [], "expected": 1, "match": "within"}), "line 1, field tests.0.tolerance: match 'within' needs it"),
    "a tolerance of nothing": (
        having({"args": [], "expected": 1, "match": "within", "tolerance": 0}),
        "line 1, field tests.0.tolerance: input should be greater than 0",
    ),
    "a difference of texts": (
        having({"args": [], "expected": "a", "match": "within", "tolerance": 1}),
        "line 1, field tests.0.expected: with match 'within' it must be a number",
    ),
    "the truth of a number": (having({"args": [], "expected": 1, "match": "truth"}), "line 1, field tests.0.expected: with match 'truth' it must be true or"),
    "the identity of a number": (having({"args": [], "expected": 1, "match": "is"}), "line 1, field tests.0.expected: with match 'is' it must be true or"),
    "a tolerance for lines": (
        having({"stdin": "", "stdout": "", "tolerance": 1}),
        "line 1, field tests.0.tolerance: it says nothing with match 'lines', only with 'tokens'",
    ),
    "a rule of another kind": (having({"stdin": "", "stdout": "", "match": "near"}), "line 1, field tests.0.match: input should be 'lines', 'exact'"),
    "a node without its file": (having({"node": "test_a.py::test_b"}), "line 1, field tests.0.node: there is no 'test_a.py' among `files`"),
    "a node that is no function": (having({"node": "test_a.py"}), "line 1, field tests.0.node: 'test_a.py' is not a file and a test function"),
    "a node with parameters": (having({"node": "test_a.py::test_b[1]"}), "line 1, field tests.0.node: 'test_a.py::test_b[1]' is not a file"),
    "a node in no Python file": (
        having({"node": "a.txt::test_b"}) | {"files": [{"path": "a.txt", "text": ""}]},
        "line 1, field tests.0.node: 'a.txt' is no Python file",
    ),
    "a file where the program goes": (
        having({"node": "solution.py::test_b"}) | {"files": [{"path": "solution.py", "text": ""}]},
        "line 1, field files: solution.py is where the program goes",
    ),
    "a path upwards": (with_(files=[{"path": "a/../../b", "text": ""}]), "line 1, field files.0.path: 'a/../../b' is not a plain relative path"),
    "a path from the root": (with_(files=[{"path": "/etc/passwd", "text": ""}]), "line 1, field files.0.path: '/etc/passwd' is not a plain relative path"),
    "a path twice": (with_(files=[{"path": "a", "text": ""}, {"path": "a", "text": "x"}]), "line 1, field files.0.path: 'a' stands in the way"),
    "a file for a folder": (with_(files=[{"path": "a", "text": ""}, {"path": "a/b", "text": "x"}]), "line 1, field files.0.path: 'a' stands in the way"),
    "a file without text": (with_(files=[{"path": "a"}]), "line 1, field files.0.text: it is missing"),
    "a module that is no name": (with_(module="a..b"), "line 1, field module: 'a..b' is not a Python name"),
    "half a method": (with_(entry_point="Solution().class"), "line 1, field entry_point: 'Solution().class' is not a Python name, nor a method"),
    "a method of a program that prints": (
        having({"stdin": "", "stdout": ""}) | {"entry_point": "Solution().run"},
        "line 1, field entry_point: only `args` and `code` tests can call a method",
    ),
    "stdout missing": (having({"stdin": "1"}), "line 1, field tests.0.stdout: it is missing"),
    "a test that does not parse": (having({"code": "assert f(1) = 2"}), "line 1, field tests.0.code: it is not valid Python"),
    "call tests without a function": (without("entry_point"), "line 1, field entry_point: it is missing, and `args` tests need a function"),
    "an entry point that is no name": (with_(entry_point="f()"), "line 1, field entry_point: 'f()' is not a Python name"),
    "an entry point that is a keyword": (with_(entry_point="class"), "line 1, field entry_point: 'class' is not a Python name"),
    "a reference that does not parse": (with_(reference="def f(:\n"), "line 1, field reference: it is not valid Python"),
    "a reference with a null byte": (with_(reference="x = 1\0"), "line 1, field reference: it is not valid Python"),
    "a reference nested too deeply": (with_(reference="(" * 9000), "line 1, field reference: it is not valid Python"),
    "text that UTF-8 cannot hold": (with_(instruction="half \ud800"), "line 1, field instruction: input should be a valid string"),
    "code that UTF-8 cannot hold": (having({"stdin": "\udfff", "stdout": ""}), "line 1, field tests: it holds half of a surrogate pair"),
}


@pytest.mark.parametrize(("row", "message"), BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_a_bad_row_is_named_by_file_line_and_field(tmp_path: Path, row: Any, message: str) -> None:
    said = fault(written(tmp_path, row))
    assert said.startswith(f"{tmp_path / 'problems.jsonl'}, {message}")


def test_the_line_is_counted_with_blank_ones(tmp_path: Path) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_text("\n\n" + json.dumps(GOOD) + "\n\n" + json.dumps(without("name")) + "\n")
    assert fault(path).startswith(f"{path}, line 5, field name:")


def test_duplicate_names_are_both_located(tmp_path: Path) -> None:
    assert fault(written(tmp_path, GOOD, with_(name="b"), GOOD)).endswith("line 3, field name: 'set/double' is already the name of line 1.")


BAD_BYTES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "holds no problems"),
    "blank lines": (b"\n  \n", "holds no problems"),
    "a half-written last line": (json.dumps(GOOD).encode() + b"\n" + json.dumps(with_(name="b")).encode()[:90], "line 2: it is not valid JSON"),
    "not JSON": (b"name,instruction\n", "line 1: it is not valid JSON"),
    "a Python literal": (b"{'name': 'a'}\n", "line 1: it is not valid JSON"),
    "Latin-1": (b'{"name": "caf\xe9"}\n', "line 1: it is not UTF-8 text"),
    "UTF-16": ('{"name": "a"}\n'.encode("utf-16"), "line 1: it is not UTF-8 text"),
    "a zip file": (b"PK\x03\x04\x14\x00\x08\x08", "line 1: it is not valid JSON"),
    "an integer of 5000 digits": (b'{"name": ' + b"9" * 5000 + b"}\n", "line 1: it cannot be read"),
    "100000 brackets": (b"[" * 100_000 + b"\n", "line 1: it is nested too deeply"),
    "1000 brackets in a field": (json.dumps(GOOD)[:-1].encode() + b', "level": ' + b"[" * 900 + b"]" * 900 + b"}\n", "line 1"),
}


@pytest.mark.parametrize(("content", "message"), BAD_BYTES.values(), ids=BAD_BYTES.keys())
def test_a_bad_file_is_named_with_the_place(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "problems.jsonl"
    path.write_bytes(content)
    said = fault(path)
    assert str(path) in said
    assert message in said


def test_places_that_are_no_files_are_named(tmp_path: Path) -> None:
    for name in ("nowhere.jsonl", "nowhere.parquet"):
        assert fault(tmp_path / name) == f"There is no file {tmp_path / name}."
    folder = tmp_path / "folder.jsonl"
    folder.mkdir()
    assert fault(folder).startswith(f"{folder} cannot be read (")


ONE_TEST = '[{"args": [1], "expected": 2}]'


def parquet(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "problems.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_parquet_with_tests_as_json_text(tmp_path: Path) -> None:
    row = with_(tests=json.dumps([{"args": [1, "a"], "expected": None}, {"args": [[1]], "raises": "TypeError"}]))
    (problem,) = formats.read_problems(parquet(tmp_path, [row]))
    assert problem.tests == (CallTest(args='[1,"a"]', expected="null"), CallTest(args="[[1]]", raises="TypeError"))


def test_parquet_with_tests_as_a_list(tmp_path: Path) -> None:
    rows = [with_(name="a", tests=[{"args": [1], "expected": 2}]), with_(name="b", tests=[{"args": [1], "raises": "ValueError"}])]
    first, second = formats.read_problems(parquet(tmp_path, rows))
    assert first.tests == (CallTest(args="[1]", expected="2"),)
    assert second.tests == (CallTest(args="[1]", raises="ValueError"),)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (with_(tests="[{"), "row 1, field tests: its JSON text is not valid"),
        (with_(tests="[" * 100_000), "row 1, field tests: its JSON text is not valid"),
        (with_(tests="[]"), "row 1, field tests: list should have at least 1 item"),
        (with_(name=None, tests="[]"), "row 1, field name: it is missing"),
        (with_(name=5, tests=ONE_TEST), "row 1, field name: input should be a valid string"),
        (with_(tests=[b"bytes"]), "row 1, field tests.0"),
        (with_(tests=ONE_TEST, extra=1), "row 1, field extra: there is no such field here"),
    ],
)
def test_a_bad_parquet_row_is_named_by_row_and_field(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    assert message in fault(parquet(tmp_path, [row]))


def test_what_is_not_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "problems.parquet"
    path.write_bytes(json.dumps(GOOD).encode())
    assert fault(path).startswith(f"{path} cannot be read as Parquet (")
    path.write_bytes(parquet(tmp_path, [with_(tests="[]")]).read_bytes()[:-20])
    assert fault(path).startswith(f"{path} cannot be read as Parquet (")


def test_a_parquet_file_without_rows_holds_no_problems(tmp_path: Path) -> None:
    path = tmp_path / "problems.parquet"
    pq.write_table(pa.table({"name": pa.array([], pa.string())}), path)
    assert "holds no problems" in fault(path)


def test_responses_are_read_with_their_defaults(tmp_path: Path) -> None:
    path = written(tmp_path, {"task_id": "HumanEval/0", "completion": "    return 1\n"}, {"name": "b", "completion": "", "model": "m", "role": "teacher"})
    (one, first), (two, second) = formats.read_responses(path)
    assert (one, two) == (1, 2)
    assert (first.name, first.completion, first.model, first.role) == ("HumanEval/0", "    return 1\n", "unknown", "student")
    assert (second.name, second.model, second.role) == ("b", "m", "teacher")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"completion": "x"}, "field name: it is missing"),
        ({"name": "a"}, "field completion: it is missing"),
        ({"name": "a", "completion": None}, "field completion: input should be a valid string"),
        ({"name": "a", "completion": "x", "role": "judge"}, "field role: input should be 'teacher', 'student' or 'reference'"),
        ({"name": "a", "completion": "x", "solution": "y"}, "field solution: there is no such field here"),
    ],
)
def test_a_bad_response_is_named(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        list(formats.read_responses(written(tmp_path, row, name="responses.jsonl")))
    assert f"responses.jsonl, line 1, {message}" in caught.value.message


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
NAME = st.text(string.ascii_letters, min_size=1, max_size=8).map(lambda text: f"n_{text}")
CALLS = st.builds(
    lambda args, expected, kwargs, raises: CallTest(
        args=values.dumps(args), kwargs=values.dumps(kwargs), expected=None if raises else values.dumps(expected), raises=raises or None
    ),
    st.lists(PLAIN, max_size=3),
    PLAIN,
    st.dictionaries(NAME, PLAIN, max_size=2),
    st.sampled_from(["", "ValueError"]),
)
RULES = (
    st.builds(lambda expected, match: CallTest(args="[]", expected=expected, match=match), st.sampled_from(["true", "false"]), st.sampled_from(["is", "truth"]))
    | st.builds(lambda number: CallTest(args="[]", expected="0.5", match="within", tolerance=number), st.floats(min_value=1e-12, max_value=1e9))
    | st.builds(lambda expected: CallTest(args="[]", expected=values.dumps(expected), match="equal"), PLAIN)
)
PRINTED = (
    st.builds(IOTest, TEXT, TEXT)
    | st.builds(IOTest, TEXT, TEXT, st.just("exact"))
    | st.builds(IOTest, TEXT, TEXT, st.just("tokens"), st.none() | st.floats(min_value=0, max_value=9))
)
TESTS = (
    st.lists(CALLS | RULES, min_size=1, max_size=3)
    | st.lists(PRINTED, min_size=1, max_size=3)
    | st.lists(st.builds(PytestTest, st.sampled_from(["test_a.py::test_b", "d/test_c.py::TestD::test_e"])), min_size=1, max_size=3)
    | st.lists(st.builds(AssertTest, st.sampled_from(["assert f(1) == 2", "", "x = 'ä'"])), min_size=1, max_size=3)
).map(tuple)
PROBLEMS = st.lists(
    st.builds(
        Problem,
        name=TEXT.filter(bool),
        instruction=TEXT.filter(bool),
        prompt=TEXT,
        entry_point=NAME,
        tests=TESTS,
        reference=st.sampled_from([None, "", "def f(): return '\\d'\n"]),
        split=st.sampled_from(["train", "test"]),
        level=TEXT,
        topic=TEXT,
        files=TEXT.map(lambda text: (File("test_a.py", text), File("d/test_c.py", ""), File("data/ä b.txt", text))),
        module=NAME,
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda problem: problem.name,
)
AGAIN = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@AGAIN
@given(PROBLEMS)
def test_what_is_written_is_read_back_equal(tmp_path: Path, problems: list[Problem]) -> None:
    path = tmp_path / "problems.jsonl"
    assert formats.write_problems(path, problems) == len(problems)
    assert formats.read_problems(path) == problems
    for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
        jsonschema.validate(json.loads(line), rows.json_schema()["problem"])


@AGAIN
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_any_bytes_give_a_data_error_or_problems(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"problems{suffix}"
    path.write_bytes(content)
    said = ""
    try:
        assert formats.read_problems(path)
    except DataError as error:
        said = error.message
    assert not said or str(path) in said


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["args", "kwargs", "expected", "raises", "stdin", "stdout", "code", "$tuple", "$set"]), inner, max_size=3)
    ),
    max_leaves=12,
)
ROWS = st.dictionaries(st.sampled_from([*GOOD, "other"]), JSON, max_size=4)


@AGAIN
@given(st.lists(ROWS.map(lambda row: GOOD | row) | JSON, max_size=3))
def test_any_json_gives_a_data_error_or_problems_that_survive_writing(tmp_path: Path, rows: list[Any]) -> None:
    path = written(tmp_path, *rows)
    try:
        problems = formats.read_problems(path)
    except DataError as error:
        if str(path) not in error.message:
            raise
        return
    assert all(problem.id for problem in problems)
    again = tmp_path / "again.jsonl"
    formats.write_problems(again, problems)
    assert formats.read_problems(again) == problems


def test_nothing_half_written_is_left_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "problems.jsonl"
    with pytest.raises(DataError, match="cannot be written"):
        formats.write_problems(path, formats.read_problems(written(tmp_path, GOOD)))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["problems.jsonl"]


def test_the_checked_in_schemas_are_those_of_the_code() -> None:
    for name, schema in rows.json_schema().items():
        held = json.loads((ROOT / "docs" / "schema" / f"{name}.json").read_text(encoding="utf-8"))
        assert held == schema, f"write docs/schema/{name}.json anew with: rrtf schema"


def test_the_examples_of_the_docs_are_read(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```json\n(.*?)\n```\n", text, re.DOTALL)
    kinds = {"instruction": formats.read_problems, "completion": formats.read_responses}
    read = 0
    for block in blocks:
        path = tmp_path / "example.jsonl"
        path.write_text(json.dumps(json.loads(block)) + "\n", encoding="utf-8")
        for field, reader in kinds.items():
            if field in json.loads(block):
                read += len(list(reader(path)))
    assert read >= 4


def test_problem_json_leaves_out_what_is_default(tmp_path: Path) -> None:
    (problem,) = formats.read_problems(written(tmp_path, GOOD))
    assert formats.problem_json(dataclasses.replace(problem, prompt="", reference=None, level="", topic="")) == {
        "name": "set/double",
        "instruction": "Double a number.",
        "entry_point": "double",
        "split": "test",
        "tests": GOOD["tests"],
    }


def test_methods_pytest_files_and_rules_are_read(tmp_path: Path) -> None:
    method, suite, printed = formats.read_problems(
        written(
            tmp_path,
            with_(entry_point="Solution().twoSum"),
            {"name": "b", "instruction": "x", "tests": [{"node": "test_a.py::test_b"}], "files": [{"path": "test_a.py", "text": "x"}], "module": "mine"},
            {"name": "c", "instruction": "x", "tests": [{"stdin": "", "stdout": "1", "match": "tokens", "tolerance": 0}]},
        )
    )
    assert (method.entry_point, method.defines) == ("Solution().twoSum", "Solution")
    assert (suite.tests, suite.files, suite.module) == ((PytestTest("test_a.py::test_b"),), (File("test_a.py", "x"),), "mine")
    assert printed.tests == (IOTest("", "1", "tokens", 0.0),)


def test_files_change_a_problems_id_and_their_absence_does_not(tmp_path: Path) -> None:
    (problem,) = formats.read_problems(written(tmp_path, GOOD))
    assert problem.id == "p-4bce09674f557f47"  # as it was before there were files, rules and modules
    assert len({problem.id, dataclasses.replace(problem, files=(File("a", ""),)).id, dataclasses.replace(problem, module="m").id}) == 3


def test_problems_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    path.write_text(path.read_text() + "{not JSON\n")
    problems = formats.stream_problems(path)
    assert next(problems).name == "set/double"
    with pytest.raises(DataError, match="line 2: it is not valid JSON"):
        next(problems)
