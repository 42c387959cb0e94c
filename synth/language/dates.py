"""Dates and times of day as people write them, Japanese eras included."""

from __future__ import annotations

import re
import unicodedata

ERAS = {"令和": 2018, "reiwa": 2018, "平成": 1988, "heisei": 1988, "昭和": 1925, "showa": 1925, "大正": 1911,
        "taisho": 1911, "明治": 1867, "meiji": 1867}  # fmt: skip
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
LETTERS = {"r": 2018, "h": 1988, "s": 1925, "t": 1911, "m": 1867}
"""The eras as forms abbreviate them: R6.5.1, H31/4/30."""
ISO_DATE = re.compile(r"\A(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})\Z")
KANJI_DATE = re.compile(r"\A(?:西暦)?(\D*?)(\d{1,4}|元)年(?:(\d{1,2})月)?(?:(\d{1,2})日)?\Z")
ENGLISH_DATE = re.compile(r"\A(?:([a-z]{3})[a-z]*\.? (\d{1,2})(?:st|nd|rd|th)?,? (\d{4})|(\d{1,2})(?:st|nd|rd|th)? "
                          r"([a-z]{3})[a-z]*\.?,? (\d{4}))\Z")  # fmt: skip
LETTER_DATE = re.compile(r"\A([rhstm])(\d{1,2})[./-](\d{1,2})(?:[./-](\d{1,2}))?\Z")
CLOCK = re.compile(r"\A(午前|午後|am|pm)? ?(\d{1,2})(?:時(?:(\d{1,2})分|(半))?|:(\d{2})| ?(?=[ap]m))(?: ?([ap]m))?\Z")
ENGLISH_ERA = re.compile(r"\A(reiwa|heisei|showa|taisho|meiji) (\d{1,4})\Z")


def moments(text: str) -> set[tuple[int, ...]]:
    """The dates or times of a text that is one, or one and the same in brackets, as in 令和6年（2024年）; else none.

    A date is year, month and day (0 where not given), a time of day its hour and minute.
    """
    parts = re.fullmatch(r"([^(（]+)[(（]([^)）]+)[)）]", text)
    found = [_moment(part) for part in (parts.groups() if parts else (text,))]
    return {moment for moment in found if moment} if all(found) else set()


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
