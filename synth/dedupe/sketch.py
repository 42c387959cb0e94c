"""MinHash sketches over character n-grams, of many texts at once.

A text's n-grams are hashed once and spread over cells, each of which keeps its least hash: one-permutation hashing
(Li, Owen and Zhang 2012), empty cells filled from others as in Shrivastava, Optimal Densification for Fast and
Accurate Minwise Hashing (2017). The share of cells in which two sketches agree estimates the share of n-grams that
two texts have in common (Jaccard). Hashes are fixed arithmetic on code points, so that every machine finds the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import shake_128
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from synth.dedupe.kana import SPELLED_FROM, spelling
from synth.dedupe.normalise import DIGITS

U16 = NDArray[np.uint16]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]

ROWS = 4
BANDS = 16
"""Of four cells each: two texts that share 0.7 of their n-grams agree in one of them with probability 0.988."""
CELLS = ROWS * BANDS
DENSE_FROM = 0x3041
"""From the kana on a character says about as much as a syllable or a word: n-grams of 3 do, elsewhere of 5."""
DENSE_GRAM = 3
GRAM = 5
FACTOR = np.uint32(0x9E3779B1)
FACTOR_SQUARED = np.uint32(int(FACTOR) ** 2 & 0xFFFFFFFF)
MIX, LAST_MIX, HALF_OF_32, THIRTEEN = np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35), np.uint32(16), np.uint32(13)
"""The constants of MurmurHash3, made once: with a single text half of the time goes into such small things."""
UINT32 = 0xFFFFFFFF
FIRST_ASKED = 8
"""Cells, for one that is empty: nearly always enough."""
NUMBER_WORDS = {word.encode() for word in DIGITS}
BEGUN = np.zeros(1 << 16, np.bool_)
"""By the upper half of the product of a word's first four bytes and FACTOR: whether it may be a number."""
for _word in DIGITS:
    BEGUN[int.from_bytes(f"{_word} "[:4].encode(), "little") * int(FACTOR) >> 16 & 0xFFFF] = True
ONE, HALF = np.uint64(1), np.uint64(32)
RANDOM = np.frombuffer(shake_128(b"synth").digest(4 * CELLS * CELLS), "<u4")
ORDERS = np.argsort(RANDOM.reshape(CELLS, CELLS), axis=1, kind="stable")
"""For each cell in which order the others are asked when it is empty."""


class Sketches(NamedTuple):
    """What is compared of some texts."""

    grams: U32
    """The n-grams as hashes, one text after the other, with repetitions."""
    sizes: I64
    """How many n-grams each text has."""
    dense: Flags
    """Of each text: whether more than half of it is kana, kanji or the like."""
    minima: U64
    """Of each text and band its ROWS numbers of 16 bits each."""


