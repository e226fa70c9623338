"""The front door's one function: a completion's text in, a program and the rule that found it out.

Candidates are tried in a fixed order, and the first that gives a whole program with the entry point wins; a broken or empty one is kept in case nothing
better comes. The order: the text as it stands; then, without the thinking, a continuation of the prompt if the text begins indented, fenced blocks (closed
before unclosed, later before earlier), the text outside fences, a fenced body, a continuation at last. Not here: running or judging anything.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from rrtf.extraction.lending import with_helpers, with_prompt
from rrtf.extraction.programs import Cleaned, Prefer, clean
from rrtf.extraction.syntax import docstring_node, functions, parse
from rrtf.extraction.wrapping import Fence, fences, normalised, without_thinking


@dataclass(frozen=True, slots=True)
class Extraction:
    """What was found in a completion."""

    code: str | None
    """The whole program; None when there is none. It may fail to compile (rule `broken:...`): that is the compiler's to say."""
    rule: str
    """Which rule fired, or `none:` and why nothing was found. See `rrtf.extraction` for the list."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    rule: str
    source: str
    prefer: Prefer = "last"


def extract(text: str, continues: str = "", entry_point: str | None = None) -> Extraction:
    """The program in `text`.

    `continues` is the source that the text may continue (a prompt's code; empty: the text stands alone); where the answer is a whole function it lends
    all imports and helpers that the answer does not repeat. `entry_point` is the function to look for; None: a program that reads stdin.
    Never raises; the same arguments always give the same result.
    """
    text = normalised(text)
    if not text.strip():
        return Extraction(None, "none:empty")
    if parse(text) is not None and (plain := clean(text, entry_point)) and plain.status == "complete":
        return _finished(plain.code, "bare", [], continues, entry_point)
    answer, unfinished = without_thinking(text)
    prefix = "thinking+" if answer != text else ""
    blocks, outside = fences(answer)
    spare: Extraction | None = None
    for candidate in _candidates(answer, blocks, outside, continues, entry_point):
        found = clean(candidate.source, entry_point, candidate.prefer)
        if found is None:
            continue
        if candidate.rule == "continuation" and _added_nothing(found, continues, entry_point):
            continue
        if found.status == "broken" and candidate.rule in ("continuation", "fence-body") and not _begins_indented(answer):
            # Prose is not a broken body.
            continue
        context = "" if candidate.rule in ("continuation", "fence-body") else continues
        helpers = blocks if candidate.rule.startswith("fence") else []
        if found.status == "complete":
            return _finished(found.code, prefix + candidate.rule, helpers, context, entry_point)
        mark = "broken:" if found.status == "broken" else "stub:"
        # A stub compiles, so it is the better spare.
        if spare is None or (spare.rule.startswith("broken:") and mark == "stub:"):
            spare = _finished(found.code, mark + prefix + candidate.rule, helpers, context, entry_point)
    if spare is not None:
        return spare
    return _last_resort(answer, unfinished, blocks, prefix, continues, entry_point)


def _candidates(answer: str, blocks: list[Fence], outside: str, continues: str, entry_point: str | None) -> Iterator[_Candidate]:
    body_first = bool(continues) and _begins_indented(answer)
    if body_first and entry_point is not None:
        # The whole function, indented: as a continuation it would be a function inside the function.
        for whole in _dedents(answer, entry_point):
            yield _Candidate("indented", whole)
    if body_first:
        yield from _continuations(answer, continues)
    python = [block for block in blocks if block.python]
    closed = [block for block in python if block.closed]
    # Programs have no name to be known by: the longest block is the program, the others show what it reads or prints.
    for block in reversed(closed) if entry_point is not None else sorted(closed, key=lambda block: -len(block.content)):
        yield _Candidate("fence", block.content)
    if len(blocks) > 1:
        first, last = answer.find("```"), answer.rfind("```")
        yield _Candidate("fence-nested", answer[answer.find("\n", first) + 1 : last])
    for block in reversed([block for block in python if not block.closed]):
        yield _Candidate("fence-unclosed", block.content)
    for block in reversed([block for block in blocks if not block.python]):
        yield _Candidate("fence-other-language", block.content)
    yield _Candidate("outside-fences" if outside != answer else "prose" if parse(answer) is None else "bare", outside)
    if continues:
        for block in reversed(python):
            yield _Candidate("fence-body", _joined_body(continues, block.content), "first")
        if not body_first:
            yield from _continuations(answer, continues)
    if entry_point is not None and not continues:
        for whole in _dedents(outside, entry_point):
            yield _Candidate("indented", whole)


def _continuations(answer: str, continues: str) -> Iterator[_Candidate]:
    indent = _indent_of(continues)
    if answer[:1] not in ("\n", " ", "\t"):
        # An engine stripped the white space that the answer began with.
        yield _Candidate("continuation", f"{continues}\n{indent}{answer}", "first")
    yield _Candidate("continuation", continues + answer, "first")
    if not answer.startswith("\n"):
        yield _Candidate("continuation", f"{continues}\n{answer}", "first")
        if not answer.startswith(indent):
            yield _Candidate("continuation", f"{continues}\n{indent}{answer.lstrip()}", "first")


def _dedents(text: str, entry_point: str) -> Iterator[str]:
    """The text without the indentation its lines share, and with the first line's indentation mended, where that makes the entry point a top-level function."""
    for version in (textwrap.dedent(text), textwrap.dedent("    " + text.lstrip()), text.lstrip()):
        tree = parse(version)
        is_body = tree is not None and any(isinstance(node, ast.Return) for node in tree.body)
        if not is_body and re.match(rf"(?:(?:[@#]|from\s|import\s)[^\n]*\n|[ \t]*\n)*(?:async\s+)?def\s+{re.escape(entry_point)}\b", version):
            yield version


def _begins_indented(answer: str) -> bool:
    first = next((line for line in answer.split("\n") if line.strip()), "")
    return first[:1] in (" ", "\t")


def _indent_of(continues: str) -> str:
    """The indentation of the body that `continues` leaves open."""
    last = continues.rstrip().rsplit("\n", 1)[-1]
    own = last[: len(last) - len(last.lstrip())]
    return own + "    " if last.endswith(":") else own or "    "


def _joined_body(continues: str, body: str) -> str:
    return f"{continues.rstrip()}\n{textwrap.indent(body, _indent_of(continues))}"


def _opened(continues: str) -> ast.Module | None:
    """The code a prompt shows, where its last function may still lack a body."""
    return parse(continues) or parse(f"{continues.rstrip()}\n{_indent_of(continues)}pass")


def _added_nothing(found: Cleaned, continues: str, entry_point: str | None) -> bool:
    """Whether a continuation left the function with no more than the prompt's docstring, or words that happen to parse."""
    tree = parse(found.code)
    function = functions(tree, entry_point)[-1:] if tree is not None and entry_point is not None else []
    if not function:
        return False
    documented = docstring_node(function[0]) is not None
    added = function[0].body[1:] if documented else function[0].body
    if not added:
        return parse(continues) is not None
    return all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Name | ast.Tuple | ast.Compare | ast.BinOp | ast.Attribute) for node in added)


