"""What can be said before anything is bought: the first stage's prompts, and the most that a pilot may cost."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from synth.estimates.intervals import Range
from synth.estimates.prompts import Prompt, Prompts
from synth.lint.tokens import Tokens
from synth.money.budget import usd
from synth.money.prices import FREE
from synth.recipes.loading import Overrides, override
from synth.recipes.recipe import LoadedRecipe, Recipe
from synth.storage.database import connect, read_spent, readable
from synth.types import Fields

BYTES_A_TOKEN = (1.5, 3.5, 6.0)
"""Of texts in any language, between what they lie, and in the middle."""


@dataclass(frozen=True, slots=True)
class Unasked:
    """What the first stage will ask of one teacher, before any reply has come."""

    stage: str
    teacher: str
    requests: Range
    prompt_tokens: Range
    most_completion_tokens: int
    cost_microusd: Range | None
    """From replies of no token to the longest that they may be; None where the price is not known."""


def unasked(recipe: Recipe, prompts: Prompts, tokenizer: str = "") -> list[Unasked]:
    """What the first stage will ask, from its prompts alone.

    Their tokens are counted by the tokenizer, where one is named, else told from their bytes. What is asked again, and
    what replies are mended by, is in no sum.
    """
    stage, count = recipe.stages[0], _counting(tokenizer)
    fewest, most = (stage.draws, stage.draws) if isinstance(stage.draws, int) else (1, stage.draws.most)
    grown = prompts.of / max(1, len(prompts.every))
    found: list[Unasked] = []
    for teacher in dict.fromkeys(one.teacher for one in prompts.every):
        endpoint = recipe.teachers[teacher]
        own = [one for one in prompts.every if one.teacher == teacher]
        asked = [len(own) * grown * math.ceil(draws / endpoint.draws_at_once) for draws in (fewest, most)]
        each = [sum(count(one)[at] for one in own) / len(own) for at in range(3)]
        prompt = Range(asked[0] * each[0], math.sqrt(asked[0] * asked[1]) * each[1], asked[1] * each[2])
        completion = round(len(own) * grown * most * endpoint.sampling.max_tokens)
        price = endpoint.known_price()
        cost = None
        if price is not None:
            least = prompt.low * price.input_usd
            dearest = prompt.high * price.input_usd + completion * price.output_usd
            cost = Range(least, math.sqrt(least * dearest), dearest)
        requests = Range(asked[0], math.sqrt(asked[0] * asked[1]), asked[1])
        found.append(Unasked(stage.name, teacher, requests, prompt, completion, cost))
    return found


def _counting(tokenizer: str) -> Callable[[Prompt], tuple[float, float, float]]:
    """How many tokens a prompt has at least, about, and at most."""
    if not tokenizer:
        most, usual, least = BYTES_A_TOKEN
        return lambda one: (one.size / least, one.size / usual, one.size / most)
    tokens = Tokens(tokenizer)

    def counted(one: Prompt) -> tuple[float, float, float]:
        turns: Fields = {"messages": [{"role": turn.role, "content": turn.content} for turn in one.messages]}
        number = float(next(iter(tokens.of(turns)))[0])
        return number, number, number

    return counted


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What a pilot may cost."""

    loaded: LoadedRecipe
    """The recipe with that as its budget."""
    cap_microusd: int | None
    """What this folder may have spent then, where the pilot's own ceiling says so and not the recipe's budget."""
    said: str


def ceiling(loaded: LoadedRecipe, folder: Path, most_usd: float) -> Ceiling:
    """Have a pilot in this folder spend at most so much more than was spent there before.

    Raises FolderError when the store cannot be read.
    """
    recipe = loaded.recipe
    prices = {name: endpoint.known_price() for name, endpoint in recipe.teachers.items()}
    unknown = [name for name, price in prices.items() if price is None]
    beside = f", beside what {', '.join(unknown)} costs, whose price is not known" if unknown else ""
    if all(price in (None, FREE) for price in prices.values()):
        return Ceiling(
            loaded, None, f"at a price that is not known ({', '.join(unknown)})" if unknown else "for nothing"
        )
    cap = _spent(folder) + round(most_usd * 1e6)
    own = recipe.cap_microusd()
    if own is not None and own <= cap:
        return Ceiling(loaded, None, f"within the budget{beside}")
    budget = {"usd": cap / 1e6, "allow_unknown_price": True}
    return Ceiling(override(loaded, Overrides(budget=budget)), cap, f"for {usd(round(most_usd * 1e6))} at most{beside}")


def _spent(folder: Path) -> int:
    if not (folder / "run.db").exists():
        return 0
    with readable(folder / "run.db"):
        connection = connect(folder / "run.db")
        spent = read_spent(connection).microusd
        connection.close()
    return spent
