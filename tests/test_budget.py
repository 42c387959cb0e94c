"""Money in whole micro-dollars: reserved before, settled after, never above the cap."""

from __future__ import annotations

import asyncio
import random

import pytest

from synth.budget import Budget, usd
from synth.endpoint import Price
from synth.errors import BudgetReached


@pytest.mark.parametrize("seed", range(100))
def test_with_500_in_flight_at_the_cap_spent_plus_reserved_never_exceeds_it(seed):
    rng = random.Random(seed)
    price = Price(input_usd=rng.uniform(0, 20), output_usd=rng.uniform(0.01, 80))
    cap = rng.randint(1, 2_000_000)

    async def main() -> tuple[int, int, int]:
        budget = Budget(cap, spent_microusd=rng.choice((0, cap // 3)))
        start, highest, refused = budget.spent_microusd, 0, 0

        async def request() -> int:
            nonlocal highest, refused
            prompt, most = rng.randint(1, 8000), rng.randint(1, 4096)
            worst = price.cost_microusd(prompt, most)
            for _ in range(rng.choice((1, 1, 1, 3))):  # repairs and resends reserve anew
                try:
                    await budget.reserve(worst)
                except BudgetReached:
                    refused += 1
                    return 0
                highest = max(highest, budget.spent_microusd + budget.reserved_microusd)
                await asyncio.sleep(0)
                used = rng.choice((0, worst, price.cost_microusd(prompt, rng.randint(0, most))))
                budget.settle(worst, used)
                highest = max(highest, budget.spent_microusd + budget.reserved_microusd)
            return 0

        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for _ in range(500):
                group.create_task(request())
        assert budget.reserved_microusd == 0
        assert budget.spent_microusd >= start
        return highest, budget.spent_microusd, refused

    highest, spent, _ = asyncio.run(main())
    assert highest <= cap
    assert spent <= cap


def test_without_a_cap_nothing_waits():
    async def main() -> None:
        budget = Budget(None)
        await budget.reserve(10**15)

    asyncio.run(main())


def test_sums_are_written_for_people():
    assert usd(12_300) == "$0.0123"
    assert usd(1_234_560_000) == "$1,234.56"
