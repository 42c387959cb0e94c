"""Train and test without leakage: what comes from one seed goes into one split, and so do twins of other seeds."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from pydantic import Field, field_validator

from synth.language.text import several
from synth.types import Value

FEW = 4
"""Rows that a split may lack without a word: with a handful of seeds no deal comes out as asked."""


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
    """One sentence when a split got no row, or far fewer than it was to have; else empty."""
    notice_ja: str = ""
    """The same in Japanese."""


def deal(texts: Iterable[tuple[str, str]], split: Split) -> Deal:
    """Deal the seeds of (seed id, text) pairs, in id order, so that those with near twins among their texts, or
    texts that differ only in numbers, stay together.

    A family goes where its first seed goes, so that more seeds at the end move hardly any. Only one that holds more
    rows than that split is to have goes to the largest, a split left without any gets the one nearest its share, and
    one that got more than twice its share, as a handful of families may have it, gives some to the largest.
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
    dealt = {family: _room_for(family, count / rows.total(), split) for family, count in rows.items()}
    for name, share in split.fractions.items():
        had = Counter(dealt.values())
        spare = [family for family, place in dealt.items() if had[place] > 1]
        if not had[name] and spare:
            wanted = share * rows.total()
            nearest = min(spare, key=lambda family: (rows[family] > wanted, abs(rows[family] - wanted), family))
            dealt[nearest] = name
    _lighten(dealt, rows, split)
    splits = {seed_id: dealt[family] for seed_id, family in first.items()}
    return Deal(splits, *_notice(rows, dealt, split))


def _lighten(dealt: dict[str, str], rows: Counter[str], split: Split) -> None:
    """Move families out of splits that hold more than twice what they are to have, each the one that fits best."""
    largest = max(split.fractions, key=lambda name: split.fractions[name])
    for name in split.fractions.keys() - {largest}:
        wanted = split.fractions[name] * rows.total()
        while True:
            own = [family for family, place in dealt.items() if place == name]
            more = sum(rows[family] for family in own) - wanted
            fitting = [family for family in own if rows[family] <= more]
            if more <= max(wanted, FEW) or not fitting:
                break
            dealt[min(fitting, key=lambda family: (abs(rows[family] - more), family))] = largest


def _notice(rows: Counter[str], dealt: Mapping[str, str], split: Split) -> tuple[str, str]:
    """A sentence, and the same in Japanese, when a split got no row, or less than half of what it was to have."""
    had: Counter[str] = Counter()
    for family, count in rows.items():
        had[dealt[family]] += count
    least = min(split.fractions, key=lambda name: had[name] / split.fractions[name])
    wanted = split.fractions[least] * rows.total()
    if (had[least] and 2 * had[least] >= wanted) or wanted < (FEW if had[least] else 1):
        return "", ""
    why = f"what is nearly the same, numbers aside, or from one seed stays together, and {max(rows.values()):,} of "
    got = f"{had[least]:,} of {several(round(wanted), 'row')}" if had[least] else "No row"
    why_ja = f"ほぼ同じもの（数だけの違いを含む）と同じシードから出たものは一つの分割に置き、{rows.total():,} 行のうち"
    got_ja = f"予定の {wanted:,.0f} 行に対して {had[least]:,} 行だけ" if had[least] else "一行も"
    given = "が入りました" if had[least] else "入りませんでした"
    return (
        f"{got} went into the split {least!r}: {why}{rows.total():,} rows are.",
        f"分割「{least}」には{got_ja}{given}。{why_ja} {max(rows.values()):,} 行がその一まとまりです。",
    )


def _room_for(family: str, share: float, split: Split) -> str:
    """The split of a family's first seed, if it may hold so large a share of all rows; else the largest split."""
    own = split_of(family, split)
    return own if share <= split.fractions[own] else max(split.fractions, key=lambda name: split.fractions[name])


def split_of(seed_id: str, split: Split) -> str:
    """The split of everything made from a seed. It depends on nothing else, so that more seeds move none."""
    digest = hashlib.blake2b(f"{split.seed}/{seed_id}".encode(), digest_size=8).digest()
    point = int.from_bytes(digest) / 2**64
    for name, share in split.fractions.items():
        point -= share
        if point < 0:
            return name
    return next(reversed(split.fractions))
