"""Every template rendered with every seed: one that lacks something is found before anything is paid for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from synth import seeds
from synth.errors import Problem, Rejected
from synth.language.text import several
from synth.recipes.field_checks import seen_by, unknown_fields
from synth.recipes.recipe import LoadedRecipe
from synth.recipes.templates import Templates
from synth.types import Seed

MOST = 100_000
"""Seeds that are tried: so many take some seconds."""
MOST_TOLD = 10


@dataclass(slots=True)
class Tried:
    """The seeds of a recipe that were tried with all of its templates, and what could not be made of them."""

    loaded: LoadedRecipe
    count: int = 0
    _first: dict[str, str] = field(default_factory=dict[str, str])
    """By what is wrong the id of the first seed that it is wrong with."""
    _seeds: Counter[str] = field(default_factory=Counter[str])
    """By what is wrong the number of seeds."""
    _ready: Templates | None = None

    def see(self, seed: Seed) -> None:
        """Render every template with a seed, unless enough were."""
        if self.count == MOST:
            return
        self.count += 1
        for wrong in dict.fromkeys(self._wrong(seed)):
            self._first.setdefault(wrong, seed.id)
            self._seeds[wrong] += 1

    def problems(self) -> list[Problem]:
        """What is wrong, the first first, each with the place of the first seed that it is wrong with."""
        told: list[Problem] = []
        for wrong, seed_id in [*self._first.items()][:MOST_TOLD]:
            file, line = seeds.place_of(self.loaded.recipe.seeds, self.loaded.folder, int(seed_id))
            which = "this seed" if line else f"seed {seed_id}"
            number = f"{self._seeds[wrong]:,} of {several(self.count, 'seed')}"
            told.append(Problem(f"nothing can be made of {which}: {wrong} ({number})", file, line))
        return told

    def _wrong(self, seed: Seed) -> Iterator[str]:
        if self._ready is None:  # what a check reads is not what a run has read
            self._ready = Templates(Path(self.loaded.folder))
        for _, plugin, fields, values in seen_by(self.loaded.recipe, dict(seed.fields)):
            for name in plugin.template_files():
                try:
                    self._ready.render(name, values)
                except Rejected as refused:
                    yield refused.detail
            for _, problem in unknown_fields(plugin, (), fields, values):
                yield problem.message
