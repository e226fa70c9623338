"""Evolution by a model: every task is rewritten, round after round, each time by another method (paper, section 3.3).

A round's result is the next round's parent; a task that is eliminated is tried once more from the same parent in the next round, by another method. Which
method is chosen follows from the seed alone, so the same completions give the same tasks. Not here: tests for the new tasks (`authoring`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import BaseModel, ConfigDict, Field

from rrtf.evolution import elimination
from rrtf.evolution.lineage import Evolved, Lineage
from rrtf.evolution.methods import METHODS, Method
from rrtf.evolution.rewriting import request, rewritten
from rrtf.identity import derive_seed
from rrtf.protocols import Generator, Prompt, Sampling
from rrtf.records import Problem


class DepthConfig(BaseModel):
    """How a model rewrites tasks."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    rounds: int = Field(default=4, ge=1)
    """Rounds of rewriting; each seed gives at most so many new tasks. The paper names no number; its 20 k seeds became 100 k."""
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
    """Every rewriting of every seed, kept or not, round by round; they have no tests yet. Raises `EngineError` when the model does."""
    author = f"{model.model} {model.revision}".strip()
    sampling = Sampling(config.temperature, config.top_p, config.max_new_tokens)
    parents = {problem.id: problem for problem in seeds}
    roots = {key: key for key in parents}
    for number in range(1, config.rounds + 1):
        chosen = {key: _method(config, seed, roots[key], number) for key in parents}
        prompts = [
            Prompt(key, request(parent.instruction, chosen[key], config.longer), (derive_seed(seed, roots[key], number),), chat=True)
            for key, parent in parents.items()
        ]
        following: dict[str, Problem] = {}
        for completion in model.generate(prompts, sampling):
            parent, method = parents[completion.key], chosen[completion.key]
            text = rewritten(completion.text)
            dropped = elimination.reason(parent.instruction, text, config.longer, completion.stop)
            root = roots[completion.key]
            child = Problem(
                name=f"{_root_name(parent.name)}~{number}", instruction=text, prompt="", entry_point=None, tests=(), split=parent.split, topic=parent.topic
            )
            lineage = Lineage(seed=root, parent=parent.id, method=method.name, round=number, author=author)
            yield Evolved(problem=child, lineage=lineage, dropped=dropped)
            following[root] = parent if dropped else child
        # By seed, so that the order in which completions came changes nothing.
        parents = {problem.id: problem for _, problem in sorted(following.items())}
        roots = {problem.id: root for root, problem in sorted(following.items())}


def _method(config: DepthConfig, seed: int, root: str, number: int) -> Method:
    known = [method for method in METHODS if method.name in config.methods]
    draw = derive_seed(seed, root, number, "method")
    wider = [method for method in known if method.direction == "wider"]
    deeper = [method for method in known if method.direction == "deeper"]
    among = wider if wider and (not deeper or draw % 10_000 < config.breadth * 10_000) else deeper
    return among[draw // 10_000 % len(among)]


def _root_name(name: str) -> str:
    return name.rpartition("~")[0] or name
