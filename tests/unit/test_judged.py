"""`from rrtf import judge`: the judge as a library."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

import rrtf as package
from rrtf import judge
from rrtf.benchmarks import open_benchmark
from rrtf.errors import DataError, RecipeError, SandboxFailure
from rrtf.records import CallTest, Outcome, Problem, Verdict
from rrtf.sandbox import PlainConfig, ProcessConfig, SandboxRuntime
from rrtf.sandbox.process import ProcessSandbox

ROOT = Path(__file__).parents[2]
STARTER = open_benchmark("starter", split="train").problems()
ONE = Problem(
    name="one", instruction="", prompt="", entry_point="f", tests=(CallTest("[1]", "2"), CallTest("[2]", "3")), reference="def f(x):\n    return x + 1\n"
)
RUNTIME = SandboxRuntime(workers=1)


def outcomes(found: package.Judgement) -> list[str]:
    return [verdict.outcome.name if verdict else "none" for verdict in found.verdicts]


def test_one_problem_and_its_answers() -> None:
    found = judge(ONE, ["def f(x):\n    return x + 1", "def f(x):\n    return 2", "def f(x:"], form="chat", runtime=RUNTIME)
    assert outcomes(found) == ["PASSED", "PARTIAL", "COMPILE_ERROR"]
    assert found.failures == {}
    assert found.pass_at(1) == pytest.approx(1 / 3)
    assert outcomes(judge(ONE, "def f(x):\n    return 1 + x", runtime=RUNTIME)) == ["PASSED"]


@pytest.mark.parametrize("problems", ["starter", STARTER[:3]])
def test_many_answers_as_pairs_or_as_rows(problems: Any) -> None:
    first, second = STARTER[0], STARTER[1]
    rows = [(second.name, second.reference or ""), {"task_id": first.name, "completion": "    pass"}, {"name": first.name, "completion": first.reference or ""}]
    found = judge(problems, rows, runtime=RUNTIME)
    assert found.names == (second.name, first.name, first.name)
    assert [outcome == "PASSED" for outcome in outcomes(found)] == [True, False, True]
    assert found.pass_at(1) == pytest.approx(3 / 4)
    with pytest.raises(DataError, match="no problems to score"):
        found.pass_at(10)


def test_it_says_the_same_as_the_command_and_knows_what_that_has_judged(rrtf: Any, tmp_path: Path) -> None:
    rows = [{"task_id": problem.name, "completion": problem.reference} for problem in STARTER[:3]]
    (tmp_path / "a.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert rrtf("judge", tmp_path / "a.jsonl", "--benchmark", "starter", "--out", tmp_path / "v.jsonl").code == 0
    written = [json.loads(line) for line in (tmp_path / "v.jsonl").read_text().splitlines()]
    found = judge("starter", rows)
    assert found.tally.known == 3
    for row, verdict in zip(written, found.verdicts, strict=True):
        assert verdict is not None
        assert (row["outcome"], tuple(row["tests"]), row["cpu_seconds"]) == (verdict.outcome.name, verdict.tests, verdict.cpu_seconds)


def test_a_failure_of_ours_stands_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    real = ProcessSandbox.run

    def falls_over(self: Any, program: Any) -> Any:
        if "unlucky" in program.source:
            raise SandboxFailure("no more room")
        return real(self, program)

    monkeypatch.setattr(ProcessSandbox, "run", falls_over)
    found = judge(ONE, ["def f(x):\n    return x + 1", "def f(unlucky):\n    return 1"], runtime=RUNTIME)
    assert outcomes(found) == ["PASSED", "none"]
    assert list(found.failures) == [1]
    assert "no more room" in found.failures[1]
    with pytest.raises(DataError):
        found.pass_at(1)


@pytest.mark.parametrize(
    ("problems", "answers", "error", "said"),
    [
        ("starter", ["text alone"], DataError, "Answer 0 is neither a pair"),
        ("starter", [("starter/nothing", "")], DataError, "is to 'starter/nothing', which is not among the problems"),
        ("startre", [("x", "")], RecipeError, "Did you mean 'starter'"),
        (ONE, [{"task_id": "one"}], DataError, "Answer 0 is neither a pair"),
    ],
)
def test_mistakes_are_named(problems: Any, answers: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as caught:
        judge(problems, answers)
    assert said in str(caught.value)


def test_the_sandbox_can_be_chosen() -> None:
    found = judge(ONE, "def f(x):\n    return x + 1", sandbox=PlainConfig(backend="plain"), runtime=SandboxRuntime(workers=1, cache="none"))
    assert outcomes(found) == ["PASSED"]
    assert judge(ONE, "def f(x):\n    return x + 1", sandbox=ProcessConfig(), runtime=RUNTIME).tally.known == 0


def test_the_package_has_what_it_says_it_has() -> None:
    assert all(hasattr(package, name) for name in package.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing  # pyright: ignore[reportAttributeAccessIssue]


def test_the_example_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "docs" / "judging.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(ast.parse(example), "docs/judging.md", "exec"), names)
    assert isinstance(names["found"].verdicts[0], Verdict)
    assert [verdict.outcome for verdict in names["found"].verdicts] == [Outcome.PASSED, Outcome.PARTIAL]
    assert [line.strip() for line in capsys.readouterr().out.splitlines()] == re.findall(r"#  (.*)", example)
