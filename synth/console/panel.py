"""A run at one moment as a calm panel: no line is folded, and none moves another one about as its numbers change."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.cells import cell_len
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from synth.console.screen import clock_time
from synth.language.text import several, visible
from synth.live.snapshot import Snapshot, StageNow, TeacherNow
from synth.money.budget import standing, usd
from synth.types import Spend

WAITING = "requests wait: what is set aside for those in flight takes the rest of the budget"
BARS = (6, 20)
"""The least and the most cells of a bar."""
MOST_NAME = 16
"""Cells that a name may take."""
MONEY_AND_ALL = len("$1,000.00 spent of $1,000.00, $0.0200 reserved   about $1,000.00 in all")
OTHERS = len("  others 10,000")
FROM_STORE = "read from its store, as the run itself cannot be asked"
STYLES = {"running": "green"}


def panel(now: Snapshot, console: Console, keys: str = "") -> Group:
    """The panel as it fits the console, and below it what may be typed and what went wrong."""
    width, height = console.size
    label_cells = _label_cells(now)
    room = width - label_cells - 2
    below = [Text(keys, style="dim")] * bool(keys)
    below += [_cut(Text(visible(problem.text), style="yellow"), console) for problem in now.problems]
    below += [_cut(Text(visible(why), style="yellow"), console) for one in now.teachers for why in one.left_out]
    below += [_cut(Text(visible(said), style="yellow"), console) for said in now.held_by]
    if now.why:
        below.append(Text(visible(now.why), style="yellow"))
    rows = _rows(now, room, ascii_only=console.options.ascii_only)
    if len(rows) + len(below) + 2 > height:  # too low for more than the rows that have a name
        rows = [row for row in rows if row[0]]
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=label_cells, no_wrap=True, overflow="crop")
    table.add_column(no_wrap=True, overflow="crop")
    for label, said in rows:
        table.add_row(_name(label), said)
    return Group(_cut(_head(now), console), table, *below)


def money(now: Snapshot) -> list[str]:
    """Where the money and the other caps stand, and what the whole will come to, one phrase each."""
    spent = Spend(now.spent_microusd, now.spent_tokens, now.spent_requests)
    said = standing(now.caps, spent, Spend(now.reserved_microusd), overshoot_microusd=now.overshoot_microusd)
    if now.projected_microusd:
        said.insert(1, f"about {usd(now.projected_microusd)} in all")
    return said


def since(moment: str) -> str:
    """How long ago a moment (ISO 8601) was, in words."""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()
    return f"{clock_time(max(0.0, seconds))} ago"


def _rows(now: Snapshot, room: int, *, ascii_only: bool) -> list[tuple[str, Text]]:
    """A label and what is said of it; those without one tell more of the one above: what was refused, other caps."""
    rows: list[tuple[str, Text]] = []
    if now.seeds_done is not None:
        rows.append(("seeds", Text(f"{now.seeds_done:,}{f' of {now.seeds:,}' if now.seeds else ''}")))
    digits = max([3, *(len(f"{largest:,.0f}") for stage in now.stages for largest in _numbers(stage))])
    for stage in now.stages:
        rows += [(stage.name, _stage(stage, room, digits, ascii_only=ascii_only)), ("", _refused(stage, room))]
    rows.append(("rows" if now.rows is not None else "replies", _flow(now)))
    most = max((len(f"{one.limit or 0:,}") for one in now.teachers), default=1)
    rows += [(one.name, Text(_teacher(one, most))) for one in now.teachers]
    said = money(now)
    together = 2 if now.projected_microusd and room >= MONEY_AND_ALL else 1
    rows += [("money", Text("   ".join(said[:together])))]
    rows += [("", Text(one)) for one in said[together:]]
    rows += [("wait", Text(f"{now.waiting_for_budget:,} {WAITING}", style="yellow"))] * bool(now.waiting_for_budget)
    return rows


def _head(now: Snapshot) -> Text:
    gone = "" if now.seconds is None else f"{clock_time(now.seconds)} gone"
    left = "" if now.left_s is None else f"about {clock_time(now.left_s)} left"
    if now.last_commit is not None:
        gone = f"{FROM_STORE}, last written {since(now.last_commit)}"
    style = STYLES.get(now.state, "yellow")
    return Text.assemble((visible(now.recipe), "bold"), "   ", (f"{now.state:7}", style), f"   {gone:18}{left}")


def _label_cells(now: Snapshot) -> int:
    labels = ["seeds", "money", *(one.name for one in (*now.stages, *now.teachers))]
    return min(MOST_NAME, max(cell_len(visible(label)) for label in labels))


def _name(label: str) -> Text:
    name = Text(visible(label))
    name.truncate(MOST_NAME, overflow="ellipsis")
    return name


def _numbers(stage: StageNow) -> tuple[float, ...]:
    return (stage.expected or 0, stage.asked, stage.kept or 0, sum(stage.refused.values()))


def _stage(stage: StageNow, room: int, digits: int, *, ascii_only: bool) -> Text:
    if stage.kept is None:
        return Text(f"{stage.asked:{digits},} asked")
    expected = f" of {stage.expected:{digits},.0f}" if stage.expected else " " * (digits + 4)
    refused = sum(stage.refused.values())
    counts = f"  {stage.asked:{digits},}{expected}  {stage.kept:{digits},} kept  {refused:{digits},} refused"
    counts += f"  {stage.parked:,} parked" if stage.parked else ""
    least, most = BARS
    said = bar(stage, max(least, min(most, room - len(counts))), ascii_only=ascii_only)
    return said.append(counts)


def bar(stage: StageNow, cells: int, *, ascii_only: bool = False) -> Text:
    """How far a stage is; empty where it cannot be told."""
    full = round(cells * min(1.0, stage.asked / stage.expected)) if stage.expected else 0
    done, open_ = "#-" if ascii_only else "━─"
    return Text.assemble((done * full, "cyan"), (open_ * (cells - full), "bright_black"))


def _refused(stage: StageNow, room: int) -> Text:
    """As many of the reasons as there is room for, the most frequent first."""
    said, others = "", sum(stage.refused.values())
    for reason, count in stage.refused.items():
        longer = f"{said}  {visible(reason)} {count:,}".strip()
        if cell_len(longer) > room - (OTHERS if others > count else 0):
            break
        said, others = longer, others - count
    return Text(f"{said}  others {others:,}" if others else said, style="dim")


def _flow(now: Snapshot) -> Text:
    if now.rows is None or now.rows_per_s is None:
        return Text(f"{now.replies_per_s or 0.0:,.1f}/s   {several(now.tokens, 'token')}")
    refused = sum(now.refused.values())
    more = f"   {refused:,} refused   {several(now.tokens, 'token')}   {now.rows_per_s:,.1f}/s"
    return Text.assemble((f"{now.rows:,} accepted", "green"), more)


def _teacher(one: TeacherNow, digits: int) -> str:
    limit = "" if one.limit is None else f" of {one.limit:{digits},}"
    said = [f"{one.in_flight:{digits},}{limit} in flight"]
    said += [f"{one.batched:,} wait for a batch"] * bool(one.batched)
    if one.running is not None:
        said.append(f"{one.running:,.0f} run and {one.waiting or 0:,.0f} wait there")
    if one.silent_s:
        said.append(f"out of reach {clock_time(one.silent_s)}, given up in {clock_time(one.waited_for_s)}")
    if one.left_out:
        said.append(f"{len(one.left_out)} left out")
    if one.pause_s:
        said.append(f"asked again in {clock_time(one.pause_s)}")
    return "   ".join(said)


def _cut(line: Text, console: Console) -> Text:
    """One line of it at most."""
    line.truncate(console.width, overflow="crop" if console.options.ascii_only else "ellipsis")
    return line