def sketches(texts: Sequence[str], with_minima: bool = True) -> Sketches:
    """The n-grams and the minima of normalised texts; one that is shorter than its n-gram is one by itself.

    Without `with_minima` only the n-grams are told. Where an n-gram begins decides its size, so that no share of
    Japanese in a mixed text changes all of them at once.
    """
    padded = [text if len(text) >= GRAM else text.ljust(GRAM, "\0") for text in texts]
    lengths = np.fromiter(map(len, padded), np.int64, len(padded))
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint32)
    ends = lengths.cumsum()
    wide = bool(codes.max() >= SPELLED_FROM)
    if wide:
        codes = spelling(codes, ends - lengths)
    two = codes[:-1] * FACTOR + codes[1:]
    four = two[:-2] * FACTOR_SQUARED + two[2:]
    grams, whole = np.zeros(codes.size, np.uint32), np.ones(codes.size, np.bool_)
    grams[:-4] = four[:-1] * FACTOR + codes[4:]
    whole[ends[:, None] - np.arange(1, GRAM)] = False
    sizes, dense = lengths - (GRAM - 1), np.zeros(lengths.size, np.bool_)
    if wide:
        is_dense = codes >= DENSE_FROM
        short = is_dense.copy()
        short[:-1] |= is_dense[1:]  # a Latin letter before Japanese belongs to it
        grams[:-2] = np.where(short[:-2], two[:-1] * FACTOR + codes[2:], grams[:-2])
        last = ends[:, None] - np.arange(DENSE_GRAM, GRAM)
        whole[last] = short[last]
        starts = ends - lengths
        sizes = np.add.reduceat(whole, starts, dtype=np.int64)
        dense = np.add.reduceat(is_dense, starts, dtype=np.int64) * 2 > lengths
    grams = grams[whole]
    grams ^= grams >> HALF_OF_32  # every bit made to depend on all others, as MurmurHash3 ends
    grams *= MIX
    grams ^= grams >> THIRTEEN
    grams *= LAST_MIX
    grams ^= grams >> HALF_OF_32
    if not with_minima:
        return Sketches(grams, sizes, dense, np.zeros((0, BANDS), np.uint64))

    cells = ((grams >> HALF_OF_32) * np.uint32(CELLS) >> HALF_OF_32).astype(np.intp)
    cells += np.repeat(np.arange(0, lengths.size * CELLS, CELLS), sizes)
    least = np.full(lengths.size * CELLS, UINT32, np.uint32)
    np.minimum.at(least, cells, grams * FACTOR)  # the lower bits decide: the upper ones chose the cell
    least = least.reshape(-1, CELLS)
    filled = least != UINT32
    row, cell = np.nonzero(~filled)
    for asked in (FIRST_ASKED, CELLS) if row.size else ():
        order = ORDERS[cell, :asked]
        donor = filled[row[:, None], order].argmax(axis=1)
        donor = order[np.arange(row.size), donor]
        least[row, cell] = least[row, donor]
        row, cell = row[~(found := filled[row, donor])], cell[~found]
    minima = (least * MIX >> HALF_OF_32).astype("<u2").view("<u8").astype(np.uint64)
    return Sketches(grams, sizes, dense, minima)


def counting(plains: Sequence[str]) -> list[bool]:
    """Which of some normalised texts hold a number word."""
    coded = ("\n" + " \n".join(plains) + "   \n").encode("utf-8", "surrogatepass")
    read = np.frombuffer(coded, np.uint8)
    four = np.ndarray(read.size - 4, "<u4", coded, offset=1, strides=(1,))
    before = np.flatnonzero((read[:-4] == ord(" ")) | (read[:-4] == ord("\n")))
    begun = before[BEGUN[four[before] * FACTOR >> HALF_OF_32]] + 1
    ends = [coded.index(b" ", start) for start in begun.tolist()]
    words = [coded[start:end] for start, end in zip(begun.tolist(), ends, strict=True)]
    begun = begun[np.array([word in NUMBER_WORDS for word in words], np.bool_)]
    found = np.zeros(len(plains), np.bool_)
    found[np.searchsorted(np.flatnonzero(read[:-1] == ord("\n")), begun) - 1] = True
    return found.tolist()


def jaccard(one: Sketches, other: Sketches, of_one: I64, of_other: I64) -> Floats:
    """The share of n-grams in common, for pairs of a text of the one and a text of the other."""
    both = np.sort(np.concatenate([_labelled(one, of_one, 0), _labelled(other, of_other, 1)]))
    both = both[np.append(True, both[1:] != both[:-1])]  # sets, not lists: pair, n-gram, side
    pair = (both >> np.uint64(33)).astype(np.int64)
    shared = pair[1:][both[1:] >> ONE == both[:-1] >> ONE]
    common = np.bincount(shared, minlength=of_one.size)
    return common / (np.bincount(pair, minlength=of_one.size) - common)


def _labelled(sketch: Sketches, wanted: I64, side: int) -> U64:
    """The n-grams of the wanted texts: the place in `wanted`, the n-gram and the side in one number each."""
    sizes = sketch.sizes[wanted]
    starts = (sketch.sizes.cumsum() - sketch.sizes)[wanted]
    skipped: I64 = starts - sizes.cumsum() + sizes
    offsets = np.repeat(skipped, sizes) + np.arange(int(sizes.sum()))
    pairs = np.repeat(np.arange(wanted.size, dtype=np.uint64) << HALF, sizes)
    return (pairs | sketch.grams[offsets]) << ONE | np.uint64(side)
