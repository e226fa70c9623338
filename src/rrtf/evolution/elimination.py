"""Why a rewritten task is not used: rules, each a named function that says what it found (WizardLM, arXiv 2304.12244, section 3.2; paper, Figure 2).

They need nothing but the two texts. Not here: whether it can be solved (`agreement`), near-duplicates and overlap with benchmarks (`rrtf.overlap`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from difflib import SequenceMatcher

from rrtf.evolution.rewriting import LEAKS
from rrtf.records import StopReason

_REFUSAL = re.compile(
    r"\b(?:i(?:'m| am) sorry|i (?:can(?:not|'t)|am (?:not able|unable)|won't)|as an ai\b|as a language model|i don't have (?:enough|the)|cannot fulfil)",
    re.IGNORECASE,
)
_EARLY = 300
"""Characters from the start in which a refusal is one; later on such words belong to the task."""
_WORD = re.compile(r"\w+")
_FEWEST_WORDS = 8
_LIKE = 0.95
"""From which share of equal words on a rewritten task is the old one."""
_FUNCTION = re.compile(r"\b(?:functions?|method|def|returns?|returned|takes?|given|arguments?|parameters?)\b", re.IGNORECASE)
_WHOLE_PROGRAM = re.compile(
    r"\b(?:web ?(?:app|application|page|site)|graphical user interface|gui\b|command[- ]line (?:tool|program|application)|mobile app|rest api|chat ?bot|"
    r"html\b|css\b|javascript|java\b|c\+\+|sql query|train a (?:model|neural))",
    re.IGNORECASE,
)

Rule = Callable[[str, str, int], str]
"""Parent's text, rewritten text and words it may be longer -> what is wrong with it; empty when nothing is."""


def empty(parent: str, text: str, longer: int) -> str:
    """Too short to be a task."""
    count = len(_WORD.findall(text))
    return f"it has {count} words" if count < _FEWEST_WORDS else ""


def refusal(parent: str, text: str, longer: int) -> str:
    """The model declined."""
    found = _REFUSAL.search(text[:_EARLY])
    return f"it says {found[0]!r}" if found and not _REFUSAL.search(parent[:_EARLY]) else ""


def leak(parent: str, text: str, longer: int) -> str:
    """It repeats words of the request."""
    low = text.lower()
    return next((f"it says {words!r}" for words in LEAKS if words in low and words not in parent.lower()), "")


def copy(parent: str, text: str, longer: int) -> str:
    """It is its parent again."""
    old, new = (_WORD.findall(each.lower()) for each in (parent, text))
    like = SequenceMatcher(None, old, new, autojunk=False).ratio() if max(len(old), len(new)) <= _FEWEST_WORDS * 100 else float(old == new)
    return f"{like:.0%} of its words are its parent's" if like >= _LIKE else ""


def too_long(parent: str, text: str, longer: int) -> str:
    """Longer against its parent than it was asked to be, with as much again for a model that cannot count."""
    old, new = (len(_WORD.findall(each)) for each in (parent, text))
    return f"it has {new} words, its parent {old}" if new > old + 2 * longer and new > 2 * old else ""


def no_function(parent: str, text: str, longer: int) -> str:
    """It asks for something else than a function."""
    if found := _WHOLE_PROGRAM.search(text):
        return f"it asks for {found[0]!r}"
    return "" if _FUNCTION.search(text) else "it does not speak of a function, what it takes or what it returns"


RULES: dict[str, Rule] = {
    "empty": empty,
    "refusal": refusal,
    "prompt leaked": leak,
    "copy of the parent": copy,
    "too long": too_long,
    "not a function": no_function,
}
"""By the words that stand in a reason, in the order in which they are asked."""


def reason(parent: str, text: str, longer: int, stop: StopReason = "stop") -> str:
    """Why the text is not used, as `rule: what was found`; empty when nothing speaks against it."""
    if stop == "length":
        return "cut off: the model had not finished"
    return next((f"{words}: {found}" for words, rule in RULES.items() if (found := rule(parent, text, longer))), "")
