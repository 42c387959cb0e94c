"""kill -9 at random moments and at every named point: nothing committed is lost, nothing is bought twice.

200 kills as part of the suite, and 30 where several draws go in one request; `pytest tests/crash --kills 2000 -s` for the long version, `-s` to see the table.
"""

from __future__ import annotations

import hashlib
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
from driver import EXPORTING, ONCE, POINTS  # noqa: E402
from processes import Processes  # noqa: E402
from table import Tally, keep  # noqa: E402

from synth.admission.admission import AHEAD  # noqa: E402

IN_FLIGHT = 24
TURNS = IN_FLIGHT + min(AHEAD, IN_FLIGHT)
"""Attempts that may be journalled and without a reply on disk at once."""
LONG_ENOUGH_S = 0.7
KILLS_OF_A_CHAIN = 10

RECIPE = f"""\
name: crash
language: en
seeds:
  kind: grid
  axes: {{topic: [shopping, travel, order forms, reading kana, sports], level: [easy, medium, hard], who: [a child, a clerk]}}
teachers:
  main:
    model: practice-1
    base_url: "http://127.0.0.1:1/v1"
    sampling: {{max_tokens: 800, temperature: 0.7, seed: 1}}
    limits: {{max_in_flight: {IN_FLIGHT}}}
    price: {{input_usd: 1, output_usd: 2}}
stages:
  - name: write
    generator: {{kind: self_instruct, prompt: write.md.j2, count: 6}}
    dedupe: {{by: instruction}}
  - name: answer
    generator: {{kind: answer, prompt: answer.md.j2, question: instruction}}
    validators:
      [{{kind: finished}}, {{kind: refusal}}, {{kind: repetition}}, {{kind: language}}, {{kind: answer_format}}]
    scorers: [{{kind: judge, rubric: judge.md.j2}}]
selection: {{require: {{judge: 2}}}}
split: {{fractions: {{train: 0.8, test: 0.2}}}}
"""
TEMPLATES = {
    "write.md.j2": 'Write {{ count }} new exercises about "{{ topic }}" ({{ level }}) for {{ who }}.\n',
    "answer.md.j2": "{{ instruction }}\n\nLast line: `A: result`.\n",
    "judge.md.j2": (
        "<question>\n{{ question }}\n</question>\n<answer>\n{{ answer }}\n</answer>\n"
        'Give "reason" and "score" (1 to 5) as JSON.\n'
    ),
}
FINAL = ("rows.jsonl", "rejected.jsonl", "dataset/data/train.parquet", "dataset/data/test.parquet")


class Bench:
    """The server, the driver, and where chains of kills take place."""

    def __init__(self, folder: Path, recipe: str = RECIPE) -> None:
        self.folder = folder
        self.recipe = folder / "recipe"
        self.recipe.mkdir()
        self.text = recipe
        (self.recipe / "recipe.yaml").write_text(recipe)
        for name, text in TEMPLATES.items():
            (self.recipe / name).write_text(text)
        self._processes = Processes("server.py")
        self.close = self._processes.close

    def run(self, book: str, **how: object) -> int:
        url = f"{self._processes.address}/{book}/v1"
        if "profile: " in self.text:  # which is the recipe's word on its own URL
            (self.recipe / "recipe.yaml").write_text(self.text.replace("http://127.0.0.1:1/v1", url))
        else:
            how = {"url": url, **how}
        command = {
            "recipe": str(self.recipe),
            "folder": str(self.folder / book),
            "acknowledged": str(self.folder / f"{book}.acknowledged"),
            **how,
        }
        return self._processes.drive(command)

    def paid(self, book: str) -> Counter[str]:
        """By the SHA-256 of the body, how often the server answered in full."""
        with urllib.request.urlopen(f"{self._processes.address}/{book}") as reply:
            return Counter(json.load(reply))

    def final(self, book: str) -> dict[str, bytes]:
        return {name: (self.folder / book / name).read_bytes() for name in FINAL}


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    yield bench
    bench.close()


