"""Faults 21, 34 and 36 to 40: what providers say about money, and what runs do when it ends."""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import orjson
import pytest
from pydantic import BaseModel, ValidationError

from synth import pipeline, schema
from synth import sending as module
from synth.admission import lane
from synth.admission.halt import Halt
from synth.ask import UnitAsk
from synth.console.account import account as told_of_account
from synth.errors import BudgetReached, FolderError, Rejected, TeacherError
from synth.money import account as accounts
from synth.money.account import Account, set_total, standing
from synth.money.budget import Budget, Caps
from synth.money.prices import Price, Tier, tariff
from synth.profiles import named
from synth.protocol.endpoint import Endpoint, Limits, Sampling
from synth.protocol.fates import FATES
from synth.protocol.outgoing import wording
from synth.protocol.wording import Wording
from synth.recipes.loading import Overrides, load
from synth.recipes.templates import Templates
from synth.results.result import Options
from synth.sending import Sender
from synth.storage.database import connect, read_spent
from synth.storage.store import Store
from synth.teacher import Teacher
from synth.types import Message, Outcome, Planned
from synth.unit import Unit

ROOT = Path(__file__).parent.parent.parent
HOSTED = "https://api.example.com/v1"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(module, "BACKOFF_S", 0.0)
    monkeypatch.setattr(module, "LONGEST_BACKOFF_S", 0.0)
    monkeypatch.setattr(lane, "START", 500)


def reply(usage=None, text="はい", finish="stop", status=200, **more):
    body = {"model": "m", "choices": [{"message": {"content": text}, "finish_reason": finish}], **more}
    if usage is not None:
        body["usage"] = usage
    return Outcome(status, json.dumps(body).encode() if status == 200 else b'{"error": {"message": "no"}}')


class Scripted:
    """Answers by a rule, and watches the budget at every send and every answer.

    The first answers come when so many requests are in flight.
    """

    def __init__(self, rule, together=0):
        self.rule, self.budget, self.sent, self.highest = rule, None, 0, 0
        self.flying, self.together, self.all_there = 0, together, asyncio.Event()

    async def send(self, request):
        self.sent += 1
        self.flying += 1
        self.look()
        if self.flying >= self.together:
            self.all_there.set()
        await self.all_there.wait()
        await asyncio.sleep(0)
        self.look()
        self.flying -= 1
        return self.rule(request)

    def look(self):
        self.highest = max(self.highest, self.budget.spent_microusd + self.budget.reserved_microusd)


def play(folder, script, scene, *, price, caps=None, most=100, in_flight=500):
    endpoint = Endpoint(
        model="m",
        base_url=HOSTED,
        sampling=Sampling(max_tokens=most),
        limits=Limits(max_in_flight=in_flight),
        price=price,
    )

    async def main():
        store = Store(folder)
        try:
            await store.open_run()
            budget, halt = Budget(caps, store.spent()), Halt()
            halt.tell(budget.give_up)
            script.budget = budget
            asked = Teacher(Sender("main", endpoint, backends=[script], store=store, budget=budget, halt=halt))
            asked.settle_leftovers()
            async with asyncio.timeout(60):
                return await scene(asked, store, budget, halt)
        finally:
            store.close()

    return asyncio.run(main())


async def ask(asked, number):
    unit = Unit("stage", f"{number:08d}/00", -(number % 2), 0)
    request = asked.request([Message(role="user", content=f"質問 {number}")], 0)
    try:
        return (await asked.complete(request, unit)).text
    except TeacherError as error:
        return error


