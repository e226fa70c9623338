"""From graded answers to scores, and from two models' graded answers to a paired comparison.

Scores and comparisons are pure functions of rows: the same rows give the same numbers, in the manifest, in the terminal and in the report.
A problem without enough answers failed on *our* side: it is left out and counted, never scored as wrong.
Not here: the statistics themselves (`rrtf.benchmarks.passk`, `rrtf.benchmarks.intervals`), and the drawing (`rrtf.reporting`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import cast

from rrtf.benchmarks import intervals
from rrtf.benchmarks.passk import pass_at_k
from rrtf.identity import Json
from rrtf.joins import Graded
from rrtf.records import Outcome

KS = (1, 10, 100)
"""The k of pass@k (paper, Table 2); those above the number of answers per problem are left out."""
ALPHA = 0.05
"""A difference counts as significant when its two-sided p-value is below this."""
SEED = 0
"""Of the bootstrap and the permutation test: fixed, so that the same rows always give the same intervals and p-values."""
_TESTS = {
    "mcnemar-exact": "exact McNemar test",
    "sign-flip-exact": "exact sign-flip permutation test",
    "sign-flip-sampled": "sampled sign-flip permutation test",
}
_INTERVALS = {"wilson": "Wilson", "bootstrap": "bootstrap over problems"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """pass@k of one model on one benchmark, in one prompt format and decoding."""

    benchmark: str
    prompting: str
    decoding: str
    problems: int
    """Problems scored."""
    left_out: int
    """Problems of the benchmark with fewer than k answers, because some of our own runs failed."""
    n: int
    """Answers per problem (the most that any problem has)."""
    k: int
    value: float
    """Between 0 and 1, as are `low` and `high`."""
    low: float
    high: float
    interval: str
    """How the 95 % interval was made."""
    answers: int
    """Answers graded, over all problems."""
    outcomes: Mapping[str, int]
    """Answers by outcome name, worst first."""
    no_program: int
    """Answers in which no program was found."""
    cut_off: int
    """Answers that ran into the token limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """After against before on the same problems: before in the prompt format that serves it best."""

    benchmark: str
    decoding: str
    k: int
    before_prompting: str
    """The format in which *before* scores best by this very measure."""
    after_prompting: str
    problems: int
    """Pairs: problems that both models answered."""
    left_out: int
    """Problems of the benchmark that not both of them answered, because some of our own runs failed."""
    before: float
    after: float
    difference: float
    """`after - before` over the pairs; between -1 and 1."""
    low: float
    high: float
    """95 % interval of the difference: bootstrap over problems, paired; Wilson's bound on the share of differing problems where none differs."""
    p: float
    """Two-sided."""
    test: str
    """The test behind `p`."""
    won: tuple[str, ...]
    """Problems solved (by any of the answers) after and not before, by name."""
    lost: tuple[str, ...]
    both: tuple[str, ...]
    neither: tuple[str, ...]

    @property
    def significant(self) -> bool:
        """Whether `p` is below `ALPHA`."""
        return self.p < ALPHA

    @property
    def verdict(self) -> str:
        """`better`, `worse` or `no significant difference`."""
        if not self.significant:
            return "no significant difference"
        return "better" if self.difference > 0 else "worse"

    @property
    def sentence(self) -> str:
        """The comparison in words and numbers, on one line."""
        size = f"{100 * self.difference:+.1f} points"
        return f"{self.verdict}: {size} (95 % interval {100 * self.low:.1f} to {100 * self.high:.1f}, {p_text(self.p)}, n = {self.problems})"


@dataclass(slots=True)
class _Tally:
    """What one pass over the rows of one benchmark, prompt format and decoding keeps."""

    passed: dict[str, list[bool]] = field(default_factory=dict[str, list[bool]])
    """Per problem id, whether each answer passed."""
    outcomes: Counter[Outcome] = field(default_factory=Counter[Outcome])
    no_program: int = 0
    cut_off: int = 0

    @property
    def n(self) -> int:
        return max((len(answers) for answers in self.passed.values()), default=0)

    def rates(self, k: int) -> dict[str, float]:
        """pass@k per problem, for those with at least k answers."""
        return {key: pass_at_k(len(answers), sum(answers), k) for key, answers in self.passed.items() if len(answers) >= k}


