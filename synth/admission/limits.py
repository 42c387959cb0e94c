"""Admission: how many requests may be on their way to an endpoint, how fast they may start, and to which of several."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import operator
from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Any, Literal, NamedTuple

from synth.admission.concurrency import Concurrency
from synth.admission.queueing import START, Load
from synth.protocol.endpoint import Limits

BURST_S = 5.0
REMEMBERED = 0.95
"""How much each reply leaves of the weight of those before it in what share of their tokens requests use."""
HEADROOM = 0.95
LEARNED_HEADROOM = 0.98
"""Each reply puts what was learned right."""
LONGEST_GATE_S = 3600.0
LONGEST_UNSAID_S = 60.0
"""The longest wait after refusals that name none."""
DAY_S = 86_400.0
"""The longest time a limit is counted over; a reset that is further away is a mistake."""
SPREAD = 0.2
"""Over how much of a wait that many were asked for they come back, lest all meet the endpoint at once."""
STREAK = 6
"""So many failures with no success between them close the endpoint for all until its Retry-After."""
UNBALANCED = 1.25
"""A replica that knows the prompt's beginning is preferred while it has at most so much more to do than the idlest."""
CANARY_S = 1.0
"""A canary's end is known only when it is on disk; until then none may follow it though its place is free."""
LOOK_AGAIN_S = 1.0
OPENING_LOOK_S = 0.02
AHEAD = 192
"""So many requests beyond those on the wire may be on their way to the disk, and never more than may ever fly: as many
as come and go while two groups are committed, however few a quick server works on at once."""

_LIMIT: Callable[[Any], float] = operator.attrgetter("concurrency.limit")
_MOST: Callable[[Any], int] = operator.attrgetter("concurrency.most")


class Allowance(NamedTuple):
    """What a reply's headers say is left of one limit."""

    kind: Literal["requests", "tokens"]
    limit: float
    remaining: float
    reset_s: float | None
    """Seconds until all of the limit is there again."""

    def per_s(self) -> float | None:
        """How fast it refills; None when the reply does not tell."""
        used = self.limit - self.remaining
        if self.reset_s is not None and self.reset_s > 0 and used > 0:
            return used / max(0.001, min(self.reset_s, DAY_S))
        return self.limit / 60 if self.reset_s is None else None


class Bucket:
    """A token bucket that refills continuously; its debt is what the next one waits for.

    Of a limit that the recipe sets it holds five seconds' worth at most, which keeps bursts inside the short windows
    some hosts judge by. What a host says is left may all be used at once: it has counted what was used before.

    Who tells what its requests used is debited what of theirs the last ones did use, at first all of it; and whatever
    that was, once a reply has told its use that alone has been taken.
    """

    def __init__(self, per_minute: float, clock: Callable[[], float]) -> None:
        self.taken = 0.0
        """Everything debited so far."""
        self._asked = self._used = 0.0
        self._longest_s = inf
        """However long what was told would make one wait, so long after the last start the next one finds out."""
        self._rate = HEADROOM * per_minute / 60
        self._room = self._level = self._rate * BURST_S
        self._clock = clock
        self._then = self._started = clock()

    def wait_s(self, amount: float) -> float:
        """Seconds until `amount` may be taken."""
        now = self._clock()
        self._level = min(self._room, self._level + (now - self._then) * self._rate)
        self._then = now
        # an amount larger than the bucket may go when the bucket is full; it leaves a debt
        wait_s = (min(self._share(amount), self._room) - self._level) / self._rate
        return max(0.0, min(wait_s, self._started + self._longest_s - now))

    def take(self, amount: float) -> float:
        """Debit `amount`, or what of it is likely to be used, and return that; the level may become negative."""
        debited = self._share(amount)
        self._level -= debited
        self.taken += debited
        self._started = self._then
        return debited

    def settle(self, amount: float, debited: float, used: float) -> None:
        """A request of `amount` used so much: give back what was debited beyond that, or take the rest."""
        self._level += debited - used
        self._asked = (self._asked or amount) * REMEMBERED + amount
        self._used = (self._used or amount) * REMEMBERED + used

    def _share(self, amount: float) -> float:
        return amount * self._used / self._asked if self._asked else amount

    def learn(self, told: Allowance, per_s: float, taken_then: float, since_s: float) -> None:
        """Follow what a reply told of the limit, less what was taken since its request was sent, `since_s` ago."""
        self._then = self._clock()  # what the reply tells is of now
        self._longest_s = LONGEST_GATE_S
        self._rate, self._room = LEARNED_HEADROOM * per_s, told.limit
        self._level = min(self._room, told.remaining + since_s * self._rate - (self.taken - taken_then))


