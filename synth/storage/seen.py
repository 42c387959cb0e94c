"""Which requests may have been made before, without a look into the database."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import cast

SEEN_BITS = 1 << 25
PLACES = cast("Callable[[bytes], tuple[int, int]]", struct.Struct(">2L24x").unpack)
"""Two places in the filter, from two parts of a SHA-256."""


class Seen:
    """Which keys may have been journalled: a Bloom filter (Bloom, 1970) of 4 MB, one wrong yes in 22 at 4 million.

    It spares a look into the database for requests that were never made, and fills as the run goes.
    """

    def __init__(self, keys: Iterable[bytes]) -> None:
        self._bits, self._size = bytearray(SEEN_BITS // 8), SEEN_BITS
        for key in keys:
            self.add(key)

    def forget(self) -> None:
        """Take every key for one that may have been journalled."""
        self._bits, self._size = bytearray(b"\xff"), 8

    def add(self, key: bytes) -> None:
        """Take in the key of a request, a SHA-256."""
        bits, size = self._bits, self._size
        first, second = PLACES(key)
        bits[first % size >> 3] |= 1 << (first & 7)
        bits[second % size >> 3] |= 1 << (second & 7)

    def has(self, key: bytes) -> bool:
        """Whether a request may have been made; False is certain."""
        bits, size = self._bits, self._size
        first, second = PLACES(key)
        return bool(bits[first % size >> 3] >> (first & 7) & bits[second % size >> 3] >> (second & 7) & 1)
