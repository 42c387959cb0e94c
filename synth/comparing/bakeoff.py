"""A bake-off: the same prompts through each of several teachers, and what may be said of the differences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

import orjson

from synth.comparing.chance import CHANCE, corrected, difference
from synth.errors import RecipeError
from synth.language.near import hint
from synth.recipes.recipe import LoadedRecipe, Recipe
from synth.recipes.recipe_checks import measuring
from synth.results.manifest import Manifest
from synth.results.selection import Selection
from synth.results.split import Split
from synth.storage.database import connect, read_units, readable
from synth.types import Value
from synth.validators.language import find_language_drift

ACCEPTED, LANGUAGE = "accepted", "language"
"""Beside the scores' names: what is compared of every draft."""


class Given(Value):
    """What a teacher gave for a prompt, one draft of it."""

    prompt: str
    """The id of what it was asked about."""
    question: str
    text: str
    reason: str = ""
    """Why it was refused; empty when it was accepted."""
    detail: str = ""
    scores: dict[str, float] = {}


class Contender(Value):
    """What came of one teacher's answers."""

    name: str
    model: str
    host: str
    served: tuple[str, ...] = ()
    prompts: int
    drafts: int
    accepted: int
    refused: dict[str, int] = {}
    cost_microusd: int | None
    """Of its replies in the stage, those refused included; None when its price is unknown."""
    cost_per_accepted_microusd: int | None
    completion_tokens: int
    tokens_per_accepted: float | None
    characters: float | None
    """Of an answer, the median."""
    in_language: float | None
    """The share of its answers that are in the recipe's language."""
    scores: dict[str, tuple[float, int]] = {}
    """The mean of each score, and of how many drafts."""
    own_judges: tuple[str, ...] = ()
    """Judges that ask the model which wrote the answers: models favour their own."""
    ended: str = ""
    """Why it was not asked for everything; empty when it was."""


class Measured(Value):
    """The difference between two teachers in one thing, over the prompts that both have a value for."""

    measure: str
    teacher: str
    against: str
    prompts: int
    difference: float
    interval: tuple[float, float] | None
    """In which it lies, at 95 %; None when the prompts are too few, or the answers too much alike, to tell."""
    p: float
    """Corrected for the number of teachers."""

    @property
    def by_chance(self) -> bool:
        """Whether chance alone may well have made it."""
        return self.p >= CHANCE


class Comparison(Value):
    """A whole bake-off."""

    recipe: str
    language: str
    stage: str
    practice: bool
    contenders: tuple[Contender, ...]
    differences: tuple[Measured, ...]
    answers: dict[str, dict[str, tuple[Given, ...]]]
    """By prompt and teacher."""


@dataclass(frozen=True, slots=True)
class Side:
    """One teacher's part, as its run left it."""

    contender: Contender
    given: tuple[Given, ...]


def contenders(recipe: Recipe, stage: str, named: Sequence[str]) -> tuple[str, list[str]]:
    """The stage and the teachers that are to take its place there: those named, or all that answer chats.

    The first is the one that the others are compared with: the recipe's own, unless it is not among those named.
    Raises RecipeError for names that are not the recipe's, and when there is nothing to compare.
    """
    stages = [one.name for one in recipe.stages]
    if stage and stage not in stages:
        raise RecipeError(f"There is no stage {stage!r}; the recipe has {', '.join(stages)}{hint(stage, stages)}.")
    chosen = stage or stages[-1]
    unknown = [name for name in named if name not in recipe.teachers]
    if unknown:
        near = hint(unknown[0], recipe.teachers)
        raise RecipeError(f"There is no teacher {unknown[0]!r}; the recipe names {', '.join(recipe.teachers)}{near}.")
    other = measuring(recipe)
    names = list(dict.fromkeys(named)) or [name for name in recipe.teachers if name not in other]
    own = recipe.stages[stages.index(chosen)].generator.teacher
    if own in names:
        names.sort(key=lambda name: name != own)
    if len(names) < 2:
        raise RecipeError(
            f"There is only {' and '.join(names) or 'nobody'} to compare; give the recipe another teacher under "
            "`teachers`, or name two of its own with --teachers."
        )
    return chosen, names


def with_teacher(loaded: LoadedRecipe, stage: str, teacher: str) -> LoadedRecipe:
    """The recipe up to a stage in which one teacher answers, alone: no other one stands in for it.

    Thresholds stay, as they are a part of what is accepted; nothing is chosen among what meets them.
    """
    recipe = loaded.recipe
    at = next(place for place, one in enumerate(recipe.stages) if one.name == stage)
    last = recipe.stages[at]
    own = {"generator": last.generator.model_copy(update={"teacher": teacher})}
    answering = last.model_copy(update={**own, "teachers": [], "route": None, "escalate_below": {}})
    stages = [*recipe.stages[:at], answering]
    later = {scorer.name for one in recipe.stages[at + 1 :] for scorer in one.scorers}
    given = recipe.selection
    alone = {name: one.model_copy(update={"fallback": ""}) for name, one in recipe.teachers.items()}
    changes = {
        "stages": stages,
        "teachers": alone,
        "split": Split(),
        "selection": Selection(
            require={name: least for name, least in given.require.items() if name not in later},
            at_most={name: most for name, most in given.at_most.items() if name not in later},
        ),
    }
    return replace(loaded, recipe=recipe.model_copy(update=changes))


