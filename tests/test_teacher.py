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
from synth.admission.halt import Halt
from synth.ask import UnitAsk
from synth.errors import FolderError, Rejected, Transient
from synth.money.budget import Budget, Caps
from synth.protocol.endpoint import Endpoint, Price, Sampling
from synth.protocol.wording import Wording
from synth.recipes.templates import Templates
from synth.scorers.judge import Verdict
from synth.sending import Sender
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
            asked = Teacher(Sender("main", endpoint, backends=[script], store=store, budget=budget, halt=halt))
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
        return Wording("main", endpoint, salt).request(PROMPT, draw).key

    assert key() == key(base_url="http://elsewhere/v1", key_variable=None)
    assert len({key(), key(draw=1), key(salt="x"), key(model="n"), key(sampling=Sampling(max_tokens=101, seed=5))}) == 5


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
