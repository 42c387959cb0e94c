"""The server that keeps its own books, and the driver whose children run synth and are killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.forked import end

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


class Processes:
    """Both of them, from the first run to the last."""

    def __init__(self, server: str) -> None:
        self._server, self._driver = (
            subprocess.Popen(
                [sys.executable, HERE / name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            for name in (server, "driver.py")
        )
        self.address = f"http://127.0.0.1:{int(self._server.stdout.readline())}"

    def drive(self, command: dict[str, object]) -> int:
        """Have a child do what the command says; gives how it ended."""
        self._driver.stdin.write(json.dumps(command) + "\n")
        self._driver.stdin.flush()
        return int(self._driver.stdout.readline())

    def close(self) -> None:
        end(self._driver, self._server)
