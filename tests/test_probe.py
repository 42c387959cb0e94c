"""What a server can do is found by asking it, and said as what a recipe should have."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from contextlib import contextmanager

import pytest
from aiohttp import web

from synth import probe
from synth.backends.practice.faults import NO_FAULTS
from synth.backends.practice.server import practice_server
from synth.errors import Fatal
from synth.protocol.endpoint import Endpoint
from tests.faults.scripted import Scripted, reply

ENFORCED = json.dumps({"code": probe.WORD})


class Server:
    """Answers as `says` has it, a function of the request's body; counts what was asked."""

    def __init__(self, says, models=({"id": "大きなモデル", "max_model_len": 4096},), headers=None, tells_cache=True):
        self.says, self.models, self.headers = says, models, headers or {}
        self.tells_cache = tells_cache
        self.longest, self.reused = 100_000, 0
        self.asked = Counter()
        self.keys = set()
        self.load = None

    async def chat(self, request):
        self.asked[request.path] += 1
        self.keys.add(request.headers.get("Authorization"))
        body = await request.json()
        said = self.says(body)
        if len(str(body.get("messages"))) > self.longest:
            said = 400
        if isinstance(said, int):
            return web.json_response({"error": {"message": "unsupported parameter"}}, status=said)
        said = [said] if isinstance(said, str) else said
        choices = [{"index": at, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
                   for at, text in enumerate(said)]  # fmt: skip
        usage = {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 0}}
        if self.asked[request.path] > 1 and "synth asks" in (await request.text()):
            self.reused += 512
            usage |= {"prompt_tokens": 1200}
            if self.tells_cache:
                usage |= {"prompt_tokens_details": {"cached_tokens": 1024}}
        return web.json_response({"model": "m", "choices": choices, "usage": usage}, headers=self.headers)

    async def metrics(self, request):
        if self.load is None:
            return web.Response(status=404)
        return web.Response(text=f"{self.load}vllm:prefix_cache_hits_total {self.reused}\n")

    async def listed(self, request):
        self.keys.add(request.headers.get("Authorization"))
        if self.models is None:
            raise web.HTTPFound("http://127.0.0.1:9/v1/models")
        return web.json_response({"object": "list", "data": list(self.models)})

    @contextmanager
    def running(self):
        loop, ready, ended = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
        told = []

        async def serve():
            application = web.Application()
            application.router.add_post("/v1/chat/completions", self.chat)
            application.router.add_get("/v1/models", self.listed)
            application.router.add_get("/metrics", self.metrics)
            runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            told.append(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
            ready.set()
            await ended.wait()
            await runner.cleanup()

        thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
        thread.start()
        assert ready.wait(20)
        try:
            yield told[0]
        finally:
            loop.call_soon_threadsafe(ended.set)
            thread.join()
            loop.close()


def findings(server, **fields):
    with server.running() as url:
        found, used = probe.probe(Endpoint(model="大きなモデル", base_url=url, **fields))
    return {one.what: one for one in found}, used


def able(body):
    """A server that heeds all it is asked for."""
    form = body.get("response_format")
    if form is not None:
        return ENFORCED if form["type"] == "json_schema" else '{"greeting": "hi"}'
    if "seed" in body:
        return f"{body['seed']:012d}"
    return ["Hello."] * body.get("n", 1)


def test_what_an_able_server_heeds_is_found():
    headers = {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "59"}
    found, used = findings(Server(able, headers=headers))
    assert found["objects"].found == "heeds json_schema, json_object"
    assert found["n: 2"].found == "2 of 2 came"
    assert found["seed"].found == "repeats"
    assert found["prefix caching"].found.startswith("1,024 tokens")
    assert "59 of 60 requests left" in found["chat"].found
    assert found["log-probabilities"].found == "passed over in silence"
    assert found["log-probabilities of prompts"].found == "refused (HTTP 404)"
    assert used == probe.Used(11, 9 * 8 + 1200 * 2, 3 * 10)


@pytest.mark.parametrize(
    ("says", "found", "so"),
    [
        (lambda body: "こんにちは。", "ignores json_schema, json_object", "write structured: prompt"),
        (
            lambda body: 400 if "response_format" in body else "hello",
            "refuses json_schema, json_object",
            "write structured: prompt",
        ),
        (
            lambda body: '{"greeting": "こんにちは"}' if "response_format" in body else "hello",
            "heeds json_object; ignores json_schema",
            "write structured: json_object",
        ),
    ],
)
def test_a_schema_counts_as_heeded_only_when_the_reply_holds_what_it_alone_asks_for(says, found, so):
    objects = findings(Server(says))[0]["objects"]
    assert (objects.found, objects.so) == (found, so)


def test_a_server_that_tells_its_load_is_found():
    server = Server(able)
    assert findings(server)[0]["load"].found == "not told at /metrics"
    server.load = 'vllm:num_requests_running{engine="0"} 3\nvllm:num_requests_waiting{engine="0"} 1\n'
    found, _ = findings(server)
    assert found["load"].found == "3 running, 1 waiting, told at /metrics as vLLM does"
    assert "as many are sent at once as it runs" in found["load"].so


def test_a_prefix_cache_that_only_the_metrics_tell_of_is_found():
    server = Server(able, tells_cache=False)
    assert findings(server)[0]["prefix caching"].found == "no cached tokens are told"
    server.load = "vllm:num_requests_running 0\nvllm:num_requests_waiting 0\n"
    found, so = findings(server)[0]["prefix caching"][1:]
    assert found == "512 tokens of a repeated prompt came from its cache, as /metrics tells and its replies do not"
    assert so == "put what all prompts share first"


def test_where_a_long_prompt_has_no_room_a_shorter_one_is_repeated():
    server = Server(able)
    server.longest = 2_000
    server.says = lambda body: "" if "synth asks" in str(body) else able(body)  # as a small model says it
    assert findings(server)[0]["prefix caching"].found.startswith("1,024 tokens")
    server.longest = 200
    assert findings(server)[0]["prefix caching"].found == "unknown, as a long prompt is refused (HTTP 400)"


def test_the_practice_teacher_keeps_the_beginnings_of_long_prompts_and_the_probe_finds_it():
    async def main():
        async with practice_server(NO_FAULTS) as url:
            return await asyncio.to_thread(probe.probe, Endpoint(model="practice-1", base_url=url))

    found = {one.what: one.found for one in asyncio.run(main())[0]}
    assert found["prefix caching"] == "1,536 tokens of a repeated prompt came from its cache"


@pytest.mark.parametrize(
    ("listed", "found", "so"),
    [
        ({"owned_by": "vllm", "max_model_len": 4096}, "vLLM, by its list of models", "write profile: vllm"),
        ({"owned_by": "llamacpp", "meta": {"n_ctx": 2048}}, "llama.cpp, by its list of models",
         "write profile: llama_cpp"),
    ],
)  # fmt: skip
def test_a_server_that_says_which_it_is_is_told_with_its_profile(listed, found, so, synth):
    with Server(able, models=({"id": "甲", **listed},)).running() as url:
        told = json.loads(synth("probe", url, "--json").stdout)["findings"]
    assert told[0] == {"what": "server", "found": found, "so": so}
    assert told[1]["found"] in ("4,096 tokens", "2,048 tokens")


def test_a_seed_that_is_refused_is_told_from_one_that_does_nothing():
    numbers = iter(range(100))
    assert findings(Server(lambda body: f"{next(numbers)}"))[0]["seed"].found == "does not repeat"
    assert findings(Server(lambda body: 400 if "seed" in body else "hello"))[0]["seed"].found == "refused"


def test_a_server_that_answers_nothing_is_one_sentence():
    with pytest.raises(Fatal, match="probe") as caught:
        findings(Server(lambda body: 401))
    assert "key_variable" in str(caught.value)


def test_the_models_and_their_contexts_are_listed():
    with Server(able).running() as url:
        assert probe.models(Endpoint(model="-", base_url=url)) == {"大きなモデル": probe.Listed(4096)}


def test_a_server_whose_list_is_broken_may_still_be_asked_about_a_named_model():
    broken = reply("壊れています".encode(), status="500 Internal Server Error")
    wanted = "HTTP 500: 壊れています.*name one after the URL"
    with Scripted([lambda one: one.recv(9999), broken]) as server, pytest.raises(Fatal, match=wanted):
        probe.models(Endpoint(model="-", base_url=server.url))


def test_the_key_goes_nowhere_else(monkeypatch):
    monkeypatch.setenv("SOME_KEY", "sk-test")
    server = Server(able, models=None)
    with server.running() as url, pytest.raises(Fatal, match=r"redirects to http://127\.0\.0\.1:9"):
        probe.models(Endpoint(model="-", base_url=url, key_variable="SOME_KEY"))
    assert server.keys == {"Bearer sk-test"}


def test_a_server_with_several_models_is_asked_about_the_named_one(synth):
    server = Server(able, models=({"id": "甲"}, {"id": "乙", "context_length": 8192}))
    with server.running() as url:
        unnamed = synth("probe", url)
        named = synth("probe", url, "乙", "--json")
        shown = synth("probe", url, "乙")
    assert (unnamed.returncode, unnamed.stderr) == (2, f"{url} serves 2 models; name one after the URL: 甲, 乙.\n")
    told = json.loads(named.stdout)
    assert (named.returncode, told["model"], told["findings"][0]["found"]) == (0, "乙", "8,192 tokens")
    assert "heeds json_schema" in shown.stdout
    assert "11 requests, 2,472 tokens in and 30 out" in shown.stdout


def test_a_server_without_a_list_is_asked_about_the_named_model(synth):
    with Server(able, models=None).running() as url:
        assert synth("probe", url, "甲").returncode == 0
        unnamed = synth("probe", url)
    assert unnamed.returncode == 4
    assert len(unnamed.stderr.splitlines()) == 1
