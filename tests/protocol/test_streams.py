"""Streamed replies: read as they would have been in one piece, and ended when they run in a loop."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from synth import pipeline
from synth.backends.online import online
from synth.backends.practice.faults import NO_FAULTS
from synth.backends.practice.server import practice_server
from synth.errors import Rejected, Transient
from synth.protocol.endpoint import Endpoint
from synth.protocol.replies import read, usage_of
from synth.protocol.streams import Watch, added_up, streamed
from synth.recipes.loading import load
from synth.results.result import Options
from synth.types import Outcome, Request
from synth.validators.repetition import looping
from tests.faults.scripted import READ, Scripted, chunk, reply

ROOT = Path(__file__).parents[2]
CONTRACT = ROOT.parent / "shared" / "contract" / "openai_subset.json"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
SAID = "東京タワーの高さは333メートルです。The tower is 333 m high.\n"
LOOP = "それでは、もう一度説明します。"


def event(**fields) -> bytes:
    return b"data: " + json.dumps(fields, ensure_ascii=False).encode() + b"\n\n"


def piece(text: str, finish: str | None = None) -> bytes:
    return event(model="m", choices=[{"index": 0, "delta": {"content": text}, "finish_reason": finish}])


def request(max_tokens: int = 4000) -> Request:
    return Request(b"k" * 32, "main", "m", b'{"model":"m"}', 0, 100, max_tokens)


USED = {"prompt_tokens": 7, "completion_tokens": 21, "total_tokens": 28}
WHOLE = b"".join(map(piece, SAID)) + piece("", "stop") + event(choices=[], usage=USED) + b"data: [DONE]\n\n"


def test_events_are_read_as_the_reply_they_add_up_to():
    completion = read(Outcome(200, WHOLE))
    assert (completion.text, completion.finish_reason, completion.model) == (SAID, "stop", "m")
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (7, 21)


def test_the_events_of_other_choices_are_no_part_of_the_first():
    other = [event(model="m", choices=[{"index": 1, "delta": {"content": "京都"}, "finish_reason": None}])] * 3
    first, *rest = map(piece, SAID)
    assert read(Outcome(200, b"".join([first, *other, *rest, piece("", "stop")]))).text == SAID


def test_reasoning_and_refusals_arrive_too():
    thought = event(choices=[{"delta": {"reasoning": "考え"}}]) + event(choices=[{"delta": {"reasoning": "中"}}])
    assert read(Outcome(200, thought + WHOLE)).reasoning == "考え中"
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "考え"}]}, {"type": "text", "text": "まず。"}]
    completion = read(Outcome(200, event(choices=[{"delta": {"content": parts}}]) + WHOLE))
    assert (completion.text, completion.reasoning) == (f"まず。{SAID}", "考え")
    refused = event(choices=[{"delta": {"refusal": "お断りします"}}]) + piece("", "stop")
    with pytest.raises(Rejected) as caught:
        read(Outcome(200, refused))
    assert (caught.value.reason, caught.value.detail) == ("teacher_refused", "お断りします")


def test_a_stream_without_an_end_is_no_reply():
    with pytest.raises(Transient) as caught:
        read(Outcome(200, piece("東京") + b": keep-alive\n\n"))
    assert caught.value.failure == "malformed"


def halves(first: str, second: str) -> bytes:
    """Two events as JavaScript servers send a character beyond U+FFFF that two tokens make."""
    events = (f'data: {{"choices":[{{"delta":{{"content":"{half}"}}}}]}}\n\n' for half in (first, second))
    return "".join(events).encode()


def test_a_rare_kanji_or_an_emoji_that_came_in_two_halves_is_put_together():
    events = halves(r"\ud842", r"\udfb7野家で") + halves(r"lunch \ud83c", r"\udf63.") + piece("", "stop")
    assert read(Outcome(200, events)).text == "𠮷野家でlunch 🍣."
    assert read(Outcome(200, halves(r"\ud842", "野家") + piece("", "stop"))).text == "\ufffd野家"


@pytest.mark.parametrize(
    "broken",
    [
        b'data: {"choices":[{"delta":{"content":"' + "東京".encode()[:4] + b'"}}]}\n\n',
        b'data: {"choices":[{"delta":{"conte\n\n',
    ],
    ids=["cut within a character", "cut within an event"],
)
def test_an_answer_that_lost_words_on_the_way_is_no_reply_but_its_usage_is_read(broken):
    body = piece("住所は") + broken + WHOLE
    with pytest.raises(Transient) as caught:
        read(Outcome(200, body))
    assert caught.value.failure == "malformed"
    assert usage_of(Outcome(200, body)).completion_tokens == 21
    assert read(Outcome(200, WHOLE.removesuffix(b"data: [DONE]\n\n") + broken)).text == SAID  # all words had come


def test_an_error_in_the_middle_has_the_fate_of_that_error():
    broken = piece("東京") + event(error={"message": "Rate limit reached", "code": 429})
    with pytest.raises(Transient) as caught:
        read(Outcome(200, broken))
    assert caught.value.failure == "rate"


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_watch_sees_a_loop_however_the_bytes_are_cut(size):
    looping_stream = piece("はい。") + b"".join(map(piece, LOOP * 100))
    watch = Watch(request(), looping)
    pieces = [looping_stream[at : at + size] for at in range(0, len(looping_stream), size)]
    ended = [(place, last) for place, piece in enumerate(pieces) if (last := watch.ends(piece))]
    place, last = ended[0]
    body = b"".join(pieces[: place + 1]) + last
    assert len(body) < len(looping_stream) / 1.5
    document = added_up(body)
    assert LOOP in 2 * document["loop"]
    with pytest.raises(Rejected) as caught:
        read(Outcome(200, body))
    assert caught.value.reason == "repetition"
    assert usage_of(Outcome(200, body)).prompt_tokens == 100


def test_the_watch_bears_halves_of_characters():
    watch = Watch(request(), looping)
    last = next(last for _ in range(400) if (last := watch.ends(halves(r"\ud842", r"\udfb7野家に行く。"))))
    assert "𠮷野家に行く。" in 2 * added_up(last)["loop"]


def test_what_only_looks_alike_is_not_ended():
    table = "| 年 | 人口 |\n|---|---|\n" + "".join(f"| {1900 + year} | {year * 137 % 1000} |\n" for year in range(120))
    listed = "".join(f"{number}. 手順{number}では、{number * 3}番の部品を付けます。\n" for number in range(1, 120))
    for text in (table, listed, SAID * 3):
        watch = Watch(request(), looping)
        assert not any(watch.ends(piece(letter)) for letter in text)


def test_the_charge_of_an_ended_reply_is_never_above_its_cap():
    watch = Watch(request(max_tokens=50), looping)
    last = next(last for _ in range(100) if (last := watch.ends(piece(LOOP))))
    assert usage_of(Outcome(200, b"data: {}" + last)).completion_tokens == 50


@pytest.fixture
def asked(tmp_path):
    """A recipe with one question for a server; gives what came of a run."""

    def run(url, offline=False, stream="true"):
        folder = tmp_path / "recipe"
        folder.mkdir(exist_ok=True)
        (folder / "ask.md.j2").write_text("{{ q }}", encoding="utf-8")
        (folder / "seeds.jsonl").write_text('{"q": "東京タワーの高さは？"}\n', encoding="utf-8")
        (folder / "recipe.yaml").write_text(
            "name: streams\nlanguage: ja\nseeds: {kind: jsonl, path: seeds.jsonl}\n"
            f'teachers: {{main: {{model: m, base_url: "{url}", stream: {stream}, '
            "sampling: {max_tokens: 4000}, price: {input_usd: 1, output_usd: 1}}}\n"
            "stages: [{name: answer, validators: [], generator: {kind: answer, prompt: ask.md.j2}}]\n",
            encoding="utf-8",
        )
        result = asyncio.run(pipeline.run(load(folder), Options(tmp_path / "run", offline=offline)))
        rejected = (tmp_path / "run" / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
        return result.manifest, [json.loads(line) for line in rejected]

    return run


def test_a_loop_is_cut_on_the_wire_refused_charged_by_what_came_and_never_bought_again(asked):
    sent = []

    def endless(connection) -> None:
        try:
            for _ in range(20_000):
                connection.sendall(chunk(piece(LOOP)))
                sent.append(LOOP)
        except OSError:
            pass

    with Scripted([READ, HEAD, endless]) as server:
        manifest, rejected = asked(server.url)
        assert len(sent) < 20_000
        assert b'"stream":true' in server.posts[0].body
        assert [one["reason"] for one in rejected] == ["repetition"]
        assert "ended while it streamed" in rejected[0]["detail"]
        (line,) = manifest.ledger
        assert (line.failure, line.attempts) == ("repetition", 1)
        assert 800 < line.completion_tokens < 4000
        assert line.cost_microusd == line.prompt_tokens + line.completion_tokens
        again, _ = asked(server.url)
        assert len(server.posts) == 1
        assert again.ledger == manifest.ledger


def test_a_whole_stream_and_a_server_that_does_not_stream_bring_the_same_row(asked, tmp_path):
    answer = json.dumps({"choices": [{"message": {"content": SAID}, "finish_reason": "stop"}], "usage": USED}).encode()
    rows = []
    for script in ([READ, HEAD, *(chunk(WHOLE[at : at + 90]) for at in range(0, len(WHOLE), 90)), chunk(b"")],
                   [READ, reply(answer)]):  # fmt: skip
        with Scripted(script) as server:
            manifest, rejected = asked(server.url)
        assert rejected == []
        assert manifest.ledger[0].completion_tokens == 21
        rows.append((tmp_path / "run" / "rows.jsonl").read_bytes())
        for file in (tmp_path / "run").glob("run.db*"):
            file.unlink()
    assert rows[0] == rows[1]
    assert SAID.strip() in rows[0].decode()


def test_streaming_asks_for_nothing_that_is_stored(asked):
    with Scripted([READ, reply(b'{"choices": [{"message": {"content": "333"}, "finish_reason": "stop"}]}')]) as server:
        asked(server.url, stream="false")
        manifest, _ = asked(server.url, stream="true")
        assert len(server.posts) == 1
    assert manifest.row_count == 1


def test_the_practice_teacher_streams_what_it_says_and_stops_when_nobody_listens():
    body = {
        "model": "practice-1",
        "max_tokens": 900,
        "messages": [{"role": "user", "content": "1箱に12個入りの卵は3箱で何個？"}],
    }

    async def both() -> tuple[Outcome, Outcome]:
        plain = request()._replace(body=json.dumps(body).encode())
        async with (
            practice_server(NO_FAULTS) as url,
            online(Endpoint(model="practice-1", base_url=url), url) as backend,
        ):
            return await backend.send(plain), await backend.send(plain._replace(body=streamed(plain.body)))

    whole, events = asyncio.run(both())
    first, second = read(whole), read(events)
    assert events.body.startswith(b"data: ")
    assert (first.text, first.usage, first.finish_reason) == (second.text, second.usage, second.finish_reason)


def with_nulls(schema):
    """OpenAPI's `nullable` as JSON Schema has it."""
    if isinstance(schema, list):
        return [with_nulls(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: with_nulls(one) for name, one in schema.items() if name != "nullable"}
    return {"anyOf": [inner, {"type": "null"}]} if schema.get("nullable") is True else inner


@pytest.mark.skipif(not CONTRACT.exists(), reason=f"OpenAI's description is not at {CONTRACT}")
def test_the_practice_teachers_events_fit_openais_description():
    jsonschema = pytest.importorskip("jsonschema")
    contract = with_nulls(json.loads(CONTRACT.read_text(encoding="utf-8")))
    schema = {
        "$ref": "#/components/schemas/CreateChatCompletionStreamResponse",
        "components": contract["components"],
    }
    body = {"model": "practice-1", "messages": [{"role": "user", "content": "hello"}]}

    async def events() -> bytes:
        asked = request()._replace(body=streamed(json.dumps(body).encode()))
        async with (
            practice_server(NO_FAULTS) as url,
            online(Endpoint(model="practice-1", base_url=url), url) as backend,
        ):
            return (await backend.send(asked)).body

    lines = [line.removeprefix(b"data: ") for line in asyncio.run(events()).split(b"\n\n") if line]
    assert lines.pop() == b"[DONE]"
    assert len(lines) > 3
    for line in lines:
        jsonschema.Draft202012Validator(schema).validate(json.loads(line))
