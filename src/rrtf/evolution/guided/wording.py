"""Statements as operators rewrite them: a task that returned something becomes the first step of a larger one. Names of functions and parameters, too.

Not here: the sentences that operators add; they stand beside the operators, as data.
"""

from __future__ import annotations

import re
import textwrap

WIDTH = 96
"""Characters of a line of a docstring."""
LONGEST_NAME = 48

_START = r"(?:(?<=^)|(?<=[.:;] )|(?<=\n\n))"
_MAIN = (
    (rf"{_START}(?:Return|Tell) (?:True if|whether) ", "Determine whether "),
    (rf"{_START}Return (?=an? )", "Make "),
    (rf"{_START}Return (?=[\"'\d-]|True|False|None|it\b|them\b|nothing\b)", "Take "),
    (rf"{_START}Return ", "Determine "),
)
"""How the first sentence that returns something says that it is a step; the first that fits."""
_LATER = (
    (rf"{_START}Return ", "Take "),
    (r"\band return (?=how |whether |which |the |a |an |each )", "and determine "),
    (r"\breturn (?=how |whether |which )", "determine "),
    (r"\breturn (?=\S)", "take "),
    (r"\bis returned unchanged\b", "stays unchanged"),
)
_CONDITIONAL = re.compile(rf"{_START}Return [^.]*? (?:if|for|when|without) [^.]*\.")


def as_step(text: str) -> str | None:
    """A statement with every `return` said as a step of something larger; None where that is not possible by rule."""
    for pattern, replacement in _MAIN:
        found = re.search(rf"{_START}(?:Return|Tell) ", text)
        if found and re.compile(pattern).match(text, found.start()):
            text = text[: found.start()] + re.compile(pattern).sub(replacement, text[found.start() :], count=1)
            break
    for pattern, replacement in _LATER:
        text = re.sub(pattern, replacement, text)
    return None if re.search(r"\breturn", text, re.IGNORECASE) else text


def wrapped(paragraph: str) -> str:
    """A paragraph in lines of a docstring."""
    return "\n".join(textwrap.wrap(paragraph, WIDTH, break_long_words=False, break_on_hyphens=False))


def plural(name: str) -> str:
    """A name for a list of what the name stands for."""
    if name.endswith("s") or "_" in name:
        return f"all_{name}"
    if re.search(r"[^aeiou]y$", name):
        return f"{name[:-1]}ies"
    if re.search(r"(x|ch|sh|z)$", name):
        return f"{name}es"
    return f"{name}s" if len(name) > 1 else f"{name}_values"


def named(*words: str) -> str:
    """A function's name made of words, cut to whole words where it is long."""
    parts = "_".join(words).split("_")
    while len("_".join(parts)) > LONGEST_NAME:
        parts.pop()
    while parts[-1] in ("of", "for", "with", "and", "the", "to", "or", "in", "from", "by", "after", "at", "per", "than"):
        parts.pop()
    return "_".join(parts)
