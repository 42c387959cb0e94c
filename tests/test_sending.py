"""What it takes to get one answer: sent again as its fate allows, never beyond the budget, ended when it is hopeless."""

from __future__ import annotations

import asyncio

import pytest

from synth import sending as module
from synth.admission import health
from synth.errors import BudgetReached, Fatal, Rejected, Transient
from synth.money.prices import tariff
from synth.protocol.endpoint import Limits
from synth.storage import store as storing
from synth.types import Outcome, Planned, Usage
from tests.test_teacher import COSTLY, PROMPT, Script, ok, play, unit


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(module, "BACKOFF_S", 0.0)


@pytest.mark.parametrize(
    ("failure", "sends"),
    [
        (Outcome(500, b"{}"), 6),
        (Outcome(0, error="reset", written=True), 3),
        (Outcome(200, b"<html>"), 2),
        (Outcome(422, b"{}"), 1),
    ],
)
def test_each_class_is_sent_again_as_often_as_its_fate_says(tmp_path, failure, sends):
    script = Script(ok(), failure)

    async def scene(asked, store, budget, halt):
        await asked.complete(asked.request(PROMPT, 0), unit())
        with pytest.raises((Transient, Rejected)):
            await asked.complete(asked.request(PROMPT, 1), unit())
        assert budget.reserved_microusd == 0
        return sum(line.attempts for line in store.ledger()) - 1

    assert play(tmp_path, script, scene) == sends == len(script.sent) - 1


@pytest.mark.parametrize(
    ("failure", "sends", "words"),
    [
        (Outcome(200, b"<html>a page</html>"), 2, ["HTML", "/v1"]),
        (Outcome(0, error="reset", detail="Expected HTTP", written=True), 3, ["cannot be reached"]),
        (Outcome(500, b"oops"), 6, ["HTTP 500: oops"]),
    ],
)
def test_an_endpoint_that_never_brings_a_completion_is_at_fault_itself(tmp_path, failure, sends, words):
    script = Script(failure)

    async def scene(asked, store, budget, halt):
        with pytest.raises(Fatal) as caught:
            await asked.complete(asked.request(PROMPT, 0), unit())
        assert halt.error is caught.value
        return str(caught.value)

    message = play(tmp_path, script, scene)
    assert len(script.sent) == sends
    for word in ["https://api.example.com/v1", *words]:
        assert word in message


@pytest.mark.parametrize(
    ("failure", "fatal"),
    [
        (Outcome(0, error="reset", detail="Expected HTTP", written=True), True),
        (Outcome(500, b"oops"), True),
        (Outcome(503, b"loading model"), False),
    ],
)
def test_many_sends_without_a_completion_ever_stop_the_run_while_all_still_have_resends(
    tmp_path, monkeypatch, failure, fatal
):
    monkeypatch.setattr(health, "PROVING_S", -1.0)
    script = Script(*[failure] * 8, ok())

    async def scene(asked, store, budget, halt):
        asks = [asked.complete(asked.request(PROMPT, draw), unit()) for draw in range(8)]
        await asyncio.gather(*asks, return_exceptions=True)
        return halt.error is not None

    assert play(tmp_path, script, scene) is fatal


def test_eight_refusals_and_no_completion_ever_stop_the_run_and_are_asked_again_later(tmp_path):
    unknown = Outcome(400, b'{"error": {"message": "the deployment is asleep"}}')

    async def scene(asked, store, budget, halt):
        asks = [asked.complete(asked.request(PROMPT, draw), unit()) for draw in range(8)]
        results = [type(result).__name__ for result in await asyncio.gather(*asks, return_exceptions=True)]
        return results, str(halt.error)

    results, message = play(tmp_path, Script(unknown), scene)
    assert results == ["Rejected"] * 7 + ["Fatal"]
    assert "the deployment is asleep" in message
    assert play(tmp_path, Script(ok()), scene) == (["Completion"] * 8, "None")


