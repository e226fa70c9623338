"""The decode loop: prompts in, finished rows out, with as many rows side by side as the token budget allows.

Each prompt is read once, alone, and its keys and values are copied for each of its seeds. Every step decodes one token for every live row; a row that ends
leaves its slot to the next prompt at once. Nothing of a row depends on the others (`rrtf.generation.slots`), so order and batch are free choices.
Not here: text (`rrtf.generation.stopping`), the choice of tokens (`rrtf.generation.choosing`), loading (`rrtf.checkpoints`).
"""

# transformers' models are untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from rrtf.generation.jobs import Job
from rrtf.generation.slots import Masks, SlotCache, install_attention, masks_for
from rrtf.records import StopReason
from rrtf.training.memory import within_memory

SPARE = "Lower how.generation.batch_tokens or how.generation.max_rows, and run again."
"""What to do when memory does not suffice."""
_LEAST_ROWS = 4
"""Matrix kernels for one to three rows sum in another order than those for more (seen in float32 on x86), so smaller steps are filled up with idle rows."""


@dataclass(slots=True)
class Row:
    """One answer in the making."""

    job: Job
    index: int
    uniforms: Sequence[float]
    """A number in [0, 1) per token to come; empty when decoding is greedy."""
    ids: list[int] = field(default_factory=list[int])

    @property
    def column(self) -> int:
        """Where the newest token's keys go: everything before it is in the slot."""
        return len(self.job.ids) + len(self.ids) - 1


Choose = Callable[[Tensor, Sequence[Row]], list[int]]
"""Next token of each row from logits [rows, vocabulary]."""
Judge = Callable[[Row], "StopReason | None"]
"""Why a row is finished, or None."""


@dataclass(slots=True)
class _Opened:
    """A job whose prompt was read, with seeds still to be placed."""

    job: Job
    logits: Tensor
    cache: DynamicCache
    next: int = 0


