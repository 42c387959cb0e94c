"""What a server that nobody described can do, found by asking it: about ten small requests, none of them kept."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import orjson
from pydantic import JsonValue

from synth.admission.gauges import figures, may_tell, page, told_in
from synth.admission.rate_headers import allowances
from synth.backends import Backend
from synth.backends.fetch import fetched
from synth.backends.online import online
from synth.errors import Fatal, Rejected, Transient
from synth.language.text import several
from synth.live.loop import run_loop
from synth.profiles import UNKNOWN, named
from synth.protocol import explain
from synth.protocol.endpoint import Endpoint
from synth.protocol.replies import read, usage_of
from synth.types import CHAT, COMPLETIONS, Completion, Outcome, Request

WORD = "zq-417"
"""What no model says by itself."""
FORM: dict[str, JsonValue] = {
    "type": "object",
    "properties": {"code": {"type": "string", "enum": [WORD]}},
    "required": ["code"],
    "additionalProperties": False,
}
FORMATS: Mapping[str, JsonValue] = {
    "json_schema": {"type": "json_schema", "json_schema": {"name": "reply", "schema": FORM, "strict": True}},
    "json_object": {"type": "json_object"},
}
LONG = "synth asks whether the beginning of a prompt is kept. "
LENGTHS = (120, 30, 8)
"""How often it is said: first for more than the 1,024 tokens from which hosts keep a prompt's beginning, then for less,
as a small model may have no room."""
CONTEXTS = ("max_model_len", "context_length", "context_window", "n_ctx")
"""What servers call the length of a model's context in their lists."""
MODELS_TIMEOUT_S = 30


class Finding(NamedTuple):
    """One thing that was tried."""

    what: str
    found: str
    so: str
    """What it means for a recipe."""


class Listed(NamedTuple):
    """What a server's list says of a model."""

    context: int | None = None
    """The length of its context, in tokens."""
    owner: str = ""


