"""What a stage asks once more, of whom, and what the rows and the manifest say of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter

import pytest

from synth import pipeline
from synth.errors import RecipeError
from synth.recipes.loading import load
from synth.results.result import Options

RECIPE = """\
name: again
language: ja
seeds: {{kind: jsonl, path: seeds.jsonl}}
teachers:
  main: {{model: small, base_url: "http://127.0.0.1:{port}/v1", sampling: {{max_tokens: 100}}, {main}}}
  strong: {{model: large, base_url: "http://127.0.0.1:{port}/v1", sampling: {{max_tokens: 100}}}}
stages:
  - name: answer
    generator: {generator}
    ask_again: {times}
    validators: [{{kind: finished}}, {{kind: refusal}}]
"""
ANSWER = "{kind: answer, prompt: ask.md.j2}"
WRITE = "{kind: self_instruct, prompt: ask.md.j2, count: 1}"
REFUSAL = "申し訳ありませんが、そのご質問にはお答えできません。"


class Server:
    """Answers by a function of the request, over a socket."""

    def __init__(self, play):
        self.play = play
        self.bodies = []

    async def serve(self, reader, writer):
        while head := (await reader.readuntil(b"\r\n\r\n")).decode().lower():
            length = int(head.split("content-length:")[1].split("\r\n")[0])
            body = json.loads(await reader.readexactly(length))
            self.bodies.append(body)
            text, finish = self.play(body, len(self.bodies))
            message = {"role": "assistant", "content": text}
            reply = {
                "model": body["model"],
                "choices": [{"message": message, "finish_reason": finish}],
                "usage": {"prompt_tokens": 5, "completion_tokens": 5},
            }
            raw = json.dumps(reply).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(raw), raw))


@pytest.fixture
def made(tmp_path):
    """Run a recipe of one stage against a server; the rows, the rejected and the manifest."""

    def make(server, *, main="", generator=ANSWER, times=0, questions=("問い",)):
        async def scene():
            writers = []

            async def serve(reader, writer):
                writers.append(writer)
                with contextlib.suppress(asyncio.IncompleteReadError):
                    await server.serve(reader, writer)
                writer.close()

            async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
                port = listening.sockets[0].getsockname()[1]
                text = RECIPE.format(port=port, main=main, generator=generator, times=times)
                (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
                (tmp_path / "ask.md.j2").write_text("{{ q }}")
                lines = [json.dumps({"q": question}) for question in questions]
                (tmp_path / "seeds.jsonl").write_text("\n".join(lines))
                result = await pipeline.run(load(tmp_path), Options(tmp_path / "run"))
                await asyncio.gather(*(writer.wait_closed() for writer in writers))
                return result

        result = asyncio.run(scene())
        rows, rejected = (
            [json.loads(line) for line in (tmp_path / "run" / name).read_text(encoding="utf-8").splitlines()]
            for name in ("rows.jsonl", "rejected.jsonl")
        )
        return rows, rejected, result.manifest

    return make


def test_a_refusal_is_asked_anew_and_both_answers_are_kept(made):
    server = Server(lambda body, count: (REFUSAL if count == 1 else "東京です。", "stop"))
    rows, rejected, _ = made(server, times=1)
    assert [row["messages"][-1]["content"] for row in rows] == ["東京です。"]
    assert rows[0]["repairs"] == ["anew"]
    assert len(rows[0]["requests"]) == 2
    assert [(one["reason"], one["messages"][-1]["content"]) for one in rejected] == [("refusal", REFUSAL)]
    assert rejected[0]["id"] != rows[0]["id"]


def test_what_was_cut_is_asked_anew_with_more_room(made):
    server = Server(lambda body, count: ("長い答え", "length" if body["max_tokens"] == 100 else "stop"))
    rows, rejected, _ = made(server, times=1)
    assert [body["max_tokens"] for body in server.bodies] == [100, 200]
    assert (len(rows), [one["reason"] for one in rejected]) == (1, ["truncated"])


def test_nothing_is_asked_anew_unless_the_recipe_says_so(made):
    server = Server(lambda body, count: (REFUSAL, "stop"))
    assert made(server)[0] == []
    assert len(server.bodies) == 1


def test_the_last_time_another_teacher_is_asked_and_the_row_names_it(made):
    server = Server(lambda body, count: (REFUSAL if body["model"] == "small" else "大阪です。", "stop"))
    rows, rejected, _ = made(server, main="fallback: strong", times=2)
    assert [body["model"] for body in server.bodies] == ["small", "small", "large"]
    assert [row["teacher"] for row in rows] == ["large"]
    assert len(rejected) == 2


def test_a_stand_in_for_objects_whose_own_turn_comes_is_not_asked_before(made):
    server = Server(lambda body, count: ("JSONではありません", "stop"))
    shared = "0\n    teachers: [main, strong]"
    rows, rejected, manifest = made(server, main="fallback: strong", generator=WRITE, times=shared)
    assert (rows, [one["reason"] for one in rejected]) == ([], ["invalid_output"] * 2)
    assert "fallback" not in manifest.stages[0].rungs
    models = [body["model"] for body in server.bodies]
    assert models.count("small") == models.count("large")


def test_yield_and_cost_of_every_rung_are_in_the_manifest(made):
    good = json.dumps({"instructions": ["東京について書きなさい。"]}, ensure_ascii=False)

    def play(body, count):
        asked, turns = body["messages"][0]["content"], len(body["messages"])
        fits = {"一": True, "二": True, "三": turns == 3, "四": body["model"] == "large"}[asked[0]]
        text = good.replace("東京", asked) if fits else "JSONではありません"
        return (f"```json\n{text}\n```" if asked[0] == "二" else text), "stop"

    server = Server(play)
    rows, _, manifest = made(
        server, main="fallback: strong", generator=WRITE, questions=("一つ", "二つ", "三つ", "四つ")
    )
    assert {tuple(row["repairs"]) for row in rows} == {(), ("fence",), ("whole",), ("fallback",)}
    assert Counter(row["teacher"] for row in rows) == {"small": 3, "large": 1}
    rungs = {name: (rung.asked, rung.fitted) for name, rung in manifest.stages[0].rungs.items()}
    assert rungs == {"exact": (3, 1), "mended": (1, 1), "whole": (3, 1), "fresh": (2, 0), "fallback": (1, 1)}


def test_a_free_answer_is_put_into_the_schema_by_another_teacher(made):
    good = json.dumps({"instructions": ["大阪について書きなさい。"]}, ensure_ascii=False)

    def play(body, count):
        return ("まず考えます。大阪の話題がよいでしょう。" if body["model"] == "small" else good), "stop"

    server = Server(play)
    rows, _, _ = made(server, main="extractor: strong", generator=WRITE)
    assert [row["messages"][0]["content"] for row in rows] == ["大阪について書きなさい。"]
    assert rows[0]["repairs"] == ["extracted"]
    assert "response_format" not in server.bodies[0]
    assert "大阪の話題がよいでしょう。" in server.bodies[1]["messages"][-1]["content"]
    assert server.bodies[1]["response_format"]["type"] == "json_schema"


def test_nothing_is_extracted_from_an_answer_that_was_cut(made):
    server = Server(lambda body, count: ("まず考えます。大阪の", "length"))
    rows, rejected, _ = made(server, main="extractor: strong", generator=WRITE)
    assert (rows, [one["reason"] for one in rejected]) == ([], ["truncated"])
    assert [(body["model"], body["max_tokens"]) for body in server.bodies] == [("small", 100), ("small", 200)]


def test_a_stand_in_whose_answer_was_of_no_use_is_not_named_by_the_row(made):
    def play(body, count):
        if body["model"] == "large":
            return json.dumps({"instructions": [" "]}), "stop"
        return (json.dumps({"instructions": ["鬱の字を書け"]}) if count > 5 else "さあ。"), "stop"

    rows, rejected, _ = made(Server(play), main="fallback: strong", generator=WRITE, times=2)
    assert [one["reason"] for one in rejected] == ["no_instructions"]
    assert [(row["teacher"], row["messages"][-1]["content"]) for row in rows] == [("small", "鬱の字を書け")]


@pytest.mark.parametrize("field", ["fallback", "extractor"])
@pytest.mark.parametrize("other", ["main", "誰か"])
def test_a_teacher_that_is_to_stand_in_has_to_be_another_one_of_the_recipe(made, field, other):
    with pytest.raises(RecipeError, match=f"{other!r} is not another teacher of the recipe"):
        made(Server(lambda body, count: ("", "stop")), main=f"{field}: {other}")
