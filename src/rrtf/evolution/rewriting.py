"""The request that makes a model rewrite a task, and the task in what it answers (paper, Figure 2, in our own words).

Not here: whether the result is any good (`elimination`).
"""

from __future__ import annotations

import re

from rrtf.evolution.methods import Method

LEAKS = ("#given task#", "#rewritten task#", "given task", "rewritten task")
"""Words of the request that must not appear in a result: they would mean that it is talking about its making."""
_FRAME = """You design tasks for programming contests. Rewrite the given task {aim}, in this way:

{words}

The rewritten task
- must be reasonable, and solvable by writing code;
- must stand alone: who reads it does not know the given task;
- must ask for one Python function, and say what it takes and what it returns;
- must keep tables, code and example input of the given task, changed where they no longer fit;
- should have about the length of the given task, {longer} more words at most;
- must not contain the words "given task" or "rewritten task".

Answer with the rewritten task alone.

#Given Task#
{task}

#Rewritten Task#
"""
_AIM = {"deeper": "into one that is a little harder", "wider": "into another one of about the same difficulty"}
_HEADING = re.compile(r"^\W*(?:the )?rewritten task\W*$", re.IGNORECASE)
_OPENING = re.compile(r"^(?:sure|certainly|of course|here(?: is|'s))\b[^\n]*:\s*\n+", re.IGNORECASE)


def request(task: str, method: Method, longer: int) -> str:
    """The user message. `longer`: words by which the result may be longer than the task."""
    return _FRAME.format(aim=_AIM[method.direction], words=method.words, longer=longer, task=task.strip())


def rewritten(answer: str) -> str:
    """The task in an answer, without a heading, an opening phrase or a frame around all of it; empty when there is nothing else."""
    text = _OPENING.sub("", answer.strip(), count=1)
    lines = text.split("\n")
    while lines and (not lines[0].strip() or _HEADING.match(lines[0])):
        lines.pop(0)
    text = "\n".join(line.rstrip() for line in lines).strip()
    for mark in ('"""', "'''", "```", '"'):
        if len(text) > 2 * len(mark) and text.startswith(mark) and text.endswith(mark) and text.count(mark) == 2:
            text = text.removeprefix(mark).removesuffix(mark).strip()
            text = text.removeprefix("text\n").removeprefix("markdown\n").strip() if mark == "```" else text
    return text
