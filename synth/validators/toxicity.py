"""No word of a short list of abuse."""

from __future__ import annotations

import re
from functools import cache
from typing import Literal

from synth.errors import Rejected
from synth.language.text import subject
from synth.patterns import lazy
from synth.types import Sample, Value

ENGLISH = lazy(
    r"\b(?:(?:mother)?fuck(?:ing|ed|er|ers|s|off)?|bullshit|piece of shit|shit(?:head|ty)|assholes?|bastards?|bitch(?:es)?|cunts?|dickheads?|"
    r"morons?|retard(?:s|ed)?|sluts?|whores?|wankers?|faggots?|niggers?|kikes?|spics?|chinks?|trann(?:y|ies)|"
    r"kill yourself|shut (?:the (?:fuck|hell) )?up|go to hell|drop dead|kys|dumb ?ass(?:es)?|jackass|dipshit|scumbag|imbeciles?|(?:you|stupid|fucking|pathetic|worthless|total|complete|such an?|absolute) (?:(?:stupid|fucking|pathetic|worthless|little|dumb) )*(?:idiots?|imbecile|loser|trash|scum|pig)|sorry ass|(?:you|you're|you are|your) [^.!?\n]{0,40}\b(?:pathetic|useless|worthless|losers?|disgrace|idiots?|creep|garbage|moron|too thick|too stupid|brain-?dead)|(?:idiot|loser|fool|creep|moron|disgrace)s?\b[^.!?\n]{0,20}\b(?:like you|as you are|you've|you are)|people are too (?:thick|stupid|dumb)|old fool|cocksucker|twats?|pricks?|douchebag|wetbacks?|gooks?|dykes?|you(?:'re| are) (?:so )?(?:worthless|pathetic|stupid|an idiot|trash|garbage|disgusting))\b"
)
JAPANESE = lazy(
    r"馬鹿野郎|ばかやろう|バカ野郎|くそったれ|クソ(?:野郎|が|やろう)|死ね(?!ば|な|る)|くたばれ|ぶっ殺|殺すぞ|殺してやる|(?:お前|おまえ|てめえ|テメエ|貴様|あんた)(?:は|って|みたいな|のような)?[^。\n]{0,10}(?:バカ|ばか|馬鹿|アホ|あほ|無能|クズ|ゴミ|ブス|デブ|ハゲ|間抜け|能無し|役立たず)|(?:バカ|馬鹿|ばか|アホ|ゴミ|ボケ|カス|クズ|デブ|ブス|ハゲ)(?:が|め|か)(?=[。、!！,]|\Z)|(?:アホ|バカ|馬鹿)か、|、(?:ボケ|カス|ゴミ|クズ)(?=[。!！])|(?:バカ|馬鹿|アホ)(?:なの|じゃないの|ですか|らしく|丸出し)|頭の悪い(?:やつ|奴|人|あなた)|生きて(?:い)?る価値|負け犬|根性なし|身のほど(?:を)?|才能のかけら|駄文|笑わせ(?:ないで|るな)|社会人として終わ|だらしない人間|土下座し|二度と聞くな|する資格(?:なんて|など|は)(?:あり|な)|気持ち悪いと思われ|親の顔が見|あなたみたいな|時間の無駄(?:です|だ|。)|神経の図太|凡人|ふざけんな|うるせ[えぇー]|生きる価値(?:が|は|も)?(?:ない|ねえ|なし)|死んでしまえ|死ねよ|チョン公|頭(?:が)?おかしいんじゃ|キチガイ|気違い|きちがい|ガイジ|"
    r"(?:消え|失せ)ろ|(?<![一-鿿ァ-ヶー])クズ(?=[。、!！がだめ]|野郎|\Z)|ゴミクズ|カス野郎|ブス(?=[。、!！がだめ]|\Z)|チョン(?=[。、!！が野だめ公])|土人|非国民|売女|淫売"
)


class Toxicity(Value):
    """Refuse a text with a word of abuse, in English or Japanese, from a short list; `words` adds to it.

    A list knows no context: it also refuses a text that only quotes such a word (unless its question holds it), and misses abuse in plain words.
    """

    kind: Literal["toxicity"] = "toxicity"
    words: list[str] = []

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`toxic`)."""
        detail = find_toxic(subject(sample), tuple(self.words), sample.question() if sample.answer() else "")
        if detail is not None:
            raise Rejected("toxic", detail)


def find_toxic(text: str, words: tuple[str, ...] = (), question: str = "") -> str | None:
    """The first word of abuse in a text that its question does not hold; None when there is none."""
    folded = text.casefold()
    lists = (ENGLISH, *(() if folded.isascii() else (JAPANESE,)), *((_listed(words),) if words else ()))
    return next(
        (
            one[0]
            for listed in lists
            for one in listed.finditer(folded)
            if one[0].rstrip("s") not in question.casefold()
        ),
        None,
    )


@cache
def _listed(words: tuple[str, ...]) -> re.Pattern[str]:
    """Whole words where they are written in Latin letters, any place in a text otherwise."""
    return re.compile(
        "|".join(rf"\b{re.escape(word)}\b" if word.isascii() else re.escape(word) for word in map(str.casefold, words))
    )
