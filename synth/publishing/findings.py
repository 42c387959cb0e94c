"""What should not be published without a second look: keys, personal data, an unfinished run, terms that nobody read.

Keys and tokens are known by the forms that their issuers give them. A key that this machine really uses is looked for
to the letter, and nothing makes it publishable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from synth.datasets.tables import LINES, pieces
from synth.patterns import lazy
from synth.publishing.content import Accepted, Content
from synth.shapes import messages_of
from synth.types import Fields
from synth.validators.pii import FICTIONAL, find_pii

Kind = Literal["secret", "pii", "incomplete", "seeds", "terms", "own_key"]
ACCEPTABLE = ("secret", "pii", "incomplete", "seeds", "terms")
PLACES = 5
FEWEST_SIGNS = 10
"""Different characters in a key: one that is made up for an example, such as sk-xxxxxxxx, has fewer."""

SECRETS: Mapping[str, re.Pattern[str]] = {
    "an OpenAI or Anthropic key": lazy(r"\bsk-(?:(?:proj|ant|svcacct|or-v1)-)?(?=[A-Za-z_-]*\d)[\w-]{20,}", re.ASCII),
    "a Hugging Face token": lazy(r"\bhf_[A-Za-z0-9]{30,}"),
    "a GitHub token": lazy(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})"),
    "a GitLab token": lazy(r"\bglpat-[A-Za-z0-9_-]{20,}"),
    "an AWS access key": lazy(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a Google API key": lazy(r"\bAIza[0-9A-Za-z_-]{35}"),
    "a Slack token": lazy(r"\bxox[abposr]-[0-9A-Za-z-]{20,}"),
    "a Stripe key": lazy(r"\b[sr]k_live_[0-9A-Za-z]{20,}"),
    "a Groq key": lazy(r"\bgsk_[A-Za-z0-9]{40,}"),
    "a package index token": lazy(r"\b(?:pypi-AgE[A-Za-z0-9_-]{50,}|npm_[A-Za-z0-9]{36})"),
    "a JSON web token": lazy(r"\beyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{20,}"),
    "a private key": lazy(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s+(?:(?!-----)[A-Za-z0-9+/=:,\-\s]){60}", re.ASCII),
    "a password in an address": lazy(
        r"\b[a-z][a-z0-9+]{2,15}://[^\s:/@]{1,64}:(?![<{$*]|pass|secret)[^\s:/@]{8,64}@[\w.-]+"
    ),
}
_ANY = lazy(
    r"sk-|hf_|gh[pousr]_|github_pat_|glpat-|AKIA|ASIA|AIza|xox|k_live_|gsk_|pypi-AgE|npm_|eyJ|PRIVATE KEY-----|://[^\s/]*@"
)
"""What every one of them holds: most texts hold none of it."""
_MADE_UP = lazy(r"example|placeholder|your|dummy|x{6}|0{8}|1234567|abcdefg", re.IGNORECASE)
_HASH = lazy(r"[0-9a-f]{32,128}|[0-9/_-]*")
"""Hashes and ids, whose digits are nobody's."""


@dataclass(slots=True)
class Finding:
    """Something that was found, and where."""

    kind: Kind
    what: str
    count: int = 0
    places: list[str] = field(default_factory=list[str])
    """The first few, as file:row."""


def find(content: Content, own: Mapping[str, str]) -> list[Finding]:
    """What the files of a dataset hold; `own` are this machine's keys by what to call them."""
    found: dict[tuple[Kind, str], Finding] = {}

    def note(kind: Kind, what: str, place: str) -> None:
        finding = found.setdefault((kind, what), Finding(kind, what))
        finding.count += 1
        if len(finding.places) < PLACES:
            finding.places.append(place)

    if content.manifest.state != "complete":
        note("incomplete", f"the run is not complete: {content.manifest.state}", "manifest.json")
    if content.manifest.seeds.license is None:
        note("seeds", "the licence of the seeds is not told (`license` of the recipe's seeds)", "manifest.json")
    for teacher in content.manifest.teachers:
        if teacher.terms == "unknown" and not teacher.is_practice:
            note("terms", f"what the terms of {teacher.model} say of training is not known", teacher.name)
    for what in _secrets(content.card, own):
        note(*what, "README.md")
    for item in content.items:
        if not isinstance(item.source, Path):
            continue
        if item.source.suffix in (*LINES, ".parquet"):
            for place, row in _rows(item.source, item.path):
                for what in dict.fromkeys(_of_row(row, own)):
                    note(*what, place)
        else:
            for what in dict.fromkeys(_secrets(item.source.read_bytes().decode("utf-8", "replace"), own)):
                note(*what, item.path)
    return list(found.values())


def accepted_of(found: Iterable[Finding], kinds: Iterable[str]) -> tuple[tuple[Accepted, ...], list[Finding]]:
    """What is accepted by its kind, for the record, and what is not."""
    chosen = set(kinds)
    accepted = {kind: Accepted(kind=kind, found={}) for kind in ACCEPTABLE if kind in chosen}
    open_ = list[Finding]()
    for one in found:
        if one.kind in accepted:
            accepted[one.kind].found[one.what] = one.count
        else:
            open_.append(one)
    return tuple(one for one in accepted.values() if one.found), open_


def _rows(path: Path, name: str) -> Iterator[tuple[str, Fields]]:
    for piece in pieces(path):
        for number, row in zip(piece.numbers, piece.rows, strict=True):
            yield f"{name}:{number}", row


def _of_row(row: Fields, own: Mapping[str, str]) -> Iterator[tuple[Kind, str]]:
    turns = messages_of(row) or ()
    asked_for_nobody = any(turn.role == "user" and FICTIONAL.search(turn.content) for turn in turns)
    for text in _texts(row):
        yield from _secrets(text, own)
        if not asked_for_nobody and not _HASH.fullmatch(text) and (told := find_pii(text)) is not None:
            yield "pii", told.partition(":")[0]


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in cast("dict[str, Any]", value).values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in cast("list[Any]", value):
            yield from _texts(one)


def _secrets(text: str, own: Mapping[str, str]) -> Iterator[tuple[Kind, str]]:
    for name, key in own.items():
        if key in text:
            yield "own_key", f"the value of {name}"
    if _ANY.search(text) is None:
        return
    for what, form in SECRETS.items():
        for match in form.finditer(text):
            if len(set(match[0])) >= FEWEST_SIGNS and not _MADE_UP.search(match[0]):
                yield "secret", what
                break
