"""Evolution by a model: every task is rewritten, round after round, each time by another method (paper, section 3.3).

A round's result is the next round's parent; a task that is eliminated is tried once more from the same parent in the next round, by another method. Which
method is chosen follows from the seed alone, so the same completions give the same tasks. Not here: tests for the new tasks (`authoring`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pydantic import BaseModel, ConfigDict, Field

from rrtf.evolution import elimination
from rrtf.evolution.lineage import Evolved, Lineage
from rrtf.evolution.methods import METHODS, Method
from rrtf.evolution.rewriting import request, rewritten
from rrtf.identity import derive_seed
from rrtf.protocols import Generator, Prompt, Sampling
from rrtf.records import Problem

SEED = "seed"
"""The method of a task that is the seed itself."""


class DepthConfig(BaseModel):
    """How a model rewrites tasks."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    rounds: int = Field(default=4, ge=1)
    """Rounds of rewriting; each seed gives at most so many new tasks. The paper names no number; its 20 k seeds became 100 k."""
    seeds: bool = False
    """Whether seeds without tests are tasks themselves, as they are, beside what is made of them. Then no rewriting need be good for them to be of use."""
    breadth: float = Field(default=0.0, ge=0, le=1)
    """Share of rewritings that ask for another task instead of a harder one. The paper evolves in depth only (3.3)."""
    longer: int = Field(default=30, ge=0)
    """Words by which a task may be longer than its parent, as the model is told."""
    temperature: float = Field(default=0.9, ge=0)
    """The paper names none; high, since what repeats its parent is thrown away."""
    top_p: float = Field(default=0.95, gt=0, le=1)
    """As in section 4.3."""
    max_new_tokens: int = Field(default=512, ge=1)
    """Longest task in tokens."""
    methods: tuple[str, ...] = tuple(method.name for method in METHODS)
    """The methods that are used, by name; `rrtf.evolution.methods` has their words."""


def evolve(seeds: Sequence[Problem], config: DepthConfig, model: Generator, seed: int) -> Iterator[Evolved]:
    """Every rewriting of every seed, kept or not, round by round, after the seeds themselves where these count; they have no tests yet.

    Raises `EngineError` when the model does.
    """
    author = f"{model.model} {model.revision}".strip()
    sampling = Sampling(config.temperature, config.top_p, config.max_new_tokens)
    parents = {problem.id: problem for problem in seeds}  # by seed: what the next round rewrites
    for problem in seeds if config.seeds else ():
        if not problem.tests:
            lineage = Lineage(seed=problem.id, parent=problem.id, method=SEED, round=0, author="")
            yield Evolved(problem=replace(problem, prompt="", entry_point=None, reference=None), lineage=lineage)
    for number in range(1, config.rounds + 1):
        chosen = {root: _method(config, seed, root, number) for root in parents}
        prompts = [
            Prompt(root, request(parent.instruction, chosen[root], config.longer), (derive_seed(seed, root, number),), chat=True)
            for root, parent in parents.items()
        ]
        for completion in model.generate(prompts, sampling):
            root = completion.key
            parent, method, text = parents[root], chosen[root], rewritten(completion.text)
            dropped = elimination.reason(parent.instruction, text, config.longer, completion.stop)
            name = f"{_seed_name(parent.name)}~{number}"
            child = Problem(name=name, instruction=text, prompt="", entry_point=None, tests=(), split=parent.split, topic=parent.topic)
            yield Evolved(problem=child, lineage=Lineage(seed=root, parent=parent.id, method=method.name, round=number, author=author), dropped=dropped)
            if not dropped:
                parents[root] = child


def _method(config: DepthConfig, seed: int, root: str, number: int) -> Method:
    known = [method for method in METHODS if method.name in config.methods]
    draw = derive_seed(seed, root, number, "method")
    wider = [method for method in known if method.direction == "wider"]
    deeper = [method for method in known if method.direction == "deeper"]
    among = wider if wider and (not deeper or draw % 10_000 < config.breadth * 10_000) else deeper
    return among[draw // 10_000 % len(among)]


def _seed_name(name: str) -> str:
    return name.rpartition("~")[0] or name
