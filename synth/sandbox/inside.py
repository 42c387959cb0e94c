"""What runs inside the sandbox: limits itself, runs the code, then its tests, and reports on standard output.

It is handed to the sandboxed Python as text and imports nothing but the standard library. One process runs it all, so
code that sets out to deceive can still report a success that never was; it cannot do harm.
"""

from __future__ import annotations

import json
import linecache
import os
import resource
import sys
import traceback
import types
from typing import Any

LONGEST = 400
NOBODY = 65534


def confine(limits: dict[str, list[int]]) -> None:
    """Hold this process to its limits for good, and leave root behind."""
    for name, (soft, hard) in limits.items():
        resource.setrlimit(getattr(resource, name), (soft, hard))
    if os.getuid() == 0:  # the limit of threads does not hold for root
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def run(source: str, name: str, module: types.ModuleType) -> None:
    """Execute a piece of source in a module."""
    # tracebacks and `inspect` find the source here
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    exec(compile(source, name, "exec"), module.__dict__)  # noqa: S102 (what this process is for)


def told(error: BaseException) -> str:
    """An exception in a line, with the test's own line that raised it."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith("<test")]
    where = f" at `{frames[-1].line}`" if frames and frames[-1].line else ""
    return (f"{type(error).__name__}: {error}".removesuffix(": ") + where)[:LONGEST]


def verdict(work: dict[str, Any]) -> str:
    """Run code and tests; what failed, or an empty text."""
    module = types.ModuleType("answer")
    sys.modules["answer"] = module  # dataclasses and pickle look their module up
    stage = "the code"
    try:
        run(work["code"], "<code>", module)
        for number, test in enumerate(work["tests"], 1):
            stage = f"test {number} of {len(work['tests'])}"
            run(test, f"<test {number}>", module)
        entry, check = work["entry_point"], module.__dict__.get("check")
        if entry and callable(check):
            stage = "check"
            check(getattr(module, entry))
    except BaseException as error:  # noqa: BLE001 (whatever it is, it is the verdict)
        return f"{stage}: {told(error)}"
    return ""


def main() -> None:
    """Read the work, do it, and report in two lines: that it begins, and how it ended."""
    work = json.loads(sys.stdin.buffer.read())
    report = os.dup(1)
    silence = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(silence, descriptor)
    confine(work["limits"])
    os.write(report, f"{work['token']} began\n".encode())
    failed = verdict(work)
    os.write(report, f"{work['token']} {json.dumps(failed)}\n".encode())
    os._exit(0)  # threads that the code left do not hold the verdict up


if __name__ == "__main__":
    main()
