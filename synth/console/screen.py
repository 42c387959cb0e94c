"""What all commands write with: two consoles, tables without lines, times, JSON."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterable, Sequence
from textwrap import indent
from typing import TYPE_CHECKING, Any

import orjson
from rich.cells import cell_len
from rich.console import Console, ConsoleDimensions, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from synth.console.folding import folded, folded_text, longest_word
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
    """A table without lines: folded to the width of a terminal, elsewhere one line for each row.

    Where a terminal is narrow the text folds between words and figures stay whole, as long as there is room.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns = [[_text(cell, console) for cell in self._shown(column)] for column in self.columns]
        whole = [column.justify == "right" or column.no_wrap for column in self.columns]
        gap, widths = _widths(columns, whole, bool(self.show_header), options.max_width)
        for row in zip(*columns, strict=True):
            cells = [folded_text(cell, width) for cell, width in zip(row, widths, strict=True)]
            for parts in itertools.zip_longest(*cells, fillvalue=Text()):
                line = Text()
                for column, part, width in zip(self.columns, parts, widths, strict=True):
                    blanks = Text(" " * (width - part.cell_len))
                    line += Text.assemble(*((blanks, part) if column.justify == "right" else (part, blanks)), " " * gap)
                line.rstrip()
                yield line

    def _shown(self, column: Column) -> list[RenderableType]:
        head = [Text(str(column.header), style=str(self.header_style or ""))] if self.show_header else []
        return [*head, *column.cells]


def _text(cell: RenderableType, console: Console) -> Text:
    """A cell; where no terminal shows it, on one line."""
    text = cell.copy() if isinstance(cell, Text) else console.render_str(str(cell))
    return Text(" ").join(text.split()) if "\n" in text.plain and console.width >= UNWRAPPED else text


def _widths(
    columns: Sequence[Sequence[Text]], whole: Sequence[bool], headed: bool, room: int
) -> tuple[int, Sequence[int]]:
    """The blanks between columns, and how wide each may be; `whole` are those whose cells below the head do not fold.

    Where the room does not do, text folds between words; then a blank goes, figures fold, text is cut, and at last all.
    """
    full = [max((cell_len(line) for cell in cells for line in cell.plain.split("\n")), default=0) for cells in columns]
    words = [max((longest_word(cell.plain) for cell in cells), default=0) for cells in columns]
    kept = [
        max((cell.cell_len for cell in cells[headed:]), default=0) if is_whole else 0
        for cells, is_whole in zip(columns, whole, strict=True)
    ]
    firm = [max(pair) for pair in zip(words, kept, strict=True)]
    figures = [width if is_whole else 1 for width, is_whole in zip(words, whole, strict=True)]
    gap, widths = GAP, full
    steps = ((GAP, full, firm), (1, full, firm), (1, firm, words), (1, words, figures), (1, figures, [1] * len(full)))
    for gap, most, least in steps:
        left = room - gap * (len(full) - 1)
        widths = _narrowed(most, least, left)
        if sum(widths) <= left:
            break
    return gap, widths


def _narrowed(widths: Sequence[int], least: Sequence[int], room: int) -> Sequence[int]:
    """Widths that fit into a room together, the widest made less and none less than it must be, as far as that does."""
    widths = list(widths)
    while sum(widths) > room:
        loose = [place for place, width in enumerate(widths) if width > least[place]]
        if not loose:
            break
        widths[max(loose, key=widths.__getitem__)] -= 1
    return widths


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
