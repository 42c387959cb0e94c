"""What a request may cost at worst and what a reply did cost: whole micro-dollars, rounded up, without float error.

Facts: cache writes cost more than input (OpenAI's prompt caching guide, Anthropic's pricing page), reasoning
is billed as output, the service tier in a reply is the one that is billed (OpenAI's flex processing guide).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from typing import Annotated, NamedTuple

from pydantic import Field

from synth.types import Request, Spend, Usage, Value

Usd = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, le=1e5, allow_inf_nan=False)]
"""Bounded, as is `max_tokens`, so that what many requests cost fits the 64 bits of a database."""
Factor = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]

UNIT = 10**12
"""Rates are whole attodollars a token, so that twelve decimal places of dollars per million tokens are exact."""
MICRO = UNIT * UNIT
"""Attodollars times a factor in one microdollar."""


class Rates(Value):
    """US dollars per million tokens."""

    input_usd: Rate
    output_usd: Rate
    cached_input_usd: Rate | None = None
    """Prompt tokens read from the provider's cache; as input when None."""
    cache_write_usd: Rate | None = None
    """Prompt tokens written to it; as input when None."""
    reasoning_usd: Rate | None = None
    """Reasoning tokens; as output when None."""


class Tier(Rates):
    """The rates of requests with a long prompt: they hold for the whole request."""

    above_prompt_tokens: int = Field(ge=1)


class Price(Rates):
    """US dollars per million tokens, and what modifies them."""

    request_usd: Rate = 0
    """For each request, whatever it brings."""
    tiers: list[Tier] = []
    """Other rates for long prompts."""
    service_tiers: dict[str, Factor] = {}
    """Factors by service tier, such as `{flex: 0.5, batch: 0.5, priority: 2}`."""
    as_of: date | None = None
    """The day this price was read, or since when it holds."""
    source: str = ""
    """Where it was read."""


def by_batch(price: Price, factor: float) -> Price:
    """The price of requests that go by batch: as the price list has it, else the usual one times `factor`."""
    factor = price.service_tiers.get("batch", factor)
    tiers = [tier.model_copy(update=_times(tier, factor)) for tier in price.tiers]
    request_usd = price.request_usd * factor
    return price.model_copy(
        update={**_times(price, factor), "tiers": tiers, "request_usd": request_usd, "service_tiers": {}}
    )


def _times(rates: Rates, factor: float) -> dict[str, float]:
    return {name: rate * factor for name in Rates.model_fields if (rate := getattr(rates, name)) is not None}


FREE = Price(input_usd=0, output_usd=0)
UNKNOWN = Price(input_usd=0, output_usd=0, source="unknown")
"""Stands in where there is no price and no money cap, or where the user said so."""


class Band(NamedTuple):
    """Rates in attodollars a token for prompts longer than `above`."""

    above: int
    input: int
    output: int
    cached: int
    written: int
    reasoning: int
    dearest_input: int
    dearest_output: int


@dataclass(frozen=True, slots=True)
class Tariff:
    """A price ready to reckon with, for requests that ask for one service tier."""

    bands: tuple[Band, ...]
    """By rising length of the prompt."""
    request_atto: int
    factors: Mapping[str, int]
    """By the service tier a reply names, in units of 1e-12."""
    surcharge: int
    """The factor of what was asked for where the reply names no tier. A discount needs the reply's word."""

    def worst(self, request: Request) -> Spend:
        """The most a request may use: the dearest input rate for the whole prompt, the whole output cap."""
        prompt, output = request.prompt_tokens, request.max_tokens
        most = 0
        for band in self.bands:  # the estimate of the prompt is long, so every one that it could be in counts
            if prompt > band.above and (dear := prompt * band.dearest_input + output * band.dearest_output) > most:
                most = dear
        return Spend(-(-(most + self.request_atto) * self.surcharge // MICRO), prompt + output, 1)

    def bought(self, request: Request, usage: Usage) -> Spend:
        """What a request used that brought something of use: the worst case where its reply does not say."""
        return self.charge(self.worst(request) if None in usage[:2] else Spend(), usage, paid=True)

    def charge(self, worst: Spend, usage: Usage, *, paid: bool) -> Spend:
        """What a reply did use, of which `worst` was set aside. The provider's own sum of money wins over the table.

        Without usable counts it is the worst case where the reply may have been `paid`, else a request and no more.
        """
        prompt, completion, cached, thinking, written, told_microusd, tier = usage
        if prompt is None or completion is None:
            unsaid = worst._replace(assumed=True) if paid else Spend(requests=1)
            return unsaid if told_microusd is None else unsaid._replace(microusd=told_microusd)
        if told_microusd is not None:
            return Spend(told_microusd, prompt + completion, 1)
        band = self.bands[0] if len(self.bands) == 1 else [band for band in self.bands if prompt > band.above][-1]
        atto = (prompt - cached - written) * band.input + (completion - thinking) * band.output
        atto += cached * band.cached + written * band.written + thinking * band.reasoning
        factor = self.factors.get(tier, UNIT) if tier else self.surcharge
        return Spend(-(-(atto + self.request_atto) * factor // MICRO), prompt + completion, 1)


def tariff(price: Price, service_tier: str = "") -> Tariff:
    """A price ready to reckon with, for requests that ask for this service tier."""
    tiers = sorted(price.tiers, key=lambda tier: tier.above_prompt_tokens)
    bands = [_band(-1, price), *(_band(tier.above_prompt_tokens, tier) for tier in tiers)]
    factors = {name: _exact(factor) for name, factor in price.service_tiers.items()}
    return Tariff(tuple(bands), 10**6 * _exact(price.request_usd), factors, max(UNIT, factors.get(service_tier, UNIT)))


@lru_cache(256)
def recorded(document: str, service_tier: str = "") -> Tariff:
    """The tariff of an attempt, from the price that was recorded with it."""
    return tariff(Price.model_validate_json(document), service_tier)


def _band(above: int, rates: Rates) -> Band:
    cached = rates.input_usd if rates.cached_input_usd is None else rates.cached_input_usd
    written = rates.input_usd if rates.cache_write_usd is None else rates.cache_write_usd
    reasoning = rates.output_usd if rates.reasoning_usd is None else rates.reasoning_usd
    asked, said, read, kept, thought = map(_exact, (rates.input_usd, rates.output_usd, cached, written, reasoning))
    return Band(above, asked, said, read, kept, thought, max(asked, read, kept), max(said, thought))


def _exact(value: float) -> int:
    """A number as it is written, in whole units of 1e-12, rounded up beyond them."""
    return int((Decimal(repr(value)) * UNIT).to_integral_value(ROUND_CEILING))
