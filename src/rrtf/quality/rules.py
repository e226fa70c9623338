"""Rules of thumb for rows of a corpus, written by hand, one function each: is this a task for a function, in words people wrote, with a program as its answer?

They stand for the hand-written rules with which the paper takes 100 k pairs to 68 k (section 3.3), whose text was not published. Each looks at one problem
and says what it saw; nothing is run. Most speak of what language models get wrong when they write tasks and answers; those of the starter set and of HumanEval
break none of them (a test). Not here: what running shows (`rrtf.quality.fitness`), problems beside one another (`rrtf.overlap`), what an
evolved problem owes its parent (`rrtf.evolution`).
"""

from __future__ import annotations

import ast
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache

from pydantic import BaseModel, ConfigDict, Field

from rrtf.extraction.syntax import FunctionNode, is_stub, parse
from rrtf.quality.findings import Action, Finding
from rrtf.records import IOTest, Problem


class RulesConfig(BaseModel):
    """What becomes of rows that look wrong. Each rule: `stop`, `drop`, `warn` or `off`."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    no_code: Action = "drop"
    """Words alone, without a prompt, a reference or an entry point, and the words speak of nothing to program."""
    too_short: Action = "drop"
    """Its statement has fewer than `least_words` words."""
    too_long: Action = "drop"
    """Its statement has more than `most_words` words, or its reference more than `most_lines` lines."""
    not_function_level: Action = "warn"
    """There is no function to call. Whole programs that read stdin can be learned from too, so they are only named; the paper asks for functions (Figure 2)."""
    no_program: Action = "drop"
    """Its reference is no program, or does not define what the tests call."""
    unfinished: Action = "drop"
    """Its reference leaves the work undone: an empty body, `NotImplementedError`, "your code here"."""
    only_prints: Action = "drop"
    """Its reference prints where it should return."""
    reads_input: Action = "drop"
    """Its reference is a function, and asks somebody at the keyboard."""
    not_english: Action = "drop"
    """Less than `english_share` of the letters of its statement are Latin."""
    garbled: Action = "drop"
    """Its statement holds what is left of text that was decoded wrongly, or control characters."""
    repeated_text: Action = "drop"
    """Its statement says the same again and again: more than `repeated_share` of its runs of five words occur before."""
    refusal: Action = "drop"
    """Its statement or its reference is an assistant that excuses itself."""
    prompt_words: Action = "drop"
    """Its statement speaks of the prompt it was made from ("the rewritten task"), which the paper's prompt forbids (Figure 2)."""
    answer_in_statement: Action = "drop"
    """The body of its reference stands in its statement."""

    least_words: int = Field(default=3, ge=1)
    """Fewer words than this are no task; MBPP's shortest has six, HumanEval's four."""
    most_words: int = Field(default=1000, ge=1)
    """More words than this do not fit beside an answer; LeetCodeDataset's longest has some seven hundred."""
    most_lines: int = Field(default=300, ge=1)
    """Longer references are no function-level solutions."""
    english_share: float = Field(default=0.7, ge=0, le=1)
    """Least share of Latin letters."""
    repeated_share: float = Field(default=0.6, ge=0, le=1)
    """Greatest share of repeated runs of words; HumanEval/94, whose examples are in words, has 0.47."""

    def action(self, rule: str) -> Action:
        """What is done about a rule, by its key in `RULES`."""
        return getattr(self, rule)


_PROGRAMMING = re.compile(
    r"\b(algorithm|array|class|code|comput\w*|dictionar\w+|function|implement\w*|input|integers?|lambda|list|loop|method|output|program\w*|python|recursi\w+|regex|"
    r"return\w*|script|sort\w*|strings?|tuple)\b",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"\bas an? (AI|artificial intelligence)\b|\blanguage model\b.{0,40}\b(cannot|can't|unable)\b"
    r"|\bI('m| am) (sorry|afraid|unable)\b|\bI (cannot|can't) (assist|help|fulfil)",
    re.IGNORECASE,
)
_PROMPT = re.compile(
    r"#?\b(given|rewritten|new|original|evolved|created)[ _](prompt|task|instruction)s?\b ?(#|:|is\b)|\brewritten (prompt|task|instruction)\b", re.IGNORECASE
)
_TODO = re.compile(
    r"your (code|implementation|solution) (goes )?here|# *TODO\b|# *\.\.\. *(rest|remaining)|implement(ation)? (me|this|goes here)", re.IGNORECASE
)
_GARBLED = re.compile("�|[\x00-\x08\x0b\x0c\x0e-\x1f]|Ã[\x80-¿]|â€[™œ“”˜¦]|ï»¿")
_RUN, _ENOUGH = 5, 40