class Decoder:
    """Runs jobs through one model. `batch_tokens` and `max_rows` bound what is decoded side by side."""

    def __init__(self, model: PreTrainedModel, *, batch_tokens: int, max_rows: int) -> None:
        self._model = model
        self._device = model.device
        self._batch_tokens, self._max_rows = batch_tokens, max_rows
        self._own_attention = install_attention(model)
        self._forward = set(inspect.signature(model.forward).parameters)
        self._masks: Masks | None = masks_for(model)
        self._cache: SlotCache | None = None
        self._rows: list[Row] = []
        if self._masks is not None and not self._agrees():
            self._masks = None

    @property
    def batches(self) -> bool:
        """Whether this model decodes many rows at once; False: slots do not reproduce its own result, and rows are decoded one by one."""
        return self._masks is not None

    def run(self, jobs: Iterable[Job], sampled: bool, choose: Choose, judge: Judge) -> Iterator[tuple[Row, StopReason]]:
        """Every seed of every job, each as soon as it is finished. Jobs of similar length side by side waste least: sort them."""
        if not self.batches:
            yield from self._one_by_one(jobs, sampled, choose, judge)
            return
        waiting = deque(jobs)
        opened: _Opened | None = None
        self._rows, self._cache = [], None
        free: list[int] = []
        while True:
            while opened or waiting:
                if opened is None:
                    if not self._has_room(waiting[0], free):
                        break
                    opened = self._open(waiting.popleft())
                if not self._has_room(opened.job, free):
                    break
                row = self._start(opened, sampled, choose)
                opened.next += 1
                reason = judge(row)
                if reason:
                    yield row, reason
                else:
                    self._place(row, opened.cache, free)
                if opened.next == len(opened.job.seeds):
                    opened = None
            self._close_gaps(free)
            if not self._rows:
                self._cache = None
                return
            for row, token in zip(self._rows, choose(self._step(), self._rows), strict=True):
                row.ids.append(token)
            for slot, row in enumerate(self._rows):
                reason = judge(row)
                if reason:
                    free.append(slot)
                    yield row, reason

    def _one_by_one(self, jobs: Iterable[Job], sampled: bool, choose: Choose, judge: Judge) -> Iterator[tuple[Row, StopReason]]:
        for job in jobs:
            for index in range(len(job.seeds)):
                opened = self._open(job, own_cache=True)
                opened.next = index
                row = self._start(opened, sampled, choose)
                while not (reason := judge(row)):
                    row.ids.extend(choose(self._continue(row.ids[-1], opened.cache), [row]))
                yield row, reason

    def _has_room(self, job: Job, free: list[int]) -> bool:
        live = [row.job for slot, row in enumerate(self._rows) if slot not in free]
        tokens = sum(len(j.ids) + j.limit for j in (*live, job))
        return not live or (len(live) < self._max_rows and tokens <= self._batch_tokens)

    def _start(self, opened: _Opened, sampled: bool, choose: Choose) -> Row:
        job = opened.job
        uniforms: Sequence[float] = ()
        if sampled:
            random = torch.Generator().manual_seed(job.seeds[opened.next])
            uniforms = cast("list[float]", torch.rand(job.limit, generator=random).tolist())
        row = Row(job, opened.next, uniforms)
        row.ids.extend(choose(opened.logits, [row]))
        return row

    @torch.inference_mode()
    def _open(self, job: Job, own_cache: bool = False) -> _Opened:
        """Read a prompt: logits of its last position, [1, V], and its cache."""
        ids = torch.tensor([job.ids], device=self._device)
        given: dict[str, Any] = {} if own_cache else {"past_key_values": DynamicCache()}
        if "logits_to_keep" in self._forward:
            given["logits_to_keep"] = 1
        out = self._model(input_ids=ids, use_cache=True, **given)
        return _Opened(job, out.logits[:, -1], cast("DynamicCache", out.past_key_values))

    @torch.inference_mode()
    def _continue(self, token: int, cache: DynamicCache) -> Tensor:
        """One token of a row that is decoded alone, through the model's own cache."""
        ids = torch.tensor([[token]], device=self._device)
        return self._model(input_ids=ids, use_cache=True, past_key_values=cache).logits[:, -1]

    @torch.inference_mode()
    def _place(self, row: Row, prompt: DynamicCache, free: list[int]) -> None:
        if self._cache is None:
            self._cache = SlotCache(prompt, max(self._max_rows, _LEAST_ROWS), self._own_attention)
        if free:
            slot = free.pop()
            self._rows[slot] = row
        else:
            slot = len(self._rows)
            self._rows.append(row)
        self._cache.fill(slot, prompt)

    @torch.inference_mode()
    def _close_gaps(self, free: list[int]) -> None:
        """Move the last rows into the slots that were left, so that live rows are the first ones."""
        for slot in sorted(free, reverse=True):
            last = len(self._rows) - 1
            if slot != last:
                self._rows[slot] = self._rows[last]
                cast("SlotCache", self._cache).move(last, slot, self._rows[slot].column)
            self._rows.pop()
        free.clear()

    @torch.inference_mode()
    def _step(self) -> Tensor:
        """Logits after every live row's newest token, [rows, V]."""
        cache, masks = cast("SlotCache", self._cache), cast("Masks", self._masks)
        idle = max(_LEAST_ROWS - len(self._rows), 0)
        columns = [row.column for row in self._rows] + [0] * idle
        cache.point(columns, self._device)
        given: dict[str, Any] = {"slots": cache} if self._own_attention else {}
        if "position_ids" in self._forward:
            given["position_ids"] = cache.aim.columns[:, None]
        out = self._model(
            input_ids=torch.tensor([[row.ids[-1]] for row in self._rows] + [[0]] * idle, device=self._device),
            attention_mask=masks(cache.aim.columns, cache.width),
            past_key_values=cache,
            use_cache=True,
            **given,
        )
        return out.logits[: len(self._rows), -1]

    def _agrees(self) -> bool:
        """Whether two rows of unlike length, decoded in slots, get the logits that each gets from a plain pass.

        Architectures that number positions or mask in ways of their own show here, not in bad text.
        """
        vocabulary = cast("int", self._model.get_input_embeddings().num_embeddings)
        whole = [[(7 * i + 3) % vocabulary for i in range(11)], [(5 * i + 2) % vocabulary for i in range(6)]]
        try:
            # Too little memory would otherwise read as an architecture that cannot be batched.
            with within_memory("decoding", SPARE), torch.inference_mode():
                for number, ids in enumerate(whole):
                    row = Row(Job(str(number), tuple(ids[:-2]), (0,), 2), 0, (), [ids[-2]])
                    self._place(row, self._open(row.job).cache, [])
                self._step()
                for row, ids in zip(self._rows, whole, strict=True):
                    row.ids.append(ids[-1])
                found = self._step()
                plain = torch.cat([self._model(input_ids=torch.tensor([ids], device=self._device)).logits[:, -1] for ids in whole])
        except (AttributeError, IndexError, TypeError, ValueError, RuntimeError, NotImplementedError):
            return False
        finally:
            self._rows, self._cache = [], None
        apart = (found.float() - plain.float()).abs().max()
        return bool(apart <= (1e-4 if plain.dtype == torch.float32 else 0.05) * plain.float().abs().max())
