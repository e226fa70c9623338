"""Leaks planted on purpose: tasks of HumanEval and MBPP as training problems, disguised in every way we know of.

Some disguises are made by a program (other names, a class or a helper around the solution), the others by hand, as somebody would who rewrites a solution. Only
`verbatim` and `statement alone` keep the words of the task. The MBPP rows are from its training and validation splits (Austin et al. 2021, CC BY 4.0).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rrtf.benchmarks.humaneval import HumanEval
from rrtf.benchmarks.mbpp import problem_of
from rrtf.extraction.syntax import bare_text, bound
from rrtf.records import CallTest, Problem

_MBPP = [
    {
        "task_id": 520,
        "text": "Write a function to find the lcm of the given array elements.",
        "code": """\
def find_lcm(num1, num2):
    if num1 > num2:
        num = num1
        den = num2
    else:
        num = num2
        den = num1
    rem = num % den
    while rem != 0:
        num = den
        den = rem
        rem = num % den
    gcd = den
    lcm = int(int(num1 * num2) / int(gcd))
    return lcm
def get_lcm(l):
    num1 = l[0]
    num2 = l[1]
    lcm = find_lcm(num1, num2)
    for i in range(2, len(l)):
        lcm = find_lcm(lcm, l[i])
    return lcm
""",
        "test_list": ["assert get_lcm([2, 7, 3, 9, 4]) == 252", "assert get_lcm([1, 2, 8, 3]) == 24", "assert get_lcm([3, 8, 4, 10, 5]) == 120"],
    },
    {
        "task_id": 530,
        "text": "Write a function to find the ration of negative numbers in an array of integers.",
        "code": """\
def negative_count(nums):
    n = len(nums)
    n1 = 0
    for x in nums:
        if x < 0:
            n1 += 1
        else:
            None
    return round(n1/n,2)
""",
        "test_list": [
            "assert negative_count([0, 1, 2, -1, -5, 6, 0, -3, -2, 3, 4, 6, 8])==0.31",
            "assert negative_count([2, 1, 2, -1, -5, 6, 4, -3, -2, 3, 4, 6, 8])==0.31",
            "assert negative_count([2, 4, -6, -9, 11, -12, 14, -5, 17])==0.44",
        ],
    },
    {
        "task_id": 700,
        "text": "Write a function to count the number of elements in a list which are within a specific range.",
        "code": """\
def count_range_in_list(li, min, max):
    ctr = 0
    for x in li:
        if min <= x <= max:
            ctr += 1
    return ctr
""",
        "test_list": [
            "assert count_range_in_list([10,20,30,40,40,40,70,80,99],40,100)==6",
            "assert count_range_in_list(['a','b','c','d','e','f'],'a','e')==5",
            "assert count_range_in_list([7,8,9,15,17,19,45],15,20)==3",
        ],
    },
    {
        "task_id": 740,
        "text": "Write a function to convert the given tuple to a key-value dictionary using adjacent elements.",
        "code": """\
def tuple_to_dict(test_tup):
  res = dict(test_tup[idx : idx + 2] for idx in range(0, len(test_tup), 2))
  return (res)
