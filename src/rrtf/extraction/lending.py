"""A program gets what it lacks from code beside it: helpers from the answer's other blocks as far as it needs them, and from the prompt all there is.

From the prompt all, because the tests may read a helper that the answer does not (HumanEval/38 encodes what the answer is to decode), and an answer that
continues the prompt has it all in any case. What the answer binds itself is never lent. Not here: which program (`rrtf.extraction.programs`).
"""

from __future__ import annotations

import ast

from rrtf.extraction.effects import altered, evaluated
from rrtf.extraction.syntax import BUILTINS, bare_text, binds, bound, first_line, is_main_guard, loaded, parse


def with_helpers(code: str, sources: list[tuple[str, ast.Module]], entry_point: str | None) -> str:
    """`code` with the statements of `sources` (texts with their trees) put above it that bind names it needs and lacks, and what those need in turn."""
    tree = parse(code)
    if tree is None or not sources:
        return code
    offered: list[ast.stmt] = []
    text_of: dict[int, str] = {}
    for source, parsed in sources:
        for node in parsed.body:
            if isinstance(node, ast.Import | ast.ImportFrom | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Assign | ast.AnnAssign):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == entry_point:
                    continue
                offered.append(node)
                text_of[id(node)] = _text(source, node)
    chosen = _lacking(tree, offered)
    return _above(code, tree, [text_of[id(node)] for node in chosen])


def with_prompt(code: str, source: str, opened: ast.Module, entry_point: str) -> str:
    """`code`, a whole function, with everything of the prompt put above it that the prompt says outside the entry point and the code does not say itself.

    `opened` is the tree of the prompt's `source`, where a body may have been added to its last function.
    """
    tree = parse(code)
    if tree is None:
        return code
    return _above(code, tree, [_text(source, node) for node in _all(tree, opened, entry_point)])


def _lacking(tree: ast.Module, offered: list[ast.stmt]) -> list[ast.stmt]:
    own = bound(tree.body) | BUILTINS
    missing = loaded(tree.body) - own
    chosen: set[int] = set()
    while missing:
        news = [node for node in offered if id(node) not in chosen and binds(node) & missing]
        if not news:
            break
        chosen |= {id(node) for node in news}
        own |= set[str]().union(*(binds(node) for node in news))
        missing = (missing | loaded(news)) - own
        own |= bound(news)
        missing -= own
    return [node for node in offered if id(node) in chosen]


def _all(tree: ast.Module, opened: ast.Module, entry_point: str) -> list[ast.stmt]:
    """The prompt's statements that bind what the code does not, what these need when they are executed, and what fills the tables among them.

    Left out: the entry point, and what calls it at once, since it is defined further down.
    """
    own = set[str]().union(*(binds(node) for node in tree.body))
    offered = [node for node in opened.body if not is_main_guard(node) and entry_point not in binds(node) | evaluated(node)]
    chosen = {id(node) for node in offered if binds(node) - own}
    lent, todo = set[str](), [node for node in offered if id(node) in chosen]
    while todo:
        lent |= set[str]().union(*(binds(node) for node in todo))
        # A class that the code defines anew, and a constant of the prompt is made of: the constant comes first, so it needs the prompt's own.
        wanted = set[str]().union(*(evaluated(node) for node in todo)) - lent
        todo = [node for node in offered if id(node) not in chosen and (binds(node) & wanted or (not binds(node) and altered(node) & lent))]
        chosen |= {id(node) for node in todo}
    return [node for node in offered if id(node) in chosen]


def _text(source: str, node: ast.stmt) -> str:
    return "\n".join(source.split("\n")[first_line(node) - 1 : node.end_lineno])


def _above(code: str, tree: ast.Module, found: list[str]) -> str:
    """The code with texts put above it: imports first, but below a module docstring and `from __future__`, which must stay in front."""
    texts = dict.fromkeys(found)
    if not texts:
        return code
    head = 0
    for node in tree.body:
        if (bare_text(node) is None or head > 0) and not (isinstance(node, ast.ImportFrom) and node.module == "__future__"):
            break
        head = node.end_lineno or 0
    lines = code.split("\n")
    imports = [text for text in texts if text.startswith(("import ", "from "))]
    parts = ["\n".join(imports), *(text for text in texts if text not in imports), "\n".join(lines[head:]).lstrip("\n")]
    above = "\n".join(lines[:head]) + "\n" if head else ""
    return above + "\n\n\n".join(part for part in parts if part)
