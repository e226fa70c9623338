"""The recipe: every stage's config in one tree, read from TOML, overridden from the command line, frozen beside the results.

Paths in a recipe start at the recipe's folder. What only says how to compute is under `[how]` and bears no identity.
Not here: the configs themselves, which are defined beside the code that uses them.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, cast, get_args

import pydantic
import tomli_w
from pydantic import BaseModel, ConfigDict, Field

from rrtf.checkpoints import DEFAULT_STUDENT
from rrtf.engine.artifacts import make_folder, write_text
from rrtf.engine.cluster import RayHow
from rrtf.engine.executors import ExecutorName
from rrtf.errors import RecipeError
from rrtf.generation import GenerationHow, GeneratorConfig, OpenAIConfig, TransformersConfig
from rrtf.hub_data import PREFIX
from rrtf.prompting import FormatName
from rrtf.ranking import RankingConfig
from rrtf.sandbox import ProcessConfig, SandboxConfig, SandboxRuntime
from rrtf.stages.curate import EVOLVE_SOURCE, ProblemsConfig
from rrtf.stages.evaluate import EvaluateConfig
from rrtf.stages.evolve import EvolveConfig, WitnessConfig
from rrtf.stages.grow import GrowConfig
from rrtf.stages.sample import SampleConfig
from rrtf.training import TrainConfig, TrainHow

_CONFIG = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class RunConfig(BaseModel):
    """Where the run lies and what its random numbers start from."""

    model_config = _CONFIG
    title: str = "rrtf"
    """Title of the report."""
    directory: str = "runs/default"
    """The run's directory; one run at a time may use it."""
    seed: int = 0
    """Seed of sampling, shuffling and training. Another seed is another run."""


class StudentConfig(BaseModel):
    """The model to train."""

    model_config = _CONFIG
    model: str = "smollm2-135m-instruct"
    """The embedded default, a local folder (from the recipe's), or a hub id of any Hugging Face causal language model."""
    engine: GeneratorConfig = TransformersConfig()
    """The engine that completes its prompts, before and after training."""
    prompting: FormatName = "paper"
    """The prompt format it is trained in and examined in afterwards (section 3.5); see `rrtf.prompting`."""


class ReferenceTeacher(BaseModel):
    """The reference solutions in the data teach (the paper allows human experts)."""

    model_config = _CONFIG
    kind: Literal["reference"] = "reference"
    """Reference solutions."""


class ModelTeacher(BaseModel):
    """Another model teaches."""

    model_config = _CONFIG
    kind: Literal["model"]
    """A model."""
    model: str
    """A local folder or a hub id."""
    engine: GeneratorConfig = TransformersConfig()
    """The engine that completes its prompts."""
    sample: SampleConfig = SampleConfig()
    """How it is sampled."""


TeacherConfig = Annotated[ReferenceTeacher | ModelTeacher, Field(discriminator="kind")]


class HowConfig(BaseModel):
    """How to compute. Nothing here can change a result, so nothing here makes a stage run again."""

    model_config = _CONFIG
    executor: ExecutorName = "local"
    """Where stages run: `local`, on this machine, or `ray`, on a cluster (docs/scaling.md)."""
    processes: int = Field(default=1, ge=1)
    """Worker processes per stage on this machine; each loads its own model."""
    ray: RayHow = RayHow()
    """The cluster, where `executor` is `ray`."""
    part_problems: int = Field(default=128, ge=1)
    """Problems in one part of an artefact: what a kill can cost."""
    sandbox: SandboxRuntime = SandboxRuntime()
    """Programs judged at once, and how much isolation is insisted on."""
    generation: GenerationHow = GenerationHow()
    """Batches and threads of the model engine."""
    training: TrainHow = TrainHow()
    """Micro-batches, device and checkpoints of the trainer."""

    def sandbox_of(self, needs: Literal["processors", "devices"]) -> SandboxRuntime:
        """The sandbox of one worker. On a cluster it takes the processors that its worker reserved, and not all that it sees."""
        if self.executor == "local" or self.sandbox.workers:
            return self.sandbox
        cpus = self.ray.processors.cpus if needs == "processors" else self.ray.devices.cpus
        return self.sandbox.model_copy(update={"workers": cpus})


