"""What all commands write with: two consoles, tables without lines, times, JSON."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from textwrap import indent
from typing import TYPE_CHECKING, Any

import orjson
from rich.cells import cell_len
from rich.console import Console, ConsoleDimensions, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from synth.console.folding import folded
from synth.language.text import visible
from synth.types import Message

if TYPE_CHECKING:
    from synth.recipes.recipe import LoadedRecipe

UNWRAPPED = 1_000_000
"""Columns where no terminal shows what is written: there a line is as long as what it says, so that `grep` finds it."""
GAP = 2
PRACTICE = "[yellow]Practice data:[/] exercises of synth's practice teacher, not of a language model."


class ScreenConsole(Console):
    """A console that wraps lines for a terminal alone, whatever `COLUMNS` says, and that outlives its reader.

    The run goes on when nobody looks any more.
    """

    @property
    def is_screen(self) -> bool:
        """Whether a terminal shows it; colours that are forced make none of a file."""
        return self.file.isatty()

    @property
    def size(self) -> ConsoleDimensions:
        """Columns and lines."""
        width, height = super().size
        return ConsoleDimensions(width if self.is_screen else UNWRAPPED, height)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size

    def on_broken_pipe(self) -> None:
        """Write to nowhere from now on."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)


class _Plain(Table):
    """A table without lines: folded to the width of a terminal, elsewhere one line for each row."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if options.max_width < UNWRAPPED:
            yield from super().__rich_console__(console, options)
            return
        columns = [[_one_line(cell, console) for cell in self._shown(column)] for column in self.columns]
        widths = [max((cell.cell_len for cell in cells), default=0) for cells in columns]
        for row in zip(*columns, strict=True):
            line = Text()
            for column, cell, width in zip(self.columns, row, widths, strict=True):
                blanks = Text(" " * (width - cell.cell_len))
                line += Text.assemble(*((blanks, cell) if column.justify == "right" else (cell, blanks)), " " * GAP)
            line.rstrip()
            yield line

    def _shown(self, column: Column) -> list[RenderableType]:
        head = [Text(str(column.header), style=str(self.header_style or ""))] if self.show_header else []
        return [*head, *column.cells]


def _one_line(cell: RenderableType, console: Console) -> Text:
    text = cell.copy() if isinstance(cell, Text) else console.render_str(str(cell))
    return Text(" ").join(text.split()) if "\n" in text.plain else text


OUT = ScreenConsole(highlight=False, emoji=False)
ERR = ScreenConsole(stderr=True, highlight=False, emoji=False)


def say(console: ScreenConsole, text: str, style: str | None = None) -> None:
    """A sentence: folded between words on a terminal, and one line elsewhere."""
    console.print(fitted(text, console), style=style, markup=False)


def fitted(text: str, console: ScreenConsole) -> str:
    """A text that steers no terminal, folded to the width of the one that shows it."""
    return folded(visible(text), console.width) if console.is_screen else visible(text)


def say_each(told: Iterable[tuple[str, str]], indent: int = 0) -> None:
    """Names, and what is said of each beside them: folded there on a terminal, one line each elsewhere."""
    pairs = [(visible(name), visible(said)) for name, said in told]
    width = max((cell_len(name) for name, _ in pairs), default=0)
    if not OUT.is_screen:
        for name, said in pairs:
            OUT.print(f"{' ' * indent}{name}{' ' * (width - cell_len(name))}  {said}", markup=False, soft_wrap=True)
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    room = max(1, OUT.width - indent - width - GAP)
    for name, said in pairs:
        table.add_row(Text(name, style="bold"), Text(folded(said, room)))
    OUT.print(Padding(table, (0, 0, 0, indent)))


def noted(loaded: LoadedRecipe) -> None:
    """Say on standard error what the user should know before the run."""
    for note in loaded.notes:
        say(ERR, note, "yellow")


def conversation(
    title: str,
    messages: Iterable[Message],
    notes: Iterable[str] = (),
    *,
    most: int = UNWRAPPED,
    most_reasoning: int = UNWRAPPED,
) -> None:
    """Print a conversation between a title and notes, each turn after its reasoning; of both so many letters."""
    OUT.print(Text(visible(title), style="bold"))
    for message in messages:
        if message.reasoning_content:
            OUT.print(Text("reasoning", style="cyan"))
            OUT.print(Text(fitted(cut(message.reasoning_content, most_reasoning), OUT), style="dim"))
        OUT.print(Text(message.role, style="cyan"))
        OUT.print(Text(fitted(cut(message.shown(), most), OUT)))
    for note in notes:
        OUT.print(Text(fitted(note, OUT), style="dim"))
    OUT.print()


def cut(text: str, most: int) -> str:
    """The beginning of a text, with how much more there is."""
    return text if len(text) <= most + 20 else f"{text[:most].rstrip()} … {len(text) - most:,} more characters"


def indented(text: str, console: Console = OUT) -> RenderableType:
    """A text below its title, also where a terminal folds it."""
    if console.width < UNWRAPPED:
        return Padding(Text(text), (0, 0, 0, 2), expand=False)
    return Text(indent(text, "  "))


def plain_table(*columns: str, right: int | None = None) -> Table:
    """A table without lines; columns from `right` to the last but one are numbers."""
    table = _Plain(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
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
