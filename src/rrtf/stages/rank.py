"""rank: verdicts -> preferences, or a named reason why a problem teaches nothing (paper, section 3.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from rrtf.engine.stage import MapStage, Task, Work
from rrtf.identity import Json
from rrtf.joins import CURATE, EXECUTE, RANK, STUDENT, TEACHER, Ranking, kept_problem, responses, verdicts
from rrtf.ranking import Candidate, Drop, RankingConfig, rank, reason_of


def stage(config: RankingConfig, teachers: Sequence[str] = (TEACHER,)) -> MapStage:
    """The stage. `teachers`: where the teachers' answers lie."""
    return MapStage(
        name=RANK,
        version=2,
        reads=(CURATE, *teachers, STUDENT, EXECUTE),
        row=Ranking,
        key=lambda row: row.problem_id,
        order=lambda row: (),
        identity=config.model_dump(mode="json"),
        open=lambda inputs: partial(_opened, config),
        expected=lambda case: 1,
        unit="problems",
        summarize=_summary,
        part_cases=256,
    )


@contextmanager
def _opened(config: RankingConfig) -> Generator[Work]:
    yield partial(_work, config)


def _work(config: RankingConfig, task: Task) -> Iterator[Ranking]:
    for case in task.cases:
        task.tick(1)
        if kept_problem(case) is None:
            continue
        found = verdicts(case)
        # A response without a verdict failed on our side: it takes no part, and is counted where it failed.
        candidates = [Candidate(response, found[response.id]) for response in responses(case) if response.id in found]
        decided = rank(case.key, candidates, config)
        yield Ranking(case.key, str(reason_of(decided)), None if isinstance(decided, Drop) else decided)


def _summary(rows: Iterator[Ranking]) -> Json:
    decisions: Counter[str] = Counter()
    pairs = answers = 0
    for row in rows:
        decisions[row.decision] += 1
        if row.preference:
            pairs += len(row.preference.pairs)
            answers += len(row.preference.answers)
    return {"decisions": dict(sorted(decisions.items())), "answers": answers, "pairs": pairs}
