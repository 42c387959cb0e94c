"""What is wrong with a recipe whose form is right: names, hosts, terms and prices here, fields and views beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from synth import seeds
from synth.comparing.agreement import MAJORITY, PASS_RATE, Adaptive
from synth.errors import At, Problem
from synth.language.codes import mistaken
from synth.language.near import hint
from synth.protocol.endpoint import Endpoint
from synth.recipes.field_checks import Way, asking, field_problems
from synth.recipes.recipe import Recipe, Stage
from synth.recipes.templates import Templates
from synth.recipes.view_checks import view_problems
from synth.rights import licences, terms
from synth.scorers import VERIFIERS, Scorer
from synth.scorers.length import Length
from synth.scorers.likelihood import Likelihood
from synth.scorers.reward import Reward
from synth.validators.language import Language


def beyond_form(recipe: Recipe, folder: Path, templates: Templates, *, makes: bool) -> list[At]:
    """All that is wrong with a recipe whose files are relative to `folder`. Every template is rendered once.

    `makes` says whether a dataset is to be made of it.
    """
    found = [
        *_language(recipe),
        *_names(recipe),
        *_wasted_draws(recipe),
        *_unheeded(recipe),
        *_hosts(recipe),
        *_waits(recipe),
    ]
    found += [*_sharing(recipe), *_untold(recipe), *view_problems(recipe, folder)]
    if makes:
        found += [*_terms(recipe), *_licence(recipe), *_prices(recipe)]
    return found + field_problems(recipe, folder, templates)


def verifiers(stage: Stage) -> list[str]:
    """The scorers that tell right from wrong, by name."""
    return [scorer.name for scorer in stage.scorers if isinstance(scorer, VERIFIERS)]


def _language(recipe: Recipe) -> list[At]:
    """A code that no text is ever found to be in, so that every row would be refused."""
    given = [(("language",), recipe.language)]
    given += [
        (("stages", index, "validators", place, "language"), validator.language)
        for index, stage in enumerate(recipe.stages)
        for place, validator in enumerate(stage.validators)
        if isinstance(validator, Language) and validator.language != recipe.language
    ]
    return [(way, Problem(said)) for way, code in given if (said := mistaken(code))]


def _names(recipe: Recipe) -> list[At]:
    """Names that are used and not given, or given twice."""
    return [*_stage_names(recipe), *_teacher_names(recipe), *_score_names(recipe), *_products(recipe)]


def _stage_names(recipe: Recipe) -> Iterator[At]:
    """Stages of one name, and what they name that is not there."""
    for name, count in Counter(stage.name for stage in recipe.stages).items():
        if count > 1:
            yield ("stages",), Problem(f"{count} stages are called {name!r}; give each its own name")
    for index, stage in enumerate(recipe.stages):
        if isinstance(stage.draws, Adaptive) and stage.draws.verified and stage.draws.by not in verifiers(stage):
            known = ", ".join(verifiers(stage)) or "none, such as exact_answer, choice or code_tests"
            message = f"`verified` needs a verifier among this stage's scorers; name it in `by`: there is {known}"
            yield ("stages", index, "draws"), Problem(message)
        if stage.novel_against and stage.dedupe is None:
            message = "it compares as `dedupe` says, and this stage has none; give it one, such as {by: question}"
            yield ("stages", index, "novel_against"), Problem(message)


def _teacher_names(recipe: Recipe) -> Iterator[At]:
    """Teachers that are named and not there."""
    for index, stage in enumerate(recipe.stages):
        if stage.dedupe is not None and stage.dedupe.semantic is not None:
            way = ("stages", index, "dedupe", "semantic", "embedder")
            yield from _unknown_teacher(recipe, stage.dedupe.semantic.embedder, way)
        for way, plugin in asking(stage):
            teacher = getattr(plugin, "teacher", None)
            if teacher is not None:
                yield from _unknown_teacher(recipe, teacher, ("stages", index, *way, "teacher"))
            if other := getattr(plugin, "user_teacher", ""):
                yield from _unknown_teacher(recipe, other, ("stages", index, *way, "user_teacher"))
    near = None if recipe.decontaminate is None else recipe.decontaminate.semantic
    for field, name in (("embedder", near.embedder), ("judge", near.judge)) if near is not None else ():
        if name or field == "embedder":
            yield from _unknown_teacher(recipe, name, ("decontaminate", "semantic", field))
    for name, endpoint in recipe.teachers.items():
        for field in ("fallback", "extractor"):
            other = getattr(endpoint, field)
            if other and (other not in recipe.teachers or other == name):
                meant = hint(other, [one for one in recipe.teachers if one != name])
                known = ", ".join(recipe.teachers)
                message = f"{other!r} is not another teacher of the recipe; it names {known}{meant}"
                yield ("teachers", name, field), Problem(message)


def _score_names(recipe: Recipe) -> Iterator[At]:
    """Scorers of one name, and scores that selection names and nobody gives."""
    scores, selection = Counter(scorer.name for stage in recipe.stages for scorer in stage.scorers), recipe.selection
    for name, count in scores.items():
        if count > 1:
            yield ("stages",), Problem(f"{count} scorers are called {name!r}; set `name` to tell them apart")
    for name, giver in ((MAJORITY, "`best_of: majority` gives"), (PASS_RATE, "draws that adapt give")):
        if name in scores:
            message = f"a scorer is called {name!r}: {giver} a score of this name; set `name` to another one"
            yield ("stages",), Problem(message)
    if any(isinstance(stage.draws, Adaptive) for stage in recipe.stages):
        scores[PASS_RATE] += 1
    wanted = [(field, name) for field in ("require", "at_most") for name in getattr(selection, field)]
    wanted += [("diverse", name) for name in (selection.diverse.order if selection.diverse else ())]
    if selection.best_of == MAJORITY:
        if recipe.stages[-1].draws == 1:
            message = f"one draw has no majority; give the stage {recipe.stages[-1].name!r} more `draws`"
            yield ("selection", "best_of"), Problem(message)
    elif selection.best_of:
        wanted.append(("best_of", selection.best_of))
    for field, name in wanted:
        if name not in scores:
            message = f"there is no score {name!r}; the scorers are {', '.join(scores) or 'none'}{hint(name, scores)}"
            yield ("selection", field, name), Problem(message)


def _sharing(recipe: Recipe) -> Iterator[At]:
    """Teachers that share a stage and are not there, twice there, or never asked, and scores that decide among them."""
    for index, stage in enumerate(recipe.stages):
        way = ("stages", index)
        routed = [] if stage.route is None else [*stage.route.named()]
        named = [("teachers", name) for name in stage.teachers] + [("route", name) for _, name in routed]
        for field, name in named:
            yield from _unknown_teacher(recipe, name, (*way, field))
        if stage.teachers and stage.generator.teacher != stage.teachers[0]:
            message = "`teachers` says who answers, the cheapest first; leave the generator's own teacher out"
            yield (*way, "generator", "teacher"), Problem(message)
        for field, names in (("teachers", stage.teachers), *_routed_lists(stage)):
            if len(set(names)) < len(names):
                yield (*way, field), Problem("a teacher stands in it twice; asked again it would be with `ask_again`")
        lists = [stage.teachers, *(names for _, names in _routed_lists(stage))]
        if stage.escalate_below and not any(len(names) > 1 for names in lists):
            message = "there is no second teacher to go to; list the cheap one and a stronger one in `teachers`"
            yield (*way, "escalate_below"), Problem(message)
        known = [scorer.name for scorer in stage.scorers]
        for name in stage.escalate_below:
            if name not in known:
                message = f"this stage has no scorer {name!r}; it has {', '.join(known) or 'none'}{hint(name, known)}"
                yield (*way, "escalate_below", name), Problem(message)


def _routed_lists(stage: Stage) -> Iterator[tuple[str, list[str]]]:
    for names in stage.route.to.values() if stage.route is not None else ():
        yield "route", [names] if isinstance(names, str) else names


def _products(recipe: Recipe) -> list[At]:
    """Scores whose product is to decide, and that may be below 0."""
    order = recipe.selection.diverse.order if recipe.selection.diverse else []
    scorers = [scorer for stage in recipe.stages for scorer in stage.scorers if scorer.name in order]
    message = (
        "the score {!r} may be below 0, so a product with it orders nothing; let it be the only one, or leave it out"
    )
    return [
        (("selection", "diverse", "order"), Problem(message.format(scorer.name)))
        for scorer in scorers
        if len(order) > 1 and _may_be_negative(scorer)
    ]


def _may_be_negative(scorer: Scorer) -> bool:
    if isinstance(scorer, Length):
        return scorer.shortest
    return isinstance(scorer, Likelihood | Reward) and scorer.may_be_negative


def _wasted_draws(recipe: Recipe) -> list[At]:
    """Draws that would be bought and then dropped by their own stage's `dedupe`."""
    found: list[At] = []
    for index, stage in enumerate(recipe.stages):
        if stage.dedupe is None or stage.draws == 1:
            continue
        by, message = stage.dedupe.by, ""
        if by not in ("answer", "messages") and not stage.generator.adds:
            message = (
                f"all draws of a prompt have the same {by!r}, so all but the first would be bought and dropped; "
                "compare on the stage before, or have the seeds compared with `synth dedupe`"
            )
        elif stage is recipe.stages[-1] and recipe.selection.best_of == MAJORITY:
            message = "it drops answers that say the same, which `best_of: majority` is to count; leave one of them out"
        found += [(("stages", index, "dedupe"), Problem(message))] * bool(message)
    return found