""",
        "test_list": [
            "assert tuple_to_dict((1, 5, 7, 10, 13, 5)) == {1: 5, 7: 10, 13: 5}",
            "assert tuple_to_dict((1, 2, 3, 4, 5, 6)) == {1: 2, 3: 4, 5: 6}",
            "assert tuple_to_dict((7, 8, 9, 10, 11, 12)) == {7: 8, 9: 10, 11: 12}",
        ],
    },
]

_ENGLISH = [
    "apple",
    "river",
    "stone",
    "cloud",
    "lamp",
    "boat",
    "tree",
    "horse",
    "glove",
    "cup",
    "road",
    "bird",
    "clock",
    "fish",
    "door",
    "hill",
    "rope",
    "wind",
    "moon",
    "sand",
]
_GERMAN = [
    "zahl_liste",
    "schwelle",
    "ergebnis",
    "grenze",
    "wert",
    "naechster",
    "zaehler",
    "summe",
    "laenge",
    "zeichen",
    "wort",
    "stelle",
    "anfang",
    "ende",
    "rest",
    "teiler",
    "paar",
    "reihe",
    "spalte",
    "kehrwert",
]
_PINYIN = [
    "shuzu",
    "yuzhi",
    "jieguo",
    "bianjie",
    "shuzhi",
    "xiayige",
    "jishuqi",
    "zonghe",
    "changdu",
    "zifu",
    "danci",
    "weizhi",
    "kaishi",
    "jieshu",
    "yushu",
    "yinshu",
    "duizi",
    "hang",
    "lie",
    "daoshu",
]


@dataclass(frozen=True, slots=True)
class Plant:
    """A training problem that is a task of a benchmark in disguise."""

    kind: str
    task: str
    problem: Problem


def benchmark() -> list[Problem]:
    """The tasks that plants are made from: all of HumanEval, and a few of MBPP."""
    return [*HumanEval().problems(), *(problem_of(row, "the plants")[1] for row in _MBPP)]


def plants() -> list[Plant]:
    """Every plant."""
    tasks = {task.name: task for task in benchmark()}
    return list(_plants(tasks))


def _plants(tasks: dict[str, Problem]) -> Iterator[Plant]:
    for name in ("HumanEval/0", "HumanEval/16", "HumanEval/23", "HumanEval/95", "MBPP/700"):
        yield _plant("verbatim", tasks[name], tasks[name].instruction, tasks[name].reference)
    for name in ("HumanEval/1", "HumanEval/32", "HumanEval/75", "HumanEval/129", "MBPP/530"):
        yield _plant("statement alone", tasks[name], tasks[name].instruction, None)
    for name, words in PARAPHRASES.items():
        yield _plant("paraphrased statement, same solution", tasks[name], words, _bare(tasks[name].reference))
    for kind, names, vocabulary in (
        ("renamed", ("HumanEval/5", "HumanEval/18", "HumanEval/59", "HumanEval/76", "MBPP/520", "MBPP/740"), _ENGLISH),
        ("German names and statement", ("HumanEval/69", "HumanEval/109", "HumanEval/128", "MBPP/530"), _GERMAN),
        ("pinyin names, Chinese statement", ("HumanEval/0", "HumanEval/20", "HumanEval/94", "HumanEval/119"), _PINYIN),
    ):
        words = {"renamed": "Do it.", "German names and statement": "Schreibe eine Funktion.", "pinyin names, Chinese statement": "写一个函数。"}[kind]
        for name in names:
            source, entry = _renamed(tasks[name], vocabulary)
            yield _plant(kind, tasks[name], words, source, entry)
    for name in ("HumanEval/40", "HumanEval/87", "HumanEval/142", "MBPP/700"):
        source, entry = _renamed(tasks[name], _ENGLISH)
        yield _plant("wrapped in a class", tasks[name], "Complete the method.", _in_class(source, entry), f"Solution().{entry}")
    for name in ("HumanEval/46", "HumanEval/72", "HumanEval/126", "MBPP/740"):
        source, entry = _renamed(tasks[name], _ENGLISH)
        arguments = "*args"
        wrapped = f"{source}\n\ndef answer({arguments}):\n    found = {entry}({arguments})\n    return found\n"
        yield _plant("wrapped in a helper", tasks[name], "Answer it.", wrapped, "answer")
    for kind, name, source in BY_HAND:
        entry = [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef | ast.ClassDef)][-1]
        yield _plant(kind, tasks[name], "Write this function.", source, entry)


def _plant(kind: str, task: Problem, words: str, reference: str | None, entry_point: str | None = None) -> Plant:
    tests = task.tests[:3] if isinstance(task.tests[0], CallTest) else (CallTest("[]", "null"),)
    name = f"{kind}: {task.name}"
    return Plant(
        kind, task.name, Problem(name=name, instruction=words, prompt="", entry_point=entry_point or task.entry_point, tests=tests, reference=reference)
    )


def _bare(source: str | None) -> str:
    """A program without its docstrings."""
    tree = ast.parse(source or "")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.body = [part for part in node.body if bare_text(part) is None] or [ast.Pass()]
    return ast.unparse(tree)


def _renamed(task: Problem, vocabulary: Sequence[str]) -> tuple[str, str]:
    """The solution with every name of its own another one, and the new name of its entry point."""
    tree = ast.parse(_bare(task.reference))
    imported = {name for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom) for name in bound([node])}
    given = {name: vocabulary[number] for number, name in enumerate(sorted(bound([tree]) - imported))}
    for node in ast.walk(tree):
        for field in ("id", "arg", "name"):
            if isinstance(node, ast.Name | ast.arg | ast.FunctionDef) and getattr(node, field, None) in given:
                setattr(node, field, given[getattr(node, field)])
    return ast.unparse(tree), given[str(task.entry_point)]


def _in_class(source: str, entry: str) -> str:
    tree = ast.parse(source)
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    for function in functions:
        function.args.args.insert(0, ast.arg("self"))
    made = ast.ClassDef("Solution", [], [], list[ast.stmt](functions), [])
    for node in ast.walk(made):
        if isinstance(node, ast.Name) and node.id in {function.name for function in functions}:
            node.id = f"self.{node.id}"
    tree.body = [*(node for node in tree.body if node not in functions), made]
    return ast.unparse(ast.fix_missing_locations(tree))


PARAPHRASES = {
    "HumanEval/3": "An account starts with nothing in it. Tell whether a row of payments in and out ever puts it into the red.",
    "HumanEval/25": "Break a whole number up into primes, small ones in front, each as often as it divides.",
    "HumanEval/73": "At how many places would you have to exchange a number until a list reads the same from both ends?",
    "HumanEval/108": "Of some whole numbers, how many have digits that add up to more than nothing, where a minus belongs to the leading digit?",
    "HumanEval/146": "Count what is above ten and both begins and ends with an odd digit.",
}

BY_HAND = [
    (
        "reordered",
        "HumanEval/8",
        """\
