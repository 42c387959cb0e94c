"""What would make a run cheaper, and by how much: only what its hosts have, and what its recipe does not do yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from synth.estimates.pilot import Seen, batch_factor
from synth.money.budget import usd
from synth.protocol.endpoint import Endpoint
from synth.recipes.recipe import Recipe, Stage

CACHED_FROM = 1024
"""Hosts keep the beginning of a prompt from so many tokens on."""
DEAR_JUDGE = 0.3
FLEX = "flex"

Hint = tuple[float, str]
"""What the pilot would have cost less by, in micro-dollars, and by what."""
Steps = Mapping[tuple[str, str], Seen]


def hints(recipe: Recipe, found: Steps, factors: Mapping[tuple[str, str], float], grown: float) -> list[str]:
    """What would save money, the most first. `grown` is how many times what the pilot cost the whole does."""
    every: list[Hint] = []
    total = sum(float(one.cost.sum()) * factors[key] for key, one in found.items())
    for stage in recipe.stages:
        own = {key: one for key, one in found.items() if key[0].partition(":")[0] == stage.name and one.cost.any()}
        every += _of_stage(recipe, stage, own, factors)
        for key, one in own.items():
            endpoint = recipe.teachers.get(key[1])
            if endpoint is not None:
                every += ((factors[key] * money, said) for money, said in _of_step(key[0], endpoint, one))
            if key[0].endswith(":score") and float(one.cost.sum()) * factors[key] > DEAR_JUDGE * total:
                every += ((factors[key] * money, said) for money, said in _of_judge(key[0], endpoint, one))
    every += _flex(recipe, found)
    told = [(round(money * grown), said) for money, said in sorted(every, reverse=True)]
    return [f"{said} {usd(microusd)}" for microusd, said in told if microusd > 0]


def _of_stage(recipe: Recipe, stage: Stage, own: Steps, factors: Mapping[tuple[str, str], float]) -> Iterator[Hint]:
    if not stage.can_wait_h:
        endpoints = ((recipe.teachers.get(teacher), one) for (_, teacher), one in own.items())
        waiting = sum(
            float(one.cost.sum()) * (1 - batch_factor(endpoint))
            for endpoint, one in endpoints
            if endpoint is not None and endpoint.known.batch is not None
        )
        yield waiting, f"can_wait_h: 24 on stage {stage.name} asks by batch and saves about"
    if isinstance(stage.draws, int) and stage.draws > 1:
        spent = sum(factors[key] * _by_draws(recipe.teachers.get(key[1]), key[0], one) for key, one in own.items())
        yield spent / stage.draws, f"one draw less than {stage.draws} in stage {stage.name} saves about"


def _by_draws(endpoint: Endpoint | None, step: str, one: Seen) -> float:
    """What of a step's cost grows with the draws: not the prompt, where it is billed once for all of them."""
    price = endpoint.known_price() if endpoint is not None and not step.endswith(":score") else None
    once = price is not None and endpoint is not None and endpoint.draws_at_once > 1
    return float(one.cost.sum()) - (float(one.prompt.sum()) * price.input_usd if once and price else 0.0)


def _of_judge(step: str, endpoint: Endpoint | None, one: Seen) -> Iterator[Hint]:
    requests = max(1.0, float(one.requests.sum()))
    prompt = float(one.prompt.sum()) / requests
    yield float(one.cost.sum()) / 2, f"a judge of half the price for {step} saves about"
    price = None if endpoint is None else endpoint.known_price()
    if price is not None:
        alike = _alike(one)[0]
        said = (
            f"prompts of {step} take {prompt:,.0f} tokens, {alike:,.0f} of them the same each time: half as many save"
        )
        yield alike / 2 * requests * price.input_usd, f"{said} about"


def _of_step(step: str, endpoint: Endpoint, one: Seen) -> Iterator[Hint]:
    """What a host's cache of prompts would save, where it has one and has not been used."""
    price = endpoint.known_price()
    if price is None or price.cached_input_usd is None or one.cached.any():
        return
    first, last = _alike(one)
    a_token = float(one.requests.sum()) * (price.input_usd - price.cached_input_usd)
    if first >= CACHED_FROM:
        said = f"prompts of {step} begin with the same {first:,.0f} tokens: from the host's cache that saves up to"
        yield first * a_token, said
    elif last >= CACHED_FROM:
        said = f"prompts of {step} end with the same {last:,.0f} tokens: where these come first, the host's cache saves"
        yield last * a_token, f"{said} up to"


def _flex(recipe: Recipe, found: Steps) -> Iterator[Hint]:
    """What a slower tier of the same host costs less, for what does not wait for a batch already."""
    waits = recipe.waits()
    for name, endpoint in recipe.teachers.items():
        price = endpoint.known_price()
        factor = 1.0 if price is None else price.service_tiers.get(FLEX, 1.0)
        if endpoint.service_tier or FLEX not in endpoint.known.service_tiers or factor >= 1:
            continue
        asked = [
            one for (step, teacher), one in found.items() if teacher == name and step.partition(":")[0] not in waits
        ]
        spent = sum(float(one.cost.sum()) for one in asked)
        yield spent * (1 - factor), f"service_tier: {FLEX} on {name} is slower and saves about"


def _alike(one: Seen) -> tuple[float, float]:
    """About how many tokens all prompts of a step begin with alike, and how many they end with alike."""
    texts = one.texts()
    if len(texts) < 2 or not any(texts):
        return 0.0, 0.0
    a_letter = float(one.prompt.sum() / max(1.0, one.requests.sum())) / (sum(map(len, texts)) / len(texts))
    return a_letter * _shared(texts), a_letter * _shared([text[::-1] for text in texts])


def _shared(texts: Sequence[str]) -> int:
    """How many letters all texts begin with alike: as many as the two furthest apart."""
    first, last = min(texts), max(texts)
    return next((place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
