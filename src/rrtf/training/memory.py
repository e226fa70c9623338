"""Running out of memory as a sentence. Not here: any torch; its errors are known by what they say, and by the name of their class."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager

from rrtf.errors import EngineError

_SAYS = re.compile(r"out of memory|(can't|cannot) allocate memory|not enough memory|ALLOC_FAILED", re.IGNORECASE)


@contextmanager
def within_memory(doing: str, hint: str) -> Generator[None]:
    """Turn a lack of memory inside the block into an `EngineError` that says what was being done (`doing`, a gerund) and which keys to lower (`hint`)."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # torch has a class of its own for devices; on processors it is a RuntimeError like any other.
        if not (isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or _SAYS.search(str(error))):
            raise
        said = " ".join(str(error).split())[:200]
        raise EngineError(f"The memory did not suffice for {doing}{': ' if said else ''}{said}", why="Finished work is kept.", hint=hint) from error