class Found:
    """A copy of a store as a kill left it: what it holds, without disturbing it."""

    def __init__(self, run: Path, scratch: Path) -> None:
        self.sound = True
        self.replies: dict[int, str] = {}
        self.open: set[int] = set()
        self.bodies: dict[int, str] = {}
        self.lost = self.unsettled = 0
        if not (run / "run.db").exists():
            return
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        for name in ("run.db", "run.db-wal"):
            if (run / name).exists():
                shutil.copy(run / name, scratch / name)
        connection = sqlite3.connect(scratch / "run.db")
        unpack = zstandard.ZstdDecompressor().decompress
        self.sound = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        for attempt, raw in connection.execute("SELECT attempt, raw FROM reply"):
            self.replies[attempt] = digest(unpack(raw))
        for attempt, body in connection.execute("SELECT id, body FROM attempt"):
            self.bodies[attempt] = digest(unpack(body))
        settled = connection.execute("SELECT attempt, failure FROM settled").fetchall()
        self.lost = sum(failure == "lost" for _, failure in settled)
        self.unsettled = len(self.replies.keys() - {attempt for attempt, _ in settled})
        self.open = self.bodies.keys() - self.replies.keys() - {attempt for attempt, _ in settled}
        connection.close()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def acknowledged(path: Path) -> dict[int, str]:
    lines = path.read_text().splitlines() if path.exists() else []
    return {
        int(attempt): content if content != digest(b"") else digest(b" ") for attempt, content in map(str.split, lines)
    }


def plan(dice: random.Random, kills: Counter[str], of_chain: int) -> dict[str, object]:
    """Where the next kill is to be: early in a chain while requests fly, late in it while the outputs are written; one
    of the points with the fewest kills so far."""
    exporting = of_chain >= KILLS_OF_A_CHAIN - 3
    if not exporting and dice.random() < 0.4:
        return {"after_s": dice.uniform(0.03, LONG_ENOUGH_S)}
    points = sorted(EXPORTING if exporting else POINTS.keys() - EXPORTING)
    fewest = min(kills[point] for point in points)
    point = dice.choice([point for point in points if kills[point] == fewest])
    many = 60 if any(word in point for word in ("send", "headers", "body", "rows", "rejections", "settling")) else 12
    return {"point": point, "nth": 1 if point in ONCE else dice.randint(1, 4 if "name" in point else many)}


def chain(bench: Bench, tally: Tally, book: str, dice: random.Random, kills: int, clean: dict[str, bytes]) -> None:
    """Kill one run some times, then let it end; every kill and the end are checked."""
    run, scratch = bench.folder / book, bench.folder / "scratch"
    before: dict[int, str] = {}
    still_open: set[int] = set()
    in_flight: Counter[str] = Counter()
    for of_chain in range(KILLS_OF_A_CHAIN):
        if sum(tally.kills.values()) >= kills:
            break
        how = plan(dice, tally.kills, of_chain)
        (run / "rows.jsonl").unlink(missing_ok=True)  # or a run that had come to its end would have nothing to do
        code = bench.run(book, **how)
        assert code in (0, -9), (code, how)
        if code == -9:
            tally.kills[str(how.get("point", "at a random moment"))] += 1
        found = Found(run, scratch)
        known = {**before, **acknowledged(bench.folder / f"{book}.acknowledged")}
        lost = {attempt for attempt, content in known.items() if found.replies.get(attempt) != content}
        tally.replies_lost += len(lost)
        tally.acknowledged += len(known)
        tally.damaged += not found.sound
        flying = found.open - still_open  # what an earlier kill left open is open until a run gets as far as to say so
        still_open = found.open
        tally.in_flight += len(flying)
        tally.most_in_flight = max(tally.most_in_flight, len(flying))
        in_flight.update(found.bodies[attempt] for attempt in flying)
        before = found.replies
        assert not lost, (how, lost)
    assert bench.run(book) == 0
    found = Found(run, scratch)
    tally.replies_lost += sum(found.replies.get(attempt) != content for attempt, content in before.items())
    paid = bench.paid(book)
    assert paid.keys() <= set(found.bodies.values()), "paid for, and not even journalled"
    again = {content: times - 1 for content, times in paid.items() if times > 1}
    tally.bought_again += sum(again.values())
    tally.bought_twice += sum(max(0, times - in_flight[content]) for content, times in again.items())
    tally.charged_as_lost += found.lost
    tally.damaged += not found.sound
    tally.runs_compared += 1
    tally.runs_different += bench.final(book) != clean
    shutil.rmtree(run)


def told(request: pytest.FixtureRequest, name: str, tally: Tally) -> None:
    print("\n" + tally.summary())
    if where := request.config.getoption("--crash-results"):
        keep(where, name, tally)


