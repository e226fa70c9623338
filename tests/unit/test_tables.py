"""Records as Parquet and back: nothing lost, nothing half-written, and a sentence for files that are not ours."""

from __future__ import annotations

import builtins
import enum
import errno
import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rrtf.engine import tables
from rrtf.errors import DataError
from rrtf.joins import Curation, ExamProblem, Graded, Ranking
from rrtf.records import Answer, AssertTest, Author, CallTest, IOTest, Outcome, Pair, Preference, Problem, Response, Verdict

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
counts = st.integers(0, 2**40)
numbers = st.floats(allow_nan=False, allow_infinity=False)
calls = st.builds(CallTest, args=texts, expected=st.none() | texts, raises=st.none() | texts, kwargs=texts)
tests_ = st.one_of(*(st.lists(kind, max_size=3).map(tuple) for kind in (calls, st.builds(IOTest, texts, texts), st.builds(AssertTest, texts))))
problems = st.builds(
    Problem,
    name=texts,
    instruction=texts,
    prompt=texts,
    entry_point=st.none() | texts,
    tests=tests_,
    reference=st.none() | texts,
    split=st.sampled_from(["train", "test"]),
)
authors = st.builds(Author, role=st.sampled_from(["teacher", "student", "reference"]), model=texts, revision=texts)
responses = st.builds(
    Response,
    problem_id=texts,
    author=authors,
    index=counts,
    text=texts,
    code=st.none() | texts,
    rule=texts,
    stop=st.sampled_from(["stop", "length"]),
    completion_tokens=counts,
)
statuses = st.sampled_from(["passed", "wrong", "raised", "timeout", "memory", "crashed", "not-run"])
verdicts = st.builds(
    Verdict,
    problem_id=texts, response_id=texts, outcome=st.sampled_from(Outcome), tests=st.lists(statuses, max_size=4).map(tuple), cause=texts,
    cpu_seconds=numbers, wall_seconds=numbers, peak_mb=numbers,
)  # fmt: skip
answers = st.builds(Answer, texts, st.sampled_from(["teacher", "student"]), texts, st.sampled_from(Outcome), numbers)
preferences = st.builds(
    Preference,
    problem_id=texts,
    answers=st.lists(answers, max_size=3).map(tuple),
    pairs=st.lists(st.builds(Pair, counts, counts, numbers), max_size=3).map(tuple),
    targets=st.lists(counts, max_size=2).map(tuple),
)
ROWS: dict[type, st.SearchStrategy[Any]] = {
    Problem: problems,
    Response: responses,
    Verdict: verdicts,
    Preference: preferences,
    Curation: st.builds(Curation, problems, texts),
    Ranking: st.builds(Ranking, texts, texts, st.none() | preferences),
    ExamProblem: st.builds(ExamProblem, texts, problems),
    Graded: st.builds(Graded, benchmark=texts, prompting=texts, decoding=texts, temperature=numbers, top_p=numbers, response=responses, verdict=verdicts),
}

quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.mark.parametrize("kind", ROWS, ids=lambda kind: kind.__name__)
@quick
@given(choice=st.data())
def test_every_record_comes_back_as_it_went(kind: type, choice: st.DataObject, tmp_path: Path) -> None:
    rows = choice.draw(st.lists(ROWS[kind], max_size=4))
    path = tmp_path / "rows.parquet"
    tables.write(path, kind, rows, {})
    again = tables.read(path, kind)
    assert again == rows
    assert [type(row) for row in again] == [kind] * len(rows)
    assert tables.digest(again) == tables.digest(rows)


class Level(enum.Enum):
    LOW = 1
    HIGH = 2


@dataclass(frozen=True, slots=True)
class Left:
    text: str
    size: int = 0


@dataclass(frozen=True, slots=True)
class Right:
    text: str
    levels: tuple[Level, ...] = ()


@dataclass(frozen=True, slots=True)
class Everything:
    flag: bool
    level: Level | None
    either: Left | Right
    maybe: Left | Right | None
    nested: tuple[tuple[Left, ...], ...]
    word: Literal["a", "b"] = "a"
    spent: float = field(default=0.0, metadata={"measured": True})


EVERYTHING = [
    Everything(flag=True, level=Level.HIGH, either=Left("x", 3), maybe=None, nested=((Left("n"),), ()), spent=1.5),
    Everything(flag=False, level=None, either=Right("y", (Level.LOW,)), maybe=Right("", ()), nested=(), word="b"),
]