def pattern(rng):
    """A price, an output cap, and a provider that keeps to its own cap in every way it can answer."""
    price = Price(
        input_usd=rng.uniform(0, 20),
        output_usd=rng.uniform(0.01, 80),
        cached_input_usd=rng.choice((None, rng.uniform(0, 20))),
        cache_write_usd=rng.choice((None, rng.uniform(0, 25))),
        reasoning_usd=rng.choice((None, rng.uniform(0, 80))),
        request_usd=rng.choice((0, rng.uniform(0, 0.001))),
        tiers=rng.choice(([], [Tier(above_prompt_tokens=90, input_usd=30, output_usd=90)])),
        service_tiers={"flex": 0.5},
    )

    least = rng.choice((0.0, 0.6, 0.9))

    def rule(request):
        kind = rng.random()
        if kind < 0.1:
            return Outcome(429, b"{}")
        if kind < 0.2:
            return reply(status=500)
        if kind < 0.25:
            return Outcome(0, error="reset", detail="cut", written=True)
        if kind < 0.3:
            return Outcome(200, b"<html>")
        text, finish = FITS if rng.random() < 0.88 else rng.choice(('{"答え": "二"}', "二です。", FITS[:9])), "stop"
        if kind < 0.35:
            return reply(rng.choice([None, {}, {"prompt_tokens": -3, "completion_tokens": "x"}]), text=text)
        prompt = rng.randint(int(least * request.prompt_tokens), request.prompt_tokens)
        completion = rng.randint(int(least * request.max_tokens), request.max_tokens)
        if kind < 0.4:
            text, finish, completion = rng.choice(("", FITS[:9])), "length", request.max_tokens
        usage = {"prompt_tokens": prompt, "completion_tokens": completion}
        usage["prompt_tokens_details"] = {"cached_tokens": rng.randint(0, 2 * prompt), "cache_write_tokens": 9}
        usage["completion_tokens_details"] = {"reasoning_tokens": rng.randint(0, completion)}
        if rng.random() < 0.2:
            usage["cost"] = rng.random() * tariff(price).worst(request).microusd / 1e6 * 0.99
        return reply(usage, text, finish, service_tier=rng.choice(("flex", "default")))

    return price, rule


class Sum(BaseModel):
    """What is asked for as an object."""

    答え: str
    点: int


FITS = '{"答え": "二", "点": 1}'
NO_TEMPLATES = Templates(Path())


async def ask_either(asked, number, repaired):
    """Ask for a text, or for an object, whose replies are repaired and asked for anew."""
    unit = Unit("stage", f"{number:08d}/00", -(number % 2), 0)
    prompt = [Message(role="user", content=f"質問 {number:04d}")]
    one = UnitAsk(unit, {"main": asked}, NO_TEMPLATES, "ja", 0)
    try:
        await (one.schema(Sum, prompt, teacher="main") if number % 2 else one.text(prompt, teacher="main"))
    except TeacherError as error:
        return error
    except Rejected:
        return None
    finally:
        repaired.update(name for name, *_ in unit.rungs)
        repaired.update(unit.repairs)


@pytest.mark.parametrize("batch", range(20))
def test_fault_37_with_500_in_flight_at_the_cap_the_budget_is_never_exceeded(tmp_path, batch):
    for seed in range(5 * batch, 5 * batch + 5):
        rng = random.Random(seed)
        price, rule = pattern(rng)
        script, most = Scripted(rule, together=500), rng.randint(1, 200)
        dry, prompt = _dry(price, most), [Message(role="user", content="質問 0001")]
        asked = (dry.request(prompt, 0), dry.request(prompt, 0, schema.response_format(Sum, "json_schema")))
        cap = math.ceil(sum(250 * tariff(price).worst(one).microusd for one in asked) * rng.uniform(1.0, 1.1))
        repaired = Counter()

        async def scene(asked, store, budget, halt, repaired=repaired):
            numbers, ended = iter(range(2500)), []

            async def worker():
                ended.extend([await ask_either(asked, number, repaired) for number in numbers])

            await asyncio.gather(*(worker() for _ in range(600)))  # so many are open at once in a run
            assert budget.reserved_microusd == 0
            assert budget.overshoot_microusd == 0
            return ended, budget.spent_microusd, store.ledger()

        ended, spent, ledger = play(
            tmp_path / str(seed), script, scene, price=price, caps=Caps(usd=cap / 1e6), most=most
        )
        assert 0.75 * cap < script.highest <= cap, seed
        assert script.all_there.is_set()
        assert any(isinstance(error, BudgetReached) for error in ended), seed
        connection = connect(tmp_path / str(seed) / "run.db")
        assert read_spent(connection).microusd == spent <= cap, seed
        connection.close()
        assert {"whole", "larger_cap"} <= repaired.keys(), (seed, repaired)
        assert {"rate", "transient", "ambiguous", "malformed"} <= {line.failure for line in ledger}, seed


