"""MinHash sketches over character n-grams, of many texts at once.

A text's n-grams are hashed once and spread over cells, each of which keeps its least hash: one-permutation hashing
(Li, Owen and Zhang 2012), empty cells filled from others as in Shrivastava, Optimal Densification for Fast and
Accurate Minwise Hashing (2017). The share of cells in which two sketches agree estimates the share of n-grams that
two texts have in common (Jaccard). Hashes are fixed arithmetic on code points, so that every machine finds the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from synth.dedupe.kana import SPELLED_FROM, spelling

U16 = NDArray[np.uint16]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]

ROWS = 4
BANDS = 24
"""Of four cells each: two texts that share 0.68 of their n-grams agree in one of them with probability 0.997."""
CELLS = ROWS * BANDS
DENSE_FROM = 0x3041
"""From the kana on a character says about as much as a syllable or a word: n-grams of 3 do, elsewhere of 5."""
DENSE_GRAM = 3
GRAM = 5
FACTOR = 0x9E3779B1
UINT32 = 0xFFFFFFFF
HALF = np.uint64(32)
ORDERS = np.argsort(np.random.Generator(np.random.PCG64(7)).random((CELLS, CELLS)), axis=1)
"""For each cell in which order the others are asked when it is empty."""


class Sketches(NamedTuple):
    """What is compared of some texts."""

    grams: U32
    """The n-grams as hashes, one text after the other, with repetitions."""
    owners: I64
    """Which text each belongs to."""
    dense: Flags
    """Of each text: whether more than half of it is kana, kanji or the like."""
    minima: U64
    """Of each text and band its ROWS numbers of 16 bits each."""


def sketches(texts: Sequence[str]) -> Sketches:
    """The n-grams and the minima of normalised texts; one that is shorter than its n-gram is one by itself.

    Where an n-gram begins decides its size, so that no share of Japanese in a mixed text changes all of them at once.
    """
    padded = [text if len(text) >= GRAM else text.ljust(GRAM, "\0") for text in texts]
    lengths = np.fromiter(map(len, padded), np.int64, len(padded))
    owners = np.repeat(np.arange(lengths.size), lengths)
    left = np.repeat(lengths.cumsum(), lengths) - np.arange(owners.size)
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint32)
    wide = bool(codes.max() >= SPELLED_FROM)
    if wide:
        codes = spelling(codes, left == np.repeat(lengths, lengths))
    two = codes[:-1] * np.uint32(FACTOR) + codes[1:]
    four = two[:-2] * np.uint32(FACTOR * FACTOR & UINT32) + two[2:]
    grams = four[:-1] * np.uint32(FACTOR) + codes[4:]
    dense = np.zeros(lengths.size, np.bool_)
    whole = left[:-4] >= GRAM
    if wide:
        is_dense = codes >= DENSE_FROM
        dense = np.bincount(owners, is_dense) * 2 > lengths
        short = is_dense[:-2] | is_dense[1:-1]  # a Latin letter or a figure before Japanese belongs to it
        three = two[:-1] * np.uint32(FACTOR) + codes[2:]
        grams = np.where(short, three, np.append(grams, three[-2:]))
        whole = left[:-2] >= np.where(short, DENSE_GRAM, GRAM)
    grams, owners = grams[whole], owners[: whole.size][whole]
    grams ^= grams >> np.uint32(16)  # every bit made to depend on all others, as MurmurHash3 ends
    grams *= np.uint32(0x85EBCA6B)
    grams ^= grams >> np.uint32(13)
    grams *= np.uint32(0xC2B2AE35)
    grams ^= grams >> np.uint32(16)

    cells = (grams.astype(np.uint64) * np.uint64(CELLS) >> HALF).astype(np.int64) + owners * CELLS
    least = np.full(lengths.size * CELLS, UINT32, np.uint32)
    np.minimum.at(least, cells, grams * np.uint32(FACTOR))  # the lower bits decide: the upper ones chose the cell
    least = least.reshape(-1, CELLS)
    row, cell = np.nonzero(least == UINT32)
    if row.size:
        order = ORDERS[cell]
        donor = (least[row[:, None], order] != UINT32).argmax(axis=1)
        least[row, cell] = least[row, order[np.arange(row.size), donor]]
    minima = (least * np.uint32(0x85EBCA6B) >> np.uint32(16)).astype("<u2").view("<u8").astype(np.uint64)
    return Sketches(grams, owners, dense, minima)


def jaccard(one: Sketches, other: Sketches, of_one: I64, of_other: I64) -> Floats:
    """The share of n-grams in common, for pairs of a text of the one and a text of the other."""
    first, first_sizes = _sets(one, of_one)
    second, second_sizes = _sets(other, of_other)
    both = np.sort(np.concatenate([first, second]))
    shared = both[1:][both[1:] == both[:-1]] >> HALF
    common = np.bincount(shared.astype(np.int64), minlength=of_one.size)
    return common / (first_sizes + second_sizes - common)


def _sets(sketch: Sketches, wanted: I64) -> tuple[U64, I64]:
    """For each wanted text its n-grams without repetitions, each below its place in `wanted`; and how many they are."""
    texts, places = np.unique(wanted, return_inverse=True)
    asked = np.zeros(len(sketch.dense), np.bool_)
    asked[texts] = True
    mine = asked[sketch.owners]
    distinct = np.unique(sketch.owners[mine].astype(np.uint64) << HALF | sketch.grams[mine])
    owners = (distinct >> HALF).astype(np.int64)
    starts = np.searchsorted(owners, texts)
    sizes = (np.searchsorted(owners, texts, "right") - starts)[places]
    offsets = np.repeat(starts[places] - sizes.cumsum() + sizes, sizes) + np.arange(sizes.sum())
    pairs = np.repeat(np.arange(wanted.size, dtype=np.uint64) << HALF, sizes)
    return pairs | (distinct[offsets] & np.uint64(UINT32)), sizes
