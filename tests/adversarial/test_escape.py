"""Programs that want out, or in: files, network, other processes, the kernel's wider surface."""

# ruff: noqa: E501 - hostile programs on one line each
from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import pytest
from programs import ADD, RIGHT, answer, still_fair, verdict

import rrtf
from rrtf.records import Outcome

REFUSED = "try:\n    {}\nexcept {}:\n    return 'refused'\nreturn 'done'"


def refused(sandbox, action: str, head: str = "import os, socket, ctypes, signal", errors: str = "OSError") -> bool:
    return answer(sandbox, REFUSED.format(action.replace("\n", "\n    "), errors), head=head) == "refused"


def test_writing_anywhere_but_tmp_is_refused(full):
    body = """
done = []
for top, folders, files in os.walk('/'):
    if top.startswith(('/tmp', '/proc', '/dev')):
        continue
    for action in (lambda: open(os.path.join(top, 'x'), 'w'), lambda: os.mkdir(os.path.join(top, 'y')), lambda: os.symlink('/', os.path.join(top, 'z'))):
        try:
            action()
        except OSError:
            continue
        done.append(top)
    if top.count('/') > 3:
        folders.clear()
return done
"""
    assert answer(full, body, head="import os") == []


def test_own_files_of_the_machine_cannot_be_seen(full):
    with tempfile.NamedTemporaryFile(prefix="rrtf-secret-") as file:
        seen = answer(
            full,
            f"return [os.path.exists(p) for p in ({file.name!r}, {str(Path(rrtf.__file__).resolve())!r}, {str(Path.home() / '.bashrc')!r}, '/etc/shadow', '/home')]",
            head="import os",
        )
    assert seen == [False] * 5


def test_installed_packages_cannot_be_seen(full):
    body = """
found = []
for top, folders, files in os.walk('/', onerror=None):
    if top in ('/proc', '/dev'):
        folders.clear()
    found += [os.path.join(top, name) for name in files if 'HumanEval' in name or name == 'human_eval.py']
    if os.path.basename(top) in ('site-packages', 'dist-packages') and folders:
        found.append(top)
return found
"""
    assert answer(full, body, head="import os") == []


def test_standard_library_cannot_be_changed(full):
    assert refused(full, "open(os.__file__, 'a')")


def test_network_is_unreachable(full):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert refused(full, f"socket.create_connection(('127.0.0.1', {port}), timeout=2)")
    assert refused(full, "socket.create_connection(('192.0.2.1', 80), timeout=2)")
    assert refused(full, "assert [name for _, name in socket.if_nameindex()] == ['lo']; raise OSError")


def test_vsock_netlink_and_packet_sockets_are_refused(full):
    for family in (40, 16, 17):
        assert refused(full, f"socket.socket({family}, socket.SOCK_DGRAM)")


def test_abstract_sockets_of_the_machine_are_out_of_reach(full):
    name = f"\0rrtf-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        assert refused(full, f"socket.socket(socket.AF_UNIX).connect({name!r})")


def test_it_is_not_root_and_has_no_capabilities(full):
    user, status = answer(full, "return os.getuid(), open('/proc/self/status').read()", head="import os")
    assert user != 0
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert all(int(fields[name], 16) == 0 for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
    assert fields["NoNewPrivs"] == "1"


def test_it_sees_no_other_processes_and_cannot_signal_any(full):
    body = """
hit = []
for pid in (*range(2, 5000), os.getppid() or 4999):
    if pid != os.getpid():
        try:
            os.kill(pid, 0)
            hit.append(pid)
        except OSError:
            pass
return hit
"""
    assert answer(full, body, head="import os") == []
    assert answer(full, "return os.getpid(), os.getppid()", head="import os") == (1, 0)


def test_killing_everything_in_sight_hits_nobody(full):
    # Only behind its own pid namespace, which `full` guarantees.
    code = "import os, signal\ntry:\n    os.kill(-1, signal.SIGKILL)\nexcept OSError:\n    pass\ndef add(a, b):\n    return a + b\n"
    assert verdict(full, ADD, code).outcome is Outcome.PASSED
    still_fair(full)


@pytest.mark.parametrize(
    "call",
    [
        "ctypes.CDLL(None, use_errno=True).unshare(0x10000000)",
        "ctypes.CDLL(None, use_errno=True).mount(b'tmpfs', b'/tmp', b'tmpfs', 0, None)",
        "ctypes.CDLL(None, use_errno=True).ptrace(0, 0, 0, 0)",
        "ctypes.CDLL(None, use_errno=True).chroot(b'/tmp')",
        "ctypes.CDLL(None, use_errno=True).syscall(250, 0, 0, 0)",
        "ctypes.CDLL(None, use_errno=True).shmget(0, 4096, 0o1600)",
        "ctypes.CDLL(None, use_errno=True).sethostname(b'x', 1)",
    ],
)
def test_dangerous_system_calls_are_refused(full, call):
    assert answer(full, f"return {call}", head="import ctypes") == -1


def test_memory_of_the_worker_cannot_be_read(full):
    assert refused(full, "open('/proc/1/mem', 'rb').seek(0) or os.listdir('/proc/2/fd')")


def test_devices_are_few(full):
    assert set(answer(full, "return os.listdir('/dev')", head="import os")) == {
        "null", "zero", "full", "random", "urandom", "fd", "stdin", "stdout", "stderr", "shm",
    }  # fmt: skip


def test_setuid_and_device_nodes_are_refused(full):
    assert refused(full, "os.setuid(0)")
    assert refused(full, "os.mknod('/tmp/sda', 0o060666, os.makedev(8, 0))")


def test_nothing_but_our_pipes_is_open(full):
    kinds = answer(
        full,
        "return sorted(os.readlink('/proc/self/fd/' + n).split(':')[0] for n in os.listdir('/proc/self/fd') if os.path.islink('/proc/self/fd/' + n))",
        head="import os",
    )
    assert [kind for kind in kinds if kind not in ("pipe", "/dev/null")] == []
    assert kinds.count("pipe") == 3  # printed output, errors and reports; calls need no key


def test_environment_is_empty_but_for_what_we_set(sandbox, monkeypatch):
    monkeypatch.setenv("RRTF_TEST_SECRET", "s3cret")
    seen = answer(sandbox, "return dict(os.environ), open('/proc/self/environ').read()", head="import os")
    assert "s3cret" not in str(seen)
    assert seen[0]["PYTHONHASHSEED"] == "0"
    assert seen[0]["OMP_NUM_THREADS"] == "1"


def test_our_package_cannot_be_imported_by_accident(sandbox):
    assert answer(sandbox, "import sys\nreturn [name for name in sys.modules if name.startswith(('rrtf', 'inside'))]") == []
    assert refused(sandbox, "import rrtf", errors="ImportError")


def test_right_answers_still_pass(sandbox):
    assert verdict(sandbox, ADD, RIGHT["add"]).outcome is Outcome.PASSED
