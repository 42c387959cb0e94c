"""A whole run whose teacher is a function, and the scheduling of requests on a clock that nobody waits for."""

from __future__ import annotations

import asyncio
import inspect
import json
import selectors
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import zstandard

from synth import opening, pipeline
from synth import sending as module
from synth.admission import health
from synth.admission.halt import Halt
from synth.errors import TeacherError
from synth.money.budget import Budget
from synth.protocol.endpoint import Endpoint, Limits, Sampling
from synth.recipes.loading import load
from synth.results.result import Options, Result
from synth.sending import Sender
from synth.storage.database import Ledger, connect, read_ledger
from synth.teacher import Teacher
from synth.types import Message, Outcome
from synth.unit import Unit

RECIPE = """\
name: played
language: ja
seeds: {{kind: jsonl, path: seeds.jsonl}}
teachers:
  main:
    model: asked
    base_url: "replay:none"
    price: {{input_usd: 0, output_usd: 10}}
    sampling: {{max_tokens: 100}}
    limits: {{max_in_flight: {in_flight}}}
    {teacher}
stages:
  - name: answer
    generator: {generator}
    validators: []
"""
ANSWER = "{kind: answer, prompt: ask.md.j2}"
WRITE = "{kind: self_instruct, prompt: ask.md.j2, count: 1}"


def choice(message: object, finish: object = "stop", usage: object = (3, 5), **more: object) -> Outcome:
    """A whole reply with this message; usage as (prompt, completion) tokens, or as it is."""
    counts = (
        dict(zip(("prompt_tokens", "completion_tokens"), usage, strict=True)) if isinstance(usage, tuple) else usage
    )
    body = {"model": "asked", "choices": [{"message": message, "finish_reason": finish}], "usage": counts, **more}
    return Outcome(200, json.dumps(body).encode())


def says(text: str, finish: str = "stop", **more: Any) -> Outcome:
    """A whole reply with this text."""
    return choice({"role": "assistant", "content": text}, finish, **more)


