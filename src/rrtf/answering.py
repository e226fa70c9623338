"""The one way a model answers problems, in training and in evaluation: prompt, completion, extraction, response.

Not here: judging the responses (`rrtf.sandbox.harness`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rrtf.identity import derive_seed
from rrtf.prompting import FormatName, extract_code, render
from rrtf.protocols import Generator, Sampling
from rrtf.records import Author, Completion, Problem, Response


@dataclass(frozen=True, slots=True)
class Decoding:
    """How a model is asked and decoded. `temperature` 0 is greedy."""

    prompting: FormatName
    temperature: float
    top_p: float
    max_new_tokens: int


def answers(
    problems: Mapping[str, Problem], wanted: Mapping[str, tuple[int, ...]], author: Author, decoding: Decoding, seed: int, model: Generator
) -> Iterator[Response]:
    """The `wanted` sample numbers of every problem (both keyed by problem id), in any order.

    Seeds follow from `seed`, the problem and the sample number alone, so order, batches and later samples change none of them.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for key in wanted:
        groups.setdefault(render(decoding.prompting, problems[key]).stop, []).append(key)
    for stop, keys in groups.items():
        sampling = Sampling(decoding.temperature, decoding.top_p, decoding.max_new_tokens, stop)
        prompts = (render(decoding.prompting, problems[key]).prompt(key, tuple(derive_seed(seed, key, index) for index in wanted[key])) for key in keys)
        for completion in model.generate(prompts, sampling):
            yield _response(problems[completion.key], completion, wanted[completion.key][completion.index], author, decoding.prompting)


def reference_response(problem: Problem) -> Response:
    """The problem's reference solution as an answer (the paper allows human experts as teachers). The problem must have one."""
    author, code = Author("reference", "reference", ""), problem.reference or ""
    return Response(problem_id=problem.id, author=author, index=0, text=code, code=code, rule="reference", stop="stop", completion_tokens=0)


def _response(problem: Problem, completion: Completion, index: int, author: Author, prompting: FormatName) -> Response:
    found = extract_code(prompting, problem, completion.text)
    return Response(
        problem_id=problem.id,
        author=author,
        index=index,
        text=completion.text,
        code=found.code,
        rule=found.rule,
        stop=completion.stop,
        completion_tokens=completion.completion_tokens,
    )
