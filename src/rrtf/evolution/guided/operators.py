"""Operators: from one form, or two, to new ones. Each is a function of its arguments alone, and what it says follows from a row of `tables` where there is one.

A new form has no results: its reference has to run first (`running`). Not here: whether a new form is worth keeping (`growing`).
"""

from __future__ import annotations

import ast
import builtins
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

from rrtf import values
from rrtf.evolution.guided import inputs, kinds
from rrtf.evolution.guided.forms import Form, Parameter, arguments, computing, expression, fresh, names, nested, taken, with_inputs
from rrtf.evolution.guided.tables import Extra, Row, filled, rows
from rrtf.evolution.guided.wording import as_step, named, plural, short

_INDENT = "    "


@dataclass(frozen=True, slots=True)
class Draft:
    """A new form that has not run yet."""

    form: Form
    method: str
    """The operator and its row, such as `after:square`."""


def _bound(text: str) -> set[str]:
    """Names that an expression binds itself."""
    return {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _grown(rows_known: Sequence[list[object]], given: Sequence[object], rng: random.Random) -> list[list[object]]:
    """Known arguments with one more, each of its values in turn."""
    start = rng.randrange(len(given))
    return [[*row, given[(start + place + place // len(given)) % len(given)]] for place, row in enumerate(rows_known)]


def _with_extra(form: Form, extra: Extra | None) -> tuple[tuple[Parameter, ...], str] | None:
    """The parameters with the row's own, and its name; None where that name is taken."""
    if extra is None:
        return form.parameters, ""
    return None if extra.name in taken(form) else ((*form.parameters, Parameter(extra.name, extra.kind)), extra.name)


def _join(*texts: str) -> str:
    """Sentences one after the other; the last of them in a paragraph of its own where the others are long."""
    *before, last = texts
    first = " ".join(before)
    return f"{first}\n\n{last}" if len(first) > 240 or "\n\n" in first else f"{first} {last}"


def after(form: Form, row: Row, rng: random.Random) -> Draft | None:
    """Something is done with the result."""
    step, gives, grown = as_step(form.text), kinds.concrete(row.gives, form.result), _with_extra(form, row.extra)
    if step is None or not gives or not kinds.matches(row.on, form.result) or grown is None or form.name.startswith(f"{row.name}_of_"):
        return None
    parameters, x = grown
    used = taken(form) | _bound(row.expression) | {x}
    if _bound(row.expression) & {one.name for one in parameters}:
        return None
    result = fresh(("result", "outcome", "found"), used)
    body = f"{computing(form, result)}\nreturn {filled(row.expression, {'r': result, 'x': x})}"
    known = inputs.more(form, rng)
    new = replace(
        form,
        name=named(f"{row.name}_of", form.name),
        parameters=parameters,
        result=gives,
        text=_join(step, row.text.format(it=f"the resulting {kinds.noun(form.result)}" if "|" not in form.result else "the result", x=x)),
        imports=tuple(dict.fromkeys((*form.imports, *row.imports))),
        body=_neat(body),
    )
    return Draft(with_inputs(new, known if row.extra is None else _grown(known, row.extra.values, rng)), f"after:{row.name}")


def _neat(body: str) -> str:
    """A body without the detour over a variable that is returned at once."""
    return ast.unparse(ast.parse(body))


def each(form: Form, row: Row, rng: random.Random) -> Draft | None:
    """The task is done for every item of a list that takes the place of a parameter."""
    step = as_step(form.text)
    if step is None or not form.parameters or form.messages:
        return None
    one = form.parameters[0]
    fits = row.on == "any" or (kinds.hashable(form.result) if row.on == "hashable" else kinds.matches(row.on, form.result))
    if not fits or (row.item == "hashable" and not kinds.hashable(one.kind)) or "list[list" in one.kind or "|" in one.kind or not kinds.head(one.kind):
        return None
    many, grown = plural(one.name), _with_extra(form, row.extra)
    inside = kinds.parts(form.result)
    if grown is None or many in taken(form) or ("{k}" in row.gives and "|" in form.result) or (row.on == "list" and not inside):
        return None
    parameters, x = grown
    known = {other.name for other in parameters}
    if _bound(row.expression) & (known | {many}) or "results" in taken(form):
        return None
    rest = ", ".join(other.name for other in form.parameters)
    whole = expression(form)
    computed = f"results = [{whole} for {one.name} in {many}]" if whole else f"{nested(form)}results = [{form.name}({rest}) for {one.name} in {many}]"
    article = f"For each item `{one.name}` of the list `{many}`, do the following."
    new = replace(
        form,
        name=named(row.name if row.name == "every" else f"{row.name}_by", form.name),
        parameters=(Parameter(many, f"list[{one.kind}]"), *parameters[1:]),
        result=row.gives.format(k=form.result, i=one.kind),
        text=f"{article} {step}\n\n{row.text.format(p=many, x=x)}",
        body=_neat(f"{computed}\nreturn {filled(row.expression, {'items': many, 'x': x})}"),
    )
    made = _lists(form, rng)
    return Draft(with_inputs(new, made if row.extra is None else _grown(made, row.extra.values, rng)), f"each:{row.name}")


def _lists(form: Form, rng: random.Random) -> list[list[object]]:
    """Lists of first arguments, each with other arguments that go with all of its items."""
    rules, known = inputs.relations(form), inputs.more(form, rng)
    made: list[list[object]] = []
    for place in range(18):
        rest = rng.choice(known)[1:]
        fitting = [row[0] for row in known if row[1:] == rest or all(rule([row[0], *rest]) for rule in rules)]
        count = (0, 3, 2, 4, 1, 5, 3, 4)[place % 8] if place else 3
        items = [rng.choice(fitting) for _ in range(count)] if fitting else []
        made.append([items, *rest])
    return made


def condition(form: Form, row: Row, one: Parameter, rng: random.Random) -> Draft | None:
    """Something is done with an argument first."""
    grown = _with_extra(form, row.extra)
    if not kinds.matches(row.on, one.kind) or grown is None or not _allowed(form, row.needs, one):
        return None
    parameters, x = grown
    if _bound(row.expression) & {other.name for other in parameters}:
        return None
    known = inputs.more(form, rng)
    place = form.parameters.index(one)
    if row.needs == "sign":
        if re.search(r"negative|sign|below|minus|positive|at least|>=", form.text) or (row.name == "cut_to" and re.search("at most|greater", form.text)):
            return None
        if row.extra is None:
            known += [[*old[:place], -abs(cast("int", old[place])) - 1, *old[place + 1 :]] for old in known[:6]]
    extra = row.extra.values if row.extra else ()
    if row.extra and not extra:
        seen = [old[place] for old in known]
        extra = tuple(dict.fromkeys(item for value in seen for item in (cast("list[object]", value) if isinstance(value, list) else [value]))) or (1,)
    new = replace(
        form,
        name=named("", form.name, row.name),
        parameters=parameters,
        text=f"{row.text.format(p=one.name, x=x)} From then on, `{one.name}` stands for the changed {kinds.noun(one.kind)}.\n\n{form.text}",
        body=_neat(f"{one.name} = {filled(row.expression, {'p': one.name, 'x': x})}\n{form.body}"),
    )
    return Draft(with_inputs(new, known if row.extra is None else _grown(known, extra, rng)), f"condition:{row.name}")


def _allowed(form: Form, needs: str, one: Parameter) -> bool:
    """Whether what a condition makes of an argument is allowed as the argument was."""
    known = form.column(one.name)
    lists = one.kind.startswith("list")
    if lists and (inputs.related(form, one.name) or inputs.always_sorted(known)):
        return False
    match needs:
        case "empty":
            return [] in known or {} in known
        case "free":
            return len(known) > 0 and not re.search(r"\bnot empty|at least (one|two|1|2)|no \w+ is empty|order", form.text)
        case "words":
            return inputs.free_text(known) and "" in known
        case _:
            return True


def error(form: Form, row: Row, one: Parameter, rng: random.Random) -> Draft | None:
    """Some arguments are refused with a ValueError."""
    if not kinds.matches(row.on, one.kind) or any(word in form.text for word in row.clash) or form.messages:
        return None
    if _bound(row.expression) & {other.name for other in form.parameters}:
        return None
    place, known = form.parameters.index(one), inputs.more(form, rng, 20)
    refused = list(row.values) or [_long(form.column(one.name))]
    wrong = [[*rng.choice(known)[:place], value, *rng.choice(known)[place + 1 :]] for value in refused for _ in range(2 if len(form.parameters) > 1 else 1)]
    message = row.message.format(p=one.name)
    new = replace(
        form,
        name=named("checked", form.name),
        text=f"{row.text.format(p=one.name)} {form.text}",
        body=_neat(f"if {filled(row.expression, {'p': one.name})}:\n{_INDENT}raise ValueError({message!r})\n{form.body}"),
        messages=form.messages | {message},
    )
    return Draft(with_inputs(new, [*known, *wrong]), f"error:{row.name}")


def _long(known: Sequence[object]) -> list[object]:
    """A list longer than six items, of known ones."""
    pool = [item for value in known for item in cast("list[object]", value)]
    return [pool[i % len(pool)] for i in range(8)] if pool else []


def generalise(form: Form, rng: random.Random) -> Iterator[Draft]:
    """A constant becomes a parameter, where it stands once in the statement and once in the reference."""
    statements = form.statements()
    nodes = [node for statement in statements for node in ast.walk(statement)]
    constants = [node for node in nodes if isinstance(node, ast.Constant)]
    given_out = {id(part) for node in nodes for part in _given_out(node)}
    one_of_many = {id(part) for node in nodes if isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.Eq, ast.In)) for part in ast.walk(node)}
    for constant in constants:
        value = constant.value
        if type(value) not in (int, str) or sum(other.value == value for other in constants) != 1 or value in (0, 1, ""):
            continue
        if id(constant) not in given_out if isinstance(value, str) else id(constant) in one_of_many:
            continue  # a text that is looked for has a form, and "silver for 2" one of several numbers: what else it may be is not said
        written = [str(value)] if isinstance(value, int) else [f'"{value}"', f"'{value}'"]
        found = [match for text in written for match in re.finditer(rf"(?<![\w.\-\"'(]){re.escape(text)}(?![\w%\"')]|[.,:]\d)", form.text)]
        if len(found) != 1 or not isinstance(value, (int, str)) or (isinstance(value, str) and len(value) > 12):
            continue
        name = fresh(("k", "amount", "given") if isinstance(value, int) else ("mark", "sign", "given"), taken(form))
        text = f"{form.text[: found[0].start()]}`{name}`{form.text[found[0].end() :]}"
        tree = _Replaced(value, name).visit(ast.parse(form.body))
        given: list[object] = [value + d for d in (0, 1, 2, 3, 5, -1) if value + d > 0] if isinstance(value, int) else [value, *_texts_like(value)]
        new = replace(
            form,
            name=named("", form.name, f"with_{name}"),
            parameters=(*form.parameters, Parameter(name, type(value).__name__)),
            text=text,
            body=ast.unparse(ast.fix_missing_locations(tree)),
        )
        yield Draft(with_inputs(new, _grown(inputs.more(form, rng), given, rng)), "generalise:constant")


class _Replaced(ast.NodeTransformer):
    """Puts a variable in the place of a constant."""

    def __init__(self, value: object, name: str) -> None:
        self.value, self.name = value, name

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        return ast.Name(self.name, ast.Load()) if type(node.value) is type(self.value) and node.value == self.value else node


def _given_out(node: ast.AST) -> list[ast.expr]:
    """Expressions that end up in a result as they are."""
    match node:
        case ast.Return(value=ast.expr() as value):
            return [value]
        case ast.IfExp():
            return [node.body, node.orelse]
        case ast.BinOp(op=ast.Add()):
            return [node.left, node.right]
        case _:
            return []


def _texts_like(value: str) -> list[str]:
    if len(value) == 1:
        return [mark for mark in ("a", "s", "-", "#", "_", "x", "e") if mark != value][:5]
    return [value.upper(), value[::-1], value * 2, value[:-1] or "x", "yes"]


def pipe(first: Form, second: Form, one: Parameter, rng: random.Random) -> Draft | None:
    """The result of one task becomes an argument of another."""
    step = as_step(first.text)
    others = tuple(other for other in second.parameters if other.name != one.name)
    given = {parameter.name for parameter in first.parameters}
    if (
        step is None
        or first.result != one.kind
        or first.messages
        or second.messages
        or {one.name, *(other.name for other in others)} & given
        or first.name == second.name
    ):
        return None
    if any(kinds.noun(other.kind) == kinds.noun(mine.kind) for other in others for mine in first.parameters) or len(first.parameters) + len(others) > 4:
        return None
    inner, outer = names(first.statements()), names(second.statements())
    apart = {inside for inside in inner if inside not in dir(builtins)} & {*outer, one.name, *(other.name for other in others)}
    called = f"{nested(first)}{one.name} = {first.name}({', '.join(parameter.name for parameter in first.parameters)})"
    begun = computing(first, one.name) if not apart or expression(first) else called
    if given & outer or first.name in outer or (one.name in inner and not apart):
        return None
    known = second.column(one.name)
    joined: list[list[object]] = []
    place = second.parameters.index(one)
    rest = [[value for spot, value in enumerate(row) if spot != place] for row in map(arguments, second.inputs)]
    for number, (text, output) in enumerate(zip(first.inputs, first.outputs, strict=True)):
        if output and inputs.within(values.loads(output), known, one.kind):
            joined.extend([*arguments(text), *rest[(number + turn) % len(rest)]] for turn in range(3 if others else 1))
    new = Form(
        name=named("", second.name, f"after_{short(first.name)}"),
        parameters=(*first.parameters, *others),
        result=second.result,
        text=f"{step}\n\nThen use the resulting {kinds.noun(one.kind)} as `{one.name}` in the next step. {second.text}",
        imports=tuple(dict.fromkeys((*first.imports, *second.imports))),
        body=_neat(f"{begun}\n{second.body}"),
        inputs=(),
    )
    return Draft(with_inputs(new, joined[: inputs.MOST]), "compose:pipe") if len(joined) >= 8 else None


def single(form: Form, rng: random.Random) -> Iterator[Draft]:
    """Everything that operators make of one form."""
    for row in rows("after"):
        yield from _given(after(form, row, rng))
    for row in rows("each"):
        yield from _given(each(form, row, rng))
    changes: tuple[tuple[Callable[[Form, Row, Parameter, random.Random], Draft | None], Sequence[Row]], ...] = (
        (condition, rows("condition")),
        (error, rows("error")),
    )
    for change, table in changes:
        for row in table:
            for one in form.parameters:
                yield from _given(change(form, row, one, rng))
    yield from generalise(form, rng)


def _given(draft: Draft | None) -> Iterator[Draft]:
    if draft is not None:
        yield draft
