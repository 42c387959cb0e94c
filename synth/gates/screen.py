"""What a recipe's seeds and samples must not repeat: items of benchmarks, and data that exists already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import orjson
from pydantic import JsonValue

from synth.ask import UnitAsk, embed_each
from synth.datasets.files import whole_file
from synth.dedupe import SemanticSummary, Summary, Twins, text_of
from synth.dedupe.decontaminate import BenchmarkRecord, Benchmarks, Hit
from synth.errors import Rejected
from synth.recipes.named import KNOWN, benchmarks, prefill
from synth.recipes.recipe import LoadedRecipe, Stage
from synth.types import Message, Rejection, Sample, Seed

if TYPE_CHECKING:  # numpy takes a tenth of a second
    from synth.dedupe.semantic import Meanings
    from synth.gates.neighbours import Neighbours
    from synth.protocol.vectors import Vector


CONTAMINATED = "contaminated"
NOT_NOVEL = "not_novel"
SEED_FULL = "seed_full"
REVIEW = "contamination.jsonl"


class Near(NamedTuple):
    """What came of a sample when it was held against the benchmarks by meaning, and the vector of what is compared."""

    made: Sample | Rejection
    vector: Vector | None


class Screen:
    """The benchmarks and the known data of a recipe, read before anything is sent."""

    def __init__(self, loaded: LoadedRecipe) -> None:
        """Read all of it. Raises RecipeError when something cannot be read."""
        wanted, folder = loaded.recipe.decontaminate, loaded.folder
        self.benchmarks: Benchmarks | None = None
        if wanted is not None:
            self.benchmarks = benchmarks(wanted.against, folder, str(wanted.field))
        self.neighbours: Neighbours | None = None
        if self.benchmarks is not None and wanted is not None and wanted.semantic is not None:
            from synth.gates.neighbours import Neighbours

            self.neighbours = Neighbours(wanted.semantic, self.benchmarks.items())
        self._hits: Counter[str] = Counter()
        self.twins: dict[str, Twins] = {}
        """Of each stage with `dedupe` the index that its gate fills, with what is known already in it."""
        for stage in loaded.recipe.stages:
            if stage.dedupe is not None:
                self.twins[stage.name] = Twins(stage.dedupe)
                prefill(self.twins[stage.name], stage.novel_against, folder, stage.dedupe.by)
        self.meanings: dict[str, Meanings] = {}
        """Of each stage that also compares by meaning the index for it."""
        self.told: dict[str, tuple[Summary, SemanticSummary | None]] = {}
        """Of each stage with `dedupe` what was seen of its texts, once no more come."""
        for stage in loaded.recipe.stages:
            if stage.dedupe is not None and stage.dedupe.semantic is not None:
                from synth.dedupe.semantic import Meanings

                self.meanings[stage.name] = Meanings(stage.dedupe)
        self._let_through: dict[str, Counter[str]] = {name: Counter() for name in self.twins}
        """By stage and seed how many samples passed its gate."""
        self._per_seed = {one.name: one.dedupe.per_seed for one in loaded.recipe.stages if one.dedupe is not None}
        first = loaded.recipe.stages[0]
        self._known: Twins | None = None
        if first.dedupe is not None and first.novel_against:
            # the seeds have an index of their own: in the gate's they would be twins of what is made from them
            self._known = Twins(first.dedupe)
            prefill(self._known, first.novel_against, folder, first.dedupe.by)
        self._question: str = getattr(first.generator, "question", "")

    def seeds(self, every: Iterable[Seed | Rejection]) -> Iterator[Seed | Rejection]:
        """The seeds, those that must not be used as rejections: `contaminated` or `not_novel`."""
        if self.benchmarks is None and self._known is None:
            return iter(every)
        return (one if isinstance(one, Rejection) else self._refused(one) or one for one in every)

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`contaminated`) when a turn of the sample holds an item of a benchmark."""
        hit = self._hit([message.content for message in sample.messages])
        if hit is not None:
            raise Rejected(CONTAMINATED, str(hit))

    def is_full(self, stage: str, seed_id: str) -> bool:
        """Whether as many samples of a seed passed the gate of a stage as its `per_seed` lets through."""
        most = self._per_seed.get(stage)
        return most is not None and self._let_through[stage][seed_id] >= most

    def count(self, stage: str, seed_id: str, more: int) -> None:
        """So many more samples of a seed passed the gate of a stage."""
        self._let_through[stage][seed_id] += more

    async def refuse_seed(self, name: str, seed: Seed, ask: UnitAsk) -> None:
        """Raise Rejected(`contaminated`) when a text of the seed is an item of a benchmark in other words."""
        if self.neighbours is not None:
            await self.neighbours.check(name, list(_texts(list(seed.fields.values()))), ask)

    async def by_meaning(
        self, stage: Stage, samples: Sequence[Sample], passing: Collection[str], ask: UnitAsk
    ) -> list[Near]:
        """Samples of one unit with their vectors and with what asking cost, and those that hold a benchmark's item in
        other words as rejections. For the ids in `passing` no vector is asked for, as no twin of theirs counts.

        Raises TeacherError as `Ask.embed` does.
        """
        made = [await self._far(one, ask) for one in samples]
        semantic = None if stage.dedupe is None else stage.dedupe.semantic
        vectors: dict[str, Vector | None] = {}
        if stage.dedupe is not None and semantic is not None:
            compared = text_of(stage.dedupe.by)
            left = [one for one in made if isinstance(one, Sample) and one.id not in passing]
            texts = {one.id: text for one in left if (text := compared(one)).strip()}
            found = await embed_each(list(texts.values()), ask, teacher=semantic.embedder)
            vectors = dict(zip(texts, found, strict=True))
        cost = ask.unit.cost_microusd // max(1, sum(isinstance(one, Sample) for one in made))
        return [
            Near(
                replace(one, requests=(*one.requests, *ask.unit.requests), cost_microusd=one.cost_microusd + cost)
                if isinstance(one, Sample)
                else one,
                vectors.get(one.id),
            )
            for one in made
        ]

    async def _far(self, sample: Sample, ask: UnitAsk) -> Sample | Rejection:
        """The same, or the rejection of a sample that holds an item in other words."""
        if self.neighbours is None:
            return sample
        try:
            await self.neighbours.check(sample.id, [message.content for message in sample.messages], ask)
        except Rejected as error:
            return sample.refused(error.reason, error.detail)
        return sample

    def reviewed(self, rejections: Iterable[Rejection], folder: Path) -> Iterator[Rejection]:
        """The rejections, those for a benchmark written with both texts into a file for review on the way."""
        if self.benchmarks is None:
            (folder / REVIEW).unlink(missing_ok=True)
            yield from rejections
            return
        self._hits.clear()
        with whole_file(folder / REVIEW) as file:
            for one in rejections:
                hit = self._hit(_texts_of(one)) if one.reason == CONTAMINATED else None
                if hit is not None:
                    self._hits[hit.item.benchmark] += 1
                    line = {"id": one.id, "stage": one.stage, **hit.pair(), "found_in": _texts_of(one)}
                    file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
                yield one
            for name, neighbour in [] if self.neighbours is None else self.neighbours.hits():
                self._hits[neighbour.item.benchmark] += neighbour.verdict != "different"
                line = {"id": name, **neighbour.pair(), "found_in": [neighbour.text]}
                file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def rest(self) -> None:
        """Keep of the texts that were compared only what is told of them, as no more come: an index takes up to a
        kilobyte for each.
        """
        for name, twins in self.twins.items():
            semantic = self.meanings[name].summary() if name in self.meanings else None
            self.told[name] = twins.summary(), semantic
        self.twins.clear()
        self.meanings.clear()
        self._known = None

    def record(self) -> tuple[BenchmarkRecord, ...]:
        """What the benchmarks cover, with the hits that `reviewed` has seen."""
        return () if self.benchmarks is None else self.benchmarks.record(self._hits)

    def _hit(self, texts: Iterable[str]) -> Hit | None:
        if self.benchmarks is None:
            return None
        return next((hit for text in texts if (hit := self.benchmarks.find(text)) is not None), None)

    def _refused(self, seed: Seed) -> Rejection | None:
        texts = list(_texts(list(seed.fields.values())))
        hit = self._hit(texts)
        if hit is not None:
            return _rejection(seed, CONTAMINATED, str(hit), texts)
        if self._known is None:
            return None
        asked = seed.fields.get(self._question)
        for place, text in enumerate([str(asked)] if self._question else texts):
            match = self._known.add(f"{seed.id}/{place}", text) if text.strip() else None
            if match is not None and match.twin_id.startswith(KNOWN):
                return _rejection(seed, NOT_NOVEL, f"of {match.twin_id.removeprefix(KNOWN)}", [text])
        return None


def _rejection(seed: Seed, reason: str, detail: str, texts: list[str]) -> Rejection:
    messages = (Message(role="user", content="\n\n".join(texts)),)
    sample = Sample(
        id=seed.id,
        seed_id=seed.id,
        parent_id=seed.id,
        stage="seeds",
        draw=0,
        messages=messages,
        fields=seed.fields,
    )
    return sample.refused(reason, detail)


def _texts(value: JsonValue) -> Iterator[str]:
    """All texts in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


def _texts_of(rejection: Rejection) -> list[str]:
    return [] if rejection.sample is None else [message.content for message in rejection.sample.messages]
