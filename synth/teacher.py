"""One request's life: stored? reserve, admit, journal, send, store raw, read, settle; again while its fate allows."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from pydantic import JsonValue

from synth.backends import Backend
from synth.budget import Budget
from synth.endpoint import FREE, Endpoint
from synth.errors import BudgetReached, Fatal, Rejected, Transient
from synth.halt import Halt
from synth.limits import Admission
from synth.replies import FATES, MODEL, MONEY, read, usage_of
from synth.store import Store
from synth.types import Completion, Message, Outcome, Request, Usage

PATIENCE_S = 3600.0
BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 60.0
FRAMING_TOKENS = 64
OPENAI = "https://api.openai.com/"


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


class Teacher:
    """A named endpoint with its admission, and with the run's store and budget. Lives on the event loop."""

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        *,
        backend: Backend,
        store: Store,
        budget: Budget,
        halt: Halt,
        salt: str = "",
        jitter: random.Random | None = None,
    ) -> None:
        self.name = name
        self.endpoint = endpoint
        self.admission = Admission(endpoint.limits, time.monotonic, halt.sleep)
        self.served: set[str] = set()
        """The models the provider said it served."""
        self.tokens = 0
        """Tokens that the replies of this process used, in and out."""
        self._backend = backend
        self._store = store
        self._budget = budget
        self._halt = halt
        self._salt = salt
        self._price = endpoint.known_price() or FREE
        self._jitter = jitter or random.Random()  # noqa: S311 (spreads retries, guards nothing)
        self._flying: dict[bytes, asyncio.Event] = {}
        self._answered = False

    def request(
        self, messages: Sequence[Message], draw: int, response_format: Mapping[str, JsonValue] | None = None
    ) -> Request:
        """Serialise a prompt once. The key leaves host and API key out: a moved server buys nothing twice."""
        endpoint, sampling = self.endpoint, self.endpoint.sampling
        wire = [{"role": message.role, "content": message.content} for message in messages]
        body: dict[str, Any] = {"model": endpoint.model, "messages": wire, "max_tokens": sampling.max_tokens}
        if sampling.temperature is not None:
            body["temperature"] = sampling.temperature
        if sampling.top_p is not None:
            body["top_p"] = sampling.top_p
        if sampling.seed is not None:
            body["seed"] = sampling.seed + draw
        if sampling.stop:
            body["stop"] = sampling.stop
        if response_format is not None:
            body["response_format"] = response_format
        body.update(sampling.extra)
        sent = orjson.dumps(body)
        key = hashlib.sha256(b"\0".join([self.name.encode(), str(draw).encode(), self._salt.encode(), sent])).digest()
        if endpoint.base_url.startswith(OPENAI):  # its newer models refuse the older name
            body["max_completion_tokens"] = body.pop("max_tokens")
            sent = orjson.dumps(body)
        # a token is at least one byte, so the length of the body is a worst case that needs no tokeniser
        return Request(key, self.name, endpoint.model, sent, draw, len(sent) + FRAMING_TOKENS, sampling.max_tokens)

    async def complete(self, request: Request, unit: Unit) -> Completion:
        """The completion of a request, from the store when it is there, bought otherwise.

        Raises Rejected for this sample, Transient when patience ended, Fatal when no later request can work either.
        """
        while (flying := self._flying.get(request.key)) is not None:
            await flying.wait()
        completion = self._stored(request)
        if completion is None:
            self._halt.check()
            done = self._flying[request.key] = asyncio.Event()
            try:
                completion = await self._obtain(request, unit)
            finally:
                del self._flying[request.key]
                done.set()
        self.served.add(completion.model)
        unit.requests.append(request.key.hex())
        unit.cost_microusd += self._cost(request, "ok", completion.usage)
        return completion

    def settle_leftovers(self) -> None:
        """Work out the cost of replies that were kept just before an earlier run was killed."""
        for name, stored in self._store.unsettled():
            if name == self.name:
                failure, _ = _read(stored.outcome)
                usage = usage_of(stored.outcome)
                cost = stored.reserved_microusd if _is_paid(failure) else 0
                if usage.completion_tokens is not None:
                    cost = self._price.cost_microusd(
                        usage.prompt_tokens or 0, usage.completion_tokens, usage.cached_tokens
                    )
                self._store.settle(stored.attempt, failure, usage, cost)

    def _stored(self, request: Request) -> Completion | None:
        for stored in self._store.find(request.key):
            try:
                return read(stored.outcome)
            except (Transient, Fatal):
                continue  # no reply to learn from; an older one may be
        return None

    async def _obtain(self, request: Request, unit: Unit) -> Completion:
        sends: Counter[str] = Counter()
        began = time.monotonic()
        while True:
            sent_at, outcome, failure, result = await self._attempt(request, unit)
            if isinstance(result, Completion):
                self.admission.accepted()
                return result
            if isinstance(result, Rejected):
                unit.requests.append(request.key.hex())
                raise result
            if isinstance(result, Fatal) or (failure == "unreachable" and not self._answered):
                error = Fatal(self._explain(outcome, str(result)))
                self._halt.throw(error)
                raise error
            sends[failure] += 1
            resends = FATES[failure].resends
            tired = time.monotonic() - began > PATIENCE_S if resends is None else sends[failure] > resends
            if tired:
                raise result
            await self._wait(failure, result, sent_at, sends[failure])

    async def _attempt(
        self, request: Request, unit: Unit
    ) -> tuple[float, Outcome, str, Completion | Transient | Rejected | Fatal]:
        """Send once: everything that costs money happens between the journal entry and `settle`."""
        async with self.admission.turn(unit.priority):
            self._halt.check()
            worst = self._price.cost_microusd(request.prompt_tokens, request.max_tokens)
            try:
                await self._budget.reserve(worst)
            except BudgetReached as error:
                self._halt.throw(error)
                raise
            attempt = await self._store.begin(request, unit.stage, unit.id, worst)
            sending = False
            try:
                async with self.admission.slot(request.prompt_tokens // 3 + request.max_tokens, unit.priority):
                    self._halt.check()
                    sending, sent_at = True, time.monotonic()
                    outcome = await self._backend.send(request)
            finally:
                if not sending:
                    self._store.release(attempt)
                    self._budget.settle(worst, 0)
            await self._store.keep(attempt, outcome)
            failure, result = _read(outcome)
            usage = result.usage if isinstance(result, Completion) else usage_of(outcome)
            cost = self._cost(request, failure, usage)
            self.tokens += (usage.prompt_tokens or 0) + (usage.completion_tokens or 0)
            self._store.settle(attempt, failure, usage, cost)
            self._budget.settle(worst, cost)
            self._answered = self._answered or outcome.status > 0
            return sent_at, outcome, failure, result

    async def _wait(self, failure: str, error: Transient, sent_at: float, times: int) -> None:
        """Back off, holding nothing: full jitter (Brooker, 2015), and the provider's own wish for all requests."""
        if failure == "rate":
            self.admission.refused(sent_at)
        if error.retry_after_s is not None:
            self.admission.hold(error.retry_after_s)
        ceiling = min(LONGEST_BACKOFF_S, BACKOFF_S * 2 ** min(times, 10))
        await self._halt.sleep(self._jitter.uniform(0, ceiling) if error.retry_after_s is None else 0.001)

    def _cost(self, request: Request, failure: str, usage: Usage) -> int:
        """By the provider's own count; without one, the worst case where the reply may have been charged."""
        if usage.completion_tokens is not None:
            return self._price.cost_microusd(usage.prompt_tokens or 0, usage.completion_tokens, usage.cached_tokens)
        return self._price.cost_microusd(request.prompt_tokens, request.max_tokens) if _is_paid(failure) else 0

    def _explain(self, outcome: Outcome, detail: str) -> str:
        """One sentence that names the URL and what to mend."""
        endpoint, said = self.endpoint, " ".join(detail.split())[:300]
        where = f"{endpoint.base_url} (teacher {self.name!r})"
        if outcome.status == 0:
            return f"{where} cannot be reached: {said}. Check base_url and that the server runs."
        if MONEY.search(said) or outcome.status == 402:
            return f"{where} says the account has no money left: {said}"
        if outcome.status in (401, 403):
            variable = endpoint.key_variable
            mend = f"check the key in {variable}" if variable else "name the key's environment variable in key_variable"
            return f"{where} refused the request ({said}); {mend}."
        if 300 <= outcome.status < 400:
            target = outcome.headers.get("location", "another address")
            return f"{where} redirects to {target}; put the address it ends at into base_url."
        if MODEL.search(said):
            return f"{where} does not serve the model {endpoint.model!r}: {said}"
        if outcome.status == 404:
            return f"{where} has nothing at /chat/completions ({said}); base_url usually ends in /v1."
        return f"{where} cannot serve this run: {said}"


def _is_paid(failure: str) -> bool:
    """Whether a reply that says nothing about tokens may have been charged."""
    return failure == "ok" or FATES[failure].paid


def _read(outcome: Outcome) -> tuple[str, Completion | Transient | Rejected | Fatal]:
    try:
        return "ok", read(outcome)
    except Transient as error:
        return error.failure, error
    except Rejected as error:
        return error.reason, error
    except Fatal as error:
        return "fatal", error