@pytest.mark.parametrize(
    "spoken", [ok(), ok(finish="content_filter"), Outcome(400, b'{"error": {"code": "content_filter"}}')]
)
def test_refusals_are_of_the_request_where_the_endpoint_has_once_spoken(tmp_path, spoken):
    async def before(asked, store, budget, halt):
        await asyncio.gather(asked.complete(asked.request(PROMPT, 100), unit()), return_exceptions=True)

    async def scene(asked, store, budget, halt):
        asks = [asked.complete(asked.request(PROMPT, draw), unit()) for draw in range(20)]
        results = {type(result) for result in await asyncio.gather(*asks, return_exceptions=True)}
        return results, halt.error

    play(tmp_path, Script(spoken), before)
    assert play(tmp_path, Script(Outcome(400, b'{"error": {"message": "too long"}}')), scene) == ({Rejected}, None)


@pytest.mark.parametrize(("has_failed", "looks"), [(False, 0), (True, 2)])
def test_what_came_of_a_request_before_is_looked_up_only_where_it_was_made(tmp_path, monkeypatch, has_failed, looks):
    async def fail(asked, *_):
        with pytest.raises(Fatal):
            await asked.complete(asked.request(PROMPT, 0), unit())

    async def scene(asked, store, *_):
        seen, read = [], storing.Reading.found
        monkeypatch.setattr(storing.Reading, "found", lambda *look: seen.append(look) or read(*look))
        await asked.complete(asked.request(PROMPT, 0), unit())
        return len(seen)

    if has_failed:
        play(tmp_path, Script(Outcome(0, error="reset", detail="gone", written=True)), fail)
    assert play(tmp_path, Script(ok()), scene) == looks


def test_what_a_batch_failed_at_is_known_where_it_is_asked_alone_then(tmp_path, monkeypatch):
    class Failing:
        def __init__(self, store):
            self.store = store

        def takes(self, *_):
            return True

        async def bring(self, request, stage, of, *_):
            attempt = await self.store.begin([Planned(request, stage, of, 7)], "")
            await self.store.keep(attempt, Outcome(500, b'{"error": {"message": "boom"}}'))
            self.store.settle(attempt, "transient", Usage(), 0)
            await self.store.note("settled", "before it is asked alone")

    known, tries = [], module.Tries
    monkeypatch.setattr(module, "Tries", lambda *some, **named: known.append(named) or tries(*some, **named))

    async def scene(asked, store, *_):
        asked.batches = Failing(store)
        await asked.complete(asked.request(PROMPT, 0), unit())

    play(tmp_path, Script(ok()), scene)
    assert known == [{"failed_before": True}]


def test_a_rate_limit_is_waited_out(tmp_path):
    script = Script(*[Outcome(429, b"{}", {"retry-after-ms": "1"})] * 8, ok())

    async def scene(asked, store, budget, halt):
        return (await asked.complete(asked.request(PROMPT, 0), unit())).text

    assert play(tmp_path, script, scene) == "二です。"
    assert len(script.sent) == 9


@pytest.mark.parametrize(
    ("base_url", "is_told"), [("https://api.example.com/v1", True), ("https://api.openai.com/v1", False)]
)
def test_tokens_that_a_reply_did_not_use_count_for_nothing_but_where_the_host_counts_the_cap(
    tmp_path, base_url, is_told
):
    async def scene(asked, *_):
        places, lane = [], asked.admission.lanes[0]
        board = lane.board
        lane.board = lambda tokens: places.append(board(tokens)) or places[-1]
        for draw in range(3):
            await asked.complete(asked.request(PROMPT, draw), unit())
        return [place.debited for place in places]

    changes = {"base_url": base_url, "limits": Limits(tokens_per_minute=10**6)}
    first, second, third = play(tmp_path, Script(ok()), scene, endpoint=COSTLY.model_copy(update=changes))
    assert first > 100
    assert (second < first / 1.5, third < second) == (is_told, is_told)
    assert is_told or first == second == third


ROOMLESS = Outcome(429, b'{"error": {"message": "Resource Unavailable", "code": "resource_unavailable"}}')


def test_a_service_tier_without_room_is_waited_for_and_charges_nothing(tmp_path):
    async def scene(asked, store, budget, halt):
        await asked.complete(asked.request(PROMPT, 0), unit())
        return budget.spent_microusd

    script = Script(ROOMLESS, ROOMLESS, ROOMLESS, ok())
    assert play(tmp_path, script, scene, endpoint=COSTLY.model_copy(update={"service_tier": "flex"})) == 210
    assert [request.is_standard for request in script.sent] == [False] * 4


