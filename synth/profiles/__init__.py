"""What is known of the hosts that people ask, one file each: data, read once, and no code that knows a host by name.

What a host does with a field is told before the first request: one that it would answer with an error, and one that it
would pass over in silence, so that nothing in a recipe has no effect.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, JsonValue

from synth.shipped import shipped
from synth.types import CHAT, MESSAGES, Value

Structured = Literal["json_schema", "json_object", "prompt"]
"""How an object can be asked for: by a schema that the server enforces, in JSON mode, or by words in the prompt."""

Reasoning = Literal["reasoning_content", "reasoning", "thinking blocks", "parts of the content", "<thought>", "hidden"]
"""A field of the message, Anthropic's blocks, parts or a mark in the text, or nowhere: counted alone."""


class Rule(Value):
    """What some of a host's models take."""

    names: str
    """A regular expression for the whole of a model's name, in any case."""
    unless: dict[str, JsonValue] = {}
    """Fields of the request by which it does not hold."""
    refused: list[str] = []
    ignored: list[str] = []
    structured: list[Structured] = []
    """The ways in which an object can be asked of them, where they are others than the host's."""

    def holds(self, model: str) -> bool:
        """Whether a model is one of those."""
        return re.fullmatch(self.names, model.rpartition("/")[2], re.IGNORECASE) is not None


class Tier(Value):
    """One of a host's ways of serving."""

    factor: float | None = Field(default=None, ge=0)
    """What of the standard price it costs, for where the price table does not say."""
    deadline_s: float | None = None
    """How long one of its replies may take, where that is longer than elsewhere."""


class BatchTerms(Value):
    """How a host is asked by batch: for less money, by whoever can wait."""

    protocol: Literal["openai", "anthropic", "google"]
    """Whose way of uploading, ordering and collecting it is."""
    paths: list[str]
    """What can be asked for so."""
    requests: int
    """The most in one batch, all of one model."""
    megabytes: int
    """The most of one file."""
    factor: float
    """What it takes of the usual price, where the price list does not say."""
    hours: float = 24
    """When it gives a batch up."""
    poll_s: float = 60
    """How often at most it is asked how far a batch is, and how long a new one may be missing from its list."""
    source: str = ""


class Choices(Value):
    """How a host gives several replies to a prompt that is billed once: `n` of them in one request."""

    most: int = Field(ge=2)
    seeds_count: bool = False
    """Whether the first is written with the request's seed, the next with one more, and so on."""
    source: str = ""


class Gauges(Value):
    """What a server calls the figures by which it tells its load, at `/metrics` beside its base path."""

    running: str
    waiting: str
    cache: str = ""
    """The share of its cache of tokens that is taken, from 0 to 1."""
    preempted: str = ""
    """How many requests it has put back as the cache was full."""
    reused: str = ""
    """How many tokens of prompts it has had from its cache."""


