"""`rrtf check problems.jsonl`: the gate on a file of problems, as a table, as a list of what to drop, and as a file of what to keep.

With an output file, finished problems are appended to a journal beside it at once, and the output is written whole at the end: a killed run loses at most the
group of problems it was at, and a longer or mended file pays for what is new. Not here: the rules (`rrtf.quality.gate`), formats (`rrtf.formats`).
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean, quantiles
from typing import TextIO, cast

from pydantic import TypeAdapter

from rrtf.benchmarks import intervals
from rrtf.engine import tables
from rrtf.engine.artifacts import write_text
from rrtf.engine.progress import progress
from rrtf.evolution.widening import Widening, with_more_tests
from rrtf.formats import write_problems
from rrtf.identity import fingerprint
from rrtf.overlap.duplicates import repeats
from rrtf.quality.findings import Finding
from rrtf.quality.gate import RULES, GateConfig, Gated, gate
from rrtf.records import Problem
from rrtf.sandbox import SandboxConfig, SandboxRuntime

_VERSION = 1
"""Of what decides a row beside problem, gate and sandbox: raised when the gate changes its mind about any problem."""
_SHOWN = 20
"""Problems to drop that are listed; `--out` has them all."""
_NAMED = 8
_LONG = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What the gate says of one problem: a line of the output."""

    name: str
    keep: bool
    findings: tuple[Finding, ...]
    tests: int
    reference: str
    """Outcome of the reference; empty without one."""
    cpu_seconds: float
    """Of the reference."""
    mutants: int
    """Faulty copies of the reference that were judged."""
    killed: int
    survivors: tuple[str, ...]
    """Faults that the tests did not notice."""
    programs: int
    key: str
    """Of problem, gate and limits: equal keys need no second look."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of a file."""

    rows: tuple[Row, ...]
    """In the order of the file; without the problems that could not be judged."""
    known: int
    """Rows that an earlier run left."""
    failures: Mapping[str, str]
    """Problem -> why we could not judge it."""

    @property
    def dropped(self) -> list[Row]:
        """Problems that should not be used."""
        return [row for row in self.rows if not row.keep]


def check_file(
    problems: Sequence[Problem], config: GateConfig, sandbox: SandboxConfig, runtime: SandboxRuntime, out: Path | None = None, keep: Path | None = None
) -> Checked:
    """Check problems of one file; write `out`, a JSON object per problem, and `keep`, the problems to keep in our format, where they are given.

    Raises `DataError` when a file cannot be written and `SandboxError` when nothing can be judged on this machine.
    """
    # Likeness is about the file as a whole, so it is never taken from an earlier run.
    settings = [_VERSION, config.model_copy(update={"near_duplicate": "off"}).model_dump(mode="json"), sandbox.model_dump(mode="json")]
    keys = {problem.name: fingerprint([*settings, problem.id]) for problem in problems}
    journal = None if out is None else out.with_name(f"{out.name}.journal")
    known = {key: row for path in (out, journal) if path is not None for key, row in _kept(path).items()}
    first = {keys[problem.name]: problem for problem in reversed(problems)}
    owed = [problem for problem in problems if first[keys[problem.name]] is problem and keys[problem.name] not in known]
    reused = sum(keys[problem.name] in known for problem in problems)
    failures = _gate(owed, config, sandbox, runtime, journal, keys, known)
    looked = [problem for problem in problems if keys[problem.name] in known and known[keys[problem.name]].keep]
    twins = {found.problem: found.how for found in repeats(looked)} if config.near_duplicate != "off" else {}
    rows = [_named(known[keys[problem.name]], problem.name, twins, config) for problem in problems if keys[problem.name] in known]
    if out is not None:
        try:
            write_text(out, "".join(f"{json.dumps(asdict(row), ensure_ascii=False)}\n" for row in rows))
            cast("Path", journal).unlink(missing_ok=True)
        except OSError as error:
            raise tables.disk_error(out, error) from error
    if keep is not None:
        fit = {row.name for row in rows if row.keep}
        write_problems(keep, [problem for problem in problems if problem.name in fit])
    return Checked(tuple(rows), reused, {problem.name: failures[keys[problem.name]] for problem in problems if keys[problem.name] in failures})


def widen_all(problems: Sequence[Problem], most: int, sandbox: SandboxConfig, runtime: SandboxRuntime) -> list[Problem]:
    """The problems with up to `most` further tests each. Raises `SandboxError`."""
    with progress("widen", len(problems), "problems") as tick:
        return list(with_more_tests(problems, Widening(inputs=3 * most, tests=most), sandbox, runtime, tick))


def _gate(
    owed: Sequence[Problem],
    config: GateConfig,
    sandbox: SandboxConfig,
    runtime: SandboxRuntime,
    journal: Path | None,
    keys: Mapping[str, str],
    known: dict[str, Row],
) -> dict[str, str]:
    """Check what is owed into `known` and the journal. Returns, by key, why some could not be judged."""
    failures: dict[str, str] = {}
    if not owed:
        return failures
    with ExitStack() as stack:
        file = None if journal is None else stack.enter_context(_appended(journal))
        tick = stack.enter_context(progress("check", len(owed), "problems"))
        for found in gate(owed, config, sandbox, runtime, tick):
            key = keys[found.problem.name]
            if not found.judged:
                failures[key] = found.fitness.failures[0]
                continue
            known[key] = _row(found, key)
            if file is not None and journal is not None:
                try:
                    file.write(f"{json.dumps(asdict(known[key]), ensure_ascii=False)}\n")
                    file.flush()
                except OSError as error:
                    raise tables.disk_error(journal, error) from error
    return failures


