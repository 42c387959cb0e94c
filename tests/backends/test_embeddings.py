"""Requests other than a chat live the same life; embeddings are asked for, paid for, kept and read like answers."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import aiohttp
import numpy as np
import pytest

from synth import sending as module
from synth.admission.halt import Halt
from synth.backends.online import online
from synth.backends.practice.faults import NO_FAULTS, Faults
from synth.backends.practice.server import EMBEDDER, practice_server
from synth.backends.replay import ReplayFile, ReplayRun
from synth.errors import BudgetReached, Fatal, Rejected
from synth.money.budget import Budget, Caps
from synth.protocol.endpoint import Endpoint, Price
from synth.protocol.wording import Wording
from synth.sending import Sender
from synth.storage.store import Store
from synth.types import EMBEDDINGS, Message, Outcome, Planned
from tests.asked import Script, teacher_over, unit_of

CONTRACT = Path(__file__).parents[3] / "shared" / "contract" / "openai_subset.json"
COSTLY = Endpoint(model="e", base_url="https://api.example.com/v1", price=Price(input_usd=1000, output_usd=0))
TEXTS = ["猫が座る。", "ネコがすわる。", "a cat sits"]


def packed(*values):
    return base64.b64encode(np.array(values, "<f4").tobytes()).decode()


def reply(*embeddings, **more):
    data = [{"object": "embedding", "index": place, "embedding": one} for place, one in enumerate(embeddings)]
    usage = {"prompt_tokens": 7, "total_tokens": 7}
    return Outcome(200, json.dumps({"object": "list", "model": "e", "data": data, "usage": usage, **more}).encode())


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(module, "BACKOFF_S", 0.0)


def embedded(folder, backend, texts=TEXTS, **how):
    """The vectors that a unit gets on a fresh or existing store, and what the unit was charged."""

    async def main():
        async with teacher_over(folder, COSTLY, backend, **how) as asked:
            ask = unit_of(asked)
            vectors = await ask.embed(texts, teacher="main")
            return [vector.tolist() for vector in vectors], ask.unit.cost_microusd

    return asyncio.run(main())


def test_vectors_come_in_the_order_of_the_texts_and_are_bought_once(tmp_path):
    out_of_order = {
        "data": [{"index": 1, "embedding": [0.0, 2.0]}, {"index": 0, "embedding": packed(1, 0)}],
    }
    script = Script(reply(**out_of_order))
    assert embedded(tmp_path / "run", script, TEXTS[:2]) == ([[1.0, 0.0], [0.0, 2.0]], 7000)
    (request,) = script.sent
    assert request.path == EMBEDDINGS
    assert json.loads(request.body) == {"model": "e", "input": TEXTS[:2], "encoding_format": "base64"}
    again = Script(reply([9.0]))
    assert embedded(tmp_path / "run", again, TEXTS[:2]) == ([[1.0, 0.0], [0.0, 2.0]], 7000)
    earlier = ReplayRun(tmp_path / "run")
    assert embedded(tmp_path / "other", again, TEXTS[:2], earlier=[earlier])[0] == [[1.0, 0.0], [0.0, 2.0]]
    earlier.close()
    assert again.sent == []


def test_many_texts_go_in_several_requests(tmp_path):
    class Numbers:
        async def send(self, request):
            return reply(*([float(text)] for text in json.loads(request.body)["input"]))

    vectors, _ = embedded(tmp_path / "run", Numbers(), [str(number) for number in range(70)])
    assert vectors == [[float(number)] for number in range(70)]


@pytest.mark.parametrize(
    "data",
    [
        [],
        None,
        [{"index": 0, "embedding": [1.0]}, {"index": 2, "embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}],
        [{"index": 0, "embedding": []}],
        [{"index": 0, "embedding": "###"}],
        [{"index": 0, "embedding": packed(float("nan"))}],
        [{"index": 0, "embedding": ["one"]}],
        ["vector"],
    ],
)
def test_a_reply_without_usable_vectors_is_malformed_asked_for_once_more_and_paid_for(tmp_path, data):
    ledger = []
    good = reply([1.0, 0.0], [0.0, 1.0], [1.0, 1.0])
    vectors, cost = embedded(tmp_path / "run", Script(reply(data=data), good), ledger=ledger)
    assert vectors[1] == [0.0, 1.0]
    assert {line.failure: line.cost_microusd for line in ledger} == {"malformed": 7000, "ok": 7000}
    assert cost == 7000


def test_another_number_of_vectors_than_of_texts_is_refused(tmp_path):
    with pytest.raises(Rejected, match="2 vectors came for 3 texts") as caught:
        embedded(tmp_path / "run", Script(reply([1.0], [2.0])))
    assert caught.value.reason == "invalid_output"


def test_a_chat_completion_is_no_answer_to_a_request_for_vectors(tmp_path):
    chat = Outcome(200, json.dumps({"choices": [{"message": {"content": "1, 2"}, "finish_reason": "stop"}]}).encode())
    with pytest.raises(Fatal, match="has no embeddings at /embeddings"):
        embedded(tmp_path / "run", Script(chat))


def test_a_server_without_embeddings_is_told_in_a_sentence(tmp_path):
    with pytest.raises(Fatal, match=r"teacher 'main'\) has no embeddings at /embeddings .*Not Found"):
        embedded(tmp_path / "run", Script(Outcome(404, b'{"detail": "Not Found"}')))


def test_the_budget_holds_for_vectors_too(tmp_path):
    with pytest.raises(BudgetReached):
        embedded(tmp_path / "run", Script(reply([1.0])), ["x" * 5000], caps=Caps(usd=1))


def test_what_was_kept_just_before_a_kill_is_settled_as_vectors(tmp_path):
    async def killed():
        store = Store(tmp_path / "run")
        await store.open_run()
        sender = Sender("main", COSTLY, backends=[None], store=store, budget=Budget(Caps()), halt=Halt())
        request = Wording("main", COSTLY).request_to(EMBEDDINGS, {"input": ["x"], "encoding_format": "base64"})
        attempt = await store.begin([Planned(request, "stage", "0/00", 99_999)], sender.price)
        await store.keep(attempt, reply([1.0]))
        store.close()

    asyncio.run(killed())
    ledger, script = [], Script(reply([9.0]))
    assert embedded(tmp_path / "run", script, ["x"], ledger=ledger) == ([[1.0]], 7000)
    assert [(line.failure, line.cost_microusd) for line in ledger] == [("ok", 7000)]
    assert script.sent == []


def test_recorded_chats_hold_no_vectors(tmp_path):
    (tmp_path / "replies.jsonl").write_text('{"prompt": "x", "content": "y"}\n')
    with pytest.raises(Rejected, match="no reply was recorded"):
        embedded(tmp_path / "run", ReplayFile(tmp_path / "replies.jsonl"))


def over_http(folder, faults, texts, ledger=None, model=EMBEDDER):
    endpoint = Endpoint(model=model, base_url="practice:")

    async def main():
        async with (
            practice_server(faults) as base_url,
            online(endpoint, base_url) as backend,
            teacher_over(folder, endpoint, backend, ledger=ledger) as asked,
        ):
            return await unit_of(asked).embed(texts, teacher="main")

    return asyncio.run(main())


def test_the_practice_teacher_finds_other_spellings_alike_and_other_texts_not(tmp_path):
    vectors = over_http(tmp_path / "run", NO_FAULTS, ["ＡＢＣを習う子供", "abcを習う子供", "東京は今日も雨だ"])
    alike, other = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert alike == pytest.approx(1.0, abs=1e-6)
    assert other < 0.4


def test_vectors_arrive_in_spite_of_faults_on_the_way(tmp_path):
    ledger = []
    faulty = Faults(rate_limit=0.4, server_error=0.4)
    texts = [f"{number}匹の猫" for number in range(300)]
    vectors = over_http(tmp_path / "faulty", faulty, texts, ledger)
    straight = over_http(tmp_path / "straight", NO_FAULTS, texts)
    assert np.array_equal(np.stack(vectors), np.stack(straight))
    assert {line.failure for line in ledger} == {"ok", "rate", "transient"}


def test_the_model_for_chats_gives_no_vectors(tmp_path):
    with pytest.raises(Fatal, match="practice-embedding-1"):
        over_http(tmp_path / "run", NO_FAULTS, TEXTS, model="practice-1")


def post(body):
    async def main():
        async with practice_server(NO_FAULTS) as base_url, aiohttp.ClientSession(base_url + "/") as session:
            response = await session.post("embeddings", json=body)
            return response.status, await response.json()

    return asyncio.run(main())


@pytest.mark.skipif(not CONTRACT.exists(), reason=f"OpenAI's description is not at {CONTRACT}")
def test_requests_and_replies_fit_openais_description():
    jsonschema = pytest.importorskip("jsonschema")
    contract = json.loads(CONTRACT.read_text(encoding="utf-8"))

    def check(value, name):
        schema = {"$ref": f"#/components/schemas/{name}", "components": contract["components"]}
        jsonschema.Draft202012Validator(schema).validate(value)

    endpoint = Endpoint(model=EMBEDDER, base_url="practice:")
    wording = Wording("main", endpoint)
    body = json.loads(wording.request_to(EMBEDDINGS, {"input": TEXTS, "encoding_format": "base64"}).body)
    check(body, "CreateEmbeddingRequest")
    status, document = post({**body, "encoding_format": "float"})
    assert status == 200
    check(document, "CreateEmbeddingResponse")
    status, as_text = post(body)
    for one, other in zip(document["data"], as_text["data"], strict=True):
        assert np.allclose(np.frombuffer(base64.b64decode(other["embedding"]), "<f4"), one["embedding"])


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"input": []}, "input"),
        ({"input": [""]}, "input"),
        ({"input": ["x"] * 2049}, "input"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"dimensions": 7}, "dimensions"),
        ({"model": "practice-1"}, "model"),
    ],
)
def test_a_wrong_request_for_vectors_is_refused_by_the_name_of_what_is_wrong(changed, param):
    status, document = post({"model": EMBEDDER, "input": TEXTS} | changed)
    assert status in (400, 404)
    assert document["error"]["param"] == param


def test_the_key_of_a_chat_stays_what_it_was_and_a_path_makes_another():
    wording = Wording("main", COSTLY)
    chat = wording.request([Message(role="user", content="x")], 0)
    assert chat.key.hex() == "6528b50125daa9ec8f0708b028f3fe29a365bcc63631a18ead26e4e3af4f3b7d"
    fields = {"input": ["x"]}
    assert wording.request_to("/embeddings", fields).key != wording.request_to("/pooling", fields).key
