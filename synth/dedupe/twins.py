"""Near-duplicates by MinHash over character n-grams, every candidate verified.

Banding as in Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3. Character n-grams (5 for
alphabets, 3 where Japanese or Chinese is written) need no word splitter, and so no language.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from pydantic import Field

from synth.dedupe.normalise import FIGURE, VALUES, normalise
from synth.text import HAN, KANA
from synth.types import Sample, Value

PERMUTATIONS = 128
ROWS = 4
"""Per band: 32 bands of 4 find a pair that shares 0.6 of its n-grams with probability 0.99."""
SEED = 7
MOST_CANDIDATES = 200
LATIN_GRAM = 5
CJK_GRAM = 3
THRESHOLDS = {LATIN_GRAM: 0.7, CJK_GRAM: 0.6}


class Dedupe(Value):
    """Keep the first of texts that say the same.

    Texts that differ only in their numbers are different questions and stay.
    """

    by: str = "question"
    """`question`, `answer`, `messages`, or the name of a field."""
    near: bool = True
    """Also find near-duplicates; else only texts that are equal after normalising."""
    threshold: float | None = Field(default=None, gt=0, le=1)
    """The share of n-grams in common (Jaccard) from which two texts are the same; 0.7 for alphabets, 0.6 for Japanese
    and Chinese, whose questions are shorter, unless given."""


@dataclass(frozen=True, slots=True)
class Match:
    """An earlier text that says the same."""

    twin_id: str
    similarity: float
    kind: Literal["exact", "near"]


class Twins:
    """An index of the texts let through so far."""

    def __init__(self, dedupe: Dedupe) -> None:
        self._dedupe = dedupe
        self._exact: dict[bytes, int] = {}
        self._bands: dict[int, list[int]] = {}
        self._kept: list[tuple[str, bytes]] = []

    def add(self, id: str, text: str) -> Match | None:  # noqa: A002 (the word of the design)
        """The earlier twin of a text, or None, in which case the text is now one to compare others with."""
        plain = normalise(text) or text.strip()  # marks alone have only their like for twins
        digest = hashlib.blake2b(plain.encode("utf-8", "replace"), digest_size=12).digest()
        twin = self._exact.get(digest)
        if twin is not None:
            return Match(self._kept[twin][0], 1.0, "exact")
        bands: list[int] = []
        if self._dedupe.near and plain:
            size, grams, bands = fingerprint(plain)
            match = self._near(size, grams, bands)
            if match is not None:
                return match
        place = len(self._kept)
        self._exact[digest] = place
        self._kept.append((id, zlib.compress(plain.encode("utf-8", "replace"), 1) if bands else b""))
        for band in bands:
            self._bands.setdefault(band, []).append(place)
        return None

    def _near(self, size: int, grams: frozenset[str], bands: list[int]) -> Match | None:
        """The most similar candidate, if it is similar enough; among equals the first."""
        threshold = self._dedupe.threshold or THRESHOLDS[size]
        best: Match | None = None
        shared = Counter(place for band in bands for place in self._bands.get(band, ()))
        # those that share most bands are the likeliest
        for place in sorted(shared, key=lambda place: (-shared[place], place))[:MOST_CANDIDATES]:
            twin_id, packed = self._kept[place]
            other = ngrams(FIGURE.sub("0", zlib.decompress(packed).decode()), size)
            common = len(grams & other)
            similarity = common / (len(grams) + len(other) - common)
            if similarity >= threshold and (best is None or similarity > best.similarity):
                best = Match(twin_id, round(similarity, 4), "near")
        return best


def text_of(sample: Sample, by: str) -> str:
    """The part of a sample that is compared."""
    if by == "question":
        return sample.question()
    if by == "answer":
        return sample.answer()
    if by == "messages":
        return "\n".join(message.content for message in sample.messages)
    return str(sample.fields.get(by, ""))


def fingerprint(plain: str) -> tuple[int, frozenset[str], list[int]]:
    """The n-gram size that suits a normalised text, its n-grams with figures masked, and the keys of its bands.

    The keys hold the text's figures in their order, so that only texts with the same ones ever meet: with other
    numbers or operators it is another question.
    """
    cjk = len(KANA.findall(plain)) + len(HAN.findall(plain))
    size = CJK_GRAM if cjk * 2 > len(plain) else LATIN_GRAM
    pieces = FIGURE.split(plain)  # every second piece is a figure
    grams = ngrams("0".join(pieces[::2]), size)
    figures = " ".join(VALUES.get(figure, figure) for figure in pieces[1::2])
    minhash: Any = import_module("rensa").RMinHash(num_perm=PERMUTATIONS, seed=SEED)  # it carries no types
    minhash.update(list(grams))
    digest: list[int] = minhash.digest()
    # hash() of a text differs from run to run, of numbers it does not
    key = int.from_bytes(hashlib.blake2b(figures.encode("utf-8", "replace"), digest_size=8).digest())
    return size, grams, [hash((key, start, *digest[start : start + ROWS])) for start in range(0, PERMUTATIONS, ROWS)]


def ngrams(plain: str, size: int) -> frozenset[str]:
    """The character n-grams of a normalised text, the text itself when it is shorter."""
    return frozenset(plain[start : start + size] for start in range(max(1, len(plain) - size + 1)))
