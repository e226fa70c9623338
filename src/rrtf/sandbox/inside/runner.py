"""The last code of ours before a program, in the program's own process: compile it, load it, run its tests, report.

Everything here shares memory with a hostile program, so nothing it reports is believed for more than it shows. A returned value or printed text is compared
outside, where the expected one is; forging it means computing it. For assert-style tests only the program's own process can tell that the assertions finished:
it reads a one-time key from a pipe *after* they did and sends it back. That proves that the code following the test was reached, and so defeats exit codes,
exceptions, `os._exit`, printed claims and look-alike objects. It does not defeat a program that finds the pipe among its descriptors, or our frames, and speaks
this protocol by itself. The same goes for pytest files (`suite`): a test's key is read after its last parameter was torn down.

Reports are frames: kind (one byte), number of the test, length, payload. First, and once, one of `E` compile error, `L` loaded, `N` not
loaded; then for each test `V` finished (payload: value, or key) or `S` ended otherwise (payload: status, exception classes as JSON, text).
Not here: pytest (`suite`), isolation (`confine`), limits and judgement of what is reported (`supervise`).
"""

from __future__ import annotations

import builtins
import errno
import importlib.util
import json
import os
import signal
import struct
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, cast

from . import honesty, suite, surroundings
from .encode import Json, NotPlain, encode
from .tasks import PROGRAM_FILE, TEST_FILE, Prepared, Task, packed, read

# The functions below keep these, whatever a program does to the modules of those names.
__builtins__ = dict(vars(builtins))
_read, _set_trace, _set_profile = os.read, sys.settrace, sys.setprofile
_dumps, _canonical = json.dumps, json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_modules, _Module = sys.modules, types.ModuleType
_contents_of_module = cast("Callable[[types.ModuleType], dict[str, object]]", vars(types.ModuleType)["__dict__"].__get__)

HEADER = struct.Struct("=cII")
KEY_BYTES = 16
MAX_VALUE = 4 << 20
"""Largest encoded value of one test, in bytes."""
_REHEARSALS = 30

honest_classes = honesty.honest_classes
Report = Callable[..., None]
Namespace = dict[str, object]


@dataclass(frozen=True, slots=True)
class Pristine:
    """What assertions lean on, taken before any program ran."""

    modules: dict[str, tuple[types.ModuleType, Namespace]]
    """Modules by name, each with its contents."""
    honest: dict[int, tuple[type, Namespace]]
    """Classes by their ids (a class can lie about its hash), each with its own methods of those that `honesty` names."""


def reporter(fd: int) -> Report:
    """A function that writes one frame, holding on to everything it needs. In a fork of the program that came back through our code it ends that process
    instead.
    """
    write, pack, own_pid, leave, pid = os.write, HEADER.pack, os.getpid, os._exit, os.getpid()

    def report(kind: bytes, test: int = 0, payload: bytes = b"") -> None:
        if own_pid() != pid:
            leave(0)
        data = memoryview(pack(kind, test, len(payload)) + payload)
        while data:
            data = data[write(fd, data) :]

    return report


def describe(error: BaseException) -> tuple[str, str]:
    """(names of its classes as JSON, `Class: message` on one line). Survives exceptions that lie about themselves."""
    kind = type(error)
    try:
        names = [cast("str", type.__dict__["__name__"].__get__(base)) for base in kind.__mro__]
        text = f"{names[0]}: {error}" if not isinstance(error, SystemExit) else f"SystemExit: {error.code!r}"
    except BaseException:
        names, text = ["Exception"], "an exception that cannot be shown"
    return _dumps(names[:20]), " ".join(text.split())[:400].encode("utf-8", "replace").decode()


_PROGRAM, _MAIN = types.ModuleType("program"), types.ModuleType("__main__")


def prepare() -> None:
    """What is the same for every program, done once in the process that they are forks of."""
    for module in (_PROGRAM, _MAIN):
        module.__dict__.update(__builtins__=builtins, __file__=PROGRAM_FILE)
    sys.modules[_PROGRAM.__name__] = _PROGRAM
    sys.argv[:] = [PROGRAM_FILE]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.register_at_fork(after_in_child=_reseed)


def rehearse() -> None:
    """Run a program that does nothing, often enough that the interpreter is done with rewriting our code for the types it meets: what is written now is not
    copied for every program. Raises OSError.
    """
    task = Task("def f(x):\n    return [x, 'a', 1.5, (True, None)]\n", "f", "call", [{"args": [[1, "a"]], "kwargs": {}}], 0, 1, {}, "")
    nothing = os.open(os.devnull, os.O_WRONLY)
    for _ in range(_REHEARSALS):
        reading, writing = os.pipe()
        os.write(writing, packed(task))
        os.close(writing)
        given, report, namespace = read(reading), reporter(nothing), Namespace()
        code = _compile(given, report)
        if code is not None and _load(code, namespace, given, report):
            _run_call(namespace, given.entry_point, given.tests[0], 0, report)
    os.close(nothing)


