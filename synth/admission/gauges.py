"""What a server tells of its load beside the requests: how many it runs, how many wait, how full its cache is.

Servers of language models write it in the text format of Prometheus; what each calls its figures is in its profile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from math import isfinite
from urllib.parse import urlsplit

from synth.admission.queueing import Load
from synth.backends.fetch import fetched
from synth.errors import Fatal
from synth.profiles import Gauges, named
from synth.protocol.endpoint import HERE, Endpoint

LOOK_EVERY_S = 1.0
TIMEOUT_S = 5.0


def figures(text: str) -> dict[str, float]:
    """The sum of every figure over its labels, as a server may have several engines."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        named_so, _, value = line.strip().rpartition(" ")
        name = named_so.partition("{")[0].strip()
        if not name or line.startswith("#"):
            continue
        try:
            number = float(value)
        except ValueError:
            continue
        if isfinite(number):
            found[name] = found.get(name, 0.0) + number
    return found


def load_of(text: str, gauges: Gauges) -> Load | None:
    """The load that a page of figures tells by these names; None when it tells none."""
    found = figures(text)
    if gauges.running not in found or gauges.waiting not in found:
        return None
    running, waiting = found[gauges.running], found[gauges.waiting]
    return Load(running, waiting, found.get(gauges.cache, 0.0), found.get(gauges.preempted, 0.0))


def may_tell(endpoint: Endpoint) -> Mapping[str, Gauges]:
    """By whose names an endpoint may tell its load: its profile's, or any where one on a private network has none.

    Nobody else is asked for what the protocol does not have, and nobody where there is no address.
    """
    if endpoint.base_url.startswith(HERE):
        return {}
    if endpoint.known.gauges is not None:
        return {endpoint.known.title: endpoint.known.gauges}
    if endpoint.profile or not endpoint.queues_silently:
        return {}
    return {each.title: each.gauges for each in named().values() if each.gauges is not None}


def page(endpoint: Endpoint) -> str | None:
    """What a server has at /metrics, empty when it has nothing there; None when it does not answer. Blocks."""
    parts = urlsplit(endpoint.base_url)
    outcome = fetched(endpoint, f"{parts.scheme}://{parts.netloc}/metrics", TIMEOUT_S)
    if outcome.status == 0:
        return None
    return outcome.body.decode("utf-8", "replace") if outcome.status == 200 else ""


def told_in(text: str, among: Mapping[str, Gauges]) -> tuple[str, Load] | None:
    """Whose names a page uses, and the load that it tells; None when it tells none."""
    for title, gauges in among.items():
        if (load := load_of(text, gauges)) is not None:
            return title, load
    return None


async def watch(
    endpoint: Endpoint, tell: Callable[[Load | None], None], sleep: Callable[[float], Awaitable[None]]
) -> None:
    """Tell the server's load every second; ends at once where a server that answers tells none."""
    among, tells = may_tell(endpoint), False
    while among:
        try:
            await sleep(LOOK_EVERY_S)
        except Fatal:  # the run stops sending
            return
        text = await asyncio.to_thread(page, endpoint)
        found = None if text is None else told_in(text, among)
        tell(None if found is None else found[1])
        if found is not None:
            among, tells = {found[0]: among[found[0]]}, True
        elif text is not None and not tells:
            return
