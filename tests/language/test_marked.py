import re._constants as sre
import re._parser
from collections.abc import Iterable

import pytest

from synth.language.marked import Marked, first_of
from synth.validators import refusal

FEW = 40
"""Characters of a set that are tried one by one."""


def without(marks: list[str], parsed: Iterable, ends: set[str]) -> set[str]:
    """How texts may end, as far as that begins a mark, that a part of a pattern matches and in which no mark stands.

    `ends` are those of what comes before it. Any character that is not told for sure is none of a mark's.
    """

    def after(end: str, character: str) -> set[str]:
        end = end if character == " " == end[-1:] else end + character
        if any(mark in end for mark in marks):
            return set()
        return {next(end[at:] for at in range(len(end) + 1) if any(mark.startswith(end[at:]) for mark in marks))}

    for kind, of in parsed:
        if kind is sre.LITERAL:
            ends = {new for end in ends for new in after(end, chr(of).casefold().replace("’", "'"))}
        elif kind is sre.IN and of == [(sre.CATEGORY, sre.CATEGORY_SPACE)]:
            ends = {new for end in ends for new in after(end, " ")}
        elif kind is sre.IN and len(of) < FEW and all(one is sre.LITERAL for one, _ in of):
            ends = {new for one in of for new in without(marks, [one], ends)}
        elif kind is sre.BRANCH:
            ends = {new for branch in of[1] for new in without(marks, branch, ends)}
        elif kind is sre.SUBPATTERN:
            ends = without(marks, of[3], ends)
        elif kind in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            least, most, inner = of
            every: set[str] = set(ends) if least == 0 else set()
            for times in range(1, min(most, least + 5) + 1):
                ends = without(marks, inner, ends)
                every |= ends if times >= least else set()
            ends = every
        elif kind not in (sre.AT, sre.ASSERT, sre.ASSERT_NOT):
            ends = {""} if ends else set()
    return ends


def holds(one: Marked) -> bool:
    """Whether each match of a pattern holds a mark of every group."""
    parsed = re._parser.parse(one.pattern.pattern, one.pattern.flags)
    return all(not without(group, parsed, {""}) for group in one.groups)


@pytest.mark.parametrize("name", ["ENGLISH", "JAPANESE", "REFERRAL", "HEDGE", "UNABLE"])
def test_each_match_of_a_pattern_holds_a_mark_of_every_group(name):
    """A wording that joins a pattern without its mark joining too would never be found."""
    assert [one.pattern.pattern for one in getattr(refusal, name) if not holds(one)] == []


@pytest.mark.parametrize(
    ("pattern", "marks"),
    [
        ("say (?:no|yes)", "no"),
        ("お(?:答え|話し)?できません", "お答え"),
        ("no +way", "no way"),
        (r"no\s*way", "no way"),
    ],
)
def test_a_pattern_that_matches_without_its_mark_is_found(pattern, marks):
    assert not holds(Marked(pattern, marks))


@pytest.mark.parametrize(
    ("pattern", "marks"), [(r"say\s+(?:no|yes)", "say no|say yes"), ("(?:ご)?遠慮", "遠慮"), (r"I['’]m\s+not", "i'm ")]
)
def test_a_pattern_whose_matches_all_hold_a_mark_passes(pattern, marks):
    assert holds(Marked(pattern, marks))


def test_of_several_patterns_the_first_match_in_the_text_counts():
    patterns = (Marked("b+", "b"), Marked("a+", "a"), Marked("答え", "答え"))
    found = first_of(patterns, "xx aa bb")
    assert found is not None
    assert found[0] == "aa"
    found = first_of(patterns, "その答えはab")
    assert found is not None
    assert found[0] == "答え"
    assert first_of(patterns, "xyz") is None


def test_blanks_capitals_and_the_kind_of_an_apostrophe_hide_no_mark():
    found = first_of((Marked(r"i['’]m\s+sure", "i'm sure"),), "Yes, I’M \nSURE")
    assert found is not None
    assert found[0] == "I’M \nSURE"
