"""Many replies looked up in one go."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from synth.errors import StoreStopped
from synth.storage.found import SOUGHT_AT_ONCE, Stored, Together
from synth.storage.store import Store
from synth.types import Outcome, Planned, Request


def key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_those_who_seek_at_the_same_time_get_what_each_would_find_alone(tmp_path):
    async def main() -> None:
        store = Store(tmp_path)
        await store.open_run()
        for number in (1, 2, 2, 3):
            request = Request(key(number), "main", "m", b"{}", 0, 10, 10)
            attempt = await store.begin([Planned(request, "answer", str(number), 7)])
            await store.keep(attempt, Outcome(200, f"答え {number}, {attempt}".encode()))
        found = await asyncio.gather(*[store.sought(key(number)) for number in (3, 9, 2, 1, 2)])
        assert [[one.outcome.body.decode() for one in some] for some in found] == [
            ["答え 3, 4"],
            [],
            ["答え 2, 3", "答え 2, 2"],  # newest first
            ["答え 1, 1"],
            ["答え 2, 3", "答え 2, 2"],
        ]
        assert [list(some) for some in found] == [store.find(key(number)) for number in (3, 9, 2, 1, 2)]
        store.close()

    asyncio.run(main())


def test_one_look_is_for_many_and_never_for_more_than_it_takes():
    looks: list[int] = []

    def look(keys: Sequence[bytes]) -> Mapping[bytes, Sequence[Stored]]:
        looks.append(len(keys))
        return {one: [Stored(int.from_bytes(one, "big"), Outcome(200))] for one in keys}

    async def main() -> None:
        together = Together(look)
        found = await asyncio.gather(*[together.find(key(number)) for number in range(SOUGHT_AT_ONCE + 50)])
        assert [one.attempt for (one,) in found] == list(range(SOUGHT_AT_ONCE + 50))

    asyncio.run(main())
    assert looks == [SOUGHT_AT_ONCE, 50]


@pytest.mark.parametrize("error", [StoreStopped, MemoryError])
def test_who_gives_up_takes_nobody_along_and_what_cannot_be_read_is_told_to_all(error: type[Exception]):
    def look(keys: Sequence[bytes]) -> Mapping[bytes, Sequence[Stored]]:
        if key(7) in keys:
            raise error("run.db is damaged.")
        return {}

    async def main() -> None:
        together = Together(look)
        one, other = asyncio.ensure_future(together.find(key(1))), asyncio.ensure_future(together.find(key(1)))
        await asyncio.sleep(0)
        one.cancel()
        assert list(await other) == []
        found = await asyncio.gather(together.find(key(6)), together.find(key(7)), return_exceptions=True)
        assert [str(one) for one in found] == ["run.db is damaged."] * 2
        with pytest.raises(error):
            await together.find(key(7))

    asyncio.run(asyncio.wait_for(main(), 10))
