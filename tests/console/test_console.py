"""What the commands print about a run: safe for a terminal, honest about practice, and every id can be shown."""

from __future__ import annotations

import io
import json
import re
import sqlite3
from contextlib import closing, nullcontext
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

import synth as package
from synth.console import status
from synth.console.live import snapshot_line
from synth.console.panel import panel
from synth.console.screen import ScreenConsole, plain_table
from synth.datasets import export
from synth.live.progress import Progress, StageCount
from synth.live.snapshot import snapshot
from synth.money.budget import Budget
from synth.results.manifest import read_manifest
from synth.storage.database import Ledger
from synth.storage.store import Store
from tests.served import served


class Terminal(io.StringIO):
    """What is written to a terminal."""

    def isatty(self) -> bool:
        return True


HOSTILE = "\x1b]0;pwned\x07\x1b[31m\x00\u202e赤い\u200b\x9b2J"
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202e]")
REPLAYED = """\
name: hostile
language: ja
seeds: {kind: jsonl, path: seeds.jsonl}
teachers: {main: {model: m, base_url: "replay:replies.jsonl"}}
stages:
  - name: answer
    generator: {kind: answer, prompt: ask.md.j2}
    validators: [{kind: finished}]
"""


@pytest.fixture
def hostile(tmp_path: Path):
    """A recipe whose teacher says hostile things; gives its folder."""

    def write(*responses: dict) -> Path:
        folder = tmp_path / "hostile"
        folder.mkdir()
        (folder / "recipe.yaml").write_text(REPLAYED, encoding="utf-8")
        (folder / "ask.md.j2").write_text("{{ q }}")
        lines = [json.dumps({"q": f"q{place}"}) + "\n" for place in range(len(responses))]
        (folder / "seeds.jsonl").write_text("".join(lines))
        replies = [json.dumps({"prompt": f"q{place}", "response": one}) for place, one in enumerate(responses)]
        (folder / "replies.jsonl").write_text("\n".join(replies))
        return folder

    return write


@pytest.fixture
def practice():
    """The base URL of a practice teacher behind HTTP, on a loop of its own."""
    with served() as base_url:
        yield base_url


def said(content: str, finish: str = "stop") -> dict:
    return {"choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": finish}]}


def test_what_a_model_says_cannot_steer_the_terminal(hostile, synth):
    refusal = {"choices": [{"message": {"role": "assistant", "refusal": HOSTILE}, "finish_reason": "stop"}]}
    recipe = hostile(said(f"答え{HOSTILE}"), said(HOSTILE, "length"), refusal)
    previewed = synth("preview", recipe)
    assert synth("run", recipe, "--out", "run").returncode == 0
    for finished in (previewed, synth("show", "run"), synth("show", "run", "--rejected")):
        assert finished.returncode == 0, finished.stderr
        assert not RAW.search(finished.stdout + finished.stderr)
        assert "<U+001B>]0;pwned<U+0007>" in finished.stdout
        assert "<U+202E>赤い" in finished.stdout


def test_what_is_no_terminal_gets_each_row_on_one_line_whatever_columns_says(hostile, synth):
    long = "長い説明" * 60
    recipe = hostile(said(long), said("切れた" * 30, "length"))
    narrow = {"COLUMNS": "40", "LANG": "ja_JP.UTF-8"}
    assert synth("run", recipe, "--out", "run", env=narrow).returncode == 0
    for arguments in (("status", "run"), ("trace", "run", "00000000/00/000"), ("show", "run")):
        shown = synth(*arguments, env=narrow).stdout
        assert not [line for line in shown.splitlines() if line != line.rstrip()]
        assert arguments[0] == "status" or long in shown
    shown = synth("status", "run", env=narrow).stdout
    assert re.search(r"^answer +2 +2 +1 +truncated 1$", shown, re.MULTILINE), shown
    assert re.search(r"^answer +main +ok +2$", shown, re.MULTILINE), shown


