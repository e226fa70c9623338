"""Statements as operators rewrite them: a task that returned something becomes the first step of a larger one. Names of functions and parameters, too.

Not here: the sentences that operators add; they stand beside the operators, as data.
"""

from __future__ import annotations

import re
import textwrap

WIDTH = 96
"""Characters of a line of a docstring."""
LONGEST_NAME = 44
_JOINING = ("of", "for", "with", "and", "the", "to", "or", "in", "from", "by", "after", "at", "per", "than", "is", "not")

_START = r"(?:(?<=^)|(?<=[.:;] )|(?<=\n\n))"
_MAIN = (
    (rf"{_START}(?:Return|Tell) (?:True if|whether) ", "Determine whether "),
    (rf"{_START}Return (?=an empty )", "Take "),
    (rf"{_START}Return (?=an? )", "Make "),
    (rf"{_START}Return (?=[`\"'\d-]|True|False|None|it\b|them\b|nothing\b)", "Take "),
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
    if name.endswith(("s", "ed", "ing")) or "_" in name:
        return f"all_{name}"
    if re.search(r"[^aeiou]y$", name):
        return f"{name[:-1]}ies"
    if re.search(r"(x|ch|sh|z)$", name):
        return f"{name}es"
    return f"{name}s" if len(name) > 1 else f"{name}_values"


def named(before: str, name: str, after: str = "") -> str:
    """A function's name: words around another name, which loses whole words at its end where the new one would be long."""
    middle = name.split("_")
    while len(middle) > 1 and len("_".join((before, *middle, after)).strip("_")) > LONGEST_NAME:
        middle.pop()
        while len(middle) > 1 and middle[-1] in _JOINING:
            middle.pop()
    return "_".join((before, *middle, after)).strip("_")


def short(name: str) -> str:
    """The first words of a name, without joining words at the end."""
    words = name.split("_")
    while len(words) > 1 and (len("_".join(words)) > 20 or words[-1] in _JOINING):
        words.pop()
    return "_".join(words)
