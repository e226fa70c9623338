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
from rrtf.evolution.guided.candidates import Candidate, Known, candidates, name
from rrtf.evolution.guided.config import GATE, GuidedConfig
from rrtf.evolution.guided.distinct import Index, Member, agrees, normal_text, told
from rrtf.evolution.guided.forms import Form, arguments, program, read
from rrtf.evolution.guided.journal import NOWHERE, Journal, Judged
from rrtf.evolution.guided.running import Outcome, Trial, run_all
from rrtf.evolution.guided.writing import written
from rrtf.evolution.lineage import Evolved, Lineage
from rrtf.identity import derive_seed
from rrtf.overlap.trees import Solutions, solutions
from rrtf.overlap.words import Statements, statements
from rrtf.protocols import Sandbox
from rrtf.quality.gate import RULES, GateConfig, gate
from rrtf.quality.mutants import some_mutants
from rrtf.records import CallTest, Problem
from rrtf.sandbox import SandboxConfig, SandboxRuntime, compare, open_sandbox

Tick = Callable[[int], object]
_TOO_LONG, _SAID = "too long", "statement known"
_CHUNK = 512
_LEAST = 8
"""Tests that an evolved problem has at least."""
_TELL = 2
"""Tests at least that an evolved problem's parent would fail."""


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
    journal: Journal
    gate: GateConfig
    index: Index = field(default_factory=Index)
    kept: int = 0
    chunks: int = 0
    """Judged so far."""


def evolve(
    problems: Sequence[Problem],
    config: GuidedConfig,
    sandbox: SandboxConfig,
    runtime: SandboxRuntime,
    seed: int = 0,
    tick: Tick = lambda count: None,
    held_out: Sequence[Problem] = (),
    journal: Journal = NOWHERE,
    gate: GateConfig = GATE,
) -> Iterator[Evolved]:
    """Every candidate and what became of it, until `config.target` are kept or nothing is left to try. `tick` counts kept problems.

    Problems that operators cannot take apart (`forms.read`) are no parents. What is kept overlaps with no problem of `held_out` on paper (`rrtf.overlap`), and
    does not what one of these does that can be taken apart itself. The same problems, configuration and seed give the same candidates in the same order.
    What `journal` knows is not judged again. Raises `SandboxError` when nothing can be judged on this machine.
    """
    growth = _Growth(config, sandbox, runtime, statements(held_out), solutions(held_out), seed, tick, journal, gate)
    journal.open()
    seeds = [Known(form, problem.id, problem.id) for problem in problems if (form := read(problem)) is not None]
    with open_sandbox(sandbox, runtime) as box:
        members = [Member(one.form, one.form.name) for one in seeds]
        members += [Member(form, problem.name, held_out=True) for problem in held_out if (form := read(problem)) is not None]
        growth.index.grow((member.form for member in members), random.Random(derive_seed(seed, "pools")))  # noqa: S311 - any choice will do that is always the same
        for member, outcomes in zip(members, run_all([growth.index.trial(member.form) for member in members], box, runtime.count()), strict=True):
            growth.index.add(member, told(outcomes))
        parents = seeds
        for number in range(1, config.rounds + 1):
            due = config.target if number == config.rounds else config.target * (number + 1) // (config.rounds + 2)
            grown: list[Known] = []
            for evolved, known in _round(growth, parents, seeds, number, due, box):
                yield evolved
                if known is not None:
                    grown.append(known)
            parents = grown or parents
            if growth.kept >= config.target:
                return


def _round(growth: _Growth, parents: Sequence[Known], seeds: Sequence[Known], number: int, due: int, box: Sandbox) -> Iterator[tuple[Evolved, Known | None]]:
    """Candidates of one round until so many are kept altogether."""
    rng = random.Random(derive_seed(growth.seed, "round", number))  # noqa: S311
    tried = candidates(parents, seeds, rng, growth.config.target)
    per_parent: Counter[str] = Counter()
    while growth.kept < due and (chunk := list(islice(tried, min(_CHUNK, 4 * (due - growth.kept) + 16)))):
        chunk = [one for one in chunk if per_parent[one.parent.id] < growth.config.per_parent]
        for one, found in zip(chunk, _decided(growth, chunk, number, box), strict=True):
            evolved, known = found.evolved, None
            if not evolved.dropped:
                if growth.kept >= due:
                    return
                growth.kept += 1
                growth.tick(1)
                per_parent[evolved.lineage.parent] += 1
                known = Known(_form(one, found), evolved.problem.id, evolved.lineage.seed)
            yield evolved, known


