"""`synth watch` and `synth ctl`: a run that goes on in another terminal."""

from __future__ import annotations

import time
from pathlib import Path

import click
from rich.live import Live

from synth.console.live import snapshot_line
from synth.console.panel import panel
from synth.console.screen import ERR, OUT, say
from synth.console.status import status
from synth.live.control import TELL, Line
from synth.live.snapshot import Snapshot

LIVE_EVERY_S = 0.5
PLAIN_EVERY_S = 5.0


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
    line = Line(folder)
    try:
        if as_json:
            _follow_json(line)
        elif OUT.is_terminal:
            _follow_live(line)
        else:
            _follow_plain(line)
    finally:
        line.close()
    if not as_json:
        status(folder, as_json=False)
    return 0


def _now(line: Line) -> Snapshot | None:
    answer = line.ask(TELL)
    return Snapshot.model_validate(answer["now"]) if "now" in answer else None


def _follow_live(line: Line) -> None:
    with Live(console=OUT, auto_refresh=False, transient=True) as live:
        while (now := _now(line)) is not None:
            live.update(panel(now, OUT), refresh=True)
            time.sleep(LIVE_EVERY_S)


def _follow_plain(line: Line) -> None:
    while (now := _now(line)) is not None:
        say(OUT, snapshot_line(now))
        time.sleep(PLAIN_EVERY_S)


def _follow_json(line: Line) -> None:
    while (now := _now(line)) is not None:
        click.echo(now.model_dump_json())
        time.sleep(1.0)
