"""Vectors that new ones are compared with, each with all of them, a block at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from synth.protocol.vectors import Vector

LENGTH = 4000.0
"""Vectors are scaled to it and rounded to whole numbers, which take 2 bytes each. No sum of their products reaches
2^24, so that float32 adds them without error in whatever order a machine does, and however many are compared at once:
the same store gives the same rows everywhere."""
AT_ONCE = 1024
"""Vectors of a block: with 1,024 dimensions 2 MiB, and 4 while it is compared."""


class Shelf:
    """Texts any of which may be another one's twin, with their vectors."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._frames: list[int] = []
        self._blocks: list[NDArray[np.int16]] = []
        """All but the last are full."""

    def twins(self, block: Vector, frames: Sequence[int], limit: float) -> list[tuple[int, float] | None]:
        """For each vector (a row of length LENGTH) the place of the closest one with a product of at least `limit` and
        another frame, and the product; the first of equally close ones."""
        best: list[tuple[int, float] | None] = [None] * len(block)
        for number, held in enumerate(self._blocks):
            start = number * AT_ONCE
            products = block @ held[: len(self.names) - start].astype(np.float32).T
            if products.size and products.max() >= limit:
                _better(best, products, limit, frames, self._frames[start : start + AT_ONCE], start)
        return best

    def put(self, name: str, vector: Vector, frame: int) -> None:
        """Remember a text."""
        place = len(self.names) % AT_ONCE
        if not place:
            self._blocks.append(np.zeros((1, vector.size), np.int16))
        elif place == len(self._blocks[-1]):  # most shelves hold few
            self._blocks[-1] = np.concatenate([self._blocks[-1], np.zeros_like(self._blocks[-1])])
        self._blocks[-1][place] = vector
        self.names.append(name)
        self._frames.append(frame)

    def add(
        self, names: Sequence[str], block: Vector, frames: Sequence[int], stays: Sequence[bool], limit: float
    ) -> list[tuple[str, float] | None]:
        """Of each text in turn the name of the closest earlier one, as `twins` tells, and their cosine; who has none is
        remembered if it `stays`."""
        found = self.twins(block, frames, limit)
        among = block @ block.T
        first = len(self.names)
        rows: list[int] = []
        """Those of this batch that were remembered."""
        twins: list[tuple[str, float] | None] = []
        for row, name in enumerate(names):
            best, near = [found[row]], among[row : row + 1, rows]
            if rows and near.max() >= limit:
                _better(best, near, limit, frames[row : row + 1], [frames[one] for one in rows], first)
            twin = best[0]
            twins.append(None if twin is None else (self.names[twin[0]], min(1.0, twin[1] / LENGTH**2)))
            if twin is None and stays[row]:
                self.put(name, block[row], frames[row])
                rows.append(row)
        return twins


def whole(vector: Vector) -> Vector | None:
    """A vector of length LENGTH and whole numbers; None for one without a direction."""
    exact = vector.astype(np.float64)
    length = float(np.linalg.norm(exact))
    return np.rint(exact * (LENGTH / length)).astype(np.float32) if length else None


def _better(
    best: list[tuple[int, float] | None],
    products: Vector,
    limit: float,
    frames: Sequence[int],
    others: Sequence[int],
    start: int,
) -> None:
    """Put the places of closer ones in the stead of those that are the best so far."""
    rows, places = np.nonzero(products >= limit)
    for row, place in zip(rows.tolist(), places.tolist(), strict=True):
        product, old = float(products[row, place]), best[row]
        if frames[row] != others[place] and (old is None or product > old[1]):
            best[row] = start + place, product
