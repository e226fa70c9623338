"""Cases made while artefacts are read: the same as with all of them in memory, whatever lies in them, and read no more than is asked for."""

from __future__ import annotations

import tempfile
import tracemalloc
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrtf.engine import artifacts, parts, runner, tables
from rrtf.engine.joining import Join, cases
from rrtf.engine.local import InlineExecutor
from rrtf.engine.making import make
from rrtf.engine.stage import Case, FoldStage, MapStage, Opener, Pipeline, Task
from rrtf.errors import DataError

KEYS = [*"abcdef", "two words", 'quo"te', "line\nbreak", "ü"]
Rows = list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Fact:
    key: str
    number: int
    text: str = ""


def stage(name: str, *reads: str) -> MapStage:
    return MapStage(
        name=name,
        version=1,
        reads=reads,
        row=Fact,
        key=lambda row: row.key,
        order=lambda row: (),
        identity=None,
        open=lambda inputs: lambda: nullcontext(lambda task: iter(())),
        expected=lambda case: 1,
        unit="facts",
        summarize=lambda rows: None,
    )


def made(directory: Path, tables_of: Mapping[str, list[Rows]], *, indexed: bool = True) -> Pipeline:
    """Finished artefacts with these rows, part by part, and a stage that reads them all."""
    stages = [stage(name) for name in tables_of]
    for one in stages:
        folder = artifacts.make_folder(directory / one.name) or directory / one.name
        listed: list[artifacts.Part] = []
        for number, rows in enumerate(tables_of[one.name]):
            path = folder / f"part-{number:05d}.parquet"
            parts.store(path, one, "", [Case("", {})], [Fact(*row) for row in rows])
            if not indexed:
                metadata = {key: value for key, value in tables.read_metadata(path).items() if key != "cases"}
                tables.write(path, Fact, tables.read(path, Fact), metadata)
            listed.append(artifacts.Part(path.name, len(rows), ""))
        blank = {"version": 1, "fingerprint": "", "digest": "", "identity": None, "extent": None, "inputs": {}, "summary": None, "notes": None}
        artifacts.save_manifest(folder, artifacts.Manifest(stage=one.name, parts=tuple(listed), failures=(), seconds=0.0, **blank))  # type: ignore[arg-type]
    return Pipeline(directory, (*stages, stage("reader", *tables_of)))


def in_memory(tables_of: Mapping[str, list[Rows]]) -> list[tuple[str, dict[str, list[Fact]]]]:
    """The same join the simple way."""
    by_key: dict[str, dict[str, list[Fact]]] = {}
    for name, found in tables_of.items():
        by_key[name] = {}
        for row in (row for rows in found for row in rows):
            by_key[name].setdefault(row[0], []).append(Fact(*row))
    return [(key, {name: table.get(key, []) for name, table in by_key.items()}) for key in by_key[next(iter(tables_of))]]


in_order = st.lists(st.sampled_from(KEYS), unique=True).map(lambda keys: sorted(keys, key=KEYS.index))
anyhow = st.lists(st.sampled_from(KEYS), max_size=12)


