"""A request goes out in the words of its host, and its key knows nothing of them."""

from __future__ import annotations

import asyncio
import json

from synth.backends.online import online
from synth.profiles import named
from synth.protocol.endpoint import Endpoint, Sampling
from synth.protocol.outgoing import translation, wording
from synth.protocol.wording import Wording
from synth.types import Message
from tests.faults.scripted import READ, Scripted, reply

PROMPT = [Message(role="system", content="短く答えて。"), Message(role="user", content="一足す一は？")]
ANSWER = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5",
    "content": [{"type": "text", "text": "二です。"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 10, "output_tokens": 20},
}


def body_for(name, **sampling):
    endpoint = Endpoint(model="m", base_url="http://127.0.0.1:9/v1", profile=name, sampling=Sampling(**sampling))
    request = Wording("main", endpoint).request(PROMPT, 2)
    return wording(named()[name], json.loads(request.body))


def test_a_host_gets_its_own_names_of_fields():
    assert body_for("openai", max_tokens=100)["max_completion_tokens"] == 100
    assert body_for("vllm", max_tokens=100, seed=5)["max_tokens"] == 100
    assert body_for("vllm", seed=5)["seed"] == 7
    assert "seed" not in body_for("mistral", seed=5)
    assert body_for("mistral", seed=5)["random_seed"] == 7


def test_openrouter_passes_a_request_on_only_to_who_takes_all_of_it_unless_the_recipe_says_otherwise():
    assert body_for("openrouter", seed=1)["provider"] == {"require_parameters": True}
    only = {"provider": {"only": ["さくら"]}}
    assert body_for("openrouter", extra=only)["provider"] == {"require_parameters": True, "only": ["さくら"]}
    anybody = {"provider": {"require_parameters": False}}
    assert body_for("openrouter", extra=anybody)["provider"] == {"require_parameters": False}
    assert "provider" not in body_for("vllm", seed=1)


def test_the_service_tier_goes_out_and_is_no_part_of_the_key():
    def translated(**changes):
        endpoint = Endpoint(model="m", base_url="http://127.0.0.1:9/v1", **changes)
        return Wording("main", endpoint).request(PROMPT, 0), translation(endpoint)

    plain, none = translated()
    request, translate = translated(service_tier="flex")
    assert none is None
    assert request.key == plain.key
    assert json.loads(translate(request).body)["service_tier"] == "flex"
    assert "service_tier" not in json.loads(translate(request._replace(is_standard=True)).body)


def sent(name, monkeypatch):
    """What a server reads of the request of a teacher whose profile is `name`, and the request."""
    monkeypatch.setenv("SOME_KEY", "sk-test")
    with Scripted([READ, reply(json.dumps(ANSWER).encode())]) as server:
        endpoint = Endpoint(model="m", base_url=server.url, profile=name, key_variable="SOME_KEY")
        request = Wording("main", endpoint).request(PROMPT, 0)

        async def main():
            async with online(endpoint, server.url) as backend:
                return await backend.send(request)

        outcome = asyncio.run(main())
    return server.posts[0], request, outcome


def test_a_host_of_another_protocol_is_asked_in_it_and_the_key_of_the_request_stays(monkeypatch):
    native, request, outcome = sent("anthropic", monkeypatch)
    head = native.head.decode().lower()
    assert head.startswith("post /v1/messages http/1.1")
    assert "x-api-key: sk-test" in head
    assert "anthropic-version: 2023-06-01" in head
    assert "authorization" not in head
    assert json.loads(native.body) == {
        "model": "m",
        "system": "短く答えて。",
        "messages": [{"role": "user", "content": "一足す一は？"}],
        "max_tokens": 1024,
    }
    assert json.loads(outcome.body) == ANSWER
    plain, same, _ = sent("vllm", monkeypatch)
    assert plain.head.decode().startswith("POST /v1/chat/completions ")
    assert plain.body == request.body
    assert same.key == request.key
