"""Train and test without leakage: what comes from one seed goes into one split, and so do twins of other seeds."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from pydantic import Field, field_validator

from synth.types import Value


class Split(Value):
    """Shares of the seeds by split name."""

    fractions: dict[str, float] = Field(default={"train": 1.0}, min_length=1)
    seed: int = 0
    """Another number deals the seeds anew."""

    @field_validator("fractions")
    @classmethod
    def _sum(cls, fractions: dict[str, float]) -> dict[str, float]:
        if any(share <= 0 for share in fractions.values()) or abs(sum(fractions.values()) - 1) > 1e-6:
            raise ValueError("the shares of the splits must be above 0 and add up to 1")
        if any(not name.isidentifier() or name == "all" for name in fractions):
            raise ValueError("a split's name is a word of letters, digits and underscores, and not 'all'")
        return fractions


class Deal(NamedTuple):
    """Where rows go."""

    splits: Mapping[str, str]
    """The split of each seed; none of them when there is only one split."""
    notice: str
    """One sentence when a split comes out far from its share; empty otherwise."""


def deal(texts: Iterable[tuple[str, str]], split: Split) -> Deal:
    """Deal the seeds of (seed id, text) pairs, in id order, so that those with near twins among their texts, or
    texts that differ only in numbers, stay together.

    A family goes where its first seed goes, so that more seeds at the end move a family only where they join it to an
    earlier one. Only a split that would stay empty, as happens with a handful of families, gets the smallest of them.
    """
    if len(split.fractions) == 1:
        return Deal({}, "")
    from synth.dedupe.families import families  # numpy takes a tenth of a second

    sizes: Counter[str] = Counter()

    def counted() -> Iterator[tuple[str, str]]:
        for seed_id, text in texts:
            sizes[seed_id] += 1
            yield seed_id, text

    first = families(counted())
    rows: Counter[str] = Counter()
    for seed_id, count in sizes.items():
        rows[first[seed_id]] += count
    dealt = {family: split_of(family, split) for family in rows}
    empty = _filled(dealt, rows, split)
    splits = {seed_id: dealt[family] for seed_id, family in first.items()}
    if not empty or len(sizes) < len(split.fractions):
        return Deal(splits, "")
    what = f"what is nearly the same, numbers aside, or from one seed stays together, and {max(rows.values()):,} of "
    return Deal(splits, f"No row went into the split {empty[0]!r}: {what}{rows.total():,} rows are.")


def _filled(dealt: dict[str, str], rows: Counter[str], split: Split) -> list[str]:
    """Give each split without a family the smallest one of a split that has several; the splits that stay empty."""
    for name in split.fractions:
        had = Counter(dealt.values())
        spare = [family for family, place in dealt.items() if had[place] > 1]
        if not had[name] and spare:
            dealt[min(spare, key=lambda family: (rows[family], family))] = name
    return [name for name in split.fractions if name not in dealt.values()]


def split_of(seed_id: str, split: Split) -> str:
    """The split of everything made from a seed. It depends on nothing else, so that more seeds move none."""
    digest = hashlib.blake2b(f"{split.seed}/{seed_id}".encode(), digest_size=8).digest()
    point = int.from_bytes(digest) / 2**64
    for name, share in split.fractions.items():
        point -= share
        if point < 0:
            return name
    return next(reversed(split.fractions))
