"""A problem as operators see it: statement, parameters, result and the body of its reference apart, and back to a problem.

Only plain functions can be read: one function at the top level after imports, positional parameters with annotations, tests that call and compare.
Not here: what operators make of a form.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import cast

from rrtf import values
from rrtf.evolution.guided import kinds
from rrtf.evolution.guided.wording import wrapped
from rrtf.extraction.syntax import parse
from rrtf.records import CallTest, Problem

_INDENT = "    "


@dataclass(frozen=True, slots=True)
class Parameter:
    """One positional parameter."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A problem taken apart."""

    name: str
    parameters: tuple[Parameter, ...]
    result: str
    """The kind of the result."""
    text: str
    """The statement without examples; paragraphs are separated by an empty line and not wrapped."""
    imports: tuple[str, ...]
    body: str
    """The statements of the function, without its docstring."""
    inputs: tuple[str, ...]
    """Encoded lists of arguments."""
    outputs: tuple[str, ...] = ()
    """Encoded results, one per input; empty for an error that the statement asks for. None at all where nothing has run yet."""
    messages: frozenset[str] = frozenset()
    """What the errors say that the statement asks for: all others mean that an input is not allowed."""

    def kind(self, name: str) -> str:
        """The kind of a parameter."""
        return next(parameter.kind for parameter in self.parameters if parameter.name == name)

    def column(self, name: str) -> list[object]:
        """The values of a parameter, one per input."""
        place = [parameter.name for parameter in self.parameters].index(name)
        return [arguments(text)[place] for text in self.inputs]

    def statements(self) -> list[ast.stmt]:
        """The body as a syntax tree, a new one each time."""
        return ast.parse(self.body).body


def arguments(text: str) -> list[object]:
    """The arguments of one input."""
    return cast("list[object]", values.loads(text))


def read(problem: Problem) -> Form | None:
    """A problem taken apart; None where it is not of the plain kind."""
    if problem.reference is None or problem.entry_point is None or not all(isinstance(test, CallTest) and test.kwargs == "{}" for test in problem.tests):
        return None
    tree = parse(problem.reference)
    if tree is None or not tree.body:
        return None
    *before, function = tree.body
    if (
        not isinstance(function, ast.FunctionDef)
        or function.name != problem.entry_point
        or not all(isinstance(node, (ast.Import, ast.ImportFrom)) for node in before)
    ):
        return None
    given = function.args
    if (
        given.posonlyargs
        or given.kwonlyargs
        or given.vararg
        or given.kwarg
        or given.defaults
        or function.decorator_list
        or not all(arg.annotation for arg in given.args)
    ):
        return None
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    result = kinds.normal(function.returns)
    if not body or not result or any(isinstance(node, (ast.Yield, ast.YieldFrom, ast.Global, ast.Nonlocal)) for node in ast.walk(function)):
        return None
    tests = [test for test in problem.tests if isinstance(test, CallTest) and test.expected is not None and test.match == "near"]
    form = Form(
        name=function.name,
        parameters=tuple(Parameter(arg.arg, kinds.normal(arg.annotation)) for arg in given.args),
        result=result,
        text=_statement(problem.instruction),
        imports=tuple(ast.unparse(node) for node in before if not (isinstance(node, ast.ImportFrom) and node.module == "typing")),
        body=ast.unparse(ast.Module(body, [])),
        inputs=tuple(test.args for test in tests),
        outputs=tuple(test.expected or "" for test in tests),
    )
    return form if form.text and _typed(form) else None


def readable(problem: Problem) -> bool:
    """Whether operators can take a problem apart."""
    return read(problem) is not None


def _statement(instruction: str) -> str:
    """The statement without its examples, in paragraphs."""
    text = re.split(r"\n\s*>>>", f"\n{instruction}", maxsplit=1)[0]
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


def _typed(form: Form) -> bool:
    """Whether every argument and result is what its annotation says."""
    wanted = [parameter.kind for parameter in form.parameters]
    given = [arguments(text) for text in form.inputs]
    return all(len(row) == len(wanted) and all(map(kinds.fits, wanted, row)) for row in given) and all(
        kinds.fits(form.result, values.loads(text)) for text in form.outputs
    )


