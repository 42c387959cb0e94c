"""The values that flow. None of them is changed; a step returns new ones, and a user's own plug-ins get copies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, dataclass_transform

from pydantic import BaseModel, ConfigDict, JsonValue

CHAT, MESSAGES = "/chat/completions", "/messages"
EMBEDDINGS, COMPLETIONS, CONTINUED = "/embeddings", "/completions", "/completions#text"
POOLING, CLASSIFY, SCORE = "/pooling", "/classify", "/score"
"""Where requests go below an endpoint's base URL, by what they ask for; the part after # is for the reader alone."""

LOT = "several choices"
"""How a chat's reply is read that brings several draws: in place of a path."""

UNSERVED = "unserved"
"""The error of a request in a batch that ended before its turn had come, and of a choice that a reply lacks: nothing
was paid for it."""

TemplateFile = Annotated[str, "template"]
"""The name of a Jinja template beside the recipe, in `../shared`, or of synth's own."""

Fields = dict[str, JsonValue]
"""What templates can read: a seed's columns and what earlier generators added."""


T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def value(fields: type[T]) -> type[T]:
    """A class of values that a type checker lets nobody change. Were they frozen for Python too, which sets each field
    by a call then, making one would take twice as long."""
    return dataclass(slots=True, kw_only=True, unsafe_hash=True)(fields)


class Value(BaseModel):
    """A frozen pydantic value that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@value
class Message:
    """One turn of a conversation, in the shape trainers read."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    reasoning_content: str | None = None

    def shown(self) -> str:
        """What people are shown of it."""
        return self.content


@value
class Function:
    """What is called, and with what."""

    name: str
    arguments: str
    """A JSON object as text: as values, Parquet would join those of all tools, and fill each with the others' nulls."""


@value
class ToolCall:
    """One call, as OpenAI's chats and every chat template have it."""

    id: str
    function: Function
    type: Literal["function"] = "function"


@value
class ToolTurn(Message):
    """One turn of a dialogue in which tools are called; rows without tools do not carry its fields."""

    tool_calls: tuple[ToolCall, ...] | None = None
    tool_call_id: str | None = None
    """Of a tool's result: the call that it answers."""
    name: str | None = None
    """Of a tool's result: the tool."""

    def shown(self) -> str:
        """The calls, each with its arguments, below the text if there is one."""
        calls = [f"{call.function.name} {call.function.arguments}" for call in self.tool_calls or ()]
        return "\n".join([*([self.content] if self.content else []), *calls])


@value
class Seed:
    """What varies: one input row. Later stages receive the samples of the stage before as seeds."""

    id: str
    """Its position, zero-padded, so that text order is number order; before it `t<turn>-` when it is drawn again."""
    fields: Fields
    turn: int = 0
    """How often it was drawn before."""
    made: tuple[str, ...] = ()
    """Questions that were made from it in earlier turns, for a generator that is to ask for others."""

    def first_id(self) -> str:
        """The id under which it was drawn first: rows of all turns belong to it."""
        return self.id.partition("-")[2] or self.id


@value
class Draft:
    """What a generator makes. It knows nothing of the run."""

    messages: tuple[Message, ...]
    fields: Fields = field(default_factory=dict[str, JsonValue])
    """Added to the seed's fields for the templates of later stages, scorers and dedupe."""
    finish_reason: str = "stop"
    tools: str = ""
    """What could be called, a JSON list of functions as OpenAI describes them; empty where nothing could."""
    refused: tuple[str, str] | None = None
    """Reason and detail, where the generator itself found that it is of no use: it is kept as a refused sample is."""


@value
class Score:
    """One number for one sample, with what the scorer saw."""

    name: str
    value: float
    detail: str = ""

    def counted(self) -> float:
        """The value to three digits, as values are counted."""
        return float(f"{self.value:.3g}")