def test_unions_optionals_enums_and_nesting(tmp_path: Path) -> None:
    tables.write(tmp_path / "rows.parquet", Everything, EVERYTHING, {})
    assert tables.read(tmp_path / "rows.parquet", Everything) == EVERYTHING


def test_anybody_can_read_the_files(tmp_path: Path) -> None:
    tables.write(tmp_path / "rows.parquet", Everything, EVERYTHING, {"who": "me"})
    first, second = pq.read_table(tmp_path / "rows.parquet").to_pylist()
    assert first["either"] == {"kind": "Left", "text": "x", "size": 3, "levels": None}
    assert (second["level"], second["word"], first["level"], first["spent"]) == (None, "b", "HIGH", 1.5)
    assert json.loads(tables.as_json(EVERYTHING[0])) == first


def test_metadata_comes_back(tmp_path: Path) -> None:
    tables.write(tmp_path / "rows.parquet", Left, [], {"identity": "abc", "failures": "p-1\tdied\np-2\tdéjà"})
    assert tables.read_metadata(tmp_path / "rows.parquet") == {"identity": "abc", "failures": "p-1\tdied\np-2\tdéjà"}
    assert tables.read(tmp_path / "rows.parquet", Left) == []


def test_measurements_take_no_part_in_digests_and_everything_else_does() -> None:
    row = EVERYTHING[0]
    assert tables.digest([row]) == tables.digest([replace(row, spent=99.0)])
    changed = [replace(row, flag=False), replace(row, level=Level.LOW), replace(row, either=Left("x", 4)), replace(row, nested=()), replace(row, word="b")]
    assert len({tables.digest([one]) for one in [row, *changed]}) == 6


def test_measurements_of_nested_records_take_no_part_either() -> None:
    verdict = Verdict(problem_id="p", response_id="r", outcome=Outcome.PASSED, tests=("passed",), cause="", cpu_seconds=1.0, wall_seconds=2.0, peak_mb=3.0)
    response = Response(problem_id="p", author=Author("student", "m", ""), index=0, text="", code=None, rule="", stop="stop", completion_tokens=1)
    row = Graded(benchmark="b", prompting="f", decoding="d", temperature=0.0, top_p=1.0, response=response, verdict=verdict)
    assert tables.digest([row]) == tables.digest([replace(row, verdict=replace(verdict, cpu_seconds=9.0, wall_seconds=9.0, peak_mb=9.0))])
    assert tables.digest([row]) != tables.digest([replace(row, verdict=replace(verdict, outcome=Outcome.PARTIAL))])


def test_digests_see_the_order_and_the_number_of_rows() -> None:
    one, two = EVERYTHING
    assert len({tables.digest(rows) for rows in ([one, two], [two, one], [one], [one, one], [])}) == 5


def written(path: Path) -> bytes:
    tables.write(path, Left, [Left(f"row {number} " + "x" * 50, number) for number in range(200)], {"identity": "i"})
    return path.read_bytes()


@pytest.mark.parametrize("damage", ["empty", "text", "head", "tail", "half", "swapped body"])
def test_a_damaged_file_is_a_sentence(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "part.parquet"
    good = written(path)
    middle = len(good) // 8
    path.write_bytes(
        {
            "empty": b"",
            "text": b"name,size\na,1\n",
            "head": good[:20],
            "tail": good[-20:],
            "half": good[: len(good) // 2],
            "swapped body": good[:middle] + bytes(255 - byte for byte in good[middle : middle + 16]) + good[middle + 16 :],
        }[damage]
    )
    with pytest.raises(DataError, match=r"part\.parquet") as caught:
        tables.read(path, Left)
    assert caught.value.hint
    assert "\n" not in str(caught.value)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10**6), byte=st.integers(1, 255))
