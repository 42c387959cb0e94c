"""Ctrl-C in a command that has just begun, or is about to end: one sentence, and the exit code of what was interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PRESS = """
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.1)
except BaseException as error:
    raise RuntimeError("as pydantic makes one of whatever it meets in a class") from error
"""
PRESSED = """\
import os, signal, sys, time
class Pressed:
    def find_spec(self, name, *_):
        if name == {module!r}:
            exec({press!r})
sys.meta_path.insert(0, Pressed())
from synth.__main__ import main
main()
"""
"""The command, with Ctrl-C as a module is about to be imported."""


def called(module: str, *words: str | Path, **how) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PRESSED.format(module=module, press=PRESS), *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        **how,
    )


@pytest.mark.parametrize("module", ["click", "synth.cli", "synth.errors", "pydantic", "synth.recipes.loading"])
def test_ctrl_c_while_modules_are_imported_is_one_sentence(module, write_recipe):
    ended = called(module, "check", write_recipe())
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "\nStopped.\n")


def test_ctrl_c_while_a_file_of_the_users_own_is_read_is_one_sentence(write_recipe):
    recipe = write_recipe()
    (recipe / "checks.py").write_text(f"import os, signal, time\n{PRESS}", encoding="utf-8")
    text = (recipe / "recipe.yaml").read_text(encoding="utf-8").replace("kind: finished", "kind: 'checks.py:Own'")
    (recipe / "recipe.yaml").write_text(text, encoding="utf-8")
    ended = called("", "check", recipe)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "\nStopped.\n")


def test_ctrl_c_that_is_ignored_stays_so(write_recipe):
    def ignore() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    assert called("pydantic", "check", write_recipe(), preexec_fn=ignore).returncode == 0


CLOSING = """\
import asyncio, os, signal, threading, time
from synth import stopping
from synth.live.loop import run_loop
async def work():
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 1)
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    return "済み"
stopping.heed()
with stopping.doing(stopping.interrupt):
    print(run_loop(work()))
"""


def test_ctrl_c_while_the_threads_of_what_is_done_already_come_to_their_end_says_nothing():
    ended = subprocess.run(
        [sys.executable, "-c", CLOSING],
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "済み\n", "")
