"""The `ctranslate2` engine: models in CTranslate2's format, fast on processors and small in memory, with weights rounded to int8 if wanted.

What holds: greedy answers depend on the prompt, up to rounding (batches change which kernels run). With temperature, `seeds = "each"` decodes every answer on
a worker of its own: CTranslate2 keeps one source of random numbers per worker and seeds it when the worker draws for the first time, so a fresh worker is the
only way to an answer that follows from its own seed; on one machine it can be had again, whatever is asked beside it. `seeds = "together"` decodes many side by
side, several times as fast, and such answers cannot be had again.
Batches are sorted by length; a row that ends leaves its batch, but no other takes its place (CTranslate2 has no continuous batching). Stop strings end a row at
once. Not here: conversion (`rrtf.generation.ctranslate2_models`).
"""

# CTranslate2 is untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Generator as Yields
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

from rrtf.errors import EngineError
from rrtf.generation import CTranslate2Config, GenerationHow, revision
from rrtf.generation.ctranslate2_models import OTHERWISE, Converted, ctranslate2, find
from rrtf.generation.jobs import Intake, Job
from rrtf.generation.stopping import Reader
from rrtf.protocols import Prompt, Sampling
from rrtf.records import Completion, StopReason
from rrtf.training.memory import within_memory

_SPREAD = 16
"""How many tokens longer than the shortest prompt of its batch a prompt may be: CTranslate2 reads together what all have, and the rest token by token."""
_FRESH = 32
"""Workers that are started at once for answers with seeds of their own: weights are loaded once for all of them."""
_SEEDS = 2**32 - 1
"""CTranslate2 takes the largest 32-bit number for "no seed"."""
_SPARE = "Lower how.generation.batch_tokens or how.generation.max_rows, and run again."
_SEEDING = threading.Lock()
"""The seed for the next worker is one number per process."""


@contextmanager
def open_ctranslate2(config: CTranslate2Config, how: GenerationHow, model_name: str) -> Yields[CTranslate2Generator]:
    """Find or convert the model, and decode with it for the length of the block. Raises `EngineError`."""
    fixed = revision(config, model_name)
    yield CTranslate2Generator(find(model_name, config.compute), config, model_name, fixed, how)


@dataclass(slots=True)
class _Row:
    """One answer in the making, for as many seeds as share it."""

    job: Job
    places: tuple[int, ...]
    """Positions of its seeds in the job."""
    seed: int = 0
    known: int = 0
    """Tokens of the prompt that come back as if they were the answer's."""
    ids: list[int] = field(default_factory=list[int])
    reason: StopReason | None = None


_Found = SimpleQueue["_Row | Exception"]


