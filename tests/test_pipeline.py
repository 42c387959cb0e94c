"""The whole line: the same bytes however it was interrupted, nothing asked twice, budgets that hold."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from aiohttp import web

import synth
from synth import opening, pipeline
from synth.admission import health
from synth.backends import wire
from synth.backends.practice.faults import NO_FAULTS, USUAL
from synth.backends.practice.server import PracticeTeacher, practice_server
from synth.console import status
from synth.errors import FolderError, Stalled, StoreStopped
from synth.generators.answer import Answer
from synth.recipes.loading import Overrides, load
from synth.results.manifest import read_manifest
from synth.results.result import Options
from synth.storage.database import connect
from synth.storage.salvage import repair

OUTPUTS = ("rows.jsonl", "rejected.jsonl", "dataset/data/train.parquet", "dataset/data/test.parquet")


def outputs(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in OUTPUTS}


def without_cost(folder: Path) -> list[dict[str, object]]:
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{name: value for name, value in row.items() if name != "cost_microusd"} for row in rows]


def ask_counts(folder: Path) -> Counter[bytes]:
    """How often each request was answered well."""
    connection = sqlite3.connect(folder / "run.db")
    counts = Counter(
        key
        for (key,) in connection.execute(
            "SELECT key FROM attempt JOIN settled ON settled.attempt = id WHERE failure = 'ok'"
        )
    )
    connection.close()
    return counts


def attempts(folder: Path) -> int:
    connection = sqlite3.connect(folder / "run.db")
    count = connection.execute("SELECT count(*) FROM attempt").fetchone()[0]
    connection.close()
    return int(count)


def test_running_again_sends_nothing_and_writes_the_same_bytes(write_recipe, tmp_path):
    recipe = write_recipe()
    first = synth.run(recipe, folder=tmp_path / "run")
    before, bytes_before = attempts(tmp_path / "run"), outputs(tmp_path / "run")
    (tmp_path / "run" / "rows.jsonl").unlink()  # else there would be nothing to do
    again = synth.run(recipe, folder=tmp_path / "run")
    assert first.exit_code == again.exit_code == 0
    assert first.manifest.row_count > 10
    assert attempts(tmp_path / "run") == before
    assert outputs(tmp_path / "run") == bytes_before


def test_the_bytes_do_not_depend_on_how_many_are_in_flight(write_recipe, tmp_path):
    synth.run(write_recipe(in_flight=64), folder=tmp_path / "wide")
    synth.run(write_recipe(in_flight=2), folder=tmp_path / "narrow")
    assert outputs(tmp_path / "wide") == outputs(tmp_path / "narrow")


def test_killed_with_sigkill_and_run_again_gives_the_bytes_of_an_uninterrupted_run(
    write_recipe, tmp_path, synth, begin
):
    recipe = write_recipe(in_flight=4)
    assert synth("run", recipe, "--out", tmp_path / "whole").returncode == 0
    folder = tmp_path / "killed"
    for stored in (5, 40):
        process = begin("run", recipe, "--out", folder)
        wait_for_replies(folder, stored, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (folder / "rows.jsonl").exists()
    finished = synth("run", recipe, "--out", folder, env={"PYTHONHASHSEED": "1"})  # sets are in another order there
    assert finished.returncode == 0, finished.stderr
    assert outputs(folder) == outputs(tmp_path / "whole")
    assert (folder / "dataset/README.md").read_bytes() == (tmp_path / "whole/dataset/README.md").read_bytes()
    assert set(ask_counts(folder).values()) == {1}


def wait_for_replies(folder: Path, wanted: int, process) -> None:
    """Wait until so many replies are on disk."""
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        assert process.poll() is None, "the run ended before it could be killed"
        if (folder / "run.db").exists():
            connection = sqlite3.connect(folder / "run.db", timeout=5)
            try:
                if connection.execute("SELECT count(*) FROM reply").fetchone()[0] >= wanted:
                    return
            except sqlite3.OperationalError:
                pass  # the tables are not there yet
            finally:
                connection.close()
        os.sched_yield()
    raise AssertionError("the run stored too few replies")


def test_ctrl_c_ends_what_is_in_flight_and_a_rerun_completes(write_recipe, tmp_path, synth, begin):
    recipe = write_recipe(in_flight=4)
    folder = tmp_path / "run"
    process = begin("run", recipe, "--out", folder, stderr=subprocess.PIPE)
    wait_for_replies(folder, 20, process)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run again to go on" in stderr
    assert "Traceback" not in stderr
    assert json.loads((folder / "manifest.json").read_bytes())["state"] == "interrupted"
    assert synth("run", recipe, "--out", tmp_path / "whole").returncode == 0
    assert synth("run", recipe, "--out", folder).returncode == 0
    assert outputs(folder) == outputs(tmp_path / "whole")
    assert (folder / "dataset/README.md").read_bytes() == (tmp_path / "whole/dataset/README.md").read_bytes()
    assert set(ask_counts(folder).values()) == {1}


def test_the_budget_holds_and_a_higher_one_goes_on_to_the_same_rows(write_recipe, tmp_path):
    price = "price: {input_usd: 10, output_usd: 20}"
    recipe = write_recipe(endpoint=price)
    capped = synth.run(recipe, folder=tmp_path / "run", budget_usd=0.06)
    assert capped.exit_code == 6
    assert capped.manifest.state == "stopped_by_budget"
    assert 0 < capped.manifest.cost_microusd <= 60_000
    whole = synth.run(recipe, folder=tmp_path / "whole")
    assert whole.manifest.cost_microusd > 60_000
    more = synth.run(recipe, folder=tmp_path / "run", budget_usd=10)
    assert more.exit_code == 0
    # draws that a budget does not bear together are bought one by one, each with its prompt: what they say is the same
    assert without_cost(tmp_path / "run") == without_cost(tmp_path / "whole")


def test_why_a_run_ended_stands_in_its_status_and_its_report_with_what_was_asked(write_recipe, tmp_path, synth):
    recipe = write_recipe("practice:faultless")
    ran = synth("run", str(recipe), "--out", "run", "--budget", "requests=9")
    said = "The budget of 9 requests is reached: 9 sent. Run again with a higher budget of requests to go on."
    assert ran.stderr.splitlines()[-1] == said
    status = synth("status", "run")
    assert said in status.stdout
    assert json.loads(synth("status", "run", "--json").stdout)["message"] == said
    assert said in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    manifest = read_manifest(tmp_path / "run" / "manifest.json")
    asked = {stage.name: stage.units for stage in manifest.stages}
    answers = sum(line.attempts for line in manifest.ledger if line.stage == "answer")
    assert answers > 0
    assert asked["answer"] == answers  # also those that nobody judged
    synth("run", str(recipe), "--out", "run")
    assert json.loads(synth("status", "run", "--json").stdout)["message"] == ""


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            ("license:", "budget: {requests: 9}\nlicense:"),
            "予算の 9 リクエストに達しました（送信済み 9）。リクエスト数の",
        ),
        (("{judge: 4}", "{judge: 6}"), "行は一つもできませんでした。すべて不採用です（別の言語で回答"),
        (
            ("best_of: judge", "best_of: judge, rows: 999"),
            "999 行のうち 0 行です。シードは 1 回使いました。もう一度使ってもほとんど",
        ),
    ],
)
def test_a_japanese_report_says_in_japanese_why_the_run_ended(write_recipe, tmp_path, changed, told):
    path = write_recipe("practice:faultless") / "recipe.yaml"
    path.write_text(path.read_text().replace("language: en", "language: ja").replace(*changed), encoding="utf-8")
    synth.run(path, folder=tmp_path / "run", quiet=True)
    assert f'<p class="note">{told}' in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_what_was_open_for_asking_is_closed_before_the_outputs_are_written(write_recipe, tmp_path, monkeypatch):
    order: list[str] = []
    closing, writing = wire.Wire.close, pipeline.outputs.write

    async def close(self):
        assert self.standing
        await closing(self)
        order.append("closed")

    def write(*arguments, **named):
        order.append("written")
        return writing(*arguments, **named)

    monkeypatch.setattr(wire.Wire, "close", close)
    monkeypatch.setattr(pipeline.outputs, "write", write)
    synth.run(write_recipe(), folder=tmp_path / "run")
    assert order == ["closed", "written"]


def test_what_fails_at_the_closing_of_a_teacher_is_told_when_the_outputs_are_written(
    write_recipe, tmp_path, monkeypatch
):
    recipe = write_recipe("practice:faultless")
    whole = synth.run(recipe, folder=tmp_path / "whole", limit=1, quiet=True)

    async def failing(self):
        raise ZeroDivisionError("閉じられません")

    with monkeypatch.context() as patched:
        patched.setattr(wire.Wire, "close", failing)
        with pytest.raises(ZeroDivisionError, match="閉じられません"):
            synth.run(recipe, folder=tmp_path / "run", limit=1, quiet=True)
    assert (tmp_path / "run" / "rows.jsonl").read_bytes() == (tmp_path / "whole" / "rows.jsonl").read_bytes()
    assert read_manifest(tmp_path / "run" / "manifest.json").row_count == whole.manifest.row_count
    assert synth.run(recipe, folder=tmp_path / "run", limit=1, quiet=True).exit_code == 0


def test_selection_is_decided_again_without_asking(write_recipe, tmp_path):
    recipe = write_recipe()
    strict = synth.run(recipe, folder=tmp_path / "run")
    before = attempts(tmp_path / "run")
    text = (recipe / "recipe.yaml").read_text().replace("require: {judge: 4}, best_of: judge", "require: {judge: 1}")
    (recipe / "recipe.yaml").write_text(text)
    loaded = load(recipe)
    loose = asyncio.run(pipeline.run(loaded, Options(tmp_path / "run", offline=True)))
    assert loose.manifest.row_count > strict.manifest.row_count
    assert attempts(tmp_path / "run") == before


def test_a_run_that_fails_and_an_export_that_finds_nothing_leave_the_earlier_dataset(write_recipe, tmp_path):
    recipe = write_recipe()
    synth.run(recipe, folder=tmp_path / "run")
    before = outputs(tmp_path / "run")
    failed = asyncio.run(
        pipeline.run(
            load(recipe, Overrides(["main=http://127.0.0.1:1/v1,m"])), Options(tmp_path / "run", accept_change=True)
        )
    )
    assert failed.exit_code == 4
    assert "stays as it is" in failed.message
    assert outputs(tmp_path / "run") == before
    (recipe / "write.md.j2").write_text("{{ topic }}: {{ count }} new questions, please.")
    changed = Options(tmp_path / "run", offline=True, accept_change=True)
    exported = asyncio.run(pipeline.run(load(recipe), changed))
    assert exported.exit_code == 3
    assert "stored reply" in exported.message
    assert "stays as it is" in exported.message
    assert outputs(tmp_path / "run") == before


def test_an_export_of_half_a_run_writes_what_there_is_and_says_so(write_recipe, tmp_path):
    recipe = write_recipe()
    synth.run(recipe, folder=tmp_path / "run", limit=2)
    exported = asyncio.run(pipeline.run(load(recipe), Options(tmp_path / "run", limit=4, offline=True)))
    assert exported.exit_code == 3
    assert "At least 2 samples without a stored reply" in exported.message
    assert exported.manifest.row_count > 0
    assert (tmp_path / "run" / "rows.jsonl").stat().st_size > 0


def test_a_run_whose_every_sample_is_refused_says_so(write_recipe, tmp_path):
    recipe = write_recipe()
    (recipe / "write.md.j2").write_text("{{ topic.nonesuch if level == 'hard' else none }}")
    result = synth.run(recipe, folder=tmp_path / "run")
    assert result.manifest.row_count == 0
    assert "No row was made" in result.message
    assert "template_error 6" in result.message
    assert "rejected.jsonl" in result.message
    assert "rejected.jsonl" not in synth.preview(recipe, 6, folder=tmp_path / "tried").message  # it writes none


def test_a_run_of_which_selection_leaves_no_row_says_so(write_recipe, tmp_path):
    recipe = write_recipe("practice:faultless", more="")
    path = recipe / "recipe.yaml"
    path.write_text(path.read_text().replace("judge: 4", "judge: 6"), encoding="utf-8")
    result = synth.run(recipe, folder=tmp_path / "run", limit=1, quiet=True)
    assert (result.exit_code, len(result.rows)) == (0, 0)
    below = result.manifest.not_selected["below_threshold"]
    assert result.message.startswith(f"No row was made; everything was refused (below_threshold {below}")


def test_rows_stops_early_with_exactly_so_many(write_recipe, tmp_path):
    # no request is told to wait: behind one that is, others would be asked meanwhile
    recipe = write_recipe("practice:faultless", in_flight=4)
    few = synth.run(recipe, folder=tmp_path / "few", rows=5)
    whole = synth.run(recipe, folder=tmp_path / "whole")
    assert few.manifest.row_count == 5
    assert few.exit_code == 0
    first_five = (tmp_path / "whole" / "rows.jsonl").read_bytes().splitlines()[:5]
    assert (tmp_path / "few" / "rows.jsonl").read_bytes().splitlines() == first_five
    assert attempts(tmp_path / "few") < attempts(tmp_path / "whole")
    assert whole.manifest.row_count > 5


def test_a_preview_writes_no_dataset_and_its_replies_are_kept_for_the_run(write_recipe, tmp_path):
    recipe = write_recipe()
    seen = synth.preview(recipe, 2, folder=tmp_path / "run")
    assert seen.examples
    assert not (tmp_path / "run" / "rows.jsonl").exists()
    synth.run(recipe, folder=tmp_path / "run")
    assert set(ask_counts(tmp_path / "run").values()) == {1}


def test_it_works_where_a_loop_is_already_running(write_recipe, tmp_path):
    recipe = write_recipe()

    async def cell() -> tuple[int, int]:
        waited = synth.run(recipe, folder=tmp_path / "one", limit=2)
        awaited = await synth.arun(recipe, folder=tmp_path / "two", limit=2)
        return waited.manifest.row_count, awaited.manifest.row_count

    one, two = asyncio.run(cell())
    assert one == two > 0


@pytest.mark.parametrize("poisonous", [False, True])
def test_a_parked_sample_is_asked_again_and_a_poisonous_one_only_on_request(
    write_recipe, tmp_path, monkeypatch, capsys, poisonous
):
    monkeypatch.setattr("synth.sending.BACKOFF_S", 0.001)
    monkeypatch.setattr(health, "POISON_SUCCESSES", 0 if poisonous else 10_000)
    broken = True
    chat = PracticeTeacher._chat

    async def sometimes(self: PracticeTeacher, request: web.Request) -> web.StreamResponse:
        if broken and b"travel" in await request.read() and b"easy" in await request.read():
            return web.json_response({"error": {"message": "broken"}}, status=500)
        return await chat(self, request)

    monkeypatch.setattr(PracticeTeacher, "_chat", sometimes)

    async def thrice() -> list[pipeline.Result]:
        nonlocal broken
        async with practice_server(NO_FAULTS) as base_url:
            loaded = load(write_recipe(base_url))
            first = await pipeline.run(loaded, Options(tmp_path / "run"))
            broken = False
            again = await pipeline.run(loaded, Options(tmp_path / "run"))
            return [first, again, await pipeline.run(loaded, Options(tmp_path / "run", retry=True))]

    first, again, retried = asyncio.run(thrice())
    assert first.exit_code == 3
    assert first.manifest.stages[0].parked == 1
    told = "failed in the same way each time: parked, until `synth retry` asks again."
    assert (told in first.message) is (told in again.message) is poisonous
    assert ("to be asked for once more when you run again." in first.message) is not poisonous
    assert again.exit_code == (3 if poisonous else 0)
    assert (again.manifest.row_count > first.manifest.row_count) is not poisonous
    assert retried.exit_code == 0
    status.status(tmp_path / "run", as_json=True)
    assert json.loads(capsys.readouterr().out)["parked"] == 0
    assert retried.manifest.row_count > first.manifest.row_count


def test_a_plugin_that_raises_rejects_its_sample_with_the_traceback(write_recipe, tmp_path, monkeypatch):
    generate = Answer.generate

    async def fails_once(self, seed, ask):
        if seed.id.endswith("/003") and ask.draw == 1:
            raise ZeroDivisionError("planted")
        return await generate(self, seed, ask)

    monkeypatch.setattr(Answer, "generate", fails_once)
    result = synth.run(write_recipe("practice:faultless"), folder=tmp_path / "run", limit=1)
    rejected = [json.loads(line) for line in (tmp_path / "run" / "rejected.jsonl").read_bytes().splitlines()]
    found = [one for one in rejected if one["reason"] == "plugin_error"]
    assert len(found) == 1
    assert "ZeroDivisionError: planted" in found[0]["detail"]
    assert result.manifest.row_count > 0


def test_a_plugin_that_keeps_raising_stops_the_run(write_recipe, tmp_path, monkeypatch):
    async def fails(self, seed, ask):
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(Answer, "generate", fails)
    result = synth.run(write_recipe(), folder=tmp_path / "run")
    assert result.exit_code == 4
    assert "5 unexpected errors, the last ZeroDivisionError: planted (test_pipeline.py, line " in result.message


def test_practice_data_is_marked_everywhere(write_recipe, tmp_path):
    folder = synth.run(write_recipe(), folder=tmp_path / "run", limit=2).folder
    assert json.loads((folder / "manifest.json").read_bytes())["practice"] is True
    card = (folder / "dataset" / "README.md").read_text()
    assert "practice-data" in card
    assert "practice teacher" in card
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_bytes().splitlines()]
    assert {row["teacher"] for row in rows} == {"practice-1"}
    assert "practice" in (folder / "report.html").read_text()


def test_the_dataset_loads_with_datasets(write_recipe, tmp_path):
    datasets = pytest.importorskip("datasets")
    folder = synth.run(write_recipe(), folder=tmp_path / "run").folder
    loaded = datasets.load_dataset(str(folder / "dataset"), cache_dir=str(tmp_path / "cache"))
    assert set(loaded) == {"train", "test"}
    first = loaded["train"][0]["messages"]
    assert [message["role"] for message in first] == ["user", "assistant"]
    assert not {row["seed_id"] for row in loaded["train"]} & {row["seed_id"] for row in loaded["test"]}


def test_another_teacher_may_answer_under_the_same_name(write_recipe, tmp_path):
    recipe = write_recipe("https://teacher.example/v1", endpoint="price: {input_usd: 1, output_usd: 1}")

    async def own() -> pipeline.Result:
        async with practice_server(USUAL) as base_url:
            loaded = load(recipe, Overrides(teachers=[f"main={base_url},practice-1"]))
            return await pipeline.run(loaded, Options(tmp_path / "run", limit=2))

    result = asyncio.run(own())
    assert result.exit_code == 0
    assert result.manifest.practice is True  # the practice teacher says so itself, wherever it listens
    assert result.manifest.cost_microusd > 0  # the recipe's price goes for whoever answers


def test_a_run_that_hangs_ends_and_says_what_it_waited_for(write_recipe, tmp_path, monkeypatch):
    class Deaf:
        async def send(self, request):
            await asyncio.Event().wait()

    monkeypatch.setattr(opening, "replay", lambda base_url, folder: Deaf())
    monkeypatch.setattr(pipeline, "SHORTEST_PATIENCE_S", 0.2)
    recipe = write_recipe() / "recipe.yaml"
    text = recipe.read_text().replace("practice:", "replay:none").replace("32}", "32, deadline_s: 0.01}")
    recipe.write_text(text)
    with pytest.raises(Stalled):
        asyncio.run(pipeline.run(load(recipe.parent), Options(tmp_path / "run")))
    assert "synth/teacher.py" in (tmp_path / "run" / "stalled.txt").read_text()


def test_replies_of_an_earlier_run_are_taken_over_and_cost_nothing(write_recipe, synth, tmp_path):
    recipe = write_recipe("practice:faultless", endpoint="price: {input_usd: 1, output_usd: 2}")
    first = synth("run", recipe, "--limit", "2", "--out", "first")
    assert first.returncode == 0, first.stderr
    more = synth("run", recipe, "--limit", "3", "--out", "more", "--reuse", "first", "--budget", "requests=40")
    assert more.returncode in (0, 6), more.stderr
    connection = connect(tmp_path / "more" / "run.db")
    reused, cost = connection.execute(
        "SELECT count(*), sum(cost_microusd) FROM settled WHERE failure = 'reused'"
    ).fetchone()
    bought = connection.execute("SELECT count(*) FROM settled WHERE failure NOT IN ('reused', 'unsent')").fetchone()[0]
    connection.close()
    before = connect(tmp_path / "first" / "run.db")
    keys = before.execute("SELECT count(DISTINCT key) FROM attempt JOIN settled ON attempt = id WHERE failure = 'ok'")
    assert reused == keys.fetchone()[0]
    before.close()
    assert cost == 0
    assert 0 < bought <= 40
    shutil.rmtree(tmp_path / "first")  # they are this run's own now
    again = synth("export", recipe, "--limit", "2", "--out", "more")
    assert "partial" not in again.stdout


@pytest.mark.parametrize("damage", ["the reply", "a page"])
def test_a_reply_of_an_earlier_run_that_cannot_be_read_stops_the_run_until_it_is_repaired(
    write_recipe, tmp_path, damage
):
    recipe = write_recipe("practice:faultless")
    first = synth.run(recipe, folder=tmp_path / "first", limit=1)
    connection = sqlite3.connect(tmp_path / "first" / "run.db")
    if damage == "the reply":
        connection.execute("UPDATE reply SET raw = x'28b52ffd00' WHERE attempt IN (SELECT min(attempt) FROM reply)")
    else:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET rootpage = 1 WHERE name = 'settled'")
    connection.commit()
    connection.close()
    given = Options(tmp_path / "second", 1, reuse=(tmp_path / "first",))
    with pytest.raises((FolderError, StoreStopped), match=r"first/run\.db is damaged .*synth doctor --repair"):
        asyncio.run(pipeline.run(load(recipe), given))
    repair(tmp_path / "first")
    result = asyncio.run(pipeline.run(load(recipe), given))
    assert result.manifest.rows == first.manifest.rows
    assert sum(line.attempts for line in result.manifest.ledger if line.failure == "ok") == (damage == "the reply")


def test_a_folder_without_a_run_cannot_be_reused(write_recipe, synth, tmp_path):
    finished = synth("run", write_recipe("practice:faultless"), "--out", "run", "--reuse", "nowhere")
    assert finished.returncode == 5
    assert f"There is no run in {tmp_path / 'nowhere'}" in finished.stderr


@pytest.mark.parametrize("first_to_end", [0, 1])
def test_two_runs_in_one_process_leave_its_collection_of_garbage_as_they_found_it(first_to_end):
    async def main() -> None:
        runs = [pipeline._collecting_seldom() for _ in range(2)]
        for run in runs:
            await run.__aenter__()
        assert gc.get_threshold() != before
        await runs[first_to_end].__aexit__(None, None, None)
        await runs[1 - first_to_end].__aexit__(None, None, None)

    before = gc.get_threshold()
    try:
        asyncio.run(main())
        assert gc.get_threshold() == before
    finally:
        gc.set_threshold(*before)
