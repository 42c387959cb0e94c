"""`synth trace`: the way of a row back to raw replies."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, cast

from rich.text import Text

from synth.console.screen import OUT, indented, plain_table, say, write_json
from synth.language.text import visible
from synth.money.budget import usd
from synth.results.trace import Step, Trace
from synth.types import Fields

MOST_RAW = 400


def traced(found: Trace, *, as_json: bool) -> None:
    """Show a row's way: what was asked of whom, what came, what it cost, and what became of it."""
    if as_json:
        write_json(asdict(found))
        return
    record = found.record
    OUT.print(Text(visible(str(record["id"])), style="bold"), f"from seed {visible(str(record['seed_id']))}", sep="  ")
    for number, step in enumerate(found.steps, 1):
        _step(number, step)
    OUT.print(Text(f"\n{_fate(found)}", style="green" if found.is_row else "yellow"))
    for score in cast("list[dict[str, Any]]", record["scores"]):
        OUT.print(Text(visible(f"{score['name']} {score['value']:g}  {score['detail']}")))
    if record.get("repairs"):
        OUT.print(Text(f"repaired: {', '.join(cast('list[str]', record['repairs']))}"))
    if found.twins:
        say(OUT, f"refused for it: {', '.join(found.twins)}")
    if not found.steps:
        OUT.print("no request of it is in run.db", style="yellow")


def _fate(found: Trace) -> str:
    record = found.record
    if found.is_row:
        return f"kept in {record['split']} for {usd(cast('int', record['cost_microusd']))}"
    detail = " ".join(str(record["detail"]).split())
    return visible(f"refused at {record['stage']}: {record['reason']}{f': {detail}' if detail else ''}")


def _step(number: int, step: Step) -> None:
    served = f" (served {step.served})" if step.served not in ("", step.model) else ""
    where = f" at {step.host}" if step.host else ""
    last = step.attempts[-1]
    choice = f", choice {last.choice} of {last.choices}" if last.choices > 1 else ""
    head = f"{number}  {step.stage}  {step.teacher}: {step.model}{served}{where}  draw {step.draw}{choice}"
    OUT.print(Text(f"\n{visible(head)}", style="bold"))
    shown = ("messages", "model", "prompt")
    sampling = [f"{name} {_short(value)}" for name, value in step.asked.items() if name not in shown]
    OUT.print(Text(visible("  ".join(sampling)), style="dim"))
    for message in cast("list[Fields]", step.asked.get("messages") or []):
        _said(str(message["role"]), str(message["content"]))
    if prompt := step.asked.get("prompt"):
        _said("text", str(prompt))
    if step.reasoning:
        _said("reasoning", step.reasoning)
    _said("reply", step.text or step.attempts[-1].raw[:MOST_RAW])
    table = plain_table("attempt", "started", "outcome", "seconds", "tokens in", "tokens out", "cost", right=3)
    for one in step.attempts:
        started = f"{one.started[:10]}\u00a0{one.started[11:19]}"
        seconds = "" if one.seconds is None else f"{one.seconds:.2f}"
        tokens = (f"{one.prompt_tokens or 0:,}", f"{one.completion_tokens or 0:,}")
        table.add_row(str(one.number), started, one.found, seconds, *tokens, usd(one.cost_microusd))
    OUT.print(table)
    for template in step.templates:
        name, _, hash_ = template.rpartition(" ")
        OUT.print(Text(visible(f"template {name} {hash_[:12]}"), style="dim"), soft_wrap=True)
    OUT.print(Text(f"key {step.request}", style="dim"), soft_wrap=True)


def _short(value: Any) -> str:
    """A value of the request's body; of a schema its name alone."""
    form: Any = cast("dict[str, Any]", value).get("json_schema") if isinstance(value, dict) else None
    name = cast("dict[str, Any]", form).get("name") if isinstance(form, dict) else None
    return f"json_schema {name}" if name else str(cast("object", value))


def _said(who: str, text: str) -> None:
    OUT.print(Text(who, style="cyan"))
    OUT.print(indented(visible(text)))
