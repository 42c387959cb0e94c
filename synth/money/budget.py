"""What a run may use: the worst case is set aside before each send and settled from usage after it.

Money (whole micro-dollars), tokens and requests are three sums of one mechanism; time is a moment after which nothing
more is set aside.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal

from pydantic import Field

from synth.errors import AccountStopped, BudgetReached, Fatal, FolderError
from synth.language.text import Count, several
from synth.money.account import Account
from synth.money.prices import Usd
from synth.types import Spend, Value


def usd(microusd: int) -> str:
    """A sum for people: `$0.0123`."""
    return f"${microusd / 1e6:,.4f}" if abs(microusd) < 1_000_000 else f"${microusd / 1e6:,.2f}"


class Caps(Value):
    """The most a run may use, all its invocations together; what is not given is not capped."""

    usd: Usd | None = None
    """US dollars."""
    tokens: int | None = Field(default=None, ge=0, le=10**15)
    """Prompt and completion tokens together."""
    requests: int | None = Field(default=None, ge=0, le=10**15)
    """Sends, repeated ones included."""
    hours: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Of one invocation: running again counts anew. What is in flight then still ends."""
    account: str = ""
    """An account file that several runs share; made by `synth account`. Relative to the working directory."""
    allow_unknown_price: bool = False
    """Go on with teachers whose price is not known: the money cap does not see them."""

    @property
    def microusd(self) -> int | None:
        """The money cap in whole micro-dollars."""
        return None if self.usd is None else int(Decimal(repr(self.usd)) * 1_000_000)

    @property
    def has_money(self) -> bool:
        """Whether money is capped, by the run's own cap or by an account."""
        return self.usd is not None or bool(self.account)

    def at_stake(self, spent: Spend) -> bool:
        """Whether it matters what is charged: something costs money, or money, tokens or an account are capped."""
        return spent.microusd > 0 or self.has_money or self.tokens is not None


PHRASES = {
    "en": {
        "spent": "{} spent",
        "cap": " of {}",
        "hold": ", {} reserved",
        "account": "account {}",
        "tokens": "{0} of {1} {1:token|tokens}",
        "requests": "{0} of {1} {1:request|requests}",
        "hours": "{} h at most",
        "beyond": "{} charged beyond reservations",
        "unknown": "{0} {0:reply|replies} of unknown usage charged in full",
        "lost": "{0} lost {0:attempt|attempts}",
        "lost_charged": "{0} lost {0:attempt|attempts} still charged",
    },
    "ja": {
        "spent": "使用 {}",
        "cap": "（上限 {}）",
        "hold": "、取り置き {}",
        "account": "共有の予算 {}",
        "tokens": "トークン {} / {}",
        "requests": "リクエスト {} / {}",
        "hours": "最長 {} 時間",
        "beyond": "取り置きを超えた請求 {}",
        "unknown": "使用量の分からない返答 {} 件は上限額で計上",
        "lost": "結果の分からない送信 {} 件",
        "lost_charged": "結果の分からない送信 {} 件も計上",
    },
}


def standing(
    caps: Caps,
    spent: Spend,
    reserved: Spend,
    *,
    overshoot_microusd: int = 0,
    usage_unknown: int = 0,
    lost: int = 0,
    language: str = "en",
) -> list[str]:
    """Where the money and the other caps stand, one phrase each, for people. `language` is `en` or `ja`."""
    phrases = PHRASES[language]
    at_stake = caps.at_stake(spent) or reserved.microusd > 0
    said = [phrases["spent"].format(usd(spent.microusd))]
    said[0] += "" if caps.microusd is None else phrases["cap"].format(usd(caps.microusd))
    said[0] += phrases["hold"].format(usd(reserved.microusd)) if reserved.microusd else ""
    if caps.account:
        said.append(phrases["account"].format(caps.account))
    if caps.tokens is not None:
        said.append(phrases["tokens"].format(Count(spent.tokens), Count(caps.tokens)))
    if caps.requests is not None:
        said.append(phrases["requests"].format(Count(spent.requests), Count(caps.requests)))
    if caps.hours is not None:
        said.append(phrases["hours"].format(f"{caps.hours:g}"))
    if overshoot_microusd:
        said.append(phrases["beyond"].format(usd(overshoot_microusd)))
    if usage_unknown and at_stake:
        said.append(phrases["unknown"].format(Count(usage_unknown)))
    if lost:
        is_charged = at_stake or caps.requests is not None
        said.append(phrases["lost_charged" if is_charged else "lost"].format(Count(lost)))
    return said


