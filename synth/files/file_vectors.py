"""The vectors of the texts in files: each text is bought once, in whatever company it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence

import orjson

from synth.ask import TEXTS_AT_ONCE, embed_each
from synth.errors import Transient
from synth.files.asking import Desk
from synth.protocol.fates import POISON
from synth.protocol.replies import read
from synth.protocol.vectors import Vector
from synth.types import EMBEDDINGS

EMBEDDER = "embedder"
"""The teacher that is asked."""
PLACE_BITS = 12
PLACES = (1 << PLACE_BITS) - 1
REPLIES = 64
"""Replies whose vectors are at hand."""


class FileVectors:
    """What the store holds of an embedder's vectors, found by the text.

    For each text it keeps a number of 8 bytes and where its vector lies.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._model = desk.teachers[EMBEDDER].endpoint.model
        self._places: dict[int, int] = {}
        """By the hash (64 bits) of a text the attempt that brought its vector, how many texts it had, and its place."""
        self._at_hand: dict[int, Sequence[Vector]] = {}
        self._find()

    def __len__(self) -> int:
        return len(self._places)

    async def buy(self, texts: AsyncIterator[str]) -> None:
        """Have the vectors of all texts in the store, but of those that the embedder refuses. Raises as `Desk.each`."""

        async def bought(batch: list[str]) -> None:
            try:
                await embed_each(batch, self._desk.ask("vectors", "files"), teacher=EMBEDDER)
            except Transient as error:
                if error.failure != POISON:
                    raise
                for text in batch if len(batch) > 1 else ():  # it brought nothing, and never will
                    await bought([text])

        try:
            await self._desk.each(self._missing(texts), bought)
        finally:
            await self._desk.store.note("vectors", self._model)  # after it all that was settled is on disk
            self._find()

    def of(self, texts: Iterable[str]) -> list[Vector | None]:
        """The vector of each text; None for one that the embedder refused."""
        return [self._vector(text) for text in texts]

    async def _missing(self, texts: AsyncIterator[str]) -> AsyncIterator[list[str]]:
        """Batches of texts that the store has no vector of, each once."""
        batch: list[str] = []
        sent: set[int] = set()
        async for text in texts:
            digest = hash(text)
            if digest in self._places or digest in sent or not text.strip():
                continue
            sent.add(digest)
            batch.append(text)
            if len(batch) == TEXTS_AT_ONCE:
                yield batch
                batch = []
        if batch:
            yield batch

    def _find(self) -> None:
        for attempt, body in self._desk.store.asked_of(EMBEDDER, self._model):
            sent = orjson.loads(body).get("input", [])
            for place, text in enumerate(sent):
                # the last that came: after a batch that came short each of its texts was sent alone
                self._places[hash(text)] = (attempt << PLACE_BITS | len(sent)) << PLACE_BITS | place

    def _vector(self, text: str) -> Vector | None:
        found = self._places.get(hash(text))
        if found is None:
            return None
        attempt, count, place = found >> 2 * PLACE_BITS, found >> PLACE_BITS & PLACES, found & PLACES
        if attempt not in self._at_hand:
            if len(self._at_hand) == REPLIES:
                self._at_hand.clear()
            self._at_hand[attempt] = read(self._desk.store.reply(attempt), EMBEDDINGS).found
        vectors = self._at_hand[attempt]
        return vectors[place] if len(vectors) == count else None  # of fewer nobody knows which text each is of
