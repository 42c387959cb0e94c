"""Real vLLM servers of tiny models, started once for all tests of this folder: each takes one to three CPU minutes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import synth
from tests.real.exercises import COUNT, recipe
from tests.real.started import MODELS, SMALL, SURROUNDINGS, THINKING, VLLM, Server, python

SERVED = {
    "student": ("lm", SMALL),
    "rewards": ("reward", (*SMALL, "--runner", "pooling")),
    "taught": ("teacher", THINKING),
}


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Path:
    """The folder of the models: random ones, and a teacher that was trained."""
    folder = tmp_path_factory.mktemp("models")
    for what in ("build", "train"):
        subprocess.run([python(), MODELS, what, folder], check=True, capture_output=True, timeout=600)
    return folder


@pytest.fixture(scope="session")
def running(models, tmp_path_factory) -> Iterator[dict[str, Server]]:
    """The servers by the names of teachers, started side by side."""
    logs = tmp_path_factory.mktemp("logs")
    started = {name: Server(models / model, logs / name, options) for name, (model, options) in SERVED.items()}
    try:
        for server in started.values():
            server.start()
        for server in started.values():
            server.wait()
        yield started
    finally:
        for server in started.values():
            server.kill()


@pytest.fixture(scope="session")
def servers(running) -> dict[str, str]:
    """Their base URLs."""
    return {name: server.url for name, server in running.items()}


@pytest.fixture(scope="session")
def exercises() -> list[dict[str, str]]:
    made = subprocess.run(
        [python(), MODELS, "exercises", str(COUNT), "7"], check=True, capture_output=True, timeout=300
    )
    return [json.loads(line) for line in made.stdout.splitlines()]


@pytest.fixture(scope="session")
def rows(tmp_path_factory, exercises, servers) -> bytes:
    """What comes of the recipe by a server that is there."""
    folder = tmp_path_factory.mktemp("there")
    result = synth.run(recipe(folder / "recipe", exercises, servers["taught"], own=False), folder=folder / "run")
    assert (result.exit_code, result.message) == (0, "")
    return (folder / "run" / "rows.jsonl").read_bytes()


@pytest.fixture
def surroundings(monkeypatch):
    """What a vLLM of the run's own finds: where it is, and that it is to be small."""
    monkeypatch.setenv("SYNTH_VLLM", str(VLLM))
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    for name, value in SURROUNDINGS.items():
        monkeypatch.setenv(name, value)
