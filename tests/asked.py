"""One teacher that is asked by itself over a store, for tests of what is asked other than by a run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from synth.admission.halt import Halt
from synth.ask import UnitAsk
from synth.backends import Backend
from synth.backends.replay import ReplayRun
from synth.money.budget import Budget, Caps
from synth.protocol.endpoint import Endpoint
from synth.recipes.templates import Templates
from synth.sending import Sender
from synth.storage.database import Ledger
from synth.storage.store import Store
from synth.teacher import Teacher
from synth.types import Outcome, Request
from synth.unit import Unit


class Script:
    """A backend that answers from a list, with its last answer for good, and notes what was sent."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)
        self.sent: list[Request] = []

    async def send(self, request: Request) -> Outcome:
        self.sent.append(request)
        await asyncio.sleep(0)
        return self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]


@asynccontextmanager
async def teacher_over(
    folder: Path,
    endpoint: Endpoint,
    backend: Backend,
    name: str = "main",
    *,
    caps: Caps | None = None,
    earlier: Sequence[ReplayRun] = (),
    ledger: list[Ledger] | None = None,
) -> AsyncGenerator[Teacher]:
    """A teacher over a fresh or existing store, whose ledger is told in the end."""
    store = Store(folder)
    try:
        await store.open_run()
        budget = Budget(caps or Caps(), store.spent())
        sender = Sender(name, endpoint, backends=[backend], store=store, budget=budget, halt=Halt())
        teacher = Teacher(sender, earlier=earlier)
        teacher.settle_leftovers()
        yield teacher
    finally:
        if ledger is not None:
            await store.note("end", "")
            ledger.extend(store.ledger())
        store.close()


def unit_of(teacher: Teacher, name: str = "0/00", templates: Path | None = None) -> UnitAsk:
    """What one unit may ask of the teacher; `templates` is the recipe's folder."""
    return UnitAsk(Unit("stage", name, 0, 0), {teacher.name: teacher}, Templates(templates or Path()), "ja", 0)
