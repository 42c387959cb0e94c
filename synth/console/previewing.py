"""`synth preview`: rows as they will be, with what was sent for them, thought, found and paid, and what was refused."""

from __future__ import annotations

from typing import Any, cast

from rich.padding import Padding
from rich.text import Text

from synth.console.screen import OUT, conversation, cut, indented, say
from synth.language.text import visible
from synth.money.budget import usd
from synth.results.result import Result
from synth.results.trace import Step, steps_of
from synth.types import Fields, Rejection, Sample

MOST_SENT = 700
MOST_TEXT = 4_000
MOST_REASONING = 600
MOST_REFUSED = 160
"""Letters that are shown of a prompt, of one turn of a row, of its reasoning, and of what was refused."""
UNTOLD = ("not_best",)
"""Reasons that say nothing of the answer itself."""


def previewed(result: Result) -> None:
    """Show the prompts of the first row, then all rows, then what was refused."""
    if result.examples:
        steps = steps_of(result.folder, result.examples[0].requests)
        for step in reversed({step.stage: step for step in reversed(steps)}.values()):
            _sent(step)
    for sample in result.examples:
        _row(sample)
    for rejection in result.rejections:
        _refused(rejection)


def _sent(step: Step) -> None:
    """The request that a row began with, as its teacher saw it."""
    OUT.print(Text(visible(f"sent at {step.stage} to {step.teacher}"), style="bold"))
    for message in cast("list[Fields]", step.asked.get("messages") or []):
        OUT.print(Text(str(message["role"]), style="cyan"))
        OUT.print(indented(visible(cut(str(message["content"]), MOST_SENT))))
    if prompt := cast("Any", step.asked.get("prompt")):
        OUT.print(indented(visible(cut(str(prompt), MOST_SENT))))
    OUT.print()


def _row(sample: Sample) -> None:
    found = [f"{score.name} {score.value:g}" for score in sample.scores]
    cost = [usd(sample.cost_microusd)] if sample.cost_microusd else []
    title = "  ".join([sample.id, *found, *cost, *([sample.model] if sample.model else [])])
    notes = [f"{score.name}: {' '.join(score.detail.split())}" for score in sample.scores if score.detail]
    if sample.repairs:
        notes.append(f"repaired: {', '.join(sample.repairs)}")
    notes = [cut(note, MOST_SENT) for note in notes]
    conversation(title, sample.messages, notes, most=MOST_TEXT, most_reasoning=MOST_REASONING)


def _refused(rejection: Rejection) -> None:
    detail = " ".join(rejection.detail.split())[:200]
    say(OUT, f"refused {rejection.id}  {rejection.reason}", "yellow")
    if detail:
        OUT.print(Padding(Text(visible(detail)), (0, 0, 0, 2), expand=False))
    sample = rejection.sample
    if sample is None or rejection.reason in UNTOLD:
        return
    text = " ".join((sample.answer() or sample.question()).split())
    if text and text not in detail:
        OUT.print(Padding(Text(visible(cut(text, MOST_REFUSED)), style="dim"), (0, 0, 0, 2), expand=False))
