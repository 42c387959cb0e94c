"""An earlier run that is given: what its folder would not ask again is not asked here either."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3

import pytest

from synth import pipeline
from synth import sending as module
from synth.admission import health
from synth.backends.replay import ReplayRun
from synth.errors import FolderError, Rejected, StoreStopped, Transient
from synth.protocol.endpoint import Endpoint, Price
from synth.recipes.loading import load
from synth.results.result import Options
from synth.storage.database import PAGE_BYTES, connect, read_spent
from synth.storage.emergency import Emergency
from synth.types import Message, Outcome
from synth.unit import Unit
from tests.asked import Script, teacher_over
from tests.faults.played import PlayedTeacher, Plays, refuses, says

ENDPOINT = Endpoint(model="m", base_url="https://api.example.com/v1", price=Price(input_usd=1, output_usd=2))
LOOP = "はい、わかりました。" * 200


def said(content: str, finish: str = "stop", **more: object) -> Outcome:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish, **more}
    usage = {"prompt_tokens": 10, "completion_tokens": 20}
    return Outcome(200, json.dumps({"model": "served", "choices": [choice], "usage": usage}).encode())


REPLIES = {
    "an answer": said("二です。"),
    "a refusal": said("", "content_filter"),
    "a thought that met the cap": said("", "length"),
    "a loop that the server cut": said(LOOP, "repetition"),
    "a request that is no good": Outcome(400, b'{"error": {"message": "prompt too long"}}'),
    "no room": Outcome(503, b"{}"),
}


def asked(folder, script, *, given=None, pin="", forgive=False):
    """What asking comes to, and how often that took a request."""

    async def main():
        earlier = [ReplayRun(given)] if given else []
        try:
            endpoint = ENDPOINT.model_copy(update={"pin_model": pin})
            async with teacher_over(folder, endpoint, script, earlier=earlier) as teacher:
                if forgive:
                    await teacher._store.forgive()
                request = teacher.request([Message(role="user", content="一足す一は？")], 0)
                try:
                    return (await teacher.complete(request, Unit("stage", "0/00", 0, 0))).text, len(script.sent)
                except (Rejected, Transient) as error:
                    return (type(error), str(error)), len(script.sent)
        finally:
            for run in earlier:
                run.close()

    return asyncio.run(main())


def test_what_is_taken_over_has_the_cost_it_was_bought_at_and_nothing_is_set_aside_for_it(tmp_path):
    async def cost(folder, price, given=None):
        earlier = [ReplayRun(given)] if given else []
        endpoint, unit = ENDPOINT.model_copy(update={"price": price}), Unit("stage", "0/00", 0, 0)
        async with teacher_over(folder, endpoint, Script(said("二です。")), earlier=earlier) as teacher:
            await teacher.complete(teacher.request([Message(role="user", content="一足す一は？")], 0), unit)
        for run in earlier:
            run.close()
        return unit.cost_microusd

    dear, cheap = Price(input_usd=10, output_usd=20), Price(input_usd=1, output_usd=2)
    bought = asyncio.run(cost(tmp_path / "first", dear))
    assert bought == 500
    assert asyncio.run(cost(tmp_path / "other", cheap, tmp_path / "first")) == bought
    assert asyncio.run(cost(tmp_path / "other", cheap)) == bought
    connection = sqlite3.connect(tmp_path / "other" / "run.db")
    connection.execute("DELETE FROM settled")
    connection.execute("DELETE FROM reply")  # as a kill would leave it
    assert read_spent(connection)[:2] == (0, 0)
    connection.close()


def killed_before_settling(folder):
    connection = sqlite3.connect(folder / "run.db")
    connection.execute("DELETE FROM settled")
    connection.commit()
    connection.close()


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    monkeypatch.setattr(module, "BACKOFF_S", 0.0)


@pytest.mark.parametrize("is_killed", [False, True], ids=["settled", "killed before it was settled"])
@pytest.mark.parametrize("reply", REPLIES)
def test_what_the_same_folder_would_not_ask_again_is_not_asked_in_another_one(reply, is_killed, tmp_path):
    asked(tmp_path / "first", Script(REPLIES[reply]))
    if is_killed:
        killed_before_settling(tmp_path / "first")
    other = asked(tmp_path / "other", Script(said("another")), given=tmp_path / "first")
    assert asked(tmp_path / "first", Script(said("another"))) == other
    assert other[1] == (reply == "no room")
    assert asked(tmp_path / "other", Script(said("a third"))) == (other[0], 0), "it is this folder's own now"


def test_a_poisonous_request_stays_one(tmp_path, monkeypatch):
    async def judged(self, *_):
        return "poison", Transient("poison", "HTTP 500 every time")

    with monkeypatch.context() as patched:
        patched.setattr(health.Health, "judged", judged)
        asked(tmp_path / "first", Script(Outcome(500, b"{}")))
    same = asked(tmp_path / "first", Script(said("二です。")))
    assert same == ((Transient, "poison: HTTP 500 every time"), 0)
    assert asked(tmp_path / "other", Script(said("二です。")), given=tmp_path / "first") == same
    asked(tmp_path / "first", Script(Outcome(503, b"{}")), forgive=True)
    assert asked(tmp_path / "other", Script(said("二です。")), given=tmp_path / "first") == ("二です。", 1)


def test_a_reply_of_another_model_than_the_pinned_one_is_not_taken_over(tmp_path):
    asked(tmp_path / "first", Script(said("二です。")))
    own = Script(Outcome(200, said("三です。").body.replace(b"served", b"wanted")))
    assert asked(tmp_path / "other", own, given=tmp_path / "first", pin="wanted") == ("三です。", 1)
    assert asked(tmp_path / "third", own, given=tmp_path / "first", pin="served") == ("二です。", 1)


def test_what_a_full_disk_sent_elsewhere_is_taken_over_and_nothing_is_written_there(tmp_path):
    asked(tmp_path / "first", Script(said("二です。")))
    connection = sqlite3.connect(tmp_path / "first" / "run.db", isolation_level=None)
    identity = connection.execute("SELECT value FROM meta WHERE name = 'identity'").fetchone()[0]
    (row,) = connection.execute("SELECT * FROM reply").fetchall()
    connection.execute("DELETE FROM reply")
    connection.execute("DELETE FROM settled")
    connection.close()
    Emergency(tmp_path / "first" / "run.db", identity).keep([("reply", (*row[:-1], said("二です。").body))])
    before = {path.name: path.read_bytes() for path in (tmp_path / "first").iterdir()}
    assert asked(tmp_path / "other", Script(said("another")), given=tmp_path / "first") == ("二です。", 0)
    assert {path.name: path.read_bytes() for path in (tmp_path / "first").iterdir()} == before
    (tmp_path / "first" / "run.emergency").write_text('["synth", "0123456789abcdef"]\n')
    with pytest.raises(FolderError, match="holds replies of another run"):
        asked(tmp_path / "third", Script(said("another")), given=tmp_path / "first")


@pytest.mark.parametrize("damaged", ["every page but the first", "a reply's headers"])
def test_an_earlier_run_that_is_damaged_stops_the_run_and_nothing_of_it_is_bought_again(damaged, tmp_path):
    asked(tmp_path / "first", Script(said("二です。")))
    path = tmp_path / "first" / "run.db"
    if damaged == "a reply's headers":
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("UPDATE reply SET headers = '{'")
        connection.close()
    else:
        content = path.read_bytes()
        path.write_bytes(content[:PAGE_BYTES] + bytes([0xFF]) * (len(content) - PAGE_BYTES))
    script = Script(said("another"))
    with pytest.raises((FolderError, StoreStopped), match=r"first/run\.db is damaged.*synth doctor --repair") as error:
        asked(tmp_path / "other", script, given=tmp_path / "first")
    assert (error.value.exit_code, script.sent) == (5, [])


def test_a_run_that_was_given_an_earlier_one_has_it_when_it_goes_on_and_when_it_is_tried_again(tmp_path, monkeypatch):
    played = Plays(tmp_path, monkeypatch)

    def bad(prompt, _):
        return refuses(400, "prompt too long") if prompt == "旅行" else says("はい。")

    questions = ["買い物", "旅行", "料理", "散歩"]
    played(PlayedTeacher(bad), questions)
    (tmp_path / "run").rename(tmp_path / "first")
    good = PlayedTeacher(lambda *_: says("はい。"))
    played(good, questions, limit=1, reuse=(tmp_path / "first",))
    assert (played(good, questions).rejected()[0][0], good.sent) == ("permanent", [])
    assert (len(played(good, questions, retry=True).rows()), good.sent) == (4, ["旅行"])
    shutil.rmtree(tmp_path / "first")
    said = []
    assert len(played(good, [*questions, "水泳"], say=said.append).rows()) == 5
    assert good.sent == ["旅行", "水泳"]
    assert said == [
        f"{tmp_path}/first, which was given with --reuse, is gone: what was not yet taken from there is asked anew."
    ]


def test_what_failed_for_good_in_an_earlier_run_is_tried_again_though_nothing_was_asked_since(tmp_path, monkeypatch):
    played = Plays(tmp_path, monkeypatch)
    empty = PlayedTeacher(lambda prompt, _: says("" if prompt == "旅行" else "はい。"))
    played(empty, ["買い物", "旅行"])
    (tmp_path / "run").rename(tmp_path / "first")
    good = PlayedTeacher(lambda *_: says("はい。"))
    assert played(good, ["旅行"], reuse=(tmp_path / "first",)).result.manifest.stages[0].parked == 1
    assert (len(played(good, ["旅行"], retry=True).rows()), good.sent) == (1, ["旅行"])


RECIPE = """\
name: pinned
language: ja
seeds: {kind: jsonl, path: seeds.jsonl}
teachers: {main: {model: m, base_url: "replay:replies.jsonl"}}
stages: [{name: answer, generator: {kind: answer, prompt: ask.md.j2}}]
"""


def test_a_refusal_that_was_taken_over_fits_every_model_that_is_pinned_later(tmp_path):
    replies = {"買い物": said("野菜を買いました。"), "旅行": said("", "content_filter")}
    (tmp_path / "seeds.jsonl").write_text("".join(json.dumps({"q": one}) + "\n" for one in replies))
    lines = (json.dumps({"prompt": one, "response": json.loads(reply.body)}) for one, reply in replies.items())
    (tmp_path / "replies.jsonl").write_text("\n".join(lines))
    (tmp_path / "ask.md.j2").write_text("{{ q }}")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE)
    asyncio.run(pipeline.run(load(tmp_path), Options(tmp_path / "first")))
    (tmp_path / "replies.jsonl").write_text("")
    given = Options(tmp_path / "other", reuse=(tmp_path / "first",))
    made = asyncio.run(pipeline.run(load(tmp_path), given)).manifest
    assert (made.row_count, made.rejected) == (1, {"teacher_refused": 1})
    recipe.write_text(RECIPE.replace("model: m,", "model: m, pin_model: served,"))
    assert asyncio.run(pipeline.run(load(tmp_path), given)).manifest.row_count == 1
    connection = connect(tmp_path / "other" / "run.db")
    assert connection.execute("SELECT failure, count(*) FROM settled GROUP BY 1").fetchall() == [("reused", 2)]
    connection.close()
