"""Judging as everything here uses it: a sandbox opened with its workers, each problem's own limits, and the verdicts that are known already.

What is equal is judged once. A verdict is addressed by all that decides it: the program, the problem without its labels (tests, entry point, files, reference),
the configuration of the sandbox with the rule of its limits, what is isolated, the interpreter, the allowed packages, and the version of the judge. A time-out
is also addressed by the machine, whose speed it depends on, and kept only where nothing but the program can have caused it.

Not here: how programs are run (`rrtf.sandbox`), how their results become verdicts (`rrtf.sandbox.harness`), where verdicts are kept (`rrtf.verdict_store`).
"""

from __future__ import annotations

import dataclasses
import platform
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path
from typing import cast

from rrtf.errors import SandboxError
from rrtf.identity import Json, fingerprint
from rrtf.protocols import Sandbox
from rrtf.records import Problem, PytestTest, Response, Verdict
from rrtf.sandbox import PlainConfig, ProcessConfig, SandboxRuntime, open_sandbox
from rrtf.sandbox.calibration import Timing, allowance, measure
from rrtf.sandbox.harness import JUDGE_VERSION, Allowance, JudgingFailure, Ruling, judge_all
from rrtf.sandbox.verdicts import without_program
from rrtf.verdict_store import VerdictStore, open_store, verdict_content, verdict_from

Judge = Callable[[Iterable[tuple[Problem, Response]]], Iterator[Verdict | JudgingFailure]]
"""Judges answers, in no particular order."""
_HOPELESS = 20
"""So many failures of ours in a row are no hiccups: going on would retry every program in vain and end far from the cause."""
_WAITING = 64
"""Answers that wait for an equal one before the rest is read."""
_LIMITS_KEPT = 4096
"""Problems whose limits are at hand; of others the measurement is in the store."""
_LABELS = {"name", "instruction", "prompt", "split", "level", "topic"}
"""Fields of a problem that no verdict depends on. A field that is added later counts until it stands here."""


@dataclass(slots=True)
class Tally:
    """What judging cost, and what it was spared."""

    answers: int = 0
    without_program: int = 0
    programs: int = 0
    """Run, because nothing was known."""
    known: int = 0
    """Answers whose verdicts were kept by earlier judging."""
    equal: int = 0
    """Answers equal to another one of these."""
    again: int = 0
    """Time-outs judged a second time."""
    passing: int = 0
    """Time-outs that were none the second time."""
    unkept: int = 0
    """Time-outs on a machine so busy that they are not kept."""
    uncalibrated: dict[str, str] = field(default_factory=dict[str, str])
    """Problems whose references set no limits -> why not. Those without a reference are not named."""
    raised: dict[str, float] = field(default_factory=dict[str, float])
    """Problems with other limits than the least -> processor seconds."""

    def words(self) -> str:
        """One line."""
        asked = self.answers - self.without_program
        share = f" ({100 * self.known / asked:.0f} %)" if asked else ""
        said = [f"{self.answers} answers: {self.programs} programs run", f"{self.known} answers known from before{share}", f"{self.equal} equal to another"]
        if self.without_program:
            said.append(f"{self.without_program} without a program")
        if self.again:
            said.append(f"{self.again} time-outs judged again, {self.passing} of which were none then")
        if self.unkept:
            said.append(f"{self.unkept} time-outs not kept because the machine is busy")
        return ", ".join(said)

    def limit_words(self) -> Iterator[str]:
        """What is worth saying of limits: references that set none, and those that raised them."""
        named = self.uncalibrated
        if named:
            name, why = next(iter(named.items()))
            yield f"{len(named)} references set no limits for their problems, which have those of problems without one; the first, {name}: {why}"
        if self.raised:
            name = max(self.raised, key=lambda name: self.raised[name])
            yield f"{len(self.raised)} problems have more than the least processor time, the most {name}: {self.raised[name]:.3g} s"


