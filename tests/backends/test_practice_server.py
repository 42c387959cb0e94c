"""The practice teacher as OpenAI's clients see it, held against OpenAI's own description."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Literal

import aiohttp
import pytest
from pydantic import BaseModel, Field

from synth.backends.practice.faults import NO_FAULTS, USUAL, Faults
from synth.backends.practice.questions import TASKS
from synth.backends.practice.reading import read
from synth.backends.practice.server import practice_server
from synth.backends.practice.vocabulary import romaji
from synth.protocol.endpoint import Endpoint, Sampling
from synth.protocol.wording import Wording
from synth.schema import response_format
from synth.scorers.judge import Verdict
from synth.types import Message

CONTRACT = Path(__file__).parents[3] / "shared" / "contract" / "openai_subset.json"
QUESTION = "バスが大阪市を出て、時速60kmで3時間走りました。進んだ道のりは何kmですか。"


def chat(body: dict, faults: Faults = NO_FAULTS, times: int = 1, api_key: str | None = None) -> list[tuple[int, dict]]:
    """Send the same body so many times; status and document of each reply (0 for a dropped connection)."""

    async def send() -> list[tuple[int, dict]]:
        replies = []
        async with practice_server(faults, api_key=api_key) as base_url, aiohttp.ClientSession() as session:
            for _ in range(times):
                try:
                    async with session.post(f"{base_url}/chat/completions", json=body) as response:
                        replies.append((response.status, await response.json()))
                except aiohttp.ClientError:
                    replies.append((0, {}))
        return replies

    return asyncio.run(send())


def ask(question: str, **more) -> dict:
    return {"model": "practice-1", "messages": [{"role": "user", "content": question}], **more}


def test_the_same_request_gets_the_same_answer_and_another_seed_another():
    faults = Faults(wrong_answer=0.5)
    first, again = chat(ask(QUESTION, seed=1), faults)[0], chat(ask(QUESTION, seed=1), faults)[0]
    assert first == again
    contents = {chat(ask(QUESTION, seed=seed), faults)[0][1]["choices"][0]["message"]["content"] for seed in range(12)}
    assert len(contents) > 1


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (QUESTION, "180km"),
        ("税抜き1999円の弁当に8%の消費税がかかります。1円未満を切り捨てると、税込みで何円ですか。", "2158円"),
        (
            "倉庫に花の苗が60株ありました。１１株届き、７株を出荷しました。彩さんが数えると、何株残っていますか。",
            "64株",
        ),
        ("西暦2024年2月29日は何曜日ですか。", "木曜日"),
        ("On which day of the week does 2000-1-1 fall?", "Saturday"),
        ("A course starts on 2024-2-20 and ends 30 days later. Give the last day as YYYY-MM-DD.", "2024-03-21"),
        ("仙台市の書店は、健太さんが平成11年に開きました。西暦では何年ですか。", "1999年"),
        ("恵さんは令和元年に金沢市で生まれました。生まれた年を西暦で答えてください。", "2019年"),
        ("恵さんは平成31年に金沢市で生まれました。生まれた年を西暦で答えてください。", "2019年"),
        ("恵さんは西暦2019年4月30日に生まれました。生まれた年を元号で答えてください。", "平成31年"),
        ("恵さんは西暦2019年5月1日に生まれました。生まれた年を元号で答えてください。", "令和元年"),
        ("恵さんは西暦2020年1月1日に生まれました。生まれた年を元号で答えてください。", "令和2年"),
        ("恵さんは西暦1989年1月7日に生まれました。生まれた年を元号で答えてください。", "昭和64年"),
        ("恵さんは西暦1989年1月8日に生まれました。生まれた年を元号で答えてください。", "平成元年"),
        ("恵さんは西暦1926年12月25日に生まれました。生まれた年を元号で答えてください。", "昭和元年"),
        ("恵さんは西暦1926年12月24日に生まれました。生まれた年を元号で答えてください。", ""),
        ("{k} kg", ""),
    ],
)
def test_exercises_are_solved_right(question, answer):
    found = read(question)
    assert (found.solution.answer if found else "") == answer


@pytest.mark.parametrize(
    ("kana", "latin"),
    [
        ("がっこう", "gakkou"),
        ("しんぶん", "shinbun"),
        ("じてんしゃ", "jitensha"),
        ("りょこう", "ryokou"),
        ("ざっし", "zasshi"),
    ],
)
def test_kana_become_hepburn_letters(kana, latin):
    assert romaji(kana) == latin


def test_every_wording_reads_back_as_its_own_task():
    from random import Random

    rng = Random(3)
    for task in TASKS:
        for _ in range(20):
            found = read(f"問題: {task.write(rng)}\n")
            assert found is not None
            assert found.task is task


COUNTED = {
    "ノート": "冊",
    "りんご": "個",
    "切手": "枚",
    "ろうそく": "本",
    "鉛筆": "本",
    "消しゴム": "個",
    "絵はがき": "枚",
    "皿": "枚",
    "花の苗": "株",
    "手ぬぐい": "枚",
}


def test_japanese_things_have_their_counter_and_eras_their_first_year():
    from random import Random

    rng = Random(4)
    seen = set()
    for task in [task for task in TASKS if task.language == "ja"]:
        for _ in range(400):
            written = task.write(rng)
            told = written + read(written).solution.steps
            assert not re.search(r"(昭和|平成|令和)1年", told)
            things = [thing for thing in COUNTED if thing in told]
            counters = set(re.findall(r"(?:\d|何)([冊個枚本株])", told))
            if counters:
                assert counters == {COUNTED[thing] for thing in things}, told
                seen |= set(things)
    assert seen == COUNTED.keys()


def test_food_has_the_lower_tax_and_nobody_is_named_twice():
    from random import Random

    rng = Random(5)
    tax, era = (next(t for t in TASKS if (t.name, t.language) == one) for one in (("tax", "ja"), ("era", "en")))
    for _ in range(200):
        question = tax.write(rng)
        assert ("8%" in question) == any(food in question for food in ("弁当", "緑茶", "和菓子", "果物", "牛肉"))
        name, other = re.match(r"(\w+) found a letter .* signed by (\w+)\.", era.write(rng)).groups()
        assert name != other


def test_transport_faults_come_at_their_rates_and_a_retry_gets_through():
    faults = Faults(rate_limit=0.3, server_error=0.2, dropped=0.1)
    first = [chat(ask(QUESTION, seed=seed), faults, times=4) for seed in range(40)]
    failed = sum(replies[0][0] != 200 for replies in first)
    assert 12 <= failed <= 36
    assert all(any(status == 200 for status, _ in replies) for replies in first)
    assert {status for replies in first for status, _ in replies} == {0, 200, 429, 500}


def test_max_tokens_cuts_the_answer():
    ((_, document),) = chat(ask(QUESTION, max_tokens=5))
    assert document["choices"][0]["finish_reason"] == "length"
    assert document["usage"]["completion_tokens"] <= 5


@pytest.mark.parametrize(
    ("question", "stop", "kept"),
    [
        (QUESTION, "答え", "進むので、60×3を計算します。"),
        (QUESTION, ["END", "を計算", "求めます"], "道のりは速さ×時間で"),
        (QUESTION, ["END", ""], "答え: 180km"),
        ("Kenji cycles away from Leeds at a steady 20 km per hour for 3 hours. How far is that, in kilometres?",
         ["\n\n", "A:"], "that is 20 x 3."),
    ],
)  # fmt: skip
def test_stop_ends_the_answer_before_the_first_sequence(question, stop, kept):
    ((status, document),) = chat(ask(question, stop=stop))
    choice = document["choices"][0]
    assert (status, choice["finish_reason"]) == (200, "stop")
    assert choice["message"]["content"].rstrip().endswith(kept)


def test_a_stop_sequence_counts_only_before_the_cap():
    ((_, whole),) = chat(ask(QUESTION, max_tokens=5, stop=["答え"]))
    assert whole["choices"][0]["finish_reason"] == "length"
    ((_, stopped),) = chat(ask(QUESTION, max_tokens=60, stop=["速さ"]))
    assert (stopped["choices"][0]["finish_reason"], stopped["usage"]["completion_tokens"]) == ("stop", 4)


@pytest.mark.parametrize("question", [QUESTION, "俳句を一つ作ってください。", "Write a haiku."])
def test_a_response_format_gets_json_that_fits(question):
    class Place(BaseModel):
        kind: Literal["town", "river"]
        size: int = Field(ge=3)

    class Told(BaseModel):
        told: str
        places: list[Place]
        main: Place
        inner: Told | None

    plain = chat(ask(question))[0][1]["choices"][0]["message"]["content"]
    ((_, document),) = chat(ask(question, response_format=response_format(Told, "json_schema")))
    told = Told.model_validate_json(document["choices"][0]["message"]["content"])
    assert (told.told, told.main.size) == (plain, 3)
    ((_, document),) = chat(ask(f"{question} (JSON)", response_format={"type": "json_object"}))
    assert json.loads(document["choices"][0]["message"]["content"]) == {"answer": plain}
    ((_, document),) = chat(ask(question, response_format={"type": "text"}))
    assert document["choices"][0]["message"]["content"] == plain


@pytest.mark.parametrize(
    ("form", "param", "code"),
    [
        ({"type": "xml"}, "response_format.type", None),
        ({}, "response_format.type", "missing_required_parameter"),
        ({"type": "json_schema"}, "response_format.json_schema", "missing_required_parameter"),
        ({"type": "json_schema", "json_schema": {"schema": {}}}, "response_format.json_schema.name", "missing_required_parameter"),
        ({"type": "json_schema", "json_schema": {"name": "x"}}, "response_format.json_schema.schema", "missing_required_parameter"),
        ({"type": "json_schema", "json_schema": {"name": "答え", "schema": {}}}, "response_format.json_schema.name", None),
        ({"type": "json_schema", "json_schema": {"name": "x", "schema": "{}"}}, "response_format.json_schema.schema", None),
        ({"type": "json_object"}, "messages", None),
    ],
)  # fmt: skip
def test_a_response_format_that_openai_refuses_is_a_400_in_its_form(form, param, code):
    ((status, document),) = chat(ask(QUESTION, response_format=form))
    assert (status, document["error"]["type"]) == (400, "invalid_request_error")
    assert (document["error"]["param"], document["error"]["code"]) == (param, code)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"model": "gpt-nonesuch", "messages": [{"role": "user", "content": "x"}]}, 404, "model_not_found"),
        ({"model": "practice-1", "messages": []}, 400, None),
        (
            {"model": "practice-1", "messages": [{"role": "user", "content": "x"}], "tools": [{}]},
            400,
            "unsupported_parameter",
        ),
    ],
)
def test_a_bad_request_gets_openais_error_shape(body, status, code):
    ((got, document),) = chat(body)
    assert got == status
    assert document["error"]["code"] == code
    assert set(document["error"]) == {"message", "type", "param", "code"}


def test_the_official_client_works():
    openai = pytest.importorskip("openai")

    async def talk() -> None:
        async with practice_server(NO_FAULTS, api_key="sk-right") as base_url:
            async with openai.AsyncOpenAI(base_url=base_url, api_key="sk-right", max_retries=0) as client:
                assert [model.id async for model in client.models.list()] == [
                    "practice-1",
                    "practice-embedding-1",
                    "practice-reward-1",
                ]
                messages = [{"role": "user", "content": QUESTION}]
                said = await client.chat.completions.create(model="practice-1", messages=messages)
                assert "180km" in said.choices[0].message.content
                graded = await client.chat.completions.create(
                    model="practice-1",
                    messages=[
                        {"role": "user", "content": f"<question>{QUESTION}</question><answer>答え: 180km</answer>"}
                    ],
                    response_format=response_format(Verdict, "json_schema"),
                )
                assert json.loads(graded.choices[0].message.content)["score"] >= 4
                with pytest.raises(openai.NotFoundError):
                    await client.chat.completions.create(model="nonesuch", messages=messages)
            async with openai.AsyncOpenAI(base_url=base_url, api_key="sk-wrong", max_retries=0) as client:
                with pytest.raises(openai.AuthenticationError):
                    await client.models.list()

    asyncio.run(talk())


@pytest.mark.skipif(not CONTRACT.exists(), reason=f"OpenAI's description is not at {CONTRACT}")
def test_requests_and_replies_fit_openais_description():
    jsonschema = pytest.importorskip("jsonschema")
    contract = json.loads(CONTRACT.read_text(encoding="utf-8"))

    def check(value: object, name: str) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": contract["components"]}
        jsonschema.Draft202012Validator(schema).validate(value)

    endpoint = Endpoint(
        model="practice-1", base_url="practice:", sampling=Sampling(temperature=0.7, top_p=0.9, seed=1, stop=["END"])
    )
    wording = Wording("main", endpoint)
    messages = [Message(role="system", content="簡潔に。JSONなら一つだけ。"), Message(role="user", content=QUESTION)]
    for shape in (None, response_format(Verdict, "json_schema"), response_format(Verdict, "json_object")):
        body = json.loads(wording.request(messages, 2, shape).body)
        assert body["seed"] == 3
        check(body, "CreateChatCompletionRequest")
        for status, document in chat(body, USUAL, times=3):
            if status == 200:
                check(document, "CreateChatCompletionResponse")
            elif status:
                check(document, "ErrorResponse")
    ((status, document),) = chat({**body, "model": "nonesuch"})
    assert status == 404
    check(document, "ErrorResponse")


@pytest.mark.parametrize(
    ("changed", "param"),
    [
        ({"max_tokens": "many"}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": [1]}, "temperature"),
        ({"seed": 1.5}, "seed"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages.0.content.str"),
        ({"response_format": "json"}, "response_format"),
        ({"stop": []}, "stop"),
        ({"stop": ["一", "二", "三", "四", "五"]}, "stop"),
    ],
)
def test_a_parameter_of_the_wrong_kind_is_a_400_that_names_it(changed, param):
    ((status, document),) = chat(ask(QUESTION) | changed)
    assert status == 400
    assert document["error"]["param"] == param


@pytest.mark.parametrize(
    "question",
    [
        "On which day of the week does 2023-2-30 fall?",
        "西暦2023年2月30日は何曜日ですか。",
        "A course starts on 0000-1-1 and ends 30 days later. Give the last day as YYYY-MM-DD.",
        "2001年1月1日に始まる講座は、その99999999999日後に終わります。終わる日付を答えてください。",
    ],
)
def test_a_day_that_does_not_exist_is_no_exercise(question):
    assert read(question) is None
    ((status, document),) = chat(ask(question))
    assert status == 200
    assert "practice" in document["choices"][0]["message"]["content"] or "練習" in str(document)
