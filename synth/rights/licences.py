"""What the licences of seeds and the terms of teachers ask of a dataset, held against the licence chosen for it.

Data, with source and date, as in `terms.py`; nothing here says what is lawful.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from synth.rights.terms import Ask, Said, Terms, sentence
from synth.shipped import shipped

MISSING: dict[Ask, str] = {
    "notice": "asks nobody to keep a notice",
    "noncommercial": "allows commercial use",
    "sharealike": "is another one",
    "noderivatives": "is for what may be shared",
    "pass_on": "passes no restriction on",
}
"""What a licence does that does not carry what is asked."""


class Licence(Said):
    """What one licence, or a family of them, asks of what is made from the work."""

    names: str
    asks: list[Ask] = []
    ja: Said
    """The same in Japanese."""
    source: str
    read: date
    reported: bool = False


class Source(NamedTuple):
    """Something that a dataset is made from, and what is asked for it."""

    what: str
    """Such as `the seeds (cc-by-nc-4.0)`."""
    licence: str
    asks: tuple[Ask, ...]
    said: str


@cache
def every() -> tuple[Licence, ...]:
    """All that is known."""
    text = files("synth.rights").joinpath("licences.yaml").read_text("utf-8")
    return tuple(Licence.model_validate(one) for one in shipped(text))


def known(licence: str) -> Licence | None:
    """What is known of a licence; None for one that is not known, such as `other`."""
    return next((one for one in every() if re.fullmatch(one.names, _id(licence))), None)


def sources(seeds: str | None, said: Iterable[tuple[str, Terms]]) -> Iterator[Source]:
    """What a dataset is made from: seeds of this licence, or of several with commas between them, and teachers of which
    this was said, by name."""
    for one in (seeds or "").split(", "):
        if (licence := known(one)) is not None:
            yield Source(f"the seeds ({one})", one, tuple(licence.asks), told(licence))
    for name, terms in said:
        yield Source(f"the teacher {name!r} ({terms.id})", terms.id, tuple(terms.asks), sentence(terms))


def told(licence: Licence) -> str:
    """What a licence asks, for people."""
    return f"{licence.says} ({'as reported' if licence.reported else 'as read'} on {licence.read}: {licence.source})"


def conflicts(chosen: str, made_from: Iterable[Source]) -> Iterator[str]:
    """One sentence for each thing asked that the chosen licence does not carry. Nothing for a licence not known."""
    licence = known(chosen)
    for source in made_from:
        for ask in source.asks if licence is not None else ():
            if _carries(chosen, licence, source, ask):
                continue
            such = "a licence that does" if ask in ("noncommercial", "notice") else "another licence"
            yield (
                f"{chosen} cannot stand over {source.what}: {source.said} {chosen} {MISSING[ask]}; choose {such}, or "
                "make it from something else"
            )
            break


def _carries(chosen: str, licence: Licence | None, source: Source, ask: Ask) -> bool:
    if ask in ("noderivatives", "pass_on"):
        return False
    if ask == "sharealike":
        (family, version), (of_source, earliest) = _parted(chosen), _parted(source.licence)
        return family == of_source and version >= earliest
    return licence is not None and ask in licence.asks


def _parted(licence: str) -> tuple[str, str]:
    """A licence without its version, and that: the text itself lets later ones take its place."""
    name = _id(licence)
    version = re.search(r"-([\d.]+)$", name)
    return (name, "") if version is None else (name[: version.start()], version[1])


def _id(licence: str) -> str:
    """The Hub's id of a licence whose name people write in many ways, such as `CC BY-SA 4.0`."""
    return re.sub(r"[\s_]+", "-", licence.strip().lower())
