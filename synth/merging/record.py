"""The record of a merged dataset: those of the runs united, and what came from where."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from pydantic import JsonValue

from synth.datasets.export import Written
from synth.dedupe.decontaminate import BenchmarkRecord, Benchmarks
from synth.language.diversity import measured
from synth.results.manifest import Manifest, MergedRecord, RecipeRecord, SeedsRecord, versions
from synth.results.split import Split
from synth.types import Rejection, Sample

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Part:
    """One of the runs."""

    label: str
    folder: Path
    manifest: Manifest
    manifest_sha256: str


@dataclass(frozen=True, slots=True)
class How:
    """How runs are to be merged."""

    name: str
    license: str | None = None
    """Needed where the runs do not agree on one."""
    by: str = "question"
    near: bool = True
    benchmarks: Benchmarks | None = None
    split: Split | None = None
    """Deals all rows anew; else each keeps its split."""


@dataclass(slots=True)
class Came:
    """What came of the rows."""

    kept: Counter[str] = field(default_factory=Counter[str])
    """By run."""
    removed: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])
    """By run and reason."""
    rejections: list[Rejection] = field(default_factory=list[Rejection])
    hits: Counter[str] = field(default_factory=Counter[str])
    scores: Counter[tuple[str, float]] = field(default_factory=Counter[tuple[str, float]])
    models: Counter[str] = field(default_factory=Counter[str])
    texts: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    example: list[Sample] = field(default_factory=list[Sample])


def united(
    parts: Sequence[Part],
    how: How,
    licence: str | None,
    came: Came,
    written: Written,
    benchmarks: tuple[BenchmarkRecord, ...],
    notice: tuple[str, str],
) -> Manifest:
    """The record of the whole. `notice` is a sentence in English, and the same in Japanese."""
    every = [part.manifest for part in parts]
    removed = sum(came.removed.values(), Counter[str]())
    return Manifest(
        versions=versions(),
        state="complete" if all(one.state == "complete" for one in every) else "partial",
        practice=any(one.practice for one in every),
        recipe=_recipe(parts, how, licence),
        seeds=_seeds_record(every),
        teachers=tuple(
            teacher.model_copy(update={"name": f"{part.label}/{teacher.name}"})
            for part in parts
            for teacher in part.manifest.teachers
        ),
        stages=tuple(
            stage.model_copy(update={"name": f"{part.label}/{stage.name}"})
            for part in parts
            for stage in part.manifest.stages
        ),
        decontamination=benchmarks,
        not_selected=dict(sum((Counter(one.not_selected) for one in every), removed)),
        by_hand=dict(sum((Counter(one.by_hand) for one in every), Counter[str]())),
        rows=written.rows,
        mixture=dict(sorted(came.models.items())) if len(came.models) > 1 else {},
        scores={
            name: {value: count for (of, value), count in sorted(came.scores.items()) if of == name}
            for name in sorted({name for name, _ in came.scores})
        },
        judges=tuple(_once(judge for one in every for judge in one.judges)),
        diversity=measured(came.texts),
        notice=" ".join(one for one in (written.notice, notice[0]) if one),
        notice_ja=f"{written.notice_ja}{notice[1]}",
        ledger=tuple(
            replace(line, stage=f"{part.label}/{line.stage}", teacher=f"{part.label}/{line.teacher}")
            for part in parts
            for line in part.manifest.ledger
        ),
        accepted_terms=tuple(_once(accepted for one in every for accepted in one.accepted_terms)),
        merged=tuple(_merged(part, came) for part in parts),
        started=min(one.started for one in every),
        finished=max(one.finished for one in every),
        seconds=round(sum(one.seconds for one in every), 3),
    )


def _once(values: Iterable[T]) -> Iterator[T]:
    seen: list[T] = []
    for value in values:
        if value not in seen:
            seen.append(value)
            yield value


def _merged(part: Part, came: Came) -> MergedRecord:
    recipe = part.manifest.recipe
    return MergedRecord(
        run=part.label,
        recipe=recipe.name,
        language=recipe.language,
        license=recipe.license,
        seeds_license=", ".join(part.manifest.seeds_licences),
        recipe_sha256=recipe.sha256,
        manifest_sha256=part.manifest_sha256,
        rows=part.manifest.row_count,
        kept=came.kept[part.label],
        removed=dict(sorted(came.removed[part.label].items())),
    )


def _recipe(parts: Sequence[Part], how: How, licence: str | None) -> RecipeRecord:
    recipes = {part.label: _json(part.manifest.recipe.text) for part in parts}
    merge = {"by": how.by, "near": how.near}
    text = json.dumps({"name": how.name, "license": licence, "merge": merge, "runs": recipes}, ensure_ascii=False)
    return RecipeRecord(
        name=how.name,
        language=parts[0].manifest.recipe.language,
        license=licence,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        text=text,
        templates={f"{part.label}/{n}": one for part in parts for n, one in part.manifest.recipe.templates.items()},
        prompts={f"{part.label}/{n}": one for part in parts for n, one in part.manifest.recipe.prompts.items()},
    )


def _json(text: str) -> JsonValue:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _seeds_record(every: Sequence[Manifest]) -> SeedsRecord:
    licences = list(dict.fromkeys(one.seeds.license for one in every))
    return SeedsRecord(
        identity="; ".join(dict.fromkeys(one.seeds.identity for one in every)),
        license=None if None in licences else ", ".join(one for one in licences if one),
        count=sum(one.seeds.count for one in every),
        repeated=sum(one.seeds.repeated for one in every),
        refused=dict(sum((Counter(one.seeds.refused) for one in every), Counter[str]())),
    )
