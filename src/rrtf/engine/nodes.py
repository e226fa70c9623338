"""What must be true of every node of a cluster before it may work for a run: the same Python, the same rrtf, and a view of the run's directory.

Standard library only, and nothing of the cluster's software. Not here: asking the nodes (`rrtf.engine.ray`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rrtf.errors import EngineError


def facts_of_node() -> Callable[[str, str], dict[str, str]]:
    """What a node says about itself. The function stands inside another so that it travels as it is: a node without rrtf can run it."""

    def facts(probe: str, token: str) -> dict[str, str]:
        import hashlib
        import importlib.util
        import platform
        from pathlib import Path

        spec = importlib.util.find_spec("rrtf")
        code = ""
        if spec is not None and spec.origin is not None:
            total, root = hashlib.sha256(), Path(spec.origin).parent
            for path in sorted(root.rglob("*.py")):
                total.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
            code = total.hexdigest()
        try:
            sees = Path(probe).read_text(encoding="utf-8") == token
        except OSError:
            sees = False
        return {"node": platform.node(), "python": platform.python_version(), "rrtf": code, "sees": "yes" if sees else ""}

    return facts


@dataclass(frozen=True, slots=True)
class Check:
    """What must be true of every node."""

    probe: str
    token: str
    here: Mapping[str, str]

    def complain(self, node: str, facts: Mapping[str, str]) -> None:
        """Raise `EngineError` when a node differs from this process in what results depend on."""
        python, ours = (facts["python"].rpartition(".")[0], self.here["python"].rpartition(".")[0])
        if python != ours:
            raise EngineError(
                f"Node {node} runs Python {facts['python']}, and this process {self.here['python']}.",
                why="Programs can behave otherwise there.",
                hint="Install the same on every node.",
            )
        if not facts["rrtf"]:
            raise EngineError(f"Node {node} has no rrtf.", why="The work is done there.", hint="Install the same rrtf, with the same extras, on every node.")
        if facts["rrtf"] != self.here["rrtf"]:
            raise EngineError(
                f"Node {node} has another rrtf than this process.",
                why="Its results would not be those of this version.",
                hint="Install the same rrtf on every node, and start the cluster again.",
            )
        if not facts["sees"]:
            raise EngineError(
                f"Node {node} does not see {Path(self.probe).parent}.",
                why="Stages read there what earlier ones wrote, such as the trained model.",
                hint="Set run.directory to a file system that every node mounts at the same place.",
            )
