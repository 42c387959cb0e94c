"""What to say of a teacher that cannot serve a run: one sentence that names the URL and what to mend."""

from __future__ import annotations

import errno
import re

from synth.language.text import several
from synth.patterns import lazy
from synth.protocol.endpoint import Endpoint
from synth.protocol.fates import KEY, MODEL, MONEY, SPENT
from synth.types import CHAT, CLASSIFY, COMPLETIONS, CONTINUED, EMBEDDINGS, POOLING, SCORE, Outcome

ROUTES = lazy(r"no endpoints found that", re.IGNORECASE)
"""How OpenRouter says that none of those it could ask takes the whole request."""
NO_TLS = "WRONG_VERSION_NUMBER"
"""How OpenSSL says that what answers is nothing of TLS."""
NO_ANSWER = (200, 404, 405, 501, 505)
ANSWERS = {
    CHAT: ("chat completions", "base_url usually ends in /v1."),
    EMBEDDINGS: ("embeddings", "name a server of them."),
    CONTINUED: ("texts that go on with another", "name a server that completes texts, such as vLLM."),
    COMPLETIONS: ("log-probabilities of prompts", "name a server that gives them with `echo`, such as vLLM."),
    **dict.fromkeys(
        (POOLING, CLASSIFY, SCORE),
        ("rewards", "name a server of a reward model, such as `vllm serve --runner pooling`."),
    ),
}
UNFIT = {
    "json_schema": "write structured: prompt (or json_object) for it, as its server seems to ignore JSON schemas.",
    "json_object": "write structured: prompt for it, as its server seems to ignore JSON mode.",
    "prompt": "take a teacher that can follow a schema, or make the prompt plainer.",
}


def unusable(name: str, endpoint: Endpoint, outcome: Outcome, detail: str, path: str = CHAT) -> str:
    """Why no later request can work either, from the reply to one and what was found in it."""
    said = " ".join(detail.split())[:300].rstrip(".。")
    where = f"{endpoint.base_url} (teacher {name!r})"
    if outcome.status == 0 and NO_TLS in said:
        return f"{where} cannot be reached: its server speaks no TLS; write http:// in base_url, or name another port."
    if outcome.status == 0:
        why = "the connection was refused" if f"[Errno {errno.ECONNREFUSED}]" in said else said
        return f"{where} cannot be reached: {why}. Check base_url and that the server runs."
    if MONEY.search(said) or SPENT.search(said) or outcome.status == 402:
        account = f"the account of the key in {endpoint.key_variable}" if endpoint.key_variable else "the account"
        return f"{where} says {account} has no money left: {said}."
    if outcome.status in (401, 403) or KEY.search(said):
        variable = endpoint.key_variable
        such = f", such as {endpoint.known.key_variable}" if endpoint.known.key_variable else ""
        unnamed = f"name the key's environment variable in key_variable{such}"
        mend = f"check the key in {variable}" if variable else unnamed
        return f"{where} refused the request ({said}); {mend}."
    if ROUTES.search(said):
        return (
            f"{where} has nobody who serves the model with all that the request asks for ({said}); leave out of "
            "sampling or structured what is not had there, or have it passed over with extra: {provider: "
            "{require_parameters: false}}."
        )
    if 300 <= outcome.status < 400:
        target = outcome.headers.get("location", "another address")
        return f"{where} redirects to {target}; put the address it ends at into base_url."
    if MODEL.search(said):
        return f"{where} does not serve the model {endpoint.model!r}: {said}; name one that it lists under /models."
    if outcome.status in NO_ANSWER:
        what, mend = ANSWERS[path]
        at = endpoint.known.chat_path if path == CHAT else path.partition("#")[0]
        return f"{where} has no {what} at {at} ({said}); {mend}"
    return f"{where} cannot serve this run: {said}."


def gone(name: str, endpoint: Endpoint, has: str, for_s: float, detail: str) -> str:
    """An endpoint has been of no use for too long; `has` says in what way."""
    said = " ".join(detail.split())[:300]
    return (
        f"{endpoint.base_url} (teacher {name!r}) has {has} for "
        f"{several(round(for_s / 60), 'minute')}, last with: {said}. What had come is kept; run again to go on "
        "when its server is there."
    )


def substituted(name: str, endpoint: Endpoint, served: str) -> str:
    """Another model answered than the pinned one."""
    found = f"came from the model {served[:200]!r}" if served else "does not say which model it came from"
    return (
        f"A reply of {endpoint.base_url} (teacher {name!r}) {found}, and pin_model asks for {endpoint.pin_model!r}; "
        "set it to the model that is wanted, or leave it out to take any."
    )


def unfit(name: str, endpoint: Endpoint, replies: int, unfit_ones: int, problem: str) -> str:
    """Most of the first replies to a schema do not fit it."""
    return (
        f"{endpoint.base_url} (teacher {name!r}) does not write what its schema asks for: of its first {replies} "
        f"replies {unfit_ones} do not fit, the last because {problem[:200]}; {UNFIT[endpoint.structured]}"
    )
