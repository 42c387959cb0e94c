"""Admission: when a request may go, and to which of a teacher's endpoints."""

from __future__ import annotations

import asyncio
import itertools
import operator
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from synth.admission.lane import STREAK, Lane, Place
from synth.admission.queueing import Load
from synth.admission.waiting import Line
from synth.protocol.endpoint import Limits

UNBALANCED = 1.25
"""A replica that knows the prompt's beginning is preferred while it has at most so much more to do than the idlest."""
LOOK_AGAIN_S = 1.0
OPENING_LOOK_S = 0.02
AHEAD = 192
"""So many requests beyond those on the wire may be on their way to the disk, and never more than may ever fly: as many
as come and go while two groups are committed, however few a quick server works on at once."""

_LIMIT: Callable[[Any], float] = operator.attrgetter("concurrency.limit")
_MOST: Callable[[Any], int] = operator.attrgetter("concurrency.most")


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
        self.lanes = [
            Lane(place, limits, clock, queues_silently=queues_silently, alone=lanes == 1) for place in range(lanes)
        ]
        self._turns = 0
        self._clock = clock
        self._sleep = sleep
        self._paused = False
        """Whether a person wants nothing new to be sent."""
        self._turn_line, self._place_line = Line(), Line()
        self._aside: dict[frozenset[int], Line] = {}
        """Lines of those that avoid the same lanes: who must not take the room there is stands in nobody's way."""
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

    async def board(self, tokens: int, priority: int, prefix: int = 0, avoided: frozenset[int] = frozenset()) -> Place:
        """Take a place on the wire, to be held from the first byte out to the last byte in; on one of the lanes to be
        `avoided` only when no other is open."""
        order = next(self._order)
        line = self._aside.setdefault(avoided, Line()) if avoided else self._place_line
        if line.waiting:
            await line.wait(priority, order)
        while True:
            is_held = line.gate is not None or self._paused
            lane = None if is_held else self._lane(tokens, prefix, avoided)
            pause_s = 0.0 if lane is None else lane.pause_s(tokens)
            if lane is None:
                await line.wait(priority, order)
            elif pause_s > 0:
                await self._wait_at_gate(line, lane, pause_s)
            else:
                break
        limit = lane.concurrency.limit
        place = lane.board(tokens)
        if line.waiting and self._lane(tokens, prefix, avoided) is not None:
            line.wake()
        if lane.concurrency.limit > limit:
            self._turn_line.wake()
        return place

    async def _wait_at_gate(self, line: Line, lane: Lane, pause_s: float) -> None:
        """Sleep until the lane opens, or until another one may have room."""
        if lane.concurrency.opening and pause_s < LOOK_AGAIN_S:  # an answer may make room before a place opens
            pause_s = min(OPENING_LOOK_S, pause_s)
        try:
            async with asyncio.timeout(None) as line.gate:
                await self._sleep(min(pause_s, LOOK_AGAIN_S))  # what replies leave unused opens it sooner
        except TimeoutError:
            pass
        except BaseException:
            line.wake()
            raise
        finally:
            line.gate = None

    def _look_again(self) -> None:
        """There may be room: let those at the gates see, or the first in the lines. One lane opens when it was said
        to."""
        self._aside = {avoided: line for avoided, line in self._aside.items() if line.waiting or line.gate is not None}
        for line in (*self._aside.values(), self._place_line):
            if line.gate is None:
                line.wake()
            elif len(self.lanes) > 1 and line.gate.when() is None:
                line.gate.reschedule(0.0)

    def board_elsewhere(self, place: Place, avoided: Collection[int] = ()) -> Place | None:
        """A place for the same request on another lane that is open and free, and as little burdened; else None."""
        tokens, limit = place.tokens, place.lane.outstanding_tokens
        others = [lane for lane in self.lanes if lane is not place.lane and lane.place not in avoided]
        free = [lane for lane in others if lane.in_flight < lane.concurrency.allowed()]
        free = [
            lane for lane in free if lane.outstanding_tokens <= limit and not lane.streak and not lane.pause_s(tokens)
        ]
        if not free or self._place_line.waiting or self._aside:
            return None
        return min(free, key=lambda lane: lane.outstanding_tokens).board(tokens)

    def land(self, place: Place) -> None:
        """Give the place back."""
        place.lane.in_flight -= 1
        place.lane.outstanding_tokens -= place.tokens
        if self._place_line.waiting or self._place_line.gate is not None or self._aside:
            self._look_again()

    def accepted(self, place: Place, tokens: int) -> None:
        """A request came through, with so many tokens in the reply."""
        lane, concurrency = place.lane, place.lane.concurrency
        before = lane.probed_until, concurrency.limit, concurrency.allowed()
        lane.unsaid, lane.probed_until = 0, 0.0
        for bucket in lane.buckets.values():
            bucket.passed()
        if place.number > lane.last_refused:  # one sent before the last refusal is no sign that more would pass
            lane.streak = 0
        concurrency.accepted(self._clock(), place.sent_at, tokens, place.number)
        if before != (0.0, concurrency.limit, concurrency.allowed()):  # else who left and who landed made all the room
            self._turn_line.wake()
            self._look_again()
        elif self._place_line.gate is not None or self._aside:
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

    def overdue(self, place: Place) -> bool:
        """A request was not answered by its deadline; False when nobody was, so that the endpoint has failed."""
        is_there = place.lane.overdue(place)
        self._turn_line.wake()
        self._look_again()
        return is_there

    def eject(self, lane: Lane) -> None:
        """What a lane leads to can serve no request, as far as is known: it is tried again seldom, by one at a time."""
        lane.concurrency.eject(self._clock())
        self._look_again()

    def told(self, lane: Lane, load: Load | None) -> None:
        """A lane's server told its load, or nothing; that may make room before any reply comes."""
        lane.told(load)
        self._turn_line.wake()
        self._look_again()

    def _lane(self, tokens: int, prefix: int, avoided: Collection[int] = ()) -> Lane | None:
        """The lane for the next request; None when all that it may take are full."""
        if len(self.lanes) == 1:
            lane = self.lanes[0]
            return lane if lane.in_flight < lane.concurrency.allowed() else None
        lanes = (self._others(tokens, avoided) if avoided else []) or self.lanes
        free = [lane for lane in lanes if lane.in_flight < lane.concurrency.allowed()]
        if not free:
            return None

        def burden(lane: Lane) -> tuple[float, bool, int]:
            sick = lane.streak >= STREAK and lane.in_flight > 0  # one at a time goes there, to see
            return max(0.0, lane.pause_s(tokens)), sick, lane.outstanding_tokens

        best, known = min(free, key=burden), self.lanes[prefix % len(self.lanes)]
        near = known.outstanding_tokens <= UNBALANCED * best.outstanding_tokens + tokens
        return known if near and known in free and burden(known)[:2] == burden(best)[:2] else best

    def _others(self, tokens: int, avoided: Collection[int]) -> list[Lane]:
        """The open lanes beside these, full or not."""
        others = [lane for lane in self.lanes if lane.place not in avoided and not lane.concurrency.half_open]
        return [lane for lane in others if lane.pause_s(tokens) < LOOK_AGAIN_S]
