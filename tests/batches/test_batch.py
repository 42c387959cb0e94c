"""Stages that can wait: what they ask goes by batch, comes for less, and is bought once whatever happens on the way."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import json
import sqlite3
from collections import Counter
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from synth import opening, pipeline, profiles
from synth.backends.batch import Look, Sought, Unanswered
from synth.backends.batch.control import Control
from synth.backends.batch.openai import OpenAIOrders
from synth.backends.practice import batches as practised
from synth.backends.practice import server
from synth.backends.practice.faults import NO_FAULTS, Faults
from synth.backends.practice.server import practice_server
from synth.batches import batch, course
from synth.errors import Fatal, Interrupted, RecipeError, StoreStopped
from synth.money.budget import Budget, Caps
from synth.money.prices import Price, Tier, by_batch
from synth.profiles import PRACTICE, named
from synth.recipes.loading import Overrides, load
from synth.results.result import Options

RECIPE = """\
name: half
language: ja
seeds: {{kind: jsonl, path: seeds.jsonl}}
teachers:
  main:
    model: practice-1
    base_url: "{base_url}"
    {profile}
    sampling: {{max_tokens: 300, seed: 1}}
    price: {{input_usd: 2, output_usd: 8}}
stages:
  - name: answer
    {wait}
    generator: {{kind: answer, prompt: ask.md.j2}}
    validators: []
    scorers: [{{kind: judge, rubric: judge.md.j2}}]
"""
JUDGE = (
    '<question>\n{{ question }}\n</question>\n<answer>\n{{ answer }}\n</answer>\n"reason"と"score"（1〜5）をJSONで。\n'
)
PRACTISED = "profile: openai\n    key_variable: SOME_KEY"
"""So that a practice server elsewhere is asked as OpenAI is."""
SEEDS = 12


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    """Nobody waits a minute between polls here."""
    known = named()["openai"]
    assert known.batch is not None
    soon = known.model_copy(update={"batch": known.batch.model_copy(update={"poll_s": 0.05})})
    monkeypatch.setitem(named(), "openai", soon)


@pytest.fixture
def paid(monkeypatch) -> Counter[str]:
    """How often practice servers answered each request in full, online or by batch."""
    book: Counter[str] = Counter()
    say = server.say

    def noted(body, faults):
        book[hashlib.sha256(orjson.dumps(body)).hexdigest()] += 1
        return say(body, faults)

    monkeypatch.setattr(server, "say", noted)
    return book


def recipe(folder: Path, base_url: str = "practice:faultless", wait: str = "can_wait_h: 1", seeds: int = SEEDS) -> Path:
    folder.mkdir(exist_ok=True)
    profile = "" if base_url.startswith("practice:") else PRACTISED
    (folder / "recipe.yaml").write_text(RECIPE.format(base_url=base_url, wait=wait or "draws: 1", profile=profile))
    (folder / "ask.md.j2").write_text("{{ q }}\n答え: の行で終えてください。")
    (folder / "judge.md.j2").write_text(JUDGE)
    rows = [
        {"q": f"バスが大阪市を出て、時速{speed}kmで3時間走りました。何kmですか。"} for speed in range(40, 40 + seeds)
    ]
    (folder / "seeds.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return folder


def run(folder: Path, out: Path, *, online: bool = False, caps: Caps | None = None, observe=None):
    loaded = load(folder, Overrides(online=online, budget=caps.model_dump() if caps else None))
    return asyncio.run(pipeline.run(loaded, Options(out), observe))


class Found:
    """What a run's store holds of its attempts."""

    def __init__(self, out: Path) -> None:
        with contextlib.closing(sqlite3.connect(out / "run.db")) as store:
            self.attempts = store.execute("SELECT count(*) FROM attempt").fetchone()[0]
            self.settled = Counter(dict(store.execute("SELECT failure, count(*) FROM settled GROUP BY 1").fetchall()))
            self.by_batch = Counter(
                dict(store.execute("SELECT failure, count(*) FROM settled JOIN batched USING (attempt) GROUP BY 1"))
            )
            self.sizes = [size for (size,) in store.execute("SELECT count(*) FROM batched GROUP BY batch")]
            self.steps = [step for (step,) in store.execute("SELECT step FROM batch_step ORDER BY id")]
            self.cost = store.execute("SELECT sum(cost_microusd) FROM settled").fetchone()[0]
            open_ones = "SELECT count(*) FROM attempt WHERE id NOT IN (SELECT attempt FROM settled)"
            self.open = store.execute(open_ones).fetchone()[0]


