"""The front door, the worker's failures, and what may be imported inside."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pydantic
import pytest

import rrtf.sandbox as sandbox_package
from rrtf.errors import SandboxError, SandboxFailure
from rrtf.protocols import Isolation, Program
from rrtf.records import CallTest, Limits
from rrtf.sandbox import LimitsConfig, PlainConfig, ProcessConfig, SandboxConfig, SandboxRuntime, open_sandbox, package_paths, refuse_reduced
from rrtf.sandbox.inside import reports, syscalls
from rrtf.sandbox.plain import PlainSandbox
from rrtf.sandbox.process import ProcessSandbox

ONE = Program("def f():\n    return 1", "f", (CallTest("[]", "1"),))


def test_config_is_chosen_by_its_backend():
    adapter = pydantic.TypeAdapter(SandboxConfig)
    assert isinstance(adapter.validate_python({"backend": "process"}), ProcessConfig)
    assert isinstance(adapter.validate_python({"backend": "plain", "limits": {"cpu_seconds": 1}}), PlainConfig)
    for bad in (
        {"backend": "docker"},
        {"backend": "process", "workers": 3},
        {"backend": "plain", "limits": {"cpu_seconds": 0}},
        {"backend": "plain", "limits": {"cores": 1}},
    ):
        with pytest.raises(pydantic.ValidationError):
            adapter.validate_python(bad)


def test_default_limits_are_those_of_the_record():
    assert LimitsConfig().limits() == Limits()


def test_every_setting_is_documented():
    for model in (LimitsConfig, ProcessConfig, PlainConfig, SandboxRuntime):
        assert all(field.description for field in model.model_fields.values()), model


@pytest.mark.parametrize("config", [ProcessConfig(), PlainConfig(backend="plain")])
def test_open_sandbox(config):
    with open_sandbox(config, SandboxRuntime(workers=1)) as sandbox:
        assert sandbox.run(ONE).replies[0].value == "1"


def test_full_isolation_can_be_required():
    with pytest.raises(SandboxError, match="namespaces"):
        open_sandbox(PlainConfig(backend="plain"), SandboxRuntime(workers=1, require="full"))
    refuse_reduced(Isolation(("all",), ()))


def test_packages_are_found_or_refused(tmp_path):
    place, *needed = package_paths(("hypothesis",))
    assert "sortedcontainers" in {Path(path).name for path in needed}
    assert Path(place).name == "hypothesis"
    for name in ("no_such_package_here", "../etc", "os; import sys"):
        with pytest.raises(SandboxError, match="not installed"):
            package_paths((name,))


def test_chosen_packages_can_be_imported_and_others_not():
    with open_sandbox(ProcessConfig(packages=("numpy",)), SandboxRuntime(workers=1)) as sandbox:
        missing = sandbox.isolation().missing
        source = "import numpy as np\ndef f():\n    return int(np.arange(4).sum()), float((np.eye(50) @ np.eye(50)).trace())"
        execution = sandbox.run(Program(source, "f", (CallTest("[]", "1"),)))
        assert execution.load_error == ""
        assert execution.replies[0].value == '{"$tuple":[6,50.0]}'
        if not missing:
            assert "ModuleNotFoundError" in sandbox.run(Program("import pydantic", "f", (CallTest("[]", "1"),))).load_error


def test_a_killed_worker_is_a_failure_and_is_replaced():
    others = _workers()
    with ProcessSandbox(workers=1) as sandbox:
        (worker,) = _workers() - others
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(SandboxFailure):
            sandbox.run(ONE)
        assert sandbox.run(ONE).replies[0].value == "1"


def test_a_stopped_worker_is_a_failure_and_is_replaced(monkeypatch):
    from rrtf.sandbox import worker as worker_module

    monkeypatch.setattr(worker_module, "_GRACE_SECONDS", 0.2)
    others = _workers()
    with ProcessSandbox(workers=1) as sandbox:
        (first,) = _workers() - others
        family = [psutil.Process(first), *psutil.Process(first).children(recursive=True)]
        for process in family:
            process.suspend()
        with pytest.raises(SandboxFailure, match="in time"):
            sandbox.run(Program(ONE.source, "f", ONE.tests, Limits(wall_seconds=0.05)))
        monkeypatch.undo()
        assert sandbox.run(ONE).replies[0].value == "1"
        assert all(not process.is_running() or process.status() == psutil.STATUS_ZOMBIE for process in family)


def test_replies_beyond_the_room_for_them_become_short():
    collected = reports.Collected()
    large = {"status": "passed", "value": "\0" * (4 << 20)}
    collected.add([large] * 4)
    assert [reply["status"] for reply in collected.replies] == ["passed", "passed", "wrong", "wrong"]
    collected.add([{"status": "passed", "value": "1"}])
    assert collected.replies[-1]["status"] == "passed"


def test_an_interpreter_that_cannot_start_is_a_sandbox_error(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(SandboxError, match="/nonexistent/python"):
        ProcessSandbox(workers=1)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(SandboxError, match="did not start"):
        ProcessSandbox(workers=1)


@pytest.mark.parametrize("make", [ProcessSandbox, PlainSandbox])
def test_a_worker_that_cannot_be_replaced_now_is_a_failure_of_this_run(monkeypatch, make):
    others = _workers()
    with make(workers=1) as sandbox:
        for worker in _workers() - others:
            os.kill(worker, signal.SIGKILL)
            with pytest.raises(SandboxFailure):
                sandbox.run(ONE)
        monkeypatch.setattr(sys, "executable", "/nonexistent/python")
        with pytest.raises(SandboxFailure, match="/nonexistent/python"):
            sandbox.run(ONE)
        monkeypatch.undo()
        assert sandbox.run(ONE).replies[0].value == "1"
    with pytest.raises(SandboxError, match="closed") as caught:
        sandbox.run(ONE)
    assert not isinstance(caught.value, SandboxFailure)


def _workers() -> set[int]:
    return {child.pid for child in psutil.Process().children() if any("inside" in part for part in child.cmdline())}


def test_the_inside_imports_only_the_standard_library():
    folder = Path(sandbox_package.__file__).parent / "inside"
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom) and not node.level
                else []
            )
            assert all(name.split(".")[0] in sys.stdlib_module_names for name in names), (path, names)
            assert not (isinstance(node, ast.ImportFrom) and node.level > 1), path


@pytest.mark.parametrize("network", [True, False])
@pytest.mark.parametrize("processes", [True, False])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_is_well_formed(monkeypatch, machine, network, processes):
    import struct

    monkeypatch.setattr("platform.machine", lambda: machine)
    code = [struct.unpack_from("=HBBI", raw, at) for raw in [syscalls.build(7, network=network, processes=processes)] for at in range(0, len(raw), 8)]
    assert len(code) < 4096
    for position, (operation, yes, no, _) in enumerate(code):
        if operation & 7 == 5:  # a jump lands inside the program
            assert position + 1 + max(yes, no) < len(code)
    assert code[-1][0] == 6


def test_no_filter_is_guessed_for_an_unknown_processor(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(OSError, match="riscv64"):
        syscalls.build(7, network=True, processes=True)


_WITHOUT_VIEW = """
import json, os, sys
from rrtf.sandbox.inside import isolate, view

def refused(packages):
    raise OSError(1, "Operation not permitted")

view.build = refused
isolate._STANDARD_LIBRARY = sys.argv[1]
world = isolate.enter(namespaces=True, packages=[])
print(json.dumps([os.listdir(sys.argv[1]), world.missing]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_stays_able_to_import_where_other_users_cannot_read_the_interpreter(tmp_path):
    """An interpreter below a home directory of mode 700, on a machine that grants user namespaces but no mounts."""
    library = tmp_path / "home" / "lib"
    library.mkdir(parents=True)
    (library / "tempfile.py").touch()
    library.parent.chmod(0o700)
    ended = subprocess.run([sys.executable, "-c", _WITHOUT_VIEW, str(library)], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    listed, missing = json.loads(ended.stdout)
    assert listed == ["tempfile.py"]
    assert "user namespace (Permission denied)" in missing
    assert any(line.startswith("unprivileged user (Permission denied: other users cannot read") for line in missing)
