"""pytest files, run by pytest itself in the program's process: one ending for each test function, told to the caller as soon as that function is done.

pytest is imported before the program and its functions are remembered: where the program has changed one of them, no test passes. A test has passed when every
one of its parameters was set up, was called by us and returned, and was torn down, none of them skipped or expected to fail. Exit codes, reports made up by
the program and what is printed count for nothing. What that does not prove: `runner`. Not here: the private channel (`runner`), which tests there are (decided
before any program ran).
"""

from __future__ import annotations

import builtins
import importlib
import inspect
import os
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import genuine
from .surroundings import SETTINGS

# The functions below keep these builtins, whatever a program does to the module of that name.
__builtins__ = dict(vars(builtins))

_OWN = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "unittest")
_OPTIONS = ("-q", "--tb=no", "--no-header", "-p", "no:cacheprovider", "-p", "no:faulthandler", "-p", "no:unraisableexception", "-p", "no:threadexception")
_PHASES = ("setup", "call", "teardown")


@dataclass(frozen=True, slots=True)
class Ending:
    """How a test function ended."""

    status: str
    """`passed`, `wrong` (an assertion of the tests failed, or it was skipped) or `raised`."""
    error: BaseException | None = None
    text: str = ""
    """What to say where there is no `error`."""


@dataclass(frozen=True, slots=True)
class Library:
    """pytest as it was before the program."""

    pytest: Any
    modules: dict[str, types.ModuleType]
    contents: list[tuple[dict[str, object], str, object, object]]
    """(namespace, name, function or class, its code)"""
    finders: tuple[tuple[str, list[Any], list[Any]], ...]
    """Where and how modules are found: names in `sys`, with the lists they are and what those hold."""
    codes: genuine.Codes
    around: genuine.Modules
    swapped: list[object]
    """Functions that pytest puts in the place of others of its own while it runs."""

    def changed(self) -> bool:
        """Whether anything of it is not what it was; modules that were exchanged are put back first, for the tests import them."""
        sys.modules.update(self.modules)
        for names, name, value, code in self.contents:
            now = names.get(name)
            if (now is not value and now not in self.swapped) or getattr(value, "__code__", None) is not code:
                return True
        return False

    def undo(self) -> None:
        """Take back what the program did, while it was loaded, to the modules that tests lean on and to the ways modules are found."""
        genuine.put_back(self.around)
        genuine.clean_environment()
        for name, same, contents in self.finders:
            same[:] = contents
            setattr(sys, name, same)
        sys.path_importer_cache = {}


def load(files: dict[str, str], nodes: tuple[str, ...]) -> Library:
    """Import pytest, and remember it and what the tests at these nodes are. Raises `ImportError`."""
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    pytest = importlib.import_module("pytest")
    for name in (
        "_pytest.doctest",
        "_pytest.unittest",
        "_pytest.capture",
        "_pytest.tmpdir",
        "_pytest.skipping",
        "_pytest.terminal",
        "_pytest.legacypath",
        "unittest.case",
    ):  # else loaded later
        importlib.import_module(name)
    modules = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in _OWN}
    contents: list[tuple[dict[str, object], str, object, object]] = []
    for module in modules.values():
        for name, value in vars(module).items():
            if isinstance(value, (types.FunctionType, type)) and value.__module__.partition(".")[0] in _OWN:
                contents.append((vars(module), name, value, getattr(value, "__code__", None)))
                if isinstance(value, type):
                    contents += [(_Names(value), part, held, held.__code__) for part, held in vars(value).items() if isinstance(held, types.FunctionType)]
    finders = tuple([(name, same, list(same)) for name, same in (("path", sys.path), ("meta_path", sys.meta_path), ("path_hooks", sys.path_hooks))])
    swapped: list[object] = [value for value in vars(modules["_pytest.legacypath"]).values() if isinstance(value, types.FunctionType)]
    codes = genuine.codes(importlib.import_module("_pytest.assertion.rewrite").rewrite_asserts, files, nodes)
    return Library(pytest, modules, contents, finders, codes, genuine.remembered(), swapped)


class _Names(dict[str, object]):
    """What a class holds, looked up when asked: its own mapping cannot be kept."""

    def __init__(self, kind: type) -> None:
        super().__init__()
        self._kind = kind

    def get(self, key: str, default: object = None) -> object:  # type: ignore[override]
        return self._kind.__dict__.get(key, default)


@dataclass(slots=True)
class _Item:
    """What became of one parameter set of a test."""

    phases: set[str] = field(default_factory=set[str])
    returned: bool = False
    idle: str = ""
    """Why it proves nothing: skipped, expected to fail, or not the test that was asked for."""
    error: BaseException | None = None


@dataclass(slots=True)
class _Progress:
    """Where the run stands."""

    numbers: dict[str, int]
    program: str
    begin: Callable[[int], None]
    end: Callable[[int, Ending], None]
    items: dict[str, _Item] = field(default_factory=dict[str, _Item])
    not_collected: str = ""
    running: int | None = None
    done: set[int] = field(default_factory=set[int])

    def start(self, number: int) -> None:
        self.begin(number)
        self.running = number

    def finish(self, number: int, ending: Ending) -> None:
        self.running = None
        self.done.add(number)
        self.end(number, ending)


