"""Anthropic's event streams: read as the reply they add up to, whatever breaks on the way, and ended when in a loop."""

from __future__ import annotations

import asyncio
import json

import pytest

from synth import pipeline
from synth.backends.online import online
from synth.backends.practice.faults import NO_FAULTS
from synth.backends.practice.server import practice_server
from synth.errors import Fatal, Rejected, Transient
from synth.protocol.endpoint import Endpoint
from synth.protocol.replies import read, usage_of
from synth.protocol.streams import Watch, streamed
from synth.recipes.loading import load
from synth.results.result import Options
from synth.types import MESSAGES, Outcome, Request
from synth.validators.repetition import looping
from tests.faults.scripted import READ, Scripted, chunk

SAID = "東京タワーの高さは333メートルです。The tower is 333 m high.\n"
THOUGHT = "まず高さを思い出す。"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def event(kind: str, **fields) -> bytes:
    told = json.dumps({"type": kind, **fields}, ensure_ascii=False)
    return f"event: {kind}\ndata: {told}\n\n".encode()


def start(**usage) -> bytes:
    usage = {"input_tokens": 472, "cache_read_input_tokens": 100, "output_tokens": 2, **usage}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "claude", "usage": usage}
    return event("message_start", message={**message, "stop_reason": None}) + event("ping")


def block(index: int, kind: str, text: str, **last) -> bytes:
    begun = event("content_block_start", index=index, content_block={"type": kind, kind: ""})
    deltas = [event("content_block_delta", index=index, delta={"type": f"{kind}_delta", kind: one}) for one in text]
    if last:
        deltas.append(event("content_block_delta", index=index, delta=last))
    return begun + b"".join(deltas) + event("content_block_stop", index=index)


def end(reason: str = "end_turn", written: int = 89, **more) -> bytes:
    delta = {"stop_reason": reason, "stop_sequence": None, **more}
    return event("message_delta", delta=delta, usage={"output_tokens": written}) + event("message_stop")


WHOLE = start() + block(0, "text", SAID) + end()


def test_events_are_read_as_the_reply_they_add_up_to():
    completion = read(Outcome(200, WHOLE), None)
    assert (completion.text, completion.finish_reason, completion.model) == (SAID, "stop", "claude")
    usage = completion.usage
    assert (usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens) == (572, 100, 89)
    assert read(Outcome(200, WHOLE)) == completion


def test_thinking_stands_apart_and_its_signature_is_nobodys_text():
    thinking = block(0, "thinking", THOUGHT, type="signature_delta", signature="EqQBCgIYAhIM")
    completion = read(Outcome(200, start() + thinking + event("ping") + block(1, "text", SAID) + end()))
    assert (completion.text, completion.reasoning) == (SAID, THOUGHT)


def test_the_last_counts_are_of_all_that_was_used():
    usage = {"input_tokens": 500, "cache_read_input_tokens": None, "output_tokens": 7}
    more = event("message_delta", delta={"stop_reason": "end_turn"}, usage=usage)
    found = usage_of(Outcome(200, start() + block(0, "text", "東京") + more))
    assert (found.prompt_tokens, found.cached_tokens, found.completion_tokens) == (600, 100, 7)


def test_a_reply_that_was_cut_or_refused_says_so():
    assert read(Outcome(200, start() + block(0, "text", "東京は") + end("max_tokens"))).finish_reason == "length"
    with pytest.raises(Rejected) as caught:
        read(Outcome(200, start() + block(0, "thinking", THOUGHT) + end("max_tokens")))
    assert caught.value.reason == "truncated_empty"
    details = {"stop_details": {"type": "refusal", "explanation": "お答えできません"}}
    with pytest.raises(Rejected) as caught:
        read(Outcome(200, start() + block(0, "text", "") + end("refusal", **details)))
    assert (caught.value.reason, caught.value.detail) == ("teacher_refused", "お答えできません")


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
def test_a_stream_that_was_cut_is_no_reply_and_is_charged_in_full(kept):
    body = WHOLE[: int(kept * len(WHOLE))]
    with pytest.raises(Transient) as caught:
        read(Outcome(200, body))
    assert caught.value.failure == "malformed"
    assert usage_of(Outcome(200, body)).completion_tokens is None


def test_what_is_damaged_before_the_end_is_no_reply_and_after_it_is_of_no_matter():
    damaged = b'event: content_block_delta\ndata: {"type":"content_block_delta","ind\n\n'
    broken = start() + block(0, "text", "住所は") + damaged + end()
    with pytest.raises(Transient):
        read(Outcome(200, broken))
    assert usage_of(Outcome(200, broken)).completion_tokens == 89
    assert read(Outcome(200, WHOLE + damaged)).text == SAID


