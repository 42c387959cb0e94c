"""How quickly the report of a large run opens and filters: `PYTHONPATH=. python tests/bench/report.py --rows 100000`.

Rows and refusals, half of them Japanese, are laid out as a run leaves them; the report of them is written and opened in
a headless Chromium. What a filter takes is told by the page's own clock, with the list drawn anew.
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


CHOSEN = """(() => { const began = performance.now(); const node = %s; node.value = %s;
node.dispatchEvent(new Event('%s')); document.getElementById('list').getBoundingClientRect();
return [performance.now() - began, document.getElementById('found').textContent]; })()"""


async def measured(page: Page, path: Path) -> None:
    """Open the page and use it; print what each step took."""
    opened_s = await page.open(path)
    ready_s = await page.do(
        "(() => { const e = performance.getEntriesByType('navigation')[0]; return e.loadEventEnd / 1000; })()"
    )
    print(
        f"opens in {opened_s:.2f} s ({ready_s:.2f} s by its own clock), {await page.do('document.querySelectorAll(`*`).length'):,} elements"
    )
    first, told = await page.do(CHOSEN % ("document.getElementById('search')", '"apples"', "input"))
    print(f"  search at once, before the index is folded: {first:.0f} ms, {told}")
    await asyncio.sleep(4)
    took: list[float] = []
    for text in SEARCHES:
        spent, told = await page.do(
            CHOSEN % ("document.getElementById('search')", orjson.dumps(text).decode(), "input")
        )
        print(f"  search {text!r}: {spent:.0f} ms, {told}")
        took.append(spent)
    await page.do(CHOSEN % ("document.getElementById('search')", '""', "input"))
    for place in range(await page.do("document.querySelectorAll('#filters select').length")):
        node = f"document.querySelectorAll('#filters select')[{place}]"
        label, value = await page.do(f"[{node}.parentNode.textContent.slice(0, 8), {node}.options[1].value]")
        spent, told = await page.do(CHOSEN % (node, orjson.dumps(value).decode(), "change"))
        print(f"  filter {label}: {spent:.0f} ms, {told}")
        took.append(spent)
        await page.do(CHOSEN % (node, '""', "change"))
    spent, told = await page.do(CHOSEN % ("document.querySelector('#filters input')", '"4"', "input"))
    took.append(spent)
    spent, told = await page.do(CHOSEN % ("document.getElementById('order')", '"high 0"', "change"))
    took.append(spent)
    print(f"  by score: {took[-2]:.0f} ms, in order of score: {spent:.0f} ms, {told}")
    began = time.perf_counter()
    await page.do("document.querySelector('.line').click()")
    await page.wait("document.querySelector('#detail .conversation') !== null")
    print(f"  a row read whole: {1000 * (time.perf_counter() - began):.0f} ms")
    print(
        f"filters: median {statistics.median(took):.0f} ms, longest {max(took):.0f} ms; {page.problems or 'no problems'}"
    )
    outside = [url for url in page.requests if not url.startswith(("file:", "data:"))]
    print(f"requests to the network: {len(outside)}")


async def main() -> None:
    """Lay out, write, open, use."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--characters", type=int, default=1200, help="of an answer")
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
            await measured(page, folder / "report.html")


if __name__ == "__main__":
    asyncio.run(main())
