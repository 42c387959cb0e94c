"""The practice teacher at `/completions`, `/pooling`, `/classify` and `/score`, as vLLM is there."""

from __future__ import annotations

import asyncio
import math

import aiohttp
import pytest

from synth.backends.practice.faults import NO_FAULTS
from synth.backends.practice.server import practice_server

TEXT = {"model": "practice-1", "prompt": "鬱です", "echo": True, "logprobs": 1, "max_tokens": 1}
TALK = [{"role": "user", "content": "何円？"}, {"role": "assistant", "content": "六円です。"}]


def post(path, body, api_key=None):
    async def main():
        async with practice_server(NO_FAULTS, api_key=api_key) as base_url, aiohttp.ClientSession() as session:
            response = await session.post(base_url.removesuffix("/v1") + path, json=body)
            return response.status, await response.json()

    return asyncio.run(main())


def test_an_echoed_prompt_comes_token_by_token_and_a_letter_unknown_to_it_in_parts():
    status, document = post("/v1/completions", TEXT)
    (choice,) = document["choices"]
    logprobs = choice["logprobs"]
    assert status == 200
    assert choice["text"].startswith("鬱です")
    assert logprobs["tokens"][:5] == ["", "", "鬱", "で", "す"]
    assert logprobs["text_offset"] == [0, 0, 0, 1, 2, 3]
    assert logprobs["token_logprobs"][0] is None
    assert all(value < 0 for value in logprobs["token_logprobs"][1:])
    assert document["usage"] == {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}


@pytest.mark.parametrize(
    ("changed", "tokens", "written"),
    [({"max_tokens": 0}, 5, 1), ({"echo": False}, 1, 1), ({"logprobs": None}, None, 1), ({"max_tokens": 3}, 8, 3)],
)
def test_what_is_not_asked_for_is_left_out_and_one_token_is_counted_even_where_none_is_shown(changed, tokens, written):
    _, document = post("/v1/completions", TEXT | changed)
    logprobs = document["choices"][0]["logprobs"]
    assert (logprobs and len(logprobs["tokens"])) == tokens
    assert document["usage"]["completion_tokens"] == written


def test_the_same_text_always_has_the_same_log_probabilities():
    assert post("/v1/completions", TEXT) == post("/v1/completions", TEXT)


def test_a_reward_comes_under_a_sigmoid_unless_that_is_switched_off():
    reward = {"model": "practice-reward-1", "messages": TALK}
    under = post("/pooling", reward)[1]["data"][0]["data"][0]
    raw = post("/classify", reward | {"use_activation": False})[1]["data"][0]["probs"][0]
    assert under == pytest.approx(1 / (1 + math.exp(-raw)))


def test_texts_are_rewarded_one_by_one_and_a_pair_as_its_talk():
    body = {"model": "practice-reward-1", "use_activation": False}
    several = post("/pooling", body | {"input": ["六円です。", "鬱鬱鬱"]})[1]["data"]
    assert [one["index"] for one in several] == [0, 1]
    assert several[0]["data"][0] > several[1]["data"][0]
    assert post("/pooling", body | {"input": "六円です。"})[1]["data"] == several[:1]
    pair = post("/v1/score", body | {"text_1": "何円？", "text_2": "六円です。"})[1]["data"]
    assert pair == post("/score", body | {"text_1": "何円？", "text_2": "六円です。"})[1]["data"]
    assert pair[0]["score"] == post("/pooling", body | {"messages": TALK})[1]["data"][0]["data"][0]


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/v1/completions", TEXT | {"prompt": ""}, 400, "prompt"),
        ("/v1/completions", TEXT | {"prompt": 7}, 400, "prompt"),
        ("/v1/completions", TEXT | {"logprobs": 21}, 400, "logprobs"),
        ("/v1/completions", TEXT | {"max_tokens": -1}, 400, "max_tokens"),
        ("/v1/completions", TEXT | {"prompt": "何" * 9000}, 400, "input_tokens"),
        ("/v1/completions", TEXT | {"model": "practice-reward-1"}, 404, "model"),
        ("/pooling", {"model": "practice-1", "messages": TALK}, 404, "model"),
        ("/pooling", {"model": "practice-reward-1"}, 400, "input"),
        ("/pooling", {"model": "practice-reward-1", "messages": []}, 400, "messages"),
        ("/classify", {"model": "practice-reward-1", "input": ""}, 400, "input"),
        ("/score", {"model": "practice-reward-1", "text_1": "x"}, 400, "text_2"),
        ("/v1/pooling", {"model": "practice-reward-1", "messages": TALK}, 404, None),
        ("/v1/classify", {"model": "practice-reward-1", "messages": TALK}, 404, None),
    ],
)
def test_a_wrong_request_is_refused_by_the_name_of_what_is_wrong(path, body, status, param):
    got, document = post(path, body)
    assert (got, document["error"]["param"]) == (status, param)


def test_a_wrong_key_is_refused_everywhere():
    assert post("/pooling", {"model": "practice-reward-1", "messages": TALK}, api_key="sk-right")[0] == 401
