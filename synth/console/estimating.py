"""`synth estimate`: what a run will come to, before it is paid for."""

from __future__ import annotations

import math
from dataclasses import asdict

from rich.text import Text

from synth.console.screen import OUT, clock_time, plain_table, write_json
from synth.estimate import Estimate, Range
from synth.language.text import visible
from synth.money.budget import usd


def estimated(found: Estimate, name: str, *, as_json: bool) -> None:
    """Say what a whole run comes to, with what lies between 5 and 95 %."""
    if as_json:
        write_json(asdict(found))
        return
    head = f"{found.seeds:,} seeds, estimated from {found.pilot:,} that cost {usd(found.pilot_microusd)}"
    OUT.print(f"[bold]{visible(name)}[/]  {head}")
    table = plain_table("stage", "teacher", "requests", "tokens in", "tokens out", "cost", "of nine in ten", right=2)
    for step in found.steps:
        table.add_row(
            *(visible(step.stage), visible(step.teacher), f"{step.requests.value:,.0f}"),
            *(_round(step.prompt_tokens.value), _round(step.completion_tokens.value)),
            *(_money(step.cost_microusd.value), _between(step.cost_microusd)),
        )
    OUT.print(table)
    for what, one, said in (
        ("cost", found.cost_microusd, _money),
        ("rows", found.rows, _whole),
        ("requests", found.requests, _whole),
        ("tokens", found.tokens, _round),
    ):
        OUT.print(f"{what:<9} [bold]{said(one.value)}[/]  between {said(one.low)} and {said(one.high)}")
    if math.isfinite(found.seconds.high) and found.seconds.high:
        fast, slow = clock_time(found.seconds.low), clock_time(found.seconds.high)
        told = (
            f"{fast}"
            if fast == slow
            else f"{fast} where the endpoint bears all of max_in_flight, {slow} at the pace found"
        )
        OUT.print(f"{'time':<9} {told}")
    if found.unpriced:
        OUT.print(Text(f"the price of {', '.join(found.unpriced)} is not known: what it costs is in no sum here"))
    for hint in found.hints:
        OUT.print(Text(f"cheaper   {visible(hint)}"), soft_wrap=True)


def _money(microusd: float) -> str:
    return usd(round(microusd)) if math.isfinite(microusd) else "any sum"


def _whole(number: float) -> str:
    return f"{number:,.0f}" if math.isfinite(number) else "any number"


def _round(number: float) -> str:
    """A number of tokens, to three digits."""
    if not math.isfinite(number):
        return "any number"
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return f"{number:.0f}"


def _between(one: Range) -> str:
    return f"{_money(one.low)} to {_money(one.high)}" if one.high else ""
