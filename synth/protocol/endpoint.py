"""Where a teacher answers: model, host, key variable, sampling, limits, price."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, JsonValue, field_validator, model_validator

from synth import profiles
from synth.errors import Fatal
from synth.language.near import hint
from synth.money.price_table import listed
from synth.money.prices import FREE, Price
from synth.profiles import UNKNOWN, Profile, Structured, named, profile_of
from synth.protocol.keys import key_of, look
from synth.types import Value

PRACTICE = "practice:"
REPLAY = "replay:"
LOCAL = "local:"
SERVE, PIPED = "serve:", "vllm:"
OWN = (SERVE, PIPED)
"""vLLM that runs for the run: as a server, or asked over a pipe."""
HERE = (PRACTICE, REPLAY, LOCAL, *OWN)
"""What is answered in this process, or by a server that it starts."""
DEARER = "priority"
"""The service tier that costs more, wherever there is one."""
PRACTICE_KINDS = ("", "usual", "faultless", "held_out", "unhealthy")


def _base_url(url: str) -> str:
    if url.startswith(PRACTICE) and url.removeprefix(PRACTICE) not in PRACTICE_KINDS:
        raise ValueError(f"{url!r} is not one of practice:, practice:faultless, practice:held_out, practice:unhealthy")
    if url.startswith(HERE):
        return url
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not a base URL; write one like http://localhost:8000/v1")
    if is_metadata(parts.hostname):
        raise ValueError(f"{url!r} is a link-local address, where clouds keep credentials; it is never asked")
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(f"{url!r} has no port that can be asked; write a number from 1 to 65535 after the host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(
            "a base URL carries no user, password, query or fragment; name the key's variable in key_variable"
        )
    return url.rstrip("/")


def _key_variable(name: str | None) -> str | None:
    if name is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", name):
        raise ValueError("give the name of an environment variable, such as OPENAI_API_KEY, never the key itself")
    return name


BaseUrl = Annotated[str, AfterValidator(_base_url)]
KeyVariable = Annotated[str | None, AfterValidator(_key_variable)]


OUR_FIELDS = frozenset(
    [
        "model",
        "messages",
        "max_tokens",
        "max_completion_tokens",
        "n",
        "stream",
        "temperature",
        "top_p",
        "seed",
        "stop",
        "response_format",
        "service_tier",
    ]
)


class Sampling(Value):
    """How the teacher picks its words. All of it is part of a request's identity."""

    max_tokens: int = Field(default=1024, ge=1, le=10_000_000)
    """The most tokens one reply may have; also what a money budget reserves before each send."""
    temperature: float | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = None
    """Draw k sends `seed + k`; without it no seed is sent."""
    stop: list[str] = []
    logprobs: int | None = Field(default=None, ge=0, le=100)
    """Have the log-probability of each token told, with so many of the most likely ones in its place: they are kept
    beside the dataset."""
    extra: dict[str, JsonValue] = {}
    """Fields of the request body that only this server knows, such as `chat_template_kwargs`."""

    def wire(self) -> dict[str, JsonValue]:
        """What of it a request carries besides its cap, by the names of the protocol; of the seed the first draw's."""
        own: dict[str, JsonValue] = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": self.seed,
            "stop": list[JsonValue](self.stop) or None,
            "logprobs": None if self.logprobs is None else True,
        }
        return {**{name: value for name, value in own.items() if value is not None}, **self.extra}

    @field_validator("extra")
    @classmethod
    def _extra(cls, extra: dict[str, JsonValue]) -> dict[str, JsonValue]:
        ours = sorted(OUR_FIELDS & extra.keys())
        if ours:
            raise ValueError(f"{ours[0]!r} is not for extra: it is set by synth or has a field of its own")
        return dict(sorted(extra.items()))  # so that their order makes no other request


class Limits(Value):
    """What the endpoint may be asked to bear."""

    max_in_flight: int = Field(default=256, ge=1)
    """So many at once at most; how many it bears is found. A server on a private network, which refuses nobody, is sent
    half of what is given here at once, any other one 16."""
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    """Prompt tokens (estimated) and `max_tokens` together; what a reply did not use is given back, but with OpenAI and
    Azure, which count `max_tokens` whatever is used."""
    deadline_s: float = Field(default=600, gt=0)
    """One absolute deadline for a send, from connecting to the last byte."""


OUR_VLLM_ARGS = frozenset(
    ["--host", "--port", "--uds", "--served-model-name", "--api-key", "--root-path", "--ssl-keyfile", "--ssl-certfile"]
)

METADATA = ("fd00:ec2::254", "fd20:ce::254")
"""Where AWS and Google serve credentials over IPv6; over IPv4 and elsewhere it is a link-local address."""


class Replica(Value):
    """Another server of the same model, or another key."""

    base_url: BaseUrl
    key_variable: KeyVariable = None


