"""Programs that want the next program to notice them, or to outlive their own end."""

# ruff: noqa: E501 - hostile programs on one line each
from __future__ import annotations

import os
import time
from pathlib import Path

import psutil
import pytest
from programs import ADD, RIGHT, answer, still_fair, verdict

from rrtf.records import Outcome


def processes() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def left(before: set[int]) -> set[int]:
    """Processes that were not there before and stay. The supervisor of a program ends a moment after its reply has arrived."""
    deadline = time.monotonic() + 10
    while (more := processes() - before) and time.monotonic() < deadline:
        time.sleep(0.02)
    return more


def leave(sandbox, code: str) -> None:
    result = verdict(sandbox, ADD, code + "\n" + RIGHT["add"])
    assert result.outcome is Outcome.PASSED, result


def test_files_are_gone(sandbox):
    leave(
        sandbox, "import os, tempfile\nopen('here', 'w').write('x')\nopen(os.path.join(tempfile.gettempdir(), 'there'), 'w').write('x')\nos.makedirs('a/b/c')"
    )
    assert answer(sandbox, "return os.listdir('.')", head="import os") == []


def test_files_that_resist_are_gone(sandbox):
    leave(sandbox, "import os\nos.makedirs('locked/in')\nopen('locked/in/x', 'w')\nos.chmod('locked/in', 0)\nos.chmod('locked', 0)\nos.symlink('/', 'root')")
    assert answer(sandbox, "return os.listdir('.')", head="import os") == []


def test_a_deleted_temporary_directory_is_back(sandbox):
    leave(sandbox, "import os, shutil\nshutil.rmtree(os.getcwd(), ignore_errors=True)\nos.chdir('/')")
    assert answer(sandbox, "open('x', 'w').close()\nreturn os.listdir('.')", head="import os") == ["x"]


@pytest.mark.parametrize(
    "change",
    [
        "import builtins; builtins.len = lambda x: 0",
        "import math; math.pi = 3",
        "import json; json.dumps = None",
        "import sys; sys.modules['os'] = None; sys.path.clear()",
        "import sys; sys.setrecursionlimit(50)",
        "import os; os.environ['PYTHONHASHSEED'] = '1'; os.environ['EVIL'] = '1'",
        "import os; os.umask(0o777); os.chdir('/')",
        "import signal; signal.signal(signal.SIGALRM, lambda *a: None); signal.setitimer(signal.ITIMER_REAL, 0.05)",
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20))",
        "import random; random.seed(7)",
        "import gc; gc.disable()",
        "import time; time.sleep = None",
        "import os; os.nice(19)",
        "import sys; sys.stdout.close(); sys.stdin.close()",
    ],
)
def test_state_of_the_interpreter_is_not_passed_on(sandbox, change):
    probe = (
        "return len('ab'), math.pi, json.dumps([1]), sys.getrecursionlimit(), 'EVIL' in os.environ, os.getcwd() == '/', signal.getsignal(signal.SIGALRM) == 0,"
        " resource.getrlimit(resource.RLIMIT_NOFILE)[0], random.random(), gc.isenabled(), time.sleep(0), os.nice(0)"
    )
    head = "import math, json, sys, os, signal, resource, random, gc, time"
    before = answer(sandbox, probe, head=head)
    verdict(sandbox, ADD, change + "\n" + RIGHT["add"])  # what it does to itself is its own affair
    assert answer(sandbox, probe, head=head) == before


DAEMON = """
import os, time, signal
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for n in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(n, signal.SIG_IGN)
        for fd in range(256):
            try: os.close(fd)
            except OSError: pass
        time.sleep(300)
    os._exit(0)
os.wait()
"""


def test_daemons_do_not_survive(sandbox):
    before = processes()
    leave(sandbox, DAEMON)
    still_fair(sandbox)
    assert not left(before)


def test_daemons_that_keep_our_pipes_open_do_not_delay_us(sandbox):
    before = processes()
    result = verdict(sandbox, ADD, "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(300)\n" + RIGHT["add"])
    assert result.outcome is Outcome.PASSED  # waiting for the daemon's 300 seconds would have met the wall limit
    assert not left(before)


def test_threads_do_not_survive_or_delay(sandbox):
    before = processes()
    leave(sandbox, "import threading, time\nthreading.Thread(target=time.sleep, args=(300,)).start()")
    assert not left(before)


def test_mounts_and_temporary_directories_do_not_pile_up(full):
    (worker,) = psutil.Process().children()[:1]
    places = [Path(f"/proc/{child.pid}/mountinfo") for child in (worker, *worker.children())]
    readable = [place for place in places if os.access(place, os.R_OK)]

    def mounts() -> int:
        return sum(len(place.read_text().splitlines()) for place in readable)

    before = mounts()
    for _ in range(5):
        leave(full, "open('x', 'w').write('x')")
    assert mounts() == before


def test_descriptors_of_the_worker_do_not_pile_up(sandbox):
    workers = processes()

    def count() -> int:
        assert not left(workers)
        total = 0
        for pid in workers:
            try:
                total += len(list(Path(f"/proc/{pid}/fd").iterdir()))
            except OSError:
                continue
        return total

    before = count()
    for _ in range(5):
        leave(sandbox, "import os\nos.fork()")
        verdict(sandbox, ADD, "import os\nos._exit(1)")
    assert count() == before


def test_system_v_shared_memory_does_not_reach_the_next_program(full):
    make = "import ctypes\nid = ctypes.CDLL(None).shmget(0x5252, 4096, 0o1666)"
    leave(full, make)
    assert answer(full, "return ctypes.CDLL(None).shmget(0x5252, 4096, 0o666)", head="import ctypes") == -1


