"""Items of benchmarks in other words: reworded or translated, so that no n-gram is left of them.

What lies so close to an item that it could be the item is in a grey zone, where a judge decides. It begins where half
of the items have another item of the benchmarks, which is one of many that ask alike and are not the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from synth.ask import Ask, UnitAsk, embed_each
from synth.dedupe.decontaminate import Item, NeighboursRecord, SemanticScreen
from synth.dedupe.semantic import LEAST
from synth.dedupe.shelf import LENGTH, whole
from synth.errors import RecipeError, Rejected
from synth.protocol.vectors import Vector
from synth.types import Message
from synth.unit import Unit

GREY, NEAR = 0.5, 0.99
"""Of the similarities of the items to their nearest others: where the grey zone begins, and from where on a text is
refused when there is no judge."""
QUESTION = """\
Does the text hold the benchmark item? It does when both pose the same problem: copied, reworded, translated, or with \
other numbers or names. It does not when they only share a topic or a kind of problem.

<item>
{item}
</item>
<text>
{text}
</text>

Give your "reason" in one sentence, then the "verdict": "same" or "different"."""


class Verdict(BaseModel):
    """What the judge is asked for."""

    model_config = ConfigDict(extra="forbid")

    reason: str
    verdict: Literal["same", "different"]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A text, the item that it is near, and what was decided."""

    item: Item
    text: str
    similarity: float
    verdict: Literal["same", "different", "near"]
    """`near`: there is no judge, and it is nearer than all but one in a hundred items are to each other."""
    reason: str

    def pair(self) -> dict[str, str | float]:
        """Both, for a review file."""
        return {
            "item": self.item.id,
            "text": self.item.text,
            "how": "semantic",
            "similarity": self.similarity,
            "verdict": self.verdict,
            "reason": self.reason,
        }

    def __str__(self) -> str:
        return f"{self.item.id}: {self.verdict} ({self.similarity:.2f}) {self.reason}".strip()


class Space:
    """The vectors of the items, and how near is near."""

    def __init__(self, items: Sequence[Item], vectors: Sequence[Vector | None]) -> None:
        """Items without a vector, or with none of the usual length, are left out."""
        scaled = [None if vector is None else whole(vector) for vector in vectors]
        found = [(item, one) for item, one in zip(items, scaled, strict=True) if one is not None]
        size = found[0][1].size if found else 0
        self.items = [item for item, one in found if one.size == size]
        self._matrix: NDArray[np.float32] = np.array([one for _, one in found if one.size == size], np.float32)
        nearest = np.array([self._to_another(place) for place in range(len(self.items))] or [1.0])
        self.grey, self.near = (round(float(np.quantile(nearest, share)), 4) for share in (GREY, NEAR))

    def nearest(self, vector: Vector) -> tuple[Item, float] | None:
        """The nearest item, and its cosine; None for a vector that cannot be compared."""
        scaled = whole(vector)
        if scaled is None or not self.items or scaled.size != self._matrix.shape[1]:
            return None
        products = self._matrix @ scaled
        place = int(products.argmax())
        return self.items[place], round(min(1.0, float(products[place]) / LENGTH**2), 4)

    def _to_another(self, place: int) -> float:
        products = self._matrix @ self._matrix[place]
        products[place] = -np.inf
        return min(1.0, float(products.max()) / LENGTH**2)


class Neighbours:
    """Compares texts with the items of benchmarks by their vectors."""

    def __init__(self, wanted: SemanticScreen, items: Sequence[Item]) -> None:
        """Raises RecipeError when there are too few items to tell near from far."""
        if len(items) < LEAST:
            raise RecipeError(
                f"decontaminate.semantic: {len(items)} benchmark items are too few to tell how near is near; "
                f"{LEAST} are needed, so add benchmarks or leave `semantic` out."
            )
        self._wanted = wanted
        self._items = items
        self._space: Space | None = None
        self._lock = asyncio.Lock()
        self._refused: dict[str, Neighbour] = {}
        self._cleared: dict[str, tuple[str, Neighbour]] = {}
        """By text the first id and what was decided: a seed's text comes back in each of its samples."""
        self._compared = self._uncompared = 0

    async def check(self, name: str, texts: Sequence[str], ask: UnitAsk) -> None:
        """Raise Rejected(`contaminated`) when one of the texts is an item of a benchmark in other words.

        Raises what `Ask.embed` does, and for the judge what `Ask.schema` does.
        """
        some = [text for text in texts if text.strip()]
        ask = replace(ask, draw=0, turn=0)  # one verdict on a text, whichever draw or turn holds it
        await self._know(ask)
        for text, vector in zip(some, await embed_each(some, ask, teacher=self._wanted.embedder), strict=True):
            await self.decide(name, text, vector, ask)

    async def decide(self, name: str, text: str, vector: Vector | None, ask: Ask) -> None:
        """As `check`, for a text whose vector is known, once those of the items are."""
        space = self._space
        near = None if vector is None or space is None else space.nearest(vector)
        self._compared += near is not None
        self._uncompared += near is None
        if near is None or space is None or near[1] < (space.grey if self._wanted.judge else space.near):
            return
        hit = await self._judged(*near, text, ask)
        if hit.verdict != "different":
            self._refused[name] = hit
            raise Rejected("contaminated", str(hit))
        first, _ = self._cleared.get(text, (name, hit))
        self._cleared[text] = min(first, name), hit

    def know(self, vectors: Sequence[Vector | None]) -> None:
        """Take in the vectors of the items."""
        self._space = Space(self._items, vectors)

    def hits(self) -> list[tuple[str, Neighbour]]:
        """What was found in the grey zone, with the id of the sample, or of the unit a seed was to be used for."""
        return sorted([*self._refused.items(), *self._cleared.values()], key=lambda hit: (hit[0], hit[1].text))

    def record(self) -> NeighboursRecord:
        """What was compared so far."""
        space = self._space
        return NeighboursRecord(
            items=0 if space is None else len(space.items),
            grey_from=None if space is None else space.grey,
            near_from=None if space is None else space.near,
            compared=self._compared,
            uncompared=self._uncompared,
            refused=len(self._refused),
            cleared=len(self._cleared),
        )

    async def _judged(self, item: Item, similarity: float, text: str, ask: Ask) -> Neighbour:
        if not self._wanted.judge:
            return Neighbour(item, text, similarity, "near", "")
        content = QUESTION.format(item=item.text, text=text)
        told = await ask.schema(Verdict, [Message(role="user", content=content)], teacher=self._wanted.judge)
        return Neighbour(item, text, similarity, told.verdict, told.reason)

    async def _know(self, ask: UnitAsk) -> None:
        """Ask for the items' vectors, once and on nobody's account."""
        async with self._lock:
            if self._space is None:
                own = replace(ask, unit=Unit("decontaminate", "items", ask.unit.priority, 0))
                self.know(await embed_each([item.text for item in self._items], own, teacher=self._wanted.embedder))
