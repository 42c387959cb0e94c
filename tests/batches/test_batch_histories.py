"""Batches at a host that fails at any step, brings results in any way, and outlives runs that end at any step: whatever
happens, each request ends in one state and is bought once, and what was paid for is charged."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import time
from collections import Counter
from pathlib import Path

import pytest

from synth import sending
from synth.admission.halt import Halt
from synth.backends.batch import Look, Unanswered
from synth.backends.batch.openai import OpenAIOrders
from synth.batches import course
from synth.batches.batch import batches
from synth.batches.batch_journal import has_open
from synth.batches.course import BatchDesk
from synth.errors import Fatal, Interrupted, Rejected, Transient
from synth.money.budget import Budget, Caps
from synth.profiles import BatchTerms
from synth.sending import Sender
from synth.storage.store import Store
from synth.teacher import Teacher
from synth.types import CHAT, Message, Outcome
from synth.unit import Unit
from tests.test_teacher import COSTLY

HISTORIES = 20
FILES = OpenAIOrders(None)
BY_BATCH, ONLINE = 105, 210
"""What a reply costs, in micro-dollars."""
CROWDED = "Enqueued token limit reached (token_limit_exceeded)"


def reply(question: str) -> dict:
    return {
        "model": "m",
        "choices": [{"message": {"content": f"{question}の答え"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 20},
    }


def question_of(body: dict) -> str:
    return body["messages"][0]["content"]


class Host:
    """Takes batches and answers online; what it does is drawn from dice. `at` is told each step."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.paid: Counter[str] = Counter()
        """How often each question was answered in full."""
        self.unreadable: Counter[str] = Counter()
        """How many of these answers could not be had."""
        self.charged = 0
        self.sent: set[str] = set()
        """What the last run asked online."""
        self.ordered: Counter[str] = Counter()
        """How often a batch was taken, by the name that it was given."""
        self.fails, self.spoils, self.loses = dice.choice([0, 0.1]), dice.choice([0, 0.4]), dice.choice([0, 0.2])
        self.most = dice.choice([None, None, 1, 3])
        """So many requests may stand in line."""
        self.at = lambda _step: None
        self._batches: dict[str, dict] = {}
        self._files: dict[str, list[bytes]] = {}

    async def _step(self, name: str) -> None:
        self.at(name)
        await asyncio.sleep(self.dice.choice([0, 0, 0.002]))
        if self.dice.random() < self.fails:
            raise Unanswered(self.dice.choice([0, 429, 500, 503]), f"no {name} now")

    def line(self, name, path, body):
        return FILES.line(name, path, body)

    def row(self, line):
        return FILES.row(line)

    async def upload(self, name, file):
        await self._step("upload")
        place = f"file-{len(self._files)}"
        self._files[place] = file.read_bytes().splitlines()
        await self._step("uploaded")
        return place

    async def order(self, name, path, file, place):
        await self._step("order")
        batch, lines = f"batch-{len(self._batches)}", [json.loads(line) for line in self._files[place]]
        standing = sum(len(one["lines"]) for one in self._batches.values() if one["said"] == "in_progress")
        crowded = self.most is not None and standing + len(lines) > self.most
        ends = time.monotonic() + self.dice.choice([0, 0.02])
        said = "failed" if crowded else "in_progress"
        self._batches[batch] = {"name": name, "lines": lines, "said": said, "ends": ends, "places": ()}
        self.ordered[name] += 1
        await self._step("ordered")
        return batch

    async def find(self, sought):
        await self._step("find")
        return next((name for name, one in self._batches.items() if one["name"] == sought.name), None)

    async def look(self, batch):
        await self._step("look")
        one = self._batches[batch]
        if one["said"] == "in_progress" and time.monotonic() >= one["ends"]:
            self._end(batch, self.dice.choice(["completed", "completed", "expired"]))
        await self._step("looked")
        refused = CROWDED if one["said"] == "failed" else ""
        return Look(one["said"], one["said"] != "in_progress", one["said"] == "completed", refused, one["places"])

    async def cancel(self, batch):
        await self._step("cancel")
        if self._batches[batch]["said"] == "in_progress":
            self._end(batch, "cancelled")
        await self._step("cancelled")

    async def lines(self, place):
        await self._step("lines")
        if place not in self._files:
            raise Unanswered(404, "no such file")
        for line in self._files[place]:
            yield line
        await self._step("read")  # or it was cut off at its end

    def _end(self, batch: str, said: str) -> None:
        one, every = self._batches[batch], ([], [])
        is_lost = self.dice.random() < self.loses
        for asked in one["lines"]:
            name, question = asked["custom_id"], question_of(asked["body"])
            good = {"custom_id": name, "response": {"status_code": 200, "body": reply(question)}}
            bad = {"custom_id": name, "response": {"status_code": 500, "body": {}}}
            unworked = {"custom_id": name, "error": {"code": "batch_expired"}}
            worked = said == "completed" or self.dice.random() < 0.5
            how = self.dice.choice(["missing", "bad", "twice", "both"]) if self.dice.random() < self.spoils else "good"
            if not worked or how == "bad":
                every[1].extend([unworked] if not worked else [bad])
                continue
            if how == "missing" and said != "completed":  # then it was not worked on
                continue
            self.paid[question] += 1
            self.charged += BY_BATCH
            self.unreadable[question] += is_lost or how == "missing"
            every[0].extend({"good": [good], "twice": [good, good], "both": [bad, good], "missing": []}[how])
        one["said"], one["places"] = said, (f"out-{batch}", f"errors-{batch}")
        for place, lines in zip(one["places"], every, strict=True):
            self.dice.shuffle(lines)
            self._files[place] = [json.dumps(line).encode() for line in lines]
        if is_lost:
            del self._files[one["places"][0]]

    async def send(self, request):
        self.at("send")
        question = question_of(json.loads(request.body))
        self.sent.add(question)
        await asyncio.sleep(0)
        if self.dice.random() < self.fails:
            return Outcome(500, b"{}")
        self.paid[question] += 1
        self.charged += ONLINE
        self.at("answered")
        return Outcome(200, json.dumps(reply(question)).encode())