def test_columns_begin_at_one_place_where_japanese_stands_in_them():
    written = io.StringIO()
    table = plain_table("stage", "数", "", right=1)
    table.add_row("答える", "5", "one\ntwo")
    table.add_row("write", "1,234", "重複 [b]1[/b]")
    ScreenConsole(file=written).print(table)
    assert written.getvalue().splitlines() == ["stage      数", "答える      5  one two", "write   1,234  重複 1"]


def test_a_terminal_gets_tables_folded_to_its_width():
    written = Terminal()
    table = plain_table("stage", "why")
    table.add_row("答える", "とても長い理由" * 5)
    ScreenConsole(file=written, width=30, color_system=None).print(table)
    assert max(cell_len(line) for line in written.getvalue().splitlines()) <= 30


LEDGER = [
    Ledger("answer", "main", "ok", 1234, 0, 123_456, 23_456, 0, 0),
    Ledger("answer", "main", "ambiguous", 3, 0, 0, 0, 0, 0),
    Ledger("採点する:score", "審査モデル", "ok", 46, 1_500_000, 13_466, 1_124, 0, 0),
]
"""Of a run that lost connections, with names in Japanese."""


@pytest.mark.parametrize(
    ("width", "heads", "who"),
    [(60, ["answer  main", "採点する:score  審査モデル"], " +"), (80, [], r"採点\S* +審査\S* +")],
)
def test_in_a_narrow_terminal_no_figure_and_no_heading_of_status_is_cut(monkeypatch, width, heads, who):
    written = Terminal()
    monkeypatch.setattr(status, "OUT", ScreenConsole(file=written, width=width, color_system=None))
    status._ledger(LEDGER, ["answer", "採点する"])
    lines = written.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= width
    assert [line for line in lines if line in heads] == heads
    words = written.getvalue().split()
    for whole in ("outcome", "attempts", "tokens", "cost", "1,234", "123,456", "23,456", "$1.50"):
        assert whole in words
    assert {"connection", "lost"} <= {*words}
    (scored,) = [line for line in lines if "13,466" in line]
    assert re.fullmatch(who + r"ok +46 +13,466 +1,124 +\$1\.50", scored)


@pytest.mark.parametrize("is_running", [False, True])
def test_no_word_of_status_is_cut_in_a_terminal_of_60_columns(write_recipe, tmp_path, monkeypatch, is_running):
    package.run(write_recipe(), folder=tmp_path / "run", quiet=True)

    def told(width):
        written = Terminal()
        monkeypatch.setattr(status, "OUT", ScreenConsole(file=written, width=width, color_system=None))
        with closing(Store(tmp_path / "run")) if is_running else nullcontext():
            status.status(tmp_path / "run", as_json=False)
        return written.getvalue()

    wide, narrow = told(200), told(60)
    assert ("running (process" in narrow) is is_running
    assert max(map(cell_len, narrow.splitlines())) <= 60
    assert {*wide.split()} - {*narrow.split()} == {"teacher"}  # who was asked stands above what came of it
    refused = read_manifest(tmp_path / "run" / "manifest.json").rejected
    assert refused
    assert [reason for reason, count in refused.items() if f"{reason}\u00a0" not in narrow] == []


def test_where_a_terminal_has_no_room_for_words_the_names_are_cut_and_the_figures_last():
    written = Terminal()
    table = plain_table("段階", "teacher", "attempts", "", right=2)
    table.add_row(Text("とても長い名前です。", style="red"), "a-teacher", "1,234,567", "")
    ScreenConsole(file=written, width=24, color_system=None).print(table)
    lines = written.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= 24
    assert "1,234,567" in written.getvalue()
    assert "".join(re.findall(r"[ぁ-ん一-鿿。]", written.getvalue())) == "段階とても長い名前です。"
    assert not any(line.lstrip().startswith("。") for line in lines)


