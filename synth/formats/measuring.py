"""How long the texts of a view are, in tokens or in characters, and which answer of a pair is the longer one."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Any, cast

from synth.lint import quantiles
from synth.lint.tokens import Tokens
from synth.types import Fields, Value

SHARES = (0.5, 0.95)


class Lengths(Value):
    """How long the texts of a view are: a pair has two."""

    total: int
    median: int
    most_of: int
    """What 95 % of them do not exceed."""
    longest: int


class PairLengths(Value):
    """How often which answer of a pair is the longer one: where that is nearly always the same, a student learns length
    before anything else. In characters, reasoning included."""

    chosen_longer: int
    rejected_longer: int
    chosen_median: int
    rejected_median: int


class Measured:
    """The texts of a view, counted as they come; memory holds eight bytes of each."""

    def __init__(self, tokens: Tokens | None) -> None:
        self._tokens = tokens
        self._texts, self._chosen, self._rejected = array("Q"), array("Q"), array("Q")
        self._longer = [0, 0]

    def see(self, row: Fields) -> str:
        """Count the texts of a row; gives what the chat template says where it refuses one, and is empty elsewhere."""
        refusal = ""
        if self._tokens is None:
            self._texts.extend(_characters(row))
        else:
            for count, refused in self._tokens.of(row):
                refusal = refusal or refused
                if not refused:
                    self._texts.append(count)
        if "chosen" in row:
            chosen, rejected = _said(row["chosen"]), _said(row["rejected"])
            self._chosen.append(chosen)
            self._rejected.append(rejected)
            self._longer[0] += chosen > rejected
            self._longer[1] += chosen < rejected
        return refusal

    @property
    def unit(self) -> str:
        """What is counted."""
        return "characters" if self._tokens is None else "tokens"

    def lengths(self) -> Lengths | None:
        """What was counted; None when that is nothing."""
        if not self._texts:
            return None
        median, most_of = quantiles(self._texts, SHARES)
        return Lengths(total=sum(self._texts), median=median, most_of=most_of, longest=max(self._texts))

    def pairs(self) -> PairLengths | None:
        """How the answers of pairs differ in length; None where there are no pairs."""
        if not self._chosen:
            return None
        (chosen,), (rejected,) = quantiles(self._chosen, SHARES[:1]), quantiles(self._rejected, SHARES[:1])
        return PairLengths(
            chosen_longer=self._longer[0],
            rejected_longer=self._longer[1],
            chosen_median=chosen,
            rejected_median=rejected,
        )


def _characters(row: Fields) -> Iterator[int]:
    if isinstance(row.get("text"), str):
        yield len(cast("str", row["text"]))
    elif "chosen" in row:
        yield from (_said(row["prompt"]) + _said(row[name]) for name in ("chosen", "rejected"))
    else:
        yield sum(_said(row.get(name)) for name in ("messages", "prompt", "completion"))


def _said(turns: Any) -> int:
    """The characters of turns: their texts, reasoning and calls."""
    return sum(_of_turn(turn) for turn in cast("Sequence[Fields]", turns or ()))


def _of_turn(turn: Fields) -> int:
    calls = cast("list[dict[str, Any]]", turn.get("tool_calls") or [])
    texts = [turn.get("content"), turn.get("reasoning_content"), *(call["function"]["arguments"] for call in calls)]
    return sum(len(str(text)) for text in texts if text)
