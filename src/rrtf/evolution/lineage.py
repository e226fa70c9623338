"""Where an evolved problem comes from. Not here: how it was made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """The birth of one problem."""

    seed: str
    """Id of the problem before any evolution."""
    parent: str
    """Id of the problem it was made from; the seed's in the first round."""
    other: str = ""
    """Id of the second parent, where two problems became one."""
    method: str
    """Name of the operator or of the rewriting method."""
    round: int
    """From 1 on."""
    author: str
    """The model that rewrote it, with its revision; `program` where no model took part."""