class Recipe(BaseModel):
    """One run of the whole loop."""

    model_config = _CONFIG
    run: RunConfig = RunConfig()
    """Where it lies."""
    evolve: EvolveConfig | GrowConfig | None = Field(default=None, discriminator="method")
    """Growing problems from seeds; nothing is grown without it."""
    problems: ProblemsConfig = ProblemsConfig()
    """What to learn from."""
    student: StudentConfig = StudentConfig()
    """Who learns."""
    teacher: TeacherConfig = ReferenceTeacher()
    """Who teaches."""
    more_teachers: tuple[TeacherConfig, ...] = ()
    """Who else teaches, each with its own model, engine and sampling. Tests decide whose answers are fit to teach, and `rank.max_teachers` how many."""
    sample: SampleConfig = SampleConfig()
    """How the student is sampled."""
    sandbox: SandboxConfig = ProcessConfig()
    """Where programs run."""
    rank: RankingConfig = RankingConfig()
    """What teaches."""
    train: TrainConfig = TrainConfig()
    """How it is taught."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """The examination before and after."""
    how: HowConfig = HowConfig()
    """How to compute."""

    @pydantic.field_validator("sandbox", mode="before")
    @classmethod
    def _usual_backend(cls, value: object) -> object:
        return {"backend": ProcessConfig().backend, **cast("dict[str, object]", value)} if isinstance(value, dict) else value

    @pydantic.field_validator("evolve", mode="before")
    @classmethod
    def _usual_method(cls, value: object) -> object:
        return {"method": "model", **cast("dict[str, object]", value)} if isinstance(value, dict) else value


def load(path: Path, overrides: Iterable[str] = ()) -> Recipe:
    """Read a recipe; `overrides` are `key.path=value` with a TOML value or bare text. Raises `RecipeError`."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RecipeError(f"There is no recipe {path}.", hint="Check the path; recipes/starter.toml is a good start.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"The recipe {path} cannot be read ({error}).", hint="Check that it is a text file you may read.") from error
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"The recipe {path} is not valid TOML: {error}.", hint="Mend that line.") from error
    return _anchored(assemble(data, overrides, str(path)), path.resolve().parent)


def assemble(data: dict[str, Any], overrides: Iterable[str] = (), where: str = "The command line") -> Recipe:
    """A recipe from plain data, as TOML would give it. Raises `RecipeError` that begins with `where`."""
    for override in overrides:
        _override(data, override)
    return _validated(data, where)


def _validated(data: Mapping[str, Any], where: str) -> Recipe:
    try:
        return _without_repeats(Recipe.model_validate(data), where)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        place, context = _place(first["loc"]), first.get("ctx", {})
        if first["type"] == "extra_forbidden":
            raise _unknown_key(where, place) from error
        if first["type"] == "missing":
            raise RecipeError(f"{where}: {place} is missing.", hint=f"See `rrtf explain {place}`.") from error
        if first["type"] == "union_tag_not_found":
            choice = f"{place}.{context['discriminator'].strip(chr(39))}"
            raise RecipeError(
                f"{where}: {choice} is missing.", why=f"Without it the rest of {place} has no meaning.", hint=f"See `rrtf explain {choice}`."
            ) from error
        what = first["msg"].removeprefix("Value error, ")
        what, value = what[:1].lower() + what[1:], _short(first["input"])
        if first["type"] == "union_tag_invalid":
            place = f"{place}.{context['discriminator'].strip(chr(39))}"
            what, value = f"it can be {context['expected_tags']}", repr(context["tag"])
        hint = f"See `rrtf explain {'.'.join(part for part in place.split('.') if not part.isdigit())}`." if place else ""
        raise RecipeError(f"{where}: {place or 'the recipe'} is {value}, and that does not fit: {what}.", hint=hint) from error


def _without_repeats(recipe: Recipe, where: str) -> Recipe:
    if recipe.problems.source == EVOLVE_SOURCE and recipe.evolve is None:
        raise RecipeError(
            f"{where}: problems.source is 'evolve', and there is no [evolve].", why="Nothing says what to grow.", hint="See `rrtf explain evolve`."
        )
    before = recipe.evaluate.before
    if twice := next((form for form in before if before.count(form) > 1), None):
        raise RecipeError(f"{where}: evaluate.before has {twice!r} twice.", why="Every answer would be paid for and counted twice.", hint="Leave one out.")
    return recipe


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _place(loc: tuple[str | int, ...]) -> str:
    """The keys of an error's place, as a user wrote them: pydantic adds the tag of each discriminated union."""
    kind, tagged, names = cast("Any", Recipe), False, list[str]()
    for part in loc:
        if tagged:
            kind, tagged = next((member for member in get_args(kind) if _bears(member, part)), None), False
            continue
        names.append(str(part))
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(str(part))
            kind, tagged = (field.annotation, bool(field.discriminator)) if field else (None, False)
            members = [member for member in get_args(kind) if member is not type(None)]
            if not tagged and len(members) == 1 < len(get_args(kind)):
                kind = members[0]  # `X | None` adds nothing to the place
        else:
            kind = next(reversed(get_args(kind)), None)  # of a dictionary its values, of a tuple its items
    return ".".join(names)


def _bears(member: Any, tag: str | int) -> bool:
    return member is not type(None) and any(tag in get_args(field.annotation) for field in cast("type[BaseModel]", member).model_fields.values())


def _unknown_key(where: str, place: str) -> RecipeError:
    keys = [key for key, _ in documented()]
    near = difflib.get_close_matches(place, keys, n=1, cutoff=0.0)
    parent, _, last = place.rpartition(".")
    # A misspelt key is most likely a sibling; then the same key in another table; then whatever looks alike.
    siblings = [key for key in keys if key.rpartition(".")[0] == parent]
    likely = difflib.get_close_matches(last, [key.rpartition(".")[2] for key in siblings], n=1)
    elsewhere = [key for key in keys if key.rpartition(".")[2] == last]
    named = f"{parent}.{likely[0]}".lstrip(".") if likely else next(iter([*elsewhere, *near]), "")
    return RecipeError(f"{where}: there is no key {place!r}.", why="It would have been ignored.", hint=f"Did you mean {named!r}?" if named else "")


