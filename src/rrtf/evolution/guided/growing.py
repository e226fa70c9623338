"""Rounds of guided evolution: candidates in a fair order, run, compared with everything that was kept, judged by the gate.

Not here: the operators (`operators`), what counts as the same problem (`distinct`), the gate's rules (`rrtf.quality.gate`).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from rrtf import values
from rrtf.evolution.guided import kinds
from rrtf.evolution.guided.config import Evolved, GuidedConfig
from rrtf.evolution.guided.distinct import Index, Member, agrees, normal_text
from rrtf.evolution.guided.forms import Form, arguments, program, read
from rrtf.evolution.guided.operators import Draft, condition, each, error, generalise, pipe
from rrtf.evolution.guided.operators import after as after_result
from rrtf.evolution.guided.running import Outcome, Trial, run_all
from rrtf.evolution.guided.tables import rows
from rrtf.evolution.guided.writing import written
from rrtf.evolution.lineage import Lineage
from rrtf.identity import derive_seed, fingerprint
from rrtf.overlap.trees import Solutions, solutions
from rrtf.overlap.words import Statements, statements
from rrtf.protocols import Sandbox
from rrtf.quality.gate import RULES, gate
from rrtf.quality.mutants import some_mutants
from rrtf.records import CallTest, Problem
from rrtf.sandbox import SandboxConfig, SandboxRuntime, compare, open_sandbox

Tick = Callable[[int], object]
_CHUNK = 512
_LEAST = 8
"""Tests that an evolved problem has at least."""
_TELL = 2
"""Tests at least that an evolved problem's parent would fail."""
_TURNS = ("after", "compose", "each", "condition", "after", "compose", "each", "error", "after", "compose", "generalise", "condition")
"""In which order families of operators take turns; who has nothing left is passed over."""
_PAIRS = 6
"""Pairs of problems tried in a round, per problem that is wanted."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A problem that may be evolved."""

    form: Form
    id: str
    seed: str


@dataclass(frozen=True, slots=True)
class _Candidate:
    draft: Draft
    parent: _Known
    other: _Known | None


def _mark(one: _Candidate) -> str:
    """What tells apart candidates with one name."""
    return fingerprint([one.draft.form.text, one.parent.id, one.draft.method])[:8]


@dataclass(slots=True)
class _Growth:
    """What is the same for all rounds, and what grows."""

    config: GuidedConfig
    sandbox: SandboxConfig
    runtime: SandboxRuntime
    said: Statements
    """Of held-out problems."""
    solved: Solutions
    seed: int
    tick: Tick
    index: Index = field(default_factory=Index)
    kept: int = 0


def evolve(
    problems: Sequence[Problem],
    config: GuidedConfig,
    sandbox: SandboxConfig,
    runtime: SandboxRuntime,
    seed: int = 0,
    tick: Tick = lambda count: None,
    held_out: Sequence[Problem] = (),
) -> Iterator[Evolved]:
    """Every candidate and what became of it, until `config.target` are kept or nothing is left to try. `tick` counts kept problems.

    Problems that operators cannot take apart (`forms.read`) are no parents. What is kept overlaps with no problem of `held_out` on paper (`rrtf.overlap`), and
    does not what one of these does that can be taken apart itself. The same problems, configuration and seed give the same candidates in the same order.
    Raises `SandboxError` when nothing can be judged on this machine.
    """
    growth = _Growth(config, sandbox, runtime, statements(held_out), solutions(held_out), seed, tick)
    seeds = [_Known(form, problem.id, problem.id) for problem in problems if (form := read(problem)) is not None]
    with open_sandbox(sandbox, runtime) as box:
        members = [Member(one.form, one.form.name) for one in seeds]
        members += [Member(form, problem.name, held_out=True) for problem in held_out if (form := read(problem)) is not None]
        growth.index.grow((member.form for member in members), random.Random(derive_seed(seed, "pools")))  # noqa: S311 - any choice will do that is always the same
        for member, outcomes in zip(members, run_all([growth.index.trial(member.form) for member in members], box, runtime.count()), strict=True):
            growth.index.add(member, outcomes)
        parents = seeds
        for number in range(1, config.rounds + 1):
            due = config.target if number == config.rounds else config.target * (number + 1) // (config.rounds + 2)
            grown: list[_Known] = []
            for evolved, known in _round(growth, parents, seeds, number, due, box):
                yield evolved
                if known is not None:
                    grown.append(known)
            parents = grown or parents
            if growth.kept >= config.target:
                return


