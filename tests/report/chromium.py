"""A headless Chromium that opens a page from the disk and does what a test says, over its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
STARTS_S = 30


class Page:
    """One tab. Every request that it makes is noted, and every exception of its scripts."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self.requests: list[str] = []
        self.problems: list[str] = []

    async def send(self, method: str, **parameters: Any) -> Any:
        """Send a command and wait for its answer."""
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            told = await self._socket.receive_json()
            self._note(told)
            if told.get("id") == self._number:
                assert "error" not in told, told
                return told["result"]

    def _note(self, told: dict[str, Any]) -> None:
        if told.get("method") == "Network.requestWillBeSent":
            self.requests.append(told["params"]["request"]["url"])
        elif told.get("method") == "Runtime.exceptionThrown":
            self.problems.append(str(told["params"]["exceptionDetails"]))
        elif told.get("method") == "Log.entryAdded" and told["params"]["entry"]["level"] == "error":
            self.problems.append(told["params"]["entry"]["text"])

    async def open(self, path: Path, *, width: int = 1400, height: int = 1000, dark: bool = False) -> float:
        """Open a file, and wait for its scripts; the seconds until then."""
        for domain in ("Page", "Network", "Runtime", "Log"):
            await self.send(f"{domain}.enable")
        await self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                        mobile=width < 600)  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.send("Emulation.setEmulatedMedia", features=[scheme])
        began = time.perf_counter()
        await self.send("Page.navigate", url=path.absolute().as_uri())  # noqa: ASYNC240
        await self.wait("document.readyState === 'complete'")
        return time.perf_counter() - began

    async def do(self, script: str) -> Any:
        """The value of an expression, awaited."""
        told = await self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    async def wait(self, condition: str, seconds: float = 30) -> None:
        """Wait until an expression is true."""
        until = time.monotonic() + seconds
        while not await self.do(condition):
            assert time.monotonic() < until, f"never: {condition}"
            await asyncio.sleep(0.02)

    async def press(self, key: str) -> None:
        """Press a key where the focus is."""
        text = {"text": key} if len(key) == 1 else {}
        for kind in ("keyDown", "keyUp"):
            await self.send("Input.dispatchKeyEvent", type=kind, key=key, **(text if kind == "keyDown" else {}))

    async def picture(self, path: Path, *, whole: bool = False) -> None:
        """A screenshot."""
        told = await self.send("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(told["data"]))  # noqa: ASYNC240


@contextmanager
def browser() -> Generator[str]:
    """A fresh browser with a profile of its own; gives the address where it is told what to do."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--no-first-run",
             "--disable-background-networking", "--disable-dev-shm-usage", f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            told, until = Path(profile) / "DevToolsActivePort", time.monotonic() + STARTS_S
            while not (told.exists() and len(told.read_text().split()) == 2):
                assert time.monotonic() < until, "chromium did not start"
                time.sleep(0.05)
            port, path = told.read_text().split()
            yield f"ws://127.0.0.1:{port}{path}"
        finally:
            process.terminate()
            process.wait(10)


@asynccontextmanager
async def tab(address: str) -> AsyncGenerator[Page]:
    """A tab of a browser, which knows nothing of what other tabs kept."""
    async with aiohttp.ClientSession() as session, session.ws_connect(address) as control:
        whole = Page(control)
        apart = await whole.send("Target.createBrowserContext", disposeOnDetach=True)
        made = await whole.send("Target.createTarget", url="about:blank", **apart)
        url = f"{address.partition('/devtools')[0]}/devtools/page/{made['targetId']}"
        async with session.ws_connect(url, max_msg_size=0) as socket:
            yield Page(socket)


@asynccontextmanager
async def chromium() -> AsyncGenerator[Page]:
    """A tab of a fresh browser."""
    with browser() as address:
        async with tab(address) as page:
            yield page
