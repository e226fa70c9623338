"""What each stage makes of a case, with models and judges that are made up. Whole runs with real ones are in tests/pipeline."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import user_files

from rrtf import joins
from rrtf.engine import runner
from rrtf.engine.local import InlineExecutor
from rrtf.engine.stage import Case, Failure, MapStage, Row, Task
from rrtf.errors import DataError, EngineError
from rrtf.generation import GenerationHow, ScriptedConfig
from rrtf.joins import Curation, ExamProblem, Ranking
from rrtf.overlap.leaks import OverlapConfig
from rrtf.quality import fitness
from rrtf.quality.gate import GateConfig
from rrtf.quality.rules import RulesConfig
from rrtf.ranking import RankingConfig, Reason
from rrtf.records import Author, CallTest, Outcome, Problem, Response, Verdict
from rrtf.sandbox import ProcessConfig, SandboxRuntime
from rrtf.sandbox.harness import JudgingFailure
from rrtf.stages import curate, evaluate, execute, rank, sample, train
from rrtf.stages.curate import ProblemsConfig
from rrtf.stages.evaluate import DecodingConfig, EvaluateConfig
from rrtf.stages.sample import SampleConfig
from rrtf.training import TrainConfig, TrainHow

BOX, RUNTIME = ProcessConfig(), SandboxRuntime(workers=1)
SCRIPT = ScriptedConfig(default="\n    return x + 1")


def problem(number: int, **changes: Any) -> Problem:
    fields: dict[str, Any] = {
        "name": f"add/{number}",
        "instruction": f"Add {number}.",
        "prompt": f'def add{number}(x: int) -> int:\n    """Add {number}."""\n',
        "entry_point": f"add{number}",
        "tests": (CallTest("[1]", str(number + 1)),),
        "reference": f"def add{number}(x: int) -> int:\n    return x + {number}\n",
    }
    return Problem(**{**fields, **changes})


def answer(of: Problem, index: int = 0, code: str | None = "def f(): ...", role: Any = "student") -> Response:
    return Response(problem_id=of.id, author=Author(role, "m", "r"), index=index, text=code or "", code=code, rule="raw", stop="stop", completion_tokens=5)


def verdict(of: Response, outcome: Outcome = Outcome.PASSED) -> Verdict:
    status: Any = "passed" if outcome is Outcome.PASSED else "wrong"
    return Verdict(problem_id=of.problem_id, response_id=of.id, outcome=outcome, tests=(status,), cause="", cpu_seconds=1.0, wall_seconds=1.0, peak_mb=1.0)


class Judge:
    """Stands in for the sandbox: passes what contains its problem's own number, fails on our side where it is told to."""

    def __init__(self, failing: frozenset[str] = frozenset()) -> None:
        self.failing = failing
        self.judged: list[str] = []

    def __call__(self, items: Iterable[tuple[Problem, Response]]) -> Iterator[Verdict | JudgingFailure]:
        for asked, response in items:
            self.judged.append(response.id)
            if asked.name in self.failing:
                yield JudgingFailure(asked.id, response.id, "the box fell over", 3)
            else:
                right = str(asked.entry_point).replace("add", "+ ")
                yield verdict(response, Outcome.PASSED if right in (response.code or "") else Outcome.PARTIAL)


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Judge:
    made = Judge()

    @contextmanager
    def opened(config: object, runtime: object, tally: object = None) -> Iterator[Judge]:
        assert (config, runtime) == (BOX, RUNTIME)
        yield made

    for module in (fitness, execute, evaluate):
        monkeypatch.setattr(module, "open_judge", opened)
    return made


def do(stage: MapStage, cases: Sequence[Case], known: dict[str, Sequence[Row]] | None = None, inputs: dict[str, Path] | None = None) -> list[Row | Failure]:
    """Open the stage and do the cases; every unit that was expected is ticked."""
    ticks: list[int] = []
    with stage.open(inputs or {})() as work:
        found = list(work(Task(tuple(cases), known or {}, ticks.append)))
    assert sum(ticks) == sum(stage.expected(case) for case in cases)
    return found


