"""The store of verdicts: what goes wrong with its file costs what it would have saved and a sentence, never a verdict, and never a wrong one."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrtf import sqlite_files, verdict_store
from rrtf.records import Outcome, Verdict
from rrtf.sqlite_files import folder_of
from rrtf.verdict_store import FILE, VerdictStore, verdict_content, verdict_from

CONTENT = {"outcome": "PASSED", "tests": [["passed", 3]], "cause": "", "cpu_seconds": 0.5, "wall_seconds": 1.0, "peak_mb": 2.0}
OTHER = {**CONTENT, "outcome": "PARTIAL"}


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def opened(tmp_path: Path, said: list[str]) -> Callable[[], VerdictStore]:
    return lambda: VerdictStore(tmp_path, said.append)


def put(store: VerdictStore, address: str = "a") -> None:
    store.keep_verdict(address, CONTENT)


def works_by_itself(store: VerdictStore) -> None:
    """A store without its file still remembers for as long as it is open."""
    put(store, "only here")
    found = store.verdict("only here")
    assert found is not None
    assert (found.content, found.earlier) == (CONTENT, False)
    store.close()


def test_what_was_kept_is_found_by_whoever_opens_it_next(opened: Callable[[], VerdictStore], said: list[str]) -> None:
    store = opened()
    put(store)
    store.keep_timing("a", {"cpu_seconds": 1.5})
    found = store.verdict("a")
    assert found is not None
    assert not found.earlier
    store.close()
    later = opened()
    found = later.verdict("a")
    assert found is not None
    assert (found.content, found.earlier) == (CONTENT, True)
    assert later.verdict("b") is None
    timed = later.timing("a")
    assert timed is not None
    assert timed.content == {"cpu_seconds": 1.5}
    later.close()
    assert said == []


def test_the_first_verdict_stays(opened: Callable[[], VerdictStore]) -> None:
    one, other = opened(), opened()
    put(one)
    other.keep_verdict("a", OTHER)
    for store in (one, other):
        found = store.verdict("a")
        assert found is not None
        assert found.content == CONTENT
        store.close()


def test_nothing_is_left_of_a_store_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert folder_of("none") is None
    assert folder_of("default") == tmp_path / "cache" / "rrtf"
    assert folder_of(str(tmp_path)) == tmp_path
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folder_of("default") == tmp_path / ".cache" / "rrtf"
    works_by_itself(VerdictStore(None, pytest.fail))
    assert list(tmp_path.iterdir()) == []


STATUSES = st.lists(st.sampled_from(["passed", "wrong", "raised", "timeout", "memory", "crashed", "not-run"]))


@given(st.sampled_from(Outcome), STATUSES, st.text(), st.floats(0, 1e6))
def test_a_verdict_comes_back_as_it_was(outcome: Outcome, tests: list[str], cause: str, seconds: float) -> None:
    verdict = Verdict(
        problem_id="p",
        response_id="r",
        outcome=outcome,
        tests=tuple(tests),  # pyright: ignore[reportArgumentType]
        cause=cause,
        cpu_seconds=seconds,
        wall_seconds=seconds,
        peak_mb=1.0,
    )
    store = VerdictStore(None, pytest.fail)
    store.keep_verdict("a", verdict_content(verdict))
    found = store.verdict("a")
    assert found is not None
    assert verdict_from(found.content, "p", "r") == verdict
    store.close()


def test_a_row_that_was_changed_is_owed_again(tmp_path: Path, opened: Callable[[], VerdictStore]) -> None:
    store = opened()
    put(store)
    with sqlite3.connect(tmp_path / FILE) as file:
        file.execute("UPDATE verdicts SET content = replace(content, 'PASSED', 'PARTIAL')")
    file.close()
    assert store.verdict("a") is None
    put(store)
    found = store.verdict("a")
    assert found is not None
    assert found.content == CONTENT
    store.close()


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE verdicts (whatever)")
    file.close()


def later(path: Path) -> None:
    with sqlite3.connect(path) as file:
        file.execute(f"PRAGMA application_id = {verdict_store._APPLICATION}")
        file.execute("PRAGMA user_version = 99")
    file.close()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.write_bytes(b"not a database, but long enough to look like something" * 100), "file is not a database"),
        (foreign, "it is a database of something else"),
        (later, "written by a later version"),
        (lambda path: path.mkdir(), "unable to open"),
    ],
)
def test_a_file_that_is_not_ours_is_left_alone(
    tmp_path: Path, opened: Callable[[], VerdictStore], said: list[str], spoil: Callable[[Path], object], reason: str
) -> None:
    spoil(tmp_path / FILE)
    before = None if (tmp_path / FILE).is_dir() else (tmp_path / FILE).read_bytes()
    works_by_itself(opened())
    assert len(said) == 1
    assert reason in said[0]
    assert str(tmp_path) in said[0]
    assert before is None or (tmp_path / FILE).read_bytes() == before


def test_damage_that_shows_later_costs_a_sentence(tmp_path: Path, opened: Callable[[], VerdictStore], said: list[str]) -> None:
    store = opened()
    for number in range(2000):
        put(store, f"{number}")
    store.close()
    size = (tmp_path / FILE).stat().st_size
    with (tmp_path / FILE).open("r+b") as file:
        file.seek(8192)
        file.write(os.urandom(size - 8192))
    store = opened()
    found = [store.verdict(f"{number}") for number in range(2000)]
    assert None in found
    assert all(one is None or one.content == CONTENT for one in found)
    assert len(said) == 1
    works_by_itself(store)


def test_a_place_that_cannot_be_written(tmp_path: Path, said: list[str]) -> None:
    (tmp_path / "file").write_text("")
    works_by_itself(VerdictStore(tmp_path / "file" / "folder", said.append))
    assert len(said) == 1
    assert "Judging goes on without it" in said[0]


def test_a_full_disk_in_the_middle(opened: Callable[[], VerdictStore], said: list[str]) -> None:
    store = opened()
    assert store._file is not None
    (pages,) = store._file.execute("PRAGMA page_count").fetchone()
    store._file.execute(f"PRAGMA max_page_count = {pages + 4}")  # what SQLite then says is what it says of a full disk
    for number in range(500):
        put(store, f"{number}")
    assert len(said) == 1
    assert "disk is full" in said[0]
    assert store.verdict("499") is not None
    works_by_itself(store)


def test_a_file_system_without_locks(opened: Callable[[], VerdictStore], said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object) -> None:
        error = sqlite3.OperationalError("locking protocol")
        error.sqlite_errorcode = sqlite3.SQLITE_PROTOCOL
        raise error

    monkeypatch.setattr(sqlite_files, "_claim", refuses)
    works_by_itself(opened())
    assert len(said) == 1
    assert "locking protocol" in said[0]


def test_where_nothing_at_all_can_be_written_nothing_is_remembered(tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(_: str) -> sqlite3.Connection:
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(verdict_store, "temporary", refuses)
    (tmp_path / "file").write_text("")
    store = VerdictStore(tmp_path / "file" / "folder", said.append)
    put(store)
    assert store.verdict("a") is None
    store.close()


WRITER = """
import sys
from pathlib import Path
from rrtf.verdict_store import VerdictStore
folder, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
store = VerdictStore(folder, lambda line: sys.exit(line))
for number in range(count):
    store.keep_verdict(f"shared {number}", {"by": "anybody"})
    store.keep_verdict(f"{name} {number}", {"by": name})
    print(number, flush=True)
