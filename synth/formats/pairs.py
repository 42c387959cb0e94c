"""Good and bad answers to the same prompt, from what a run kept and what it refused."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, cast

import orjson
from pydantic import ValidationError

from synth.errors import RecipeError, Rejected
from synth.formats import FORMATS
from synth.language.near import hint
from synth.recipes.views import NO_QUALITY, VERDICT, Preference, Rule, Unpaired, bad_reasons
from synth.types import Fields

KEPT, REFUSED = "rows.jsonl", "rejected.jsonl"
MOST_LOOKED_AT = 1000
"""Answers that are searched for the names of their scores."""
PLACES = 2
"""Of an id's parts those that tell apart the answers to one prompt: the draw, and the place in its reply."""
TOLD = ("rejected_id", "rejected_for", "chosen_score", "rejected_score", "refused_for", "score")
"""What stands beside answers that were told apart; no trainer gives these columns a meaning."""


class Answer(NamedTuple):
    """One answer, kept or refused."""

    row: Fields
    """As its file has it."""
    reason: str
    """What it was refused for; empty for a row."""

    @property
    def id(self) -> str:
        """As its file has it."""
        return str(self.row["id"])

    def score(self, name: str) -> float | None:
        """The value of a score; None where it has none."""
        scores = cast("list[dict[str, Any]]", self.row["scores"])
        return next((one["value"] for one in scores if one["name"] == name), None)

    def turns(self) -> list[Any]:
        """Its messages."""
        return cast("list[Any]", self.row["messages"])

    def said(self) -> tuple[str, Any]:
        """The answer itself, without its reasoning: alike in that, two answers are no pair."""
        last = self.turns()[-1]
        return str(last.get("content") or "").strip(), last.get("tool_calls")


def is_run(path: Path) -> bool:
    """Whether a folder is a run's, with what it kept and what it refused."""
    return (path / KEPT).is_file() and (path / REFUSED).is_file()


def rule_for(name: str, paths: Sequence[Path], given: Mapping[str, Any]) -> Rule | None:
    """How a run's draws become rows of a format, by the options `given`; None where it is not made of draws.

    Raises RecipeError for options that have no effect there, or do not go together.
    """
    form = FORMATS[name]
    options = ", ".join(f"--{option.replace('_', '-').removesuffix('s')}" for option in given)
    if not (form.is_pair or form.is_labelled) or not any(is_run(path) for path in paths):
        if given:
            raise RecipeError(f"{options}: draws are told apart for pairs and labels of a run alone.")
        return None
    try:
        if form.is_pair:
            return Preference.model_validate({"kind": "preference", **given})
        return Unpaired.model_validate({"kind": "unpaired", **given})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = "".join(f"--{str(part).replace('_', '-')}: " for part in first["loc"][:1])
        said = str(first["msg"]).removeprefix("Value error, ")
        raise RecipeError(f"{place}{said}{'' if said.endswith('?') else '.'}") from None


def in_words(rule: Rule | None) -> str:
    """How good answers are told from bad ones, as `judge, at least 1 apart`; empty where they are not."""
    if rule is None:
        return ""
    if rule.by == VERDICT:
        return f"refused for {', '.join(sorted(bad_reasons(rule)))}"
    if isinstance(rule, Preference):
        return f"{rule.by}, at least {rule.gap:g} apart"
    return f"{rule.by}, good from {rule.good:g}, bad up to {rule.bad:g}"


def unknown_score(run: Path, rule: Rule | None) -> str:
    """That no answer of a run has the score by which they are to be told apart; empty where one has."""
    if rule is None or rule.by == VERDICT:
        return ""
    with (run / KEPT).open("rb") as kept, (run / REFUSED).open("rb") as refused:
        answers = itertools.islice(itertools.chain(kept, refused), MOST_LOOKED_AT)
        known = list(dict.fromkeys(str(one["name"]) for line in answers for one in orjson.loads(line)["scores"]))
    if rule.by in known:
        return ""
    return f"there is no score {rule.by!r} in {run}, which has {', '.join(known) or 'none'}{hint(rule.by, known)}"


def splits_of(run: Path) -> list[str]:
    """The splits of a run's rows, as they come first. Raises RecipeError when it holds no run that has been written."""
    if not is_run(run):
        raise RecipeError(
            f"There is no {KEPT} and {REFUSED} in {run}: pairs are made of a run's draws; name its folder."
        )
    with (run / KEPT).open("rb") as lines:
        return list(dict.fromkeys(str(orjson.loads(line)["split"]) for line in lines))


def rows_of(run: Path, split: str, rule: Rule | None) -> Iterator[tuple[str, Fields]]:
    """What a view of a split is made of, or of all splits when it is empty, each with its id and in the order of ids:
    rows, or by a rule pairs or labelled answers."""
    if rule is not None:
        yield from ((str(row["id"]), row) for of, row in judged(run, rule) if split in ("", of))
        return
    with (run / KEPT).open("rb") as lines:
        for line in lines:
            row: Fields = orjson.loads(line)
            if split in ("", row["split"]):
                yield str(row["id"]), row


