"""How quickly the report of a large run opens and filters: `PYTHONPATH=. python tests/bench/report.py --rows 100000`.

Rows and refusals, half of them Japanese, are laid out as a run leaves them; the report of them is written and opened in
a headless Chromium. What a search or a filter takes is told by the page's own clock, with the list drawn anew.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from pathlib import Path

import orjson

from synth.report.browser import PAGES, Listing
from synth.report.page import write_report
from synth.results.manifest import Manifest, RecipeRecord, SeedsRecord, StageRecord, versions
from synth.types import Seed
from tests.report.chromium import Page, chromium

ENGLISH = [
    "the",
    "of",
    "a",
    "train",
    "shop",
    "water",
    "number",
    "how",
    "many",
    "apples",
    "price",
    "total",
    "answer",
    "because",
    "light",
    "music",
    "river",
    "city",
    "old",
]
JAPANESE = [
    "東京",
    "りんご",
    "電車",
    "計算",
    "答え",
    "値段",
    "合計",
    "理由",
    "音楽",
    "川",
    "古い",
    "町",
    "カメラ",
    "コーヒー",
    "いくつ",
    "ですか",
    "なので",
    "光",
    "水",
    "数字",
]
KINDS = ["algebra", "geometry", "history", "cooking", "travel", "music"]
REASONS = ["near_duplicate", "refusal", "too_short", "below_threshold", "repetition"]
SEARCHES = ["apples", "コーヒー", "こーひー", "00001234", "no such words anywhere"]


def laid_out(folder: Path, rows: int, characters: int) -> list[Seed]:
    """Write rows.jsonl and rejected.jsonl, one in five refused; returns the seeds."""
    chance = random.Random(7)
    with (folder / "rows.jsonl").open("wb") as kept, (folder / "rejected.jsonl").open("wb") as refused:
        for number in range(rows):
            words, between = (JAPANESE, "") if number % 2 else (ENGLISH, " ")
            texts = [
                between.join(chance.choices(words, k=size // (2 if number % 2 else 6)))
                for size in (characters // 4, characters)
            ]
            messages = [
                {"role": role, "content": text} for role, text in zip(("user", "assistant"), texts, strict=True)
            ]
            name = f"{number:08}/00/000"
            row = {
                "id": name,
                "messages": messages,
                "seed_id": f"{number:08}",
                "scores": [{"name": "judge", "value": chance.randint(1, 5), "detail": ""}],
                "repairs": [],
            }
            if number % 5:
                kept.write(
                    orjson.dumps(
                        row
                        | {"teacher": "large", "cost_microusd": 120, "requests": [], "served_by": [], "split": "train"}
                    )
                    + b"\n"
                )
            else:
                refused.write(
                    orjson.dumps(
                        row
                        | {
                            "stage": "answer",
                            "teacher": ("large", "small")[number % 2],
                            "reason": REASONS[number // 5 % 5],
                            "detail": "",
                            "twin_id": None,
                            "similarity": None,
                        }
                    )
                    + b"\n"
                )
    return [Seed(id=f"{number:08}", fields={"topic": KINDS[number % 6]}) for number in range(rows)]


def manifest(rows: int) -> Manifest:
    """The record of such a run, as far as the page needs it."""
    stage = StageRecord(name="answer", units=rows, drafts=rows, accepted=rows * 4 // 5, rejected={})
    return Manifest(
        versions=versions(), state="complete", practice=True, teachers=(), stages=(stage,), rows={"train": rows * 4 // 5},
        recipe=RecipeRecord(name="large", language="en", sha256="0" * 64, text=""), seeds=SeedsRecord(identity="seeds", count=rows),
        ledger=(), started="2026-11-24T12:00:00+00:00", finished="2026-11-24T12:00:00+00:00", seconds=1.0,
    )  # fmt: skip


MEASURE = """window.measured = async (node, text, kind) => {
  const list = document.getElementById('list'), space = document.getElementById('space'), began = performance.now();
  let first = null, held = 0, last = began, going = true;
  const drawn = new MutationObserver(() => { first ??= performance.now() - began; });
  drawn.observe(space, { childList: true });
  const beat = () => { const now = performance.now(); held = Math.max(held, now - last); last = now; if (going) setTimeout(beat); };
  setTimeout(beat);
  node.value = text;
  node.dispatchEvent(new Event(kind));
  list.getBoundingClientRect();
  while (list.hasAttribute('aria-busy')) await new Promise((resolve) => setTimeout(resolve));
  const done = performance.now() - began;
  await new Promise((resolve) => setTimeout(resolve));
  going = false;
  drawn.disconnect();
  return [first ?? done, done, Math.max(held, performance.now() - last), document.getElementById('found').textContent];
}; 1"""
"""Milliseconds until the first rows are there, until all are, and that the page was held up at most; what it says."""
SEARCH, ORDER = "document.getElementById('search')", "document.getElementById('order')"
FILTER = "document.querySelectorAll('#filters select')[{}]"
SETTLES_S = 5


async def opened(page: Page, path: Path) -> None:
    """Open the page anew, as if for the first time, and say when."""
    took_s = await page.open(path)
    await page.do(MEASURE)
    own_s = await page.do("performance.getEntriesByType('navigation')[0].loadEventEnd / 1000")
    elements = await page.do("document.querySelectorAll('*').length")
    print(f"opens in {took_s:.2f} s ({own_s:.2f} s by its own clock), {elements:,} elements")


async def choose(page: Page, what: str, node: str, text: str, kind: str = "change") -> list[float]:
    """Do one thing, print and return what it took: until the first rows, until all, held up at most, and of the CPU."""
    before = await tasks_ms(page)
    first, done, held, told = await page.do(f"measured({node}, {orjson.dumps(text).decode()}, '{kind}')")
    spent = await tasks_ms(page) - before
    print(
        f"  {what}: first rows {first:.0f} ms, all {done:.0f} ms, page held {held:.0f} ms, CPU {spent:.0f} ms; {told}"
    )
    return [first, done, held, spent]


async def tasks_ms(page: Page) -> float:
    """What the page's own thread has worked so far, whatever else the machine does."""
    told = await page.send("Performance.getMetrics")
    return 1000 * next(one["value"] for one in told["metrics"] if one["name"] == "TaskDuration")


