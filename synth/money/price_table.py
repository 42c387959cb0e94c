"""Prices of hosted models from the table of the `genai-prices` package: as installed, never fetched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from importlib.metadata import version
from typing import Any, cast

from synth.money.prices import Price, Tier

NAMES = {
    "input_usd": "input_mtok",
    "output_usd": "output_mtok",
    "cached_input_usd": "cache_read_mtok",
    "cache_write_usd": "cache_write_mtok",
    "reasoning_usd": "output_reasoning_mtok",
}
"""Our names of rates, and the table's."""


@lru_cache(64)
def listed(base_url: str, model: str, day: date) -> Price | None:
    """The price of a model at a host on a day; None when the package is not installed or has none.

    Of prices that change with the hour of the day the dearest is taken.
    """
    try:
        from genai_prices.data import providers
        from genai_prices.data_snapshot import DataSnapshot
    except ModuleNotFoundError:
        return None
    try:
        _, info = DataSnapshot(providers, from_auto_update=False).find_provider_model(model, None, None, base_url)
    except LookupError:
        return None
    hours = [datetime.combine(day, time(hour, 45), UTC) for hour in range(24)]
    priced = [price for hour in hours if (price := _price(vars(info.get_prices(hour)))) is not None]
    if not priced:
        return None
    dearest = max(priced, key=lambda price: (price.output_usd, price.input_usd))
    conditional = info.prices if isinstance(info.prices, list) else []
    starts = [getattr(one.constraint, "start_date", None) for one in conditional]
    return dearest.model_copy(
        update={
            "service_tiers": _factors(info.price_variants or (), vars(info.get_prices(hours[0])), hours[0]),
            "as_of": max((start for start in starts if isinstance(start, date) and start <= day), default=None),
            "source": f"genai-prices {version('genai-prices')}: {info.id}",
        }
    )


def provider_of(base_url: str) -> str:
    """Whose prices the table has for a host; empty when it has none, or is not installed."""
    try:
        from genai_prices.data import providers
        from genai_prices.data_snapshot import DataSnapshot
    except ModuleNotFoundError:
        return ""
    try:
        return DataSnapshot(providers, from_auto_update=False).find_provider("", None, base_url).name
    except LookupError:
        return ""


def _price(prices: Mapping[str, Any]) -> Price | None:
    """A price of the table as ours; None when it does not count in tokens."""
    if prices.get("input_mtok") is None or prices.get("output_mtok") is None:
        return None
    starts = sorted({tier.start for price in prices.values() for tier in getattr(price, "tiers", ())})
    tiers = [Tier(above_prompt_tokens=max(1, start), **_rates(prices, start)) for start in starts]
    request_usd = float(_at(prices.get("requests_kcount") or Decimal(0), 0) / 1000)
    return Price(tiers=tiers, request_usd=request_usd, **_rates(prices, 0))


def _rates(prices: Mapping[str, Any], start: int) -> dict[str, Any]:
    """The rates of prompts longer than `start`."""
    return {ours: float(_at(prices[theirs], start)) for ours, theirs in NAMES.items() if prices.get(theirs) is not None}


def _at(price: Any, start: int) -> Decimal:
    """A plain price, or that of the highest tier which begins by `start`."""
    reached = [tier.price for tier in getattr(price, "tiers", ()) if 0 < tier.start <= start]
    return reached[-1] if reached else getattr(price, "base", price)


def _factors(variants: Iterable[Any], standard: Mapping[str, Any], moment: datetime) -> dict[str, float]:
    """Factors of the service tiers (batch among them); the dearest where they differ between kinds of tokens."""
    factors: dict[str, float] = {}
    for variant in variants:
        tier = variant.when.get("service_tier") or ("batch" if variant.when == {"processing": "batch"} else None)
        if tier is None or (variant.constraint is not None and not variant.constraint.active(moment)):
            continue
        changed = cast("Mapping[str, Any]", vars(variant.prices))
        ratios = [
            _at(price, 0) / _at(standard[name], 0)
            for name, price in changed.items()
            if price is not None and standard.get(name) is not None and _at(standard[name], 0)
        ]
        if ratios:
            factors[tier] = float(max(ratios).quantize(Decimal("1e-6"), ROUND_CEILING))
    return factors
