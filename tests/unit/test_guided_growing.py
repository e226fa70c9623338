"""Rounds of guided evolution, judged for real: what is kept is sound and new, what is dropped has a reason, and the same seed gives the same corpus."""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rrtf import formats, values
from rrtf.benchmarks.starter import starter
from rrtf.evolution.guided import GuidedConfig, Journal, evolve, growing
from rrtf.evolution.guided.config import GATE
from rrtf.evolution.guided.distinct import Index, Member, agrees, told
from rrtf.evolution.guided.forms import read
from rrtf.evolution.guided.running import Outcome, Trial, run_all
from rrtf.evolution.lineage import Evolved
from rrtf.quality.gate import gate
from rrtf.records import CallTest, Problem
from rrtf.records import Outcome as Class
from rrtf.sandbox import ProcessConfig, SandboxRuntime, open_sandbox
from rrtf.sandbox.harness import judge

BOX = ProcessConfig()
RUNTIME = SandboxRuntime(workers=2)
SEEDS = {"count_longer_than", "cinema_price", "is_good_nickname", "double_and_add_one", "running_lengths"}
LIGHT = GATE.model_copy(update={"mutants": 3, "repeats": 0})
"""Enough where a test is about something else."""
FEW = [problem for problem in starter("train").problems() if problem.name.removeprefix("starter/") in SEEDS]


def grown(problems: list[Problem], target: int = 12, seed: int = 0, held_out: list[Problem] | None = None, **changes: Any) -> list[Evolved]:
    rest = {name: changes.pop(name) for name in ("journal", "gate", "tick") if name in changes}
    config = GuidedConfig(**{"target": target, "rounds": 2, **changes})
    return list(evolve(problems, config, BOX, RUNTIME, seed, held_out=held_out or [], **{"gate": LIGHT, **rest}))


def rule(one: Evolved) -> str:
    return one.dropped.partition(":")[0]


@pytest.fixture(scope="module")
def corpus() -> list[Evolved]:
    return grown(FEW, gate=GATE)


def test_what_is_kept_is_whole(corpus: list[Evolved], tmp_path: Any) -> None:
    kept = [one.problem for one in corpus if not one.dropped]
    assert len(kept) == 12
    assert len({problem.name for problem in kept}) == len({problem.id for problem in kept}) == 12
    for problem in kept:
        assert len(problem.tests) >= 8
        function = ast.parse(problem.prompt).body[0]
        assert isinstance(function, ast.FunctionDef)
        assert function.name == problem.entry_point
        assert inspect.cleandoc(ast.get_docstring(function) or "") == problem.instruction
        assert ">>> " in problem.instruction
        assert (problem.reference or "").find(problem.prompt) >= 0
    formats.write_problems(tmp_path / "kept.jsonl", kept)
    assert [problem.id for problem in formats.read_problems(tmp_path / "kept.jsonl")] == [problem.id for problem in kept]


def test_what_is_kept_passes_the_whole_gate(corpus: list[Evolved]) -> None:
    found = list(gate([one.problem for one in corpus if not one.dropped][:6], GATE, BOX, RUNTIME))
    assert [item.grave for item in found] == [()] * 6


def test_parents_fail_the_tests_of_their_children(corpus: list[Evolved]) -> None:
    known = {problem.id: problem for problem in [*FEW, *(one.problem for one in corpus)]}
    with open_sandbox(BOX, RUNTIME) as box:
        for one in corpus:
            if not one.dropped:
                parent = known[one.lineage.parent]
                code = f"{parent.reference}\n\n{one.problem.entry_point} = lambda *given: {parent.entry_point}(*given[:{len(_kinds(parent))}])\n"
                assert judge(one.problem, code, box).outcome is not Class.PASSED, one.problem.name


def test_lineage_leads_back_to_a_seed(corpus: list[Evolved]) -> None:
    ids = {problem.id for problem in FEW}
    made = {one.problem.id: one.lineage for one in corpus if not one.dropped}
    for lineage in made.values():
        assert lineage.author == "program"
        assert lineage.seed in ids
        parents = [one for one in (lineage.parent, lineage.other) if one]
        assert all(one in ids for one in parents) == (lineage.round == 1)
        assert all(one in ids or made[one].round == lineage.round - 1 for one in parents)
        assert (lineage.other != "") == lineage.method.startswith("compose:")
    assert {lineage.round for lineage in made.values()} == {1, 2}


def test_every_drop_has_a_reason_of_few(corpus: list[Evolved]) -> None:
    assert len({rule(one) for one in corpus}) <= 12
    assert any(one.dropped for one in corpus)


def test_the_same_seed_gives_the_same_corpus_and_another_seed_another(corpus: list[Evolved]) -> None:
    again, other = grown(FEW, gate=GATE), grown(FEW, 4, seed=1)
    assert [(one.problem, one.lineage, one.dropped) for one in again] == [(one.problem, one.lineage, one.dropped) for one in corpus]
    assert [one.problem.id for one in other] != [one.problem.id for one in corpus][: len(other)]


