"""GGUF files as ordinary Hugging Face models: dequantised weights that can be trained and saved, and the tokenizer they were trained with.

A file is converted once, into `~/.cache/rrtf`. Not here: finding files, checking and writing folders (`rrtf.checkpoints`), writing GGUF.
"""

# Hugging Face's loaders take and return untyped keyword arguments and tensors.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import contextlib
import io
import mmap
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rrtf.errors import EngineError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_DIGIT_SPLITTING = frozenset({"smollm", "starcoder", "refact", "command-r", "codeshell"})
"""GGUF pre-tokenizer names whose vocabulary was learned with every digit apart (llama.cpp's `llama-vocab.cpp`)."""


def load(
    file: Path,
    digest: str,
    dtype: torch.dtype,
    save: Callable[[PreTrainedModel, PreTrainedTokenizerBase, Path], None],
    inspect: Callable[[str, Path], None],
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Read a GGUF, whose content has this `digest`, through its converted copy in the cache folder, made on the first use.

    transformers needs 10 to 25 seconds to read 135M parameters from GGUF and half a second from the copy, and every stage of a run loads the student.
    `save` writes a folder, `inspect` refuses a damaged one.
    """
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    copy = _cache_home() / f"{file.stem}-{digest}-transformers-{transformers.__version__}"
    if not (copy / "config.json").is_file():
        model, tokenizer = convert(file)
        with contextlib.suppress(EngineError):  # no room or no right to write: the next load converts again
            save(model, tokenizer, copy)
        return model.to(dtype), tokenizer  # pyright: ignore[reportCallIssue, reportArgumentType] - a decorator hides self
    inspect(str(copy), copy)
    return AutoModelForCausalLM.from_pretrained(copy, dtype=dtype), AutoTokenizer.from_pretrained(copy)


def _cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rrtf"


def convert(file: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The dequantised float32 weights in a fresh model: the one transformers builds from GGUF counts as quantised and refuses to be saved."""
    import torch
    import transformers
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    place: dict[str, Any] = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    how: dict[str, Any] = {"dtype": torch.float32}
    if hasattr(transformers, "GgufConfig"):  # newer versions may otherwise keep the blocks packed
        how["quantization_config"] = transformers.GgufConfig(dequantize=True)
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar has no switch
        loaded = AutoModelForCausalLM.from_pretrained(**place, **how)
    settings = {k: v for k, v in loaded.config.to_dict().items() if k not in ("quantization_config", "_name_or_path", "_model_name_or_path")}
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    model = cast("PreTrainedModel", AutoModelForCausalLM.from_config(config, dtype=torch.float32))
    model.load_state_dict(loaded.state_dict())
    model.tie_weights()
    model.generation_config = GenerationConfig.from_model_config(config)
    tokenizer = cast("PreTrainedTokenizerBase", AutoTokenizer.from_pretrained(**place))
    _mend_pretokenizer(tokenizer, file)
    return model, tokenizer


def _mend_pretokenizer(tokenizer: PreTrainedTokenizerBase, gguf: Path) -> None:
    """Split digits before the byte-level pieces where the vocabulary was learned so.

    transformers' GGUF converter knows only the GPT-2 split, which tokenises spaces before a digit (indented numbers, `x =  1`) unlike the original.
    """
    if _gguf_text(gguf, "tokenizer.ggml.pre") not in _DIGIT_SPLITTING:
        return
    from tokenizers import pre_tokenizers

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
        )


def _gguf_text(gguf: Path, key: str) -> str:
    """A text value of the file's metadata, or empty. GGUF layout: key, uint32 type (8 is text), uint64 length, bytes."""
    needle = struct.pack("<Q", len(key)) + key.encode() + struct.pack("<I", 8)
    with gguf.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(needle)
        if at < 0:
            return ""
        (length,) = struct.unpack_from("<Q", data, at + len(needle))
        start = at + len(needle) + 8
        return data[start : start + length].decode()