class Profile(Value):
    """What a host's documentation says that it takes."""

    title: str
    hosts: list[str] = []
    """Patterns of the host, or host and port, of a base URL; none for a server that has no place of its own."""
    source: str = ""
    """Where it was read."""
    read: date | None = None
    owner: str = ""
    """Who owns its models, as its list of them says."""
    limits: list[str] = []
    """By which headers it tells what is left of its limits and how long to wait, or `retryDelay` in a reply's body."""
    caps_count: bool = False
    """Whether its limit of tokens a minute counts `max_tokens` as a request comes, whatever the reply uses then."""
    reasoning: Reasoning | None = None
    """Where a model's reasoning stands in its replies; None where nothing is known of it."""
    key_variable: str = ""
    """The environment variable in which its users keep their key."""
    key_header: str = "authorization"
    """The header that carries the key: `authorization` as a bearer's token, any other as it is."""
    headers: dict[str, str] = {}
    """What else every request to it carries."""
    protocol: Literal["chat", "messages"] = "chat"
    """OpenAI's chat completions, or Anthropic's messages."""
    base_path: str = ""
    """How its base URLs end; empty when they end in more than one way."""
    renamed: dict[str, str] = {}
    """Fields of the request that it calls otherwise."""
    added: dict[str, dict[str, JsonValue]] = {}
    """Members of objects in the request that it is sent besides, unless the recipe says otherwise."""
    structured: list[Structured] = Field(default=["json_schema", "json_object", "prompt"], min_length=1)
    """The ways in which an object can be asked of it, the best first."""
    most_temperature: float | None = None
    refused: list[str] = []
    """Fields of the request that it answers with an error."""
    ignored: list[str] = []
    """Fields of the request that it passes over in silence."""
    deadline_s: float | None = None
    """How long one of its replies may take, where that is longer than elsewhere."""
    keeps_replies: bool = False
    """Whether it stores chat completions when asked to, and lists them by their metadata."""
    service_tiers: dict[str, Tier] = {}
    """Its ways of serving, by the name that asks for them."""
    models: list[Rule] = []
    gauges: Gauges | None = None
    choices: Choices | None = None
    """None where a request brings one reply, or where nobody says that its prompt is billed once."""
    batch: BatchTerms | None = None
    """None where there are no batches, or nothing is known of them."""

    @property
    def chat_path(self) -> str:
        """Where chats are asked for, below the base URL."""
        return MESSAGES if self.protocol == "messages" else CHAT

    def with_key(self, key: str | None) -> dict[str, str]:
        """What the header of a request to it has to have, with the key when there is one."""
        if key is None:
            return self.headers
        if self.key_header == "authorization":
            return {**self.headers, "Authorization": f"Bearer {key}"}
        return {**self.headers, self.key_header: key}

    def ways(self, model: str) -> list[Structured]:
        """The ways in which an object can be asked of a model, the best first."""
        return next((rule.structured for rule in self.models if rule.structured and rule.holds(model)), self.structured)

    def tier_objection(self, tier: str) -> str:
        """Why a service tier cannot be asked for; empty when it can, as far as is known."""
        if tier in self.service_tiers or self.title == UNKNOWN.title:
            return ""
        known = ", ".join(self.service_tiers)
        return f"{self.title} has no tier {tier!r}" + (f"; there are {known}" if known else " that is known")

    def objections(self, model: str, body: Mapping[str, JsonValue]) -> Iterator[tuple[str, str]]:
        """The fields of a request to a model that have no effect or a bad one, each with the reason."""
        temperature = body.get("temperature")
        most = self.most_temperature
        if most is not None and isinstance(temperature, int | float) and temperature > most:
            yield "temperature", f"{self.title} takes at most {most:g}"
        rules = [Rule(names=".*", refused=self.refused, ignored=self.ignored), *self.models]
        for rule in rules:
            if any(body.get(name) == value for name, value in rule.unless.items()) or not rule.holds(model):
                continue
            unless = "".join(f", unless {name} is {_plain(value)}" for name, value in rule.unless.items())
            for does, names in (("refuses it", rule.refused), ("passes it over in silence", rule.ignored)):
                for name in names:
                    if name in body:
                        yield name, f"{self.title} {does}{'' if rule.names == '.*' else f' with {model}'}{unless}"


UNKNOWN = Profile(title="an OpenAI-compatible server")
"""Nothing is known of it: what the OpenAI protocol has is taken to be there, and the run watches whether it is."""

PRACTICE = Profile(
    title="the practice teacher",
    choices=Choices(most=128, seeds_count=True),
    batch=BatchTerms(
        protocol="openai",
        paths=["/chat/completions", "/embeddings"],
        requests=50_000,
        megabytes=200,
        factor=0.5,
        poll_s=0.1,
    ),
)
"""For rehearsals: a batch of it ends in the run that orders it."""


@cache
def named() -> dict[str, Profile]:
    """All profiles, by the names of their files."""
    folder = files(__name__)
    texts = {one.name.removesuffix(".yaml"): one.read_text("utf-8") for one in folder.iterdir() if ".yaml" in one.name}
    read: dict[str, Any] = {name: shipped(text) for name, text in sorted(texts.items())}
    return {name: Profile.model_validate(one) for name, one in read.items()}


def profile_of(base_url: str) -> Profile:
    """What is known of the host of a base URL."""
    parts = urlsplit(base_url)
    for profile in named().values():
        for pattern in profile.hosts:
            if fnmatch.fnmatch(parts.netloc if ":" in pattern else parts.hostname or "", pattern):
                return profile
    return UNKNOWN


def _plain(value: JsonValue) -> str:
    return value if isinstance(value, str) else str(value).replace("'", "")