Setting = tuple[str, str, str]
"""Benchmark, prompt format, decoding."""


def p_text(p: float) -> str:
    """A p-value as text: `p = 0.003`, `p < 0.0001`."""
    if p < 0.0001:
        return "p < 0.0001"
    return f"p = {p:.4f}" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def scores(rows: Iterable[Graded], examined: Mapping[str, int] | None = None) -> list[Score]:
    """pass@k with 95 % intervals for every benchmark, prompt format and decoding in the rows of one model, in order of first appearance.

    `examined` gives each benchmark's number of problems: those without any row are left out, and counted as that.
    """
    return [_score(setting, tally, k, examined or {}) for setting, tally in _tallies(rows).items() for k in _ks(tally.n)]


def compare(
    before: Iterable[Graded], after: Iterable[Graded], names: Mapping[str, str] | None = None, examined: Mapping[str, int] | None = None
) -> list[Comparison]:
    """Paired comparison for every benchmark, decoding, k and prompt format of the `after` rows that `before` was examined on too.

    The prompt format of *before* is the one with its highest score by the same measure, so that a gain is a gain over the model at its best.
    `names` gives problem names by id, in the order in which they are to be listed; without it ids are used. `examined`: see `scores`.
    """
    old, new = _tallies(before), _tallies(after)
    found: list[Comparison] = []
    for (benchmark, prompting, decoding), tally in new.items():
        rivals = {form: rival for (where, form, how), rival in old.items() if (where, how) == (benchmark, decoding)}
        for k in _ks(tally.n):
            able = {form: _mean(rival.rates(k)) for form, rival in rivals.items() if k <= rival.n}
            if not able:
                continue
            best = max(able, key=lambda form: able[form])
            if pair := _compare((benchmark, decoding, k), (best, rivals[best]), (prompting, tally), names or {}, examined or {}):
                found.append(pair)
    return found


def summary(rows: Iterable[Graded]) -> Json:
    """The scores as plain JSON data, for the manifest."""
    return [score_json(score) for score in scores(rows)]


def score_json(score: Score) -> dict[str, Json]:
    """A score as plain JSON data."""
    return asdict(score)


def comparison_json(comparison: Comparison) -> dict[str, Json]:
    """A comparison as plain JSON data, with its verdict and sentence."""
    plain = cast("dict[str, Json]", asdict(comparison))
    groups: dict[str, Json] = {name: list(getattr(comparison, name)) for name in ("won", "lost", "both", "neither")}
    return {**plain, **groups, "significant": comparison.significant, "verdict": comparison.verdict, "sentence": comparison.sentence}


def table(before: Sequence[Score], after: Sequence[Score] = (), comparisons: Sequence[Comparison] = ()) -> str:
    """A Markdown table, padded so that it reads well in a terminal: before in each prompt format, after, and the difference.

    Scores are percentages and differences are points, each with its 95 % interval; an asterisk marks the format that counts as *before*.
    Either side may be empty.
    """
    sides = (("before", before), ("after", after))
    columns = list(dict.fromkeys((side, score.prompting) for side, found in sides for score in found))
    cells = {(side, score.prompting, score.benchmark, score.decoding, score.k): score for side, found in sides for score in found}
    settings = list(dict.fromkeys((score.benchmark, score.decoding, score.k) for _, found in sides for score in found))
    paired = bool(comparisons)
    lines = [["benchmark", "decoding", "problems", *(_heading(side, form, both=bool(before and after)) for side, form in columns)]]
    if paired:
        lines[0] += ["difference", "p, verdict"]
    for benchmark, decoding, k in settings:
        pairs = [item for item in comparisons if (item.benchmark, item.decoding, item.k) == (benchmark, decoding, k)]
        chosen = {("before", item.before_prompting) for item in pairs}
        row = [cells.get((*column, benchmark, decoding, k)) for column in columns]
        first = next((score for score in row if score), None)
        line = [benchmark, f"{decoding} pass@{k}", str(first.problems if first else 0)]
        line += [_cell(score, marked=column in chosen) for column, score in zip(columns, row, strict=True)]
        if paired:
            line += [
                "; ".join(f"{100 * item.difference:+.1f} ({100 * item.low:.1f} to {100 * item.high:.1f})" for item in pairs) or "-",
                "; ".join(
                    f"{p_text(item.p).removeprefix('p ').removeprefix('= ')}, {item.verdict.replace('no significant difference', 'not significant')}"
                    for item in pairs
                )
                or "-",
            ]
        lines.append(line)
    return _markdown(lines)


