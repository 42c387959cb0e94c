"""Several draws of a prompt in one request, where the host bills the prompt once: which draws go together, which choice
of the reply is whose, and what part of its cost.

Each draw keeps a request, a key and a price of its own. Who looks for its reply finds its choice, whether it came alone
or with others, so that another number of draws buys nothing again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple, cast

import orjson

from synth.errors import Fatal, Rejected, Transient
from synth.money.prices import Tariff
from synth.protocol.fates import FATES, name_of
from synth.protocol.replies import parsed, read, usage_of
from synth.types import CHAT, LOT, UNSERVED, Outcome, Planned, Request, Spend, Usage

WAIT_S = 30.0
"""The longest that a draw waits for the others: a plug-in may let one ask only when another has its answer."""


class Lot:
    """Draws of one prompt that are to be asked for side by side. With its first request each decides, once, whether it
    waits for the others. Lives on the event loop."""

    def __init__(self, draws: Iterable[int]) -> None:
        self.members: list[Planned] = []
        self._undecided = set(draws)
        self._decided = asyncio.Event()

    async def join(self, draw: int, member: Planned) -> None:
        """Be asked for with the others; return when each of them has decided, or has taken too long."""
        self.members.append(member)
        self.leave(draw)
        if self._decided.is_set():
            await asyncio.sleep(0)  # the others go on first, as they came first
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                await self._decided.wait()
        self._decided.set()

    def leave(self, draw: int) -> None:
        """Keep nobody waiting any longer."""
        self._undecided.discard(draw)
        if not self._undecided:
            self._decided.set()


def together(members: Iterable[Planned], request: Request, most: int) -> Sequence[Planned]:
    """Those members, at most so many, whose requests want the same as this one of theirs, by their draws.

    Where they have seeds their draws follow each other, as choice i is written with the seed of the first and i more.
    """
    wanted = _prompt(request)
    same = sorted((one for one in members if _prompt(one.request) == wanted), key=lambda one: one.request.draw)
    place = [one.request.key for one in same].index(request.key)
    if wanted[-1] is not None:
        # draws that follow each other are as far apart as their places
        same = [one for at, one in enumerate(same) if one.request.draw - request.draw == at - place]
        place = [one.request.key for one in same].index(request.key)
    first = place // most * most
    return same[first : first + most]


def in_one(members: Sequence[Planned]) -> Request:
    """One request for all of them: the first one's, with a choice for each."""
    first, number = members[0].request, len(members)
    body = first.body.removesuffix(b"}") + b',"n":%d}' % number
    return first._replace(body=body, max_tokens=number * first.max_tokens)


def part(whole: int, place: int, of: int) -> int:
    """The part of a whole number that falls to one of several; the parts of all of them together are the whole."""
    return (place + 1) * whole // of - place * whole // of


def parted(members: Sequence[Planned], worst: Spend) -> list[Planned]:
    """The same with what of a reservation for all of them is for each."""
    planned: list[Planned] = []
    for place, one in enumerate(members):
        reserved = _reserved(worst, place, len(members))
        own = one.request._replace(prompt_tokens=reserved.tokens - one.request.max_tokens)
        planned.append(one._replace(request=own, reserved_microusd=reserved.microusd))
    return planned


def _reserved(worst: Spend, place: int, of: int) -> Spend:
    return Spend(part(worst.microusd, place, of), part(worst.tokens, place, of), int(place == 0))


def choice_of(whole: Outcome, place: int, of: int, cost_microusd: int | None = None) -> Outcome:
    """One choice of a reply, of so many asked for, as if it had come alone, with its part of the tokens, and with what
    it cost where that is to be told.

    A choice that is missing has not been served; a reply without any says nothing of a draw that is asked for alone.
    """
    found = _said(whole)
    said, choices = f"{len(found.choices)} of {of} choices came", found.choices
    if place < len(choices):
        usage = _told(_usage_part(found.usage, place, min(of, len(choices))), cost_microusd)
        try:
            return whole._replace(body=orjson.dumps({**found.document, "choices": [choices[place]], "usage": usage}))
        except orjson.JSONEncodeError as error:  # deeper, or larger numbers, than are written
            said = f"the choice cannot be taken out of its reply: {error}"
    return Outcome(0, error=UNSERVED, detail=said, written=False, seconds=whole.seconds)


class Share(NamedTuple):
    """What a draw was found to be, and its part of what the reply used and cost."""

    failure: str
    usage: Usage
    cost: Spend