class Play:
    """Runs that ask one host, in one folder, which a run may leave as a crash would."""

    def __init__(self, folder: Path, host: Host, most: int = 50, poll_s: float = 0.005) -> None:
        self.folder, self.host = folder / "run", host
        self._copy = folder / "copy"
        self.terms = BatchTerms(protocol="openai", paths=[CHAT], requests=most, megabytes=1, factor=0.5, poll_s=poll_s)

    def run(self, questions: list[str], *, wait_s=3600.0, cap=None, crash_at=0, halt_at=0, patient=True) -> dict:
        """How each question ended; None for those of a run that died at that step, and whose folder is as it was."""
        return asyncio.run(self._run(questions, wait_s, cap, crash_at, halt_at, patient))

    async def _run(self, questions, wait_s, cap, crash_at, halt_at, patient):
        store, self.has_died = Store(self.folder), False
        try:
            async with asyncio.timeout(20):
                await store.open_run()
                caps = Caps() if cap is None else Caps(usd=(cap + store.spent().microusd) / 1e6)
                self.budget, self.halt = Budget(caps, store.spent()), Halt()
                self.halt.tell(self.budget.give_up)
                sender = Sender("main", COSTLY, backends=[self.host], store=store, budget=self.budget, halt=self.halt)
                self.teacher = Teacher(sender)
                self.teacher.settle_leftovers()
                task = asyncio.create_task(self._asked(store, questions, wait_s, patient))
                self.host.at = self._steps(task, crash_at, halt_at)
                await asyncio.wait([task])
            self.host.at = lambda _step: None
            if self.has_died:
                return {}
            self.open = has_open(self.folder / "run.db", "main")
            await store.note("looked", "at")
            self.spent = store.spent().microusd
            assert self.spent == self.budget.spent_microusd + self.budget.reserved_microusd
            return task.result()
        finally:
            store.close()
            if self.has_died:
                shutil.rmtree(self.folder)
                self._copy.rename(self.folder)

    def _steps(self, task, crash_at, halt_at):
        steps = 0

        def at(_name):
            nonlocal steps
            steps += 1
            if steps == halt_at:
                self.halt.throw(Interrupted("stopped"))
            if steps == crash_at:
                self._copy.mkdir()
                for name in ("run.lock", "run.db", "run.db-wal"):
                    shutil.copy(self.folder / name, self._copy / name)
                self.has_died = True
                task.cancel()

        return at

    async def _asked(self, store, questions, wait_s, patient):
        desk = BatchDesk(
            name="main", host="host", orders=self.host, terms=self.terms, price=COSTLY.price, store=store,
            budget=self.budget, halt=self.halt, settle=self.teacher.settle, wording=lambda _path, body: body,
            moving=lambda: (self.teacher.admission.in_flight, self.teacher.landed), patient=patient,
        )  # fmt: skip
        try:
            async with batches(desk) as self.teacher.batches:
                ends = await asyncio.gather(*(self._ask(one, wait_s if patient else 0) for one in questions))
        except Fatal as error:
            self.halt.throw(error)
            return {}
        return dict(zip(questions, ends, strict=True))

    async def _ask(self, question: str, wait_s: float) -> str:
        await asyncio.sleep(self.host.dice.choice([0, 0.002, 0.01]))
        unit = Unit("stage", question, 0, 0, wait_s=wait_s)
        try:
            request = self.teacher.request([Message(role="user", content=question)], 0)
            said = (await self.teacher.complete(request, unit)).text
            assert said == f"{question}の答え"
            end = "ok"
        except (Transient, Rejected, Fatal) as error:
            end = type(error).__name__
        held = self.budget.spent_microusd + self.budget.reserved_microusd
        assert self.budget.cap_microusd is None or held <= self.budget.cap_microusd
        return end


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(sending, "BACKOFF_S", 0.0)
    monkeypatch.setattr(course, "PATIENCE_S", 1.0)


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_whatever_becomes_of_batches_each_request_is_bought_once_and_charged(tmp_path, seed):
    dice = random.Random(seed)
    host = Host(dice)
    play = Play(tmp_path, host, dice.choice([2, 50]))
    questions = [f"問{number}" for number in range(dice.choice([1, 6, 20]))]
    may_repeat: Counter[str] = Counter()
    for _ in range(3):
        how: dict = {dice.choice(["crash_at", "halt_at"]): dice.randint(1, 40)} if dice.random() < 0.8 else {}
        patient, cap = dice.random() < 0.8, dice.choice([None, None, 2000])
        play.run(questions, wait_s=dice.choice([0.001, 3600.0]), cap=cap, patient=patient, **how)
        if play.has_died:  # what it had sent may not have been on disk
            may_repeat.update(host.sent)
        host.sent.clear()
    host.fails = host.loses = host.spoils = 0
    for _ in range(5):  # a batch that is too much for the host may end a run
        ends = play.run(questions)
        if {*ends.values()} == {"ok"}:
            break
    assert ends == dict.fromkeys(questions, "ok")
    assert (play.open, play.budget.reserved_microusd) == (False, 0)
    assert {one: times for one, times in host.paid.items() if times > 1 + host.unreadable[one] + may_repeat[one]} == {}
    assert {*host.ordered.values()} <= {1}
    assert play.spent >= host.charged


def test_a_request_that_is_asked_while_its_crowded_batch_is_handed_back_is_gathered_once(tmp_path, monkeypatch):
    host = Host(random.Random(0))
    host.fails = host.spoils = host.loses = 0
    host.most = 0
    play = Play(tmp_path, host, poll_s=0.4)
    play.run(["問"], crash_at=4)  # it is ordered
    assert play.has_died
    host.most = None
    note_step = Store.note_step

    async def slow(self, batch, teacher, step, said=""):
        if step == "done" and CROWDED in said:
            await asyncio.sleep(0.2)
        await note_step(self, batch, teacher, step, said)

    monkeypatch.setattr(Store, "note_step", slow)
    monkeypatch.setattr(host.dice, "choice", lambda some: 0.1 if 0.01 in some else some[0])  # it asks so late
    assert play.run(["問"]) == {"問": "ok"}
    assert host.paid == {"問": 1}
    assert play.budget.reserved_microusd == 0
