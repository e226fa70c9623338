"""A small world for whole runs: nine problems, a random model of a few thousand weights, and a recipe; made once, in a folder of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from small_world import World

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))


@pytest.fixture(scope="session")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Llama with a byte-level tokenizer, as a Hugging Face folder."""
    from tiny_training import tiny_model

    return tiny_model(tmp_path_factory.mktemp("student"))


@pytest.fixture(scope="session")
def make_world(student: Path) -> Callable[..., World]:
    """A world in a folder; further arguments as in `user_files.recipe`. The student's answers are scripted unless `engine` says otherwise."""
    import user_files

    def make(folder: Path, text: str = "", **changes: str) -> World:
        folder.mkdir(parents=True, exist_ok=True)
        user_files.problems(folder)
        changes = {"model": f'[student]\nmodel = "{student}"', **changes}
        return World(folder, user_files.recipe(folder, text, **changes))

    return make