def no_code(problem: Problem, config: RulesConfig) -> str:
    """See the field of `RulesConfig`; so for every rule below."""
    bare = not problem.prompt.strip() and problem.reference is None and problem.entry_point is None
    return "it speaks of nothing to program" if bare and "```" not in problem.instruction and not _PROGRAMMING.search(problem.instruction) else ""


def too_short(problem: Problem, config: RulesConfig) -> str:
    """Words and numbers; a sign of a script without spaces counts as a word."""
    count = len(re.findall(r"[^\W_]+", problem.instruction)) + len(re.findall(r"[぀-ヿ㐀-鿿가-힯]", problem.instruction))
    return f"{count} words" if count < config.least_words and not problem.prompt.strip() else ""


def too_long(problem: Problem, config: RulesConfig) -> str:
    """The statement, and the reference."""
    count, lines = len(problem.instruction.split()), len((problem.reference or "").splitlines())
    if count > config.most_words:
        return f"its statement has {count} words"
    return f"its reference has {lines} lines" if lines > config.most_lines else ""


def not_function_level(problem: Problem, config: RulesConfig) -> str:
    """Without an entry point."""
    if problem.entry_point is not None:
        return ""
    return "its tests give stdin" if problem.tests and isinstance(problem.tests[0], IOTest) else "its tests call nothing"


def no_program(problem: Problem, config: RulesConfig) -> str:
    """It must parse, do something, and define what is called."""
    if problem.reference is None:
        return ""
    tree = _parsed(problem.reference)
    if tree is None:
        return "its reference does not parse"
    if all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in tree.body):
        return "its reference holds no statement"
    if problem.defines is not None and not any(_defines(node, problem.defines) for node in ast.walk(tree)):
        return f"its reference does not define {problem.defines}"
    return ""


def unfinished(problem: Problem, config: RulesConfig) -> str:
    """A body that says nothing, or words that say so."""
    if any(is_stub(node) for node in _asked(problem)):
        return "its reference has an empty body"
    found = _TODO.search(problem.reference or "")
    return f"its reference says {found.group()!r}" if found else ""


def only_prints(problem: Problem, config: RulesConfig) -> str:
    """It prints, and no statement of its own returns or yields a value or changes an argument."""
    for function in _asked(problem):
        nodes = list(ast.walk(function))
        gives = any(isinstance(node, ast.Return | ast.Yield | ast.YieldFrom) and (not isinstance(node, ast.Return) or _says(node.value)) for node in nodes)
        gives = gives or any(isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store) for node in nodes)
        if not gives and any(_calls(node, "print") for node in nodes):
            return "it prints and returns nothing"
    return ""


def reads_input(problem: Problem, config: RulesConfig) -> str:
    """A function whose arguments are given has nobody to ask."""
    return "it calls input()" if any(_calls(node, "input") for function in _asked(problem) for node in ast.walk(function)) else ""


def not_english(problem: Problem, config: RulesConfig) -> str:
    """Latin letters are not English, but the others are not."""
    letters = [sign for sign in problem.instruction if sign.isalpha()]
    latin = sum(sign.isascii() or unicodedata.name(sign, "").startswith("LATIN") for sign in letters)
    return f"{latin} of {len(letters)} letters are Latin" if latin < config.english_share * len(letters) else ""


