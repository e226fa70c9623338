"""From report data to one HTML page that needs nothing else: template, style, script and data in a single file.

A content security policy allows exactly our own style and script, by hash, and no network. Answers are hostile text: they enter as escaped JSON only.
Not here: the sentences (`words`), the charts (`charts`), the choice of examples (`examples`).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from math import ceil

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from rrtf.benchmarks.results import Comparison, Score, p_text
from rrtf.records import Outcome
from rrtf.reporting import charts, flips, words
from rrtf.reporting.data import TRAINING, Histogram, ReportData
from rrtf.reporting.examples import embedded

_CURVES = {
    "loss": ("Loss", "What is minimised, per problem."),
    "ce": ("Cross-entropy", "On the answers to imitate, per problem."),
    "nats_per_token": ("Cross-entropy per token", "On the answers to imitate, in nats."),
    "rank_loss": ("Rank loss", "The ranking term, per problem."),
    "rank_accuracy": ("Pairs in order", "Share of pairs in which the better answer is the likelier one."),
    "gap": ("Gap", "Log-probability per token of the better answer less that of the worse one."),
    "active_share": ("Active pairs", "Share of pairs that the rank term still pushes apart."),
    "learning_rate": ("Learning rate", "Step size of the optimiser."),
    "grad_norm": ("Gradient norm", "Before clipping."),
}
_NO_CURVE = ("step", "epoch", "tokens", "seconds", "pairs")


@dataclass(frozen=True, slots=True)
class _Row:
    label: str
    score: Score
    kind: str
    chosen: bool
    chart: Markup


@dataclass(frozen=True, slots=True)
class _Card:
    """One benchmark, decoding and k: scores side by side, and what they come to."""

    benchmark: str
    decoding: str
    k: int
    rows: tuple[_Row, ...]
    end: float
    comparisons: tuple[tuple[Comparison, Markup], ...]
    reach: float


@dataclass(frozen=True, slots=True)
class _Curve:
    title: str
    note: str
    last: str
    chart: Markup


def page(data: ReportData) -> str:
    """The whole page."""
    style, script = _text("report.css"), _text("report.js")
    answered = {(example.place, example.problem) for example in data.examples}
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=FunctionLoader(_text))
    return environment.get_template("report.html").render(
        data=data,
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        policy=_policy(style, script),
        headline=words.headline(data.comparisons),
        primary=words.primary(data.comparisons),
        caveats=words.caveats(data),
        training_words=words.training_words(data),
        failure_words=words.failure_words(data),
        flip_words=list(flips.words(data.flips)),
        cards=_cards(data),
        scores=[("before", score) for score in data.before] + [("after", score) for score in data.after],
        histogram=_histogram,
        outcomes=_outcomes,
        outcome_words=words.OUTCOME_WORDS,
        Outcome=Outcome,
        split=_split,
        flow_bar=_flow_bar,
        curves=_curves(data.curve),
        answered=answered,
        places=_distinct(example.place for example in data.examples),
        authors=_distinct(example.author for example in data.examples),
        embedded=Markup(embedded(data.examples, data.questions)),  # noqa: S704 - escaped JSON
        isolation=_isolation(data),
        kind_of=_verdict_kind,
        training=TRAINING,
        p_text=p_text,
        percent=words.percent,
        signed=words.signed,
        plural=words.plural,
        seconds_text=words.seconds_text,
    )


def _text(name: str) -> str:
    return resources.files("rrtf.reporting").joinpath(name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    def source(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return f"default-src 'none'; style-src {source(style)}; script-src {source(script)}; img-src data:; base-uri 'none'; form-action 'none'"


def _distinct(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))


def _cards(data: ReportData) -> list[_Card]:
    sides = [("before", score) for score in data.before] + [("after", score) for score in data.after]
    ends = {name: _round_up(max(score.high for _, score in sides if score.benchmark == name)) for name in {score.benchmark for _, score in sides}}
    cards: list[_Card] = []
    for benchmark, decoding, k in dict.fromkeys((score.benchmark, score.decoding, score.k) for _, score in sides):
        pairs = [item for item in data.comparisons if (item.benchmark, item.decoding, item.k) == (benchmark, decoding, k)]
        best = {item.before_prompting for item in pairs}
        reach = _round_up(max((max(abs(item.low), abs(item.high)) for item in pairs), default=0.1))
        rows = [
            _Row(
                label=f"{side}, {score.prompting}" if data.after else score.prompting,
                score=score,
                kind=side,
                chosen=side == "before" and score.prompting in best,
                chart=charts.interval(score.value, score.low, score.high, side, end=ends[benchmark], text=_score_words(side, score)),
            )
            for side, score in sides
            if (score.benchmark, score.decoding, score.k) == (benchmark, decoding, k)
        ]
        drawn = [
            (item, charts.interval(item.difference, item.low, item.high, _verdict_kind(item), start=-reach, end=reach, text=item.sentence)) for item in pairs
        ]
        cards.append(_Card(benchmark, decoding, k, tuple(rows), ends[benchmark], tuple(drawn), reach))
    return cards


def _score_words(side: str, score: Score) -> str:
    return f"{side}, {score.prompting}: {100 * score.value:.1f} %, 95 % interval {100 * score.low:.1f} to {100 * score.high:.1f}"


def _verdict_kind(item: Comparison) -> str:
    return {"better": "better", "worse": "worse"}.get(item.verdict, "same")


def _round_up(share: float) -> float:
    """The next tenth, at most 1, so that low scores are not drawn on a scale made for high ones."""
    return min(1.0, max(0.1, ceil(share * 10 - 1e-9) / 10))


def _histogram(item: Histogram) -> Markup:
    counts = {f"o-{outcome.name}": item.counts.get(outcome, 0) for outcome in Outcome}
    text = f"{item.author}: " + ", ".join(f"{item.counts.get(outcome, 0)} {words.OUTCOME_WORDS[outcome]}" for outcome in Outcome)
    return charts.stacked(charts.shares(counts, item.total), text)


def _outcomes(score: Score) -> Histogram:
    counts = {outcome: score.outcomes.get(outcome.name, 0) for outcome in Outcome}
    return Histogram(author=score.prompting, counts=counts, no_program=score.no_program, cut_off=score.cut_off)


def _split(item: Comparison) -> Markup:
    counts = {"s-both": len(item.both), "s-won": len(item.won), "s-lost": len(item.lost), "s-neither": len(item.neither)}
    text = f"solved by both {len(item.both)}, won {len(item.won)}, lost {len(item.lost)}, solved by neither {len(item.neither)}"
    return charts.stacked(charts.shares(counts, item.problems), text)


def _flow_bar(count: int, whole: int, kind: str) -> Markup:
    return charts.stacked([(count / whole if whole else 0.0, kind)], f"{count} of {whole}", height=14)


def _curves(steps: Sequence[Mapping[str, float]]) -> list[_Curve]:
    keys = _distinct(key for step in steps for key in step)
    shown = [key for key in _CURVES if key in keys] + [key for key in keys if key not in _CURVES and key not in _NO_CURVE]
    found: list[_Curve] = []
    for key in shown:
        points = [(step["step"], step[key]) for step in steps if key in step and "step" in step]
        if len(points) < 2:
            continue
        title, note = _CURVES.get(key, (key.replace("_", " ").capitalize(), ""))
        trend = charts.smooth(points)
        lines = [charts.Line(charts.thinned(points), "raw"), charts.Line(charts.thinned(trend), "trend")]
        text = f"{title} over {len(points)} steps, from {charts.number_text(trend[0][1])} to {charts.number_text(trend[-1][1])}"
        found.append(_Curve(title, note, f"{charts.number_text(trend[0][1], 3)} → {charts.number_text(trend[-1][1], 3)}", charts.curves(lines, text)))
    return found


def _isolation(data: ReportData) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """Isolation as granted and missing, once for each set of stages that had the same."""
    groups: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for run in data.runs:
        if run.granted or run.missing:
            groups.setdefault((run.granted, run.missing), []).append(run.name)
    return [(", ".join(names), granted, missing) for (granted, missing), names in groups.items()]
