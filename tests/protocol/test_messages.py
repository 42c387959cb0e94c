"""Anthropic's protocol: what a chat's request becomes in it, and that its replies read as those of a chat."""

from __future__ import annotations

import asyncio
import json

import pytest
from pydantic import BaseModel, Field

from synth.admission.halt import Halt
from synth.errors import Fatal, Rejected, Transient
from synth.money.budget import Budget, Caps
from synth.protocol.messages import asked
from synth.protocol.replies import read, usage_of
from synth.protocol.wording import Wording
from synth.schema import response_format
from synth.sending import Sender
from synth.storage.store import Store
from synth.types import Outcome, Planned
from tests.protocol.test_outgoing import ANSWER
from tests.test_teacher import COSTLY, PROMPT, Script, ok, play, unit

TURNS = [
    {"role": "system", "content": "敬語で。"},
    {"role": "user", "content": "一足す一は？"},
    {"role": "assistant", "content": "三です。"},
    {"role": "user", "content": "もう一度。"},
]


def told(**changes):
    return Outcome(200, json.dumps({**ANSWER, **changes}, ensure_ascii=False).encode())


def test_the_system_stands_apart_and_stops_have_another_name():
    body = {"model": "m", "messages": TURNS, "max_tokens": 9, "stop": ["。"], "temperature": 0.5, "top_k": 3}
    assert asked(body) == {
        "model": "m",
        "system": "敬語で。",
        "messages": TURNS[1:],
        "max_tokens": 9,
        "stop_sequences": ["。"],
        "temperature": 0.5,
        "top_k": 3,
    }


def test_a_budget_for_thinking_goes_as_it_is():
    thinking = {"type": "enabled", "budget_tokens": 2000}
    assert asked({"model": "m", "messages": TURNS, "max_tokens": 4000, "thinking": thinking})["thinking"] == thinking


class Score(BaseModel):
    reason: str = Field(description="理由", min_length=1)
    score: int = Field(ge=1, le=5)
    minimum: int
    """Called like a bound, and none."""


def test_bounds_of_a_schema_are_told_in_words_as_they_would_be_refused():
    form = response_format(Score, "json_schema")
    body = asked({"model": "m", "messages": TURNS, "max_tokens": 9, "response_format": form})
    assert "response_format" not in body
    schema = body["output_config"]["format"]["schema"]
    assert body["output_config"]["format"]["type"] == "json_schema"
    assert schema["properties"]["reason"]["description"] == "理由 minLength: 1"
    assert schema["properties"]["score"]["description"] == "maximum: 5 minimum: 1"
    assert schema["properties"]["minimum"]["type"] == "integer"
    assert schema["required"] == ["reason", "score", "minimum"]
    assert schema["additionalProperties"] is False
    assert not {"minimum", "maximum"} & schema["properties"]["score"].keys()


def test_the_effort_that_a_recipe_asks_for_stands_beside_the_schema():
    form = response_format(Score, "json_schema")
    config = {"effort": "low"}
    body = asked({"model": "m", "messages": TURNS, "max_tokens": 9, "response_format": form, "output_config": config})
    assert body["output_config"]["effort"] == "low"
    assert body["output_config"]["format"]["type"] == "json_schema"


def test_the_text_and_the_thinking_are_told_apart_and_signatures_stay_behind():
    blocks = [
        {"type": "thinking", "thinking": "まず足す。", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "secret"},
        {"type": "text", "text": "二"},
        {"type": "text", "text": "です。"},
    ]
    completion = read(told(content=blocks))
    assert (completion.text, completion.reasoning) == ("二です。", "まず足す。")
    assert completion.model == "claude-sonnet-4-5"
    assert "c2ln" not in repr(completion)
    assert "secret" not in repr(completion)


@pytest.mark.parametrize(
    ("ended", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_use"),
    ],
)
def test_why_it_ended_is_told_in_the_words_of_a_chat(ended, finish):
    assert read(told(stop_reason=ended)).finish_reason == finish


def test_a_refusal_is_one_with_its_explanation():
    details = {"type": "refusal", "category": "bio", "explanation": "これには答えられません。"}
    for changes, words in (({"stop_details": details}, "これには答えられません。"), ({"content": []}, "refusal")):
        with pytest.raises(Rejected) as caught:
            read(told(stop_reason="refusal", **changes))
        assert caught.value.reason == "teacher_refused"
        assert words in caught.value.detail


