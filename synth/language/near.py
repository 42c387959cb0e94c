"""Names that were mistyped, and the ones that were probably meant."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable

LEAST_ALIKE = 0.6
"""Of what is the same in both names (difflib's ratio)."""


def nearest(name: str, known: Iterable[str], least: float = LEAST_ALIKE) -> str:
    """The known name that was probably meant; empty where none is like it.

    Width, case, hyphens and underscores make no difference: `ｊｕｄｇｅ` and `Judge` are near `judge`.
    """
    by_form: dict[str, str] = {}
    for one in known:
        if one != name:
            by_form.setdefault(_form(one), one)
    near = difflib.get_close_matches(_form(name), by_form, 1, least)
    return by_form[near[0]] if near else ""


def hint(name: str, known: Iterable[str], least: float = LEAST_ALIKE) -> str:
    """`; did you mean 'judge'?`, or nothing."""
    near = nearest(name, known, least)
    return f"; did you mean {near!r}?" if near else ""


def _form(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold().replace("_", "-")
