"""The fake endpoint we ship: a real HTTP server on this machine that speaks OpenAI's API, answers from a script, and fails as it is told to.

It counts what it was asked, so that a test can say what was asked twice. Not here: any model, and anything fit to be reached from another machine.
"""

from __future__ import annotations

import hmac
import json
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, cast

from rrtf.generation.scripted import limited, token_count
from rrtf.protocols import Sampling

Fault = Literal[
    "429", "429 for seconds", "429 until a date", "500", "503", "stall", "reset", "truncated", "malformed", "no choices", "too few", "too many", "no usage"
]
"""What can go wrong with one request. `too few` and `no usage` are replies that can be used."""
FAULTS: tuple[Fault, ...] = (
    "429", "429 for seconds", "429 until a date", "500", "503", "stall", "reset", "truncated", "malformed", "no choices", "too few", "too many", "no usage",
)  # fmt: skip
Faults = Callable[[int], Fault | None]
"""What goes wrong with request number so-and-so, in order of arrival from 0."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One answer that is asked for."""

    text: str
    prefill: str
    chat: bool
    seed: int
    """The request's seed, or 0, plus the position of the choice; 0 for greedy decoding."""


Script = Callable[[Asked], str]


def no_faults(number: int) -> Fault | None:
    """All is well."""
    del number
    return None


def every(period: int, *kinds: Fault) -> Faults:
    """One request in `period` fails, by each of the kinds in turn."""
    return lambda number: kinds[number // period % len(kinds)] if number % period == period - 1 else None


def burst(length: int, kind: Fault, period: int = 0) -> Faults:
    """The first `length` requests fail; with `period`, the first of every so many."""
    return lambda number: kind if (number % period if period else number) < length else None


def mixed(rate: float, seed: int, *kinds: Fault) -> Faults:
    """Each request fails with probability `rate`, by a kind drawn at random."""

    def fault(number: int) -> Fault | None:
        draw = random.Random(f"{seed} {number}")  # noqa: S311 - a script of accidents
        return draw.choice(kinds or FAULTS) if draw.random() < rate else None

    return fault


@dataclass(slots=True)
class Loopback:
    """A running endpoint, and what it saw."""

    script: Script
    faults: Faults = no_faults
    key: str = ""
    """The key it insists on; empty: none."""
    n: Literal["known", "refused", "ignored"] = "known"
    """What it does with a request for several choices."""
    limit_field: str = "max_tokens"
    """The only name of the token limit that it takes."""
    seconds: float = 0.0
    """How long an answer takes."""
    model: str = ""
    """The only model it has; empty: any."""
    url: str = ""
    requests: int = 0
    failed: Counter[str] = field(default_factory=Counter[str])
    """Requests that went wrong as they were told to."""
    given: Counter[tuple[str, int]] = field(default_factory=Counter[tuple[str, int]])
    """Choices in replies that can be used, by prompt and seed."""
    bodies: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Every request as it came."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)
    broken: Exception | None = None
    """What the script raised: a mistake of its author, and no fault to be tried again."""


@contextmanager
def serve(script: Script, faults: Faults = no_faults, **settings: Any) -> Generator[Loopback]:
    """An endpoint on a free port of this machine, for the length of the block."""
    loopback = Loopback(script, faults, **settings)
    server = _Server(loopback)
    loopback.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="rrtf-loopback")
    thread.start()
    try:
        yield loopback
    finally:
        loopback.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
    if loopback.broken is not None:
        raise loopback.broken


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, loopback: Loopback) -> None:
        self.loopback = loopback
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nothing to tell."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each reply waits 40 ms for an acknowledgement

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the class above
        """Nothing."""

    def do_POST(self) -> None:
        """One request."""
        here = cast("_Server", self.server).loopback
        raw = self.rfile.read(int(self.headers.get("content-length", "0")))
        body = cast("dict[str, Any]", json.loads(raw))
        with here.lock:
            number = here.requests
            here.requests += 1
            here.bodies.append(body)
        if here.broken is not None:
            self._refuse(400, f"The script failed: {here.broken!r}", "script")
            return
        if here.key and not hmac.compare_digest(self.headers.get("authorization", ""), f"Bearer {here.key}"):
            self._refuse(401, f"Incorrect API key provided: {self.headers.get('authorization', '')}", "invalid_api_key")
            return
        if refused := _refused(here, self.path, body):
            self._refuse(*refused)
            return
        fault = here.faults(number)
        if fault == "too few" and int(body.get("n") or 1) == 1:
            fault = None  # fewer than one is another fault
        if fault:
            with here.lock:
                here.failed[fault] += 1
        if here.seconds:
            here.closing.wait(here.seconds)
        if not fault or fault in {"too few", "no usage"}:
            self._answer(here, body, fault)
        else:
            self._fail(here, body, fault)

    def _answer(self, here: Loopback, body: Mapping[str, Any], fault: Fault | None) -> None:
        asked = _asked(here, body)
        if fault == "too few":
            asked = asked[:-1]
        reply = _reply(here, body, asked)
        if fault == "no usage":
            del reply["usage"]
        with here.lock:  # before it is sent: whoever has the answer may ask at once what was given
            here.given.update((one.text, one.seed) for one in asked)
        self._send(200, json.dumps(reply).encode())

    def _fail(self, here: Loopback, body: Mapping[str, Any], fault: Fault) -> None:
        match fault:
            case "429" | "429 for seconds" | "429 until a date":
                headers = {"429 for seconds": {"Retry-After": "0.2"}, "429 until a date": {"Retry-After": formatdate(time.time() + 1, usegmt=True)}}
                self._refuse(429, "Rate limit reached", "rate_limit_exceeded", headers.get(fault, {}))
            case "500" | "503":
                self._refuse(int(fault), "The server had an error", "server_error")
            case "stall":
                here.closing.wait(30)
                self.close_connection = True
            case "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                self.close_connection = True
            case "truncated":
                whole = json.dumps(_reply(here, body, _asked(here, body))).encode()
                self._send(200, whole[: len(whole) // 2], claimed=len(whole))
            case "malformed":
                self._send(200, json.dumps(_reply(here, body, _asked(here, body))).encode()[:-1] + b",")
            case "no choices":
                self._send(200, json.dumps(_reply(here, body, [])).encode())
            case _:
                self._send(200, json.dumps(_reply(here, body, [*_asked(here, body), *_asked(here, body)])).encode())

    def _refuse(self, status: int, message: str, code: str, headers: Mapping[str, str] | None = None) -> None:
        self._send(status, json.dumps({"error": {"message": message, "type": code, "code": code}}).encode(), headers)

    def _send(self, status: int, content: bytes, headers: Mapping[str, str] | None = None, claimed: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content) if claimed is None else claimed))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        if claimed is not None:
            self.close_connection = True