def run(
    library: Library, files: dict[str, str], nodes: tuple[str, ...], start: int, program: str, begin: Callable[[int], None], end: Callable[[int, Ending], None]
) -> None:
    """Run the tests at these nodes, in this order, as numbers from `start` on: `begin` before each, `end` after it. `program`: its file."""
    progress = _Progress({node: start + place for place, node in enumerate(nodes)}, program, begin, end)
    root = os.path.realpath(os.getcwd())
    paths = list(dict.fromkeys(node.partition("::")[0] for node in nodes))
    options = [*_OPTIONS, f"--rootdir={root}", f"--confcutdir={root}", f"--basetemp={root}/.pytest-tmp", "-c", _settings(files), *paths]
    why = "pytest ended before this test"
    try:
        why += f" (its exit status is {int(library.pytest.main(options, plugins=[_plugin(library, progress)]))})"
    except BaseException as error:
        why += f" ({type(error).__name__})"
    for number in progress.numbers.values():
        if number not in progress.done:
            if progress.running != number:
                progress.start(number)
            progress.finish(number, Ending("raised", text=progress.not_collected or why))


def _settings(files: dict[str, str]) -> str:
    return next((name for name in SETTINGS if name in files), os.devnull)


class _Hooks:
    """Our eyes and hands in pytest."""

    def __init__(self, library: Library, progress: _Progress) -> None:
        self.library, self.progress = library, progress

    def pytest_runtestloop(self, session: Any) -> bool:
        """Run what was asked for in its order, all parameters of a test together."""
        progress = self.progress
        groups: dict[str, list[Any]] = {node: [] for node in progress.numbers}
        for item in session.items:
            groups.get(item.nodeid.partition("[")[0], []).append(item)
        order = [item for group in groups.values() for item in group]
        following = dict(zip(order, [*order[1:], None], strict=False))
        for node, group in groups.items():
            progress.start(progress.numbers[node])
            for item in group:
                progress.items[item.nodeid] = _Item()
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following[item])
            results = [progress.items[item.nodeid] for item in group]
            progress.finish(progress.numbers[node], _ending(self.library, progress, results))
        return True

    def pytest_pyfunc_call(self, pyfuncitem: Any) -> bool | None:
        """Call the test function ourselves: that it returned is then known from nobody's report."""
        if inspect.iscoroutinefunction(pyfuncitem.obj) or inspect.isasyncgenfunction(pyfuncitem.obj):
            return None
        names, function = pyfuncitem._fixtureinfo.argnames, pyfuncitem.obj
        if self._is_genuine(pyfuncitem, function):
            function(**{name: pyfuncitem.funcargs[name] for name in names})
            self.progress.items[pyfuncitem.nodeid].returned = True
        return True

    def _is_genuine(self, item: Any, function: object) -> bool:
        wanted = self.library.codes.get(item.nodeid.partition("[")[0])
        if wanted and not genuine.is_one_of(function, wanted):
            self.progress.items[item.nodeid].idle = "exchanged for another"
            return False
        return True

    def pytest_runtest_makereport(self, item: Any, call: Any) -> None:
        """Keep the first error of a test."""
        found = self.progress.items[item.nodeid]
        excinfo = call.excinfo or next(iter(getattr(item, "_excinfo", None) or ()), None)  # unittest keeps its own
        if excinfo is not None and found.error is None:
            found.error = excinfo.value
        if call.when == "call" and excinfo is None and hasattr(item, "_testcase"):  # unittest calls the method by itself
            found.returned = self._is_genuine(item, item.obj)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep which phases went well, and what proves nothing."""
        found = self.progress.items[report.nodeid]
        if report.skipped or hasattr(report, "wasxfail"):
            found.idle = found.idle or ("expected to fail" if hasattr(report, "wasxfail") else "skipped")
        elif report.passed:
            found.phases.add(report.when)

    def pytest_collectreport(self, report: Any) -> None:
        """Keep why a file could not be read."""
        if report.failed and not self.progress.not_collected:
            self.progress.not_collected = (
                f"pytest could not read {report.nodeid}: {_last_line(str(report.longrepr)).replace(os.path.realpath(os.getcwd()) + os.sep, '')}"
            )


def _plugin(library: Library, progress: _Progress) -> _Hooks:
    for hook in (_Hooks.pytest_runtestloop, _Hooks.pytest_pyfunc_call, _Hooks.pytest_runtest_makereport):
        library.pytest.hookimpl(tryfirst=True)(hook)
    return _Hooks(library, progress)


def _ending(library: Library, progress: _Progress, items: list[_Item]) -> Ending:
    if library.changed():
        return Ending("raised", text="the program changed pytest")
    if not items:
        return Ending("raised", text=progress.not_collected or "pytest found no such test")
    for item in items:
        if item.idle:
            return Ending("wrong", text=f"the test was {item.idle}, which proves nothing")
        if item.error is not None:
            asserted = isinstance(item.error, AssertionError) and _innermost_file(item.error) != progress.program
            wrong = asserted or isinstance(item.error, library.pytest.fail.Exception)
            return Ending("wrong" if wrong else "raised", item.error)
        if not item.returned or item.phases != set(_PHASES):
            return Ending("raised", text="pytest did not run the test to its end")
    return Ending("passed")


def _innermost_file(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_code.co_filename if trace is not None else ""


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return next((line[1:].strip() for line in reversed(lines) if line.startswith("E ")), lines[-1].strip() if lines else "")
