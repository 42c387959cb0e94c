"""kill -9 at every step of a batch: nothing is lost, no batch is ordered twice, and every request ends in one state.

`pytest tests/crash/test_batch_crash.py --batch-kills 200 -s` for the long version, `-s` to see the table.
"""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import sys
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
import zstandard

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from driver import BATCH_POINTS  # noqa: E402
from processes import Processes  # noqa: E402
from table import BatchTally, keep  # noqa: E402
from test_crash import TEMPLATES, acknowledged, digest  # noqa: E402

RECIPE = """\
name: crash
language: en
seeds: {{kind: grid, axes: {{topic: [shopping, travel, order forms], level: [easy, hard]}}}}
teachers:
  main:
    model: practice-1
    base_url: "{url}"
    profile: openai
    key_variable: SYNTH_CANARY
    sampling: {{max_tokens: 800, seed: 1}}
    price: {{input_usd: 1, output_usd: 2}}
stages:
  - name: write
    can_wait_h: {wait_h}
    generator: {{kind: self_instruct, prompt: write.md.j2, count: 4}}
    dedupe: {{by: instruction}}
  - name: answer
    can_wait_h: {wait_h}
    generator: {{kind: answer, prompt: answer.md.j2, question: instruction}}
    scorers: [{{kind: judge, rubric: judge.md.j2}}]
"""
KILLS_OF_A_CHAIN = 8
CONTENT = {"invalid_json": 0.05, "near_duplicate": 0.1}
CASES = (
    {"wait_h": 1, "batch_s": 0.05, "batch_repeated": 0.2},
    {"wait_h": 0.00003, "batch_s": 0.3},  # 0.1 s: cancelled
    {"wait_h": 1, "batch_s": 0.05, "batch_expiry": 0.7},
    {"wait_h": 1, "batch_s": 0.05, "batch_missing": 0.1, "batch_no_status": 0.1},
)
CANCELLING = {"before it is cancelled", "cancelled"}
LOOKED_FOR = "while it is looked for"
ORDERING = {"before the order", "ordered, and not written down", LOOKED_FOR}
"""Only a run that follows one of these looks for a batch."""
MANY = {"while it is worked on", "while results are read", "before results are settled"}


