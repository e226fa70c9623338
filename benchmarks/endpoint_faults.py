"""Ask a loopback endpoint that fails in every way we know of, and count what was lost, doubled, or asked for twice: the table in docs/results/endpoints.md.

`python benchmarks/endpoint_faults.py [PROMPTS]`; two answers per prompt, each a request of its own, so that every request counts (but for `too few`, which
takes a request for both). Not here: speed, which is the server's.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Literal

from rrtf.generation import loopback, open_generator
from rrtf.generation.completion_store import CompletionStore
from rrtf.generation.endpoints import EndpointHow, OpenAIConfig
from rrtf.generation.loopback import FAULTS, Asked, Faults
from rrtf.generation.openai import OpenAIGenerator
from rrtf.protocols import Prompt, Sampling

ANSWERS = 2
SAMPLING = Sampling(temperature=0.8, top_p=0.95, max_new_tokens=64)
CLIENT = (
    "import sys; from pathlib import Path; sys.path.insert(0, str(Path({0!r}).parent)); import endpoint_faults as e; e.client(sys.argv[1], sys.argv[2], {1})"
)


def script(asked: Asked) -> str:
    """An answer that names its question and its seed."""
    return f"answer to {asked.text} by {asked.seed}"


def prompts(count: int) -> list[Prompt]:
    """So many different messages."""
    return [Prompt(f"p{number}", f"question {number}", tuple(range(ANSWERS)), chat=True) for number in range(count)]


def ask(url: str, cache: str, count: int, seeds: Literal["together", "each"] = "each") -> tuple[OpenAIGenerator, Counter[tuple[str, int]], int]:
    """The engine that asked, how often each completion came, and how many texts are not those of their prompt and seed."""
    how = EndpointHow(cache=cache, timeout_seconds=8.0, backoff_seconds=0.02, backoff_most_seconds=0.5, attempts=30)
    wrong, found = 0, Counter[tuple[str, int]]()
    with open_generator(OpenAIConfig(base_url=url, seeds=seeds, how=how), "fake") as engine:
        assert isinstance(engine, OpenAIGenerator)
        for completion in engine.generate(prompts(count), SAMPLING):
            found[completion.key, completion.index] += 1
            wrong += completion.text != f"answer to question {completion.key[1:]} by {completion.index}"
    return engine, found, wrong


def client(url: str, cache: str, count: int) -> None:
    """A process to be killed."""
    ask(url, cache, count)


def row(name: str, faults: Faults, count: int, seeds: Literal["together", "each"] = "each") -> str:
    """One line of the table."""
    with tempfile.TemporaryDirectory() as cache, loopback.serve(script, faults) as server:
        engine, found, wrong = ask(server.url, cache, count, seeds)
    answers, retries = count * ANSWERS, sum(engine.account.retries.values())
    lost, doubled = answers - len(found), sum(found.values()) - len(found)
    twice = sum(times - 1 for times in server.given.values())
    failed = sum(server.failed.values())
    return f"| {name} | {count} | {answers} | {server.requests} | {failed} | {retries} | {lost} | {doubled} | {wrong} | {twice} |"


def killed(count: int) -> str:
    """The line of a client that is killed twice half-way."""
    with tempfile.TemporaryDirectory() as cache, loopback.serve(script, seconds=0.01) as server:
        code = CLIENT.format(__file__, count)
        for part in (1, 2):
            process = subprocess.Popen([sys.executable, "-c", code, server.url, cache])
            while server.requests < part * count * ANSWERS // 3:
                server.closing.wait(0.01)
            process.kill()
            process.wait()
        store = CompletionStore(Path(cache))
        kept = store.count()
        store.close()
        before = server.requests
        _, found, wrong = ask(server.url, cache, count)
        answers = count * ANSWERS
        lost, doubled, twice = answers - len(found), sum(found.values()) - len(found), sum(times - 1 for times in server.given.values())
        assert server.requests - before == answers - kept
    name = f"client killed twice (-9); {kept} answers kept, {answers - kept} asked for afterwards"
    return f"| {name} | {count} | {answers} | {server.requests} | 0 | 0 | {lost} | {doubled} | {wrong} | {twice} |"


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    print("| fault | prompts | answers | requests | failed | tried again | lost | doubled | wrong | paid twice |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    print(row("none", loopback.no_faults, count), flush=True)
    for fault in FAULTS:
        print(row(f"1 in 20: {fault}", loopback.every(20, fault), count, "together" if fault == "too few" else "each"), flush=True)
    print(row("bursts: the first 40 of every 200 are 429", loopback.burst(40, "429", 200), count), flush=True)
    print(row("bursts: the first 40 of every 200 are 429 with Retry-After", loopback.burst(40, "429 for seconds", 200), count), flush=True)
    print(row("all of them at random, 3 in 10", loopback.mixed(0.3, 7), count), flush=True)
    print(killed(count), flush=True)


if __name__ == "__main__":
    main()
