"""The front door of executors: `open_executor`, by the name that a recipe gives.

Not here: the executors themselves (`rrtf.engine.local`, and `rrtf.engine.ray`, which is imported when it is asked for).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from rrtf.engine.cluster import RayHow
from rrtf.engine.local import InlineExecutor, ProcessExecutor
from rrtf.errors import missing_extra
from rrtf.protocols import Executor

ExecutorName = Literal["local", "ray"]


@contextmanager
def open_executor(name: ExecutorName, processes: int, ray: RayHow, directory: Path, say: Callable[[str], None]) -> Generator[Executor]:
    """The executor of a run in `directory`, for the length of the block. Raises `EngineError` where it cannot work: all that can be known at the start is
    checked here.
    """
    match name:
        case "local":
            yield InlineExecutor() if processes == 1 else ProcessExecutor(processes)
        case "ray":
            try:
                from rrtf.engine.ray import connected
            except ModuleNotFoundError as error:
                if error.name != "ray":
                    raise
                raise missing_extra("ray", "ray") from error
            with connected(ray, directory, say) as executor:
                yield executor
