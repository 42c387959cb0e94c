"""One request's life: stored? reserve, admit, journal, send, store raw, read, settle; again while its fate allows.

`complete` tells it from the top. Several draws of a prompt may first go in one request (`_decide`), which lives the
same life (`_obtain`); whoever gets nothing of use so is asked for alone. How requests are written stands in
`protocol/wording.py`, what a kept reply is and cost in `storage/kept.py`, what a failure says of the endpoint in
`admission/health.py`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from typing import NamedTuple

from synth.admission.admission import Admission
from synth.admission.buckets import LONGEST_GATE_S
from synth.admission.halt import Halt
from synth.admission.health import TOO_MUCH, Failed, Health, Tries
from synth.admission.hedge import Hedge
from synth.admission.lane import SPREAD, Place
from synth.backends import Backend
from synth.backends.replay import ReplayRun
from synth.batches.batch import Batches
from synth.errors import BudgetReached, Fatal, Rejected, StoreStopped, Transient
from synth.money.budget import Budget
from synth.money.prices import FREE, UNKNOWN, Tariff, recorded
from synth.protocol import explain
from synth.protocol.endpoint import HERE, Endpoint
from synth.protocol.fates import FATES, POISON, name_of
from synth.protocol.lots import Lot, Share, in_one, parted, shares_of, together
from synth.protocol.replies import read, usage_of
from synth.protocol.wording import Wording
from synth.storage.kept import Decided, Kept, decided
from synth.storage.store import Store, Stored
from synth.types import CHAT, LOT, Completion, Outcome, Planned, Request, Spend, Usage

PATIENCE_S = 3600.0
"""How long an endpoint without room is waited for, and one that says of a request alone that it is beyond its limit."""
BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 60.0
REUSED = "reused"
"""The class of a reply that an earlier run had paid for."""
REPEATS_SHARE = 0.1
REPEATS_FLOOR = 100
"""Beyond a tenth of all requests, and a hundred, repeats wait the longest: a sick endpoint gets no extra load."""
WITHOUT_ROOM = ("capacity", "rate", "unreachable")
"""How a request fails that asks for several draws, and how each of them alone would too."""
VAIN_LOTS = 3
"""So many requests for several draws, and none that ever brought them: it may be the prompt of one, and not of all."""
ROOMLESS = ("capacity", "rate")
"""What a service tier says that has no room just now."""


@dataclass(slots=True)
class Unit:
    """One piece of a stage's work: who asks, how urgently, and what it has used so far."""

    stage: str
    id: str
    priority: int
    """Lower goes first."""
    draw: int
    requests: list[str] = field(default_factory=list[str])
    cost_microusd: int = 0
    bought: int = 0
    """Completions that were not in the store."""
    model: str = ""
    """The model that stood in for the stage's teacher, when one did."""
    served_by: list[str] = field(default_factory=list[str])
    """Who served its requests, where an endpoint that passes them on said so."""
    repairs: list[str] = field(default_factory=list[str])
    """What it took to get objects that fit, by name."""
    rungs: list[tuple[str, bool, int]] = field(default_factory=list[tuple[str, bool, int]])
    """Each time an object was asked for: how, whether it fitted, and what it cost."""
    wait_s: float = 0.0
    """How long a batch may take to bring what it asks for; 0: nothing is asked for by batch."""
    lot: Lot | None = None
    """The draws with which its first request may go, until then."""

    def copied(self) -> Unit:
        """The same, which goes its own way."""
        lists = ("requests", "served_by", "repairs", "rungs")
        return replace(self, **{name: [*getattr(self, name)] for name in lists})

    def become(self, other: Unit) -> None:
        """Be as another one is."""
        for one in fields(self):
            setattr(self, one.name, getattr(other, one.name))


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


