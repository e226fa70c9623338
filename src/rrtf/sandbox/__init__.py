"""The front door of the sandbox: its configuration, and `open_sandbox`.

Backends are imported when they are asked for. Judging answers with an open sandbox: `rrtf.sandbox.harness`. What the isolation does and does not promise:
docs/security.md.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from rrtf.errors import SandboxError
from rrtf.protocols import Isolation, Sandbox
from rrtf.records import Limits
from rrtf.sandbox.packages import package_paths

_CLOSED = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class LimitsConfig(BaseModel):
    """What one program may use; the fields of `rrtf.records.Limits`."""

    model_config = _CLOSED

    cpu_seconds: float = Field(default=5.0, gt=0, le=3600)
    """Processor seconds for a program and all its tests together: the limit that decides. The reference harness of HumanEval allows 3 seconds of wall time."""
    wall_seconds: float = Field(default=30.0, gt=0, le=36000)
    """Wall seconds, the backstop for programs that sleep or wait; several times the processor seconds, so that a loaded machine does not reach it first."""
    memory_mb: int = Field(default=512, ge=32, le=1 << 20)
    """Memory, in MB, of all processes of a program together."""
    processes: int = Field(default=16, ge=1, le=4096)
    """Processes and threads at once."""
    file_mb: int = Field(default=16, ge=1, le=1 << 16)
    """MB that a program may write to its temporary directory."""
    output_kb: int = Field(default=256, ge=1, le=1 << 16)
    """KB of output kept; the rest is read and thrown away."""

    def limits(self) -> Limits:
        """The same as the record that travels."""
        return Limits(**self.model_dump())


class _Backend(BaseModel):
    model_config = _CLOSED

    packages: tuple[str, ...] = ()
    """Import names of installed packages that programs may use beside the standard library, and what these need. Empty by default: a verdict should not depend
    on what else is installed here. Programs whose tests are pytest files may import pytest in any case."""
    limits: LimitsConfig = LimitsConfig()
    """What one program may use."""


class ProcessConfig(_Backend):
    """Warm workers behind Linux namespaces, degrading step by step where the kernel refuses; the default."""

    backend: Literal["process"] = "process"
    """Which backend."""


class PlainConfig(_Backend):
    """A new interpreter for each program, with limits but without namespaces."""

    backend: Literal["plain"]
    """Which backend."""


SandboxConfig = Annotated[ProcessConfig | PlainConfig, Field(discriminator="backend")]
"""What bears on verdicts, and so on identity. How many workers there are, and how much isolation is insisted on, is `SandboxRuntime`."""


class SandboxRuntime(BaseModel):
    """How to run the sandbox on this machine; no verdict depends on it, so it takes no part in any fingerprint."""

    model_config = _CLOSED

    workers: int = Field(default=0, ge=0, le=1024)
    """Programs that run at once; 0 takes one for each processor this process may use."""
    require: Literal["any", "full"] = "any"
    """`full` refuses to start when anything of the isolation is missing."""

    def count(self) -> int:
        """The number of workers on this machine."""
        return self.workers or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


class OpenSandbox(Sandbox, AbstractContextManager["OpenSandbox"], Protocol):  # type: ignore[misc]
    """A sandbox that closes itself at the end of a `with` block."""


def open_sandbox(config: ProcessConfig | PlainConfig | None = None, runtime: SandboxRuntime | None = None) -> OpenSandbox:
    """Open the configured backend. Raises `SandboxError` when it cannot start, or isolates less than `runtime.require` asks for."""
    from rrtf.sandbox.with_pytest import WithPytest

    config, runtime = config or ProcessConfig(), runtime or SandboxRuntime()
    sandbox = WithPytest(_backend(config, runtime, config.packages), lambda: _backend(config, runtime, (*config.packages, "pytest")))
    if runtime.require == "full":
        try:
            refuse_reduced(sandbox.isolation())
        except SandboxError:
            sandbox.close()
            raise
    return sandbox


def _backend(config: ProcessConfig | PlainConfig, runtime: SandboxRuntime, packages: tuple[str, ...]) -> OpenSandbox:
    paths = package_paths(packages)
    match config:
        case ProcessConfig():
            from rrtf.sandbox.process import ProcessSandbox

            return ProcessSandbox(workers=runtime.count(), packages=paths)
        case PlainConfig():
            from rrtf.sandbox.plain import PlainSandbox

            return PlainSandbox(workers=runtime.count(), packages=paths)


def refuse_reduced(isolation: Isolation) -> None:
    """Raise `SandboxError` that names what is missing, if anything is."""
    if isolation.missing:
        raise SandboxError(
            "This machine does not give the full isolation that was required; missing: " + "; ".join(isolation.missing) + ".",
            why="Hostile programs would be confined less than you asked for.",
            hint="Allow user namespaces for this user or container, or set require = 'any'.",
        )
