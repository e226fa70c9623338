"""An endpoint that fails in every way we know of: nothing is lost, nothing comes twice, nothing is asked for twice, and requests stay bounded."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from endpoint_asking import SAMPLED, asking, config, lost_and_doubled, prompts, script

from rrtf.errors import EngineError
from rrtf.generation import loopback
from rrtf.generation.completion_store import CompletionStore
from rrtf.generation.loopback import FAULTS, Fault
from rrtf.protocols import Prompt, Sampling

CAUSES: dict[Fault, str] = {
    "429": "status 429",
    "429 for seconds": "status 429",
    "429 until a date": "status 429",
    "500": "status 500",
    "503": "status 503",
    "stall": "time-out",
    "reset": "connection lost",
    "truncated": "connection lost",
    "malformed": "malformed JSON",
    "no choices": "wrong count",
    "too few": "fewer choices",
    "too many": "wrong count",
}


@pytest.mark.parametrize("seeds", ["together", "each"])
@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_alone(fault: Fault, seeds: Any) -> None:
    asked = prompts(12)
    with loopback.serve(script, loopback.every(6, fault)) as server, asking(server, {"timeout_seconds": 0.4}, seeds=seeds) as engine:
        found = list(engine.generate(asked, SAMPLED))
        assert lost_and_doubled(asked, found) == (0, 0)
        if seeds == "each":
            assert {completion.text for completion in found} == {f"answer to question {number} by {seed}" for number in range(12) for seed in (0, 1)}
        happened = server.failed[fault]
        assert happened or (fault == "too few" and seeds == "each")
        assert engine.account.retries.get(CAUSES.get(fault, ""), 0) == (happened if fault != "no usage" else 0)
        assert engine.account.uncounted == (happened if fault == "no usage" else 0)
        assert engine.account.requests == server.requests == (24 if seeds == "each" else 12) + sum(engine.account.retries.values())
        assert engine.account.answers == 24


def test_a_burst_of_rate_limits() -> None:
    asked = prompts(20)
    with loopback.serve(script, loopback.burst(40, "429")) as server, asking(server) as engine:
        assert lost_and_doubled(asked, list(engine.generate(asked, SAMPLED))) == (0, 0)
        assert engine.account.retries == {"status 429": 40}
        assert server.requests == 60


def test_all_faults_together_over_500_prompts(tmp_path: Path) -> None:
    asked = prompts(500)
    kinds = tuple(kind for kind in FAULTS if kind != "429 until a date")  # its seconds are whole, and would be most of the test
    with loopback.serve(script, loopback.mixed(0.3, 7, *kinds)) as server, asking(server, {"timeout_seconds": 1.0, "cache": str(tmp_path)}) as engine:
        assert lost_and_doubled(asked, list(engine.generate(asked, SAMPLED))) == (0, 0)
        bad = sum(server.failed.values()) - server.failed["no usage"]
        assert set(server.failed) == set(kinds)
        # Each prompt once, and once more for each failure; a server that twice in a row gave one of two choices is asked for each by itself.
        assert server.requests <= 2 * 500 + bad
        assert engine.account.answers == 1000
    with loopback.serve(script) as server, asking(server, {"cache": str(tmp_path)}) as engine:
        assert lost_and_doubled(asked, list(engine.generate(asked, SAMPLED))) == (0, 0)
        assert server.requests == 0
        assert engine.account.known == 1000


CLIENT = """
import sys
from rrtf.generation import open_generator
from rrtf.generation.endpoints import EndpointHow, OpenAIConfig
from rrtf.protocols import Prompt, Sampling
url, cache = sys.argv[1:]
config = OpenAIConfig(base_url=url, seeds="each", how=EndpointHow(cache=cache, concurrency=4))
with open_generator(config, "fake") as engine:
    for found in engine.generate([Prompt(f"p{n}", f"question {n}", (0, 1), chat=True) for n in range(100)], Sampling(0.8, 0.95, 64)):
        print(found.key, flush=True)
