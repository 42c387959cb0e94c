"""Texts in lines of a width, as their readers expect them: Latin between words, Japanese anywhere but before a `。`.

What may not begin or end a line: https://www.w3.org/TR/jlreq/#line_breaking_rules
"""

from __future__ import annotations

from rich.cells import cell_len

NOT_FIRST = frozenset("、。，．・：；？！）」』】〕〉》ー～…々ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ％,.:;?!)]}%")
NOT_LAST = frozenset("（「『【〔〈《([{$¥￥")


def folded(text: str, width: int) -> str:
    """The text in lines of so many cells; what is longer without a place to break is cut there."""
    return "\n".join(line for whole in text.split("\n") for line in _lines(whole, width))


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
        both_narrow = last.strip() and letter.strip() and cell_len(last) < 2 and cell_len(letter) < 2
        kept = last.strip() and (letter in NOT_FIRST or last in NOT_LAST)
        if last and (both_narrow or kept or letter.isspace()):
            pieces[-1] += letter
        else:
            pieces.append(letter)
    return pieces


def _fitting(line: str, width: int) -> int:
    """How many of its letters have room; one at least."""
    cells = 0
    for place, letter in enumerate(line):
        cells += cell_len(letter)
        if cells > width:
            return max(1, place)
    return len(line)
