"""Several servers, or keys, of one teacher, of which some are of no use: whole runs on scripted servers."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import pytest

from synth import pipeline
from synth.admission import breaker
from synth.live.progress import Progress
from synth.live.snapshot import snapshot
from synth.recipes.loading import load
from synth.results.result import Options, Result
from tests.faults.played import ANSWER, RECIPE, refuses, says
from tests.faults.scripted import READ, Post, Scripted, reply

STATUSES = {401: "401 Unauthorized", 402: "402 Payment Required", 404: "404 Not Found", 429: "429 Too Many Requests"}
UP = reply(says("はい").body)
CHOICES = [{"index": place, "message": {"content": f"はい{place}"}, "finish_reason": "stop"} for place in range(4)]
FOUR_UP = reply(
    json.dumps(
        {"choices": CHOICES, "usage": {"prompt_tokens": 3, "completion_tokens": 20}}, ensure_ascii=False
    ).encode()
)


def serving(answer: bytes = UP, wait_s: float = 0.01) -> Iterable[object]:
    while True:
        yield READ
        yield wait_s
        yield answer


def refusing(status: int, message: str, code: str) -> bytes:
    return reply(refuses(status, message, code).body, status=STATUSES[status])


NO_KEY = refusing(401, "Incorrect API key provided", "invalid_api_key")
NO_MONEY = refusing(429, "You exceeded your current quota", "insufficient_quota")
NO_MODEL = refusing(404, "The model `asked` does not exist", "model_not_found")
A_PAGE = reply(b"<html>\xe3\x81\x93\xe3\x82\x93\xe3\x81\xab\xe3\x81\xa1\xe3\x81\xaf</html>", "Content-Type: text/html")
BAD = {
    "key": (NO_KEY, "check the key in SECOND_KEY"),
    "money": (NO_MONEY, "the key in SECOND_KEY has no money left"),
    "model": (NO_MODEL, "name one that it lists under /models"),
    "page": (A_PAGE, "has no chat completions at"),
}


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRST_KEY", "first-key-for-tests")
    monkeypatch.setenv("SECOND_KEY", "second-key-for-tests")


def prepared(folder: Path, urls: list[str], count: int, draws: int = 1) -> Path:
    replicas = f"replicas: [{{base_url: '{urls[1]}', key_variable: SECOND_KEY}}]" if len(urls) > 1 else ""
    teacher = f"key_variable: FIRST_KEY\n    profile: vllm\n    {replicas}"
    text = RECIPE.format(in_flight=8, teacher=teacher, generator=f"{ANSWER}\n    draws: {draws}")
    (folder / "recipe.yaml").write_text(text.replace("replay:none", urls[0]), encoding="utf-8")
    (folder / "ask.md.j2").write_text("{{ q }}")
    (folder / "seeds.jsonl").write_text("".join(f'{{"q": "問{number}"}}\n' for number in range(count)))
    return folder


def run(
    tmp_path: Path, urls: list[str], count: int = 200, seen: list[Progress] | None = None, draws: int = 1
) -> Result:
    async def main() -> Result:
        asked = pipeline.run(
            load(prepared(tmp_path, urls, count, draws)),
            Options(tmp_path / "run"),
            lambda progress, halt: None if seen is None else seen.append(progress),
        )
        async with asyncio.timeout(120):
            return await asked

    return asyncio.run(main())


def nobody() -> str:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}/v1"


def questions(posts: list[Post]) -> Counter[str]:
    return Counter(json.loads(post.body)["messages"][-1]["content"] for post in posts)


@pytest.mark.parametrize("bad_first", [False, True])
@pytest.mark.parametrize("bad", BAD)
def test_a_member_that_is_of_no_use_is_left_out_and_costs_no_row(tmp_path, bad, bad_first):
    answer, said = BAD[bad]
    said = said.replace("SECOND", "FIRST") if bad_first else said
    with Scripted(serving) as good, Scripted(lambda: serving(answer, 0.0)) as useless:
        urls, seen = [good.url, useless.url], []
        result = run(tmp_path, urls[::-1] if bad_first else urls, seen=seen)
        assert (result.exit_code, result.manifest.row_count, result.manifest.stages[0].parked) == (0, 200, 0)
        assert questions(good.posts) == Counter(f"問{number}" for number in range(200))
        assert len(useless.posts) <= 64, "more than were under way, and a canary"
    if bad != "page":  # which may have been paid for
        assert result.manifest.cost_microusd == 200 * 50
    [told] = snapshot("pool", seen[0]).teachers[0].left_out
    assert useless.url in told
    assert said in told
    assert told in result.message
    assert good.url not in result.message


def test_a_member_that_refuses_whatever_is_asked_costs_no_row(tmp_path):
    refusal = reply(refuses(400, "知らない引数です: seed", "unknown").body, status="400 Bad Request")
    with Scripted(serving) as good, Scripted(lambda: serving(refusal, 0.0)) as useless:
        result = run(tmp_path, [good.url, useless.url])
        assert (result.exit_code, result.manifest.row_count, result.manifest.rejected) == (0, 200, {})
        assert 0 < len(useless.posts) <= 64
    assert "知らない引数です" in result.message


def test_what_every_member_refuses_is_refused_and_asked_no_more(tmp_path):
    refusal = reply(refuses(400, "長すぎます", "too_long").body, status="400 Bad Request")
    with Scripted(lambda: serving(refusal)) as first, Scripted(lambda: serving(refusal)) as second:
        result = run(tmp_path, [first.url, second.url], 1)
        assert result.manifest.rejected == {"permanent": 1}
        assert (len(first.posts), len(second.posts)) == (1, 1)


def test_a_member_that_comes_to_say_nothing_does_not_draw_all_requests_to_it_by_being_quick(tmp_path):
    empty = reply(says("").body)

    def runs_dry() -> Iterable[object]:
        for answer in [UP] * 5 + [empty] * 1000:
            yield from (READ, answer)

    with Scripted(serving) as good, Scripted(runs_dry) as dry:
        result = run(tmp_path, [good.url, dry.url], 400)
        assert result.manifest.row_count >= 390
        assert len(dry.posts) <= 5 * 16 + 64
    assert "the reply is empty" in result.message


@pytest.mark.parametrize("bad", ["key", "money", "model"])
def test_a_member_that_is_of_no_use_is_left_out_by_what_asks_for_several_draws(tmp_path, bad):
    answer, said = BAD[bad]
    with Scripted(lambda: serving(FOUR_UP)) as good, Scripted(lambda: serving(answer, 0.0)) as useless:
        result = run(tmp_path, [good.url, useless.url], 100, draws=4)
        assert (result.exit_code, result.manifest.row_count, result.manifest.stages[0].parked) == (0, 400, 0)
        assert [json.loads(post.body)["n"] for post in good.posts] == [4] * 100  # no prompt was bought twice
        assert len(useless.posts) <= 64
    assert said in result.message


def test_a_whole_run_that_left_a_member_out_has_nothing_to_do_when_it_is_run_again(tmp_path):
    with Scripted(serving) as good, Scripted(lambda: serving(NO_KEY)) as useless:
        first = run(tmp_path, [good.url, useless.url], 40)
        sent = len(good.posts), len(useless.posts)
        again = run(tmp_path, [good.url, useless.url], 40)
        assert (len(good.posts), len(useless.posts)) == sent
    assert "check the key in SECOND_KEY" in first.message
    assert (again.exit_code, again.message) == (0, "Nothing to do: the dataset is up to date, with 40 rows.")


def test_a_member_that_cannot_be_reached_ends_nothing_though_it_fails_before_another_ones_first_reply(tmp_path):
    with Scripted(lambda: serving(wait_s=0.5)) as slow:
        gone = nobody()
        result = run(tmp_path, [gone, slow.url], 40)
    assert (result.exit_code, result.manifest.row_count, result.manifest.stages[0].parked) == (0, 40, 0)
    assert f"{gone} (teacher 'main') cannot be reached: the connection was refused" in result.message


@pytest.mark.parametrize("answer", [NO_KEY, NO_MODEL, A_PAGE], ids=["key", "model", "page"])
def test_a_member_that_works_again_is_asked_again(tmp_path, monkeypatch, answer):
    monkeypatch.setattr(breaker, "BREAKER_PAUSE_S", 0.2)

    def mending() -> Iterable[object]:
        while True:
            yield READ
            yield answer if len(good.posts) < 300 else UP

    with Scripted(serving) as good, Scripted(mending) as mended:
        seen: list[Progress] = []
        result = run(tmp_path, [good.url, mended.url], 1500, seen)
        assert (result.exit_code, result.message, result.manifest.row_count) == (0, "", 1500)
        assert len(mended.posts) >= 100
    assert snapshot("pool", seen[0]).teachers[0].left_out == ()


def test_a_key_that_is_revoked_in_mid_run_leaves_the_rest_to_the_other_one(tmp_path):
    answered = 0

    def revoked() -> Iterable[object]:
        nonlocal answered
        while True:
            yield READ
            answered += 1
            yield UP if answered <= 50 else NO_KEY

    with Scripted(serving) as good, Scripted(revoked) as other:
        result = run(tmp_path, [good.url, other.url], 400)
        assert (result.exit_code, result.manifest.row_count, result.manifest.stages[0].parked) == (0, 400, 0)
        assert 50 < len(other.posts) <= 50 + 64
    assert "check the key in SECOND_KEY" in result.message


def test_a_run_ends_when_no_member_is_left_and_says_of_each_what_to_mend(tmp_path):
    with Scripted(lambda: serving(NO_KEY)) as first, Scripted(lambda: serving(NO_MONEY)) as second:
        result = run(tmp_path, [first.url, second.url])
        assert result.exit_code == 4
        assert len(first.posts) + len(second.posts) <= 2 * 64
    assert f"{first.url} (teacher 'main') refused the request" in result.message
    assert "check the key in FIRST_KEY" in result.message
    assert (
        f"{second.url} (teacher 'main') says the account of the key in SECOND_KEY has no money left" in result.message
    )
    assert result.message.count("FIRST_KEY") == 1
    with ExitStack() as stack:
        mended = [stack.enter_context(Scripted(serving, port=port)) for port in (first.port, second.port)]
        result = run(tmp_path, [each.url for each in mended])
        assert (result.exit_code, result.manifest.row_count) == (0, 200)


def test_members_that_never_answer_end_the_run_at_once(tmp_path):
    gone = [nobody(), nobody()]
    result = run(tmp_path, gone)
    assert result.exit_code == 4
    assert all(f"{url} (teacher 'main') cannot be reached" in result.message for url in gone)
