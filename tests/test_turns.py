"""Rows wanted are rows accepted: seeds are drawn again, twins of what came to nothing are called back."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter

import pytest

from synth import opening, pipeline
from synth.errors import Interrupted
from synth.recipes.loading import Overrides, load
from synth.results.ending import PARKED_EXIT
from synth.results.result import Options
from synth.types import Outcome

HEAD = """\
name: turns
language: ja
seeds: {kind: jsonl, path: seeds.jsonl}
teachers:
  main: {model: m, base_url: "replay:none", sampling: {max_tokens: 99}, limits: {max_in_flight: 4}}
"""
ANSWER = """\
stages:
  - name: answer
    generator: {kind: answer, prompt: ask.md.j2, question: topic}
"""
TWO_STAGES = """\
stages:
  - name: write
    generator: {kind: self_instruct, prompt: write.md.j2, count: 3}
    validators: []
    dedupe: {by: instruction%s}
  - name: answer
    generator: {kind: answer, prompt: answer.md.j2, question: instruction}
"""
REFUSAL = "申し訳ありませんが、そのご依頼にはお応えできません。"


def says(text: str) -> Outcome:
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 10}
    return Outcome(200, json.dumps({"choices": [choice], "usage": usage}).encode())


class Played:
    """A teacher that a function plays; `sent` holds the prompts with their draws."""

    def __init__(self, play):
        self.play, self.sent = play, []

    async def send(self, request):
        prompt = json.loads(request.body)["messages"][-1]["content"]
        self.sent.append((prompt, request.draw))
        await asyncio.sleep(0)
        return says(self.play(prompt, request.draw))


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Run a recipe over topics with a played teacher; gives the result, the rows and the rejected."""
    folder = tmp_path / "recipe"
    folder.mkdir()
    (folder / "ask.md.j2").write_text("{{ topic }}", encoding="utf-8")
    avoided = "WRITE {{ topic }}\n{% for one in avoid %}\n- {{ one }}\n{% endfor %}"
    (folder / "write.md.j2").write_text(avoided, encoding="utf-8")
    (folder / "answer.md.j2").write_text("{{ instruction }}", encoding="utf-8")

    def run(teacher, topics, stages, tail="", *, rows=None, run="run", observe=None, **options):
        monkeypatch.setattr(opening, "replay", lambda base_url, folder: teacher)
        (folder / "recipe.yaml").write_text(HEAD + stages + tail, encoding="utf-8")
        lines = [json.dumps({"topic": topic}, ensure_ascii=False) + "\n" for topic in topics]
        (folder / "seeds.jsonl").write_text("".join(lines), encoding="utf-8")
        loaded = load(folder, Overrides(rows=rows))
        result = asyncio.run(pipeline.run(loaded, Options(tmp_path / run, accept_change=True, **options), observe))
        files = [(tmp_path / run / name).read_text(encoding="utf-8") for name in ("rows.jsonl", "rejected.jsonl")]
        return result, *[[json.loads(line) for line in text.splitlines()] for text in files]

    return run


def asked(row: dict) -> str:
    return row["messages"][0]["content"]


def test_only_seeds_that_brought_nothing_are_drawn_again_until_there_are_as_many_rows_as_wanted(make):
    teacher = Played(lambda prompt, draw: REFUSAL if prompt == "難問" and draw < 1_000_000 else f"{prompt}の答えです。")
    result, rows, rejected = make(teacher, ["問一", "難問", "問三"], ANSWER, rows=3)
    assert [asked(row) for row in rows] == ["問一", "問三", "難問"]
    assert sorted(draw for prompt, draw in teacher.sent if prompt == "難問") == [0, 1_000_000]
    assert len(teacher.sent) == 4
    assert result.manifest.seeds.turns == 2
    assert result.manifest.seeds.count == 3
    assert (result.exit_code, result.message) == (0, "")
    assert [one["reason"] for one in rejected] == ["refusal"]
    assert {row["seed_id"] for row in rows} == {"00000000", "00000001", "00000002"}


def test_with_more_rows_wanted_than_seeds_each_seed_brings_its_share(make):
    teacher = Played(lambda prompt, draw: f"{prompt}の答えその{draw}です。")
    _, rows, _ = make(teacher, ["問一", "問二", "問三"], ANSWER, rows=9)
    assert Counter(asked(row) for row in rows) == {"問一": 3, "問二": 3, "問三": 3}
    assert len({row["id"] for row in rows}) == 9


