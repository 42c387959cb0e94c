"""The text is in the language asked for."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from operator import itemgetter
from typing import Literal

from synth.errors import Rejected
from synth.language.text import HAN, HANGUL, KANA, letter_counts, prose, subject
from synth.patterns import lazy
from synth.types import Sample, Value

FEWEST_LETTERS = 12
QUOTED = lazy(r"「[^「」\n]{1,60}」|『[^『』\n]{1,60}』|“[^“”\n]{1,60}”")
WORDS = {
    "en": "the of and to in is that it for was on are as with be this from have or by not but what at which you we "
    "he she they has his her so per each will had",
    "de": "der die das und ist nicht ein eine zu den von mit sich auf für dem des im auch es werden wird sind um man",
    "fr": "le la les des et est une dans que pour qui pas sur au avec ce il sont plus du nous vous cette faut",
    "es": "el la los las y es una en que por para con del se no un al lo como más su son está hay",
    "pt": "o os as e é uma em que por para com do da se não um ao como mais são está dos das",
    "it": "per il lo gli e è una di che con del della si non un al come più sono questo nel",
    "nl": "de het een en van ik te dat op voor met niet zijn er aan ook als bij door wordt naar deze om je",
    "sv": "och att det som en på är av för med till den har inte ett vi så kan från eller var man ska",
    "da": "og det som en på er af med til den har ikke et vi så kan fra eller var man skal",
    "pl": "nie na się jest że jak co ale po za tym dla od przez są lub oraz który czy",
    "cs": "se na je že jako pro si za jsou od který ale nebo při jsme podle",
    "tr": "ve bir bu için ile da de ne olarak daha çok gibi kadar var olan sonra ama her veya değil",
    "vi": "và của là có không được cho một các trong với này để những đã người khi từ về",
    "id": "yang dan di ini dengan untuk dari tidak dalam pada adalah itu akan oleh ke juga atau dapat kita",
    "fi": "ja ei se että hän oli mutta kun niin ovat joka myös tai jos kuin tämä",
    "ro": "și în de la pe cu nu este un o care din pentru mai să ce sunt sau",
    "hu": "az és hogy nem egy ez van csak meg ha mint vagy kell lehet",
}
COMMONEST = {language: frozenset(words.split()) for language, words in WORDS.items()}
"""Words by language."""
SPEAKING: dict[str, list[str]] = {}
"""The languages in which a word is among the commonest."""
for _language, _words in WORDS.items():
    for _word in _words.split():
        SPEAKING.setdefault(_word, []).append(_language)
KNOWN_WORDS = frozenset(SPEAKING)
KNOWN_LETTERS = lazy(f"[{''.join(sorted({*''.join(SPEAKING)}))}]+")
SCRIPTS = (
    ("uk", lazy("[іїєґ]")),
    ("ru", lazy("[\u0400-\u04ff]")),
    ("fa", lazy("[پچژگ]")),
    ("ar", lazy("[\u0621-\u064a]")),
    ("he", lazy("[\u05d0-\u05ea]")),
    ("th", lazy("[\u0e01-\u0e5b]")),
    ("hi", lazy("[\u0904-\u0963]")),
    ("el", lazy("[\u0370-\u03ff]")),
)
"""Languages told by their letters, the particular before the general."""
OTHER_LETTERS = lazy("[\u0370-\u04ff\u05d0-\u05ea\u0621-\u064aپچژگ\u0904-\u0963\u0e01-\u0e5b]")
HARDLY_ENGLISH = lazy(f"[{''.join(one.pattern[1:-1] for one in (KANA, HAN, HANGUL, OTHER_LETTERS))}]")
"""Letters of none of the languages of WORDS."""
KIN = {
    "ru": {"uk", "be", "bg", "sr", "mk", "kk", "ky", "mn", "tg", "tt"},
    "uk": {"be", "kk", "sr", "mk"},
    "ar": {"fa", "ur", "ps", "ckb", "sd", "ug"},
    "fa": {"ar", "ur", "ps", "ckb", "sd", "ug"},
    "he": {"yi"},
    "hi": {"mr", "ne", "sa"},
    "da": {"no", "nb", "nn"},
    "zh": {"yue", "wuu"},
}
"""Languages that the letters or words here do not tell from the first."""
NAMES = {
    "en": "english|英語|英文|[和邦]文英訳|英訳|イギリス|アメリカ",
    "ja": "japanese|日本語|和訳|邦訳",
    "zh": "chinese|mandarin|中国語|中文|漢文|漢詩",
    "ko": "korean|韓国語|朝鮮語|ハングル",
    "de": "german|ドイツ語|独訳",
    "fr": "french|フランス語|仏訳",
    "es": "spanish|スペイン語",
    "pt": "portuguese|ポルトガル語",
    "it": "italian|イタリア語",
    "nl": "dutch|オランダ語",
    "sv": "swedish|スウェーデン語",
    "da": "danish|norwegian|デンマーク語|ノルウェー語",
    "pl": "polish|ポーランド語",
    "cs": "czech|slovak|チェコ語|スロバキア語",
    "tr": "turkish|トルコ語",
    "vi": "vietnamese|ベトナム語",
    "id": "indonesian|malay|インドネシア語|マレー語",
    "fi": "finnish|フィンランド語",
    "ro": "romanian|ルーマニア語",
    "hu": "hungarian|ハンガリー語",
    "ru": "russian|ロシア語",
    "uk": "ukrainian|ウクライナ語",
    "ar": "arabic|アラビア語",
    "fa": "persian|farsi|ペルシ[アャ]語",
    "he": "hebrew|ヘブライ語",
    "th": "thai|タイ語",
    "hi": "hindi|ヒンディー語",
    "el": "greek|ギリシ[アャ]語",
}
"""How a question asks for a language."""
FOREIGN_WORDS = lazy(r"translat|foreign language|翻訳|外国語|訳して|訳せ|訳し", re.IGNORECASE)
TAIL_SHARE, PART_BYTES = 0.4, 40
COUNT = itemgetter(1)
PARTS = lazy(r"\n+|(?<=[.!?])\s+(?=\w)|(?<=[。！？])|(?<=[ぁ-ん])(?=[A-Z])")
PLAIN_PARTS = lazy(r"\s(?:(?<=\n)\n*|(?<=[.!?].)\s*(?=\w))", re.DOTALL)
"""The same for a text in ASCII, in a tenth of the time."""
LETTERS_ALONE = bytes(ord(chr(code).lower()) if chr(code).isalpha() else ord(" ") for code in range(128)) + bytes(128)
CLAUSE_STARTS = "因此|所以|如果|但是|而且|然后|然後|首先|可以|我們|我们|就是|还是|不是|需要|答案是|结果是|結果是"
CLAUSE_MARKS = (*CLAUSE_STARTS.split("|"), "，")
CHINESE_CLAUSE = lazy(
    rf"(?<![一-鿿])(?:{CLAUSE_STARTS})[一-鿿]{{3,}}(?=[，。,、]|\Z)|(?<![一-鿿])[一-鿿]{{2,}}+，[一-鿿]{{1,3}}(?:可以|是|的|就|要)[一-鿿]+"
)
"""Written with letters that Japanese has too."""
CHINESE = lazy(
    "["
    "这稅廳寫匯這们們个你她它吗嗎吧呢么麼沒说說还为让讓对從给很谁哪怎东车长门问间见贝页马鸟鱼龙书时发经济业严临义乐习乡买卖亚产亲亿仅仓伟传伤优伦侧债倾关兴兰养军农净凤则刚创别剧动劳势单卫厅历压县"
    "变员团围图圆场块坚处备复够头夺奋奖妇实审导尔尘层岁岛币师应庙开张弹强归录彻忆忧怀态总战户扩扫执护报拟择挤损换显晓暂术杀杂权标样树桥检欢毕汇汉测满滚灭热爱牵狱猎环现电监础种积稳穷笼签"
    "简类紧红级纪纯纳纸线练组细织终绍绝统继绩续维罗职联脑脸舰艺节苏药萨蓝虑虽补览观规视觉计认议记许论设访证评识诉词译试诗话该详语误请读调负财责败货质费资赛赞赵赶跃转轮软轻载较过进远连选"
    "递遗邮邻郑酱释钟钢钱银铁错锁键镇闭闲闻阅队阴阶际陆险难雾顾预领题颜额风飞饭馆驻验骑齐赢"
    "]"
)
"""Pronouns and particles of Chinese, and simplified letters: Japanese writes none of them."""
NOT_JAPANESE = lazy(f"[{''.join(one.pattern[1:-1] for one in (CHINESE, HANGUL, OTHER_LETTERS))}]")
PARTICLES = lazy("[的是了在也]")
JAPANESE_LETTER = 0.2
FOREIGN_SHARE = 0.6


class Language(Value):
    """Refuse a text whose prose is in another language than `language` (the recipe's, unless given), or ends in one.

    Decided by script, for languages of the same script also by their commonest words. Code, formulae, addresses and
    short quotations are not judged; a text with fewer than 12 letters of prose, or of kanji alone, is let through, and
    so is one in a language that its question names or when it asks for a translation. Of a `language` whose words are
    not known here, only drift into English or into another script is seen.
    """

    kind: Literal["language"] = "language"
    language: str = ""

    def check(self, sample: Sample) -> None:
        """Raise Rejected(`wrong_language`)."""
        detail = find_language_drift(subject(sample), self.language, sample.question() if sample.answer() else "")
        if detail is not None:
            raise Rejected("wrong_language", detail)


def find_language_drift(text: str, wanted: str, question: str = "") -> str | None:
    """Which other language than the wanted one (an ISO code) a text is in, or ends in; None when in none for sure."""
    letters = spoken(text)
    only = _only(letters, wanted)
    found, where = None if only else language_of(letters), ""
    if found in (None, wanted):
        found, where = None if only else _other_part(letters, wanted), " in a part"
        if found is None and wanted == "ja" and any(mark in letters for mark in CLAUSE_MARKS):
            clause = CHINESE_CLAUSE.search(letters)
            if clause and not (question and re.search(NAMES["zh"], question)):
                return f"a clause is Chinese: {clause[0]!r}"
    if found is None or wanted in KIN.get(found, ()):
        return None
    if found in WORDS and found != "en" and wanted not in WORDS and wanted not in ("ja", "zh", "ko", *dict(SCRIPTS)):
        return None
    if question and (
        FOREIGN_WORDS.search(question) or (found in NAMES and re.search(NAMES[found], question, re.IGNORECASE))
    ):
        return None
    return f"{wanted} is wanted and {found} was found{where}"


def _only(letters: str, wanted: str) -> bool:
    """Whether prose and every part of it is in the wanted language or in none, as letters and words tell of most texts.

    To be found in another one a part needs letters or commonest words that the wanted one has not.
    """
    if wanted not in WORDS and wanted != "ja":
        return False
    if not letters.isascii() and (NOT_JAPANESE if wanted == "ja" else HARDLY_ENGLISH).search(letters):
        return False
    last = letters[_tail(letters) :].partition(" ")[0]  # it may begin within a word
    known = KNOWN_WORDS.intersection((*_said(letters), *_said(last)))
    other = known - COMMONEST.get(wanted, frozenset())
    spoken_by = {language for word in other for language in SPEAKING[word]}
    return not any(one == "en" or len(known & COMMONEST[one]) > 1 for one in spoken_by)


def _other_part(letters: str, wanted: str) -> str | None:
    """The other language that a part of prose is in, or its end."""
    split = PLAIN_PARTS if letters.isascii() else PARTS
    parts = [*split.split(letters), letters[_tail(letters) :]]
    long = [part for part in parts if len(part.encode("utf-8", "replace")) >= PART_BYTES and part != letters]
    found = (language_of(part) for part in long if not _only(part, wanted))
    return next((other for other in found if other not in (None, wanted)), None)


def _tail(letters: str) -> int:
    """Where the end of a text begins, which is a part of its own."""
    return int(len(letters) * (1 - TAIL_SHARE))


def spoken(text: str) -> str:
    """The prose of a text without its quotations."""
    return prose(text) if text.isascii() else QUOTED.sub(" ", prose(text))


def language_of(letters: str) -> str | None:
    """The language that prose is mostly written in, as an ISO code; None when it is too short or too mixed to tell."""
    kana, han, hangul, latin = letter_counts(letters)
    # one CJK letter carries about as much as three Latin ones
    total = latin + 3 * (kana + han + hangul)
    others = 0 if letters.isascii() or kana else len(OTHER_LETTERS.findall(letters))
    if others > max(total, FEWEST_LETTERS):
        return next(language for language, own in SCRIPTS if own.search(letters))
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


def _said(text: str) -> list[str]:
    """The words of a text that the languages here may have, and pieces of others."""
    return _plain_words(text) if text.isascii() else KNOWN_LETTERS.findall(text.casefold())


def _plain_words(text: str) -> list[str]:
    """The words of a text in ASCII."""
    return text.encode().translate(LETTERS_ALONE).decode().split()


def _european(text: str) -> str | None:
    words = _plain_words(text) if text.isascii() else re.findall(r"[^\W\d_]+", text.casefold())
    if len(words) < 4:
        return None
    hits = Counter(itertools.chain.from_iterable(filter(None, map(SPEAKING.get, words))))
    (best, most), (_, second) = [*sorted(hits.items(), key=COUNT, reverse=True)[:2], ("", 0), ("", 0)][:2]
    if most < 2 or most <= 1.3 * second:
        return None
    # one word said twice may be a name
    return best if best == "en" or len({word for word in words if best in SPEAKING.get(word, ())}) >= 2 else None
