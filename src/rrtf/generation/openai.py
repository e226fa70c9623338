"""The `openai` engine: any endpoint that speaks OpenAI's API, asked by many requests at once.

Every answer lands in the store as it arrives and is asked for once, whatever fails in between: what can pass is tried again with growing, jittered waits;
what cannot ends the asking with a sentence, after what is in flight was taken. Whether the server knows `n`, and what it calls the token limit, is found out.
Not here: what requests and replies look like (`rrtf.generation.requests`, `rrtf.generation.replies`) and which failures pass (`rrtf.generation.refusals`).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Generator as Yields
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any, cast

from rrtf.errors import EngineError, RrtfError, missing_extra
from rrtf.generation import refusals, replies, requests
from rrtf.generation.accounts import Account, Journal, out_of_budget
from rrtf.generation.completion_store import Answer, CompletionStore, open_store
from rrtf.generation.endpoints import OpenAIConfig, endpoint_revision, key_of
from rrtf.generation.replies import Reading, Reply, UnusableReply
from rrtf.generation.requests import Job
from rrtf.identity import Json, stable
from rrtf.protocols import Prompt, Sampling
from rrtf.records import Completion

try:
    import httpx2
except ModuleNotFoundError as error:
    raise missing_extra("openai", error.name or "httpx2") from error

_TRIES_UNREACHED = 3
"""An address where nothing ever answered is more likely wrong than busy."""
_CONNECT_SECONDS = 30.0


@contextmanager
def open_openai(config: OpenAIConfig, model_name: str) -> Yields[OpenAIGenerator]:
    """Ask the endpoint for the length of the block. Raises `EngineError`."""
    fixed = endpoint_revision(config)
    key_of(config)
    with open_store(config.how.cache) as store:
        journal = Journal(config.how.log, model=model_name, revision=fixed)
        generator = OpenAIGenerator(config, model_name, store, journal)
        try:
            yield generator
        finally:
            journal.write("closed", **generator.account.row(config.how))


@dataclass(slots=True)
class _Learned:
    """What was found out about the server."""

    reached: bool = False
    """It answered once."""
    single: bool = False
    """It gives one choice per request, whatever `n` says."""
    alone: int = 0
    """Replies in a row with one choice where several were asked for."""
    limit_field: str = "max_tokens"


class OpenAIGenerator:
    """A `Generator` over an endpoint."""

    def __init__(self, config: OpenAIConfig, model: str, store: CompletionStore, journal: Journal | None = None) -> None:
        self._config, self._model, self._store = config, model, store
        self._journal = journal or Journal("")
        self._learned = _Learned()
        self.account = Account()
        """What it cost so far."""

    @property
    def model(self) -> str:
        """The name it was opened under, which is the server's."""
        return self._model

    @property
    def revision(self) -> str:
        """What stands for the weights: what the recipe says of them, or the host."""
        return endpoint_revision(self._config)

    def generate(self, prompts: Iterable[Prompt], sampling: Sampling) -> Iterator[Completion]:
        """One completion per prompt and seed: those that are known first, the others as they arrive."""
        if sampling.max_new_tokens < 1:
            return
        engine = stable([self._config.identity(), self._model, self.revision])
        wanted = requests.wanted(prompts, sampling, self._config, engine)
        owed: list[tuple[str, requests.Wanted]] = []
        for place, one in wanted.items():
            found = self._store.get(place)
            if found is None:
                owed.append((place, one))
                continue
            self.account.known += 1
            yield from one.completions(found)
        if not owed:
            return
        asking = _Asking(self._config, self._model, sampling, self._store, self._journal, self.account, self._learned)
        for place, answer in asking.answers(requests.jobs(owed, self._config)):
            yield from wanted[place].completions(answer)


@dataclass(frozen=True, slots=True)
class _Tried:
    """What came of one request: a reply, or why there is none."""

    reply: Reply | None
    cause: str = ""
    status: int = 0
    error: Mapping[str, Any] | None = None
    wait: float | None = None
    """What the server asked for in `Retry-After`."""

    @property
    def final(self) -> bool:
        """No new try mends it."""
        return bool(self.status) and not refusals.passes(self.status, self.error or {})


