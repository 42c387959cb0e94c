"""`synth watch` and `synth ctl`: a run that goes on in another terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import click

from synth.console.drawing import drawing
from synth.console.live import snapshot_line
from synth.console.panel import panel
from synth.console.screen import ERR, OUT, say
from synth.console.status import status
from synth.live.control import TELL, Line, Unreachable
from synth.live.snapshot import Snapshot
from synth.live.stored import stored
from synth.storage.lock import holder

LIVE_EVERY_S = 0.5
PLAIN_EVERY_S = 5.0
JSON_EVERY_S = 1.0
REST = 10
"""Times as long as reading a large store took, before it is read again."""


def ctl(folder: Path, command: str, value: str) -> int:
    """Have a running run do something, and say what it answered. Raises FolderError when nothing runs there."""
    if (command in ("limit", "budget")) != bool(value):
        raise click.UsageError(f"{command} takes {'a number' if command in ('limit', 'budget') else 'no value'}.")
    line = Line(folder)
    try:
        answer = line.ask(command, value)
    finally:
        line.close()
    if not answer:
        ERR.print("The run has just ended.", style="yellow")
        return 1
    say(OUT, answer.get("said") or answer.get("refused") or "")
    return 0 if "said" in answer else 2


def watch(folder: Path, *, as_json: bool) -> int:
    """Show a running run until it ends, and then what it left. Raises FolderError when nothing runs there."""
    if as_json:
        for now in _moments(folder, JSON_EVERY_S):
            click.echo(now.model_dump_json())
        click.echo(stored(folder).model_dump_json())
        return 0
    if OUT.is_screen:
        with drawing(OUT) as draw:
            for now in _moments(folder, LIVE_EVERY_S):
                draw(panel(now, OUT))
    else:
        for now in _moments(folder, PLAIN_EVERY_S):
            say(OUT, snapshot_line(now))
    status(folder, as_json=False)
    return 0


def _moments(folder: Path, every_s: float) -> Iterator[Snapshot]:
    """How a run stands, time and again until it ends: as it says itself, or by its store where it cannot be asked."""
    try:
        line = Line(folder)
    except Unreachable:
        yield from _by_store(folder, every_s)
        return
    try:
        while "now" in (answer := line.ask(TELL)):
            yield Snapshot.model_validate(answer["now"])
            time.sleep(every_s)
    finally:
        line.close()


def _by_store(folder: Path, every_s: float) -> Iterator[Snapshot]:
    while holder(folder):
        began = time.monotonic()
        now = stored(folder)
        took_s = time.monotonic() - began
        yield now
        time.sleep(max(every_s, REST * took_s))
