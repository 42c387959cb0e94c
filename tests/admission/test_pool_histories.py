"""Several servers of one teacher that fail, return, slow down and lose their keys, at random, in virtual time: as long as
one of them is well every request is answered, what is charged is bought once, and nothing is held in the end."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from types import SimpleNamespace

import pytest

from synth.admission import hedge
from synth.admission.halt import Halt
from synth.errors import Rejected, TeacherError
from synth.money.budget import Budget
from synth.money.prices import FREE, Price
from synth.protocol.endpoint import Endpoint, Limits, Replica, Sampling
from synth.sending import Sender
from synth.teacher import Teacher
from synth.types import Message, Outcome
from synth.unit import Unit
from tests.faults.played import Forgetful, VirtualLoop, in_virtual_time, refuses, says

HISTORIES = [*range(80), 319, 428]
"""The last of them: two servers of three whose replies are empty; one that is left out and has no room when asked."""
DEADLINE_S = 120.0
FAILING = {
    "unreachable": (0.001, Outcome(0, error="connect", detail="refused", written=False)),
    "reset": (0.01, Outcome(0, error="reset", detail="cut off")),
    "hangs": (DEADLINE_S, Outcome(0, error="timeout", detail="late")),
    "broken": (0.01, refuses(500, "oops")),
    "busy": (0.01, refuses(503, "busy")),
    "limited": (0.01, refuses(429, "Rate limit reached", retry_after="2")),
    "no key": (0.01, refuses(401, "Incorrect API key", "invalid_api_key")),
    "no money": (0.01, refuses(429, "You exceeded your current quota", "insufficient_quota")),
    "no model": (0.01, refuses(404, "The model `m` does not exist", "model_not_found")),
    "empty": (0.01, says("")),
}


class Server:
    """One of them: what it does changes from time to time, unless it is well for ever."""

    def __init__(self, pool: Pool, *, well: bool) -> None:
        self._pool, dice = pool, pool.dice
        self._seconds = dice.choice([0.05, 0.5, 3.0])
        self._does = [(0.0, dice.choice(["well", "slow"]))]
        since = 0.0
        while not well and since < 2000:
            self._does.append((since, dice.choice(["well", "slow", *FAILING])))
            since += dice.choice([1.0, 10.0, 60.0, 600.0])

    async def send(self, request) -> Outcome:
        pool, number = self._pool, int(json.loads(request.body)["messages"][0]["content"])
        pool.flying[number] += 1
        assert pool.is_free or pool.flying[number] == 1, "sent twice at once, and each is charged"
        try:
            does = [what for since, what in self._does if since <= pool.loop.now - pool.began][-1]
            if does in FAILING:
                seconds, outcome = FAILING[does]
                await asyncio.sleep(seconds)
                if does == "empty":
                    pool.spoilt.setdefault(number, set()).add(self)
                return outcome
            await asyncio.sleep(
                min(DEADLINE_S, self._seconds * pool.dice.uniform(0.5, 2) * (20 if does == "slow" else 1))
            )
            pool.paid[number] += 1
            return says("はい")
        finally:
            pool.flying[number] -= 1


class Pool:
    """A teacher with some servers, of which one is well."""

    def __init__(self, seed: int, loop: VirtualLoop) -> None:
        self.dice, self.loop, self.began = random.Random(seed), loop, loop.now
        self.flying: Counter[int] = Counter()
        self.paid: Counter[int] = Counter()
        self.spoilt: dict[int, set[Server]] = {}
        """Which servers gave an empty reply to each request."""
        self.is_free = self.dice.random() < 0.5
        most, count = self.dice.choice([1, 2, 8, 64]), self.dice.choice([2, 3])
        endpoint = Endpoint(
            model="m",
            base_url="https://a.example.com/v1",
            price=FREE if self.is_free else Price(input_usd=1, output_usd=10),
            sampling=Sampling(max_tokens=100),
            limits=Limits(max_in_flight=most, deadline_s=DEADLINE_S),
            replicas=[Replica(base_url=f"https://{name}.example.com/v1") for name in "bc"[: count - 1]],
        )
        well = self.dice.randrange(count)
        self.servers = servers = [Server(self, well=place == well) for place in range(count)]
        self.halt, self.budget, store = Halt(), Budget(), Forgetful()
        self.teacher = Teacher(
            Sender("main", endpoint, backends=servers, store=store, budget=self.budget, halt=self.halt)  # type: ignore[arg-type]
        )
        self.at_once = 2 * most * count

    async def ask(self, number: int) -> str:
        request = self.teacher.request([Message(role="user", content=str(number))], 0)
        try:
            return (await self.teacher.complete(request, Unit("stage", f"{number:08d}/00", 0, 0))).text
        except (TeacherError, Rejected) as error:
            return f"{type(error).__name__} {error}"

    async def ask_all(self, count: int) -> dict[int, str]:
        numbers, ends = iter(range(count)), dict[int, str]()

        async def worker() -> None:
            for number in numbers:
                ends[number] = await self.ask(number)

        async with asyncio.timeout(40_000), asyncio.TaskGroup() as group:
            for _ in range(self.at_once):
                group.create_task(worker())
        return ends


@pytest.mark.parametrize("seed", HISTORIES)
def test_while_one_server_is_well_every_request_is_answered_whatever_the_others_do(monkeypatch, seed):
    async def main(loop: VirtualLoop) -> None:
        monkeypatch.setattr(hedge, "time", SimpleNamespace(monotonic=loop.time))
        pool = Pool(seed, loop)
        ends = await pool.ask_all(pool.dice.choice([3, 30, 200]))
        for _ in range(3):
            await asyncio.sleep(0)  # what was given up ends
        failed = {number: end for number, end in ends.items() if end != "はい"}
        # nothing was found in what two servers charged for that had been well until then: no third reply is bought
        spoilt = [number for number, servers in pool.spoilt.items() if len(servers) > 1 and failed.pop(number, None)]
        assert (failed, pool.halt.error) == ({}, None)
        assert len(spoilt) <= 1
        assert pool.is_free or not [number for number, times in pool.paid.items() if times > 1]
        lanes = pool.teacher.admission.lanes
        assert [(lane.in_flight, lane.outstanding_tokens) for lane in lanes] == [(0, 0)] * len(lanes)
        assert (pool.flying.total(), pool.budget.reserved_microusd, pool.budget.reserved_requests) == (0, 0, 0)

    in_virtual_time(monkeypatch, main)


@pytest.mark.parametrize(("seed", "places", "count"), [(5, 8, 3), (13, 2, 3), (15, 1, 200)])
def test_a_server_that_refuses_all_for_ever_takes_nothing_from_one_with_few_places(monkeypatch, seed, places, count):
    async def main(loop: VirtualLoop) -> None:
        pool = Pool(seed, loop)
        well, refusing = pool.servers
        refusing._does, well._does, well._seconds = [(0.0, "limited")], [(0.0, "well")], 3.0
        assert pool.at_once == 2 * places * 2
        assert set((await pool.ask_all(count)).values()) == {"はい"}
        assert loop.now - pool.began < 120 + 1.2 * count * 3.0 * 1.25 / places

    in_virtual_time(monkeypatch, main)


@pytest.mark.parametrize(("failing", "avoided"), [("limited", [0, 0]), ("broken", [0, 1])])
def test_a_limit_is_waited_for_at_its_server_and_what_failed_goes_elsewhere(monkeypatch, failing, avoided):
    async def main(loop: VirtualLoop) -> None:
        pool, seen = Pool(0, loop), []
        board, admission = pool.teacher.admission.board, pool.teacher.admission

        async def noted(tokens, priority, prefix, shunned):
            seen.append(len(shunned))
            return await board(tokens, priority, prefix, shunned)

        async def send(_self, _request) -> Outcome:
            return FAILING[failing][1] if len(seen) == 1 else says("はい")

        monkeypatch.setattr(admission, "board", noted)
        monkeypatch.setattr(Server, "send", send)
        assert await pool.ask(1) == "はい"
        assert seen == avoided

    in_virtual_time(monkeypatch, main)
