"""Twins by meaning: texts whose vectors lie closer together than those of unrelated texts of the same run ever do.

How close unrelated texts lie differs so much between models and languages that no fixed threshold serves: it is found
from pairs of the run's own texts, for each script by itself.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from synth.dedupe.normalise import masked, normalise
from synth.dedupe.twins import Calibration, Dedupe, Match, SemanticSummary, Twins
from synth.text import letter_counts
from synth.vectors import Vector

LENGTH = 4000.0
"""Vectors are scaled to it and rounded to whole numbers: no sum of their products then reaches 2^24, so that float32
adds them without error in whatever order a machine does, and the same store gives the same rows everywhere."""
LEAST = 64
"""Different texts of a script from which a threshold is found: 2,016 pairs."""
QUANTILE = 0.999
SHARE = 0.75
"""How much of the way from the similarity that one of a thousand unrelated pairs exceeds to that of equal texts must
be gone: half of it still removed one in 25 of different Japanese questions."""
STEPS = 20
LATIN_PER_DENSE = 3
"""Latin letters that say as much as one kana or kanji."""


@dataclass(frozen=True, slots=True)
class Known:
    """What of a text is compared: its vector, its template, and the numbers in it."""

    script: str
    vector: Vector
    frame: int
    numbers: int


@dataclass(slots=True)
class Space:
    """The texts of one script let through so far."""

    calibration: Calibration | None = None
    ids: list[str] = field(default_factory=list[str])
    vectors: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    marks: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    """The hashes of each text's template and numbers."""

    def twin(self, known: Known) -> tuple[str, float] | None:
        """The closest text beyond the threshold that asks about the same numbers; the first of equally close ones."""
        count = len(self.ids)
        if self.calibration is None or not count:
            return None
        products = self.vectors[:count] @ known.vector
        near = products >= np.float32(self.calibration.threshold * LENGTH * LENGTH)
        if not near.any():
            return None
        near &= (self.marks[:count, 0] != known.frame) & (self.marks[:count, 1] == known.numbers)
        if not near.any():
            return None
        place = int(np.where(near, products, -np.inf).argmax())
        return self.ids[place], min(1.0, float(products[place]) / LENGTH**2)

    def add(self, name: str, known: Known) -> None:
        """Remember a text that was let through."""
        count = len(self.ids)
        if count == len(self.vectors):
            room = max(1024, 2 * count)
            self.vectors, old = np.zeros((room, known.vector.size), np.float32), self.vectors
            self.marks, marks = np.zeros((room, 2), np.int64), self.marks
            self.vectors[:count], self.marks[:count] = (old, marks) if count else (0, 0)
        self.vectors[count], self.marks[count] = known.vector, (known.frame, known.numbers)
        self.ids.append(name)

    def distinct(self) -> list[int]:
        """The places of the first text of each template."""
        return np.unique(self.marks[: len(self.ids), 0], return_index=True)[1].tolist()


class Meanings:
    """An index of the texts that a stage's gate let through, by their vectors.

    A million texts take 4 bytes for each dimension: 2 GB with 512. Each new text is compared with all of its script.
    """

    def __init__(self, dedupe: Dedupe) -> None:
        """Raises nothing; `dedupe` has `semantic`."""
        self.vectors: dict[str, Vector] = {}
        """By sample id those that have not come to the gate yet."""
        self._given = None if dedupe.semantic is None else dedupe.semantic.threshold
        self.is_open = self._given is not None
        """Whether texts may be looked for; until then they wait for `calibrate`."""
        self._spaces: dict[str, Space] = {}
        self._uncompared = 0
        self._twins = 0

    def calibrate(self, texts: Sequence[tuple[str, str]]) -> None:
        """Find the threshold of every script of which there is enough, from the first texts (id, text) of a stage."""
        self.is_open = True
        letters = Twins(Dedupe())  # twins by their letters are no unrelated pairs
        found: dict[str, dict[int, Known]] = {}
        for name, text in texts:
            known = self._known(name, text)
            if known is not None and letters.add(name, text) is None:
                found.setdefault(known.script, {}).setdefault(known.frame, known)
        for script, frames in found.items():
            if len(frames) >= LEAST:
                stack = np.stack([known.vector for known in frames.values()])
                self._spaces[script] = Space(calibrated(script, stack))

    def add(self, name: str, text: str) -> Match | None:
        """The earlier twin of a text, or None, in which case the text is now one to compare others with."""
        known = self._known(name, text)
        if known is None:
            self._uncompared += 1
            return None
        space = self._spaces.setdefault(known.script, Space())
        if self._given is not None and space.calibration is None:
            space.calibration = Calibration(script=known.script, threshold=self._given)
        if space.ids and space.vectors.shape[1] != known.vector.size:
            self._uncompared += 1  # another model answers under the same name
            return None
        self._uncompared += space.calibration is None
        twin = space.twin(known)
        if twin is not None:
            self._twins += 1
            return Match(twin[0], round(twin[1], 4), "semantic")
        space.add(name, known)
        if space.calibration is None and len(space.ids) >= LEAST:
            places = space.distinct()
            if len(places) >= LEAST:
                space.calibration = calibrated(known.script, space.vectors[sorted(places)])
        return None

    def summary(self) -> SemanticSummary:
        """What has been compared so far, and how the thresholds were found."""
        calibrations = [space.calibration for _, space in sorted(self._spaces.items()) if space.calibration is not None]
        return SemanticSummary(scripts=tuple(calibrations), uncompared=self._uncompared, twins=self._twins)

    def _known(self, name: str, text: str) -> Known | None:
        vector = self.vectors.get(name)
        scaled = None if vector is None else whole(vector)
        if scaled is None:
            return None
        ((frame, figures),) = masked([normalise(text)], [True])
        numbers = sorted(one for one in figures.split() if unicodedata.category(one[0])[0] in "NLC")
        return Known(script_of(text), scaled, hash(frame), hash(tuple(numbers)))


def whole(vector: Vector) -> Vector | None:
    """A vector of length LENGTH and whole numbers; None for one without a direction."""
    exact = vector.astype(np.float64)
    length = float(np.linalg.norm(exact))
    return np.rint(exact * (LENGTH / length)).astype(np.float32) if length else None


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
