"""Which of texts, the best first, are unlike all that were taken before them.

Exact: the n-grams of each text are put in order from the rarest, and two texts that have a share `below` of them in
common have one in common among the first of each (prefix filtering, Chaudhuri, Ganti and Kaushik 2006), so that only
texts that meet there are compared. Numbers count: what differs only in them is alike.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from synth.dedupe.normalise import normalise
from synth.dedupe.sketch import U32, sketches

AT_ONCE = 1 << 10


def too_similar(texts: Sequence[str], below: float) -> list[tuple[int, float] | None]:
    """For each text, None when it is taken; else the taken one that it is most similar to, and how similar.

    `texts` come in order of preference, and one is taken when its similarity (Jaccard, of character n-grams) to every
    text taken so far is less than `below`.
    """
    grams = _ranked(texts)
    met: defaultdict[int, list[int]] = defaultdict(list)
    found: list[tuple[int, float] | None] = []
    for place, own in enumerate(grams):
        first = own[: own.size - math.ceil(below * own.size) + 1].tolist()
        rivals = sorted({rival for gram in first for rival in met.get(gram, ())})
        nearest = max(((_jaccard(own, grams[rival]), -rival) for rival in rivals), default=(0.0, 0))
        if nearest[0] >= below:
            found.append((-nearest[1], nearest[0]))
            continue
        found.append(None)
        for gram in first:
            met[gram].append(place)
    return found


def _ranked(texts: Sequence[str]) -> list[U32]:
    """The different n-grams of each text as numbers, the rarest first."""
    every = [grams for start in range(0, len(texts), AT_ONCE) for grams in _grams(texts[start : start + AT_ONCE])]
    if not every:
        return []
    known, counts = np.unique(np.concatenate(every), return_counts=True)
    ranks = np.empty(known.size, np.uint32)
    ranks[np.argsort(counts, kind="stable")] = np.arange(known.size, dtype=np.uint32)
    return [np.sort(ranks[np.searchsorted(known, grams)]) for grams in every]


def _grams(texts: Sequence[str]) -> Iterator[U32]:
    found = sketches([normalise(text) for text in texts], with_minima=False)
    return (np.unique(grams) for grams in np.split(found.grams, found.sizes.cumsum()[:-1]))


def _jaccard(one: U32, other: U32) -> float:
    common = np.intersect1d(one, other, assume_unique=True).size
    return common / (one.size + other.size - common)