def test_thinking_that_used_all_of_the_cap_leaves_no_answer():
    with pytest.raises(Rejected, match="truncated_empty"):
        read(told(content=[{"type": "thinking", "thinking": "長い考え", "signature": "x"}], stop_reason="max_tokens"))


@pytest.mark.parametrize("changes", [{"content": []}, {"stop_reason": "pause_turn"}, {"content": [{"type": "x"}]}])
def test_a_reply_without_an_answer_is_malformed(changes):
    with pytest.raises(Transient, match="malformed"):
        read(told(**changes))


def test_tokens_of_the_cache_are_counted_to_the_prompt_and_thinking_to_the_reply():
    usage = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 300,
        "cache_read_input_tokens": 2000,
        "output_tokens": 50,
        "output_tokens_details": {"thinking_tokens": 30},
        "service_tier": "standard",
    }
    found = usage_of(told(usage=usage))
    assert (found.prompt_tokens, found.cached_tokens, found.cache_write_tokens) == (2310, 2000, 300)
    assert (found.completion_tokens, found.reasoning_tokens, found.service_tier) == (50, 30, "standard")


def test_a_teacher_that_moved_to_another_protocol_buys_nothing_twice(tmp_path):
    async def scene(asked, *_):
        return (await asked.complete(asked.request(PROMPT, 0), unit())).text

    native = COSTLY.model_copy(update={"base_url": "https://api.anthropic.com/v1"})
    script = Script(told())
    assert play(tmp_path, script, scene, endpoint=native) == "二です。"
    assert play(tmp_path, Script(ok("三です。")), scene) == "二です。"
    assert len(script.sent) == 1


def test_a_reply_that_was_kept_just_before_a_kill_is_settled(tmp_path):
    async def killed():
        store = Store(tmp_path / "run")
        await store.open_run()
        sender = Sender("main", COSTLY, backends=[None], store=store, budget=Budget(Caps()), halt=Halt())
        attempt = await store.begin(
            [Planned(Wording("main", COSTLY).request(PROMPT, 0), "stage", "0/00", 99_999)], sender.price
        )
        await store.keep(attempt, told())
        store.close()

    async def scene(asked, store, *_):
        await asked.complete(asked.request(PROMPT, 1), unit())  # what was settled is on disk by then
        return {line.failure: line.cost_microusd for line in store.ledger()}["ok"]

    asyncio.run(killed())
    assert play(tmp_path, Script(ok()), scene) == 210


@pytest.mark.parametrize(
    ("status", "kind", "message", "words"),
    [
        (404, "not_found_error", "model: claude-九", "does not serve the model 'm': HTTP 404: model: claude-九"),
        (404, "not_found_error", "Not Found", "has no chat completions at /messages"),
        (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API.", "no money left"),
        (400, "invalid_request_error", "You have reached your specified API usage limits.", "no money left"),
        (402, "billing_error", "支払い方法を確認してください", "no money left: HTTP 402: 支払い方法を確認してください"),
        (401, "authentication_error", "invalid x-api-key", "check the key in MY_KEY"),
    ],
)
def test_what_stops_a_run_is_told_in_one_sentence(tmp_path, status, kind, message, words):
    async def scene(asked, *_):
        await asked.complete(asked.request(PROMPT, 0), unit())

    body = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}
    native = COSTLY.model_copy(update={"base_url": "https://api.anthropic.com/v1"})
    with pytest.raises(Fatal) as caught:
        play(tmp_path, Script(Outcome(status, json.dumps(body).encode())), scene, endpoint=native)
    assert words in str(caught.value)


def test_an_ended_month_of_spending_is_no_passing_limit():
    body = {
        "type": "error",
        "error": {
            "type": "rate_limit_error",
            "message": "You have reached your API usage limits.",
            "details": {"error_code": "enforced_spend_limit_reached"},
        },
    }
    with pytest.raises(Fatal):
        read(Outcome(429, json.dumps(body).encode()))
    body["error"] = {"type": "rate_limit_error", "message": "This would exceed the limit of 50 requests per minute."}
    with pytest.raises(Transient, match="rate"):
        read(Outcome(429, json.dumps(body).encode()))
