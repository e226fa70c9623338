"""A short soak in CI: nothing is left behind, nothing grows, and the same program gets the same outcome every time. The long one is benchmarks/soak.py."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parent.parent.parent / "benchmarks" / "soak.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("soak", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["soak"] = module
    spec.loader.exec_module(module)
    return module


def test_a_fifth_of_the_programs_is_hostile(script):
    hostile = {*script._HOSTILE, *script._SLOW}
    first = [code for (_, code), _ in zip(script.programs(), range(5000), strict=False)]
    assert 0.19 < sum(code in hostile for code in first) / len(first) < 0.21
    assert hostile <= set(first)


@pytest.mark.slow
def test_five_thousand_programs_leave_nothing_behind(script):
    found = script.soak(5000, 2)
    assert found.faults() == []
    assert sum(found.outcomes.values()) == 5000
    assert len(found.samples) == script.SAMPLES


def test_faults_are_found(script):
    sample = script.Sample(1, 1.0, 100.0, 10, 3)
    grown = [sample] * 90 + [script.Sample(2, 2.0, 106.0, 10, 3)] * 10
    assert len(script.Soaked(tuple([sample] * 100), {}, (), (), ()).faults()) == 0
    assert "resident_mb grew" in script.Soaked(tuple(grown), {}, (), (), ()).faults()[0]
    assert len(script.Soaked(tuple([sample] * 100), {}, ("x",), ("y",), ("z",)).faults()) == 3