class Teacher:
    """A named endpoint, or several replicas of it, with its admission and with the run's store and budget.

    Lives on the event loop.
    """

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        *,
        backends: Sequence[Backend],
        store: Store,
        budget: Budget,
        halt: Halt,
        salt: str = "",
        earlier: Sequence[ReplayRun] = (),
        jitter: random.Random | None = None,
    ) -> None:
        self.name = name
        self.endpoint = endpoint
        self.admission = Admission(
            endpoint.limits,
            time.monotonic,
            halt.sleep,
            lanes=len(backends),
            queues_silently=endpoint.queues_silently,
        )
        self.served: set[str] = set()
        """The models the provider said it served."""
        self.tokens = 0
        """Tokens that the replies of this process used, in and out."""
        self.heard: set[bytes] | None = None
        """The keys of all that it is asked, where somebody wants to know."""
        self.draws_at_once = endpoint.draws_at_once
        """How many draws of a prompt may be asked for in one request, as far as is known."""
        self.batches: Batches | None = None
        """What brings the replies that can wait, where anything is to go that way."""
        wording = Wording(name, endpoint, salt, has_replicas=len(backends) > 1)
        self.request, self.request_to = wording.request, wording.request_to
        self.continuation = wording.continuation
        self._backends = backends
        self._store = store
        self._budget = budget
        self._halt = halt
        self._earlier = earlier
        self.health = Health(name, endpoint, self.admission, store)
        members = endpoint.members()
        self._settles = [not one.known.caps_count for one in members]
        """Of each member, whether its limit of tokens counts what a reply used."""
        price, caps = endpoint.known_price() or UNKNOWN, budget.caps
        is_free = price == FREE and caps.tokens is None and caps.requests is None
        self._surely_free = endpoint.price == FREE or all(one.base_url.startswith(HERE) for one in members)
        self._hedge = (
            Hedge(self.admission, backends, endpoint.limits.deadline_s) if len(backends) > 1 and is_free else None
        )
        self._price = price.model_dump_json()
        self._tariff = recorded(self._price, endpoint.service_tier)
        self._kept = Kept(endpoint, store, self._tariff)
        self._jitter = jitter or random.Random()  # noqa: S311 (spreads retries, guards nothing)
        self._flying: dict[bytes, asyncio.Event] = {}
        self._parked: dict[bytes, tuple[str, str]] = {}
        """Why patience with a request ended in this run: what else asks the same waits for the next one too, or a reply
        would lie in the store to which what was parked for want of it could be made."""
        self._gave_several = False
        self._vain = 0
        self._repeats = 0

    @property
    def landed(self) -> int:
        """How many sends have ended."""
        return self.health.sends - self.admission.in_flight

    @property
    def is_asked(self) -> bool:
        """Whether a request is on its way, waits for its turn, or is to be sent again."""
        return bool(self._flying)

    async def complete(self, request: Request, unit: Unit) -> Completion:
        """The completion of a request, from the store when it is there, bought otherwise.

        Raises Rejected for this sample, Transient when patience ended, Fatal when no later request can work either.
        """
        if unit.lot is not None and request.path == CHAT:
            await self._decide(unit.lot, request, unit)
        if self.heard is not None:
            self.heard.add(request.key)
        while (flying := self._flying.get(request.key)) is not None:
            await flying.wait()
        found = self._store.find(request.key) if self._store.may_hold(request.key) else ()
        completion, tariff = self._kept.completion(found, request) if found else (None, self._tariff)
        if completion is None:
            if self._halt.error is not None:
                self._halt.check()
            if (parked := self._parked.get(request.key)) is not None:
                raise Transient(*parked)
            done = self._flying[request.key] = asyncio.Event()
            try:
                completion = await self._reused(request, unit) if self._earlier else None
                if completion is None and self.batches is not None:
                    completion, tariff = await self._brought(self.batches, request, unit)
                completion = completion or await self._obtain(request, unit)
            except Transient as error:
                self._parked[request.key] = error.failure, error.detail
                raise
            finally:
                del self._flying[request.key]
                done.set()
        self.served.add(completion.model)
        if completion.provider:
            unit.served_by.append(completion.provider)
        unit.requests.append(request.key.hex())
        unit.cost_microusd += tariff.bought(request, completion.usage).microusd
        return completion

    async def _decide(self, lot: Lot, request: Request, unit: Unit) -> None:
        """Have a draw asked for in one request with others that want the same of this teacher, if there are any. What
        that brings lies in the store then; who gets nothing of use so is asked for alone.

        Raises Fatal as `complete` does.
        """
        unit.lot = None
        if self.draws_at_once < 2 or self.batches is not None or not self._is_new(request):
            lot.leave(unit.draw)
            return
        await lot.join(unit.draw, Planned(request, unit.stage, unit.id))
        if (flying := self._flying.get(request.key)) is not None:
            await flying.wait()
            unit.bought += 1
        elif self.draws_at_once > 1 and self._is_new(request):
            new = [one for one in lot.members if self._is_new(one.request)]
            await self._ask_in_one(together(new, request, self.draws_at_once), unit)

    def _is_new(self, request: Request) -> bool:
        """Whether nothing is known of a request, and nobody asks for it."""
        if request.key in self._flying or request.key in self._parked or self._halt.error is not None:
            return False
        try:
            known = self._kept.completion(self._store.find(request.key), request)[0] is not None
        except (Transient, Rejected):
            return False
        return not known and self._decided_earlier(request) is None

    async def _ask_in_one(self, members: Sequence[Planned], unit: Unit) -> None:
        """Ask for several draws in one request. Unless there is no room for any, a failure is of the way of asking."""
        if len(members) < 2:
            return
        done, keys = asyncio.Event(), [one.request.key for one in members]
        self._flying |= dict.fromkeys(keys, done)
        try:
            if (await self._obtain(in_one(members), unit, members)).found > 1:
                self._gave_several, self.draws_at_once = True, self.endpoint.draws_at_once
                return
        except BudgetReached:
            return  # for one draw there may be enough
        except Rejected:
            pass
        except Transient as error:
            if error.failure in WITHOUT_ROOM:
                self._parked |= dict.fromkeys(keys, (error.failure, error.detail))
                return
        finally:
            for key in keys:
                del self._flying[key]
            done.set()
        self._vain += 1
        if not self._gave_several and self._vain >= VAIN_LOTS:
            self.draws_at_once = 1

    async def _reused(self, request: Request, unit: Unit) -> Completion | None:
        """What an earlier run that was given bought for the same request, copied into this one's store; None when it
        is to be asked.

        Raises what it was refused for there.
        """
        known = self._decided_earlier(request)
        if known is None:
            return None
        stored, said = known
        if not isinstance(said, Transient):  # nothing to read, and so nothing to copy
            attempt = await self._store.begin([Planned(request, unit.stage, unit.id)], self._price)
            self._store.settle(attempt, REUSED, Usage(), 0)  # first: one transaction takes both
            await self._store.keep(attempt, stored.outcome)
        if not isinstance(said, Completion):
            raise said
        return said

    def _decided_earlier(self, request: Request) -> Decided | None:
        """The reply after which the first of the earlier runs that has one would not ask a request again.

        Raises StoreStopped, and stops the run, when one cannot be read: what it paid for would be bought again.
        """
        for run in self._earlier:
            try:
                found = run.find(request.key)
            except StoreStopped as error:
                self._halt.throw(error)
                raise
            known = decided(found, request.path, run.forgiven, self.endpoint.pin_model)
            if known is not None:
                return known
        return None

    async def _brought(self, batches: Batches, request: Request, unit: Unit) -> tuple[Completion | None, Tariff]:
        """The completion that a batch brings, at its price; None when none does, and the request is to be asked online.

        Raises as `complete` does.
        """
        if not batches.takes(request, unit.wait_s):
            return None, self._tariff
        await batches.bring(request, unit.stage, unit.id, unit.priority, unit.wait_s)
        completion, tariff = self._kept.completion(self._store.find(request.key), request)
        if completion is None and self.endpoint.pin_model:
            self._refuse_substitute(request)
        unit.bought += completion is not None
        return completion, tariff

    def _refuse_substitute(self, request: Request) -> None:
        """Stop the run when the newest reply is good, and so for its model alone not the wanted one: every other that a
        batch brought would be bought once more online."""
        for stored in self._store.find(request.key):
            with suppress(Transient, Rejected, Fatal):
                model = read(stored.outcome, request.path).model
                error = Fatal(explain.substituted(self.name, self.endpoint, model))
                self._halt.throw(error)
            break
        self._halt.check()

    def charge(self, request: Request, unit: Unit) -> None:
        """Put the newest reply to a request on a unit's account though it brought no completion."""
        for stored in self._store.find(request.key):
            unit.requests.append(request.key.hex())
            unit.cost_microusd += self._kept.tariff_of(stored).bought(request, self._kept.usage(stored)).microusd
            return

    def note_fit(self, problem: str) -> None:
        """Whether a bought reply fitted the schema it was asked for; `problem` is empty when it did.

        Raises Fatal, and stops the run, when most of the first replies do not: such a teacher does not heed the way it
        is asked, and each sample would buy three replies to be rejected.
        """
        error = self.health.note_fit(problem)
        if error is not None:
            self._halt.throw(error)
            raise error

    def settle_leftovers(self) -> None:
        """Work out the cost of replies that were kept just before an earlier run was killed."""
        for name, stored in self._store.unsettled():
            if name == self.name:
                self._budget.correct(*self.settle(stored, None))

    def settle(self, stored: Stored, path: str | None) -> tuple[Spend, Spend]:
        """Write down what a kept reply to a request for `path` is and cost; None reads it as what it looks like.

        Returns what had been set aside, and what it cost.
        """
        worst = Spend(stored.reserved_microusd, stored.reserved_tokens, int(stored.place == 0))
        failure, usage, cost = self._kept.share(stored, path)
        self._store.settle(stored.attempt, failure, usage, cost.microusd, usage_unknown=cost.assumed)
        self.tokens += (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)
        return worst, cost

    async def _obtain(self, request: Request, unit: Unit, members: Sequence[Planned] = ()) -> Completion:
        """Send until something comes of it; for several draws the completion holds how many choices came."""
        tries, after_s = Tries(self.health.successes, request.path), self.endpoint.standard_after_s
        try:
            while True:
                sent = await self._send(request, unit, members)
                failure, result = await self._settled(sent, tries)
                if isinstance(result, Completion):
                    if self.endpoint.pin_model in ("", result.model):
                        unit.bought += 1
                        return result
                    self.served.add(result.model)
                    result = Fatal(explain.substituted(self.name, self.endpoint, result.model))
                if not isinstance(result, Transient) or failure == POISON:
                    raise result
                await self._again(failure, result, tries)
                if after_s is not None and failure in ROOMLESS and time.monotonic() - tries.began > after_s:
                    request = request._replace(is_standard=True)
        except Fatal as error:  # what is in flight is still to be stored
            if not (members and isinstance(error, BudgetReached)):
                self._halt.throw(error)
            raise

    async def _send(self, request: Request, unit: Unit, members: Sequence[Planned]) -> Sent:
        """Send once: everything that costs money happens between the journal entry and `_settled`."""
        draws = len(members) or 1
        await self.admission.enter(unit.priority)
        try:
            if self._halt.error is not None:
                self._halt.check()
            worst = self._tariff.worst(request)
            await self._budget.reserve(worst, unit.priority)
            one = Planned(request, unit.stage, unit.id, worst.microusd)
            attempt = await self._store.begin(parted(members, worst) if members else (one,), self._price)
            place = None
            try:
                tokens = request.prompt_tokens // 3 + request.max_tokens
                place = await self.admission.board(tokens, unit.priority, request.prefix)
                if self._halt.error is not None:
                    self._halt.check()
            except BaseException:
                self._release(place, attempt, draws, worst)
                raise
            self.health.sends += 1
            try:
                if self._hedge is None or not self._is_surely_free():
                    outcome = await self._backends[place.lane.place].send(request)
                else:
                    outcome, place = await self._hedge.send(request, place)
            except BaseException:
                self._budget.settle(worst, worst)  # it may have been paid for, and others wait for what is left
                raise
            finally:
                self.admission.land(place)
            await self._store.keep(attempt, outcome, draws)
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
        cost = self._tariff.charge(worst, usage, paid=failure == "ok" or FATES[failure].paid)
        self.health.heed(place, outcome, failure, result, usage, tries)
        if self._settles[place.lane.place] and None not in usage[:2]:
            place.lane.used(place, (usage.prompt_tokens or 0) + (usage.completion_tokens or 0))
        if members and not isinstance(result, Completion) and failure != "unreachable":
            result = self.health.judged_of_several(failure, result, request, outcome, place, tries)
        elif not isinstance(result, Completion):
            failure, result = await self.health.judged(failure, result, outcome, place, tries)
        shares = shares_of(outcome, len(members), self._tariff, worst) if members else (Share(failure, usage, cost),)
        for one, (found, used, due) in enumerate(shares, attempt):
            self._store.settle(one, found, used, due.microusd, usage_unknown=due.assumed)
        self.tokens += (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)
        self._budget.settle(worst, cost)
        return failure, result

    def _release(self, place: Place | None, attempt: int, draws: int, worst: Spend) -> None:
        """Give back all that was taken for a request that was never sent."""
        if place is not None:
            self.admission.land(place)
        for one in range(attempt, attempt + draws):
            self._store.release(one)
        self._budget.settle(worst, Spend())

    async def _again(self, failure: str, error: Transient, tries: Tries) -> None:
        """Wait before the next send, holding nothing; raises the failure when patience has ended.

        Full jitter (Brooker, 2015), or the provider's own wish.
        """
        resends, times = FATES[failure].resends, tries.failures[failure]
        # a limit is waited for as long as the run lasts, but not by what alone wants more than it gives
        waits = failure == "rate" and not TOO_MUCH.search(error.detail.encode())
        if times > resends if resends is not None else not waits and time.monotonic() - tries.began > PATIENCE_S:
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
        await self._halt.sleep(wait_s)
