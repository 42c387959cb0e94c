"""Several draws of a prompt in one request, where the host bills the prompt once: what is sent, kept, charged and read."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3

import pytest

from synth import opening, pipeline
from synth.console.status import status
from synth.console.tracing import traced
from synth.generators.answer import Answer
from synth.money.account import set_total
from synth.money.prices import Price, tariff
from synth.protocol.endpoint import Endpoint, Sampling
from synth.protocol.lots import Lot, _read, choice_of, part, share_of, together
from synth.protocol.replies import read, usage_of
from synth.recipes.loading import load
from synth.report.figures import spending
from synth.results.result import Options
from synth.results.trace import trace
from synth.storage.database import connect
from synth.storage.salvage import repair
from synth.storage.store import Store
from synth.types import Outcome, Planned, Request, Spend

RECIPE = """\
name: lots
language: ja
seeds: {{kind: jsonl, path: seeds.jsonl}}
budget: {{{budget}}}
teachers:
  main:
    model: m
    base_url: "replay:none"
    {profile}
    sampling: {{max_tokens: 50, {sampling}}}
    limits: {{max_in_flight: {in_flight}}}
    price: {{input_usd: 1.37, output_usd: 2.91, request_usd: 0.0000013}}
stages:
  - name: solve
    draws: {draws}
    ask_again: {again}
    generator: {{kind: answer, prompt: ask.md.j2, question: q}}
    validators: []
{tail}
"""
PROMPT_TOKENS, WRITTEN = 11, 7


def choice(text: str, finish: str = "stop", **more) -> dict:
    return {"message": {"content": text, **more}, "finish_reason": finish}


def says(*choices: dict, usage: bool = True) -> Outcome:
    """A reply that holds these choices, and bills its prompt once."""
    numbered = [{"index": place, **one} for place, one in enumerate(choices)]
    body = {"model": "m", "choices": numbered[::-1]}  # in no order that is promised
    if usage:
        body["usage"] = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": WRITTEN * len(choices) + 1}
    return Outcome(200, json.dumps(body, ensure_ascii=False).encode())


class Several:
    """A teacher that gives as many choices as are asked for, each by its draw; `odd` says what else it does."""

    def __init__(self, odd=None):
        self.sent, self.odd = [], odd

    async def send(self, request):
        body = json.loads(request.body)
        question, number = body["messages"][-1]["content"], body.get("n", 1)
        self.sent.append((question, request.draw, number))
        await asyncio.sleep(random.Random(f"{question}{request.draw}").random() / 200)
        came = self.odd(question, request.draw, number) if self.odd else None
        return came or says(*(choice(f"{question}の答え{request.draw + place}") for place in range(number)))

    def by_question(self, question):
        return sorted((draw, number) for one, draw, number in self.sent if one == question)


@pytest.fixture
def solve(tmp_path, monkeypatch):
    """Run; gives the result, the rows, and the teacher with what it was sent."""
    monkeypatch.setattr("synth.sending.BACKOFF_S", 0.0)
    folder = tmp_path / "recipe"
    folder.mkdir()
    (folder / "ask.md.j2").write_text("{{ q }}", encoding="utf-8")

    def run(draws=4, *, questions=("鶴と亀", "旅人"), odd=None, profile="profile: vllm", sampling="", budget="",
            again=0, tail="", in_flight=8, out="run", **options):  # fmt: skip
        teacher = Several(odd)
        monkeypatch.setattr(opening, "replay", lambda base_url, folder: teacher)
        text = RECIPE.format(
            draws=draws, profile=profile, sampling=sampling, budget=budget, again=again, tail=tail, in_flight=in_flight
        )  # fmt: skip
        (folder / "recipe.yaml").write_text(text, encoding="utf-8")
        (folder / "seeds.jsonl").write_text(
            "".join(json.dumps({"q": one}, ensure_ascii=False) + "\n" for one in questions), encoding="utf-8"
        )
        result = asyncio.run(pipeline.run(load(folder), Options(tmp_path / out, **options)))
        return result, (tmp_path / out / "rows.jsonl").read_text(encoding="utf-8"), teacher

    run.folder = tmp_path
    return run


def told(rows: str) -> list[tuple[str, str, int]]:
    return [
        (row["id"], row["messages"][-1]["content"], row["cost_microusd"]) for row in map(json.loads, rows.splitlines())
    ]


def ledger(folder):
    """Attempts, requests, prompt tokens, completion tokens and micro-dollars of a run's store."""
    store = Store(folder)
    try:
        lines = store.ledger()
        assert store.spent().requests == sum(one.sends for one in lines)
        names = ("attempts", "sends", "prompt_tokens", "completion_tokens", "cost_microusd")
        return tuple(sum(getattr(one, name) for one in lines) for name in names)
    finally:
        store.close()