def _reseed() -> None:
    """As `random` does by itself (`server` keeps it from that): the processes a program starts begin with chances of their own, the program does not."""
    if _begun:
        sys.modules["random"].seed()  # type: ignore[attr-defined]


_begun: list[bool] = []


def run(task: Task, library: suite.Library | None, pristine: Pristine, report: Report, key_fd: int) -> NoReturn:
    """Run the task in this process, which does not return. `library`: what `beforehand` gave."""
    leave, root = os._exit, os.getcwd() if task.kind == "pytest" else ""
    _begun.append(True)
    code = _compile(task, report)
    if code is None:
        leave(0)
    if task.kind == "io":
        sys.modules[_MAIN.__name__] = _MAIN
        report(b"L")
        _run_main(code, _MAIN.__dict__, task.start, report)
    else:
        module = _PROGRAM if task.kind != "pytest" else _importable(task)
        namespace, tests = module.__dict__, tuple(task.tests)
        nodes = _nodes(task) if library is not None else ()  # before the program can change them
        loaded = _load(code, namespace, task, report)
        if loaded and library is not None:
            _run_suite(_modules.get(task.module, module), task, root, nodes, library, report, key_fd, pristine)
        for number, test in enumerate(tests, task.start) if loaded and library is None else ():
            if task.kind == "call":
                _run_call(namespace, task.entry_point, test, number, report)
            else:
                _run_assert(namespace, task.entry_point, test, number, report, key_fd, pristine)
    _flush()
    leave(0)


def beforehand(task: Task) -> suite.Library | None:
    """Lay out the files, and for pytest files the program's own, and import pytest: all before the program, whose doing a failure therefore cannot be. Raises
    OSError and ImportError, which are failures of ours.
    """
    surroundings.lay_out(task.files)
    if task.files:
        sys.path.insert(0, os.getcwd())
    if task.kind != "pytest":
        return None
    _write_program(task)
    return suite.load(task.files, _nodes(task))


def _nodes(task: Task) -> tuple[str, ...]:
    return tuple([cast("str", test["node"]) for test in task.tests])


def _write_program(task: Task) -> None:
    """Lay the program where pytest files can reload it and read its source. Raises OSError."""
    try:
        path = _program_path(task)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(task.source)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EFBIG):  # longer than it may write itself: what reads it then finds nothing
            raise


def _importable(task: Task) -> types.ModuleType:
    """A module that pytest files can import and reload. Parents of one in a package are imported when it is loaded, as always."""
    if "." in task.module:
        return types.ModuleType(task.module)
    spec = importlib.util.spec_from_file_location(task.module, _program_path(task))
    module = importlib.util.module_from_spec(spec) if spec is not None else types.ModuleType(task.module)
    sys.modules[module.__name__] = module
    return module


def _program_path(task: Task) -> str:
    return os.path.join(os.getcwd(), surroundings.module_path(task.module, task.files)) if task.kind == "pytest" else PROGRAM_FILE


def _compile(task: Task, report: Report) -> types.CodeType | None:
    try:
        return compile(task.source, _program_path(task), "exec", dont_inherit=True)
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        place = f" (line {error.lineno})" if isinstance(error, SyntaxError) else ""
        report(b"E", 0, (describe(error)[1] + place).encode())
        return None


def _load(code: types.CodeType, namespace: Namespace, task: Task, report: Report) -> bool:
    try:
        if "." in task.module:  # a file of a package: its parents come first, and may well import it themselves
            namespace = importlib.import_module(task.module).__dict__
        else:
            exec(code, namespace)
        name, dotted, _ = (task.entry_point or "").partition("().")
        problem = "" if task.entry_point is None or callable(namespace.get(name)) else f"NameError: there is no {'class' if dotted else 'function'} {name}"
    except MemoryError as error:
        problem = "memory: " + describe(error)[1]
    except BaseException as error:
        problem = describe(error)[1]
    report(b"N" if problem else b"L", 0, problem.encode())
    return not problem


def _ended(report: Report, number: int, status: str, classes: str, text: str) -> None:
    report(b"S", number, f"{status}\n{classes}\n{text}".encode())


def _raised(report: Report, number: int, error: BaseException, *, status: str = "raised") -> None:
    classes, text = describe(error)
    _ended(report, number, "memory" if isinstance(error, MemoryError) else status, classes, text)


def _entry(namespace: Namespace, entry_point: str) -> object:
    """What tests call: the function of that name, or the method of a new instance."""
    name, dotted, method = entry_point.partition("().")
    return getattr(cast("Callable[[], object]", namespace[name])(), method) if dotted else namespace[name]


def _viewed(value: object, view: object) -> Json:
    """What the comparison outside gets to see: the whole value, its truth, or whether it is None, True or False itself."""
    if view == "truth":
        return bool(value)
    if view == "singleton" and not any(value is single for single in (None, True, False)):
        return f"a value of type {type(value).__name__}"
    return encode(value)


