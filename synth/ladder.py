"""Whom a unit of a stage asks, and whom next when nothing that came is of use.

1. The seed decides who begins: its `route`, else the stage's `teachers`, from the cheapest on (`begun`).
2. What all but the last of these gave has to reach `escalate_below` too (`held_to`).
3. Nothing of use: the same one anew, `ask_again` times, with more room after a reply that was cut; the last time its
   `fallback` in its place. Then the next teacher, as if it were the first (`followed`).

Each question on the way has rungs of its own: a reply in which thinking used all of max_tokens gets more room once, and
an object that does not fit is mended, corrected, asked for anew and in the end asked of the `fallback` (`ask.py`). By
which way a request goes, a batch that can be waited for (`can_wait_h`) or the wire, is no rung: its teacher decides
that under all of them, for each request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from synth.ask import RAISED_CAP, UnitAsk
from synth.gates.work import Results
from synth.recipes.recipe import Stage
from synth.results.selection import Selection
from synth.types import Fields, Rejection, Sample

BEYOND_ANY = ("plugin_error", "empty_question", "empty_answer", "no_reference", "no_verdict", "template_error")
"""Reasons that no teacher's answer would change: a judge that failed says nothing of the answer."""
BEYOND_ASKING = ("permanent", "invalid_output")
"""Reasons that asking the same teacher anew does not change, or that it was asked about already."""
CUT_SHORT = {"truncated", "truncated_empty"}


def begun(stage: Stage, ask: UnitAsk, fields: Fields) -> UnitAsk:
    """How the first of several teachers is asked."""
    first, *after = stage.answering_for(fields)
    return replace(ask, instead=first, after=tuple(after))


def held_to(least: Mapping[str, float], results: Results) -> Results:
    """The same, with samples refused whose score is too low, when that leaves none; as they are when one is good."""
    held: Results = []
    for result in results:
        low = Selection(require=dict(least)).shortfall(result) if isinstance(result, Sample) else ""
        held.append(result.refused("below_threshold", low) if isinstance(result, Sample) and low else result)
    return results if of_use(held) else held


def of_use(results: Results) -> bool:
    """Whether a sample is among them."""
    return any(isinstance(result, Sample) for result in results)


def followed(stage: Stage, ask: UnitAsk, made: Results) -> UnitAsk | None:
    """How to ask after what was made; None when something of it is of use, or asking is at its end."""
    times = ask.anew + 1
    reasons = {result.reason if isinstance(result, Rejection) else "" for result in made}
    if reasons & {"", *BEYOND_ANY}:
        return None
    if times > stage.ask_again or reasons & {*BEYOND_ASKING}:
        return _next_teacher(ask)
    other = ask.teachers[ask.instead or stage.generator.teacher].endpoint.fallback
    if other in ask.after and times == stage.ask_again:
        return _next_teacher(ask)  # or it would be asked twice
    raised = RAISED_CAP if reasons & CUT_SHORT else 1
    ask.unit.repairs.append("anew")
    anew = replace(ask, anew=times, raised=raised)
    return replace(anew, instead=other) if other and times == stage.ask_again else anew


def _next_teacher(ask: UnitAsk) -> UnitAsk | None:
    """How the next teacher is asked, as if it were the first; None when there is none."""
    if not ask.after:
        return None
    ask.unit.repairs.append("escalated")
    return replace(ask, anew=0, raised=1, instead=ask.after[0], after=ask.after[1:])