def test_a_prompt_is_billed_once_for_all_its_draws_where_the_host_does_so(solve):
    result, rows, teacher = solve()
    assert teacher.by_question("鶴と亀") == teacher.by_question("旅人") == [(0, 4)]
    assert [text for _, text, _ in told(rows)] == [f"{q}の答え{k}" for q in ("鶴と亀", "旅人") for k in range(4)]
    assert ledger(solve.folder / "run")[:4] == (8, 2, 2 * PROMPT_TOKENS, 2 * (4 * WRITTEN + 1))
    assert "2 of" not in str(result.manifest.standing)
    alone, _, teacher = solve(profile="", out="alone")
    assert teacher.by_question("旅人") == [(0, 1), (1, 1), (2, 1), (3, 1)]
    assert ledger(solve.folder / "alone")[:3] == (8, 8, 8 * PROMPT_TOKENS)
    assert result.manifest.cost_microusd < alone.manifest.cost_microusd


def test_the_parts_of_what_a_reply_cost_are_all_of_it(solve):
    result, rows, _ = solve(draws=7)
    price = tariff(Price(input_usd=1.37, output_usd=2.91, request_usd=0.0000013))
    reply = says(*[choice("答")] * 7)
    each = price.charge(Spend(), usage_of(reply), paid=True).microusd
    costs = [cost for _, _, cost in told(rows)]
    assert sum(costs[:7]) == sum(costs[7:]) == each
    assert max(costs) - min(costs) <= 1
    assert result.manifest.cost_microusd == 2 * each == ledger(solve.folder / "run")[4]


def test_the_same_store_gives_the_same_bytes_and_another_number_of_draws_buys_only_what_is_new(solve):
    _, rows, _ = solve(draws=4)
    _, again, teacher = solve(draws=4)
    assert (again, teacher.sent) == (rows, [])
    _, fewer, teacher = solve(draws=2)
    assert teacher.sent == []
    assert told(fewer) == [one for one in told(rows) if one[0].split("/")[1] in ("00", "01")]
    _, more, teacher = solve(draws=7)
    assert teacher.by_question("旅人") == [(4, 3)]
    assert [one for one in told(more) if int(one[0].split("/")[1]) < 4] == told(rows)
    _, offline, _ = solve(draws=7, offline=True)
    assert offline == more


def test_replies_that_came_alone_are_used_before_any_others_are_bought(solve):
    _, alone, _ = solve(draws=2, profile="")
    _, rows, teacher = solve(draws=5)
    assert teacher.by_question("鶴と亀") == [(2, 3)]
    assert told(rows)[:2] == told(alone)[:2]


def test_seeds_that_a_host_does_not_count_up_keep_each_draw_in_a_request_of_its_own(solve):
    _, _, teacher = solve(sampling="seed: 5", profile="profile: mistral\n    key_variable: KEY")
    assert {number for _, _, number in teacher.sent} == {1}
    _, _, teacher = solve(sampling="seed: 5", out="counted")
    assert {number for _, _, number in teacher.sent} == {4}


