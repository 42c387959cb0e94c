"""What a person decided of single rows in the report's browser: accepted, rejected, or edited."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError, model_validator

from synth.errors import RecipeError
from synth.types import Message, Sample, ToolTurn, Value

BY_HAND = "by_hand"


class Decision(Value):
    """One row's fate, with who said so and when."""

    id: str
    decision: Literal["accept", "reject", "edit"]
    """`accept` and `edit` make it a row whatever selection says."""
    by: str = ""
    at: str = ""
    """ISO 8601, as the browser's clock had it."""
    note: str = ""
    messages: tuple[Message | ToolTurn, ...] = ()
    """The edited conversation."""
    original: tuple[Message | ToolTurn, ...] = ()
    """What it was edited from."""

    @model_validator(mode="after")
    def _whole_edit(self) -> Decision:
        if self.decision == "edit":
            if not self.messages or [one.role for one in self.messages] != [one.role for one in self.original]:
                raise ValueError("an edit has `messages` and `original`, of the same turns")
        elif self.messages or self.original:
            raise ValueError("only an edit has `messages` and `original`")
        return self

    def told(self) -> dict[str, Any]:
        """As its file has it, without what is empty."""
        return {name: value for name, value in self.model_dump(mode="json").items() if value}

    @property
    def detail(self) -> str:
        """Who rejected it, when and why, as far as it is known."""
        said = ", ".join(one for one in (self.by, self.at) if one)
        return ": ".join(one for one in (f"rejected by hand{f' ({said})' if said else ''}", self.note) if one)


class Decisions(Value):
    """A file of decisions, as the browser saves it."""

    synth: Literal["decisions"]
    version: Literal[1]
    run: str
    """The name of the store whose rows were looked at."""
    decisions: tuple[Decision, ...]

    @model_validator(mode="after")
    def _one_each(self) -> Decisions:
        ids = [one.id for one in self.decisions]
        twice = next((id_ for id_ in ids if ids.count(id_) > 1), None) if len(set(ids)) < len(ids) else None
        if twice is not None:
            raise ValueError(f"{twice} is decided twice")
        return self

    def by_id(self) -> Mapping[str, Decision]:
        """The decisions by the id of their row, in id order."""
        return {one.id: one for one in sorted(self.decisions, key=lambda one: one.id)}


def read_decisions(path: Path, run: str) -> Mapping[str, Decision]:
    """The decisions of a file about the run whose store has this name. Raises RecipeError when it is none."""
    try:
        found = Decisions.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RecipeError(f"{path} cannot be read ({error.strerror}); save the decisions in report.html.") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RecipeError(
            f"{path} is no file of decisions ({place or 'JSON'}: {first['msg']}); save one in the rows of report.html."
        ) from error
    if found.run != run:
        raise RecipeError(f"{path} holds decisions about another run; name that run's folder with --out.")
    return found.by_id()


def edited(samples: Iterable[Sample], decisions: Mapping[str, Decision]) -> Iterable[Sample]:
    """The samples with the texts that were edited, and with a word in `repairs` about what was done by hand."""
    for sample in samples:
        decision = decisions.get(sample.id)
        if decision is None or decision.decision == "reject":
            yield sample
        else:
            done = f"{'edited' if decision.decision == 'edit' else 'accepted'} by hand"
            repairs = (*sample.repairs, f"{done}, {decision.at}" if decision.at else done)
            yield replace(sample, messages=decision.messages or sample.messages, repairs=repairs)
