"""The order of mining: read, trace every test file, try every function that a test executes, write problems and what was set aside.

Everything of the repository that runs, runs in the sandbox; reading it imports nothing. Not here: any of the steps.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from rrtf.engine.artifacts import write_text
from rrtf.engine.progress import progress
from rrtf.engine.tables import disk_error
from rrtf.errors import DataError, SandboxError, SandboxFailure, missing_extra
from rrtf.formats import require_readable, write_problems
from rrtf.identity import fingerprint
from rrtf.mining import assembly, journal
from rrtf.mining.candidates import Candidate, SetAside, candidates
from rrtf.mining.levels import LEVELS
from rrtf.mining.repository import Repository, read
from rrtf.mining.selection import Selected, select
from rrtf.mining.tracing import Traced, trace
from rrtf.records import Limits, Problem, Split
from rrtf.sandbox import SandboxConfig, SandboxRuntime, open_sandbox

_VERSION = 1
"""Of what decides a line of the journal beside what is mined: raised when mining changes its mind about any function."""
_TRACED = ("pytest", "coverage")
_Item = TypeVar("_Item")
_Found = TypeVar("_Found")


class MiningConfig(BaseModel):
    """What is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    split: Split = "train"
    """`train` to learn from, `test` for a benchmark."""
    most_tests: int = Field(default=40, ge=1)
    """Tests tried of one function, those that execute the fewest functions first."""
    files_kb: int = Field(default=2048, ge=1)
    """Most that the files of one problem may hold, in KB."""
    trace_seconds: float = Field(default=120.0, gt=0)
    """Processor seconds for one test file when it is traced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mined:
    """What became of a repository."""

    name: str
    out: Path
    functions: int
    documented: int
    executed: int
    """Documented functions that a passing test executes."""
    problems: tuple[Problem, ...]
    aside: tuple[SetAside, ...]
    traces: tuple[Traced, ...]
    packages: tuple[str, ...]
    """Third-party packages that the tests may import, here and wherever the problems are judged."""
    absent: tuple[str, ...]
    unread: int
    known: int
    """Test files and functions that an earlier run had done."""
    failures: dict[str, str]
    """What could not be tried, for reasons of ours."""

    def refuse_failures(self) -> None:
        """Raise `SandboxError` where something could not be tried."""
        if self.failures:
            name, reason = next(iter(self.failures.items()))
            raise SandboxError(
                f"{len(self.failures)} test files and functions could not be tried, for reasons of ours; the first, {name}: {reason}",
                why="They are neither kept nor set aside.",
                hint="Run the same command again: only they are tried.",
            )

    def lines(self) -> Iterator[str]:
        """The same for people."""
        passed, failed, unproven = (sum(counts) for counts in zip(*((len(item.passed), item.failed, item.unproven) for item in self.traces), strict=True))
        yield f"tests: {passed} pass on the original, {failed} fail, {unproven} are skipped or expected to fail"
        yield from (f"{item.path}: {item.trouble}" for item in self.traces if item.trouble)
        if self.absent:
            yield f"not installed here, so tests that need them fail: {', '.join(self.absent)}"
        if self.unread:
            yield f"{self.unread} files are binary or too large and do not travel"
        yield ""
        yield f"| {self.name} | functions |"
        yield "|---|---|"
        yield f"| functions and methods | {self.functions} |"
        yield f"| documented | {self.documented} |"
        yield f"| executed by a test that passes | {self.executed} |"
        yield f"| kept | {len(self.problems)} |"
        levels = Counter(problem.level for problem in self.problems)
        yield from (f"| kept, {level} | {levels[level]} |" for level in LEVELS)
        yield from (f"| set aside: {reason} | {count} |" for reason, count in Counter(item.reason for item in self.aside).most_common())
        yield ""
        yield f"{self.out}: {len(self.problems)} problems with {sum(len(problem.tests) for problem in self.problems)} tests; {len(self.aside)} set aside"
        if self.packages:
            listed = json.dumps(self.packages)
            yield f"wherever they are judged, programs need these packages: --set sandbox.packages='{listed}'"


def mine(root: Path, out: Path, config: MiningConfig, sandbox: SandboxConfig, runtime: SandboxRuntime, say: Callable[[str], None] = lambda line: None) -> Mined:
    """Mine a repository into `out`; what is set aside goes to `OUT.set-aside.jsonl`, and what a killed run did is in `OUT.journal`.

    Raises `DataError` for a folder that nothing can be made from, and `SandboxError` when nothing can be run here.
    """
    if find_spec("coverage") is None or find_spec("pytest") is None:
        raise missing_extra("mining", "mine")
    repository = read(root)
    found, aside, functions = candidates(repository)
    documented = len(found) + len(aside)
    if not found:
        raise DataError(f"{root} has no documented function that could be taken out.", why="The docstring is what an answer is written from.")
    say(f"{repository.name}: {functions} functions, {documented} documented, {len(repository.tests)} test files")
    packages = tuple(dict.fromkeys((*sandbox.packages, *repository.packages)))
    sandbox = sandbox.model_copy(update={"packages": packages})
    failures: dict[str, str] = {}
    with journal.opened(out.with_name(f"{out.name}.journal")) as kept:
        before = len(kept.known)
        traces = _traces(repository, found, config, sandbox, runtime, kept, failures)
        if traces and not any(item.passed for item in traces.values()):
            said = next((f"{item.path}: {item.trouble}" for item in traces.values() if item.trouble), "they were skipped")
            raise DataError(
                f"No test of {root} passes on the original ({said}).",
                why="A test that fails on the original says nothing about an answer.",
                hint="Install what the tests need beside rrtf. Modules that must be compiled, the network and other programs are out of reach.",
            )
        problems, tried, executed = _problems(repository, found, traces, config, sandbox, runtime, kept, failures)
        known = before
    aside += tried
    write_problems(out, problems)
    beside = out.with_name(f"{out.name}.set-aside.jsonl")
    try:
        write_text(beside, "".join(f"{json.dumps(asdict(item), ensure_ascii=False)}\n" for item in aside))
    except OSError as error:
        raise disk_error(beside, error) from error
    return Mined(
        name=repository.name,
        out=out,
        functions=functions,
        documented=documented,
        executed=executed,
        problems=tuple(problems),
        aside=tuple(aside),
        traces=tuple(traces.values()),
        packages=packages,
        absent=repository.absent,
        unread=repository.unread,
        known=known,
        failures=failures,
    )


def _traces(
    repository: Repository,
    found: Sequence[Candidate],
    config: MiningConfig,
    sandbox: SandboxConfig,
    runtime: SandboxRuntime,
    kept: journal.Journal,
    failures: dict[str, str],
) -> dict[str, Traced]:
    asked = sandbox.limits.limits()
    limits = Limits(
        config.trace_seconds, max(asked.wall_seconds, 2 * config.trace_seconds), max(asked.memory_mb, 1024), max(asked.processes, 32), asked.file_mb
    )
    all_of_it = fingerprint([_VERSION, repository.files, [item.name for item in found], sandbox.model_dump(mode="json"), config.trace_seconds])
    keys = {path: fingerprint(["trace", path, all_of_it]) for path in repository.tests}
    traces = {path: row for path, key in keys.items() if (row := kept.get(key, Traced)) is not None}
    owed = [path for path in repository.tests if path not in traces]
    if owed:
        own = sandbox.model_copy(update={"packages": tuple(dict.fromkeys((*sandbox.packages, *_TRACED)))})
        with open_sandbox(own, runtime) as opened, progress("trace", len(owed), "test files") as tick:
            for path, row in _side_by_side(lambda path: trace(repository, path, found, opened, limits), owed, runtime.count(), failures, str):
                kept.put(keys[path], row)
                traces[path] = row
                tick(1)
    return {path: traces[path] for path in repository.tests if path in traces}


def _problems(
    repository: Repository,
    found: Sequence[Candidate],
    traces: dict[str, Traced],
    config: MiningConfig,
    sandbox: SandboxConfig,
    runtime: SandboxRuntime,
    kept: journal.Journal,
    failures: dict[str, str],
) -> tuple[list[Problem], list[SetAside], int]:
    """The problems, what was set aside, and how many functions a passing test executes."""
    reached: dict[str, list[str]] = {}
    breadth: dict[str, int] = {}
    any_test = {name for item in traces.values() for names in item.reached.values() for name in names}
    for item in traces.values():
        passed = set(item.passed)
        for node, names in item.reached.items():
            breadth[node] = len(names)
            for name in names if node in passed and all(part.isidentifier() for part in node.split("::")[1:]) else ():
                reached.setdefault(name, []).append(node)
    aside: list[SetAside] = []
    owed: list[tuple[Candidate, Problem]] = []
    for candidate in found:
        nodes = sorted(reached.get(candidate.name, []), key=lambda node: breadth[node])[: config.most_tests]
        if not nodes:
            aside.append(SetAside(candidate.name, "only tests that do not pass execute it" if candidate.name in any_test else "no test executes it"))
            continue
        asked = assembly.problem(repository, candidate, nodes, traces, config.split)
        size = sum(len(file.text) for file in asked.files)
        if size > config.files_kb << 10:
            aside.append(SetAside(candidate.name, "the files its tests need are too large", f"{size >> 10} KB"))
        else:
            owed.append((candidate, asked))
    chosen = _selected(owed, sandbox, runtime, kept, failures)
    problems: list[Problem] = []
    for candidate, _ in owed:
        selected = chosen.get(candidate.name)
        if selected is None:
            continue
        if selected.reason:
            aside.append(SetAside(candidate.name, selected.reason, selected.detail))
            continue
        made = assembly.problem(repository, candidate, selected.nodes, traces, config.split)
        try:
            require_readable(made, _fault)
        except DataError as error:
            aside.append(SetAside(candidate.name, "it has no form in a problem file", error.message))
        else:
            problems.append(made)
    return problems, aside, len(reached)


def _fault(field: str, what: str) -> DataError:
    return DataError(f"field {field}: {what}")


def _selected(
    owed: Sequence[tuple[Candidate, Problem]], sandbox: SandboxConfig, runtime: SandboxRuntime, kept: journal.Journal, failures: dict[str, str]
) -> dict[str, Selected]:
    keys = {candidate.name: fingerprint(["select", _VERSION, problem.id, problem.files, sandbox.model_dump(mode="json")]) for candidate, problem in owed}
    chosen = {name: row for name, key in keys.items() if (row := kept.get(key, Selected)) is not None}
    left = [(candidate, problem) for candidate, problem in owed if candidate.name not in chosen]
    if not left:
        return chosen
    limits, seeded = sandbox.limits.limits(), sandbox.model_copy(update={"hash_seed": sandbox.hash_seed + 1})
    with ExitStack() as stack:
        usual, other = stack.enter_context(open_sandbox(sandbox, runtime)), stack.enter_context(open_sandbox(seeded, runtime))
        tick = stack.enter_context(progress("mine", len(left), "functions"))

        def work(item: tuple[Candidate, Problem]) -> Selected:
            return select(item[1], item[0].frame, usual, other, limits)

        for (candidate, _), row in _side_by_side(work, left, runtime.count(), failures, lambda item: item[0].name):
            kept.put(keys[candidate.name], row)
            chosen[candidate.name] = row
            tick(1)
    return chosen


def _side_by_side(
    work: Callable[[_Item], _Found], items: Sequence[_Item], threads: int, failures: dict[str, str], name: Callable[[_Item], str]
) -> Iterator[tuple[_Item, _Found]]:
    """Each item with what came of it, as it comes; what failed for reasons of ours goes to `failures`."""
    with ThreadPoolExecutor(threads, thread_name_prefix="mine") as pool:
        waiting = {pool.submit(work, item): item for item in items}
        try:
            for future in as_completed(waiting):
                try:
                    yield waiting[future], future.result()
                except SandboxFailure as error:
                    failures[name(waiting[future])] = error.message
        finally:
            for future in waiting:
                future.cancel()
