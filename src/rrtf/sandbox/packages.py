"""Which files make up the packages that programs may import: the packages themselves, and what they need of others.

Not here: showing them to programs (`inside.view`).
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

from rrtf.errors import SandboxError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@cache
def package_paths(names: tuple[str, ...]) -> tuple[str, ...]:
    """Where the packages of these import names lie, with what their distributions need (never what is optional there), and the shared libraries some wheels
    keep beside them. Raises `SandboxError` for one that is not installed.
    """
    paths: dict[str, None] = {}
    for name in names:
        found = _places(name) if name.isidentifier() else []
        if not found:
            raise SandboxError(
                f"The package {name!r} that programs should be allowed to import is not installed here.", hint="Install it, or remove it from `packages`."
            )
        for other in (name, *_needed(name)):
            paths |= dict.fromkeys(_places(other))
    return tuple(paths)


def _places(name: str) -> list[str]:
    spec = importlib.util.find_spec(name)
    places = list(spec.submodule_search_locations or []) if spec else []
    place = places[0] if places else (spec.origin if spec else None)
    if place is None or not Path(place).exists():
        return []
    libraries = Path(place).parent / f"{name}.libs"
    return [place, *([str(libraries)] if libraries.is_dir() else [])]


def _needed(name: str) -> list[str]:
    """Import names of all that the distribution of this package brings and needs."""
    waiting, seen, found = [name], set[str](), list[str]()
    while waiting:
        project = waiting.pop()
        try:
            distribution = metadata.distribution(project)
        except metadata.PackageNotFoundError:
            continue
        if distribution.name in seen:
            continue
        seen.add(distribution.name)
        found += _brought(distribution)
        waiting += [match[0] for line in distribution.requires or () if "extra ==" not in line and (match := _NAME.match(line))]
    return [other for other in found if other != name]


def _brought(distribution: metadata.Distribution) -> Iterator[str]:
    """Import names of the modules and packages that lie at the top of what a distribution installed."""
    tops = dict.fromkeys(file.parts[0] for file in distribution.files or () if file.suffix == ".py" and ".." not in file.parts)
    for top in tops:
        name = top.removesuffix(".py")
        if name.isidentifier():
            yield name
