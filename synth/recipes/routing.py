"""Which teachers answer for a seed: by a rule, and from the cheapest on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

import orjson
from pydantic import Field, JsonValue

from synth.types import Value


class Route(Value):
    """Another teacher, or list of teachers from the cheapest on, for each value of a field; the stage's own for all
    other values."""

    by: str = Field(min_length=1)
    """The field: a column of the seeds, or what an earlier stage added."""
    to: dict[str, str | Annotated[list[str], Field(min_length=1)]] = Field(min_length=1)
    """By value, as text: `true` and `3` as JSON writes them."""

    def teachers(self, fields: Mapping[str, JsonValue]) -> Sequence[str] | None:
        """Who answers for what has these fields; None when the rule does not say."""
        value = fields.get(self.by)
        found = self.to.get(value if isinstance(value, str) else orjson.dumps(value).decode())
        return [found] if isinstance(found, str) else found

    def named(self) -> Iterator[tuple[str, str]]:
        """Every value with each of its teachers."""
        for value, teachers in self.to.items():
            for name in [teachers] if isinstance(teachers, str) else teachers:
                yield value, name
