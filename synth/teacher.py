"""One request's life: in the store already, or in an earlier run's? on its way? brought by a batch? else it is sent.

`complete` tells it from the top; what it takes to send stands in `sending.py`. Several draws of a prompt may first go
in one request (`_decide`); whoever gets nothing of use so is asked for alone. How requests are written stands in
`protocol/wording.py`, what a kept reply is and cost in `storage/kept.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from synth.backends.replay import ReplayRun
from synth.batches.batch import Batches
from synth.errors import BudgetReached, Fatal, Rejected, StoreStopped, Transient
from synth.money.prices import Tariff
from synth.protocol import explain
from synth.protocol.lots import Lot, in_one, together
from synth.protocol.replies import read
from synth.protocol.wording import Wording
from synth.sending import Sender
from synth.storage.found import Stored
from synth.storage.kept import Decided, Kept, decided
from synth.types import CHAT, Completion, Planned, Request, Spend, Usage
from synth.unit import Unit

REUSED = "reused"
"""The class of a reply that an earlier run had paid for."""
WITHOUT_ROOM = ("capacity", "rate", "unreachable")
"""How a request fails that asks for several draws, and how each of them alone would too."""
VAIN_LOTS = 3
"""So many requests for several draws, and none that ever brought them: it may be the prompt of one, and not of all."""


class Teacher:
    """A named endpoint, or several replicas of it: what is asked of it is sent by its sender, unless it is known.

    Lives on the event loop.
    """

    def __init__(self, sender: Sender, *, salt: str = "", earlier: Sequence[ReplayRun] = ()) -> None:
        self.name, self.endpoint = sender.name, sender.endpoint
        self.heard: set[bytes] | None = None
        """The keys of all that it is asked, where somebody wants to know."""
        self.draws_at_once = self.endpoint.draws_at_once
        """How many draws of a prompt may be asked for in one request, as far as is known."""
        self.batches: Batches | None = None
        """What brings the replies that can wait, where anything is to go that way."""
        self.admission, self.health = sender.admission, sender.health
        wording = Wording(self.name, self.endpoint, salt, has_replicas=len(self.admission.lanes) > 1)
        self.request, self.request_to = wording.request, wording.request_to
        self.continuation = wording.continuation
        self.served = sender.served
        """The models the provider said it served."""
        self._sender, self._send = sender, sender.obtain
        self._store, self._halt = sender.store, sender.halt
        self._tariff = sender.tariff
        self._kept = Kept(self.endpoint, self._store, self._tariff)
        self._earlier = earlier
        self._flying: dict[bytes, list[asyncio.Future[None]]] = {}
        """The keys of requests on their way, each with who waits for the same."""
        self._parked: dict[bytes, tuple[str, str]] = {}
        """Why patience with a request ended in this run: what else asks the same waits for the next one too, or a reply
        would lie in the store to which what was parked for want of it could be made."""
        self._gave_several = False
        self._vain = 0

    @property
    def landed(self) -> int:
        """How many sends have ended."""
        return self.health.sends - self.admission.in_flight

    @property
    def tokens(self) -> int:
        """Tokens that the replies of this process used, in and out."""
        return self._sender.tokens

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
        found: Sequence[Stored] = ()
        completion, tariff = None, self._tariff
        was_made = self._store.may_hold(request.key)
        if was_made:
            completion, tariff = self._kept.completion(await self._store.sought(request.key), request)
        if completion is None and (was_made or request.key in self._flying):
            found, completion, tariff = await self._known(request)
        if completion is None:
            if self._halt.error is not None:
                self._halt.check()
            if (parked := self._parked.get(request.key)) is not None:
                raise Transient(*parked)
            self._flying[request.key] = []
            try:
                if self._earlier:
                    completion, tariff = await self._reused(request, unit)
                if completion is None and self.batches is not None:
                    completion, tariff = await self._brought(self.batches, request, unit)
                    found = self._store.find(request.key)  # the batch may have failed
                if completion is None:
                    completion = await self._send(request, unit, found)
            except Transient as error:
                self._parked[request.key] = error.failure, error.detail
                raise
            finally:
                self._land(request.key)
        self.served.add(completion.model)
        if completion.provider:
            unit.served_by.append(completion.provider)
        unit.requests.append(request.key.hex())
        unit.cost_microusd += tariff.bought(request, completion.usage).microusd
        return completion

    async def _known(self, request: Request) -> tuple[Sequence[Stored], Completion | None, Tariff]:
        """What the store holds of a request once nobody else asks for it, the completion among that, and the tariff it
        was bought at; None when it is to be asked, without a pause in which somebody else might.

        Raises what a refused or poisonous request is known to bring.
        """
        await self._landed(request.key)
        found = self._store.find(request.key)
        return found, *self._kept.completion(found, request)

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
        if request.key in self._flying:
            await self._landed(request.key)
            unit.bought += 1
        elif self.draws_at_once > 1 and self._is_new(request):
            new = [one for one in lot.members if self._is_new(one.request)]
            await self._ask_in_one(together(new, request, self.draws_at_once), unit)

    async def _landed(self, key: bytes) -> None:
        """Wait until nobody asks for the same any more."""
        while (waiting := self._flying.get(key)) is not None:
            waiting.append(landed := asyncio.get_running_loop().create_future())
            await landed

    def _land(self, key: bytes) -> None:
        """A request is on its way no more."""
        for landed in self._flying.pop(key):
            if not landed.done():
                landed.set_result(None)

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
        keys = [one.request.key for one in members]
        self._flying |= {key: [] for key in keys}
        try:
            asked = in_one(members)
            if (await self._send(asked, unit, self._store.find(asked.key), members)).found > 1:
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
                self._land(key)
        self._vain += 1
        if not self._gave_several and self._vain >= VAIN_LOTS:
            self.draws_at_once = 1

    async def _reused(self, request: Request, unit: Unit) -> tuple[Completion | None, Tariff]:
        """What an earlier run that was given bought for the same request, copied into this one's store, and the tariff
        it was bought at; None when it is to be asked.

        Raises what it was refused for there.
        """
        known = self._decided_earlier(request)
        if known is None:
            return None, self._tariff
        stored, said = known
        if not isinstance(said, Transient):  # nothing to read, and so nothing to copy
            nothing = request._replace(prompt_tokens=0, max_tokens=0)  # is set aside, as nothing is sent
            price = stored.price or self._sender.price
            attempt = await self._store.begin([Planned(nothing, unit.stage, unit.id)], price)
            self._store.settle(attempt, REUSED, Usage(), 0)  # first: one transaction takes both
            await self._store.keep(attempt, self._kept.alone(stored))
        if not isinstance(said, Completion):
            raise said
        return said._replace(usage=self._kept.usage(stored)), self._kept.tariff_of(stored)

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
                self._sender.budget.correct(*self.settle(stored, None))

    def settle(self, stored: Stored, path: str | None) -> tuple[Spend, Spend]:
        """Write down what a kept reply to a request for `path` is and cost; None reads it as what it looks like.

        Returns what had been set aside, and what it cost.
        """
        worst = Spend(stored.reserved_microusd, stored.reserved_tokens, int(stored.place == 0))
        failure, usage, cost = self._kept.share(stored, path)
        self._store.settle(stored.attempt, failure, usage, cost.microusd, usage_unknown=cost.assumed)
        self._sender.tokens += (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)
        return worst, cost
