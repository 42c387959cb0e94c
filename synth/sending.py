"""What it takes to get one answer: reserve, admit, journal, send, store raw, read, settle; again while its fate allows.

What a failure says of the endpoint stands in `admission/health.py`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from typing import NamedTuple

from synth.admission.admission import Admission
from synth.admission.buckets import LONGEST_GATE_S
from synth.admission.halt import Halt
from synth.admission.health import POISONOUS, TOO_MUCH, Failed, Health, Tries
from synth.admission.hedge import Hedge
from synth.admission.lane import SPREAD, Place
from synth.backends import Backend
from synth.errors import BudgetReached, Fatal, Rejected, Transient
from synth.money.budget import Budget
from synth.money.prices import FREE, UNKNOWN, recorded
from synth.protocol import explain
from synth.protocol.endpoint import HERE, Endpoint
from synth.protocol.fates import FATES, POISON, name_of
from synth.protocol.lots import Share, parted, shares_of
from synth.protocol.replies import read, usage_of
from synth.storage.found import Stored
from synth.storage.store import Store
from synth.types import LOT, Completion, Outcome, Planned, Request, Spend
from synth.unit import Unit

PATIENCE_S = 3600.0
"""How long a request is sent again for which there is no room though there is for others, or that alone is beyond a
limit."""
BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 60.0
REPEATS_SHARE = 0.1
REPEATS_FLOOR = 100
"""Beyond a tenth of all requests, and a hundred, repeats wait the longest: a sick endpoint gets no extra load."""
ROOMLESS = ("capacity", "rate")
"""What a service tier says that has no room just now."""


class Sent(NamedTuple):
    """A request that was sent, for itself or for several draws, and what came back."""

    request: Request
    members: Sequence[Planned]
    """The draws, where there are several."""
    attempt: int
    """The journal's number of it, or of the first draw."""
    worst: Spend
    """What had been set aside for all of it."""
    outcome: Outcome
    place: Place
    """Where it was sent to."""