def kept(of: Problem, **rows: Sequence[Row]) -> Case:
    return Case(
        of.id,
        {joins.CURATE: [Curation(of)], **{{"student": joins.STUDENT, "teacher": joins.TEACHER, "verdicts": joins.EXECUTE}[k]: v for k, v in rows.items()}},
    )


# ------------------------------------------------------------------------------------------------ curate


@pytest.fixture
def source(tmp_path: Path) -> ProblemsConfig:
    return problems_of(user_files.problems(tmp_path))


def problems_of(path: Path) -> ProblemsConfig:
    return ProblemsConfig(source=str(path), gate=GateConfig(stub_passes="off", weak_tests="off", flaky="off"))


def curated(config: ProblemsConfig, exam: Sequence[Problem] = ()) -> list[Row | Failure]:
    return do(curate.stage(config, BOX, RUNTIME, exam), [Case("", {})])


def test_curate_keeps_what_is_fit_to_learn_from(source: ProblemsConfig, judge: Judge) -> None:
    found = curated(source)
    assert [row.problem.name for row in found] == [f"add/{number}" for number in range(6)]
    assert not any(row.dropped for row in found)
    assert len(judge.judged) == 6


def test_curate_takes_the_first_so_many(source: ProblemsConfig, judge: Judge) -> None:
    assert len(curated(source.model_copy(update={"limit": 2}))) == 2


def test_curate_drops_what_is_examined(source: ProblemsConfig, judge: Judge) -> None:
    exam = [problem(2, name="exam/2")]
    assert {row.problem.name: row.dropped for row in curated(source, exam)}["add/2"] == "it is exam/2 of the examination"


def test_curate_counts_the_same_problem_once(tmp_path: Path, judge: Judge) -> None:
    path = user_files.problems(tmp_path, [user_files.problem(0), user_files.problem(0, name="again"), user_files.problem(1)])
    assert [row.problem.name for row in curated(problems_of(path))] == ["add/0", "add/1"]


def test_curate_stops_at_a_bad_reference_or_drops_it(tmp_path: Path, judge: Judge) -> None:
    path = user_files.problems(tmp_path, [user_files.problem(0), user_files.problem(1, reference="def add1(x):\n    return x\n")])
    config = problems_of(path)
    with pytest.raises(DataError, match=r"1 of 2 problems .* add/1: its reference fails"):
        curated(config)
    dropped = curated(config.model_copy(update={"gate": config.gate.model_copy(update={"reference_fails": "drop"})}))
    assert [row.dropped.split(":")[0] for row in dropped] == ["", "its reference fails"]
    summary = curate.stage(config, BOX, RUNTIME, ()).summarize(iter(dropped))
    assert summary == {"its reference fails": 1, "kept": 1, "dropped, such as": {"its reference fails": ["add/1"]}}


