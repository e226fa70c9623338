"""A repository as text: its packages, its tests, and the settings of pytest that may travel.

Every file that could travel with a problem is read once; what cannot (binary, too large) is counted. A `src/` folder is taken away from paths, so that packages
lie at the root, where the sandbox looks for modules. Not here: functions (`candidates`), running anything.
"""

from __future__ import annotations

import ast
import configparser
import importlib.util
import os
import re
import sys
import tomllib
import warnings
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import cast

from rrtf.errors import DataError
from rrtf.extraction.syntax import parse

MOST_OF_A_FILE = 1 << 20
MOST_FILES = 4000
_SKIPPED = {"build", "dist", "node_modules", "site-packages", "venv", "env", "__pycache__"}
_BESIDE = {"setup", "conftest", "noxfile", "tasks", "fabfile", "versioneer", "ez_setup", "benchmark", "test", "tests"}
_NOT_PACKAGES = {"test", "tests", "testing", "doc", "docs", "example", "examples", "benchmark", "benchmarks", "bench", "scripts", "tools", "ci"}
_OWN = {"pytest", "_pytest", "pluggy", "iniconfig", "packaging", "coverage"}
"""What runs the tests: another copy of it cannot be put in its place."""
_SETTINGS = ("python_files", "python_classes", "python_functions", "markers", "usefixtures", "xfail_strict")
"""Settings of pytest that travel. Not `addopts`: plugins and reports that it asks for are not there."""


@dataclass(frozen=True, slots=True)
class Repository:
    """What is in a repository."""

    name: str
    files: dict[str, str]
    """Path, as the sandbox will see it, -> text."""
    modules: dict[str, str]
    """Importable name of each module of its packages, tests left out -> path."""
    tests: tuple[str, ...]
    """Paths of test files."""
    packages: tuple[str, ...]
    """Third-party packages that its modules and tests import and that are installed here."""
    absent: tuple[str, ...]
    """Those that are not installed here."""
    unread: int
    """Files that are binary or too large."""

    @property
    def own(self) -> frozenset[str]:
        """Names of its packages and modules at the top."""
        return frozenset(name.partition(".")[0] for name in self.modules)


def read(root: Path) -> Repository:
    """The repository in a folder. Raises `DataError` that says what is missing."""
    if not root.is_dir():
        raise DataError(f"{root} is not a folder.", why="Problems are made from a repository's own files.", hint="Unpack a source distribution, or clone it.")
    files, unread = _texts(root)
    if not any(path.endswith(".py") for path in files):
        raise DataError(f"{root} holds no Python files.", hint="Give the folder that its setup.py or pyproject.toml lies in.")
    settings = _settings(files)
    patterns = settings.get("python_files", "").split() or ["test_*.py", "*_test.py"]
    files = _without_source_folder(files)
    tests = tuple(sorted(path for path in files if _is_test(path, [*patterns, "test.py", "tests.py"])))
    if not tests:
        raise DataError(
            f"{root} holds no pytest files ({', '.join(patterns)}).",
            why="A function becomes a problem by the tests that run it.",
            hint="Not every source distribution brings its tests; the repository itself may.",
        )
    modules = _modules(files, set(tests))
    if not modules:
        raise DataError(f"{root} holds no package and no module beside its tests.", hint="Give the folder that its setup.py or pyproject.toml lies in.")
    clash = sorted(_OWN & {name.partition(".")[0] for name in modules})
    if clash:
        raise DataError(
            f"{root} is the home of {clash[0]!r}, which runs the tests.", why="Its functions cannot be taken out under pytest's feet.", hint="Mine another."
        )
    for path in [path for path in files if _holds_settings(path)]:
        del files[path]
    files["pytest.ini"] = "[pytest]\n" + "".join(f"{key} = {_folded(settings[key])}\n" for key in _SETTINGS if key in settings)
    files |= _metadata(files)
    present, absent = _third_party(files, set(modules.values()) | set(tests), {name.partition(".")[0] for name in modules})
    return Repository(_name(root, files), files, modules, tests, present, absent, unread)


def _texts(root: Path) -> tuple[dict[str, str], int]:
    files: dict[str, str] = {}
    unread = 0
    for folder, inner, names in os.walk(root):
        inner[:] = sorted(name for name in inner if not name.startswith(".") and name not in _SKIPPED and not (Path(folder) / name / "pyvenv.cfg").exists())
        for name in sorted(names):
            path = Path(folder) / name
            if name.startswith(".") or path.is_symlink() or not path.is_file():
                continue
            text = _text(path)
            place = path.relative_to(root).as_posix()
            if text is None or not place.isprintable() or set(place) & set("\\:[]"):
                unread += 1
            else:
                files[place] = text
            if len(files) > MOST_FILES:
                raise DataError(f"{root} holds more than {MOST_FILES} files.", why="All would travel into the sandbox.", hint="Give one package's folder.")
    return files, unread


