"""The command line: one command per stage, and run, plan, show, explain, check. Thin: no logic here, and nothing heavy imported before it is needed."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from rrtf.engine.artifacts import Manifest
    from rrtf.recipe import Recipe
    from rrtf.reporting.flips import FlipTest

_Params = ParamSpec("_Params")
_Result = TypeVar("_Result")

_INTERRUPTED = 130
_DATA = 3
_MACHINE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
"""What an operating system refuses for want of room or rights: no bug of ours, wherever it happens."""


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="rrtf")
def cli() -> None:
    """Make a code model better from tests and teachers, and prove it.

    Start with: rrtf run recipes/starter.toml
    """


def main() -> None:
    """Entry point. User mistakes end in sentences and a telling exit status; only a bug of ours shows a traceback."""
    from rrtf.errors import RrtfError

    try:
        # Not `cli.main`: it would turn a reader that went away into exit status 1, which is kept for bugs of ours.
        with cli.make_context("rrtf", sys.argv[1:]) as context:
            cli.invoke(context)
    except click.exceptions.Exit as ended:
        sys.exit(ended.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except RrtfError as error:
        if error.exit_code == RrtfError.exit_code:
            raise  # no mistake of a user has this status: it is a bug of ours, and shows where it is
        click.echo(f"rrtf: {error}", err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("rrtf: interrupted. Finished parts are kept; run the same command again to go on.", err=True)
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output (head, less) has gone: not an error.
        sys.stdout = None  # pyright: ignore[reportAttributeAccessIssue]
        sys.exit(0)
    except OSError as error:
        if error.errno not in _MACHINE:
            raise
        where = f" ({error.filename})" if error.filename else ""
        click.echo(f"rrtf: This machine refused: {error.strerror}{where}. Nothing half-written counts; see to it and run the same command again.", err=True)
        sys.exit(_DATA)


def _recipe_options(command: Callable[_Params, _Result]) -> Callable[_Params, _Result]:
    overrides = click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the recipe; may be repeated.")
    return click.argument("recipe", type=click.Path(path_type=Path))(overrides(command))


def _load(path: Path, overrides: tuple[str, ...]) -> Recipe:
    from rrtf import recipe

    return recipe.load(path, overrides)


def _run(recipe: Recipe, verb: str | None) -> dict[str, Manifest]:
    from rrtf import pipeline

    built = pipeline.build(recipe)
    only = None if verb is None else pipeline.of_verb(built, verb)
    return pipeline.run(recipe, built, only, lambda line: click.echo(line, err=True))


@cli.command()
@_recipe_options
def run(recipe: Path, overrides: tuple[str, ...]) -> None:
    """Run the whole loop of RECIPE, reusing and resuming what is there."""
    from rrtf.joins import REPORT

    loaded = _load(recipe, overrides)
    _run(loaded, None)
    folder = Path(loaded.run.directory) / REPORT
    _show_report(folder)


def _show_report(folder: Path) -> None:
    from rrtf.engine.artifacts import outputs

    files = {path.name: path for path in outputs(folder)}
    click.echo(files["results.md"].read_text(encoding="utf-8"))
    click.echo(f"Report: {files['report.html'].resolve()}")


def _stage_command(verb: str, text: str) -> None:
    @cli.command(verb, help=text)
    @_recipe_options
    def command(recipe: Path, overrides: tuple[str, ...]) -> None:
        for name, manifest in _run(_load(recipe, overrides), verb).items():
            click.echo(f"{name}: {_brief(manifest.summary)}")

    del command


for _verb, _text in (
    ("evolve", "Grow problems from the seeds of RECIPE: rewritten by a model, with tests that solutions agree on, or changed by operators without any."),
    ("curate", "Read the problems of RECIPE and drop those unfit to learn from."),
    ("sample", "Sample the student's and the teacher's answers."),
    ("execute", "Run every answer against its tests."),
    ("rank", "Rank student against teacher."),
    ("train", "Train the student on the ranked answers."),
    ("report", "Write the HTML report."),
):
    _stage_command(_verb, _text)


@cli.command()
@_recipe_options
def plan(recipe: Path, overrides: tuple[str, ...]) -> None:
    """Say what `run` would reuse, resume or run, and why. Changes nothing."""
    from rrtf import pipeline
    from rrtf.engine import runner

    for decision in runner.plan(pipeline.build(_load(recipe, overrides))):
        click.echo(f"{decision.stage:16} {decision.action:7} {decision.why}")


@cli.command()
@click.argument("recipe", type=click.Path(path_type=Path), required=False)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the recipe; may be repeated.")
@click.option("--model", help="A local folder, a hub id, or smollm2-135m-instruct.")
@click.option("--benchmark", "benchmarks", default="humaneval,starter", show_default=True, help="Benchmarks or problem files, separated by commas.")
@click.option("--n", default=1, show_default=True, type=click.IntRange(1), help="Answers per problem; raising it later keeps what is there.")
@click.option("--temperature", default=0.0, show_default=True, type=click.FloatRange(0), help="0 is greedy.")
@click.option("--top-p", default=0.95, show_default=True, type=click.FloatRange(0, 1, min_open=True), help="Nucleus sampling.")
@click.option("--max-new-tokens", default=512, show_default=True, type=click.IntRange(1), help="Longest answer.")
@click.option("--format", "prompting", default="chat-prefill", show_default=True, help="Prompt formats: paper, raw, chat, chat-prefill; separated by commas.")
@click.option("--seed", default=0, show_default=True, help="Seed of sampling.")
@click.option("--limit", type=click.IntRange(1), help="Only the first so many problems of each benchmark.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("results/evaluate"), show_default=True, help="Where the rows and scores go.")
def evaluate(recipe: Path | None, overrides: tuple[str, ...], model: str | None, **options: Any) -> None:
    """Examine a model: with --model on its own, or with RECIPE the examinations of its run."""
    if (recipe is not None and model is not None) or (recipe is None and model is None):
        raise click.UsageError("Give either a RECIPE or --model.")
    if recipe is not None:
        _refuse_beside_a_recipe(options)
        for name, manifest in _run(_load(recipe, overrides), "evaluate").items():
            click.echo(f"{name}: {_brief(manifest.summary)}")
        return
    from rrtf.evaluation import examine

    click.echo(examine(model or "", overrides=overrides, say=lambda line: click.echo(line, err=True), **options))


def _refuse_beside_a_recipe(options: Iterable[str]) -> None:
    """Say which options were given that a recipe's own examination would ignore."""
    context = click.get_current_context()
    given = {name for name in options if context.get_parameter_source(name) is not ParameterSource.DEFAULT}
    flags = [parameter.opts[0] for parameter in context.command.params if parameter.name in given]
    if flags:
        raise click.UsageError(f"A RECIPE says itself how it is examined: {', '.join(flags)} would be ignored. Use --set evaluate.KEY=VALUE instead.")


