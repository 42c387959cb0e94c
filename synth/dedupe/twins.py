"""Twins among texts: equal after normalising, near by the character n-grams they share, or of one template.

Near ones are found by MinHash and banding, as in Leskovec, Rajaraman and Ullman, Mining of Massive Datasets,
chapter 3, and every candidate is compared. Character n-grams need no word splitter, and so no language.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, takewhile
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from synth.dedupe.normalise import masked, normalised
from synth.types import Sample, Value

if TYPE_CHECKING:
    from synth.dedupe.index import Index

AT_ONCE, MOST_CHARACTERS = 1 << 10, 1 << 18
"""Texts, and characters of texts, for the sake of memory and caches."""
FEW = 4
"""Texts that are sooner searched for number words one by one."""
EXAMPLES = 10


Kind = Literal["exact", "near", "template", "semantic"]


class Semantic(Value):
    """Also compare texts by what they mean, as an embedder sees it.

    Texts of one script are compared, one stage's with each other (not those of `novel_against`), and only those with
    the same numbers in them can be twins.
    """

    embedder: str
    """The teacher that serves embeddings."""
    threshold: float | None = Field(default=None, gt=0, le=1)
    """The cosine from which two texts mean the same. Unless given it is found, for each script, from pairs of the
    first 300 texts of the stage, which wait for it (so many are made even when fewer rows are wanted); a script with
    fewer than 64 different texts is not compared."""


class Dedupe(Value):
    """Keep the first of texts that say the same.

    Texts that differ only in their numbers are different questions and stay.
    """

    by: str = "question"
    """`question`, `answer`, `messages`, or the name of a field."""
    near: bool = True
    """Also find near-duplicates; else only texts that are equal after normalising."""
    threshold: float | None = Field(default=None, gt=0, le=1)
    """The share of n-grams in common (Jaccard) from which two texts are the same. Unless given 0.65 for alphabets and
    0.6 for Japanese and Chinese, and more for texts of a few words, where one other word asks for something else."""
    per_template: int | None = Field(default=None, ge=1)
    """How many texts that differ only in their numbers are kept; all of them unless given."""
    per_seed: int | None = Field(default=None, ge=1)
    """How many new texts of one seed, such as a topic, go on; all of them unless given."""
    semantic: Semantic | None = None
    """Also drop texts that say the same in other words."""


@dataclass(frozen=True, slots=True)
class Match:
    """An earlier text that says the same, or the first of a template of which there are enough."""

    twin_id: str
    similarity: float
    kind: Kind


class Summary(Value):
    """What an index has seen: how similar the pairs were that it compared, and how many texts were twins of one."""

    pairs: tuple[int, ...]
    """Of the pairs that were looked at, how many had a similarity from 0 to 0.05, from 0.05 to 0.1, and so on; those
    far below the threshold are estimated."""
    threshold: float | None = None
    """The lowest similarity that made a twin; texts of a few words needed more. None when only equals counted."""
    sizes: dict[int, int]
    """How many clusters there are of so many texts, the one that was kept among them."""
    largest: tuple[tuple[str, int], ...]
    """The largest clusters: the id that was kept, and how many texts."""


class Calibration(Value):
    """From which similarity two texts of a script mean the same, and how that was found."""

    script: str
    threshold: float
    texts: int = 0
    """How many different texts were compared, each with each; 0 when the recipe gives the threshold."""
    exceeded_by_one_in_thousand: float | None = None
    """The similarity that one in a thousand of these pairs exceeds: the threshold is three quarters of the way from it
    to 1."""
    pairs: tuple[int, ...] = ()
    """Of these pairs, how many had a similarity from 0 (or below) to 0.05, from 0.05 to 0.1, and so on."""


class SemanticSummary(Value):
    """What was compared by meaning."""

    scripts: tuple[Calibration, ...]
    uncompared: int
    """Texts let through without a comparison: of a script with too few texts for a threshold, or without a vector."""
    unremembered: int = 0
    """Texts that nothing later was compared with, as there was no more room for their vectors."""
    twins: int


class Twins:
    """An index of the texts let through so far."""

    def __init__(self, dedupe: Dedupe) -> None:
        self._dedupe = dedupe
        self._per_template = dedupe.per_template
        self._kept: dict[int, int] = {}
        """By the hash (64 bits) of a text let through its place: the first has 0."""
        self._told: dict[int, tuple[int, float, Kind]] = {}
        """What was said of a text that was not let through, since the same is said of its copies."""
        self._ids: list[str] = []
        self._twins = array("I")
        """Of each text let through how many twins it has had."""
        self._frames: list[str] = []
        """The templates of the texts at hand."""
        self._templates: dict[int, tuple[int, int]] = {}
        """The place of the first text of a template, and how many were let through."""

    @cached_property
    def _index(self) -> Index | None:
        """Of near-duplicates; made for the first text, as numpy takes a tenth of a second."""
        if not self._dedupe.near:
            return None
        from synth.dedupe.index import Index

        return Index(self._dedupe.threshold, None if self._per_template is None else self._over)

    def add(self, id: str, text: str) -> Match | None:  # noqa: A002 (the word of the design)
        """The earlier twin of a text, or None, in which case the text is now one to compare others with."""
        return self.add_batch([id], [text])[0]

    def add_batch(self, ids: Sequence[str], texts: Sequence[str]) -> list[Match | None]:
        """As `add` for one text after the other, many times as fast."""
        matches: list[Match | None] = []
        while (start := len(matches)) < len(texts):
            end = start + (AT_ONCE if self._index is None else min(AT_ONCE, self._index.room))
            lengths = accumulate(map(len, texts[start:end]))
            end = start + max(1, sum(1 for _ in takewhile(MOST_CHARACTERS.__ge__, lengths)))
            # marks alone have only their like for twins
            read = zip(normalised(texts[start:end]), texts[start:end], strict=True)
            plains = [plain or " ".join(text.replace("\0", " ").split()) for plain, text in read]
            digests = [hash(plain) for plain in plains]
            new: dict[int, int] = {}
            for row, digest in enumerate(digests):
                if digest not in self._kept and digest not in self._told:
                    new.setdefault(digest, row)
            fresh = [plains[row] for row in new.values()]
            with_words = [True] * len(fresh)
            if self._index is not None and len(fresh) >= FEW:
                from synth.dedupe.sketch import counting

                with_words = counting(fresh)
            read = masked(fresh, with_words)
            self._frames = [frame for frame, _ in read]
            if self._index is None or not read:
                found = [(-1, 0.0, not over) for over in self._over([True] * len(read))]
            else:
                found = self._index.add(self._frames, [figures for _, figures in read])
            for (digest, row), frame, (twin, similarity, kept) in zip(new.items(), self._frames, found, strict=True):
                if not kept:
                    self._told[digest] = (twin, similarity, "near") if twin >= 0 else self._first_of(frame)
                    continue
                self._kept[digest] = len(self._ids)
                self._ids.append(ids[start + row])
                self._twins.append(0)
                if self._per_template is not None:
                    first, count = self._templates.get(hash(frame), (self._kept[digest], 0))
                    self._templates[hash(frame)] = first, count + 1
            for row, digest in enumerate(digests):
                place, similarity, kind = self._told.get(digest) or (self._kept[digest], 1.0, "exact")
                if new.get(digest) == row and kind == "exact":
                    matches.append(None)
                    continue
                self._twins[place] += kind != "template"
                matches.append(Match(self._ids[place], round(similarity, 4), kind))
        return matches

    def _first_of(self, frame: str) -> tuple[int, float, Kind]:
        return self._templates[hash(frame)][0], 1.0, "template"

    def _over(self, free: list[bool]) -> list[bool]:
        """Which of the texts at hand that have no twin are too many of their template."""
        over: list[bool] = []
        counts: Counter[int] = Counter()
        for frame, alone in zip(self._frames, free, strict=True):
            key = hash(frame)
            had = self._templates.get(key, (0, 0))[1] + counts[key]
            over.append(alone and self._per_template is not None and had >= self._per_template)
            counts[key] += alone and not over[-1]
        return over

    def summary(self) -> Summary:
        """What has been seen so far."""
        sizes = Counter(count + 1 for count in self._twins if count)
        largest = sorted(range(len(self._twins)), key=lambda place: (-self._twins[place], place))[:EXAMPLES]
        return Summary(
            pairs=() if self._index is None else tuple(self._index.histogram.tolist()),
            threshold=None if self._index is None else round(self._index.lowest, 4),
            sizes=dict(sorted(sizes.items())),
            largest=tuple((self._ids[place], self._twins[place] + 1) for place in largest if self._twins[place]),
        )


def text_of(by: str) -> Callable[[Sample], str]:
    """How to get the part of a sample that is compared."""
    if by == "question":
        return Sample.question
    if by == "answer":
        return Sample.answer
    if by == "messages":
        return lambda sample: "\n".join(message.content for message in sample.messages)
    return lambda sample: str(sample.fields.get(by, ""))
