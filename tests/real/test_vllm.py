"""Likelihoods and rewards against real vLLM servers of tiny random models, and the practice server beside them.

They run where SYNTH_VLLM names a `vllm` command, or one is on the path; models are built by the Python beside it.
"""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
from pathlib import Path
from statistics import fmean

import aiohttp
import pytest

from synth.admission.halt import Halt
from synth.ask import UnitAsk
from synth.backends.online import online
from synth.backends.practice.faults import NO_FAULTS
from synth.backends.practice.server import practice_server
from synth.errors import Fatal, Rejected
from synth.money.budget import Budget, Caps
from synth.protocol.endpoint import Endpoint
from synth.recipes.templates import Templates
from synth.scorers.likelihood import Likelihood
from synth.scorers.reward import Reward
from synth.sending import Sender
from synth.storage.store import Store
from synth.teacher import Teacher
from synth.types import Message, Sample
from synth.unit import Unit
from tests.real.started import MODELS, NEEDS_VLLM, python

pytestmark = NEEDS_VLLM


def measured(models: Path, pairs) -> list[dict]:
    """What transformers finds on its own."""
    process = subprocess.run([python(), MODELS, "measure", models], input=json.dumps(pairs), capture_output=True,
                             text=True, check=True, timeout=300)  # fmt: skip
    return json.loads(process.stdout)


def sample(question, answer):
    turns = (Message(role="user", content=question),) if question else ()
    messages = (*turns, Message(role="assistant", content=answer))
    return Sample(id="0/00/000", seed_id="0", parent_id="0", stage="a", draw=0, messages=messages, fields={})


def scores(folder, urls, scorers, samples):
    """The value that each scorer gives each sample."""

    async def main():
        store = Store(folder)
        try:
            await store.open_run()
            endpoints = {name: Endpoint(model="tiny", base_url=urls[name]) for name in ("student", "rewards")}
            async with (
                online(endpoints["student"], urls["student"]) as one,
                online(endpoints["rewards"], urls["rewards"]) as other,
            ):
                backends = {"student": one, "rewards": other}
                teachers = {
                    name: Teacher(
                        Sender(
                            name, endpoint, backends=[backends[name]], store=store, budget=Budget(Caps()), halt=Halt()
                        )
                    )
                    for name, endpoint in endpoints.items()
                }
                ask = UnitAsk(Unit("stage", "0/00", 0, 0), teachers, Templates(folder), "ja", 0)
                return [[(await scorer.score(each, ask)).value for each in samples] for scorer in scorers]
        finally:
            store.close()

    return asyncio.run(main())


CASES = [
    ("How many metres are there in four kilometres?", "To solve this, multiply by 1000.\n\nA: 4000 m"),
    ("値段はいくらですか。", "値段に個数を掛けると答えが出ます。\n\n答え: 三百円"),
    ("鬱金香とは何ですか。", "😀鬱金香は花です。"),
    ("She", "bought three"),
    ("", "彼女は市場で買いました。"),
]
"""The tiny tokeniser writes most kanji and the face in several tokens."""


def plain(question):
    return f"{question}\n\n" if question else ""


def chatml(question):
    return (f"<|im_start|>user\n{question}<|im_end|>\n" if question else "") + "<|im_start|>assistant\n"


@pytest.mark.parametrize(("prompt", "written"), [("likelihood.md.j2", plain), ("likelihood.chatml.md.j2", chatml)])
def test_likelihoods_are_those_that_the_model_gives_without_a_server(tmp_path, models, servers, prompt, written):
    names = ("logprob", "perplexity", "per_character", "per_byte", "ifd")
    scorers = [Likelihood(teacher="student", measure=name, prompt=prompt) for name in names]
    found = scores(tmp_path, servers, scorers, [sample(*case) for case in CASES])
    given = measured(models, [[written(question), answer] for question, answer in CASES])
    alone = measured(models, [[written(""), answer] for _, answer in CASES])
    for place, (_, answer) in enumerate(CASES):
        logprobs = given[place]["logprobs"]
        both = logprobs[1:] if alone[place]["first"] and not given[place]["first"] else logprobs
        expected = [
            fmean(logprobs),
            math.exp(-fmean(logprobs)),
            math.fsum(logprobs) / len(answer),
            math.fsum(logprobs) / len(answer.encode()),
            fmean(both) / fmean(alone[place]["logprobs"]),
        ]
        assert [one[place] for one in found] == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("path", ["pooling", "classify", "score"])
def test_rewards_are_those_that_the_model_gives_without_a_server(tmp_path, models, servers, path):
    talks = [
        chatml(question).removesuffix("<|im_start|>assistant\n") + f"<|im_start|>assistant\n{answer}<|im_end|>\n"
        for question, answer in CASES[:3]
    ]
    texts = (
        [[question, answer] for question, answer in CASES[:3]] if path == "score" else [[talk, ""] for talk in talks]
    )
    expected = [one["reward"] for one in measured(models, texts)]
    (found,) = scores(tmp_path, servers, [Reward(teacher="rewards", path=path)], [sample(*case) for case in CASES[:3]])
    assert found == pytest.approx(expected, rel=1e-3)