@cli.command()
@click.argument("run_directory", metavar="RUN", type=click.Path(path_type=Path))
@click.argument("artefact", required=False)
@click.option("--limit", default=20, show_default=True, type=click.IntRange(0), help="Rows to print.")
def show(run_directory: Path, artefact: str | None, limit: int) -> None:
    """Show what a RUN holds: every artefact with its counts, or the rows of one ARTEFACT as JSON lines."""
    from rrtf import inspection

    for line in inspection.artefacts(run_directory) if artefact is None else inspection.rows(run_directory, artefact, limit):
        click.echo(line)


@cli.command()
@click.argument("run_directory", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--format", "kind", required=True, type=click.Choice(("sft", "trl-dpo", "trl-kto", "grpo", "jsonl")), help="For which trainer.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The file to write, one JSON object per line.")
@click.option("--prompting", type=click.Choice(("paper", "raw", "chat", "chat-prefill")), help="Prompt format; the run's own when not given.")
def export(run_directory: Path, kind: Any, out: Path, prompting: Any) -> None:
    """Write what a RUN learned as a file that other trainers read."""
    from rrtf.export import export as write

    for line in write(run_directory, kind, out, prompting).lines():
        click.echo(line)


@cli.command()
@click.argument("what")
@click.argument("problem", required=False)
def explain(what: str, problem: str | None) -> None:
    """Explain a recipe KEY (rrtf explain train.epochs), or everything a run learned about one problem (rrtf explain RUN PROBLEM)."""
    from rrtf import inspection

    for line in inspection.explain_key(what) if problem is None else inspection.explain_problem(Path(what), problem):
        click.echo(line)


def _required(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    return None if value is None else value.partition("=")[2]


_REQUIRE = click.option(
    "--require",
    type=click.Choice(["isolation=full"]),
    callback=_required,
    help="Refuse to run programs with reduced isolation.",
)


@cli.command()
@click.argument("problems", type=click.Path(path_type=Path), required=False)
@click.option("--sandbox", "only_sandbox", is_flag=True, help="Only what is isolated on this machine, and what is not.")
@_REQUIRE
@click.option("--out", type=click.Path(path_type=Path), help="Write what was found, one JSON object per problem; run again, only what is missing is checked.")
@click.option("--keep", type=click.Path(path_type=Path), help="Write the problems to keep, in our format.")
@click.option(
    "--widen", type=click.IntRange(1), help="First add so many tests at most to each: new inputs, like those it is tested on, with its reference's results."
)
@click.option("--workers", type=click.IntRange(1), help="Programs that run at once; one per processor when not given.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="A key of a recipe, such as problems.gate.kill_rate=0.9; may be repeated.")
def check(problems: Path | None, only_sandbox: bool, require: str | None, **options: Any) -> None:
    """Check this machine (engines, sandbox), or a file of PROBLEMS: references, stubs, weak, flaky and contradicting tests; which to drop, and why."""
    if problems is not None:
        _check_problems(problems, require=require, **options)
        return
    from rrtf import inspection

    for line in inspection.check_machine(only_sandbox=only_sandbox, require=require):
        click.echo(line)


def _check_problems(
    path: Path, *, require: str | None, out: Path | None, keep: Path | None, widen: int | None, workers: int | None, overrides: tuple[str, ...]
) -> None:
    from rrtf.errors import DataError, SandboxError
    from rrtf.formats import read_problems
    from rrtf.problem_files import check_file, lines, widen_all
    from rrtf.recipe import assemble

    settings, problems = assemble({}, overrides), read_problems(path)
    runtime = settings.how.sandbox.model_copy(update={name: value for name, value in (("workers", workers), ("require", require)) if value is not None})
    problems = problems if widen is None else widen_all(problems, widen, settings.sandbox, runtime)
    found = check_file(problems, settings.problems.gate, settings.sandbox, runtime, out, keep)
    for line in lines(found, settings.problems.gate, out):
        click.echo(line)
    if found.failures:
        name, reason = next(iter(found.failures.items()))
        raise SandboxError(
            f"{len(found.failures)} problems could not be checked, for reasons of ours; the first, {name}: {reason}",
            why="They are neither to keep nor to drop.",
            hint=f"Run the same command again{': only they are tried' if out else ''}.",
        )
    if found.dropped and keep is None:
        raise DataError(
            f"{len(found.dropped)} of {len(problems)} problems in {path} should be mended or dropped, the first is {found.dropped[0].name}.",
            why="Their tests would teach the wrong thing.",
            hint="Mend them, or write the others with --keep FILE.",
        )


@cli.command()
@click.argument("answers", type=click.Path(path_type=Path))
@click.option("--benchmark", help="humaneval, starter or mbpp:FILE: whose problems ANSWERS belong to.")
@click.option("--problems", type=click.Path(path_type=Path), help="Or a file of problems in our format.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the verdicts go, one JSON object per answer, in order.")
@click.option(
    "--format", "form", type=click.Choice(["raw", "chat"]), default="raw", show_default=True, help="raw: answers continue the prompt; chat: they stand alone."
)
@click.option("--workers", type=click.IntRange(1), help="Programs judged at once; one per processor when not given.")
@_REQUIRE
@click.option("--cache", metavar="DIR|none", help="Where verdicts are kept to be used again; the user's cache folder when not given.")
@click.option("--flips", is_flag=True, help="Judge twice, the second time on a busy machine and both times without the cache, and say which outcomes differ.")
@click.option("--busy", default=8, show_default=True, type=click.IntRange(1), help="With --flips: processes that keep the machine busy.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="A key of a recipe, such as sandbox.packages='[\"numpy\"]'; may be repeated.")
def judge(
    answers: Path, benchmark: str | None, problems: Path | None, out: Path | None, form: Any, flips: bool, busy: int, overrides: tuple[str, ...], **runtime: Any
) -> None:
    """Judge a file of ANSWERS made elsewhere: task_id (or name) and completion, one JSON object a line. With --flips also all answers of a finished RUN."""
    from rrtf.recipe import assemble

    settings = assemble({}, overrides)
    known = settings.how.sandbox.model_copy(update={name: value for name, value in runtime.items() if value is not None})
    if flips and answers.is_dir():
        from rrtf.flips import run_flips

        _tell_flips(run_flips(answers, known, busy, _tell))
        return
    if (benchmark is None) == (problems is None):
        raise click.UsageError("Give either --benchmark or --problems.")
    if out is None:
        raise click.UsageError("Give --out, the file that the verdicts go to.")
    from rrtf.answer_files import judge_file
    from rrtf.benchmarks import open_benchmark
    from rrtf.errors import SandboxError
    from rrtf.records import Outcome

    chosen = open_benchmark(benchmark or str(problems)).problems()
    if flips:
        from rrtf.flips import file_flips

        _tell_flips(file_flips(answers, chosen, out, settings.sandbox, known, form, busy, _tell))
        return
    found = judge_file(answers, chosen, out, settings.sandbox, known, form, _tell)
    click.echo(found.tally.words())
    for line in found.tally.limit_words():
        click.echo(line)
    click.echo(", ".join(f"{outcome.name} {found.outcomes.get(outcome, 0)}" for outcome in reversed(Outcome)))
    click.echo(found.scores)
    if found.failures:
        name, reason = next(iter(found.failures.items()))
        raise SandboxError(
            f"{len(found.failures)} answers could not be judged, for reasons of ours; the first, {name}: {reason}",
            why="They have no verdict and are not in the output.",
            hint="Run the same command again: only they are tried.",
        )


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _tell_flips(found: FlipTest) -> None:
    from rrtf.errors import SandboxError

    click.echo(f"{found.table()}{found.sentence()}")
    for flip in found.flips:
        click.echo(f"{flip.answer}: {flip.quiet} ({flip.quiet_cause}), busy {flip.busy} ({flip.busy_cause})")
    if found.flips or found.failures:
        raise SandboxError(
            f"{len(found.flips)} outcomes differ, and {found.failures} answers could not be judged both times.",
            why="A verdict that depends on the machine's load is none to learn from.",
            hint="Look at their causes above; a program near its limit of time needs a larger one, and one that asks the clock or random numbers is no answer.",
        )


@cli.command()
@click.argument("kind", type=click.Choice(["humaneval", "mbpp", "apps", "leetcode", "kodcode"]))
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--train", type=int, help="Set this many problems aside for training and hold the others out; as the benchmark says when not given.")
def convert(kind: Literal["humaneval", "mbpp", "apps", "leetcode", "kodcode"], source: Path, out: Path, train: int | None) -> None:
    """Convert SOURCE, a file as its authors released it, to our problem format. `apps` reads TACO too; `humaneval package OUT` needs no file."""
    from rrtf import convert as conversion

    for line in conversion.convert(source, kind, out, train=train).lines():
        click.echo(line)


@cli.command()
@click.argument("repository", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the problems go; beside it, what was set aside and why.")
@click.option("--split", type=click.Choice(["train", "test"]), default="train", show_default=True, help="train: to learn from; test: a benchmark.")
@click.option("--most-tests", default=40, show_default=True, type=click.IntRange(1), help="Tests tried of one function.")
@click.option("--workers", type=click.IntRange(1), help="Programs that run at once; one per processor when not given.")
@_REQUIRE
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="A key of a recipe, such as sandbox.packages='[\"numpy\"]'; may be repeated.")
def mine(repository: Path, out: Path, split: Any, most_tests: int, overrides: tuple[str, ...], **runtime: Any) -> None:
    """Make problems of the documented functions of a Python REPOSITORY and the pytest tests that run them. All of its code runs in the sandbox."""
    from rrtf.mining import MiningConfig
    from rrtf.mining import mine as dig
    from rrtf.recipe import assemble

    settings = assemble({}, overrides)
    known = settings.how.sandbox.model_copy(update={name: value for name, value in runtime.items() if value is not None})
    found = dig(repository, out, MiningConfig(split=split, most_tests=most_tests), settings.sandbox, known, _tell)
    for line in found.lines():
        click.echo(line)
    found.refuse_failures()


@cli.command()
def schema() -> None:
    """Print the JSON Schema of problem and response files."""
    import json

    from rrtf.rows import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


def _brief(summary: object) -> str:
    import json

    return json.dumps(summary, ensure_ascii=False)
