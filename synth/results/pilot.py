"""A few seeds, spread over all, and what they brought: by this an estimate tells what all of them will."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import orjson

from synth.results.result import Pilot
from synth.seeds.spool import SeedSpool
from synth.teacher import Teacher
from synth.types import Fields, Seed


class Piloting:
    """The seeds of a pilot, and what is found of them."""

    def __init__(self, spool: SeedSpool, count: int, teachers: Mapping[str, Teacher]) -> None:
        """Choose so many seeds; from now on the teachers note whatever they are asked."""
        self._spool = spool
        self._count = count
        self._teachers = teachers
        self._rows: dict[str, int] = {}
        self._twins: Counter[str] = Counter()
        for teacher in teachers.values():
            teacher.heard = set()

    def seeds(self) -> Iterator[Seed]:
        """One seed from each of as many equal parts, and the same ones each time."""
        places = spread(self._spool.unique, self._count)
        for place, seed in enumerate(one for one in self._spool if isinstance(one, Seed)):
            if place in places:
                self._rows[seed.id] = 0
                yield seed

    def look(self, folder: Path) -> None:
        """Count the rows of each seed, and the samples of each stage that were twins of what another seed brought."""
        self._rows |= Counter(str(row["seed_id"]) for row in _records(folder / "rows.jsonl"))
        refused = ((one, str(one["twin_id"] or "")) for one in _records(folder / "rejected.jsonl"))
        self._twins.update(
            str(one["stage"]) for one, twin in refused if twin and twin.partition("/")[0] != one["seed_id"]
        )

    def told(self) -> Pilot:
        """All that was found."""
        keys = frozenset(key for teacher in self._teachers.values() for key in teacher.heard or ())
        found = {
            name: sum(lane.concurrency.limit for lane in one.admission.lanes)
            for name, one in self._teachers.items()
            if one.landed
        }
        return Pilot(self._rows, self._spool.unique, self._twins, keys, found)


def spread(of: int, count: int) -> set[int]:
    """So many places, one in each of as many equal parts, and the same ones each time."""
    chance = random.Random(0)  # noqa: S311 (chooses, guards nothing): evenly would fall in step with a grid's axes
    parts = max(1, min(count, of))
    ends = [part * of // parts for part in range(parts + 1)]
    return {low + int(chance.random() * (high - low)) for low, high in pairwise(ends)}


def _records(path: Path) -> Iterator[Fields]:
    with path.open("rb") as lines:
        yield from map(orjson.loads, lines)
