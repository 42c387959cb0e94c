"""The final answer in a text, and whether two answers say the same."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, cast

import orjson

from synth.language import dates, numerals
from synth.patterns import lazy
from synth.schema import fenced

ASKING = r"[^\n]{0,120}(?:でしょうか|ですか|ますか|か[。?？]|[?？])"
"""What stands after 答えは in a question that the text puts to itself."""
OPTION = lazy(r"^[ \t>*_#-]*[B\uff22][ \t*_]*+[:\uff1a]", re.MULTILINE)
MARKED = lazy(
    r"^[ \t>*_#-]*(?:final\s+answer|answer|ans|(?P<letter>A|\uff21)|(?:最終的?な?)?(?:答え|回答|解答|こたえ|答))"
    rf"[ \t*_]*+(?:[:\uff1a=]|は(?=[^、]{{1,40}}$)(?!{ASKING}))[ \t*_]*+"
    r"(?P<answer>[^\s:\uff1a](?:.*[^ \t\n])?)[ \t]*$",
    re.IGNORECASE | re.MULTILINE,
)
HASHES = lazy(r"^#{4}[ \t]+(?P<answer>\S(?:.*[^ \t\n])?)[ \t]*$", re.MULTILINE)
BOXED = lazy(r"\\boxed\s*\{")
CONCLUSION = lazy(
    r"(?:the\s+(?:final\s+|correct\s+)?answer\s+is|(?:答え|答|回答|解答|正解)は(?!"
    rf"{ASKING}))[ \t、]*+(?:[:\uff1a]\s*+)?+(?P<answer>[^\s:\uff1a、](?:[^\n]*?[^ \t\n])??)"
    r"(?:です|である|となります|になります|だ)?[ \t]*+(?:[。.!！]?[ \t]*$|[。]|\.\s)",
    re.IGNORECASE | re.MULTILINE,
)
RELATIVE = Fraction(1, 10**9)
LONGEST_QUANTITY = 2000
"""Characters: in more than a long sentence the one quantity is hardly what is meant."""

UNITS: dict[str, tuple[str, Fraction]] = {
    **{name: ("length", Fraction(value)) for name, value in {
        "mm": "0.001", "ミリメートル": "0.001", "cm": "0.01", "センチメートル": "0.01", "センチ": "0.01", "m": "1",
        "メートル": "1", "meter": "1", "metre": "1", "km": "1000", "キロメートル": "1000", "kilometer": "1000",
        "centimeter": "0.01", "millimeter": "0.001", "inch": "0.0254", "inches": "0.0254", "foot": "0.3048",
        "feet": "0.3048", "ft": "0.3048", "yard": "0.9144", "yd": "0.9144", "mile": "1609.344", "マイル": "1609.344",
        "フィート": "0.3048", "インチ": "0.0254", "ヤード": "0.9144",
    }.items()},
    **{name: ("mass", Fraction(value)) for name, value in {
        "mg": "0.001", "g": "1", "グラム": "1", "gram": "1", "kg": "1000", "キログラム": "1000", "キロ": "1000",
        "kilogram": "1000", "t": "1000000", "トン": "1000000", "pound": "453.59237", "lb": "453.59237",
        "ポンド": "453.59237", "ounce": "28.349523125", "oz": "28.349523125", "オンス": "28.349523125",
    }.items()},
    **{name: ("volume", Fraction(value)) for name, value in {
        "ml": "0.001", "ミリリットル": "0.001", "dl": "0.1", "デシリットル": "0.1", "l": "1", "リットル": "1",
        "liter": "1", "litre": "1",
    }.items()},
    **{name: ("time", Fraction(value)) for name, value in {
        "秒": "1", "second": "1", "sec": "1", "分": "60", "minute": "60", "min": "60", "時間": "3600", "hour": "3600",
        "hr": "3600", "s": "1", "h": "3600", "日": "86400", "日間": "86400", "day": "86400",
        "週間": "604800", "week": "604800",
    }.items()},
    **{name: ("months", Fraction(value)) for name, value in {
        "month": "1", "か月": "1", "ヶ月": "1", "カ月": "1", "ヵ月": "1", "year": "12", "年": "12", "年間": "12",
    }.items()},
    **{name: ("area", Fraction(value)) for name, value in {
        "sqm": "1", "sqcm": "0.0001", "sqkm": "1000000", "平方メートル": "1", "平方センチメートル": "0.0001",
    }.items()},
    **{name: ("space", Fraction(value)) for name, value in {"cubicm": "1", "cubiccm": "0.000001"}.items()},
    **{name: ("usd", Fraction(1, 100)) for name in ("cent", "¢", "セント")},
    **{name: (money, Fraction(1)) for money, names in {
        "jpy": ("円", "yen", "jpy", "¥"), "usd": ("$", "dollar", "usd", "ドル"), "eur": ("€", "euro", "ユーロ"),
        "percent": ("%", "percent", "パーセント"),
    }.items() for name in names},
}  # fmt: skip

EACH = lazy(
    r"(?:\b1|一)\s?(?:[人個本枚冊台匹袋箱皿杯回つ](?:分|あたり|当たり|につき)?|[^\d\s]{1,4}(?:あたり|当たり|につき))"
    r"[はで、]?\s*(?=[¥$]?\d)"
)
"""What an amount is for: 一人あたり300円 is 300円."""
SYMBOLIC = lazy(
    r"\\[a-zA-Z]+|[\^√π!]|\d(?!e[-+]?\d)(?:[a-fi-kn-ru-z]|[a-z]{2}(?<!cm|mm|km|kg|mg|ml|dl|ft|lb|oz|yd|hr|st|nd|rd|th))(?![a-zA-Z])"
    r"|\d\s*[*/+×÷]\s*[a-z](?![a-z])|(?<![a-zA-Z\d.])[a-z][*/+-]?\d"
)
LIMITS = {
    "<": lazy(r"(?:less|fewer|lower|smaller)\s+than\s+\S*\d|<(?!=)|未満|より(?:小さ|少な)", re.IGNORECASE),
    ">": lazy(r"(?:more|greater|larger|higher)\s+than\s+\S*\d|>(?!=)|を?超え|より(?:大き|多)", re.IGNORECASE),
    "≤": lazy(r"at\s+most\s+\S*\d|≤|<=|\d\D{0,4}以下", re.IGNORECASE),
    "≥": lazy(r"at\s+least\s+\S*\d|≥|>=|\d\D{0,4}以上|少なくとも", re.IGNORECASE),
}
LISTED, IN_A_WORD = lazy(r"[.)]\s"), lazy(r"[A-Za-z_]")
JOINED = lazy(r"\s*[a-zA-Z\u3040-\u30ff\u4e00-\u9fff$¢.]*,?\s*(?:and|と)?\s*[$]?")


@dataclass(frozen=True, slots=True)
class FinalAnswer:
    """What a text gives as its answer, and how it was recognised."""

    text: str
    how: Literal["marked", "conclusion", "last_number"]


def final_answer(text: str) -> FinalAnswer | None:
    """The final answer in a text; None when there is nothing like one.

    Looks for a marked line (`A: 72`, `答え: 72`, `#### 72`), a boxed one, JSON, a sentence that says so, and only then
    takes the last number. The last occurrence counts.
    """
    marked = marked_answer(text)
    if marked is not None:
        return FinalAnswer(marked, "marked")
    said = list(CONCLUSION.finditer(text))
    if said:
        return FinalAnswer(_tidy(said[-1]["answer"]), "conclusion")
    return _last_number(text)


def marked_answer(text: str) -> str | None:
    """The final answer that a text marks as such: on a line of its own, boxed, or as JSON; None when it marks none."""
    listed = OPTION.search(text) is not None  # then "A: Paris" is a choice
    marked = [*(one for one in MARKED.finditer(text) if not (listed and one["letter"])), *HASHES.finditer(text)]
    if marked:
        last = max(marked, key=lambda match: match.start())
        return _tidy(_boxed(last["answer"]) or last["answer"])
    boxed = _boxed(text)
    if boxed is not None:
        return _tidy(boxed)
    return None if _json(text) is None else text.strip()


def same_answer(given: str, reference: str) -> bool:
    """Whether an answer says what the reference says.

    Numbers compare exactly as values (to one part in 10⁹), with units converted where both name one; dates as dates,
    Japanese eras included; JSON as values; anything else as text after NFKC, case and punctuation folding.
    """
    if _fold(given) == _fold(reference) and _fold(reference):
        return True
    one, other = _json(given), _json(reference)
    if one is not None or other is not None:
        return one is not None and one == other
    times = dates.moments(_tidy(given)), dates.moments(_tidy(reference))
    if times[0] and times[1]:
        return times[0] == times[1]
    wanted = _quantity(reference)
    found = _quantity(given) or _quantity(re.split(r"[=≈＝]", given)[-1])
    return wanted is not None and found is not None and _equal(found, wanted)


def _equal(given: tuple[Fraction, str, str], wanted: tuple[Fraction, str, str]) -> bool:
    (value, unit, limit), (target, target_unit, target_limit) = given, wanted
    if limit != target_limit:
        return False
    if unit and target_unit and unit != target_unit:
        kind, factor = UNITS[unit]
        target_kind, target_factor = UNITS[target_unit]
        if kind != target_kind:
            return False
        value, target = value * factor, target * target_factor
    return abs(value - target) <= RELATIVE * max(abs(value), abs(target))


def _quantity(text: str) -> tuple[Fraction, str, str] | None:
    """The one quantity of a text as value, unit and limit (`<` of `less than 5`); None when there is none or several.

    1時間30分 and `2 feet 3 inches` are one; an expression such as `2x` or `5!` is none, as it is not evaluated.
    """
    if len(text) > LONGEST_QUANTITY:
        return None
    plain = EACH.sub("", numerals.plain(text))
    if SYMBOLIC.search(plain):
        return None
    limits = [name for name, words in LIMITS.items() if words.search(plain)]
    found: list[tuple[Fraction, str]] = []
    between: list[str] = []
    end = 0
    for match in numerals.NUMBER.finditer(plain):
        value = numerals.value_of(match)
        if value is not None:
            found.append((value, _unit(plain[: match.start()], plain[match.end() :])))
            between.append(plain[end : match.start()])
            end = match.end()
    if not found:
        return None
    total, unit = found[0]
    for (value, smaller), gap in zip(found[1:], between[1:], strict=True):
        kind, factor = UNITS.get(unit, ("", Fraction(1)))
        part_kind, part = UNITS.get(smaller, (" ", Fraction(1)))
        if kind != part_kind or part >= factor or not JOINED.fullmatch(gap):
            return None
        total += value * part / factor
    return total, unit, "".join(limits)


def _unit(before: str, after: str) -> str:
    sign = before.rstrip()[-1:]
    if sign in ("$", "¥", "€"):
        return sign
    word = re.match(
        r"\s*([a-zA-Z%$€¥¢]+|[かヶカヵ]月|(?:平方)?[ァ-ヶー]+|円|秒|分|時間|日間|日|週間|[かヶカヵ]月|年間|年)", after
    )
    if word is None:
        return ""
    name = word[1].casefold()
    return next((unit for unit in (name, name.removesuffix("s")) if unit in UNITS), "")


def _last_number(text: str) -> FinalAnswer | None:
    plain = numerals.plain(text)
    # kanji digits alone are too often part of words (一緒, 三角) to be an answer nobody announced
    matches = [match for match in numerals.NUMBER.finditer(plain) if not match["kanji"]]
    last = next((match for match in reversed(matches) if _counts(plain, match)), None)
    if last is None:
        return None
    unit = re.match(
        r"\s?(?:[a-zA-Z%]+|[ァ-ヶー]+|円|秒|分|時間|日間|日|週間|[かヶカヵ]月|年間|年)", plain[last.end() :]
    )
    sign = plain[: last.start()].rstrip()[-1:]
    money = sign if sign in ("$", "¥", "€") else ""
    return FinalAnswer(f"{money}{last[0]}{unit[0] if unit else ''}", "last_number")


def _counts(plain: str, match: re.Match[str]) -> bool:
    """Whether a number can be an answer: not the 1 of a list, and not a part of a word such as `B2`."""
    start = match.start()
    if LISTED.match(plain, match.end()) and not plain[plain.rfind("\n", 0, start) + 1 : start].strip():
        return False
    return not IN_A_WORD.match(plain[start - 1 : start])


def _boxed(text: str) -> str | None:
    starts = [match.end() for match in BOXED.finditer(text)]
    if not starts:
        return None
    depth = 1
    for place in range(starts[-1], len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[starts[-1] : place]
    return None


def _json(text: str) -> Any:
    """The object or list a text consists of; None when it is not one."""
    inside = fenced(text)
    inner = text.strip() if inside is None else inside
    if inner[:1] not in ("{", "["):
        return None
    try:
        return _folded(orjson.loads(inner))
    except orjson.JSONDecodeError:
        return None


def _folded(value: Any) -> Any:
    if isinstance(value, str):
        return _fold(value)
    if isinstance(value, bool):
        return ("bool", value)  # true is not 1
    if isinstance(value, list):
        return [_folded(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {str(name): _folded(item) for name, item in cast("dict[str, Any]", value).items()}
    return value


def _tidy(text: str) -> str:
    """An answer without emphasis, quotes, and a closing full stop."""
    text = re.sub(r"\A\$\$(.*)\$\$\Z", r"\1", text.strip().strip("*_`").strip(), flags=re.DOTALL).strip()
    text = (
        re.sub(r"(?:です|である|となります|になります)?(?:[。.]|(?<!\d)[!！]){0,9}\Z", "", text)
        .strip()
        .strip("*_`")
        .strip()
    )
    return text[1:-1].strip() if re.fullmatch(r"「[^「」]*」|\"[^\"]*\"|“[^”]*”|\$[^$]+\$", text) else text


def _fold(text: str) -> str:
    text = unicodedata.normalize("NFKC", _tidy(text)).translate(numerals.MINUS).casefold().replace("、", ",")
    return re.sub(r"[\s、。,.!?'\"「」・]+", "", text) if not re.search(r"\d", text) else "".join(text.split())
