"""The slowest requests go to a second replica, where that costs nothing."""

from __future__ import annotations

import asyncio
import time

import pytest

from synth.admission.admission import Admission
from synth.admission.halt import Halt
from synth.admission.hedge import FEW, Hedge
from synth.admission.queueing import Load
from synth.money.budget import Budget, Caps
from synth.money.prices import Price
from synth.protocol.endpoint import Endpoint, Limits, Replica
from synth.sending import Sender
from synth.storage.store import Store
from synth.types import Outcome, Request

GOOD = Outcome(200, b"{}")


class Replicas:
    """Some servers of the same model; what each does with its next requests can be set."""

    def __init__(self, count, deadline_s=600.0):
        self.admission = Admission(Limits(max_in_flight=8), time.monotonic, lanes=count)
        self.does = [lambda: asyncio.sleep(0, GOOD)] * count
        self.asked = [0] * count
        self.cancelled = 0
        self.hedge = Hedge(self.admission, [self._server(number) for number in range(count)], deadline_s)

    def _server(self, number):
        replicas = self

        class Server:
            async def send(self, request):
                replicas.asked[number] += 1
                try:
                    return await replicas.does[number]()
                except asyncio.CancelledError:
                    replicas.cancelled += 1
                    raise

        return Server()

    async def ask(self, prefix=0):
        """Which replica answered, and what."""
        request = Request(b"", "main", "m", b"{}", 0, 10, 10, prefix)
        place = await self.admission.board(20, 0, prefix)
        try:
            outcome, place = await self.hedge.send(request, place)
        finally:
            self.admission.land(place)
        self.admission.accepted(place, 1)
        return place.lane.place, outcome

    async def warm(self, times=100):
        for _ in range(times):
            assert (await self.ask()) == (0, GOOD)

    def busy(self):
        return [(lane.in_flight, lane.outstanding_tokens) for lane in self.admission.lanes]


async def never():
    await asyncio.Event().wait()


@pytest.mark.parametrize("count", [2, 3])
def test_a_request_that_hangs_is_answered_by_another_replica_and_given_up_at_the_first(count):
    async def main():
        replicas = Replicas(count)
        await replicas.warm()
        replicas.does[0] = never
        place, outcome = await asyncio.wait_for(replicas.ask(), 30)
        await asyncio.sleep(0)
        assert (place > 0, outcome, replicas.cancelled, replicas.hedge.sent) == (True, GOOD, 1, 1)
        assert replicas.busy() == [(0, 0)] * count

    asyncio.run(main())


def test_before_it_is_known_what_is_usual_nothing_is_sent_twice():
    async def main():
        replicas = Replicas(2)
        await replicas.warm(FEW - 1)
        replicas.does[0] = lambda: asyncio.sleep(0.2, GOOD)
        assert await replicas.ask() == (0, GOOD)
        assert replicas.asked == [FEW, 0]

    asyncio.run(main())


def test_no_more_than_one_in_fifty_is_sent_twice():
    async def main():
        replicas = Replicas(2)
        await replicas.warm(100)
        replicas.does[0] = lambda: asyncio.sleep(0.02, GOOD)
        for _ in range(10):
            await replicas.ask()
        assert replicas.asked[1] == replicas.hedge.sent <= 0.02 * 110 + 1

    asyncio.run(main())


def test_a_second_replica_that_fails_does_not_count():
    async def main():
        replicas = Replicas(2)
        await replicas.warm()
        replicas.does = [lambda: asyncio.sleep(0.1, GOOD), lambda: asyncio.sleep(0, Outcome(500))]
        assert await replicas.ask() == (0, GOOD)
        assert replicas.asked[1] == 1
        replicas.does = [lambda: asyncio.sleep(0.1, Outcome(503)), lambda: asyncio.sleep(0.2, Outcome(500))]
        assert replicas.busy() == [(0, 0)] * 2

    asyncio.run(main())


def test_of_two_that_end_at_once_the_good_one_counts():
    async def main():
        replicas, both = Replicas(2), asyncio.Event()
        await replicas.warm()

        async def then(outcome):
            if sum(replicas.asked) == 102:
                both.set()
            await both.wait()
            return outcome

        for failing in range(2):
            replicas.asked, both = [100, 0], asyncio.Event()
            ends = [Outcome(500) if place == failing else GOOD for place in range(2)]
            replicas.does = [lambda end=end: then(end) for end in ends]
            assert await replicas.ask() == (1 - failing, GOOD)

    asyncio.run(main())