def rows_without_cost(out: Path) -> list[dict]:
    rows = [json.loads(line) for line in (out / "rows.jsonl").read_bytes().splitlines()]
    return [{**row, "cost_microusd": 0} for row in rows]


def test_a_stage_that_waits_makes_the_same_rows_for_half_the_price(tmp_path, paid):
    waited = run(recipe(tmp_path / "waits"), tmp_path / "one")
    online = run(recipe(tmp_path / "asks", wait=""), tmp_path / "two")
    assert waited.manifest.row_count == online.manifest.row_count == SEEDS
    assert rows_without_cost(tmp_path / "one") == rows_without_cost(tmp_path / "two")
    assert waited.manifest.cost_microusd == pytest.approx(online.manifest.cost_microusd / 2, abs=2 * SEEDS)
    found = Found(tmp_path / "one")
    assert (found.by_batch, found.open) == ({"ok": 2 * SEEDS}, 0)
    assert set(paid.values()) == {2}  # once by batch, once online
    assert Found(tmp_path / "two").sizes == []


def test_run_again_or_online_nothing_is_bought_twice_and_an_export_gives_the_same_bytes(tmp_path, paid):
    folder = recipe(tmp_path / "recipe")
    run(folder, tmp_path / "out")
    made = (tmp_path / "out" / "rows.jsonl").read_bytes()
    bought = paid.copy()
    recipe(tmp_path / "recipe", wait="")
    assert run(folder, tmp_path / "out").manifest.row_count == SEEDS
    assert asyncio.run(pipeline.run(load(folder), Options(tmp_path / "out", offline=True))).exit_code == 0
    assert paid == bought
    assert (tmp_path / "out" / "rows.jsonl").read_bytes() == made


def test_what_expires_is_lost_on_the_way_or_comes_twice_is_asked_online_and_ends_in_one_state(tmp_path, monkeypatch):
    faults = Faults(batch_missing=0.15, batch_no_status=0.15, batch_repeated=0.2, batch_expiry=1.0, batch_s=0.0)
    monkeypatch.setattr(opening, "faults_of", lambda _url: faults)
    result = run(recipe(tmp_path / "recipe", seeds=60), tmp_path / "out")
    assert result.manifest.row_count == 60
    found = Found(tmp_path / "out")
    assert found.open == 0
    assert found.settled.total() == found.attempts
    assert found.by_batch.keys() == {"ok", "ambiguous", "unserved"}
    assert found.settled["ok"] == 120  # each request once, however often it was sent
    with contextlib.closing(sqlite3.connect(tmp_path / "out" / "run.db")) as store:
        charged = dict(
            store.execute(
                "SELECT failure, max(cost_microusd) FROM settled GROUP BY 1 HAVING failure != 'ok'"
            ).fetchall()
        )
    assert charged["unserved"] == 0
    assert charged["ambiguous"] > 0


def test_a_preview_asks_online_and_the_run_asks_for_the_rest_by_batch(tmp_path, paid):
    folder, out = recipe(tmp_path / "recipe"), tmp_path / "out"
    assert len(asyncio.run(pipeline.run(load(folder), Options(out, limit=2, write=False))).examples) == 2
    assert Found(out).sizes == []
    assert run(folder, out).manifest.row_count == SEEDS
    assert sum(Found(out).sizes) == 2 * (SEEDS - 2)
    assert set(paid.values()) == {1}


def test_a_batch_is_split_at_the_hosts_limits(tmp_path, monkeypatch):
    terms = PRACTICE.batch
    assert terms is not None
    few = PRACTICE.model_copy(update={"batch": terms.model_copy(update={"requests": 5})})
    monkeypatch.setattr(profiles, "PRACTICE", few)
    assert run(recipe(tmp_path / "recipe"), tmp_path / "out").manifest.row_count == SEEDS
    assert max(Found(tmp_path / "out").sizes) == 5