def _decided(growth: _Growth, chunk: Sequence[Candidate], number: int, box: Sandbox) -> list[Judged]:
    """What becomes of candidates: remembered, or judged now and remembered from now on."""
    growth.chunks += 1
    found = growth.journal.known(growth.chunks, [name(one) for one in chunk])
    if found is None:
        found = list(_judged(growth, chunk, number, box))
        growth.journal.store(growth.chunks, found)
        return found
    # What is known of it takes the place of running it: the index becomes what it was.
    new = (one for one, judged in zip(chunk, found, strict=True) if judged.evolved.dropped.partition(":")[0] not in (_TOO_LONG, _SAID))
    _grow_pools(growth, [one.draft.form for one in new], number)
    for one, judged in zip(chunk, found, strict=True):
        if judged.did:
            growth.index.add(Member(_form(one, judged), one.draft.form.name), judged.did)
    return found


def _form(one: Candidate, judged: Judged) -> Form:
    return replace(one.draft.form, inputs=judged.inputs, outputs=judged.outputs)


def _grow_pools(growth: _Growth, forms: Sequence[Form], number: int) -> None:
    growth.index.grow(forms, random.Random(derive_seed(growth.seed, "pools", number, growth.kept)))  # noqa: S311


def _judged(growth: _Growth, chunk: Sequence[Candidate], number: int, box: Sandbox) -> Iterator[Judged]:
    """What becomes of candidates, in order."""
    config, index, threads = growth.config, growth.index, growth.runtime.count()
    verdicts: dict[int, tuple[str, str]] = {}
    forms = [one.draft.form for one in chunk]
    texts: set[str] = set()
    for place, form in enumerate(forms):
        text = normal_text(form)
        if len(form.text) > config.longest or len(form.parameters) > 5:
            verdicts[place] = _TOO_LONG, f"{len(form.text)} characters, {len(form.parameters)} parameters"
        elif text in index.texts or text in texts:
            verdicts[place] = _SAID, ""
        texts.add(text)
    _grow_pools(growth, [form for place, form in enumerate(forms) if place not in verdicts], number)
    open_places = [place for place in range(len(chunk)) if place not in verdicts]
    ran = run_all([index.trial(forms[place], forms[place].inputs) for place in open_places], box, threads)
    did: dict[int, str] = {}
    problems: dict[int, Problem] = {}
    for place, outcomes in zip(open_places, ran, strict=True):
        own = len(forms[place].inputs)
        did[place] = told(outcomes[own:])
        forms[place], fault = _learned(forms[place], outcomes[:own], chunk[place].draft.method)
        fault = fault or _degenerate(forms[place])
        if fault:
            verdicts[place] = fault, ""
    sound = [place for place in open_places if place not in verdicts]
    telling = _telling(forms, chunk, sound, box, threads)
    for place in sound:
        problems[place] = written(forms[place], name(chunk[place]), chunk[place].draft.method, config.tests, telling.get(place, set()))
        if len(telling.get(place, "two")) < _TELL:
            verdicts[place] = "does what its parent does", ""
        elif not problems[place].prompt:
            verdicts[place] = "not writable as a docstring", ""
    compared = [place for place in open_places if place not in verdicts]
    _compare(growth, forms, did, compared, verdicts, box)
    open_problems = {place: problem for place, problem in problems.items() if place not in verdicts}
    for place, verdict in _accepted(growth, open_problems, box, threads).items():
        verdicts.setdefault(place, verdict)
    for place, one in enumerate(chunk):
        problem = problems.get(place) or written(one.draft.form, name(one), one.draft.method, 0, set())
        reason, detail = verdicts.get(place, ("", ""))
        other = one.other.id if one.other else ""
        lineage = Lineage(seed=one.parent.seed, parent=one.parent.id, other=other, method=one.draft.method, round=number, author="program")
        evolved = Evolved(problem=problem, lineage=lineage, dropped=f"{reason}: {detail}" if detail else reason)
        if place in compared:
            yield Judged(evolved=evolved, inputs=forms[place].inputs, outputs=forms[place].outputs, did=did[place])
        else:
            yield Judged(evolved=evolved)


