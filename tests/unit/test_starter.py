from __future__ import annotations

import ast
import doctest

import pytest

from rrtf import values
from rrtf.benchmarks.starter import TRAIN, starter
from rrtf.overlap.duplicates import repeats
from rrtf.quality.gate import GateConfig, gate
from rrtf.quality.split import stratified
from rrtf.records import CallTest, Problem
from rrtf.sandbox import ProcessConfig, SandboxRuntime

PROBLEMS = starter().problems()
SAMPLE = [*PROBLEMS[::40], *(problem for problem in PROBLEMS if problem.name == "starter/fewest_boxes")]
"""The last one's tests notice exactly four of five faults: just enough."""


def test_sizes_and_splits() -> None:
    assert len(PROBLEMS) >= 350
    assert len(starter("train").problems()) == TRAIN == 250
    assert len(starter("test").problems()) == len(PROBLEMS) - 250 >= 100
    assert starter("test").name == "starter"


def test_the_split_follows_from_the_names() -> None:
    assert stratified(PROBLEMS, TRAIN) == list(PROBLEMS)
    assert sorted(stratified(reversed(PROBLEMS), TRAIN), key=lambda problem: problem.name) == list(PROBLEMS)


@pytest.mark.parametrize("level", ["easy", "medium", "hard"])
def test_every_level_is_in_both_splits(level: str) -> None:
    assert {problem.split for problem in PROBLEMS if problem.level == level} == {"train", "test"}


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_each_problem_has_the_shape_that_models_are_examined_in(problem: Problem) -> None:
    assert problem.name == f"starter/{problem.entry_point}"
    assert problem.level in ("easy", "medium", "hard")
    assert problem.topic
    assert problem.reference is not None
    assert problem.reference.startswith(problem.prompt)
    function = ast.parse(problem.prompt).body[-1]
    assert isinstance(function, ast.FunctionDef)
    assert function.returns is not None
    assert all(argument.annotation for argument in function.args.args)
    assert ast.get_docstring(function) == problem.instruction
    assert len(doctest.DocTestParser().get_examples(problem.instruction)) >= 2
    assert len(problem.tests) >= 8
    assert all(isinstance(test, CallTest) and values.dumps(values.loads(test.args)) == test.args for test in problem.tests)
    assert len({test.args for test in problem.tests if isinstance(test, CallTest)}) == len(problem.tests)


def test_statements_and_references_differ() -> None:
    assert not list(repeats(PROBLEMS))


def test_a_sample_holds_together() -> None:
    """All of them: scripts/check_starter.py."""
    done = list(gate(SAMPLE, GateConfig(), ProcessConfig(), SandboxRuntime(workers=2)))
    assert [(found.problem.name, found.findings, found.fitness.failures) for found in done] == [(problem.name, (), []) for problem in SAMPLE]
    assert all(found.fitness.mutants for found in done)