class CTranslate2Generator:
    """A `Generator` over a converted model."""

    def __init__(self, converted: Converted, config: CTranslate2Config, model: str, revision: str, how: GenerationHow | None = None) -> None:
        self._converted, self._config, self._how = converted, config, how or GenerationHow()
        self._model, self._revision = model, revision
        self._intake = Intake(converted.tokenizer, converted.context, model)
        self._device, self._index = _device(self._how.device)
        self._cores = self._how.threads or len(os.sched_getaffinity(0))
        self._batched: Any = None
        _check_compute(config.compute, self._device)

    @property
    def model(self) -> str:
        """The name it was opened under."""
        return self._model

    @property
    def revision(self) -> str:
        """What fixes the weights, and how they are rounded."""
        return self._revision

    def generate(self, prompts: Iterable[Prompt], sampling: Sampling) -> Iterator[Completion]:
        """One completion per prompt and seed, each as soon as it is finished. Every prompt is checked before the first is decoded."""
        jobs = sorted(self._intake.jobs(prompts, sampling), key=lambda job: len(job.ids))
        reader = Reader(self._converted.tokenizer, sampling.stop)
        judge = _judge(self._converted.ends, reader)
        if sampling.temperature == 0:
            # Greedy decoding knows no seed: one row answers for all of them.
            rows = self._together([_Row(job, tuple(range(len(job.seeds)))) for job in jobs], judge, {})
        else:
            drawn = {"sampling_topk": 0, "sampling_topp": sampling.top_p, "sampling_temperature": sampling.temperature}
            each = [_Row(job, (place,), seed) for job in jobs for place, seed in enumerate(job.seeds)]
            rows = self._together(each, judge, drawn) if self._config.seeds == "together" else self._each(each, judge, drawn)
        with closing(rows):
            for row in rows:
                ended = row.ids[-1] in self._converted.ends
                text, cut = reader.text(row.job.ids, row.ids[:-1] if ended else row.ids)
                for place in row.places:
                    yield Completion(row.job.key, place, text, "stop" if cut else row.reason or "length", len(row.job.ids), len(row.ids))

    def _together(self, rows: Sequence[_Row], judge: Callable[[_Row], StopReason | None], drawn: dict[str, Any]) -> Yields[_Row]:
        if rows and self._batched is None:
            self._batched = self._load(workers=1, threads=self._how.threads or 0)
        for batch in self._batches(rows):
            yield from self._one_batch(batch, judge, drawn)

    def _batches(self, rows: Sequence[_Row]) -> Iterator[list[_Row]]:
        batch: list[_Row] = []
        for row in rows:
            tokens = (len(batch) + 1) * max((len(r.job.ids) + r.job.limit for r in (*batch, row)), default=0)
            full = len(batch) == self._how.max_rows or tokens > self._how.batch_tokens
            if batch and (full or len(row.job.ids) - len(batch[0].job.ids) > _SPREAD):
                yield batch
                batch = []
            batch.append(row)
        if batch:
            yield batch

    def _one_batch(self, rows: list[_Row], judge: Callable[[_Row], StopReason | None], drawn: dict[str, Any]) -> Yields[_Row]:
        shortest = min(len(row.job.ids) for row in rows)
        for row in rows:
            row.known = len(row.job.ids) - shortest
        found: _Found = SimpleQueue()
        leaving = threading.Event()

        def heard(step: Any) -> bool:
            row = rows[step.batch_id]
            if row.reason is None and step.step >= row.known:
                row.ids.append(step.token_id)
                row.reason = judge(row)
                if row.reason is not None:
                    found.put(row)
            return row.reason is not None or leaving.is_set()

        steps = max(row.known + row.job.limit for row in rows)
        running = self._start(self._batched, rows, steps, heard, drawn)
        waiting = threading.Thread(target=_watch, args=(running, found), daemon=True)
        waiting.start()
        try:
            for _ in rows:
                yield _checked(found.get())
        finally:
            leaving.set()
            waiting.join()

    def _each(self, rows: Sequence[_Row], judge: Callable[[_Row], StopReason | None], drawn: dict[str, Any]) -> Yields[_Row]:
        for start in range(0, len(rows), _FRESH):
            yield from self._fresh(rows[start : start + _FRESH], judge, drawn)

    def _fresh(self, rows: Sequence[_Row], judge: Callable[[_Row], StopReason | None], drawn: dict[str, Any]) -> Yields[_Row]:
        """Every row on a worker that has drawn no number yet: one that is done is held until all are, so that it is given no second row."""
        workers = self._load(workers=len(rows), threads=1)
        found: _Found = SimpleQueue()
        done = threading.Event()
        waiting, watching, live = deque(rows), list[threading.Thread](), 0

        def start(row: _Row) -> None:
            begun = threading.Event()

            def heard(step: Any) -> bool:
                begun.set()
                if not done.is_set():
                    row.ids.append(step.token_id)
                    row.reason = judge(row)
                    if row.reason is not None:
                        found.put(row)
                        done.wait()
                return row.reason is not None or done.is_set()

            with _SEEDING:
                ctranslate2.set_random_seed(row.seed % _SEEDS)
                made = self._start(workers, [row], row.job.limit, heard, drawn)
                while not begun.wait(0.02):  # the seed must stand until the worker has taken it
                    if made[0].done():
                        _watch(made, found)
                        _checked(found.get())
            watching.append(threading.Thread(target=_watch, args=(made, found), daemon=True))
            watching[-1].start()

        try:
            while waiting or live:
                while waiting and live < self._cores:
                    start(waiting.popleft())
                    live += 1
                row = _checked(found.get())
                live -= 1
                yield row
        finally:
            done.set()
            for thread in watching:  # until the last worker is back: the weights are theirs
                thread.join()

    def _start(self, engine: Any, rows: Sequence[_Row], steps: int, heard: Callable[[Any], bool], drawn: dict[str, Any]) -> list[Any]:
        vocabulary = self._converted.vocabulary
        return engine.generate_batch(
            [[vocabulary[number] for number in row.job.ids] for row in rows],
            max_length=steps,
            include_prompt_in_result=False,
            end_token=sorted(self._converted.ends),
            return_end_token=True,
            asynchronous=True,
            callback=heard,
            **drawn,
        )

    def _load(self, workers: int, threads: int) -> Any:
        try:
            return ctranslate2.Generator(
                str(self._converted.folder),
                device=self._device,
                device_index=self._index,
                compute_type=self._config.compute,
                inter_threads=workers,
                intra_threads=threads,
                max_queued_batches=-1,
            )
        except (RuntimeError, ValueError) as error:
            said = " ".join(str(error).split())[:300].rstrip(".")
            raise EngineError(
                f"CTranslate2 cannot load the model {self._model!r}: {said}.", hint="Convert it again with this version of CTranslate2."
            ) from error