@pytest.mark.timeout(3600)
def test_fault_43_killed_anywhere_nothing_is_lost_and_nothing_bought_twice(bench, request):
    kills = request.config.getoption("--kills")
    assert bench.run("clean") == 0
    clean = bench.final("clean")
    assert clean["rows.jsonl"].count(b"\n") > 100
    tally = Tally()
    dice = random.Random(43)
    number = 0
    while sum(tally.kills.values()) < kills:
        number += 1
        chain(bench, tally, f"chain{number}", dice, kills, clean)
    told(request, "online", tally)
    assert kills < 200 or tally.kills.keys() >= POINTS.keys()
    assert tally.most_in_flight <= TURNS
    assert tally.charged_as_lost == tally.in_flight
    assert (tally.replies_lost, tally.bought_twice, tally.damaged, tally.runs_different) == (0, 0, 0, 0)


KILLED_BEFORE = ("inside the reply commit", "after the reply commit", "before settling", "after the settling commit")
GIVEN = 4
"""Runs that are killed and then given to another folder's, which is killed too."""


@pytest.mark.timeout(1200)
def test_what_a_killed_run_had_committed_is_not_bought_again_by_a_run_that_is_given_it(bench, tmp_path, request):
    assert bench.run("clean") == 0
    clean = bench.final("clean")
    tally, dice = Tally(), random.Random(45)
    unsettled = 0
    for number in range(GIVEN):
        book, scratch, taking = f"given{number}", tmp_path / "scratch", tmp_path / f"taking{number}"
        point, given = (
            KILLED_BEFORE[number % len(KILLED_BEFORE)],
            {"reuse": [str(tmp_path / book)], "folder": str(taking)},
        )
        assert bench.run(book, point=point, nth=dice.randint(3, 20)) == -9
        first = Found(tmp_path / book, scratch)
        before = {path: path.read_bytes() for path in (tmp_path / book).glob("run.db*") if path.suffix != ".db-shm"}
        tally.kills[point] += 1
        code = bench.run(book, **given, after_s=dice.uniform(0.2, LONG_ENOUGH_S))
        assert code in (0, -9)
        tally.kills["at a random moment"] += code == -9
        killed = Found(taking, scratch)
        assert bench.run(book, **given) == 0
        assert {path: path.read_bytes() for path in before} == before
        in_flight = Counter(found.bodies[attempt] for found in (first, killed) for attempt in found.open)
        again = {body: times - 1 for body, times in bench.paid(book).items() if times > 1}
        ended = Found(taking, scratch)
        kept = [body for found in (first, killed) for body in found.replies.values()]
        unsettled += first.unsettled
        tally.acknowledged += len(kept)
        tally.replies_lost += sum(killed.replies[attempt] != ended.replies.get(attempt) for attempt in killed.replies)
        tally.in_flight += in_flight.total()
        tally.bought_again += sum(again.values())
        tally.bought_twice += sum(max(0, times - in_flight[body]) for body, times in again.items())
        tally.runs_compared += 1
        tally.runs_different += {name: (taking / name).read_bytes() for name in FINAL} != clean
    told(request, "given", tally)
    assert unsettled > 0
    assert (tally.replies_lost, tally.bought_twice, tally.runs_different) == (0, 0, 0)


DRAWS, KILLS_OF_DRAWS = 3, 30
TOGETHER = RECIPE.replace("model: practice-1\n", "model: practice-1\n    profile: vllm\n").replace(
    "  - name: answer\n", f"  - name: answer\n    draws: {DRAWS}\n    ask_again: 1\n"
)


def answers(rows: bytes) -> list[tuple[str, str]]:
    return [(row["id"], row["messages"][-1]["content"]) for row in map(json.loads, rows.splitlines())]


@pytest.mark.timeout(1200)
def test_killed_while_several_draws_are_under_way_none_is_lost_or_bought_twice_and_all_are_as_if_they_came_alone(
    tmp_path, request
):
    bench = Bench(tmp_path, TOGETHER)
    try:
        assert bench.run("clean") == 0
        clean = bench.final("clean")
        connection = sqlite3.connect(tmp_path / "clean" / "run.db")
        assert connection.execute("SELECT count(*) FROM lot").fetchone()[0] > 300
        connection.close()
        tally = Tally()
        dice = random.Random(44)
        number = 0
        while sum(tally.kills.values()) < KILLS_OF_DRAWS:
            number += 1
            chain(bench, tally, f"chain{number}", dice, KILLS_OF_DRAWS, clean)
        told(request, "draws", tally)
        assert tally.charged_as_lost == tally.in_flight
        assert (tally.replies_lost, tally.bought_twice, tally.damaged, tally.runs_different) == (0, 0, 0, 0)
        bench.text = bench.text.replace("profile: vllm", 'profile: ""')
        assert bench.run("alone") == 0
        assert answers(bench.final("alone")["rows.jsonl"]) == answers(clean["rows.jsonl"])
    finally:
        bench.close()
