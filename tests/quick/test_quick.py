"""Prompts in, answers or reasons out, without a recipe, and never bought twice."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web
from pydantic import BaseModel

import synth
from synth.quick import given


class City(BaseModel):
    name: str
    people: int


class Played:
    """A server whose answers a test writes: a function of the last turn."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    async def chat(self, request):
        body = await request.json()
        self.asked.append(body)
        given = self.answer(body["messages"][-1]["content"], body)
        if isinstance(given, int):
            return web.json_response({"error": {"message": "no"}}, status=given)
        content, finish = given if isinstance(given, tuple) else (given, "stop")
        usage = {"prompt_tokens": 10, "completion_tokens": 5}
        choice = {"message": {"role": "assistant", "content": content}, "finish_reason": finish}
        return web.json_response({"model": "m", "choices": [choice], "usage": usage})


async def asked(played, prompts, tmp_path, **words):
    app = web.Application()
    app.router.add_post("/v1/chat/completions", played.chat)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        return await synth.aask_all(prompts, teacher=f"{url},m", folder=tmp_path / "asked", **words)
    finally:
        await runner.cleanup()


def test_every_prompt_has_its_answer_in_order_and_asking_again_buys_nothing(tmp_path):
    played = Played(lambda text, _: f"「{text}」への答え")
    prompts = ["一つ目", "second", "一つ目"]
    first = asyncio.run(asked(played, prompts, tmp_path))
    assert [row.text for row in first] == ["「一つ目」への答え", "「second」への答え", "「一つ目」への答え"]
    assert [row.bought for row in first] == [1, 1, 0]
    assert len(played.asked) == 2
    again = asyncio.run(asked(played, [*prompts, "third"], tmp_path))
    assert (again.bought, len(played.asked)) == (1, 3)
    assert [row.text for row in again][:3] == [row.text for row in first]


def test_an_object_is_parsed_or_has_a_reason(tmp_path):
    def answer(text, _):
        return json.dumps({"name": "大阪", "people": 2_750_000}) if "good" in text else "nothing of the kind"

    found = asyncio.run(asked(Played(answer), ["good", "bad"], tmp_path, schema=City))
    assert found[0].value == City(name="大阪", people=2_750_000)
    assert (found[1].value, found[1].reason) == (None, "invalid_output")
    assert found[1].detail
    assert [row.is_good for row in found] == [True, False]


def test_a_refused_answer_keeps_its_text_and_its_reason(tmp_path):
    played = Played(lambda text, _: "I'm sorry, but I can't help with that." if text == "no" else ("cut of", "length"))
    found = asyncio.run(asked(played, ["no", "cut"], tmp_path))
    assert [row.reason for row in found] == ["refusal", "truncated"]
    assert found[0].text.startswith("I'm sorry")
    assert len(found.rejected) == 2
    assert found.good == []


def test_validators_are_those_of_a_recipe_in_the_language_that_is_given(tmp_path):
    played = Played(lambda text, _: "This is an English answer, and a rather long one at that.")
    found = asyncio.run(asked(played, ["何？"], tmp_path, validators=[{"kind": "language"}], language="ja"))
    assert found[0].reason == "wrong_language"


OWN = """\
from synth.own import OwnValidator, Rejected, Sample

class Mine(OwnValidator):
    def check(self, sample: Sample) -> None:
        while sample.question() == "三":
            pass
        if sample.question() == "二":
            raise Rejected("two", "二です")
"""


def test_a_check_in_a_file_is_called_apart_and_one_that_hangs_spoils_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr("synth.apart.CHECK_S", 3.0)
    monkeypatch.setattr("synth.apart.FIRST_S", 3.0)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(OWN, encoding="utf-8")
    played = Played(lambda text, _: f"「{text}」への答え")
    found = asyncio.run(asked(played, ["一", "二", "三", "四"], tmp_path, validators=[{"kind": "mine.py:Mine"}]))
    assert [row.reason for row in found] == ["", "two", "plugin_error", ""]
    assert "mine.py:Mine, given a sample, took longer than 3 s" in found[2].detail


def test_a_budget_that_ends_gives_every_prompt_left_a_reason(tmp_path):
    prompts = [f"問{number}" for number in range(8)]
    found = asyncio.run(asked(Played(lambda text, _: text), prompts, tmp_path, budget={"requests": 3}))
    assert [row.reason for row in found].count("not_asked") == 5
    assert all("3" in row.detail for row in found if row.reason == "not_asked")
    assert "requests" in found.message