def _dry(price, most):
    endpoint = Endpoint(model="m", base_url=HOSTED, sampling=Sampling(max_tokens=most), price=price)
    return Wording("main", endpoint)


def test_fault_37_what_a_provider_charges_beyond_its_cap_is_reported(tmp_path):
    price = Price(input_usd=0, output_usd=10)
    script = Scripted(lambda request: reply({"prompt_tokens": 5, "completion_tokens": 110}))

    async def scene(asked, store, budget, halt):
        await asyncio.gather(*(ask(asked, number) for number in range(20)))
        return budget.overshoot_microusd, sum(line.overshoot_microusd for line in store.ledger()), budget.spent_microusd

    async def later(asked, store, budget, halt):
        return sum(line.overshoot_microusd for line in store.ledger())

    cap = Caps(usd=0.01)
    overshoot, _, spent = play(tmp_path, script, scene, price=price, caps=cap)
    reported = play(tmp_path, script, later, price=price, caps=cap)
    assert reported == overshoot == script.sent * 100
    assert 10_000 < spent <= 10_000 * 1.1


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"prompt_tokens": 5},
        {"completion_tokens": 5},
        {"prompt_tokens": -1, "completion_tokens": 5},
        {"prompt_tokens": 5, "completion_tokens": 10**12},
        {"prompt_tokens": "5", "completion_tokens": "5"},
        {"prompt_tokens": 5.5, "completion_tokens": 5.0},
        {"prompt_tokens": True, "completion_tokens": False},
        {"prompt_tokens": None, "completion_tokens": None},
        {"cost": -1},
        {"prompt_tokens": 5, "cost": "NaN"},
        [5, 5],
        "five",
    ],
)
def test_fault_21_absurd_usage_costs_the_reservation_and_is_counted(tmp_path, usage):
    script = Scripted(lambda request: reply(usage))

    async def scene(asked, store, budget, halt):
        assert await ask(asked, 1) == "はい"
        worst = asked._sender.tariff.worst(asked.request([Message(role="user", content="質問 1")], 0))
        return budget.spent_microusd == worst.microusd > 0, budget.spent_tokens == worst.tokens

    async def later(asked, store, budget, halt):
        return [(line.usage_unknown, line.failure) for line in store.ledger()], budget.spent_tokens > 0

    price = Price(input_usd=1, output_usd=10)
    assert play(tmp_path, script, scene, price=price) == (True, True)
    assert play(tmp_path, script, later, price=price) == ([(1, "ok")], True)


def test_fault_36_a_reply_is_settled_at_the_price_that_was_in_force_when_it_was_sent(tmp_path):
    dear, cheap = Price(input_usd=0, output_usd=10), Price(input_usd=0, output_usd=1)
    script = Scripted(lambda request: reply({"prompt_tokens": 5, "completion_tokens": 50}))

    async def killed(asked, store, budget, halt):
        request = asked.request([Message(role="user", content="質問 1")], 0)
        attempt = await store.begin([Planned(request, "stage", "u", 1000)], asked._sender.price)
        await store.keep(attempt, script.rule(request))

    async def later(asked, store, budget, halt):
        unit = Unit("stage", "u", 0, 0)
        await asked.complete(asked.request([Message(role="user", content="質問 1")], 0), unit)
        await ask(asked, 2)
        return unit.cost_microusd, budget.spent_microusd

    play(tmp_path, script, killed, price=dear)
    assert play(tmp_path, script, later, price=cheap) == (500, 550)
    assert script.sent == 1


