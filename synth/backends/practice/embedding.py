"""What the practice teacher makes of a text for `/embeddings`: the character n-grams in it, hashed into a vector.

It knows letters and no meanings, so it finds other spellings of a text, and never a translation.
"""

from __future__ import annotations

import math
from zlib import crc32

from synth.language.text import fold

DIMENSIONS = 256
NGRAMS = (1, 2, 3)


def embedded(text: str) -> list[float]:
    """A vector of length 1; the same text always gets the same one."""
    letters = fold(text)
    counts = [0.0] * DIMENSIONS
    for size in NGRAMS:
        for start in range(len(letters) - size + 1):
            place = crc32(letters[start : start + size].encode("utf-8", "replace"))
            counts[place % DIMENSIONS] += 1 if place & 1 << 31 else -1
    norm = math.sqrt(math.fsum(one * one for one in counts))
    return [one / norm for one in counts] if norm else [1.0, *counts[1:]]