def test_a_text_beyond_the_window_has_no_verdict(tmp_path, servers):
    for scorer in (Likelihood(teacher="student"), Reward(teacher="rewards")):
        with pytest.raises(Rejected, match="maximum context length") as caught:
            scores(tmp_path, servers, [scorer], [sample("三つ", "買いました。" * 300)])
        assert caught.value.reason == "no_verdict"


def test_a_server_asked_for_what_it_does_not_serve_stops_the_run(tmp_path, servers):
    swapped = {"student": servers["rewards"], "rewards": servers["student"]}
    with pytest.raises(Fatal, match="has no log-probabilities of prompts at /completions"):
        scores(tmp_path / "one", swapped, [Likelihood(teacher="student")], [sample(*CASES[0])])
    with pytest.raises(Fatal, match="has no rewards at /pooling"):
        scores(tmp_path / "other", swapped, [Reward(teacher="rewards")], [sample(*CASES[0])])


TALK = [{"role": "user", "content": "何円？"}, {"role": "assistant", "content": "六円です。"}]
ECHO = {"prompt": "She bought", "echo": True, "logprobs": 1, "max_tokens": 1}
SAME = [
    ("student", "/v1/completions", ECHO),
    ("student", "/v1/completions", ECHO | {"max_tokens": 0}),
    ("student", "/v1/completions", ECHO | {"echo": False}),
    ("student", "/v1/completions", ECHO | {"logprobs": None}),
    ("student", "/v1/completions", ECHO | {"prompt": ""}),
    ("student", "/v1/completions", ECHO | {"logprobs": 21}),
    ("student", "/v1/completions", ECHO | {"prompt": "何" * 9000}),
    ("student", "/v1/completions", ECHO | {"model": "nonesuch"}),
    ("rewards", "/pooling", {"messages": TALK}),
    ("rewards", "/pooling", {"messages": TALK, "use_activation": False}),
    ("rewards", "/pooling", {"input": ["六円です。", "x"]}),
    ("rewards", "/pooling", {"input": ""}),
    ("rewards", "/pooling", {}),
    ("rewards", "/pooling", {"messages": []}),
    ("rewards", "/pooling", {"messages": TALK, "model": "nonesuch"}),
    ("rewards", "/classify", {"messages": TALK}),
    ("rewards", "/score", {"text_1": "何円？", "text_2": "六円です。"}),
    ("rewards", "/v1/score", {"text_1": "何円？", "text_2": "六円です。"}),
    ("rewards", "/v1/score", {"text_1": "何円？"}),
    ("rewards", "/v1/pooling", {"messages": TALK}),
    ("rewards", "/v1/classify", {"messages": TALK}),
]
PRACTICE = {"student": "practice-1", "rewards": "practice-reward-1"}


def shape(value):
    """What a document is made of: names, kinds of values, lengths of lists but for those of tokens."""
    if isinstance(value, dict):
        return {name: shape(one) for name, one in value.items() if one is not None}
    if isinstance(value, list):
        return [shape(one) for one in value if one is not None][:1]
    return "number" if isinstance(value, (int, float)) else type(value).__name__


def test_the_practice_server_answers_as_the_real_one_does(servers):
    async def main():
        found = []
        async with practice_server(NO_FAULTS) as practice, aiohttp.ClientSession() as session:
            for name, path, body in SAME:
                pair = []
                for url, model in ((servers[name], "tiny"), (practice, PRACTICE[name])):
                    async with session.post(url.removesuffix("/v1") + path, json={"model": model, **body}) as response:
                        pair.append((response.status, await response.json()))
                found.append((path, body, *pair))
        return found

    for path, body, (status, real), (own_status, own) in asyncio.run(main()):
        assert own_status == status, (path, body, real, own)
        if status != 200:
            continue
        assert shown(body, real) == shown(body, own), (path, body, real, own)
        for member in ("choices", "data", "usage"):
            assert within(shape(own.get(member)), shape(real.get(member))), (path, body, real, own)


def shown(body, document):
    """How many tokens are shown beyond those of an echoed prompt, and how many are said to be written."""
    logprobs = document["choices"][0]["logprobs"] if "choices" in document else None
    echoed = document["usage"]["prompt_tokens"] if body.get("echo") else 0
    return logprobs and len(logprobs["tokens"]) - echoed, document["usage"].get("completion_tokens")


def within(part, whole) -> bool:
    """Whether all that a shape has is in another one, which may have more."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(name in whole and within(one, whole[name]) for name, one in part.items()
                                               if name not in ("top_logprobs",))  # fmt: skip
    if isinstance(part, list):
        return isinstance(whole, list) and (not part or not whole or within(part[0], whole[0]))
    return part == whole
