"""Guided evolution: operators change a problem together with its reference, running that gives the expected values, and no model takes part.

`evolve` is the front door. Not here: evolution by a model, and how stages use either.
"""

from rrtf.evolution.guided.config import Evolved, GuidedConfig
from rrtf.evolution.guided.growing import evolve

__all__ = ["Evolved", "GuidedConfig", "evolve"]
