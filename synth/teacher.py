"""One request's life: stored? reserve, admit, journal, send, store raw, read, settle; again while its fate allows."""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
import time
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import orjson
from pydantic import JsonValue

from synth.admission.halt import Halt
from synth.admission.hedge import Hedge
from synth.admission.limits import LONGEST_GATE_S, SPREAD, Admission, Place
from synth.admission.rate_headers import allowances
from synth.backends import Backend
from synth.backends.replay import ReplayRun
from synth.batches.batch import Batches
from synth.errors import BudgetReached, Fatal, Rejected, Transient
from synth.money.budget import Budget
from synth.money.prices import FREE, UNKNOWN, Tariff, recorded
from synth.protocol import explain
from synth.protocol.endpoint import Endpoint
from synth.protocol.lots import Lot, Member, Share, in_one, part, share_of, together
from synth.protocol.replies import FATES, name_of, read, usage_of
from synth.storage.store import Planned, Store, Stored
from synth.types import CHAT, CONTINUED, LOT, Completion, Message, Outcome, Request, Spend, Usage

PATIENCE_S = 3600.0
BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 60.0
FRAMING_TOKENS = 64
POISON = "poison"
REUSED = "reused"
"""The class of a reply that an earlier run had paid for."""
POISONOUS = ("transient", "ambiguous", "malformed")
REPEATS_SHARE = 0.1
REPEATS_FLOOR = 100
"""Beyond a tenth of all requests, and a hundred, repeats wait the longest: a sick endpoint gets no extra load."""
POISON_TIMES = 3
POISON_SUCCESSES = 50
POISON_CHANCE = 0.01
"""A request that failed so often in one way while so many others succeeded is at fault itself, unless as many such
requests, or more, are to be expected by chance, as with an endpoint that fails now and then whatever it is asked."""
WITHOUT_ROOM = ("capacity", "rate", "unreachable")
"""How a request fails that asks for several draws, and how each of them alone would too."""
TOO_MUCH = re.compile(rb"too large|must be reduced")
"""How a host says that one request alone wants more than its limit for a minute: waiting does not help it."""
VAIN_LOTS = 3
"""So many requests for several draws, and none that ever brought them: it may be the prompt of one, and not of all."""
ROOMLESS = ("capacity", "rate")
"""What a service tier says that has no room just now."""
SPEECH = re.compile(rb'"choices"|"stop_reason"')
"""What stands in every reply of a model, also in one that is of no use."""
SPOKEN = ("ok", "teacher_refused", "truncated_empty", "repetition")
FRUITLESS_SENDS = 8
PROVING_S = 60.0
"""After so many sends and so long a time without a completion, ever, the endpoint is at fault and not the requests."""
SCHEMA_TRIAL = 20
"""When more than half of so many first replies to a schema do not fit it, the teacher ignores it."""


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


