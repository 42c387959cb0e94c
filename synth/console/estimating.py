"""`synth estimate`: what a run will come to, before it is paid for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from synth.console.screen import OUT, clock_time, plain_table, say, write_json
from synth.estimates.estimate import Estimate, estimate
from synth.estimates.intervals import Range
from synth.estimates.prompts import Prompts, rendered
from synth.estimates.reserving import held_back
from synth.estimates.unasked import ceiling, unasked
from synth.language.text import several, visible
from synth.money.budget import usd
from synth.recipes.recipe import Recipe

__all__ = ["ceiling", "estimate", "rendered", "told", "told_unasked"]


def told(found: Estimate, name: str, *, as_json: bool) -> None:
    """Say what a whole run comes to, with what lies between 5 and 95 %."""
    if as_json:
        write_json(asdict(found))
        return
    head = f"{several(found.seeds, 'seed')}, estimated from {found.pilot:,} that cost {_money(found.pilot_microusd)}"
    OUT.print(f"[bold]{visible(name)}[/]  {head}")
    table = _table("stage", "teacher", "requests", "tokens in", "out", "cost", "nine times in ten")
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
        between = f"  between {said(one.low)} and {said(one.high)}" if one.low != one.high else ""
        OUT.print(f"{what:<9} [bold]{said(one.value)}[/]{between}")
    if math.isfinite(found.seconds.high) and found.seconds.high:
        fast, usual, slow = map(clock_time, (found.seconds.low, found.seconds.value, found.seconds.high))
        between = f"  between {fast} with all of max_in_flight, and {slow} at the pace found" if fast != slow else ""
        OUT.print(f"{'time':<9} [bold]{usual}[/]{between}", soft_wrap=True)
    if found.unpriced:
        OUT.print(Text(f"the price of {', '.join(found.unpriced)} is not known: what it costs is in no sum here"))
    if found.larger_pilot:
        more = (found.larger_pilot - found.pilot) * found.pilot_microusd / max(1, found.pilot)
        OUT.print(
            f"replies cost too differently for {several(found.pilot, 'seed')} to tell more; --pilot "
            f"{found.larger_pilot} narrows it to about a factor of two, for some {usd(round(more))} more",
            soft_wrap=True,
        )
    for one in found.held_back:
        say(OUT, one)
    for hint in found.hints:
        OUT.print(Text(f"cheaper   {visible(hint)}"), soft_wrap=True)


def told_unasked(recipe: Recipe, prompts: Prompts, tokenizer: str, *, as_json: bool) -> None:
    """Say what the first stage takes, with nothing asked."""
    found, held = unasked(recipe, prompts, tokenizer), held_back(recipe, prompts)
    if as_json:
        steps = [asdict(one) for one in found]
        write_json({"seeds": prompts.of, "rendered": len(prompts.every), "steps": steps, "held_back": held})
        return
    OUT.print(f"[bold]{visible(recipe.name)}[/]  {several(prompts.of, 'seed')}, and nothing asked")
    table = plain_table("stage", "teacher", "requests", "tokens in", "out", "cost", right=2)
    for one in found:
        cost = "not known" if one.cost_microusd is None else _between(one.cost_microusd) or "nothing"
        table.add_row(
            *(visible(one.stage), visible(one.teacher), _span(one.requests, _whole), _span(one.prompt_tokens, _round)),
            *(f"up to {_round(one.most_completion_tokens)}", cost),
        )
    OUT.print(table)
    for one in held:
        say(OUT, one)
    if not found:
        say(OUT, "its generator is your own, which is asked nothing here: --pilot 20 tells what it takes")
        return
    scored = [f"{stage.name}:score" for stage in recipe.stages[:1] if stage.scorers]
    later = ", ".join([*scored, *(stage.name for stage in recipe.stages[1:])])
    told = "this is the first request for each seed; what else replies lead to"
    say(OUT, f"{told}{f' ({later})' if later else ''}, --pilot 20 tells")


def _table(*columns: str) -> Table:
    """A table whose numbers are not folded where a terminal is narrow: the names are."""
    table = plain_table(*columns, right=2)
    table.padding = (0, 2, 0, 0)
    for column in table.columns[2:]:
        column.no_wrap = True
    return table


def _span(one: Range, said: Callable[[float], str]) -> str:
    low, high = said(one.low), said(one.high)
    return low if low == high else f"{low} to {high}"


def _money(microusd: float) -> str:
    """A sum to three digits: the others are not known."""
    if not math.isfinite(microusd):
        return "any sum"
    if not microusd:
        return "nothing"
    digits = 2 if microusd < 1 else max(0, 2 - math.floor(math.log10(microusd / 1e6)))
    return f"${microusd / 1e6:,.{digits}f}"


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
