"""rrtf makes a code model better from tests and teachers, and proves it (RRTF, arXiv 2307.14936).

`from rrtf import judge` is the judge on its own. Importing this package loads nothing: names are fetched when they are asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rrtf.judged import Judgement, judge

__all__ = ["Judgement", "judge"]


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(importlib.import_module("rrtf.judged"), name)
    raise AttributeError(f"module 'rrtf' has no attribute {name!r}")
