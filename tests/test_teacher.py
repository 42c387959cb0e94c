"""One request's life: bought once, journalled before it is sent, stored before it is read."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import pytest

from synth import sending as module
from synth.admission import health
from synth.admission.halt import Halt
from synth.ask import UnitAsk
from synth.errors import BudgetReached, Fatal, FolderError, Rejected, Transient
from synth.money.budget import Budget, Caps
from synth.money.prices import tariff
from synth.protocol.endpoint import Endpoint, Limits, Price, Sampling
from synth.recipes.templates import Templates
from synth.scorers.judge import Verdict
from synth.storage.database import connect
from synth.storage.found import Stored
from synth.storage.store import Store
from synth.teacher import Teacher
from synth.types import Message, Outcome
from synth.unit import Unit

PROMPT = [Message(role="user", content="一足す一は？")]
COSTLY = Endpoint(
    model="m",
    base_url="https://api.example.com/v1",
    key_variable="MY_KEY",
    sampling=Sampling(max_tokens=100, seed=5),
    price=Price(input_usd=1, output_usd=10),
)


def ok(text="二です。", usage=True, finish="stop"):
    body = {"model": "served", "choices": [{"message": {"content": text}, "finish_reason": finish}]}
    if usage:
        body["usage"] = {"prompt_tokens": 10, "completion_tokens": 20}
    return Outcome(200, json.dumps(body).encode())


class Script:
    """A backend that answers from a list and notes what was sent, and what was journalled by then."""

    def __init__(self, *outcomes, folder=None):
        self.outcomes = list(outcomes)
        self.sent = []
        self.journalled = []
        self.folder = folder

    async def send(self, request):
        self.sent.append(request)
        if self.folder is not None:
            connection = connect(self.folder / "run.db")
            self.journalled.append(
                connection.execute(
                    "SELECT count(*) FROM attempt WHERE id NOT IN (SELECT attempt FROM settled)"
                ).fetchone()[0]
            )
            connection.close()
        await asyncio.sleep(0)
        return self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]


def play(tmp_path, script, scene, *, cap=None, endpoint=COSTLY):
    """Run a scene with a teacher on a fresh or existing store."""

    async def main():
        store = Store(tmp_path / "run")
        try:
            await store.open_run()
            budget, halt = Budget(Caps() if cap is None else Caps(usd=cap / 1e6), store.spent()), Halt()
            asked = Teacher("main", endpoint, backends=[script], store=store, budget=budget, halt=halt)
            asked.settle_leftovers()
            return await scene(asked, store, budget, halt)
        finally:
            store.close()

    return asyncio.run(main())


def unit():
    return Unit("stage", "00000000/00", 0, 0)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(module, "BACKOFF_S", 0.0)


def test_a_stored_reply_is_not_sent_again_even_by_another_process(tmp_path):
    async def scene(asked, store, budget, halt):
        return (await asked.complete(asked.request(PROMPT, 0), unit())).text, budget.spent_microusd

    first, second = Script(ok(), folder=tmp_path / "run"), Script(ok("other"))
    assert play(tmp_path, first, scene) == ("二です。", 210)
    assert first.journalled == [1]
    assert play(tmp_path, second, scene) == ("二です。", 210)
    assert second.sent == []


def test_what_asks_the_same_as_a_parked_unit_is_parked_with_it(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)

    async def scene(asked, store, budget, halt):
        request = asked.request(PROMPT, 0)
        twins = await asyncio.gather(*(asked.complete(request, unit()) for _ in range(2)), return_exceptions=True)
        with pytest.raises(Transient) as late:
            await asked.complete(request, unit())
        return [(error.failure, error.detail) for error in (*twins, late.value)]

    script = Script(Outcome(503, b"{}"), ok())
    assert len({*play(tmp_path, script, scene)}) == 1
    assert len(script.sent) == 1


def test_a_reply_that_was_taken_over_just_before_a_kill_costs_nothing(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    async def keep(store, attempt, outcome):
        await kept(store, attempt, outcome)
        raise Killed

    async def scene(asked, store, budget, halt):
        asked._earlier = [SimpleNamespace(find=lambda key: [Stored(1, ok())], forgiven=0)]
        await asked.complete(asked.request(PROMPT, 0), unit())

    async def later(asked, store, budget, halt):
        return budget.spent_microusd, [(line.failure, line.cost_microusd) for line in store.ledger()]

    kept = Store.keep
    with monkeypatch.context() as patched:
        patched.setattr(Store, "keep", keep)
        with pytest.raises(Killed):
            play(tmp_path, Script(ok()), scene)
    assert play(tmp_path, Script(ok()), later) == (0, [("reused", 0)])


def test_a_request_that_waits_takes_little_more_memory_than_its_body_is_long(tmp_path):
    async def scene(asked, store, budget, halt):
        tracemalloc.start()
        try:
            waiting = [asked.request(PROMPT, draw) for draw in range(100)]
            return tracemalloc.get_traced_memory()[0] / len(waiting), len(waiting[0].body)
        finally:
            tracemalloc.stop()

    taken, length = play(tmp_path, Script(), scene)
    assert length < 500
    assert taken < length + 1500


def test_two_askers_of_the_same_request_buy_it_once(tmp_path):
    script = Script(ok())

    async def scene(asked, store, budget, halt):
        request = asked.request(PROMPT, 0)
        return await asyncio.gather(*(asked.complete(request, unit()) for _ in range(5)))

    assert len({completion.text for completion in play(tmp_path, script, scene)}) == 1
    assert len(script.sent) == 1


def test_draw_model_sampling_and_salt_are_part_of_the_key_and_host_is_not():
    def key(draw=0, salt="", **changes):
        endpoint = COSTLY.model_copy(update=changes)
        asked = Teacher("main", endpoint, backends=[None], store=None, budget=Budget(None), halt=Halt(), salt=salt)
        return asked.request(PROMPT, draw).key

    assert key() == key(base_url="http://elsewhere/v1", key_variable=None)
    assert len({key(), key(draw=1), key(salt="x"), key(model="n"), key(sampling=Sampling(max_tokens=101, seed=5))}) == 5


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


def test_a_rate_limit_is_waited_out(tmp_path):
    script = Script(*[Outcome(429, b"{}", {"retry-after-ms": "1"})] * 8, ok())

    async def scene(asked, store, budget, halt):
        return (await asked.complete(asked.request(PROMPT, 0), unit())).text

    assert play(tmp_path, script, scene) == "二です。"
    assert len(script.sent) == 9


ROOMLESS = Outcome(429, b'{"error": {"message": "Resource Unavailable", "code": "resource_unavailable"}}')


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


def test_a_schema_is_asked_again_with_the_error_twice_and_then_anew_twice(tmp_path):
    def scene_for(script):
        async def scene(asked, store, budget, halt):
            ask = UnitAsk(unit(), {"main": asked}, Templates(Path()), "ja", 0)
            return await ask.schema(Verdict, PROMPT, teacher="main")

        return play(tmp_path / str(id(script)), script, scene)

    good = '```json\n{"reason": "正しい", "score": 5}\n```'
    mended = Script(ok("はい"), ok('{"reason": "x", "score": 9}'), ok(good))
    assert scene_for(mended).score == 5
    again = json.loads(mended.sent[2].body)["messages"]
    assert "score" in again[-1]["content"]
    assert len(again) == 5
    hopeless = Script(ok("はい"))
    with pytest.raises(Rejected, match="invalid_output"):
        scene_for(hopeless)
    assert len(hopeless.sent) == 5
    assert [len(json.loads(request.body)["messages"]) for request in hopeless.sent] == [1, 3, 5, 1, 1]
    assert len({request.key for request in hopeless.sent}) == 5
    cut = Script(ok('{"reason": "', finish="length"))
    with pytest.raises(Rejected, match="truncated"):
        scene_for(cut)
    assert [json.loads(request.body)["max_tokens"] for request in cut.sent] == [100, 200]


def test_replies_are_on_disk_when_the_process_is_killed(tmp_path):
    code = f"""
