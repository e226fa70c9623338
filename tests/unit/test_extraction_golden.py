"""The golden corpus of completions: the exact program and rule for each. A change here is a change of what counts as an answer."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from rrtf import extraction
from rrtf.extraction import extract

CASES: list[dict[str, Any]] = tomllib.loads((Path(__file__).parents[1] / "golden" / "extraction.toml").read_text(encoding="utf-8"))["case"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_golden(case: dict[str, Any]) -> None:
    found = extract(case["text"], case.get("continues", ""), case.get("entry_point"))
    assert (found.rule, found.code) == (case["rule"], case.get("code"))
    if found.code is not None and ":" not in found.rule:
        assert extract(found.code, case.get("continues", ""), case.get("entry_point")).code == found.code
    if "behaves" in case:
        space: dict[str, Any] = {"__name__": "golden"}
        exec(found.code or "", space)
        assert eval(case["behaves"], space)


def test_the_corpus_is_large_and_names_are_unique() -> None:
    assert len(CASES) >= 60
    assert len({case["name"] for case in CASES}) == len(CASES)
    assert sum(case["origin"] != "made up" for case in CASES) >= 20


def test_every_rule_is_documented_and_has_a_case() -> None:
    fired = {part for case in CASES for rule in [case["rule"].split(":")[-1] if not case["rule"].startswith("none:") else case["rule"]] for part in [rule]}
    plain = {rule.removeprefix("thinking+").removesuffix("+prompt").removesuffix("+helpers") for rule in fired}
    listed = {line.split("  ")[0] for line in (extraction.__doc__ or "").splitlines() if "   " in line}
    assert plain - {rule for rule in plain if rule.startswith("none:")} == listed
    for rule in plain:
        assert rule in (extraction.__doc__ or "")
