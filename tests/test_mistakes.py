"""Ten mistakes of a newcomer: one or two sentences that name the cause and what to do, and no patience is spent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import sys
import threading

import pytest
from aiohttp import web

import synth
from synth import cli

KEY = "sk-right-and-long-enough"
REPLY = {"choices": [{"message": {"role": "assistant", "content": "もちろんです。"}, "finish_reason": "stop"}]}


async def _chat(request):
    if request.headers.get("Authorization") != f"Bearer {KEY}":
        return web.json_response({"error": {"message": "Incorrect API key provided"}}, status=401)
    body = json.loads(await request.read())
    if body["model"] != "m":
        error = {"message": f"The model `{body['model']}` does not exist", "code": "model_not_found"}
        return web.json_response({"error": error}, status=404)
    return web.json_response({"model": "m", "usage": {"prompt_tokens": 9, "completion_tokens": 9}, **REPLY})


async def _page(_request):
    return web.Response(text="<html>ようこそ</html>", content_type="text/html")


@pytest.fixture(scope="module")
def server():
    """A server that wants a key, knows one model, and heeds no schema; gives its address."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", _chat)
    app.router.add_post("/site/chat/completions", _page)
    ready, ended, address = threading.Event(), [], []

    async def serve():
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        address.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        stop = asyncio.Event()
        ended.append((asyncio.get_running_loop(), stop))
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait()
    yield address[0]
    loop, stop = ended[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join()


def no_change(recipe):
    """The recipe as it is."""


def misspelt_template(recipe):
    (recipe / "answer.md.j2").write_text("次の問題: {{ instrution }}", encoding="utf-8")


def misspelt_field(recipe):
    path = recipe / "recipe.yaml"
    path.write_text(path.read_text().replace("stages:", "steps:"))


def no_seeds(recipe):
    path = recipe / "recipe.yaml"
    grid = "  kind: grid\n  axes: {topic: [shopping, travel, cooking], level: [easy, hard]}\n"
    path.write_text(path.read_text().replace(grid, "  kind: jsonl\n  path: 種.jsonl\n"), encoding="utf-8")


MISTAKES = {
    "wrong key": (no_change, ["--teacher", "main={url}/v1,m,WRONG"], 4, ["{url}/v1", "WRONG", "401"]),
    "missing key": (no_change, ["--teacher", "main={url}/v1,m,UNSET"], 4, ["UNSET is not set", "{url}/v1"]),
    "wrong host": (no_change, ["--teacher", "main=http://127.0.0.1:1/v1,m"], 4, ["127.0.0.1:1/v1", "cannot be reached: the connection was refused."]),
    "https without TLS": (no_change, ["--teacher", "main={tls}/v1,m,RIGHT"], 4, ["speaks no TLS; write http:// in base_url"]),
    "wrong path": (no_change, ["--teacher", "main={url}/v1/v1,m,RIGHT"], 4, ["{url}/v1/v1", "404", "ends in /v1"]),
    "a web page": (no_change, ["--teacher", "main={url}/site,m,RIGHT"], 4, ["{url}/site", "HTML came: <html>ようこそ</html>", "ends in /v1"]),
    "wrong model": (no_change, ["--teacher", "main={url}/v1,large,RIGHT"], 4, ["{url}/v1", "large", "name one that it lists under /models"]),
    "no object": (no_change, ["--teacher", "main={url}/v1,m,RIGHT"], 4, ["schema asks for", "not valid JSON", "structured:"]),
    "no such name in a template": (misspelt_template, [], 2, ["answer.md.j2:1", "'instrution'", "instruction"]),
    "misspelt field": (misspelt_field, [], 2, ["'steps'", "stages"]),
    "no seeds": (no_seeds, [], 2, ["種.jsonl does not exist", "recipe's folder"]),
    "no scheme": (no_change, ["--teacher", "main=localhost:8000/v1,m"], 2, ["localhost:8000/v1", "http://localhost:8000/v1"]),
    "key in place of its variable": (no_change, ["--teacher", "main={url}/v1,m,sk-1-2"], 2, ["never the key itself"]),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_by_its_cause_and_its_mending(name, server, write_recipe, tmp_path, monkeypatch, capsys):
    change, options, code, words = MISTAKES[name]
    recipe = write_recipe("practice:faultless")
    change(recipe)
    options = [option.format(url=server, tls=server.replace("http:", "https:")) for option in options]
    monkeypatch.setenv("WRONG", "sk-wrong-and-secret")
    monkeypatch.setenv("RIGHT", KEY)
    monkeypatch.delenv("UNSET", raising=False)
    monkeypatch.setattr(sys, "argv", ["synth", "run", str(recipe), "--out", str(tmp_path / "run"), *options])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    assert ended.value.code == code, said.err
    told = [line for line in said.err.splitlines() if line]
    assert 1 <= len(told) <= 2, told  # a misspelt name is also a name that is missing
    assert all(line.count(". ") <= 1 for line in told), told
    assert [word for word in words if word.format(url=server) not in said.err] == []
    assert "Traceback" not in said.out + said.err
    assert "sk-wrong-and-secret" not in said.out + said.err
    assert sent_thrice(tmp_path / "run") == []


def sent_thrice(folder):
    """Requests that were sent more than twice, as a page may be a proxy's: patience that a mistake does not deserve."""
    if not (folder / "run.db").exists():
        return []
    with contextlib.closing(sqlite3.connect(folder / "run.db")) as store:
        return store.execute("SELECT key FROM attempt GROUP BY key HAVING count(*) > 2").fetchall()


@pytest.mark.parametrize(
    ("url", "said"), [("http://127.0.0.1:1/v1", "cannot be reached"), ("{url}/v1/v1", "ends in /v1")]
)
def test_from_python_the_same_sentence_is_in_the_result(url, said, server, write_recipe, tmp_path, monkeypatch):
    monkeypatch.setenv("RIGHT", KEY)
    teacher = f"main={url.format(url=server)},m,RIGHT"
    result = synth.run(write_recipe(), folder=tmp_path / "run", teachers=teacher, quiet=True)
    assert (result.exit_code, len(result.rows)) == (4, 0)
    assert said in result.message
    assert said in repr(result)