class Sender:
    """The way to a teacher's endpoints: admission, money, the journal and how the endpoints fare."""

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        *,
        backends: Sequence[Backend],
        store: Store,
        budget: Budget,
        halt: Halt,
    ) -> None:
        self.name = name
        self.endpoint = endpoint
        self.store = store
        self.budget = budget
        self.halt = halt
        self.admission = Admission(
            endpoint.limits,
            time.monotonic,
            halt.sleep,
            lanes=len(backends),
            queues_silently=endpoint.queues_silently,
        )
        self.health = Health(name, endpoint, self.admission, store)
        price = endpoint.known_price() or UNKNOWN
        self.price = price.model_dump_json()
        """The price in force, as the journal notes it."""
        self.tariff = recorded(self.price, endpoint.service_tier)
        self.served: set[str] = set()
        """The models the provider said it served."""
        self.tokens = 0
        """Tokens that the replies of this process used, in and out."""
        self._backends = backends
        self._pinned = endpoint.pin_model
        self._jitter = random.Random()  # noqa: S311 (spreads retries, guards nothing)
        members, caps = endpoint.members(), budget.caps
        self._settles = [not one.known.caps_count for one in members]
        """Of each member, whether its limit of tokens counts what a reply used."""
        self._surely_free = endpoint.price == FREE or all(one.base_url.startswith(HERE) for one in members)
        is_free = price == FREE and caps.tokens is None and caps.requests is None
        self._hedge = (
            Hedge(self.admission, backends, endpoint.limits.deadline_s) if len(backends) > 1 and is_free else None
        )
        self._repeats = 0

    async def obtain(
        self, request: Request, unit: Unit, before: Sequence[Stored] = (), members: Sequence[Planned] = ()
    ) -> Completion:
        """Send until something comes of it, of which nothing came `before`; for several draws the completion holds how
        many choices came."""
        failed_before = bool(before) and any(one.failure in (*POISONOUS, POISON) for one in before)
        tries = Tries(self.health.successes, request.path, failed_before=failed_before)
        try:
            while True:
                sent = await self._send(request, unit, members, tries.avoided)
                failure, result = await self._settled(sent, tries)
                if isinstance(result, Completion):
                    if self._pinned in ("", result.model):
                        unit.bought += 1
                        return result
                    self.served.add(result.model)
                    result = Fatal(explain.substituted(self.name, self.endpoint, result.model))
                if not isinstance(result, Transient) or failure == POISON:
                    raise result
                if failure != "rate" and len(self._backends) > 1:  # a limit is of the moment: its lane waits for it
                    tries.failed_at(sent.place.lane.place, len(self._backends))
                await self._again(failure, result, tries)
                after_s = self.endpoint.standard_after_s
                if after_s is not None and failure in ROOMLESS and time.monotonic() - tries.began > after_s:
                    request = request._replace(is_standard=True)
        except Fatal as error:  # what is in flight is still to be stored
            if not (members and isinstance(error, BudgetReached)):
                self.halt.throw(error)
            raise

    async def _send(
        self, request: Request, unit: Unit, members: Sequence[Planned], avoided: frozenset[int] = frozenset()
    ) -> Sent:
        """Send once: everything that costs money happens between the journal entry and `_settled`."""
        draws = len(members) or 1
        await self.admission.enter(unit.priority)
        try:
            if self.halt.error is not None:
                self.halt.check()
            worst = self.tariff.worst(request)
            await self.budget.reserve(worst, unit.priority)
            one = Planned(request, unit.stage, unit.id, worst.microusd)
            try:
                attempt = await self.store.begin(parted(members, worst) if members else (one,), self.price)
            except BaseException:
                self.budget.settle(worst, Spend())
                raise
            place = None
            try:
                tokens = request.prompt_tokens // 3 + request.max_tokens
                place = await self.admission.board(tokens, unit.priority, request.prefix, avoided)
                if self.halt.error is not None:
                    self.halt.check()
            except BaseException:
                self._release(place, attempt, draws, worst)
                raise
            self.health.sends += 1
            try:
                try:
                    if self._hedge is None or not self._is_surely_free():
                        outcome = await self._backends[place.lane.place].send(request)
                    else:
                        outcome, place = await self._hedge.send(request, place, avoided)
                finally:
                    self.admission.land(place)
                await self.store.keep(attempt, outcome, draws)
            except BaseException:
                self.budget.settle(worst, worst)  # it may have been paid for, and others wait for what is left
                raise
        finally:
            self.admission.leave()
        return Sent(request, members, attempt, worst, outcome, place)

    def _is_surely_free(self) -> bool:
        """Whether a second send costs nothing: a private address alone may be a proxy's to a host that charges."""
        return self._surely_free or all(lane.load is not None for lane in self.admission.lanes)

    async def _settled(self, sent: Sent, tries: Tries) -> tuple[str, Completion | Failed]:
        """What a kept reply is, written down with what it cost."""
        request, members, attempt, worst, outcome, place = sent
        result: Completion | Failed
        try:
            failure, result = "ok", read(outcome, LOT if members else request.path)
        except (Transient, Rejected, Fatal) as error:
            failure, result = name_of(error), error
        usage = result.usage if isinstance(result, Completion) else usage_of(outcome)
        # what it was, before a third failure makes it poison, says whether it may have been paid for
        cost = self.tariff.charge(worst, usage, paid=failure == "ok" or FATES[failure].paid)
        self.budget.settle(worst, cost)
        self.health.heed(place, outcome, failure, result, usage, tries)
        tokens = (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)
        if self._settles[place.lane.place] and None not in usage[:2]:
            place.lane.used(place, tokens)
        if members and not isinstance(result, Completion) and failure not in ("unreachable", "capacity"):
            result = self.health.judged_of_several(failure, result, request, outcome, place, tries)
        elif not isinstance(result, Completion):
            failure, result = await self.health.judged(failure, result, outcome, place, tries)
        shares = shares_of(outcome, len(members), self.tariff, worst) if members else (Share(failure, usage, cost),)
        for one, (found, used, due) in enumerate(shares, attempt):
            self.store.settle(one, found, used, due.microusd, usage_unknown=due.assumed)
        self.tokens += tokens
        return failure, result

    def _release(self, place: Place | None, attempt: int, draws: int, worst: Spend) -> None:
        """Give back all that was taken for a request that was never sent."""
        if place is not None:
            self.admission.land(place)
        for one in range(attempt, attempt + draws):
            self.store.release(one)
        self.budget.settle(worst, Spend())

    async def _again(self, failure: str, error: Transient, tries: Tries) -> None:
        """Wait before the next send, holding nothing; raises the failure when patience has ended.

        Full jitter (Brooker, 2015), or the provider's own wish.
        """
        resends, times = FATES[failure].resends, tries.failures[failure]
        # a limit is waited for as long as the run lasts, but not by what alone wants more than it gives
        waits = failure == "rate" and not TOO_MUCH.search(error.detail.encode())
        is_late = not waits and self.health.waited_s(tries) > PATIENCE_S
        if is_late if resends is None else times > resends:
            raise error
        if not times:  # its member is left out, and another one is asked
            return
        if failure != "rate":
            self._repeats += 1
        ceiling = min(LONGEST_BACKOFF_S, BACKOFF_S * 2 ** min(times - 1, 10))
        wait_s = self._jitter.uniform(0, ceiling)
        if error.retry_after_s is not None:
            wished_s = min(error.retry_after_s, LONGEST_GATE_S) * (1 + SPREAD * self._jitter.random())
            wait_s = max(wished_s, min(wait_s, BACKOFF_S))  # some say 0, at every refusal
        elif self._repeats > REPEATS_FLOOR + REPEATS_SHARE * self.health.sends:
            wait_s = self._jitter.uniform(LONGEST_BACKOFF_S / 2, LONGEST_BACKOFF_S)
        await self.halt.sleep(wait_s)
