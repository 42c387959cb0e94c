"""What was not bought, because a gate had dropped the prompts that would have asked for it. An estimate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from synth.dedupe import TWIN_REASONS
from synth.storage.database import Ledger
from synth.types import Value

DROPPED = frozenset({*TWIN_REASONS.values(), "not_novel"})
"""The reasons for which a gate keeps a prompt from the later stages."""


class Saved(Value):
    """What the dropped prompts would have cost, had they been asked as the others were."""

    prompts: int
    """Drafts dropped as twins by stages that others follow."""
    replies: int
    cost_microusd: int


def saved(drafts: Mapping[str, int], rejected: Mapping[str, Mapping[str, int]], ledger: Iterable[Ledger]) -> Saved:
    """The estimate from each stage's drafts and rejections, by stage in order, and the ledger.

    A dropped prompt counts with what a draft that was no twin went on to use in the later stages, on average: replies
    that were of use, not what had to be sent again. Of a prompt that repeats another to the letter the replies would
    have come from the store, and what is badly put is refused sooner: with many of these the true figure is lower.
    """
    used = [line for line in ledger if line.failure == "ok"]
    names = list(drafts)
    prompts, replies, cost_microusd = 0, 0.0, 0.0
    for place, name in enumerate(names[:-1]):
        dropped = sum(count for reason, count in rejected[name].items() if reason in DROPPED)
        share = dropped / max(1, drafts[name] - dropped)
        later = [line for line in used if line.stage.partition(":")[0] in names[place + 1 :]]
        prompts += dropped
        replies += share * sum(line.attempts for line in later)
        cost_microusd += share * sum(line.cost_microusd for line in later)
    return Saved(prompts=prompts, replies=round(replies), cost_microusd=round(cost_microusd))