class _Asking:
    """One call of `generate`: an event loop in a thread of its own, so that requests go on while the caller is busy with what it has."""

    def __init__(
        self, config: OpenAIConfig, model: str, sampling: Sampling, store: CompletionStore, journal: Journal, account: Account, learned: _Learned
    ) -> None:
        self._config, self._how, self._model, self._sampling = config, config.how, model, sampling
        self._store, self._journal, self._account, self._learned = store, journal, account, learned
        self._key = key_of(config)
        self._reading = Reading(config.prefill, config.reasoning)
        self._found: SimpleQueue[tuple[str, Answer] | None] = SimpleQueue()
        self._left = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._abandoned = False
        self._failed: RrtfError | None = None
        self._spent = ""
        self._ended: asyncio.Event
        self._client: httpx2.AsyncClient
        self._not_before = 0.0

    def answers(self, jobs: Sequence[Job]) -> Iterator[tuple[str, Answer]]:
        """(address, answer) of everything the jobs name, as it arrives. Raises the error that ended it, after the last answer."""
        self._left = sum(len(job.answers) for job in jobs)
        with ThreadPoolExecutor(1, thread_name_prefix="rrtf-endpoint") as pool:
            running = pool.submit(lambda: asyncio.run(self._run(deque(jobs))))
            running.add_done_callback(lambda _: self._found.put(None))
            try:
                while (item := self._found.get()) is not None:
                    yield item
            finally:
                self._abandon()
            running.result()
        if self._failed is not None:
            raise self._failed
        if self._spent:
            raise out_of_budget(self._spent, self._left)

    def _abandon(self) -> None:
        """Whoever asked has gone: nothing more is awaited."""
        self._abandoned = True
        if self._loop is not None and self._task is not None:
            with suppress(RuntimeError):  # it has ended meanwhile
                self._loop.call_soon_threadsafe(self._task.cancel)

    async def _run(self, jobs: deque[Job]) -> None:
        self._loop, self._task, self._ended = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()
        if self._abandoned:
            return
        room = asyncio.Semaphore(self._how.concurrency)
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        limits = httpx2.Limits(max_connections=self._how.concurrency, max_keepalive_connections=self._how.concurrency)
        # The time-out of a request is ours, over all of it: the client's own begins anew with every byte.
        timeout = httpx2.Timeout(None, connect=_CONNECT_SECONDS)
        async with httpx2.AsyncClient(headers=headers, limits=limits, timeout=timeout) as self._client, asyncio.TaskGroup() as group:
            while jobs:
                await room.acquire()
                if self._ended.is_set():
                    break
                job = jobs.popleft()
                if self._learned.single and len(job.answers) > 1:
                    first, *others = (replace(job, answers=(answer,)) for answer in job.answers)
                    jobs.extendleft(reversed(others))
                    job = first
                group.create_task(self._one(job)).add_done_callback(lambda _: room.release())

    async def _one(self, job: Job) -> None:
        try:
            owed = job.answers
            while owed:
                asked = owed[:1] if self._learned.single else owed
                reply = await self._ask(job.prompt, [seed for _, seed in asked])
                if reply is None:
                    return
                for (place, _), answer in zip(owed, reply.answers, strict=False):
                    self._found.put((place, self._store.keep(place, answer)))
                    self._left -= 1
                    self._account.answers += 1
                self._learn(len(asked), len(reply.answers))
                owed = owed[len(reply.answers) :]
        except RrtfError as error:
            self._failed = self._failed or error
            self._ended.set()

    def _learn(self, asked: int, came: int) -> None:
        if came < asked:
            self._account.retries["fewer choices"] += 1
        if asked > 1:
            # Once may be an accident; twice in a row the server does not know `n`.
            self._learned.alone = self._learned.alone + 1 if came == 1 else 0
            self._learned.single = self._learned.single or self._learned.alone >= 2

    async def _ask(self, prompt: Prompt, seeds: Sequence[int]) -> Reply | None:
        """A reply with at least one answer; None when the asking has ended meanwhile. Raises `EngineError`."""
        attempt = 0
        while True:
            await self._sleep(self._not_before - time.monotonic())
            if not self._spent:
                self._spent = self._account.spent(self._how)
            if self._spent:
                self._ended.set()
            if self._ended.is_set():
                return None
            tried = await self._try(prompt, seeds, attempt)
            if tried.reply is not None:
                return tried.reply
            if tried.final:
                if self._renamed(tried):
                    continue
                if len(seeds) > 1 and tried.status in {400, 422}:
                    # Perhaps it is `n` that it refuses. If one answer is refused as well, this raises.
                    self._account.retries["n refused"] += 1
                    reply = await self._ask(prompt, seeds[:1])
                    self._learned.single = self._learned.single or reply is not None
                    return reply
                raise refusals.refusal(tried.status, self._shown(tried), self._config.base_url, self._model, self._config.key_env)
            attempt += 1
            unreached = tried.cause == "no connection" and not self._learned.reached
            if attempt >= (min(_TRIES_UNREACHED, self._how.attempts) if unreached else self._how.attempts):
                raise self._given_up(tried, attempt)
            self._account.retries[tried.cause] += 1
            await self._wait(tried, attempt - 1)

    def _renamed(self, tried: _Tried) -> bool:
        """Whether it is the name of the token limit that was refused: newer models of OpenAI's know it by another."""
        if tried.status != 400 or "max_completion_tokens" not in str((tried.error or {}).get("message")) or self._learned.limit_field != "max_tokens":
            return False
        self._learned.limit_field = "max_completion_tokens"
        self._account.retries["name of the token limit"] += 1
        return True

    async def _wait(self, tried: _Tried, attempt: int) -> None:
        wait = refusals.wait(attempt, self._how.backoff_seconds, self._how.backoff_most_seconds)
        if tried.wait is not None:
            if tried.wait > self._how.patience_seconds:
                raise EngineError(
                    f"The endpoint {self._config.base_url} asks to be left alone for {tried.wait:.0f} seconds.",
                    why=f"That is longer than the recipe's how.patience_seconds ({self._how.patience_seconds:g}). Answers already given are kept.",
                    hint="Run the same command again later: it asks only for what is missing.",
                )
            # What it says to one request it means for all of them; the jitter keeps them from coming back together.
            self._not_before = max(self._not_before, time.monotonic() + tried.wait)
            wait += tried.wait
        await self._sleep(wait)

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but not beyond the end of the asking."""
        if seconds > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._ended.wait()

    async def _try(self, prompt: Prompt, seeds: Sequence[int], attempt: int) -> _Tried:
        """One request."""
        begun = time.monotonic()
        self._account.requests += 1
        body = requests.body(self._config, self._model, prompt, self._sampling, seeds, self._learned.limit_field)
        url = self._config.base_url.rstrip("/") + requests.path_of(self._config, prompt)
        try:
            async with asyncio.timeout(self._how.timeout_seconds):
                response = await self._client.post(url, json=body)
        except (TimeoutError, httpx2.TimeoutException):
            tried = _Tried(None, "time-out")
        except httpx2.ConnectError:
            tried = _Tried(None, "no connection")
        except httpx2.RequestError:
            tried = _Tried(None, "connection lost")
        else:
            self._learned.reached = True
            tried = self._judged(response, prompt, len(seeds))
        row: dict[str, Json] = {"prompt": prompt.key, "answers": len(seeds), "attempt": attempt, "seconds": round(time.monotonic() - begun, 3)}
        if tried.reply is None:
            self._journal.write("failed", **row, cause=tried.cause, status=tried.status, retry_after=tried.wait)
            return tried
        self._account.prompt_tokens += tried.reply.prompt_tokens
        self._account.completion_tokens += tried.reply.completion_tokens
        self._account.uncounted += not tried.reply.counted
        tokens: dict[str, Json] = {"prompt_tokens": tried.reply.prompt_tokens, "completion_tokens": tried.reply.completion_tokens}
        self._journal.write("answered", **row, came=len(tried.reply.answers), **tokens, money=round(self._account.money(self._how), 6))
        return tried

    def _judged(self, response: httpx2.Response, prompt: Prompt, wanted: int) -> _Tried:
        wait = refusals.retry_after(response.headers.get("retry-after"))
        status = response.status_code
        try:
            found = replies.decoded(response.content)
            hidden = refusals.hidden_status(found) if status == 200 else None
            if status == 200 and hidden is None:
                return _Tried(replies.read(found, wanted, prompt, self._sampling, self._reading))
        except UnusableReply as unusable:
            if status == 200:
                return _Tried(None, unusable.cause)
            found, hidden = cast("Mapping[str, Any]", {}), None
        status = hidden or status
        return _Tried(None, f"status {status}", status, refusals.error_of(found), wait)

    def _shown(self, tried: _Tried) -> dict[str, Any]:
        """The server's error without our key, which some servers repeat."""
        said = str((tried.error or {}).get("message") or "")
        return {"message": said.replace(self._key, "(the key)") if self._key else said}

    def _given_up(self, tried: _Tried, tries: int) -> EngineError:
        hints = {
            "no connection": "See whether the server is up and base_url is right",
            "time-out": "See whether the server is alive; slow models need a longer how.timeout_seconds",
            "status 429": "Lower how.concurrency, or wait",
        }
        return EngineError(
            f"The endpoint {self._config.base_url} gave no usable answer in {tries} tries, the last ending with: {tried.cause}.",
            why="Answers already given are kept; the others are still to be asked for.",
            hint=f"{hints.get(tried.cause, 'See what the server logs')}, and run the same command again.",
        )