def _appended(journal: Path) -> TextIO:
    """The journal, open at its end. A torn last line of a killed run must not swallow the first of this one."""
    try:
        journal.parent.mkdir(parents=True, exist_ok=True)
        torn = journal.exists() and not journal.read_bytes().endswith(b"\n")
        file = journal.open("a", encoding="utf-8")
        file.write("\n" if torn else "")
    except OSError as error:
        raise tables.disk_error(journal, error) from error
    return file


def _row(found: Gated, key: str) -> Row:
    fitness = found.fitness
    return Row(
        name=found.problem.name,
        keep=found.keep,
        findings=found.findings,
        tests=len(found.problem.tests),
        reference=fitness.reference.outcome.name if fitness.reference else "",
        cpu_seconds=fitness.reference.cpu_seconds if fitness.reference else 0.0,
        mutants=fitness.mutants,
        killed=fitness.killed,
        survivors=tuple(fitness.survivors),
        programs=fitness.programs,
        key=key,
    )


def _named(row: Row, name: str, twins: Mapping[str, str], config: GateConfig) -> Row:
    """The row of a problem of this file: an earlier run, or a problem that is the same in all but its name, may have called it otherwise."""
    found = [Finding(name, finding.rule, finding.detail, finding.action) for finding in row.findings]
    if name in twins:
        found.append(Finding(name, RULES["near_duplicate"], twins[name], config.near_duplicate))
    keep = not any(finding.action in ("stop", "drop") for finding in found)
    return replace(row, name=name, findings=tuple(found), keep=keep)


def _kept(path: Path) -> dict[str, Row]:
    """Rows that an earlier run left in a file, by key, without what they say of other problems; half-written lines are owed again."""
    found: dict[str, Row] = {}
    read = TypeAdapter(Row)
    if path.is_file() and os.access(path, os.R_OK):
        for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                row = read.validate_json(text)
            except ValueError:
                continue
            own = tuple(finding for finding in row.findings if finding.rule != RULES["near_duplicate"])
            found[row.key] = replace(row, findings=own, keep=not any(finding.action in ("stop", "drop") for finding in own))
    return found


def lines(checked: Checked, config: GateConfig, out: Path | None) -> Iterator[str]:
    """The same for people: a table of the rules, how sharp the tests are, and what to drop."""
    rows = checked.rows
    if not rows:
        return
    yield "| rule | problems | share, % (95 % interval) | action |"
    yield "|---|---|---|---|"
    counts = Counter(finding.rule for row in rows for finding in row.findings)
    for rule, words in RULES.items():
        action = config.action(rule)
        told = "-" if action == "off" else _share(counts[words], len(rows))
        yield f"| {words} | {'-' if action == 'off' else counts[words]} | {told} | {action} |"
    yield ""
    yield from _sharpness(rows, config)
    dropped = checked.dropped
    for words in RULES.values():
        warned = [row.name for row in rows for finding in row.findings if finding.rule == words and finding.action == "warn"]
        if warned:
            yield f"warning: {words}: {', '.join(warned[:_NAMED])}{', ...' if len(warned) > _NAMED else ''} ({len(warned)})"
    for row in dropped[:_SHOWN]:
        grave = next(finding for finding in row.findings if finding.action in ("stop", "drop"))
        text = f"drop {grave}"
        yield text if len(text) <= _LONG else f"{text[: _LONG - 1]}…"
    if len(dropped) > _SHOWN:
        yield f"... and {len(dropped) - _SHOWN} more" + (f", all in {out}" if out else "; --out FILE lists them all")
    again = f", {checked.known} of them checked before" if checked.known else ""
    yield f"{len(rows)} problems{again}, {sum(row.programs for row in rows)} programs: {len(rows) - len(dropped)} to keep, {len(dropped)} to mend or drop"


def _sharpness(rows: Sequence[Row], config: GateConfig) -> Iterator[str]:
    rates = [row.killed / row.mutants for row in rows if row.mutants]
    if not rates:
        return
    quarters = quantiles(rates, n=4, method="inclusive") if len(rates) > 1 else rates * 3
    killed, mutants = sum(row.killed for row in rows), sum(row.mutants for row in rows)
    weak = sum(rate < config.kill_rate for rate in rates)
    told = f"mean {mean(rates):.1%}, quartiles {', '.join(f'{rate:.1%}' for rate in quarters)}"
    share = f"below {config.kill_rate:.0%}: {weak}, {_share(weak, len(rates))} %"
    yield f"{killed} of {mutants} small faults noticed; per problem (n = {len(rates)}) {told}; {share}"


def _share(count: int, of: int) -> str:
    where = intervals.wilson(count, of)
    return f"{100 * count / of:.1f} ({100 * where.low:.1f} to {100 * where.high:.1f})"