def _unknown_teacher(recipe: Recipe, name: str, way: Way) -> list[At]:
    if name in recipe.teachers:
        return []
    known = ", ".join(recipe.teachers)
    return [(way, Problem(f"there is no teacher {name!r}; the recipe names {known}{hint(name, recipe.teachers)}"))]


def _hosts(recipe: Recipe) -> list[At]:
    """What a teacher's host, or that of a replica, would answer with an error, or pass over in silence."""
    found: list[At] = []
    for name, endpoint in recipe.teachers.items():
        places = [(), *(("replicas", at) for at in range(len(endpoint.replicas)))]
        for place, member in zip(places, endpoint.members(), strict=True):
            found += [one for one in _host(("teachers", name), place, member) if one not in found]
    return found


def _unheeded(recipe: Recipe) -> list[At]:
    """What is told of teachers that write nothing, as they only measure or embed, and concerns writing."""
    asked = [plugin for stage in recipe.stages for _, plugin in asking(stage)]
    writing = {getattr(plugin, "teacher", "") for plugin in asked if not isinstance(plugin, Likelihood | Reward)}
    writing |= {name for stage in recipe.stages for name in stage.answering()}
    writing |= {getattr(stage.generator, "user_teacher", "") for stage in recipe.stages}
    near = None if recipe.decontaminate is None else recipe.decontaminate.semantic
    writing.add("" if near is None else near.judge)
    for name in [*writing & recipe.teachers.keys()]:
        writing |= {recipe.teachers[name].fallback, recipe.teachers[name].extractor}
    found: list[At] = []
    for name, endpoint in recipe.teachers.items():
        if name in writing or name not in measuring(recipe):
            continue
        given = [("fallback",), ("extractor",), ("stream",)]
        ways = [way for way in given if way[0] in endpoint.model_fields_set]
        ways += [("sampling", field) for field in endpoint.sampling.model_fields_set - {"extra"}]
        message = f"{name!r} writes no text here, so this has no effect; leave it out"
        found += [(("teachers", name, *way), Problem(message)) for way in sorted(ways)]
    return found


