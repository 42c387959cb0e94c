"""A run at one moment as a calm panel: stages with bars, what is in flight, what it costs, what went wrong."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Group
from rich.table import Table
from rich.text import Text

from synth.console.screen import clock_time
from synth.language.text import visible
from synth.live.snapshot import Snapshot, StageNow
from synth.money.budget import standing, usd
from synth.types import Spend

WAITING = "requests wait for reservations to settle: the budget is nearly used, the provider is not the limit"
FROM_STORE = "read from its store, as the run itself cannot be asked"
BAR = 20
MOST_REASONS = 4


def panel(now: Snapshot, keys: str = "") -> Group:
    """The panel, and below it what may be typed."""
    parts = [_head(now), _stages(now), *_refused(now), _flow(now), Text("   ".join(money(now)), overflow="fold")]
    if now.last_commit is not None:
        parts.append(Text(f"{FROM_STORE}, last written {since(now.last_commit)}", style="dim"))
    if now.waiting_for_budget:
        parts.append(Text(f"{now.waiting_for_budget:,} {WAITING}", style="yellow"))
    parts += [Text(visible(problem.text), style="yellow", overflow="fold") for problem in now.problems]
    if now.why:
        parts.append(Text(visible(now.why), style="yellow", overflow="fold"))
    if keys:
        parts.append(Text(keys, style="dim"))
    return Group(*parts)


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


def _head(now: Snapshot) -> Text:
    style = {"running": "green"}.get(now.state, "yellow")
    return Text.assemble(
        (visible(now.recipe), "bold"),
        "   ",
        (now.state, style),
        f"   {now.seeds_done:,} of {now.seeds or 0:,} seeds" if now.seeds_done is not None else "",
        f"   {clock_time(now.seconds)} gone" if now.seconds is not None else "",
        f"   {clock_time(now.left_s)} left" if now.left_s is not None else "",
    )


def _stages(now: Snapshot) -> Table:
    table = Table.grid(padding=(0, 2))
    for _ in range(4):
        table.add_column(no_wrap=True)
    for stage in now.stages:
        counts = f"{stage.asked:,} of {stage.expected:,.0f}" if stage.expected else f"{stage.asked:,}"
        if stage.kept is None:
            table.add_row(visible(stage.name), f"{counts} asked")
        else:
            table.add_row(visible(stage.name), bar(stage), counts, f"{stage.kept:,} kept")
    return table


def _refused(now: Snapshot) -> list[Text]:
    """What each stage refused, a line each."""
    lines: list[Text] = []
    for stage in now.stages:
        counts = list(stage.refused.items())
        reasons = [f"{visible(reason)} {count:,}" for reason, count in counts[:MOST_REASONS]]
        others = sum(count for _, count in counts[MOST_REASONS:])
        reasons += [f"others {others:,}"] * bool(others) + [f"parked {stage.parked:,}"] * bool(stage.parked)
        if reasons:
            lines.append(Text(f"{visible(stage.name)} refused  {'  '.join(reasons)}", style="dim", overflow="fold"))
    return lines


def bar(stage: StageNow) -> Text:
    """How far a stage is; empty where it cannot be told."""
    full = round(BAR * min(1.0, stage.asked / stage.expected)) if stage.expected else 0
    return Text.assemble(("━" * full, "cyan"), ("─" * (BAR - full), "bright_black"))


def _flow(now: Snapshot) -> Text:
    said: list[str] = []
    if now.rows is not None and now.rows_per_s is not None:
        said += [f"{sum(now.refused.values()):,} refused", f"{now.rows_per_s:,.1f}/s"]
    for one in now.teachers:
        of = "" if one.limit is None else f" of {one.limit:,}"
        said.append(f"{one.in_flight:,}{of} in flight{f' ({visible(one.name)})' if len(now.teachers) > 1 else ''}")
        said += [f"{one.batched:,} wait for a batch"] * bool(one.batched)
        if one.running is not None:
            said.append(f"{one.name} runs {one.running:,.0f}, {one.waiting or 0:,.0f} wait there")
        if one.pause_s:
            said.append(f"{one.name} is asked again in {clock_time(one.pause_s)}")
    said += [] if now.replies_per_s is None else [f"{now.replies_per_s:,.1f} replies/s"]
    said.append(f"{now.tokens:,} tokens")
    accepted = "" if now.rows is None else f"{now.rows:,} accepted"
    return Text.assemble((accepted, "green"), f"{'   ' if accepted else ''}{'   '.join(said)}", overflow="fold")
