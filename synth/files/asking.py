"""Asking without a recipe, for the commands on files: a store of their own, a budget, and teachers by the names given.

What has come is kept in a run folder, so that running a command again, also on a file that has grown, buys only what is
not there yet.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from synth.admission.halt import Halt
from synth.admission.scheduler import WINDOW_PER_SLOT, in_order, together
from synth.ask import UnitAsk
from synth.errors import Fatal, FolderError, RecipeError, TeacherError
from synth.language.text import several
from synth.money.budget import Budget, Caps
from synth.opening import budgeted, fit_descriptors, opened
from synth.protocol.endpoint import Endpoint, look_for_keys
from synth.recipes.templates import Templates
from synth.results.result import Options
from synth.storage.store import FILES, Store
from synth.teacher import Teacher
from synth.unit import Unit

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Desk:
    """What a command on files asks with."""

    store: Store
    teachers: Mapping[str, Teacher]
    budget: Budget
    halt: Halt

    def ask(self, stage: str, unit: str, language: str = "") -> UnitAsk:
        """What one unit of work may do; `language` is that of the words around a schema."""
        return UnitAsk(Unit(stage, unit, 0, 0), self.teachers, Templates(Path()), language, 0)

    async def each(self, source: AsyncIterator[T], work: Callable[[T], Awaitable[None]]) -> None:
        """Do the work of each value, many side by side.

        Raises Fatal when the asking has stopped, or patience ended for some, after what was in flight has come.
        """
        failed: list[TeacherError] = []

        async def tried(value: T) -> None:
            try:
                await work(value)
            except TeacherError as error:
                failed.append(error)

        async def while_asking() -> AsyncIterator[tuple[T]]:
            async for value in source:
                if self.halt.error is not None:
                    return
                yield (value,)

        window = WINDOW_PER_SLOT * max(one.endpoint.limits.max_in_flight for one in self.teachers.values())
        await together(in_order(while_asking(), tried, _nothing, window))
        self.halt.check()
        if failed:
            raise Fatal(f"{several(len(failed), 'request')} brought nothing ({failed[0]}); run again to ask once more.")


@asynccontextmanager
async def desk(
    folder: Path, endpoints: Mapping[str, Endpoint], caps: Caps, halt: Halt, options: Options | None = None
) -> AsyncGenerator[Desk]:
    """Open the store in a folder and the teachers.

    Raises RecipeError when money is capped and a price is not known, FolderError when the folder cannot be used.
    """
    for endpoint in endpoints.values():
        if caps.has_money and not caps.allow_unknown_price and endpoint.known_price() is None:
            raise RecipeError(
                f"The price of {endpoint.model} at {endpoint.base_url} is not known, so a money budget cannot be kept; "
                "install the price table (pip install 'synth[prices]'), cap requests or tokens, or go on without "
                "seeing its cost: --allow-unknown-price, or allow_unknown_price in the budget."
            )
    for note in look_for_keys(endpoints.values(), (Path(),)):
        (options or Options()).say(note)
    store = Store(folder)
    try:
        if store.meta("recipe") not in (None, FILES):
            raise FolderError(
                f"{folder} holds a run of a recipe; choose another folder (--run FOLDER, or folder= in Python)."
            )
        await store.note("recipe", FILES)
        store.watch(halt.throw)
        await store.open_run([name for name, endpoint in endpoints.items() if endpoint.recover])
        async with (
            budgeted(caps, store, halt) as budget,
            opened(endpoints, Path(), store, budget, halt, options or Options()) as teachers,
        ):
            fit_descriptors(teachers)
            yield Desk(store, teachers, budget, halt)
    finally:
        store.close()


async def _nothing(_asked: object) -> None:
    """Whatever was to be kept is in the store."""
