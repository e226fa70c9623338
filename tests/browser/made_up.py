"""A made-up run, as report data: enough of everything to look at, with hostile answers among it. Deterministic; no model, no sandbox."""

from __future__ import annotations

import math
import random
from functools import cache

from rrtf.benchmarks.results import compare, scores
from rrtf.joins import Graded
from rrtf.records import Author, Outcome, Response, TestStatus, Verdict
from rrtf.reporting import TRAINING, Example, Flow, Histogram, Question, ReportData, StageRun
from rrtf.reporting.examples import choose

HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    '<img src=x onerror="window.hacked = 2">',
    "<!--<script>window.hacked = 3</script>-->",
    "]]><svg onload='window.hacked = 4'>",
    "\u2028\u2029\u202e reversed \x00 \ud800",
    "{{ 7 * 7 }} {% for x in y %}",
)
_CODE = '''from typing import List


def running_maximum(values: List[int]) -> List[int]:
    """The largest value so far, at each position.

    >>> running_maximum([1, 3, 2])
    [1, 3, 3]
    """
    best = None  # nothing seen yet
    out = []
    for value in values:
        if best is None or value > best:
            best = value
        out.append(best)
    return out
'''
_TOPICS = ("intervals/merge-overlapping", "strings/longest-common-prefix", "lists/running-maximum", "parsing/key-value-pairs", "numbers/digital-root")
_AUTHOR = Author("student", "made-up-135m", "0000")
_CAUSES = {
    Outcome.COMPILE_ERROR: "SyntaxError: unterminated string literal (line 4)",
    Outcome.RUNTIME_ERROR: "test 1: IndexError: list index out of range",
    Outcome.PARTIAL: "test 3: returned [1, 3, 2], expected [1, 3, 3]",
    Outcome.PASSED: "",
}


def _statuses(outcome: Outcome, total: int, chance: random.Random) -> tuple[TestStatus, ...]:
    if outcome is Outcome.COMPILE_ERROR:
        return ("not-run",) * total
    if outcome is Outcome.RUNTIME_ERROR:
        return ("raised",) * (total - 2) + ("timeout", "crashed")
    if outcome is Outcome.PASSED:
        return ("passed",) * total
    return ("passed", *(chance.choice(("passed", "wrong", "raised")) for _ in range(total - 2)), "wrong")


def _graded(benchmark: str, number: int, index: int, prompting: str, decoding: str, outcome: Outcome, chance: random.Random) -> Graded:
    text = f"```python\n{_CODE}```\nThis keeps the largest value."
    total = 1 if benchmark == "humaneval" else 9
    response = Response(
        problem_id=f"{benchmark}-{number}",
        author=_AUTHOR,
        index=index,
        text=text,
        code=None if outcome is Outcome.COMPILE_ERROR and chance.random() < 0.4 else _CODE,
        rule="fenced block",
        stop="length" if outcome is Outcome.COMPILE_ERROR else "stop",
        completion_tokens=140,
    )
    verdict = Verdict(
        problem_id=response.problem_id,
        response_id=response.id,
        outcome=outcome,
        tests=_statuses(outcome, total, chance),
        cause=_CAUSES[outcome],
        cpu_seconds=0.1,
        wall_seconds=0.1,
        peak_mb=20.0,
    )
    temperature = 0.0 if decoding == "greedy" else 0.8
    return Graded(benchmark=benchmark, prompting=prompting, decoding=decoding, temperature=temperature, top_p=0.95, response=response, verdict=verdict)


def _name(benchmark: str, number: int) -> str:
    return f"HumanEval/{number}" if benchmark == "humaneval" else f"{_TOPICS[number % len(_TOPICS)]}-{number}"


def _sitting(forms: dict[str, float], gain: float, seed: int) -> list[Graded]:
    chance = random.Random(seed)
    rows: list[Graded] = []
    for benchmark, count, ease in (("starter", 120, 1.0), ("humaneval", 164, 0.35)):
        for form, skill in forms.items():
            for decoding, n in (("greedy", 1), ("sampled", 5)):
                for number in range(count):
                    hard = (number * 7919 % 97) / 97
                    for index in range(n):
                        right = hard < (skill + gain * ease) * ease and chance.random() < 0.93
                        outcome = Outcome.PASSED if right else Outcome(chance.choices((0, 1, 2), (2, 3, 4))[0])
                        rows.append(_graded(benchmark, number, index, form, decoding, outcome, chance))
    return rows


