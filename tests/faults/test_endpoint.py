"""The faults of `reliability.md` section 6 that are about a whole endpoint: down, overloaded, out of money, by numbers.

What depends on time plays on a clock that nobody waits for, with a teacher, its admission and its resends as they are.
Fault 42 is in tests/admission/test_concurrency.py, beside the simulator.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import itertools
import os
import random
import socket
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest

import synth
from synth import sending as module
from synth.admission import breaker, lane
from synth.admission.lane import STREAK, Place
from synth.admission.scheduler import watched
from synth.console.live import snapshot_line
from synth.errors import Stalled
from synth.live.progress import Progress, StageCount
from synth.live.snapshot import snapshot
from synth.money.budget import Budget
from synth.protocol.fates import FATES
from synth.recipes.loading import load
from synth.results.result import Options
from synth.types import Outcome
from tests.faults.played import ANSWER, RECIPE, PlayedTeacher, Virtual, in_virtual_time, refuses, says
from tests.faults.scripted import READ, Scripted, reply

UP = says("はい")
REFUSED = Outcome(0, error="connect", detail="Connection refused", written=False)
HOUR_S = 3600.0


class Server:
    """Answers in a second or as long as it is told, and fails at once in between two times."""

    def __init__(self, failing: Outcome, since: float, until: float, seconds: float = 1.0) -> None:
        self.failing, self.since, self.until, self.seconds = failing, since, until, seconds
        self.began: float | None = None
        self.failed = self.answered = 0

    def __call__(self, number: int, now: float) -> tuple[Outcome, float]:
        self.began = now if self.began is None else self.began
        if self.since <= now - self.began < self.until:
            self.failed += 1
            return self.failing, 0.01
        self.answered += 1
        return UP, self.seconds


@pytest.mark.parametrize(
    ("failing", "minutes"),
    [(REFUSED, 60), (Outcome(0, error="connect", detail="teacher.example cannot be found", written=False), 5)],
    ids=["fault 1: refused for an hour", "fault 2: no name for five minutes"],
)
def test_fault_01_and_02_an_endpoint_that_is_gone_parks_nothing_and_is_found_by_a_canary(monkeypatch, failing, minutes):
    server = Server(failing, since=8, until=8 + 60 * minutes)

    async def main(loop):
        played = Virtual(server, loop)
        ends = await played.ask_all(8000)
        return played, ends, loop.now - server.began

    played, ends, took_s = in_virtual_time(monkeypatch, main)
    assert ends == {"はい": 8000}
    times = played.refused_after()
    assert max(times.values()) <= 1 + FATES["unreachable"].resends, "beyond the cap of attempts"
    assert server.failed < 256 + 256 + 2 * minutes, "what was on its way, and canaries"
    up = server.began + server.until
    after = sorted(now for _, now in played.sends if now >= up)
    assert after[1] >= after[0] + server.seconds, "the canary goes alone"
    assert after[0] <= up + max(30, 60 * minutes / 4), "it is found soon"
    assert took_s < 60 * minutes * 1.25 + 300
    waiting = [now for _, now in played.sends if server.began + 9 < now < up]
    assert len(waiting) <= 2 * minutes, "while it is open, only canaries"


@pytest.mark.parametrize("in_flight", [1, 2, 4])
def test_fault_01_an_endpoint_that_is_gone_parks_nothing_where_too_few_fly_for_the_breaker(monkeypatch, in_flight):
    async def main(loop):
        played = Virtual(Server(REFUSED, since=60, until=660), loop, in_flight=in_flight)
        return await played.ask_all(300, at_once=2 * in_flight), len(played.sends)

    ends, sends = in_virtual_time(monkeypatch, main)
    assert ends == {"はい": 300}
    assert sends <= 300 + 600 / 4, "nor is it asked in a busy loop"


def test_fault_02_the_status_line_says_when_a_teacher_that_is_gone_is_asked_again(monkeypatch):
    async def main(loop):
        played = Virtual(Server(REFUSED, since=1, until=200), loop)
        asking = asyncio.create_task(played.ask_all(4000))
        await asyncio.sleep(20)
        progress = Progress({"answer": StageCount()}, {"main": played.teacher}, Budget(), total_seeds=4000)
        down = snapshot_line(snapshot("played", progress))
        await asking
        return down, snapshot_line(snapshot("played", progress))

    down, later = in_virtual_time(monkeypatch, main)
    assert "main is asked again in 1" in down or "main is asked again in 2" in down, "some of its 30 seconds"
    assert "main has been out of reach for 1" in down
    assert "is waited for 5 h 59 min more" in down
    assert "out of reach" not in later
    assert "asked again" not in later


@pytest.fixture
def hasty(monkeypatch):
    """No wait of a whole run takes longer than a moment."""
    monkeypatch.setattr(module, "BACKOFF_S", 0.01)
    monkeypatch.setattr(module, "LONGEST_BACKOFF_S", 0.05)
    monkeypatch.setattr(breaker, "BREAKER_PAUSE_S", 0.1)


def whole_run(tmp_path: Path, url: str, count: int):
    recipe = tmp_path / "recipe"
    recipe.mkdir()
    text = RECIPE.format(in_flight=8, teacher="", generator=ANSWER).replace("replay:none", url)
    (recipe / "recipe.yaml").write_text(text, encoding="utf-8")
    (recipe / "ask.md.j2").write_text("{{ q }}")
    (recipe / "seeds.jsonl").write_text("".join(f'{{"q": "問{number}"}}\n' for number in range(count)))
    from synth import pipeline

    return pipeline.run(load(recipe), Options(tmp_path / "run"))


def serving():
    while True:
        yield READ
        yield reply(UP.body)


def test_fault_01_a_whole_run_outlives_a_server_that_goes_and_comes_back(tmp_path, hasty):
    async def main():
        with Scripted(serving) as first:
            running = asyncio.create_task(whole_run(tmp_path, first.url, 400))
            while len(first.posts) < 50:
                await asyncio.sleep(0.001)
            down = await asyncio.to_thread(first.__exit__)
        assert down is None
        await asyncio.sleep(0.5)
        assert not running.done(), "it gave up"
        with Scripted(serving, port=first.port) as second:
            async with asyncio.timeout(60):
                result = await running
        return result, len(first.posts), len(second.posts)

    result, before, after = asyncio.run(main())
    assert (result.exit_code, result.manifest.row_count, result.manifest.stages[0].parked) == (0, 400, 0)
    lines = {line.failure: line.attempts for line in result.manifest.ledger}
    assert lines["unreachable"] > 0
    assert lines["ok"] == 400
    assert 400 <= before + after <= 400 + 8, "only what was on its way when the server went"


def test_fault_02_a_whole_run_outlives_a_name_that_is_not_found_for_a_while(tmp_path, hasty, monkeypatch):
    working, lost = socket.getaddrinfo, threading.Event()
    looked = []

    def getaddrinfo(host, *arguments, **named):
        if host != "teacher.localhost":
            return working(host, *arguments, **named)
        looked.append(lost.is_set())
        if lost.is_set():
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return working("127.0.0.1", *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr("synth.backends.dial.FAILED_NAMES_KEPT_S", 0.01)
    monkeypatch.setattr("synth.backends.dial.NAMES_KEPT_S", 0.0, raising=False)

    def once():
        yield READ
        yield reply(UP.body, "Connection: close")

    async def main():
        with Scripted(once) as server:
            running = asyncio.create_task(
                whole_run(tmp_path, server.url.replace("127.0.0.1", "teacher.localhost"), 200)
            )
            while len(server.posts) < 30:
                await asyncio.sleep(0.001)
            lost.set()
            while not any(looked):
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.3)
            lost.clear()
            async with asyncio.timeout(60):
                return await running

    result = asyncio.run(main())
    assert (result.exit_code, result.manifest.row_count, result.manifest.stages[0].parked) == (0, 200, 0)


DATE = "Wed, 25 Nov 2026 10:00:00 GMT"
WISHES = {
    "milliseconds": ({"retry-after-ms": "2500"}, b"", 2.5),
    "seconds": ({"retry-after": "7"}, b"", 7),
    "date": ({"retry-after": "Wed, 25 Nov 2026 10:00:30 GMT", "date": DATE}, b"", 30),
    "both": ({"retry-after": "20", "retry-after-ms": "100"}, b"", 20),
    "Google's": ({}, b'[{"error": {"code": 429, "details": [{"retryDelay": "12.5s"}]}}]', 12.5),
    "a billion": ({"retry-after": "1e9"}, b"", HOUR_S),
    "zero": ({"retry-after": "0"}, b"", 0),
    "zero milliseconds": ({"retry-after-ms": "0"}, b"", 0),
    "negative": ({"retry-after": "-5"}, b"", 0),
    "date gone by": ({"retry-after": DATE, "date": "Wed, 25 Nov 2026 10:05:00 GMT"}, b"", 0),
    "garbage": ({"retry-after": "soon"}, b"", 0),
    "not a number": ({"retry-after": "nan", "retry-after-ms": "inf"}, b"", 0),
    "nothing": ({}, b"", 0),
}


@pytest.mark.parametrize(("headers", "body", "wish_s"), WISHES.values(), ids=WISHES)
def test_fault_31_a_wish_to_wait_is_heeded_and_nothing_is_ever_asked_in_a_busy_loop(monkeypatch, headers, body, wish_s):
    refusal = Outcome(429, body or b'{"error": {"message": "slow down"}}', headers)

    async def once(loop):
        played = Virtual(lambda number, now: (UP if len(played.sends) > 1 else refusal, 0.0), loop)
        assert await played.ask(0) == "はい"
        (_, first), (_, second) = played.sends
        return second - first

    waited_s = in_virtual_time(monkeypatch, once)
    assert wish_s <= waited_s <= max(1.2 * wish_s, 1.0)

    async def for_ever(loop):
        played = Virtual(lambda number, now: (refusal, 0.0), loop)
        asking = asyncio.create_task(played.ask_all(8))
        await asyncio.sleep(600)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        return len(played.sends)

    most = 8 * (600 / wish_s + 1) if wish_s else 8 * 600 * 4
    assert in_virtual_time(monkeypatch, for_ever) <= most


def test_fault_31_a_long_wait_is_shown(monkeypatch):
    async def main(loop):
        played = Virtual(Server(UP, 0, 0), loop)
        for _ in range(STREAK):
            lane = played.teacher.admission.lanes[0]
            lane.refused(Place(lane, 1, {}, loop.now, 0), 1e9)
        progress = Progress({"answer": StageCount()}, {"main": played.teacher}, Budget(), total_seeds=1)
        return snapshot_line(snapshot("played", progress))

    assert "main is asked again in 1 h 0 min" in in_virtual_time(monkeypatch, main)


def test_fault_32_500_that_are_refused_together_are_one_cut_and_come_back_one_after_another(monkeypatch):
    monkeypatch.setattr(lane, "START", 500)
    wait_s = 10.0
    refusal = refuses(429, "slow down", retry_after=f"{wait_s:g}")

    async def main(loop):
        began = loop.now
        played = Virtual(lambda number, now: (UP, 5.0) if now > began + 1 else (refusal, 0.5), loop, in_flight=500)
        asking = asyncio.create_task(played.ask_all(2000, at_once=1500))
        await asyncio.sleep(2)
        limit = played.teacher.admission.limit
        assert await asking == {"はい": 2000}
        return [now - began for _, now in played.sends], limit

    sends, limit = in_virtual_time(monkeypatch, main)
    refused = sum(now < 1 for now in sends)
    assert refused == 500
    assert limit == 250, "half, once"
    assert len(sends) == 2500
    back = sorted(now for now in sends if now > 1)
    assert back[0] >= wait_s, "before the time they were told"
    assert back[int(limit) - 1] - back[0] > 0.1 * wait_s
    densest = max(Counter(int(now * 10) for now in back[: int(limit)]).values())
    assert densest <= limit / 5, "a herd in one tenth of a second"


ENDINGS = {
    "quota": refuses(429, "You exceeded your current quota", "insufficient_quota"),
    "balance": refuses(402, "Insufficient Balance"),
    "credits": refuses(429, "Your credit_balance is too low", "credit_balance_exhausted"),
    "key revoked": refuses(401, "Incorrect API key provided", "invalid_api_key"),
    "key without rights": refuses(403, "Project does not have access"),
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
def test_fault_33_no_money_or_no_key_in_mid_run_ends_admission_and_keeps_what_is_in_flight(played, ending):
    slow, numbers = asyncio.Event(), itertools.count(1)

    async def play(prompt, body):
        number = next(numbers)
        if number <= 40:
            return says("はい")
        if number == 48:  # of the eight on their way the last is refused, while the others still write
            asyncio.get_running_loop().call_later(0.2, slow.set)
            return ending
        await slow.wait()
        return says(f"まだ書いていた答え {number}")

    teacher = PlayedTeacher(play)
    ended = played(teacher, [f"問{number}" for number in range(400)])
    assert ended.result.exit_code == 4
    assert ended.result.manifest.state == "failed"
    assert "'main'" in ended.result.message
    assert len(teacher.sent) <= 49, "within one completion"
    kept = ended.bodies()
    assert sum(kept.values()) == teacher.landed == len(teacher.sent), "all that was in flight is stored"
    assert len(ended.rows()) == len(teacher.sent) - 1
    mended = PlayedTeacher(lambda prompt, body: says("はい"))
    ended = played(mended, [f"問{number}" for number in range(400)])
    assert ended.result.exit_code == 0
    assert len(mended.sent) == 400 - (len(teacher.sent) - 1), "nothing is bought twice"


def test_fault_33_a_key_that_is_revoked_is_tried_by_no_more_than_were_on_their_way(played):
    numbers = itertools.count()
    teacher = PlayedTeacher(lambda prompt, body: says("はい") if next(numbers) < 40 else ENDINGS["key revoked"])
    ended = played(teacher, [f"問{number}" for number in range(400)])
    assert ended.result.exit_code == 4
    assert len(ended.rows()) == 40
    assert len(teacher.sent) <= 40 + 2 * 8, "on the wire and in line for it"
    assert sum(ended.bodies().values()) == len(teacher.sent)


EMPTY = says("")


@pytest.mark.parametrize("nothing", [EMPTY, Outcome(200, b'{"choices": []}')], ids=["no text", "no choices"])
def test_an_endpoint_that_says_nothing_for_a_while_spoils_no_more_than_it_takes_to_see_that(monkeypatch, nothing):
    """Each such reply may have been paid for, and a request that brought two of them is poisonous."""
    server = Server(nothing, since=60, until=660)

    async def main(loop):
        played = Virtual(server, loop, in_flight=32)
        return await played.ask_all(6000, at_once=64), played.store.settled["poison"]

    ends, poisoned = in_virtual_time(monkeypatch, main)
    assert ends["はい"] >= 6000 - 20
    assert ends["はい"] + poisoned == 6000
    assert server.failed <= 20 + 32 + 20, "those that showed it, those on their way, and canaries"


def test_an_endpoint_that_says_nothing_for_an_hour_ends_the_run_and_poisons_nothing(monkeypatch):
    async def main(loop):
        played = Virtual(Server(EMPTY, since=60, until=8 * HOUR_S), loop, in_flight=32)
        forgiven = []

        async def forgive():
            forgiven.append(loop.now)

        played.store.forgive = forgive
        asking = asyncio.create_task(played.ask_all(6000, at_once=64))
        await asyncio.sleep(2 * HOUR_S)
        assert asking.done()
        return str(played.halt.error), forgiven

    said, forgiven = in_virtual_time(monkeypatch, main)
    assert "has said nothing of use for 6" in said
    assert len(forgiven) == 1


def test_a_server_that_answers_one_after_the_other_is_not_asked_more_than_it_answers_before_the_deadline(monkeypatch):
    """As Ollama does on a laptop, in 20 s each: of a long line each would be given up when its turn has come."""
    free = 0.0
    late = Outcome(0, error="timeout", detail="no complete reply within the deadline", written=True)

    def one_by_one(number: int, now: float) -> tuple[Outcome, float]:
        nonlocal free
        begins = max(now, free)
        free = max(begins, min(begins + 20.0, now + 600.0))
        return (UP, begins + 20.0 - now) if begins + 20.0 <= now + 600.0 else (late, 600.0)

    async def main(loop):
        played, began = Virtual(one_by_one, loop), loop.now
        ends = await played.ask_all(500)
        return ends, len(played.sends), loop.now - began

    ends, sends, took_s = in_virtual_time(monkeypatch, main)
    assert ends == {"はい": 500}, "parked"
    assert took_s <= 1.25 * 500 * 20.0
    assert sends <= 1000, "all that stood in line when it was found too long, once more"


def test_half_a_minute_of_429_is_no_reason_to_ask_slowly_for_the_rest_of_the_day(monkeypatch):
    server = Server(refuses(429, "お待ちください", "rate_limit_exceeded"), since=60, until=96)
    server.seconds = 5.0

    async def main(loop):
        played, began = Virtual(server, loop), loop.now
        return await played.ask_all(8000), loop.now - began

    ends, took = in_virtual_time(monkeypatch, main)
    assert ends == {"はい": 8000}
    assert took < 36 + 2 * 8000 * 5.0 / 256


@pytest.mark.parametrize("headers", [{}, {"retry_after": "60"}])
def test_hours_of_429_park_nothing_and_take_few_sends(monkeypatch, headers):
    server = Server(refuses(429, "お待ちください", "rate_limit_exceeded", **headers), since=60, until=60 + 3 * HOUR_S)
    server.seconds = 5.0

    async def main(loop):
        played = Virtual(server, loop)
        return await played.ask_all(8000)

    assert in_virtual_time(monkeypatch, main) == {"はい": 8000}
    assert server.failed < 256 + 3 * 60 * 3


@pytest.mark.parametrize("in_flight", [4, 256])
def test_five_hours_without_room_park_nothing_of_what_is_answered_afterwards(monkeypatch, in_flight):
    wanted, storm, ends = 8000, refuses(503, "overloaded"), 60 + 5 * HOUR_S

    async def main(loop):
        began, served = loop.now, Counter()

        def answer(number, now):
            stormy = 60 <= now - began < ends
            bad = stormy or (now - began >= ends and number % 3 == 0 and served[number] < 3)
            served[number] += not stormy
            return (storm, 0.1) if bad else (UP, 1.0)

        played = Virtual(answer, loop, in_flight=in_flight)
        return await played.ask_all(wanted), sum(60 <= now - began < ends for _, now in played.sends)

    answered, vain = in_virtual_time(monkeypatch, main)
    assert answered == {"はい": wanted}
    assert vain <= 5 * 60 * 2 * max(4, in_flight / 64)


def test_a_night_without_room_ends_with_a_sentence_and_parks_nothing(monkeypatch):
    async def main(loop):
        played, began = Virtual(Server(refuses(503, "overloaded"), since=0, until=24 * HOUR_S), loop), loop.now
        return played, await played.ask_all(1000), loop.now - began

    played, ends, took_s = in_virtual_time(monkeypatch, main)
    assert ends == {"Fatal": 1000}
    assert 6 * HOUR_S <= took_s < 6.5 * HOUR_S
    assert "has had no room for 36" in str(played.halt.error)
    assert "run again to go on" in str(played.halt.error)


def test_one_request_for_which_there_is_no_room_for_an_hour_while_others_are_answered_is_parked(monkeypatch):
    async def main(loop):
        began = loop.now

        def answer(number, now):
            return (refuses(503, "overloaded"), 0.1) if number == 7 else (UP, 60.0)

        played = Virtual(answer, loop, in_flight=16)
        ends = await played.ask_all(2500)
        return ends, max(now - began for number, now in played.sends if number == 7)

    ends, last_s = in_virtual_time(monkeypatch, main)
    assert ends == {"はい": 2499, "Transient": 1}
    assert HOUR_S < last_s < 2 * HOUR_S


@pytest.mark.parametrize("status", [503, 529])
def test_fault_35_a_storm_of_ten_minutes_costs_a_tenth_more_requests_at_most(monkeypatch, status):
    server = Server(refuses(status, "overloaded"), since=60, until=660, seconds=10.0)
    wanted = 6000

    async def main(loop):
        played = Virtual(server, loop)
        asking = asyncio.create_task(played.ask_all(wanted))
        await asyncio.sleep(120)
        opened = played.teacher.admission.lanes[0].concurrency.half_open
        return played, opened, await asking

    played, opened, ends = in_virtual_time(monkeypatch, main)
    assert ends == {"はい": wanted}
    assert opened, "the breaker"
    assert server.answered == wanted
    assert len(played.sends) <= 1.1 * wanted


def test_fault_35_a_storm_that_lets_a_few_through_costs_a_tenth_more_too(monkeypatch):
    wanted, storm = 12_000, refuses(503, "overloaded")

    async def main(loop):
        began = loop.now

        def answer(number, now):
            stormy = 60 <= now - began < 660
            return (storm, 0.1) if stormy and len(played.sends) % 10 else (UP, 5.0)

        played = Virtual(answer, loop)
        return await played.ask_all(wanted), played

    ends, played = in_virtual_time(monkeypatch, main)
    assert ends == {"はい": wanted}
    assert len(played.sends) <= 1.1 * wanted


def test_fault_35_a_storm_in_which_half_fail_at_random_costs_a_tenth_more_too(monkeypatch):
    wanted, storm, rng = 10_000, refuses(503, "overloaded"), random.Random(35)

    async def main(loop):
        began = loop.now

        def answer(number, now):
            stormy = 60 <= now - began < 660
            return (storm, 0.1) if stormy and rng.random() < 0.5 else (UP, 10.0)

        played = Virtual(answer, loop)
        return await played.ask_all(wanted), played

    ends, played = in_virtual_time(monkeypatch, main)
    assert ends == {"はい": wanted}
    assert len(played.sends) <= 1.1 * wanted


def test_fault_35_what_fails_beyond_a_tenth_of_all_requests_waits_the_longest(monkeypatch):
    """A third of the requests fail once: too few for the breaker."""

    async def main(loop):
        sent = Counter()

        def answer(number, now):
            sent[number] += 1
            return (refuses(500, "oops"), 0.5) if number % 3 == 0 and sent[number] == 1 else (UP, 0.5)

        played = Virtual(answer, loop, in_flight=500)
        assert await played.ask_all(3000, at_once=500) == {"はい": 3000}
        times = defaultdict(list)
        for number, now in played.sends:
            times[number].append(now)
        return [times[number][1] - times[number][0] for number in range(0, 3000, 3)]

    waits_s = in_virtual_time(monkeypatch, main)
    assert max(waits_s[:100]) < 5
    assert min(waits_s[-500:]) > 30


def test_fault_41_one_request_that_fails_each_time_among_10000_is_parked_after_three(monkeypatch):
    async def main(loop):
        played = Virtual(lambda number, now: (refuses(500, "oops"), 0.1) if number == 5000 else (UP, 0.5), loop)
        return await played.ask_all(10_000), played

    ends, played = in_virtual_time(monkeypatch, main)
    assert ends == {"はい": 9999, "Transient": 1}
    assert played.refused_after()[5000] == 3
    assert len(played.sends) == 10_002
    assert played.store.settled == {"ok": 9999, "transient": 2, "poison": 1}


def test_fault_41_failures_that_strike_at_random_make_no_request_poisonous(monkeypatch):
    """Of 10,000 requests five meet one of 8 % failures three times in a row: that is chance, and all of them get through."""
    rng = random.Random(41)

    async def main(loop):
        played = Virtual(lambda number, now: (refuses(500, "oops"), 0.1) if rng.random() < 0.08 else (UP, 0.5), loop)
        return await played.ask_all(10_000), played

    ends, played = in_virtual_time(monkeypatch, main)
    assert max(played.refused_after().values()) >= 3
    assert ends == {"はい": 10_000}


def test_fault_41_a_run_with_one_poisonous_request_finishes_and_lists_it(played):
    async def play(prompt, body):
        if prompt != "毒":
            return says("はい")
        while teacher.landed < 60:
            await asyncio.sleep(0)
        return refuses(500, "oops")

    teacher = PlayedTeacher(play)
    asked = ["毒", *(f"問{number}" for number in range(240))]
    ended = played(teacher, asked)
    assert ended.result.exit_code == 3
    assert "1 sample" in ended.result.message
    assert teacher.sent.count("毒") == 3
    assert len(ended.rows()) == 240
    again = PlayedTeacher(lambda prompt, body: says("はい"))
    assert played(again, asked).result.exit_code == 3
    assert again.sent == [], "not at every rerun"
    assert played(again, asked, retry=True).result.exit_code == 0
    assert again.sent == ["毒"]


def test_fault_46_the_watchdog_takes_no_pause_of_the_process_for_a_stall(monkeypatch):
    async def main(loop):
        async def stopped():
            await asyncio.sleep(100)
            loop.now += 10 * HOUR_S  # nothing ran, and nothing was looked at
            await asyncio.sleep(100)

        await watched(stopped(), lambda: 7, 600)
        began = loop.now
        with pytest.raises(Stalled):
            await watched(asyncio.sleep(10 * HOUR_S), lambda: 7, 600)
        return loop.now - began

    assert 600 <= in_virtual_time(monkeypatch, main) <= 700


CUTS = {
    "no answer": Outcome(0, error="timeout", detail="返答なし", written=True),
    "in the middle": Outcome(200, b'{"choices', error="reset", detail="cut in the middle of its reply", written=True),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_faults_03_05_and_06_what_may_have_been_paid_for_is_sent_twice_more_and_charged_each_time(played, cut):
    teacher = PlayedTeacher(lambda prompt, body: cut if prompt == "切れる問" else says("はい"))
    ended = played(teacher, ["切れる問", *(f"問{number}" for number in range(20))])
    assert ended.result.exit_code == 3
    assert teacher.sent.count("切れる問") == 3
    line = ended.ledger()["ambiguous"]
    assert (line.attempts, line.cost_microusd) == (3, 3 * 10 * 100), "100 tokens at 10 dollars a million"
    assert ended.bodies()[cut.body or b" "] == 3, "what came is kept"


CLOCKS = {("time", "time"), ("time", "time_ns"), ("datetime", "now"), ("datetime", "today"), ("date", "today")}
RECORDS = {
    ("console/status.py", "_found"),
    ("storage/store.py", "_journal"),  # when an attempt began, beside how long it took by the other clock
    ("live/events.py", "__init__"),  # when an event happened
    *(("console/panel.py", "since"), ("live/stored.py", "_replies_per_s")),  # how long ago another process wrote
    ("pipeline.py", "_now"),  # when a run began and ended, beside how long it took
    ("protocol/endpoint.py", "_host_price"),  # which of several listed prices is in force today
    ("publishing/__init__.py", "_note_of"),  # when a dataset was published
    # batches outlive the process, and with it every other clock
    ("storage/store.py", "note_step"),
    *(("batches/course.py", name) for name in ("_order", "_found", "_ordered", "_ended")),
    *(("backends/practice/batches.py", name) for name in ("_added", "_create", "_cancel", "_work", "_answered")),
    ("lint/tokens.py", "strftime_now"),  # a chat template may ask for the date
}


def test_fault_47_the_wall_clock_is_read_for_records_only():
    found = set()
    root = Path(synth.__file__).parent
    for path in root.rglob("*.py"):
        left = [(ast.parse(path.read_text(encoding="utf-8")), "")]
        while left:
            node, function = left.pop()
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                function = node.name
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                named = {(node.value.id, node.attr)}
            else:
                named = {(node.module, one.name) for one in node.names} if isinstance(node, ast.ImportFrom) else set()
            if named & CLOCKS:
                found.add((str(path.relative_to(root)), function))
            left += [(child, function) for child in ast.iter_child_nodes(node)]
    assert found == RECORDS


def test_fault_47_jumps_of_a_day_and_another_time_zone_change_neither_the_rows_nor_the_money(played, monkeypatch):
    def play(prompt, body):
        zone = ["Asia/Tokyo", "America/New_York", "Pacific/Kiritimati"][len(teacher.sent) % 3]
        os.environ["TZ"] = zone
        time.tzset()
        if len(teacher.sent) % 7 == 3:
            return refuses(429, "slow down", retry_after="Wed, 25 Nov 2026 10:00:00 GMT", date=DATE)
        return says(f"答え {prompt}")

    asked, true_ns = [f"問{number}" for number in range(100)], time.time_ns
    jumps = 0

    def jumping_ns():
        nonlocal jumps
        jumps += 1
        return true_ns() + (-1) ** jumps * 86_400 * 10**9

    before = os.environ.get("TZ")
    teacher = PlayedTeacher(play)
    monkeypatch.setattr(time, "time_ns", jumping_ns)
    monkeypatch.setattr(time, "time", lambda: jumping_ns() / 1e9)
    try:
        began = time.monotonic()
        ended = played(teacher, asked)
        took_s = time.monotonic() - began
    finally:
        monkeypatch.undo()
        with contextlib.suppress(KeyError):
            del os.environ["TZ"]
        if before is not None:
            os.environ["TZ"] = before
        time.tzset()
    assert jumps > 100
    assert ended.result.exit_code == 0
    assert ended.rows() == [f"答え 問{number}" for number in range(100)]
    assert ended.result.manifest.cost_microusd == 100 * 50
    assert ended.result.manifest.seconds <= took_s < 3600


def test_every_replica_of_a_pool_gets_as_many_requests_as_it_may_have(played):
    flying, full = 0, asyncio.Event()

    async def answer(prompt, body):
        nonlocal flying
        flying += 1
        if flying == 16:
            full.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(full.wait(), 5)
        flying -= 1
        return says(f"{prompt}の答え")

    replicas = ", ".join(['{base_url: "replay:none"}'] * 3)
    ended = played(PlayedTeacher(answer), [f"問{n}" for n in range(32)], in_flight=4, fields=f"replicas: [{replicas}]")
    assert full.is_set()
    assert len(ended.rows()) == 32


@pytest.mark.parametrize("retry", [False, True], ids=["gone on with", "retried"])
def test_requests_that_failed_in_an_earlier_run_do_not_close_the_endpoint_for_each_other(retry, played, monkeypatch):
    """Alone with themselves they all fail: a pause of up to ten minutes before each send would take a day."""
    monkeypatch.setattr(module, "REPEATS_FLOOR", 10**6)  # else they wait a minute before each
    bad = [f"悪い {number}" for number in range(25)]

    def sick(prompt, _):
        return refuses(500, "boom") if prompt in bad else says("はい。")

    questions = [f"よい {number}" if number % 4 else bad[number // 4] for number in range(100)]
    first = played(PlayedTeacher(sick), questions)
    assert (len(first.rows()), first.result.exit_code) == (75, 3)
    opened: list[float] = []
    monkeypatch.setattr(breaker.Breaker, "open", lambda self, now, on_wire: opened.append(now))
    teacher = PlayedTeacher(sick)
    assert played(teacher, questions, retry=retry).result.exit_code == 3
    assert opened == []
    assert set(teacher.sent) == set(bad)
    assert len(played(PlayedTeacher(lambda *_: says("はい。")), questions, retry=True).rows()) == 100
