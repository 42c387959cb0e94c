"""Every figure of the engine, one bench after the other: speed, faults, a million rows, the lag, the controller.

    PYTHONPATH=. .venv/bin/python tests/bench/engine.py [--only throughput] [--brief]

About 40 minutes, or 8 with `--brief`, which leaves out the long runs. Whoever may gets real-time priority for all that
measures time (`chrt -f 5`), so that what else the machine does counts less; give it two quiet cores even so.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
BRIEF = (
    "throughput.py --rows 20000 --in-flight 256 1024 --latency-ms 0 200 --profile",
    "throughput.py --rows 20000 --in-flight 256 --latency-ms 0 --gates",
    "faults.py",
)
LONG = (
    "throughput.py --rows 60000 --in-flight 256 --latency-ms 200",
    "throughput.py --rows 40000 --in-flight 1024 --latency-ms 2000",
    "million.py --rows 100000 1000000",
    "lag.py",
    "controller.py",
    "controller_live.py",
)
UNHURRIED = ("controller.py", "lag.py")
"""One plays in virtual time; to the other the loop's own threads matter, of which at that priority none makes way."""


def real_time() -> list[str]:
    """What gives a command real-time priority; nothing where that is not allowed."""
    chrt = shutil.which("chrt")
    may = chrt is not None and subprocess.run([chrt, "-f", "5", "true"], capture_output=True).returncode == 0
    return [chrt, "-f", "5"] if chrt is not None and may else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="those whose command holds this")
    parser.add_argument("--brief", action="store_true")
    asked = parser.parse_args()
    first = real_time()
    paths = os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    for command in BRIEF if asked.brief else (*BRIEF, *LONG):
        if asked.only not in command:
            continue
        name, *options = shlex.split(command)
        print(f"\n== {command}", flush=True)
        began = time.monotonic()
        before = [] if name in UNHURRIED else first
        done = subprocess.run(
            [*before, sys.executable, str(HERE / name), *options], env={**os.environ, "PYTHONPATH": paths}
        )
        print(f"== {time.monotonic() - began:.0f} s" + (f", exit {done.returncode}" if done.returncode else ""))


if __name__ == "__main__":
    main()