def test_what_a_system_turn_and_earlier_turns_say_is_sent_as_it_is(tmp_path):
    played = Played(lambda text, _: "ok then")
    turns = [
        {"role": "user", "content": "{{ not a template }} "},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]
    asyncio.run(asked(played, [turns], tmp_path, system="短く"))
    assert [turn["content"] for turn in played.asked[0]["messages"]] == ["短く", "{{ not a template }} ", "b", "c"]


def test_a_teacher_that_answers_nothing_is_one_error(tmp_path):
    with pytest.raises(synth.Fatal, match="401"):
        asyncio.run(asked(Played(lambda text, _: 401), ["a", "b"], tmp_path))


def test_a_host_that_cannot_be_reached_is_one_error(tmp_path):
    teacher = {"model": "m", "base_url": "http://127.0.0.1:1/v1"}
    with pytest.raises(synth.Fatal, match="cannot be reached"):
        synth.ask_all(["a"], teacher=teacher, folder=tmp_path / "asked")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"prompts": "one text"}, r"write \[prompt\]"),
        ({"prompts": ["a", " "]}, r"prompts\[1\]"),
        ({"prompts": [[{"role": "assistant", "content": "a"}]]}, r"prompts\[0\]"),
        (
            {"prompts": ["a", [{"role": "user", "content": "質問", "conten": "b"}]]},
            r"prompts\[1\]\[0\] has 'conten'.*'content'\?",
        ),
        (
            {"prompts": [[{"role": "user", "content": "絵", "images": ["a.png"]}]]},
            r"prompts\[0\]\[0\] has 'images', which",
        ),
        ({"prompts": [[{"role": "user", "contents": "質問"}]]}, r"prompts\[0\]\[0\] has 'contents'.*'content'\?"),
        (
            {"prompts": [[{"role": "system", "content": "a"}, {"role": "user", "content": "b", "名前": "c"}]]},
            r"\[1\] has '名前'",
        ),
        ({"teacher": "http://localhost:1/v1"}, "BASE_URL,MODEL"),
        ({"teacher": "https://api.openai.com/v1,gpt-4o"}, "OPENAI_API_KEY.*accept_terms"),
        ({"teacher": {"model": "m"}}, "base_url"),
        (
            {"validators": [{"kind": "nonesuch"}]},
            "validators.0: there is no kind 'nonesuch'; choose one of answer_format",
        ),
        ({"validators": [{"kind": "refusl"}]}, r"validators.0: there is no kind 'refusl'; did you mean 'refusal'\?$"),
        ({"language": "jp"}, "language= 'jp' is not how .* write 'ja'"),
        ({"validators": ["finished"]}, "takes a list of checks"),
        ({"validators": {"kind": "length"}}, "takes a list of checks"),
        ({"validators": 5}, "takes a list of checks"),
        ({"prompts": 5}, "takes a list of prompts"),
        ({"prompts": ["あ", "\ud800"]}, r"prompts\[1\] holds half a letter, U\+D800"),
        ({"schema": int}, "takes a pydantic model.*'int'"),
        ({"schema": {"type": "object"}}, "takes a pydantic model"),
        ({"budget": {"dollars": 3}}, "budget dollars"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence_before_anything_is_made(tmp_path, words, said):
    with pytest.raises(synth.RecipeError, match=said):
        synth.ask_all(**{"prompts": ["a"], "teacher": "practice:", "folder": tmp_path / "asked", **words})
    assert not (tmp_path / "asked").exists()


def test_it_works_where_a_loop_is_running_and_with_the_practice_teacher(tmp_path):
    async def cell():
        return synth.ask_all(["日本の首都は？"], teacher="practice:faultless", folder=tmp_path / "asked")

    found = asyncio.run(cell())
    assert found[0].text
    assert found.message == ""


def test_answers_show_themselves_escaped_and_become_tables(tmp_path):
    found = asyncio.run(asked(Played(lambda text, _: "<script>alert('悪')</script>"), ["<b>問"], tmp_path))
    shown = found._repr_html_()
    assert "<script>" not in shown
    assert "&lt;b&gt;問" in shown
    frame = found.to_pandas()
    assert list(frame["messages"][0][-1].values())[1] == "<script>alert('悪')</script>"
    assert found.table().flat()[0]["question"] == "<b>問"
    assert len(found.to_dataset()) == 1
    assert "1 of 1 prompt," in repr(found)


def test_the_sum_is_that_of_the_answers_whenever_they_were_bought(tmp_path):
    teacher = given.endpoint({"model": "m", "base_url": "http://localhost:1/v1"})
    assert teacher.known_price() is not None
    played = Played(lambda text, _: text)

    async def both():
        return [await asked(played, ["a"], tmp_path) for _ in range(2)]

    first, second = asyncio.run(both())
    assert first.cost_usd == second.cost_usd == 0
    assert (first.bought, second.bought) == (1, 0)
