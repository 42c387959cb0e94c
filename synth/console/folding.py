"""Texts in lines of a width, as their readers expect them: Latin between words, Japanese anywhere but before a `。`.

What may not begin or end a line: https://www.w3.org/TR/jlreq/#line_breaking_rules
"""

from __future__ import annotations

from rich.cells import cell_len
from rich.text import Text

NOT_FIRST = frozenset("、。，．・：；？！）」』】〕〉》ー～…々ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ％,.:;?!)]}%")
JOINTS = "_:/-"
NBSP = "\u00a0"
"""A blank at which no line is folded, as between a name and its count."""
NOT_LAST = frozenset("（「『【〔〈《([{$¥￥")


def folded(text: str, width: int) -> str:
    """The text in lines of so many cells; what is longer without a place to break is cut there."""
    return "\n".join(line for whole in text.split("\n") for line in _lines(whole, width))


def folded_text(text: Text, width: int) -> list[Text]:
    """The lines of a text in its own colours."""
    lines, place = list[Text](), 0
    for line in folded(text.plain, width).split("\n"):
        place = text.plain.index(line, place)
        lines.append(text[place : place + len(line)])
        place += len(line)
    return lines


def longest_word(text: str) -> int:
    """How many cells a line has at least to which the text is folded without a cut in a word."""
    return max((cell_len(piece.rstrip()) for piece in _pieces(text)), default=0)


def _lines(whole: str, width: int) -> list[str]:
    lines, line = list[str](), ""
    for piece in _pieces(whole):
        if cell_len(line) + cell_len(piece.rstrip()) > width and line.strip():
            lines.append(line.rstrip())
            line, piece = "", piece.lstrip()
        line += piece
        while cell_len(line.rstrip()) > width:
            fitting = _fitting(line, width)
            lines.append(line[:fitting])
            line = line[fitting:]
    return [*lines, line.rstrip()]


def _pieces(whole: str) -> list[str]:
    """What stays on one line: words, and single letters of scripts that need no blanks, each with its punctuation."""
    pieces = list[str]()
    for letter in whole:
        last = pieces[-1][-1] if pieces else ""
        is_blank, after_blank = (one.isspace() and one != NBSP for one in (letter, last))
        both_narrow = cell_len(last) < 2 and cell_len(letter) < 2
        kept = both_narrow or NBSP in (last, letter) or letter in NOT_FIRST or last in NOT_LAST
        if last and (is_blank or (kept and not after_blank)):
            pieces[-1] += letter
        else:
            pieces.append(letter)
    return pieces


def _fitting(line: str, width: int) -> int:
    """How many of its letters have room, one at least; of a name or address to the end of a part in it."""
    cells = 0
    for place, letter in enumerate(line):
        cells += cell_len(letter)
        if cells > width:
            part = 1 + max(line.rfind(sign, 0, place) for sign in JOINTS)
            return part if 2 * part > place else max(1, place)
    return len(line)
