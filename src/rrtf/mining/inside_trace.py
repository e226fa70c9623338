"""Runs inside the sandbox: one test file under pytest and coverage.py, and what each of its tests executed.

Its text is a program like any other, so it uses the standard library, pytest and coverage only and imports nothing of ours. It reads what to look for from
standard input and prints JSON behind a marker, since the tests may print too. What it says is a hint: each test that is kept is judged again.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any

MARK = "\n-- traced --\n"


def _last(text: str) -> str:
    """The line of a report that says what went wrong."""
    lines = text.strip().splitlines() or [""]
    return next((line[1:].strip() for line in reversed(lines) if line.startswith("E ")), lines[-1])[:300]


def _main() -> None:
    asked = json.loads(sys.stdin.read())
    root = os.path.realpath(os.getcwd())
    opened: set[str] = set()

    def hear(event: str, details: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(details[0], (str, os.PathLike)):
            opened.add(os.path.abspath(os.fspath(details[0])))  # type: ignore[arg-type]

    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    pytest, coverage = importlib.import_module("pytest"), importlib.import_module("coverage")
    sys.argv[:] = ["pytest"]
    sys.addaudithook(hear)
    measured = coverage.Coverage(data_file=None, config_file=False, messages=False, include=sorted({target[0] for target in asked["targets"]}))
    statuses: dict[str, str] = {}
    told: list[str] = []

    class Hooks:
        """Says whose turn it is, and how it ended."""

        @pytest.hookimpl(hookwrapper=True, tryfirst=True)
        def pytest_runtest_protocol(self, item: Any) -> Any:
            measured.switch_context(item.nodeid.partition("[")[0])
            yield
            measured.switch_context("")

        def pytest_runtest_logreport(self, report: Any) -> None:
            node = report.nodeid.partition("[")[0]
            said = "unproven" if report.skipped or hasattr(report, "wasxfail") else "failed" if report.failed else "passed"
            if statuses.get(node, "passed") == "passed":
                statuses[node] = said
            if said == "failed":
                told.append(_last(str(report.longrepr)))

        def pytest_collectreport(self, report: Any) -> None:
            if report.failed:
                told.append(_last(str(report.longrepr)))

    options = ["-q", "--tb=short", "--no-header", "-p", "no:cacheprovider", f"--rootdir={root}", f"--confcutdir={root}", "-c", "pytest.ini", asked["file"]]
    measured.start()
    code = int(pytest.main(options, plugins=[Hooks()]))
    measured.stop()
    data = measured.get_data()
    reached: dict[str, list[int]] = {}
    lines = {path: data.contexts_by_lineno(os.path.join(root, path)) for path in {target[0] for target in asked["targets"]}}
    for number, (path, first, last) in enumerate(asked["targets"]):
        for node in {context for line, contexts in lines[path].items() if first <= line <= last for context in contexts if context}:
            reached.setdefault(node, []).append(number)
    modules = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    inside = {os.path.relpath(path, root) for path in [*opened, *(path for path in modules if isinstance(path, str))] if path.startswith(root + os.sep)}
    sys.__stdout__.write(MARK + json.dumps({"code": code, "statuses": statuses, "reached": reached, "files": sorted(inside), "told": told[:3]}))  # type: ignore[union-attr]


if __name__ == "__main__":
    _main()