def test_with_seeds_draws_go_together_only_in_their_order(solve):
    def lost(question, draw, number):
        return Outcome(200, b'{"choices": []}') if draw == 1 else None

    solve(draws=2, profile="", sampling="seed: 5", odd=lost)
    _, _, teacher = solve(draws=4, sampling="seed: 5", retry=True)
    assert teacher.by_question("旅人") == [(1, 1), (2, 2)]  # what came too late before comes last, by itself
    members = [Planned(request(draw, seed=5 + draw), "", "") for draw in (0, 2, 3, 7)]
    assert [one.request.draw for one in together(members, members[1].request, 9)] == [2, 3]
    assert [one.request.draw for one in together(members, members[3].request, 9)] == [7]
    free = [Planned(request(draw), "", "") for draw in (0, 2, 3, 7)]
    assert [one.request.draw for one in together(free, free[3].request, 3)] == [7]
    assert [one.request.draw for one in together(free, free[1].request, 3)] == [0, 2, 3]


def request(draw: int, text: str = "問", **more) -> Request:
    body = json.dumps({"messages": [{"role": "user", "content": text}], **more}).encode()
    return Request(f"{draw}{text}".encode(), "main", "m", body, draw, 100, 50)


UNUSABLE = {
    "refused": choice("", refusal="お答えできません"),
    "blocked": choice("", "content_filter"),
    "empty": choice(" "),
    "no message": {"finish_reason": "stop"},
    "cut": choice("", "length"),
}


@pytest.mark.parametrize("how", UNUSABLE)
def test_a_choice_that_is_of_no_use_is_asked_for_anew_alone(solve, how):
    def odd(question, draw, number):
        if number == 1:
            return None
        return says(*(UNUSABLE[how] if place == 2 else choice(f"答え{place}") for place in range(number)))

    result, rows, teacher = solve(questions=("旅人",), odd=odd, again=1)
    assert [one for one in teacher.sent if one[2] > 1] == [("旅人", 0, 4)]
    assert [one[2] for one in teacher.sent if one[1] % 1000 == 2] == [1]
    assert len(told(rows)) == 4
    assert result.manifest.cost_microusd == ledger(solve.folder / "run")[4]
    _, again, teacher = solve(questions=("旅人",), again=1)
    assert (again, teacher.sent) == (rows, [])


def test_a_host_that_gives_fewer_choices_is_asked_for_each_of_the_others_alone_and_charged_for_what_came(solve):
    def passes_over(question, draw, number):
        return says(choice(f"{question}{draw}"))

    result, rows, teacher = solve(questions=[f"問{k}" for k in range(30)], odd=passes_over, draws=3)
    assert len(told(rows)) == 90
    assert 1 <= sum(number > 1 for _, _, number in teacher.sent) <= 16  # those on their way before it was known
    lots = sum(number > 1 for _, _, number in teacher.sent)
    assert len(teacher.sent) == 90
    attempts, sends, prompt_tokens, _, cost = ledger(solve.folder / "run")
    assert (attempts, sends, prompt_tokens) == (90 + 2 * lots, 90, 90 * PROMPT_TOKENS)
    assert cost == result.manifest.cost_microusd == sum(one[2] for one in told(rows))


@pytest.mark.parametrize("said", ["n is not supported", "n must be 1 when using greedy sampling"])
def test_a_host_that_refuses_several_choices_is_asked_for_each_draw_alone(solve, said):
    def refuses(question, draw, number):
        if number > 1:
            return Outcome(400, json.dumps({"error": {"message": said, "param": "n"}}).encode())
        return None

    result, rows, teacher = solve(questions=[f"問{k}" for k in range(30)], odd=refuses, draws=3)
    assert (result.exit_code, len(told(rows))) == (0, 90)
    assert sum(number > 1 for _, _, number in teacher.sent) <= 16
    assert sum(one[2] for one in told(rows)) == result.manifest.cost_microusd
    _, again, teacher = solve(questions=[f"問{k}" for k in range(30)], draws=3)
    assert (again, teacher.sent) == (rows, [])


