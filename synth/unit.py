"""One piece of a stage's work, as it asks its way through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, cast

from synth.protocol.lots import Lot

_none = cast("Callable[[], list[Any]]", list)
"""`list[str]`, called for four of them at each row, takes many times as long."""


@dataclass(slots=True)
class Unit:
    """One piece of a stage's work: who asks, how urgently, and what it has used so far."""

    stage: str
    id: str
    priority: int
    """Lower goes first."""
    draw: int
    requests: list[str] = field(default_factory=_none)
    cost_microusd: int = 0
    bought: int = 0
    """Completions that were not in the store."""
    model: str = ""
    """The model that stood in for the stage's teacher, when one did."""
    served_by: list[str] = field(default_factory=_none)
    """Who served its requests, where an endpoint that passes them on said so."""
    repairs: list[str] = field(default_factory=_none)
    """What it took to get objects that fit, by name."""
    rungs: list[tuple[str, bool, int]] = field(default_factory=_none)
    """Each time an object was asked for: how, whether it fitted, and what it cost."""
    wait_s: float = 0.0
    """How long a batch may take to bring what it asks for; 0: nothing is asked for by batch."""
    lot: Lot | None = None
    """The draws with which its first request may go, until then."""

    def copied(self) -> Unit:
        """The same, which goes its own way."""
        lists = ("requests", "served_by", "repairs", "rungs")
        return replace(self, **{name: [*getattr(self, name)] for name in lists})

    def become(self, other: Unit) -> None:
        """Be as another one is."""
        for one in fields(self):
            setattr(self, one.name, getattr(other, one.name))
