"""Events for programs: whole lines of JSON, in any case, that say what the live view says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from synth.admission.halt import Halt
from synth.backends.practice.faults import NO_FAULTS
from synth.console.telling import Wanted, telling
from synth.errors import Fatal
from synth.live.control import SOCKET
from synth.live.events import (
    EVENTS,
    PROBLEM_AGAIN_S,
    PROGRESS_EVERY_S,
    BudgetNear,
    Event,
    LimitFound,
    News,
    ProblemMet,
)
from synth.live.progress import Progress
from synth.live.sink import Sink
from synth.live.snapshot import ProblemNow, Snapshot, TeacherNow, snapshot
from synth.live.stored import stored
from synth.money.budget import Budget, Caps
from synth.protocol.fates import FATES
from synth.recipes.loading import load
from synth.report.words import ENGLISH, JAPANESE
from tests.served import served

ROOT = Path(__file__).parents[2]
SLOW = NO_FAULTS.model_copy(update={"latency_s": 0.5})
PRICED = "price: {input_usd: 1.0, output_usd: 4.0}"
KINDS = {one.model_fields["event"].default: one for one in EVENTS}


def read(text: str) -> list[dict[str, Any]]:
    """Events, each of which is what its page says."""
    assert text.endswith("\n")
    found = [json.loads(line) for line in text.splitlines()]
    for one in found:
        KINDS[one["event"]].model_validate_json(json.dumps(one))
        assert one["v"] == 1
    return found


@pytest.fixture
def begun(begin: Any) -> Any:
    """Start `synth run`, whose output is read."""
    return partial(begin, "run", stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_standard_output_holds_events_alone_from_the_first_to_the_last(
    synth: Any, write_recipe: Any, tmp_path: Path
) -> None:
    ended = synth("run", write_recipe(), "--out", "run", "--events", "-")
    events = read(ended.stdout)
    kinds = [one["event"] for one in events]
    assert (kinds[0], kinds[-2:], set(kinds)) == (
        "started",
        ["progress", "ended"],
        {"started", "limit", "progress", "problem", "ended"},
    )
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    first, moment, last = events[0], events[-2]["now"], events[-1]
    assert (first["recipe"], first["folder"], first["resumed"]) == ("small", str(tmp_path / "run"), False)
    assert (first["seeds"], first["stages"], first["practice"]) == (6, ["write", "answer"], True)
    assert len(first["fingerprint"]) == 64
    assert (last["state"], last["exit_code"], last["rows"]) == ("complete", 0, manifest["rows"])
    assert moment["rows"] == sum(last["rows"].values()) + sum(manifest["not_selected"].values())
    assert last["requests"] == moment["spent_requests"]
    assert "accepted" in ended.stderr or "rows" in ended.stderr
    assert "dataset  run/dataset" in ended.stderr
    texts = [json.loads(line) for line in (tmp_path / "run" / "rows.jsonl").read_text().splitlines()]
    for message in (message for row in texts for message in row["messages"]):
        assert message["content"] not in ended.stdout


def test_a_practice_teacher_that_is_reached_by_its_port_is_called_one_by_its_models_name(
    synth: Any, write_recipe: Any
) -> None:
    with served(NO_FAULTS) as base_url:
        by_port = read(synth("run", write_recipe(base_url), "--out", "run", "--events", "-").stdout)
        other = write_recipe(base_url)
        text = (other / "recipe.yaml").read_text(encoding="utf-8")
        (other / "recipe.yaml").write_text(text.replace("practice-1", "別のモデル"), encoding="utf-8")
        by_name = read(synth("run", other, "--out", "other", "--events", "-").stdout)
    assert (by_port[0]["practice"], by_name[0]["practice"]) == (True, False)


def test_problems_have_the_words_of_the_live_view_and_a_code(synth: Any, write_recipe: Any, tmp_path: Path) -> None:
    events = read(synth("run", write_recipe(), "--out", "run", "--events", "-").stdout)
    problems = [one for one in events if one["event"] == "problem"]
    assert problems
    for one in problems:
        assert one["text"].startswith(f"{one['teacher']}: {ENGLISH.failures[one['code']]}, {one['count']} of the last")
    for place, one in enumerate(events):
        if one["event"] == "progress":
            before = {known["code"] for known in events[:place] if known["event"] == "problem"}
            assert {shown["code"] for shown in one["now"]["problems"]} <= before
    assert len(events[-2]["now"]["problems"]) == min(3, len({one["code"] for one in problems}))
    told: list[Event] = []
    News(told.append).look(moment := stored(tmp_path / "run"), last=True)  # what a run that is quick enough tells
    shown = [one.code for one in moment.problems]
    assert [one.code for one in told if isinstance(one, ProblemMet)] == shown
    assert shown == [one["code"] for one in events[-2]["now"]["problems"]]


def test_every_class_of_failure_has_words_in_both_languages() -> None:
    assert ENGLISH.failures.keys() == JAPANESE.failures.keys()
    assert {*FATES, "lost"} <= ENGLISH.failures.keys()


def test_a_run_goes_on_in_the_same_file_and_cuts_off_what_a_kill_left_of_a_line(
    synth: Any, write_recipe: Any, tmp_path: Path
) -> None:
    events = tmp_path / "イベント.jsonl"
    recipe = write_recipe()
    synth("run", recipe, "--out", "走行", "--limit", "2", "--events", events)
    before = events.read_text()
    with events.open("a") as file:
        file.write('{"v":1,"event":"prog')
    synth("run", recipe, "--out", "走行", "--events", events)
    after = read(events.read_text())
    assert events.read_text().startswith(before)
    assert [one["resumed"] for one in after if one["event"] == "started"] == [False, True]
    assert after[-1]["folder"].endswith("走行")
    synth("run", recipe, "--out", "走行", "--events", events)
    last = read(events.read_text())[len(after) :]
    assert [(one["event"], one["text"]) for one in last] == [
        ("ended", f"Nothing to do: the dataset is up to date, with {sum(last[0]['rows'].values())} rows.")
    ]


def test_a_folder_whose_name_is_no_utf_8_is_told_of_too(synth: Any, write_recipe: Any, tmp_path: Path) -> None:
    folder = os.fsdecode("走行".encode() + b"\xff")
    ended = synth("run", write_recipe(), "--out", folder, "--events", "events.jsonl")
    assert ended.returncode == 0
    events = read((tmp_path / "events.jsonl").read_text())
    assert {one["folder"] for one in events if "folder" in one} == {f"{tmp_path}/走行\\udcff"}


def test_an_error_that_names_such_a_folder_is_told_and_watched() -> None:
    halt = Halt()
    halt.throw(Fatal("走行\udcff is full"))
    moment = snapshot("r", Progress({}, {}, Budget(), 1), halt)
    assert json.loads(moment.model_dump_json())["why"] == "走行\\udcff is full"


def test_kills_leave_whole_lines(write_recipe: Any, begun: Any, tmp_path: Path) -> None:
    with served(SLOW) as base_url:
        recipe = write_recipe(base_url)
        for _ in range(5):
            process = begun(recipe, "--out", "run", "--events", "events.jsonl")
            until = time.monotonic() + 60
            while not (tmp_path / "run" / SOCKET).exists():
                assert time.monotonic() < until
                time.sleep(0.02)
            time.sleep(0.3)
            process.kill()
            process.communicate()
            (tmp_path / "run" / SOCKET).unlink(missing_ok=True)
    events = read((tmp_path / "events.jsonl").read_text())
    assert [one["event"] for one in events].count("started") == 5
    assert "ended" not in [one["event"] for one in events]


def test_what_an_end_says_was_charged_holds_what_a_kill_cut_off(write_recipe: Any, begun: Any, tmp_path: Path) -> None:
    with served(SLOW) as base_url:
        recipe = write_recipe(base_url, endpoint=PRICED)
        arguments = (recipe, "--out", "run", "--events", "events.jsonl")
        process = begun(*arguments)
        until = time.monotonic() + 60
        while not (tmp_path / "run" / SOCKET).exists() or not stored(tmp_path / "run").reserved_microusd:
            assert time.monotonic() < until
            time.sleep(0.02)
        process.kill()
        process.communicate()
        begun(*arguments).communicate()
    events = read((tmp_path / "events.jsonl").read_text())
    last = [one["now"] for one in events if one["event"] == "progress"][-1]
    assert (events[-1]["tokens"], events[-1]["requests"]) == (last["spent_tokens"], last["spent_requests"])
    assert events[-1]["tokens"] > last["tokens"]


def test_events_for_a_closed_standard_output_are_refused_in_one_sentence(write_recipe: Any, tmp_path: Path) -> None:
    words = [sys.executable, "-c", "from synth.cli import main; main()", "run", str(write_recipe()), "--events", "-"]
    finished = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *words],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    said = "Events cannot be printed, as standard output is closed; give --events a path.\n"
    assert (finished.returncode, finished.stderr) == (2, said)


def test_what_a_person_does_and_why_a_run_ends_is_told(
    write_recipe: Any, synth: Any, begun: Any, tmp_path: Path
) -> None:
    with served(SLOW) as base_url:
        recipe = write_recipe(base_url, endpoint=PRICED, in_flight=2)
        process = begun(recipe, "--out", "run", "--budget", "2", "--events", "-")
        until = time.monotonic() + 60
        while not (tmp_path / "run" / SOCKET).exists():
            assert time.monotonic() < until
            time.sleep(0.02)
        said = [synth("ctl", "run", *words).stdout.strip() for words in (("pause",), ("budget", "3"), ("drain",))]
        out, _ = process.communicate(timeout=60)
    events = read(out)
    steered = [(one["command"], one["value"], one["text"]) for one in events if one["event"] == "steered"]
    assert [(command, value) for command, value, _ in steered] == [("pause", ""), ("budget", "3"), ("drain", "")]
    assert [text for *_, text in steered] == said
    ending = [(one["exit_code"], one["text"]) for one in events if one["event"] == "ending"]
    assert ending == [(130, "Drained as asked; run again to go on.")]
    assert (events[-1]["state"], events[-1]["exit_code"], process.returncode) == ("interrupted", 130, 130)


def test_a_run_that_cannot_begin_tells_its_end(synth: Any, write_recipe: Any, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.db").write_text("これは違う")
    finished = synth("run", write_recipe(), "--out", "run", "--events", "-")
    (only,) = read(finished.stdout)
    assert (only["event"], only["state"], only["exit_code"], finished.returncode) == ("ended", "failed", 5, 5)
    assert only["text"] == finished.stderr.strip().splitlines()[-1]


def test_a_reader_that_stands_still_or_goes_holds_nothing_up(write_recipe: Any, begun: Any, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    sink = Sink(str(pipe))
    for _ in range(3000):
        sink.add("x" * 200)
    assert sink.problem == f"Who reads the events from {pipe} stands still; some were left out."
    os.close(reader)
    sink.close()
    process = begun(write_recipe(), "--out", "run", "--limit", "1", "--events", "-")
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe without a reader"])
def test_a_place_that_takes_no_events_is_one_sentence(
    make: Callable[[Path], None], synth: Any, write_recipe: Any, tmp_path: Path
) -> None:
    make(tmp_path / "ここ")
    finished = synth("run", write_recipe(), "--out", "run", "--events", "ここ")
    assert finished.returncode == 2
    assert finished.stderr.strip().splitlines()[-1].startswith("Events cannot be written to ここ (")
    assert not (tmp_path / "run").exists()


def test_an_interrupt_while_the_seeds_are_read_is_told_as_one(write_recipe: Any, tmp_path: Path) -> None:
    recipe = load(write_recipe())
    with (
        pytest.raises(KeyboardInterrupt),
        telling("小さな", tmp_path, recipe, Wanted(events=str(tmp_path / "events.jsonl"))),
    ):
        raise KeyboardInterrupt
    (only,) = read((tmp_path / "events.jsonl").read_text())
    assert (only["event"], only["state"], only["exit_code"]) == ("ended", "interrupted", 130)
    assert only["text"] == "Stopped by Ctrl-C; run again to go on."


def test_what_a_reader_did_not_take_before_the_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synth.live.sink.CLOSING_S", 0.1)
    pipe = tmp_path / "管"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    events = Sink(str(pipe))
    for _ in range(500):
        events.add("x" * 400)
    events.close()
    assert events.problem == f"Who reads the events from {pipe} stands still; some were left out."
    os.close(reader)


def test_what_another_program_wrote_stays_and_ends_its_line(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("something else")
    sink = Sink(str(tmp_path / "log"))
    sink.add("{}")
    sink.close()
    assert (tmp_path / "log").read_text() == "something else\n{}\n"


def test_a_full_disk_is_told_and_stops_nothing() -> None:
    sink = Sink("/dev/full")
    sink.add("{}")
    sink.close()
    assert sink.problem == "Events could not be written to /dev/full any more (No space left on device)."


@pytest.mark.parametrize("command", ["preview", "estimate", "compare"])
def test_two_things_on_standard_output_are_a_usage_error(command: str, synth: Any, write_recipe: Any) -> None:
    finished = synth(command, write_recipe(), "--json", "--events", "-")
    assert (finished.returncode, finished.stdout) == (2, "")
    assert "--json and --events - both print on standard output" in finished.stderr


def test_a_file_that_may_only_be_written_to_gets_events_as_it_is(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "記録.jsonl"
    path.write_bytes(b'{"v": 1}\n')

    def refuses(*_: Any, **__: Any) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "open", refuses)
    sink = Sink(str(path))
    sink.add("{}")
    sink.close()
    monkeypatch.undo()
    assert path.read_bytes() == b'{"v": 1}\n{}\n'


def test_an_empty_place_for_events_is_a_usage_error(synth: Any, write_recipe: Any, tmp_path: Path) -> None:
    finished = synth("run", write_recipe(), "--out", "走行", "--events", "")
    assert (finished.returncode, (tmp_path / "走行").exists()) == (2, False)
    assert "--events is empty" in finished.stderr


@pytest.mark.parametrize("option", [("--events", "e"), ("--otel",), ("--out", "走行"), ("--pilot-usd", "1")])
def test_an_estimate_that_asks_nothing_takes_no_option_of_one_that_asks(
    option: tuple[str, ...], synth: Any, write_recipe: Any
) -> None:
    finished = synth("estimate", write_recipe(), "--pilot", "0", *option)
    assert finished.returncode == 2
    assert "--pilot 0 asks nothing" in finished.stderr


def test_other_commands_that_ask_tell_events_too(synth: Any, write_recipe: Any, tmp_path: Path) -> None:
    recipe = write_recipe()
    assert json.loads(synth("preview", recipe, "--out", "run", "-n", "1", "--json", "--events", "e").stdout)["rows"]
    assert synth("retry", recipe, "--out", "run", "--events", "e").returncode == 0
    assert [one["event"] for one in read((tmp_path / "e").read_text())].count("ended") == 2


class Told:
    """What was told of moments, at times that a test sets."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.clock = 0.0
        self._news = News(self.events.append, lambda: "now", lambda: self.clock)

    def look(self, moment: Snapshot, after_s: float = 0.0) -> list[Event]:
        self.clock += after_s
        self.events.clear()
        self._news.look(moment)
        return [*self.events]