def _override(data: dict[str, Any], text: str) -> None:
    key, equals, raw = text.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"--set {text!r} is not key=value.", hint="Write, for example, --set train.epochs=3.")
    try:
        parsed = tomllib.loads(f"value = {raw}")
    except tomllib.TOMLDecodeError:
        parsed = {}
    value: Any = parsed["value"] if len(parsed) == 1 else raw  # bare text needs no quotes
    here = data
    *path, last = key.strip().split(".")
    for part in path:
        found = here.setdefault(part, {})
        if not isinstance(found, dict):
            raise RecipeError(f"--set {key}: {part} is {found!r}, not a table.", hint="Set that key itself.")
        here = cast("dict[str, Any]", found)
    here[last] = value


def _anchored(recipe: Recipe, folder: Path) -> Recipe:
    """Paths of problem files and models start at the recipe's folder; the run's directory starts where the command is run."""
    source = recipe.problems.source
    if source not in ("starter", EVOLVE_SOURCE):
        recipe = recipe.model_copy(update={"problems": recipe.problems.model_copy(update={"source": _path(source, folder)})})
    recipe = recipe.model_copy(update={"student": _model_anchored(recipe.student, folder)})
    if isinstance(recipe.teacher, ModelTeacher):
        recipe = recipe.model_copy(update={"teacher": _model_anchored(recipe.teacher, folder)})
    if recipe.evolve is not None:
        evolve = recipe.evolve
        source = evolve.seeds.source if evolve.seeds.source == "starter" or evolve.seeds.source.startswith(PREFIX) else _path(evolve.seeds.source, folder)
        if isinstance(evolve, EvolveConfig):
            witnesses = tuple(_model_anchored(witness, folder) for witness in evolve.witnesses)
            evolve = _model_anchored(evolve, folder).model_copy(update={"witnesses": witnesses})
        evolve = evolve.model_copy(update={"seeds": evolve.seeds.model_copy(update={"source": source})})
        recipe = recipe.model_copy(update={"evolve": evolve})
    more = tuple(_model_anchored(teacher, folder) if isinstance(teacher, ModelTeacher) else teacher for teacher in recipe.more_teachers)
    recipe = recipe.model_copy(update={"more_teachers": more})
    overlap = recipe.problems.overlap
    kept_from = overlap.model_copy(update={"benchmarks": tuple(_benchmark(name, folder) for name in overlap.benchmarks)})
    recipe = recipe.model_copy(update={"problems": recipe.problems.model_copy(update={"overlap": kept_from})})
    benchmarks = tuple(_benchmark(name, folder) for name in recipe.evaluate.benchmarks)
    return recipe.model_copy(update={"evaluate": recipe.evaluate.model_copy(update={"benchmarks": benchmarks})})


_Named = TypeVar("_Named", StudentConfig, ModelTeacher, EvolveConfig, WitnessConfig)


def _model_anchored(config: _Named, folder: Path) -> _Named:
    """A model's name may be a hub id, the embedded student's or a server's: it is a path when something lies there, and never behind an endpoint."""
    name = config.model
    if isinstance(config.engine, OpenAIConfig) or name == DEFAULT_STUDENT or Path(name).exists() or not (folder / name).exists():
        return config
    return config.model_copy(update={"model": str(folder / name)})


def _benchmark(name: str, folder: Path) -> str:
    kind, colon, file = name.rpartition(":")
    return f"{kind}{colon}{_path(file, folder)}" if name.endswith((".jsonl", ".parquet")) else name


def _path(name: str, folder: Path) -> str:
    path = Path(name)
    return str(path if path.is_absolute() or path.exists() else folder / path)


def freeze(recipe: Recipe, path: Path) -> None:
    """Write the whole recipe, defaults included, as TOML: whole or not at all. Raises `DataError`."""
    data = cast("dict[str, Any]", _without_none(recipe.model_dump(mode="json")))
    make_folder(path.parent)
    write_text(path, tomli_w.dumps(data))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in cast("dict[str, Any]", value).items() if item is not None}
    return value


def documented() -> list[tuple[str, str]]:
    """Every key of a recipe with its documentation, in order."""
    # The members of a union may share a key and its text.
    return list(dict.fromkeys(_documented(Recipe, "")))


def _documented(model: type[BaseModel], prefix: str) -> Iterable[tuple[str, str]]:
    for name, field in model.model_fields.items():
        default = "" if field.is_required() else field.get_default(call_default_factory=True)
        kinds = list(_models(field.annotation))
        shown = "" if kinds or field.is_required() else f" (default: {default!r})"
        yield f"{prefix}{name}", f"{field.description or ''}{shown}"
        for kind in kinds:
            yield from _documented(kind, f"{prefix}{name}.")


def _models(annotation: Any) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
