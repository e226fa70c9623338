"""Guided evolution: operators change a problem together with its reference, running that gives the expected values, and no model takes part.

`evolve` is the front door. Not here: evolution by a model, and how stages use either.
"""

from rrtf.evolution.guided.config import GuidedConfig
from rrtf.evolution.guided.forms import readable
from rrtf.evolution.guided.growing import evolve
from rrtf.evolution.guided.journal import Journal

__all__ = ["GuidedConfig", "Journal", "evolve", "readable"]
