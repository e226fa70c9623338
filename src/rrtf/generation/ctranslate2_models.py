"""Models in CTranslate2's format: a folder that was converted already, or any other model, converted once into the cache folder.

A conversion is compared with the model it was made of before it is used: a converter that does not know some detail of an architecture makes a model that
runs and talks nonsense. Not here: decoding (`rrtf.generation.ctranslate2`) and finding models (`rrtf.checkpoints`).
"""

# CTranslate2 and transformers are untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingTypeArgument=false, reportMissingTypeStubs=false

from __future__ import annotations

import contextlib
import json
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from rrtf import checkpoints
from rrtf.checkpoints import Checkpoint
from rrtf.errors import EngineError, missing_extra
from rrtf.generation import CTranslate2Compute
from rrtf.generation.jobs import context_of
from rrtf.generation.stopping import end_tokens
from rrtf.sqlite_files import folder_of

try:
    import ctranslate2
except ModuleNotFoundError as error:
    raise missing_extra("ctranslate2", error.name or "ctranslate2") from error

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_NOTE = "rrtf.json"
"""What we know of a conversion of ours and CTranslate2's own files do not say."""
_LIKE = 0.95
"""The least cosine between the logits of a model and of its conversion, over all positions together. Rounding to int8 costs the 135M student 0.003;
a wrong architecture gives numbers near 0."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A model that CTranslate2 can open, and what belongs to it."""

    folder: Path
    tokenizer: PreTrainedTokenizerBase
    vocabulary: tuple[str, ...]
    """The name of every token, by its number: what CTranslate2 is given."""
    ends: frozenset[int]
    context: int | None


def is_converted(folder: Path) -> bool:
    """Whether a folder holds a model in CTranslate2's format."""
    return (folder / "model.bin").is_file() and any((folder / name).is_file() for name in ("vocabulary.json", "vocabulary.txt"))


def find(name: str, compute: CTranslate2Compute) -> Converted:
    """The model `name` in CTranslate2's format, converted if need be. Raises `EngineError`."""
    source = checkpoints.resolve(name)
    if source.folder is not None and not source.gguf and is_converted(source.folder):
        return _opened(name, source.folder)
    # A conversion is as good as its weights and its converter, so both are in its name.
    home = cast("Path", folder_of("default")) / "ctranslate2"
    fixed = checkpoints.revision(name).removeprefix("sha256:")[:16]
    short = re.sub(r"[^\w.-]+", "-", Path(name).name)[:60]
    place = home / f"{short}-{fixed}-{compute}-ctranslate2-{ctranslate2.__version__}"
    if not (place / _NOTE).is_file():
        _convert(name, compute, place)
    return _opened(name, place)