@dataclass(slots=True)
class Tries:
    """What became of the sends of one request."""

    successes_then: int
    """Of the teacher, at the first send."""
    path: str = CHAT
    began: float = 0.0
    """When it failed first: the time it waits in line before that takes none of its patience."""
    failures: Counter[str] = field(default_factory=Counter[str])


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
        self._backends = backends
        self._store = store
        self._budget = budget
        self._halt = halt
        self._salt = salt
        self._earlier = earlier
        price, caps = endpoint.known_price() or UNKNOWN, budget.caps
        is_free = price == FREE and caps.tokens is None and caps.requests is None
        self._hedge = (
            Hedge(self.admission, backends, endpoint.limits.deadline_s) if len(backends) > 1 and is_free else None
        )
        self._price = price.model_dump_json()
        self._tariff = recorded(self._price, endpoint.service_tier)
        self._jitter = jitter or random.Random()  # noqa: S311 (spreads retries, guards nothing)
        self._flying: dict[bytes, asyncio.Event] = {}
        self._parked: dict[bytes, tuple[str, str]] = {}
        """Why patience with a request ended in this run: what else asks the same waits for the next one too, or a reply
        would lie in the store to which what was parked for want of it could be made."""
        self._answered = self._spoken = self._gave_several = False
        self._vain = 0
        self._sends = self._repeats = self._successes = self._fruitless = self._failed = 0
        self._schema_replies = self._unfit = 0

    @property
    def landed(self) -> int:
        """How many sends have ended."""
        return self._sends - self.admission.in_flight

    def request(
        self,
        messages: Sequence[Message],
        draw: int,
        response_format: Mapping[str, JsonValue] | None = None,
        *,
        raised: int = 1,
    ) -> Request:
        """Serialise a prompt once. The key leaves host and API key out: a moved server buys nothing twice.

        `raised` multiplies `max_tokens`.
        """
        endpoint, sampling = self.endpoint, self.endpoint.sampling
        max_tokens = raised * sampling.max_tokens
        wire = [{"role": message.role, "content": message.content} for message in messages]
        body: dict[str, Any] = {"model": endpoint.model, "messages": wire, "max_tokens": max_tokens}
        if sampling.temperature is not None:
            body["temperature"] = sampling.temperature
        if sampling.top_p is not None:
            body["top_p"] = sampling.top_p
        if sampling.seed is not None:
            body["seed"] = sampling.seed + draw
        if sampling.stop:
            body["stop"] = sampling.stop
        if sampling.logprobs is not None:
            body["logprobs"], body["top_logprobs"] = True, sampling.logprobs
        if response_format is not None:
            body["response_format"] = response_format
        body.update(sampling.extra)
        sent = bytes(memoryview(orjson.dumps(body)))  # the copy is as long as it looks, orjson's own 4 KB at least
        key = hashlib.sha256(b"\0".join([self.name.encode(), str(draw).encode(), self._salt.encode(), sent])).digest()
        # a token is at least one byte, so the length of the body is a worst case that needs no tokeniser
        prefix = 0 if len(self._backends) == 1 else zlib.crc32(wire[0]["content"].encode("utf-8", "surrogatepass"))
        return Request(key, self.name, endpoint.model, sent, draw, len(sent) + FRAMING_TOKENS, max_tokens, prefix)

    def continuation(self, text: str, draw: int, stop: Sequence[str], *, raised: int = 1) -> Request:
        """Serialise a text that is to be gone on with, by the recipe's sampling, but for its own stop sequences."""
        sampling = self.endpoint.sampling
        fields: dict[str, JsonValue] = {"prompt": text, "max_tokens": raised * sampling.max_tokens}
        named = {"temperature": sampling.temperature, "top_p": sampling.top_p}
        fields |= {name: value for name, value in named.items() if value is not None}
        if sampling.seed is not None:
            fields["seed"] = sampling.seed + draw
        if stops := [*dict.fromkeys([*stop, *sampling.stop])]:
            fields["stop"] = [*stops]
        return self.request_to(CONTINUED, fields, draw)

    def request_to(self, path: str, fields: Mapping[str, JsonValue], draw: int = 0) -> Request:
        """Serialise what is asked of a path other than the chat's: `fields` with the model and the sampling's `extra`.

        A `max_tokens` among them is the most that the reply may bring, for the budget.
        """
        sent = orjson.dumps({"model": self.endpoint.model, **fields, **self.endpoint.sampling.extra})
        named = (self.name, str(draw), self._salt, path)
        key = hashlib.sha256(b"\0".join([*(one.encode() for one in named), sent])).digest()
        prompt_tokens, most = len(sent) + FRAMING_TOKENS, fields.get("max_tokens")
        max_tokens = most if isinstance(most, int) else 0
        return Request(key, self.name, self.endpoint.model, sent, draw, prompt_tokens, max_tokens, path=path)

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
        completion, tariff = self._stored(request)
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
        unit.cost_microusd += tariff.charge(tariff.worst(request), completion.usage, paid=True).microusd
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
        await lot.join(unit.draw, Member(request, unit.id))
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
            known = self._stored(request)[0] is not None
        except (Transient, Rejected):
            return False
        return not known and all(run.recorded(request) is None for run in self._earlier)

    async def _ask_in_one(self, members: Sequence[Member], unit: Unit) -> None:
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
        """What an earlier run that was given bought for the same request, copied into this one's store."""
        for run in self._earlier:
            outcome = run.recorded(request)
            if outcome is not None:
                attempt = await self._store.begin(request, unit.stage, unit.id, 0, self._price)
                self._store.settle(attempt, REUSED, Usage(), 0)  # first: one transaction takes both
                await self._store.keep(attempt, outcome)
                completion = read(outcome, request.path)
                return completion if self.endpoint.pin_model in ("", completion.model) else None
        return None

    async def _brought(self, batches: Batches, request: Request, unit: Unit) -> tuple[Completion | None, Tariff]:
        """The completion that a batch brings, at its price; None when none does, and the request is to be asked online.

        Raises as `complete` does.
        """
        if not batches.takes(request, unit.wait_s):
            return None, self._tariff
        await batches.bring(request, unit.stage, unit.id, unit.priority, unit.wait_s)
        completion, tariff = self._stored(request)
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
            tariff = self._tariff_of(stored)
            cost = tariff.charge(tariff.worst(request), self._usage_of(stored), paid=True)
            unit.requests.append(request.key.hex())
            unit.cost_microusd += cost.microusd
            return

    def note_fit(self, problem: str) -> None:
        """Whether a bought reply fitted the schema it was asked for; `problem` is empty when it did.

        Raises Fatal, and stops the run, when most of the first replies do not: such a teacher does not heed the way it
        is asked, and each sample would buy three replies to be rejected.
        """
        self._schema_replies += 1
        self._unfit += bool(problem)
        if not problem or self._schema_replies > SCHEMA_TRIAL or 2 * self._unfit <= SCHEMA_TRIAL:
            return
        error = Fatal(explain.unfit(self.name, self.endpoint, self._schema_replies, self._unfit, problem))
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
        if stored.whole is not None:
            failure, usage, cost = self._share_of(stored)
        else:
            try:
                failure, usage = "ok", read(stored.outcome, path).usage
            except (Transient, Rejected, Fatal) as error:
                failure, usage = name_of(error), usage_of(stored.outcome)
            cost = self._tariff_of(stored).charge(worst, usage, paid=failure == "ok" or FATES[failure].paid)
        self.tokens += (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)
        self._store.settle(stored.attempt, failure, usage, cost.microusd, usage_unknown=cost.assumed)
        return worst, cost

    def _usage_of(self, stored: Stored) -> Usage:
        """What a kept reply used; of one that brought several draws what falls to this one, with what it costs."""
        return usage_of(stored.outcome) if stored.whole is None else self._share_of(stored).usage

    def _share_of(self, stored: Stored) -> Share:
        assert stored.whole is not None
        reserved = Spend(stored.reserved_microusd, stored.reserved_tokens, 1)
        return share_of(stored.whole, stored.place, stored.draws, self._tariff_of(stored), reserved)

    def _tariff_of(self, stored: Stored) -> Tariff:
        """The price that was in force when a reply was bought."""
        return recorded(stored.price, self.endpoint.service_tier) if stored.price else self._tariff

    def _stored(self, request: Request) -> tuple[Completion | None, Tariff]:
        """The completion that the store holds, and the tariff it was bought at, or is to be bought at.

        Raises what a refused or poisonous request is known to bring.
        """
        for stored in self._store.find(request.key):
            forgiven = stored.attempt <= self._store.forgiven
            if stored.failure == POISON and not forgiven:
                raise Transient(POISON, stored.outcome.detail or f"HTTP {stored.outcome.status} every time")
            try:
                completion = read(stored.outcome, request.path)
                if stored.whole is not None:
                    completion = completion._replace(usage=self._usage_of(stored))
                if self.endpoint.pin_model in ("", completion.model):
                    return completion, self._tariff_of(stored)
            except Rejected as error:
                if error.reason != "permanent" or not forgiven:
                    raise
            except (Transient, Fatal):
                continue  # no reply to learn from; an older one may be
        return None, self._tariff

    async def _obtain(self, request: Request, unit: Unit, members: Sequence[Member] = ()) -> Completion:
        """Send until something comes of it; for several draws the completion holds how many choices came."""
        tries, after_s = Tries(self._successes, request.path), self.endpoint.standard_after_s
        while True:
            failure, result = await self._attempt(request, unit, tries, members)
            if isinstance(result, Completion):
                if self.endpoint.pin_model in ("", result.model):
                    unit.bought += 1
                    return result
                self.served.add(result.model)
                result = Fatal(explain.substituted(self.name, self.endpoint, result.model))
            if isinstance(result, Transient) and failure != POISON:
                await self._again(failure, result, tries)
                if after_s is not None and failure in ROOMLESS and time.monotonic() - tries.began > after_s:
                    request = request._replace(is_standard=True)
                continue
            if isinstance(result, Fatal):
                self._halt.throw(result)
            raise result

    async def _attempt(
        self, request: Request, unit: Unit, tries: Tries, members: Sequence[Member]
    ) -> tuple[str, Completion | Transient | Rejected | Fatal]:
        """Send once: everything that costs money happens between the journal entry and `settle`."""
        await self.admission.enter(unit.priority)
        try:
            if self._halt.error is not None:
                self._halt.check()
            worst = self._tariff.worst(request)
            try:
                await self._budget.reserve(worst, unit.priority)
            except Fatal as error:  # what is in flight is still to be stored
                if not (members and isinstance(error, BudgetReached)):
                    self._halt.throw(error)
                raise
            if members:
                attempt = await self._store.begin_lot(_planned(members, unit.stage, worst), self._price)
            else:
                attempt = await self._store.begin(request, unit.stage, unit.id, worst.microusd, self._price)
            place = None
            try:
                place = await self.admission.board(
                    request.prompt_tokens // 3 + request.max_tokens, unit.priority, request.prefix
                )
                if self._halt.error is not None:
                    self._halt.check()
            except BaseException:
                if place is not None:
                    self.admission.land(place)
                for one in range(attempt, attempt + (len(members) or 1)):
                    self._store.release(one)
                self._budget.settle(worst, Spend())
                raise
            self._sends += 1
            try:
                if self._hedge is None:
                    outcome = await self._backends[place.lane.place].send(request)
                else:
                    outcome, place = await self._hedge.send(request, place)
            except BaseException:
                self._budget.settle(worst, worst)  # it may have been paid for, and others wait for what is left
                raise
            finally:
                self.admission.land(place)
            await self._store.keep(attempt, outcome, len(members) or 1)
        finally:
            self.admission.leave()
        result: Completion | Transient | Rejected | Fatal
        try:
            failure, result = "ok", read(outcome, LOT if members else request.path)
        except (Transient, Rejected, Fatal) as error:
            failure, result = name_of(error), error
        usage = result.usage if isinstance(result, Completion) else usage_of(outcome)
        # what it was, before a third failure makes it poison, says whether it may have been paid for
        paid = failure == "ok" or FATES[failure].paid
        self._heed(place, outcome, (failure, result), usage, tries)
        if members and not isinstance(result, Completion) and failure != "unreachable":
            result = _excused(failure, result, tries)
            if failure == "rate" and _is_too_much(request, outcome):
                result = Rejected(failure, str(result))
        elif not isinstance(result, Completion):
            failure, result = await self._judged(failure, result, outcome, place, tries)
        cost = self._tariff.charge(worst, usage, paid=paid)
        self.tokens += (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)
        if members:
            self._settle_each(attempt, len(members), outcome, worst)
        else:
            self._store.settle(attempt, failure, usage, cost.microusd, usage_unknown=cost.assumed)
        self._budget.settle(worst, cost)
        return failure, result

    def _settle_each(self, first: int, draws: int, whole: Outcome, worst: Spend) -> None:
        """Write down what each draw of a reply is and cost."""
        for place in range(draws):
            reserved = _part_of(worst, place, draws)
            failure, usage, cost = share_of(whole, place, draws, self._tariff, reserved)
            self._store.settle(first + place, failure, usage, cost.microusd, usage_unknown=cost.assumed)

    def _heed(
        self,
        place: Place,
        outcome: Outcome,
        found: tuple[str, Completion | Transient | Rejected | Fatal],
        usage: Usage,
        tries: Tries,
    ) -> None:
        """Let admission know how the endpoint fares."""
        failure, result = found
        if outcome.headers and (told := allowances(outcome.headers)):
            place.lane.learn(told, place.taken, time.monotonic() - place.sent_at)
        if not isinstance(result, Transient):
            self._successes += 1
            self.admission.accepted(place, usage.completion_tokens or 1)
        elif failure == "rate":
            place.lane.refused(place, result.retry_after_s)
        elif failure != "malformed":
            # no connection is never the fault of one request, however often it is sent
            again = failure != "unreachable" and bool(tries.failures)
            place.lane.failed(place.sent_at, result.retry_after_s, again=again)
        self._answered = self._answered or outcome.status > 0
        self._spoken = self._spoken or failure in SPOKEN or (tries.path == CHAT and bool(SPEECH.search(outcome.body)))

    async def _judged(
        self, failure: str, error: Transient | Rejected | Fatal, outcome: Outcome, place: Place, tries: Tries
    ) -> tuple[str, Transient | Rejected | Fatal]:
        """Whether a failure of this request, or one that may pass, is one of every request and will not."""
        member = self.endpoint.members()[place.lane.place]
        if isinstance(error, Fatal):
            return failure, Fatal(explain.unusable(self.name, member, outcome, str(error), tries.path))
        if failure == "unreachable" and not self._answered and all(lane.streak for lane in self.admission.lanes):
            return "fatal", Fatal(explain.unusable(self.name, member, outcome, error.detail, tries.path))
        tries.began = tries.began or time.monotonic()
        tries.failures[failure] += 1
        if failure in POISONOUS:
            self._failed += 1
            times, others = tries.failures[failure], self._successes - tries.successes_then
            if times >= POISON_TIMES and others >= POISON_SUCCESSES and self._chance(times, tries) < POISON_CHANCE:
                return POISON, Transient(POISON, f"{times} times, while {others} others succeeded: {error.detail}")
        resends = FATES[failure].resends
        if resends is not None and self._is_hopeless(failure, tries, over=tries.failures[failure] > resends):
            await self._store.forgive()  # once the endpoint is mended, what it refused is asked again
            return failure, Fatal(explain.unusable(self.name, member, outcome, error.detail, tries.path))
        if failure == "malformed" and tries.failures[failure] > (resends or 0):
            return POISON, Transient(POISON, error.detail)  # whole replies that were paid for: not bought at each rerun
        return failure, error

    def _chance(self, times: int, tries: Tries) -> float:
        """How many of the requests sent so far would fail so often in a row, by the failures of the others."""
        own = sum(tries.failures[name] for name in POISONOUS)
        return self._sends * ((self._failed - own) / self._sends) ** times

    def _is_hopeless(self, failure: str, tries: Tries, *, over: bool) -> bool:
        """Whether a failed send shows that the endpoint has never been of any use; `over`: the request's last one."""
        if self._spoken:
            return False
        self._fruitless += 1
        alone = over and failure != "permanent" and self.admission.in_flight == 0  # else others may fare better
        late = over or not self._answered or time.monotonic() - tries.began > PROVING_S
        if not alone and not (late and self._fruitless >= FRUITLESS_SENDS):
            return False
        self._spoken = any(line.teacher == self.name and line.failure in SPOKEN for line in self._store.ledger())
        return not self._spoken

    async def _again(self, failure: str, error: Transient, tries: Tries) -> None:
        """Wait before the next send, holding nothing; raises the failure when patience has ended.

        Full jitter (Brooker, 2015), or the provider's own wish.
        """
        resends, times = FATES[failure].resends, tries.failures[failure]
        if times > resends if resends is not None else time.monotonic() - tries.began > PATIENCE_S:
            raise error
        if failure != "rate":
            self._repeats += 1
        ceiling = min(LONGEST_BACKOFF_S, BACKOFF_S * 2 ** min(times - 1, 10))
        wait_s = self._jitter.uniform(0, ceiling)
        if error.retry_after_s is not None:
            wished_s = min(error.retry_after_s, LONGEST_GATE_S) * (1 + SPREAD * self._jitter.random())
            wait_s = max(wished_s, min(wait_s, BACKOFF_S))  # some say 0, at every refusal
        elif self._repeats > REPEATS_FLOOR + REPEATS_SHARE * self._sends:
            wait_s = self._jitter.uniform(LONGEST_BACKOFF_S / 2, LONGEST_BACKOFF_S)
        await self._halt.sleep(wait_s)