def test_what_a_server_says_cannot_steer_the_terminal(hostile, synth):
    recipe = hostile({"error": {"message": f"no credit {HOSTILE}", "code": 402}})
    for command in ("run", "preview"):
        finished = synth(command, recipe)
        assert finished.returncode == 4
        assert not RAW.search(finished.stdout + finished.stderr)
        assert "<U+001B>]0;pwned<U+0007>" in finished.stderr
    missing = synth("show", "folder\x1b]0;pwned\x07")
    assert "<U+001B>]0;pwned<U+0007>" in missing.stderr
    assert not RAW.search(missing.stderr)


def test_practice_data_is_called_so_wherever_it_is_shown(write_recipe, synth, practice, tmp_path):
    recipe = write_recipe(practice)
    told = "Practice data"
    previewed = synth("preview", recipe, "-n", "1", "--out", "run")
    assert told in previewed.stdout
    assert json.loads(synth("preview", recipe, "-n", "1", "--json", "--out", "run").stdout)["practice"] is True
    assert told in synth("status", "run").stdout  # no export yet, and so no manifest
    assert told in synth("run", recipe, "--limit", "1", "--out", "run").stdout
    manifest = read_manifest(tmp_path / "run" / "manifest.json")
    assert manifest.practice
    assert [teacher.is_practice for teacher in manifest.teachers] == [True]
    assert "(practice teacher)" in (tmp_path / "run" / "dataset" / "README.md").read_text()
    assert told in synth("status", "run").stdout
    assert json.loads(synth("status", "run", "--json").stdout)["practice"] is True
    for more in ((), ("--rejected",)):
        assert told in synth("show", "run", *more).stdout
        lines = synth("show", "run", "--json", *more)
        assert told in lines.stderr
        assert all(json.loads(line)["id"] for line in lines.stdout.splitlines())


def test_another_teachers_data_is_not_called_practice(hostile, synth):
    recipe = hostile(said("答え"))
    shown = [synth("run", recipe), synth("status", "runs/hostile"), synth("show", "runs/hostile")]
    assert not any("ractice" in finished.stdout + finished.stderr for finished in shown)
    assert json.loads(synth("status", "runs/hostile", "--json").stdout)["practice"] is False


def test_a_run_without_pyarrow_says_that_parquet_was_left_out(hostile, tmp_path, monkeypatch, capsys):
    from synth.console import running
    from synth.recipes.loading import load
    from synth.results.result import Options

    monkeypatch.setattr(export, "find_spec", lambda name: None)
    assert running.run(load(hostile(said("答え"))), Options(tmp_path / "run")) == 0
    assert "pip install 'synth[parquet]'" in " ".join(capsys.readouterr().out.split())
    assert read_manifest(tmp_path / "run" / "manifest.json").notice == export.NO_PYARROW


def test_the_live_counts_call_a_sample_accepted_until_it_is_selected():
    progress = Progress({"answer": StageCount()}, {}, Budget(None), total_seeds=3, rows=188)
    assert "188 accepted" in snapshot_line(snapshot("x", progress))
    assert "rows" not in snapshot_line(snapshot("x", progress))
    console = Console(width=80)
    with console.capture() as captured:
        console.print(panel(snapshot("x", progress), console))
    assert "188 accepted" in captured.get()


