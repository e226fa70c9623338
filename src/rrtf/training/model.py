"""The model to train: load, choose what is trained, find decoder and head, and hand it back as an ordinary model.

Nothing about an architecture is taken on trust: before training, the decoder-and-head path is compared with the model's own logits, and the shared-prompt
layout with separate sequences. A model that fails the first is refused; one that fails the second is trained on separate sequences.
Not here: finding and saving checkpoints (`rrtf.checkpoints`).
"""

# transformers and peft are untyped where models are concerned.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportPrivateUsage=false

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from rrtf.checkpoints import fast_dtype
from rrtf.errors import EngineError, missing_extra
from rrtf.training.attention import TREE_ATTENTION, register
from rrtf.training.batches import Group, Pack
from rrtf.training.config import LoraConfig, TrainConfig, TrainHow
from rrtf.training.logprobs import Head
from rrtf.training.precision import Weights, split_weights
from rrtf.training.scoring import Inputs, Scorer, separate_inputs, shared_inputs

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class Student:
    """A model being trained."""

    causal: PreTrainedModel
    """The model itself; with adapters inside while LoRA trains."""
    adapted: Any
    """The peft wrapper around `causal`; None for full fine-tuning."""
    weights: Weights
    scorer: Scorer
    attention: str
    """The attention implementation the model came with, put back before saving."""


def prepare(causal: PreTrainedModel, config: TrainConfig, how: TrainHow, device: str, probe: Group) -> Student:
    """Ready `causal` (float32 weights, moved to `device`) for training. `probe` is any problem of the data, for the comparisons. Raises `EngineError`."""
    longest = getattr(causal.config, "max_position_embeddings", None)
    if isinstance(longest, int) and config.max_tokens > longest:
        raise EngineError(f"max_tokens is {config.max_tokens}, but the model has {longest} positions.", hint=f"Set max_tokens to {longest} or less.")
    causal.to(device)  # pyright: ignore[reportCallIssue, reportArgumentType] - the stub names torch.device only
    causal.eval()
    head = _head(causal)
    attention = str(causal.config._attn_implementation)
    place = torch.device(device)
    _check_head(causal, head, probe, place)
    shared = _shared_prompt_works(causal, probe, place)
    adapted = None if config.lora is None else _with_adapters(causal, config.lora, config.seed)
    if config.lora is None:
        causal.requires_grad_(True)
    if how.gradient_checkpointing:
        causal.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    causal.train()
    weights = split_weights(causal, _precision(how, device))
    scorer = Scorer(
        decoder=lambda inputs: decode(causal, inputs),
        head=lambda: _head(causal),
        shared_prompt=shared,
        chunk=how.head_chunk_tokens,
        device=place,
    )
    return Student(causal, adapted, weights, scorer, attention)


def finished(student: Student) -> PreTrainedModel:
    """The trained model: adapters merged into the weights, the attention it came with, in eval mode."""
    student.weights.restore()
    causal = cast("PreTrainedModel", student.adapted.merge_and_unload()) if student.adapted is not None else student.causal
    causal.set_attn_implementation(student.attention)
    causal.eval()
    return causal


def decode(causal: PreTrainedModel, inputs: Inputs) -> Tensor:
    """Last hidden states (B, L, H), after the final norm."""
    decoder = cast("Any", causal.base_model)
    extra = {} if inputs.layout is None else {"rrtf_layout": inputs.layout}
    out = decoder(input_ids=inputs.token_bl, attention_mask=inputs.mask_bl, position_ids=inputs.position_bl, use_cache=False, **extra)
    return cast("Tensor", out.last_hidden_state)


def _precision(how: TrainHow, device: str) -> torch.dtype:
    name = fast_dtype(device) if how.precision == "auto" else {"bf16": "bfloat16", "fp32": "float32"}[how.precision]
    return torch.bfloat16 if name == "bfloat16" else torch.float32