def test_a_prompt_of_which_one_row_is_wanted_is_not_asked_for_a_second(make):
    teacher = Played(lambda prompt, draw: f"{prompt}の答えその{draw}です。")
    result, rows, _ = make(teacher, ["問一", "問二"], ANSWER, "selection: {per_prompt: 1}\n", rows=9)
    assert len(rows) == len(teacher.sent) == 2
    assert result.message.startswith("2 of 9 rows: The seeds were taken once")


def test_it_gives_up_when_a_turn_brings_too_little_and_says_so(make):
    teacher = Played(lambda prompt, draw: f"{prompt}の答えです。" if prompt == "問一" and draw == 0 else REFUSAL)
    result, rows, _ = make(teacher, ["問一", "問二", "問三"], ANSWER, rows=100)
    assert len(rows) == 1
    assert len(teacher.sent) < 100
    assert result.exit_code == 0
    assert re.match(r"1 of 100 rows: The seeds were gone over \d+ times, .*refused: refusal", result.message)


def test_where_nothing_comes_of_the_first_turn_there_is_no_second(make):
    teacher = Played(lambda prompt, draw: REFUSAL)
    make(teacher, ["問一", "問二", "問三"], ANSWER, rows=5)
    assert len(teacher.sent) == 3


def test_a_run_over_some_of_the_seeds_takes_them_once(make):
    teacher = Played(lambda prompt, draw: f"{prompt}の答えです。")
    result, rows, _ = make(teacher, ["問一", "問二", "問三"], ANSWER, rows=9, limit=2)
    assert len(rows) == len(teacher.sent) == 2
    assert result.message == ""


def test_further_turns_are_made_from_the_store_to_the_byte(make):
    def play(prompt, draw):
        return REFUSAL if hash_of(prompt, draw) % 3 == 0 else f"{prompt}の答えその{draw}です。"

    topics = [f"問{number}" for number in range(20)]
    first = make(Played(play), topics, ANSWER, rows=47)
    silent = Played(play)
    again = make(silent, topics, ANSWER, rows=47, offline=True)
    assert silent.sent == []
    assert again[1:] == first[1:]
    assert len(first[1]) == 47
    assert again[0].manifest.state == "complete"


def test_a_run_that_stopped_in_a_later_turn_ends_as_one_that_did_not(make):
    def play(prompt, draw):
        return REFUSAL if hash_of(prompt, draw) % 2 == 0 else f"{prompt}の答えその{draw}です。"

    topics = [f"問{number}" for number in range(9)]
    whole = make(Played(play), topics, ANSWER, rows=20, run="whole")
    for requests in (5, 14, 21):
        stopped = make(Played(play), topics, ANSWER, f"budget: {{requests: {requests}}}\n", rows=20, run="torn")
        assert stopped[0].exit_code == 6
    teacher = Played(play)
    resumed = make(teacher, topics, ANSWER, rows=20, run="torn")
    assert resumed[1:] == whole[1:]
    assert len(teacher.sent) < 40


@pytest.mark.parametrize(("status", "tail", "code"), [(500, "budget: {{requests: {}}}\n", 6), (401, "", 4)])
def test_a_run_that_can_send_nothing_more_keeps_the_rows_of_its_later_turns(make, monkeypatch, status, tail, code):
    monkeypatch.setattr("synth.sending.PATIENCE_S", 0.0)
    monkeypatch.setattr("synth.sending.BACKOFF_S", 0.0)

    class Failing(Played):
        def __init__(self, status):
            super().__init__(lambda prompt, draw: REFUSAL if hash_of(prompt, draw) % 2 == 0 else f"{prompt}は{draw}。")
            self.status = status

        async def send(self, request):
            asked = (json.loads(request.body)["messages"][-1]["content"], request.draw)
            return Outcome(self.status, b"{}") if asked == ("問3", 0) else await super().send(request)

    topics = [f"問{number}" for number in range(9)]
    whole = make(Failing(500), topics, ANSWER, rows=20)
    assert whole[0].manifest.stages[0].parked == 1
    sent = sum(line.attempts for line in whole[0].manifest.ledger)
    stopped = make(Failing(status), topics, ANSWER, tail.format(sent), rows=20)
    assert (stopped[0].exit_code, stopped[0].manifest.seeds.turns) == (code, whole[0].manifest.seeds.turns)
    assert stopped[1:] == whole[1:]
    silent = Played(None)
    stopped = make(silent, topics, ANSWER, rows=20, observe=lambda progress, halt: halt.throw(Interrupted("Ctrl-C")))
    assert (stopped[0].exit_code, silent.sent) == (130, [])
    assert stopped[1:] == whole[1:]