def _finished(code: str, rule: str, blocks: list[Fence], continues: str, entry_point: str | None) -> Extraction:
    """The program with the helpers of other blocks that it uses but does not hold, and with what the prompt says beside the entry point."""
    beside = [(block.content, parsed) for block in blocks if block.python and (parsed := parse(block.content)) is not None]
    joined = with_helpers(code, beside, entry_point)
    if joined != code:
        rule += "+helpers"
    tree = _opened(continues) if continues else None
    if tree is None:
        return Extraction(joined, rule)
    whole = with_helpers(joined, [(continues, tree)], None) if entry_point is None else with_prompt(joined, continues, tree, entry_point)
    return Extraction(whole, rule + "+prompt" if whole != joined else rule)


def _last_resort(answer: str, unfinished: str, blocks: list[Fence], prefix: str, continues: str, entry_point: str | None) -> Extraction:
    """No candidate held the entry point: say what is there instead."""
    if unfinished and not answer.strip():
        inner, _ = fences(unfinished)
        for block in reversed([block for block in inner if block.python and block.closed]):
            found = clean(block.content, entry_point)
            if found and found.status == "complete":
                return _finished(found.code, "unclosed-thinking+fence", inner, continues, entry_point)
        return Extraction(None, "none:only-thinking")
    python = [block for block in blocks if block.python]
    for source in [*(block.content for block in reversed(python)), answer]:
        tree = parse(source) if entry_point is not None else None
        if tree is not None and any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in tree.body):
            # Some other function: a program all the same, and running it will say that the entry point is missing.
            return _finished(source.strip("\n") + "\n", prefix + "without-entry-point", [], continues, entry_point)
    if continues:
        whole = continues + answer
        if parse(whole) is None and _begins_indented(answer):
            return Extraction(whole.rstrip() + "\n", f"broken:{prefix}continuation")
        return Extraction(None, "none:no-body")
    if python:
        return Extraction(python[-1].content, f"broken:{prefix}fence") if parse(python[-1].content) is None else Extraction(None, "none:no-entry-point")
    return Extraction(None, "none:no-code")