def test_curate_drops_by_rules_overlap_and_likeness_and_says_why(tmp_path: Path, judge: Judge) -> None:
    words = "Tell how many of the books in the given list are on loan."
    files = [
        user_files.problem(0),
        user_files.problem(1, instruction="As an AI language model I can add one."),
        user_files.problem(2, instruction=f"{words} Now!"),
        user_files.problem(3, instruction=f"{words} Twice.", reference="def add3(x):\n    return x + 3\n"),
        user_files.problem(4, instruction="Count the lent books of a library whose shelves nobody has tidied for years."),
        user_files.problem(5, name="add/5b", instruction="Count the lent books of a library whose shelves nobody has tidied for years!", reference=None),
    ]
    exam = [problem(9, name="exam/9", instruction=f"Please: {words}", tests=(CallTest('["a"]', "1"),), reference="def add9(x):\n    return len(x)\n")]
    config = problems_of(user_files.problems(tmp_path, files))
    found = {row.problem.name: row.dropped for row in curated(config, exam)}
    assert found == {
        "add/0": "",
        "add/1": "it holds a refusal: 'As an AI'",
        "add/2": "it says what a benchmark's task says: exam/9: 'tell how many of the books in the given list'",
        "add/3": "it says what a benchmark's task says: exam/9: 'tell how many of the books in the given list'",
        "add/4": "",
        "add/5b": "it is nearly another problem: 100% of the shingles of its statement are those of add/4",
    }
    off = config.model_copy(update={"rules": RulesConfig(refusal="off"), "overlap": OverlapConfig(words="warn")})
    kept = {row.problem.name: row for row in curated(off, exam)}
    assert [name for name, row in kept.items() if row.dropped] == ["add/5b"]
    assert kept["add/2"].findings[0].startswith("it says what a benchmark's task says: exam/9")
    stop = config.model_copy(update={"rules": RulesConfig(refusal="stop")})
    with pytest.raises(DataError, match=r"add/1: it holds a refusal.*--set problems\.rules\.refusal=drop"):
        curated(stop, exam)


def test_benchmarks_that_are_not_examined_are_kept_away_from_too(source: ProblemsConfig, judge: Judge, tmp_path: Path) -> None:
    ten = "one two three four five six seven eight nine ten"
    (tmp_path / "other").mkdir()
    bench = user_files.problems(tmp_path / "other", [user_files.problem(8, instruction=ten)])
    mine = user_files.problems(tmp_path, [user_files.problem(0), user_files.problem(1, instruction=ten)])
    config = problems_of(mine).model_copy(update={"overlap": OverlapConfig(benchmarks=(str(bench),), behaviour="off")})
    assert [row.reason for row in curated(config)] == ["", "it says what a benchmark's task says"]
    assert curate.stage(config, BOX, RUNTIME, ()).identity != curate.stage(problems_of(mine), BOX, RUNTIME, ()).identity


def test_curate_asks_nothing_of_problems_without_a_reference(tmp_path: Path, judge: Judge) -> None:
    path = user_files.problems(tmp_path, [user_files.problem(0, reference=None)])
    assert [row.dropped for row in curated(problems_of(path))] == [""]
    assert judge.judged == []