class Endpoint(Value):
    """A named teacher. Its name in the recipe, not its host, is its identity: a moved server buys nothing twice."""

    model: str = Field(min_length=1)
    base_url: BaseUrl
    """`https://host/v1`; `practice:` for the embedded practice teacher; `replay:PATH` for recorded replies;
    `local:PATH` for a static embedding model in a folder, which needs `synth[embed]`; `serve:MODEL` for a model, by its
    folder or its name on the Hub, that vLLM serves for the length of the run, and `vllm:MODEL` for one that vLLM runs
    without a server. Without MODEL it is `model`."""
    key_variable: KeyVariable = None
    """The NAME of the environment variable that holds the API key."""
    vllm_args: list[str | int | float] = []
    """Further options of `vllm serve` for `serve:` and `vllm:`, such as [--max-model-len, 8192]."""
    profile: str = ""
    """What the host is, such as `azure` or `vllm`, when its address does not tell; `synth hosts` lists them."""
    structured: Structured = "json_schema"
    """How a schema is asked for: enforced by the server, JSON mode, or by words in the prompt. Unless given, the best
    way that the host is known to take."""
    extractor: str = ""
    """Another teacher, cheap or bound by a grammar, that puts what this one answers freely into the schema."""
    fallback: str = ""
    """Another teacher that is asked in the end for what this one cannot do."""
    pin_model: str = ""
    """The model that every reply must say it came from, such as `gpt-4o-2024-08-06`; another one stops the run."""
    stream: bool = False
    """Have replies streamed, and end one whose text has begun to run in a loop, so that an endpoint that bills by the
    token writes no more of it: the row is refused for `repetition`, and charged by what had come."""
    service_tier: str = ""
    """Which of its ways of serving the host is asked for, such as `flex` at half the price; no part of a request's
    identity, and charged by what the reply says it was."""
    standard_after_s: float | None = Field(default=None, ge=0)
    """After so long without room in the tier a request is sent without it. Unless given, it waits."""
    recover: bool = False
    """Have the host keep each reply, under the request's key in its metadata, and fetch what a crash lost from there
    in place of paying for it again. What is kept so stands in the account's own list of stored completions."""
    sampling: Sampling = Sampling()
    limits: Limits = Limits()
    price: Price | None = None
    replicas: list[Replica] = []
    """Further servers or keys of the same model, asked in turn with the first."""

    def members(self) -> list[Endpoint]:
        """This endpoint and its replicas, each as one of its own."""
        return [self, *(self.model_copy(update={**dict(replica), "replicas": []}) for replica in self.replicas)]

    @property
    def queues_silently(self) -> bool:
        """Whether more requests than it can serve wait in its own queue: true of servers one runs oneself."""
        return self.is_own or (not self.base_url.startswith(HERE) and is_private(self.base_url))

    @field_validator("profile")
    @classmethod
    def _profile(cls, name: str) -> str:
        if name and name not in named():
            raise ValueError(f"there is no profile {name!r}; there are {', '.join(named())}{hint(name, named())}")
        return name

    @model_validator(mode="after")
    def _tier_has_a_name(self) -> Endpoint:
        if self.standard_after_s is not None and not self.service_tier:
            raise ValueError("standard_after_s says how long service_tier is waited for; give that too")
        return self

    @model_validator(mode="after")
    def _key_stays_secret(self) -> Endpoint:
        for member in self.members():
            url = member.base_url
            if member.key_variable is not None and url.startswith("http://") and not is_private(url):
                raise ValueError(
                    f"the key in {member.key_variable} would cross the network in clear; write base_url with https://, "
                    "or the private address of a server of your own"
                )
        return self

    @model_validator(mode="after")
    def _own_vllm(self) -> Endpoint:
        """What has an effect only with vLLM of one's own, or none there."""
        if self.vllm_args and not any(member.is_own for member in self.members()):
            raise ValueError('vllm_args are for base_url: "serve:MODEL" or "vllm:MODEL"; leave them out')
        for given in self.vllm_args:
            if str(given).partition("=")[0].replace("_", "-") in OUR_VLLM_ARGS:
                raise ValueError(f"{given!r} is not for vllm_args: synth sets it")
        for member in self.members():
            if member.is_own and member.key_variable is not None:
                raise ValueError(f"{member.base_url!r} asks for no key; leave key_variable out")
            if self.stream and member.base_url.startswith(PIPED):
                raise ValueError(f"{member.base_url!r} does not stream; leave stream out, or write {SERVE}MODEL")
        return self

    @property
    def is_own(self) -> bool:
        """Whether vLLM is started to answer, and ended with the run."""
        return self.base_url.startswith(OWN)

    @property
    def is_practice(self) -> bool:
        """Whether the embedded practice teacher answers."""
        return self.base_url.startswith(PRACTICE)

    @property
    def host(self) -> str:
        """The host, or `practice`, `replay`, `local`, `serve` or `vllm`."""
        if self.base_url.startswith(HERE):
            return self.base_url.split(":", 1)[0]
        return urlsplit(self.base_url).netloc

    @property
    def known(self) -> Profile:
        """What is known of the host."""
        if self.profile:
            return named()[self.profile]
        if self.is_own:
            return named()["vllm"]
        if self.is_practice:
            return profiles.PRACTICE
        return UNKNOWN if self.base_url.startswith(REPLAY) else profile_of(self.base_url)

    def filled(self) -> Endpoint:
        """The endpoint with what its host asks for where nothing is given."""
        changes: dict[str, Any] = {}
        if "structured" not in self.model_fields_set:
            changes["structured"] = self.known.ways(self.model)[0]
        tier = self.known.service_tiers.get(self.service_tier)
        deadlines = [one.deadline_s for one in (self.known, tier) if one is not None and one.deadline_s is not None]
        if deadlines and "deadline_s" not in self.limits.model_fields_set:
            changes["limits"] = self.limits.model_copy(update={"deadline_s": max(deadlines)})
        return self.model_copy(update=changes)

    def fitted(self) -> tuple[Endpoint, list[str]]:
        """The endpoint without what its host does not take, and why each part was left out."""
        objections = list(self.known.objections(self.model, self.sampling.wire()))
        left = {name for name, _ in objections}
        fields = self.sampling.model_dump(exclude=left & set(Sampling.model_fields), exclude_unset=True)
        fields["extra"] = {name: value for name, value in self.sampling.extra.items() if name not in left}
        changes: dict[str, Any] = {"sampling": Sampling.model_validate(fields)}
        ways = self.known.ways(self.model)
        if self.structured not in ways:
            changes["structured"] = ways[0]
            objections.append(("structured", f"{self.known.title} does not heed {self.structured}"))
        if self.service_tier and (why := self.known.tier_objection(self.service_tier)):
            changes |= {"service_tier": "", "standard_after_s": None}
            objections.append(("service_tier", why))
        if self.recover and not self.known.keeps_replies:
            changes["recover"] = False
            objections.append(("recover", f"{self.known.title} keeps no replies that can be looked up"))
        return self.model_copy(update=changes), [f"{name} is left out: {why}" for name, why in objections]

    @property
    def draws_at_once(self) -> int:
        """How many draws of a prompt one request may ask for; 1 where each is to be asked for alone.

        That is so wherever it is not known that the prompt is billed once and that each draw is as if it came alone,
        and for replies that are streamed, or looked up by their requests after a crash.
        """
        if self.stream or self.recover or self.sampling.temperature == 0:  # at which all draws are the same
            return 1
        return min(member._choices() for member in self.members())

    def _choices(self) -> int:
        choices = self.known.choices
        if choices is None or (self.sampling.seed is not None and not choices.seeds_count):
            return 1
        refused = any(field == "n" for field, _ in self.known.objections(self.model, {"n": 2, **self.sampling.extra}))
        return 1 if refused else choices.most

    def known_price(self) -> Price | None:
        """The price to reckon with: the recipe's; nothing on one's own machines; the price table's; or unknown (None).

        With replicas the table must know the first one's host, and every member must be found at the same price.
        """
        if self.price is not None:
            return self.price
        found = [member._host_price() for member in self.members()]
        return found[0] if all(price == found[0] for price in found) else None

    def _host_price(self) -> Price | None:
        if self.base_url.startswith(HERE) or is_private(self.base_url):
            return FREE
        price = listed(self.base_url, self.model, datetime.now(UTC).date())
        if price is None:
            return None
        factors = {name: tier.factor for name, tier in self.known.service_tiers.items() if tier.factor is not None}
        factors |= price.service_tiers
        if self.service_tier == DEARER and DEARER not in factors:
            return None  # more than the usual one, and nobody says how much
        return price.model_copy(update={"service_tiers": factors})

    def key(self) -> str | None:
        """The API key from the environment, or a `.env` file that was looked at.

        Raises Fatal when the variable is named and not set.
        """
        if self.key_variable is None:
            return None
        key = key_of(self.key_variable)
        if not key:
            name = self.key_variable
            raise Fatal(
                f"The environment variable {name} is not set, nor given in a .env file; it should hold the key for "
                f"{self.base_url}."
            )
        if not re.fullmatch(r"[!-~]+", key):
            raise Fatal(
                f"The key in {self.key_variable} for {self.base_url} holds a blank, a line break or a letter outside "
                "ASCII, which no HTTP header carries; set the variable to the key alone."
            )
        return key


def look_for_keys(endpoints: Iterable[Endpoint], folders: Iterable[Path]) -> list[str]:
    """Look for the keys of endpoints that the environment lacks in `.env` files; what the user should know of it."""
    members = [member for endpoint in endpoints for member in endpoint.members()]
    return look({one.key_variable: one.base_url for one in members if one.key_variable}, folders)


def is_private(url: str) -> bool:
    """Whether the URL's host is this machine or on a private network, and so costs nothing by default."""
    host = urlsplit(url).hostname or ""
    bare = "." not in host and ":" not in host
    if bare or host.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or (address.is_private and not address.is_link_local)


def is_metadata(host: str) -> bool:
    """Whether a host is written as a link-local address, where clouds hand out a machine's credentials."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.is_link_local or str(mapped) in METADATA