class Lane:
    """The way to one endpoint."""

    def __init__(self, place: int, limits: Limits, clock: Callable[[], float], *, queues_silently: bool) -> None:
        self.place = place
        """Which of the teacher's endpoints it leads to."""
        most = limits.max_in_flight
        # whoever says how much a server of their own bears is believed a part of it at once; nobody is refused there
        first = most // 4 if queues_silently and "max_in_flight" in limits.model_fields_set else START
        self.concurrency = Concurrency(most, queues_silently=queues_silently, first=max(START, first))
        self.in_flight = 0
        self.outstanding_tokens = 0
        self.streak = 0
        """Failures and refusals since the last success, or since something passed that was sent between refusals."""
        self._last_refused = 0
        """The number of the last request that was refused."""
        self.unsaid, self._unsaid_since = 0, -inf
        """How often all were refused in a row and held back for a time that the endpoint did not say; since when."""
        self.load: Load | None = None
        """What its server last told of itself."""
        self._clock = clock
        self.probed_until = 0.0
        """Until when nothing follows a canary."""
        self._not_before = 0.0
        self._pace_s = self._paced_until = 0.0
        """How far apart requests start for a while after a hold, and until when."""
        self._agreed = {"requests": limits.requests_per_minute, "tokens": limits.tokens_per_minute}
        self._buckets = {kind: Bucket(limit, clock) for kind, limit in self._agreed.items() if limit is not None}

    def pause_s(self, tokens: int) -> float:
        """Seconds until the next request of so many tokens may go."""
        now = self._clock()
        pause = max(self._not_before - now, self.probed_until - now, self.concurrency.closed_s(now))
        for kind, bucket in self._buckets.items():
            pause = max(pause, bucket.wait_s(tokens if kind == "tokens" else 1))
        return pause

    def board(self, tokens: int) -> Place:
        """Put a request on the wire."""
        debited = {kind: bucket.take(tokens if kind == "tokens" else 1) for kind, bucket in self._buckets.items()}
        if self._paced_until:
            now = self._clock()
            self._not_before = max(self._not_before, now + self._pace_s)
            self._paced_until *= now < self._paced_until
        self.in_flight += 1
        self.outstanding_tokens += tokens
        if self.concurrency.sending(self.in_flight):
            self.probed_until = self._clock() + CANARY_S
        taken = {kind: bucket.taken for kind, bucket in self._buckets.items()}
        return Place(self, tokens, taken, self._clock(), self.concurrency.sent, debited.get("tokens", 0.0))

    def used(self, place: Place, tokens: int) -> None:
        """A request used so many tokens; limits that are learned are put right by what the host says is left."""
        if self._agreed["tokens"] is not None:
            self._buckets["tokens"].settle(place.tokens, place.debited, tokens)

    def refused(self, place: Place, retry_after_s: float | None) -> None:
        """A request met a rate limit."""
        self.concurrency.refused(self._clock(), place.sent_at, place.number)
        if place.number > self._last_refused + 1:  # what was sent between them has not been refused
            self.streak = 0
        self._last_refused = max(self._last_refused, place.number)
        if retry_after_s is None and self.streak + 1 >= self.concurrency.row:
            retry_after_s = self._unsaid_s(place)
        self._hold(retry_after_s, self.concurrency.row)

    def _unsaid_s(self, place: Place) -> float | None:
        """How long to wait where the endpoint refuses one after the other and does not say: longer each time that what
        was sent after such a wait is refused as well. None for what was sent before it."""
        if place.sent_at < self._unsaid_since:
            return None
        self.unsaid += 1
        self._unsaid_since = self._clock()
        return min(LONGEST_UNSAID_S, 2.0 ** min(self.unsaid - 1, 10))

    def failed(self, sent_at: float, retry_after_s: float | None, *, again: bool = False) -> None:
        """The endpoint did not answer, or said that it is out of order; `again` for a request that failed before.

        A few requests that fail whatever the endpoint's state must not close it for the others.
        """
        if not again or self.concurrency.half_open:
            self.concurrency.failed(self._clock(), sent_at)
        self._hold(retry_after_s)

    def told(self, load: Load | None) -> None:
        """The server told its load, or nothing."""
        self.load = load
        if load is not None:
            self.concurrency.told(load)

    def learn(self, allowances: Sequence[Allowance], taken: dict[str, float], since_s: float) -> None:
        """Heed what a reply says is left, before a refusal comes; what the recipe sets goes before what is learned."""
        for allowance in allowances:
            per_s = allowance.per_s()
            if per_s is None or self._agreed[allowance.kind] is not None:
                continue
            bucket = self._buckets.get(allowance.kind)
            if bucket is None:
                bucket = self._buckets[allowance.kind] = Bucket(60 * per_s, self._clock)
            bucket.learn(allowance, per_s, taken.get(allowance.kind, bucket.taken), since_s)

    def _hold(self, retry_after_s: float | None, row: int = STREAK) -> None:
        """Start nothing for as long as the endpoint wishes, once it is plain that it means all requests."""
        self.streak += 1
        if retry_after_s is not None and self.streak >= row:
            wait_s = min(retry_after_s, LONGEST_GATE_S)
            self.concurrency.left_empty = 0  # after the hold all may go again
            self._not_before = max(self._not_before, self._clock() + wait_s)
            self._paced_until = max(self._paced_until, self._clock() + wait_s * (1 + SPREAD))
            self._pace_s = wait_s * SPREAD / max(1.0, self.concurrency.limit)


