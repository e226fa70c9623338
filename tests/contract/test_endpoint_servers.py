"""The `openai` engine against real servers of the embedded student, where installed: llama.cpp's `llama-server` on the PATH, or vLLM beside us.

What else they keep and do not keep, `benchmarks/endpoint_servers.py` asks of any server.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rrtf import checkpoints
from rrtf.errors import EngineError
from rrtf.generation import OpenAIConfig, open_generator
from rrtf.generation.endpoints import EndpointHow
from rrtf.protocols import Prompt, Sampling
from rrtf.records import Completion

pytestmark = pytest.mark.slow
STUDENT = "smollm2-135m-instruct"
MINUTES = 10
RAW = [Prompt("add", "def add(a, b):\n", (0, 1, 2)), Prompt("even", "def is_even(n):\n", (3,))]
CHAT = [Prompt("chat", "Write a Python function that adds two numbers.", (5, 6), chat=True, prefill="```python\n")]
DRAWN = Sampling(temperature=0.8, top_p=0.95, max_new_tokens=16)


def _command(server: str, port: int) -> list[str]:
    if server == "llama.cpp":
        found, source = shutil.which("llama-server"), checkpoints.resolve(STUDENT)
        if found is None or source.folder is None:
            pytest.skip("llama.cpp's llama-server is not on the PATH, or the embedded student is not installed")
        return [found, "-m", str(source.folder / source.gguf), "--alias", "student", "--port", str(port), "-c", "4096", "--parallel", "4", "-t", "2"]
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed in this environment")
    folder = str(checkpoints.load(STUDENT, "float32").model.name_or_path)
    options = ["--dtype", "float32", "--max-model-len", "1024", "--enforce-eager", "--distributed-executor-backend", "uni", "--gpu-memory-utilization", "0.1"]
    return [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", folder, "--served-model-name", "student", "--port", str(port), *options]


@pytest.fixture(scope="module", params=["llama.cpp", "vllm"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command, log = _command(request.param, port), tmp_path_factory.mktemp("server") / "log"
    env = os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_NO_USAGE_STATS": "1"}
    with log.open("wb") as stream, subprocess.Popen(command, stdout=stream, stderr=stream, env=env) as process:
        try:
            _wait(f"http://127.0.0.1:{port}/health", process, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60 * MINUTES
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    pytest.fail(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")


def _asked(url: str, prompts: list[Prompt], sampling: Sampling, model: str = "student", **settings: Any) -> dict[tuple[str, int], Completion]:
    how = EndpointHow(cache="none", timeout_seconds=300)
    with open_generator(OpenAIConfig(base_url=url, how=how, **settings), model) as generator:
        found = list(generator.generate(prompts, sampling))
    assert sorted((c.key, c.index) for c in found) == sorted((p.key, i) for p in prompts for i in range(len(p.seeds)))
    return {(c.key, c.index): c for c in found}


@pytest.mark.parametrize("seeds", ["together", "each"])
def test_every_answer_comes_once_with_counts(url: str, seeds: str) -> None:
    for c in _asked(url, [*RAW, *CHAT], DRAWN, seeds=seeds).values():
        assert 1 <= c.completion_tokens <= 16
        assert c.prompt_tokens > 1


def test_seeds_of_one_prompt_give_answers_of_their_own(url: str) -> None:
    found = _asked(url, [Prompt("p", "def ", tuple(range(6)))], DRAWN, seeds="each")
    assert len({c.text for c in found.values()}) > 1


def test_text_ends_before_the_stop_string_and_within_the_limit(url: str) -> None:
    free = _asked(url, RAW, Sampling(max_new_tokens=24))
    for key, c in _asked(url, RAW, Sampling(max_new_tokens=24, stop=("a",))).items():
        assert c.text == free[key].text.partition("a")[0]
        assert c.stop == "stop" or "a" not in free[key].text
    for c in _asked(url, RAW, Sampling(max_new_tokens=3)).values():
        assert (c.stop, c.completion_tokens) == ("length", 3)


def test_what_does_not_fit_is_refused_in_a_sentence(url: str) -> None:
    with pytest.raises(EngineError):
        _asked(url, [Prompt("long", "word " * 20_000, (0,))], DRAWN)
