"""Something that is drawn anew in its place at the bottom of a terminal."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType


@contextmanager
def drawing(console: Console) -> Generator[Callable[[RenderableType], None]]:
    """Gives what draws; what was drawn last is gone at the end."""
    last: tuple[RenderableType, int] | None = None
    with Live(console=console, auto_refresh=False, transient=True) as live:

        def draw(picture: RenderableType) -> None:
            nonlocal last
            if last is not None and (more := _folded(console, *last)):
                console.control(Control(*[(ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1)] * more))
            live.update(picture, refresh=True)
            last = (picture, console.width)

        yield draw


def _folded(console: Console, picture: RenderableType, width: int) -> int:
    """How many rows more a picture takes since its terminal got narrower: terminals fold what stands there."""
    if console.width >= width:
        return 0
    lines = console.render_lines(picture, console.options.update_width(width), pad=False)
    return sum((sum(part.cell_length for part in line) - 1) // console.width for line in lines if line)