def _round(growth: _Growth, parents: Sequence[_Known], seeds: Sequence[_Known], number: int, due: int, box: Sandbox) -> Iterator[tuple[Evolved, _Known | None]]:
    """Candidates of one round until so many are kept altogether."""
    rng = random.Random(derive_seed(growth.seed, "round", number))  # noqa: S311
    candidates = _candidates(parents, seeds, rng, _PAIRS * growth.config.target)
    per_parent: Counter[str] = Counter()
    while growth.kept < due and (chunk := list(islice(candidates, min(_CHUNK, 4 * (due - growth.kept) + 16)))):
        chunk = [one for one in chunk if per_parent[one.parent.id] < growth.config.per_parent]
        for evolved, known in _judged(growth, chunk, number, box):
            if known is not None and growth.kept >= due:
                return
            if known is not None:
                growth.kept += 1
                growth.tick(1)
                per_parent[evolved.lineage.parent] += 1
            yield evolved, known


def _candidates(parents: Sequence[_Known], seeds: Sequence[_Known], rng: random.Random, pairs: int) -> Iterator[_Candidate]:
    """Everything that can be tried, families of operators by turns."""
    left = {family: _shuffled(_family(family, parents, seeds, rng, pairs), rng) for family in dict.fromkeys(_TURNS)}
    while left:
        for family in _TURNS:
            if family in left:
                found = next(left[family], None)
                if found is None:
                    del left[family]
                else:
                    yield found


Try = Callable[[], Iterator[_Candidate]]


def _shuffled(tries: list[Try], rng: random.Random) -> Iterator[_Candidate]:
    rng.shuffle(tries)
    for attempt in tries:
        yield from attempt()


def _family(family: str, parents: Sequence[_Known], seeds: Sequence[_Known], rng: random.Random, pairs: int) -> list[Try]:
    """What one family of operators can try, not yet tried."""

    def made(parent: _Known, make: Callable[[random.Random], Iterator[Draft | None]], other: _Known | None = None) -> Try:
        state = rng.getrandbits(32)
        return lambda: (_Candidate(draft, parent, other) for draft in make(random.Random(state)) if draft is not None)  # noqa: S311

    match family:
        case "after":
            return [
                made(one, lambda luck, one=one, row=row: iter([after_result(one.form, row, luck)]))
                for one in parents
                for row in rows("after")
                if kinds.matches(row.on, one.form.result)
            ]
        case "each":
            return [made(one, lambda luck, one=one, row=row: iter([each(one.form, row, luck)])) for one in parents for row in rows("each")]
        case "condition" | "error":
            change = condition if family == "condition" else error
            table = rows(family)
            return [
                made(one, lambda luck, one=one, row=row, given=given: iter([change(one.form, row, given, luck)]))
                for one in parents
                for given in one.form.parameters
                for row in table
                if kinds.matches(row.on, given.kind)
            ]
        case "generalise":
            return [made(one, lambda luck, one=one: generalise(one.form, luck)) for one in parents]
        case _:
            return [
                made(first, lambda luck, first=first, second=second, given=given: iter([pipe(first.form, second.form, given, luck)]), second)
                for first, second in _pairs(parents, seeds, rng, pairs)
                for given in second.form.parameters
                if given.kind == first.form.result
            ]


def _pairs(parents: Sequence[_Known], seeds: Sequence[_Known], rng: random.Random, most: int) -> list[tuple[_Known, _Known]]:
    """Pairs in which one result may be the other's argument: an evolved problem and a seed, in either order."""
    fitting = [(one, other) for one in parents for other in seeds if one is not other and _pipes(one.form, other.form)]
    if parents is not seeds:
        fitting += [(other, one) for one in parents for other in seeds if _pipes(other.form, one.form)]
    rng.shuffle(fitting)
    return fitting[:most]


def _pipes(first: Form, second: Form) -> bool:
    return first.result not in ("bool", "int | None", "str | None") and any(given.kind == first.result for given in second.parameters)


