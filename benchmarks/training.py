"""Speed and peak memory of one training step, each setting in a process of its own; prints a Markdown table.

    python benchmarks/training.py [--model NAME] [--steps N] [--only PART_OF_NAME] [--naive]

The batch: 4 problems of 1 teacher and 3 student answers, 150 answer tokens each, behind prompts of 100 tokens; full fine-tuning unless the row says otherwise.
`--naive` adds the usual way (padded rows, full-vocabulary log-softmax, autocast), which takes more than 10 GB. Tokens are those of the answers with
their prompts, a prompt counted once per answer in every row. On a shared machine compare the CPU column: seconds of processor time per step, which other
processes disturb less than the clock. Set OMP_NUM_THREADS.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

PROBLEMS, ANSWERS, PROMPT_TOKENS, ANSWER_TOKENS = 4, 4, 100, 150
SETTINGS: dict[str, dict[str, dict[str, object]]] = {
    "rrtf bf16": {},
    "rrtf bf16, 2048 tokens at once": {"how": {"micro_batch_tokens": 2048}},
    "rrtf bf16, 512 tokens at once (pieces)": {"how": {"micro_batch_tokens": 512}},
    "rrtf fp32": {"how": {"precision": "fp32"}},
    "rrtf-bt bf16": {"config": {"method": "rrtf-bt"}},
    "sft bf16 (teacher answers only)": {"config": {"method": "sft"}},
    "rrtf bf16, LoRA": {"config": {"lora": {}}},
}
NAIVE = "naive: padded, full log-softmax, autocast"


def main() -> None:
    """Run every setting and print the table."""
    parser = argparse.ArgumentParser(description="Speed and peak memory of one training step.")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--steps", type=int, default=1, help="measured steps, after one that warms up")
    parser.add_argument("--only", default="", help="part of the names of the settings to run")
    parser.add_argument("--naive", action="store_true")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker is not None:
        worker(asked.worker, asked.model, asked.steps)
        return
    print("| setting | CPU s per step | tokens per CPU s | wall s per step | tokens/s | peak RSS GB | active |")
    print("|---|---|---|---|---|---|---|")
    for name in [*SETTINGS, *([NAIVE] if asked.naive else [])]:
        if asked.only in name:
            command = [sys.executable, __file__, "--worker", name, "--model", asked.model, "--steps", str(asked.steps)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            r = json.loads(done.stdout.splitlines()[-1])
            rates = f"{r['cpu']:.1f} | {r['tokens'] / r['cpu']:.0f} | {r['wall']:.1f} | {r['tokens'] / r['wall']:.0f}"
            print(f"| {name} | {rates} | {r['peak_gb']:.1f} | {r['active']:.0%} |", flush=True)


def worker(name: str, model: str, steps: int) -> None:
    """Measure one setting in this process."""
    step = naive_step(model) if name == NAIVE else our_step(name, model)
    step()
    cpu, wall = time.process_time(), time.perf_counter()
    active = [step() for _ in range(steps)][-1]
    cpu, wall = (time.process_time() - cpu) / steps, (time.perf_counter() - wall) / steps
    tokens = PROBLEMS * ANSWERS * (PROMPT_TOKENS + ANSWER_TOKENS)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(json.dumps({"cpu": cpu, "wall": wall, "tokens": tokens, "peak_gb": peak, "active": active}))


def our_step(name: str, model: str) -> Callable[[], float]:
    """One optimiser step with `rrtf.training`; gives the share of active hinges."""
    from accelerate import Accelerator

    from rrtf import checkpoints
    from rrtf.records import Pair
    from rrtf.training import TrainConfig, TrainHow, loop
    from rrtf.training.batches import Group
    from rrtf.training.losses import objective
    from rrtf.training.model import prepare

    config = TrainConfig.model_validate(SETTINGS[name].get("config", {}))
    how = TrainHow.model_validate({"device": "cpu"} | SETTINGS[name].get("how", {}))
    groups: list[Group] = []
    for number, (prompt, *answers) in enumerate(token_ids()):
        kept = answers[:1] if config.method == "sft" else answers
        pairs = tuple(Pair(0, i, 1.0) for i in range(1, len(kept)))
        groups.append(Group(f"p-{number}", tuple(prompt), tuple(map(tuple, kept)), pairs, (0,)))
    student = prepare(checkpoints.load(model, "float32", "cpu").model, config, how, "cpu", groups[0])
    optimizer = loop._optimizer(student.weights.master, config)
    shares = [1.0]
    accelerator, chosen = Accelerator(cpu=True), objective(config)

    def step() -> float:
        metrics, _ = loop._step(accelerator, optimizer, student.weights, student.scorer, groups, chosen, config, how, 0, shares[-1])
        shares.append(metrics.summary()["active_share"])
        return shares[-1]

    return step


def naive_step(model: str) -> Callable[[], float]:
    """The same loss the usual way: every answer a padded row, all logits at once."""
    import torch

    from rrtf import checkpoints

    causal = checkpoints.load(model, "float32", "cpu").model
    causal.train()
    optimizer = torch.optim.AdamW(causal.parameters(), lr=5e-5)
    rows = torch.tensor([[*prompt, *answer] for prompt, *answers in token_ids() for answer in answers])

    def step() -> float:
        with torch.autocast("cpu", torch.bfloat16):
            logits = causal(input_ids=rows).logits
        logprob = logits[:, PROMPT_TOKENS - 1 : -1].float().log_softmax(-1).gather(-1, rows[:, PROMPT_TOKENS:, None]).squeeze(-1)
        p = logprob.mean(-1).view(PROBLEMS, ANSWERS)
        gap = p[:, :1] - p[:, 1:]
        (-gap.clamp(max=0).sum() - logprob.view(PROBLEMS, ANSWERS, -1)[:, 0].sum()).div(PROBLEMS).backward()
        torch.nn.utils.clip_grad_norm_(causal.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return float((gap < 0).float().mean())

    return step


def token_ids() -> Sequence[list[list[int]]]:
    """Prompt and answers of every problem. Random tokens: about half of the hinges are active at the start."""
    source = random.Random(0)

    def ids(count: int, most: int) -> list[int]:
        return [source.randrange(3, most) for _ in range(count)]

    return [[ids(PROMPT_TOKENS, 20000), *(ids(ANSWER_TOKENS, 20000) for _ in range(ANSWERS))] for _ in range(PROBLEMS)]


if __name__ == "__main__":
    main()
