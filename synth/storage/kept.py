"""What the kept replies to a request are, and whether it is asked again; what they cost at the price that was in force
when they were bought."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from synth.errors import Fatal, Rejected, Transient
from synth.money.prices import Tariff, recorded
from synth.protocol.endpoint import Endpoint
from synth.protocol.fates import POISON
from synth.protocol.lots import Share, choice_of, share_alone, share_of
from synth.protocol.replies import read, usage_of
from synth.storage.found import Stored
from synth.storage.store import Store
from synth.types import Completion, Outcome, Request, Spend, Usage

Decided = tuple[Stored, Completion | Transient | Rejected]
"""A kept reply after which its request is not asked again, and what it is."""


def decided(found: Iterable[Stored], path: str, forgiven: int, model: str = "") -> Decided | None:
    """What decides of the kept replies to a request for `path`, newest first; None when it is to be asked.

    A completion has to be of `model`, where one is named. Failures that a person may have asked again count only when
    they are later than the `forgiven` attempt.
    """
    for stored in found:
        if stored.failure == POISON and stored.attempt > forgiven:
            return stored, Transient(POISON, stored.outcome.detail or f"HTTP {stored.outcome.status} every time")
        try:
            completion = read(stored.outcome, path)
        except Rejected as error:
            if error.reason != "permanent" or stored.attempt > forgiven:
                return stored, error
        except (Transient, Fatal):
            continue  # no reply to learn from; an older one may be
        else:
            if model in ("", completion.model):
                return stored, completion
    return None


@dataclass(frozen=True, slots=True)
class Kept:
    """The kept replies of one teacher."""

    endpoint: Endpoint
    store: Store
    tariff: Tariff
    """The price in force now."""

    def completion(self, found: Iterable[Stored], request: Request) -> tuple[Completion | None, Tariff]:
        """The completion among kept replies to a request, newest first, and the tariff it was bought at, or is to be
        bought at.

        Raises what a refused or poisonous request is known to bring.
        """
        known = decided(found, request.path, self.store.forgiven, self.endpoint.pin_model)
        if known is None:
            return None, self.tariff
        stored, said = known
        if not isinstance(said, Completion):
            raise said
        if stored.whole is not None:
            said = said._replace(usage=self.usage(stored))
        return said, self.tariff_of(stored)

    def tariff_of(self, stored: Stored) -> Tariff:
        """The price that was in force when a reply was bought."""
        return recorded(stored.price, self.endpoint.service_tier) if stored.price else self.tariff

    def share(self, stored: Stored, path: str | None) -> Share:
        """What a kept reply to a request for `path` is and cost; None reads it as what it looks like. Of one that
        brought several draws what falls to this one."""
        reserved, tariff = Spend(stored.reserved_microusd, stored.reserved_tokens, 1), self.tariff_of(stored)
        if stored.whole is None:
            return share_alone(stored.outcome, path, tariff, reserved)
        return share_of(stored.whole, stored.place, stored.draws, tariff, reserved)

    def usage(self, stored: Stored) -> Usage:
        """What a kept reply used; of one that brought several draws what falls to this one, with what it costs."""
        return usage_of(stored.outcome) if stored.whole is None else self.share(stored, None).usage

    def alone(self, stored: Stored) -> Outcome:
        """What a kept reply is to a run that takes it over: of one that brought several draws its own choice alone,
        with what that cost."""
        if stored.whole is None:
            return stored.outcome
        return choice_of(stored.whole, stored.place, stored.draws, self.usage(stored).cost_microusd)
