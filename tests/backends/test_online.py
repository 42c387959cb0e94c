"""One POST, one outcome: what broke on the way is told, and whether it may have been paid for."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web

import synth
from synth.backends import wire
from synth.backends.dial import proxy_for
from synth.backends.online import online
from synth.protocol.endpoint import Endpoint, Limits
from synth.types import Request

REQUEST = Request(b"k" * 32, "main", "m", '{"q": "日本語"}'.encode(), 0, 10, 10)


def send(handler, *, path="/v1", deadline_s=20.0, key=None, monkeypatch=None, profile=""):
    async def main():
        application = web.Application()
        application.router.add_post("/v1/chat/completions", handler)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}{path}"
        limits = Limits(deadline_s=deadline_s)
        endpoint = Endpoint(model="m", base_url=url, limits=limits, key_variable=key, profile=profile)
        try:
            async with online(endpoint, url) as backend:
                return await backend.send(REQUEST)
        finally:
            await runner.cleanup()

    return asyncio.run(main())


def test_the_body_goes_out_and_comes_back_as_it_is(monkeypatch):
    seen = {}

    async def handler(request):
        seen["body"], seen["auth"] = await request.read(), request.headers.get("Authorization")
        return web.Response(
            body=b" raw \xff", headers={"Retry-After": "3", "X-Secret": "no", "x-ratelimit-limit-requests": "9"}
        )

    monkeypatch.setenv("SOME_KEY", "sk-test")
    outcome = send(handler, key="SOME_KEY")
    assert (outcome.status, outcome.body, outcome.error) == (200, b" raw \xff", "")
    assert seen == {"body": REQUEST.body, "auth": "Bearer sk-test"}
    assert outcome.headers["retry-after"] == "3"
    assert "x-ratelimit-limit-requests" in outcome.headers
    assert "x-secret" not in outcome.headers


def test_the_key_travels_in_the_header_that_the_host_reads(monkeypatch):
    seen = {}

    async def handler(request):
        seen.update({name: request.headers.get(name) for name in ("api-key", "Authorization")})
        return web.Response(text=f"{request.headers['api-key']} is wrong")

    monkeypatch.setenv("SOME_KEY", "sk-test")
    assert send(handler, key="SOME_KEY", profile="azure").body == b"[key] is wrong"
    assert seen == {"api-key": "sk-test", "Authorization": None}


KEY = 'sk-a1/b+c=_.~"\\z=='


@pytest.mark.parametrize(
    "echo",
    [
        KEY,
        json.dumps(KEY)[1:-1],
        json.dumps(KEY)[1:-1].replace("/", r"\/"),
        "".join(one if one.isalnum() else f"\\u{ord(one):04x}" for one in KEY),
        "".join(one if one.isalnum() else f"\\u{ord(one):04X}" for one in KEY),
        json.dumps(json.dumps(KEY).replace("/", r"\/"))[3:-3],
    ],
    ids=["plain", "quotes escaped", "slashes too", "all by number", "in capitals", "JSON within JSON"],
)
def test_a_key_that_comes_back_escaped_is_taken_out_too(monkeypatch, echo):
    async def handler(request):
        return web.Response(body=f'{{"error": "鍵 {echo} は違います"}}'.encode(), headers={"x-request-id": echo})

    monkeypatch.setenv("SOME_KEY", KEY)
    outcome = send(handler, key="SOME_KEY")
    assert outcome.body.decode() == '{"error": "鍵 [key] は違います"}'
    assert outcome.headers["x-request-id"] == "[key]"


def test_a_key_that_the_server_echoes_is_taken_out_before_anything_keeps_it(monkeypatch):
    async def handler(request):
        said = request.headers["Authorization"]
        return web.json_response(
            {"error": {"message": f"wrong key {said}"}}, status=401, headers={"x-request-id": said}
        )

    monkeypatch.setenv("SOME_KEY", "sk-CANARY-123")
    outcome = send(handler, key="SOME_KEY")
    assert b"wrong key Bearer [key]" in outcome.body
    assert "CANARY" not in repr(outcome)


def test_redirects_are_not_followed():
    async def handler(request):
        raise web.HTTPTemporaryRedirect("/v1/elsewhere")

    outcome = send(handler)
    assert outcome.status == 307
    assert outcome.headers["location"] == "/v1/elsewhere"


def test_the_deadline_holds_while_bytes_trickle():
    async def handler(request):
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.01)

    outcome = send(handler, deadline_s=0.2)
    assert outcome.error == "timeout"
    assert outcome.written


def test_a_connection_dropped_after_the_request_may_have_been_paid():
    async def handler(request):
        await request.read()
        request.transport.abort()
        return web.Response()

    outcome = send(handler)
    assert outcome.error == "reset"
    assert outcome.written


def test_a_host_that_refuses_was_not_written_to():
    async def main():
        endpoint = Endpoint(model="m", base_url="http://127.0.0.1:9/v1")
        async with online(endpoint, endpoint.base_url) as backend:
            return await backend.send(REQUEST)

    outcome = asyncio.run(main())
    assert (outcome.error, outcome.written, outcome.status) == ("connect", False, 0)


def test_a_reply_that_never_ends_is_cut_at_the_cap(monkeypatch):
    monkeypatch.setattr(wire, "LARGEST_REPLY", 100_000)

    async def handler(request):
        return web.Response(body=b"x" * 200_000)

    assert send(handler).error == "too_large"


def test_an_earlier_run_is_replayed_by_key(write_recipe, tmp_path):
    recipe = write_recipe()
    first = synth.run(recipe, folder=tmp_path / "first")
    again = synth.run(recipe, folder=tmp_path / "again", teachers=[f"main=replay:{tmp_path / 'first'},practice-1"])
    assert again.exit_code == 0
    assert (tmp_path / "again" / "rows.jsonl").read_bytes() == (tmp_path / "first" / "rows.jsonl").read_bytes()
    assert again.manifest.practice is True
    assert first.manifest.row_count == again.manifest.row_count


@pytest.mark.parametrize(
    "line",
    ["nonsense", '{"prompt": "x"}', '{"prompt": 1, "content": "y"}', '{"prompt": "x", "content": "y", "response": {}}'],
)
def test_a_broken_recording_is_named_by_line(write_recipe, tmp_path, line):
    from synth.errors import RecipeError

    (tmp_path / "r.jsonl").write_text('{"prompt": "x", "content": "y"}\n' + line + "\n")
    with pytest.raises(RecipeError, match=r"r\.jsonl:2"):
        synth.run(write_recipe(), folder=tmp_path / "run", teachers=[f"main=replay:{tmp_path / 'r.jsonl'},m"])


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("https://api.example.com/v1", "http://proxy.example:3128"),
        ("https://inside.example.org/v1", None),
        ("http://api.example.com/v1", None),
        ("http://127.0.0.1:8000/v1", None),
        ("http://localhost:8000/v1", None),
        ("https://[::1]:8000/v1", None),
        ("https://10.0.0.5:8000/v1", None),
        ("https://10.0.0.5:8001/v1", "http://proxy.example:3128"),
        ("https://[fd00::5]:8000/v1", None),
    ],
)
def test_the_proxy_of_the_environment_is_used_but_never_for_this_machine(url, proxy, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "https_proxy", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "example.org,10.0.0.5:8000,fd00::5")
    assert proxy_for(url) == proxy
