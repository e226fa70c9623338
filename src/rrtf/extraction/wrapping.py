"""What models put around code: end marks, thinking, Markdown fences. Line by line, in time linear in the text.

Not here: whether a block is the program that was asked for (`rrtf.extraction.answer`).
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

END_MARKS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<｜end▁of▁sentence｜>", "<end_of_turn>", "<eos>", "</s>")
"""End-of-text tokens that a decoder left in the text. They are cut only at the very end: a program may speak of them."""

PYTHON = frozenset({"", "python", "python3", "py", "py3", "ipython", "python2", "code", "sage", "pyi"})
"""Info strings of fences that may hold Python; an unlabelled fence is one of them."""

_FENCE = re.compile(r"^(?P<indent>[ \t]*)(?P<bullet>(?:[-*+>]|\d+[.)])[ \t]+)?(?P<mark>`{3,}|~{3,})(?P<info>[^`\n]*)$")
_TAIL_FENCE = re.compile(r"(?P<mark>`{3,})[ \t]*(?P<info>\w+)[ \t]*$")
_INLINE = re.compile(r"^[^`\n]*`{3}(?:python|py)?[ \t]*(?P<code>[^`\n]+)`{3}[^`\n]*$")
_CODE_START = re.compile(r"(?:def|class|import|from|async)\s")


@dataclass(frozen=True, slots=True)
class Fence:
    """One fenced block."""

    info: str
    """The first word of the info string, in lower case."""
    content: str
    """Its lines without the fence's own indentation, with a line break at the end; empty blocks are not kept."""
    closed: bool
    """False when the text (or another opening fence) came before the closing fence."""

    @property
    def python(self) -> bool:
        """Whether it may hold Python."""
        return self.info in PYTHON


def normalised(text: str) -> str:
    """Line breaks as line feeds, without a byte order mark and without end-of-text tokens at the end."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    while True:
        stripped = text.rstrip()
        mark = next((mark for mark in END_MARKS if stripped.endswith(mark)), None)
        if mark is None:
            return text
        text = stripped[: -len(mark)]


def without_thinking(text: str) -> tuple[str, str]:
    """The text outside the thinking, and the thinking that was never closed (empty when it was closed or there was none).

    Knows `<think>`, `<thinking>`, `<thought>` and `<reasoning>`; a closing tag without an opening one ends thinking that the chat template had opened.
    """
    tag = re.compile(r"<(?P<end>/?)(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
    kept: list[str] = []
    position, open_at = 0, -1
    for found in tag.finditer(text):
        if found["end"]:
            if open_at < 0:
                kept.clear()
            position, open_at = found.end(), -1
        elif open_at < 0:
            kept.append(text[position : found.start()])
            position, open_at = found.end(), found.end()
    if open_at >= 0:
        return "".join(kept), text[open_at:]
    return "".join([*kept, text[position:]]), ""


def fences(text: str) -> tuple[list[Fence], str]:
    """The fenced blocks in order, and the text outside them."""
    blocks: list[Fence] = []
    outside: list[str] = []
    opened: re.Match[str] | None = None
    info = ""
    lines: list[str] = []

    def close(*, closed: bool) -> None:
        content = textwrap.dedent("\n".join(lines)).strip("\n")
        if content.strip():
            blocks.append(Fence(info, content + "\n", closed))
        lines.clear()

    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if opened is None:
            inline = _INLINE.match(line)
            opened = mark or (None if inline else _python_tail(line))
            if inline:
                blocks.append(Fence("", inline["code"].strip() + "\n", closed=True))
            elif opened is None:
                outside.append(line)
            else:
                info, first = _info(opened["info"])
                lines.extend(first)
        elif mark and _closes(mark, opened):
            close(closed=True)
            opened = None
        elif mark and mark["mark"][0] == opened["mark"][0] and _info(mark["info"])[0] in PYTHON - {""}:
            close(closed=False)
            opened = mark
            info, first = _info(mark["info"])
            lines.extend(first)
        elif line.rstrip().endswith("```") and opened["mark"] == "```" and line.count("```") == 1 and not line.lstrip().startswith(("#", "```")):
            # The closing fence stands behind the last line of code.
            lines.append(line.rstrip()[:-3].rstrip())
            close(closed=True)
            opened = None
        else:
            lines.append(line)
    if opened is not None:
        close(closed=False)
    return blocks, "\n".join(outside)


def _closes(mark: re.Match[str], opened: re.Match[str]) -> bool:
    """A closing fence is bare, at least as long as the opening one, and no deeper than three columns beyond it (CommonMark 4.5)."""
    depth = len(opened.groupdict().get("indent") or "") + len(opened.groupdict().get("bullet") or "")
    return (
        not mark["info"].strip()
        and not mark["bullet"]
        and mark["mark"][0] == opened["mark"][0]
        and len(mark["mark"]) >= len(opened["mark"])
        and len(mark["indent"]) <= depth + 3
    )


def _python_tail(line: str) -> re.Match[str] | None:
    """An opening Python fence at the end of a line of prose."""
    found = _TAIL_FENCE.search(line) if line.rstrip()[-1:].isalnum() and "```" in line else None
    return found if found and found["info"].lower() in PYTHON else None


def _info(text: str) -> tuple[str, list[str]]:
    """The language, and what stands behind it on the same line if that is code already."""
    text = text.strip()
    if _CODE_START.match(text):
        return "", [text]
    word, _, rest = text.partition(" ")
    language = re.split(r"[{:,=]", word.lower().lstrip("{."), maxsplit=1)[0].rstrip("}")
    return language, [rest.strip()] if _CODE_START.match(rest.strip()) else []