@pytest.fixture
def now() -> Callable[..., Snapshot]:
    def made(**changed: Any) -> Snapshot:
        fields: dict[str, Any] = {
            "recipe": "算数", "state": "running", "seconds": 75.0, "left_s": 80.0, "seeds": 60, "seeds_done": 30,
            "rows": 25, "rows_per_s": 0.4, "refused": {}, "stages": (), "teachers": (), "tokens": 1,
            "spent_microusd": 0, "spent_tokens": 0, "spent_requests": 0, "reserved_microusd": 0,
            "projected_microusd": None, "overshoot_microusd": 0, "waiting_for_budget": 0, "caps": Caps(),
        }  # fmt: skip
        return Snapshot(**(fields | changed))

    return made


def test_progress_is_calm(now: Callable[..., Snapshot]) -> None:
    told = Told()
    counts = [len(told.look(now(), 1.0)) for _ in range(11)]
    assert counts == [1, *[0] * int(PROGRESS_EVERY_S - 1)] * 2 + [1]


def test_a_limit_is_told_at_first_and_when_it_moved_by_a_tenth(now: Callable[..., Snapshot]) -> None:
    told = Told()

    def limits(limit: int) -> list[tuple[int | None, int]]:
        teacher = TeacherNow(name="先生", in_flight=3, limit=limit, most=256, pause_s=0)
        found = told.look(now(teachers=(teacher,)), PROGRESS_EVERY_S)
        return [(one.before, one.limit) for one in found if isinstance(one, LimitFound)]

    assert [limits(one) for one in (100, 109, 110, 100, 1, 2)] == [
        [(None, 100)], [], [(100, 110)], [], [(110, 1)], [(1, 2)],
    ]  # fmt: skip