def _run_call(namespace: Namespace, entry_point: str | None, test: Prepared, number: int, report: Report) -> None:
    arguments, keywords = cast("list[object]", test["args"]), cast("dict[str, object]", test["kwargs"])
    try:
        value = cast("Callable[..., object]", _entry(namespace, cast("str", entry_point)))(*arguments, **keywords)
    except BaseException as error:
        _raised(report, number, error)
        return
    try:
        text = _canonical(_viewed(value, test.get("view"))).encode()
    except (NotPlain, RecursionError) as error:
        _ended(report, number, "wrong", "[]", f"returned {str(error) or 'a value that is nested too deep'}")
    except MemoryError as error:
        _raised(report, number, error)
    except BaseException as error:
        _ended(report, number, "wrong", "[]", "returned a value that cannot be read: " + describe(error)[1])
    else:
        if len(text) > MAX_VALUE:
            _ended(report, number, "wrong", "[]", f"returned a value of {len(text)} bytes, more than {MAX_VALUE}")
        else:
            report(b"V", number, text)


def _run_assert(namespace: Namespace, entry_point: str | None, test: Prepared, number: int, report: Report, key_fd: int, pristine: Pristine) -> None:
    failure: BaseException | None = None
    try:
        code = cast("types.CodeType | None", test.get("compiled")) or compile(cast("str", test["code"]), TEST_FILE, "exec", dont_inherit=True)
        exec(code, _test_names(namespace, entry_point, pristine))
    except BaseException as error:  # whatever the program raises is data
        failure = error
    key = _read(key_fd, KEY_BYTES)  # there is one for each test, so it is taken in any case
    if failure is None:
        report(b"V", number, key)
    else:
        wrong = isinstance(failure, AssertionError) and _innermost_file(failure) == TEST_FILE
        _raised(report, number, failure, status="wrong" if wrong else "raised")


def _run_suite(
    module: types.ModuleType, task: Task, root: str, nodes: tuple[str, ...], library: suite.Library, report: Report, key_fd: int, pristine: Pristine
) -> None:
    namespace, name = _contents_of_module(module), task.entry_point or ""
    entry = namespace.get(name)
    if isinstance(entry, types.FunctionType):
        namespace[name] = honesty.guarded(entry, pristine.honest)

    def begin(number: int) -> None:
        _restore(pristine)

    def end(number: int, ending: suite.Ending) -> None:
        key = _read(key_fd, KEY_BYTES)
        if ending.status == "passed":
            report(b"V", number, key)
        elif ending.error is not None:
            _raised(report, number, ending.error, status=ending.status)
        else:
            _ended(report, number, ending.status, "[]", ending.text)

    _restore(pristine)
    sys.modules = _modules
    try:
        library.undo()
        object.__setattr__(module, "__class__", _Module)
        _modules[task.module] = module  # the tests import what was loaded, nothing that took its place
        surroundings.lay_out_again(root, task.files, nodes)
    except BaseException as error:  # all it touches was in the program's hands, who could claim a failure of ours just as well
        for number in range(task.start, task.stop):
            _ended(report, number, "raised", "[]", f"the program spoilt the directory of its tests: {describe(error)[1]}")
        return
    suite.run(library, task.files, nodes, task.start, _program_path(task), begin, end)


def _restore(pristine: Pristine) -> None:
    """What assertions lean on, as it was before the program."""
    _set_trace(None)
    _set_profile(None)
    for name, (module, contents) in pristine.modules.items():
        object.__setattr__(module, "__class__", _Module)  # a class of the program's may answer for the module with properties
        _modules[name] = module
        _contents_of_module(module).update(contents)


def _test_names(namespace: Namespace, entry: str | None, pristine: Pristine) -> Namespace:
    """The names that assertions see: the program's, but builtins and well-known modules as they were before it ran."""
    _restore(pristine)
    genuine = pristine.modules["builtins"][1]
    names: Namespace = {name: value for name, value in namespace.items() if name not in genuine}
    names["__builtins__"] = dict(genuine)
    names["__name__"] = "test"
    if entry is not None:
        names["candidate" if "." in entry else entry] = honesty.guarded(_entry(namespace, entry), pristine.honest)
    return names


def _innermost_file(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_code.co_filename if trace is not None else ""


def _run_main(code: types.CodeType, namespace: Namespace, number: int, report: Report) -> None:
    """Run the program as `python program.py` would, its exit included. What it printed is the result, and is read by the supervisor."""
    import atexit
    import threading

    failed: BaseException | None = None
    try:
        exec(code, namespace)
    except SystemExit as error:
        failed = error if error.code not in (None, 0, False) else None
    except BaseException as error:
        failed = error
    try:
        for module, exit_step in (
            (threading, "_shutdown"),
            (atexit, "_run_exitfuncs"),
        ):  # what the interpreter does at its end: wait for threads, run exit functions
            getattr(module, exit_step)()
    except BaseException as error:
        failed = failed or error
    _flush()
    if failed is None:
        report(b"V", number)
    else:
        _raised(report, number, failed)


def _flush() -> None:
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except BaseException:  # noqa: S112 - the program may have replaced or closed it
            continue