def _convert(name: str, compute: CTranslate2Compute, place: Path) -> None:
    """Write the conversion beside its place first, then rename it, so that a half-written one never bears its name."""
    checkpoint = checkpoints.load(name, "float32")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".converting.", dir=place.parent))
    except OSError as error:
        raise _unwritable(name, place, error) from error
    try:
        model = aside / "model"
        ids, plain = _sample(checkpoint)  # beforehand: converters take a model to pieces
        _run_converter(name, compute, checkpoint, aside / "config", model)
        checkpoint.tokenizer.save_pretrained(model)
        _compare(name, ids, plain, model, compute)
        ends = sorted(end_tokens(checkpoint.tokenizer, checkpoint.model.generation_config))
        note = {"model": name, "compute": compute, "ends": ends, "context": context_of(checkpoint.model.config.get_text_config())}
        (model / _NOTE).write_text(json.dumps(note), encoding="utf-8")
        with contextlib.suppress(OSError):  # another process was faster: its conversion is the same
            model.rename(place)
    except OSError as error:
        raise _unwritable(name, place, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    if not (place / _NOTE).is_file():
        raise EngineError(f"The folder {str(place)!r} is in the way: it holds no whole conversion.", hint="Delete it, and run again.")


def _run_converter(name: str, compute: CTranslate2Compute, checkpoint: Checkpoint, config: Path, model: Path) -> None:
    from ctranslate2.converters import TransformersConverter

    class FromMemory(TransformersConverter):
        """Takes the model that is loaded already: whatever `rrtf.checkpoints` reads, GGUF too."""

        def load_model(self, model_class: Any, model_name_or_path: str, **kwargs: Any) -> Any:
            del model_class, model_name_or_path, kwargs
            return checkpoint.model

        def load_tokenizer(self, tokenizer_class: Any, model_name_or_path: str, **kwargs: Any) -> Any:
            del tokenizer_class, model_name_or_path, kwargs
            return checkpoint.tokenizer

    checkpoint.model.config.save_pretrained(config)
    try:
        FromMemory(str(config)).convert(str(model), quantization=compute)
    except Exception as error:
        # Of whatever kind: converters follow an architecture's parts by their names, wherever they lead.
        if not isinstance(error, OSError):
            raise _inconvertible(name, checkpoint, error) from error
        raise


def _inconvertible(name: str, checkpoint: Checkpoint, error: Exception) -> EngineError:
    said = " ".join(str(error).split())
    known = "No conversion is registered" in said
    reason = f"it knows no {type(checkpoint.model.config).__name__.removesuffix('Config')} models" if known else f"{type(error).__name__}: {said[:200]}"
    return EngineError(f"CTranslate2 {ctranslate2.__version__} cannot convert the model {name!r}: {reason}.", hint=OTHERWISE)


OTHERWISE = 'Use engine = "transformers" for it.'


def _sample(checkpoint: Checkpoint) -> tuple[list[int], np.ndarray]:
    """Some tokens, and the model's logits after each of them."""
    import torch

    vocabulary = cast("int", checkpoint.model.get_input_embeddings().num_embeddings)
    ids = [(7 * number + 3) % min(vocabulary, len(checkpoint.tokenizer)) for number in range(24)]
    with torch.inference_mode():
        return ids, checkpoint.model(input_ids=torch.tensor([ids])).logits[0].float().numpy()


def _compare(name: str, ids: list[int], plain: np.ndarray, model: Path, compute: CTranslate2Compute) -> None:
    """Refuse a conversion whose logits are not those of the model."""
    # Here on the processor, which may lack what the weights were rounded for: the weights are what is looked at.
    fits = compute if compute in ctranslate2.get_supported_compute_types("cpu") else "float32"
    try:
        found = np.asarray(ctranslate2.Generator(str(model), compute_type=fits).forward_batch([ids]), dtype=np.float32)[0]
    except (RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())[:200].rstrip(".")
        raise EngineError(f"CTranslate2 {ctranslate2.__version__} cannot run the model {name!r} that it converted: {said}.", hint=OTHERWISE) from error
    size = min(plain.shape[-1], found.shape[-1])
    like = likeness(plain[:, :size], found[:, :size])
    if like < _LIKE:
        raise EngineError(
            f"CTranslate2 {ctranslate2.__version__} gives other numbers for the model {name!r} than the model itself (cosine of logits {like:.2f}).",
            why="Its converter does not reproduce this architecture, and its answers would not be this model's.",
            hint=OTHERWISE,
        )


def likeness(first: np.ndarray, second: np.ndarray) -> float:
    """The cosine between two arrays of logits, each position around its mean."""
    one, two = (rows - rows.mean(-1, keepdims=True) for rows in (first.astype(np.float64), second.astype(np.float64)))
    return float((one * two).sum() / max(float(np.linalg.norm(one) * np.linalg.norm(two)), 1e-30))


def _opened(name: str, folder: Path) -> Converted:
    try:
        from transformers import AutoTokenizer
    except ModuleNotFoundError as error:
        raise missing_extra("train", error.name or "transformers") from error
    note = _json(folder / _NOTE)
    vocabulary = _vocabulary(name, folder)
    try:
        tokenizer = cast("PreTrainedTokenizerBase", AutoTokenizer.from_pretrained(str(folder)))
    except (OSError, ValueError, KeyError, TypeError, ImportError, AttributeError) as error:
        raise EngineError(
            f"The converted model {name!r} has no tokenizer that can be read.",
            why="Without it text cannot be turned into the model's tokens.",
            hint="Copy tokenizer.json and tokenizer_config.json of the model it was made of into the folder, or name that model instead.",
        ) from error
    if len(tokenizer) > len(vocabulary):
        raise EngineError(f"The tokenizer of the converted model {name!r} has {len(tokenizer)} tokens, and the model knows {len(vocabulary)}.", hint=_OTHERS)
    named = frozenset(cast("list[int]", note["ends"])) if "ends" in note else end_tokens(tokenizer, _json(folder / "generation_config.json"))
    context = note.get("context", tokenizer.model_max_length)
    return Converted(folder, tokenizer, vocabulary, named, context if isinstance(context, int) and context < _NO_LIMIT else None)


_OTHERS = "The folder holds another model's tokenizer: copy the right one."
_NO_LIMIT = 10**9
"""What tokenizers say when nobody told them how long a text may be."""


def _vocabulary(name: str, folder: Path) -> tuple[str, ...]:
    """Every token's name. Names are what CTranslate2 is given, so two tokens of one name could not be told apart."""
    file = folder / "vocabulary.json"
    try:
        text = (file if file.is_file() else folder / "vocabulary.txt").read_text(encoding="utf-8")
        names = cast("list[str]", json.loads(text)) if file.is_file() else text.splitlines()
    except (OSError, ValueError) as error:
        raise EngineError(f"The vocabulary of the converted model {name!r} cannot be read: {error}.", hint="Convert the model again.") from error
    if len(set(names)) != len(names):
        raise EngineError(f"Tokens of the converted model {name!r} share a name.", why="They could not be told apart.", hint=OTHERWISE)
    return tuple(names)


def _json(file: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        found: object = json.loads(file.read_text(encoding="utf-8"))
        return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    return {}


def _unwritable(name: str, place: Path, error: OSError) -> EngineError:
    return EngineError(
        f"The conversion of the model {name!r} cannot be written to {str(place)!r}: {error.strerror or error}.",
        hint="Free some disk space there, choose another cache folder with XDG_CACHE_HOME, or convert it yourself and name the folder.",
    )
