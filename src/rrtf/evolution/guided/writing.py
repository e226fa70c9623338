"""From a form that has run to a problem: which inputs become tests, which of them examples. Not here: how its text and program are laid out (`forms`)."""

from __future__ import annotations

from collections.abc import Sequence

from rrtf.evolution.guided.forms import Form, instruction, program, prompt, speakable
from rrtf.records import CallTest, Problem

_SHORT = 90
"""Characters of an example that a reader takes in at a glance."""


def written(form: Form, name: str, method: str, most: int, telling: set[str]) -> Problem:
    """The problem as a record, with at most so many tests, some on telling inputs. The prompt is empty where the statement cannot be a docstring."""
    chosen = _chosen(form, most, telling) if most else []
    examples = [pair for pair in chosen if pair[1] and len(pair[0]) + len(pair[1]) <= _SHORT] or [pair for pair in chosen if pair[1]][:1]
    asked = instruction(form, _shown(examples))
    tests = tuple(CallTest(args=text, expected=value) if value else CallTest(args=text, raises="ValueError") for text, value in chosen)
    return Problem(
        name=name,
        instruction=asked,
        prompt=prompt(form, asked) if speakable(form, asked) else "",
        entry_point=form.name,
        tests=tests,
        reference=program(form, asked) if speakable(form, asked) else program(form),
        topic=method.partition(":")[0],
    )


def _shown(examples: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Two or three examples with different results, none of them about nothing where others are to be had."""
    first = sorted(examples, key=lambda pair: "[]" in pair[0] or '""' in pair[0])
    found: list[tuple[str, str]] = []
    for pair in first:
        if pair[1] not in [value for _, value in found]:
            found.append(pair)
    return found[:3] if len(found) > 1 else list(first[:2])


def _chosen(form: Form, most: int, telling: set[str]) -> list[tuple[str, str]]:
    """The tests: some errors, some telling inputs, then one input for each result, then others; in the order of the inputs."""
    pairs = list(zip(form.inputs, form.outputs, strict=True))
    errors = [pair for pair in pairs if not pair[1]][: max(1, most // 4)]
    told = [pair for pair in pairs if pair[1] and pair[0] in telling][: most // 3]
    seen = {value for _, value in told}
    new = [pair for pair in pairs if pair[1] and not (pair[1] in seen or seen.add(pair[1]))]
    rest = [pair for pair in pairs if pair[1] and pair not in new and pair not in told]
    chosen = [*errors, *[*told, *new, *rest][: most - len(errors)]]
    return sorted(chosen, key=pairs.index)