def hash_of(prompt: str, draw: int) -> int:
    return sum(prompt.encode()) * 31 + draw // 1_000_000 * 7 + draw % 7


def test_a_topic_drawn_again_is_told_what_it_brought_before(make):
    def play(prompt, draw):
        if not prompt.startswith("WRITE"):
            return f"{prompt}への答えです。"
        topic = prompt.split()[1]
        return json.dumps({"instructions": [f"{topic}の{draw}番の{kind}" for kind in ("説明", "計算", "翻訳")]})

    teacher = Played(play)
    _, rows, _ = make(teacher, ["料理", "税金"], TWO_STAGES % ", near: false", rows=11)
    assert len(rows) == 11
    second = [prompt for prompt, draw in teacher.sent if prompt.startswith("WRITE") and draw == 1_000_000]
    assert "WRITE 料理\n- 料理の0番の説明\n- 料理の0番の計算\n- 料理の0番の翻訳" in second
    assert Counter(asked(row)[:2] for row in rows) == {"料理": 6, "税金": 5}


def test_another_selection_finds_the_samples_of_all_turns(make):
    def play(prompt, draw):
        if not prompt.startswith("WRITE"):
            return f"{prompt}への答えです。" + "長い" * (hash_of(prompt, draw) % 3 * 20)
        topic = prompt.split()[1]
        return json.dumps({"instructions": [f"{topic}の{draw}番の{kind}" for kind in ("説明", "計算", "翻訳")]})

    stages = TWO_STAGES % ", near: false" + "    scorers: [{kind: length}]\n"
    topics = ["料理", "税金", "旅行"]
    selections = [f"selection: {{at_most: {{length: {most}}}}}\n" for most in (30, 60, 999)]
    first = make(Played(play), topics, stages, selections[0], rows=40)
    assert len(first[1]) == 40
    accepted = first[0].manifest.stages[-1].accepted
    assert accepted > 60
    for selection, rows in ((selections[1], 60), (selections[2], accepted), (selections[0], 40)):
        again = make(Played(None), topics, stages, selection, rows=rows, offline=True)
        assert len(again[1]) == rows
    assert again[1:] == first[1:]


def test_what_was_drawn_for_one_number_of_rows_is_there_for_a_larger_one(make):
    def play(prompt, draw):
        if not prompt.startswith("WRITE"):
            return f"{prompt}への答えです。" if hash_of(prompt, draw) % 3 else REFUSAL
        topic = prompt.split()[1]
        told = prompt.count("\n- ")
        return json.dumps({"instructions": [f"{topic}の{draw}番と{told}の{kind}" for kind in ("説明", "計算", "翻訳")]})

    topics = ["料理", "税金", "旅行"]
    first = Played(play)
    _, rows, _ = make(first, topics, TWO_STAGES % ", near: false", rows=20)
    _, more, _ = make(Played(play), topics, TWO_STAGES % ", near: false", rows=60)
    assert more[: len(rows)] == rows
    written = {prompt for prompt, _ in first.sent if not prompt.startswith("WRITE")}
    assert {asked(row) for row in more} >= {prompt for prompt in written if play(prompt, 0) != REFUSAL}
    silent = Played(None)
    _, once, _ = make(silent, topics, TWO_STAGES % ", near: false")
    assert (once, silent.sent) == ([row for row in more if not row["id"].startswith("t")], [])


