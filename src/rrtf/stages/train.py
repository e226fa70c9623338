"""train: preferences -> a better student, as an ordinary Hugging Face folder (paper, section 3.4)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from rrtf.engine.artifacts import require_manifest
from rrtf.engine.stage import Case, FoldStage, FoldTask
from rrtf.errors import DataError
from rrtf.identity import Json
from rrtf.joins import CURATE, EXECUTE, RANK, STUDENT, TEACHER, TRAIN, kept_problem, ranking
from rrtf.prompting import FormatName, answer_text, render
from rrtf.records import Pair, Preference, Problem

_MODEL = "model"


def model_folder(stage_folder: Path) -> Path:
    """The trained model in a finished train artefact."""
    manifest = require_manifest(stage_folder)
    return (stage_folder / manifest.parts[0].file).parent
