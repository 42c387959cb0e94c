"""A text that says something."""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

from synth.errors import Rejected
from synth.language.text import UNIT, prose, subject
from synth.patterns import lazy
from synth.types import Sample, Value
from synth.validators.refusal import LETTER

STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a about above after again all also am an and any are as at be because been before being below "
        "between both but by can could did do does doing done down during each else ever few for from further "
        "had has have having he her here hers him his how i if in into is it its just let ll may me might "
        "mine more most must my no nor not now of off oh ok okay on once only or other our ours out over own "
        "per please re s same shall she should so some such sure t than that the their theirs them then there "
        "these they this those through to too under until up us ve very was we well were what when where "
        "which while who whom why will with would yes you your yours",
    )
)
FUNCTION_JA = lazy(
    r"(?:です|ます|でした|ました|ません|である|でしょう|だろう|ください|こと|もの|それ|これ|あれ|ここ|そこ|という|について|ため|はい|いいえ|ええ|まあ|"
    r"よう|ところ|そう|こう|どう|その|この|あの|など|から|まで|より|ので|のに|けど|して|する|した|いる|ある|ない|なる|"
    r"[はがをにでとものへやかねよわぞさなだ])+"
)
APOLOGY = lazy(
    r"\b(?:sorry|apologi[sz]e|apologies)\b|申し?訳(?:ありません|ございません|ない)|すみません|ごめんなさい",
    re.IGNORECASE,
)
FIGURE, START = lazy(r"\d"), 40
SHORTEST = 4
"""Of fewer letters than these may be an answer: the letter of a choice, a plant's name in kana."""
FEWEST_WORDS, FEWEST_CHARS_JA = 80, 160
"""Of an apology that goes on to answer; the number of words is WizardLM's."""


class Hollow(Value):
    """Refuse a text of punctuation and function words alone, and a short one that apologises.

    Two of the signs by which Evol-Instruct (Xu et al., arXiv:2304.12244) knows that an instruction has evolved beyond
    what can be answered. An apology counts where the text begins with it and holds no figure, and is no letter: an
    answer may begin with a polite word.
    """

    kind: Literal["hollow"] = "hollow"

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`hollow`)."""
        text = subject(sample)
        if is_hollow(text):
            raise Rejected("hollow", repr(text[:80]))
        if sample.answer() and (apology := _apologises(text)):
            raise Rejected("hollow", f"a short text with {apology!r}")


def is_hollow(text: str) -> bool:
    """Whether no word of a text says anything."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    said = UNIT.findall(plain)
    if 0 < len("".join(said)) < SHORTEST:
        return False
    return all(unit in STOP_WORDS for unit in UNIT.findall(FUNCTION_JA.sub(" ", plain)))


def _apologises(text: str) -> str:
    """The words with which a short text apologises at its beginning; empty where it does not."""
    found = None if FIGURE.search(text) or LETTER.match(text) else APOLOGY.search(prose(text).lstrip()[:START])
    is_short = len(text.split()) < FEWEST_WORDS if text.isascii() else len(text) < FEWEST_CHARS_JA
    return found[0] if found and is_short else ""