def _head(causal: PreTrainedModel) -> Head:
    layer = causal.get_output_embeddings()
    if not isinstance(layer, nn.Linear) or causal.base_model is causal:
        raise EngineError(
            f"{type(causal).__name__} has no plain linear head behind its decoder.", why="Training computes log-probabilities from hidden states and head."
        )
    config = cast("Any", causal.config)
    scale = float(getattr(config, "logit_scale", None) or 1.0) / float(getattr(config, "logits_scaling", None) or 1.0)
    softcap = getattr(config, "final_logit_softcapping", None)
    return Head(layer.weight, layer.bias, scale, None if softcap is None else float(softcap))


def _check_head(causal: PreTrainedModel, head: Head, probe: Group, device: torch.device) -> None:
    """Refuse a model whose logits are not what decoder and head give: it does something to them that we do not know."""
    tokens = torch.tensor([(*probe.prompt, *probe.answers[0])[:16]], device=device)
    with torch.no_grad():
        own = cast("Tensor", cast("Any", causal)(input_ids=tokens, use_cache=False).logits).float()
        hidden = cast("Tensor", cast("Any", causal.base_model)(input_ids=tokens, use_cache=False).last_hidden_state)
        ours = hidden @ head.weight.t() + (0.0 if head.bias is None else head.bias)
        ours = head.scale * ours.float()
        if head.softcap is not None:
            ours = head.softcap * torch.tanh(ours / head.softcap)
    if not bool(own.isfinite().all()):
        raise EngineError("The model's logits are not finite before training.", why="Its weights are damaged.", hint="Save or download the model again.")
    if own.shape != ours.shape or not torch.allclose(own, ours, rtol=1e-3, atol=1e-3 * float(own.abs().max())):
        raise EngineError(
            f"The logits of {type(causal).__name__} are not its head applied to its last hidden states.",
            why="Log-probabilities computed from them would be wrong.",
            hint="This architecture needs support in rrtf.training.model.",
        )


def _shared_prompt_works(causal: PreTrainedModel, probe: Group, device: torch.device) -> bool:
    """Switch `causal` to the shared-prompt layout if it gives the hidden states of separate sequences; leave it as it is otherwise.

    Catches what a list of architectures would miss: recurrent layers, positions that are not taken from `position_ids`,
    attention outside transformers' interface.
    """
    if not getattr(causal, "_supports_attention_backend", False):
        return False
    attention = str(causal.config._attn_implementation)
    # Two answers that differ from the first token on, so that one leaking into the other shows.
    answer = (*probe.answers[0], *probe.prompt)[:12]
    group = Group("probe", probe.prompt[-24:], (answer, answer[::-1]), (), (0, 1))
    pack = Pack(((0, (0, 1)),))
    register()
    with torch.no_grad():
        apart = separate_inputs([group], pack, device)
        together = shared_inputs([group], pack, device)
        expected = decode(causal, apart).flatten(0, 1)[apart.pick_t]
        try:
            causal.set_attn_implementation(TREE_ATTENTION)
            given = decode(causal, together).flatten(0, 1)[together.pick_t]
        except (ValueError, TypeError):
            # The attention of this model does not pass our layout through, or takes a mask of its own.
            causal.set_attn_implementation(attention)
            return False
        if torch.allclose(given, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max())):
            return True
        causal.set_attn_implementation(attention)
        return False


def _with_adapters(causal: PreTrainedModel, lora: LoraConfig, seed: int) -> Any:
    try:
        from peft import LoraConfig as PeftConfig
        from peft import get_peft_model
    except ModuleNotFoundError as error:
        raise missing_extra("train", "peft") from error
    torch.manual_seed(seed)
    settings = PeftConfig(
        r=lora.rank, lora_alpha=cast("int", lora.alpha), lora_dropout=lora.dropout, target_modules=list(lora.targets) or "all-linear", task_type="CAUSAL_LM"
    )
    try:
        with warnings.catch_warnings():
            # peft asks a transformers 5 model for an attribute under its old name.
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
            return get_peft_model(causal, settings)
    except ValueError as error:
        raise EngineError(f"LoRA cannot be added to {type(causal).__name__}: {error}", hint="Name linear layers of this model in lora.targets.") from error
