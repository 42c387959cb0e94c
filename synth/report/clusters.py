"""The largest clusters of twins with a few of their texts, for people to see what a gate calls the same."""

from __future__ import annotations

from dataclasses import dataclass

from synth.dedupe import text_of
from synth.recipes.named import KNOWN
from synth.recipes.recipe import Recipe
from synth.results.manifest import Manifest
from synth.results.outcomes import Outcomes

MOST_CLUSTERS = 5
MOST_TWINS = 3


@dataclass(frozen=True, slots=True)
class Cluster:
    """Texts that a stage's gate took for the same. `twins` are a few, each with its similarity to the kept one."""

    stage: str
    kept_id: str
    kept: str
    """Empty when it is from earlier data, or nothing came of it."""
    size: int
    twins: tuple[tuple[str, float], ...]


def clusters(manifest: Manifest, recipe: Recipe, outcomes: Outcomes) -> tuple[Cluster, ...]:
    """The largest clusters of each stage with a gate, the largest first."""
    found: list[Cluster] = []
    for stage, record in zip(recipe.stages, manifest.stages, strict=True):
        if stage.dedupe is None or record.twins is None:
            continue
        compared = text_of(stage.dedupe.by)
        for name, size in record.twins.largest[:MOST_CLUSTERS]:
            kept_id = name.removeprefix(KNOWN)
            origin = outcomes.sample_of(name)
            refused = outcomes.twins_of(kept_id, stage.name, MOST_TWINS)
            twins = tuple((compared(one.sample), one.similarity or 0.0) for one in refused if one.sample is not None)
            found.append(Cluster(stage.name, kept_id, compared(origin) if origin else "", size, twins))
    return tuple(found)
