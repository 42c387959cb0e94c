"""Dedupe and decontaminate for files, also by meaning.

A file is read three times: to buy the vectors of what is left when twins by their letters are gone, to see what lies
near, and to write what is kept. What is decided follows from the file and the store alone.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from heapq import heappush, heappushpop
from itertools import islice
from pathlib import Path
from typing import TypeVar

import orjson

from synth.datasets.files import whole_file
from synth.dedupe import TWIN_REASONS, Dedupe
from synth.dedupe.decontaminate import Benchmarks, SemanticScreen
from synth.dedupe.semantic import Meanings, Meant, script_of
from synth.errors import Rejected, Transient
from synth.files.asking import Desk
from synth.files.file_vectors import EMBEDDER, FileVectors
from synth.files.parts import (
    Bought,
    Judge,
    Removal,
    Report,
    Verdict,
    decontaminating,
    deduping,
    samples_of,
    sift,
    text_by,
)
from synth.gates.neighbours import Neighbours
from synth.gates.screen import REVIEW
from synth.protocol.fates import POISON
from synth.types import Sample

T = TypeVar("T")

JUDGE = "judge"
AT_ONCE = 256
"""Rows read in one go."""
SAMPLED = 1000
"""Texts of a script, drawn at random from all files, whose pairs tell how close unrelated ones lie."""


async def dedupe(files: Sequence[Path], out: Path | None, settings: Dedupe, known: Iterable[str], desk: Desk) -> Report:
    """As `sift` with `deduping`, and then without what says the same as an earlier row in other words
    (`semantic_duplicate`). `settings` have `semantic`.

    Raises what `sift` and `Desk.each` do.
    """
    vectors, before, known = FileVectors(desk), _spent(desk), tuple(known)
    had, drawn = len(vectors), _Drawn()

    async def texts() -> AsyncIterator[str]:
        left = await asyncio.to_thread(lambda: _left(files, deduping(settings, known), settings.by))
        async for sample, text in _off_loop(left):
            drawn.note(sample.id, text)
            yield text

    await vectors.buy(texts())
    meanings = Meanings(settings)
    some = drawn.texts()
    found = vectors.of(text for _, text in some)
    meanings.calibrate([Meant(*one, vector) for one, vector in zip(some, found, strict=True)])
    judge = _apart(deduping(settings, known), settings.by, vectors, meanings)
    report = await asyncio.to_thread(sift, files, out, judge, settings.by)
    report.semantic = meanings.summary()
    report.bought = _bought(desk, before, len(vectors) - had)
    return report


async def decontaminate(files: Sequence[Path], out: Path | None, benchmarks: Benchmarks, by: str, desk: Desk) -> Report:
    """As `sift` with `decontaminating`, and then without what holds an item in other words. Where the desk has a judge
    it decides in the grey zone. What was found there stands in a file for review.

    Raises what `sift` and `Desk.each` do, and RecipeError when there are too few items.
    """
    wanted = SemanticScreen(embedder=EMBEDDER, judge=JUDGE if JUDGE in desk.teachers else "")
    neighbours = Neighbours(wanted, benchmarks.items())
    vectors, before = FileVectors(desk), _spent(desk)
    had, items = len(vectors), [item.text for item in benchmarks.items()]

    def left() -> Iterator[tuple[Sample, str]]:
        return _left(files, decontaminating(benchmarks, by, Counter()), by)

    async def texts() -> AsyncIterator[str]:
        for text in items:
            yield text
        async for _, text in _off_loop(left()):
            yield text

    await vectors.buy(texts())
    neighbours.know(vectors.of(items))
    near: dict[str, Rejected] = {}

    async def look(one: tuple[Sample, str]) -> None:
        sample, text = one
        try:
            await neighbours.decide(sample.id, text, vectors.of([text])[0], desk.ask(JUDGE, sample.id))
        except Rejected as error:
            near[sample.id] = error
        except Transient as error:
            if error.failure != POISON:
                raise
            near[sample.id] = Rejected("no_verdict", str(error))

    await desk.each(_off_loop(left()), look)
    pairs = {name: hit for name, hit in neighbours.hits() if name in near}
    hits = Counter(hit.item.benchmark for hit in pairs.values())
    by_letters = decontaminating(benchmarks, by, hits)

    def judge(samples: Sequence[Sample]) -> Iterator[Verdict]:
        for sample, verdict in zip(samples, by_letters(samples), strict=True):
            error, hit = near.get(sample.id), pairs.get(sample.id)
            yield verdict if error is None else Removal(error.reason, error.detail, hit.pair() if hit else {})

    report = await asyncio.to_thread(sift, files, out, judge, by)
    if out is not None:
        _review(out / REVIEW, neighbours)
    report.benchmarks, report.neighbours = benchmarks.record(hits), neighbours.record()
    report.bought = _bought(desk, before, len(vectors) - had)
    return report


def _apart(by_letters: Judge, by: str, vectors: FileVectors, meanings: Meanings) -> Judge:
    """Removes what another judge does, and of the rest what says the same as an earlier row in other words."""

    def judge(samples: Sequence[Sample]) -> Iterator[Verdict]:
        verdicts = list(by_letters(samples))
        left = [sample for sample, verdict in zip(samples, verdicts, strict=True) if not verdict]
        texts = {one.id: text for one in left if (text := text_by(one, by)).strip()}
        found = vectors.of(texts.values())
        matches = meanings.add([Meant(*one, vector) for one, vector in zip(texts.items(), found, strict=True)])
        twins = dict(zip(texts, matches, strict=True))
        for sample, verdict in zip(samples, verdicts, strict=True):
            match = twins.get(sample.id)
            if match is None:
                yield verdict
            else:
                pair = {"twin": match.twin_id, "similarity": match.similarity}
                yield Removal(TWIN_REASONS[match.kind], f"of {match.twin_id}", pair)

    return judge


def _review(path: Path, neighbours: Neighbours) -> None:
    """Write what was found near an item, for people to look at."""
    with whole_file(path) as file:
        for name, hit in neighbours.hits():
            line = {"id": name, **hit.pair(), "found_in": [hit.text]}
            file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))


class _Drawn:
    """Texts drawn at random, so many of each script: the same ones in whatever order they come."""

    def __init__(self) -> None:
        self._of: dict[str, list[tuple[int, str, str]]] = {}

    def note(self, name: str, text: str) -> None:
        """Draw a text, or not."""
        lot = int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=8).digest())
        heap = self._of.setdefault(script_of(text), [])
        push: Callable[[list[tuple[int, str, str]], tuple[int, str, str]], object]
        push = heappush if len(heap) < SAMPLED else heappushpop
        push(heap, (-lot, name, text))

    def texts(self) -> list[tuple[str, str]]:
        """The texts with their ids, in the order of their lots."""
        return [(name, text) for _, heap in sorted(self._of.items()) for _, name, text in sorted(heap, reverse=True)]


def _left(files: Sequence[Path], judge: Judge, by: str) -> Iterator[tuple[Sample, str]]:
    """What a judge leaves, each row with what is compared of it."""
    for path in files:
        for _, samples in samples_of(path, by):
            for sample, verdict in zip(samples, judge(samples), strict=True):
                text = text_by(sample, by)
                if verdict == "" and text.strip():
                    yield sample, text


async def _off_loop(values: Iterator[T]) -> AsyncIterator[T]:
    """The same, read in a thread."""
    while batch := await asyncio.to_thread(lambda: list(islice(values, AT_ONCE))):
        for value in batch:
            yield value


def _spent(desk: Desk) -> tuple[int, int]:
    return desk.budget.spent_requests, desk.budget.spent_microusd


def _bought(desk: Desk, before: tuple[int, int], vectors: int) -> Bought:
    requests, microusd = _spent(desk)
    return Bought(vectors, requests - before[0], microusd - before[1])