@st.composite
def artefacts(draw: st.DrawFn) -> dict[str, list[Rows]]:
    """One to three artefacts, most of them in one order, with keys that are missing, foreign, out of order or in two places; in parts, some of them empty."""
    found: dict[str, list[Rows]] = {}
    for name in draw(st.sampled_from([["one"], ["one", "two"], ["one", "two", "three"]])):
        keys = draw(st.one_of(in_order, in_order, anyhow))
        rows = [(key, number) for number, key in enumerate(key for key in keys for _ in range(draw(st.integers(1, 3))))]
        cuts = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=3)))
        found[name] = [rows[start:end] for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    return found


@settings(max_examples=80, deadline=None)
@given(artefacts(), st.booleans(), st.sets(st.integers(0, 10)))
def test_cases_are_those_of_a_join_in_memory(tables_of: dict[str, list[Rows]], indexed: bool, some: set[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pipeline = made(Path(folder), tables_of, indexed=indexed)
        join = Join(pipeline, pipeline.stage("reader"))
        expected = in_memory(tables_of)
        assert [(case.key, {name: list(rows) for name, rows in case.rows.items()}) for case in cases(pipeline, pipeline.stage("reader"))] == expected
        outlines = [(one.key, dict(one.digests)) for one in join.outlines()]
        assert outlines == [(key, {name: tables.digest(rows) for name, rows in found.items()}) for key, found in expected]
        chosen = [(number, case.key, {name: list(rows) for name, rows in case.rows.items()}) for number, case in join.cases(some.__contains__)]
        assert chosen == [(number, key, found) for number, (key, found) in enumerate(expected) if number in some]


def test_rows_that_nobody_wants_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = made(tmp_path, {"one": [[("a", 1), ("b", 2)], [("c", 3)]], "two": [[("a", 4)], [("b", 5), ("c", 6)]]})
    read: list[str] = []
    real = tables.stream
    monkeypatch.setattr(tables, "stream", lambda path, *rest: (read.append(f"{path.parent.name} {path.stem}"), real(path, *rest))[1])
    join = Join(pipeline, pipeline.stage("reader"))
    assert len(list(join.outlines())) == 3
    assert read == []
    assert [case.key for _, case in join.cases(lambda number: number == 2)] == ["c"]
    assert read == ["one part-00001", "two part-00001"]


def test_an_index_that_does_not_fit_its_rows_is_a_sentence(tmp_path: Path) -> None:
    pipeline = made(tmp_path, {"one": [[("a", 1), ("b", 2)]]})
    path = tmp_path / "one" / "part-00000.parquet"
    for rows in ([Fact("a", 1)], [Fact("a", 1), Fact("c", 2)]):
        tables.write(path, Fact, rows, tables.read_metadata(path))
        with pytest.raises(DataError, match="does not hold what its index says of b"):
            list(cases(pipeline, pipeline.stage("reader")))


def test_a_fold_first_gives_no_cases(tmp_path: Path) -> None:
    pipeline = made(tmp_path, {"one": [[("a", 1)]]})
    fold = FoldStage(name="fold", version=1, reads=(), identity=None, work=lambda task: None, outputs=lambda folder: [])
    both = Pipeline(tmp_path, (*pipeline.stages, fold, stage("late", "fold", "one")))
    assert list(cases(both, both.stage("late"))) == []


# ------------------------------------------------------------------------------------------------ memory


def _many(count: int, task: Task) -> Iterator[Fact]:
    for number in range(count):
        yield Fact(f"key {number}", number, f"{number:06d} " * 200)


def _more(task: Task) -> Iterator[Fact]:
    for case in task.cases:
        yield from (Fact(case.key, row.number, row.text) for row in case.rows["source"])


def _opener(work: Any) -> Opener:
    return partial(nullcontext, work)


def long_run(directory: Path, count: int) -> Pipeline:
    """Facts of a kilobyte and more, copied by a second stage and joined again for a third."""
    from dataclasses import replace

    source = replace(stage("source"), open=lambda inputs: _opener(partial(_many, count)), summarize=lambda rows: sum(1 for _ in rows))
    copy = replace(stage("copy", "source"), open=lambda inputs: _opener(_more), part_cases=50)
    third = replace(stage("third", "source", "copy"), open=lambda inputs: _opener(_more), part_cases=50)
    fold = FoldStage(
        name="fold", version=1, reads=("source", "copy", "third"), identity=None, work=lambda task: sum(1 for _ in task.cases()), outputs=lambda folder: []
    )
    return Pipeline(directory, (source, copy, third, fold))


def peak_of(directory: Path, count: int) -> float:
    """MB that Python asked for at once, at most."""
    tracemalloc.start()
    try:
        manifests = runner.run(long_run(directory, count), None, InlineExecutor(), lambda line: None)
        peak = tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()
    assert manifests["third"].rows == manifests["fold"].summary == count
    return peak


def test_memory_does_not_grow_with_the_number_of_cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROWS", 100)
    monkeypatch.setattr(tables, "_BATCH", 50)
    few, many = 600, 2400
    small, large = peak_of(tmp_path / "few", few), peak_of(tmp_path / "many", many)
    held = (many - few) * 1.4e-3  # what the rows alone would take, in one artefact
    assert large - small < held / 3, f"{small:.2f} MB for {few} cases, {large:.2f} MB for {many}"
    # Would it show? With rows held by key, as artefacts in another order are, it does.
    monkeypatch.setattr(Join, "_check", lambda join: [source.gather() for source in join._sources.values()])
    assert peak_of(tmp_path / "held", many) - small > held / 2


def test_a_part_that_is_there_costs_no_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a resumed stage does before its work: with every part there, only the manifest's own pass reads, and of its own rows alone."""
    built = long_run(tmp_path, 120)
    runner.run(built, None, InlineExecutor(), lambda line: None)
    inputs = {name: artifacts.require_manifest(built.folder(name)).digest for name in ("source", "copy")}
    read: set[str] = set()
    real = tables.stream
    monkeypatch.setattr(tables, "stream", lambda path, *rest: (read.add(path.parent.name), real(path, *rest))[1])
    third = built.stage("third")
    assert isinstance(third, MapStage)
    make(built, third, inputs, InlineExecutor(), lambda line: None)
    assert read == {"third"}


def test_parts_without_an_index_are_read_as_those_with_one(tmp_path: Path) -> None:
    """Parts of earlier versions: their metadata stood in the schema, and there was no index."""
    one = stage("one")
    path = tmp_path / "part.parquet"
    parts.store(path, one, "me", [Case("", {})], [Fact("a", 1), Fact("a", 2), Fact("b", 3)])
    indexed = list(parts.index(path, one))
    metadata = {f"rrtf.{key}": value for key, value in tables.read_metadata(path).items() if key != "cases"}
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata(metadata), path)
    assert parts.finished(path)
    assert tables.read_metadata(path)["identity"] == "me"
    assert list(parts.index(path, one)) == indexed
    assert [(entry.key, entry.rows) for entry in indexed] == [("a", 2), ("b", 1)]