def test_what_has_waited_long_for_room_is_sent_without_the_tier_where_the_recipe_says_so(tmp_path):
    async def scene(asked, *_):
        first = (await asked.complete(asked.request(PROMPT, 0), unit())).text
        return first, (await asked.complete(asked.request(PROMPT, 1), unit())).text

    script = Script(ROOMLESS, ok(), ok("三です。"))
    endpoint = COSTLY.model_copy(update={"service_tier": "flex", "standard_after_s": 0})
    assert play(tmp_path, script, scene, endpoint=endpoint) == ("二です。", "三です。")
    assert [request.is_standard for request in script.sent] == [False, True, False]


def test_a_reply_without_usage_is_charged_with_the_worst_case_and_an_error_with_nothing(tmp_path):
    async def scene(asked, store, budget, halt):
        request = asked.request(PROMPT, 0)
        await asked.complete(request, unit())
        worst = tariff(COSTLY.price).worst(request).microusd
        return budget.spent_microusd, worst

    spent, worst = play(tmp_path, Script(Outcome(500, b"{}"), ok(usage=False)), scene)
    assert spent == worst


def test_the_budget_stops_the_run_before_a_send_that_could_exceed_it(tmp_path):
    script = Script(ok())

    async def scene(asked, store, budget, halt):
        asks = [asked.complete(asked.request(PROMPT, draw), unit()) for draw in range(40)]
        results = await asyncio.gather(*asks, return_exceptions=True)
        assert isinstance(halt.error, BudgetReached)
        assert budget.spent_microusd + budget.reserved_microusd <= 5000
        return [type(result).__name__ for result in results]

    names = play(tmp_path, script, scene, cap=5000)
    assert set(names) == {"Completion", "BudgetReached"}
    assert names.count("Completion") == len(script.sent)


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome(401, b'{"error": {"message": "bad key"}}'), ["MY_KEY", "api.example.com", "401"]),
        (Outcome(404, b'{"error": {"message": "The model `m` does not exist"}}'), ["'m'", "api.example.com"]),
        (Outcome(404, b"nothing here"), ["/v1"]),
        (Outcome(501, b"Unsupported method ('POST')"), ["/v1", "Unsupported method"]),
        (Outcome(400, b'{"error": {"message": "API key not valid."}}'), ["MY_KEY", "api.example.com"]),
        (Outcome(400, b'{"error": {"message": "Model Not Exist"}}'), ["'m'", "api.example.com"]),
        (Outcome(302, b"", {"location": "https://login.example.com"}), ["https://login.example.com"]),
        (Outcome(402, b'{"error": {"message": "Insufficient credits"}}'), ["no money"]),
        (Outcome(0, error="connect", detail="refused", written=False), ["cannot be reached"]),
    ],
)
def test_a_fatal_failure_halts_the_run_with_one_sentence(tmp_path, outcome, words):
    async def scene(asked, store, budget, halt):
        with pytest.raises(Fatal) as caught:
            await asked.complete(asked.request(PROMPT, 0), unit())
        with pytest.raises(Fatal):
            await asked.complete(asked.request(PROMPT, 1), unit())
        return str(caught.value)

    script = Script(outcome)
    message = play(tmp_path, script, scene)
    assert len(script.sent) == 1
    assert "\n" not in message
    for word in words:
        assert word in message


def test_an_endpoint_that_has_answered_is_given_time_to_come_back(tmp_path):
    gone = Outcome(0, error="connect", detail="refused", written=False)
    script = Script(ok(), gone, gone, ok("again"))

    async def scene(asked, store, budget, halt):
        await asked.complete(asked.request(PROMPT, 0), unit())
        return (await asked.complete(asked.request(PROMPT, 1), unit())).text

    assert play(tmp_path, script, scene) == "again"


def test_an_endpoint_that_stays_out_of_reach_ends_the_run_with_what_it_said_last(tmp_path, monkeypatch):
    monkeypatch.setattr(health, "SILENCE_S", 0.0)
    script = Script(ok(), Outcome(0, error="connect", detail="接続が拒否されました", written=False))

    async def scene(asked, store, budget, halt):
        await asked.complete(asked.request(PROMPT, 0), unit())
        assert asked.health.silent_s == 0
        with pytest.raises(Fatal, match=r"接続が拒否されました.*run again"):
            await asked.complete(asked.request(PROMPT, 1), unit())
        assert asked.health.silent_s > 0
        assert "main" in str(halt.error)

    play(tmp_path, script, scene)
    assert len(script.sent) == 2