def test_a_problem_is_told_when_it_is_new_and_once_a_minute_while_it_stays(now: Callable[..., Snapshot]) -> None:
    told = Told()
    rate = ProblemNow(teacher="先生", code="rate", count=3, of=9, status=429, text="先生: rate limit, 3 of the last 9")
    lost = rate.model_copy(update={"code": "ambiguous"})

    def codes(*problems: ProblemNow, after_s: float = 1.0) -> list[str]:
        found = told.look(now(problems=problems), after_s)
        return [one.code for one in found if isinstance(one, ProblemMet)]

    assert codes(rate) == ["rate"]
    assert codes(lost, rate) == ["ambiguous"]
    assert codes(lost, rate) == []
    assert codes(rate, after_s=PROBLEM_AGAIN_S) == ["rate"]


@pytest.mark.parametrize(
    ("cap", "spent", "words"),
    [
        ({"usd": 5.0}, {"spent_microusd": 4_000_000}, "80% of the budget is used: $4.00 of $5.00."),
        ({"tokens": 1000}, {"spent_tokens": 960}, "96% of the budget is used: 960 of 1,000 tokens."),
        ({"requests": 10}, {"spent_requests": 8}, "80% of the budget is used: 8 of 10 requests."),
        ({"hours": 2.0}, {"seconds": 6120.0}, "85% of the budget is used: 1.7 of 2 hours."),
    ],
)
def test_a_cap_that_comes_near_is_told(
    cap: dict[str, Any], spent: dict[str, Any], words: str, now: Callable[..., Snapshot]
) -> None:
    (event,) = [one for one in Told().look(now(caps=Caps(**cap), **spent)) if isinstance(one, BudgetNear)]
    assert event.text == words


def test_each_share_of_a_cap_is_told_once_and_again_after_more_was_given(now: Callable[..., Snapshot]) -> None:
    told = Told()

    def shares(spent: float, usd: float) -> list[float]:
        moment = now(caps=Caps(usd=usd), spent_microusd=round(spent * 1e6))
        return [one.share for one in told.look(moment, 1.0) if isinstance(one, BudgetNear)]

    asked = ((1, 10), (8, 10), (8.1, 10), (9.6, 10), (9.7, 10), (9.7, 20), (16, 20))
    assert [shares(*one) for one in asked] == [[], [0.8], [], [0.96], [], [], [0.8]]
