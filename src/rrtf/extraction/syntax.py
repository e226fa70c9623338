"""Questions about Python source text, answered without running it: does it parse, what does it bind, what does it need, where does a header end.

Everything here takes text written by a model, so nothing here raises on bad source. Not here: which part of a completion is the program
(`rrtf.extraction.wrapping`, `rrtf.extraction.programs`).
"""

from __future__ import annotations

import ast
import builtins
import io
import tokenize
import warnings
from collections.abc import Iterable
from typing import cast

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
BUILTINS = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}


def parse(source: str) -> ast.Module | None:
    """The syntax tree, or None when the source does not parse (NUL bytes and nesting beyond the parser's depth included)."""
    try:
        with warnings.catch_warnings():
            # A stray "\d" in a model's string is its own business, not a warning of ours.
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def error_line(source: str) -> int | None:
    """The line (from 1) the parser complains about, or None when it parses or names no line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(source)
    except SyntaxError as error:
        return error.lineno
    except (ValueError, RecursionError, MemoryError):
        return None
    return None


def shape(node: ast.AST) -> tuple[str, ...]:
    """What `ast.dump` says, as a flat sequence: equal for trees that are equal apart from their positions.

    Not `ast.dump` itself: it calls itself for every level, and `a.b.c...` is deep; nor can it print whole numbers of more than 4300 digits.
    """
    out: list[str] = []
    todo: list[object] = [node]
    while todo:
        part = todo.pop()
        if isinstance(part, ast.AST):
            out.append(type(part).__name__)
            # A field that is there and one that is not (`kind`, say) must not look the same, so each has its name.
            fields = [(name, cast("object", getattr(part, name, None))) for name in part._fields]
            todo += [item for name, value in reversed(fields) if value is not None for item in (value, f"{name}=")]
        elif isinstance(part, list):
            items = cast("list[object]", part)
            out.append(f"[{len(items)}]")
            todo += reversed(items)
        else:
            out.append(f"{type(part).__name__} {hex(part) if isinstance(part, int) else repr(part)}")
    return tuple(out)


def same_tree(left: ast.AST | list[ast.stmt], right: ast.AST | list[ast.stmt]) -> bool:
    """Whether two trees (or two lists of statements) are equal apart from their positions."""
    if isinstance(left, list) or isinstance(right, list):
        return isinstance(left, list) and isinstance(right, list) and [shape(node) for node in left] == [shape(node) for node in right]
    return shape(left) == shape(right)


def functions(module: ast.Module, name: str | None) -> list[FunctionNode]:
    """The top-level functions of that name (of any name for None), in order."""
    return [node for node in module.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and name in (None, node.name)]


def first_line(node: ast.stmt) -> int:
    """The first line (from 1) of a statement, decorators included."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return node.lineno


def offset(lines: list[str], line: int, column: int) -> int:
    """Character offset in the text of a position given as ast gives it: line from 1, column in UTF-8 bytes. `lines` keep their ends."""
    return sum(len(text) for text in lines[: line - 1]) + len(lines[line - 1].encode()[:column].decode(errors="ignore"))


def bare_text(statement: ast.stmt) -> str | None:
    """The text of a statement that is nothing but a string, such as a docstring."""
    value = statement.value if isinstance(statement, ast.Expr) else None
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def docstring_node(function: FunctionNode) -> ast.stmt | None:
    """The statement that holds the function's docstring."""
    return function.body[0] if bare_text(function.body[0]) is not None else None


def is_stub(function: FunctionNode) -> bool:
    """Whether the body says nothing: only a docstring, `pass`, `...` or `raise NotImplementedError`."""
    for node in function.body:
        if isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            continue
        raised = node.exc if isinstance(node, ast.Raise) else None
        raised = raised.func if isinstance(raised, ast.Call) else raised
        if not (isinstance(raised, ast.Name) and raised.id == "NotImplementedError"):
            return False
    return True


def string_lines(module: ast.Module) -> set[int]:
    """Numbers (from 1) of the lines that begin inside a string, or inside strings that are joined over several lines."""
    return {
        line
        for node in ast.walk(module)
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))
        for line in range(node.lineno + 1, (node.end_lineno or node.lineno) + 1)
    }


def header_end(source: str, function: FunctionNode) -> int | None:
    """Character offset just behind the colon that ends the function's header, or None when it cannot be found."""
    lines = source.splitlines(keepends=True)
    start = function.lineno - 1
    depth = 0
    try:
        for token in tokenize.generate_tokens(io.StringIO("".join(lines[start:])).readline):
            if token.type != tokenize.OP:
                continue
            if token.string in "([{":
                depth += 1
            elif token.string in ")]}":
                depth -= 1
            elif token.string == ":" and depth == 0:
                row, column = token.end
                return sum(len(text) for text in lines[: start + row - 1]) + column
    except (tokenize.TokenError, SyntaxError):
        return None
    return None


def bound(nodes: Iterable[ast.AST]) -> set[str]:
    """Every name that the nodes bind anywhere inside them: assignments, parameters, imports, definitions, handlers, patterns."""
    names: set[str] = set()
    for root in nodes:
        for node in ast.walk(root):
            match node:
                case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                    names.add(name)
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                    names.add(name)
                case ast.alias(name=name, asname=asname):
                    names.add(asname or name.split(".")[0])
                case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                    names.add(name)
                case _:
                    pass
    return names


def binds(statement: ast.stmt) -> set[str]:
    """The names that a top-level statement binds in the module. Not among them: targets of `for`, `with` and `except`, which programs hardly share."""
    names: set[str] = set()
    # A list and no recursion: a chain of `elif` is as deep as it is long.
    todo: list[ast.AST] = [statement]
    while todo:
        node = todo.pop()
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                names |= bound(aliases)
            case ast.Assign(targets=targets):
                names |= bound(targets)
            case ast.AnnAssign(target=target) | ast.AugAssign(target=target):
                names |= bound([target])
            case ast.If() | ast.Try() | ast.TryStar() | ast.With() | ast.For() | ast.While() | ast.Match() | ast.ExceptHandler() | ast.match_case():
                todo += [part for part in ast.iter_child_nodes(node) if isinstance(part, ast.stmt | ast.ExceptHandler | ast.match_case)]
            case _:
                pass
    return names


def is_main_guard(statement: ast.stmt) -> bool:
    """Whether it is `if __name__ == "__main__":`, or asks for `__name__` in some other way."""
    return isinstance(statement, ast.If) and "__name__" in loaded([statement.test])


def loaded(nodes: Iterable[ast.AST]) -> set[str]:
    """Every name that the nodes read."""
    return {node.id for root in nodes for node in ast.walk(root) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def unbound(module: ast.Module) -> set[str]:
    """Names the module reads but neither binds nor finds among the builtins: what it needs from elsewhere."""
    return loaded(module.body) - bound(module.body) - BUILTINS


def reindented(block: str, number: int, inside: set[int], old: str, new: str) -> str:
    """Lines of code, of which the first has this number, with `new` for the indentation `old`; lines that begin inside a string stay as they are."""
    out: list[str] = []
    for position, line in enumerate(block.split("\n"), start=number):
        if position in inside:
            out.append(line)
        elif line.startswith("#"):
            out.append(new + line)
        elif line.strip():
            out.append(new + line[len(old) :] if line.startswith(old) else line)
        elif out:
            out.append("")
    return "\n".join(out).rstrip("\n")