def _untold(recipe: Recipe) -> Iterator[At]:
    """Log-probabilities of replies that become no rows, which are kept nowhere."""
    asked = {name for stage in recipe.stages for name in stage.asks()} - measuring(recipe) - recipe.row_writers()
    for name, endpoint in recipe.teachers.items():
        if endpoint.sampling.logprobs is not None and name in asked:
            message = f"no answer of {name!r} becomes a row, so its log-probabilities are kept nowhere; leave it out"
            yield ("teachers", name, "sampling", "logprobs"), Problem(message)


def measuring(recipe: Recipe) -> set[str]:
    """The teachers that are asked for numbers: log-probabilities, rewards, vectors."""
    scorers = (scorer for stage in recipe.stages for scorer in stage.scorers)
    return recipe.embedders() | {scorer.teacher for scorer in scorers if isinstance(scorer, Likelihood | Reward)}


def host_problems(endpoint: Endpoint) -> list[Problem]:
    """What an endpoint's own host would answer with an error, or pass over in silence."""
    return [problem for _, problem in _host((), (), endpoint)]


def _host(way: Way, place: Way, member: Endpoint) -> Iterator[At]:
    """The same of one member of a pool, whose own fields are at `place` in it."""
    known, sampling, parts = member.known, member.sampling, urlsplit(member.base_url)
    for field, reason in known.objections(member.model, sampling.wire()):
        inside = ("extra", field) if field in sampling.extra else (field,)
        yield (*way, "sampling", *inside), Problem(f"{reason}; leave {field} out")
    ways = known.ways(member.model)
    if member.structured not in ways:
        message = f"{known.title} does not heed {member.structured}; write {' or '.join(ways)}"
        yield (*way, "structured"), Problem(message)
    if member.stream and sampling.logprobs is not None:
        yield (
            (*way, "stream"),
            Problem("a reply that is read as a stream keeps no log-probabilities; leave one of them out"),
        )
    if member.service_tier and (why := known.tier_objection(member.service_tier)):
        yield (*way, "service_tier"), Problem(f"{why}; leave service_tier out")
    if member.recover and not known.keeps_replies:
        yield (*way, "recover"), Problem(f"{known.title} keeps no replies that can be looked up; leave recover out")
    if known.key_variable and member.key_variable is None:
        message = f"{known.title} asks for a key; name its environment variable, such as {known.key_variable}"
        yield (*way, *place, "key_variable"), Problem(message)
    if known.base_path and not member.profile and parts.path != known.base_path:
        message = f"{known.title} answers at {parts.scheme}://{parts.netloc}{known.base_path}; write that"
        yield (*way, *place, "base_url"), Problem(message)