def _excused(failure: str, error: Transient | Rejected | Fatal, tries: Tries) -> Transient | Rejected:
    """A failure of a request for several draws, which is no word on what asking for one alone would bring."""
    tries.began = tries.began or time.monotonic()
    tries.failures[failure] += 1
    return Rejected(failure, str(error)) if isinstance(error, Fatal) else error


def _is_too_much(request: Request, outcome: Outcome) -> bool:
    """Whether a request for several draws was refused for wanting more tokens than are given in a minute at all."""
    tokens = request.prompt_tokens // 3 + request.max_tokens
    limits = [told.limit for told in allowances(outcome.headers) if told.kind == "tokens"]
    return bool(TOO_MUCH.search(outcome.body)) or any(tokens > limit for limit in limits)


def _part_of(worst: Spend, place: int, draws: int) -> Spend:
    """What of a reservation is for one of several draws."""
    return Spend(part(worst.microusd, place, draws), part(worst.tokens, place, draws), int(place == 0))


def _planned(members: Sequence[Member], stage: str, worst: Spend) -> list[Planned]:
    """The attempts at draws that go in one request."""
    planned: list[Planned] = []
    for place, (request, unit) in enumerate(members):
        reserved = _part_of(worst, place, len(members))
        own = request._replace(prompt_tokens=reserved.tokens - request.max_tokens)
        planned.append(Planned(own, stage, unit, reserved.microusd))
    return planned
