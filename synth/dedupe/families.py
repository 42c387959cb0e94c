"""Origins whose texts are twins: what must stay together when rows are dealt to train and test.

Numbers aside, as a question with other numbers gives the way to the answer away; and from a lower similarity on than
the gate's, as rows below that were kept. Chains count: if A is like B and B like C, all three belong together.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np

from synth.dedupe.normalise import masked, normalise
from synth.dedupe.sketch import BANDS, I64, U64, sketches

LEAST = 0.5
"""The estimated share of n-grams in common."""
AT_ONCE = 1024
THREE_CELLS = np.uint64((1 << 48) - 1)
"""Of the four in a band: what shares half of its n-grams agrees in them in 88 of 100 cases, in all four in 64."""
PAIRS_AT_ONCE = 1 << 16


def families(texts: Iterable[tuple[str, str]]) -> dict[str, str]:
    """For each origin of (origin, text) pairs the first one of its family, which may be itself.

    It takes about 140 bytes of memory for each text. Texts without a letter or number tell nothing.
    """
    places: dict[str, int] = {}
    owners, found = array("q"), [np.zeros((0, BANDS), np.uint64)]
    told = ((places.setdefault(origin, len(places)), normalise(text)) for origin, text in texts)
    while batch := list(islice(told, AT_ONCE)):
        named = [(place, masked(plain)[0]) for place, plain in batch if plain]
        owners.extend(place for place, _ in named)
        if named:
            found.append(sketches([frame for _, frame in named]).minima)
    parents = list(range(len(places)))
    for one, other in _alike(np.concatenate(found), np.array(owners, np.int64)):
        first, second = sorted((_root(parents, one), _root(parents, other)))
        parents[second] = first
    names = list(places)
    return {name: names[_root(parents, place)] for place, name in enumerate(names)}


def _alike(minima: U64, owners: I64) -> Iterator[tuple[int, int]]:
    """Pairs of owners with texts alike that share most of a band: neighbours by it, and each with the first."""
    for band in range(BANDS):
        parts = minima[:, band] & THREE_CELLS
        order = np.argsort(parts, kind="stable")
        keys = parts[order]
        same = np.flatnonzero(keys[1:] == keys[:-1]) + 1
        starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
        first = starts[np.searchsorted(starts, same, "right") - 1]
        for other in (same - 1, first):
            foreign = owners[order[same]] != owners[order[other]]
            later, earlier = order[same[foreign]], order[other[foreign]]
            for start in range(0, later.size, PAIRS_AT_ONCE):
                ones, others = later[start : start + PAIRS_AT_ONCE], earlier[start : start + PAIRS_AT_ONCE]
                equal = minima[ones].view(np.uint16) == minima[others].view(np.uint16)
                close = equal.mean(axis=1) >= LEAST
                yield from zip(owners[ones[close]].tolist(), owners[others[close]].tolist(), strict=True)


def _root(parents: list[int], place: int) -> int:
    while parents[place] != place:
        parents[place] = parents[parents[place]]
        place = parents[place]
    return place