def test_a_file_holds_no_more_bytes_than_the_host_takes(tmp_path, monkeypatch):
    monkeypatch.setattr(batch.Batches, "_most_bytes", 2000)
    sizes: list[int] = []
    lines = practised._lines
    monkeypatch.setattr(practised, "_lines", lambda content, path: sizes.append(len(content)) or lines(content, path))
    assert run(recipe(tmp_path / "recipe"), tmp_path / "out").manifest.row_count == SEEDS
    assert len(sizes) > 3
    assert max(sizes) <= 2000


def elsewhere(work, faults: Faults = NO_FAULTS, *, teacher: type[server.PracticeTeacher] = server.PracticeTeacher):
    """Run `work(base_url)` in a thread while a practice server stands that outlives the runs."""

    async def served():
        runner = web.AppRunner(teacher(faults, None).application(), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            return await asyncio.to_thread(work, f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
        finally:
            await runner.cleanup()

    return asyncio.run(served())


def stop_when_ordered(out: Path):
    """An observer that stops the run, as Ctrl-C does, once a batch is at the host."""

    def observe(progress, halt):
        async def watch():
            while not any(teacher.batches and any(teacher.batches.left) for teacher in progress.teachers.values()) or (
                "ordered" not in Found(out).steps
            ):
                await asyncio.sleep(0.01)
            halt.throw(Interrupted("Stopped by Ctrl-C; run again to go on."))

        watching.append(asyncio.get_running_loop().create_task(watch()))

    watching: list[asyncio.Task[None]] = []
    return observe


def test_a_run_that_is_stopped_leaves_its_batch_and_the_next_one_collects_it(tmp_path, paid):
    out = tmp_path / "out"

    def work(base_url):
        folder = recipe(tmp_path / "recipe", base_url)
        stopped = run(folder, out, observe=stop_when_ordered(out))
        assert stopped.exit_code == 130
        assert f"{SEEDS} requests in 1 batch at 127.0.0.1" in stopped.message
        assert "run again" in stopped.message
        assert (Found(out).open, Found(out).settled) == (SEEDS, {})
        return run(folder, out, observe=lambda progress, _: seen.append(progress.budget))

    seen: list[Budget] = []
    result = elsewhere(work, Faults(batch_s=1.0))
    assert (result.manifest.row_count, result.exit_code) == (SEEDS, 0)
    assert (seen[0].overshoot_microusd, seen[0].spent_microusd) == (0, Found(out).cost)
    assert set(paid.values()) == {1}
    assert Found(out).settled == {"ok": 2 * SEEDS}
    assert result.manifest.lost_attempts == 0


def test_what_has_not_come_in_time_is_cancelled_and_finished_online(tmp_path, paid):
    out = tmp_path / "out"

    def work(base_url):
        return run(recipe(tmp_path / "recipe", base_url, wait="can_wait_h: 0.0002"), out)  # 0.7 s

    result = elsewhere(work, Faults(batch_s=3.0))
    assert (result.manifest.row_count, result.exit_code) == (SEEDS, 0)
    found = Found(out)
    assert "cancelling" in found.steps
    assert found.by_batch["unserved"] > 0
    assert found.settled["ok"] == 2 * SEEDS
    assert set(paid.values()) == {1}


def test_online_ends_the_waiting_for_a_batch_of_an_earlier_run(tmp_path, paid):
    out = tmp_path / "out"

    def work(base_url):
        folder = recipe(tmp_path / "recipe", base_url, wait="can_wait_h: 24")
        run(folder, out, observe=stop_when_ordered(out))
        return run(folder, out, online=True)

    result = elsewhere(work, Faults(batch_s=20.0))
    assert result.manifest.row_count == SEEDS
    assert set(paid.values()) == {1}
    assert "cancelling" in Found(out).steps


class Forgetful(server.PracticeTeacher):
    """Takes an order, and drops the connection instead of answering."""

    def __init__(self, faults: Faults, key: str | None) -> None:
        super().__init__(faults, key)
        create = self.batches._create
        drops = iter([True])

        async def forgetting(request: web.Request) -> web.StreamResponse:
            response = await create(request)
            if next(drops, False):
                request.transport.abort()
            return response

        self.batches._create = forgetting


def test_an_order_whose_answer_is_lost_is_found_by_its_name_and_not_repeated(tmp_path, paid):
    out = tmp_path / "out"
    result = elsewhere(lambda base_url: run(recipe(tmp_path / "recipe", base_url), out), teacher=Forgetful)
    assert result.manifest.row_count == SEEDS
    assert set(paid.values()) == {1}
    assert Found(out).steps.count("ordering") == 2  # of the answers and of their scores


def test_an_order_is_found_at_a_host_whose_clock_is_hours_behind(tmp_path, paid, monkeypatch):
    page, out = practised._page, tmp_path / "out"

    def behind(request: web.Request, entries, usual: int, most: int) -> web.Response:
        return page(request, [{**one, "created_at": one["created_at"] - 5 * 3600} for one in entries], usual, most)

    monkeypatch.setattr(practised, "_page", behind)
    result = elsewhere(lambda base_url: run(recipe(tmp_path / "recipe", base_url), out), teacher=Forgetful)
    assert result.manifest.row_count == SEEDS
    assert set(paid.values()) == {1}


def test_when_enough_rows_are_there_what_was_ordered_is_collected_and_nothing_more_is_ordered(
    tmp_path, paid, monkeypatch
):
    known, out = named()["openai"], tmp_path / "out"
    assert known.batch is not None
    few = known.model_copy(update={"batch": known.batch.model_copy(update={"requests": 10})})
    monkeypatch.setitem(named(), "openai", few)

    def work(base_url):
        folder = recipe(tmp_path / "recipe", base_url, seeds=400)
        text = (folder / "recipe.yaml").read_text()
        text = text.replace("    scorers: [{kind: judge, rubric: judge.md.j2}]\n", "selection: {rows: 30}\n")
        (folder / "recipe.yaml").write_text(text)
        assert run(folder, out).manifest.row_count == 30
        ordered = Found(out).steps.count("ordering")
        for _ in range(20):
            if Found(out).open:
                run(folder, out)
        assert Found(out).steps.count("ordering") == ordered

    elsewhere(work, Faults(batch_s=0.5))
    assert Found(out).open == 0
    assert Found(out).settled.keys() <= {"ok", "unsent"}
    assert paid.total() == Found(out).settled["ok"]


def stop_before_the_order(monkeypatch, how) -> None:
    """Have `how()` happen when the file of the first batch is at the host."""
    upload, first = OpenAIOrders.upload, iter([True])

    async def stopping(self, name, file):
        place = await upload(self, name, file)
        if next(first, False):
            await how()
        return place

    monkeypatch.setattr(OpenAIOrders, "upload", stopping)


def test_what_was_not_ordered_when_a_run_is_stopped_never_is_and_is_not_charged(tmp_path, paid, monkeypatch):
    halts = []

    async def interrupt():
        halts[0].throw(Interrupted("Stopped by Ctrl-C; run again to go on."))

    stop_before_the_order(monkeypatch, interrupt)
    result = run(recipe(tmp_path / "recipe"), tmp_path / "out", observe=lambda _, halt: halts.append(halt))
    found = Found(tmp_path / "out")
    assert (result.exit_code, result.message) == (130, "Stopped by Ctrl-C; run again to go on.")
    assert (found.settled, found.open, found.cost, paid) == ({"unsent": SEEDS}, 0, 0, {})
    assert "ordering" not in found.steps


def test_what_was_not_ordered_when_a_run_died_is_ordered_only_for_who_asks_again(tmp_path, paid, monkeypatch):
    folder, out = recipe(tmp_path / "recipe"), tmp_path / "out"

    async def die():
        for task in asyncio.all_tasks():
            task.cancel()
        await asyncio.sleep(60)

    stop_before_the_order(monkeypatch, die)
    with pytest.raises(asyncio.CancelledError):
        run(folder, out)
    assert Found(out).open == SEEDS
    assert asyncio.run(pipeline.run(load(folder), Options(out, limit=2))).manifest.row_count == 2
    assert Found(out).settled == {"unsent": SEEDS, "ok": 4}
    assert paid.total() == 4


def test_a_disk_that_takes_no_file_of_a_batch_stops_the_run_with_a_sentence(tmp_path, monkeypatch):
    def full(_self, file):
        raise OSError(errno.ENOSPC, "No space left on device", str(file))

    monkeypatch.setattr(course.Course, "_write", full)
    with pytest.raises(StoreStopped, match=r"could not be written .*No space left on device.*run again"):
        run(recipe(tmp_path / "recipe"), tmp_path / "out")
    monkeypatch.undo()
    assert run(recipe(tmp_path / "recipe"), tmp_path / "out").manifest.row_count == SEEDS
    assert Found(tmp_path / "out").open == 0


def test_replies_of_another_model_than_the_wanted_one_are_not_bought_again_online(tmp_path, paid):
    folder = recipe(tmp_path / "recipe")
    text = (folder / "recipe.yaml").read_text()
    (folder / "recipe.yaml").write_text(text.replace("model: practice-1\n", "model: practice-1\n    pin_model: 別物\n"))
    result = run(folder, tmp_path / "out")
    assert result.exit_code == 4
    assert "'practice-1', and pin_model asks for '別物'" in result.message
    assert paid.total() == SEEDS


@pytest.mark.parametrize(
    ("step", "says"), [("look", Unanswered(503, "保守中です")), ("order", Unanswered(500, "混み合っています", 1e9))]
)
def test_a_host_that_answers_no_longer_ends_the_run_and_the_next_one_goes_on(tmp_path, paid, monkeypatch, step, says):
    async def down(*_):
        raise says

    out = tmp_path / "out"

    def work(base_url):
        folder = recipe(tmp_path / "recipe", base_url)
        with monkeypatch.context() as patched:
            patched.setattr(OpenAIOrders, step, down)
            patched.setattr(course, "PATIENCE_S", 0.2)
            patched.setattr(course, "LONGEST_GATE_S", 0.05)
            result = run(folder, out)
        assert result.exit_code == 4
        assert f"no longer answers about a batch of 'main', last with {str(says)!r}; run again" in result.message
        if step == "order":
            assert (paid, Found(out).settled) == ({}, {})
        return run(folder, out)

    assert elsewhere(work).manifest.row_count == SEEDS
    assert set(paid.values()) == {1}


def test_a_batch_that_does_not_end_though_it_was_cancelled_is_left_to_the_next_run(tmp_path, paid, monkeypatch):
    async def unmoved(*_):
        return Look("cancelling")

    out = tmp_path / "out"

    def work(base_url):
        folder = recipe(tmp_path / "recipe", base_url, wait="can_wait_h: 0.00001")
        with monkeypatch.context() as patched:
            patched.setattr(OpenAIOrders, "look", unmoved)
            patched.setattr(course, "PATIENCE_S", 0.2)
            result = run(folder, out)
        assert result.exit_code == 4
        assert "asked to end a batch of 'main' and has not, it still says 'cancelling'; run again" in result.message
        return run(folder, out)

    assert elsewhere(work).manifest.row_count == SEEDS
    assert set(paid.values()) == {1}


def test_what_a_run_could_not_cancel_before_it_ended_the_next_one_cancels(tmp_path, monkeypatch):
    halts, wished, cancelled, out = [], [], [], tmp_path / "out"
    cancel = OpenAIOrders.cancel

    async def cut_off(_self, batch):
        wished.append(batch)
        halts[0].throw(Interrupted("Stopped by Ctrl-C; run again to go on."))
        raise Unanswered(0, "reset")

    async def noted(self, batch):
        cancelled.append(batch)
        await cancel(self, batch)

    def work(base_url):
        folder = recipe(tmp_path / "recipe", base_url, wait="can_wait_h: 0.00001")
        with monkeypatch.context() as patched:
            patched.setattr(OpenAIOrders, "cancel", cut_off)
            assert run(folder, out, observe=lambda _, halt: halts.append(halt)).exit_code == 130
        monkeypatch.setattr(OpenAIOrders, "cancel", noted)
        return run(folder, out)

    assert elsewhere(work, Faults(batch_s=3.0)).manifest.row_count == SEEDS
    assert wished[0] in cancelled


def test_what_a_batch_brought_before_it_expired_is_charged_though_the_host_has_it_no_longer(
    tmp_path, paid, monkeypatch
):
    async def gone(_self, place):
        raise Unanswered(404, f"no such file: {place}")
        yield b""

    monkeypatch.setattr(OpenAIOrders, "lines", gone)
    monkeypatch.setattr(opening, "faults_of", lambda _url: Faults(batch_expiry=1.0, batch_s=0.0))
    assert run(recipe(tmp_path / "recipe"), tmp_path / "out").manifest.row_count == SEEDS
    found = Found(tmp_path / "out")
    assert found.by_batch == {"ambiguous": 2 * SEEDS}
    assert max(paid.values()) == 2


def test_a_reply_is_kept_though_a_line_before_it_says_that_there_is_none(tmp_path, paid, monkeypatch):
    lines = OpenAIOrders.lines

    async def doubled(self, place):
        async for line in lines(self, place):
            error = {"status_code": 500, "body": {"error": {"message": "失敗"}}}
            yield json.dumps({"custom_id": json.loads(line)["custom_id"], "response": error}).encode()
            yield line

    monkeypatch.setattr(OpenAIOrders, "lines", doubled)
    assert run(recipe(tmp_path / "recipe"), tmp_path / "out").manifest.row_count == SEEDS
    assert Found(tmp_path / "out").settled == {"ok": 2 * SEEDS}
    assert set(paid.values()) == {1}


def test_an_order_that_a_filter_refuses_stops_the_run_with_its_reason(tmp_path, paid, monkeypatch):
    async def refused(*_):
        raise Unanswered(400, '{"error":{"code":"policy_violation","message":"規約違反"}}')

    monkeypatch.setattr(OpenAIOrders, "order", refused)
    result = run(recipe(tmp_path / "recipe"), tmp_path / "out")
    assert result.exit_code == 4
    assert "規約違反" in result.message
    assert (Found(tmp_path / "out").settled, paid) == ({"unserved": SEEDS}, {})


def refuse(monkeypatch, code: str) -> None:
    problem = practised._problem(code, "この依頼は受け付けられません。", 1)
    monkeypatch.setattr(practised, "_lines", lambda _content, _path: ([], [problem]))


def test_a_batch_that_the_host_refuses_stops_the_run_with_a_sentence_and_costs_nothing(tmp_path, paid, monkeypatch):
    refuse(monkeypatch, "model_not_found")
    result = run(recipe(tmp_path / "recipe"), tmp_path / "out")
    assert result.exit_code == 4
    assert "この依頼は受け付けられません" in result.message
    assert "--online" in result.message
    assert (Found(tmp_path / "out").settled, paid) == ({"unserved": SEEDS}, {})
    assert run(recipe(tmp_path / "recipe"), tmp_path / "out", online=True).manifest.row_count == SEEDS


def test_what_is_more_than_may_stand_in_line_is_ordered_in_parts_one_after_the_other(tmp_path, paid, monkeypatch):
    lines, in_line, most = practised._lines, [], []

    def crowded(content, path):
        found, problems = lines(content, path)
        if len(found) > 4:
            return [], [practised._problem("token_limit_exceeded", "Enqueued token limit reached.", None)]
        return found, problems

    async def standing(self, batch, *rest):
        in_line.append(batch)
        most.append(len(in_line))
        await answered(self, batch, *rest)
        in_line.remove(batch)

    answered = practised.Batches._answered
    monkeypatch.setattr(practised, "_lines", crowded)
    monkeypatch.setattr(practised.Batches, "_answered", standing)
    result = run(recipe(tmp_path / "recipe"), tmp_path / "out")
    found = Found(tmp_path / "out")
    assert (result.manifest.row_count, result.exit_code) == (SEEDS, 0)
    assert found.sizes[:6] == [12, 6, 3, 3, 3, 3]
    assert (max(most), set(paid.values())) == (1, {1})
    assert found.settled == found.by_batch == {"unserved": 18, "ok": 2 * SEEDS}


def test_a_batch_of_one_that_another_left_no_room_is_ordered_when_that_one_has_come(tmp_path, paid, monkeypatch):
    lines, answered, in_line = practised._lines, practised.Batches._answered, []
    terms = PRACTICE.batch
    assert terms is not None
    one = PRACTICE.model_copy(update={"batch": terms.model_copy(update={"requests": 1})})
    monkeypatch.setattr(profiles, "PRACTICE", one)

    def one_at_a_time(content, path):
        found, problems = lines(content, path)
        if in_line:
            return [], [practised._problem("token_limit_exceeded", "Enqueued token limit reached.", None)]
        in_line.append(content)
        return found, problems

    async def standing(self, batch, *rest):
        await asyncio.sleep(0.1)
        await answered(self, batch, *rest)
        in_line.clear()

    monkeypatch.setattr(practised, "_lines", one_at_a_time)
    monkeypatch.setattr(practised.Batches, "_answered", standing)
    result = run(recipe(tmp_path / "recipe", seeds=4), tmp_path / "out")
    assert (result.message, result.manifest.row_count) == ("", 4)
    assert set(paid.values()) == {1}


def test_the_budget_holds_over_batches_and_a_run_with_more_goes_on(tmp_path):
    out = tmp_path / "out"
    folder = recipe(tmp_path / "recipe")
    whole = run(folder, tmp_path / "whole").manifest.cost_microusd
    few = Caps(usd=whole / 2 / 1e6)
    result = run(folder, out, caps=few)
    assert result.exit_code == 6
    assert Found(out).cost <= few.microusd
    assert run(folder, out, caps=Caps(usd=1)).manifest.row_count == SEEDS
    assert Found(out).cost == whole


def test_what_went_by_batch_is_told_in_manifest_and_report(tmp_path):
    result = run(recipe(tmp_path / "recipe"), tmp_path / "out")
    ledger = result.manifest.ledger
    assert sum(line.batched for line in ledger) == 2 * SEEDS
    assert sum(line.batched_microusd for line in ledger) == result.manifest.cost_microusd
    page = result.report().path.read_text(encoding="utf-8")
    assert f"うちバッチ {2 * SEEDS} 件、$" in page


def test_check_and_run_say_what_goes_by_batch(tmp_path, synth):
    folder = recipe(tmp_path / "recipe")
    checked = synth("check", folder).stdout
    assert "main is asked by batch, for 50% of the price; what has not come 1 h later, online" in checked
    assert f"{2 * SEEDS} requests went by batch, for $0.0" in synth("run", folder, "--out", "run").stdout
    recipe(tmp_path / "recipe", wait="")
    assert "batch" not in synth("check", folder).stdout
    assert "batch" not in synth("run", folder, "--out", "online").stdout


def test_a_stage_whose_host_takes_no_batches_is_a_mistake_in_the_recipe(tmp_path):
    folder = recipe(tmp_path / "recipe")
    text = (folder / "recipe.yaml").read_text()
    (folder / "recipe.yaml").write_text(text.replace('"practice:faultless"', '"http://localhost:8000/v1"'))
    with pytest.raises(
        RecipeError, match=r"stages\[0\]\.can_wait_h: no batches are known at an OpenAI-compatible server"
    ):
        load(folder)


def test_a_batch_at_another_host_is_not_forgotten(tmp_path):
    out = tmp_path / "out"

    def work(base_url):
        folder = recipe(tmp_path / "recipe", base_url)
        run(folder, out, observe=stop_when_ordered(out))
        recipe(tmp_path / "recipe", base_url.replace("127.0.0.1", "localhost"))
        with pytest.raises(Fatal, match="run once more with the base_url it had"):
            run(folder, out)

    elsewhere(work, Faults(batch_s=1.0))


def test_a_batch_that_the_host_has_forgotten_stays_charged_and_is_asked_online(tmp_path):
    out = tmp_path / "out"
    folder = recipe(tmp_path / "recipe")

    async def forgotten():
        async with practice_server(Faults(batch_s=30.0)) as base_url:
            port = int(base_url.rsplit(":", 1)[1].split("/")[0])
            recipe(tmp_path / "recipe", base_url)
            await asyncio.to_thread(run, folder, out, observe=stop_when_ordered(out))
        async with practice_server(NO_FAULTS, port=port):
            return await asyncio.to_thread(run, folder, out)

    result = asyncio.run(forgotten())
    assert result.manifest.row_count == SEEDS
    assert Found(out).by_batch == {"ambiguous": SEEDS, "ok": SEEDS}


ROW = {"custom_id": "id-7", "response": {"status_code": 200, "request_id": "r", "body": {"choices": []}}, "error": None}


@pytest.mark.parametrize(
    ("row", "status", "body", "error"),
    [
        (ROW, 200, b'{"choices":[]}', ""),
        ({**ROW, "response": {"status_code": 200, "body": '{"choices": []}'}}, 200, b'{"choices": []}', ""),
        ({**ROW, "response": {"status_code": 429, "body": {"error": {}}}}, 429, b'{"error":{}}', ""),
        ({**ROW, "response": {"status_code": 0, "body": {}}}, 0, None, "batch"),
        ({"custom_id": "id-7", "error": {"code": "server_error", "message": "失敗"}}, 0, None, "batch"),
        ({**ROW, "response": None, "error": {"code": "batch_expired", "message": ""}}, 0, None, "unserved"),
        ({**ROW, "response": None, "error": {"code": "batch_cancelled"}}, 0, None, "unserved"),
    ],
)
def test_a_line_of_results_is_read_in_every_form_that_was_seen(row, status, body, error):
    line = orjson.dumps(row)
    found = OpenAIOrders(None).row(line)
    assert found is not None
    assert found.name == "id-7"
    outcome = found.outcome
    assert (outcome.status, outcome.body, outcome.error) == (status, line if body is None else body, error)


@pytest.mark.parametrize("line", [b"", b"null", b"[]", b"{", b'{"custom_id": 7}', b"<html>"])
def test_a_line_that_is_none_is_passed_over(line):
    assert OpenAIOrders(None).row(line) is None


def test_half_a_surrogate_pair_in_a_batchs_reply_is_kept_as_it_came():
    found = OpenAIOrders(None).row(b'{"custom_id":"a-1","response":{"status_code":200,"body":{"text":"\\ud800"}}}')
    assert found is not None
    assert json.loads(found.outcome.body) == {"text": "\ud800"}


def test_a_list_that_brings_the_same_page_whatever_is_asked_is_not_read_for_ever(monkeypatch):
    asked = []

    async def same(_self, _method, _path, params):
        asked.append(params.get("after"))
        return {"data": [{"id": "batch-1", "metadata": {"synth": "他"}}], "has_more": True}

    monkeypatch.setattr(Control, "ask", same)
    sought = Sought("名前", "file-1", 0.0, 1, bool, ())
    assert asyncio.run(OpenAIOrders(Control(None, "https://api.example/v1", None)).find(sought)) is None
    assert asked == [None, "batch-1"]


def test_a_list_that_leads_in_a_circle_is_not_read_for_ever_and_nothing_is_ordered_anew(monkeypatch):
    asked = []

    async def circling(_self, _method, _path, params):
        asked.append(params.get("after"))
        return {"data": [{"id": "batch-1" if asked[-1] != "batch-1" else "batch-2"}], "has_more": True}

    monkeypatch.setattr(Control, "ask", circling)
    sought = Sought("名前", "file-1", 0.0, 1, bool, ())
    with pytest.raises(Fatal, match=r"batches at api\.example leads in a circle.*; run again later") as caught:
        asyncio.run(OpenAIOrders(Control(None, "https://api.example/v1", None)).find(sought))
    assert asked == [None, "batch-1", "batch-2"]
    assert "api.example のバッチの一覧は同じページに戻って" in caught.value.japanese


def test_the_key_is_never_sent_to_another_host():
    with pytest.raises(Unanswered, match="another one, evil"):
        Control(None, "https://api.example/v1", None)._url("https://evil.example/results")


def test_a_price_by_batch_is_the_price_lists_or_a_share_of_the_usual_one():
    price = Price(
        input_usd=2, output_usd=8, cached_input_usd=1, tiers=[Tier(input_usd=4, output_usd=16, above_prompt_tokens=9)]
    )
    half = by_batch(price, 0.5)
    assert (half.input_usd, half.output_usd, half.cached_input_usd, half.cache_write_usd) == (1, 4, 0.5, None)
    assert half.tiers[0].output_usd == 8
    assert by_batch(price.model_copy(update={"service_tiers": {"batch": 0.25, "flex": 0.5}}), 0.5).input_usd == 0.5