def test_several_servers_that_refuse_several_choices_are_asked_for_each_draw_alone(solve):
    def refuses(question, draw, number):
        return Outcome(404, b'{"error": {"message": "no such model"}}') if number > 1 else None

    two = "profile: vllm\n    replicas: [{base_url: 'replay:none'}]"
    result, rows, _ = solve(profile=two, odd=refuses)
    assert (result.exit_code, len(told(rows))) == (0, 8)


def test_choices_that_come_as_events_unasked_give_the_first_and_the_others_are_asked_alone(solve):
    def streams(question, draw, number):
        told = [{"index": at % number, "delta": {"content": f"{at % number}"}} for at in range(2 * number)]
        ends = [{"index": at, "delta": {}, "finish_reason": "stop"} for at in range(number)]
        return Outcome(
            200, b"".join(b"data: " + json.dumps({"choices": [one]}).encode() + b"\n\n" for one in told + ends)
        )

    _, rows, teacher = solve(questions=("旅人",), odd=streams)
    assert [text for _, text, _ in told(rows)] == ["00"] * 4
    assert teacher.by_question("旅人") == [(0, 4), (1, 1), (2, 1), (3, 1)]


def test_a_prompt_that_is_refused_does_not_speak_for_the_host(solve):
    def picky(question, draw, number):
        return Outcome(400, b'{"error": {"code": "content_filter", "message": "no"}}') if question == "拒否" else None

    questions = ("拒否", "鶴と亀", "旅人")
    result, rows, teacher = solve(questions=questions, odd=picky, draws=3, in_flight=1)
    assert teacher.by_question("拒否") == [(0, 1), (0, 3), (1, 1), (2, 1)]
    assert teacher.by_question("鶴と亀") == teacher.by_question("旅人") == [(0, 3)]
    assert (len(told(rows)), result.manifest.rejected) == (6, {"teacher_refused": 3})


def test_a_request_for_several_draws_that_meets_a_limit_is_sent_again_whole(solve):
    refused = []

    def busy(question, draw, number):
        if question not in refused:
            refused.append(question)
            return Outcome(429, b'{"error": {"message": "Rate limit reached"}}', {"retry-after-ms": "1"})
        return None

    _, rows, teacher = solve(odd=busy)
    assert teacher.by_question("鶴と亀") == [(0, 4), (0, 4)]
    assert len(told(rows)) == 8
    assert ledger(solve.folder / "run")[1:3] == (4, 2 * PROMPT_TOKENS)


def test_a_reply_that_tells_no_usage_costs_what_was_set_aside_for_its_draws(solve):
    result, rows, _ = solve(
        questions=("旅人",), odd=lambda q, d, n: says(*[choice(f"{k}") for k in range(n)], usage=False)
    )
    connection = connect(solve.folder / "run" / "run.db")
    (reserved, tokens), (body,) = (
        connection.execute("SELECT sum(reserved_microusd), sum(reserved_tokens) FROM attempt").fetchone(),
        connection.execute("SELECT length(body) FROM attempt LIMIT 1").fetchone(),
    )
    connection.close()
    assert body
    assert result.manifest.cost_microusd == reserved == sum(cost for _, _, cost in told(rows))
    assert result.manifest.usage_unknown == 4
    assert tokens > 4 * 50


def test_the_worst_case_of_a_prompt_and_all_its_draws_is_set_aside(solve):
    seen = []

    def look(question, draw, number):
        connection = connect(solve.folder / "run" / "run.db")
        seen.append(connection.execute("SELECT sum(reserved_microusd), sum(reserved_tokens) FROM attempt").fetchone())
        connection.close()

    solve(questions=("旅人",), odd=look, budget="usd: 1")
    ((microusd, tokens),) = seen
    price = tariff(Price(input_usd=1.37, output_usd=2.91, request_usd=0.0000013))
    prompt = tokens - 4 * 50
    assert prompt > 64
    assert microusd == price.worst(request(0)._replace(prompt_tokens=prompt, max_tokens=200)).microusd
    assert tokens == prompt + 200


