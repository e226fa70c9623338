"""What a recipe says about a cluster: where it is, and what a worker takes of a node.

Not here: using it (`rrtf.engine.ray`).
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

_CLOSED = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ProcessorsHow(BaseModel):
    """Workers of the stages that only need processors: judging, ranking."""

    model_config = _CLOSED

    workers: int = Field(default=0, ge=0)
    """Workers in the whole cluster; 0 takes as many as its nodes have room for, and more when nodes join."""
    cpus: int = Field(default=1, ge=1)
    """Processors that one worker reserves, and programs that it judges at once where how.sandbox.workers is 0. It must fit on one node."""
    memory_gb: float = Field(default=0, ge=0)
    """Memory that one worker reserves, for Ray's book-keeping; 0 reserves none."""


class DevicesHow(BaseModel):
    """Workers of the stages that hold a model: sampling, examinations."""

    model_config = _CLOSED

    workers: int = Field(default=0, ge=0)
    """Workers in the whole cluster, each with a model of its own; 0 takes as many as its nodes have room for."""
    cpus: int = Field(default=1, ge=1)
    """Processors that one worker reserves; without a GPU, the threads it computes with."""
    gpus: float | None = Field(default=None, ge=0)
    """GPUs that one worker reserves (0.5 puts two on one); not given, it is one where the cluster has any and none elsewhere."""
    memory_gb: float = Field(default=0, ge=0)
    """Memory that one worker reserves, for Ray's book-keeping; 0 reserves none."""


class RayHow(BaseModel):
    """Where the cluster is, and what a worker takes of it. Used when how.executor is "ray"."""

    model_config = _CLOSED

    address: str = Field(default="auto", pattern=r"^(auto|[^:/\s]+:\d+)$")
    """`host:port` of the cluster's head, or `auto`: the cluster that this machine belongs to, or that RAY_ADDRESS names. Start rrtf on a machine of it."""
    processors: ProcessorsHow = ProcessorsHow()
    """Workers for judging and ranking."""
    devices: DevicesHow = DevicesHow()
    """Workers for sampling and examinations."""
    wait_seconds: float = Field(default=300.0, gt=0)
    """How long to wait for a node with room for a worker while there is none, before giving up. Finished parts are kept."""
