"""Seed problems: rows of other people's formats, and those that are set aside."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rrtf import recipe
from rrtf.errors import DataError, RecipeError
from rrtf.seeds import SeedsConfig, read

ROWS = [
    {"instruction": "Write a function that adds two numbers.", "input": "", "output": "def add(a, b): return a + b"},
    {"instruction": "Sort the list.", "input": "[3, 1, 2]", "output": "sorted([3, 1, 2])"},
    {"instruction": "", "input": "", "output": ""},
    {"instruction": 7},
    "no row",
    {"instruction": "Write a function that adds two numbers.", "input": "<noinput>", "output": "again"},
    {"instruction": "Half \ud800 of a letter"},
]


def _written(tmp_path, form):
    path = tmp_path / ("seeds.json" if form == "list" else "seeds.jsonl.gz" if form == "gzip" else "seeds.jsonl")
    text = json.dumps(ROWS) if form == "list" else "".join(f"{json.dumps(row)}\n" for row in ROWS)
    path.write_bytes(gzip.compress(text.encode()) if form == "gzip" else text.encode())
    return path


@pytest.mark.parametrize("form", ["lines", "list", "gzip"])
def test_codealpaca_and_what_is_set_aside(tmp_path, form):
    found = list(read(SeedsConfig(source=str(_written(tmp_path, form)), format="alpaca")))
    used = [seed.problem for seed in found if seed.problem]
    assert [problem.instruction for problem in used] == ["Write a function that adds two numbers.", "Sort the list.\n\n[3, 1, 2]"]
    assert [problem.tests for problem in used] == [(), ()]
    assert len(found) == len(ROWS), "nothing is silently dropped"
    reasons = [seed.dropped for seed in found if not seed.problem]
    for reason, words in zip(reasons, ["no text in 'instruction'", "7 in 'instruction'", "not a JSON object", "repeats", "surrogate"], strict=True):
        assert words in reason
        assert str(tmp_path) in reason
        assert ("entry " if form == "list" else "line ") in reason
    assert len({seed.key for seed in found}) == len(found)


def test_a_broken_line_is_one_row(tmp_path):
    path = tmp_path / "seeds.jsonl"
    path.write_text('{"instruction": "Add."}\n{"instruc\n{"instruction": "Subtract."}\n')
    found = list(read(SeedsConfig(source=str(path), format="alpaca")))
    assert [bool(seed.problem) for seed in found] == [True, False, True]
    assert "line 2 is not JSON" in found[1].dropped


def test_named_columns_of_a_parquet_file(tmp_path):
    path = tmp_path / "seeds.parquet"
    rows = [{"id": "a", "question": "Double x.", "solution": "def f(x):\n    return 2 * x\n"}, {"id": "b", "question": "Halve x.", "solution": "def f(x:"}]
    pq.write_table(pa.Table.from_pylist(rows), path)
    columns = {"instruction": "question", "name": "id", "reference": "solution"}
    first, second = read(SeedsConfig(source=str(path), format="columns", columns=columns))
    assert first.problem is not None
    assert (first.problem.name, first.problem.reference) == ("a", rows[0]["solution"].strip())
    assert second.problem is None
    assert "row 2" in second.dropped
    assert "not valid Python" in second.dropped


def test_columns_need_an_instruction(tmp_path):
    with pytest.raises(RecipeError, match="'instruction'"):
        list(read(SeedsConfig(source=str(tmp_path), format="columns")))


def test_the_starter_problems_and_a_limit():
    found = list(read(SeedsConfig(limit=5)))
    assert len(found) == 5
    assert all(seed.problem and seed.problem.tests and seed.problem.split == "train" for seed in found)


def test_formats_of_convert(tmp_path):
    path = tmp_path / "mbpp.jsonl"
    good = {"task_id": 601, "text": "Write a function to add.", "code": "def add(a, b):\n    return a + b", "test_list": ["assert add(1, 2) == 3"]}
    path.write_text(f"{json.dumps(good)}\n{json.dumps({**good, 'task_id': 602, 'code': 'def'})}\n")
    first, second = read(SeedsConfig(source=str(path), format="mbpp"))
    assert first.problem is not None
    assert first.problem.entry_point == "add"
    assert "line 2" in second.dropped


def test_no_file_is_a_sentence(tmp_path):
    with pytest.raises(DataError, match="There is no file"):
        list(read(SeedsConfig(source=str(tmp_path / "none.jsonl"), format="alpaca")))


# Data sets of the hub: its client is replaced, since no test may depend on a network.


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The hub's cache with one data set of two files, and what was asked for."""
    folder, asked = tmp_path / "cache" / "0123abcd", []
    for number, rows in enumerate([[{"instruction": "Sort a list."}, {"instruction": ""}], [{"instruction": "Reverse a list."}]]):
        path = folder / "default" / "train" / f"{number:04d}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), path)

    def download(name, **given):
        asked.append((name, given))
        if name == "nobody/nothing" or (name == "away/now" and not given.get("local_files_only")):
            raise ConnectionError("no route")
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    return asked


def test_a_data_set_of_the_hub_is_read_by_id(hub):
    found = list(read(SeedsConfig(source="hub:owner/name", format="alpaca")))
    assert [row.problem.instruction if row.problem else row.dropped for row in found] == [
        "Sort a list.",
        "hub:owner/name default/train/0000.parquet, row 2 has no text in 'instruction'.",
        "Reverse a list.",
    ]
    assert len({row.problem.name for row in found if row.problem}) == 2
    ((name, given),) = hub
    assert (name, given["repo_type"], given["revision"]) == ("owner/name", "dataset", "refs/convert/parquet")


def test_without_a_network_what_was_downloaded_is_read(hub):
    assert len(list(read(SeedsConfig(source="hub:away/now", format="alpaca")))) == 3


@pytest.mark.parametrize(
    ("source", "split", "words"),
    [
        ("hub:nobody/nothing", "train", r"The hub did not give the data set 'nobody/nothing' \(ConnectionError: no route\)"),
        ("hub:owner/name", "test", "The data set 'owner/name' has no rows under default/test"),
    ],
)
def test_what_the_hub_does_not_give_is_a_sentence(hub, source, split, words):
    with pytest.raises(DataError, match=words):
        list(read(SeedsConfig(source=source, split=split, format="alpaca")))


def test_a_hub_source_is_no_path(tmp_path):
    (tmp_path / "r.toml").write_text('[evolve]\nmodel = "m"\nseeds = { source = "hub:owner/name", format = "alpaca" }\n')
    assert recipe.load(tmp_path / "r.toml").evolve.seeds.source == "hub:owner/name"
