"""What goes through the steps of a stage: units of work, and what comes of them."""

from __future__ import annotations

from typing import NamedTuple

from synth.errors import TeacherError
from synth.types import Rejection, Sample, Seed


class Work(NamedTuple):
    """One unit of a stage: what it starts from, and which draw."""

    id: str
    draw: int
    parent: Seed | Sample
    seed_id: str
    last: bool = True
    """Whether no other draw of the same parent follows."""


class Group(NamedTuple):
    """The samples of one unit that are no twins by their letters."""

    id: str
    """Of the unit."""
    samples: list[Sample]


Results = list[Sample | Rejection]
Brought = tuple[Work, Results | TeacherError]
Drawn = list[Brought]
"""What came of the draws of one parent."""
