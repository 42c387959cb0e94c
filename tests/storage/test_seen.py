"""Which requests may have been made, told without the database."""

from __future__ import annotations

from hashlib import sha256

from synth.storage.seen import Seen


def keys(first: int, count: int) -> list[bytes]:
    return [sha256(f"質問 {number}".encode()).digest() for number in range(first, first + count)]


def test_what_was_made_is_never_denied_and_of_the_rest_next_to_nothing_is_taken_for_it():
    seen = Seen(keys(0, 5_000))
    for key in keys(5_000, 5_000):
        seen.add(key)
    assert all(seen.has(key) for key in keys(0, 10_000))
    assert sum(seen.has(key) for key in keys(10_000, 10_000)) < 10


def test_once_it_has_forgotten_everything_may_have_been_made():
    seen = Seen([])
    [key] = keys(0, 1)
    assert not seen.has(key)
    seen.forget()
    assert seen.has(key)
    seen.add(key)
    assert seen.has(key)
