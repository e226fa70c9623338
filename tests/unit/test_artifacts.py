"""Manifests, locks and the files of artefacts. What the runner does with them is tested in test_runner.py."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rrtf.engine import artifacts
from rrtf.engine.artifacts import Manifest, Part
from rrtf.errors import DataError, RecipeError

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
manifests = st.builds(
    Manifest,
    stage=texts, version=st.integers(), fingerprint=texts, digest=texts, identity=json_values, extent=json_values,
    inputs=st.dictionaries(texts, texts, max_size=2), parts=st.lists(st.builds(Part, texts, st.integers(0), texts), max_size=3).map(tuple),
    summary=json_values, notes=json_values, failures=st.lists(st.fixed_dictionaries({"key": texts, "reason": texts}), max_size=2).map(tuple),
    seconds=st.floats(0, 1e6), environment=st.dictionaries(texts, texts, max_size=2),
)  # fmt: skip

SOME = Manifest(
    stage="s", version=1, fingerprint="f", digest="d", identity=None, extent=None, inputs={}, parts=(Part("a", 2, "x"), Part("b", 3, "y")), summary=None,
    notes=None, failures=(), seconds=0.5, environment=artifacts.environment(),
)  # fmt: skip


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(manifest=manifests)
def test_manifests_come_back_as_they_went(manifest: Manifest, tmp_path: Path) -> None:
    artifacts.save_manifest(tmp_path, manifest)
    assert artifacts.load_manifest(tmp_path) == manifest


def test_a_manifest_counts_the_rows_of_its_parts_and_names_its_software(tmp_path: Path) -> None:
    assert SOME.rows == 5
    assert {"python", "system", "cpus", "rrtf", "pyarrow"} <= SOME.environment.keys()
    artifacts.save_manifest(tmp_path, SOME)
    assert json.loads((tmp_path / "manifest.json").read_text())["parts"][1] == {"file": "b", "rows": 3, "digest": "y"}
    assert artifacts.outputs(tmp_path) == [tmp_path / "a", tmp_path / "b"]


def test_a_folder_without_a_manifest_is_unfinished(tmp_path: Path) -> None:
    assert artifacts.load_manifest(tmp_path) is None
    assert artifacts.load_manifest(tmp_path / "nowhere") is None
    for ask in (artifacts.require_manifest, artifacts.outputs):
        with pytest.raises(DataError, match="holds no finished artefact") as caught:
            ask(tmp_path)
        assert "rrtf run" in caught.value.hint


def test_a_manifest_that_may_not_be_read_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(DataError, match=r"manifest\.json cannot be read \(Is a directory\)"):
        artifacts.load_manifest(tmp_path)


@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_json_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "x.json"
    artifacts.write_json(path, {"old": 1})

    def full(*args: object) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(*((os, "fsync", full) if step == "fsync" else (Path, "replace", full)))
    with pytest.raises(DataError, match=r"x\.json cannot be written \(Disk quota exceeded\)"):
        artifacts.write_json(path, {"new": 2})
    assert json.loads(path.read_text()) == {"old": 1}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}])
def test_numbers_that_are_no_json_are_not_written(tmp_path: Path, value: object) -> None:
    # DuckDB, browsers and jq would refuse the file.
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        artifacts.write_json(tmp_path / "x.json", value)
    assert not list(tmp_path.iterdir())


def test_file_digests_are_sha256(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert artifacts.file_digest(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_making_a_folder_sweeps_leftovers_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    artifacts.make_folder(folder)
    for name in (".part-1.parquet.77.tmp", ".keep", "part-1.parquet", "x.tmp"):
        (folder / name).write_text("x")
    artifacts.make_folder(folder)
    assert sorted(path.name for path in folder.iterdir()) == [".keep", "part-1.parquet", "x.tmp"]


def test_the_lock_is_given_back(tmp_path: Path) -> None:
    for _ in range(2):
        with artifacts.exclusive(tmp_path / "run"), pytest.raises(RecipeError, match=f"in use by process {os.getpid()}"), artifacts.exclusive(tmp_path / "run"):
            pass


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    program = f"import os, pathlib, signal, rrtf.engine.artifacts as a\nwith a.exclusive(pathlib.Path({str(tmp_path)!r})): os.kill(os.getpid(), signal.SIGKILL)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    with artifacts.exclusive(tmp_path):
        assert (tmp_path / ".lock").read_text() == str(os.getpid())


def test_a_directory_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"), artifacts.exclusive(tmp_path / "file" / "run"):
        pass


def test_unknown_fields_in_a_manifest_are_damage(tmp_path: Path) -> None:
    artifacts.save_manifest(tmp_path, replace(SOME, environment={}))
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "surprise": 1}))
    with pytest.raises(DataError, match="is damaged"):
        artifacts.load_manifest(tmp_path)
