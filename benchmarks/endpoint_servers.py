"""What of the `openai` engine's promises a real server keeps: one line per question, for docs/results/endpoints.md.

    python benchmarks/endpoint_servers.py http://127.0.0.1:8000/v1 MODEL --prefill continue

The server is started beforehand, by whoever runs this. Not here: speed, and servers that fail (`endpoint_faults.py`).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rrtf.errors import EngineError
from rrtf.generation import OpenAIConfig, open_generator
from rrtf.generation.endpoints import EndpointHow
from rrtf.protocols import Prompt, Sampling
from rrtf.records import Completion

TASKS = ("adds two numbers", "reverses a string", "counts vowels", "finds the largest item", "checks for a prime", "joins words with commas")
RAW = [Prompt(f"raw {number}", f'def f(x):\n    """A function that {task}."""\n', (0, 1, 2)) for number, task in enumerate(TASKS)]
CHAT = [Prompt(f"chat {number}", f"Write a Python function that {task}.", (0, 1, 2), chat=True, prefill="```python\n") for number, task in enumerate(TASKS)]
GREEDY = Sampling(max_new_tokens=24)
STOPS = ("return", "\n\n")
DRAWN = Sampling(temperature=0.8, top_p=0.95, max_new_tokens=24)


class Server:
    """A server under examination."""

    def __init__(self, url: str, model: str, prefill: Any, timeout: float) -> None:
        self.url, self.model, self.prefill, self.timeout = url, model, prefill, timeout

    @contextmanager
    def opened(self, concurrency: int = 8, **settings: Any) -> Iterator[Any]:
        """The engine over it, remembering nothing."""
        how = EndpointHow(cache="none", concurrency=concurrency, timeout_seconds=self.timeout)
        with open_generator(OpenAIConfig(base_url=self.url, prefill=self.prefill, how=how, **settings), self.model) as generator:
            yield generator

    def asked(self, prompts: list[Prompt], sampling: Sampling, concurrency: int = 8, **settings: Any) -> dict[tuple[str, int], Completion]:
        """Answers to the prompts, by key and position."""
        with self.opened(concurrency, **settings) as generator:
            return {(found.key, found.index): found for found in generator.generate(prompts, sampling)}


def same(first: dict[Any, Completion], second: dict[Any, Completion]) -> str:
    """How many of the answers are the same."""
    return f"{sum(first[key].text == second[key].text for key in first)} of {len(first)} the same"


def every_answer(server: Server) -> str:
    """Every answer, once."""
    found = [*server.asked(RAW, DRAWN).values(), *server.asked(CHAT, DRAWN).values()]
    return f"{len(found)} of {3 * len(RAW) + 3 * len(CHAT)}"


def several_at_once(server: Server) -> str:
    """Several answers of one request (`n`)."""
    with server.opened() as generator:
        found = {(c.key, c.index): c.text for c in generator.generate(RAW, DRAWN)}
        distinct = len({(key, text) for (key, _), text in found.items()})
        return f"{generator.account.requests} requests for {len(found)} answers, {distinct} of them distinct"


def one_seed(server: Server) -> str:
    """The same seed again."""
    return same(server.asked(RAW, DRAWN, seeds="each"), server.asked(RAW, DRAWN, seeds="each"))


def one_seed_alone(server: Server) -> str:
    """The same seed again, alone."""
    return same(server.asked(RAW, DRAWN, seeds="each"), server.asked(RAW, DRAWN, concurrency=1, seeds="each"))


def other_seeds(server: Server) -> str:
    """Other seeds."""
    found = server.asked(RAW, DRAWN, seeds="each")
    return f"{len({(key, c.text) for (key, _), c in found.items()})} of {len(found)} distinct"


def greedy(server: Server) -> str:
    """Greedy, eight at once and alone."""
    return same(server.asked(RAW, GREEDY), server.asked(RAW, GREEDY, concurrency=1))


def token_limit(server: Server) -> str:
    """The token limit."""
    found = [c for c in server.asked(RAW, Sampling(max_new_tokens=5)).values() if c.stop == "length"]
    return f"{sum(c.completion_tokens == 5 for c in found)} of {len(found)} cut answers have the limit's 5 tokens"


def stop_strings(server: Server) -> str:
    """Stop strings."""
    free, stopped = server.asked(RAW, GREEDY), server.asked(RAW, Sampling(max_new_tokens=24, stop=STOPS))
    held = sum(not any(stop in c.text for stop in STOPS) and free[key].text.startswith(c.text) for key, c in stopped.items())
    saved = sum(c.completion_tokens for c in free.values()) - sum(c.completion_tokens for c in stopped.values())
    return f"{held} of {len(stopped)} end before the first; {saved} tokens fewer"


def usage(server: Server) -> str:
    """Usage."""
    with server.opened() as generator:
        found = list(generator.generate([*RAW, *CHAT], DRAWN))
        least = min(c.prompt_tokens for c in found)
        return f"{generator.account.uncounted} of {generator.account.requests} replies without counts; prompts have {least} tokens or more"


def begun(server: Server) -> str:
    """A reply that is begun (`prefill`)."""
    found = server.asked(CHAT, Sampling(max_new_tokens=48))
    return f"{sum('def ' in c.text.split('```')[0] for c in found.values())} of {len(found)} replies go on in the fence"


def refused(server: Server) -> str:
    """A wrong model / a prompt too long."""
    said: list[str] = []
    cases: list[tuple[str, list[Prompt]]] = [("no-such-model", [RAW[0]]), (server.model, [Prompt("long", "word " * 40_000, (0,))])]
    for name, prompts in cases:
        how = EndpointHow(cache="none", attempts=2, timeout_seconds=server.timeout)
        try:
            with open_generator(OpenAIConfig(base_url=server.url, how=how), name) as generator:
                list(generator.generate(prompts, GREEDY))
            said.append("answered all the same")
        except EngineError as error:
            said.append(error.message[:200])
    return " / ".join(said)


QUESTIONS: tuple[Callable[[Server], str], ...] = (
    every_answer, several_at_once, one_seed, one_seed_alone, other_seeds, greedy, token_limit, stop_strings, usage, begun, refused,
)  # fmt: skip


def main() -> None:
    """Ask, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("model")
    parser.add_argument("--prefill", default="after", choices=["after", "message", "continue", "prefix"])
    parser.add_argument("--tasks", type=int, default=len(TASKS), help="how many prompts of each kind; three answers each")
    parser.add_argument("--timeout", type=float, default=300.0)
    given = parser.parse_args()
    del RAW[given.tasks :], CHAT[given.tasks :]
    server = Server(given.url, given.model, given.prefill, given.timeout)
    print("| question | found |\n|---|---|", flush=True)
    for ask in QUESTIONS:
        try:
            found = ask(server)
        except EngineError as error:
            found = f"**{error.message}**"
        print(f"| {str(ask.__doc__).rstrip('.')} | {found} |", flush=True)


if __name__ == "__main__":
    main()
