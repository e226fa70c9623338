"""What is said about an endpoint: what bears identity, that keys stay in the environment, and the store of answers."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from endpoint_asking import SAMPLED, asking, prompts, script

from rrtf import generation
from rrtf.errors import DataError, EngineError
from rrtf.generation import loopback
from rrtf.generation.accounts import Journal
from rrtf.generation.completion_store import FILE, Answer, CompletionStore, address
from rrtf.generation.endpoints import EndpointHow, OpenAIConfig, endpoint_revision, key_of
from rrtf.protocols import Prompt, Sampling

KEY = "sk-proj-Zx81kkQ7secret"


def config(base_url: str = "http://localhost:8000/v1", **settings: Any) -> OpenAIConfig:
    return OpenAIConfig(base_url=base_url, **settings)


def test_where_and_how_fast_bear_no_identity_and_what_is_asked_does() -> None:
    plain = config()
    moved = config("http://localhost:9000/v1", key_env="KEY", how=EndpointHow(concurrency=3, cache="none", log="x", attempts=2))
    assert generation.identity(plain) == generation.identity(moved)
    assert endpoint_revision(plain) == endpoint_revision(moved) == "endpoint:loopback"
    others: list[dict[str, Any]] = [
        {"api": "chat"},
        {"prefill": "continue"},
        {"seeds": "each"},
        {"reasoning": "keep"},
        {"omit": ("seed",)},
        {"extra": {"top_k": 1}},
        {"revision": "x"},
    ]
    found = [generation.identity(config(**other)) for other in others]
    assert generation.identity(plain) not in found
    assert set(OpenAIConfig.model_fields) == {"engine", "base_url", "key_env", "how"} | {next(iter(other)) for other in others}


def test_the_host_stands_for_weights_nothing_is_known_of() -> None:
    assert endpoint_revision(config("https://api.example.com/v1")) == "endpoint:api.example.com"
    assert endpoint_revision(config("https://api.example.com/v1", revision="2026-05, fp8")) == "2026-05, fp8"
    assert generation.revision(config("https://a.example.com:8000/v1"), "m") == "endpoint:a.example.com"


@pytest.mark.parametrize(
    "settings",
    [
        {"key_env": KEY},
        {"key_env": "sk_lowercase"},
        {"base_url": f"https://user:{KEY}@api.example.com/v1"},
        {"base_url": f"https://api.example.com/v1?key={KEY}"},
        {"base_url": f"https://api.example.com/v1#{KEY}"},
    ],
)
def test_what_may_be_a_key_is_refused_without_being_repeated(settings: dict[str, str]) -> None:
    with pytest.raises(EngineError) as raised:
        endpoint_revision(config(**settings))
    assert KEY not in str(raised.value)
    assert "sk_" not in str(raised.value)
    assert "it is not repeated here" in raised.value.why
    assert "key_env" in raised.value.hint


@pytest.mark.parametrize("base_url", ["localhost:8000", "ftp://x/v1", "", "http://", "http://[::1/v1", "http://h:port/v1"])
def test_no_address(base_url: str) -> None:
    with pytest.raises(EngineError, match="no http address"):
        endpoint_revision(config(base_url))


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert key_of(config()) == ""
    monkeypatch.delenv("TEST_KEY", raising=False)
    with pytest.raises(EngineError, match="variable TEST_KEY is not set"):
        key_of(config(key_env="TEST_KEY"))
    monkeypatch.setenv("TEST_KEY", f" {KEY}\n")
    assert key_of(config(key_env="TEST_KEY")) == KEY
    monkeypatch.setenv("TEST_KEY", f"{KEY}\nX-Other: 1")
    with pytest.raises(EngineError, match="characters that no key has") as raised:
        key_of(config(key_env="TEST_KEY"))
    assert KEY not in str(raised.value)


def test_a_key_is_sent_and_not_repeated_when_the_server_repeats_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)
    log = {"log": str(tmp_path / "log.jsonl"), "cache": str(tmp_path)}
    with loopback.serve(script, key=KEY) as server, asking(server, log, key_env="TEST_KEY") as engine:
        assert len(list(engine.generate(prompts(3), SAMPLED))) == 6
    with loopback.serve(script, key="another") as server, asking(server, log, key_env="TEST_KEY") as engine:
        with pytest.raises(EngineError, match=r"status 401.*\(the key\).*environment variable TEST_KEY") as raised:
            list(engine.generate(prompts(9), SAMPLED))
        assert KEY not in str(raised.value)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"answered" in written
    assert KEY.encode() not in written
    assert b"question" not in (tmp_path / "log.jsonl").read_bytes()
    assert b"answer to" not in (tmp_path / "log.jsonl").read_bytes()


def test_a_budget_of_money_needs_prices() -> None:
    with pytest.raises(ValueError, match="budget_money needs a price"):
        EndpointHow(budget_money=3)
    assert EndpointHow(budget_money=3, money_per_million_out=1).budget_money == 3


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"how\.log"):
        Journal(str(tmp_path / "file" / "log"))


PROMPT, SAMPLING = Prompt("k", "text", (1, 2), chat=True, prefill="x"), Sampling(0.8, 0.9, 20, ("a", "b"))


def test_an_address_follows_from_everything_that_decides_an_answer_and_from_nothing_else() -> None:
    usual = address(["e"], PROMPT, SAMPLING, 1)
    assert usual == address(["e"], Prompt("other key", "text", (7,), chat=True, prefill="x"), SAMPLING, 1)
    different = [
        address(["other"], PROMPT, SAMPLING, 1),
        address(["e"], PROMPT, SAMPLING, 2),
        address(["e"], Prompt("k", "text", (1,), chat=False, prefill="x"), SAMPLING, 1),
        address(["e"], Prompt("k", "texts", (1,), chat=True, prefill="x"), SAMPLING, 1),
        address(["e"], Prompt("k", "text", (1,), chat=True), SAMPLING, 1),
        address(["e"], PROMPT, Sampling(0.7, 0.9, 20, ("a", "b")), 1),
        address(["e"], PROMPT, Sampling(0.8, 0.8, 20, ("a", "b")), 1),
        address(["e"], PROMPT, Sampling(0.8, 0.9, 21, ("a", "b")), 1),
        address(["e"], PROMPT, Sampling(0.8, 0.9, 20, ("ab",)), 1),
    ]
    assert len({usual, *different}) == 10
    greedy = Sampling(0.0, 0.9, 20)
    assert address(["e"], PROMPT, greedy, 1) == address(["e"], PROMPT, greedy, 2)


ANSWER = Answer("text \x00 é", "length", 3, 4)


def test_what_is_kept_is_there_for_everybody(tmp_path: Path) -> None:
    first, second = CompletionStore(tmp_path), CompletionStore(tmp_path)
    assert first.get("a") is None
    assert first.keep("a", ANSWER) == ANSWER
    assert second.get("a") == ANSWER
    assert second.keep("a", Answer("later", "stop", 1, 1)) == ANSWER  # everybody reads the same
    first.close()
    second.close()
    third = CompletionStore(tmp_path)
    assert (third.count(), third.get("a")) == (1, ANSWER)
    third.close()


def test_a_damaged_answer_is_asked_for_again(tmp_path: Path) -> None:
    store = CompletionStore(tmp_path)
    store.keep("a", ANSWER)
    with sqlite3.connect(tmp_path / FILE) as file:
        file.execute("UPDATE completions SET content = replace(content, 'text', 'next')")
    file.close()
    assert store.get("a") is None
    assert store.keep("a", ANSWER) == ANSWER
    store.close()


@pytest.mark.parametrize("spoiled", ["a folder that is a file", "not a database", "somebody else's"])
def test_a_store_that_cannot_be_used_ends_it_before_anything_is_paid_for(spoiled: str, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    if spoiled == "a folder that is a file":
        folder.write_text("")
    else:
        folder.mkdir()
        if spoiled == "not a database":
            (folder / FILE).write_bytes(b"not a database, but long enough to look like something" * 100)
        else:
            with sqlite3.connect(folder / FILE) as file:
                file.execute("CREATE TABLE something (whatever)")
            file.close()
    with loopback.serve(script) as server:
        with pytest.raises(EngineError, match=r"how\.cache"), asking(server, {"cache": str(folder)}) as engine:
            list(engine.generate(prompts(1), SAMPLED))
        assert server.requests == 0


def test_without_the_extra_there_is_a_sentence() -> None:
    code = (
        "import sys; sys.modules['httpx2'] = None\n"
        "from rrtf.errors import EngineError\n"
        "from rrtf.generation import OpenAIConfig, open_generator\n"
        "try:\n"
        "    with open_generator(OpenAIConfig(base_url='http://localhost:1/v1'), 'm'): pass\n"
        "except EngineError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'rrtf[openai]'" in done.stdout
