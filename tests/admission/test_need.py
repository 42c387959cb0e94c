"""What the missing rows could need is begun, and no more of it."""

from __future__ import annotations

import asyncio

from synth.admission.need import Need

ONE = {"answer": 1.0, "": 1.0}
TWO = {"write": 5.0, "answer": 1.0, "": 1.0}


async def begin(need, step):
    """Begin at a step until it waits; how many did not."""
    for begun in range(10_000):
        waiting = asyncio.ensure_future(need.wait(step, lambda: False))
        await asyncio.sleep(0)
        if not waiting.done():
            waiting.cancel()
            return begun
    raise AssertionError("it never waits")


def test_while_nothing_is_known_as_many_are_begun_as_the_recipe_says():
    assert asyncio.run(begin(Need(ONE, lambda: 7), "answer")) == 7
    assert asyncio.run(begin(Need(TWO, lambda: 50), "write")) == 10


def test_the_fewer_come_through_the_more_are_begun_and_the_better_they_are_the_fewer():
    async def after(through, brought):
        missing = [100]
        need = Need(ONE, lambda: missing[0])
        assert await begin(need, "answer") == 100
        need.tell("answer", through=through, brought=brought)
        need.tell("", through=brought, brought=brought)
        missing[0] -= brought
        return await begin(need, "answer")

    none, half, all_of_them = [asyncio.run(after(50, brought)) for brought in (0, 25, 50)]
    assert none > half > all_of_them == 0


def test_what_lies_behind_a_step_is_not_asked_for_again():
    async def main():
        need = Need(TWO, lambda: 50)
        assert await begin(need, "write") == 10
        need.tell("write", through=10, brought=50)
        assert await begin(need, "write") == 0, "fifty tasks wait for their answers"
        need.tell("answer", through=50, brought=25)
        need.tell("", through=25, brought=0)
        return await begin(need, "write")

    assert asyncio.run(main()) > 0


def test_one_more_is_begun_when_nothing_is_under_way_and_with_nothing_missing_too():
    async def main():
        missing = [1]
        need = Need(ONE, lambda: missing[0])
        for _ in range(5):
            more = await begin(need, "answer")
            assert more >= 1
            need.tell("answer", through=more)
        missing[0] = 0
        return await begin(need, "answer")

    assert asyncio.run(main()) == 1


def test_who_waits_goes_on_when_a_step_tells_or_when_woken_for_another_reason():
    async def main():
        ended = []
        need = Need(ONE, lambda: 1)
        await need.wait("answer", lambda: bool(ended))
        one = asyncio.ensure_future(need.wait("answer", lambda: bool(ended)))
        await asyncio.sleep(0)
        assert not one.done()
        need.tell("answer", through=1, brought=1)
        need.tell("", through=1)
        await asyncio.wait_for(one, 5)
        await begin(need, "answer")
        other = asyncio.ensure_future(need.wait("answer", lambda: bool(ended)))
        await asyncio.sleep(0)
        assert not other.done()
        ended.append(True)
        need.wake()
        await asyncio.wait_for(other, 5)

    asyncio.run(main())