class Place(NamedTuple):
    """A place on the wire."""

    lane: Lane
    tokens: int
    taken: dict[str, float]
    """How much had been taken of each limit, with it, which `Lane.learn` wants to know."""
    sent_at: float
    number: int
    """How many had been sent on the lane, with this one."""
    debited: float = 0.0
    """How many tokens it was debited."""


class Line:
    """Those who wait for a turn, or for a place: by priority, then by their order.

    Who was called and has not come yet still counts, so that nobody takes a turn after another before their eyes.
    """

    def __init__(self) -> None:
        self.waiting = 0
        self.called = 0
        """How many of them were called and have not come yet."""
        self._futures: list[tuple[int, int, asyncio.Future[None]]] = []

    async def wait(self, priority: int, order: int) -> None:
        """Wait until called; who looks in vain and comes back keeps the place that `order` gave."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._futures, (priority, order, future))
        self.waiting += 1
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.wake()
            raise
        finally:
            self.waiting -= 1
            self.called -= not future.cancelled()

    def wake(self) -> None:
        """Let the first look again; whoever gets through wakes the next while there is room."""
        while self._futures:
            future = heapq.heappop(self._futures)[2]
            if not future.done():
                future.set_result(None)
                self.called += 1
                return


class Admission:
    """The way to a teacher: one lane, or one for each of its replicas. Later stages go first.

    A turn (`enter`, `leave`) lasts from before the durable journal entry until the reply is on disk, a place on the
    wire (`board`, `land`) from the first byte out to the last byte in. Turns exceed places, so that the wire never
    waits for the disk; and they bound what a crash can leave open. The lane is chosen at the last moment: of
    those that are open the one with the fewest tokens under way, so that a replica that fails or slows gets less, but
    while they are balanced the one that saw the same beginning of a prompt before.
    """

    def __init__(
        self,
        limits: Limits,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        *,
        lanes: int = 1,
        queues_silently: bool = False,
    ) -> None:
        self.lanes = [Lane(place, limits, clock, queues_silently=queues_silently) for place in range(lanes)]
        self._turns = 0
        self._clock = clock
        self._sleep = sleep
        self._gate: asyncio.Timeout | None = None
        """What ends the sleep of the one that waits for a lane to open, with the others in line behind it."""
        self._paused = False
        """Whether a person wants nothing new to be sent."""
        self._turn_line, self._place_line = Line(), Line()
        self._order = itertools.count()

    @property
    def in_flight(self) -> int:
        """Requests on the wire."""
        return sum(lane.in_flight for lane in self.lanes)

    @property
    def limit(self) -> float:
        """How many requests may be on the wire."""
        return sum(lane.concurrency.limit for lane in self.lanes)

    def is_crowded(self) -> bool:
        """Whether some wait for a turn already."""
        return self._turn_line.waiting > 0

    def pause(self) -> None:
        """Put nothing new on the wire until `resume`; what is about to leave still does."""
        self._paused = True

    def resume(self) -> None:
        """Go on."""
        self._paused = False
        self._look_again()

    def limit_to(self, most: int) -> None:
        """Never have more than this in flight from now on, over all lanes; more than before is found bit by bit."""
        each, rest = divmod(most, len(self.lanes))
        for lane in self.lanes:
            lane.concurrency.lower_most(max(1, each + (lane.place < rest)))
        self._turn_line.wake()
        self._look_again()

    async def enter(self, priority: int) -> None:
        """Take a turn: permission to journal and then send one request; lower `priority` goes first.

        Nobody overtakes those in line: who takes turn after turn would, and rows would wait for the one left behind.
        """
        order = next(self._order)
        if self._turn_line.waiting:
            await self._turn_line.wait(priority, order)
        while self._turns >= (most := self._most_turns()):
            await self._turn_line.wait(priority, order)
        self._turns += 1
        if self._turn_line.waiting and self._turns + self._turn_line.called < most:
            self._turn_line.wake()

    def _most_turns(self) -> int:
        return int(sum(map(_LIMIT, self.lanes))) + min(AHEAD, sum(map(_MOST, self.lanes)))

    def leave(self) -> None:
        """Give the turn back."""
        self._turns -= 1
        if self._turn_line.waiting:
            self._turn_line.wake()

    async def board(self, tokens: int, priority: int, prefix: int = 0) -> Place:
        """Take a place on the wire, to be held from the first byte out to the last byte in."""
        order = next(self._order)
        if self._place_line.waiting:
            await self._place_line.wait(priority, order)
        while True:
            if self._gate is not None or self._paused or (lane := self._lane(tokens, prefix)) is None:
                await self._place_line.wait(priority, order)
            elif (pause_s := lane.pause_s(tokens)) > 0:
                await self._wait_at_gate(lane, pause_s)
            else:
                break
        limit = lane.concurrency.limit
        place = lane.board(tokens)
        if self._place_line.waiting and self._lane(tokens, prefix) is not None:
            self._place_line.wake()
        if lane.concurrency.limit > limit:
            self._turn_line.wake()
        return place

    async def _wait_at_gate(self, lane: Lane, pause_s: float) -> None:
        """Sleep until the lane opens, or until another one may have room."""
        if lane.concurrency.opening and pause_s < LOOK_AGAIN_S:  # an answer may make room before a place opens
            pause_s = min(OPENING_LOOK_S, pause_s)
        try:
            async with asyncio.timeout(None) as self._gate:
                await self._sleep(min(pause_s, LOOK_AGAIN_S))  # what replies leave unused opens it sooner
        except TimeoutError:
            pass
        except BaseException:
            self._place_line.wake()
            raise
        finally:
            self._gate = None

    def _look_again(self) -> None:
        """There may be room: let the one at the gate see, or the first in line. One lane opens when it was said to."""
        if self._gate is None:
            self._place_line.wake()
        elif len(self.lanes) > 1 and self._gate.when() is None:
            self._gate.reschedule(0.0)

    def board_elsewhere(self, place: Place) -> Place | None:
        """A place for the same request on another lane that is open and free, and as little burdened; else None."""
        tokens, limit = place.tokens, place.lane.outstanding_tokens
        free = [lane for lane in self.lanes if lane is not place.lane and lane.in_flight < lane.concurrency.allowed()]
        free = [
            lane for lane in free if lane.outstanding_tokens <= limit and not lane.streak and not lane.pause_s(tokens)
        ]
        if not free or self._place_line.waiting:
            return None
        return min(free, key=lambda lane: lane.outstanding_tokens).board(tokens)

    def land(self, place: Place) -> None:
        """Give the place back."""
        place.lane.in_flight -= 1
        place.lane.outstanding_tokens -= place.tokens
        if self._place_line.waiting or self._gate is not None:
            self._look_again()

    def accepted(self, place: Place, tokens: int) -> None:
        """A request came through, with so many tokens in the reply."""
        lane, concurrency = place.lane, place.lane.concurrency
        before = lane.probed_until, concurrency.limit, concurrency.allowed()
        lane.streak = lane.unsaid = 0
        lane.probed_until = 0.0
        concurrency.accepted(self._clock(), place.sent_at, tokens, place.number)
        if before != (0.0, concurrency.limit, concurrency.allowed()):  # else who left and who landed made all the room
            self._turn_line.wake()
            self._look_again()
        elif self._gate is not None:
            self._look_again()

    def refused(self, place: Place, retry_after_s: float | None) -> None:
        """A request met a rate limit; what is made of that may be room, as when a cut fills places left empty."""
        place.lane.refused(place, retry_after_s)
        self._turn_line.wake()
        self._look_again()

    def failed(self, place: Place, retry_after_s: float | None, *, again: bool) -> None:
        """A request failed in a way that is the endpoint's fault, as `Lane.failed` has it."""
        place.lane.failed(place.sent_at, retry_after_s, again=again)
        self._look_again()

    def eject(self, lane: Lane) -> None:
        """What a lane leads to can serve no request, as far as is known: it is tried again seldom, by one at a time."""
        lane.concurrency.eject(self._clock())
        self._look_again()

    def told(self, lane: Lane, load: Load | None) -> None:
        """A lane's server told its load, or nothing; that may make room before any reply comes."""
        lane.told(load)
        self._turn_line.wake()
        self._look_again()

    def _lane(self, tokens: int, prefix: int) -> Lane | None:
        """The lane for the next request; None when all are full."""
        if len(self.lanes) == 1:
            lane = self.lanes[0]
            return lane if lane.in_flight < lane.concurrency.allowed() else None
        free = [lane for lane in self.lanes if lane.in_flight < lane.concurrency.allowed()]
        if not free:
            return None

        def burden(lane: Lane) -> tuple[float, bool, int]:
            sick = lane.streak >= STREAK and lane.in_flight > 0  # one at a time goes there, to see
            return max(0.0, lane.pause_s(tokens)), sick, lane.outstanding_tokens

        best, known = min(free, key=burden), self.lanes[prefix % len(self.lanes)]
        near = known.outstanding_tokens <= UNBALANCED * best.outstanding_tokens + tokens
        return known if near and known in free and burden(known)[:2] == burden(best)[:2] else best