def _text(path: Path) -> str | None:
    try:
        data = path.read_bytes() if path.stat().st_size <= MOST_OF_A_FILE else b"\0"
        text = data.decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    return None if "\0" in text else text


def _without_source_folder(files: dict[str, str]) -> dict[str, str]:
    if "src/__init__.py" in files or not any(re.match(r"src/[^/]+(/__init__)?\.py$", path) for path in files):
        return files
    moved = {path.removeprefix("src/"): text for path, text in files.items()}
    return moved if len(moved) == len(files) else files


def _is_test(path: str, patterns: list[str]) -> bool:
    return path.endswith(".py") and any(fnmatch(PurePosixPath(path).name, pattern) or fnmatch(path, pattern) for pattern in patterns)


def _modules(files: dict[str, str], tests: set[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in files:
        parts = path.removesuffix(".py").split("/")
        if not path.endswith(".py") or path in tests or not all(part.isidentifier() for part in parts) or parts[-1] in ("conftest", "__main__"):
            continue
        packaged = len(parts) > 1 and all("/".join(parts[:depth]) + "/__init__.py" in files for depth in range(1, len(parts)))
        if packaged and not (parts[0] in _NOT_PACKAGES or _NOT_PACKAGES & {"test", "tests"} & set(parts)):
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
        elif len(parts) == 1 and parts[0] not in _BESIDE and not any(name.startswith(f"{parts[0]}.") for name in found):
            found[parts[0]] = path
    return found


def _holds_settings(path: str) -> bool:
    return path in ("pytest.ini", "pytest.toml", "pyproject.toml", "tox.ini", "setup.cfg")


def _settings(files: dict[str, str]) -> dict[str, str]:
    """What the repository tells pytest, from the first file that does."""
    for path, section in (("pytest.ini", "pytest"), ("pyproject.toml", ""), ("tox.ini", "pytest"), ("setup.cfg", "tool:pytest")):
        text = files.get(path, "")
        try:
            found = _toml_settings(text) if path.endswith(".toml") else _ini_settings(text, section)
        except (configparser.Error, tomllib.TOMLDecodeError):
            continue
        if found:
            return found
    return {}


def _ini_settings(text: str, section: str) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False)
    parser.read_string(text)
    return dict(parser.items(section)) if parser.has_section(section) else {}


def _toml_settings(text: str) -> dict[str, str]:
    options = tomllib.loads(text).get("tool", {}).get("pytest", {}).get("ini_options", {})
    return {key: "\n".join(map(str, cast("list[object]", value))) if isinstance(value, list) else str(value) for key, value in options.items()}


def _folded(value: str) -> str:
    return "\n    ".join(line.strip() for line in value.strip().splitlines())


def _metadata(files: dict[str, str]) -> dict[str, str]:
    """What `importlib.metadata` finds of an installed package: many ask it for their own version."""
    text = files.get("PKG-INFO", "")
    found = {key: re.search(rf"^{key}: *(\S+)", text, re.MULTILINE) for key in ("Name", "Version")}
    if not all(found.values()) or any(re.fullmatch(r"[^/]+\.(egg|dist)-info/(PKG-INFO|METADATA)", path) for path in files):
        return {}
    name, version = (match[1] for match in found.values() if match)
    return {f"{name.replace('-', '_')}-{version}.dist-info/METADATA": text}


def _third_party(files: dict[str, str], paths: set[str], own: set[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the code imports of neither itself nor the standard library: installed here, and not."""
    beside = {PurePosixPath(path).stem for path in files if path.endswith(".py")} | {part for path in files for part in path.split("/")[:-1]}
    names: set[str] = set()
    for path in sorted(paths):
        tree = parse(files[path])
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                names.add(node.module.partition(".")[0])
    wanted = sorted(names - own - beside - sys.stdlib_module_names - _OWN)
    present = [name for name in wanted if _installed(name)]
    return tuple(present), tuple(name for name in wanted if name not in present)


def _installed(name: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            return False
    return spec is not None and (spec.origin is not None or bool(spec.submodule_search_locations))


def _name(root: Path, files: dict[str, str]) -> str:
    """The project's name, as its metadata or else its folder says it."""
    said = re.search(r"^Name: *(\S+)", files.get("PKG-INFO", ""), re.MULTILINE)
    return said[1] if said else re.sub(r"-\d[\w.]*$", "", root.resolve().name)
