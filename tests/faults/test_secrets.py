"""Fault 63: a key is in no file, no output and no traceback, whatever a server does with it."""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
import tempfile
import time

import pytest

from tests.conftest import CANARY, OWN_FOLDERS, traces_of_the_canary, written_elsewhere
from tests.faults.scripted import READ, Scripted, reply

KEY = {"SYNTH_CANARY": CANARY}


def completion(text: str) -> bytes:
    return json.dumps({"model": "m", "choices": [{"message": {"content": text}, "finish_reason": "stop"}]}).encode()


def error(text: str) -> bytes:
    return json.dumps({"error": {"message": text, "code": CANARY}}).encode()


ECHOES = {
    "in an error": reply(error(f"Incorrect API key provided: Bearer {CANARY}"), status="401 Unauthorized"),
    "in a refusal of the sample": reply(error(f"not with {CANARY}"), status="422 Unprocessable"),
    "in an error page": reply(f"<html>{CANARY}</html>".encode(), status="400 Bad Request"),
    "in an answer": reply(completion(f"Your headers: Authorization: Bearer {CANARY}")),
    "in JSON that is none": reply(f'{{"choices": [{CANARY}'.encode()),
    "in a header": reply(completion("x"), f"x-request-id: {CANARY}"),
    "in a redirect": reply(b"", f"location: https://elsewhere.example/?key={CANARY}", status="302 Found"),
    "in a status line": reply(b"", status=f"402 {CANARY}"),
}


@pytest.mark.parametrize("echo", ECHOES)
def test_fault_63_a_key_that_a_server_echoes_is_written_nowhere(echo, write_recipe, synth, tmp_path):
    with Scripted([READ, ECHOES[echo]] * 400) as server:
        recipe = write_recipe(f"http://127.0.0.1:{server.port}/v1", endpoint="key_variable: SYNTH_CANARY")
        finished = synth("run", recipe, "--limit", "1", "--out", "run", env=KEY)
        assert server.posts
        assert f"Bearer {CANARY}".encode() in server.posts[0].head
    assert "Traceback" not in finished.stderr
    shown = ["status run", "show run", "show run --rejected", "doctor run"] if echo == "in an answer" else ["show run"]
    for more in shown:
        told = synth(*more.split(), env=KEY)
        assert CANARY not in told.stdout + told.stderr
    assert CANARY not in finished.stdout + finished.stderr
    assert traces_of_the_canary(tmp_path) == []


def test_the_search_finds_a_key_wherever_it_hides(tmp_path):
    import sqlite3

    import zstandard

    (tmp_path / "plain.txt").write_text(f"x {CANARY} y")
    (tmp_path / "coded.txt").write_bytes(base64.b64encode(CANARY.encode()))
    (tmp_path / "packed.zst").write_bytes(zstandard.compress(CANARY.encode() * 9))
    (tmp_path / "innocent.txt").write_text("sk-other")
    connection = sqlite3.connect(tmp_path / "run.db")
    connection.execute("CREATE TABLE reply (raw BLOB)")
    scattered = zstandard.compress(secrets.token_bytes(20_000) + CANARY.encode())  # over several pages
    connection.execute("INSERT INTO reply VALUES (?)", (scattered,))
    connection.commit()
    connection.close()
    assert [path.name for path in traces_of_the_canary(tmp_path)] == ["coded.txt", "packed.zst", "plain.txt", "run.db"]


def test_the_search_finds_what_was_written_elsewhere_since_it_began(tmp_path, monkeypatch):
    folders = {name: tmp_path / name for name in ("HOME", "TMPDIR", "PYTHONPYCACHEPREFIX", *OWN_FOLDERS)}
    wanted = set()
    for name, folder in folders.items():
        below = folder / ("tmpx" if name == "TMPDIR" else "" if name == "HOME" else "deep")
        below.mkdir(parents=True)
        for age, file in ((0, "new"), (3600, "old")):
            (below / file).touch()
            os.utime(below / file, 2 * (time.time() - age,))
        wanted.add(below / "new")
        monkeypatch.setenv(name, str(folder))
    (folders["TMPDIR"] / "synth-0.emergency").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(folders["TMPDIR"]))
    monkeypatch.setattr(sys, "pycache_prefix", str(folders["PYTHONPYCACHEPREFIX"]))
    found = {path for path in written_elsewhere(time.time() - 60) if tmp_path in path.parents}
    assert found == wanted | {folders["TMPDIR"] / "synth-0.emergency"}