def summed(what: str, took: list[list[float]]) -> None:
    """Print the median and the longest of each."""
    names = ("first rows", "all", "held", "CPU")
    told = (
        f"{name} {statistics.median(one):.0f} / {max(one):.0f}"
        for name, one in zip(names, zip(*took, strict=True), strict=True)
    )
    print(f"{what}, median / longest in ms: {', '.join(told)}")


async def measured(page: Page, path: Path) -> None:
    """Open the page and use it; print what each step took."""
    at_once: list[list[float]] = []
    for text in SEARCHES:
        await opened(page, path)
        at_once.append(await choose(page, f"search {text!r} at once", SEARCH, text, "input"))
    count = await page.do("document.querySelectorAll('#filters select').length")
    filtered: list[list[float]] = []
    for place in range(count):
        await opened(page, path)
        node = FILTER.format(place)
        label, value = await page.do(f"[{node}.parentNode.firstChild.textContent, {node}.options[1].value]")
        filtered.append(await choose(page, f"filter {label} at once", node, value))
    await asyncio.sleep(SETTLES_S)
    await choose(page, "nothing", FILTER.format(count - 1), "")
    later = [await choose(page, f"search {text!r}", SEARCH, text, "input") for text in SEARCHES]
    await choose(page, "nothing", SEARCH, "", "input")
    settled: list[list[float]] = []
    for place in range(count):
        node = FILTER.format(place)
        label, value = await page.do(f"[{node}.parentNode.firstChild.textContent, {node}.options[1].value]")
        settled.append(await choose(page, f"filter {label}", node, value))
        await choose(page, "nothing", node, "")
    settled.append(await choose(page, "score", "document.querySelector('#filters input')", "4", "input"))
    settled.append(await choose(page, "in order of score", ORDER, "high 0"))
    settled.append(await choose(page, "longest first", ORDER, "longest"))
    began = time.perf_counter()
    await page.do("document.querySelector('.line').click()")
    await page.wait("document.querySelector('#detail .conversation') !== null")
    print(f"  a row read whole: {1000 * (time.perf_counter() - began):.0f} ms")
    summed("searches right after opening", at_once)
    summed("filters right after opening", filtered)
    summed("searches later", later)
    summed("filters and orders later", settled)
    outside = [url for url in page.requests if not url.startswith(("file:", "data:"))]
    print(f"requests to the network: {len(outside)}; {page.problems or 'no problems'}")


async def main() -> None:
    """Lay out, write, open, use."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--characters", type=int, default=1200, help="of an answer")
    parser.add_argument("--slow", type=float, default=1, help="so many times slower a processor, as in a phone")
    parser.add_argument("--keep", type=Path, help="leave the run here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as vanishing:
        folder = options.keep or Path(vanishing)
        folder.mkdir(parents=True, exist_ok=True)
        seeds = laid_out(folder, options.rows, options.characters)
        began, cpu = time.perf_counter(), time.process_time()
        write_report(
            folder / "report.html",
            manifest(options.rows),
            [],
            [],
            listing=Listing(folder, "bench", options.rows, [seeds]),
        )
        took, spent = time.perf_counter() - began, time.process_time() - cpu
        texts = sum(path.stat().st_size for path in (folder / PAGES).glob("*")) / 1e6
        size = (folder / "report.html").stat().st_size / 1e6
        print(
            f"{options.rows:,} rows: written in {took:.2f} s ({1e6 * spent / options.rows:.0f} us CPU a row); report.html {size:.1f} MB, texts beside it {texts:.1f} MB"
        )
        async with chromium() as page:
            await page.send("Emulation.setCPUThrottlingRate", rate=options.slow)
            await page.send("Performance.enable", timeDomain="threadTicks")
            await measured(page, folder / "report.html")


if __name__ == "__main__":
    asyncio.run(main())
