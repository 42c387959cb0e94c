"""Which texts hold an item of a benchmark: word for word, or nearly so.

The units that are compared are the same in every script's own measure: one per kana or kanji, one per word of an
alphabet, one per number. Eight words or thirteen kana and kanji in a row are an n-gram (the windows of GPT-3's and
later decontamination, Brown et al., 2020, arXiv:2005.14165, appendix C, which count words that Japanese does not part);
a mixed n-gram is as long as its units weigh. Width, case, blanks and punctuation do not matter (`normalise`), nor do
the numbers: an item with other numbers is still the item.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from synth.dedupe.normalise import CJK, normalise
from synth.language.text import several
from synth.patterns import lazy
from synth.types import Value

KANJI_NUMERALS = "〇一二三四五六七八九十百千万億兆"
UNIT = lazy(rf"[{KANJI_NUMERALS}\d]+|{CJK}|[^\W\d_{CJK[1:-1]}]+")
ASCII_UNIT = lazy(r"\d+|[^\W\d_]+")
NUMBER = lazy(
    rf"[{KANJI_NUMERALS}\d]+|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen"
    r"|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|billion"
)
LONG = (13, 8, 104)
"""What a word and a kana or kanji weigh, and what an n-gram does: 8 words, or 13 characters."""
SHORT = (5, 3, 15)
"""The same for the little n-grams whose share tells a light edit: 3 words, or 5 characters."""
BOILERPLATE = 5
"""An n-gram in more items than this is the benchmark's way of asking, and tells no item."""
NEAR_SHARE = 0.4
"""Of an item's little n-grams in one passage: from here on it is the item, edited."""
NGRAM_SHARE = 0.2
FEWEST = 6
"""Of a short item so many at least."""
ENOUGH = 20
"""Beside a whole n-gram so large a share, or so many of them, since a turn of phrase is no leak."""
SPREAD = 1.5
"""How much longer than the item the passage may be that holds its little n-grams."""
CJK_FROM = "\u3041"
"""From here on come kana and kanji; words of Hangul weigh like kana, which is about what they say."""
SENTENCE = lazy(r"(?<=[。．！？!?\n])|(?<=\.)\s")


class SemanticScreen(Value):
    """Also find items in other words, reworded or translated, by what an embedder makes of them.

    It needs 64 items or more, of which it learns how near to each other different ones are.
    """

    embedder: str
    """The teacher that serves embeddings."""
    judge: str = ""
    """The teacher that decides about what is nearer to an item than half of the items are to another one. Without it
    a text is refused that is nearer than all but one in a hundred of them are."""


class NeighboursRecord(Value):
    """What was compared with the items of benchmarks by meaning."""

    items: int
    grey_from: float | None
    """The cosine from which a judge is asked; None when nothing was compared."""
    near_from: float | None
    """The cosine from which a text is refused without a judge."""
    compared: int
    """Texts."""
    uncompared: int
    """Texts without a vector."""
    refused: int
    """Seeds and samples with an item in other words."""
    cleared: int
    """Texts of the grey zone that the judge found different."""


class Decontaminate(Value):
    """Refuse seeds, and whatever the teacher writes, that hold an item of a benchmark."""

    against: list[str] = Field(min_length=1)
    """Benchmarks: paths from the recipe's folder, or `hub:OWNER/NAME[/CONFIGURATION][@SPLIT]`, whose test split counts
    unless another is named."""
    field: str | int = ""
    """The benchmarks' column, or its number in a table without a header; what each row asks, when left out."""
    semantic: SemanticScreen | None = None
    """Also find items in other words."""


Indexed = Literal["ngrams", "whole", "unindexed"]
How = Literal["whole", "ngram", "near"]


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a benchmark."""

    benchmark: str
    row: int
    """From 1."""
    text: str

    @property
    def id(self) -> str:
        """Its name in reports."""
        return f"{self.benchmark}#{self.row}"


@dataclass(frozen=True, slots=True)
class Hit:
    """A text and the item it holds."""

    item: Item
    how: How
    share: float
    """Of the item's little n-grams, how many the text has too; 1 for a short item found whole."""
    words: str
    """Some of what both say, normalised and with numbers as 0; empty where no whole n-gram is shared."""

    def pair(self) -> dict[str, str | float]:
        """The item and what it shares, for a review file."""
        return {"item": self.item.id, "text": self.item.text, "how": self.how, "share": self.share, "words": self.words}

    def __str__(self) -> str:
        what = {"whole": "all of it", "ngram": f"“{self.words}”", "near": f"{self.share:.0%} of its n-grams"}
        return f"{self.item.id}: {what[self.how]}"


class BenchmarkRecord(Value):
    """What of a benchmark can be found, and what was."""

    name: str
    items: int
    ngrams: int
    """Items found by their n-grams, also within other texts and edited."""
    whole: int
    """Shorter ones, found only as a whole text, line or sentence."""
    unindexed: int
    """Items that cannot be found, without a letter or number."""
    hits: int
    """Texts that were refused for one of its items."""

    def __str__(self) -> str:
        share = self.unindexed / max(1, self.items)
        by = f"{self.ngrams:,} found by n-grams, {self.whole:,} shorter ones found whole"
        return (
            f"{several(self.items, 'item')}: {by}, {self.unindexed:,} ({share:.1%}) not at all; "
            f"{several(self.hits, 'hit')}"
        )