def _judged(growth: _Growth, chunk: Sequence[_Candidate], number: int, box: Sandbox) -> Iterator[tuple[Evolved, _Known | None]]:
    """What becomes of candidates, in order."""
    config, index, threads = growth.config, growth.index, growth.runtime.count()
    verdicts: dict[int, tuple[str, str]] = {}
    forms = [one.draft.form for one in chunk]
    texts: set[str] = set()
    for place, form in enumerate(forms):
        text = normal_text(form)
        if len(form.text) > config.longest or len(form.parameters) > 5:
            verdicts[place] = "too long", f"{len(form.text)} characters, {len(form.parameters)} parameters"
        elif text in index.texts or text in texts:
            verdicts[place] = "statement known", ""
        texts.add(text)
    index.grow((form for place, form in enumerate(forms) if place not in verdicts), random.Random(derive_seed(growth.seed, "pools", number, growth.kept)))  # noqa: S311
    open_places = [place for place in range(len(chunk)) if place not in verdicts]
    ran = run_all([index.trial(forms[place], forms[place].inputs) for place in open_places], box, threads)
    pooled: dict[int, list[Outcome]] = {}
    problems: dict[int, Problem] = {}
    for place, outcomes in zip(open_places, ran, strict=True):
        own = len(forms[place].inputs)
        pooled[place] = outcomes[own:]
        forms[place], fault = _learned(forms[place], outcomes[:own], chunk[place].draft.method)
        fault = fault or _degenerate(forms[place])
        if fault:
            verdicts[place] = fault, ""
    sound = [place for place in open_places if place not in verdicts]
    telling = _telling(forms, chunk, sound, box, threads)
    for place in sound:
        problems[place] = written(forms[place], _mark(chunk[place]), chunk[place].draft.method, config.tests, telling.get(place, set()))
        if len(telling.get(place, "two")) < _TELL:
            verdicts[place] = "does what its parent does", ""
        elif not problems[place].prompt:
            verdicts[place] = "not writable as a docstring", ""
    _compare(growth, forms, pooled, [place for place in open_places if place not in verdicts], verdicts, box)
    open_problems = {place: problem for place, problem in problems.items() if place not in verdicts}
    for place, verdict in _accepted(growth, open_problems, box, threads).items():
        verdicts.setdefault(place, verdict)
    for place, one in enumerate(chunk):
        problem = problems.get(place) or written(one.draft.form, _mark(one), one.draft.method, 0, set())
        reason, detail = verdicts.get(place, ("", ""))
        other = one.other.id if one.other else ""
        lineage = Lineage(seed=one.parent.seed, parent=one.parent.id, other=other, method=one.draft.method, round=number, author="program")
        known = None if reason else _Known(forms[place], problem.id, one.parent.seed)
        if known is not None:
            index.texts.add(normal_text(known.form))
        yield Evolved(problem=problem, lineage=lineage, dropped=reason, detail=detail), known


def _accepted(growth: _Growth, problems: dict[int, Problem], box: Sandbox, threads: int) -> dict[int, tuple[str, str]]:
    """Why problems are not accepted: likeness to held-out ones, or the gate."""
    config, places = growth.config, {problem.id: place for place, problem in problems.items()}
    refused: dict[int, tuple[str, str]] = {}
    for place, problem in problems.items():
        if (words := growth.said.shared(problem)) is not None:
            refused[place] = "says what a held-out problem says", f"{words[0]}: {words[1]!r}"
        elif (held := growth.solved.held(problem.reference or "")) is not None:
            refused[place] = "holds a held-out problem's solution", f"{held[0]}: {held[1]}"
    fit = {place: problem for place, problem in problems.items() if place not in refused}
    for place, survived in _survivors(fit, config, box, threads).items():
        refused[place] = RULES["weak_tests"], survived
    limits = growth.sandbox.limits.model_copy(update={"reference_factor": 0.0})  # references are quick: what ran already needs no measuring
    sandbox, rest = growth.sandbox.model_copy(update={"limits": limits}), config.gate.model_copy(update={"weak_tests": "off"})
    for found in gate([problem for place, problem in fit.items() if place not in refused], rest, sandbox, growth.runtime):
        if not found.judged:
            refused[places[found.problem.id]] = "not judged", found.fitness.failures[0]
        elif not found.keep:
            refused[places[found.problem.id]] = found.grave[0].rule, found.grave[0].detail
    return refused


