"""Runs recipes in forked children and kills them with SIGKILL: at a named point, or after a while.

    python tests/crash/driver.py

Reads one JSON command a line (`recipe`, `folder`, `acknowledged`; `url` where the recipe does not say it; `reuse`,
earlier runs whose replies it is given; and `point` with `nth`, or `after_s`, or neither) and prints how the child ended:
its exit status, or -9 when it was killed. synth itself knows nothing of this: the points are functions that are wrapped here, in the child.
"""

from __future__ import annotations

import functools
import gc
import hashlib
import inspect
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow.json
import pyarrow.parquet  # noqa: F401
import uvloop

from synth import pipeline
from synth.backends import wire
from synth.backends.batch.openai import OpenAIOrders
from synth.datasets import export, files
from synth.profiles import named
from synth.recipes.loading import Overrides, load
from synth.results import outcomes
from synth.storage import store, writer
from tests.forked import make_two

Fire = Callable[[], None]
Point = tuple[Any, str, str, Callable[..., bool] | None]
"""Where: the owner of a function, its name, `before` or `after`, and which of its calls count."""


def _of(table: str) -> Callable[..., bool]:
    return lambda _connection, _compressor, batch, _number: any(row[0] == table for row in batch)


POINTS: dict[str, Point] = {
    "before the intent commit": (writer, "_commit", "before", _of("attempt")),
    "inside the intent commit": (writer, "_insert", "before", lambda table, _rows: table == "attempt"),
    "after the intent commit": (writer, "_commit", "after", _of("attempt")),
    "before the send": (wire.Wire, "send", "before", None),
    "after the send": (wire.Connection, "ask", "after", None),
    "after the headers": (wire.Connection, "on_headers_complete", "after", None),
    "after the body": (wire.Wire, "send", "after", None),
    "before the reply commit": (writer, "_commit", "before", _of("reply")),
    "inside the reply commit": (writer, "_insert", "before", lambda table, _rows: table == "reply"),
    "after the reply commit": (writer, "_commit", "after", _of("reply")),
    "before settling": (store.Store, "settle", "before", None),
    "after settling": (store.Store, "settle", "after", None),
    "after the settling commit": (writer, "_commit", "after", _of("settled")),
    "while outcomes are written": (outcomes.Outcomes, "_flush", "before", None),
    "while rows are written": (export.Split, "add", "before", None),
    "while Parquet is written": (export.Split, "_flush", "before", None),
    "while rejections are written": (export, "rejected_row", "before", None),
    "before a file takes its name": (files.Path, "replace", "before", None),
    "after a file took its name": (files.Path, "replace", "after", None),
    "before the manifest": (pipeline, "write_manifest", "before", None),
    "after the manifest": (pipeline, "write_manifest", "after", None),
    "before the card": (pipeline, "write_card", "before", None),
    "before the report": (pipeline, "write_report", "before", None),
    "after the report": (pipeline, "write_report", "after", None),
    "before the store is closed": (store.Store, "close", "before", None),
}
BATCH_POINTS: dict[str, Point] = {
    "before a batch is planned": (store.Store, "plan", "before", None),
    "inside the commit of a plan": (writer, "_insert", "before", lambda table, _rows: table == "batched"),
    "planned": (store.Store, "plan", "after", None),
    "before the upload": (OpenAIOrders, "upload", "before", None),
    "uploaded, and not written down": (OpenAIOrders, "upload", "after", None),
    "uploaded": (store.Store, "note_step", "after", lambda *step: step[3] == "uploaded"),
    "before the order": (OpenAIOrders, "order", "before", None),
    "ordered, and not written down": (OpenAIOrders, "order", "after", None),
    "ordered": (store.Store, "note_step", "after", lambda *step: step[3] == "ordered"),
    "while it is looked for": (OpenAIOrders, "find", "after", None),
    "while it is worked on": (OpenAIOrders, "look", "after", None),
    "before it is cancelled": (OpenAIOrders, "cancel", "before", None),
    "cancelled": (OpenAIOrders, "cancel", "after", None),
    "while results are read": (OpenAIOrders, "row", "before", None),
    "before results are committed": (writer, "_commit", "before", _of("reply")),
    "inside the commit of results": (writer, "_insert", "before", lambda table, _rows: table == "reply"),
    "after results were committed": (writer, "_commit", "after", _of("reply")),
    "before results are settled": (store.Store, "settle", "before", None),
    "after results were settled": (writer, "_commit", "after", _of("settled")),
    "before the batch is done": (store.Store, "note_step", "before", lambda *step: step[3] == "done"),
    "done": (store.Store, "note_step", "after", lambda *step: step[3] == "done"),
}
POINTS_OF = {**BATCH_POINTS, **POINTS}
ONCE = {name for name in POINTS if any(word in name for word in ("manifest", "card", "report", "closed", "Parquet"))}
"""Points that a run passes once."""
EXPORTING = ONCE | {name for name in POINTS if "written" in name or "its name" in name}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str, nth: int) -> None:
    """Wrap the function of a point so that its n-th call that counts is the last thing the process does."""
    owner, name, when, counts = POINTS_OF[point]
    function = getattr(owner, name)
    calls = 0

    def reached(arguments: tuple[Any, ...]) -> None:
        nonlocal calls
        if counts is None or counts(*arguments):
            calls += 1
            if calls == nth:
                die()

    if inspect.iscoroutinefunction(function):

        async def wrapped(*arguments: Any, **named: Any) -> Any:
            if when == "before":
                reached(arguments)
            result = await function(*arguments, **named)
            if when == "after":
                reached(arguments)
            return result
    else:

        def wrapped(*arguments: Any, **named: Any) -> Any:
            if when == "before":
                reached(arguments)
            result = function(*arguments, **named)
            if when == "after":
                reached(arguments)
            return result

    setattr(owner, name, functools.wraps(function)(wrapped))