def test_one_wrong_byte_is_a_sentence_or_changes_nothing(tmp_path: Path, place: int, byte: int) -> None:
    path = tmp_path / "part.parquet"
    good = bytearray(written(path))
    rows = tables.read(path, Left)
    good[place % len(good)] ^= byte
    path.write_bytes(good)
    try:
        again = tables.read(path, Left)
    except DataError:
        return
    assert again == rows


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"other": [1]}),
        pa.table({"text": ["a"], "size": ["1"]}),
        pa.table({"size": [1], "text": ["a"]}),
        pa.table({"text": ["a"]}),
        pa.table({}),
    ],
    ids=["other columns", "other type", "other order", "fewer columns", "no columns"],
)
def test_somebody_elses_parquet_is_a_sentence(tmp_path: Path, table: Any) -> None:
    pq.write_table(table, tmp_path / "part.parquet")
    with pytest.raises(DataError, match=r"part\.parquet holds other columns than Left records"):
        tables.read(tmp_path / "part.parquet", Left)


@pytest.mark.parametrize(
    "change", [{"level": "PURPLE"}, {"either": {"kind": "Middle", "text": "", "size": 0, "levels": None}}, {"either": None}, {"nested": None}]
)
def test_right_columns_with_impossible_values_are_a_sentence(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "part.parquet"
    tables.write(path, Everything, EVERYTHING, {})
    table = pq.read_table(path)
    pq.write_table(pa.Table.from_pylist([{**table.to_pylist()[0], **change}], schema=table.schema), path)
    with pytest.raises(DataError, match=r"part\.parquet"):
        tables.read(path, Everything)


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.parquet"):
        tables.read(tmp_path / "gone.parquet", Left)
    with pytest.raises(DataError, match=r"gone\.parquet"):
        tables.read_metadata(tmp_path / "gone.parquet")


@pytest.mark.parametrize("step", ["write", "fsync", "rename"])
@pytest.mark.parametrize("before", [None, "an older part"])
def test_a_full_disk_keeps_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, before: str | None) -> None:
    path = tmp_path / "part.parquet"
    if before:
        path.write_text(before)

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        if step == "write":
            patch.setattr(pq.ParquetWriter, "write_table", full)
        elif step == "fsync":
            patch.setattr(os, "fsync", full)
        else:
            patch.setattr(Path, "replace", full)
        with pytest.raises(DataError, match=r"part\.parquet cannot be written \(No space left on device\)") as caught:
            tables.write(path, Left, [Left("x")], {})
    assert "space" in caught.value.hint
    assert [found.name for found in tmp_path.iterdir()] == ([path.name] if before else [])
    assert not before or path.read_text() == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_really_full_disk_is_the_same_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.open

    def on_full_disk(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        return real("/dev/full" if "w" in mode else self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", on_full_disk)
    with pytest.raises(DataError, match="No space left on device"):
        tables.write(tmp_path / "part.parquet", Left, [Left("x" * 100, n) for n in range(10_000)], {})
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file or directory"):
        tables.write(tmp_path / "no" / "part.parquet", Left, [], {})


def test_annotations_without_a_form_are_refused() -> None:
    @dataclass(frozen=True)
    class Loose:
        anything: dict[str, int]

    Loose.__annotations__["anything"] = dict[str, int]
    with pytest.raises(TypeError, match="no Parquet form"):
        tables.schema(Loose)


def test_read_plain_gives_dictionaries_of_any_file(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1, 2]}), tmp_path / "x.parquet")
    assert list(tables.read_plain(tmp_path / "x.parquet")) == [{"a": 1}, {"a": 2}]
    (tmp_path / "y.parquet").write_text("no")
    with pytest.raises(DataError, match=r"y\.parquet"):
        list(tables.read_plain(tmp_path / "y.parquet"))
    with pytest.raises(FileNotFoundError):
        list(tables.read_plain(tmp_path / "z.parquet"))


def test_rows_are_read_from_anywhere_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROWS", 7)
    monkeypatch.setattr(tables, "_BATCH", 3)
    rows = [Left(str(number), number) for number in range(30)]
    path = tmp_path / "rows.parquet"
    tables.write(path, Left, iter(rows), lambda: {"said": "late"})
    assert pq.ParquetFile(path).num_row_groups == 5
    assert tables.read_metadata(path) == {"said": "late"}
    for start in range(33):
        assert list(tables.stream(path, Left, start)) == rows[start:]


def test_trouble_with_the_rows_is_not_trouble_with_the_file(tmp_path: Path) -> None:
    def failing() -> Any:
        yield Left("x")
        raise FileNotFoundError(errno.ENOENT, "No such file", "what the rows come from")

    with pytest.raises(FileNotFoundError):
        tables.write(tmp_path / "rows.parquet", Left, failing(), {})
    assert list(tmp_path.iterdir()) == []