def _survivors(problems: dict[int, Problem], config: GuidedConfig, box: Sandbox, threads: int) -> dict[int, str]:
    """Problems whose tests miss more faulty copies than the gate allows: its rule and its copies, but many of them in one program, which is faster."""
    if config.gate.weak_tests == "off":
        return {}
    copies = [
        (place, mutant) for place, problem in problems.items() for mutant in some_mutants(problem.reference or "", problem.entry_point, config.gate.mutants)
    ]
    tests = {place: [(test.args, test.expected or "") for test in problem.tests if isinstance(test, CallTest)] for place, problem in problems.items()}
    trials = [Trial(mutant.source, problems[place].entry_point or "", tuple(args for args, _ in tests[place])) for place, mutant in copies]
    made, alive = Counter(place for place, _ in copies), dict[int, list[str]]()
    for (place, mutant), outcomes in zip(copies, run_all(trials, box, threads), strict=True):
        wanted = [expected for _, expected in tests[place]]
        if outcomes and all(_same(outcome, expected) for outcome, expected in zip(outcomes, wanted, strict=True)):
            alive.setdefault(place, []).append(mutant.change)
    return {place: f"missed: {'; '.join(names)}" for place, names in alive.items() if made[place] - len(names) < config.gate.kill_rate * made[place]}


def _same(outcome: Outcome, expected: str) -> bool:
    return outcome.error == "ValueError" if not expected else bool(outcome.value) and compare.matches(expected, outcome.value)


def _compare(
    growth: _Growth, forms: Sequence[Form], pooled: dict[int, list[Outcome]], places: Sequence[int], verdicts: dict[int, tuple[str, str]], box: Sandbox
) -> None:
    """Drops candidates that do what something known does, or an earlier candidate; the others become known."""
    index = growth.index
    met: list[tuple[int, Member]] = []
    for place in places:
        met += [(place, member) for member in index.alike(forms[place], pooled[place])]
        index.add(Member(forms[place], forms[place].name), pooled[place])
    trials = [Trial(program(forms[place]), forms[place].name, member.form.inputs) for place, member in met]
    for (place, member), outcomes in zip(met, run_all(trials, box, growth.runtime.count()), strict=True):
        if agrees(member, outcomes):
            what = "does what a held-out problem does" if member.held_out else "does what another problem does"
            verdicts.setdefault(place, (what, member.name))


def _learned(form: Form, outcomes: Sequence[Outcome], method: str) -> tuple[Form, str]:
    """The form with the inputs that are allowed and their results; and why it cannot be used."""
    if not outcomes:
        return form, "does not run"
    if any(outcome.error and outcome.message not in form.messages for outcome in outcomes) and method == "compose:pipe":
        return form, "fails on some inputs"
    pairs = [
        (text, outcome.value)
        for text, outcome in zip(form.inputs, outcomes, strict=True)
        if (outcome.value and kinds.fits(form.result, values.loads(outcome.value))) or (outcome.error == "ValueError" and outcome.message in form.messages)
    ]
    learned = replace(form, inputs=tuple(text for text, _ in pairs), outputs=tuple(value for _, value in pairs))
    return learned, "" if len(pairs) >= _LEAST else "too few inputs are allowed"


def _degenerate(form: Form) -> str:
    """Why a form is not worth asking; empty when it is."""
    results = [value for value in form.outputs if value]
    counts = Counter(results)
    if len(results) < _LEAST - 2:
        return "too few results"
    if len(counts) < min(4, 2 if form.result == "bool" else 3) or counts.most_common(1)[0][1] > 0.7 * len(results):
        return "nearly constant"
    rows_known = [arguments(text) for text in form.inputs]
    if any(
        all(not value or values.dumps(row[place]) == value for row, value in zip(rows_known, form.outputs, strict=True))
        for place in range(len(form.parameters))
    ):
        return "returns an argument"
    return ""


def _telling(forms: Sequence[Form], chunk: Sequence[_Candidate], places: Sequence[int], box: Sandbox, threads: int) -> dict[int, set[str]]:
    """Inputs on which candidates differ from their parents, for those that take the arguments of their parents first."""
    asked: list[int] = []
    trials: list[Trial] = []
    for place in places:
        parent, form = chunk[place].parent.form, forms[place]
        count = len(parent.parameters)
        if form.result == parent.result and form.parameters[:count] == parent.parameters:
            asked.append(place)
            trials.append(Trial(program(parent), parent.name, tuple(values.dumps(arguments(text)[:count]) for text in form.inputs)))
    found: dict[int, set[str]] = {}
    for place, outcomes in zip(asked, run_all(trials, box, threads), strict=True):
        form = forms[place]
        pairs = zip(form.inputs, form.outputs, outcomes or [Outcome()] * len(form.inputs), strict=True)
        found[place] = {text for text, value, outcome in pairs if value != outcome.value or (not value and outcome.error != "ValueError")}
    return found
