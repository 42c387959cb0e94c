"""What a reward model gives an answer: one number, from a server of pooling models."""

from __future__ import annotations

import asyncio
import json

import pytest

from synth import sending as module
from synth.backends.online import online
from synth.backends.practice.faults import NO_FAULTS
from synth.backends.practice.server import practice_server
from synth.backends.replay import ReplayRun
from synth.errors import Fatal, Rejected
from synth.protocol.endpoint import Endpoint, Price, Sampling
from synth.scorers.reward import Reward
from synth.types import CLASSIFY, POOLING, SCORE, Message, Outcome, Sample
from tests.asked import Script, teacher_over, unit_of

COSTLY = Endpoint(model="r", base_url="https://api.example.com/v1", price=Price(input_usd=1000, output_usd=0))


def sample(answer, question="三つで何円ですか。"):
    turns = (
        Message(role="system", content="簡潔に。"),
        Message(role="user", content=question),
        Message(role="assistant", content=answer),
    )
    return Sample(id="0/00/000", seed_id="0", parent_id="0", stage="a", draw=0, messages=turns, fields={})


def reply(*data, **more):
    usage = {"prompt_tokens": 7, "total_tokens": 7, "completion_tokens": 0}
    return Outcome(200, json.dumps({"object": "list", "model": "r", "data": data, "usage": usage, **more}).encode())


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(module, "BACKOFF_S", 0.0)


def rewarded(folder, backend, one, *, endpoint=COSTLY, earlier=(), ledger=None, **more):
    """The score of a sample on a fresh or existing store, and what it was charged."""

    async def main():
        async with teacher_over(folder, endpoint, backend, "rm", earlier=earlier, ledger=ledger) as judge:
            ask = unit_of(judge, one.id)
            return await Reward(teacher="rm", **more).score(one, ask), ask.unit.cost_microusd

    return asyncio.run(main())


TURNS = [
    {"role": "system", "content": "簡潔に。"},
    {"role": "user", "content": "三つで何円ですか。"},
    {"role": "assistant", "content": "六円です。"},
]


@pytest.mark.parametrize(
    ("path", "at", "sent", "entry"),
    [
        ("pooling", POOLING, {"messages": TURNS}, {"object": "pooling", "data": [-0.5]}),
        ("pooling", POOLING, {"messages": TURNS}, {"object": "pooling", "data": [[-0.5]]}),
        ("classify", CLASSIFY, {"messages": TURNS}, {"label": "LABEL_0", "probs": [-0.5], "num_classes": 1}),
        (
            "score",
            SCORE,
            {"text_1": "簡潔に。\n\n三つで何円ですか。", "text_2": "六円です。"},
            {"object": "score", "score": -0.5},
        ),
    ],
)
def test_one_number_comes_for_the_whole_conversation_and_is_bought_once(tmp_path, path, at, sent, entry):
    script = Script(reply({"index": 0, **entry}))
    score, cost = rewarded(tmp_path / "run", script, sample("六円です。"), path=path)
    assert (score.name, score.value, cost) == ("reward", -0.5, 7000)
    (request,) = script.sent
    assert request.path == at
    assert json.loads(request.body) == {"model": "r", **sent, "use_activation": False}
    again = Script(reply({"index": 0, "data": [9.0]}))
    assert rewarded(tmp_path / "run", again, sample("六円です。"), path=path) == (score, cost)
    earlier = ReplayRun(tmp_path / "run")
    assert rewarded(tmp_path / "other", again, sample("六円です。"), path=path, earlier=[earlier])[0] == score
    earlier.close()
    assert again.sent == []


def test_the_activation_can_be_had_by_the_teachers_own_words(tmp_path):
    script = Script(reply({"index": 0, "data": [0.4]}))
    endpoint = COSTLY.model_copy(update={"sampling": Sampling(extra={"use_activation": True})})
    rewarded(tmp_path, script, sample("六円です。"), endpoint=endpoint)
    assert json.loads(script.sent[0].body)["use_activation"] is True


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (reply({"index": 0, "data": [0.1] * 64}), "64 numbers for a text, and a reward is one"),
        (reply({"index": 0, "data": [[0.1], [0.2]]}), "2 numbers for a text"),
        (reply({"index": 0, "probs": [0.2, 0.8], "label": "LABEL_1", "num_classes": 2}), "2 numbers for a text"),
        (Outcome(404, b'{"detail": "Not Found"}'), "Not Found"),
    ],
)
def test_a_server_without_a_reward_model_stops_the_run_with_a_sentence(tmp_path, outcome, said):
    with pytest.raises(Fatal, match=r"teacher 'rm'\) has no rewards at /pooling .*runner pooling") as caught:
        rewarded(tmp_path, Script(outcome), sample("六円です。"))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        [],
        [{"index": 0}],
        [{"index": 1, "data": [1.0]}],
        [{"index": 0, "data": ["1"]}],
        [{"index": 0, "data": [float("nan")]}],
        [{"index": 0, "data": True}],
    ],
)
def test_an_unusable_reward_is_asked_for_once_more_and_is_never_a_zero(tmp_path, data):
    ledger = []
    script = Script(reply(*data), reply({"index": 0, "data": [2.0]}))
    assert rewarded(tmp_path, script, sample("六円です。"), ledger=ledger)[0].value == 2.0
    assert {line.failure for line in ledger} == {"malformed", "ok"}


@pytest.mark.parametrize(
    ("outcome", "answer"),
    [
        (reply({"index": 0, "data": [1.0]}, {"index": 1, "data": [2.0]}), "六円です。"),
        (Outcome(400, b'{"error": {"message": "maximum context length is 512 tokens", "code": 400}}'), "六円です。"),
        (reply({"index": 0, "data": [1.0]}), " "),
    ],
)
def test_an_answer_that_gets_no_reward_has_no_verdict(tmp_path, outcome, answer):
    with pytest.raises(Rejected) as caught:
        rewarded(tmp_path, Script(outcome), sample(answer))
    assert caught.value.reason == "no_verdict"


@pytest.mark.parametrize("path", ["pooling", "classify", "score"])
@pytest.mark.parametrize("below", ["/v1", ""])
@pytest.mark.parametrize(
    ("question", "right", "wrong"),
    [
        ("バスが大阪市を出て、時速60kmで3時間走りました。進んだ道のりは何kmですか。", "答え: 180km", "答え: 18km"),
        ("On which day of the week does 2000-1-1 fall?", "It is a Saturday.\n\nA: Saturday", "A: Monday"),
    ],
)
def test_a_server_is_found_at_its_root_and_below_v1_and_the_right_answer_is_rewarded(
    tmp_path, path, below, question, right, wrong
):
    endpoint = Endpoint(model="practice-reward-1", base_url="practice:")

    async def main():
        async with (
            practice_server(NO_FAULTS) as base_url,
            online(endpoint, base_url.removesuffix("/v1") + below) as backend,
            teacher_over(tmp_path, endpoint, backend, "rm") as judge,
        ):
            reward = Reward(teacher="rm", path=path)
            return [(await reward.score(sample(answer, question), unit_of(judge))).value for answer in (right, wrong)]

    good, bad = asyncio.run(main())
    assert bad < 0 < good