def test_fault_34_a_402_for_money_in_flight_is_waited_out(tmp_path):
    busy = {"error": {"code": 402, "message": "in_flight_budget_exhausted"}}
    more = 1 + max(fate.resends or 0 for fate in FATES.values())
    answers = [Outcome(402, orjson.dumps(busy), {"retry-after-ms": "1"})] * more
    good = reply({"prompt_tokens": 1, "completion_tokens": 1})
    script = Scripted(lambda request: answers.pop() if answers else good)

    async def scene(asked, store, budget, halt):
        return await ask(asked, 1), halt.error

    assert play(tmp_path, script, scene, price=Price(input_usd=1, output_usd=1)) == ("はい", None)


def test_fault_38_a_budget_too_small_for_any_request_sends_nothing(tmp_path):
    script = Scripted(lambda request: reply())

    async def scene(asked, store, budget, halt):
        ended = await asyncio.gather(*(ask(asked, number) for number in range(50)))
        assert all(isinstance(error, BudgetReached) for error in ended)
        return halt.error.exit_code, store.ledger()

    price = Price(input_usd=1, output_usd=10)
    assert play(tmp_path, script, scene, price=price, caps=Caps(usd=0.0001)) == (6, [])
    assert script.sent == 0


@pytest.mark.parametrize("host", named())
def test_fault_39_a_recipe_without_an_output_cap_sends_one_to_every_host_and_reserves_it(host):
    """So no provider's own default decides what a reply may cost, and there is nothing to refuse."""
    price = Price(input_usd=0, output_usd=10)
    endpoint = Endpoint(model="m", base_url=HOSTED, profile=host, price=price)
    request = Wording("main", endpoint).request([Message(role="user", content="質問 1")], 0)
    body = wording(endpoint.known, orjson.loads(request.body))
    assert body.get("max_tokens", body.get("max_completion_tokens")) == request.max_tokens > 0
    assert tariff(price).worst(request).microusd == 10 * request.max_tokens


@pytest.mark.parametrize(
    "sampling",
    [{"max_tokens": None}, {"max_tokens": 0}, {"extra": {"max_tokens": None}}, {"extra": {"max_completion_tokens": 9}}],
)
def test_fault_39_an_output_cap_cannot_be_taken_away(sampling):
    with pytest.raises(ValidationError, match=r"max_(completion_)?tokens"):
        Endpoint(model="m", base_url=HOSTED, sampling=sampling)