def test_near_the_cap_draws_are_asked_for_alone_as_far_as_the_budget_goes(solve):
    result, rows, teacher = solve(draws=8, questions=("旅人",), budget="tokens: 320")
    assert teacher.sent[0] == ("旅人", 0, 1)
    assert {number for _, _, number in teacher.sent} == {1}
    assert 1 <= len(told(rows)) < 8
    assert result.exit_code != 0


def test_an_account_is_drawn_on_for_all_draws_of_a_prompt(solve):
    account = solve.folder / "account"
    set_total(account, 1_000_000)
    _, rows, teacher = solve(budget=f"account: {account}")
    assert teacher.by_question("鶴と亀") == teacher.by_question("旅人") == [(0, 4)]
    assert len(told(rows)) == 8


@pytest.mark.parametrize(
    ("profile", "sampling"),
    [
        ("", ""),
        ("profile: vllm", "temperature: 0"),
        ("profile: groq\n    key_variable: KEY", ""),
        ("profile: deepseek\n    key_variable: KEY", ""),
        ("profile: llama_cpp", ""),
        ("profile: openrouter\n    key_variable: KEY", ""),
        ("profile: openai\n    key_variable: KEY\n    recover: true", ""),
        ("profile: vllm\n    stream: true", ""),
    ],
)
def test_where_nobody_says_that_a_prompt_is_billed_once_each_draw_is_a_request(solve, profile, sampling):
    _, rows, teacher = solve(profile=profile, sampling=sampling, questions=("旅人",))
    assert teacher.by_question("旅人") == [(0, 1), (1, 1), (2, 1), (3, 1)]
    assert len(told(rows)) == 4


@pytest.mark.parametrize(
    ("base_url", "model", "most"),
    [
        ("https://api.openai.com/v1", "gpt-4.1-mini", 128),
        ("https://api.openai.com/v1", "o4-mini", 1),
        ("https://api.openai.com/v1", "gpt-5-mini", 1),
        ("https://me.openai.azure.com/openai/v1", "mine", 128),
        ("https://api.mistral.ai/v1", "mistral-small-latest", 16),
        ("https://api.mistral.ai/v1", "mistral-large-2512", 1),
        ("https://api.groq.com/openai/v1", "llama-3.3-70b-versatile", 1),
        ("https://api.anthropic.com/v1", "claude-haiku-4-5", 1),
        ("https://example.org/v1", "m", 1),
        ("http://localhost:11434/v1", "m", 1),
        ("serve:/models/tiny", "tiny", 128),
        ("practice:", "practice-1", 128),
    ],
)
def test_how_many_draws_a_request_asks_for_is_known_of_each_host(base_url, model, most):
    endpoint = Endpoint(model=model, base_url=base_url)
    assert endpoint.draws_at_once == most
    other = endpoint.model_copy(update={"sampling": Sampling(seed=1)})
    assert other.draws_at_once == (most if base_url.startswith(("serve", "practice")) else 1)


def test_a_pool_with_a_member_of_unknown_kind_is_asked_for_single_draws():
    endpoint = Endpoint.model_validate(
        {"model": "m", "base_url": "https://api.openai.com/v1", "replicas": [{"base_url": "https://example.org/v1"}]}
    )
    assert endpoint.draws_at_once == 1


def test_draws_that_adapt_go_together_as_far_as_each_is_wanted_for_certain(solve):
    def split(question, draw, number):
        return says(*(choice(f"答えは{(draw + place) % 2}です。") for place in range(number)))

    _, rows, teacher = solve(draws="{most: 5}", odd=split, questions=("旅人",))
    assert sum(number for _, _, number in teacher.sent) == len(told(rows)) == 5
    assert teacher.sent[0] == ("旅人", 0, 3)  # three could be enough
    agreed = solve(draws="{most: 5}", odd=lambda q, d, n: says(*[choice("答えは7です。")] * n), out="agreed")
    assert {(draw, number) for _, draw, number in agreed[2].sent} == {(0, 3)}