def _tallies(rows: Iterable[Graded]) -> dict[Setting, _Tally]:
    found: dict[Setting, _Tally] = {}
    for row in rows:
        tally = found.setdefault((row.benchmark, row.prompting, row.decoding), _Tally())
        tally.passed.setdefault(row.response.problem_id, []).append(row.verdict.outcome is Outcome.PASSED)
        tally.outcomes[row.verdict.outcome] += 1
        tally.no_program += row.response.code is None
        tally.cut_off += row.response.stop == "length"
    return found


def _ks(n: int) -> list[int]:
    """The k to report for n answers per problem: those of `KS`, and n itself where it is too small for the second."""
    return [k for k in KS if k <= n] + ([n] if 1 < n < KS[1] else [])


def _score(setting: Setting, tally: _Tally, k: int, examined: Mapping[str, int]) -> Score:
    benchmark, prompting, decoding = setting
    rates = tally.rates(k)
    values = list(rates.values())
    interval = intervals.wilson(round(sum(values)), len(values)) if tally.n == 1 else intervals.bootstrap(values, seed=SEED)
    return Score(
        benchmark=benchmark,
        prompting=prompting,
        decoding=decoding,
        problems=len(rates),
        left_out=examined.get(benchmark, len(tally.passed)) - len(rates),
        n=tally.n,
        k=k,
        value=_mean(rates),
        low=interval.low,
        high=interval.high,
        interval=_INTERVALS[interval.method],
        answers=sum(tally.outcomes.values()),
        outcomes={outcome.name: tally.outcomes[outcome] for outcome in Outcome},
        no_program=tally.no_program,
        cut_off=tally.cut_off,
    )


def _compare(
    setting: tuple[str, str, int], before: tuple[str, _Tally], after: tuple[str, _Tally], names: Mapping[str, str], examined: Mapping[str, int]
) -> Comparison | None:
    benchmark, decoding, k = setting
    (before_form, old), (after_form, new) = before, after
    old_rates, new_rates = old.rates(k), new.rates(k)
    places = {key: place for place, key in enumerate(names)}
    keys = sorted(old_rates.keys() & new_rates.keys(), key=lambda key: (places.get(key, len(places)), key))
    if not keys:
        return None
    found = intervals.compare([old_rates[key] for key in keys], [new_rates[key] for key in keys], seed=SEED)
    groups: dict[tuple[bool, bool], list[str]] = {(False, True): [], (True, False): [], (True, True): [], (False, False): []}
    for key in keys:
        groups[any(old.passed[key]), any(new.passed[key])].append(names.get(key, key))
    return Comparison(
        benchmark=benchmark,
        decoding=decoding,
        k=k,
        before_prompting=before_form,
        after_prompting=after_form,
        problems=len(keys),
        left_out=examined.get(benchmark, len(old.passed.keys() | new.passed.keys())) - len(keys),
        before=found.before,
        after=found.after,
        difference=found.difference,
        low=found.interval.low,
        high=found.interval.high,
        p=found.p_value,
        test=_TESTS[found.test],
        won=tuple(groups[False, True]),
        lost=tuple(groups[True, False]),
        both=tuple(groups[True, True]),
        neither=tuple(groups[False, False]),
    )


def _mean(rates: Mapping[str, float]) -> float:
    return sum(rates.values()) / len(rates) if rates else 0.0


def _heading(side: str, form: str, *, both: bool) -> str:
    return f"{side}: {form}, %" if both else f"{form}, %"


def _cell(score: Score | None, *, marked: bool) -> str:
    if score is None:
        return "-"
    return f"{100 * score.value:.1f} ({100 * score.low:.1f} to {100 * score.high:.1f}){' *' if marked else ''}"


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    safe = [[" ".join(cell.replace("|", "/").split()) for cell in line] for line in lines]
    widths = [max(len(line[column]) for line in safe) for column in range(len(safe[0]))]
    padded = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in safe]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([padded[0], rule, *padded[1:]])