def side(recipe: Recipe, name: str, outputs: Path, store: Path, manifest: Manifest, ended: str) -> Side:
    """What a teacher's run left in a folder, with what it cost by the store's books."""
    at = len(recipe.stages) - 1
    depth = 1 + 2 * at
    found: list[tuple[str, Given]] = []
    for file in ("rows.jsonl", "rejected.jsonl"):
        for line in (outputs / file).read_bytes().splitlines():
            told: dict[str, Any] = orjson.loads(line)
            parts = str(told["id"]).split("/")
            if len(parts) > depth and "~" not in parts[-1]:  # of this stage, and not followed by another reply
                found.append(("/".join(parts[: depth + 1]), _given("/".join(parts[:depth]), told)))
    found.sort(key=lambda one: one[0])
    with readable(store / "run.db"):
        connection = connect(store / "run.db")
        spent = read_units(connection, recipe.stages[at].name, name)
        connection.close()
    bills = [spent[unit] for unit in {unit for unit, _ in found} if unit in spent]
    record = next(one for one in manifest.teachers if one.name == name)
    given = tuple(one for _, one in found)
    accepted = sum(not one.reason for one in given)
    cost = None if record.price is None else sum(cost for cost, _ in bills)
    tokens = sum(tokens for _, tokens in bills)
    told_texts = [one for one in given if one.text]
    return Side(
        Contender(
            name=name,
            model=record.model,
            host=record.host,
            served=record.served,
            prompts=len({one.prompt for one in given}),
            drafts=len(given),
            accepted=accepted,
            refused=dict(Counter(one.reason for one in given if one.reason).most_common()),
            cost_microusd=cost,
            cost_per_accepted_microusd=None if cost is None or not accepted else round(cost / accepted),
            completion_tokens=tokens,
            tokens_per_accepted=tokens / accepted if accepted else None,
            characters=median(len(one.text) for one in told_texts) if told_texts else None,
            in_language=fmean(_in_language(one, recipe.language) for one in told_texts) if told_texts else None,
            scores=dict(_means(given)),
            own_judges=tuple(one.name for one in manifest.judges if one.own_answers),
            ended=ended,
        ),
        given,
    )


def _given(prompt: str, told: Mapping[str, Any]) -> Given:
    messages: list[dict[str, Any]] = told["messages"]
    return Given(
        prompt=prompt,
        question=next((str(one["content"]) for one in reversed(messages) if one["role"] == "user"), ""),
        text=str(messages[-1]["content"]) if messages and messages[-1]["role"] == "assistant" else "",
        reason=told.get("reason", ""),
        detail=str(told.get("detail", ""))[:400],
        scores={one["name"]: one["value"] for one in told["scores"]},
    )


def _means(given: Sequence[Given]) -> Iterator[tuple[str, tuple[float, int]]]:
    for name in sorted({name for one in given for name in one.scores}):
        values = [one.scores[name] for one in given if name in one.scores]
        yield name, (fmean(values), len(values))


def _in_language(one: Given, language: str) -> float:
    return float(find_language_drift(one.text, language, one.question) is None)


def compared(recipe: Recipe, stage: str, sides: Sequence[Side], *, practice: bool) -> Comparison:
    """Every teacher against the first, in everything that was measured."""
    measures: dict[str, Callable[[Given], float | None]] = {
        ACCEPTED: lambda one: float(not one.reason),
        LANGUAGE: lambda one: _in_language(one, recipe.language) if one.text else None,
    }
    for name in sorted({name for side in sides for name in side.contender.scores}):
        measures[name] = lambda one, name=name: one.scores.get(name)
    answers: dict[str, dict[str, tuple[Given, ...]]] = {}
    for one in sides:
        for given in one.given:
            of_prompt = answers.setdefault(given.prompt, {})
            of_prompt[one.contender.name] = (*of_prompt.get(one.contender.name, ()), given)
    return Comparison(
        recipe=recipe.name,
        language=recipe.language,
        stage=stage,
        practice=practice,
        contenders=tuple(one.contender for one in sides),
        differences=tuple(one for name, value in measures.items() for one in _differences(name, value, sides)),
        answers=dict(sorted(answers.items())),
    )


def _differences(measure: str, value: Callable[[Given], float | None], sides: Sequence[Side]) -> Iterator[Measured]:
    """Of all teachers but the first, each with the first."""
    first, *others = sides
    own = _of_prompts(first.given, value)
    found: list[Measured] = []
    for other in others:
        its = _of_prompts(other.given, value)
        both = sorted(own.keys() & its.keys())
        apart = difference([its[prompt] for prompt in both], [own[prompt] for prompt in both])
        if apart is not None:
            found.append(
                Measured(
                    measure=measure,
                    teacher=other.contender.name,
                    against=first.contender.name,
                    prompts=apart.pairs,
                    difference=apart.mean,
                    interval=apart.interval,
                    p=apart.p,
                )
            )
    for one, p in zip(found, corrected([one.p for one in found]), strict=True):
        yield one.model_copy(update={"p": p})


def _of_prompts(given: Sequence[Given], value: Callable[[Given], float | None]) -> dict[str, float]:
    """The mean of a prompt's drafts, where one has a value: drafts of one prompt are no pairs of their own."""
    values: dict[str, list[float]] = {}
    for one in given:
        found = value(one)
        if found is not None:
            values.setdefault(one.prompt, []).append(found)
    return {prompt: fmean(some) for prompt, some in values.items()}
