"""A run in the hands of a person: from another terminal by a real process, and by the keys of its own."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

import synth as library
from synth.admission.halt import Halt
from synth.backends.practice.faults import NO_FAULTS
from synth.console.drawing import drawing
from synth.console.keys import Keys
from synth.console.live import snapshot_line
from synth.console.panel import panel
from synth.live.control import SOCKET, Line, Refused, Steering, reachable
from synth.live.progress import Progress, StageCount
from synth.live.snapshot import ProblemNow, Snapshot, StageNow, TeacherNow, read_problems
from synth.money.budget import Budget, Caps
from synth.report.words import ENGLISH
from synth.types import Spend
from tests.served import served

SLOW = NO_FAULTS.model_copy(update={"latency_s": 1.5})
ROOT = Path(__file__).parent.parent.parent
PRICED = "price: {input_usd: 1.0, output_usd: 4.0}"
PROBLEM = "main: rate limit, 3 of the last 1,000 requests (HTTP 429 \x1b]0;x)"


@pytest.fixture
def slow() -> Generator[str]:
    """The base URL of a practice teacher that takes its time, on a loop of its own."""
    with served(SLOW) as base_url:
        yield base_url


@pytest.fixture
def running(write_recipe: Any, slow: str, begin: Any, tmp_path: Path) -> tuple[Path, Any]:
    """The folder of a run that another process does with little in flight, under a budget, and the process."""
    recipe = write_recipe(slow, endpoint=PRICED, in_flight=2)
    process = begin("run", recipe, "--out", "run", "--budget", "2", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    until = time.monotonic() + 60
    while not (tmp_path / "run" / SOCKET).exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    return tmp_path / "run", process


def moments(begin: Any, folder: Path) -> list[dict[str, Any]]:
    """What `synth watch --json` tells until it is ended."""
    process = begin("watch", folder, "--json", stdout=subprocess.PIPE)
    told = [json.loads(process.stdout.readline()) for _ in range(2)]
    process.send_signal(signal.SIGINT)
    process.communicate()
    return told


def test_another_terminal_watches_pauses_slows_funds_and_drains_a_run(
    running: tuple[Path, Any], synth: Any, begin: Any, tmp_path: Path
) -> None:
    folder, process = running
    assert synth("ctl", folder, "limit", "1").stdout == "At most in flight: main 1.\n"
    assert synth("ctl", folder, "pause").stdout.startswith("Paused: nothing new is sent;")
    until = time.monotonic() + 60
    first, second = moments(begin, folder)
    while first["teachers"][0]["in_flight"] or first["stages"][0]["asked"] != second["stages"][0]["asked"]:
        assert time.monotonic() < until  # what was on its way has come by then
        first, second = moments(begin, folder)
    assert (first["state"], first["recipe"]) == ("paused", "small")
    assert second["teachers"][0] | {"in_flight": 0} == second["teachers"][0]
    assert (second["teachers"][0]["most"], second["caps"]["usd"]) == (1, 2.0)
    too_small = synth("ctl", folder, "budget", "0")
    assert (too_small.returncode, "spent or reserved already" in too_small.stdout) == (2, True)
    assert "is $3.00 now" in synth("ctl", folder, "budget", "3").stdout
    assert json.loads(synth("status", folder, "--json").stdout)["caps"]["usd"] == 3.0
    assert synth("ctl", folder, "resume").stdout == "Going on.\n"
    assert synth("ctl", folder, "drain").stdout.startswith("Ending:")
    assert process.wait(60) == 130
    assert "Drained as asked" in process.communicate()[1]
    assert not (folder / SOCKET).exists()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["state"], manifest["budget_microusd"]) == ("interrupted", 3_000_000)


def test_a_paused_run_can_be_drained_and_goes_on_to_the_same_rows(
    running: tuple[Path, Any], write_recipe: Any, synth: Any, slow: str, tmp_path: Path
) -> None:
    folder, process = running
    assert synth("ctl", folder, "pause").returncode == 0
    assert synth("ctl", folder, "drain").returncode == 0
    assert process.wait(60) == 130
    recipe = write_recipe(slow, endpoint=PRICED)
    library.run(recipe, folder=folder)
    library.run(recipe, folder=tmp_path / "whole")
    assert (folder / "rows.jsonl").read_bytes() == (tmp_path / "whole" / "rows.jsonl").read_bytes()


def test_what_went_wrong_is_told_in_plain_words_the_newest_first(write_recipe: Any, tmp_path: Path) -> None:
    library.run(write_recipe(), folder=tmp_path / "run")
    with closing(sqlite3.connect(tmp_path / "run" / "run.db")) as connection:
        sent = connection.execute("SELECT count(*) FROM attempt").fetchone()[0]
        last = connection.execute(
            "SELECT failure FROM settled WHERE failure NOT IN ('ok', 'unsent') ORDER BY attempt DESC LIMIT 1"
        ).fetchone()[0]
    problems = read_problems(tmp_path / "run")
    assert 1 <= len(problems) <= 3
    assert problems[0].text.startswith(f"main: {ENGLISH.failures[last]}, ")
    wanted = rf"main: [a-z ]+, \d+ of the last {sent:,} requests( \(.+\))?"
    assert all(re.fullmatch(wanted, one.text) for one in problems)


def test_nothing_is_promised_of_the_time_left_while_paused(tmp_path: Path) -> None:
    async def told() -> tuple[float | None, float | None]:
        progress = Progress({"a": StageCount(units=2)}, {}, Budget(), total_seeds=4, seeds_done=2)
        hand = Steering("x", tmp_path, progress, Halt())
        before = hand.now().left_s
        await hand.do("pause")
        return before, hand.now().left_s

    before, paused = asyncio.run(told())
    assert before is not None
    assert paused is None


@pytest.mark.parametrize("command", [("ctl", "run", "pause"), ("watch", "run")])
def test_where_nothing_runs_a_sentence_says_so(command: tuple[str, ...], synth: Any, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    finished = synth(*command)
    assert finished.returncode == 5
    assert finished.stderr == "Nothing runs in run; `synth status run` says what is there.\n"


def test_a_limit_without_a_number_is_a_usage_error(synth: Any) -> None:
    for arguments in (("limit",), ("pause", "3"), ("halt",)):
        finished = synth("ctl", "run", *arguments)
        assert finished.returncode == 2
        assert "Traceback" not in finished.stderr


def steering(tmp_path: Path, caps: Caps | None = None) -> Steering:
    progress = Progress({"答え": StageCount(units=3, accepted=2)}, {}, Budget(caps, Spend(500_000)), total_seeds=4)
    return Steering("算数", tmp_path, progress, Halt())


def test_keys_pause_take_a_number_and_can_be_thought_better_of(tmp_path: Path) -> None:
    async def pressed() -> list[str]:
        hand = steering(tmp_path, Caps(usd=1.0))
        keys, lines = Keys(hand), list[str]()
        for typed in ("p", "p", "b2x.\x7f.5\r", "b9\x1b", "l0\n", "b0.1\n", "d", "p"):
            for key in typed:
                await keys.press(key)
            lines.append(keys.line)
        assert hand.now().caps.usd == 2.5
        return lines

    paused, going, funded, cancelled, limited, refused, drained, late = asyncio.run(pressed())
    assert paused.startswith("Paused")
    assert "p go on" in paused
    assert "p pause" in going
    assert funded.startswith("The budget of this run is $2.50 now")
    assert "Esc" not in cancelled
    assert limited.startswith("A limit is at least 1")
    assert refused.startswith("$0.5000 is spent or reserved already")
    assert drained.startswith("Ending")
    assert late.startswith("The run is ending already: Drained as asked")


@pytest.mark.parametrize(
    ("command", "value", "words"),
    [("budget", "5", "no budget in dollars"), ("limit", "many", "'many' is not a number"), ("limit", "nan", "'nan' is not"),
        ("budget", "inf", "'inf' is not"), ("limit", "0", "at least 1"), ("stop", "", "is no command")],
)  # fmt: skip
def test_what_cannot_be_done_is_said_and_not_done(tmp_path: Path, command: str, value: str, words: str) -> None:
    hand = steering(tmp_path)
    with pytest.raises(Refused, match=words):
        asyncio.run(hand.do(command, value))


def test_a_socket_left_by_a_killed_run_and_a_folder_too_deep_for_one_are_no_matter(tmp_path: Path) -> None:
    folder = tmp_path / ("深い" * 30) / ("x" * 100)
    folder.mkdir(parents=True)
    left = folder / SOCKET
    left.write_text("of a run that was killed")

    async def asked(line: bytes) -> dict[str, Any]:
        async with reachable(steering(folder)) as problem:
            assert problem == ""
            assert left.stat().st_mode & 0o777 == 0o600
            handle = os.open(folder, os.O_RDONLY)
            reader, writer = await asyncio.open_unix_connection(f"/proc/self/fd/{handle}/{SOCKET}")
            os.close(handle)
            writer.write(line)
            answer = json.loads(await reader.readline())
            writer.close()
            return answer

    assert asyncio.run(asked(b'{"do": "tell"}\n'))["now"]["recipe"] == "算数"
    for foreign in (b"GET / HTTP/1.1\n", b"[]\n", b'{"do": {}}\n'):
        assert "refused" in asyncio.run(asked(foreign))
    assert not left.exists()


def test_a_run_that_is_killed_while_it_answers_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synth.live.control.holder", lambda _: "process 1")
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    monkeypatch.chdir(tmp_path)
    listening.bind(SOCKET)
    listening.listen()

    def dies() -> None:
        one, _ = listening.accept()
        one.recv(100)
        one.sendall('{"said": "一時停'.encode())
        one.close()

    thread = threading.Thread(target=dies)
    thread.start()
    line = Line(tmp_path)
    assert line.ask("pause") == {}
    line.close()
    thread.join()
    listening.close()


def test_a_folder_that_takes_no_socket_is_told_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise OSError("no sockets here")

    monkeypatch.setattr(socket.socket, "bind", refused)

    async def opened() -> str:
        async with reachable(steering(tmp_path)) as problem:
            return problem

    assert "cannot reach this run (no sockets here)" in asyncio.run(opened())


def shown(now: Snapshot, width: int, height: int = 24, encoding: str = "utf-8") -> list[str]:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=out, width=width, height=height, color_system=None)
    with console.capture() as captured:
        console.print(panel(now, console, "p pause"))
    return captured.get().splitlines()


@pytest.fixture
def now() -> Callable[..., Snapshot]:
    def made(**changed: Any) -> Snapshot:
        stage = StageNow(name="答え", asked=30, expected=60.0, kept=25, parked=2,
                         refused={"refusal": 9, "truncated": 4, "repetition": 3, "too_long": 2, "toxic": 1})  # fmt: skip
        teacher = TeacherNow(name="main", in_flight=3, limit=16, most=64, pause_s=12.0)
        fields: dict[str, Any] = {
            "recipe": "算数", "state": "running", "seconds": 75.0, "left_s": 80.0, "seeds": 60, "seeds_done": 30, "rows": 25,
            "rows_per_s": 0.4, "refused": {"refusal": 9}, "stages": (stage,), "teachers": (teacher,), "tokens": 12_345,
            "spent_microusd": 1_500_000, "spent_tokens": 0, "spent_requests": 0, "reserved_microusd": 20_000,
            "projected_microusd": 3_000_000, "overshoot_microusd": 0, "waiting_for_budget": 0, "caps": Caps(usd=5.0),
            "problems": (ProblemNow(teacher="main", code="rate", count=3, of=1000, status=429, text=PROBLEM),),
        }  # fmt: skip
        return Snapshot(**(fields | changed))

    return made


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_panel_fits_its_terminal_and_says_all_that_matters(now: Callable[..., Snapshot], width: int) -> None:
    lines = shown(now(), width)
    assert max(map(cell_len, lines)) <= width
    flat = " ".join(" ".join(lines).split())
    for words in (
        *("30 of 60", "1 min 20 s left", "30 of 60 25 kept 19 refused", "refusal 9 truncated 4"),
        *("3 of 16 in flight", "asked again in 12 s", "12,345 tokens", "$1.50 spent of $5.00", "$0.0200 reserved"),
        *("about $3.00 in all", "rate limit, 3 of the last 1,000 requests", "p pause"),
    ):
        assert words in flat, words
    assert ("others" in flat) == (width == 60)
    if width > 60:
        assert "━━━━━━━━━━──────────" in flat
        assert "2 parked" in flat
        assert "(HTTP 429 <U+001B>]0;x)" in flat


def test_a_server_that_is_gone_is_told_at_once_and_for_how_long_it_is_waited_for(now: Callable[..., Snapshot]) -> None:
    teacher = TeacherNow(
        name="先生", in_flight=0, limit=16, most=64, pause_s=25.0, silent_s=65.0, waited_for_s=3535.0, batched=0
    )
    flat = " ".join(" ".join(shown(now(teachers=(teacher,)), 120)).split())
    assert "out of reach 1 min 5 s, given up in 58 min 55 s asked again in 25 s" in flat
    line = snapshot_line(now(teachers=(teacher,)))
    assert "先生 has been out of reach for 1 min 5 s and is waited for 58 min 55 s more" in line


@pytest.mark.parametrize("width", [60, 80])
def test_no_line_of_the_panel_moves_as_its_numbers_grow(now: Callable[..., Snapshot], width: int) -> None:
    def at(kept: int, refused: dict[str, int], in_flight: int, **changed: Any) -> list[str]:
        stage = StageNow(name="答え", asked=kept, expected=900.0, kept=kept, parked=0, refused=refused)
        teacher = TeacherNow(name="先生", in_flight=in_flight, limit=256, most=256, pause_s=0.0)
        return shown(now(stages=(stage,), teachers=(teacher,), **changed), width)

    early = at(0, {}, 3, seconds=9.0, left_s=3000.0, rows=0, tokens=0, problems=())
    late = at(800, {"wrong_language": 70, "truncated": 20, "no_final_answer": 9}, 256, seconds=3599.0, left_s=8.0)
    assert len(early) == len(late) - 1  # the problem is the last line
    for word in ("about", "kept", "in flight", "spent", "p pause"):
        first, last = (
            [(n, line.index(word)) for n, line in enumerate(lines) if word in line] for lines in (early, late)
        )
        assert first[0] == last[0]


def test_a_low_terminal_loses_what_each_stage_refused_and_keeps_the_keys(now: Callable[..., Snapshot]) -> None:
    stages = tuple(
        StageNow(name=f"段{n}", asked=1, expected=None, kept=0, parked=0, refused={"refusal": 1}) for n in range(4)
    )
    high, low = shown(now(stages=stages), 80, 24), shown(now(stages=stages), 80, 12)
    assert len(high) == len(low) + 4
    assert any("refusal 1" in line for line in high)
    assert not any("refusal 1" in line for line in low)
    assert len(low) <= 12
    assert "p pause" in low


def test_a_terminal_without_unicode_gets_bars_of_ascii(now: Callable[..., Snapshot]) -> None:
    stage = StageNow(name="answer", asked=30, expected=60.0, kept=25, parked=0, refused={})
    text = "\n".join(shown(now(recipe="sums", stages=(stage,)), 60, encoding="ascii"))
    assert text.isascii()
    assert "####" in text


def test_the_panel_says_why_a_run_is_ending(now: Callable[..., Snapshot]) -> None:
    assert "The budget is reached." in shown(now(state="ending", why="The budget is reached."), 80)


def test_a_plug_in_that_takes_long_is_named_in_the_panel_and_in_the_plain_line(now: Callable[..., Snapshot]) -> None:
    said = "検査.py:遅い has taken 12 s over a sample, and is ended after 30 s"
    assert said in shown(now(held_by=(said,)), 80)
    assert said in snapshot_line(now(held_by=(said,)))


def test_a_run_that_is_ending_promises_no_time_and_counts_what_was_asked(tmp_path: Path) -> None:
    async def ended() -> tuple[Snapshot, str]:
        count = StageCount(units=60, unfinished=45, unasked=40, accepted=15)
        hand = Steering("x", tmp_path, Progress({"a": count}, {}, Budget(), total_seeds=60, seeds_done=60), Halt())
        keys = Keys(hand)
        await keys.press("p")
        await hand.do("drain")
        return hand.now(), keys.line

    now, line = asyncio.run(ended())
    assert now.left_s is None
    assert now.stages[0].asked == 20
    assert line == "Ctrl-C stop at once"  # and no longer that it is paused


def test_a_connection_that_broke_is_told_in_its_own_words(write_recipe: Any, tmp_path: Path) -> None:
    library.run(write_recipe(), folder=tmp_path / "run")
    broke = "UPDATE reply SET status = 0, error = 'reset', detail = ' the server\nclosed ' WHERE attempt = ?"
    with closing(sqlite3.connect(tmp_path / "run" / "run.db")) as connection, connection:
        last = connection.execute("SELECT max(attempt) FROM reply").fetchone()
        connection.execute("UPDATE settled SET failure = 'ambiguous' WHERE attempt = ?", last)
        connection.execute(broke, last)
    assert read_problems(tmp_path / "run")[0].text.endswith("requests (the server closed)")


@pytest.mark.parametrize(("width", "rows"), [(40, 3), (20, 5), (12, 7)])
def test_a_picture_whose_terminal_got_narrower_is_erased_with_the_lines_that_were_folded(width: int, rows: int) -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system=None, width=40, height=24)
    with drawing(console) as draw:
        draw(Text("\n".join(["答え" * 7, "x" * 30, "y" * 9])))
        console.width = width
        out.truncate(0)
        draw(Text("new"))
        assert out.getvalue().partition("new")[0].count("\x1b[1A") == rows - 1


def test_the_numbers_of_several_teachers_stand_below_each_other(now: Callable[..., Snapshot]) -> None:
    teachers = tuple(
        TeacherNow(name=name, in_flight=flying, limit=limit, most=999, pause_s=0.0)
        for name, flying, limit in (("小", 0, 7), ("large", 4, 16), ("採点役", 120, 222))
    )
    lines = [line for line in shown(now(teachers=teachers), 80) if "in flight" in line]
    assert len({cell_len(line[: line.index("in flight")]) for line in lines}) == 1
    assert len({cell_len(line[: line.index("of")]) for line in lines}) == 1