def _accepted(growth: _Growth, problems: dict[int, Problem], box: Sandbox, threads: int) -> dict[int, tuple[str, str]]:
    """Why problems are not accepted: likeness to held-out ones, or the gate."""
    places = {problem.id: place for place, problem in problems.items()}
    refused: dict[int, tuple[str, str]] = {}
    for place, problem in problems.items():
        if (words := growth.said.shared(problem)) is not None:
            refused[place] = "says what a held-out problem says", f"{words[0]}: {words[1]!r}"
        elif (held := growth.solved.held(problem.reference or "")) is not None:
            refused[place] = "holds a held-out problem's solution", f"{held[0]}: {held[1]}"
    fit = {place: problem for place, problem in problems.items() if place not in refused}
    for place, survived in _survivors(fit, growth.gate, box, threads).items():
        refused[place] = RULES["weak_tests"], survived
    limits = growth.sandbox.limits.model_copy(update={"reference_factor": 0.0})  # references are quick: what ran already needs no measuring
    sandbox, rest = growth.sandbox.model_copy(update={"limits": limits}), growth.gate.model_copy(update={"weak_tests": "off"})
    for found in gate([problem for place, problem in fit.items() if place not in refused], rest, sandbox, growth.runtime):
        if not found.judged:
            refused[places[found.problem.id]] = "not judged", found.fitness.failures[0]
        elif not found.keep:
            refused[places[found.problem.id]] = found.grave[0].rule, found.grave[0].detail
    return refused


def _survivors(problems: dict[int, Problem], config: GateConfig, box: Sandbox, threads: int) -> dict[int, str]:
    """Problems whose tests miss more faulty copies than the gate allows: its rule and its copies, but many of them in one program, which is faster."""
    if config.weak_tests == "off":
        return {}
    copies = [(place, mutant) for place, problem in problems.items() for mutant in some_mutants(problem.reference or "", problem.entry_point, config.mutants)]
    tests = {place: [(test.args, test.expected or "") for test in problem.tests if isinstance(test, CallTest)] for place, problem in problems.items()}
    trials = [Trial(mutant.source, problems[place].entry_point or "", tuple(args for args, _ in tests[place])) for place, mutant in copies]
    made, alive = Counter(place for place, _ in copies), dict[int, list[str]]()
    for (place, mutant), outcomes in zip(copies, run_all(trials, box, threads), strict=True):
        wanted = [expected for _, expected in tests[place]]
        if outcomes and all(_same(outcome, expected) for outcome, expected in zip(outcomes, wanted, strict=True)):
            alive.setdefault(place, []).append(mutant.change)
    return {place: f"missed: {'; '.join(names)}" for place, names in alive.items() if made[place] - len(names) < config.kill_rate * made[place]}


def _same(outcome: Outcome, expected: str) -> bool:
    return outcome.error == "ValueError" if not expected else bool(outcome.value) and compare.matches(expected, outcome.value)


def _compare(growth: _Growth, forms: Sequence[Form], did: dict[int, str], places: Sequence[int], verdicts: dict[int, tuple[str, str]], box: Sandbox) -> None:
    """Drops candidates that do what something known does, or an earlier candidate; the others become known."""
    index = growth.index
    met: list[tuple[int, Member]] = []
    for place in places:
        met += [(place, member) for member in index.alike(forms[place], did[place])]
        index.add(Member(forms[place], forms[place].name), did[place])
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


def _telling(forms: Sequence[Form], chunk: Sequence[Candidate], places: Sequence[int], box: Sandbox, threads: int) -> dict[int, set[str]]:
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
