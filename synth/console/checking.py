"""`synth check`: that a recipe is sound, and what it would do."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from synth import seeds
from synth.console.screen import OUT, noted, say_each, write_json
from synth.errors import RecipeError
from synth.gates.screen import Screen
from synth.language.text import several
from synth.money.budget import Caps
from synth.money.prices import tariff
from synth.protocol.endpoint import Endpoint
from synth.recipes.every_seed import Tried
from synth.recipes.recipe import LoadedRecipe, Recipe
from synth.rights.terms import sentence, terms_of
from synth.seeds.spool import SeedSpool
from synth.types import Rejection, Request


def check(loaded: LoadedRecipe, *, as_json: bool) -> int:
    """Read all seeds, render the templates with them, and say what is wrong, or what the recipe would do.

    Raises RecipeError with the first seed that nothing can be made of.
    """
    tried, refused, count = Tried(loaded), Counter[str](), 0
    with tempfile.TemporaryDirectory() as vanishing:
        spool = SeedSpool(Path(vanishing) / "seeds.db", seeds.read(loaded.recipe.seeds, loaded.folder))
        for one in Screen(loaded).seeds(spool):
            if isinstance(one, Rejection):
                refused[one.reason] += 1
            else:
                count += 1
                tried.see(one)
        spool.close()
    if problems := tried.problems():
        raise RecipeError(problems)
    checked(loaded, count, tried.count, refused, as_json=as_json)
    return 0


def checked(loaded: LoadedRecipe, count: int, rendered: int, refused: Counter[str], *, as_json: bool) -> None:
    """Say that a recipe is sound and what it would do."""
    recipe = loaded.recipe
    noted(loaded)
    if as_json:
        repeated = refused.pop("repeated_seed", 0)
        said = {"recipe": recipe.name, "seeds": count, "rendered": rendered, "repeated": repeated, "refused": refused}
        write_json({**said, "sha256": loaded.sha256})
        return
    words = {"repeated_seed": "repeated", "not_novel": "not novel"}
    dropped = "".join(f", {number:,} {words.get(reason, reason)}" for reason, number in refused.items())
    with_all = "all of them" if rendered == count else f"the first {rendered:,} of them"
    OUT.print(f"[green]ok[/]  {recipe.name}: {several(count, 'seed')}{dropped}; its templates render with {with_all}")
    told = [*_of_teachers(recipe), *_of_stages(recipe)]
    told += [("license", "none is given, so the result cannot be published")] * (recipe.license is None)
    say_each(told, indent=4)


def _of_teachers(recipe: Recipe) -> Iterator[tuple[str, str]]:
    for name, endpoint in recipe.teachers.items():
        yield f"teacher {name}", f"{endpoint.model} at {endpoint.base_url}{_priced(endpoint)}"
        if (most := _held_at_once(endpoint, recipe.budget)) < endpoint.limits.max_in_flight:
            yield (
                "",
                f"the money budget reserves for at most {most:,} of its requests at once: that limits the run, "
                f"not max_in_flight {endpoint.limits.max_in_flight:,}",
            )
        for one in terms_of(endpoint):
            yield "", f"terms: {one.verdict.replace('_', ' ')}: {sentence(one)}"


def _of_stages(recipe: Recipe) -> Iterator[tuple[str, str]]:
    for stage in recipe.stages:
        checks = ", ".join(validator.kind for validator in stage.validators) or "none"
        scores = ", ".join(scorer.name for scorer in stage.scorers) or "none"
        most = stage.draws if isinstance(stage.draws, int) else stage.draws.most
        draws = "" if most == 1 else f" x {most} draws" if most == stage.draws else f" x at most {most} draws"
        yield f"stage {stage.name}", f"{stage.generator.kind}{draws}; checks {checks}; scores {scores}"
        for name in stage.asks() if stage.can_wait_h else ():
            yield "", _waited_for(name, recipe.teachers[name], stage.can_wait_h)


def _waited_for(name: str, endpoint: Endpoint, hours: float) -> str:
    """How a teacher is asked by a stage that can wait."""
    terms, price = endpoint.known.batch, endpoint.known_price()
    if terms is None:
        return f"{name} is asked online: no batches are known there"
    factor = terms.factor if price is None else price.service_tiers.get("batch", terms.factor)
    return f"{name} is asked by batch, for {factor:.0%} of the price; what has not come {hours:g} h later, online"


def _priced(endpoint: Endpoint) -> str:
    price = endpoint.known_price()
    if price is None:
        return "; price unknown"
    dated = f" as of {price.as_of}" if price.as_of else ""
    source = f" ({price.source}{dated})" if price.source else dated
    return f"; ${price.input_usd:g} / ${price.output_usd:g} per million tokens{source}"


def _held_at_once(endpoint: Endpoint, caps: Caps) -> int:
    """How many requests of full output the money cap can reserve for at the same time, prompts left out."""
    price, most = endpoint.known_price(), endpoint.limits.max_in_flight
    if caps.microusd is None or price is None:
        return most
    empty = Request(b"", "", endpoint.model, b"", 0, 0, endpoint.sampling.max_tokens)
    worst = tariff(price, endpoint.service_tier).worst(empty).microusd
    return min(most, caps.microusd // worst) if worst else most
