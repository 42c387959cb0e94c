"""The first prompts of all seeds, rendered and not sent: what they take before anything is bought."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

import numpy as np
import orjson
from pydantic import BaseModel, JsonValue

from synth import schema
from synth.errors import Rejected
from synth.estimates.intervals import Floats
from synth.own import OwnGenerator
from synth.protocol.endpoint import Endpoint
from synth.recipes.recipe import LoadedRecipe, Stage
from synth.recipes.templates import Templates
from synth.results.pilot import spread
from synth.seeds import read
from synth.seeds.spool import SeedSpool
from synth.types import Message, Seed

MOST_RENDERED = 20_000
"""Of more seeds about as many are rendered, spread over all."""
FRAME_BYTES = 200
"""What a request holds beside its messages and its schema, about."""


class _UnsentError(Exception):
    """A plug-in asks, and is not answered."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The first request for a seed."""

    seed: str
    teacher: str
    messages: Sequence[Message]
    size: int
    """Bytes of it, which no tokenizer makes more tokens of."""


@dataclass(frozen=True, slots=True)
class Prompts:
    """The first requests for seeds spread over all, and how many seeds there are."""

    every: Sequence[Prompt]
    of: int

    def beyond(self, pilot: Mapping[str, int]) -> tuple[Floats, float] | None:
        """How long the prompts of a pilot's seeds are, and on average those of the others; None where one lacks."""
        sizes = {one.seed: one.size for one in self.every}
        if not all(name in sizes for name in pilot):
            return None
        others = [size for name, size in sizes.items() if name not in pilot]
        own = np.array([float(sizes[name]) for name in pilot])
        return own, float(np.mean(others)) if others else float(own.mean() if len(own) else 0.0)


async def rendered(loaded: LoadedRecipe, pilot: int) -> Prompts:
    """The first prompts of the first stage, of as many seeds as is quick, and of those of a pilot.

    They are none where a class of the user's own asks, which may do whatever it likes before.
    Raises RecipeError for seeds that cannot be read.
    """
    with TemporaryDirectory() as vanishing:
        spool = SeedSpool(Path(vanishing) / "seeds.db", read(loaded.recipe.seeds, loaded.folder))
        try:
            step, tried = max(1, spool.unique // MOST_RENDERED), spread(spool.unique, pilot)
            every = enumerate(one for one in spool if isinstance(one, Seed))
            some = (seed for place, seed in every if place % step == 0 or place in tried)
            return Prompts(await _rendered(loaded, some), spool.unique)
        finally:
            spool.close()


async def _rendered(loaded: LoadedRecipe, seeds: Iterable[Seed]) -> list[Prompt]:
    stage, found = loaded.recipe.stages[0], list[Prompt]()
    if isinstance(stage.generator, OwnGenerator):
        return found
    for seed in seeds:
        ask = _Unsent(stage, seed, loaded.recipe.teachers, loaded.templates, loaded.recipe.language)
        try:
            await stage.generator.generate(seed, ask)
        except* _UnsentError:
            found.append(ask.first)
        except* Rejected:  # its template lacks something: it is refused before it is asked
            pass
    return found


class _Unsent:
    """`Ask` for one seed: it notes the first request and sends none."""

    draw = 0

    def __init__(
        self, stage: Stage, seed: Seed, teachers: Mapping[str, Endpoint], templates: Templates, language: str
    ) -> None:
        self._own, self._instead = stage.generator.teacher, stage.answering_for(seed.fields)[0]
        self._seed, self._teachers, self._templates, self._language = seed, teachers, templates, language
        self.first: Prompt

    def render(self, template: str, values: Mapping[str, JsonValue]) -> str:
        """Render a template file of the recipe with these values."""
        return self._templates.render(template, values)

    async def text(self, messages: Sequence[Message], *, teacher: str) -> Any:
        """Note a chat."""
        self._note(teacher, messages)

    async def schema(self, model: type[BaseModel], messages: Sequence[Message], *, teacher: str) -> Any:
        """Note a chat that asks for an object."""
        how = self._teachers[self._asked(teacher)].structured
        if how != "json_schema":
            messages = schema.with_words(messages, model, self._language)
        self._note(teacher, messages, len(orjson.dumps(schema.response_format(model, how))))

    async def continued(self, text: str, *, teacher: str, stop: Sequence[str] = ()) -> Any:
        """Note a text that is to be gone on with."""
        self._note(teacher, [Message(role="user", content=text)], sum(map(len, stop)))

    async def embed(self, texts: Sequence[str], *, teacher: str) -> Any:
        """Note texts whose vectors are asked for."""
        self._note(teacher, [Message(role="user", content="".join(texts))])

    async def found(self, path: str, fields: Mapping[str, JsonValue], *, teacher: str) -> Any:
        """Note what is asked of another path."""
        self._note(teacher, [Message(role="user", content=orjson.dumps(fields).decode())], len(path))

    def _asked(self, teacher: str) -> str:
        return self._instead if teacher == self._own else teacher

    def _note(self, teacher: str, messages: Sequence[Message], more: int = 0) -> NoReturn:
        size = sum(len(orjson.dumps(one.content)) for one in messages) + more + FRAME_BYTES
        self.first = Prompt(self._seed.id, self._asked(teacher), messages, size)
        raise _UnsentError
