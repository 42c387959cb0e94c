"""Dates and times of day as people write them, Japanese eras included."""

from __future__ import annotations

import re
import unicodedata
from datetime import date

from synth.patterns import lazy

ERAS = {"令和": 2018, "reiwa": 2018, "平成": 1988, "heisei": 1988, "昭和": 1925, "showa": 1925, "大正": 1911,
        "taisho": 1911, "明治": 1867, "meiji": 1867}  # fmt: skip
FIRST_DAYS = (("令和", "Reiwa", date(2019, 5, 1)), ("平成", "Heisei", date(1989, 1, 8)),
              ("昭和", "Showa", date(1926, 12, 25)), ("大正", "Taisho", date(1912, 7, 30)),
              ("明治", "Meiji", date(1868, 1, 25)))  # fmt: skip
"""Of the eras, the latest first."""
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
LETTERS = {"r": 2018, "h": 1988, "s": 1925, "t": 1911, "m": 1867}
"""The eras as forms abbreviate them: R6.5.1, H31/4/30."""
ISO_DATE = lazy(r"\A(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})\Z")
KANJI_DATE = lazy(r"\A(?:西暦)?(\D*?)(\d{1,4}|元)年(?:(\d{1,2})月)?(?:(\d{1,2})日)?\Z")
ENGLISH_DATE = lazy(r"\A(?:([a-z]{3})[a-z]*\.? (\d{1,2})(?:st|nd|rd|th)?,? (\d{4})|(\d{1,2})(?:st|nd|rd|th)? "
                          r"([a-z]{3})[a-z]*\.?,? (\d{4}))\Z")  # fmt: skip
LETTER_DATE = lazy(r"\A([rhstm])(\d{1,2})[./-](\d{1,2})(?:[./-](\d{1,2}))?\Z")
CLOCK = lazy(r"\A(午前|午後|am|pm)? ?(\d{1,2})(?:時(?:(\d{1,2})分|(半))?|:(\d{2})| ?(?=[ap]m))(?: ?([ap]m))?\Z")
ENGLISH_ERA = lazy(r"\A(reiwa|heisei|showa|taisho|meiji) (\d{1,4})\Z")


def moments(text: str) -> set[tuple[int, ...]]:
    """The dates or times of a text that is one, or one and the same in brackets, as in 令和6年（2024年）; else none.

    A date is year, month and day (0 where not given), a time of day its hour and minute.
    """
    parts = re.fullmatch(r"([^(（]+)[(（]([^)）]+)[)）]", text)
    found = [_moment(part) for part in (parts.groups() if parts else (text,))]
    return {moment for moment in found if moment} if all(found) else set()


def day_of(text: str) -> date | None:
    """The one day that a text names, however it is written; None where it names none."""
    found = moments(text)
    parts = found.pop() if len(found) == 1 else ()
    try:
        return date(*parts) if len(parts) == 3 and all(parts) else None
    except ValueError:  # the 30th of February
        return None


def ways_to_write(day: date) -> tuple[str, ...]:
    """A day as texts give it, in the Western calendar and in that of its era, Japanese and English."""
    numbers = f"{day.month}月{day.day}日"
    ways = [f"{day:%Y-%m-%d}", f"{day.year}年{numbers}", f"{kanji(day.year)}年{kanji(day.month)}月{kanji(day.day)}日"]
    ways += [f"{day:%Y{sign}%m{sign}%d}" for sign in "/."] + [f"{day.year}{s}{day.month}{s}{day.day}" for s in "/."]
    for month in (f"{day:%B}", f"{day:%b}", f"{day:%b}."):
        for number in (str(day.day), f"{day.day}{_ordinal(day.day)}"):
            ways += [f"{number} {month} {day.year}", f"{number} {month}, {day.year}", f"{number} of {month} {day.year}"]
            ways += [f"{month} {number}, {day.year}", f"{month} {number} {day.year}"]
    era = next((era for era in FIRST_DAYS if day >= era[2]), None)
    if era is not None:
        name, latin, first = era
        year = day.year - first.year + 1
        ways += [f"{name}{year}年{numbers}", f"{name}{kanji(year)}年{kanji(day.month)}月{kanji(day.day)}日"]
        ways += [f"{name}元年{numbers}"] * (year == 1)
        ways += [f"{latin[0]}{year}{sign}{day.month}{sign}{day.day}" for sign in "./"]
        ways += [f"{day:%B} {day.day}, {latin} {year}", f"{day.day} {day:%B} {latin} {year}"]
    return tuple(ways)


def kanji(number: int) -> str:
    """A number as dates in kanji have it: 令和七年十二月二十五日, 二〇二五年."""
    digits = "〇一二三四五六七八九"
    if number >= 100:
        return "".join(digits[int(digit)] for digit in str(number))
    tens, ones = divmod(number, 10)
    return (digits[tens] if tens > 1 else "") + ("十" if tens else "") + (digits[ones] if ones else "")


def _ordinal(number: int) -> str:
    return "th" if 10 < number < 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")


def _moment(text: str) -> tuple[int, ...] | None:
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    plain = re.sub(r"(?<=[ap])\.m\.?", "m", plain)
    return _date(plain) or _clock(plain)


def _clock(plain: str) -> tuple[int, ...] | None:
    match = CLOCK.match(plain)
    if match is None or (match[1] and match[6]):
        return None
    hour, half = int(match[2]), match[1] or match[6]
    if half and hour <= 12:
        hour = hour % 12 + 12 * (half in ("午後", "pm"))
    return hour, 30 if match[4] else int(match[3] or match[5] or 0)


def _date(plain: str) -> tuple[int, ...] | None:
    if match := ISO_DATE.match(plain):
        return int(match[1]), int(match[2]), int(match[3])
    if match := ENGLISH_DATE.match(plain):
        month, day, year = (match[1], match[2], match[3]) if match[1] else (match[5], match[4], match[6])
        return (int(year), MONTHS.index(month) + 1, int(day)) if month in MONTHS else None
    if match := ENGLISH_ERA.match(plain):
        return ERAS[match[1]] + int(match[2]), 0, 0
    if match := LETTER_DATE.match(plain.replace(" ", "")):
        return LETTERS[match[1]] + int(match[2]), int(match[3]), int(match[4] or 0)
    match = KANJI_DATE.match(plain.replace(" ", ""))
    if match is None or (match[1] and match[1] not in ERAS):
        return None
    year = (1 if match[2] == "元" else int(match[2])) + ERAS.get(match[1], 0)
    return year, int(match[3] or 0), int(match[4] or 0)
