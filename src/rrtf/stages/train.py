"""train: preferences -> a better student, as an ordinary Hugging Face folder (paper, section 3.4).

Not here: the training itself (`rrtf.training`). This file turns rows into examples in one prompt format.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rrtf.engine.stage import Case, FoldStage, FoldTask, Tick
from rrtf.identity import Json, derive_seed, stable
from rrtf.joins import CURATE, RANK, TRAIN, kept_problem, ranking
from rrtf.prompting import FormatName, answer_text, render
from rrtf.training import METRICS_FILE, MODEL_FOLDER, TrainConfig, TrainHow, TrainingExample, train

if TYPE_CHECKING:
    from rrtf.training.loop import StepReport


def stage(config: TrainConfig, how: TrainHow, prompting: FormatName, model: str, revision: str, seed: int) -> FoldStage:
    """The stage. `seed` is the run's; the config's own is mixed in."""
    seeded = config.model_copy(update={"seed": derive_seed(seed, config.seed)})
    return FoldStage(
        name=TRAIN,
        version=1,
        reads=(CURATE, RANK),
        identity={"train": seeded.model_dump(mode="json"), "prompting": prompting, "model": model, "revision": revision},
        work=partial(_work, seeded, how, prompting, model),
        outputs=_outputs,
    )


def examples(cases: Iterator[Case], prompting: FormatName) -> Iterator[TrainingExample]:
    """What the trainer sees of every kept problem."""
    for case in cases:
        problem, decided = kept_problem(case), ranking(case)
        if problem is None or decided is None or decided.preference is None:
            continue
        texts = tuple(answer_text(prompting, problem, answer.code) for answer in decided.preference.answers)
        yield TrainingExample(render(prompting, problem).prompt(problem.id, ()), decided.preference, texts)


def _work(config: TrainConfig, how: TrainHow, prompting: FormatName, model: str, task: FoldTask) -> Json:
    with ExitStack() as stack:
        ticks: list[Tick] = []

        def stepped(report: StepReport) -> None:
            # The number of steps is only known once the data is encoded, so the bar opens with the first of them.
            if not ticks:
                ticks.append(stack.enter_context(task.progress(TRAIN, report.steps - report.step + 1, "steps")))
            ticks[0](1)

        result = train(model, examples(task.cases(), prompting), config, how, task.folder, stepped)
    return {"steps": result.steps, "tokens": result.tokens, "examples": stable(result.counts)}


def _outputs(folder: Path) -> Sequence[Path]:
    """The model's files, its configuration first, then the metrics."""
    files = sorted(path for path in (folder / MODEL_FOLDER).iterdir() if path.is_file())
    return [*sorted(files, key=lambda path: path.name != "config.json"), folder / METRICS_FILE]