def _judge(ends: frozenset[int], reader: Reader) -> Callable[[_Row], StopReason | None]:
    """Why a row is finished. It must not hold the engine: workers drop what they called last, and an engine that a worker of its own drops cannot end."""

    def judge(row: _Row) -> StopReason | None:
        if row.ids[-1] in ends or reader.stopped(row.ids):
            return "stop"
        return "length" if len(row.ids) >= row.job.limit else None

    return judge


def _watch(running: Sequence[Any], found: _Found) -> None:
    """Wait for the end of what runs, and pass on what went wrong. A result may be asked for by one thread only."""
    for one in running:
        try:
            one.result()
        except (RuntimeError, ValueError, MemoryError) as error:
            found.put(error)


def _checked(found: _Row | Exception) -> _Row:
    """The row, or the error in its place: of architectures that can be converted some parts cannot be run (prompts longer than a sliding window)."""
    if isinstance(found, _Row):
        return found
    try:
        with within_memory("decoding", _SPARE):
            raise found
    except (RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())[:300].rstrip(".")
        raise EngineError(f"CTranslate2 {ctranslate2.__version__} failed while decoding: {said}.", hint=OTHERWISE) from error


def _device(name: str) -> tuple[str, int]:
    """CTranslate2's name and number of a device. Raises `EngineError`."""
    cards = ctranslate2.get_cuda_device_count()
    kind, _, number = name.partition(":")
    if name == "auto":
        return ("cuda" if cards else "cpu"), 0
    with suppress(ValueError):
        at = int(number or 0)
        if kind == "cpu" or (kind == "cuda" and at < cards):
            return kind, at
    here = ["auto", "cpu", *(f"cuda:{card}" for card in range(cards))]
    raise EngineError(f"CTranslate2 does not find the device {name!r}.", hint=f"Set how.generation.device to what it finds: {', '.join(here)}.")


def _check_compute(compute: str, device: str) -> None:
    """Refuse an arithmetic that this device lacks: CTranslate2 would take another."""
    known = ctranslate2.get_supported_compute_types(device)
    if compute not in known:
        raise EngineError(
            f"CTranslate2 has no fast {compute} arithmetic on this {device}.",
            why="With another its answers would be others.",
            hint=f"Set the engine's compute to one it has here: {', '.join(sorted(known))}.",
        )