def both(row: Fields) -> tuple[Fields, Fields]:
    """The two conversations of a pair, as rows. Raises Rejected where there is only one."""
    prompt, chosen, rejected = (row.get(name) for name in ("prompt", "chosen", "rejected"))
    if not chosen or not rejected:
        raise Rejected("no_pair")
    tools = {"tools": row.get("tools")}
    if _is_whole(chosen) and _is_whole(rejected):  # the prompt, if there is one, is said again
        return {"messages": chosen, **tools}, {"messages": rejected, **tools}
    return {"prompt": prompt, "completion": chosen, **tools}, {"prompt": prompt, "completion": rejected, **tools}


def _is_whole(turns: Any) -> bool:
    first = cast("list[Any]", turns)[:1] if isinstance(turns, list) else []
    return [cast("Fields", one).get("role") in ("user", "system") for one in first if isinstance(one, dict)] == [True]


def judged(run: Path, rule: Rule) -> Iterator[tuple[str, Fields]]:
    """Each pair, or each labelled answer, of a run as a row, with its split, in the order of ids."""
    for answers in _by_prompt(run):
        split = next((str(one.row["split"]) for one in answers if not one.reason), None)
        if split is not None:  # where no answer was kept nobody knows what a good one is
            rows = _paired(answers, rule) if isinstance(rule, Preference) else _labelled(answers, rule)
            yield from ((split, row) for row in rows)


def _by_prompt(run: Path) -> Iterator[list[Answer]]:
    """The answers, prompt by prompt; those of an earlier stage are all refused. Memory holds those of one."""
    with (run / KEPT).open("rb") as kept, (run / REFUSED).open("rb") as refused:
        every = heapq.merge(
            map(orjson.loads, kept), filter(_is_answered, map(orjson.loads, refused)), key=itemgetter("id")
        )
        for _, group in itertools.groupby(every, key=lambda one: one["id"].rsplit("/", PLACES)[0]):
            yield [Answer(one, str(one.get("reason", ""))) for one in group]


def _is_answered(refused: dict[str, Any]) -> bool:
    turns = refused["messages"]
    return len(turns) > 1 and turns[-1]["role"] == "assistant"


def _paired(answers: Sequence[Answer], rule: Preference) -> Iterator[Fields]:
    good = [one for one in answers if not one.reason]
    bad = [one for one in answers if _may_lose(one, rule)]
    found: list[tuple[float, Answer, Answer]] = []
    for chosen, rejected in itertools.product(good, bad):
        if chosen.turns()[:-1] != rejected.turns()[:-1] or chosen.said() == rejected.said():
            continue
        gap = 0.0 if rule.by == VERDICT else (chosen.score(rule.by) or 0.0) - (rejected.score(rule.by) or 0.0)
        if rule.gap is None or (chosen.score(rule.by) is not None and gap >= rule.gap - 1e-9):
            found.append((gap, chosen, rejected))
    found.sort(key=lambda pair: (-pair[0], pair[1].id, pair[2].id))
    for _, chosen, rejected in found[: rule.per_prompt]:
        yield {
            "id": chosen.id,
            "prompt": chosen.turns()[:-1],
            "chosen": chosen.turns()[-1:],
            "rejected": rejected.turns()[-1:],
            "tools": chosen.row.get("tools"),
            "rejected_id": rejected.id,
            **_why(chosen, rejected, rule),
        }


def _may_lose(one: Answer, rule: Preference) -> bool:
    if rule.by == VERDICT:
        return one.reason in bad_reasons(rule)
    return one.reason not in NO_QUALITY and one.score(rule.by) is not None


def _why(chosen: Answer, rejected: Answer, rule: Preference) -> Fields:
    if rule.by == VERDICT:
        return {"rejected_for": rejected.reason}
    return {"chosen_score": chosen.score(rule.by), "rejected_score": rejected.score(rule.by)}


def _labelled(answers: Sequence[Answer], rule: Unpaired) -> Iterator[Fields]:
    tools = next((one.row.get("tools") for one in answers if not one.reason), None)  # a refused one does not name them
    good = [one.turns()[:-1] for one in answers if not one.reason]
    for one in answers:
        label = _label(one, rule)
        if label is False and one.reason and _is_dialogue(one) and one.turns()[:-1] not in good:
            continue  # what it was refused for may be about an earlier answer
        if label is not None:
            turns = one.turns()
            why: Fields = {"refused_for": one.reason or None} if rule.by == VERDICT else {"score": one.score(rule.by)}
            told: Fields = {"id": one.id, "prompt": turns[:-1], "completion": turns[-1:], "label": label}
            yield told | {"tools": tools} | why


def _is_dialogue(one: Answer) -> bool:
    return any(turn["role"] == "assistant" and (turn.get("content") or "").strip() for turn in one.turns()[:-1])


def _label(one: Answer, rule: Unpaired) -> bool | None:
    if rule.by == VERDICT:
        return True if not one.reason else False if one.reason in bad_reasons(rule) else None
    score = one.score(rule.by)
    if score is None or rule.good is None or rule.bad is None:
        return None
    if score >= rule.good and not one.reason:
        return True
    return False if score <= rule.bad and one.reason not in NO_QUALITY else None