@pytest.mark.parametrize(("caps", "kept"), [(Caps(tokens=2000), 2000), (Caps(requests=7), 7)])
def test_tokens_and_requests_are_capped_across_resumes(tmp_path, caps, kept):
    script = Scripted(lambda request: reply({"prompt_tokens": 30, "completion_tokens": 60}))

    async def scene(asked, store, budget, halt):
        await asyncio.gather(*(ask(asked, number) for number in range(40)))
        assert isinstance(halt.error, BudgetReached)
        return budget.spent_tokens if caps.tokens else budget.spent_requests

    price = Price(input_usd=0, output_usd=0)
    first = play(tmp_path, script, scene, price=price, caps=caps)
    second = play(tmp_path, script, scene, price=price, caps=caps)
    assert 0 < first <= second <= kept
    assert script.sent <= (7 if caps.requests else 2000 // 90)


class Seller(BaseHTTPRequestHandler):
    """A provider with its own ledger: 1,000 micro-dollars an answer, at the price of the recipe below."""

    protocol_version = "HTTP/1.1"
    sold: list[str] = []
    pause_s = 0.0
    usage: object = {"prompt_tokens": 0, "completion_tokens": 100}

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(self.pause_s)
        self.sold.append(body["messages"][-1]["content"])
        answer = reply(self.usage).body
        try:
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
        except OSError:
            self.close_connection = True

    def log_message(self, *arguments):
        pass


@pytest.fixture
def seller():
    handler = type("Ledgered", (Seller,), {"sold": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield handler, f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def recipe_for(folder, base_url, name):
    folder.mkdir()
    text = f"""\
name: {name}
language: ja
seeds: {{kind: jsonl, path: seeds.jsonl}}
teachers:
  main:
    model: m
    base_url: {base_url}
    price: {{input_usd: 0, output_usd: 10}}
    sampling: {{max_tokens: 100}}
    limits: {{max_in_flight: 8}}
stages:
  - {{name: answer, generator: {{kind: answer, prompt: ask.md.j2}}, validators: []}}
"""
    (folder / "recipe.yaml").write_text(text)
    (folder / "ask.md.j2").write_text("{{ q }}")
    (folder / "seeds.jsonl").write_text("".join(json.dumps({"q": f"{name} {n}"}) + "\n" for n in range(60)))
    return folder


def start(tmp_path, recipe, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", "from synth.cli import main; main()", "run", str(recipe), *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_fault_40_two_processes_and_a_kill_never_spend_more_than_their_account(tmp_path, seller):
    handler, base_url = seller
    handler.pause_s = 0.02
    account = tmp_path / "team.account"
    set_total(account, 40_000)
    recipes = [recipe_for(tmp_path / name, base_url, name) for name in ("one", "two")]
    arguments = ["--budget", f"account={account}"]
    first, second = (start(tmp_path, recipe, *arguments) for recipe in recipes)
    while len(handler.sold) < 8:
        time.sleep(0.005)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 6, errors
    assert "account" in errors
    total, leases = standing(account)
    assert sum(lease.held_microusd for lease in leases) <= total, "what a killed run holds is nobody else's"
    resumed = start(tmp_path, recipes[0], *arguments)
    _, errors = resumed.communicate(timeout=60)
    assert resumed.returncode == 6, errors
    total, leases = standing(account)
    assert len(handler.sold) * 1000 <= total
    assert sum(lease.held_microusd for lease in leases) <= total
    assert len(handler.sold) >= 20
    # a higher total goes on
    set_total(account, 1_000_000)
    again = start(tmp_path, recipes[1], *arguments)
    assert again.communicate(timeout=60)
    assert again.returncode == 0


def test_fault_40_what_a_run_spent_whose_folder_is_gone_is_not_given_back_with_another_ones(tmp_path, seller, synth):
    handler, base_url = seller
    handler.pause_s = 0.02
    account, out = tmp_path / "team.account", tmp_path / "out"
    set_total(account, 80_000)
    recipe = recipe_for(tmp_path / "one", base_url, "one")
    arguments = ["--budget", f"account={account}", "--out", out]
    killed = start(tmp_path, recipe, *arguments)
    while len(handler.sold) < 8:
        time.sleep(0.005)
    killed.kill()
    killed.communicate()
    assert f"--release {out}` frees" in synth("account", account).stdout
    set_total(account, 5000)
    told = json.loads(synth("account", account, "--json").stdout)
    assert told["leases"][0]["spent_microusd"] >= 1000 * len(handler.sold), "all of it, and not what it last told"
    assert f"{account}: $0.0000 free of $0.0050" in synth("account", account).stdout
    set_total(account, 80_000)
    shutil.rmtree(out)
    assert "so all that it holds counts as spent" in synth("account", account).stdout
    held = standing(account)[1][0].held_microusd
    again = start(tmp_path, recipe, *arguments)
    while len(handler.sold) < 20:
        time.sleep(0.005)
    again.kill()
    again.communicate()
    released = synth("account", account, "--release", out)
    assert (released.returncode, "came back" in released.stderr) == (0, True), released.stderr
    leases = standing(account)[1]
    assert leases[0].held_microusd == held
    assert 1000 * len(handler.sold) <= sum(lease.held_microusd for lease in leases)
    (tmp_path / "alone").mkdir()
    assert synth("run", recipe, "--limit", "1", "--out", "alone").returncode == 0
    nothing = synth("account", account, "--release", "alone")
    assert (nothing.returncode, nothing.stderr) == (5, f"The run holds nothing of {account}.\n")


def test_fault_40_no_run_begins_while_what_it_holds_is_given_back(tmp_path, monkeypatch):
    account, out = tmp_path / "team.account", tmp_path / "out"
    set_total(account, 1000)
    store = Store(out)
    asyncio.run(store.note("account_run", "one"))
    store.close()
    Account(account, "one", out, 0).lease(500, None, 0)
    released = accounts.release

    def begins_meanwhile(*about) -> int:
        with pytest.raises(FolderError, match="in use"):
            Store(out)
        return released(*about)

    monkeypatch.setattr(accounts, "release", begins_meanwhile)
    told_of_account(account, None, out, as_json=False)
    assert standing(account)[1][0].held_microusd == 0
    Store(out).close()


def test_fault_37_over_sockets_the_providers_ledger_stays_below_the_cap(tmp_path, seller, synth):
    handler, base_url = seller
    recipe = recipe_for(tmp_path / "one", base_url, "one")
    stopped = synth("run", recipe, "--budget", "0.02", "--out", "out")
    assert stopped.returncode == 6, stopped.stderr
    assert "Run again with a higher budget to go on." in stopped.stderr
    assert 10 <= len(handler.sold) <= 20
    status = json.loads(synth("status", "out", "--json").stdout)
    assert status["cost_microusd"] == len(handler.sold) * 1000
    assert status["caps"]["usd"] == 0.02
    assert status["requests"] == len(handler.sold)
    shown = synth("status", "out").stdout
    assert "of $0.0200" in shown
    tiny = synth("run", recipe, "--budget", "0.0001", "--out", "tiny")
    assert tiny.returncode == 6
    assert len(handler.sold) <= 20


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": 7}, {"prompt_tokens": 7, "completion_tokens": 9}])
def test_what_is_told_of_a_budget_of_tokens_in_the_end_is_what_the_budget_counted(tmp_path, seller, synth, usage):
    handler, base_url = seller
    handler.usage = usage
    recipe = recipe_for(tmp_path / "one", base_url, "one")
    text = (recipe / "recipe.yaml").read_text().replace("language: ja", "language: en")
    (recipe / "recipe.yaml").write_text(text)
    stopped = synth("run", recipe, "--budget", "tokens=1500", "--out", "out")
    assert stopped.returncode == (6 if usage is None or len(usage) == 1 else 0), stopped.stderr
    counted = json.loads(synth("status", "out", "--json").stdout)["tokens"]
    assert 0 < counted <= 1500
    assert f"{counted:,} of 1,500 tokens" in stopped.stdout


@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize(
    ("kind", "budget", "words"),
    [
        ("usd", "0.0045", "the run's own budget"),
        ("tokens", "tokens={}", "the budget of tokens"),
        ("requests", "requests=4", "the budget of requests"),
        ("account", "account=team.account", "the account team.account"),
    ],
)
def test_status_says_whose_reservations_hold_a_run_back(tmp_path, seller, synth, kind, budget, words, language):
    handler, base_url = seller
    handler.pause_s = 60.0
    recipe = recipe_for(tmp_path / "one", base_url, "one")
    text = (recipe / "recipe.yaml").read_text().replace("language: ja", f"language: {language}")
    (recipe / "recipe.yaml").write_text(text)
    prompt = Message(role="user", content="one 10")
    endpoint = Endpoint(model="m", base_url=base_url, sampling=Sampling(max_tokens=100))
    asked = Wording("main", endpoint, "", has_replicas=False).request([prompt], 0)
    set_total(tmp_path / "team.account", 4500)
    running = start(tmp_path, recipe, "--budget", budget.format(4 * (asked.prompt_tokens + 100) + 50), "--out", "out")
    try:
        found, until = {"in_flight": 0, "limited_by_reservation": []}, time.monotonic() + 50
        while found["in_flight"] < 3 or not found["limited_by_reservation"]:
            assert running.poll() is None, running.communicate()
            assert time.monotonic() < until, found
            told = synth("status", "out", "--json")
            found = json.loads(told.stdout) if told.returncode == 0 else found
        assert found["limited_by_reservation"] == [kind]
        said = f"requests wait: what is set aside for those in flight takes the rest of the budget ({words}), not the"
        assert said in " ".join(synth("status", "out").stdout.split())
    finally:
        running.kill()
        running.communicate()
    ended = json.loads(synth("status", "out", "--json").stdout)
    assert ended["limited_by_reservation"] == [], "of a run that is over"


def test_fault_36_an_unknown_price_is_refused_under_a_cap_and_may_be_allowed(tmp_path, synth):
    recipe = recipe_for(tmp_path / "one", "https://api.example.com/v1", "one")
    text = (recipe / "recipe.yaml").read_text().replace("    price: {input_usd: 0, output_usd: 10}\n", "")
    (recipe / "recipe.yaml").write_text(text)
    refused = synth("check", recipe, "--budget", "1")
    assert refused.returncode == 2
    assert "synth[prices]" in refused.stderr
    assert "--allow-unknown-price" in refused.stderr
    allowed = synth("check", recipe, "--budget", "1", "--allow-unknown-price")
    assert allowed.returncode == 0, allowed.stderr
    assert "price unknown" in allowed.stdout
    for wrong in ("-1", "inf", "x", "tokens=1.5", "euros=3"):
        assert synth("check", recipe, f"--budget={wrong}").returncode == 2


def after_some(handler, act):
    """Observe a run: do something once some have been sold."""

    def observe(progress, halt):
        def soon():
            act() if len(handler.sold) >= 8 else loop.call_later(0.005, soon)

        loop = asyncio.get_running_loop()
        soon()

    return observe


def rows(folder):
    return len((folder / "rows.jsonl").read_bytes().splitlines())


@pytest.mark.parametrize("trouble", ["gone", "locked"])
def test_an_account_that_fails_on_the_way_stops_the_run_and_loses_no_reply(tmp_path, seller, monkeypatch, trouble):
    handler, base_url = seller
    handler.pause_s = 0.05
    monkeypatch.setattr("synth.money.account.WAIT_S", 0.0)
    account = tmp_path / "team.account"
    set_total(account, 40_000)
    recipe = load(recipe_for(tmp_path / "one", base_url, "one"), Overrides(budget={"account": str(account)}))
    other = sqlite3.connect(account, isolation_level=None)
    act = account.unlink if trouble == "gone" else lambda: other.execute("BEGIN IMMEDIATE")
    result = asyncio.run(pipeline.run(recipe, Options(tmp_path / "out"), after_some(handler, act)))
    other.close()
    assert result.exit_code == 5
    assert str(account) in result.message
    assert result.message.endswith("Then run again to go on.")
    reader = connect(tmp_path / "out" / "run.db")
    assert reader.execute("SELECT count(*) FROM reply").fetchone() == (len(handler.sold),)
    reader.close()
    assert 8 <= rows(tmp_path / "out") == len(handler.sold) < 60


def test_a_whole_run_whose_account_is_gone_at_its_end_leaves_its_dataset_and_says_so(tmp_path, seller):
    handler, base_url = seller
    handler.pause_s = 0.02
    account = tmp_path / "team.account"
    set_total(account, 10_000_000)
    recipe = load(recipe_for(tmp_path / "one", base_url, "one"), Overrides(budget={"account": str(account)}))
    result = asyncio.run(pipeline.run(recipe, Options(tmp_path / "out"), after_some(handler, account.unlink)))
    assert (result.exit_code, result.manifest.state, rows(tmp_path / "out")) == (0, "complete", 60)
    assert str(account) in result.message
    assert "running again gives back" in result.message
