"""`from rrtf import judge`: answers in, verdicts out, from Python. `rrtf judge` does the same on files, by the same functions (`rrtf.answer_files`).

Not here: how a verdict comes about (`rrtf.sandbox.harness`), what is known already (`rrtf.judging`), where in an answer its program is (`rrtf.extraction`).
"""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rrtf.benchmarks import open_benchmark
from rrtf.benchmarks.passk import mean_pass_at_k
from rrtf.errors import DataError
from rrtf.judging import Judge, Tally, open_judge
from rrtf.prompting import FormatName, extract_code
from rrtf.records import Author, Outcome, Problem, Response, Verdict
from rrtf.sandbox import PlainConfig, ProcessConfig, SandboxRuntime
from rrtf.sandbox.harness import JudgingFailure

_ANYBODY = Author("student", "", "")
"""A verdict does not depend on who wrote the answer."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of some answers."""

    names: tuple[str, ...]
    """Of each answer the name of its problem."""
    verdicts: tuple[Verdict | None, ...]
    """One for each answer, in their order; None where we could not judge it."""
    failures: Mapping[int, str]
    """Position of an answer that has no verdict -> why. These are troubles of ours: judge again."""
    tally: Tally
    """What was run, and what was known already."""

    def pass_at(self, k: int) -> float:
        """pass@k, the mean over problems with at least k answers, all of which have a verdict. Raises `DataError` when there is none."""
        counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for name, verdict in zip(self.names, self.verdicts, strict=True):
            counts[name][0] += 1
            counts[name][1] += verdict is not None and verdict.outcome is Outcome.PASSED
        failed = {self.names[position] for position in self.failures}
        return mean_pass_at_k([(n, correct) for name, (n, correct) in counts.items() if n >= k and name not in failed], k)


def judge(
    problems: str | Path | Problem | Sequence[Problem],
    answers: str | Iterable[str | tuple[str, str] | Mapping[str, str]],
    *,
    form: FormatName = "raw",
    sandbox: ProcessConfig | PlainConfig | None = None,
    runtime: SandboxRuntime | None = None,
    say: Callable[[str], object] | None = None,
) -> Judgement:
    """Judge answers to problems.

    `problems` is the name of a benchmark or the path of a problem file (as `rrtf judge --benchmark` takes it), problems, or one problem. An answer is a pair of
    its problem's name and its text, or a mapping with `task_id` (or `name`) and `completion`; to one problem, its text alone. `form` is the prompt format that
    the answers continue: `raw` for completions of the problem's own prompt and for whole programs, `chat` for answers that stand alone.

    Equal programs are judged once, and verdicts are kept for the next time, where `runtime.cache` says. A failure of ours is never a verdict. Raises
    `DataError` for answers or problems that cannot be used, `SandboxError` where this machine cannot judge at all. `say` takes what a user should know besides.
    """
    known = _by_name(problems)
    pairs = [_pair(position, answer, known) for position, answer in enumerate([answers] if isinstance(answers, str) else answers)]
    tally, verdicts, failures = Tally(), dict[int, Verdict](), dict[int, str]()
    with open_judge(sandbox or ProcessConfig(), runtime or SandboxRuntime(), tally, say) as judging:
        for position, found in results(pairs, judging, form):
            if isinstance(found, JudgingFailure):
                failures[position] = found.reason
            else:
                verdicts[position] = found
    names = tuple(problem.name for problem, _ in pairs)
    return Judgement(names, tuple(verdicts.get(position) for position in range(len(pairs))), failures, tally)


def results(answers: Iterable[tuple[Problem, str]], judge: Judge, form: FormatName) -> Iterator[tuple[int, Verdict | JudgingFailure]]:
    """Judge texts as answers to their problems; yields the position of each with what was found, as soon as it is known. Reads them as it goes."""
    positions: dict[tuple[str, str], int] = {}

    def responses() -> Iterator[tuple[Problem, Response]]:
        for position, (problem, text) in enumerate(answers):
            found = extract_code(form, problem, text)
            # The position makes the id: of equal answers each has its own, and the judge knows that their programs are equal.
            response = Response(
                problem_id=problem.id, author=_ANYBODY, index=position, text="", code=found.code, rule=found.rule, stop="stop", completion_tokens=0
            )
            positions[response.problem_id, response.id] = position
            yield problem, response

    for found in judge(responses()):
        yield positions.pop((found.problem_id, found.response_id)), found


def unknown(name: str, names: Iterable[str], where: str) -> DataError:
    """The error for an answer to a problem that is not there."""
    near = difflib.get_close_matches(name, names, n=1)
    return DataError(
        f"{where} is to {name!r}, which is not among the problems.",
        why="There are no tests to run it against.",
        hint=f"Did you mean {near[0]!r}?" if near else "Give the benchmark or problem file that it belongs to.",
    )


def _by_name(problems: str | Path | Problem | Sequence[Problem]) -> dict[str, Problem]:
    if isinstance(problems, Problem):
        return {problems.name: problems}
    chosen = open_benchmark(str(problems)).problems() if isinstance(problems, (str, Path)) else problems
    return {problem.name: problem for problem in chosen}


def _pair(position: int, answer: str | tuple[str, str] | Mapping[str, str], known: Mapping[str, Problem]) -> tuple[Problem, str]:
    match answer:
        case str() if len(known) == 1:
            return next(iter(known.values())), answer
        case (str() as name, str() as text):
            pass
        case {"task_id": str() as name, "completion": str() as text} | {"name": str() as name, "completion": str() as text}:
            pass
        case _:
            raise DataError(
                f"Answer {position} is neither a pair of a problem's name and a text, nor a mapping with `task_id` and `completion`.",
                why=f"There are {len(known)} problems, and it must be known which one it answers.",
                hint='Write, for example, ("HumanEval/0", "    return ...").',
            )
    if name not in known:
        raise unknown(name, known, f"Answer {position}")
    return known[name], text
