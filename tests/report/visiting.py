"""A report of a few rows, visited in a real browser."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.report.chromium import CHROMIUM, Page, browser, tab

HOSTILE = (
    '</script><script>window.hacked = 1</script><!-- <img src="http://evil.example/x" onerror="hacked=1"> \u202eabc'
)
TEXTS = [
    ("How many apples?", "Twelve."),
    ("コーヒーはいくつ？", "ｱｲｽｺｰﾋｰが三杯です。"),
    (HOSTILE, f"```js\n{HOSTILE}\n```\nand {HOSTILE}"),
    ("No answer?", "I cannot."),
    ("Bad one?", "Bad."),
]
in_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


FOR_ALL = ExitStack()
"""What is open until the last test of a worker."""


@cache
def address() -> str:
    """Of the browser for all tests of a worker."""
    return FOR_ALL.enter_context(browser())


def visit(path: Path, act: Callable[[Page], Coroutine[Any, Any, None]], **opening: Any) -> None:
    async def visited() -> None:
        async with tab(address()) as page:
            await page.open(path, **opening)
            await act(page)
            assert page.problems == []
            assert [url for url in page.requests if not url.startswith(("file:", "data:", "blob:"))] == []

    asyncio.run(visited())


TYPE = "(() => {{ const node = {node}; node.value = {text}; node.dispatchEvent(new Event('{event}')); }})()"
SHOWN = "[...document.querySelectorAll('.line .first')].map((node) => node.textContent)"


async def searched(page: Page, text: str) -> list[str]:
    await page.do(TYPE.format(node="document.getElementById('search')", text=json.dumps(text), event="input"))
    return await listed(page)


async def listed(page: Page) -> list[str]:
    await page.wait("!document.getElementById('list').hasAttribute('aria-busy')")
    return await page.do(SHOWN)


async def filtered(page: Page, label: str, wanted: str) -> list[str]:
    node = f"[...document.querySelectorAll('#filters label')].find((one) => one.textContent.startsWith({json.dumps(label)})).querySelector('select')"
    value = f"[...{node}.options].find((one) => one.textContent.startsWith({json.dumps(wanted)})).value"
    await page.do(TYPE.format(node=node, text=value, event="change"))
    return await listed(page)


async def chosen(page: Page, place: int) -> str:
    await page.do(f"document.querySelectorAll('.line')[{place}].click()")
    await page.wait("document.querySelector('#detail h3') !== null")
    return await page.do("document.getElementById('detail').textContent")
