"""Starts real servers, and says where vLLM is: what the tests of this folder share."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from synth.backends.own_vllm.served import KEEPER

VLLM = os.environ.get("SYNTH_VLLM") or shutil.which("vllm")
START_S = 900
NEEDS_VLLM = [
    pytest.mark.vllm,
    pytest.mark.skipif(VLLM is None, reason="no vLLM: set SYNTH_VLLM to its command, or put it on the path"),
    pytest.mark.timeout(START_S + 120),
]
MODELS = Path(__file__).parent / "tiny_models.py"
SMALL = ("--dtype", "float32", "--max-model-len", "512", "--enforce-eager")
THINKING = (*SMALL, "--reasoning-parser", "qwen3")
"""The options of the teacher that thinks."""
SURROUNDINGS = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
}


def python() -> str:
    """The Python that has vLLM, torch and transformers."""
    return str(Path(VLLM).parent / "python")


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def until_ready(process: subprocess.Popen[bytes], url: str, log: Path, start_s: float) -> None:
    """Wait until a server answers at a URL; what it said is told when it does not."""
    until = time.monotonic() + start_s
    while time.monotonic() < until and process.poll() is None:
        try:
            with urlopen(url, timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.5)
    pytest.fail(f"it did not start: {log.read_text(errors='replace')[-2000:]}")


@contextmanager
def serving(
    command: Sequence[str | Path], ready: str, log: Path, *, start_s: float, more: Mapping[str, str] | None = None
) -> Iterator[None]:
    """A server that runs as long as the body; `ready` is the URL at which it answers, `more` its environment's."""
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env={**os.environ, **(more or {})})
    try:
        until_ready(process, ready, log, start_s)
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


class Server:
    """A `vllm serve` that can be killed and started again at the same port."""

    def __init__(self, model: Path, log: Path, options=SMALL) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self._log = log
        self._command = [VLLM, "serve", model, "--host", "127.0.0.1", "--port", str(self.port),
                         "--served-model-name", "tiny", "--enable-prompt-tokens-details", *options]  # fmt: skip

    def start(self) -> None:
        """Start it; it is not ready yet."""
        more = SURROUNDINGS | {"PATH": f"{Path(VLLM).parent}:{os.environ['PATH']}"}
        environment = {name: one for name, one in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | more
        with self._log.open("ab") as log:
            # under a keeper, so that it ends with the tests, however they end
            self._process = subprocess.Popen(
                [sys.executable, "-I", KEEPER, *self._command],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until it serves."""
        until_ready(self._process, self.url.removesuffix("/v1") + "/health", self._log, START_S)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End it and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
        self._process.wait(60)
        self._process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