def test_a_draw_that_asks_nothing_keeps_the_others_from_waiting_no_longer_than_it_lives():
    async def main():
        lot = Lot([0, 1, 2])
        waiting = [asyncio.ensure_future(lot.join(draw, Planned(request(draw), "", ""))) for draw in (0, 1)]
        await asyncio.sleep(0)
        assert not any(one.done() for one in waiting)
        lot.leave(2)
        lot.leave(2)
        await asyncio.wait_for(asyncio.gather(*waiting), 1)
        assert [one.request.draw for one in lot.members] == [0, 1]

    asyncio.run(main())


def test_two_seeds_with_the_same_prompt_buy_its_draws_once(solve):
    _, rows, teacher = solve(questions=("旅人", "旅人"), draws=3)
    assert sum(number for _, _, number in teacher.sent) == 3
    assert len({text for _, text, _ in told(rows)}) == 3


@pytest.mark.parametrize("usage", ["told", "with a sum of the host's own", "not told"])
def test_an_earlier_run_gives_each_draw_its_own_choice_and_cost(solve, usage):
    def odd(question, draw, number):
        reply = says(*[choice(f"{question}の答え{place}") for place in range(number)], usage=usage != "not told")
        if usage != "with a sum of the host's own":
            return reply
        body = json.loads(reply.body)
        return Outcome(200, json.dumps({**body, "usage": {**body["usage"], "cost": 0.001001}}).encode())

    _, rows, _ = solve(draws=3, odd=odd)
    _, again, teacher = solve(draws=3, out="other", reuse=[solve.folder / "run"])
    assert (again, teacher.sent) == (rows, [])
    _, later, _ = solve(draws=3, out="third", reuse=[solve.folder / "other"])
    (solve.folder / "other" / "rows.jsonl").unlink()
    _, anew, _ = solve(draws=3, out="other")
    assert anew == later == rows


def test_a_kill_between_the_reply_and_its_account_loses_no_draw_and_no_cost(solve):
    _, rows, _ = solve(draws=3)
    before = ledger(solve.folder / "run")
    connection = sqlite3.connect(solve.folder / "run" / "run.db")
    connection.execute("DELETE FROM settled")
    connection.execute("DELETE FROM meta WHERE name = 'whole'")
    connection.commit()
    connection.close()
    _, again, teacher = solve(draws=3)
    assert (again, teacher.sent) == (rows, [])
    assert ledger(solve.folder / "run") == before


def test_a_kill_before_the_reply_leaves_the_worst_case_charged_and_one_request_lost(solve):
    solve(draws=3, questions=("旅人",))
    connection = sqlite3.connect(solve.folder / "run" / "run.db")
    connection.execute("DELETE FROM settled")
    connection.execute("DELETE FROM meta WHERE name = 'whole'")
    connection.execute("DELETE FROM reply")
    connection.commit()
    (reserved,) = connection.execute("SELECT sum(reserved_microusd) FROM attempt").fetchone()
    connection.close()
    result, rows, teacher = solve(draws=3, questions=("旅人",))
    assert teacher.by_question("旅人") == [(0, 3)]
    assert result.manifest.lost_attempts == 1
    assert result.manifest.cost_microusd == reserved + sum(cost for _, _, cost in told(rows))


def test_a_repair_saves_every_draw_of_a_request(solve):
    _, rows, _ = solve(draws=3)
    database = solve.folder / "run" / "run.db"
    damaged = bytearray(database.read_bytes())
    damaged[:8192] = bytes(8192)  # the page of the schema
    database.write_bytes(damaged)
    found = repair(solve.folder / "run")
    assert (found.replies, found.missing_replies) == (6, 0)
    _, again, teacher = solve(draws=3)
    assert (again, teacher.sent) == (rows, [])


