"""What the texts of providers and licences said about training on a model's output: data, with its source and date.

Nothing here says what is lawful, and what nobody read stays unknown.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field

from synth.protocol.endpoint import Endpoint
from synth.shipped import shipped
from synth.types import Value

Verdict = Literal["allowed", "allowed_with_duties", "unknown", "restricted"]
STRICTNESS: Sequence[Verdict] = ("allowed", "allowed_with_duties", "unknown", "restricted")
UNKNOWN: Verdict = "unknown"
Ask = Literal["notice", "noncommercial", "sharealike", "noderivatives", "pass_on"]
"""What a text asks that a licence of the data has to carry: a notice, no commercial use, the same licence, that nothing
made from it is shared, restrictions of its own."""


class Said(Value):
    """What a text said, in one language."""

    says: str
    duties: list[str] = []
    """What whoever uses the data has to do."""


class Terms(Said):
    """What one text said."""

    id: str = Field(pattern=r"^[a-z0-9.-]+$")
    hosts: list[str] = []
    models: str = ""
    verdict: Verdict
    asks: list[Ask] = []
    ja: Said
    """The same in Japanese."""
    source: str
    read: date
    """When it was read, or the date of the copy that was."""
    reported: bool = False
    """Whether others report it and the text itself was not read."""


class Acceptance(Value):
    """Terms that restrict training on a teacher's output and under which a run went on."""

    id: str
    read: date
    """Which version of what is known of them stood before the user."""
    accepted: str
    """When: ISO 8601 with offset."""


@cache
def every() -> tuple[Terms, ...]:
    """All that is known."""
    text = files("synth.rights").joinpath("terms.yaml").read_text("utf-8")
    return tuple(Terms.model_validate(one) for one in shipped(text))


def terms_of(endpoint: Endpoint) -> tuple[Terms, ...]:
    """What is known to have been said of the hosts and of the model of an endpoint. Practice data has no such terms."""
    if endpoint.is_practice:
        return ()
    hosts = [urlsplit(member.base_url).hostname or "" for member in endpoint.members()]
    model = endpoint.model.rpartition("/")[2].lower()
    return tuple(
        one
        for one in every()
        if any(fnmatch.fnmatch(host, pattern) for host in hosts for pattern in one.hosts)
        or (one.models and re.match(one.models, model))
    )


def of_hosts(hosts: Sequence[str]) -> tuple[Terms, ...]:
    """What is known to have been said of hosts, by the patterns of a profile."""
    return tuple(one for one in every() if set(one.hosts) & set(hosts))


def verdict_of(said: Sequence[Terms]) -> Verdict:
    """The strictest of verdicts; unknown when there are none."""
    return STRICTNESS[max(STRICTNESS.index(one.verdict) for one in said)] if said else UNKNOWN


def sentence(one: Terms) -> str:
    """What was said, for people."""
    how = "as reported" if one.reported else "as read"
    return f"{one.says} ({one.id}, {how} on {one.read}: {one.source})"