def _refused(here: Loopback, path: str, body: Mapping[str, Any]) -> tuple[int, str, str] | None:
    """What is wrong with a request, as its sender's mistake."""
    if path not in {"/v1/chat/completions", "/v1/completions"}:
        return 404, f"There is no {path}", "not_found"
    if here.model and body.get("model") != here.model:
        return 404, f"The model {body.get('model')} does not exist", "model_not_found"
    if here.n == "refused" and int(body.get("n") or 1) > 1:
        return 400, "n > 1 is not supported", "invalid_request_error"
    if other := next((name for name in ("max_tokens", "max_completion_tokens") if name in body and name != here.limit_field), None):
        return 400, f"Unsupported parameter: '{other}' is not supported with this model. Use '{here.limit_field}' instead.", "unsupported_parameter"
    return None


def _asked(here: Loopback, body: Mapping[str, Any]) -> list[Asked]:
    count = 1 if here.n == "ignored" else int(body.get("n") or 1)
    greedy = not body.get("temperature")
    first = int(body.get("seed") or 0)
    messages = cast("list[dict[str, str]] | None", body.get("messages"))
    text, prefill = str(body.get("prompt", "")), ""
    if messages is not None:
        text = next(message["content"] for message in messages if message["role"] == "user")
        prefill = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
    return [Asked(text, prefill, messages is not None, 0 if greedy else first + index) for index in range(count)]


def _reply(here: Loopback, body: Mapping[str, Any], asked: list[Asked]) -> dict[str, Any]:
    stop = cast("list[str]", body.get("stop") or [])
    sampling = Sampling(max_new_tokens=int(body.get(here.limit_field, 16)), stop=tuple(stop))
    try:
        found = [limited(here.script(one), sampling) for one in asked]
    except Exception as error:
        here.broken = error
        raise
    choices: list[dict[str, Any]] = []
    for index, (one, (text, reason, _)) in enumerate(zip(asked, found, strict=True)):
        said = {"message": {"role": "assistant", "content": text}} if one.chat else {"text": text}
        choices.append({"index": index, "finish_reason": reason, **said})
    prompt = token_count(asked[0].text + asked[0].prefill) if asked else 0
    spent = sum(max(1, count) for _, _, count in found)
    return {
        "object": "chat.completion" if "messages" in body else "text_completion",
        "model": body.get("model"),
        "choices": choices,
        "usage": {"prompt_tokens": prompt, "completion_tokens": spent, "total_tokens": prompt + spent},
    }
