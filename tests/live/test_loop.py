"""The event loop of whoever has none."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from synth.live.loop import run_loop


def test_a_run_uses_the_quick_loop_where_there_is_one():
    uvloop = pytest.importorskip("uvloop")

    async def kind() -> type[asyncio.AbstractEventLoop]:
        return type(asyncio.get_running_loop())

    assert run_loop(kind()) is uvloop.Loop


PRESSED = """\
import asyncio, os, signal, sys
from synth import stopping
from synth.live.loop import run_loop

async def work(again):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(60)
    finally:
        if again:
            os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0)
        print("ended")

stopping.heed()
try:
    with stopping.doing(stopping.interrupt):
        run_loop(work("again" in sys.argv))
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize(
    ("word", "ended"), [("once", (0, "ended\ninterrupted\n", "")), ("again", (130, "", "\nStopped.\n"))]
)
def test_ctrl_c_lets_work_end_and_a_second_one_does_not(word, ended):
    process = subprocess.run([sys.executable, "-c", PRESSED, word], capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout, process.stderr) == ended