def signature(form: Form) -> str:
    """The line that begins the function."""
    return f"def {form.name}({', '.join(f'{one.name}: {one.kind}' for one in form.parameters)}) -> {form.result}:"


def instruction(form: Form, examples: Sequence[tuple[str, str]]) -> str:
    """Statement and examples as they stand in the docstring."""
    lines = [line for text, result in examples for line in (f">>> {form.name}({', '.join(map(repr, arguments(text)))})", repr(values.loads(result)))]
    return "\n\n".join([*map(wrapped, form.text.split("\n\n")), *(["\n".join(lines)] if lines else [])])


def prompt(form: Form, asked: str) -> str:
    """Signature and docstring."""
    if "\n" not in asked:
        return f'{signature(form)}\n{_INDENT}"""{asked}"""\n'
    inside = "\n".join(f"{_INDENT}{line}" if line else "" for line in asked.splitlines())
    return f'{signature(form)}\n{_INDENT}"""{inside.strip()}\n{_INDENT}"""\n'


def program(form: Form, asked: str | None = None) -> str:
    """The reference as a whole program, with its docstring where one is given."""
    begun = f"{signature(form)}\n" if asked is None else prompt(form, asked)
    body = "\n".join(f"{_INDENT}{line}" if line else "" for line in form.body.splitlines())
    imports = "".join(f"{line}\n" for line in form.imports)
    return f"{imports}\n\n{begun}{body}\n" if imports else f"{begun}{body}\n"


def speakable(form: Form, asked: str) -> bool:
    """Whether the docstring reads back as the instruction: text with backslashes or quotes in a row may not."""
    try:
        function = ast.parse(prompt(form, asked)).body[0]
    except (SyntaxError, ValueError):
        return False
    return isinstance(function, ast.FunctionDef) and inspect.cleandoc(ast.get_docstring(function) or "") == asked


def names(statements: Iterable[ast.AST]) -> set[str]:
    """Every name that occurs in statements, whatever it is there."""
    found: set[str] = set()
    for node in (inner for statement in statements for inner in ast.walk(statement)):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add((node.asname or node.name).partition(".")[0])
    return found


def taken(form: Form) -> set[str]:
    """Names that mean something in a form already."""
    return names([*form.statements(), *(node for line in form.imports for node in ast.parse(line).body)]) | {one.name for one in form.parameters} | {form.name}


def fresh(wanted: Sequence[str], used: set[str]) -> str:
    """The first of some names that is free, or the last of them with a number."""
    return next((name for name in wanted if name not in used), "") or next(name for name in (f"{wanted[-1]}_{i}" for i in range(2, 99)) if name not in used)


def straight(form: Form) -> bool:
    """Whether the body runs through to a `return` at its end, so that it can stand in the middle of another function."""
    statements = form.statements()
    last = statements[-1]
    returns = [node for statement in statements for node in ast.walk(statement) if isinstance(node, ast.Return)]
    return len(returns) == 1 and isinstance(last, ast.Return) and last.value is not None and form.name not in names(statements)


def expression(form: Form) -> str | None:
    """The body as one expression, where it is no more than that."""
    (first, *rest) = form.statements()
    return ast.unparse(first.value) if not rest and straight(form) and isinstance(first, ast.Return) and first.value is not None else None


def nested(form: Form) -> str:
    """The form as a function within another one, without annotations."""
    body = "\n".join(f"{_INDENT}{line}" if line else "" for line in form.body.splitlines())
    return f"def {form.name}({', '.join(one.name for one in form.parameters)}):\n{body}\n"


def computing(form: Form, target: str) -> str:
    """Statements that leave the result of a form in a variable. Its parameters are in scope by their names, and no other name is used twice."""
    if straight(form):
        *before, last = form.statements()
        value = cast("ast.expr", cast("ast.Return", last).value)
        return ast.unparse(ast.Module([*before, *ast.parse(f"{target} = {ast.unparse(value)}").body], []))
    return f"{nested(form)}{target} = {form.name}({', '.join(one.name for one in form.parameters)})"


def with_inputs(form: Form, inputs: Iterable[list[object]]) -> Form:
    """The form with other inputs, each once, and nothing known of their results."""
    return replace(form, inputs=tuple(dict.fromkeys(values.dumps(row) for row in inputs)), outputs=())
