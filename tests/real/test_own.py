"""A recipe through real vLLM: by a server that is there, by one of the run's own, and over a pipe.

The teacher is a tiny model that was trained, so its answers are right; another one with random weights shows that what
is enforced is enforced.
"""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from pydantic import BaseModel, ConfigDict, Field

import synth
from synth.admission.halt import Halt
from synth.ask import UnitAsk
from synth.backends.online import online
from synth.backends.own_vllm import own_vllm
from synth.money.budget import Budget, Caps
from synth.protocol.endpoint import Endpoint
from synth.recipes.templates import Templates
from synth.sending import Sender
from synth.storage.store import Store
from synth.teacher import Teacher
from synth.types import CHAT, COMPLETIONS, Message, Request
from synth.unit import Unit
from tests.real.exercises import recipe
from tests.real.started import NEEDS_VLLM, THINKING

pytestmark = [*NEEDS_VLLM, pytest.mark.usefixtures("surroundings")]


def test_the_trained_teacher_is_right_and_its_trace_is_kept_apart(rows, exercises):
    made = [json.loads(line)["messages"] for line in rows.splitlines()]
    assert len(made) == len(exercises) > 50
    right = [
        (answer["content"], answer["reasoning_content"]) == (one["expected"], one["thought"])
        for (_, answer), one in zip(made, exercises, strict=True)
    ]
    assert sum(right) >= 0.95 * len(right), made


@pytest.mark.parametrize("way", ["vllm:", "serve:"])
def test_with_vllm_of_its_own_the_rows_are_the_same(way, tmp_path, models, exercises, rows):
    there = recipe(tmp_path / "recipe", exercises, f"{way}{models / 'teacher'}")
    result = synth.run(there, folder=tmp_path / "run")
    assert (result.exit_code, result.message) == (0, "")
    assert (tmp_path / "run" / "rows.jsonl").read_bytes() == rows


SAME = [
    (CHAT, {"n": 2, "seed": 3, "temperature": 1.0, "max_tokens": 20}),
    (CHAT, {"logprobs": True, "top_logprobs": 2, "max_tokens": 5, "temperature": 0}),
    (CHAT, {"max_tokens": 10, "temperature": 0, "response_format": {
        "type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "objekt"}}}}),
    (CHAT, {"max_tokens": 60, "temperature": 0, "structured_outputs": {"regex": "[0-9]{4}"}}),
    (CHAT, {"max_tokens": 9000}),
    (CHAT, {"model": "nonesuch"}),
    (CHAT, {"messages": "none"}),
    (COMPLETIONS, {"prompt": "2021年3月5日", "messages": None, "echo": True, "logprobs": 1, "max_tokens": 1,
                   "temperature": 0}),
]  # fmt: skip


def test_over_the_pipe_every_request_brings_what_it_brings_over_http(tmp_path, models, servers):
    asked = [{"role": "user", "content": "2021年3月5日"}]
    bodies = [(path, {"model": "tiny", "messages": asked, **body}) for path, body in SAME]
    bodies = [(path, {name: one for name, one in body.items() if one is not None}) for path, body in bodies]
    endpoint = Endpoint(model="tiny", base_url=f"vllm:{models / 'teacher'}", vllm_args=[*THINKING])

    async def main():
        found = []
        async with (
            own_vllm(endpoint, tmp_path, tmp_path / "log", Halt(), print, lambda _: "") as piped,
            aiohttp.ClientSession() as session,
        ):
            for path, body in bodies:
                outcome = await piped.send(Request(b"k", "main", "tiny", json.dumps(body).encode(), 0, 1, 1, path=path))
                async with session.post(servers["taught"] + path, json=body) as response:
                    found.append(
                        (body, (outcome.status, json.loads(outcome.body)), (response.status, await response.json()))
                    )
        return found

    for body, own, there in asyncio.run(main()):
        assert told(own) == told(there), body
    assert (tmp_path / "log").stat().st_size > 0


def told(reply):
    """A reply without what is new each time."""
    status, document = reply
    return status, {name: one for name, one in document.items() if name not in ("id", "created", "prompt_token_ids")}


class Card(BaseModel):
    """A shape that random words can be brought into."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(pattern="^[a-z]{3,8}$")
    level: int = Field(ge=1, le=5)
    is_new: bool


def asked_for_cards(folder, url, structured):
    async def main():
        store = Store(folder)
        try:
            await store.open_run()
            endpoint = Endpoint(
                model="tiny", base_url=url, structured=structured, sampling={"max_tokens": 90, "temperature": 1}
            )
            async with online(endpoint, url) as backend:
                sender = Sender("main", endpoint, backends=[backend], store=store, budget=Budget(Caps()), halt=Halt())
                one = Teacher(sender)
                return await asyncio.gather(*(card(one, draw, folder) for draw in range(25)), return_exceptions=True)
        finally:
            store.close()

    return asyncio.run(main())


async def card(teacher, draw, folder):
    """What one request for a card brings, and what it took."""
    unit = Unit("stage", f"{draw}", 0, draw)
    ask = UnitAsk(unit, {"main": teacher}, Templates(folder), "ja", draw)
    prompt = [Message(role="user", content=f"{draw}枚目のカードを書いてください。")]
    return await ask.schema(Card, prompt, teacher="main"), unit.repairs


def test_a_schema_is_enforced_on_random_weights(tmp_path, servers):
    found = asked_for_cards(tmp_path, servers["student"], "json_schema")
    made = [one for one in found if isinstance(one, tuple)]
    assert len(made) >= 8  # the others wrote blanks between two words until they were cut
    assert {repair for _, repairs in made for repair in repairs} <= {"larger_cap"}