def garbled(problem: Problem, config: RulesConfig) -> str:
    """Replacement signs, and UTF-8 that was read as Latin-1."""
    found = _GARBLED.search(problem.instruction)
    return f"{problem.instruction[max(0, found.start() - 20) : found.end() + 5]!r}" if found else ""


def repeated_text(problem: Problem, config: RulesConfig) -> str:
    """Examples may look alike, so only words count."""
    tokens = re.findall(r"[^\W\d_]+", problem.instruction.lower())
    runs = Counter(tuple(tokens[start : start + _RUN]) for start in range(len(tokens) - _RUN + 1))
    again = runs.total() - len(runs)
    if len(tokens) < _ENOUGH or again <= config.repeated_share * runs.total():
        return ""
    return f"{again} of {runs.total()} runs of words, such as {' '.join(max(runs, key=lambda run: runs[run]))!r}"


def refusal(problem: Problem, config: RulesConfig) -> str:
    """The phrases assistants excuse themselves with."""
    found = _REFUSAL.search(problem.instruction) or _REFUSAL.search(problem.reference or "")
    return repr(found.group()) if found else ""


def prompt_words(problem: Problem, config: RulesConfig) -> str:
    """The words of prompts that ask for a task to be rewritten."""
    found = _PROMPT.search(problem.instruction)
    return repr(found.group()) if found else ""


def answer_in_statement(problem: Problem, config: RulesConfig) -> str:
    """The statements of the body, in whatever white space, when there are enough of them to mean something."""
    said = "".join(problem.instruction.split())
    for function in _asked(problem):
        body = [ast.unparse(node) for node in function.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
        text = "".join("".join(body).split())
        if len(text) >= _ENOUGH and text in said:
            return f"{body[0].splitlines()[0]!r} and all that follows"
    return ""


RULES: Mapping[str, tuple[str, Callable[[Problem, RulesConfig], str]]] = {
    "no_code": ("nothing in it asks for a program", no_code),
    "too_short": ("it is too short", too_short),
    "too_long": ("it is too long", too_long),
    "not_function_level": ("it is not function-level", not_function_level),
    "no_program": ("its reference is no program", no_program),
    "unfinished": ("its reference is unfinished", unfinished),
    "only_prints": ("its reference only prints", only_prints),
    "reads_input": ("its reference waits for input", reads_input),
    "not_english": ("its statement is not English", not_english),
    "garbled": ("its statement is garbled", garbled),
    "repeated_text": ("its statement repeats itself", repeated_text),
    "refusal": ("it holds a refusal", refusal),
    "prompt_words": ("it speaks of its own prompt", prompt_words),
    "answer_in_statement": ("its statement holds the answer", answer_in_statement),
}
"""Every rule: its key in a recipe, its words in findings, and what looks; from the gravest to the lightest is not said here: each is reason enough."""


def broken(problem: Problem, config: RulesConfig) -> Iterator[Finding]:
    """Every rule that a problem breaks and that is not off."""
    for rule, (words, look) in RULES.items():
        action = config.action(rule)
        detail = look(problem, config) if action != "off" else ""
        if detail:
            yield Finding(problem.name, words, detail, action)


@lru_cache(maxsize=8)
def _parsed(source: str) -> ast.Module | None:
    """The tree of a reference, which several rules look at and none changes."""
    return parse(source)


def _asked(problem: Problem) -> list[FunctionNode]:
    """The function or method of the reference that the tests call; nothing where the tests run the program."""
    tree = _parsed(problem.reference) if problem.reference is not None and problem.entry_point is not None else None
    name = (problem.entry_point or "").rpartition("().")[2]
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name] if tree else []


def _defines(node: ast.AST, name: str) -> bool:
    match node:
        case ast.FunctionDef(name=found) | ast.AsyncFunctionDef(name=found) | ast.ClassDef(name=found):
            return found == name
        case ast.Name(id=found, ctx=ast.Store()):
            return found == name
        case ast.alias(name=found, asname=other):
            return name in (found, other)
        case _:
            return False


def _says(value: ast.expr | None) -> bool:
    return value is not None and not (isinstance(value, ast.Constant) and value.value is None)


def _calls(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
