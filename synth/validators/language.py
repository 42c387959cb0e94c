"""The text is in the language asked for."""

from __future__ import annotations

import re
from typing import Literal

from synth.errors import Rejected
from synth.text import HAN, HANGUL, KANA, LATIN, prose, subject
from synth.types import Sample, Value

FEWEST_LETTERS = 12
QUOTED = re.compile(r"「[^「」\n]{1,60}」|『[^『』\n]{1,60}』|“[^“”\n]{1,60}”")
WORDS = {
    "en": "the of and to in is that it for was on are as with be this from have or by not but what at which you we "
    "he she they has his her so per each will had",
    "de": "der die das und ist nicht ein eine zu den von mit sich auf für dem des im auch es werden wird sind",
    "fr": "le la les des et est une dans que pour qui pas sur au avec ce il sont plus du nous vous cette",
    "es": "el la los las y es una en que por para con del se no un al lo como más su son está",
    "pt": "o os as e é uma em que por para com do da se não um ao como mais são está dos das",
    "it": "per il lo gli e è una di che con del della si non un al come più sono questo nel",
}
STOPWORDS = {language: frozenset(words.split()) for language, words in WORDS.items()}
CHINESE = re.compile(
    "["
    "这們们个你她它吗嗎吧呢么麼沒说說还为让讓对從给很谁哪怎东车长门问间见贝页马鸟鱼龙书时发经济业严临义乐习乡买卖亚产亲亿仅仓伟传伤优伦侧债倾关兴兰养军农净凤则刚创别剧动劳势单卫厅历压县"
    "变员团围图圆场块坚处备复够头夺奋奖妇实审导尔尘层岁岛币师应庙开张弹强归录彻忆忧怀态总战户扩扫执护报拟择挤损换显晓暂术杀杂权标样树桥检欢毕汇汉测满滚灭热爱牵狱猎环现电监础种积稳穷笼签"
    "简类紧红级纪纯纳纸线练组细织终绍绝统继绩续维罗职联脑脸舰艺节苏药萨蓝虑虽补览观规视觉计认议记许论设访证评识诉词译试诗话该详语误请读调负财责败货质费资赛赞赵赶跃转轮软轻载较过进远连选"
    "递遗邮邻郑酱释钟钢钱银铁错锁键镇闭闲闻阅队阴阶际陆险难雾顾预领题颜额风飞饭馆驻验骑齐赢"
    "]"
)
"""Pronouns and particles of Chinese, and simplified letters: Japanese writes none of them."""
PARTICLES = re.compile("[的是了在也]")
JAPANESE_LETTER = 0.2
FOREIGN_SHARE = 0.6


class Language(Value):
    """Refuse a text whose prose is in another language than `language` (the recipe's, unless given).

    Decided by script, for European languages also by their commonest words. Code, formulae, addresses and short
    quotations are not judged, and a text with fewer than 12 letters of prose, or of kanji alone, is let through.
    """

    kind: Literal["language"] = "language"
    language: str = ""

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`wrong_language`)."""
        found = language_of(subject(sample))
        if found is not None and found != self.language:
            raise Rejected("wrong_language", f"{self.language} is wanted and {found} was found")


def language_of(text: str) -> str | None:
    """The language a text is mostly written in, as an ISO code; None when it is too short or too mixed to tell."""
    letters = QUOTED.sub(" ", prose(text))
    kana, han, hangul = len(KANA.findall(letters)), len(HAN.findall(letters)), len(HANGUL.findall(letters))
    latin = len(LATIN.findall(letters))
    # one CJK letter carries about as much as three Latin ones
    total = latin + 3 * (kana + han + hangul)
    if total < FEWEST_LETTERS:
        return None
    if 3 * hangul > FOREIGN_SHARE * total:
        return "ko"
    if 3 * (kana + han) > (1 - FOREIGN_SHARE) * total:
        if kana > JAPANESE_LETTER * (kana + han):
            return "ja"
        # lists of names are kanji only in Japanese too: particles and simplified letters tell Chinese
        own = len(set(CHINESE.findall(letters)))
        chinese = own >= 2 or (own == 1 and PARTICLES.search(letters) is not None)
        return "zh" if chinese and kana < 0.05 * han else None
    if latin > (1 - FOREIGN_SHARE / 2) * total:
        return _european(letters)
    return None


def _european(text: str) -> str | None:
    words = re.findall(r"[^\W\d_]+", text.casefold())
    if len(words) < 4:
        return None
    hits = {language: sum(word in known for word in words) for language, known in STOPWORDS.items()}
    best = max(hits, key=lambda language: hits[language])
    second = max(count for language, count in hits.items() if language != best)
    return best if hits[best] >= 2 and hits[best] > 1.3 * second else None
