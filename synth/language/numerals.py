"""Numbers as people write them: 1,234.5, １２万, 三千五百, 3/4, 50 %, \\frac{1}{2}."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

from synth.patterns import lazy

DIGITS = {kanji: value for value, kanji in enumerate("〇一二三四五六七八九")} | {"零": 0, "壱": 1, "弐": 2, "参": 3}
SMALL = {"十": 10, "拾": 10, "百": 100, "千": 1000}
LARGE = {"万": 10**4, "萬": 10**4, "億": 10**8, "兆": 10**12}
KANJI = "".join(DIGITS) + "".join(SMALL) + "".join(LARGE)

PLAIN = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?(?:[eE][-+]?\d{1,3}(?!\d))?|\.\d+"
JAPANESE = (
    rf"(?:\d[\d,]{{0,40}}(?:\.\d{{1,40}})?|[{''.join(DIGITS)}{''.join(SMALL)}]+)"
    rf"[{''.join(SMALL)}{''.join(LARGE)}][\d,.{KANJI}]*"
)
NUMBER = lazy(
    rf"(?P<sign>(?<![\w)])-(?=\S)|(?<==\s)-\s|(?<==)-\s)?(?:(?P<whole>\d+)\s+(?P<num>\d+)/(?P<den>\d+)|(?P<top>{PLAIN})\s?/\s?(?P<bottom>{PLAIN})(?![\d/])"
    rf"|(?P<japanese>{JAPANESE})|(?P<plain>{PLAIN})|(?P<kanji>[{KANJI}]+))"
)
"""A minus stands right before its number, or after an equals sign: with a blank it is a bullet or a dash."""
RAISED = lazy(r"(?<=\d)[⁻⁺]?[⁰¹²³⁴-⁹]+")
MIXED = lazy(r"(?<=\d)(?=[¼½¾⅐-⅞])")
DEGREE = lazy(r"\^\s*+\{?\s*+\\circ\s*\}?|°")
SQUARE = lazy(r"(?<![a-zA-Z])([ckm]?m|ft|in)\s?(?:\}\s?)?\^?\{?([23²³])(?!\d)\}?")
POWER = lazy(r"(?<!\d)(\d{1,40}(?:\.\d{1,40})?)\s*(?:×|\*|x|\\times|\\cdot)\s*10\^\{?([-+]?\d{1,3})\}?")
SCALED = lazy(r"(?<!\d)(\d[\d,]{0,40}(?:\.\d{1,40})?)(?:\s?(thousand|million|billion|trillion)\b|(k)\b)", re.IGNORECASE)
SCALES = {"thousand": 3, "k": 3, "million": 6, "billion": 9, "trillion": 12}
PARTS = lazy(rf"(?<![\d{KANJI}])([\d{KANJI}]{{1,40}})分の([\d{KANJI}]{{1,40}})")
TENTHS = lazy(rf"(?<!\d)(\d{{1,40}}(?:\.\d{{1,40}})?|[{KANJI}])割(?:(\d|[{KANJI}])分)?(?![りれ合引増減])")
FRAC = lazy(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
SHORT_FRAC = lazy(r"\\[dt]?frac\s*(\d)\s*(\d)")
WRAP = lazy(r"\\(?:text|mathrm|mathbf|textbf|operatorname|mbox|boxed)\s*\{([^{}]*)\}")
LONGEST = 300
"""Of a number with its exponent, which has three digits at most: a loop of digits is none, and would take minutes."""
MINUS = str.maketrans("−–‐‑﹣－", "------")


def plain(text: str) -> str:
    """A text with width folded and simple LaTeX taken away: fractions as `a/b`, wrappers and spacing gone."""
    text = SQUARE.sub(lambda found: f"{'sq' if found[2] in '2²' else 'cubic'}{found[1]}", DEGREE.sub("", text))
    text = MIXED.sub(" ", RAISED.sub(r"^\g<0>", text))  # NFKC makes 10⁸ the number 108, and 1½ eleven halves
    text = unicodedata.normalize("NFKC", text).translate(MINUS).replace("\u2044", "/")
    text = re.sub(r"(?:マイナス|\b(?:minus|negative)\s)\s*(?=[$¥€]?\d)", "-", text, flags=re.IGNORECASE)
    text = re.sub(r"(?<!\d)(\d{1,40})時間半", r"\1.5時間", SHORT_FRAC.sub(r"\1/\2", text))
    text = FRAC.sub(r"(\1)/(\2)", WRAP.sub(r"\1", text))
    text = re.sub(r"-\s?(\\?[$¥€])(?=\d)", r"\1-", POWER.sub(r"\1e\2", text))
    text = SCALED.sub(lambda found: f"{found[1].replace(',', '')}e{SCALES[(found[2] or found[3]).casefold()]}", text)
    text = PARTS.sub(lambda found: f"{_japanese(found[2])}/{_japanese(found[1])}", text)
    text = TENTHS.sub(
        lambda found: f"{float((_japanese(found[1]) or 0) * 10 + (_japanese(found[2] or '0') or 0)):g}%", text
    )
    text = re.sub(r"\((-?[\d.,]+)\)/\((-?[\d.,]+)\)", r"\1/\2", text)
    text = re.sub(r"\\[,;:! ]|\\(?:left|right|displaystyle|quad)\b|(?<!\\)\$(?=[^$]*\$)|\\\(|\\\)|\\\[|\\\]", " ", text)
    return text.replace("\\$", "$").replace("\\%", "%").replace("{,}", ",").replace("**", "").replace("°", "")


def value_of(match: re.Match[str]) -> Fraction | None:
    """The value of one match of `NUMBER`; None for a division by nothing, and for digits that go on and on."""
    if len(match[0]) > LONGEST:
        return None
    sign = -1 if match["sign"] else 1
    try:
        if match["whole"]:
            return sign * (int(match["whole"]) + Fraction(int(match["num"]), int(match["den"])))
        if match["top"]:
            return sign * Fraction(match["top"].replace(",", "")) / Fraction(match["bottom"].replace(",", ""))
    except ZeroDivisionError:
        return None
    if match["plain"]:
        return sign * Fraction(match["plain"].replace(",", ""))
    value = _japanese(match["japanese"] or match["kanji"])
    return None if value is None else sign * value


def number(text: str) -> Fraction | None:
    """The number a whole text stands for, whatever unit follows; None when it holds none or several.

    A percentage is its number (50 % is 50), as answers give it.
    """
    found = [match for match in NUMBER.finditer(plain(text)) if value_of(match) is not None]
    return value_of(found[0]) if len(found) == 1 else None


def _japanese(text: str) -> Fraction | None:
    """三千五百, 1万2千, 2億, 二〇二四."""
    text = text.replace(",", "")
    if re.fullmatch(r"\d+(?:\.\d+)?", text):
        return Fraction(text)
    if all(c in DIGITS for c in text):
        return Fraction(int("".join(str(DIGITS[c]) for c in text)))
    total = section = Fraction(0)
    current: Fraction | None = None
    for token in re.findall(r"\d+(?:\.\d+)?|\D", text):
        if token[0].isdigit():
            current = Fraction(token)
        elif token in DIGITS:
            current = (current or Fraction(0)) * 10 + DIGITS[token]
        elif token in SMALL:
            section += (1 if current is None else current) * SMALL[token]
            current = None
        elif token in LARGE:
            section += current or 0
            total += (section or 1) * LARGE[token]
            section, current = Fraction(0), None
        else:
            return None
    return total + section + (current or 0)