def test_what_a_journal_knows_is_not_judged_again(corpus: list[Evolved], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)
    assert grown(FEW, gate=GATE, journal=journal) == corpus
    chunks = sorted(tmp_path.iterdir())
    assert [path.name for path in chunks] == [f"chunk-{number:05}.parquet" for number in range(1, len(chunks) + 1)]
    judged: list[int] = []
    real = growing._judged
    monkeypatch.setattr(growing, "_judged", lambda growth, *rest: (judged.append(growth.chunks), real(growth, *rest))[1])
    assert grown(FEW, gate=GATE, journal=journal) == corpus
    assert judged == []
    chunks[-1].write_bytes(b"damaged by a crash of the machine")
    assert grown(FEW, gate=GATE, journal=journal) == corpus
    assert judged == [len(chunks)]
    judged.clear()
    other = grown(FEW[:3], 4, journal=journal)  # of other candidates it knows nothing
    assert judged
    assert other == grown(FEW[:3], 4)


def test_no_kept_problem_does_what_another_does(corpus: list[Evolved]) -> None:
    problems = [one.problem for one in corpus if not one.dropped] + FEW
    with open_sandbox(BOX, RUNTIME) as box:
        for one in problems:
            for other in problems:
                if one is not other and _kinds(one) == _kinds(other):
                    code = f"{one.reference}\n\n{other.entry_point} = {one.entry_point}\n"
                    assert judge(other, code, box).outcome is not Class.PASSED, (one.name, other.name)


def _kinds(problem: Problem) -> list[str]:
    form = read(problem)
    return [one.kind for one in form.parameters] if form else []


def test_a_held_out_problem_is_not_made_again() -> None:
    free = [one for one in grown(FEW, 8) if not one.dropped]
    taken = free[3].problem
    again = grown(FEW, 8, held_out=[replace(taken, name="exam", instruction="Something else.")])
    same = [one for one in again if one.problem.reference == taken.reference]
    assert [one.dropped for one in same] == ["does what a held-out problem does: exam"]


def test_a_statement_that_overlaps_with_a_held_out_problem_is_dropped() -> None:
    exam = Problem(
        name="exam",
        instruction="Count the words that have more than n letters, then return the sum of all that is left over.",
        prompt="",
        entry_point="f",
        tests=(CallTest(args="[]", expected="1"),),
    )
    free = [one for one in grown(FEW, 8) if not one.dropped]
    words = " ".join(free[5].problem.instruction.split(">>>")[0].split()[:14])
    again = grown(FEW, 8, held_out=[replace(exam, instruction=words)])
    dropped = [one for one in again if rule(one) == "says what a held-out problem says"]
    assert dropped
    assert "exam" in dropped[0].dropped


def test_fewer_come_back_where_there_are_no_more() -> None:
    one = [problem for problem in FEW if problem.name == "starter/is_good_nickname"]
    found = list(evolve(one, GuidedConfig(target=10_000, rounds=1), BOX, RUNTIME))
    assert 0 < sum(not item.dropped for item in found) < 60
    assert list(evolve([], GuidedConfig(), BOX, RUNTIME)) == []


def test_no_parent_fills_the_corpus() -> None:
    found = grown(FEW, 20, per_parent=3)
    counts = Counter(one.lineage.parent for one in found if not one.dropped)
    assert max(counts.values()) <= 3 + len(FEW)  # a chunk is judged as a whole


def test_programs_that_hang_crash_or_do_not_load_take_nobody_with_them() -> None:
    good = Trial("def f(x):\n    return x + 1\n", "f", ("[1]", '["a"]'))
    hangs = Trial("def f(x):\n    while True:\n        pass\n", "f", ("[1]",))
    dies = Trial("import os\ndef f(x):\n    os._exit(3)\n", "f", ("[1]",))
    broken = Trial("def g(x):\n    return x\n", "f", ("[1]",))
    changes = Trial("def f(x):\n    x.append(1)\n    return x\n", "f", ("[[1]]",))
    with open_sandbox(BOX, RUNTIME) as box:
        found = run_all([good, hangs, dies, good, broken, changes], box, 2)
    assert found[0] == found[3]
    assert found[0][0] == Outcome(value="2")
    assert found[0][1].error == "TypeError"
    assert found[1] == [Outcome()]
    assert found[2] == []
    assert found[4] == []
    assert found[5] == [Outcome()]


def test_an_index_asks_those_that_agree_on_the_pool_and_believes_only_their_tests() -> None:
    form = read(FEW[0])
    assert form is not None
    index = Index()
    index.grow([form], __import__("random").Random(0))
    did = told([Outcome(value="1")])
    index.add(Member(form, "one"), did)
    assert [member.name for member in index.alike(form, did)] == ["one"]
    assert index.alike(form, told([Outcome(value="2")])) == []
    assert told([Outcome(error="ValueError", message="a")]) == told([Outcome(error="ValueError", message="b")])
    assert agrees(Member(form, "one"), [Outcome(value=text) for text in form.outputs])
    assert not agrees(Member(form, "one"), [Outcome(value=values.dumps("other")) for _ in form.outputs])


@pytest.mark.slow
def test_twenty_seeds_give_two_hundred_problems() -> None:
    seeds = list(starter("train").problems())[::12][:20]
    found = list(evolve(seeds, GuidedConfig(target=200), BOX, RUNTIME, held_out=starter("test").problems()))
    kept = [one for one in found if not one.dropped]
    assert len(kept) == 200
    assert len({one.lineage.method.partition(":")[0] for one in kept}) == 6
    audited = list(gate([one.problem for one in kept[::5]], GATE, BOX, RUNTIME))
    assert [item.grave for item in audited] == [()] * 40