class Used(NamedTuple):
    """What asking has used."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(slots=True)
class Probe:
    """One server under a model's name."""

    endpoint: Endpoint
    backend: Backend
    used: Used = field(default_factory=Used)

    async def every(self) -> list[Finding]:
        """Try everything. Raises Fatal when the server does not even answer a plain question."""
        return [
            await self._chat(),
            await self._objects(),
            await self._log_probabilities(),
            await self._choices(),
            await self._seed(),
            await self._prompt_log_probabilities(),
            await self._prefix(),
            *await self._load(),
        ]

    async def _chat(self) -> Finding:
        outcome = await self._send({"messages": _says("Say hello.")})
        completion = self._completion(outcome)
        if isinstance(completion, str):
            raise Fatal(explain.unusable("probe", self.endpoint, outcome, completion))
        usage = completion.usage
        counts = "counts tokens" if usage.completion_tokens is not None else "counts no tokens"
        thinks = ", shows its reasoning" if completion.reasoning else ""
        limits = [f"{one.remaining:,.0f} of {one.limit:,.0f} {one.kind} left" for one in allowances(outcome.headers)]
        so = "" if usage.completion_tokens is not None else "each reply is charged with its worst case; "
        so += "limits are learned from its headers" if limits else "limits are found from refusals"
        served = f"served as {completion.model or 'no name'}, {counts}{thinks}, {outcome.seconds:.2f} s"
        return Finding("chat", "; ".join([served, *limits]), so)

    async def _objects(self) -> Finding:
        heeded, refused, cut = list[str](), list[str](), list[str]()
        for name, form in FORMATS.items():
            ask = "Say hello." if name == "json_schema" else 'Say hello in json, as {"greeting": ...}.'
            completion = self._completion(await self._send({"messages": _says(ask), "response_format": form}))
            if isinstance(completion, str):
                refused.append(name)
            elif _is_object(completion.text, WORD if name == "json_schema" else ""):
                heeded.append(name)
            elif completion.finish_reason == "length":
                cut.append(name)
        ignored = [name for name in FORMATS if name not in (*heeded, *refused, *cut)]
        found = "; ".join(
            f"{does} {', '.join(names)}"
            for does, names in (
                ("heeds", heeded),
                ("ignores", ignored),
                ("refuses", refused),
                ("was cut before it ended", cut),
            )
            if names
        )
        best = next((name for name in FORMATS if name in heeded), "prompt")
        return Finding("objects", found, "as it is" if best == "json_schema" else f"write structured: {best}")

    async def _log_probabilities(self) -> Finding:
        outcome = await self._send({"messages": _says("Say hello."), "logprobs": True, "top_logprobs": 2})
        gives = bool(_choice(outcome).get("logprobs"))
        return Finding("log-probabilities", _gives(outcome, gives), "" if gives else "none can be kept")

    async def _choices(self) -> Finding:
        outcome = await self._send({"messages": _says("Say hello."), "n": 2})
        number = len(_choices(outcome))
        found = "refused" if outcome.status != 200 else f"{number} of 2 came"
        at_once = number == 2 and self.endpoint.draws_at_once > 1
        return Finding("n: 2", found, "draws go in one request" if at_once else "each draw is a request of its own")

    async def _seed(self) -> Finding:
        asked = {"messages": _says("Write twelve random digits."), "temperature": 1.0, "max_tokens": 32}
        said = [self._completion(await self._send({**asked, "seed": seed})) for seed in (7, 7, 8)]
        texts = [one.text for one in said if isinstance(one, Completion)]
        if len(texts) < len(said):
            return Finding("seed", "refused", "leave seed out of sampling")
        same, other = texts[0] == texts[1], texts[0] != texts[2]
        found = "repeats" if same and other else "says the same for every seed" if same else "does not repeat"
        return Finding("seed", found, "" if same else "draws differ, and none can be had again but from the store")

    async def _prompt_log_probabilities(self) -> Finding:
        asked = {"prompt": "Hello, world.", "echo": True, "logprobs": 1, "max_tokens": 1, "temperature": 0}
        outcome = await self._send(asked, COMPLETIONS)
        gives = isinstance(self._completion(outcome, COMPLETIONS), Completion)
        so = "it can score answers: kind: likelihood" if gives else "it cannot score by likelihood"
        return Finding("log-probabilities of prompts", _gives(outcome, gives), so)

    async def _prefix(self) -> Finding:
        outcome, asked = Outcome(0), dict[str, Any]()
        for times in LENGTHS:
            asked = {"messages": _says(f"{LONG * times}Say hello.")}
            outcome = await self._send(asked)
            if outcome.status == 200:
                break
        if outcome.status != 200:
            return Finding("prefix caching", f"unknown, as a long prompt is refused (HTTP {outcome.status})", "")
        before = await self._from_cache()
        cached, where = usage_of(await self._send(asked)).cached_tokens, ""
        if not cached:
            cached, where = int(await self._from_cache() - before), ", as /metrics tells and its replies do not"
        if cached <= 0:
            return Finding("prefix caching", "no cached tokens are told", "")
        found = f"{several(cached, 'token')} of a repeated prompt came from its cache{where}"
        return Finding("prefix caching", found, "put what all prompts share first")

    async def _from_cache(self) -> float:
        """How many tokens of prompts the server says at /metrics that it has had from its cache."""
        among = may_tell(self.endpoint)
        text = await asyncio.to_thread(page, self.endpoint) if among else None
        return sum(figures(text or "").get(gauges.reused, 0.0) for gauges in among.values())

    async def _load(self) -> list[Finding]:
        if not (among := may_tell(self.endpoint)):
            return []
        told = told_in(await asyncio.to_thread(page, self.endpoint) or "", among)
        if told is None:
            so = "how many it takes at once is found from how fast it answers"
            return [Finding("load", "not told at /metrics", so)]
        title, load = told
        found = f"{load.running:,.0f} running, {load.waiting:,.0f} waiting, told at /metrics as {title} does"
        return [Finding("load", found, "as many are sent at once as it runs, and a few more")]

    async def _send(self, fields: Mapping[str, Any], path: str = CHAT) -> Outcome:
        body: dict[str, Any] = {"model": self.endpoint.model, "max_tokens": 64, **fields}
        sent = orjson.dumps(body)
        request = Request(b"", "probe", self.endpoint.model, sent, 0, len(sent), 64, path=path)
        outcome = await self.backend.send(request)
        told = usage_of(outcome)
        requests, prompt, completion = self.used
        self.used = Used(requests + 1, prompt + (told.prompt_tokens or 0), completion + (told.completion_tokens or 0))
        return outcome

    @staticmethod
    def _completion(outcome: Outcome, path: str = CHAT) -> Completion | str:
        """What was read from a reply, or what is wrong with it."""
        try:
            return read(outcome, path)
        except (Transient, Rejected) as error:
            return error.detail
        except Fatal as error:
            return str(error)