def records(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_every_id_that_a_run_names_can_be_shown(write_recipe, synth, tmp_path):
    package.run(write_recipe(), folder=tmp_path / "run")
    rows, rejected = records(tmp_path / "run" / "rows.jsonl"), records(tmp_path / "run" / "rejected.jsonl")

    def shown(*arguments: str) -> list[str]:
        finished = synth("show", "run", "--json", *arguments)
        assert finished.returncode == 0, finished.stderr
        return [json.loads(line)["id"] for line in finished.stdout.splitlines()]

    ids = {record["id"] for record in (*rows, *rejected)}
    twin = next(record["twin_id"] for record in rejected if record["twin_id"] and record["twin_id"] not in ids)
    made = shown(twin, "-n", "50")
    assert made == [one for one in [r["id"] for r in (*rows, *rejected)] if one.startswith(f"{twin}/")]
    assert made
    assert len(shown(twin, "-n", "1")) == 1
    assert shown(rejected[0]["id"], rows[0]["id"]) == [rejected[0]["id"], rows[0]["id"]]
    assert shown("--rejected", rejected[0]["id"]) == [rejected[0]["id"]]
    assert shown("--reason", rejected[0]["reason"], "-n", "1") == [rejected[0]["id"]]
    assert synth("show", "run", "--rejected", rows[0]["id"]).returncode == 5


def test_the_dataset_has_the_same_bytes_after_a_run_that_was_interrupted(write_recipe, tmp_path):
    recipe = write_recipe("practice:")
    package.run(recipe, folder=tmp_path / "straight")
    package.run(recipe, folder=tmp_path / "parted", limit=2)
    package.preview(recipe, 4, folder=tmp_path / "parted")
    package.run(recipe, folder=tmp_path / "parted")

    def files(name: str) -> dict[Path, bytes]:
        folder = tmp_path / name / "dataset"
        return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*.*")}

    assert {Path("README.md"), Path("data/train.parquet")} < files("straight").keys()
    assert files("parted") == files("straight")


def on_terminal(monkeypatch: pytest.MonkeyPatch, width: int) -> ScreenConsole:
    """The console of standard output, as on a terminal of this width."""
    from synth.console import screen

    terminal = ScreenConsole(file=Terminal(), color_system=None, width=width, emoji=False)
    monkeypatch.setattr(screen, "OUT", terminal)
    return terminal


def printed(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_sentence_is_folded_between_words_on_a_terminal_and_is_one_line_elsewhere(monkeypatch):
    from synth.console.screen import say

    terminal = on_terminal(monkeypatch, 30)
    log = ScreenConsole(file=io.StringIO(), width=30)
    for console in (terminal, log):
        say(console, "Nothing new is sent; what is in flight still ends.")
    assert printed(terminal) == ["Nothing new is sent; what is", "in flight still ends."]
    assert printed(log) == ["Nothing new is sent; what is in flight still ends."]


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        ("Short exercises with worked answers.", ["  new  Short exercises with", "       worked answers."]),
        ("短い練習問題と、途中の考え方つきの解答。", ["  new  短い練習問題と、途中の", "       考え方つきの解答。"]),
    ],
)
def test_what_is_said_beside_a_name_is_folded_beside_it(monkeypatch, said, lines):
    from synth.console.screen import say_each

    terminal = on_terminal(monkeypatch, 30)
    say_each([("new", said)], indent=2)
    assert printed(terminal) == lines


def test_a_word_between_colons_stays_a_word(hostile, synth):
    finished = synth("run", hostile(said("答え")), "--out", ":key:")
    assert ":key:" in finished.stdout


def test_status_tells_outcomes_in_plain_words_in_the_order_of_the_stages(write_recipe, synth, tmp_path):
    package.run(write_recipe(), folder=tmp_path / "run")
    with closing(sqlite3.connect(tmp_path / "run" / "run.db")) as connection, connection:
        connection.execute("UPDATE settled SET failure = 'transient' WHERE attempt = 1")
    told = synth("status", "run").stdout
    assert told.count("complete") == 1
    assert "server error" in told
    assert "transient" not in told
    stages = [stage.name for stage in read_manifest(tmp_path / "run" / "manifest.json").stages]
    ledger = told[told.index("outcome") :].splitlines()[1:]
    seen = [line.split()[0].partition(":")[0] for line in ledger if line.strip()]
    assert list(dict.fromkeys(seen))[: len(stages)] == stages


def test_a_run_without_a_row_says_why_and_nothing_else_of_rows(write_recipe, synth):
    finished = synth("run", write_recipe("http://127.0.0.1:9/v1"), "--out", "run")
    assert finished.returncode == 4
    assert "cannot be reached" in finished.stderr
    assert "view" not in finished.stdout
    assert "has no row" not in finished.stdout