"""


def test_a_client_that_is_killed_asks_only_for_the_rest(tmp_path: Path) -> None:
    asked = prompts(100)
    with loopback.serve(script, seconds=0.01) as server:
        client = subprocess.Popen([sys.executable, "-c", CLIENT, server.url, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert client.stdout is not None
        for _ in range(60):
            assert client.stdout.readline()
        client.send_signal(signal.SIGKILL)
        client.wait()
        client.stdout.close()
        store = CompletionStore(tmp_path)
        kept = store.count()
        store.close()
        assert 60 <= kept < 200
        before, given = server.requests, sum(server.given.values())
        assert given - kept <= 4 + 1  # no more than what was in flight
        with asking(server, {"cache": str(tmp_path)}, seeds="each") as engine:
            assert lost_and_doubled(asked, list(engine.generate(asked, SAMPLED))) == (0, 0)
            assert engine.account.known == kept
        assert server.requests - before == 200 - kept


def test_two_clients_at_once_read_the_same(tmp_path: Path) -> None:
    asked, found = prompts(30), dict[int, list[Any]]()
    with loopback.serve(script) as server:

        def client(number: int) -> None:
            with asking(server, {"cache": str(tmp_path)}) as engine:
                found[number] = sorted(engine.generate(asked, SAMPLED), key=lambda c: (c.key, c.index))

        threads = [threading.Thread(target=client, args=(number,)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found[0] == found[1]
    assert len(found[0]) == 60


@pytest.mark.parametrize("how", ["refused", "ignored"])
def test_a_server_without_n_is_found_out(how: Any) -> None:
    asked = prompts(10, seeds=range(5))
    with loopback.serve(script, n=how) as server, asking(server, {"concurrency": 2}) as engine:
        assert lost_and_doubled(asked, list(engine.generate(asked, SAMPLED))) == (0, 0)
        assert sum(body.get("n", 1) > 1 for body in server.bodies) <= 4  # the first few, and never again
        assert server.requests <= 50 + 4
        before = server.requests
        assert lost_and_doubled(asked, list(engine.generate(asked, Sampling(0.9, 1.0, 64)))) == (0, 0)
        assert server.requests - before == 50


def test_several_answers_go_together_and_only_missing_ones_are_asked_for() -> None:
    with loopback.serve(script) as server, asking(server, {"together_most": 4}) as engine:
        assert len(list(engine.generate(prompts(1, range(2)), SAMPLED))) == 2
        assert len(list(engine.generate(prompts(1, range(9)), SAMPLED))) == 9
        assert sorted(body.get("n", 1) for body in server.bodies) == [2, 3, 4]
        assert all(("seed" in body) == (body.get("n", 1) == 1) for body in server.bodies)


def test_equal_prompts_are_asked_once_and_greedy_ones_once_for_all_seeds() -> None:
    twins = [Prompt(name, "the same", (3, 3, 4), chat=True) for name in "ab"]
    with loopback.serve(script) as server, asking(server) as engine:
        assert lost_and_doubled(twins, list(engine.generate(twins, SAMPLED))) == (0, 0)
        assert [body["n"] for body in server.bodies] == [2]
        assert lost_and_doubled(twins, list(engine.generate(twins, Sampling(max_new_tokens=9)))) == (0, 0)
        assert server.requests == 2
        assert "seed" not in server.bodies[1]


def test_another_name_of_the_token_limit_is_found_out() -> None:
    with loopback.serve(script, limit_field="max_completion_tokens") as server, asking(server, {"concurrency": 1}) as engine:
        assert lost_and_doubled(prompts(5), list(engine.generate(prompts(5), SAMPLED))) == (0, 0)
        assert server.requests == 6
        assert engine.account.retries == {"name of the token limit": 1}


REFUSALS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"key": "right"}, {}, r"status 401.*key_env"),
    ({"model": "other"}, {}, r"status 404.*no model 'fake'"),
    ({"limit_field": "nothing"}, {}, r"status 400"),
]


@pytest.mark.parametrize(("server_is", "client_is", "said"), REFUSALS)
def test_what_no_new_try_mends_is_said_at_once(server_is: dict[str, Any], client_is: dict[str, Any], said: str) -> None:
    with loopback.serve(script, **server_is) as server, asking(server, {"concurrency": 1}, **client_is) as engine:
        with pytest.raises(EngineError, match=said) as raised:
            list(engine.generate(prompts(20), SAMPLED))
        assert raised.value.why
        assert raised.value.hint
        assert server.requests <= 3
        assert not engine.account.answers


def test_what_was_in_flight_is_taken_before_an_error_ends_it() -> None:
    asked = prompts(20, seeds=(0,))
    with loopback.serve(script, loopback.every(10**6), seconds=0.05) as server:
        server.faults = lambda number: "500" if number == 3 else None
        with asking(server, {"attempts": 1, "concurrency": 8}) as engine:
            found: list[Any] = []
            with pytest.raises(EngineError, match=r"no usable answer in 1 tries.*status 500"):
                found.extend(iter(engine.generate(asked, SAMPLED)))
            assert engine.account.answers == sum(server.given.values())
            assert 1 <= engine.account.answers < 19
            again = list(engine.generate(asked, SAMPLED))
            assert lost_and_doubled(asked, again) == (0, 0)
            assert server.requests == 21


def test_nobody_there_is_said_after_few_tries() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = loopback.Loopback(script, url=f"http://127.0.0.1:{port}/v1")
    with asking(server) as engine:
        with pytest.raises(EngineError, match=r"in 3 tries.*no connection.*is up"):
            list(engine.generate(prompts(1), SAMPLED))
        assert engine.account.requests == 3


def test_a_server_that_wants_to_be_left_alone_for_long() -> None:
    with loopback.serve(script, loopback.burst(9, "429 for seconds")) as server, asking(server, {"patience_seconds": 0.1}) as engine:
        with pytest.raises(EngineError, match=r"left alone.*Run the same command again later"):
            list(engine.generate(prompts(3), SAMPLED))
        assert server.requests <= 3


@pytest.mark.parametrize("budget", [{"budget_tokens": 200}, {"budget_money": 0.0002, "money_per_million_in": 1.0, "money_per_million_out": 1.0}])
def test_a_budget_stops_cleanly_and_the_next_run_goes_on(budget: dict[str, Any], tmp_path: Path) -> None:
    asked = prompts(60)
    with loopback.serve(script, seconds=0.01) as server:
        with asking(server, {**budget, "concurrency": 4, "cache": str(tmp_path), "log": str(tmp_path / "log.jsonl")}) as engine:
            with pytest.raises(EngineError, match=r"budget .* is used up") as raised:
                list(engine.generate(asked, SAMPLED))
            taken = engine.account.answers
            assert taken == sum(server.given.values())
            left = 120 - taken
            assert f"{left} answers" in raised.value.message
            spent = engine.account.prompt_tokens + engine.account.completion_tokens
            assert 200 <= spent <= 200 + 4 * 50  # at most what was in flight
            with pytest.raises(EngineError, match="used up"):
                list(engine.generate(asked, SAMPLED))
            assert engine.account.answers == taken  # nothing new is asked
        with asking(server, {"cache": str(tmp_path)}) as engine:
            assert lost_and_doubled(asked, list(engine.generate(asked, SAMPLED))) == (0, 0)
            assert engine.account.answers == left
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["event"] for row in rows[-1:]] == ["closed"]
    assert rows[-1]["answers"] == taken
    assert rows[-2]["money"] == rows[-1]["money"]
    assert sum(row["came"] for row in rows if row["event"] == "answered") == taken


def test_whoever_stops_listening_ends_the_asking() -> None:
    with loopback.serve(script, seconds=0.02) as server, asking(server, {"concurrency": 2}) as engine:
        found = engine.generate(prompts(200), SAMPLED)
        next(iter(found))
        stop: Callable[[], None] = found.close  # type: ignore[attr-defined]
        stop()
        assert server.requests < 200
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("rrtf-endpoint")]


def test_a_config_may_be_used_for_several_kinds_of_prompts() -> None:
    both = [Prompt("text", "def f():", (0,)), Prompt("message", "Write f.", (0,), chat=True)]
    with loopback.serve(script) as server:
        with asking(server) as engine:
            assert lost_and_doubled(both, list(engine.generate(both, SAMPLED))) == (0, 0)
        assert sorted("messages" in body for body in server.bodies) == [False, True]
        with asking(server, api="completions") as engine, pytest.raises(EngineError, match="'message' is a message"):
            list(engine.generate(both, SAMPLED))
        assert config(server, api="chat").identity()["api"] == "chat"


def test_a_script_that_fails_is_no_fault_of_the_server() -> None:
    def script(asked: loopback.Asked) -> str:
        raise LookupError(asked.text)

    def ask() -> None:
        with loopback.serve(script) as server, asking(server) as engine:
            with pytest.raises(EngineError, match="script failed"):
                list(engine.generate(prompts(1), SAMPLED))
            assert server.requests <= 3

    with pytest.raises(LookupError, match="question 0"):
        ask()
