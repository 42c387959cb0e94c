"""Whether a budget lets as many requests be in flight as the recipe allows: each has its worst case set aside."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from synth.errors import FolderError
from synth.estimates.prompts import Prompts
from synth.language.text import several
from synth.money import account
from synth.money.budget import usd
from synth.money.prices import UNKNOWN, tariff
from synth.recipes.recipe import Recipe
from synth.types import Request, Spend


def held_back(recipe: Recipe, prompts: Prompts) -> list[str]:
    """A sentence for each teacher of which the budget lets fewer requests be in flight than the recipe allows.

    Of prompts behind the first stage nothing is known yet: there the replies alone are reckoned.
    """
    draws = max(stage.draws if isinstance(stage.draws, int) else stage.draws.most for stage in recipe.stages)
    said: list[str] = []
    for name, endpoint in recipe.teachers.items():
        own, cap = [one.size for one in prompts.every if one.teacher == name], endpoint.sampling.max_tokens
        size = round(sum(own) / len(own)) if own else 0
        request = Request(b"", name, endpoint.model, b"", 0, size, cap)
        worst = tariff(endpoint.known_price() or UNKNOWN, endpoint.service_tier).worst(request)
        most = min(endpoint.limits.max_in_flight * len(endpoint.members()), prompts.of * draws)
        for words, left, each in _sums(recipe, worst):
            if most * each > left:
                shown = _tokens if words == "tokens" else usd
                said.append(
                    f"{name}: {most:,} requests in flight could take up to {shown(most * each)}, {shown(each)} each at "
                    f"max_tokens {cap:,}, and the {'budget' if words == 'tokens' else words} has {shown(left)}: so "
                    f"{left // each:,} at once, however many the teacher bears. A lower max_tokens or a higher budget "
                    "lets more."
                )
    return said


def _tokens(number: int) -> str:
    return several(number, "token")


def _sums(recipe: Recipe, worst: Spend) -> list[tuple[str, int, int]]:
    """Each sum there is, with what there is of it, and what one request has set aside of it."""
    caps, sums = recipe.budget, list[tuple[str, int, int]]()
    if caps.microusd is not None:
        sums.append(("budget", caps.microusd, worst.microusd))
    if caps.account:
        with suppress(FolderError):  # the run says that it cannot be used
            total, leases = account.standing(Path(caps.account))
            free = max(0, total - sum(lease.held_microusd for lease in leases))
            sums.append((f"account {caps.account}", free, worst.microusd))
    if caps.tokens is not None:
        sums.append(("tokens", caps.tokens, worst.tokens))
    return sums
