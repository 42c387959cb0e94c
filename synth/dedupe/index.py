"""A compact index of the texts let through so far: buckets of band keys, sketches, and the texts themselves, packed.

What it answers does not depend on how many texts are asked about at once: a batch is settled as if its texts had come
one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
import zstandard

from synth.dedupe.sketch import BANDS, HALF, I64, U16, U64, UINT32, Flags, Floats, Sketches, jaccard, sketches

WAYS = 8
"""Entries in a bucket; one that finds its bucket full is left out, as in a family of many alike."""
LOAD = 0.7
SMALLEST = 1 << 10
TAG_BITS = np.uint64(16)
MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
BAND_SALTS = np.arange(BANDS, dtype=np.uint64) * np.uint64(0xBF58476D1CE4E5B9)
"""So that equal minima in two bands are two keys."""
MARGIN = 0.12
"""How far an estimate may fall below the threshold for a pair still to be compared: 2.3 standard deviations."""
BLOCK = 16
"""Texts that are packed together."""
ESTIMATED, COMPARED = 1 << 16, 1 << 11
"""Pairs at once, for the sake of memory."""
REFILL = 1 << 12
STEPS = 20
"""Of the histogram of similarities."""
LATIN_LEAST = 0.65
DENSE_LEAST = 0.6
SHORT, SHORTEST, SHORT_LEAST = 24, 12, 0.85
"""N-grams of a text for which the threshold begins to rise, and is highest: two questions of ten letters that share
three quarters of their n-grams ask what a desk is in English, and what water is."""

Blocked = Callable[[list[bool]], list[bool]]
"""Which of the texts without a twin are kept out all the same."""


class Found(NamedTuple):
    """Of a batch: the places of the twins (-1 without), how similar, and who is let through."""

    twin: I64
    similarity: Floats
    kept: Flags


MET_NONE = Found(np.array([-1]), np.zeros(1), np.ones(1, np.bool_))
"""What is found of one text that shares no key with another."""


class Entries(NamedTuple):
    """The band keys of a batch, sorted by bucket and then by text."""

    rows: I64
    slots: I64
    tags: U16
    first: I64
    """Of each entry: where those of its bucket begin."""


Settle = Callable[[Entries, I64, I64], Found]
"""What becomes of texts whose entries meet earlier ones: later text and earlier place, pair by pair."""


class Index:
    """Texts let through, by place: the first is 0."""

    def __init__(self, least: float | None, blocked: Blocked | None = None) -> None:
        self.count = 0
        self.room = 0
        """How many texts may come at once: with more the buckets would not be doubled when it is time."""
        self.histogram: I64 = np.zeros(STEPS, np.int64)
        self.lowest: float = 1.0 if least is None else least
        """The lowest similarity from which a text was a twin; it differs with their scripts and lengths."""
        self._given = least
        self._blocked = blocked
        self._packed: list[bytes] = []
        self._loose: list[str] = []
        self._minima: U64 = np.zeros((0, BANDS), np.uint64)
        self._salts: U64 = np.zeros(0, np.uint64)
        self._pack = zstandard.ZstdCompressor(level=1)
        self._unpack: Any = zstandard.ZstdDecompressor()
        self._grow(SMALLEST)

    def add(self, texts: Sequence[str], figures: Sequence[str]) -> list[tuple[int, float, bool]]:
        """Look up and insert up to `room` masked texts; only those with the same figures are compared.

        For each comes its twin's place among the texts let through (-1 without), how similar, and whether it is now
        one of them.
        """
        new = sketches(texts)
        codes = b"".join(
            [blake2b(figure.encode("utf-8", "surrogatepass"), digest_size=8).digest() for figure in figures]
        )
        salts = np.frombuffer(codes, "<u8").astype(np.uint64)
        if len(texts) == 1 and self._blocked is None and self._put(new.minima, salts):
            found = MET_NONE
        else:
            found = self._insert(new.minima, salts, partial(self._settle, new, salts))
        self._loose += [texts[row] for row in np.flatnonzero(found.kept).tolist()]
        while len(self._loose) >= BLOCK:
            self._packed.append(self._pack.compress("\n".join(self._loose[:BLOCK]).encode("utf-8", "surrogatepass")))
            del self._loose[:BLOCK]
        if not self.room:
            self._grow(2 * len(self._used))
        return list(zip(found.twin.tolist(), found.similarity.tolist(), found.kept.tolist(), strict=True))

    def _keys(self, minima: U64, salts: U64) -> tuple[I64, U16]:
        """Of each text and band the bucket, and what tells its entries apart there."""
        keys = ((minima + salts[:, None] + BAND_SALTS) * MULTIPLIER).ravel()
        return (keys >> self._shift).astype(np.int64), (keys >> (self._shift - TAG_BITS)).astype(np.uint16)

    def _put(self, minima: U64, salts: U64) -> bool:
        """Insert one text if it meets none and has a bucket for each band, as most have: in a third of the time."""
        slots, tags = self._keys(minima, salts)
        if len(set(slots.tolist())) < BANDS or (self._tags[slots] == tags[:, None]).any():
            return False
        fits = self._used[slots] < WAYS
        slots, tags = slots[fits], tags[fits]
        way = self._used[slots]
        self._tags[slots, way], self._places[slots, way], self._used[slots] = tags, self.count, way + 1
        self._minima[self.count], self._salts[self.count] = minima[0], salts[0]
        self.count, self.room = self.count + 1, self.room - 1
        return True

    def _insert(self, minima: U64, salts: U64, settle: Settle | None) -> Found:
        """Put what is kept into the buckets; all of it, when nothing is to be settled."""
        slots, tags = self._keys(minima, salts)
        rank = np.arange(slots.size, dtype=np.uint64)
        order = (np.sort(slots.astype(np.uint64) << HALF | rank) & np.uint64(UINT32)).astype(np.int64)
        rows, slots, tags = order // BANDS, slots[order], tags[order]
        starts = np.ones(slots.size, np.bool_)
        starts[1:] = slots[1:] != slots[:-1]
        first = np.maximum.accumulate(starts * np.arange(slots.size))
        found = Found(np.full(len(salts), -1), np.zeros(len(salts)), np.ones(len(salts), np.bool_))
        if settle is not None:
            entry, way = np.nonzero(self._tags[slots] == tags[:, None])
            met = self._places[slots[entry], way]
            entry, met = entry[met >= 0], met[met >= 0].astype(np.int64)
            alone = len(salts) == 1 or bool(starts.all())
            if met.size or not alone or self._blocked is not None:
                found = settle(Entries(rows, slots, tags, first), rows[entry], met)
        before = found.kept[rows].cumsum() - found.kept[rows]
        way = self._used[slots] + before - before[first]
        fits = found.kept[rows] & (way < WAYS)
        slots, way = slots[fits], way[fits]
        self._tags[slots, way] = tags[fits]
        self._places[slots, way] = (self.count - 1 + found.kept.cumsum())[rows[fits]]
        self._used[slots] = way + 1  # of a bucket that comes several times the last counts
        end = self.count + int(found.kept.sum())
        self._minima[self.count : end], self._salts[self.count : end] = minima[found.kept], salts[found.kept]
        self.count, self.room = end, self._limit - end
        return found

    def _settle(self, new: Sketches, salts: U64, entries: Entries, later: I64, earlier: I64) -> Found:
        """Compare the texts with what shares a band key: earlier ones in the index, and each other."""
        least = np.where(new.dense, DENSE_LEAST, LATIN_LEAST)
        least += (SHORT_LEAST - least) * np.clip((SHORT - new.sizes) / (SHORT - SHORTEST), 0, 1)
        if self._given is not None:
            least[:] = self._given
        self.lowest = min(self.lowest, float(least.min(initial=1)))
        count = len(salts)
        code, _ = _distinct(later << 32 | earlier)
        later, earlier = code >> 32, code & UINT32
        same = self._salts[earlier] == salts[later]
        later, earlier = later[same], earlier[same]
        similarity = self._compared(new, least, later, earlier)
        self._note(similarity)
        hits = np.flatnonzero(similarity >= least[later])[::-1]  # written backwards, the first remains
        twin, similar = np.full(count, -1), np.zeros(count)
        twin[later[hits]], similar[later[hits]] = earlier[hits], similarity[hits]

        entry, other = _within(entries, salts)
        code, pair = _distinct(entries.rows[entry] << 32 | entries.rows[other])
        later, earlier = code >> 32, code & UINT32
        similarity = self._compared(new, least, later, earlier, within=True)
        close = similarity >= least[later]
        met = np.zeros(code.size, np.bool_)
        kept, settled = twin < 0, False
        # who is kept decides whom the later ones meet: right from the first on, a text more with every round at least
        while not settled:
            before = kept[entries.rows].cumsum() - kept[entries.rows]
            way = self._used[entries.slots] + before - before[entries.first]
            seen = kept[entries.rows[other]] & (way[other] < WAYS)
            met = np.bincount(pair[seen], minlength=code.size) > 0
            free = twin < 0
            free[later[met & close]] = False
            now = free if self._blocked is None else free & ~np.array(self._blocked(free.tolist()))
            kept, settled = now, bool((now == kept).all())
        self._note(similarity[met])
        hits = np.flatnonzero(met & close & (twin[later] < 0))[::-1]
        twin[later[hits]] = self.count + (kept.cumsum() - 1)[earlier[hits]]
        similar[later[hits]] = similarity[hits]
        return Found(twin, similar, kept)

    def _compared(self, new: Sketches, least: Floats, later: I64, earlier: I64, within: bool = False) -> Floats:
        """How similar pairs are: exactly, or as their sketches tell where that is far too little."""
        stored = new.minima if within else self._minima
        similarity = np.zeros(later.size)
        for start in range(0, later.size, ESTIMATED):
            part = slice(start, start + ESTIMATED)
            equal = new.minima[later[part]].view(np.uint16) == stored[earlier[part]].view(np.uint16)
            similarity[part] = equal.mean(axis=1)
        near = np.flatnonzero(similarity >= least[later] - MARGIN)
        for start in range(0, near.size, COMPARED):
            part = near[start : start + COMPARED]
            others, of_other = new, earlier[part]
            if not within:
                places, of_other = _distinct(of_other)
                others = sketches(self._fetch(places), with_minima=False)
            similarity[part] = jaccard(new, others, later[part], of_other)
        return similarity

    def _fetch(self, places: I64) -> list[str]:
        """The texts at some places."""
        blocks: dict[int, list[str]] = {len(self._packed): self._loose}
        texts: list[str] = []
        for place in map(int, places):
            block, at = divmod(place, BLOCK)
            if block not in blocks:
                packed = bytes(self._unpack.decompress(self._packed[block]))
                blocks[block] = packed.decode("utf-8", "surrogatepass").split("\n")
            texts.append(blocks[block][at])
        return texts

    def _note(self, similarity: Floats) -> None:
        steps = np.minimum((similarity * STEPS).astype(np.int64), STEPS - 1)
        self.histogram += np.bincount(steps, minlength=STEPS)

    def _grow(self, buckets: int) -> None:
        """So many buckets, filled anew."""
        self._shift = np.uint64(64 - (buckets.bit_length() - 1))
        self._limit = int(buckets * WAYS * LOAD) // BANDS
        minima, salts = self._minima, self._salts
        self._minima = np.zeros((self._limit, BANDS), np.uint64)  # memory that nothing was written to is not taken
        self._salts = np.zeros(self._limit, np.uint64)
        self._minima[: self.count], self._salts[: self.count] = minima[: self.count], salts[: self.count]
        self._places = np.full((buckets, WAYS), -1, np.int32)
        self._tags = np.zeros((buckets, WAYS), np.uint16)
        self._used = np.zeros(buckets, np.uint8)
        count, self.count = self.count, 0
        for start in range(0, count, REFILL):
            part = slice(start, min(start + REFILL, count))
            self._insert(self._minima[part], self._salts[part], None)
        self.room = self._limit - self.count


def _distinct(values: I64) -> tuple[I64, I64]:
    """The values sorted and without repetitions, and each value's place among them; `np.unique` takes far longer."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    new = np.append(True, ordered[1:] != ordered[:-1])[: values.size]
    places = np.empty(values.size, np.int64)
    places[order] = new.cumsum() - 1
    return ordered[new], places


def _within(entries: Entries, salts: U64) -> tuple[I64, I64]:
    """The entries of two texts of a batch that share a key, the later text's and the earlier one's."""
    rows, tags = entries.rows, entries.tags
    entry = np.flatnonzero(entries.first != np.arange(rows.size))
    distance, later, earlier = 0, [entry[:0]], [entry[:0]]
    while entry.size:
        distance += 1
        entry = entry[entry - distance >= entries.first[entry]]
        other = entry - distance
        shared = (tags[entry] == tags[other]) & (rows[entry] != rows[other])
        shared &= salts[rows[entry]] == salts[rows[other]]
        later.append(entry[shared])
        earlier.append(other[shared])
    return np.concatenate(later), np.concatenate(earlier)