def test_an_endpoint_that_answers_again_is_waited_for_anew(tmp_path, monkeypatch):
    gone = Outcome(0, error="connect", detail="refused", written=False)

    async def scene(asked, store, budget, halt):
        await asked.complete(asked.request(PROMPT, 0), unit())
        await asked.complete(asked.request(PROMPT, 1), unit())
        return asked.health.silent_s

    assert play(tmp_path, Script(ok(), gone, Outcome(500, b"{}"), ok()), scene) == 0


def test_a_halt_wakes_what_sleeps(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BACKOFF_S", 10_000.0)
    monkeypatch.setattr(module, "LONGEST_BACKOFF_S", 10_000.0)

    async def scene(asked, store, budget, halt):
        asking = asyncio.create_task(asked.complete(asked.request(PROMPT, 0), unit()))
        while not store.ledger():
            await asyncio.sleep(0.001)
        halt.throw(Fatal("stop"))
        with pytest.raises(Fatal, match="stop"):
            await asking

    play(tmp_path, Script(Outcome(500, b"{}")), scene)


def test_a_cancelled_send_stays_charged_as_lost(tmp_path):
    class Never:
        async def send(self, request):
            await asyncio.Event().wait()

    async def cancelled(asked, store, budget, halt):
        asking = asyncio.create_task(asked.complete(asked.request(PROMPT, 0), unit()))
        while asked.admission.in_flight == 0:
            await asyncio.sleep(0.001)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)

    async def later(asked, store, budget, halt):
        return [(line.failure, line.cost_microusd > 0) for line in store.ledger()]

    play(tmp_path, Never(), cancelled)
    assert play(tmp_path, Script(ok()), later) == [("lost", True)]


@pytest.mark.parametrize(("written", "sends", "spent", "owed"), [("attempt", 0, 0, 0), ("reply", 1, 1163, 210)])
def test_who_is_cancelled_while_the_disk_writes_leaves_nothing_set_aside(tmp_path, written, sends, spent, owed):
    script = Script(ok())

    async def cancelled(asked, store, budget, halt):
        asking = asyncio.create_task(asked.complete(asked.request(PROMPT, 0), unit()))
        while not budget.reserved_microusd or (written == "reply" and not asked.landed):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        return len(script.sent), budget.reserved_microusd, budget.spent_microusd

    async def later(asked, store, budget, halt):
        owed = budget.spent_microusd
        await asked.complete(asked.request(PROMPT, 0), unit())
        return owed

    assert play(tmp_path, script, cancelled, cap=10_000) == (sends, 0, spent)
    assert play(tmp_path, script, later) == owed
    assert len(script.sent) == 1, "what was kept is not bought again"


def test_waiting_in_line_takes_none_of_a_requests_patience(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0.2)

    class Slow(Script):
        async def send(self, request):
            if not self.sent:
                await asyncio.sleep(0.4)  # as if it had waited for its turn
            return await super().send(request)

    async def scene(asked, store, budget, halt):
        return (await asked.complete(asked.request(PROMPT, 0), unit())).text

    assert play(tmp_path, Slow(Outcome(503, b"{}", {"retry-after-ms": "1"}), ok()), scene) == "二です。"


def test_a_transport_that_breaks_leaves_others_what_is_left_of_the_budget(tmp_path):
    class Broken:
        async def send(self, request):
            if request.draw == 0:
                raise ValueError("a bug")
            return ok()

    async def scene(asked, store, budget, halt):
        results = await asyncio.gather(
            *(asked.complete(asked.request(PROMPT, draw), unit()) for draw in range(4)), return_exceptions=True
        )
        return [type(result).__name__ for result in results], budget.reserved_microusd

    names, reserved = play(tmp_path, Broken(), scene, cap=6000)
    assert names[0] == "ValueError"
    assert names.count("Completion") >= 2
    assert reserved == 0