def test_curate_finds_the_same_in_batches_of_any_size(tmp_path: Path, judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "Return the price of every apple in the basket that grandmother carried home from the market on a rainy day."
    rows = [user_files.problem(number) for number in range(6)]
    rows += [user_files.problem(0, name="equal")]
    rows += [user_files.problem(1, name=name, instruction=f"{said}{more}", prompt="") for name, more in (("apples", ""), ("pears", " Slowly."))]
    path = user_files.problems(tmp_path, rows)
    config = problems_of(path)
    config = config.model_copy(update={"gate": config.gate.model_copy(update={"near_duplicate": "drop", "reference_fails": "drop"})})
    found = curated(config, [problem(4, name="exam/4")])
    assert len({row.reason for row in found if isinstance(row, Curation)}) >= 3
    for size in (1, 2, 3):
        monkeypatch.setattr(curate, "_TOGETHER", size)
        assert curated(config, [problem(4, name="exam/4")]) == found
    stop = config.model_copy(update={"gate": config.gate.model_copy(update={"near_duplicate": "stop"})})
    twins = sum("nearly another problem" in row.dropped for row in found if isinstance(row, Curation))
    assert twins >= 1
    with pytest.raises(DataError, match=rf"{twins} of {len(rows)} problems in .*problems\.jsonl are not fit to learn from: ") as caught:
        curated(stop, [problem(4, name="exam/4")])
    assert "--set problems.gate.near_duplicate=drop" in caught.value.hint


def test_a_file_that_has_not_changed_is_not_read_to_plan(tmp_path: Path, judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    path, run = user_files.problems(tmp_path), tmp_path / "run"
    config = problems_of(path)

    def built(config: ProblemsConfig = config) -> runner.Pipeline:
        return runner.Pipeline(run, [curate.stage(config, BOX, RUNTIME, (), run / "curate")])

    first = built()
    runner.run(first, None, InlineExecutor(), lambda line: None)
    reading: list[Path] = []
    real = curate.stream_problems
    monkeypatch.setattr(curate, "stream_problems", lambda path: (reading.append(path), real(path))[1])
    assert [decision.action for decision in runner.plan(built())] == ["reuse"]
    assert reading == []
    assert built().stages[0].identity == first.stages[0].identity
    assert built(config.model_copy(update={"limit": 2})).stages[0].identity != first.stages[0].identity
    assert reading == [path]
    # The same problems in another file are the same work; another problem is not.
    text = path.read_text()
    path.write_text(text.replace('", "', '",  "'))
    assert [decision.action for decision in runner.plan(built())] == ["reuse"]
    assert reading == [path, path]
    path.write_text(text.replace("Add 3.", "Add three."))
    assert [decision.action for decision in runner.plan(built())] == ["run"]
    # A manifest that cannot be read says nothing; whoever needs it says what is wrong with it.
    path.write_text(text)
    (run / "curate" / "manifest.json").write_text("{")
    assert built().stages[0].identity == first.stages[0].identity


def test_curate_says_nothing_of_a_problem_that_we_could_not_judge(source: ProblemsConfig, judge: Judge) -> None:
    judge.failing = frozenset({"add/3"})
    found = curated(source)
    assert [row.reason for row in found if isinstance(row, Failure)] == ["the reference: the box fell over"]
    assert "add/3" not in {row.problem.name for row in found if isinstance(row, Curation)}
    assert len(found) == 6


# ------------------------------------------------------------------------------------------------ sample


def sampling(n: int, **changes: Any) -> MapStage:
    config = SampleConfig(n=n, prompting="paper")
    return sample.stage(joins.STUDENT, "student", config, changes.get("engine", SCRIPT), "toy", "rev", changes.get("seed", 0), GenerationHow(), 2)


def test_sample_answers_every_kept_problem() -> None:
    cases = [kept(problem(0)), Case(problem(1).id, {joins.CURATE: [Curation(problem(1), "too easy")]}), kept(problem(2))]
    found = do(sampling(3), cases)
    assert [(row.problem_id, row.index) for row in found] == [(problem(number).id, index) for number in (0, 2) for index in range(3)]
    assert {row.author.role for row in found} == {"student"}


def test_sample_asks_only_for_what_is_not_known() -> None:
    known = [answer(problem(0), index) for index in (0, 2, 5)]
    found = do(sampling(4), [kept(problem(0))], {problem(0).id: known})
    assert {row.index: row for row in found}.keys() == {0, 1, 2, 3}
    assert known[0] in found
    assert known[1] in found
    assert known[2] not in found, "beyond n"


def test_sample_is_the_same_work_for_another_n_and_another_for_another_seed() -> None:
    assert sampling(2).identity == sampling(9).identity
    assert sampling(2).extent != sampling(9).extent
    assert sampling(2).identity != sampling(2, seed=1).identity
    assert sampling(2).identity != sampling(2, engine=ScriptedConfig(default="other")).identity


def test_sample_summary_counts_rules_and_stops() -> None:
    rows = [answer(problem(0)), answer(problem(0), 1)]
    assert sampling(2).summarize(iter(rows)) == {"responses": 2, "tokens": 10, "extraction": {"raw": 2}, "stop": {"stop": 2}}


def test_references_are_the_teachers_answers() -> None:
    found = do(sample.reference_stage(joins.TEACHER), [kept(problem(0)), kept(problem(1, reference=None))])
    assert [(row.problem_id, row.author.role) for row in found] == [(problem(0).id, "reference")]


# ------------------------------------------------------------------------------------------------ execute


def executing() -> MapStage:
    return execute.stage(BOX, RUNTIME, lambda: None, 2)


def test_execute_judges_every_answer(judge: Judge) -> None:
    right, wrong = answer(problem(1), 0, "return x + 1"), answer(problem(1), 1, "return x")
    found = do(executing(), [kept(problem(1), student=[right, wrong], teacher=[answer(problem(1), code="+ 1", role="reference")])])
    assert {row.response_id: row.outcome for row in found}[right.id] is Outcome.PASSED
    assert {row.response_id: row.outcome for row in found}[wrong.id] is Outcome.PARTIAL
    assert len(found) == 3


def test_execute_keeps_a_verdict_on_the_same_answer(judge: Judge) -> None:
    old, new = answer(problem(1), 0), answer(problem(1), 1)
    found = do(executing(), [kept(problem(1), student=[old, new])], {problem(1).id: [verdict(old), verdict(answer(problem(1), 9))]})
    assert judge.judged == [new.id]
    assert {row.response_id for row in found} == {old.id, new.id}


def test_execute_judges_a_text_again_that_is_read_otherwise_now(judge: Judge) -> None:
    old, now = answer(problem(1), 0, "x + 2"), answer(problem(1), 0, "x + 1")
    now = Response(
        **{**{name: getattr(now, name) for name in ("problem_id", "author", "index", "code", "rule", "stop", "completion_tokens")}, "text": old.text}
    )
    found = do(executing(), [kept(problem(1), student=[now])], {problem(1).id: [verdict(old, Outcome.PARTIAL)]})
    assert [row.outcome for row in found] == [Outcome.PASSED]


def test_execute_passes_our_failures_on(judge: Judge) -> None:
    judge.failing = frozenset({"add/1"})
    found = do(executing(), [kept(problem(1), student=[answer(problem(1))]), kept(problem(2), student=[answer(problem(2))])])
    assert [type(row) for row in found] == [Failure, Verdict]


def test_execute_summary_names_every_outcome() -> None:
    assert executing().summarize(iter([verdict(answer(problem(1)))])) == {"COMPILE_ERROR": 0, "RUNTIME_ERROR": 0, "PARTIAL": 0, "PASSED": 1}


# ------------------------------------------------------------------------------------------------ rank


def ranked(*outcomes: Outcome | None) -> Ranking:
    """Rank a teacher that passes against students with these outcomes; None is an answer without a verdict."""
    teacher = answer(problem(1), code="def add1(x): return x + 1", role="reference")
    students = [answer(problem(1), index, f"def add1(x): return {index}") for index in range(len(outcomes))]
    verdicts = [verdict(teacher), *(verdict(student, outcome) for student, outcome in zip(students, outcomes, strict=True) if outcome is not None)]
    (row,) = do(rank.stage(RankingConfig()), [kept(problem(1), teacher=[teacher], student=students, verdicts=verdicts)])
    return row


def test_rank_decides_every_kept_problem() -> None:
    row = ranked(Outcome.PARTIAL, Outcome.RUNTIME_ERROR)
    assert row.decision == "kept"
    assert row.preference is not None
    assert sorted(pair.margin for pair in row.preference.pairs) == [1.0, 2.0]


def test_rank_leaves_out_what_failed_on_our_side() -> None:
    row = ranked(Outcome.PARTIAL, None)
    assert row.preference is not None
    assert len(row.preference.answers) == 2


def test_rank_names_the_reason_of_a_drop() -> None:
    (row,) = do(rank.stage(RankingConfig()), [kept(problem(1), student=[answer(problem(1))], verdicts=[])])
    assert (row.decision, row.preference) == (str(Reason.NO_TEACHER), None)


def test_rank_says_nothing_of_dropped_problems() -> None:
    assert do(rank.stage(RankingConfig()), [Case(problem(1).id, {joins.CURATE: [Curation(problem(1), "bad")]})]) == []


def test_rank_summary_counts_decisions() -> None:
    summary = rank.stage(RankingConfig()).summarize(iter([ranked(Outcome.PARTIAL), Ranking("p-2", "no teacher answer", None)]))
    assert summary == {"decisions": {"kept": 1, "no teacher answer": 1}, "answers": 2, "pairs": 1}


# ------------------------------------------------------------------------------------------------ train


def test_training_examples_are_what_the_model_will_be_asked() -> None:
    from rrtf.prompting import answer_text, render

    decided = ranked(Outcome.PARTIAL)
    cases = [
        Case(problem(1).id, {joins.CURATE: [Curation(problem(1))], joins.RANK: [decided]}),
        Case("x", {joins.CURATE: [Curation(problem(2))], joins.RANK: []}),
    ]
    (example,) = train.examples(iter(cases), "paper")
    assert example.prompt.text == render("paper", problem(1)).text
    assert decided.preference is not None
    assert example.answers == tuple(answer_text("paper", problem(1), item.code) for item in decided.preference.answers)


def test_the_seed_of_the_run_reaches_training() -> None:
    stages = [train.stage(TrainConfig(seed=inner), TrainHow(), "paper", "m", "r", outer) for inner, outer in ((0, 0), (0, 1), (1, 0))]
    assert len({str(stage.identity) for stage in stages}) == 3


def test_how_to_train_bears_no_identity() -> None:
    one, other = (train.stage(TrainConfig(), TrainHow(micro_batch_tokens=size), "paper", "m", "r", 0) for size in (64, 4096))
    assert one.identity == other.identity


# ------------------------------------------------------------------------------------------------ evaluate

EXAM = [ExamProblem("easy", problem(1, split="test")), ExamProblem("hard", problem(2, split="test"))]
CASES = [Case(row.problem.id, {joins.EXAM: [row]}) for row in EXAM]
CONFIG = EvaluateConfig(decodings={"greedy": DecodingConfig(), "warm": DecodingConfig(n=2, temperature=0.5, benchmarks=("hard",))}, before=("paper", "raw"))


def sitting(config: EvaluateConfig = CONFIG, prompting: tuple[Any, ...] = ("paper", "raw")) -> MapStage:
    return evaluate.stage(
        joins.BEFORE, config=config, prompting=prompting, engine=SCRIPT, model="toy", revision="r", trained=None,
        sandbox=BOX, runtime=RUNTIME, how=GenerationHow(), part_cases=2, notes=lambda: None,
    )  # fmt: skip


def test_an_examination_is_every_format_and_decoding(judge: Judge) -> None:
    found = do(sitting(), CASES)
    assert {(row.benchmark, row.prompting, row.decoding, row.response.index) for row in found} == {
        (benchmark, form, decoding, index)
        for form in ("paper", "raw")
        for benchmark, decoding, index in (("easy", "greedy", 0), ("hard", "greedy", 0), ("hard", "warm", 0), ("hard", "warm", 1))
    }
    assert {row.benchmark: row.verdict.outcome for row in found} == {"easy": Outcome.PASSED, "hard": Outcome.PARTIAL}
    assert all(row.verdict.response_id == row.response.id for row in found)


def test_an_examination_asks_only_for_what_is_not_known(judge: Judge) -> None:
    everything = do(sitting(), CASES)
    known: dict[str, Sequence[Row]] = {case.key: [row for row in everything if row.response.problem_id == case.key] for case in CASES}
    judge.judged.clear()
    more = CONFIG.model_copy(update={"decodings": {**CONFIG.decodings, "warm": DecodingConfig(n=3, temperature=0.5, benchmarks=("hard",))}})
    found = do(sitting(more), CASES, known)
    assert len(judge.judged) == 2
    assert len(found) == len(everything) + 2
    assert all(row in found for row in everything)


def test_another_decoding_or_format_pays_for_itself_alone(judge: Judge) -> None:
    everything = do(sitting(), CASES)
    known: dict[str, Sequence[Row]] = {case.key: [row for row in everything if row.response.problem_id == case.key] for case in CASES}
    cold = {**CONFIG.decodings, "cold": DecodingConfig(temperature=0.1, benchmarks=("hard",))}
    for more, formats, answers in (
        (CONFIG.model_copy(update={"decodings": cold}), ("paper", "raw"), 2),
        (CONFIG, ("paper", "raw", "chat"), 4),
        # The name stays and the temperature changes: these are other answers.
        (CONFIG.model_copy(update={"decodings": {**CONFIG.decodings, "greedy": DecodingConfig(temperature=0.3)}}), ("paper", "raw"), 4),
    ):
        assert sitting(more, formats).identity == sitting().identity
        assert sitting(more, formats).extent != sitting().extent
        judge.judged.clear()
        found = do(sitting(more, formats), CASES, known)
        assert len(judge.judged) == answers
        assert all(row.temperature == more.decodings[row.decoding].temperature for row in found)


def test_answers_move_with_their_problem_to_another_benchmark(judge: Judge) -> None:
    everything = do(sitting(), CASES)
    known: dict[str, Sequence[Row]] = {case.key: [row for row in everything if row.response.problem_id == case.key] for case in CASES}
    judge.judged.clear()
    renamed = [Case(case.key, {joins.EXAM: [replace(exam, benchmark="hard")]}) for case, exam in zip(CASES, EXAM, strict=True)]
    found = do(sitting(), renamed, known)
    assert {row.benchmark for row in found} == {"hard"}
    # The decoding that only `hard` is asked in is new for the problem that moved there.
    assert len(judge.judged) == 4


def test_an_examination_forgets_answers_of_other_weights(judge: Judge) -> None:
    everything = do(sitting(), CASES)
    strange = [replace(row, response=answer(problem(1))) for row in everything]
    assert len(do(sitting(), CASES, {case.key: strange for case in CASES})) == len(everything)
    assert len(judge.judged) == 2 * len(everything)


def test_an_examination_passes_our_failures_on(judge: Judge) -> None:
    judge.failing = frozenset({"add/2"})
    found = do(sitting(prompting=("paper",)), CASES)
    assert [row.key for row in found if isinstance(row, Failure)] == [problem(2).id] * 3
    assert len(found) == 4


def test_the_examination_itself_is_rows() -> None:
    stage = evaluate.exam_stage(EXAM)
    assert do(stage, [Case("", {})]) == EXAM
    assert stage.summarize(iter(EXAM)) == {"easy": 1, "hard": 1}


def test_the_trained_model_is_found_beside_its_manifest(tmp_path: Path) -> None:
    stage = evaluate.stage(
        joins.AFTER, config=CONFIG, prompting=("paper",), engine=SCRIPT, model=None, revision="", trained=joins.TRAIN,
        sandbox=BOX, runtime=RUNTIME, how=GenerationHow(), part_cases=2, notes=lambda: None,
    )  # fmt: skip
    assert stage.reads == (joins.EXAM, joins.TRAIN)
    with pytest.raises(DataError, match="holds no finished artefact"):
        stage.open({joins.TRAIN: tmp_path})


# ------------------------------------------------------------------------------------------------ what all of them promise


def test_work_travels_to_other_processes(source: ProblemsConfig) -> None:
    stages = [curate.stage(source, BOX, RUNTIME, ()), sampling(2), sample.reference_stage(joins.TEACHER), executing(), rank.stage(RankingConfig()), sitting()]
    for stage in [*stages, evaluate.exam_stage(EXAM)]:
        opener = pickle.loads(pickle.dumps(stage.open({})))
        assert isinstance(opener, partial) or callable(opener)


def test_a_model_that_cannot_be_opened_is_a_sentence(tmp_path: Path) -> None:
    from rrtf.generation import TransformersConfig

    stage = sample.stage(joins.STUDENT, "student", SampleConfig(), TransformersConfig(), str(tmp_path / "gone"), "r", 0, GenerationHow(), 2)
    with pytest.raises(EngineError, match="There is no model at"):
        do(stage, [kept(problem(1))])
