"""Duplicates found among rows whose twins were planted, class by class, and how fast: English and Japanese.

    .venv/bin/python tests/bench/duplicates.py [--rows 100000] [--batch 1024] [--language en ja] [--seed 1]

Prints, for each class of planted rows, how many the index called twins of the row they were made from; precision
over all rows; rows per CPU second of look-up and insert; and the memory of the index per million rows. Run it on one
core (`taskset -c 0`). Which similarity an edit has is measured here by its own n-grams, not by those of the index.
"""

from __future__ import annotations

import argparse
import gc
import random
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from synth.dedupe import Dedupe, Twins

FUNCTION_WORDS = [
    "the",
    "a",
    "of",
    "to",
    "and",
    "in",
    "is",
    "that",
    "for",
    "it",
    "as",
    "with",
    "on",
    "by",
    "at",
    "from",
    "his",
    "her",
    "their",
    "this",
    "which",
    "or",
    "an",
    "be",
    "was",
    "were",
    "are",
    "not",
    "but",
    "they",
    "have",
    "had",
    "if",
    "when",
    "what",
    "who",
    "will",
    "would",
    "can",
    "could",
    "should",
    "into",
    "than",
    "then",
    "them",
    "so",
    "more",
    "some",
    "any",
    "about",
    "after",
    "before",
    "over",
    "under",
    "because",
    "while",
    "where",
    "each",
    "both",
    "few",
    "most",
    "other",
    "such",
    "only",
    "own",
    "same",
    "very",
    "just",
    "also",
    "between",
    "through",
]
ONSETS = [
    "b",
    "br",
    "c",
    "ch",
    "cl",
    "cr",
    "d",
    "dr",
    "f",
    "fl",
    "fr",
    "g",
    "gl",
    "gr",
    "h",
    "j",
    "k",
    "l",
    "m",
    "n",
    "p",
    "pl",
    "pr",
    "qu",
    "r",
    "s",
    "sc",
    "sh",
    "sl",
    "sp",
    "st",
    "str",
    "t",
    "th",
    "tr",
    "v",
    "w",
]
VOWELS = ["a", "e", "i", "o", "u", "ai", "ea", "ee", "ie", "oa", "oo", "ou"]
CODAS = ["", "", "n", "r", "l", "s", "t", "m", "ck", "nd", "nt", "rd", "st", "sh", "ll", "p", "g", "x"]
ENDINGS = ["", "", "", "s", "ed", "ing", "er", "ly", "ion", "ment", "al", "ous"]
NUMBER_WORDS = [
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "half",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "ninth",
    "tenth",
    "dozen",
]
HAN = "".join(
    "日本人大学生会社国家時間仕事電車料理野菜果物水道空港海山川森林花鳥魚動物医者病院薬局警察消防市場店員客先教師授業試験問題答案"
    "計算方法説明文章作品音楽映画写真絵画歴史地理化学物理経済政治法律制度技術開発設計製造販売価格費用予算利益損失比較分析結果原因理由"
    "目的意見感想印象記憶経験知識情報通信機械装置道具材料部品建築構造強度速度温度湿度気圧天候季節春夏秋冬朝昼夜明暗光影色形面積体重長短高低"
    "新旧古今早遅近遠左右上下前後内外東西南北中央周辺地域都村町役所議員選挙投票権利義務責任安全危険注意確認登録申請許可禁止開始終了継続中断変更"
    "改善努力成功失敗挑戦練習訓練指導支援協力参加競争勝敗記録発表議論研究調査観察実験証明仮定条件範囲限界程度割合平等差別自由平和戦争"
)
HIRAGANA = "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわがぎぐげござじずぜぞだでどばびぶべぼ"
KATAKANA = "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワガギグゲゴザジズゼゾダデドバビブベボパピプペポ"
PARTICLES = ["は", "が", "を", "に", "で", "と", "の", "から", "まで", "より", "も", "へ", "や"]
PREDICATES = [
    "します",
    "しました",
    "できます",
    "できません",
    "あります",
    "ありません",
    "でしょう",
    "と考えられます",
    "を求めなさい",
    "を説明してください",
    "を比べてみましょう",
    "が必要です",
    "に変わりました",
    "とは言えません",
    "を選んでください",
    "について書きなさい",
    "を続けています",
    "が増えています",
]

