"""Programs that want out, or in: files, network, other processes, the kernel's wider surface."""

# ruff: noqa: E501 - hostile programs on one line each
from __future__ import annotations

import os
import socket
import sys
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
        "ctypes.CDLL(None, use_errno=True).unshare(0x20000000)",
        "ctypes.CDLL(None, use_errno=True).unshare(0x30000000)",
        "ctypes.CDLL(None, use_errno=True).setns(os.open('/proc/self/ns/pid', 0), 0x20000000)",
        "ctypes.CDLL(None, use_errno=True).setns(os.open('/proc/self/ns/user', 0), 0)",
        "ctypes.CDLL(None, use_errno=True).personality(0x0040000)",
        "ctypes.CDLL(None, use_errno=True).umount2(b'/proc', 2)",
        "ctypes.CDLL(None, use_errno=True).clock_settime(0, ctypes.byref((ctypes.c_long * 2)(0, 0)))",
        "ctypes.CDLL(None, use_errno=True).prctl(22, 2, None)",
        "ctypes.CDLL(None, use_errno=True).prctl(35, 8, 0, 0, 0)",
        "os.setsid() if os.getsid(0) != os.getpid() else -1",
    ],
)
def test_dangerous_system_calls_are_refused(full, call):
    assert answer(full, f"return {call}", head="import ctypes, os") == -1


def test_memory_of_the_worker_cannot_be_read(full):
    assert refused(full, "open('/proc/1/mem', 'rb').seek(0) or os.listdir('/proc/2/fd')")


OTHERS = "others = [p for p in os.listdir('/proc') if p.isdigit() and p != os.readlink('/proc/self')]\n"


def test_nothing_of_the_processes_that_made_it_can_be_opened(full):
    body = (
        OTHERS
        + """
done = []
for pid in others:
    for name in ('mem', 'environ', 'maps', 'smaps', 'auxv', 'syscall', 'stack', 'pagemap', 'timers', 'io', 'exe', 'root/tmp', 'cwd/x', 'ns/pid', 'fd/0', 'fd/3', 'map_files'):
        try:
            os.stat(f'/proc/{pid}/{name}') if name in ('exe', 'ns/pid', 'fd/0', 'fd/3') else open(f'/proc/{pid}/{name}', 'rb').read(1)
            done.append((pid, name))
        except OSError: pass
    for name in ('oom_score_adj', 'oom_adj', 'comm', 'clear_refs', 'coredump_filter', 'timerslack_ns', 'setgroups', 'uid_map', 'attr/current', 'loginuid', 'autogroup', 'sched'):
        try:
            with open(f'/proc/{pid}/{name}', 'wb', 0) as file: file.write(b'0')
            done.append((pid, name))
        except OSError: pass
return len(others) > 0, done
"""
    )
    assert answer(full, body, head="import os") == (True, [])


def test_settings_of_the_kernel_cannot_be_written(full):
    body = """
done = []
for top, folders, files in os.walk('/proc/sys'):
    for name in files:
        try:
            with open(os.path.join(top, name), 'r+b', 0) as file:
                file.write(file.read())  # some can be opened by anybody
            done.append(os.path.join(top, name))
        except OSError: pass
return done
"""
    assert answer(full, body, head="import os") == []


def test_a_new_interpreter_is_confined_as_the_first(full):
    script = (
        "import os, ctypes; s = open('/proc/self/status').read(); print([l for l in s.splitlines() if l.startswith(('NoNewPrivs', 'Seccomp:', 'CapBnd'))],"
        " ctypes.CDLL(None).unshare(0x10000000), os.access('/', os.W_OK), sorted(os.environ))"
    )
    body = f"return subprocess.run([{str(Path(sys.executable).resolve())!r}, '-I', '-c', {script!r}], capture_output=True, text=True).stdout"
    seen = answer(full, body, head="import subprocess")
    assert seen.startswith("['CapBnd:\\t0000000000000000', 'NoNewPrivs:\\t1', 'Seccomp:\\t2'] -1 False"), seen


@pytest.mark.parametrize("flags", [0x10000000, 0x20000000, 0x20000, 0x40000000, 0x8000000, 0x2000000, 0x4000000, 0x30000000])
def test_a_clone_with_namespaces_is_refused(full, flags):
    number = 56 if os.uname().machine == "x86_64" else 220
    assert answer(full, f"return ctypes.CDLL(None).syscall({number}, {flags} | 17, 0, 0, 0, 0)", head="import ctypes") == -1


def test_a_child_cannot_become_its_parents_sibling(full):
    number = 56 if os.uname().machine == "x86_64" else 220
    assert answer(full, f"return ctypes.CDLL(None).syscall({number}, 0x8000 | 17, 0, 0, 0, 0)", head="import ctypes") == -1  # CLONE_PARENT: the zygote's child


@pytest.mark.parametrize("kind", ["NPROC", "DATA", "FSIZE", "CPU", "NOFILE", "CORE", "MSGQUEUE", "MEMLOCK", "RTPRIO", "NICE"])
def test_limits_cannot_be_raised(full, kind):
    head = "import resource"
    body = f"kind = resource.RLIMIT_{kind}\nsoft, hard = resource.getrlimit(kind)\ntry:\n    resource.setrlimit(kind, (hard + 1, hard + 1))\nexcept (ValueError, OSError):\n    return hard >= 0\nreturn False"
    assert answer(full, body, head=head) is True


def test_other_users_cannot_be_taken_on(full):
    body = """
libc = ctypes.CDLL(None, use_errno=True)
return [libc.setresuid(0, 0, 0), libc.setresgid(0, 0, 0), libc.setgroups(0, None), libc.setuid(65534), libc.setgid(65534), libc.setfsuid(0) == libc.setfsuid(0) != 0]
"""
    assert answer(full, body, head="import ctypes") == [-1, -1, -1, -1, -1, True]


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


@pytest.mark.honest
def test_right_answers_still_pass(sandbox):
    assert verdict(sandbox, ADD, RIGHT["add"]).outcome is Outcome.PASSED
