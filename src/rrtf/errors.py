"""The errors a user can meet, each with what happened, why it matters and what to do.

Not here: outcomes of the programs we judge. A program that crashes is data (`rrtf.records.Verdict`); only *our* trouble is an error.
"""

from __future__ import annotations


class RrtfError(Exception):
    """Base of every error that is shown to a user as sentences, never as a traceback.

    `message` says what happened and with which value; `why` says why it matters; `hint` says what to do.
    `exit_code` is the exit status of the command line when this error ends it.
    """

    exit_code = 1

    def __init__(self, message: str, *, why: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.why = why
        self.hint = hint

    def __str__(self) -> str:
        return " ".join(part for part in (self.message, self.why, self.hint) if part)

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross process borders; the default reduction would lose the keyword-only parts.
        return (_rebuild, (type(self), self.message, self.why, self.hint))


def _rebuild(kind: type[RrtfError], message: str, why: str, hint: str) -> RrtfError:
    return kind(message, why=why, hint=hint)


class RecipeError(RrtfError):
    """The recipe or the command line asks for something that does not exist or does not fit together."""

    exit_code = 2


class DataError(RrtfError):
    """A file of problems, responses or results cannot be used as it is."""

    exit_code = 3


class EngineError(RrtfError):
    """A model engine cannot be loaded or used: weights missing, an extra not installed, an endpoint refusing."""

    exit_code = 4


class SandboxError(RrtfError):
    """The sandbox cannot be started, or isolates less than was required."""

    exit_code = 5


class SandboxFailure(SandboxError):
    """One run of the sandbox did not finish our protocol. Retried and counted; never an outcome of the program."""


def missing_extra(extra: str, module: str) -> EngineError:
    """The error for an optional dependency that is not installed, with the exact line that installs it."""
    return EngineError(
        f"The Python package {module!r} is not installed.",
        why=f"This step needs the optional extra {extra!r}.",
        hint=f"Install it with: pip install 'rrtf[{extra}]'",
    )
