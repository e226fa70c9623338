"""What a program finds in its working directory beside itself: the files of its problem, laid out before it begins and, for pytest files, once more after it.

Not here: the directory itself (`directories`), what pytest makes of it (`suite`).
"""

from __future__ import annotations

import builtins
import contextlib
import os
import sys
from collections.abc import Iterable

# The functions below keep these builtins, whatever a program does to the module of that name.
__builtins__ = dict(vars(builtins))

SETTINGS = ("pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml", "pyproject.toml", "tox.ini", "setup.cfg")
"""Files that pytest takes settings from, the first that is there."""


def module_path(module: str, files: Iterable[str]) -> str:
    """The file of the program that tests import as `module`: that of the package itself where `files` hold others of it."""
    bare = module.replace(".", "/")
    return f"{bare}/__init__.py" if any(path.startswith(f"{bare}/") and path.endswith(".py") for path in files) else f"{bare}.py"


def lay_out(files: dict[str, str]) -> None:
    """Write files into the working directory. Raises `OSError`."""
    for path, text in files.items():
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(text)


def lay_out_again(root: str, files: dict[str, str], nodes: tuple[str, ...]) -> None:
    """Undo what a program did, while it was loaded, to what the tests at `nodes` are read from: other files, settings, caches, modules. Raises `OSError`."""
    os.chdir(root)
    sys.pycache_prefix = None  # else compiled tests of the program's may lie anywhere
    tests = {node.partition("::")[0] for node in nodes}
    folders = {parent for path in tests for parent in _parents(path)}
    for folder in dict.fromkeys(parent.rstrip("/") for path in (*files, *tests) for parent in _parents(path)[1:]):  # from the outermost
        if os.path.islink(folder):
            os.unlink(folder)
    for path in (*SETTINGS, *files, *(f"{folder}{name}" for folder in folders for name in ("__pycache__", "conftest.py", "__init__.py"))):
        _remove(path)
    for path in (*tests, *(f"{folder}conftest.py" for folder in folders)):
        for name in _names(path):
            sys.modules.pop(name, None)
    for path in files:
        for name in _names(path) if path.endswith(".py") else ():
            # One that the program imported from its file stays: the tests must meet the same classes.
            if name in sys.modules and name not in sys.stdlib_module_names and _origin(sys.modules[name]) != os.path.join(root, path):
                del sys.modules[name]
    lay_out(files)


def _names(path: str) -> tuple[str, str]:
    """What a file may be called as a module."""
    bare = path.removesuffix(".py").removesuffix("/__init__")
    return bare.replace("/", "."), os.path.basename(bare)


def _origin(module: object) -> object:
    return getattr(getattr(module, "__spec__", None), "origin", None)


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["".join(f"{part}/" for part in parts[:depth]) for depth in range(len(parts) + 1)]


def _remove(path: str) -> None:
    """Whatever it is, if it is. Not by `shutil`, which the program may have changed."""
    if os.path.islink(path) or not os.path.isdir(path):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(path)
    else:
        for name in os.listdir(path):
            _remove(f"{path}/{name}")
        os.rmdir(path)