import asyncio, os
from pathlib import Path
from synth.storage.store import Store
from synth.types import Outcome, Planned, Request
async def main():
    store = Store(Path({str(tmp_path / "run")!r}))
    await store.open_run()
    for number in range(3):
        request = Request(bytes([number]) * 32, "main", "m", b"{{}}", 0, 1, 1)
        attempt = await store.begin([Planned(request, "s", "u", 7)])
        if number < 2:
            await store.keep(attempt, Outcome(200, "日本語".encode()))
    os.kill(os.getpid(), {int(signal.SIGKILL)})
asyncio.run(main())
"""
    root = str(Path(module.__file__).parent.parent)
    killed = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": root}, check=False)
    assert killed.returncode == -signal.SIGKILL

    async def reopen():
        store = Store(tmp_path / "run")
        try:
            lost = await store.open_run()
            kept = [[one.outcome.body.decode() for one in store.find(bytes([number]) * 32)] for number in range(3)]
            return lost, kept, store.spent().microusd
        finally:
            store.close()

    assert asyncio.run(reopen()) == (1, [["日本語"], ["日本語"], []], 21)


def test_a_folder_is_held_by_one(tmp_path):
    store = Store(tmp_path / "run")
    try:
        with pytest.raises(FolderError, match="in use by process"):
            Store(tmp_path / "run")
    finally:
        store.close()
    Store(tmp_path / "run").close()


def test_foreign_and_damaged_files_are_refused(tmp_path):
    import sqlite3

    (tmp_path / "a").mkdir()
    connection = sqlite3.connect(tmp_path / "a" / "run.db")
    connection.execute("CREATE TABLE x (y)")
    connection.close()
    with pytest.raises(FolderError, match="not a synth run"):
        connect(tmp_path / "a" / "run.db")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "run.db").write_bytes(b"SQLite format 3\0" + b"garbage" * 1000)
    with pytest.raises(FolderError):
        connect(tmp_path / "b" / "run.db")


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