def test_a_full_topic_is_not_written_about_any_more_and_the_others_are(make):
    def play(prompt, draw):
        if not prompt.startswith("WRITE"):
            return f"{prompt}への答えです。"
        topic = prompt.split()[1]
        fresh = [f"{topic}の{draw}番の{kind}" for kind in ("説明", "計算", "翻訳")]
        return json.dumps({"instructions": fresh if topic == "料理" else fresh[:1]})

    teacher = Played(play)
    _, rows, rejected = make(teacher, ["料理", "税金"], TWO_STAGES % ", near: false, per_seed: 2", rows=4)
    assert Counter(asked(row)[:2] for row in rows) == {"料理": 2, "税金": 2}
    assert [one["reason"] for one in rejected] == ["seed_full"]
    assert Counter(prompt.split()[1] for prompt, _ in teacher.sent if prompt.startswith("WRITE")) == {
        "料理": 1,
        "税金": 2,
    }


def writes(by_topic: dict[str, list[str]], refused: set[str]):
    def play(prompt, draw):
        if prompt.startswith("WRITE"):
            return json.dumps({"instructions": by_topic[prompt.split()[1]]})
        return REFUSAL if prompt in refused else f"{prompt}への答えです。"

    return play


LONG = "新幹線の指定席に乗って東京駅から新大阪駅まで行くとき、運賃と特急料金を合わせた金額がいくらになるか教えて"
WRITTEN = {
    "一": [f"{LONG}ください。"],
    "二": [f"{LONG}下さい。", "カレーの作り方を説明してください。"],
    "三": [f"{LONG}くださいね。"],
    "四": [f"{LONG}くれますか。"],
}
KEPT, FIRST_TWIN = WRITTEN["一"][0], WRITTEN["二"][0]


def test_a_twin_of_what_was_refused_later_takes_its_place(make):
    teacher = Played(writes(WRITTEN, {KEPT}))
    result, rows, rejected = make(teacher, list(WRITTEN), TWO_STAGES % "")
    assert [asked(row) for row in rows] == [FIRST_TWIN, WRITTEN["二"][1]]
    assert Counter(one["reason"] for one in rejected) == {"refusal": 1, "near_duplicate": 2}
    write = result.manifest.stages[0]
    assert (write.called_back, write.accepted, write.rejected) == (1, 3, {"near_duplicate": 2})
    silent = Played(None)
    again = make(silent, list(WRITTEN), TWO_STAGES % "", offline=True)
    assert again[1:] == (rows, rejected)
    assert silent.sent == []


def test_a_twin_of_what_stands_is_not_called_back(make):
    teacher = Played(writes(WRITTEN, set()))
    result, rows, _ = make(teacher, list(WRITTEN), TWO_STAGES % "")
    assert [asked(row) for row in rows] == [KEPT, WRITTEN["二"][1]]
    assert result.manifest.stages[0].called_back == 0


ASKS = [
    LONG,
    "冷蔵庫に残っている野菜と鶏肉を使って三十分以内に作れる夕食の献立を三つ考えて、その手順も説明して",
    "町内会の夏祭りで子ども向けの屋台を出すとき、必要な準備と当日の役割分担について表にまとめて",
    "英語の宿題で環境問題についての短い作文を書くとき、使いやすい表現と構成の例をいくつか挙げて",
    "小学校の理科の授業で植物の光合成を説明するための簡単な実験の手順と注意点を箇条書きにして",
]
WRITTEN_TWICE = {
    "一": [f"{ask}ください。" for ask in ASKS],
    "二": [f"{ask}下さい。" for ask in ASKS],
    "三": ["カレーの作り方は？", "東京の天気を教えて。", "犬の散歩の仕方は？", "ピアノの練習方法は？"],
}


def test_which_of_those_called_back_become_rows_does_not_depend_on_who_answers_first(make):
    class Slow(Played):
        async def send(self, request):
            await asyncio.sleep(0.05 * (self.slow in request.body.decode()))
            return await super().send(request)

    runs = []
    for slow in ("犬の散歩", *ASKS[:3]):
        teacher = Slow(writes(WRITTEN_TWICE, set(WRITTEN_TWICE["一"])))
        teacher.slow = slow
        runs.append(make(teacher, list(WRITTEN_TWICE), TWO_STAGES % "", rows=6, run=f"slow for {slow[:3]}")[1:])
    assert len(runs[0][0]) == 6
    assert all(run == runs[0] for run in runs)


