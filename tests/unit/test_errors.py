"""Errors read: what happened, why it matters, what to do; they cross process borders whole; their exit statuses tell them apart."""

from __future__ import annotations

import pickle

import pytest

from rrtf import errors
from rrtf.errors import DataError, EngineError, RecipeError, RrtfError, SandboxError, SandboxFailure, missing_extra

FAMILY = [RrtfError, RecipeError, DataError, EngineError, SandboxError, SandboxFailure]


def test_the_parts_are_read_in_order() -> None:
    error = DataError("It is gone.", why="It was needed.", hint="Bring it back.")
    assert str(error) == "It is gone. It was needed. Bring it back."
    assert (error.message, error.why, error.hint) == ("It is gone.", "It was needed.", "Bring it back.")


def test_missing_parts_leave_no_gaps() -> None:
    assert str(DataError("It is gone.", hint="Bring it back.")) == "It is gone. Bring it back."
    assert str(DataError("It is gone.")) == "It is gone."


@pytest.mark.parametrize("kind", FAMILY)
def test_errors_survive_pickling(kind: type[RrtfError]) -> None:
    again = pickle.loads(pickle.dumps(kind("what", why="why", hint="hint")))
    assert type(again) is kind
    assert (again.message, again.why, again.hint, again.exit_code) == ("what", "why", "hint", kind.exit_code)


def test_exit_statuses_tell_the_kinds_apart() -> None:
    assert [kind.exit_code for kind in (RecipeError, DataError, EngineError, SandboxError, SandboxFailure)] == [2, 3, 4, 5, 5]


def test_every_error_belongs_to_the_family() -> None:
    defined = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BaseException)}
    assert defined == set(FAMILY)


def test_a_missing_extra_names_the_line_that_installs_it() -> None:
    error = missing_extra("train", "torch")
    assert isinstance(error, EngineError)
    assert "'torch'" in error.message
    assert "pip install 'rrtf[train]'" in error.hint
