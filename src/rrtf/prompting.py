"""How a problem becomes a prompt, and how a program becomes the answer that is trained on: text only.

Four formats. In all of them the prompt and the answer fit together: `extract_code(format, problem, answer_text(format, problem, code))` is a
program equivalent to `code`, so what is trained is what is asked for in evaluation.

paper         (sections 3.5 and 4.1.5) the docstring between triple quotes, then the code before the function's docstring: imports, helpers, signature.
              The text ends in the colon of the signature; the answer is the body, from the line break on, without a docstring.
              A problem without code ends behind the closing quotes, and the answer is the whole program.
raw           `Problem.prompt` without its trailing white space; the answer is what follows the docstring. (White space at the end would split the
              "line break and indentation" token that tokenizers of the GPT-2 family learn, and cost the model accuracy.)
chat          a user message with an instruction and the code in a fenced block; the answer is the whole program in a fenced block.
chat-prefill  the same, and the reply already begins with the opening fence; the answer is the program and the closing fence.

Where a problem is one function of somebody's file (`Problem.frame`), the prompt shows the file above it, and the answer is that function or its body.

Not here: chat templates and tokens (the engine's and the trainer's business), and reading a completion (`rrtf.extraction`).
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from typing import Literal

from rrtf.extraction import Extraction, extract
from rrtf.extraction.syntax import (
    FunctionNode,
    binds,
    bound,
    docstring_node,
    first_line,
    functions,
    header_end,
    offset,
    parse,
    reindented,
    same_tree,
    shape,
    string_lines,
)
from rrtf.framing import alone, class_line, put_back, taken_out
from rrtf.protocols import Prompt
from rrtf.records import Frame, Problem, PytestTest

FormatName = Literal["paper", "raw", "chat", "chat-prefill"]
FORMATS: tuple[FormatName, ...] = ("paper", "raw", "chat", "chat-prefill")

CONTINUATION_STOP = (
    "\ndef ",
    "\nasync def ",
    "\nclass ",
    "\n@",
    "\nif ",
    "\nprint(",
    "\nassert ",
    "\nimport ",
    "\nfrom ",
    "\n#",
    '\n"""',
    "\n'''",
    "\n```",
)
"""What can only come after the body of a function that is being continued. The Codex paper (2107.03374, section 2.1) stops at five of these."""

FENCE = "```python\n"
INDENT = "    "


@dataclass(frozen=True, slots=True)
class Rendered:
    """A problem as one model input."""

    text: str
    chat: bool
    """`text` is a user message for the model's chat template, not text to continue."""
    prefill: str
    """How the assistant's reply begins (chat only); never part of the completion."""
    continues: str
    """The source that the answer stands in: what a completion continues, or (chat) the code the question showed."""
    stop: tuple[str, ...]
    """Strings that can only follow a finished answer."""

    def prompt(self, key: str, seeds: tuple[int, ...]) -> Prompt:
        """The input as a request to a generator: one completion per seed."""
        return Prompt(key=key, text=self.text, seeds=seeds, chat=self.chat, prefill=self.prefill)


def render(form: FormatName, problem: Problem) -> Rendered:
    """The problem in a format."""
    if problem.frame is not None:
        return _framed(form, problem, problem.frame, render(form, alone(problem)))
    if form == "raw":
        text = problem.prompt.rstrip() or _docstring_block(problem)
        return Rendered(text, chat=False, prefill="", continues=problem.prompt.rstrip(), stop=CONTINUATION_STOP if problem.prompt.strip() else ())
    if form == "paper":
        signature = signature_of(problem)
        return Rendered(_docstring_block(problem) + signature, chat=False, prefill="", continues=signature, stop=CONTINUATION_STOP if signature else ())
    prefill = FENCE if form == "chat-prefill" else ""
    return Rendered(_question(problem), chat=True, prefill=prefill, continues=problem.prompt.rstrip(), stop=("\n```",) if prefill else ())


def _framed(form: FormatName, problem: Problem, frame: Frame, own: Rendered) -> Rendered:
    """The same with what a reader of the file would see above the function."""
    context = problem.prompt.rpartition(frame.header.rstrip())[0]
    if own.chat:
        words = f"Answer with the whole {'function' if '.' not in frame.name else 'method'}, with the imports it needs that the code lacks"
        question = f"Complete `{frame.name}` in this Python file. {words}, in one Python code block.\n\n{FENCE}{problem.prompt.strip()}\n```"
        return replace(own, text=question)
    if form == "raw":
        return replace(own, text=problem.prompt.rstrip())
    return replace(own, text=_docstring_block(problem) + context + own.continues.removeprefix(class_line(frame)))


def stop_strings(form: FormatName, problem: Problem) -> tuple[str, ...]:
    """The stop strings of one problem; constant within a format except for problems that have no code to continue."""
    return render(form, problem).stop