def _examples(rows: list[Graded], author: str) -> list[Example]:
    return [
        Example(
            problem_id=row.response.problem_id,
            problem=_name(row.benchmark, int(row.response.problem_id.split("-")[1])),
            place=row.benchmark,
            author=author,
            setting=f"{row.prompting}, {row.decoding}",
            index=row.response.index,
            outcome=row.verdict.outcome,
            tests=row.verdict.tests,
            cause=row.verdict.cause,
            code=row.response.code,
            text=row.response.text,
            rule=row.response.rule,
            stop=row.response.stop,
            tokens=row.response.completion_tokens,
        )
        for row in rows
    ]


def _hostile() -> list[Example]:
    return [
        Example(
            problem_id="p-hostile",
            problem=f"hostile {number}",
            place=TRAINING,
            author="student, training",
            setting="sampled",
            index=number,
            outcome=Outcome.PARTIAL,
            tests=("passed", "wrong"),
            cause=text,
            code=text,
            text=f"{text}\nand more",
            rule="bare code",
            stop="stop",
            tokens=5,
        )
        for number, text in enumerate(HOSTILE)
    ]


@cache
def made_up() -> ReportData:
    """The data. Its training problems hold the hostile answers; a lost problem and a failure of ours have hostile names too."""
    before, after = _sitting({"chat-prefill": 0.2, "paper": 0.13}, 0.0, 1), _sitting({"paper": 0.2}, 0.19, 2)
    names = {row.response.problem_id: _name(row.benchmark, int(row.response.problem_id.split("-")[1])) for row in before}
    comparisons = compare(before, after, names)
    changed = {(item.benchmark, name) for item in comparisons for name in (*item.won, *item.lost)}
    chosen, _ = choose([*_examples(before, "student, before"), *_examples(after, "student, after")], changed, limit=90)
    examples = [*_hostile(), *chosen]
    chance = random.Random(3)
    curve = [
        {
            "step": float(step),
            "epoch": step / 100,
            "loss": 60 * math.exp(-step / 90) + 22 + chance.gauss(0, 3),
            "ce": 58 * math.exp(-step / 90) + 21 + chance.gauss(0, 3),
            "nats_per_token": 0.5 * math.exp(-step / 90) + 0.2 + chance.gauss(0, 0.02),
            "rank_loss": max(0.0, 0.3 * math.exp(-step / 60) + chance.gauss(0, 0.03)),
            "rank_accuracy": 1 - 0.4 * math.exp(-step / 60) - abs(chance.gauss(0, 0.02)),
            "learning_rate": 5e-5 * min(1, step / 20) * (1 - step / 320),
        }
        for step in range(1, 301)
    ]
    isolated = ("user namespace", "mount namespace", "pid namespace", "network namespace", "memory limit", "no new privileges", "private temporary directory")
    return ReportData(
        title="Starter problems, seed 0",
        student="made-up-135m",
        teacher="reference solutions",
        before=tuple(scores(before)),
        after=tuple(scores(after)),
        comparisons=tuple(comparisons),
        exam={"starter": 120, "humaneval": 164},
        histograms=(
            Histogram(author="reference solutions", counts={Outcome.PASSED: 250}),
            Histogram(
                author="student",
                counts={Outcome.COMPILE_ERROR: 121, Outcome.RUNTIME_ERROR: 318, Outcome.PARTIAL: 392, Outcome.PASSED: 169},
                no_program=17,
                cut_off=88,
            ),
        ),
        flow=Flow(
            problems=254,
            dropped_before={"it is a problem of the examination": 1, "its reference fails": 3},
            dropped_after={"only ties, and a tie has no margin": 21, "a run of ours failed <b>": 1},
            kept=228,
            answers=871,
            pairs=640,
            targets=228,
            without_pairs=12,
        ),
        curve=tuple(curve),
        questions=(
            *(Question(id=key, name=name, place=key.split("-")[0], text=_CODE.split("    best", maxsplit=1)[0]) for key, name in names.items()),
            Question(id="p-hostile", name="hostile", place=TRAINING, text=HOSTILE[0]),
        ),
        examples=tuple(examples),
        examples_of=5112,
        runs=(
            StageRun(name="curate", rows=254, seconds=3.2, config='{\n  "identity": {"problems": "starter"}\n}'),
            StageRun(name="sample.student", rows=1000, seconds=212.4, config='{\n  "extent": {"n": 4}\n}'),
            StageRun(
                name="execute", rows=1250, seconds=24.8, failures=(f"p-1: {HOSTILE[1]}",), granted=isolated, missing=("cgroup limits (not writable here)",)
            ),
            StageRun(name="train", rows=0, seconds=431.0, config=HOSTILE[0]),
            StageRun(name="evaluate.after", rows=1704, seconds=388.1, granted=isolated, missing=("cgroup limits (not writable here)",)),
        ),
        versions={"rrtf": "0.1.0", "python": "3.11.9", "torch": "2.13.0+cpu", "transformers": "5.23.0", "system": "Linux x86_64", "cpus": "2"},
    )
