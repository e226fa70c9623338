"""Recipes: read, overridden, frozen; mistakes are met with a sentence that names the file, the key and the way out."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from rrtf import recipe
from rrtf.errors import DataError, RecipeError
from rrtf.recipe import ModelTeacher, Recipe, ReferenceTeacher, assemble, documented, freeze, load

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))
DOCUMENTED = documented()


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "my.toml"
    path.write_text(text, encoding="utf-8")
    return path


def sentence(tmp_path: Path, text: str, *overrides: str) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        load(write(tmp_path, text), overrides)
    assert "\n" not in str(caught.value)
    return caught.value


# ------------------------------------------------------------------------------------------------ reading


def test_an_empty_recipe_is_all_defaults(tmp_path: Path) -> None:
    assert load(write(tmp_path, "")) == Recipe()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_shipped_recipes_load_and_survive_freezing(path: Path, tmp_path: Path) -> None:
    found = load(path)
    freeze(found, tmp_path / "frozen.toml")
    assert load(tmp_path / "frozen.toml") == found


def test_recipes_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Recipe().run.seed = 3  # type: ignore[misc]


def test_the_default_of_everything_survives_freezing(tmp_path: Path) -> None:
    freeze(Recipe(), tmp_path / "a" / "recipe.toml")
    assert load(tmp_path / "a" / "recipe.toml") == Recipe()


def test_a_recipe_with_every_kind_of_value_survives_freezing(tmp_path: Path) -> None:
    found = load(
        write(
            tmp_path,
            """
            [run]
            title = "quotes \\" and déjà vu \\u2028"
            [teacher]
            kind = "model"
            model = "some/teacher"
            [teacher.sample]
            n = 3
            [student.engine]
            engine = "scripted"
            default = "pass"
            [student.engine.answers]
            "p-1" = ["a\\nb", "c"]
            [evaluate.decodings.sampled]
            n = 7
            temperature = 1.25
            benchmarks = ["humaneval"]
            [train.lora]
            [sandbox]
            backend = "plain"
            packages = ["numpy"]
            """,
        )
    )
    assert isinstance(found.teacher, ModelTeacher)
    assert found.teacher.sample.n == 3
    assert set(found.evaluate.decodings) == {"sampled"}
    freeze(found, tmp_path / "frozen.toml")
    assert load(tmp_path / "frozen.toml") == found


def test_freezing_replaces_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "recipe.toml"
    freeze(Recipe(), path)
    before = path.read_bytes()

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DataError, match=r"recipe\.toml cannot be written \(No space left on device\)"):
        freeze(assemble({"run": {"seed": 9}}), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_problem_files_start_at_the_recipes_folder_and_the_run_at_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benchmarks = '["humaneval", "exam.jsonl", "/elsewhere/other.parquet", "mbpp:mbpp.jsonl"]'
    text = f'[problems]\nsource = "mine.jsonl"\n[evaluate]\nbenchmarks = {benchmarks}\n[run]\ndirectory = "runs/x"'
    monkeypatch.chdir("/")
    found = load(write(tmp_path, text))
    assert found.problems.source == str(tmp_path / "mine.jsonl")
    assert found.evaluate.benchmarks == ("humaneval", str(tmp_path / "exam.jsonl"), "/elsewhere/other.parquet", f"mbpp:{tmp_path / 'mbpp.jsonl'}")
    assert found.run.directory == "runs/x"


# ------------------------------------------------------------------------------------------------ mistakes in the file


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"There is no recipe .*nowhere\.toml\. Check the path"):
        load(tmp_path / "nowhere.toml")


def test_a_recipe_that_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        load(tmp_path)


def test_a_recipe_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match=r"x\.toml cannot be read"):
        load(tmp_path / "x.toml")


@pytest.mark.parametrize(
    ("text", "line"),
    [("[run\nseed = 1", "line 1"), ("[run]\nseed = ", "end of document"), ("[run]\nseed = 1\nseed = 2\n", "line 3"), ("[run]\n[run]", "line 2")],
)
def test_bad_toml_names_the_line(tmp_path: Path, text: str, line: str) -> None:
    error = sentence(tmp_path, text)
    assert error.message.startswith(f"The recipe {tmp_path / 'my.toml'} is not valid TOML: ")
    assert line in error.message


@pytest.mark.parametrize(
    ("text", "wrong", "near"),
    [
        ("[run]\nsede = 1", "run.sede", "run.seed"),
        ("[trian]\nepochs = 1", "trian", "train"),
        ("[train]\nepoch = 1", "train.epoch", "train.epochs"),
        ("[train]\nlearningrate = 1", "train.learningrate", "train.learning_rate"),
        ("[sample]\ntemprature = 1", "sample.temprature", "sample.temperature"),
        ("[evaluate]\nbenchmark = ['starter']", "evaluate.benchmark", "evaluate.benchmarks"),
        ("[evaluate.decodings.greedy]\ntemprature = 0.0", "evaluate.decodings.greedy.temprature", "evaluate.decodings.temperature"),
        ("[teacher]\nkind = 'model'\nmodel = 'x'\n[teacher.sample]\nnn = 1", "teacher.sample.nn", "teacher.sample.n"),
        ("[student.engine]\nengine = 'scripted'\ndefalt = ''", "student.engine.defalt", "student.engine.default"),
        ("[sandbox]\nbackend = 'process'\n[sandbox.limits]\nmemory = 1", "sandbox.limits.memory", "sandbox.limits.memory_mb"),
        ("[how]\npart_problem = 1", "how.part_problem", "how.part_problems"),
        ("seed = 1", "seed", "run.seed"),
        ("[train]\nseed = 1\n[sample]\nepochs = 3", "sample.epochs", "train.epochs"),
    ],
)
def test_an_unknown_key_names_the_nearest_one(tmp_path: Path, text: str, wrong: str, near: str) -> None:
    error = sentence(tmp_path, text)
    assert error.message == f"{tmp_path / 'my.toml'}: there is no key {wrong!r}."
    assert error.hint == f"Did you mean {near!r}?"


@pytest.mark.parametrize(
    ("text", "place", "value"),
    [
        ("[train]\nepochs = 'many'", "train.epochs", "'many'"),
        ("[train]\nepochs = 0", "train.epochs", "0"),
        ("[train]\nepochs = 1.5", "train.epochs", "1.5"),
        ("[train]\nmethod = 'ppo'", "train.method", "'ppo'"),
        ("[sample]\ntemperature = -1", "sample.temperature", "-1"),
        ("[sample]\ntemperature = nan", "sample.temperature", "nan"),
        ("[sample]\ntemperature = inf", "sample.temperature", "inf"),
        ("[train]\nlearning_rate = nan", "train.learning_rate", "nan"),
        ("[evaluate.decodings.greedy]\ntemperature = inf", "evaluate.decodings.greedy.temperature", "inf"),
        ("[rank]\ntie_bonus = inf", "rank.tie_bonus", "inf"),
        ("[sample]\nn = [1, 2]", "sample.n", "[1, 2]"),
        ("[sample]\ntop_p = 0", "sample.top_p", "0"),
        ("[run]\nseed = 'x'", "run.seed", "'x'"),
        ("[student]\nprompting = 'poem'", "student.prompting", "'poem'"),
        ("[evaluate]\nbefore = ['papers']", "evaluate.before.0", "'papers'"),
        ("[evaluate]\nbenchmarks = 'humaneval'", "evaluate.benchmarks", "'humaneval'"),
        ("[evaluate.decodings]\ngreedy = 3", "evaluate.decodings.greedy", "3"),
        ("[teacher]\nkind = 'oracle'", "teacher.kind", "'oracle'"),
        ("[teacher]\nkind = 'model'", "teacher.model", "missing"),
        ("[teacher]\nmodel = 'x'", "teacher.kind", "missing"),
        ("[sandbox]\nbackend = 'docker'", "sandbox.backend", "'docker'"),
        ("[student.engine]\nengine = 'tgi'", "student.engine.engine", "'tgi'"),
        ("[how.sandbox]\nworkers = -1", "how.sandbox.workers", "-1"),
        ("train = 3", "train", "3"),
        ("[rank.scores]\npassed = 1.0", "rank.scores", "rise"),
        ("[problems]\nlimit = 0", "problems.limit", "0"),
        ("[problems]\nlimit = -5", "problems.limit", "-5"),
        ("[evaluate]\nlimit = -1", "evaluate.limit", "-1"),
        ("[evaluate]\nbenchmarks = []", "evaluate.benchmarks", "()"),
        ("[evaluate]\nbefore = []", "evaluate.before", "()"),
        ("[evaluate]\ndecodings = {}", "evaluate.decodings", "{}"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_place(tmp_path: Path, text: str, place: str, value: str) -> None:
    error = sentence(tmp_path, text)
    assert error.message.startswith(f"{tmp_path / 'my.toml'}: {place} ")
    assert value.strip("()") in error.message
    assert len(error.message) < 600
    assert f"rrtf explain {place.removesuffix('.0')}" in error.hint or place == "sandbox"


def test_huge_values_are_cut_in_the_sentence(tmp_path: Path) -> None:
    error = sentence(tmp_path, f"[train]\nepochs = '{'x' * 100_000}'")
    assert len(str(error)) < 600


def test_a_repeated_prompt_format_is_a_sentence(tmp_path: Path) -> None:
    error = sentence(tmp_path, "[evaluate]\nbefore = ['paper', 'raw', 'paper']")
    assert error.message == f"{tmp_path / 'my.toml'}: evaluate.before has 'paper' twice."


# ------------------------------------------------------------------------------------------------ models beside the recipe


@pytest.mark.parametrize("name", ["m2", "models/m2", "./m2", "w.gguf"])
def test_a_model_beside_the_recipe_is_a_path(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("m2", "models/m2", "elsewhere"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "w.gguf").write_bytes(b"GGUF")
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = load(write(tmp_path, f"[student]\nmodel = '{name}'\n[teacher]\nkind = 'model'\nmodel = '{name}'"))
    assert isinstance(found.teacher, ModelTeacher)
    assert Path(found.student.model) == Path(found.teacher.model) == tmp_path / name


@pytest.mark.parametrize("name", ["owner/name", "owner/name@abc", "/no/such/folder", "smollm2-135m-instruct"])
def test_other_names_of_models_stay_as_they_are(tmp_path: Path, name: str) -> None:
    (tmp_path / "smollm2-135m-instruct").mkdir()  # the name of the embedded student is no path, whatever lies there
    assert load(write(tmp_path, f"[student]\nmodel = '{name}'")).student.model == name


# ------------------------------------------------------------------------------------------------ overrides


@pytest.mark.parametrize(
    ("override", "place", "value"),
    [
        ("train.epochs=3", ("train", "epochs"), 3),
        ("train.learning_rate=1e-4", ("train", "learning_rate"), 1e-4),
        ("run.title=My run, no quotes", ("run", "title"), "My run, no quotes"),
        ('run.title="quoted"', ("run", "title"), "quoted"),
        ("run.title='3'", ("run", "title"), "3"),
        ("run.title=", ("run", "title"), ""),
        ("run.title=a=b", ("run", "title"), "a=b"),
        (" run.seed = 7", ("run", "seed"), 7),
        ('evaluate.benchmarks=["starter"]', ("evaluate", "benchmarks"), ("starter",)),
        ("rank.deduplicate=false", ("rank", "deduplicate"), False),
        ("evaluate.decodings.greedy.n=4", ("evaluate", "decodings", "greedy", "n"), 4),
        ("problems.limit=5", ("problems", "limit"), 5),
        ("run.directory=runs/other", ("run", "directory"), "runs/other"),
        ("train.lora.rank=4", ("train", "lora", "rank"), 4),
    ],
)
def test_set_takes_toml_values_and_bare_text(tmp_path: Path, override: str, place: tuple[str, ...], value: object) -> None:
    found: Any = load(write(tmp_path, "[run]\nseed = 1\n[train]\nepochs = 1"), [override])
    for part in place:
        found = found[part] if isinstance(found, dict) else getattr(found, part)
    assert found == value


def test_the_last_override_wins(tmp_path: Path) -> None:
    assert load(write(tmp_path, ""), ["run.seed=1", "run.seed=2"]).run.seed == 2


def test_set_can_swap_a_backend(tmp_path: Path) -> None:
    found = load(write(tmp_path, "[teacher]\nkind = 'reference'"), ["teacher.kind=model", "teacher.model=x/y"])
    assert isinstance(found.teacher, ModelTeacher)
    assert isinstance(load(write(tmp_path, "")).teacher, ReferenceTeacher)


@pytest.mark.parametrize("override", ["train.epochs", "", "=3", " =3"])
def test_set_without_key_or_value_is_a_sentence(tmp_path: Path, override: str) -> None:
    error = sentence(tmp_path, "", override)
    assert error.message == f"--set {override!r} is not key=value."
    assert "--set train.epochs=3" in error.hint


def test_set_below_a_value_is_a_sentence(tmp_path: Path) -> None:
    error = sentence(tmp_path, "[run]\nseed = 1", "run.seed.x=2")
    assert error.message == "--set run.seed.x: seed is 1, not a table."


@pytest.mark.parametrize("override", ["train.epoch=3", "tarin.epochs=3", "x=1", "a..b=1"])
def test_set_of_an_unknown_key_is_a_sentence(tmp_path: Path, override: str) -> None:
    assert "there is no key" in sentence(tmp_path, "", override).message


def test_set_that_smuggles_another_table_is_refused(tmp_path: Path) -> None:
    found = load(write(tmp_path, ""), ["run.title=1\n[run]"])
    assert found.run.title == "1\n[run]"


def test_assembled_recipes_name_the_command_line() -> None:
    with pytest.raises(RecipeError, match=r"^The command line: sample\.n is 0"):
        assemble({"sample": {"n": 0}})


# ------------------------------------------------------------------------------------------------ documentation


def keys(data: Any, prefix: str = "") -> set[str]:
    found: set[str] = set()
    for key, value in data.items():
        found.add(f"{prefix}{key}")
        if isinstance(value, dict):
            found |= keys(value, f"{prefix}{key}.")
    return found


def test_every_key_is_documented() -> None:
    documentation = dict(DOCUMENTED)
    everything = keys(Recipe().model_dump(mode="json"))
    named = {key for key in everything if not key.startswith(("evaluate.decodings.greedy", "student.engine.answers."))}
    assert named <= documentation.keys()
    assert {"evaluate.decodings.temperature", "teacher.model", "teacher.sample.n", "train.lora.rank", "student.engine.default"} <= documentation.keys()


@pytest.mark.parametrize("key", list(dict(DOCUMENTED)))
def test_every_document_says_something(key: str) -> None:
    texts = [text for name, text in DOCUMENTED if name == key]
    assert len(texts) == len(set(texts))
    assert all(len(text) > 5 for text in texts), texts


def test_every_config_is_closed_and_frozen() -> None:
    def models(kind: Any) -> set[type[BaseModel]]:
        found = {kind} if isinstance(kind, type) and issubclass(kind, BaseModel) else set()
        inner = [field.annotation for field in kind.model_fields.values()] if found else get_args(kind)
        return found.union(*(models(item) for item in inner))

    everything = models(Recipe)
    assert len(everything) > 12
    for kind in everything:
        assert kind.model_config.get("frozen"), kind
        assert kind.model_config.get("extra") == "forbid", kind


def test_the_place_of_an_unknown_key_is_not_a_tag(tmp_path: Path) -> None:
    # pydantic puts the tag of a union into the path: teacher.model.extra would read as a key that nobody wrote.
    error = sentence(tmp_path, "[teacher]\nkind = 'model'\nmodel = 'x'\nextra = 1")
    assert error.message.endswith("there is no key 'teacher.extra'.")
    error = sentence(tmp_path, "[teacher]\nkind = 'model'\nmodel = 'model'\nextra = 1")
    assert error.message.endswith("there is no key 'teacher.extra'.")


def test_the_module_knows_every_front_door() -> None:
    assert {"run", "evolve", "problems", "student", "teacher", "more_teachers", "sample", "sandbox", "rank", "train", "evaluate", "how"} == set(
        recipe.Recipe.model_fields
    )


@pytest.mark.parametrize(
    ("overrides", "judges", "examiners"),
    [
        ([], 0, 0),  # one for each processor of this machine
        (["how.ray.processors.cpus=4"], 0, 0),  # no cluster is asked for
        (["how.executor=ray"], 1, 1),
        (["how.executor=ray", "how.ray.processors.cpus=4", "how.ray.devices.cpus=2"], 4, 2),
        (["how.executor=ray", "how.ray.processors.cpus=4", "how.sandbox.workers=3"], 3, 3),
    ],
)
def test_a_sandbox_on_a_cluster_takes_what_its_worker_reserved(overrides: list[str], judges: int, examiners: int) -> None:
    how = recipe.assemble({}, overrides).how
    assert (how.sandbox_of("processors").workers, how.sandbox_of("devices").workers) == (judges, examiners)


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "head:port", ""])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(RecipeError, match=r"how\.ray\.address"):
        recipe.assemble({"how": {"ray": {"address": address}}})
