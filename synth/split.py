"""Train and test without leakage: whatever comes from one seed goes into one split."""

from __future__ import annotations

import hashlib

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


def split_of(seed_id: str, split: Split) -> str:
    """The split of everything made from a seed. It depends on nothing else, so that more seeds move none."""
    digest = hashlib.blake2b(f"{split.seed}/{seed_id}".encode(), digest_size=8).digest()
    point = int.from_bytes(digest) / 2**64
    for name, share in split.fractions.items():
        point -= share
        if point < 0:
            return name
    return next(reversed(split.fractions))