@contextmanager
def open_judge(
    config: ProcessConfig | PlainConfig, runtime: SandboxRuntime, tally: Tally | None = None, say: Callable[[str], object] | None = None
) -> Generator[Judge]:
    """A sandbox for the length of the block, as a function from answers to verdicts. That raises `SandboxError` when nothing can be judged on this machine.

    Who gives a `tally` gets the counts in it; otherwise they are said at the end. `say` takes what a user should know, and prints it when not given.
    """
    say = say or _say
    counts = tally or Tally()
    with open_sandbox(config, runtime) as sandbox, open_store(runtime.cache, say) as store:
        opened = _Opened(config, sandbox, runtime.count(), store, counts)
        yield opened.judge
        if tally is None and counts.answers:
            say(f"  verdicts: {counts.words()}")
            for line in counts.limit_words():
                say(f"  limits: {line}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class _Opened:
    """What stays the same from answer to answer, and what is learned on the way."""

    def __init__(self, config: ProcessConfig | PlainConfig, sandbox: Sandbox, threads: int, store: VerdictStore, tally: Tally) -> None:
        self.config, self.sandbox, self.threads, self.store, self.tally = config, sandbox, threads, store, tally
        self.place = fingerprint([judge_identity(config), sorted(sandbox.isolation().granted), _interpreter(), _versions(config.packages)])
        self.fleeting: dict[str, Verdict] = {}
        """Verdicts that are not worth keeping, but count until the end: equal programs have equal verdicts."""
        self.allowances: dict[str, Future[Allowance]] = {}
        self.lock = threading.Lock()

    def judge(self, answers: Iterable[tuple[Problem, Response]]) -> Iterator[Verdict | JudgingFailure]:
        """See `Judge`."""
        waiting: dict[str, list[tuple[str, str]]] = {}
        addresses: dict[tuple[str, str], str] = {}
        owed = self._owed(answers, waiting, addresses)
        for found in _unless_hopeless(judge_all(owed, self.sandbox, threads=self.threads, allow=self._allow)):
            if isinstance(found, Verdict):
                yield found
                continue
            said = found.verdict if isinstance(found, Ruling) else found
            address = addresses.pop((said.problem_id, said.response_id))
            if isinstance(found, Ruling):
                self._keep(address, found)
            for problem_id, response_id in waiting.pop(address):
                yield dataclasses.replace(said, problem_id=problem_id, response_id=response_id)

    def _owed(
        self, answers: Iterable[tuple[Problem, Response]], waiting: dict[str, list[tuple[str, str]]], addresses: dict[tuple[str, str], str]
    ) -> Iterator[tuple[Problem, Response] | Verdict | None]:
        """What must be run, and verdicts on what need not be. Answers equal to one that is running wait for it, but not too many."""
        for problem, response in answers:
            self.tally.answers += 1
            (problem_id, asked), response_id = _addresses(problem), response.id
            if response.code is None:
                self.tally.without_program += 1
                yield without_program(problem, response_id, f"no program was found ({response.rule})")
                continue
            address = fingerprint([asked, response.code, self.place])
            if address in waiting:
                self.tally.equal += 1
                waiting[address].append((problem_id, response_id))
                if len(waiting[address]) % _WAITING == 0:
                    yield None
            elif (known := self._known(address, problem_id, response_id)) is not None:
                yield known
            else:
                self.tally.programs += 1
                waiting[address] = [(problem_id, response_id)]
                addresses[problem_id, response_id] = address
                yield problem, response

    def _known(self, address: str, problem_id: str, response_id: str) -> Verdict | None:
        if (fleeting := self.fleeting.get(address)) is not None:
            self.tally.equal += 1
            return dataclasses.replace(fleeting, problem_id=problem_id, response_id=response_id)
        known = self.store.verdict(address) or self.store.verdict(_here(address))
        if known is None:
            return None
        self.tally.known += known.earlier
        self.tally.equal += not known.earlier
        return verdict_from(known.content, problem_id, response_id)

    def _keep(self, address: str, ruling: Ruling) -> None:
        verdict = ruling.verdict
        late = "timeout" in verdict.tests or verdict.cause.startswith("before the tests: timeout:")
        self.tally.again += ruling.again
        self.tally.passing += ruling.again and not late
        if ruling.lasting:
            self.store.keep_verdict(_here(address) if late else address, verdict_content(verdict))
        else:
            self.tally.unkept += 1
            self.fleeting[address] = verdict

    def _allow(self, problem: Problem) -> Allowance:
        """The limits of a problem. Called from many threads; the first that asks measures, and a hiccup of ours is not remembered."""
        _, asked = _addresses(problem)
        with self.lock:
            found = self.allowances.get(asked)
            first = found is None
            if found is None:
                found = self.allowances[asked] = Future()
                if len(self.allowances) > _LIMITS_KEPT:
                    del self.allowances[next(iter(self.allowances))]
        if first:
            try:
                found.set_result(self._measured(problem))
            except BaseException as error:
                with self.lock:
                    self.allowances.pop(asked, None)
                found.set_exception(error)
                raise
        return found.result()

    def _measured(self, problem: Problem) -> Allowance:
        limits = self.config.limits
        if not limits.reference_factor:
            return allowance(limits, None)
        timing = known_timing(problem, self.config, self.store)
        if timing is None:
            timing = measure(problem, self.sandbox, limits)
            if problem.reference is not None:
                self.store.keep_timing(_timed(problem, self.config), dataclasses.asdict(timing))
        allowed = allowance(limits, timing)
        with self.lock:
            if timing.fault and problem.reference is not None:
                self.tally.uncalibrated[problem.name] = timing.fault
            elif allowed.limits.cpu_seconds > limits.least_cpu_seconds:
                self.tally.raised[problem.name] = allowed.limits.cpu_seconds
        return allowed


def _unless_hopeless(found: Iterator[Ruling | Verdict | JudgingFailure]) -> Iterator[Ruling | Verdict | JudgingFailure]:
    failures = 0
    for item in found:
        if isinstance(item, JudgingFailure):
            failures += 1
        elif isinstance(item, Ruling):  # a verdict that was known, or needs no program, says nothing of the sandbox
            failures = 0
        if isinstance(item, JudgingFailure) and failures == _HOPELESS:
            raise SandboxError(
                f"{_HOPELESS} programs in a row could not be judged; the last with: {item.reason.rstrip('.')}.",
                why="That is this machine's trouble and says nothing about the programs.",
                hint="See what `rrtf check` says about the sandbox; finished work is kept.",
            )
        yield item


def judge_identity(config: ProcessConfig | PlainConfig) -> Json:
    """What of judging bears on verdicts wherever it happens: the configuration, with the rule of the limits, and the version of the judge."""
    return {**config.model_dump(mode="json"), "judge": JUDGE_VERSION}


def isolation(config: ProcessConfig | PlainConfig) -> Json:
    """What is isolated on this machine and what is not."""
    with open_sandbox(config, SandboxRuntime(workers=1)) as sandbox:
        found = sandbox.isolation()
    return {"granted": list(found.granted), "missing": list(found.missing)}


def weakest(found: Sequence[Json]) -> Json:
    """What can be said of several machines together: isolated is what all of them isolate, missing what any of them lacks."""
    each = [cast("dict[str, list[str]]", notes) for notes in found]
    common = [name for name in each[0]["granted"] if all(name in notes["granted"] for notes in each)]
    return {"granted": cast("Json", common), "missing": cast("Json", list(dict.fromkeys(name for notes in each for name in notes["missing"])))}


def known_timing(problem: Problem, config: ProcessConfig | PlainConfig, store: VerdictStore) -> Timing | None:
    """What the problem's reference needed when it was measured on this machine; None when it was not."""
    if problem.reference is None:
        return Timing(fault="it has no reference")
    known = store.timing(_timed(problem, config))
    return None if known is None else Timing(**known.content)


@lru_cache(maxsize=256)
def _addresses(problem: Problem) -> tuple[str, str]:
    """The id of a problem, and the address of what of it decides verdicts."""
    telling = {item.name: getattr(problem, item.name) for item in dataclasses.fields(problem) if item.name not in _LABELS}
    kinds = [type(test).__name__ for test in problem.tests]  # equal fields need not mean the same in two kinds
    pytest = _versions(("pytest",)) if any(isinstance(test, PytestTest) for test in problem.tests) else {}
    return problem.id, fingerprint([kinds, telling, pytest])


def _here(address: str) -> str:
    return fingerprint([address, machine()])


def _timed(problem: Problem, config: ProcessConfig | PlainConfig) -> str:
    return fingerprint([_addresses(problem)[1], judge_identity(config), _interpreter(), _versions(config.packages), machine()])


@cache
def machine() -> str:
    """What stands for the speed of this machine: its processors' model. The name of a host would be another one in every container."""
    models: list[str] = []
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "CPU part"))]
    return fingerprint([platform.machine(), sorted(set(models))])


def _interpreter() -> list[str]:
    return [sys.implementation.name, platform.python_version(), platform.machine()]


@cache
def _versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Versions of the packages that programs may import."""
    if not packages:
        return {}
    providers = metadata.packages_distributions()
    return {name: ",".join(f"{provider} {metadata.version(provider)}" for provider in sorted(set(providers.get(name, [])))) for name in packages}
