"""What all commands write with: two consoles, tables without lines, times, JSON."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Any

import orjson
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from synth.language.text import visible
from synth.recipes.recipe import LoadedRecipe
from synth.types import Message

PRACTICE = "[yellow]Practice data:[/] exercises of synth's practice teacher, not of a language model."


class _Console(Console):
    """A console that outlives its reader: the run goes on when nobody looks any more."""

    def on_broken_pipe(self) -> None:
        """Write to nowhere from now on."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)


OUT = _Console(highlight=False, emoji=False)
ERR = _Console(stderr=True, highlight=False, emoji=False)


def say(console: Console, text: str, style: str | None = None) -> None:
    """A sentence: folded between words on a terminal, and one line elsewhere."""
    console.print(visible(text), style=style, markup=False, soft_wrap=not console.is_terminal)


def say_each(told: Iterable[tuple[str, str]], indent: int = 0) -> None:
    """Names, and what is said of each beside them: folded there on a terminal, one line each elsewhere."""
    pairs = [(visible(name), visible(said)) for name, said in told]
    width = max((cell_len(name) for name, _ in pairs), default=0)
    if not OUT.is_terminal:
        for name, said in pairs:
            OUT.print(f"{' ' * indent}{name}{' ' * (width - cell_len(name))}  {said}", markup=False, soft_wrap=True)
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, said in pairs:
        table.add_row(Text(name, style="bold"), Text(said))
    OUT.print(Padding(table, (0, 0, 0, indent)))


def noted(loaded: LoadedRecipe) -> None:
    """Say on standard error what the user should know before the run."""
    for note in loaded.notes:
        say(ERR, note, "yellow")


def conversation(title: str, messages: Iterable[Message]) -> None:
    """Print a conversation under a title."""
    OUT.print(Text(visible(title), style="bold"))
    for message in messages:
        OUT.print(Text(message.role, style="cyan"))
        OUT.print(Text(visible(message.shown())))
    OUT.print()


def plain_table(*columns: str, right: int | None = None) -> Table:
    """A table without lines; columns from `right` to the last but one are numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for place, column in enumerate(columns):
        numeric = right is not None and right <= place < max(right + 1, len(columns) - 1)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    return table


def clock_time(seconds: float) -> str:
    """A length of time as people say it."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def write_json(value: Any) -> None:
    """Write a value to standard output, and nothing else."""
    sys.stdout.buffer.write(
        orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS)
    )
