"""A run at one moment as a calm panel: stages with bars, what is in flight, what it costs, what went wrong."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from synth.console.screen import clock_time
from synth.language.text import visible
from synth.live.snapshot import Snapshot, StageNow
from synth.money.budget import standing, usd
from synth.types import Spend

WAITING = "requests wait for reservations to settle: the budget is nearly used, the provider is not the limit"
BAR = 20
MOST_REASONS = 4


def panel(now: Snapshot, keys: str = "") -> Group:
    """The panel, and below it what may be typed."""
    parts = [_head(now), _stages(now), *_refused(now), _flow(now), Text("   ".join(money(now)), overflow="fold")]
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


def _head(now: Snapshot) -> Text:
    style = {"running": "green", "paused": "yellow", "ending": "yellow"}[now.state]
    return Text.assemble(
        (visible(now.recipe), "bold"),
        "   ",
        (now.state, style),
        f"   {now.seeds_done:,} of {now.seeds or 0:,} seeds   {clock_time(now.seconds)} gone",
        f"   {clock_time(now.left_s)} left" if now.left_s is not None else "",
    )


def _stages(now: Snapshot) -> Table:
    table = Table.grid(padding=(0, 2))
    for _ in range(4):
        table.add_column(no_wrap=True)
    for stage in now.stages:
        counts = f"{stage.asked:,} of {stage.expected:,.0f}" if stage.expected else f"{stage.asked:,}"
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
    refused = sum(now.refused.values())
    said = [f"{refused:,} refused", f"{now.rows_per_s:,.1f}/s"]
    for one in now.teachers:
        said.append(f"{one.in_flight:,} of {one.limit:,} in flight{f' ({one.name})' if len(now.teachers) > 1 else ''}")
        said += [f"{one.batched:,} wait for a batch"] * bool(one.batched)
        if one.running is not None:
            said.append(f"{one.name} runs {one.running:,.0f}, {one.waiting or 0:,.0f} wait there")
        if one.pause_s:
            said.append(f"{one.name} is asked again in {clock_time(one.pause_s)}")
    return Text.assemble(
        (f"{now.rows:,} accepted", "green"), f"   {'   '.join(said)}   {now.tokens:,} tokens", overflow="fold"
    )
