"""Replies that a crash lost, fetched where the host keeps them: what was in flight is not paid for a second time.

Each request carries its key in its metadata, by which OpenAI's list of stored completions finds what came of it:
https://platform.openai.com/docs/api-reference/chat/list
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import orjson

from synth.backends.batch import Unanswered
from synth.backends.batch.control import control
from synth.errors import Fatal
from synth.protocol.endpoint import Endpoint
from synth.protocol.outgoing import KEY
from synth.storage.store import Store
from synth.types import CHAT, Outcome


async def recover(name: str, places: Iterable[tuple[Endpoint, str]], store: Store) -> None:
    """Keep what the servers at these places stored of the teacher's attempts without a reply; the others are lost.

    Raises Fatal when one of them cannot be asked.
    """
    left = store.unanswered(name)
    for member, base_url in places if left else ():
        async with control(member, base_url, member.known) as host:
            for attempt, key in list(left.items()):
                try:
                    said = await host.ask("GET", CHAT, params={f"metadata[{KEY}]": key, "limit": "1"})
                except Unanswered as error:
                    raise Fatal(
                        f"{base_url} (teacher {name!r}) cannot be asked for the replies that a crash lost ({error}); "
                        "run again, or leave recover out to have them asked for anew."
                    ) from None
                found = _found(said, key)
                if found is not None:
                    await store.keep(attempt, Outcome(200, orjson.dumps(found)))
                    del left[attempt]
    for attempt in left:
        store.lose(attempt)


def _found(said: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    """The completion that carries a key, among those of a list."""
    entries: Any = said.get("data")
    for entry in cast("list[Any]", entries) if isinstance(entries, list) else []:
        one = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
        metadata = one.get("metadata")
        if isinstance(metadata, dict) and cast("dict[str, Any]", metadata).get(KEY) == key:
            return one
    return None
