"""Which problems are fit to learn from: one gate, for `rrtf check` and for the pipeline alike.

Each rule has an action. `drop` leaves the problem out with its reason, `warn` says what was seen and keeps it, `off` does not look (and saves the programs it
would take), `stop` is `drop` in `rrtf check` and ends a pipeline, so that somebody looks. Not here: what is run (`rrtf.quality.fitness`), what is read off the
tests (`rrtf.quality.suites`), which problems of a set are nearly one (`rrtf.overlap.duplicates`; whoever asks the gate adds that, for it is about the set),
and likeness to benchmarks, which is not a fault of the problem (`rrtf.overlap.leaks`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from rrtf.quality.findings import Action, Finding
from rrtf.quality.fitness import Effort, Fitness, Tick, measure
from rrtf.quality.suites import contradicting, repeated, size
from rrtf.records import Problem
from rrtf.sandbox import SandboxConfig, SandboxRuntime

RULES: Mapping[str, str] = {
    "no_reference": "no reference",
    "reference_fails": "its reference fails",
    "contradicting_tests": "its tests contradict each other",
    "flaky": "its tests do not say the same every time",
    "stub_passes": "a program that does nothing passes",
    "weak_tests": "its tests miss small faults",
    "slow": "its reference is slow",
    "few_tests": "it has few tests",
    "duplicate_tests": "tests ask the same twice",
    "near_duplicate": "it is nearly another problem",
}
"""Every rule: its key in a recipe, and its words in findings, from the gravest to the lightest."""


class GateConfig(BaseModel):
    """What becomes of problems whose tests would teach the wrong thing. Each rule: `stop`, `drop`, `warn` or `off`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    no_reference: Action = "warn"
    """It has no reference: its tests cannot be checked. That is no fault where a model teaches."""
    reference_fails: Action = "stop"
    """Its reference fails its own tests."""
    contradicting_tests: Action = "drop"
    """Two tests ask the same and expect different answers."""
    flaky: Action = "drop"
    """Its reference passes a test in one run and fails it in another, with another hash seed, another state of `random` or another order of the tests."""
    stub_passes: Action = "drop"
    """A program that does nothing of what is asked passes: `pass`, a constant, an echo of the input."""
    weak_tests: Action = "warn"
    """Its tests notice less than `kill_rate` of the faulty copies of its reference."""
    slow: Action = "warn"
    """Its reference takes more than `slow_share` of the processor seconds of the limit: right answers that are a little slower fail."""
    few_tests: Action = "warn"
    """It has fewer than `least_tests` tests, counting every assertion in code."""
    duplicate_tests: Action = "warn"
    """Two tests ask the same and expect the same: there are fewer tests than it seems."""
    near_duplicate: Action = "drop"
    """Its statement or its reference is nearly that of an earlier problem that is kept, by the rules of `rrtf.overlap.duplicates`: it would teach the same
    twice."""

    kill_rate: float = Field(default=0.8, ge=0, le=1)
    """Least share of faulty copies that the tests must notice. Some copies are no worse than the reference, so 1 asks too much."""
    mutants: int = Field(default=40, ge=1)
    """Most faulty copies tried of one reference."""
    repeats: int = Field(default=4, ge=1, le=1000)
    """How often each reference is run again to find flaky tests."""
    slow_share: float = Field(default=0.5, gt=0, le=1)
    """Share of the processor seconds of the limit above which a reference is slow."""
    least_tests: int = Field(default=3, ge=1)
    """Fewer tests than this are few."""

    def action(self, rule: str) -> Action:
        """What is done about a rule, by its key in `RULES`."""
        return getattr(self, rule)

    def effort(self) -> Effort:
        """What has to be run for the rules that are not off."""
        return Effort(
            stubs=self.stub_passes != "off",
            mutants=0 if self.weak_tests == "off" else self.mutants,
            repeats=0 if self.flaky == "off" else self.repeats,
        )


@dataclass(frozen=True, slots=True)
class Gated:
    """What the gate says of one problem."""

    fitness: Fitness
    findings: tuple[Finding, ...]
    """From the gravest to the lightest."""

    @property
    def problem(self) -> Problem:
        """The problem itself."""
        return self.fitness.problem

    @property
    def grave(self) -> tuple[Finding, ...]:
        """Why it should not be used; empty for problems to keep."""
        return tuple(finding for finding in self.findings if finding.action in ("stop", "drop"))

    @property
    def keep(self) -> bool:
        """Whether nothing speaks against its use. Meaningless where `judged` is false."""
        return not self.grave

    @property
    def judged(self) -> bool:
        """Whether the gate saw everything it wanted to. If not, that is trouble of ours and says nothing about the problem."""
        return not self.fitness.failures


def gate(problems: Sequence[Problem], config: GateConfig, sandbox: SandboxConfig, runtime: SandboxRuntime, tick: Tick = lambda count: None) -> Iterator[Gated]:
    """What the gate says of each problem, in order, a group of problems at a time. `tick` counts finished problems.

    Problems must differ in their ids, and are not compared with one another. A problem that could not be judged to its end has findings all the same; see
    `Gated.judged`. Raises `SandboxError` when nothing can be judged on this machine.
    """
    for fitness in measure(problems, sandbox, runtime, config.effort(), tick):
        yield Gated(fitness, tuple(findings(fitness, config, sandbox.limits.cpu_seconds)))


def findings(fitness: Fitness, config: GateConfig, cpu_seconds: float) -> Iterator[Finding]:
    """Every finding about one problem, by the rules that are not off."""
    seen = _seen(fitness, config, cpu_seconds)
    for rule, words in RULES.items():
        detail, action = seen.get(rule, ""), config.action(rule)
        if detail and action != "off":
            yield Finding(fitness.problem.name, words, detail, action)


def _seen(fitness: Fitness, config: GateConfig, cpu_seconds: float) -> dict[str, str]:
    """What was seen, by rule."""
    problem, reference = fitness.problem, fitness.reference
    seen = {
        "contradicting_tests": _first(contradicting(problem)),
        "duplicate_tests": _first(repeated(problem)),
        "flaky": _first(fitness.flaky),
        "stub_passes": ", ".join(fitness.passing_stubs),
    }
    if problem.reference is None:
        seen["no_reference"] = "its tests cannot be checked, and it has no answer to learn from"
    if size(problem) < config.least_tests:
        seen["few_tests"] = f"{size(problem)}, fewer than {config.least_tests}"
    if reference is not None and not fitness.sound:
        seen["reference_fails"] = f"{reference.cause} ({reference.passed} of {reference.total} tests passed)"
    if fitness.sound and reference is not None and reference.cpu_seconds > config.slow_share * cpu_seconds:
        seen["slow"] = f"it takes more than {config.slow_share:.0%} of the {cpu_seconds:g} processor seconds that answers get"
    if fitness.killed < config.kill_rate * fitness.mutants:
        seen["weak_tests"] = f"{fitness.killed} of {fitness.mutants} noticed; missed: {'; '.join(fitness.survivors)}"
    return seen


def _first(found: Sequence[str]) -> str:
    return found[0] + (f", and {len(found) - 1} more" if len(found) > 1 else "") if found else ""
