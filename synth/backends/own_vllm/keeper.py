"""Runs a command for as long as whoever started this lives: at the end of standard input it ends the whole group.

Run as a script, leader of a group of its own; needs nothing but Python.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading

GRACE_S = 20.0


def main() -> None:
    """The command's exit code is this one's, a signal's as a shell tells it."""
    signal.signal(signal.SIGTERM, stay)
    child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)  # noqa: S603 (what synth built)
    alone = threading.Event()
    ending = threading.Thread(target=end, args=(child, alone), daemon=True)
    ending.start()
    code = child.wait()
    if alone.is_set():
        ending.join()
    sys.exit(code if code >= 0 else 128 - code)


def stay(_number: int, _frame: object) -> None:
    """It ends with its child. To ignore the signal would make the child ignore it too."""


def end(child: "subprocess.Popen[bytes]", alone: threading.Event) -> None:
    """Wait for the end of standard input, then end the command kindly, and whatever is left of the group at once."""
    while os.read(0, 1024):
        pass
    alone.set()
    child.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(GRACE_S)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