def note_acknowledged(path: Path) -> None:
    """Write down every reply that the store says is on disk; the note survives the kill, as the system holds it."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    keep = store.Store.keep

    async def noted(self: store.Store, attempt: int, outcome: Any, draws: int = 1) -> None:
        await keep(self, attempt, outcome, draws)
        for one in range(attempt, attempt + draws):  # all that it brought stands with the first
            content = outcome.body if one == attempt else b""
            os.write(handle, f"{one} {hashlib.sha256(content).hexdigest()}\n".encode())

    store.Store.keep = noted


def child(command: dict[str, Any]) -> int:
    note_acknowledged(Path(command["acknowledged"]))
    if command.get("point"):
        arm(command["point"], command["nth"])
    teachers = (f"main={command['url']},practice-1",) if "url" in command else ()
    known = named()["openai"]
    soon = known.batch.model_copy(update={"poll_s": 0.02})  # nobody waits a minute between polls here
    named()["openai"] = known.model_copy(update={"batch": soon})
    loaded = load(command["recipe"], Overrides(teachers=teachers))
    reuse = tuple(Path(folder) for folder in command.get("reuse", ()))
    return uvloop.run(pipeline.run(loaded, pipeline.Options(Path(command["folder"]), reuse=reuse))).exit_code


def ended(pid: int, after_s: float | None) -> int:
    """The child's exit status, killing it when its time is over."""
    if after_s is not None:
        end = time.monotonic() + after_s
        while time.monotonic() < end:
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break
            time.sleep(0.001)
        else:
            os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main() -> None:
    for name in ("synth.dedupe.families", "synth.dedupe.index", "encodings.idna", "synth.backends.batch.control"):
        import_module(name)
    make_two()
    gc.freeze()
    for line in sys.stdin:
        command = json.loads(line)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = child(command)
            except BaseException:  # noqa: BLE001 (told to the parent)
                traceback.print_exc()
            finally:
                os._exit(code)
        print(ended(pid, command.get("after_s")), flush=True)


if __name__ == "__main__":
    main()