def extract_code(form: FormatName, problem: Problem, completion: str) -> Extraction:
    """The program in a completion of this problem's prompt in this format."""
    rendered = render(form, problem)
    if problem.frame is not None:
        return put_back(problem.frame, rendered.prefill + completion, rendered.continues)
    return extract(rendered.prefill + completion, rendered.continues, problem.defines)


def answer_text(form: FormatName, problem: Problem, code: str) -> str | None:
    """What the model should write, after the prompt of this format, to give the program `code`.

    None when the format cannot express it: in `paper` and `raw` when the function's parameters differ from the prompt's, when it has no body, or when code
    outside the function cannot move into it; in `chat-prefill` when the code holds a line that looks like a fence. The caller counts these.
    Code that does not parse is given back as text where that is possible, since a broken program is an answer too.
    """
    if problem.frame is not None:
        own = taken_out(problem.frame, code)
        if own is None:
            return None
        if "." not in problem.frame.name or render(form, problem).chat:
            return answer_text(form, alone(problem), own)
        rendered = render(form, problem)  # a method: what follows the header of the file, for no other header has its place in a class
        rest = own.removeprefix(rendered.continues).rstrip()
        return rest if own.startswith(rendered.continues) and not any(stop in rest for stop in rendered.stop) else None
    rendered = render(form, problem)
    if rendered.chat:
        return _fenced(code.strip("\n"), prefilled=bool(rendered.prefill))
    if not rendered.continues:
        return code.strip("\n") + "\n" if code.strip() else None
    module = parse(code)
    body = None if module is None else _body_text(rendered.continues, module, code, problem.defines)
    return body if body is not None else _rest_of_text(rendered, module, code, problem)


def signature_of(problem: Problem) -> str:
    """The prompt's code up to and with the colon of the entry point's header; the whole prompt where it has no such function or goes beyond its docstring."""
    prompt = problem.prompt.strip("\n").rstrip()
    found = _open_function(prompt, problem.defines)
    if found is None:
        return prompt
    function, source = found
    end = header_end(source, function)
    beyond = [node for node in function.body[1 if docstring_node(function) else 0 :] if not isinstance(node, ast.Pass)]
    return prompt if end is None or beyond else source[:end]


def _rest_of_text(rendered: Rendered, module: ast.Module | None, code: str, problem: Problem) -> str | None:
    """What `code` adds to the prompt's code where it begins with just that text: for code that does not parse, and for prompts that are not one function."""
    start = rendered.continues.lstrip("\n")
    if not code.lstrip("\n").startswith(start):
        return None
    rest = code.lstrip("\n")[len(start) :].rstrip()
    fits = module is None or (not any(stop in rest for stop in rendered.stop) and _adds_body(rendered.continues, rest, problem))
    return rest if rest.strip() and fits else None


def _docstring_block(problem: Problem) -> str:
    return f'"""\n{problem.instruction.strip()}\n"""\n'


def _question(problem: Problem) -> str:
    what = "function" if problem.defines == problem.entry_point else "class"
    if problem.prompt.strip():
        return (
            f"Complete this Python {what}. Answer with the whole {what}, with the imports it needs, in one Python code block.\n\n"
            f"{FENCE}{problem.prompt.strip()}\n```"
        )
    if isinstance(problem.tests[0], PytestTest):
        return f"Write a Python module. Answer with the whole module, with the imports it needs, in one Python code block.\n\n{problem.instruction.strip()}"
    if problem.entry_point is None:
        return f"Write a Python program that reads standard input and prints the answer. Answer with one Python code block.\n\n{problem.instruction.strip()}"
    return (
        f"Write a Python {what} named `{problem.defines}`. Answer with the whole {what}, with the imports it needs, in one Python code block.\n\n"
        f"{problem.instruction.strip()}"
    )


def _fenced(code: str, *, prefilled: bool) -> str | None:
    if not code.strip():
        return None
    if "\n```" in f"\n{code}":
        return None if prefilled else f"````python\n{code}\n````"
    return f"{code}\n```" if prefilled else f"{FENCE}{code}\n```"


def _open_function(prompt: str, entry_point: str | None) -> tuple[FunctionNode, str] | None:
    """The last top-level function of that name in a prompt whose last function may still lack its body, and the source it was parsed from."""
    for source in (prompt, f"{prompt}\n{INDENT}pass"):
        module = parse(source)
        found = functions(module, entry_point) if module else []
        if found:
            return found[-1], source
    return None


def _adds_body(prefix: str, rest: str, problem: Problem) -> bool:
    """Whether `rest` puts statements into the function that `prefix` leaves open."""
    before, after = _open_function(prefix, problem.defines), parse(prefix + rest)
    found = functions(after, problem.defines) if after else []
    if before is None or not found:
        return bool(found)
    return len(found[-1].body) > (1 if docstring_node(before[0]) else 0)


