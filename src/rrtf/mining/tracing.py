"""Which tests of a test file execute which functions: the file is run once, inside the sandbox, with coverage.py's dynamic contexts.

Not here: what runs inside (`inside_trace`), whether a test that executes a function notices that it is gone (`selection`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from rrtf.mining.candidates import Candidate
from rrtf.mining.inside_trace import MARK
from rrtf.mining.repository import Repository
from rrtf.protocols import Execution, Program, Sandbox
from rrtf.records import File, IOTest, Limits

_PROGRAM = Path(__file__).with_name("inside_trace.py")
_OUTPUT_KB = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """What one test file did."""

    path: str
    passed: tuple[str, ...]
    """Test functions of which every parameter passed; only such can be kept."""
    failed: int
    unproven: int
    """Test functions that were skipped or expected to fail."""
    reached: dict[str, tuple[str, ...]]
    """Test function -> names of the candidates that it executed."""
    files: tuple[str, ...]
    """Files of the repository that were imported or opened."""
    trouble: str
    """Why nothing, or not everything, could be run; empty when all went well."""


@dataclass(frozen=True, slots=True)
class _Said:
    code: int
    statuses: dict[str, str]
    reached: dict[str, list[int]]
    files: list[str]
    told: list[str]


def trace(repository: Repository, path: str, targets: Sequence[Candidate], sandbox: Sandbox, limits: Limits) -> Traced:
    """Run a test file. Raises `SandboxFailure`."""
    asked = {"file": path, "targets": [[target.path, target.first, target.last] for target in targets]}
    files = tuple(File(name, text) for name, text in repository.files.items())
    room = sum(len(text) for text in repository.files.values()) >> 20
    limits = Limits(limits.cpu_seconds, limits.wall_seconds, limits.memory_mb, limits.processes, limits.file_mb + 2 * room, _OUTPUT_KB)
    program = Program(_PROGRAM.read_text(encoding="utf-8"), None, (IOTest(json.dumps(asked), ""),), limits, files)
    return _read(path, targets, sandbox.run(program))


def _read(path: str, targets: Sequence[Candidate], execution: Execution) -> Traced:
    printed = execution.replies[0].value if execution.replies else ""
    said = _said(json.loads(printed) if printed.startswith('"') else printed)
    if said is None:
        error = execution.load_error or (execution.replies[0].error or execution.replies[0].status if execution.replies else "") or execution.compile_error
        return Traced(path=path, passed=(), failed=0, unproven=0, reached={}, files=(), trouble=f"it did not come to an end ({error[:200]})")
    statuses = list(said.statuses.values())
    trouble = said.told[0] if said.told else "" if said.code in (0, 1, 5) else f"pytest ended with status {said.code}"
    reached = {node: tuple(targets[number].name for number in numbers if 0 <= number < len(targets)) for node, numbers in said.reached.items()}
    return Traced(
        path=path,
        passed=tuple(node for node, status in said.statuses.items() if status == "passed"),
        failed=statuses.count("failed"),
        unproven=statuses.count("unproven"),
        reached=reached,
        files=tuple(said.files),
        trouble=trouble,
    )


def _said(printed: str) -> _Said | None:
    _, mark, text = printed.rpartition(MARK)
    try:
        return TypeAdapter(_Said).validate_json(text) if mark else None
    except ValidationError:
        return None