def share_alone(outcome: Outcome, path: str | None, tariff: Tariff, reserved: Spend) -> Share:
    """What the reply to a request that went alone is and cost; `path` None reads it as what it looks like."""
    try:
        failure, usage = "ok", read(outcome, path).usage
    except (Transient, Rejected, Fatal) as error:
        failure, usage = name_of(error), usage_of(outcome)
    return Share(failure, usage, tariff.charge(reserved, usage, paid=failure == "ok" or FATES[failure].paid))


def shares_of(whole: Outcome, of: int, tariff: Tariff, worst: Spend) -> list[Share]:
    """What each of so many draws that were asked for is and cost, with what was set aside for all of them."""
    return [share_of(whole, place, of, tariff, _reserved(worst, place, of)) for place in range(of)]


def share_of(whole: Outcome, place: int, of: int, tariff: Tariff, reserved: Spend) -> Share:
    """The same of one of so many draws that were asked for, with what was set aside for it.

    What is charged is shared by the draws that the reply holds. Where it does not say what it used, each draw costs
    what was set aside for it, as all of that may have been charged.
    """
    failure, usage, _, choices = _said(whole)
    paid = failure == "ok" or FATES[failure].paid
    cost = tariff.charge(reserved, usage, paid=paid)._replace(requests=int(place == 0))
    came = min(of, len(choices)) or of
    if not cost.assumed:
        cost = cost._replace(tokens=_part(cost.tokens, place, came))
    if not cost.assumed or usage.cost_microusd is not None:
        cost = cost._replace(microusd=_part(cost.microusd, place, came))
    if failure == "ok":
        failure = _failure(choice_of(whole, place, of), CHAT)
    return Share(failure, _usage_part(usage, place, came)._replace(cost_microusd=cost.microusd), cost)


def _failure(outcome: Outcome, path: str) -> str:
    try:
        read(outcome, path)
    except (Transient, Rejected, Fatal) as error:
        return name_of(error)
    return "ok"


def _part(whole: int, place: int, came: int) -> int:
    return part(whole, place, came) if place < came else 0


def _prompt(request: Request) -> tuple[str, bytes, int | None]:
    """Whom a request asks, what, and with which seed, without what is its draw's own."""
    body: dict[str, Any] = orjson.loads(request.body)
    seed: int | None = body.pop("seed", None)
    return request.teacher, orjson.dumps(body), None if seed is None else seed - request.draw


class _Said(NamedTuple):
    """What a reply says of all its draws."""

    failure: str
    usage: Usage
    document: dict[str, Any]
    """Empty where that is nothing of use."""
    choices: list[Any]
    """In their order."""


def _said(whole: Outcome) -> _Said:
    return _read(whole.status, whole.body, whole.error, whole.written)


@lru_cache(4)
def _read(status: int, body: bytes, error: str, written: bool) -> _Said:
    """The same, once for all draws: a reply is as long as they are many."""
    whole = Outcome(status, body, error=error, written=written)
    document: Any = None if whole.error else parsed(whole.body)
    known = cast("dict[str, Any]", document) if isinstance(document, dict) else {}
    return _Said(_failure(whole, LOT), usage_of(whole), known, _in_order(known.get("choices")))


def _in_order(found: Any) -> list[Any]:
    choices = cast("list[Any]", found) if isinstance(found, list) else []
    indices = [cast("dict[str, Any]", one).get("index") if isinstance(one, dict) else None for one in choices]
    if sorted(one for one in indices if type(one) is int) != list(range(len(choices))):
        return choices
    places = {index: at for at, index in enumerate(indices)}
    return [choices[places[place]] for place in range(len(choices))]


def _usage_part(usage: Usage, place: int, of: int) -> Usage:
    """What of a reply's tokens falls to one of its draws: no more from the cache, or thought, than there are."""
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return Usage(service_tier=usage.service_tier)
    cached, written = _part(usage.cached_tokens, place, of), _part(usage.cache_write_tokens, place, of)
    thought = _part(usage.reasoning_tokens, place, of)
    fresh = usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens
    return Usage(
        prompt_tokens=_part(fresh, place, of) + cached + written,
        completion_tokens=_part(usage.completion_tokens - usage.reasoning_tokens, place, of) + thought,
        cached_tokens=cached,
        reasoning_tokens=thought,
        cache_write_tokens=written,
        service_tier=usage.service_tier,
    )


def _told(usage: Usage, cost_microusd: int | None) -> dict[str, Any] | None:
    """What a reply says of its tokens, in OpenAI's words, and of its cost, in OpenRouter's."""
    told: dict[str, Any] = {} if cost_microusd is None else {"cost": cost_microusd / 1e6}
    if usage.prompt_tokens is not None:
        told |= {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "prompt_tokens_details": {
                "cached_tokens": usage.cached_tokens,
                "cache_write_tokens": usage.cache_write_tokens,
            },
            "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
            "service_tier": usage.service_tier,
        }
    return told or None
