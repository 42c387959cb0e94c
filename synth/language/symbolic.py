"""Whether two mathematical expressions are equal, told by math-verify in a process of its own.

It stops itself with signals, which only a main thread may use, and some comparisons do not end; here such a process is
ended and replaced. Only LaTeX is read, by a grammar: nothing of what a model wrote is evaluated as code.
math-verify: https://github.com/huggingface/Math-Verify
"""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
import threading
from importlib.util import find_spec

MISSING = "`symbolic` needs the package math-verify; install it with: pip install 'synth[math]'"
COMPARE_S = 10.0
START_S = 60.0
LONGEST = 500
WORKER = """
import json, logging, sys
from math_verify import parse, verify
from math_verify.parser import LatexExtractionConfig
logging.disable()
def read(text):
    return parse(f"${text}$", extraction_config=[LatexExtractionConfig()], parsing_timeout=3)
print("ready", flush=True)
for line in sys.stdin:
    given, reference = json.loads(line)
    print(json.dumps(bool(verify(read(reference), read(given), timeout_seconds=3))), flush=True)
"""

_lock = threading.Lock()
_running: list[subprocess.Popen[str]] = []


def installed() -> bool:
    """Whether math-verify is there."""
    return find_spec("math_verify") is not None


def equal(given: str, reference: str) -> bool:
    """Whether two expressions, in LaTeX or plain, are equal; False when that could not be told in 10 seconds.

    Waits for its turn: call it from a thread.
    """
    if max(len(given), len(reference)) > LONGEST:
        return False
    with _lock:
        if not _running:
            worker = subprocess.Popen(  # noqa: S603 (our own words)
                [sys.executable, "-c", WORKER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            _running.append(worker)
            if _read(worker, START_S) != "ready":
                _end()
                return False
        worker = _running[0]
        assert worker.stdin is not None
        try:
            worker.stdin.write(json.dumps([given, reference]) + "\n")
            worker.stdin.flush()
        except BrokenPipeError:
            _end()
            return False
        said = _read(worker, COMPARE_S)
        if said not in ("true", "false"):
            _end()
        return said == "true"


def _read(worker: subprocess.Popen[str], patience_s: float) -> str:
    assert worker.stdout is not None
    timer = threading.Timer(patience_s, worker.kill)
    timer.start()
    try:
        return worker.stdout.readline().strip()
    finally:
        timer.cancel()


def _end() -> None:
    while _running:
        worker = _running.pop()
        worker.kill()
        with worker:  # closes its pipes and waits
            pass


atexit.register(_end)
