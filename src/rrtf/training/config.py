"""What training is asked for (`TrainConfig`, bears identity) and how to compute it (`TrainHow`, does not). Not here: anything that needs torch."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Method = Literal["rrtf", "rrtf-bt", "sft"]


class LoraConfig(BaseModel):
    """Train small adapters beside frozen weights; they are merged into the weights when the model is saved."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    rank: int = Field(default=16, ge=1)
    """Rank of each adapter."""
    alpha: float = Field(default=32.0, gt=0)
    """Scale of the adapters: their output is multiplied by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of adapter inputs set to zero while training."""
    targets: tuple[str, ...] = ()
    """Names of the linear layers that get an adapter, such as `q_proj`. Empty: every linear layer except the head."""


class TrainConfig(BaseModel):
    """What is learned, in which order and how fast. Two equal configs on equal data and machine give equal weights."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    method: Method = "rrtf"
    """`rrtf`: the paper's hinge on the ranking plus cross-entropy on teacher answers (section 3.4). `rrtf-bt`: the same with a smooth
    (Bradley-Terry) rank term. `sft`: the cross-entropy alone, the baseline that a ranking method must beat."""
    epochs: int = Field(default=3, ge=1)
    """Passes over the problems. The paper trains 6 and takes its best checkpoint after 3 to 4 (section 4.2)."""
    learning_rate: float = Field(default=5e-5, gt=0)
    """Highest learning rate. The paper names none; 5e-5 fits full fine-tuning of a 135M model, adapters want about 5 times as much."""
    batch_problems: int = Field(default=8, ge=1)
    """Problems per optimiser step, whatever fits into memory at once (paper: 512 of 68k; small sets need small batches to take enough steps)."""
    warmup: float = Field(default=0.05, ge=0, le=1)
    """Share of the steps in which the learning rate rises from 0."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate falls to 0 after the warm-up."""
    weight_decay: float = Field(default=0.0, ge=0)
    """AdamW's decay of weight matrices; biases and norms never decay."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """The gradient of a step is scaled down to this norm when it is longer."""
    ce_reduction: Literal["sum", "mean"] = "sum"
    """`sum`: the paper's cross-entropy, a sum over answer tokens. `mean`: divided by a problem's number of answer tokens, the scale of the rank term,
    which is made of per-token means."""
    rank_weight: float = Field(default=1.0, ge=0)
    """Factor on the rank term (paper: 1)."""
    temperature: float = Field(default=1.0, gt=0)
    """`rrtf-bt` only: how smooth the hinge is, in nats per token. Towards 0 it becomes the paper's hinge."""
    margin: float = 0.0
    """`rrtf-bt` only: how much likelier per token, in nats, the better answer should be."""
    lora: LoraConfig | None = None
    """Adapters instead of full fine-tuning; absent: every weight is trained."""
    max_tokens: int = Field(default=1024, ge=2)
    """Longest prompt and answer together, in tokens."""
    over_long: Literal["drop", "truncate"] = "drop"
    """What happens to an answer beyond `max_tokens`: left out with its pairs, or cut at the end (then without the end-of-answer token). Both are counted."""
    seed: int = 0
    """Fixes the order of the problems, the adapters' start and dropout."""


class TrainHow(BaseModel):
    """How to compute it. Nothing here changes what is asked for; rounding and speed differ."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    device: str = "auto"
    """`auto`: a CUDA device where there is one, else the processor."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Of forward and backward passes; master weights, summed gradients, optimiser state, log-softmax and losses are always
    float32. `auto`: bf16 where the hardware computes it fast."""
    micro_batch_tokens: int = Field(default=1024, ge=1)
    """Tokens whose activations are held at once: the knob for memory. A problem that does not fit is computed in pieces, with the same gradient."""
    head_chunk_tokens: int = Field(default=128, ge=1)
    """Answer tokens whose logits exist at once (each takes 4 bytes x vocabulary)."""
    checkpoint_every: int = Field(default=50, ge=1)
    """Steps between checkpoints. A killed run repeats at most this many steps."""
    gradient_checkpointing: bool = False
    """Recompute activations layer by layer: about a third more time, a fraction of the memory."""
