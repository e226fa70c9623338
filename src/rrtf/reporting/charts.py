"""Charts as SVG text: small pure functions of numbers. Widths are percentages, so every chart fills its column and its text never shrinks.

Every chart has a text for those who do not see it. Colours come from the page's classes. Not here: what is charted, and the page around it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10

from markupsafe import Markup, escape

_HEIGHT = 26
_PLOT = 190


@dataclass(frozen=True, slots=True)
class Line:
    """One series of a line chart."""

    points: Sequence[tuple[float, float]]
    kind: str
    """Class that gives it its colour and width."""


def interval(value: float, low: float, high: float, kind: str, *, start: float = 0.0, end: float = 1.0, text: str) -> Markup:
    """A point with its interval on a line from `start` to `end`; a fine rule marks zero where it lies inside."""
    x, left, right = (_percent(number, start, end) for number in (value, low, high))
    middle = _HEIGHT / 2
    zero = f'<line class="zero" x1="{_percent(0, start, end)}" x2="{_percent(0, start, end)}" y1="0" y2="{_HEIGHT}"/>' if start < 0 < end else ""
    return _svg(
        f'<line class="track" x1="0%" x2="100%" y1="{middle}" y2="{middle}"/>{zero}'
        f'<line class="range {kind}" x1="{left}" x2="{right}" y1="{middle}" y2="{middle}"/>'
        f'<line class="cap {kind}" x1="{left}" x2="{left}" y1="{middle - 5}" y2="{middle + 5}"/>'
        f'<line class="cap {kind}" x1="{right}" x2="{right}" y1="{middle - 5}" y2="{middle + 5}"/>'
        f'<circle class="dot {kind}" cx="{x}" cy="{middle}" r="5.5"/>',
        _HEIGHT,
        text,
    )


def stacked(parts: Sequence[tuple[float, str]], text: str, height: int = 22) -> Markup:
    """Shares that add up to at most 1, side by side, each with its class."""
    at = 0.0
    body = ""
    for share, kind in parts:
        if share > 0:
            body += f'<rect class="{kind}" x="{100 * at:.3f}%" y="0" width="{100 * share:.3f}%" height="{height}"/>'
        at += share
    return _svg(f'<rect class="empty" x="0" y="0" width="100%" height="{height}"/>{body}', height, text)


def curves(lines: Sequence[Line], text: str) -> Markup:
    """Lines over steps with labelled axes, the vertical one's labels in the margin. Labels keep their size while the plot takes the width there is."""
    points = [point for line in lines for point in line.points]
    if not points:
        return Markup("")
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    low, high = min(y for _, y in points), max(y for _, y in points)
    if low >= 0 and low < 0.5 * high:
        low = 0.0
    marks = ticks(low, high)
    low, high = min(low, marks[0]), max(high, marks[-1])
    body = ""
    for mark in marks:
        y = _PLOT - (_PLOT - 8) * _share(mark, low, high) - 2
        label = f'<text class="tick" x="-8" y="{y + 4:.1f}" text-anchor="end">{number_text(mark)}</text>'
        body += f'<line class="grid" x1="0" x2="100%" y1="{y:.1f}" y2="{y:.1f}"/>{label}'
    paths = "".join(
        f'<polyline class="{line.kind}" points="'
        + " ".join(f"{1000 * _share(x, left, right):.1f},{1000 - 1000 * _share(y, low, high):.1f}" for x, y in line.points)
        + '" vector-effect="non-scaling-stroke"/>'
        for line in lines
    )
    plot = f'<svg x="0" y="6" width="100%" height="{_PLOT - 8}" viewBox="0 0 1000 1000" preserveAspectRatio="none">{paths}</svg>'
    ends = (
        f'<text class="tick" x="0" y="{_PLOT + 16}">step {number_text(left)}</text>'
        f'<text class="tick last" x="100%" y="{_PLOT + 16}">{number_text(right)}</text>'
    )
    return _svg(body + plot + ends, _PLOT + 22, text, kind="chart plotted")


def smooth(points: Sequence[tuple[float, float]], share: float = 0.06) -> list[tuple[float, float]]:
    """A running mean over `share` of the points, at least 5, centred."""
    reach = max(5, int(len(points) * share)) // 2
    sums = [0.0]
    for _, y in points:
        sums.append(sums[-1] + y)
    out: list[tuple[float, float]] = []
    for place, (x, _) in enumerate(points):
        first, last = max(0, place - reach), min(len(points), place + reach + 1)
        out.append((x, (sums[last] - sums[first]) / (last - first)))
    return out


def thinned(points: Sequence[tuple[float, float]], most: int = 600) -> list[tuple[float, float]]:
    """At most `most` of the points, evenly spaced, ends included."""
    if len(points) <= most:
        return list(points)
    return [points[round(place * (len(points) - 1) / (most - 1))] for place in range(most)]


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers that span [low, high] with about so many steps."""
    if high <= low:
        return [low]
    rough = (high - low) / about
    size = 10.0 ** floor(log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.999)
    first, last = floor(low / step), -floor(-high / step)
    return [place * step for place in range(first, last + 1)]


def number_text(value: float, digits: int = 4) -> str:
    """A number for an axis: short, no trailing zeros."""
    return f"{value:.{digits}g}".replace("e-0", "e-")


def shares(counts: Mapping[str, int], total: int) -> list[tuple[float, str]]:
    """Counts as (share, class) for `stacked`; keys are class names."""
    return [(count / total if total else 0.0, kind) for kind, count in counts.items()]


def _percent(value: float, start: float, end: float) -> str:
    # Room for the dot at both ends.
    return f"{2 + 96 * min(1.0, max(0.0, _share(value, start, end))):.3f}%"


def _share(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5


def _svg(body: str, height: float, text: str, kind: str = "chart") -> Markup:
    return Markup(f'<svg class="{kind}" width="100%" height="{height}" role="img" aria-label="{escape(text)}" focusable="false">{body}</svg>')  # noqa: S704 - numbers, our own class names and escaped text