def both(xs):
    product = 1
    total = 0
    for x in xs:
        product = x * product
        total = x + total
    return (total, product)
""",
    ),
    (
        "reordered",
        "HumanEval/72",
        """\
def flies(thing, most):
    if most < sum(thing):
        return False
    right = len(thing) - 1
    left = 0
    while right > left:
        if thing[right] != thing[left]:
            return False
        right -= 1
        left += 1
    return True
""",
    ),
    (
        "reordered",
        "HumanEval/94",
        """\
def digits_of_prime(values):
    index = 0
    best = 0

    def prime(value):
        for divisor in range(2, int(value ** 0.5) + 1):
            if not value % divisor != 0:
                return False
        return True

    while len(values) > index:
        if prime(values[index]) and best < values[index]:
            best = values[index]
        index = 1 + index
    return sum(int(d) for d in str(best))
""",
    ),
    (
        "reordered",
        "MBPP/520",
        """\
def all_of_them(row):
    second = row[1]
    first = row[0]
    out = pair(first, second)
    for place in range(2, len(row)):
        out = pair(out, row[place])
    return out


def pair(a, b):
    if b < a:
        low = b
        high = a
    else:
        low = a
        high = b
    left = high % low
    while left != 0:
        high = low
        low = left
        left = high % low
    return int(int(b * a) / int(low))


def smallest(row):
    return all_of_them(row)
""",
    ),
    (
        "reordered",
        "HumanEval/128",
        """\
def signs(row):
    if len(row) == 0:
        return None
    size = sum([abs(one) for one in row])
    sign = 0 if 0 in row else (-1) ** len(list(filter(lambda one: 0 > one, row)))
    return size * sign
""",
    ),
    (
        "constants with names",
        "HumanEval/36",
        """\
ELEVEN = 11
THIRTEEN = 13
LUCKY = '7'