def test_how_quickly_a_server_fails_says_nothing_of_what_is_usual():
    async def main():
        replicas = Replicas(2)
        replicas.does[0] = lambda: asyncio.sleep(0, Outcome(500))
        for _ in range(100):
            await replicas.ask()
        replicas.does[0] = lambda: asyncio.sleep(0.2, GOOD)
        assert await replicas.ask() == (0, GOOD)
        assert replicas.hedge.sent == 0

    asyncio.run(main())


def test_a_reply_that_was_cut_off_does_not_count():
    async def main():
        replicas = Replicas(2)
        await replicas.warm()
        cut = Outcome(200, b'{"choi', error="reset", detail="in the middle of its reply")
        replicas.does = [lambda: asyncio.sleep(0.1, cut), lambda: asyncio.sleep(0.2, GOOD)]
        assert await replicas.ask() == (1, GOOD)

    asyncio.run(main())


def test_the_second_send_ends_by_the_deadline_of_the_first():
    async def main():
        replicas = Replicas(2, deadline_s=0.4)
        await replicas.warm()
        replicas.does = [lambda: asyncio.sleep(0.2, Outcome(503)), never]
        place, outcome = await asyncio.wait_for(replicas.ask(), 20)
        assert (place, outcome.error, outcome.written, replicas.cancelled) == (1, "timeout", True, 1)

    asyncio.run(main())


def test_where_the_other_replica_is_full_or_ill_or_has_more_to_do_one_waits():
    async def main():
        replicas = Replicas(2)
        await replicas.warm()
        replicas.does[0] = lambda: asyncio.sleep(0.05, GOOD)
        other = replicas.admission.lanes[1]
        other.streak = 1
        assert await replicas.ask() == (0, GOOD)
        other.streak, other.outstanding_tokens = 0, 10_000
        assert await replicas.ask() == (0, GOOD)
        other.outstanding_tokens = 0
        assert await replicas.ask() == (1, GOOD)

    asyncio.run(main())


def test_a_cancelled_request_leaves_no_place_taken():
    async def main():
        replicas = Replicas(2)
        await replicas.warm()
        replicas.does = [never, never]
        task = asyncio.create_task(replicas.ask())
        while replicas.asked[1] == 0:
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait([task])
        assert (replicas.busy(), replicas.cancelled) == ([(0, 0)] * 2, 2)

    asyncio.run(main())


OWN = Endpoint(model="m", base_url="http://10.0.0.1/v1", replicas=[Replica(base_url="http://10.0.0.2/v1")])


@pytest.mark.parametrize(
    ("changes", "caps", "hedges"),
    [
        ({}, Caps(), True),
        ({}, Caps(usd=1), True),
        ({}, Caps(tokens=1000), False),
        ({}, Caps(requests=1000), False),
        ({"replicas": []}, Caps(), False),
        ({"price": Price(input_usd=0, output_usd=1)}, Caps(), False),
        ({"replicas": [Replica(base_url="https://api.example.com/v1")]}, Caps(), False),
    ],
)
def test_only_what_costs_nothing_is_sent_twice(tmp_path, changes, caps, hedges):
    endpoint = OWN.model_copy(update=changes)
    store = Store(tmp_path)
    backends = [None for _ in endpoint.members()]
    sender = Sender("main", endpoint, backends=backends, store=store, budget=Budget(caps), halt=Halt())
    assert (sender._hedge is not None) is hedges
    store.close()


@pytest.mark.parametrize(
    ("changes", "tell", "is_free"),
    [
        ({}, 0, False),
        ({}, 1, False),
        ({}, 2, True),
        ({"price": Price(input_usd=0, output_usd=0)}, 0, True),
        ({"base_url": "serve:a", "replicas": [Replica(base_url="serve:a")]}, 0, True),
    ],
)
def test_a_private_address_alone_may_be_a_proxy_to_a_host_that_charges(tmp_path, changes, tell, is_free):
    endpoint = OWN.model_copy(update=changes)
    store = Store(tmp_path)
    sender = Sender("main", endpoint, backends=[None, None], store=store, budget=Budget(), halt=Halt())
    for lane in sender.admission.lanes[:tell]:
        lane.told(Load(1, 0))
    assert sender._is_surely_free() is is_free
    store.close()
