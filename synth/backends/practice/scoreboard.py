"""How the checks did against what the practice teacher planted: worked out again from the stored requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from synth.backends.practice.answering import Truth, truth
from synth.backends.practice.faults import Faults
from synth.storage.database import connect, read_ledger, stored_requests

CHOSEN_AGAINST = ("not_best", "beyond_target", "not_balanced")
RESENT = {"rate": "rate limit", "transient": "server error", "ambiguous": "dropped connection"}


@dataclass(frozen=True, slots=True)
class Scoreboard:
    """Planted and caught by fault, and what happened to the good."""

    planted: Mapping[str, int]
    caught: Mapping[str, int]
    good: int
    lost: int
    """Good samples that a check refused."""
    resent: Mapping[str, int]
    """Failures on the way that were sent again."""

    def recall(self) -> float:
        """The share of the planted that was caught; 1 when nothing was planted."""
        planted = sum(self.planted.values())
        return sum(self.caught.values()) / planted if planted else 1.0

    def false_rejections(self) -> float:
        """The share of the good that was lost."""
        return self.lost / self.good if self.good else 0.0


def scoreboard(folder: Path, faults: Mapping[str, Faults]) -> Scoreboard:
    """Compare a finished run's rows and rejections with the truth; `faults` are by model."""
    refused, kept = (_records(folder / name) for name in ("rejected.jsonl", "rows.jsonl"))
    reasons = {record["id"]: str(record["reason"]) for record in refused}
    rows = {record["id"] for record in kept}
    mended = {record["id"] for record in (*refused, *kept) if record["repairs"]}
    of_mended = mended | {name[:end] for name in mended for end in range(len(name)) if name[end] == "/"}
    """The mended samples and all that they were made from."""
    connection = connect(folder / "run.db")
    truths: dict[tuple[str, str], list[Truth]] = {}
    for stage, unit, body in stored_requests(connection):
        request = orjson.loads(body)
        if request["model"] in faults and {"messages", "max_tokens"} <= request.keys():  # a chat
            truths.setdefault((stage, unit), []).append(truth(request, faults[request["model"]]))
    failures = Counter[str]()
    for line in read_ledger(connection):
        if line.failure in RESENT:
            failures[line.failure] += line.sends
    connection.close()
    planted, caught, lost = Counter[str](), Counter[str](), Counter[bool]()

    def count(fault: str, *, refused: bool) -> None:
        if fault:
            planted[fault] += 1
            caught[fault] += refused
        else:
            lost[refused] += 1

    for (_, unit), replies in truths.items():
        for reply in replies[:-1]:
            if reply.fault == "invalid_json":
                count("invalid_json", refused=True)  # it was asked again
        last = replies[-1]
        if last.fault == "invalid_json":
            count("invalid_json", refused=unit in reasons or unit in of_mended)
        for place, one in enumerate(last.instructions):
            sample = f"{unit}/{place:03d}"
            if unit not in reasons:
                count(one.fault, refused=sample in reasons)
        sample = f"{unit}/000"
        if any(one.role == "user" for one in replies):  # a dialogue, of which one bad turn spoils the whole
            last = next((one for one in replies if one.fault), last)
        if last.role in ("answerer", "user") and (sample in reasons or sample in rows):
            count(last.fault, refused=reasons.get(sample) not in (None, *CHOSEN_AGAINST))
    resent = {RESENT[failure]: attempts for failure, attempts in sorted(failures.items())}
    return Scoreboard(planted, caught, lost[True] + lost[False], lost[True], resent)


def _records(path: Path) -> list[dict[str, Any]]:
    with path.open("rb") as file:
        return [orjson.loads(line) for line in file]
