"""Fills a store and writes down what it acknowledged: `python power.py FOLDER NOTES REPLIES SYNCHRONOUS`.

The log is moved into the database, and cut, again and again, as a long run would.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import os
import random
import sys
from pathlib import Path

from synth.storage import database, writer
from synth.storage.store import Store
from synth.types import Outcome, Planned, Request, Usage

AT_ONCE = 20


@functools.cache
def request(number: int) -> Request:
    body = f'{{"messages": "質問 {number}"}}'.encode()
    return Request(hashlib.sha256(body).digest(), "main", "m", body, 0, 100, 100)


@functools.cache
def outcome(number: int) -> Outcome:
    """A reply of a length of its own; some spill over several pages."""
    dice = random.Random(number)
    return Outcome(
        200, f"答え {number} ".encode() + dice.randbytes(30_000 if number % 40 == 7 else dice.randrange(2000))
    )


async def fill(store: Store, numbers: range, notes: int) -> None:
    async def one(number: int) -> None:
        attempt = await store.begin([Planned(request(number), "answer", f"{number:06}", 7)])
        os.write(notes, f"begun {number}\n".encode())
        await store.keep(attempt, outcome(number))
        os.write(notes, f"kept {number}\n".encode())
        store.settle(attempt, "ok", Usage(5, 6), 3)

    await store.open_run()
    for start in range(numbers.start, numbers.stop, AT_ONCE):
        await asyncio.gather(*(one(number) for number in range(start, start + AT_ONCE)))


def main() -> None:
    folder, path, replies, synchronous = sys.argv[1:]
    database.CHECKPOINT_PAGES = 30
    writer.WAL_BYTES = 100_000
    writer.LOOK_EVERY_S = 0.0
    set_up = database._set_up

    def with_synchronous(connection, *, write):
        set_up(connection, write=write)
        connection.execute(f"PRAGMA synchronous = {synchronous}")

    database._set_up = with_synchronous
    store = Store(Path(folder))
    asyncio.run(fill(store, range(int(replies)), os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)))
    store.close()


if __name__ == "__main__":
    main()
