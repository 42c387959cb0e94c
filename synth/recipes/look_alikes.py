"""Signs that look like YAML's own and are none: full-width ones of a Japanese keyboard, curly quotes, blanks, tabs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from synth.patterns import lazy

BLANKS = "\u3000\u00a0\u2002\u2003\u2009\u202f"
UNSEEN = "\u200b\u200c\u200d\u2060\ufeff"
SIGNS = {
    "：": ("a full-width colon", "`:` and a blank"),
    "＃": ("a full-width number sign", "a blank and `#`"),
    "，": ("a full-width comma", "`,` and a blank"),
    "、": ("a Japanese comma", "`,` and a blank"),
    "｛": ("a full-width brace", "`{`"),
    "｝": ("a full-width brace", "`}`"),
    "［": ("a full-width bracket", "`[`"),
    "］": ("a full-width bracket", "`]`"),
    "「": ("a Japanese quotation mark", "`[` or a straight quote"),
    "」": ("a Japanese quotation mark", "`]` or a straight quote"),
    "－": ("a full-width hyphen", "`-` and a blank"),
    "ー": ("a long vowel mark", "`-` and a blank"),
    "・": ("a middle dot", "`-` and a blank"),
    "\t": ("a tab", "blanks"),
    **dict.fromkeys("“”„＂", ("a curly or full-width quote", 'a straight `"`')),
    **dict.fromkeys("‘’＇", ("a curly or full-width quote", "a straight `'`")),
    **dict.fromkeys(BLANKS, ("an unbreakable or wide blank", "an ordinary one")),
    "\u3000": ("a full-width blank", "an ordinary one"),
    **dict.fromkeys(UNSEEN, ("a sign that is not seen", "")),
}
"""What each is, and what to type in its place."""
QUOTED = lazy(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'|(?:^|(?<=[ \t]))#.*")
"""What YAML reads as it stands: texts in quotes, and comments."""
STRUCTURAL = lazy(
    rf"^[ ]*([\t{BLANKS}{UNSEEN}])|^[ ]*([－ー・])(?=[ \u3000]*[\w{{\[｛［])|(?<=[A-Za-z0-9_])(：)"
    rf"|[:\-]([\t{BLANKS}])|([｛｝［］])|([“”„＂‘’＇])|(＃)|([，、])|([「」])"
)
"""Where one of them stands in the place of a sign of YAML's, the surest first."""
COMMENT = lazy(rf"[!-~]+ *(?:[ {BLANKS}]+(＃)(?![0-9０-９])|([{BLANKS}])#)")
"""A comment behind a value of one word: in running text such a sign is a number sign, as in 質問 ＃1."""
LONGEST_SHOWN = 60


def suspect(text: str, lines: Sequence[int]) -> tuple[int, int, str] | None:
    """Line, column and words for the sign that is probably why a text is no YAML; it is looked for in these lines, in
    their order, counted from 1. None where none of them holds such a sign."""
    every = text.splitlines()
    for number in lines:
        if not 0 < number <= len(every):
            continue
        line = every[number - 1]
        plain = QUOTED.sub(lambda match: "\x00" * len(match[0]), line)
        found = min(STRUCTURAL.finditer(plain), key=lambda match: match.lastindex or 0, default=None)
        if found is not None:
            return number, found.end(), told(line[found.end() - 1], line)
    return None


def told(sign: str, line: str, *, is_text: bool = False) -> str:
    """What a sign is, what to type in its place, and the line, or the text, as the user wrote it."""
    what, instead = SIGNS[sign]
    shown = line.strip(f" {BLANKS}\t")
    shown = shown if len(shown) <= LONGEST_SHOWN else f"{shown[:LONGEST_SHOWN]}..."
    seen = f"U+{ord(sign):04X}" if sign in BLANKS + UNSEEN + "\t" else f"'{sign}'"
    mend = f"type {instead} in its place" if instead else "delete it"
    quoted = ", or put the whole text in straight quotes if it belongs to it" if is_text else ""
    return f"{seen} is {what}; {mend}{quoted}: {shown}"


def in_plain(text: str, *, in_list: bool, is_key: bool) -> str:
    """The sign in a text without quotes that was probably meant as one of YAML's own; empty when there is none."""
    if not text:
        return ""
    if text[0] in BLANKS + UNSEEN or text[-1] in BLANKS + UNSEEN:
        return text[0] if text[0] in BLANKS + UNSEEN else text[-1]
    if (text[0] in "“”„＂" and text[-1] in "“”„＂") or (text[0] in "‘’＇" and text[-1] in "‘’＇"):
        return text[0]
    if found := COMMENT.match(text):
        return found[1] or found[2]
    if is_key and (found := re.search(r"[A-Za-z0-9_](：)", text)):
        return found[1]
    if in_list and (found := re.search("[，、]", text)):
        return found[0]
    return ""
