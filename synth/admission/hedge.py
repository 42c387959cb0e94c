"""Hedging: the slowest requests go to a second replica as well, and the first good reply counts.

Only where a second send costs nothing. After Dean and Barroso, The Tail at Scale (2013): past the 95th percentile of
what replies took, and for no more than one request in fifty.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Collection, Sequence

from synth.admission.admission import Admission
from synth.admission.lane import Place
from synth.backends import Backend
from synth.types import Outcome, Request

MEMORY = 200
FEW = 20
"""So many replies must have come before slow is told from usual, and between two looks at what is."""
SLOWEST = 0.05
MOST_SHARE = 0.02


class Hedge:
    """Sends to the replica that was chosen, and to another one when that takes unusually long."""

    def __init__(self, admission: Admission, backends: Sequence[Backend], deadline_s: float) -> None:
        self.sent = 0
        """Second sends."""
        self._admission = admission
        self._backends = backends
        self._deadline_s = deadline_s
        self._took_s: deque[float] = deque(maxlen=MEMORY)
        self._replies = 0
        self._usual_s: float | None = None

    async def send(self, request: Request, place: Place, avoided: Collection[int] = ()) -> tuple[Outcome, Place]:
        """The outcome, and the place it came from, which is still to be given back; the other one has been. No second
        send goes to lanes that are to be `avoided`."""
        until = asyncio.get_running_loop().time() + self._deadline_s
        first = asyncio.ensure_future(self._backends[place.lane.place].send(request))
        sends: dict[asyncio.Future[Outcome], Place] = {first: place}
        try:
            await asyncio.wait(sends, timeout=self._usual_s)
            if not first.done() and (other := self._second(place, avoided)) is not None:
                sends[asyncio.ensure_future(_by(until, self._backends[other.lane.place], request))] = other
            won = await _first_good(set(sends))
        except BaseException:
            for task, taken in sends.items():
                task.cancel()
                if taken is not place:
                    self._admission.land(taken)
            raise
        for task, taken in sends.items():
            if task is not won:
                task.cancel()  # its connection is closed, upon which servers stop working on it
                self._admission.land(taken)
        if _is_good(won.result()):  # how quickly a server fails says nothing of what is usual
            self._learn(time.monotonic() - sends[won].sent_at)
        return won.result(), sends[won]

    def _second(self, place: Place, avoided: Collection[int]) -> Place | None:
        """A place at another replica, where one is free and few have been taken so."""
        if self.sent >= MOST_SHARE * self._replies:
            return None
        other = self._admission.board_elsewhere(place, avoided)
        self.sent += other is not None
        return other

    def _learn(self, took_s: float) -> None:
        self._took_s.append(took_s)
        self._replies += 1
        if self._replies % FEW == 0:
            self._usual_s = sorted(self._took_s)[int((1 - SLOWEST) * len(self._took_s))]


async def _by(until: float, backend: Backend, request: Request) -> Outcome:
    """A second send, which has no more time than is left of the first one's deadline."""
    try:
        async with asyncio.timeout_at(until):
            return await backend.send(request)
    except TimeoutError:
        return Outcome(0, error="timeout", detail="no complete reply within the deadline")


async def _first_good(tasks: set[asyncio.Future[Outcome]]) -> asyncio.Future[Outcome]:
    """The first that brings an answer, or the last of those that failed."""
    while True:
        done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        good = [task for task in done if _is_good(task.result())]
        if good or not tasks:
            return [*good, *done][0]


def _is_good(outcome: Outcome) -> bool:
    return outcome.status == 200 and not outcome.error