def refuses(status: int, message: str, code: object = None, **headers: str) -> Outcome:
    """An error as OpenAI writes it; headers with _ for -."""
    body = json.dumps({"error": {"message": message, "code": code}}, ensure_ascii=False).encode()
    return Outcome(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


@dataclass
class Ended:
    """A run and what is in its folder."""

    result: Result
    folder: Path

    def rows(self) -> list[str]:
        lines = (self.folder / "rows.jsonl").read_bytes().split(b"\n")[:-1]
        return [json.loads(line)["messages"][-1]["content"] for line in lines]

    def rejected(self) -> list[tuple[str, str]]:
        lines = (self.folder / "rejected.jsonl").read_bytes().split(b"\n")[:-1]
        return [(one["reason"], one["detail"]) for one in map(json.loads, lines)]

    def bodies(self) -> Counter[bytes]:
        """The replies as the store holds them."""
        connection = connect(self.folder / "run.db")
        raws = [raw for (raw,) in connection.execute("SELECT raw FROM reply")]
        connection.close()
        return Counter(zstandard.ZstdDecompressor().decompress(raw) for raw in raws)

    def ledger(self) -> dict[str, Ledger]:
        """The ledger's lines by failure class."""
        connection = connect(self.folder / "run.db")
        lines = read_ledger(connection)
        connection.close()
        return {line.failure: line for line in lines}


class PlayedTeacher:
    """A backend that is a function of the last user message and the body; `sent` holds the messages."""

    def __init__(self, play: Callable[..., Any]) -> None:
        self.play, self.sent, self.landed = play, [], 0
        self.bodies: list[dict[str, Any]] = []

    async def send(self, request: Any) -> Outcome:
        body = json.loads(request.body)
        prompt = body["messages"][-1]["content"]
        self.sent.append(prompt)
        self.bodies.append(body)
        await asyncio.sleep(0)
        outcome = self.play(prompt, body)
        if inspect.isawaitable(outcome):
            outcome = await outcome
        self.landed += 1
        return outcome


class Plays:
    """Runs recipes on played teachers, in one folder."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self._monkeypatch = folder, monkeypatch

    def __call__(
        self,
        teacher: PlayedTeacher,
        questions: list[str],
        *,
        generator: str = ANSWER,
        in_flight: int = 8,
        fields: str = "",
        **options: Any,
    ) -> Ended:
        self._monkeypatch.setattr(opening, "replay", lambda base_url, folder: teacher)
        recipe = self.folder / "recipe"
        recipe.mkdir(exist_ok=True)
        text = RECIPE.format(in_flight=in_flight, teacher=fields, generator=generator)
        (recipe / "recipe.yaml").write_text(text, encoding="utf-8")
        (recipe / "ask.md.j2").write_text("{{ q }}", encoding="utf-8")
        seeds = "".join(json.dumps({"q": question}) + "\n" for question in questions)
        (recipe / "seeds.jsonl").write_text(seeds, encoding="utf-8")
        folder = self.folder / "run"
        return Ended(asyncio.run(pipeline.run(load(recipe), Options(folder, **options))), folder)


class _Clockwork(selectors.DefaultSelector):
    """Where the loop would wait, time is there already."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everything waits for ever"
            self.loop.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while nothing is to be done. Threads have no place on it."""

    def __init__(self) -> None:
        self.now = 1000.0
        clockwork = _Clockwork()
        clockwork.loop = self
        super().__init__(clockwork)
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self.now


class Forgetful:
    """A store that keeps nothing."""

    forgiven = 0

    def __init__(self) -> None:
        self.settled: Counter[str] = Counter()

    def may_hold(self, key: bytes) -> bool:
        return False

    def find(self, key: bytes) -> tuple[()]:
        return ()

    async def begin(self, *entry: object) -> int:
        return 1

    async def keep(self, attempt: int, outcome: Outcome, draws: int = 1) -> None:
        pass

    async def forgive(self) -> None:
        pass

    def settle(self, attempt: int, failure: str, *rest: object, **more: object) -> None:
        self.settled[failure] += 1

    def release(self, attempt: int) -> None:
        self.settled["unsent"] += 1

    def ledger(self) -> list[Ledger]:
        return []


@dataclass
class Virtual:
    """A teacher in virtual time: `answer(number, now)` gives an outcome and after how many seconds it comes."""

    answer: Callable[[int, float], tuple[Outcome, float]]
    loop: VirtualLoop
    in_flight: int = 256

    def __post_init__(self) -> None:
        self.sends: list[tuple[int, float]] = []
        """Which request went out, and when."""
        self.flying = 0
        self.store, self.halt = Forgetful(), Halt()
        endpoint = Endpoint(
            model="m",
            base_url="https://api.example.com/v1",
            sampling=Sampling(max_tokens=100),
            limits=Limits(max_in_flight=self.in_flight),
        )
        store: Any = self.store
        self.teacher = Teacher(Sender("main", endpoint, backends=[self], store=store, budget=Budget(), halt=self.halt))

    async def send(self, request: Any) -> Outcome:
        number = int(json.loads(request.body)["messages"][0]["content"])
        self.sends.append((number, self.loop.now))
        assert len(self.sends) < 100_000, "a busy loop"
        self.flying += 1
        outcome, seconds = self.answer(number, self.loop.now)
        await asyncio.sleep(seconds)
        self.flying -= 1
        return outcome

    async def ask(self, number: int) -> str:
        request = self.teacher.request([Message(role="user", content=str(number))], 0)
        try:
            return (await self.teacher.complete(request, Unit("stage", f"{number:08d}/00", 0, 0))).text
        except TeacherError as error:
            return type(error).__name__

    async def ask_all(self, count: int, *, at_once: int = 768) -> Counter[str]:
        """Ask so many requests, so many of them open at once as a run has them; how they ended."""
        numbers, ends = iter(range(count)), Counter[str]()

        async def worker() -> None:
            for number in numbers:
                ends[await self.ask(number)] += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(worker())
        return ends

    def refused_after(self) -> Counter[int]:
        """How often each request was sent."""
        return Counter(number for number, _ in self.sends)


def in_virtual_time(monkeypatch: pytest.MonkeyPatch, main: Callable[[VirtualLoop], Coroutine[Any, Any, Any]]) -> Any:
    """Run on a virtual loop; teachers made there live by its clock."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        for each in (module, health):
            monkeypatch.setattr(each, "time", SimpleNamespace(monotonic=loop.time))
        return runner.run(main(loop))
