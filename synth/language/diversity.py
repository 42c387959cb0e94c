"""How much the texts of a dataset repeat each other: distinct n-grams and compression.

Both depend on how much text there is, so they are measured on rows spread over the dataset, `MOST_ROWS` at most, and
on the beginning of each text: figures of two datasets of that many rows can be compared.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from synth.language.text import units
from synth.types import Value

MOST_ROWS = 500
MOST_CHARACTERS = 500
"""Of a text. With these figures measuring takes less than a second of one core, however many rows there are."""


class Diversity(Value):
    """The diversity of one part of the rows. Units are words, kana and kanji one by one."""

    part: str
    """`question` or `answer`."""
    rows: int
    """How many were measured."""
    distinct_1: float
    """Different units as a share of all (Li et al., arXiv:1510.03055)."""
    distinct_2: float
    """The same for pairs of neighbours."""
    distinct_3: float
    compression_ratio: float
    """Bytes before compression to bytes after it: the higher, the more repetitive (Shaib et al., arXiv:2403.00553)."""


def measured(rows: Sequence[tuple[str, str]]) -> tuple[Diversity, ...]:
    """The diversity of the questions and of the answers of rows, of which `MOST_ROWS` are taken at equal distances.

    A part that holds no word is left out.
    """
    few = min(MOST_ROWS, len(rows))
    spread = [rows[place * len(rows) // few] for place in range(few)]
    parts = (("question", [question for question, _ in spread]), ("answer", [answer for _, answer in spread]))
    found = (_diversity(part, texts) for part, texts in parts)
    return tuple(one for one in found if one is not None)


def _diversity(part: str, texts: Sequence[str]) -> Diversity | None:
    begun = [text[:MOST_CHARACTERS] for text in texts]
    cut = units(begun)
    if not any(cut):
        return None
    raw = "\n".join(begun).encode("utf-8", "replace")
    one, two, three = (_distinct(cut, size) for size in (1, 2, 3))
    return Diversity(
        part=part,
        rows=len(texts),
        distinct_1=one,
        distinct_2=two,
        distinct_3=three,
        compression_ratio=round(len(raw) / len(zlib.compress(raw, 6)), 3),
    )


def _distinct(texts: Sequence[Sequence[str]], size: int) -> float:
    grams = set[tuple[str, ...] | str]()
    for text in texts:
        grams.update(zip(*(text[start:] for start in range(size)), strict=False) if size > 1 else text)
    every = sum(max(0, len(text) - size + 1) for text in texts)
    return round(len(grams) / every, 4) if every else 1.0
