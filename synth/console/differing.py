"""`synth diff`: what differs between two versions of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Literal

from rich.cells import set_cell_size
from rich.table import Table
from rich.text import Text

from synth.comparing.differing import Change, Difference
from synth.console.screen import OUT, plain_table, write_json
from synth.language.text import several, visible
from synth.money.budget import usd

WIDTH = 78
FIGURES = ("splits", "refused", "teachers")
SIGNS: Mapping[Literal["added", "gone", "changed"], tuple[str, str]] = {
    "added": ("+", "green"),
    "gone": ("-", "red"),
    "changed": ("~", "yellow"),
}


def differed(found: Difference, *, as_json: bool) -> None:
    """Say what differs, in 80 columns."""
    if as_json:
        write_json({"same": found.is_same, **_told(found)})
        return
    OUT.print(f"{visible(found.old)} → {visible(found.new)}", markup=False, soft_wrap=True)
    if found.is_same:
        OUT.print(f"[green]the same {several(found.unchanged, 'row')}[/]")
    else:
        OUT.print(
            f"[green]{found.added:,} added[/], [red]{found.gone:,} gone[/], [yellow]{found.changed:,} changed[/], "
            f"{found.unchanged:,} the same{f', {found.moved:,} of them in another split' if found.moved else ''}"
        )
    table = plain_table("", "old", "new", "", right=1)
    _figures(table, {"rows": found.rows, **{f"  {name}": one for name, one in found.splits.items()}})
    if found.cost_microusd is not None:
        old, new = found.cost_microusd
        table.add_row("cost", usd(old or 0), usd(new or 0), "")
    if found.teachers:
        _heading(table, "answers of")
        _figures(table, {f"  {name}": one for name, one in found.teachers.items()})
    if found.refused:
        _heading(table, "refused")
        _figures(table, {f"  {name}": one for name, one in found.refused.items()})
    OUT.print(table)
    for name, (old, new) in found.made.items():
        OUT.print(Text(_fitted(f"{name}: {old} → {new}")))
    _rows(found)


def _told(found: Difference) -> dict[str, object]:
    figures = {name: {key: one._asdict() for key, one in getattr(found, name).items()} for name in FIGURES}
    shown = {kind: [row._asdict() for row in rows] for kind, rows in found.shown.items()}
    cost = None if found.cost_microusd is None else found.cost_microusd._asdict()
    made = {name: {"old": old, "new": new} for name, (old, new) in found.made.items()}
    return {
        **asdict(found),
        **figures,
        "rows": found.rows._asdict(),
        "cost_microusd": cost,
        "made": made,
        "shown": shown,
    }


def _heading(table: Table, text: str) -> None:
    table.add_row(Text(text, style="dim"), "", "", "")


def _figures(table: Table, figures: Mapping[str, Change]) -> None:
    for name, (old, new) in figures.items():
        change = "" if old == new else f"{(new or 0) - (old or 0):+,}"
        cells = ("–" if one is None else f"{one:,}" for one in (old, new))
        table.add_row(Text(visible(name)), *cells, change)


def _rows(found: Difference) -> None:
    totals = {"added": found.added, "gone": found.gone, "changed": found.changed}
    for kind, (sign, colour) in SIGNS.items():
        shown = found.shown.get(kind, [])
        if not shown:
            continue
        more = f", the first {len(shown)}" if totals[kind] > len(shown) else ""
        OUT.print(f"\n[{colour}]{kind}[/]  {totals[kind]:,}{more}")
        for row in shown:
            OUT.print(Text(_fitted(f"{sign} {row.place}  {row.question}"), style=colour))
            if kind == "changed":
                OUT.print(Text(_fitted(f"    - {row.before}"), style="dim"))
                OUT.print(Text(_fitted(f"    + {row.after}")))


def _fitted(text: str) -> str:
    """The text on one line of the terminal, where a Japanese letter takes two columns."""
    line = visible(" ".join(text.replace("\n", " ").split(" ")))
    cut = set_cell_size(line, WIDTH).rstrip()
    return line if cut == line.rstrip() else set_cell_size(line, WIDTH - 1).rstrip() + "…"