def test_the_way_of_a_row_leads_to_its_choice(solve, capsys):
    _, rows, _ = solve(draws=3, questions=("旅人",))
    found = trace(solve.folder / "run", told(rows)[2][0])
    (step,) = found.steps
    assert step.text == "旅人の答え2"
    assert (step.attempts[0].choice, step.attempts[0].choices) == (3, 3)
    assert "旅人の答え0" in step.attempts[0].raw
    traced(found, as_json=False)
    assert "choice 3 of 3" in capsys.readouterr().out


@pytest.mark.parametrize("number", [1, 2, 3, 7, 16])
def test_parts_are_whole_numbers_and_together_the_whole(number):
    rng = random.Random(number)
    for _ in range(200):
        whole = rng.randrange(10_000)
        parts = [part(whole, place, number) for place in range(number)]
        assert sum(parts) == whole
        assert max(parts) - min(parts) <= 1


def test_every_part_of_usage_adds_up_and_no_draw_reads_more_from_the_cache_than_there_was():
    rng = random.Random(5)
    price = tariff(Price(input_usd=0.13, output_usd=0.7, cached_input_usd=0.01, cache_write_usd=0.2, reasoning_usd=3))
    for _ in range(300):
        number = rng.randrange(1, 12)
        prompt, written = rng.randrange(5000), rng.randrange(5000)
        cached = rng.randrange(prompt + 1)
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": written,
            "prompt_tokens_details": {
                "cached_tokens": cached,
                "cache_write_tokens": rng.randrange(prompt - cached + 1),
            },
            "completion_tokens_details": {"reasoning_tokens": rng.randrange(written + 1)},
        }
        body = {"choices": [choice(str(place)) for place in range(number)], "usage": usage}
        whole = Outcome(200, json.dumps(body).encode())
        shares = [share_of(whole, place, number, price, Spend(9, 9, 1)) for place in range(number)]
        every = usage_of(whole)
        names = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens", "cache_write_tokens")
        for name in names:
            assert sum(getattr(one.usage, name) for one in shares) == getattr(every, name)
        assert sum(one.cost.microusd for one in shares) == price.charge(Spend(), every, paid=True).microusd
        assert sum(one.cost.tokens for one in shares) == prompt + written
        assert sum(one.cost.requests for one in shares) == 1
        for place, one in enumerate(shares):
            alone = read(choice_of(whole, place, number))
            assert alone.text == str(place)
            assert alone.usage == one.usage._replace(cost_microusd=None)


def test_what_a_reply_without_choices_says_holds_for_every_draw():
    price = tariff(Price(input_usd=1, output_usd=1))
    for outcome, failure, cost in (
        (Outcome(500, b"{}"), "transient", 0),
        (Outcome(0, error="timeout", written=True), "ambiguous", 5),
        (Outcome(200, b"<html>"), "malformed", 5),
        (Outcome(200, b'{"choices": []}'), "malformed", 5),
    ):
        for place in range(3):
            share = share_of(outcome, place, 3, price, Spend(5, 50, 1))
            assert (share.failure, share.cost.microusd) == (failure, cost)


def test_status_tells_how_many_attempts_went_along(solve, capsys):
    result, _, _ = solve(draws=3)
    status(solve.folder / "run", as_json=False)
    assert "4 of the attempts went along in another one's request" in " ".join(capsys.readouterr().out.split())
    status(solve.folder / "run", as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["requests"], sum(line["attempts"] for line in told["ledger"])) == (2, 6)
    assert [one.attempts for one in spending(result.manifest.ledger)] == [2]