def test_posix_shared_memory_does_not_reach_the_next_program(full):
    leave(
        full,
        "from multiprocessing import shared_memory, resource_tracker\nresource_tracker.register = lambda *a: None\ntry:\n    s = shared_memory.SharedMemory('left', True, 4096)\nexcept ImportError:\n    pass",
    )
    assert answer(full, "return os.listdir('/dev/shm/')", head="import os") == []


WHAT_IS_LEFT = {
    "its whole group signalled": "import os, signal\nif os.fork() == 0:\n    signal.pause()\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nos.kill(0, signal.SIGTERM)",
    "every process group signalled": "import os, signal\nfor group in (*range(2, 3000), os.getpgid(0) or 2):\n    try:\n        if group != os.getpid(): os.killpg(group, signal.SIGSTOP)\n    except OSError: pass",
    "the last priority for its user": "import os\nfor which in (os.PRIO_USER, os.PRIO_PGRP):\n    try: os.setpriority(which, 0, 19)\n    except OSError: pass",
    "idle input and output for its user": "import ctypes\nctypes.CDLL(None).syscall(251, 3, 0, 3 << 13)",
    "one processor for everybody": "import os\nfor pid in range(200):\n    try: os.sched_setaffinity(pid, {min(os.sched_getaffinity(0))})\n    except OSError: pass",
    "limits of others": "import resource\nfor pid in range(2, 200):\n    try: resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, 3))\n    except OSError: pass",
    "all pipes of its user": "import os, fcntl\nheld = []\ntry:\n    while True:\n        held.append(os.pipe())\n        try: fcntl.fcntl(held[-1][1], 1031, 1 << 20)\n        except OSError: pass\nexcept OSError: pass\nfor r, w in held[-4:]: os.close(r); os.close(w)",
    "all watches of its user": "import ctypes, os\nlibc = ctypes.CDLL(None)\nfor _ in range(12):\n    if os.fork() == 0:\n        while libc.inotify_init() >= 0: pass\n        while True: os.pause() if hasattr(os, 'pause') else __import__('signal').pause()",
    "descriptors on their way in a socket": "import socket, os\na, b = socket.socketpair()\na.setblocking(False)\ntry:\n    while True: socket.send_fds(a, [b'x'], [0, 1, 2, b.fileno()])\nexcept OSError: pass",
    "locks on files of everybody": "import fcntl, os\nheld = []\nfor path in (os.__file__, '/dev/null', '/dev/urandom', '/tmp', '/'):\n    held.append(os.open(path, os.O_RDONLY))\n    try: fcntl.flock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)\n    except OSError: pass",
    "descriptors that do not block, with owners and signals": "import fcntl, os, signal\nsignal.signal(signal.SIGIO, signal.SIG_IGN)\nfor fd in range(256):\n    try:\n        fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid()); fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_ASYNC)\n    except OSError: pass",
    "a stopped child": "import os, signal, time\nif os.fork() == 0:\n    os.setsid()\n    os.kill(os.getpid(), signal.SIGSTOP)\n    time.sleep(300)",
    "children of all kinds": "import os, ctypes, time\nlibc = ctypes.CDLL(None)\nlibc.prctl(36, 0, 0, 0, 0)\nlibc.prctl(1, 0, 0, 0, 0)\nfor n in range(8):\n    if os.fork() == 0:\n        libc.prctl(36, 1, 0, 0, 0)\n        os.setsid()\n        if n % 2: os.fork()\n        time.sleep(300)",
    "signals blocked and timers running": "import signal, threading\nsignal.setitimer(signal.ITIMER_PROF, 100)\nsignal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
    "a file without a name": "import os\ntry:\n    fd = os.open('/tmp', os.O_TMPFILE | os.O_RDWR)\n    os.write(fd, bytes(1 << 20))\nexcept OSError: pass",
    "another mode of the directory": "import os\nos.chmod('.', 0)",
    "attributes of the directory": "import os\ntry: os.setxattr('.', 'user.left', b'x')\nexcept OSError: pass",
    "times of the directory": "import os\nos.utime('.', (0, 0))",
    "mapped memory shared with children": "import mmap, os, time\nm = mmap.mmap(-1, 1 << 20)\nif os.fork() == 0:\n    while True:\n        m[0:4] = b'left'\n        time.sleep(0.01)",
}


@pytest.mark.parametrize("name", WHAT_IS_LEFT)
def test_what_one_program_does_to_all_it_can_reach_is_not_noticed_by_the_next(full, name):
    probe = (
        "return os.nice(0), sorted(os.sched_getaffinity(0)), resource.getrlimit(resource.RLIMIT_NOFILE), os.listdir('.'), os.stat('.').st_mode, os.listxattr('.'),"
        " ctypes.CDLL(None).syscall(252 if os.uname().machine == 'x86_64' else 31, 1, 0), ctypes.CDLL(None).inotify_init() > 0,"
        " signal.pthread_sigmask(signal.SIG_BLOCK, []) == set(), [fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ASYNC for fd in range(3)],"
        " fcntl.fcntl(os.pipe()[0], 1032), os.stat('.').st_mtime > 1000"
    )
    head = "import ctypes, fcntl, os, resource, signal"
    workers = processes()
    before = answer(full, probe, head=head)
    leave(full, WHAT_IS_LEFT[name])
    assert answer(full, probe, head=head) == before
    assert not left(workers)
    still_fair(full)