class Budget:
    """Spent plus reserved never exceeds a cap, at any moment; what a provider charges beyond its own cap excepted.

    Who has to wait for open reservations to settle waits in line by priority and then by arrival: nobody overtakes the
    first of the line, and only who can go is woken. Lives on the event loop.
    """

    def __init__(
        self,
        caps: Caps | None = None,
        spent: Spend | None = None,
        *,
        account: Account | None = None,
        note: Callable[[str, str], Awaitable[None]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.caps = caps or Caps()
        spent = spent or Spend()
        self.spent_microusd, self.spent_tokens, self.spent_requests = spent.microusd, spent.tokens, spent.requests
        self.reserved_microusd = self.reserved_tokens = self.reserved_requests = 0
        self.overshoot_microusd = 0
        """What replies cost beyond their reservations, in this process."""
        self.unreturned = ""
        """Why the account still holds what this run did not spend; a sentence, or empty."""
        self._account = account
        self._note = note
        self._leasing = asyncio.Lock()
        self._given_up: Fatal | None = None
        self._clock = clock
        self._ends = None if self.caps.hours is None else clock() + self.caps.hours * 3600
        self._capped = account is not None or self.caps != Caps(allow_unknown_price=self.caps.allow_unknown_price)
        self._waiting: list[tuple[int, int, Spend, asyncio.Future[bool]]] = []
        self._order = itertools.count()
        self._limited_since: float | None = None
        self._limited_s = 0.0

    @property
    def cap_microusd(self) -> int | None:
        """The most money there is for this run now; None without a cap."""
        own = self.caps.microusd
        if self._account is None:
            return own
        return self._account.held_microusd if own is None else min(own, self._account.held_microusd)

    @property
    def waiting(self) -> int:
        """Requests that wait for open reservations to settle: then the budget slows the run, not the provider."""
        return sum(not future.done() for *_, future in self._waiting)

    @property
    def limited_s(self) -> float:
        """Seconds in which at least one request waited so."""
        since = self._limited_since
        return self._limited_s + (0.0 if since is None else self._clock() - since)

    async def reserve(self, worst: Spend, priority: int = 0) -> None:
        """Set the worst case aside, waiting for open reservations to settle when only they are in the way.

        Lower `priority` goes first. Raises BudgetReached when it cannot fit even then, AccountStopped when the account
        cannot be used, and the reason of a halt that comes meanwhile.
        """
        while self._capped:
            while self._account is not None and not self._fits(worst) and await self._lease(self._account, worst):
                self._serve()  # who is first in line may take what came, as may whoever came meanwhile
            if (not self._waiting or priority < self._waiting[0][0]) and self._fits(worst):
                break
            if await self._in_line(worst, priority):  # whoever wakes it has set the sum aside
                return
        self.reserved_microusd += worst.microusd
        self.reserved_tokens += worst.tokens
        self.reserved_requests += worst.requests

    def settle(self, worst: Spend, cost: Spend) -> None:
        """Replace a reservation by what the request used; nothing gives it back."""
        self.reserved_microusd -= worst.microusd
        self.reserved_tokens -= worst.tokens
        self.reserved_requests -= worst.requests
        self.spent_microusd += cost.microusd
        self.spent_tokens += cost.tokens
        self.spent_requests += cost.requests
        if cost.microusd > worst.microusd:
            self.overshoot_microusd += cost.microusd - worst.microusd
        if self._waiting:
            self._serve()

    async def raise_to(self, usd: float) -> None:
        """Change the run's own money cap, of which there must be one, and let go who fits now."""
        self.caps = self.caps.model_copy(update={"usd": usd})
        self._serve(raised=True)
        if self._note is not None:
            await self._note("caps", self.caps.model_dump_json())

    def correct(self, before: Spend, after: Spend) -> None:
        """A sum that counted as spent turns out to be another."""
        self.spent_microusd -= before.microusd
        self.spent_tokens -= before.tokens
        self.spent_requests -= before.requests
        self.reserved_microusd += before.microusd
        self.reserved_tokens += before.tokens
        self.reserved_requests += before.requests
        self.settle(before, after)

    def give_up(self, reason: Fatal) -> None:
        """Send everybody in line away: the run has stopped sending."""
        self._given_up = reason
        for *_, future in self._waiting:
            if not future.done():
                future.set_exception(reason.with_traceback(None))
        self._waiting.clear()
        self._note_line()

    def time_is_up(self) -> BudgetReached:
        """What to say when the hours are over."""
        return BudgetReached(
            f"The budget of {self.caps.hours:g} h is reached. Run again to go on; the hours count anew.",
            f"予算の {self.caps.hours:g} 時間に達しました。もう一度実行すると続きます（時間は新たに数えます）。",
        )

    def refusal(self, worst: Spend) -> BudgetReached | None:
        """Why a request cannot go even when all open reservations have settled for nothing; None when it may."""
        if self._ends is not None and self._clock() >= self._ends:
            return self.time_is_up()
        cap, spent, caps = self.cap_microusd, self.spent_microusd, self.caps
        if cap is not None and spent + worst.microusd > cap:
            held = "" if self._account is None or cap == caps.microusd else self._account.used_up()
            if held:
                return BudgetReached(
                    f"{held}, {usd(spent)} is spent by this run and its next request could cost {usd(worst.microusd)}. "
                    f"Raise it with `synth account {caps.account} --usd TOTAL`, or run again when others have ended.",
                    f"共有の予算 {caps.account} を使い切りました。この実行の使用額は {usd(spent)}、"
                    f"次のリクエストは最大 {usd(worst.microusd)} です。"
                    f"`synth account {caps.account} --usd 総額` で上限を上げるか、"
                    "ほかの実行が終わってからもう一度実行してください。",
                )
            return BudgetReached(
                f"The budget of {usd(cap)} is reached: {usd(spent)} is spent and the next request could cost "
                f"{usd(worst.microusd)}. Run again with a higher budget to go on.",
                f"予算 {usd(cap)} に達しました。使用額は {usd(spent)}、次のリクエストは最大 "
                f"{usd(worst.microusd)} です。予算を上げてもう一度実行すると続きます。",
            )
        if caps.tokens is not None and self.spent_tokens + worst.tokens > caps.tokens:
            return BudgetReached(
                f"The budget of {several(caps.tokens, 'token')} is reached: {self.spent_tokens:,} of them used and the "
                f"next request could use {worst.tokens:,}. Run again with a higher budget of tokens to go on.",
                f"予算の {caps.tokens:,} トークンに達しました。使用済みは {self.spent_tokens:,}、次のリクエストは最大 "
                f"{worst.tokens:,} です。トークンの予算を上げてもう一度実行すると続きます。",
            )
        if caps.requests is not None and self.spent_requests + worst.requests > caps.requests:
            return BudgetReached(
                f"The budget of {several(caps.requests, 'request')} is reached: {self.spent_requests:,} sent. "
                "Run again with a higher budget of requests to go on.",
                f"予算の {caps.requests:,} リクエストに達しました（送信済み {self.spent_requests:,}）。"
                "リクエスト数の予算を上げてもう一度実行すると続きます。",
            )
        return None

    def _fits(self, worst: Spend) -> bool:
        cap, caps = self.cap_microusd, self.caps
        return (
            (cap is None or self.spent_microusd + self.reserved_microusd + worst.microusd <= cap)
            and (caps.tokens is None or self.spent_tokens + self.reserved_tokens + worst.tokens <= caps.tokens)
            and (
                caps.requests is None or self.spent_requests + self.reserved_requests + worst.requests <= caps.requests
            )
            and (self._ends is None or self._clock() < self._ends)
        )

    async def _lease(self, account: Account, worst: Spend) -> bool:
        """Take more from the account, one request at a time, as far as this run's own cap allows. Whether there was."""
        async with self._leasing:
            if self._given_up is not None:  # a locked account must not keep each in line for as long as the first
                raise self._given_up.with_traceback(None)
            held = account.held_microusd
            wanted = self.spent_microusd + self.reserved_microusd + worst.microusd
            own = self.caps.microusd
            if wanted > held and (own is None or wanted <= own):
                try:
                    await asyncio.to_thread(account.lease, wanted, own, self.spent_microusd)
                except FolderError as error:
                    raise AccountStopped(f"{error} Then run again to go on.") from None
            return account.held_microusd > held

    async def _in_line(self, worst: Spend, priority: int) -> bool:
        """Wait until the sum is set aside; False when the account may have what this run does not hold."""
        if (error := self.refusal(worst)) is not None:
            raise error
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._order), worst, future))
        self._note_line()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None and future.result():
                self.settle(worst, Spend())
            else:
                self._serve()
            raise

    def _serve(self, *, raised: bool = False) -> None:
        """Let the first of the line go as long as it fits, and send it away when it never will. Before that it asks the
        account once more, as does the first that does not fit when the run's own cap was `raised`."""
        while self._waiting:
            _, _, worst, future = self._waiting[0]
            if not future.done():
                if self._fits(worst):
                    self.reserved_microusd += worst.microusd
                    self.reserved_tokens += worst.tokens
                    self.reserved_requests += worst.requests
                    future.set_result(True)
                elif self._account is not None and (raised or self.refusal(worst) is not None):
                    future.set_result(False)  # other runs may have given back, or the total may be another
                    raised = False
                elif (error := self.refusal(worst)) is not None:
                    future.set_exception(error)
                else:
                    break
            heapq.heappop(self._waiting)
        self._note_line()

    def _note_line(self) -> None:
        if self._waiting and self._limited_since is None:
            self._limited_since = self._clock()
        elif not self._waiting and self._limited_since is not None:
            self._limited_s += self._clock() - self._limited_since
            self._limited_since = None
