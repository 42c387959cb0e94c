"""Twins by meaning: texts whose vectors lie closer together than those of unrelated texts of the same run ever do.

How close unrelated texts lie differs so much between models and languages that no fixed threshold serves: it is found
from pairs of the run's own texts, for each script by itself.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from synth.dedupe.normalise import masked, normalised
from synth.dedupe.shelf import LENGTH, Shelf, whole
from synth.dedupe.twins import Calibration, Dedupe, Match, SemanticSummary, Twins
from synth.language.text import letter_counts
from synth.protocol.vectors import Vector

MOST_BYTES = 1 << 30
"""Of the vectors that a stage remembers: half a million texts with 1,024 dimensions."""
LEAST = 64
"""Different texts of a script from which a threshold is found: 2,016 pairs."""
QUANTILE = 0.999
SHARE = 0.75
"""How much of the way from the similarity that one of a thousand unrelated pairs exceeds to that of equal texts must
be gone: half of it still removed one in 25 of different Japanese questions."""
STEPS = 20
LATIN_PER_DENSE = 3
"""Latin letters that say as much as one kana or kanji."""


class Meant(NamedTuple):
    """A text with its vector; None when it has none."""

    id: str
    text: str
    vector: Vector | None


@dataclass(frozen=True, slots=True)
class Known:
    """What of a text is compared: its vector, its template, and the numbers in it."""

    script: str
    vector: Vector
    frame: int
    numbers: int


@dataclass(slots=True)
class Space:
    """The texts of one script let through so far, those with the same numbers together."""

    size: int
    """Of the vectors."""
    calibration: Calibration | None = None
    firsts: dict[int, Vector] = field(default_factory=dict[int, Vector])
    """While there is no threshold: the first vector of each template."""
    shelves: defaultdict[int, Shelf] = field(default_factory=lambda: defaultdict(Shelf))


class Meanings:
    """An index of the texts that a stage's gate let through, by their vectors.

    Each new text is compared with all that have its script and its numbers. They take 2 bytes for each dimension; what
    comes when MOST_BYTES are full is compared and not remembered.
    """

    def __init__(self, dedupe: Dedupe) -> None:
        """Raises nothing; `dedupe` has `semantic`."""
        self._given = None if dedupe.semantic is None else dedupe.semantic.threshold
        self.is_open = self._given is not None
        """Whether texts may be looked for; until then they wait for `calibrate`."""
        self._spaces: dict[str, Space] = {}
        self._bytes = 0
        self._uncompared = self._unremembered = self._twins = 0

    def calibrate(self, texts: Sequence[Meant]) -> None:
        """Find the threshold of every script of which there is enough, from the first texts of a stage, or any."""
        self.is_open = True
        letters = Twins(Dedupe())  # twins by their letters are no unrelated pairs
        alone = [match is None for match in letters.add_batch([one.id for one in texts], [one.text for one in texts])]
        found: dict[str, dict[int, Vector]] = {}
        for known, first in zip(_known(texts), alone, strict=True):
            if known is not None and first:
                found.setdefault(known.script, {}).setdefault(known.frame, known.vector)
        for script, frames in found.items():
            size = next(iter(frames.values())).size
            vectors = [vector for vector in frames.values() if vector.size == size]
            if len(vectors) >= LEAST:
                self._spaces[script] = Space(size, calibrated(script, np.stack(vectors)))

    def add(self, texts: Sequence[Meant]) -> list[Match | None]:
        """Of each text in turn the earlier twin, or None, in which case it is now one to compare others with.

        However many come at once, what is found is the same.
        """
        matches: list[Match | None] = [None] * len(texts)
        shelves: dict[tuple[str, int], list[tuple[int, Known, bool]]] = {}
        for row, known in enumerate(_known(texts)):
            if known is None or not self._comparable(texts[row].id, known):
                self._uncompared += 1
                continue
            stays = self._bytes < MOST_BYTES  # twins count too: who stays must not depend on how many come at once
            self._bytes += 2 * known.vector.size
            shelves.setdefault((known.script, known.numbers), []).append((row, known, stays))
        for (script, numbers), some in shelves.items():
            space = self._spaces[script]
            assert space.calibration is not None
            found = space.shelves[numbers].add(
                [texts[row].id for row, _, _ in some],
                np.stack([known.vector for _, known, _ in some]),
                [known.frame for _, known, _ in some],
                [stays for _, _, stays in some],
                float(np.float32(space.calibration.threshold * LENGTH**2)),
            )
            for (row, _, stays), twin in zip(some, found, strict=True):
                matches[row] = None if twin is None else Match(twin[0], round(twin[1], 4), "semantic")
                self._twins += twin is not None
                self._unremembered += twin is None and not stays
        return matches

    def summary(self) -> SemanticSummary:
        """What has been compared so far, and how the thresholds were found."""
        calibrations = [space.calibration for _, space in sorted(self._spaces.items()) if space.calibration is not None]
        return SemanticSummary(
            scripts=tuple(calibrations),
            uncompared=self._uncompared,
            unremembered=self._unremembered,
            twins=self._twins,
        )

    def _comparable(self, name: str, known: Known) -> bool:
        """Whether a threshold is known for a text; one without is what a later one is found from, and remembered."""
        space = self._spaces.setdefault(known.script, Space(known.vector.size))
        if self._given is not None and space.calibration is None:
            space.calibration = Calibration(script=known.script, threshold=self._given)
        if space.size != known.vector.size:  # another model answers under the same name
            return False
        if space.calibration is not None:
            return True
        space.shelves[known.numbers].put(name, known.vector, known.frame)
        space.firsts.setdefault(known.frame, known.vector)
        if len(space.firsts) >= LEAST:
            space.calibration = calibrated(known.script, np.stack(list(space.firsts.values())))
            space.firsts.clear()
        return False


def _known(texts: Sequence[Meant]) -> list[Known | None]:
    """What of each text is compared; None for one without a vector."""
    plains = normalised([one.text for one in texts])
    read: list[Known | None] = []
    for one, (frame, figures) in zip(texts, masked(plains, [True] * len(plains)), strict=True):
        vector = None if one.vector is None else whole(one.vector)
        numbers = sorted(part for part in figures.split() if unicodedata.category(part[0])[0] in "NLC")
        read.append(vector if vector is None else Known(script_of(one.text), vector, hash(frame), hash(tuple(numbers))))
    return read


def calibrated(script: str, vectors: Vector) -> Calibration:
    """The threshold from vectors of different texts, one a row and of length LENGTH: far beyond what unrelated pairs
    reach. Pairs are compared each with each."""
    pairs = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)].astype(np.float64) / LENGTH**2
    usual = max(0.0, float(np.quantile(pairs, QUANTILE)))
    counts = np.histogram(np.clip(pairs, 0, 1), STEPS, (0, 1))[0]
    return Calibration(
        script=script,
        threshold=round(usual + SHARE * (1 - usual), 4),
        texts=len(vectors),
        exceeded_by_one_in_thousand=round(usual, 4),
        pairs=tuple(counts.tolist()),
    )


def script_of(text: str) -> str:
    """What most of a text is written in: `japanese`, `chinese` (which short Japanese texts of kanji alone also are),
    `korean`, `latin` or `other`."""
    kana, han, hangul, latin = letter_counts(text)
    sizes = Counter(
        {"japanese" if kana else "chinese": (kana + han) * LATIN_PER_DENSE, "korean": hangul * LATIN_PER_DENSE}
    )
    sizes["latin"] = latin
    script, size = sizes.most_common(1)[0]
    return script if size else "other"
