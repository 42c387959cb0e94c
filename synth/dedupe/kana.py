"""One spelling for the ways in which the same Japanese word is written in kana, for comparison only.

りんご and リンゴ, らーめん and ラーメン, ヶ and ケ, きって and the older きつて, 人々 and 人人 are one word each. Some
pairs become alike that are two words (美容院 and 病院 in kana): texts that differ in such a word alone share nearly all
other n-grams anyway, and are near-duplicates with or without this.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

VOWELS = {
    "あ": "あかさたなはまやらわがざだばぱ",
    "い": "いきしちにひみりぎじびぴ",
    "う": "うくすつぬふむゆるぐずぶぷ",
    "え": "えけせてねへめれげぜべぺ",
    "お": "おこそとのほもよろをごぞどぼぽ",
}
LIKE = dict(zip("ぁぃぅぇぉっゃゅょゎゕゖゐゑゔぢづ", "あいうえおつやゆよわかけいえぶじず", strict=True))
LONG, SAME_KANJI, SAME, VOICED = (ord(mark) for mark in "ー々ゝゞ")
SPELLED_FROM = SAME_KANJI
"""The first code point that is spelled in more than one way."""
TO_HIRAGANA = 0x60
SPELLED = np.arange(0x110000, dtype=np.uint32)
"""For each code point the one that it is taken for."""
SPELLED[0x30A1:0x30F7] -= TO_HIRAGANA
SPELLED[0x30FD:0x30FF] -= TO_HIRAGANA
for _small, _large in LIKE.items():
    SPELLED[[ord(_small), ord(_small) + TO_HIRAGANA]] = ord(_large)
MARK = np.zeros(SPELLED.size, dtype=np.bool_)
"""Which stand for the character before or for its vowel."""
MARK[[LONG, SAME_KANJI, SAME, VOICED]] = True
VOWEL = np.zeros(SPELLED.size, dtype=np.uint16)
"""For each code point its vowel, 0 where it has none."""
for _vowel, _syllables in VOWELS.items():
    VOWEL[[ord(syllable) for syllable in _syllables]] = ord(_vowel)


def spelling(codes: NDArray[np.uint32], starts: NDArray[np.int64]) -> NDArray[np.uint32]:
    """The code points of texts in one spelling; `starts` says where each begins."""
    codes = SPELLED[codes]
    marks = MARK[codes]
    marks[starts] = False
    at = np.flatnonzero(marks)
    if not at.size:
        return codes
    mark, before = codes[at], codes[at - 1]
    vowel = VOWEL[before]
    codes[at] = np.where(mark == LONG, np.where(vowel > 0, vowel, mark), before + (mark == VOICED))
    return codes
