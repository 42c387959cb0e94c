"""Money: reserve the worst case before a send, settle from usage after it. Whole micro-dollars throughout."""

from __future__ import annotations

import asyncio

from synth.errors import BudgetReached


def usd(microusd: int) -> str:
    """A sum for people: `$0.0123`."""
    return f"${microusd / 1e6:,.4f}" if abs(microusd) < 1_000_000 else f"${microusd / 1e6:,.2f}"


class Budget:
    """Spent plus reserved never exceeds the cap (None: no cap). Lives on the event loop."""

    def __init__(self, cap_microusd: int | None, spent_microusd: int = 0) -> None:
        self.cap_microusd = cap_microusd
        self.spent_microusd = spent_microusd
        self.reserved_microusd = 0
        self._settled = asyncio.Event()

    async def reserve(self, worst_microusd: int) -> None:
        """Set the worst case aside, waiting for open reservations to settle when only they are in the way.

        Raises BudgetReached when it cannot fit even then.
        """
        while self.cap_microusd is not None:
            free = self.cap_microusd - self.spent_microusd - self.reserved_microusd
            if worst_microusd <= free:
                break
            if self.reserved_microusd == 0 or worst_microusd > self.cap_microusd - self.spent_microusd:
                raise BudgetReached(
                    f"The budget of {usd(self.cap_microusd)} is reached: {usd(self.spent_microusd)} is spent and the "
                    f"next request could cost {usd(worst_microusd)}. Run again with a higher --budget to go on."
                )
            self._settled.clear()
            await self._settled.wait()
        self.reserved_microusd += worst_microusd

    def settle(self, reserved_microusd: int, cost_microusd: int) -> None:
        """Replace a reservation by what the request cost; 0 gives it back."""
        self.reserved_microusd -= reserved_microusd
        self.spent_microusd += cost_microusd
        self._settled.set()
