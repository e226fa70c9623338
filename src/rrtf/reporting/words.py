"""What the numbers say, in plain sentences. Pure functions; every sentence is text, never markup.

Not here: the sentence of one comparison (`rrtf.benchmarks.results.Comparison.sentence`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rrtf.benchmarks.results import Comparison
from rrtf.records import Outcome
from rrtf.reporting.data import ReportData

OUTCOME_WORDS = {
    Outcome.COMPILE_ERROR: "compile error",
    Outcome.RUNTIME_ERROR: "runtime error",
    Outcome.PARTIAL: "some tests failed",
    Outcome.PASSED: "passed",
}


def headline(comparisons: Sequence[Comparison]) -> str:
    """Did it get better, on what: one sentence from the comparisons at the smallest k."""
    main = primary(comparisons)
    if not main:
        return "There is nothing to compare yet: no benchmark was sat both before and after training."
    verdicts = {item.benchmark: {other.verdict for other in main if other.benchmark == item.benchmark} for item in main}
    said: list[str] = []
    if better := [name for name, found in verdicts.items() if found == {"better"}]:
        said.append(f"Training made the student better on {listed(better)}.")
    if worse := [name for name, found in verdicts.items() if found == {"worse"}]:
        said.append(f"Training made the student worse on {listed(worse)}.")
    # Decodings that disagree are told one by one, so that nothing is claimed for all of them.
    for name in [name for name, found in verdicts.items() if len(found) > 1]:
        each = [f"{item.verdict} ({item.decoding})" for item in main if item.benchmark == name]
        said += [f"On {name}: {', '.join(each)}."]
    if same := [name for name, found in verdicts.items() if found == {"no significant difference"}]:
        said.append(f"No significant difference on {listed(same)}.")
    return " ".join(said)


def primary(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons at the smallest k of each benchmark and decoding."""
    least: dict[tuple[str, str], int] = {}
    for item in comparisons:
        key = (item.benchmark, item.decoding)
        least[key] = min(item.k, least.get(key, item.k))
    return [item for item in comparisons if item.k == least[item.benchmark, item.decoding]]


def where(item: Comparison) -> str:
    """Benchmark, decoding and measure of a comparison."""
    return f"{item.benchmark} ({item.decoding}, pass@{item.k})"


def _formats_not_sat(data: ReportData) -> list[str]:
    """Where *before* is the best of fewer prompt formats than elsewhere on the same benchmark."""
    sat: dict[tuple[str, str], set[str]] = {}
    for score in data.before:
        sat.setdefault((score.benchmark, score.decoding), set()).add(score.prompting)
    said: list[str] = []
    for (benchmark, decoding), formats in sat.items():
        every = {form for (other, _), found in sat.items() if other == benchmark for form in found}
        if missing := sorted(every - formats):
            said.append(f"On {benchmark} ({decoding}) the student before was not asked in {', '.join(missing)}, in which it may be better.")
    return said


def caveats(data: ReportData) -> list[str]:
    """What a careful reader should know about the comparisons."""
    said = [
        (
            "Before is the student as shipped, in the prompt format that serves it best by the same measure. "
            "After is the trained student in the format it was trained in."
        )
    ]
    said += _formats_not_sat(data)
    count = len(data.comparisons)
    if count > 1:
        said.append(f"The {count} p-values are not corrected for their number: even without any change, about one in twenty falls below 0.05.")
    if left := sum(item.left_out for item in primary(data.comparisons)):
        are = "is" if left == 1 else "are"
        said.append(f"{left} {plural(left, 'problem')} without an answer on both sides, because runs of ours failed, {are} left out of the pairs.")
    if data.comparisons:
        said.append("Intervals and p-values speak of other problems of the same kind. They do not speak of other training seeds.")
    return said


def training_words(data: ReportData) -> list[str]:
    """What training was made of."""
    said: list[str] = []
    flow = data.flow
    for item in data.histograms:
        right = item.counts.get(Outcome.PASSED, 0)
        author = item.author[:1].upper() + item.author[1:]
        said.append(f"{author}: {right} of {item.total} {plural(item.total, 'answer')} passed every test ({percent(right, item.total)}).")
    if flow:
        pairs = f"{flow.pairs} {plural(flow.pairs, 'pair')} of a better and a worse answer"
        said.append(f"{flow.kept} of {flow.problems} {plural(flow.problems, 'problem')} taught, with {pairs}.")
    return [*said, *_standing_words(data)]


def _standing_words(data: ReportData) -> Iterator[str]:
    """Where teachers and tests disagree."""
    for item in data.standings:
        if item.passed < item.answered:
            such = f" (such as {', '.join(item.such)})" if item.such else ""
            yield (
                f"Teacher against tests: an answer of {item.teacher} passes on {item.passed} of {item.answered} problems. Of the others the student solves "
                f"{item.student_alone}{such}, and another teacher {item.others_alone}: there it is wrong, or the tests are."
            )
    if data.unsolved:
        many = "problem is solved by nobody: its" if data.unsolved == 1 else "problems are solved by nobody: their"
        yield f"{data.unsolved} training {many} tests may ask for what is not said."


def failure_words(data: ReportData) -> str:
    """How much of our own work failed, in one sentence."""
    count = sum(len(run.failures) for run in data.runs)
    if not count:
        return "Every run of ours finished: no result is missing."
    rest = "It is counted here and is not scored" if count == 1 else "They are counted here and are not scored"
    return f"{count} {plural(count, 'case')} failed on our side. {rest}: a failure of ours is never a result."


def signed(share: float) -> str:
    """A difference of shares in points, with its sign."""
    return f"{100 * share:+.1f}".replace("-", "−")


def percent(part: float, whole: float) -> str:
    """A share as text."""
    return f"{100 * part / whole:.1f} %" if whole else "none"


def plural(count: int, word: str) -> str:
    """The word for so many."""
    return word if count == 1 else f"{word}s"


def listed(items: Iterable[str]) -> str:
    """Distinct items as `a, b and c`, in order."""
    found = list(dict.fromkeys(items))
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} and {found[-1]}" if found else "nothing"


def seconds_text(seconds: float) -> str:
    """A duration: `4.2 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