class Bench:
    """The server, the driver, and where chains of kills take place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes = Processes("batch_server.py")
        self.close = self._processes.close

    def new(self, name: str, case: dict[str, float]) -> Path:
        """A fresh server, and a recipe that asks it; gives the run folder, which is not there yet."""
        faults = {**CONTENT, **{key: value for key, value in case.items() if key != "wait_h"}}
        asked = urllib.request.Request(f"{self._processes.address}/new", json.dumps(faults).encode())
        with urllib.request.urlopen(asked) as reply:
            url = f"http://127.0.0.1:{json.load(reply)}/v1"
        recipe = self.folder / f"{name}-recipe"
        recipe.mkdir()
        (recipe / "recipe.yaml").write_text(RECIPE.format(url=url, wait_h=case["wait_h"]))
        templates = {**TEMPLATES, "write.md.j2": 'Write {{ count }} new exercises about "{{ topic }}" ({{ level }}).\n'}
        for template, text in templates.items():
            (recipe / template).write_text(text)
        return self.folder / name

    def run(self, out: Path, **how: object) -> int:
        command = {"recipe": f"{out}-recipe", "folder": str(out), "acknowledged": f"{out}.acknowledged", **how}
        return self._processes.drive(command)

    def book(self) -> dict:
        with urllib.request.urlopen(f"{self._processes.address}/book") as reply:
            return json.load(reply)


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


class Found:
    """A copy of a store as a kill left it."""

    def __init__(self, run: Path, scratch: Path) -> None:
        self.replies: dict[int, str] = {}
        self.bodies: dict[int, str] = {}
        self.open_online: set[int] = set()
        self.missing: Counter[str] = Counter()
        self.unsettled = self.attempts = self.batches = 0
        if not (run / "run.db").exists():
            return
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        for name in ("run.db", "run.db-wal"):
            if (run / name).exists():
                shutil.copy(run / name, scratch / name)
        store = sqlite3.connect(scratch / "run.db")
        assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        unpack = zstandard.ZstdDecompressor().decompress
        self.replies = {
            attempt: digest(unpack(raw)) for attempt, raw in store.execute("SELECT attempt, raw FROM reply")
        }
        for attempt, body in store.execute("SELECT id, body FROM attempt"):
            asked = json.loads(unpack(body))
            asked["max_completion_tokens"] = asked.pop("max_tokens")
            order = ["model", "messages", "max_completion_tokens", *list(asked)[2:-1]]
            sent = json.dumps({name: asked[name] for name in order}, ensure_ascii=False, separators=(",", ":"))
            self.bodies[attempt] = digest(sent.encode())
        settled = dict(store.execute("SELECT attempt, failure FROM settled").fetchall())
        batched = {attempt for (attempt,) in store.execute("SELECT attempt FROM batched")}
        self.open_online = self.bodies.keys() - self.replies.keys() - settled.keys() - batched
        self.missing.update(self.bodies[one] for one in batched if settled.get(one) == "ambiguous")
        self.attempts, self.unsettled = len(self.bodies), len(self.bodies.keys() - settled.keys())
        self.batches = store.execute("SELECT count(DISTINCT batch) FROM batched").fetchone()[0]
        store.close()


def final(out: Path) -> list[object]:
    """Rows and rejections, without what they cost, which depends on what came too late for a batch."""
    lines = [*(out / "rows.jsonl").read_bytes().splitlines(), *(out / "rejected.jsonl").read_bytes().splitlines()]
    every = [json.loads(line) for line in lines]
    for one in every:
        for known in (one, one.get("sample") or {}):
            known.pop("cost_microusd", None)
    return every


def chain(bench: Bench, tally: BatchTally, number: int, dice: random.Random, kills: int) -> list[object]:
    """Kill one run some times, then let it end; every kill and the end are checked. Gives what it made."""
    case = CASES[number % len(CASES)]
    out, scratch = bench.new(f"chain{number}", case), bench.folder / "scratch"
    points = {point for point in BATCH_POINTS if (case["wait_h"] < 1) >= (point in CANCELLING)} - {LOOKED_FOR}
    kept: dict[int, str] = {}
    still_open: set[int] = set()
    online: Counter[str] = Counter()
    last: object = None
    for _ in range(KILLS_OF_A_CHAIN if kills else 0):
        how: dict[str, object] = {"after_s": dice.uniform(0.02, 0.5)}
        if last in ORDERING and (not tally.kills[LOOKED_FOR] or dice.random() < 0.5):
            how = {"point": LOOKED_FOR, "nth": 1}
        elif dice.random() < 0.75:
            fewest = min(tally.kills[point] for point in points)
            point = dice.choice([point for point in sorted(points) if tally.kills[point] == fewest])
            how = {"point": point, "nth": dice.randint(1, 8) if point in MANY else 1}
        last = how.get("point")
        code = bench.run(out, **how)
        assert code in (0, -9), (code, how)
        if code == 0:
            break
        tally.kills[str(how.get("point", "at a random moment"))] += 1
        found = Found(out, scratch)
        kept |= acknowledged(Path(f"{out}.acknowledged"))
        flying = found.open_online - still_open
        still_open = found.open_online
        online.update(found.bodies[attempt] for attempt in flying)
        if sum(tally.kills.values()) >= kills:
            break
    assert bench.run(out) == 0
    found, book = Found(out, scratch), bench.book()
    tally.acknowledged += len(kept)
    tally.replies_lost += sum(found.replies.get(attempt) != content for attempt, content in kept.items())
    tally.batches += found.batches
    tally.ordered_twice += len(book["batches"]) - len(set(book["batches"]))
    tally.requests += found.attempts
    tally.stateless += found.unsettled
    tally.in_flight += online.total()
    tally.missing += found.missing.total()
    assert book["paid"].keys() == set(found.bodies.values())
    excuses = online + found.missing
    tally.bought_twice += sum(max(0, times - 1 - excuses[body]) for body, times in book["paid"].items())
    made = final(out)
    shutil.rmtree(out)
    return made


@pytest.mark.timeout(3600)
def test_fault_65_killed_at_any_step_of_a_batch_every_request_ends_in_one_state(bench, request):
    kills = request.config.getoption("--batch-kills")
    tally, dice = BatchTally(), random.Random(65)
    clean = chain(bench, tally, 0, dice, 0)
    assert len(clean) > 15
    number = 0
    while sum(tally.kills.values()) < kills:
        number += 1
        tally.runs_different += chain(bench, tally, number, dice, kills) != clean
        tally.runs_compared += 1
    for point, count in sorted(tally.kills.items()):
        print(f"{count:>5}  {point}")
    print(tally.markdown())
    assert tally.kills.keys() >= BATCH_POINTS.keys()
    if where := request.config.getoption("--crash-results"):
        keep(where, "batches", tally)
    assert (tally.replies_lost, tally.ordered_twice, tally.stateless) == (0, 0, 0)
    assert (tally.bought_twice, tally.runs_different) == (0, 0)