def models(endpoint: Endpoint) -> dict[str, Listed]:
    """The models that a server names, with what it says of each.

    Raises Fatal, with one sentence, when there is no list to be had.
    """
    url = f"{endpoint.base_url}/models"
    outcome = fetched(endpoint, url, MODELS_TIMEOUT_S)
    if outcome.error:
        raise Fatal(explain.unusable("probe", endpoint, outcome, outcome.detail))
    found = _listed(outcome)
    if not found:
        said = outcome.body[:200].decode("utf-8", "replace")
        if outcome.status in (401, 403) or 300 <= outcome.status < 400:
            raise Fatal(explain.unusable("probe", endpoint, outcome, f"HTTP {outcome.status} at /models: {said}"))
        raise Fatal(f"{url} lists no models (HTTP {outcome.status}: {said}); name one after the URL.")
    return found


def probe(endpoint: Endpoint) -> tuple[list[Finding], Used]:
    """Try everything that a recipe may want of an endpoint. Raises Fatal when it cannot be asked at all."""

    async def tried() -> tuple[list[Finding], Used]:
        async with online(endpoint, endpoint.base_url) as backend:
            one = Probe(endpoint, backend)
            return await one.every(), one.used

    return run_loop(tried())


def _says(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def _listed(outcome: Outcome) -> dict[str, Listed]:
    try:
        document: Any = orjson.loads(outcome.body)
    except orjson.JSONDecodeError:
        return {}
    entries: Any = cast("dict[str, Any]", document).get("data") if isinstance(document, dict) else document
    found: dict[str, Listed] = {}
    for entry in cast("list[Any]", entries) if isinstance(entries, list) else []:
        if isinstance(entry, dict):
            one = cast("dict[str, Any]", entry)
            beside: Any = one.get("meta")
            told = {**one, **(cast("dict[str, Any]", beside) if isinstance(beside, dict) else {})}
            length = next((told[name] for name in CONTEXTS if name in told), None)
            if isinstance(one.get("id"), str):
                found[one["id"]] = Listed(length if isinstance(length, int) else None, str(one.get("owned_by") or ""))
    return found


def kind_of(endpoint: Endpoint, listed: Listed) -> Finding | None:
    """Which server it is by its own word, where the recipe does not know yet."""
    if endpoint.known is not UNKNOWN:
        return None
    found = [(name, one.title) for name, one in named().items() if one.owner and one.owner == listed.owner]
    return next(
        (Finding("server", f"{title}, by its list of models", f"write profile: {name}") for name, title in found), None
    )


def _choices(outcome: Outcome) -> list[dict[str, Any]]:
    try:
        document: Any = orjson.loads(outcome.body)
    except orjson.JSONDecodeError:
        return []
    choices: Any = cast("dict[str, Any]", document).get("choices") if isinstance(document, dict) else None
    every = cast("list[Any]", choices) if isinstance(choices, list) else []
    return [cast("dict[str, Any]", one) for one in every if isinstance(one, dict)]


def _choice(outcome: Outcome) -> dict[str, Any]:
    return (_choices(outcome) or [{}])[0]


def _gives(outcome: Outcome, gives: bool) -> str:
    if gives:
        return "given"
    return "passed over in silence" if outcome.status == 200 else f"refused (HTTP {outcome.status})"


def _is_object(text: str, word: str) -> bool:
    """Whether a text is an object of JSON that holds the word."""
    try:
        document: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return isinstance(document, dict) and word in str(cast("dict[str, Any]", document).get("code", "") if word else "")