def _waits(recipe: Recipe) -> Iterator[At]:
    """Stages that can wait, and whose hosts take no batches."""
    for index, stage in enumerate(recipe.stages):
        asked = [recipe.teachers[name] for name in stage.asks() if name in recipe.teachers]
        if not stage.can_wait_h or any(endpoint.known.batch is not None for endpoint in asked):
            continue
        hosts = ", ".join(dict.fromkeys(endpoint.known.title for endpoint in asked))
        message = f"no batches are known at {hosts}, so waiting makes nothing cheaper; leave can_wait_h out"
        yield ("stages", index, "can_wait_h"), Problem(message)


def _terms(recipe: Recipe) -> list[At]:
    """Terms that restrict training on a teacher's output and that nobody has accepted by name."""
    names = [one.id for one in terms.every()]
    found: list[At] = [
        (("accept_terms",), Problem(f"there are no terms {name!r}; there are {', '.join(names)}{hint(name, names)}"))
        for name in recipe.accept_terms
        if name not in names
    ]
    for name, endpoint in recipe.teachers.items():
        for one in terms.terms_of(endpoint):
            if one.verdict == "restricted" and one.id not in recipe.accept_terms:
                mend = f"If you may go on, write accept_terms: [{one.id}], or --accept-terms {one.id}"
                found.append((("teachers", name), Problem(f"{terms.sentence(one)} {mend}")))
    return found


def _licence(recipe: Recipe) -> list[At]:
    """What the seeds and the teachers ask that the licence of the result does not carry."""
    said = [(name, one) for name, endpoint in recipe.teachers.items() for one in terms.terms_of(endpoint)]
    made_from = licences.sources(seeds.licence(recipe.seeds), said)
    return [(("license",), Problem(conflict)) for conflict in licences.conflicts(recipe.license or "", made_from)]


def _prices(recipe: Recipe) -> list[At]:
    if not recipe.budget.has_money or recipe.budget.allow_unknown_price:
        return []
    message = (
        "its price is not known, so a money budget cannot be kept; give `price: {input_usd: .., output_usd: ..}` in "
        "dollars per million tokens (or 0 for your own server), install the price table (pip install 'synth[prices]'), "
        "leave the budget out, or go on without seeing this teacher's cost: --allow-unknown-price"
    )
    return [
        (("teachers", name), Problem(f"teacher {name!r} ({endpoint.base_url}): {message}"))
        for name, endpoint in recipe.teachers.items()
        if endpoint.known_price() is None
    ]
