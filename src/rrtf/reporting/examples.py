"""Which answers a report embeds, and how: a fair and small sample, as text that no browser can mistake for markup.

Answers are hostile text. They reach the page only as JSON inside a data block with every `<`, `>` and `&` escaped, and the page shows them as text nodes.
Not here: reading rows (`rrtf.stages.report`) and showing them (`report.js`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from itertools import zip_longest

from rrtf.identity import Json
from rrtf.records import Outcome
from rrtf.reporting.data import Example, Question

LIMIT = 480
"""Answers embedded at most: about a megabyte of page."""
LONGEST = 6000
"""Characters kept of one text; what is beyond is cut, and said."""
MOST_TESTS = 400
"""Test results kept of one answer."""

Group = tuple[str, str, str, Outcome]


def choose(candidates: Iterable[Example], first: Collection[tuple[str, str]] = (), limit: int = LIMIT) -> tuple[list[Example], int]:
    """At most `limit` of the candidates and how many there were: equal shares for every place, author, setting and outcome.

    Problems in `first` (pairs of place and name, such as those won and lost) go before others. The rest is ordered by a hash of the problem,
    so that answers of different authors to the same problem are chosen together, and the same run always gives the same examples.
    """
    groups: dict[Group, list[tuple[tuple[bool, str, int], Example]]] = {}
    wanted = set(first)
    count = 0
    for example in candidates:
        count += 1
        rank = ((example.place, example.problem) not in wanted, hashlib.sha256(example.problem_id.encode()).hexdigest(), example.index)
        group = groups.setdefault((example.place, example.author, example.setting, example.outcome), [])
        group.append((rank, _shortened(example)))
        if len(group) > 2 * limit:  # a group never gives more than `limit`: forget the rest while reading
            _keep(group, limit)
    for group in groups.values():
        _keep(group, limit)
    rounds = zip_longest(*(groups[key] for key in sorted(groups)))
    chosen = [entry[1] for turn in rounds for entry in turn if entry is not None][:limit]
    return sorted(chosen, key=lambda item: (item.place, _natural(item.problem), item.problem_id, item.author, item.setting, item.index)), count


def embedded(examples: Sequence[Example], questions: Sequence[Question]) -> str:
    """Examples and the problems they answer as JSON text that is safe inside a `script` element of type `application/json`."""
    used = {example.problem_id for example in examples}
    asked: dict[str, Json] = {question.id: {"name": question.name, "text": cut(question.text)} for question in questions if question.id in used}
    plain: Json = {"problems": asked, "answers": [_plain(example) for example in examples]}
    return escaped(plain)


def escaped(value: Json) -> str:
    """JSON text without any character that means something to an HTML parser; ASCII only, so that no encoding can change it."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def cut(text: str, longest: int = LONGEST) -> str:
    """The text, or its beginning and a line that says how much is missing."""
    return text if len(text) <= longest else f"{text[:longest]}\n... [{len(text) - longest} more characters are not shown]"


def _natural(name: str) -> list[tuple[int, str]]:
    """A sort key in which `HumanEval/9` comes before `HumanEval/10`."""
    return [(int(part), "") if part.isdecimal() and len(part) < 20 else (-1, part) for part in re.split(r"(\d+)", name)]


def _keep(group: list[tuple[tuple[bool, str, int], Example]], limit: int) -> None:
    group.sort(key=lambda entry: entry[0])
    del group[limit:]


def _shortened(example: Example) -> Example:
    code = None if example.code is None else cut(example.code)
    return replace(example, cause=cut(example.cause, 600), code=code, text=cut(example.text))


def _plain(example: Example) -> Json:
    same = example.code is not None and example.text.strip() == example.code.strip()
    return {
        "id": example.problem_id,
        "problem": example.problem,
        "place": example.place,
        "author": example.author,
        "setting": example.setting,
        "index": example.index,
        "outcome": example.outcome.name,
        "tests": list(example.tests[:MOST_TESTS]),
        "passed": sum(status == "passed" for status in example.tests),
        "total": len(example.tests),
        "cause": example.cause,
        "code": example.code,
        "text": None if same else example.text,
        "rule": example.rule,
        "stop": example.stop,
        "tokens": example.tokens,
    }
