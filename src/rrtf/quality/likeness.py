"""How alike problems are on paper: statements by shingles and 10-grams of words, references by their shape and by 10-grams of code tokens.

The rules, in full:

- *Words* are runs of letters, lower case, of the statement without its `>>>` examples; numbers do not count, or lists of numbers would look like sentences.
- Two statements are *near-duplicates* when the Jaccard similarity of their sets of three-word shingles is at least `NEAR`.
- Two references are *near-duplicates* when they are one program but for names, texts, annotations and docstrings, and that program is more than a line or two
  (`SHAPE_NODES` nodes of its syntax tree): tiny programs with other numbers in them are told apart by behaviour alone.
- Two statements *overlap* when they share ten words in a row.
- Two references *overlap* when they share ten code tokens in a row, counting names, keywords, numbers, texts and operators as they are written, and not
  brackets, commas, colons, dots, line ends, annotations, imports, docstrings or the name of the function.

Not here: likeness by behaviour (`rrtf.quality.behaviour`).
"""

from __future__ import annotations

import ast
import builtins
import io
import keyword
import re
import tokenize
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import combinations
from math import ceil

from rrtf.framing import alone
from rrtf.records import Problem

NEAR = 0.5
"""Jaccard similarity from which two statements count as near-duplicates."""
SHAPE_NODES = 25
"""Smaller programs are not compared by shape."""
GRAM = 10
"""Length of the n-grams that make an overlap: the length published decontaminations use."""

_PUNCTUATION = set("()[]{},:.;")
_KNOWN = set(dir(builtins)) | set(keyword.kwlist) | {"self"}


def words(problem: Problem) -> list[str]:
    """The words of a problem's statement."""
    lines: list[str] = []
    example = False
    for line in problem.instruction.splitlines():
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        if not example:
            lines.append(line)
    return re.findall(r"[^\W\d_]+", " ".join(lines).lower())


def shingles(tokens: Sequence[str], size: int = 3) -> frozenset[tuple[str, ...]]:
    """The set of runs of `size` tokens; of a shorter sequence, the sequence itself."""
    if len(tokens) < size:
        return frozenset([tuple(tokens)])
    return frozenset(tuple(tokens[start : start + size]) for start in range(len(tokens) - size + 1))


def code_tokens(source: str, entry_point: str | None) -> list[str]:
    """The tokens of a program that count for overlaps."""
    tree = _bare(ast.parse(source), entry_point)
    tree.body = [node for node in tree.body if not isinstance(node, (ast.Import, ast.ImportFrom))]
    kept = {tokenize.NAME, tokenize.NUMBER, tokenize.STRING, tokenize.OP}
    read = io.StringIO(ast.unparse(tree)).readline
    return [token.string for token in tokenize.generate_tokens(read) if token.type in kept and token.string not in _PUNCTUATION]


def shape(source: str, entry_point: str | None) -> tuple[str, int]:
    """A program but for names, texts, annotations and docstrings, and how many nodes its syntax tree has."""
    tree = _bare(ast.parse(source), entry_point)
    names: dict[str, str] = {}

    def place(name: str) -> str:
        return name if name in _KNOWN else names.setdefault(name, f"v{len(names)}")

    nodes = 0
    for node in ast.walk(tree):
        nodes += 1
        if isinstance(node, ast.Name):
            node.id = place(node.id)
        elif isinstance(node, ast.arg):
            node.arg = place(node.arg)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            node.name = place(node.name)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = "text"
    return ast.dump(tree), nodes


class _Bare(ast.NodeTransformer):
    """Takes away what says nothing about how a program works."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        plain = ast.Assign([node.target], node.value) if node.value else None
        return ast.fix_missing_locations(ast.copy_location(plain, node)) if plain else None


def _bare(tree: ast.Module, entry_point: str | None) -> ast.Module:
    """A copy without docstrings and annotations, with the entry point renamed."""
    bare = _Bare().visit(tree)
    for node in ast.walk(bare):
        if isinstance(node, ast.FunctionDef) and node.name == entry_point:
            node.name = "f"
        elif isinstance(node, ast.Name) and node.id == entry_point:
            node.id = "f"
    return bare


def near_statements(problems: Sequence[Problem]) -> Iterator[tuple[Problem, Problem, float]]:
    """Pairs whose statements are near-duplicates, with their similarity, in the order of the problems."""
    sets = [shingles(words(problem)) for problem in problems]
    for one, other in _candidates(sets):
        left, right = sets[one], sets[other]
        similarity = len(left & right) / len(left | right)
        if similarity >= NEAR:
            yield problems[one], problems[other], similarity


def _candidates(sets: Sequence[frozenset[tuple[str, ...]]]) -> list[tuple[int, int]]:
    """Every pair that may be similar enough, in order: two such sets share one of the rarest members of either (prefix filtering; Chaudhuri et al. 2006)."""
    counts = Counter(member for members in sets for member in members)
    places: dict[tuple[str, ...], list[int]] = defaultdict(list)
    found: set[tuple[int, int]] = set()
    for place, members in enumerate(sets):
        rarest = sorted(members, key=lambda member: (counts[member], member))[: len(members) - ceil(NEAR * len(members)) + 1]
        for member in rarest:
            found.update((earlier, place) for earlier in places[member])
            places[member].append(place)
    return sorted(found)


def near_references(problems: Sequence[Problem]) -> Iterator[tuple[Problem, Problem]]:
    """Pairs whose references are one program but for names and texts."""
    by_shape: dict[str, list[Problem]] = defaultdict(list)
    for problem in problems:
        if problem.reference is not None:
            own = alone(problem)
            form, nodes = shape(own.reference or "", own.entry_point)
            if nodes >= SHAPE_NODES:
                by_shape[form].append(problem)
    for alike in by_shape.values():
        yield from combinations(alike, 2)


def overlaps(problems: Sequence[Problem], benchmark: Sequence[Problem]) -> Iterator[tuple[Problem, Problem, str]]:
    """Problems that share ten words or ten code tokens in a row with a problem of a benchmark, with what they share."""
    yield from _shared(problems, benchmark, lambda problem: shingles(words(problem), GRAM))
    yield from _shared(problems, benchmark, _code_grams)


def _code_grams(problem: Problem) -> frozenset[tuple[str, ...]]:
    own = alone(problem)
    return frozenset[tuple[str, ...]]() if own.reference is None else shingles(code_tokens(own.reference, own.entry_point), GRAM)


def _shared(
    problems: Sequence[Problem], benchmark: Sequence[Problem], grams: Callable[[Problem], frozenset[tuple[str, ...]]]
) -> Iterator[tuple[Problem, Problem, str]]:
    theirs: dict[Hashable, Problem] = {gram: problem for problem in benchmark for gram in grams(problem) if len(gram) == GRAM}
    for problem in problems:
        for gram in sorted(grams(problem)):
            if gram in theirs:
                yield problem, theirs[gram], " ".join(gram)
                break