MARKS_EN = str.maketrans({",": ";", ".": " .", "?": " ??", '"': "'"})
MARKS_JA = str.maketrans({"、": "，", "。": "．", "？": "?", "「": "『", "」": "』"})
WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)} | {0x20: 0x3000}
WIDE_LETTERS = {code: wide for code, wide in WIDE.items() if chr(code).isalnum()}
WIDE_DIGITS = {code: wide for code, wide in WIDE.items() if chr(code).isdigit()}
HALF = {
    unicodedata.normalize("NFKC", chr(code)): chr(code) for code in range(0xFF66, 0xFF9E)
}  # ガ is written カ and a mark
SMALL = str.maketrans("ァィゥェォッャュョぁぃぅぇぉっゃゅょヶ", "アイウエオツヤユヨあいうえおつやゆよケ")
TO_HIRAGANA = {code: code - 0x60 for code in range(0x30A1, 0x30F7)}

Units = list[str]


class Row(NamedTuple):
    """A text, how it was made, and from which row; `kind` is the class it counts for."""

    kind: str
    source: int
    text: str


class Words:
    """Draws the words and sentences of one language; the commonest words come often, the rarest hardly ever."""

    def __init__(self, language: str, rng: random.Random) -> None:
        self.language, self.rng = language, rng
        make = self._english if language == "en" else self._japanese
        self.content = list(dict.fromkeys(word for _ in range(30_000) if (word := make()) not in NUMBER_WORDS))

    def _english(self) -> str:
        pick = self.rng.choice
        parts = [pick(ONSETS) + pick(VOWELS) + pick(CODAS) for _ in range(self.rng.choice((1, 1, 1, 2, 2)))]
        return "".join(parts) + pick(ENDINGS)

    def _japanese(self) -> str:
        kind = self.rng.random()
        if kind < 0.6:
            word = "".join(self.rng.choices(HAN, k=self.rng.choice((1, 2, 2, 2, 3, 4))))
            return word + "々" if len(word) == 1 and self.rng.random() < 0.3 else word
        if kind < 0.85:
            letters = self.rng.choices(KATAKANA, k=self.rng.choice((2, 3, 4)))
            letters.insert(self.rng.randrange(1, len(letters)), self.rng.choice(("ー", "ー", "ッ", "ャ", "")))
            return "".join(letters)
        return "".join(self.rng.choices(HIRAGANA, k=self.rng.choice((2, 3, 3, 4))))

    def word(self) -> str:
        """A content word."""
        return self.content[int(len(self.content) * self.rng.random() ** 2.5)]

    def sentence(self) -> Units:
        """A sentence as the units that an edit may touch."""
        rng = self.rng
        if self.language == "en":
            units = [
                rng.choice(FUNCTION_WORDS) if rng.random() < 0.45 else self.word() for _ in range(rng.randrange(7, 20))
            ]
            if rng.random() < 0.3:
                units.insert(rng.randrange(len(units) - 1), str(rng.randrange(2, 5000)))  # "5!" is a factorial
            units[0] = units[0].capitalize()
            if len(units) > 10:
                units[5] += ","
            units[-1] += rng.choice("....?!")
            return units
        units = []
        for _ in range(rng.randrange(2, 6)):
            units += [self.word(), rng.choice(PARTICLES)]
        if rng.random() < 0.3:
            units.insert(len(units) // 2, f"{rng.randrange(2, 5000)}{rng.choice('個人円本回')}")
        if rng.random() < 0.05:
            units.insert(0, rng.choice(("Python", "AI", "SQL", "Web")))
        if len(units) > 6:
            units[3] += "、"
        return [*units, rng.choice(PREDICATES), rng.choice("。。。？")]

    def text(self, least: int = 1) -> Units:
        """Some sentences."""
        count = max(least, round(self.rng.lognormvariate(1.6, 0.45)))
        return [unit for _ in range(count) for unit in self.sentence()]

    def join(self, units: Units) -> str:
        """The units as they are written."""
        return (" " if self.language == "en" else "").join(units)


def reference_grams(text: str, language: str) -> set[str]:
    """What the similarity of an edit is measured by: n-grams of letters and digits, width and case folded."""
    size = 5 if language == "en" else 3
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(c if c.isalnum() or c in "ー々" else " " for c in folded)
    plain = (" " if language == "en" else "").join(kept.split())
    return {plain[start : start + size] for start in range(max(1, len(plain) - size + 1))}


def edited(words: Words, units: Units, wanted: float) -> str | None:
    """The text after some words were replaced, dropped, added and swapped, within 0.02 of the wanted Jaccard."""
    rng, source = words.rng, reference_grams(words.join(units), words.language)
    now, tries = list(units), 0
    text, similarity = "", 1.0
    while similarity > wanted + 0.02:
        if (tries := tries + 1) > 200:
            return None
        place = rng.randrange(len(now))
        if any(c.isdigit() for c in now[place]):
            continue  # another number is another question
        kind = rng.random()
        if kind < 0.6:
            now[place] = words.word()
        elif kind < 0.75 and len(now) > 4:
            del now[place]
        elif kind < 0.9:
            now.insert(place, words.word())
        elif place and not any(c.isdigit() for c in now[place - 1]):
            now[place - 1 : place + 1] = [now[place], now[place - 1]]
        text = words.join(now)
        grams = reference_grams(text, words.language)
        similarity = len(source & grams) / len(source | grams)
    return text if similarity >= wanted - 0.02 else None


def spaced(text: str, rng: random.Random) -> str:
    """Other white space: doubled, broken lines; in Japanese some where there was none."""
    if " " in text.strip():
        return "".join(c if c != " " else rng.choice((" ", "  ", "\n", "\t", "\u00a0")) for c in text) + rng.choice(
            ("", "\n")
        )
    return "".join(c + (rng.choice((" ", "\u3000", "\n")) if c > "\u3000" and rng.random() < 0.1 else "") for c in text)


def kana_variant(text: str, rng: random.Random) -> str | None:
    """The same words in another kana writing, or None where there are none to write otherwise."""
    kind = rng.randrange(6)
    if kind == 0:
        written = "".join(
            HALF.get(c, c) for d in text for c in (unicodedata.normalize("NFD", d) if d > "\u30a0" else d)
        )
        written = written.replace("\u3099", "\uff9e").replace("\u309a", "\uff9f")
    elif kind == 1:
        written = text.replace("ー", rng.choice("―-－—‐"))
    elif kind == 2:
        written = text.translate(SMALL)
    elif kind == 3:
        written = text.translate(TO_HIRAGANA)
    elif kind == 4:
        written = "".join(text[place - 1] if c == "々" and place else c for place, c in enumerate(text))
    else:  # a part of the katakana only
        written = "".join(chr(ord(c) - 0x60) if "ァ" <= c <= "ヶ" and rng.random() < 0.5 else c for c in text)
    return written if written != text else None


def renumbered(text: str, rng: random.Random) -> str | None:
    """The same text with every number another one."""
    out, number = [], ""
    for c in text + "\0":
        if c.isdigit():
            number += c
            continue
        if number:
            out.append(str(int(number) + rng.randrange(1, 900)))
            number = ""
        out.append(c)
    other = "".join(out)[:-1]
    return other if other != text else None


def case_variant(text: str, rng: random.Random) -> str | None:
    other = text.upper() if rng.random() < 0.5 else text.title() if rng.random() < 0.5 else text.lower()
    return other if other != text else None


def corpus(language: str, rows: int, seed: int) -> Iterator[Row]:
    """Rows of all classes in random order, every copy after its source."""
    rng = random.Random(f"{language} {seed}")
    words = Words(language, rng)
    templates = [_template(words, numbers=place % 2 == 0) for place in range(rows // 100)]
    makers: dict[str, Callable[[str], str | None]] = {
        "exact": lambda text: text,
        "case": lambda text: case_variant(text, rng),
        "width": lambda text: text.translate(rng.choice((WIDE, WIDE_LETTERS, WIDE_DIGITS))),
        "spacing": lambda text: spaced(text, rng),
        "punctuation": lambda text: (
            text.translate(MARKS_EN if language == "en" else MARKS_JA) + rng.choice(("", "!", "…"))
        ),
        "kana": lambda text: kana_variant(text, rng),
        "numbers": lambda text: renumbered(text, rng),
    }
    edits = {"edit 0.9": 0.9, "edit 0.8": 0.8, "edit 0.7": 0.7}
    kinds = [*makers, *edits, "slots", "words"]
    if language == "en":
        kinds.remove("kana")
    originals: list[tuple[int, Units]] = []
    place = 0
    while place < rows:
        kind = "original" if len(originals) < 50 or rng.random() < 0.6 else rng.choice(kinds)
        text, source = None, place
        if kind == "original":
            units = words.text()
            text = words.join(units)
            originals.append((place, units))
        elif kind in ("slots", "words"):
            frame = rng.choice(templates[kind == "words" :: 2])
            text = words.join(_filled(words, frame))
        else:
            source, units = rng.choice(originals)
            text = edited(words, units, edits[kind]) if kind in edits else makers[kind](words.join(units))
        if text is not None and not (kind == "width" and text == words.join(units)):
            yield Row(kind, source, text)
            place += 1


def _template(words: Words, numbers: bool) -> Units:
    """A frame of one to three sentences, a third of whose content is open; `#` stands for a number, `@` for a word."""
    units = [unit for unit in words.text() if not any(c.isdigit() for c in unit)][: words.rng.randrange(14, 40)]
    for place in range(1, len(units)):
        if words.rng.random() < 0.2:
            units[place] = "@"
    if numbers:
        for _ in range(2):
            units.insert(words.rng.randrange(1, len(units)), "#")
    return units


def _filled(words: Words, frame: Units) -> Units:
    return [
        words.word() if unit == "@" else str(words.rng.randrange(2, 9999)) if unit == "#" else unit for unit in frame
    ]


NO_TWINS = {"original", "numbers", "slots", "words"}


def resident_mib() -> float:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def measure(rows: list[Row], dedupe: Dedupe, batch: int) -> None:
    """Feed the rows to an index and print what it found."""
    Twins(dedupe).add_batch(["0"], ["what is loaded with the first text"])
    gc.collect()
    ids = [str(place) for place in range(len(rows))]
    texts = [row.text for row in rows]
    before, began = resident_mib(), time.process_time()
    twins = Twins(dedupe)
    matches = []
    for start in range(0, len(rows), batch):
        matches += twins.add_batch(ids[start : start + batch], texts[start : start + batch])
    seconds = time.process_time() - began
    gc.collect()
    used = resident_mib() - before
    planted, found, called = Counter(), Counter(), Counter()
    families: dict[int, int] = {}
    for place, (row, match) in enumerate(zip(rows, matches, strict=True)):
        family = families[place] = families.get(row.source, row.source)
        planted[row.kind] += 1
        if match is not None:
            called[row.kind] += 1
            found[row.kind] += families[int(match.twin_id)] == family
    for kind in sorted(planted, key=lambda kind: (kind in NO_TWINS, kind)):
        if kind in NO_TWINS:
            print(f"  {kind:<12} {planted[kind]:>7} rows, called twins {called[kind] / planted[kind]:.4f}")
        else:
            print(f"  {kind:<12} {planted[kind]:>7} rows, recall {found[kind] / planted[kind]:.4f}")
    flagged = sum(called.values())
    false = sum(called[kind] for kind in NO_TWINS)
    issue = sum(called[kind] for kind in ("original", "numbers"))
    kept = len(rows) - flagged
    print(
        f"  precision {1 - issue / (flagged - false + issue):.4f}; {1 - false / flagged:.4f} with every template row as no twin"
    )
    print(f"  {len(rows) / seconds:,.0f} rows per CPU second ({1e6 * seconds / len(rows):.1f} µs a row)")
    print(f"  {used / kept * 1e6:,.0f} MiB per million rows kept, {used / len(rows) * 1e6:,.0f} per million rows seen")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--language", nargs="+", default=["en", "ja"])
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    for language in asked.language:
        rows = list(corpus(language, asked.rows, asked.seed))
        length = sum(len(row.text) for row in rows) / len(rows)
        print(f"{language}: {len(rows)} rows of {length:.0f} characters, {asked.batch} at once")
        measure(rows, Dedupe(threshold=asked.threshold), asked.batch)


if __name__ == "__main__":
    main()