class Benchmarks:
    """An index of benchmark items."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._counts: dict[str, Counter[Indexed]] = {}
        self._items: list[Item] = []
        self._sizes: list[int] = []
        """Of each item: how many different little n-grams are its own, or shared with few."""
        self._lengths: list[int] = []
        """Of each item: how many units."""
        self._long: dict[str, list[int]] = {}
        self._short: dict[str, list[int]] = {}
        self._whole: dict[str, int] = {}
        self._has_short = False
        for item in items:
            self._insert(item)
        for grams in (self._long, self._short):
            for gram in [gram for gram, places in grams.items() if len(places) > BOILERPLATE]:
                for place in grams.pop(gram) if grams is self._short else ():
                    self._sizes[place] -= 1

    def find(self, text: str) -> Hit | None:
        """The item a text holds the most of, or None."""
        if not self._items:
            return None
        plain = normalise(text)
        place = self._whole.get(plain.replace(" ", ""))
        if place is not None:
            return self._whole_hit(place)
        return self._found_in(_units(plain)) or self._found_among(text)

    def _found_in(self, units: Sequence[str]) -> Hit | None:
        """The item whose n-grams stand in a text."""
        shared: dict[int, list[tuple[int, str]]] = {}
        for start, gram in _grams(units, SHORT):
            for place in self._short.get(gram, ()):
                shared.setdefault(place, []).append((start, gram))
        words: dict[int, str] = {}
        if shared:
            for _, gram in _grams(units, LONG):
                for place in self._long.get(gram, ()):
                    words.setdefault(place, gram)
        best: Hit | None = None
        for place, met in shared.items():
            size = self._sizes[place]
            least = min(NGRAM_SHARE * size, ENOUGH) if place in words else max(NEAR_SHARE * size, FEWEST)
            together = self._together(place, met) if len(met) >= least else 0
            if together >= least and (best is None or together / size > best.share):
                how = "ngram" if place in words else "near"
                best = Hit(self._items[place], how, round(together / size, 4), words.get(place, ""))
        return best

    def items(self) -> Sequence[Item]:
        """All items, in order."""
        return self._items

    def record(self, hits: Mapping[str, int]) -> tuple[BenchmarkRecord, ...]:
        """What can be found of each benchmark; `hits` are what was found, by its name."""
        return tuple(
            BenchmarkRecord(
                name=name,
                items=counts.total(),
                ngrams=counts["ngrams"],
                whole=counts["whole"],
                unindexed=counts["unindexed"],
                hits=hits.get(name, 0),
            )
            for name, counts in self._counts.items()
        )

    def _insert(self, item: Item) -> None:
        place = len(self._items)
        plain = normalise(item.text)
        units = _units(plain)
        long = {gram for _, gram in _grams(units, LONG)}
        little = {gram for _, gram in _grams(units, SHORT)} if long else set[str]()
        for grams, index in ((long, self._long), (little, self._short)):
            for gram in grams:
                index.setdefault(gram, []).append(place)
        self._items.append(item)
        self._sizes.append(len(little))
        self._lengths.append(len(units))
        if units:
            self._whole.setdefault(plain.replace(" ", ""), place)
        indexed: Indexed = "ngrams" if long else "whole" if units else "unindexed"
        self._has_short |= indexed == "whole"
        self._counts.setdefault(item.benchmark, Counter())[indexed] += 1

    def _together(self, place: int, met: Sequence[tuple[int, str]]) -> int:
        """How many different little n-grams of an item stand in one passage, by where they begin in the text."""
        span = SPREAD * self._lengths[place]
        if met[-1][0] - met[0][0] <= span:
            return len({gram for _, gram in met})
        most, first = 0, 0
        inside: Counter[str] = Counter()
        for start, gram in met:
            inside[gram] += 1
            while start - met[first][0] > span:
                inside[met[first][1]] -= 1
                if not inside[met[first][1]]:
                    del inside[met[first][1]]
                first += 1
            most = max(most, len(inside))
        return most

    def _found_among(self, text: str) -> Hit | None:
        """A short item that is a whole line of a text, or a sentence."""
        if not self._has_short:
            return None
        for part in (*text.splitlines(), *SENTENCE.split(text)):
            place = self._whole.get(_bare(part))
            if place is not None and self._sizes[place] == 0:
                return self._whole_hit(place)
        return None

    def _whole_hit(self, place: int) -> Hit:
        return Hit(self._items[place], "whole", 1.0, "")


def _units(plain: str) -> list[str]:
    """The words, kana and kanji of a normalised text; numbers in a row are one `0`."""
    units: list[str] = []
    for unit in (ASCII_UNIT if plain.isascii() else UNIT).findall(plain):
        if NUMBER.fullmatch(unit) is None:
            units.append(unit)
        elif not units or units[-1] != "0":
            units.append("0")
    return units


def _grams(units: Sequence[str], measure: tuple[int, int, int]) -> Iterator[tuple[int, str]]:
    """The n-grams of a text, each with the unit it begins at."""
    word, character, whole = measure
    end, weight = 0, 0
    for start, first in enumerate(units):
        while weight < whole:
            if end == len(units):
                return
            weight += character if units[end] >= CJK_FROM else word
            end += 1
        yield start, " ".join(units[start:end])
        weight -= character if first >= CJK_FROM else word


def _bare(text: str) -> str:
    """A normalised text without any blank."""
    return normalise(text).replace(" ", "")
