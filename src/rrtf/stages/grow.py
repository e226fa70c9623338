"""grow: seed problems -> new ones made by operators, without any model; each with its lineage, each drop with its reason.

    evolve.seeds -> evolve.guided -> evolve.problems

One artefact, `evolve.guided`, in the place of all that a model does (`rrtf.stages.evolve`, which has the stages before and after it). It is one long work, and
its chunks are kept: killed, it goes on behind the last of them. Not here: the operators and what candidates must stand up to (`rrtf.evolution.guided`).
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal, cast

from rrtf.engine import tables
from rrtf.engine.stage import FoldStage, FoldTask
from rrtf.errors import DataError
from rrtf.evolution.guided import GuidedConfig, Journal, evolve, readable
from rrtf.evolution.guided.config import GATE
from rrtf.evolution.lineage import Evolved
from rrtf.identity import Json, fingerprint
from rrtf.joins import GUIDED, SEEDS
from rrtf.judging import judge_identity
from rrtf.records import Problem
from rrtf.sandbox import SandboxConfig, SandboxRuntime
from rrtf.seeds import Seed, SeedsConfig

FILE, CHUNKS = "candidates.parquet", "chunks"


class GrowConfig(GuidedConfig):
    """Growing a corpus of problems from seeds: operators change them, without any model."""

    method: Literal["guided"]
    """`guided`: operators change a task together with its reference, without any model. `model`: a model rewrites tasks and writes their tests."""
    seeds: SeedsConfig = SeedsConfig()
    """Where it begins: problems with references and tests. The starter problems are."""


def stage(config: GrowConfig, given: Sequence[Seed], seed: int, sandbox: SandboxConfig, runtime: SandboxRuntime, held_out: Sequence[Problem]) -> FoldStage:
    """The stage. `given` are the rows of the seeds, `held_out` the problems to keep away from. Raises `DataError` when no seed can be changed."""
    known = [row.problem for row in given if row.problem]
    if not any(problem.reference and problem.tests for problem in known):
        raise DataError(
            f"None of the {len(known)} seeds in {config.seeds.source} has a reference and tests.",
            why="Guided evolution changes a problem together with its reference, and runs that to find the new expected values.",
            hint="Use seeds that have both, such as evolve.seeds.source = 'starter', or a model: evolve.method = 'model'.",
        )
    identity: Json = {
        **config.model_dump(mode="json", exclude={"seeds", "method"}),
        "gate": GATE.model_dump(mode="json"),
        "sandbox": judge_identity(sandbox),
        "held out": fingerprint(sorted([problem.id, problem.name] for problem in held_out)),
        "seed": seed,
    }
    work = partial(_work, config, seed, sandbox, runtime, held_out)
    return FoldStage(name=GUIDED, version=1, reads=(SEEDS,), identity=identity, work=work, outputs=lambda folder: [folder / FILE])


def _work(config: GrowConfig, seed: int, sandbox: SandboxConfig, runtime: SandboxRuntime, held_out: Sequence[Problem], task: FoldTask) -> Json:
    given = [problem for case in task.cases() for row in cast("Sequence[Seed]", case.rows[SEEDS]) if (problem := row.problem) is not None]
    file, chunks = task.folder / FILE, task.folder / CHUNKS
    if not file.is_file():
        held = sorted(held_out, key=lambda problem: (problem.id, problem.name))  # their order in a recipe changes nothing
        with task.progress(GUIDED, config.target, "problems") as tick:
            tables.write(file, Evolved, evolve(given, config, sandbox, runtime, seed, tick, held, Journal(chunks)), {})
    shutil.rmtree(chunks, ignore_errors=True)  # they have served
    return _summary(config, given, cast("list[Evolved]", tables.read(file, Evolved)))


def _summary(config: GrowConfig, given: Sequence[Problem], rows: Sequence[Evolved]) -> Json:
    """How many are kept, dropped by which rule, made by which family of operators; and why there are fewer than were asked for. `DataError` when none is."""
    readables = sum(map(readable, given))
    kept = [row.lineage for row in rows if not row.dropped]
    if not kept:
        raise DataError(
            f"No problem could be grown from {len(given)} seeds, of which operators can take {readables} apart.",
            why="A seed must be one function whose parameters and result are annotated, with a reference, and with tests that call it and compare.",
            hint="Use other seeds, such as evolve.seeds.source = 'starter', or a model: evolve.method = 'model'.",
        )
    found: dict[str, Json] = {
        "kept": len(kept),
        "asked for": config.target,
        "seeds that operators can take apart": f"{readables} of {len(given)}",
        "kept by round": _counted(str(one.round) for one in kept),
        "kept by family": _counted(one.method.partition(":")[0] for one in kept),
        "dropped": _counted(row.dropped.partition(":")[0] for row in rows if row.dropped),
    }
    if len(kept) < config.target:
        found["note"] = "No candidate is left. More seeds, more rounds (evolve.rounds) or more of one parent (evolve.per_parent) give more problems."
    return found


def _counted(words: Iterator[str]) -> Json:
    return dict(sorted(Counter(words).items()))
