"""What a program finds in its working directory beside itself: the files of its problem, laid out before it begins and, for pytest files, once more after it.

Not here: the directory itself (`directories`), what pytest makes of it (`suite`).
"""

from __future__ import annotations

import os
import shutil
import sys

_READ_BY_PYTEST = ("conftest.py", "__pycache__", "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "pyproject.toml", "tox.ini", "setup.cfg")


def lay_out(files: dict[str, str]) -> None:
    """Write these files, and let them be imported. Raises OSError."""
    _write(files)
    if files:
        sys.path.insert(0, os.getcwd())


def lay_out_again(root: str, files: dict[str, str]) -> None:
    """Undo what a program did to the tests while it was loaded: rewritten files, or new ones that pytest would go by. Raises OSError."""
    os.chdir(root)
    sys.pycache_prefix = None  # else compiled tests of the program's may lie anywhere
    for folder in {"", *(os.path.dirname(path) for path in files)}:
        for name in _READ_BY_PYTEST:
            _remove(os.path.join(folder, name))
    for path in files:
        _remove(path)
    _write(files)


def _write(files: dict[str, str]) -> None:
    for path, text in files.items():
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(text)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