ERRORS = {
    "overloaded_error": (Transient, "capacity"),
    "rate_limit_error": (Transient, "rate"),
    "api_error": (Transient, "transient"),
    "timeout_error": (Transient, "transient"),
    "invalid_request_error": (Rejected, "permanent"),
    "authentication_error": (Fatal, ""),
    "billing_error": (Fatal, ""),
    "permission_error": (Fatal, ""),
}


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_in_the_middle_has_the_fate_that_it_would_have_had_at_the_beginning(kind):
    body = start() + block(0, "text", "東京は") + event("error", error={"type": kind, "message": "it went wrong"})
    raised, failure = ERRORS[kind]
    with pytest.raises(raised) as caught:
        read(Outcome(200, body))
    assert failure in ("", getattr(caught.value, "failure", None), getattr(caught.value, "reason", None))


def test_a_stream_is_asked_for_in_the_words_of_the_protocol():
    assert streamed(b'{"model":"m"}', MESSAGES) == b'{"model":"m","stream":true}'


LOOP = "それでは、もう一度説明します。"


def test_a_reply_that_runs_in_a_loop_is_ended_and_charged_by_what_had_come():
    looping_stream = start() + block(0, "text", "はい。" + LOOP * 100)
    watch = Watch(Request(b"k" * 32, "main", "m", b"{}", 0, 100, 4000), looping)
    pieces = [looping_stream[at : at + 50] for at in range(0, len(looping_stream), 50)]
    place, last = next((place, last) for place, piece in enumerate(pieces) if (last := watch.ends(piece)))
    body = b"".join(pieces[: place + 1]) + last
    assert len(body) < len(looping_stream) / 1.5
    with pytest.raises(Rejected) as caught:
        read(Outcome(200, body))
    assert caught.value.reason == "repetition"
    usage = usage_of(Outcome(200, body))
    assert usage.prompt_tokens == 572
    assert 100 < usage.completion_tokens <= 4000


def test_over_a_socket_the_stream_is_read_to_its_end_and_its_connection_asked_again(monkeypatch):
    monkeypatch.setenv("KEY", "secret")
    pieces = [WHOLE[at : at + 97] for at in range(0, len(WHOLE), 97)]
    body = b"".join(map(chunk, pieces)) + b"0\r\n\r\n"

    asked = {"model": "claude", "messages": [{"role": "user", "content": "高さは？"}], "max_tokens": 9}
    request = Request(b"k", "main", "m", json.dumps(asked).encode(), 0, 9, 9)

    async def main(url):
        endpoint = Endpoint(model="claude", base_url=url, profile="anthropic", key_variable="KEY", stream=True)
        async with online(endpoint, url, looping) as backend:
            return [await backend.send(request) for _ in range(2)]

    with Scripted([READ, HEAD + body, READ, HEAD + body]) as server:
        outcomes = asyncio.run(main(server.url))
    assert [read(one).text for one in outcomes] == [SAID, SAID]
    assert server.connections == 1
    assert [post.head.split(b" ")[1].rpartition(b"/")[2] for post in server.posts] == [b"messages", b"messages"]
    assert all(json.loads(post.body)["stream"] is True for post in server.posts)


RECIPE = """\
name: native
language: ja
accept_terms: [anthropic]
seeds: {{kind: grid, axes: {{speed: [60, 70, 80]}}}}
teachers:
  main:
    model: practice-1
    base_url: "{url}"
    profile: anthropic
    key_variable: KEY
    stream: {stream}
    sampling: {{max_tokens: 900, extra: {{thinking: {{type: enabled, budget_tokens: 500}}}}}}
stages:
  - name: answer
    generator: {{kind: answer, prompt: ask.md.j2}}
    validators: []
"""


def test_rows_are_the_same_whether_replies_came_whole_or_as_events(tmp_path, monkeypatch):
    monkeypatch.setenv("KEY", "secret")
    (tmp_path / "ask.md.j2").write_text(
        "バスが大阪市を出て、時速{{ speed }}kmで3時間走りました。進んだ道のりは何kmですか。", encoding="utf-8"
    )

    async def main():
        async with practice_server(NO_FAULTS, api_key="secret") as url:
            for stream in ("false", "true"):
                text = RECIPE.format(url=url, stream=stream)
                (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
                await pipeline.run(load(tmp_path), Options(tmp_path / stream))

    asyncio.run(main())
    whole, events = ((tmp_path / stream / "rows.jsonl").read_text(encoding="utf-8") for stream in ("false", "true"))
    assert whole == events
    rows = [json.loads(line) for line in whole.splitlines()]
    assert len(rows) == 3
    assert all(row["messages"][-1]["reasoning_content"] for row in rows)
    assert "180km" in rows[0]["messages"][-1]["content"]
