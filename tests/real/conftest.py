"""Real vLLM servers of tiny models, started once for all tests of this folder: each takes one to three CPU minutes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.started import MODELS, SMALL, THINKING, Server, python

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