def test_where_one_row_is_missing_not_every_twin_is_called_back(make):
    dishes = [f"{letter}料理の作り方" for letter in "あいうえおかきくけこさしすせそたちつてと"]
    written = {"一": dishes, "二": [f"{dish}？" for dish in dishes], "三": ["犬の散歩の仕方"]}
    teacher = Played(writes(written, set(dishes)))
    result, rows, _ = make(teacher, list(written), TWO_STAGES % ", near: false", rows=2)
    assert len(rows) == 2
    assert 1 <= result.manifest.stages[0].called_back <= 8


def test_a_late_sample_takes_no_place_by_coming_just_before_the_run_stops(make, monkeypatch):
    monkeypatch.setattr("synth.sending.PATIENCE_S", 0.0)
    monkeypatch.setattr("synth.sending.BACKOFF_S", 0.0)

    class Down(Played):
        async def send(self, request):
            return Outcome(500, b"{}") if "問一" in request.body.decode() else await super().send(request)

    topics = ["問一", "問二", "問三", "問四"]
    runs = []
    for in_flight in (1, 4):
        monkeypatch.setitem(globals(), "HEAD", re.sub("max_in_flight: .", f"max_in_flight: {in_flight}", HEAD))
        make(Down(lambda prompt, draw: f"{prompt}の答えです。"), topics, ANSWER, limit=2, run=f"in flight {in_flight}")
        teacher = Played(lambda prompt, draw: f"{prompt}の答えです。")
        runs.append(make(teacher, topics, ANSWER, rows=3, run=f"in flight {in_flight}")[1:])
    assert [asked(row) for row in runs[0][0]] == ["問二", "問三", "問四"]
    assert runs[0] == runs[1]


def test_an_export_that_finds_too_few_rows_says_what_would_bring_more(make):
    teacher = Played(lambda prompt, draw: f"{prompt}の答えです。")
    make(teacher, ["問一", "問二"], ANSWER, rows=2)
    result, rows, _ = make(Played(None), ["問一", "問二"], ANSWER, rows=5, offline=True)
    assert len(rows) == 2
    assert (
        result.message == "2 of 5 rows: The seeds were taken once; `synth run` draws them again while that brings more."
    )


def test_an_export_of_a_run_that_had_enough_rows_misses_nothing(make):
    topics = [f"問{number}" for number in range(30)]
    teacher = Played(lambda prompt, draw: f"{prompt}の答えです。")
    _, rows, _ = make(teacher, topics, ANSWER, rows=3)
    assert len(teacher.sent) < 30
    result, again, _ = make(Played(None), topics, ANSWER, "split: {seed: 3}\n", rows=3, offline=True)
    assert (result.exit_code, result.message, result.manifest.state) == (0, "", "complete")
    assert again == rows
    result, _, _ = make(Played(None), topics, ANSWER, rows=20, offline=True)
    assert (result.exit_code, result.manifest.state) == (PARKED_EXIT, "partial")


def test_after_two_twins_met_the_same_end_no_third_is_asked(make):
    teacher = Played(writes(WRITTEN, {KEPT, FIRST_TWIN, WRITTEN["三"][0], WRITTEN["四"][0]}))
    result, rows, rejected = make(teacher, list(WRITTEN), TWO_STAGES % "")
    assert [asked(row) for row in rows] == [WRITTEN["二"][1]]
    assert Counter(one["reason"] for one in rejected) == {"refusal": 3, "near_duplicate": 1}
    assert result.manifest.stages[0].called_back == 2


def test_a_twin_waits_while_what_it_is_a_twin_of_may_still_come(make, monkeypatch):
    monkeypatch.setattr("synth.sending.BACKOFF_S", 0.0)
    monkeypatch.setattr("synth.sending.PATIENCE_S", 0.0)

    class Down(Played):
        async def send(self, request):
            if KEPT in json.loads(request.body)["messages"][-1]["content"]:
                return Outcome(500, b"{}")
            return await super().send(request)

    result, rows, _ = make(Down(writes(WRITTEN, {KEPT})), list(WRITTEN), TWO_STAGES % "")
    assert [asked(row) for row in rows] == [WRITTEN["二"][1]]
    assert result.exit_code == PARKED_EXIT
    _, rows, _ = make(Played(writes(WRITTEN, {KEPT})), list(WRITTEN), TWO_STAGES % "")
    assert [asked(row) for row in rows] == [FIRST_TWIN, WRITTEN["二"][1]]
