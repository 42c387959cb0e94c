"""The event loop of whoever has none."""

from __future__ import annotations

import asyncio

import pytest

from synth.live.loop import run_loop


def test_a_run_uses_the_quick_loop_where_there_is_one():
    uvloop = pytest.importorskip("uvloop")

    async def kind() -> type[asyncio.AbstractEventLoop]:
        return type(asyncio.get_running_loop())

    assert run_loop(kind()) is uvloop.Loop