def sevens(limit):
    numbers = []
    for k in range(limit):
        if k % ELEVEN == 0 or k % THIRTEEN == 0:
            numbers.append(k)
    digits = ''.join(list(map(str, numbers)))
    count = 0
    for d in digits:
        count += d == LUCKY
    return count
""",
    ),
    (
        "constants with names",
        "HumanEval/122",
        """\
MOST_DIGITS = 2


def small_ones(values, first):
    return sum(v for v in values[:first] if len(str(v)) <= MOST_DIGITS)
""",
    ),
    (
        "constants inlined",
        "HumanEval/64",
        """\
def vowels(text):
    found = sum(letter in 'aeiouAEIOU' for letter in text)
    if text[-1] == 'y' or text[-1] == 'Y':
        found += 1
    return found
""",
    ),
    (
        "constants inlined",
        "HumanEval/146",
        """\
def odd_ends(values):
    found = 0
    for value in values:
        if value > 10:
            shown = str(value)
            if int(shown[0]) in (1, 3, 5, 7, 9) and int(shown[-1]) in (1, 3, 5, 7, 9):
                found += 1
    return found
""",
    ),
    (
        "loop as comprehension",
        "HumanEval/14",
        """\
def beginnings(text):
    return [text[:end + 1] for end in range(len(text))]
""",
    ),
    (
        "loop as comprehension",
        "HumanEval/40",
        """\
def zero_triple(v):
    n = len(v)
    return any(v[a] + v[b] + v[c] == 0 for a in range(n) for b in range(a + 1, n) for c in range(b + 1, n))
""",
    ),
    (
        "loop as comprehension",
        "HumanEval/98",
        """\
def capitals(w):
    return len([k for k in range(0, len(w), 2) if w[k] in 'AEIOU'])
""",
    ),
    (
        "loop as comprehension",
        "HumanEval/104",
        """\
def odd_only(v):
    return sorted([n for n in v if not any(int(d) % 2 != 1 for d in str(n))])
""",
    ),
    (
        "loop as comprehension",
        "HumanEval/18",
        """\
def occurrences(s, t):
    return sum(1 for k in range(len(s) - len(t) + 1) if s[k:k + len(t)] == t)
""",
    ),
    (
        "comprehension as loop",
        "MBPP/740",
        """\
def pairs(t):
    out = {}
    for k in range(0, len(t), 2):
        out[t[k]] = t[k + 1]
    return out
""",
    ),
    (
        "comprehension as loop",
        "HumanEval/26",
        """\
from collections import Counter


def once(values):
    counts = Counter(values)
    out = []
    for value in values:
        if not counts[value] > 1:
            out.append(value)
    return out
""",
    ),
    (
        "comprehension as loop",
        "HumanEval/4",
        """\
def spread(values):
    middle = sum(values) / len(values)
    total = 0
    for value in values:
        total += abs(value - middle)
    return total / len(values)
""",
    ),
    (
        "comprehension as loop",
        "HumanEval/66",
        """\
def capital_codes(text):
    if not text:
        return 0
    total = 0
    for letter in text:
        if letter.isupper():
            total += ord(letter)
    return total
""",
    ),
    (
        "another algorithm",
        "HumanEval/57",
        """\
def one_way(v):
    steps = [b - a for a, b in zip(v, v[1:])]
    return min(steps + [0]) >= 0 or max(steps + [0]) <= 0
""",
    ),
    (
        "another algorithm",
        "HumanEval/31",
        """\
def only_itself(n):
    if n < 4:
        return n > 1
    if n % 2 == 0:
        return False
    d = 3
    while d * d <= n:
        if n % d == 0:
            return False
        d += 2
    return True
""",
    ),
    (
        "another algorithm",
        "HumanEval/9",
        """\
from itertools import accumulate


def highest_so_far(v):
    return list(accumulate(v, max))
""",
    ),
    (
        "another algorithm",
        "MBPP/520",
        """\
from math import lcm


def common(v):
    return lcm(*v)
""",
    ),
]