@value
class Sample:
    """A draft with its identity: which seed, which stage, which draw."""

    id: str
    """`<parent id>/<draw>/<place>`, zero-padded; text order is the order of the ordered gate."""
    seed_id: str
    parent_id: str
    stage: str
    draw: int
    messages: tuple[Message | ToolTurn, ...]
    """Named one by one, so that what is read from a file keeps its calls."""
    fields: Fields
    finish_reason: str = "stop"
    scores: tuple[Score, ...] = ()
    """Of every stage so far."""
    requests: tuple[str, ...] = ()
    """Keys (hex) of the requests that made it, in every stage."""
    repairs: tuple[str, ...] = ()
    """What it took to get replies that fit, in every stage: what was mended, and how it was asked for again."""
    served_by: tuple[str, ...] = ()
    """Who served those requests, where an endpoint that passes them on said so."""
    model: str = ""
    """The model that stood in for the stage's teacher, when one did."""
    cost_microusd: int = 0
    tools: str = ""
    """As of a draft."""

    def answer(self) -> str:
        """The last assistant turn, or an empty text when there is none."""
        last = self.messages[-1] if self.messages else None
        return last.content if last is not None and last.role == "assistant" else ""

    def question(self) -> str:
        """The last user turn, or an empty text when there is none."""
        return next((m.content for m in reversed(self.messages) if m.role == "user"), "")

    def by_answer(self) -> tuple[Sample, ...]:
        """The sample up to each of its answers, at last as a whole, so that what looks at the last answer sees all."""
        turns = self.messages
        ends = [end for end, one in enumerate(turns[:-1], 1) if one.role == "assistant" and one.content.strip()]
        return (*(replace(self, messages=turns[:end], finish_reason="stop") for end in ends), self)

    def score(self, name: str) -> float | None:
        """The value of the named score; None when the sample was not scored by it."""
        return next((s.value for s in self.scores if s.name == name), None)

    def refused(self, reason: str, detail: str, stage: str = "") -> Rejection:
        """The sample as what it was refused for, by its own stage unless another is named."""
        return Rejection(
            id=self.id, seed_id=self.seed_id, stage=stage or self.stage, reason=reason, detail=detail, sample=self
        )


@value
class Rejection:
    """A refused sample, kept with its reason."""

    id: str
    seed_id: str
    stage: str
    reason: str
    """A counter name: lower snake case, stable, few."""
    detail: str = ""
    """For people."""
    twin_id: str | None = None
    """For duplicates: the sample that was kept."""
    similarity: float | None = None
    sample: Sample | None = None
    """What was refused; None when there was no text to keep."""


class Usage(NamedTuple):
    """Tokens of one reply as the provider counted them; None where it said nothing usable."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    """Reasoning included."""
    cached_tokens: int = 0
    """Of the prompt, read from the provider's cache."""
    reasoning_tokens: int = 0
    cache_write_tokens: int = 0
    """Of the prompt, written to the cache; none of them is among `cached_tokens`."""
    cost_microusd: int | None = None
    """What the provider says it charged."""
    service_tier: str = ""
    """The tier it says it served."""


class Spend(NamedTuple):
    """What requests use, or may use at most."""

    microusd: int = 0
    tokens: int = 0
    """Prompt and completion together."""
    requests: int = 0
    assumed: bool = False
    """Whether it is the worst case because nothing usable said what was used."""


class Completion(NamedTuple):
    """What was read from a good reply: a text, or for a request other than a chat what its reader found."""

    text: str
    finish_reason: str
    usage: Usage = Usage()
    model: str = ""
    """The model the provider says it served."""
    reasoning: str | None = None
    provider: str = ""
    """Who served it, where the endpoint passes requests on and says to whom (OpenRouter)."""
    found: Any = None
    """The vectors of `/embeddings`, the tokens of `/completions`, the rewards of `/pooling` and its like; None for a
    chat."""


class Request(NamedTuple):
    """One prompt with its model and sampling, serialised once."""

    key: bytes
    """SHA-256 over the teacher's name, the body, the draw and the salt, and the path where it is no chat."""
    teacher: str
    model: str
    body: bytes
    """The JSON that is sent, as OpenAI's protocol has it; some hosts are sent the same in their own words."""
    draw: int
    prompt_tokens: int
    """Estimated."""
    max_tokens: int
    prefix: int = 0
    """A number of the prompt's beginning, by which replicas that know it are found."""
    path: str = CHAT
    """Where it goes, below the base URL."""
    is_standard: bool = False
    """Whether the endpoint's service tier is given up for it."""


class Planned(NamedTuple):
    """A request that is to be sent, for which unit of which stage, and what is set aside for it."""

    request: Request
    stage: str
    unit: str
    reserved_microusd: int = 0


class Outcome(NamedTuple):
    """What came back for one send, before anybody looks into it."""

    status: int
    """The HTTP status; 0 when none arrived."""
    body: bytes = b""
    headers: Mapping[str, str] = MappingProxyType({})
    """Lower-case names; only those worth keeping."""
    error: str = ""
    """A transport failure (`connect`, `tls`, `timeout`, `reset`, ...); empty when a whole reply arrived."""
    detail: str = ""
    written: bool = True
    """Whether the request had been fully written: if so, it may have been paid for."""
    seconds: float = 0.0