"""


def writer(folder: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", WRITER, str(folder), name, str(count)], stdout=subprocess.PIPE, text=True)


def test_several_writers_at_once(tmp_path: Path, opened: Callable[[], VerdictStore], said: list[str]) -> None:
    names = ("one", "two", "three")
    running = [writer(tmp_path, name, 200) for name in names]
    for process in running:
        process.communicate(timeout=120)
    assert [process.returncode for process in running] == [0, 0, 0]
    store = opened()
    for name in (*names, "shared"):
        found = [store.verdict(f"{name} {number}") for number in range(200)]
        assert [one and one.content["by"] for one in found] == ["anybody" if name == "shared" else name] * 200
    store.close()
    assert said == []


def test_a_killed_writer_loses_nothing_that_it_kept(tmp_path: Path, opened: Callable[[], VerdictStore], said: list[str]) -> None:
    process = writer(tmp_path, "one", 100_000)
    assert process.stdout is not None
    for _ in range(50):
        last = int(process.stdout.readline())
    os.kill(process.pid, signal.SIGKILL)
    rest, _ = process.communicate(timeout=60)
    last = max([last, *map(int, rest.split("\n")[:-1])])
    store = opened()
    assert all(store.verdict(f"one {number}") for number in range(last + 1))
    put(store)
    assert store.verdict("a") is not None
    store.close()
    assert said == []
