"""A small repository in the src layout, made to be mined: every level, fixtures, parameters, classes, relative imports, data, and what must be set aside."""

from __future__ import annotations

from pathlib import Path

FILES = {
    "PKG-INFO": "Metadata-Version: 2.1\nName: tiny-shapes\nVersion: 1.2\n",
    "pyproject.toml": """
[tool.pytest.ini_options]
addopts = "--cov=shapes --strict-nonsense"
python_files = ["test_*.py", "check_*.py"]
markers = ["odd: odd"]
""",
    "src/shapes/__init__.py": 'from importlib.metadata import version\n\nfrom .boxes import Box\n\n__version__ = version("tiny-shapes")\n__all__ = ["Box"]\n',
    "src/shapes/plain.py": '''"""Functions."""

import math
import sys
from functools import lru_cache

import click

FACTOR = 3


def double(x):
    """Twice x."""
    if x == 0:
        return 0
    return x + x


def root(x):
    """The square root of x."""
    # By the book.
    return math.sqrt(x)


def bare(text):
    """Text without colours."""
    return click.unstyle(text)


@lru_cache
def scaled(x, times=1):
    """
    x scaled by the factor,
    so many times.
    """
    for _ in range(times):
        x = x * FACTOR
    return x


def names(path):
    """Names in a file, one a line."""
    with open(path) as file:
        return [line.strip() for line in file]


def unused(x):
    """Never called."""
    return x


def weak(x):
    """A function that its test does not notice."""
    return None


def doubtful(x):
    """A function whose test depends on the hash seed."""
    return sorted({"a", "b", "c", "d", "e", "f", "g", "h"}, key=hash), x


def broken(x):
    """A function whose only test fails."""
    return x + 1


def later(x):
    """Nothing yet."""
    raise NotImplementedError


def outer(x):
    def inner(y):
        """Hidden."""
        return y

    return inner(x)
''',
    "src/shapes/boxes.py": '''"""Boxes."""

from __future__ import annotations

from .plain import double


class Shape:
    """Anything."""

    sides = 4

    def corners(self):
        """How many corners."""
        return self.sides


class Box(Shape):
    """A box."""

    def __init__(self, width, height):
        """Make a box of this size."""
        self.width, self.height = width, height

    @property
    def area(self):
        """The area."""
        return self.width * self.height

    def wider(self):
        """The same box, twice as wide."""
        return Box(double(self.width), self.height)

    @staticmethod
    def unit():
        """A box of one by one."""
        return Box(1, 1)

    def corners(self):
        """As many as a shape has."""
        found = super().corners()
        return found
''',
    "tests/__init__.py": "",
    "tests/conftest.py": "import pytest\n\nfrom shapes import Box\n\n\n@pytest.fixture\ndef box():\n    return Box(2, 3)\n",
    "tests/data/names.txt": "ada\ngrace\n",
    "tests/test_plain.py": """import sys
from pathlib import Path

import pytest

from shapes import plain


@pytest.mark.parametrize(("given", "expected"), [(0, 0), (2, 4)])
def test_double(given, expected):
    assert plain.double(given) == expected


def test_root():
    assert plain.root(9) == 3


def test_bare():
    assert plain.bare("\\x1b[31mred\\x1b[0m") == "red"


def test_scaled():
    assert plain.scaled(2, times=2) == 18


def test_names():
    assert plain.names(Path(__file__).parent / "data" / "names.txt") == ["ada", "grace"]


def test_weak():
    plain.weak(1)


def test_doubtful():
    assert plain.doubtful(1)[0] == ORDER


def test_broken():
    assert plain.broken(1) == 3


@pytest.mark.skip
def test_skipped():
    assert plain.unused(1) == 1


ORDER = sorted({"a", "b", "c", "d", "e", "f", "g", "h"}, key=hash) if sys.flags.hash_randomization == 0 else None
""",
    "tests/check_boxes.py": """import unittest

from shapes.boxes import Box


def test_area(box):
    assert box.area == 6


class TestWider:
    def test_wider(self, box):
        assert box.wider().width == 4


class OldStyle(unittest.TestCase):
    def test_corners(self):
        self.assertEqual(Box(1, 2).corners(), 4)

    def test_unit(self):
        self.assertEqual(Box.unit().area, 1)
""",
}


def lay_out(root: Path) -> Path:
    """Write it."""
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    return root