def test_what_one_draw_bears_for_others_that_did_not_come_is_no_charge_beyond_the_cap(solve):
    def cut(question, draw, number):
        body = {"model": "m", "choices": [choice("答え")], "usage": {"prompt_tokens": 60, "completion_tokens": 50}}
        return Outcome(200, json.dumps(body).encode())

    result, rows, _ = solve(draws=3, questions=("旅人",), odd=cut)
    assert len(told(rows)) == 3
    assert result.manifest.overshoot_microusd == 0

    def more(question, draw, number):
        body = {
            "model": "m",
            "choices": [choice("答え")] * number,
            "usage": {"prompt_tokens": 9, "completion_tokens": 900},
        }
        return Outcome(200, json.dumps(body).encode())

    result, _, _ = solve(draws=3, questions=("旅人",), odd=more, out="more")
    connection = connect(solve.folder / "more" / "run.db")
    (reserved,) = connection.execute("SELECT sum(reserved_microusd) FROM attempt").fetchone()
    connection.close()
    assert result.manifest.overshoot_microusd == result.manifest.cost_microusd - reserved > 0


@pytest.mark.parametrize("says_so", ["words", "limit"])
def test_draws_that_want_more_together_than_a_minute_allows_are_asked_for_alone(solve, says_so):
    def small(question, draw, number):
        if number == 1:
            return None
        if says_so == "limit":
            left = {
                "limit": "150",
                "remaining": "50",
                "reset": "200ms",
            }  # soon there again, so that nobody waits a minute
            headers = {f"x-ratelimit-{what}-tokens": value for what, value in left.items()}
            return Outcome(429, b'{"error": {"message": "Please retry after 86400 seconds"}}', headers)
        said = "Request too large for m on tokens per min (TPM): Limit 150, Requested 240"
        return Outcome(429, json.dumps({"error": {"message": said, "code": "rate_limit_exceeded"}}).encode())

    result, rows, teacher = solve(questions=("旅人",), odd=small)
    assert teacher.by_question("旅人") == [(0, 1), (0, 4), (1, 1), (2, 1), (3, 1)]
    assert (len(told(rows)), result.exit_code) == (4, 0)


def test_a_plug_in_that_asks_for_one_draw_after_the_other_does_not_hang(solve, monkeypatch):
    monkeypatch.setattr("synth.protocol.lots.WAIT_S", 0.01)
    generate, places = Answer.generate, []

    async def one_by_one(self, seed, ask):
        if not places:
            places.append(asyncio.Lock())
        async with places[0]:
            return await generate(self, seed, ask)

    monkeypatch.setattr(Answer, "generate", one_by_one)
    _, rows, teacher = solve(questions=("旅人",))
    assert teacher.by_question("旅人") == [(0, 1), (1, 1), (2, 1), (3, 1)]
    assert len(told(rows)) == 4


def test_draws_of_two_teachers_with_the_same_model_are_not_asked_for_together():
    members = [
        Planned(request(draw)._replace(teacher=name), "", "") for draw, name in enumerate(("main", "other", "main"))
    ]
    assert [one.request.draw for one in together(members, members[0].request, 9)] == [0, 2]


def test_a_choice_that_cannot_be_taken_out_of_its_reply_is_asked_for_alone(solve):
    def deep(question, draw, number):
        if number == 1:
            return None
        nested = "[" * 400 + "]" * 400
        body = says(*[choice("答え")] * 2, choice("深い", deep="HERE")).body
        return Outcome(200, body.replace(b'"HERE"', nested.encode()))

    result, rows, teacher = solve(questions=("旅人",), draws=3, odd=deep)
    assert teacher.by_question("旅人") == [(0, 3), (2, 1)]
    assert len(told(rows)) == 3
    assert ledger(solve.folder / "run")[4] == result.manifest.cost_microusd


def test_a_reply_is_read_once_for_all_its_draws():
    price = tariff(Price(input_usd=1, output_usd=1))
    whole = says(*(choice(f"一度だけ{place}") for place in range(9)))
    before = _read.cache_info().misses
    for place in range(9):
        share_of(whole, place, 9, price, Spend(9, 9, 1))
        assert read(choice_of(whole, place, 9)).text == f"一度だけ{place}"
    assert _read.cache_info().misses == before + 1
