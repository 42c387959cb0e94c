"""What `ask_all` is given, checked before the first request: a teacher, prompts, validators."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from synth.errors import RecipeError
from synth.language.codes import mistaken
from synth.language.near import hint
from synth.patterns import lazy
from synth.protocol.endpoint import PRACTICE, Endpoint
from synth.recipes.mistyped import QUOTED
from synth.recipes.options import endpoint_of
from synth.recipes.recipe_checks import host_problems
from synth.rights import terms
from synth.types import Message
from synth.validators import Validator
from synth.validators.finished import Finished
from synth.validators.refusal import Refusal

Prompt = str | Sequence[Message | Mapping[str, str]]
"""A question, or the turns of a conversation that the teacher is to go on with, each `role` and `content`."""

PRACTICE_MODEL = "practice-1"
MESSAGES = TypeAdapter(tuple[Message, ...])
VALIDATORS = TypeAdapter(list[Validator])
KEYS = ("role", "content", "reasoning_content")
"""What a message may say. The reasoning of earlier turns is not sent, as hosts want it."""
HALF = lazy("[\ud800-\udfff]")
"""A surrogate without its other half, as damaged files have it."""


def endpoint(teacher: str | Mapping[str, Any] | Endpoint) -> Endpoint:
    """The endpoint that `teacher=` names. Raises RecipeError for what names none."""
    if isinstance(teacher, Endpoint):
        return teacher.filled()
    if isinstance(teacher, str):
        alone = teacher.startswith(PRACTICE) and "," not in teacher
        return endpoint_of(f"{teacher},{PRACTICE_MODEL}" if alone else teacher, "teacher=").fitted()[0]
    try:
        return Endpoint.model_validate(teacher).filled()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place, reason = ".".join(map(str, first["loc"])), str(first["msg"]).removeprefix("Value error, ")
        raise RecipeError(f"teacher= {place or 'as a whole'}: {reason}.") from None


def permit(endpoint: Endpoint, accept_terms: Sequence[str]) -> None:
    """Raise RecipeError for a host that would refuse, and for terms that restrict and that nobody has accepted."""
    problems = [f"teacher= {problem.message}." for problem in host_problems(endpoint)]
    problems += [
        f"{terms.sentence(one)} If you may go on, give accept_terms=[{one.id!r}]."
        for one in terms.terms_of(endpoint)
        if one.verdict == "restricted" and one.id not in accept_terms
    ]
    if problems:
        raise RecipeError(" ".join(problems))


def conversations(prompts: Sequence[Prompt], system: str) -> list[tuple[Message, ...]]:
    """The turns of each prompt, below the system's.

    Raises RecipeError for what is no list of prompts, and for a prompt that asks nothing.
    """
    if isinstance(prompts, str):
        raise RecipeError("ask_all takes a list of prompts; this is one text: write [prompt].")
    if not isinstance(cast("object", prompts), Iterable):
        raise RecipeError(f"ask_all takes a list of prompts, and {prompts!r} is none.")
    begin = (Message(role="system", content=system),) if system else ()
    return [(*begin, *_turns(prompt, place)) for place, prompt in enumerate(prompts)]


def _turns(prompt: object, place: int) -> tuple[Message, ...]:
    try:
        turns = (Message(role="user", content=prompt),) if isinstance(prompt, str) else MESSAGES.validate_python(prompt)
    except ValidationError:
        turns = ()
    for number, message in enumerate(cast("Iterable[object]", prompt) if isinstance(prompt, list | tuple) else ()):
        _check_keys(message, f"prompts[{place}][{number}]")
    if not turns or turns[-1].role != "user" or not turns[-1].content.strip():
        raise RecipeError(
            f"prompts[{place}] asks nothing: give a text, or messages with `role` and `content` that end with a user's."
        )
    if broken := next(filter(None, (HALF.search(turn.content) for turn in turns)), None):
        code = f"U+{ord(broken[0]):04X}"
        raise RecipeError(f"prompts[{place}] holds half a letter, {code}, which cannot be sent; mend it.")
    return turns


def _check_keys(message: object, where: str) -> None:
    """Raise RecipeError for what a message says that would not be sent."""
    given: Mapping[object, object] = cast("Any", message) if isinstance(message, Mapping) else {}
    for key, value in given.items():
        if key not in KEYS and value is not None:
            known = hint(str(key), KEYS) or "; a message has `role` and `content` alone."
            raise RecipeError(f"{where} has {key!r}, which would not be sent{known}")


def _plain_checks(validators: object) -> list[dict[str, Any]]:
    """The checks as dictionaries. Raises RecipeError for what is no list of them."""
    each = list(cast("Sequence[Any]", validators)) if isinstance(validators, Sequence) else []
    if isinstance(validators, str) or not all(isinstance(one, Mapping) for one in each) or (validators and not each):
        raise RecipeError('validators= takes a list of checks, each as {"kind": "finished"}.')
    return [dict(one) for one in each]


def checks(validators: Sequence[Mapping[str, Any]] | None, language: str) -> list[Validator]:
    """The checks, in the language of the answers where they name none. Raises RecipeError for what is no check."""
    if wrong := mistaken(language):
        raise RecipeError(f"language= {wrong}.")
    if validators is None:
        return [Finished(), Refusal()]
    try:
        found = VALIDATORS.validate_python(_plain_checks(validators))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["type"] == "union_tag_invalid":
            told = first.get("ctx", {})
            kind, known = str(told.get("tag")), QUOTED.findall(str(told.get("expected_tags")))
            meant = hint(kind, known) or f"; choose one of {', '.join(known)}."
            raise RecipeError(f"validators.{first['loc'][0]}: there is no kind {kind!r}{meant}") from None
        place = ".".join(str(part) for part in first["loc"])
        raise RecipeError(f"validators.{place}: {str(first['msg']).removeprefix('Value error, ')}.") from None
    lacking = [getattr(one, "language", None) == "" for one in found]
    return [
        one.model_copy(update={"language": language}) if lacks else one
        for one, lacks in zip(found, lacking, strict=True)
    ]