def _body_text(prefix: str, module: ast.Module, code: str, entry_point: str | None) -> str | None:
    """The body of the entry point in `code` as a continuation of `prefix`; what stands around it moves into the body."""
    opened, candidates = _open_function(prefix, entry_point), functions(module, entry_point)
    if opened is None or len(candidates) != 1:
        return None
    given, function = opened[0], candidates[0]
    documented = docstring_node(given)
    body = function.body[1 if docstring_node(function) else 0 :]
    moved = _outside(module, function, parse(opened[1]))
    if not body or moved is None or not _same_header(given, function) or _clashes(moved, function):
        return None
    indent = " " * documented.col_offset if documented else INDENT
    lines = code.splitlines(keepends=True)
    inside = string_lines(module)
    parts = [reindented("".join(lines[first_line(node) - 1 : node.end_lineno]), first_line(node), inside, "", indent) for node in moved]
    answer = "\n" + "\n".join([*parts, _body_lines(function, body, lines, inside, indent)]).rstrip()
    # The text was moved and indented by hand; the trees say whether that kept its meaning (tabs mixed with blanks may not survive it).
    made = parse(prefix + answer)
    result = functions(made, entry_point) if made else []
    kept = [documented] if documented else []
    return answer if result and same_tree(result[-1].body, [*kept, *moved, *body]) else None


def _body_lines(function: FunctionNode, body: list[ast.stmt], lines: list[str], inside: set[int], indent: str) -> str:
    text = "".join(lines)
    documented = docstring_node(function)
    start = offset(lines, documented.end_lineno or 0, documented.end_col_offset or 0) if documented else header_end(text, function) or 0
    end = offset(lines, function.end_lineno or function.lineno, function.end_col_offset or 0)
    number = text.count("\n", 0, start) + 1
    head, _, tail = text[start:end].partition("\n")
    if head.lstrip(" \t;") and not head.lstrip().startswith("#"):
        # The body begins on the header's (or docstring's) own line.
        return reindented(text[start:end].lstrip(" \t;"), number, inside, "", indent)
    first = lines[first_line(body[0]) - 1]
    return reindented(tail, number + 1, inside, first[: len(first) - len(first.lstrip())], indent)


def _same_header(given: FunctionNode, function: FunctionNode) -> bool:
    """Same kind, same decorators, same parameters with the same defaults. Annotations may differ: the body does not see them."""
    return (
        type(given) is type(function)
        and [shape(node) for node in given.decorator_list] == [shape(node) for node in function.decorator_list]
        and _parameters(given.args) == _parameters(function.args)
    )


def _parameters(args: ast.arguments) -> list[object]:
    def names(nodes: list[ast.arg]) -> list[str]:
        return [node.arg for node in nodes]

    defaults = [node and shape(node) for node in [*args.defaults, None, *args.kw_defaults]]
    return [names(args.posonlyargs), names(args.args), args.vararg and args.vararg.arg, names(args.kwonlyargs), args.kwarg and args.kwarg.arg, defaults]


def _outside(module: ast.Module, function: FunctionNode, given: ast.Module | None) -> list[ast.stmt] | None:
    """The statements around the function that the prompt does not hold already, or None when one of them cannot move into a function."""
    known = {shape(node) for node in given.body} if given else set[str]()
    parameters = bound([function.args])
    moved: list[ast.stmt] = []
    for node in module.body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if node is function or is_docstring or shape(node) in known:
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            if given is not None and _same_imports(node, given):
                continue
            if isinstance(node, ast.ImportFrom) and (node.module == "__future__" or node.names[0].name == "*"):
                return None
        elif _is_constant(node):
            if binds(node) <= parameters:
                # Dead: the function never sees it.
                continue
        elif not isinstance(node, ast.FunctionDef | ast.ClassDef):
            return None
        moved.append(node)
    # A moved name turns from a global into a local, which `global` statements would not follow.
    return None if moved and any(isinstance(node, ast.Global) for node in ast.walk(module)) else moved


def _same_imports(node: ast.Import | ast.ImportFrom, given: ast.Module) -> bool:
    """Whether the prompt imports the same names from the same places, perhaps in a longer line."""

    def origins(item: ast.Import | ast.ImportFrom) -> set[tuple[str | None, str, str | None]]:
        source = item.module if isinstance(item, ast.ImportFrom) else None
        return {(source, alias.name, alias.asname) for alias in item.names}

    offered = set[tuple[str | None, str, str | None]]().union(
        *(origins(other) for other in given.body if isinstance(other, ast.Import | ast.ImportFrom) and type(other) is type(node))
    )
    return origins(node) <= offered


def _is_constant(node: ast.stmt) -> bool:
    """`NAME = literal`: a table or a number. Empty containers are refused: they are state that outlives a call."""
    if not (isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)):
        return False
    try:
        value: object = ast.literal_eval(node.value)
    except (ValueError, TypeError, RecursionError, MemoryError):
        return False
    return value not in ([], {}, set[object]())


def _clashes(moved: list[ast.stmt], function: FunctionNode) -> bool:
    """Whether a name that would move into the function is already one of its own (a parameter, a local)."""
    own = bound([function]) - {function.name}
    return any(binds(node) & (own | {function.name}) for node in moved)
