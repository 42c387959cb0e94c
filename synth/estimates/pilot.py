"""What a pilot asked and paid for, by stage and teacher and seed, as its store tells it."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import orjson
import zstandard

from synth.estimates.intervals import Floats
from synth.protocol.endpoint import Endpoint
from synth.results.result import Pilot
from synth.storage.database import connect, readable

ASKED = (
    "SELECT stage, teacher, unit, sum(coalesce(lot.place, 0) = 0), sum(coalesce(prompt_tokens, 0)), "
    "sum(coalesce(completion_tokens, 0)), sum(coalesce(cached_tokens, 0)), "
    "sum(coalesce(cost_microusd, 0)), sum(coalesce(seconds, 0)), min(body) "
    "FROM attempt LEFT JOIN settled ON settled.attempt = attempt.id LEFT JOIN reply ON reply.attempt = attempt.id "
    "LEFT JOIN lot ON lot.attempt = attempt.id WHERE key = ? AND failure IS NOT 'unsent' GROUP BY stage, teacher, unit"
)

CERTAIN = 3.0
"""By how many standard errors lengths must go with what prompts take: by chance they do not."""


@dataclass(slots=True)
class Seen:
    """What one step asked for each seed of the pilot."""

    requests: Floats
    prompt: Floats
    completion: Floats
    cached: Floats
    cost: Floats
    seconds: Floats
    longer: Floats
    """How many more tokens of prompt the seeds beyond the pilot bring than each of its own, by the lengths of both."""
    dearer: Floats
    """What these cost more."""
    bodies: list[bytes] = field(default_factory=list[bytes])

    def even_out(self, lengths: tuple[Floats, float] | None, input_usd: float) -> None:
        """Reckon with what the prompts beyond the pilot are longer or shorter by (Cochran, 1977, chapter 7).

        `lengths` are those of the pilot's first prompts, in bytes, and the mean of the others'.
        """
        if lengths is None or not self.prompt.any():
            return
        own, others = lengths
        apart, deviations = own - own.mean(), float(own.std() * self.prompt.std())
        along = float((apart * self.prompt).mean()) / deviations if deviations else 0.0
        if along * math.sqrt(len(own)) < CERTAIN:
            return
        a_byte = float((apart * self.prompt).sum() / (apart * apart).sum())
        longer = a_byte * (others - own)
        if float((self.prompt + longer).mean()) > 0:
            # dollars per million tokens: micro-dollars a token
            self.longer, self.dearer = longer, longer * input_usd

    def texts(self) -> list[str]:
        """The text of each prompt, its turns one after the other."""
        return ["".join(_texts(body)) for body in self.bodies]


def seen(folder: Path, pilot: Pilot) -> dict[tuple[str, str], Seen]:
    """What the pilot's seeds asked for, by stage and teacher, each in the order of the seeds.

    Raises FolderError when the store cannot be read.
    """
    places = {seed: place for place, seed in enumerate(pilot.rows)}
    found: dict[tuple[str, str], Seen] = {}
    with readable(folder / "run.db"):
        connection = connect(folder / "run.db")
        for key in sorted(pilot.requests):
            for row in connection.execute(ASKED, (key,)):
                _note(found, places, row)
        connection.close()
    return found


def batch_factor(endpoint: Endpoint) -> float:
    """What a request of an endpoint costs by batch, as a share of its usual price."""
    price, terms = endpoint.known_price(), endpoint.known.batch
    usual = 1.0 if terms is None else terms.factor
    return usual if price is None else price.service_tiers.get("batch", usual)


def _note(found: dict[tuple[str, str], Seen], places: Mapping[str, int], row: sqlite3.Row | Sequence[Any]) -> None:
    stage, teacher, unit, *numbers, body = row
    if (stage, teacher) not in found:
        blank = [np.zeros(len(places)) for _ in range(8)]
        found[stage, teacher] = Seen(blank[0], blank[1], blank[2], blank[3], blank[4], blank[5], blank[6], blank[7])
    one, place = found[stage, teacher], places.get(unit.partition("/")[0])
    arrays = (one.requests, one.prompt, one.completion, one.cached, one.cost, one.seconds)
    for array, number in zip(arrays, numbers, strict=True):
        if place is None:  # of what is asked for several seeds at once each bears its part
            array += number / len(array)
        else:
            array[place] += number
    one.bodies.append(zstandard.ZstdDecompressor().decompress(body))


def _texts(body: bytes) -> list[str]:
    messages: Any = orjson.loads(body).get("messages")
    turns = cast("list[dict[str, Any]]", messages if isinstance(messages, list) else [])
    return [str(turn.get("content") or "") for turn in turns]
