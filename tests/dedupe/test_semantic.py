"""Texts that say the same in other words are found; the threshold comes from the texts themselves."""

from __future__ import annotations

import asyncio
import json
import random

import numpy as np
import pytest

from synth import opening, pipeline
from synth.backends.practice.embedding import embedded
from synth.dedupe import Dedupe, Semantic, semantic, shelf
from synth.dedupe.semantic import Meanings, Meant, script_of
from synth.dedupe.shelf import LENGTH, whole
from synth.errors import RecipeError
from synth.recipes.loading import load
from synth.results.manifest import read_manifest
from synth.results.result import Options
from synth.types import Outcome

JAPANESE = [
    "駅前の",
    "古い",
    "パン屋",
    "図書館",
    "海辺",
    "で",
    "子ども",
    "先生",
    "祖母",
    "医師",
    "猫",
    "が",
    "静かに",
    "急いで",
    "毎朝",
    "歌を",
    "手紙を",
    "地図を",
    "カレーを",
    "魚を",
    "書く",
    "運ぶ",
    "直す",
    "料理する",
    "探す",
    "理由",
    "方法",
    "手順",
    "歴史",
    "を",
    "説明して",
    "短く",
    "詳しく",
    "比べて",
    "まとめて",
    "雨の日",
    "夏休み",
    "市場",
    "電車",
    "ロボット",
    "宇宙",
]
ENGLISH = [
    "describe",
    "explain",
    "compare",
    "list",
    "outline",
    "why",
    "how",
    "when",
    "the",
    "old",
    "small",
    "bright",
    "baker",
    "teacher",
    "sailor",
    "doctor",
    "cat",
    "garden",
    "river",
    "market",
    "train",
    "robot",
    "planet",
    "carries",
    "repairs",
    "paints",
    "studies",
    "forgets",
    "letters",
    "maps",
    "songs",
    "soup",
    "fishing",
    "winter",
    "morning",
    "quietly",
    "quickly",
    "before",
    "after",
    "without",
    "near",
    "history",
    "reason",
    "method",
    "steps",
    "briefly",
]


def texts(language: str, count: int, seed: int = 0) -> list[str]:
    """So many texts of ten words drawn at random."""
    rng = random.Random(f"{language}{seed}")
    words, gap = (JAPANESE, "") if language == "ja" else (ENGLISH, " ")
    return [gap.join(rng.sample(words, 10)) for _ in range(count)]


def turned(text: str, language: str) -> str:
    """The same words in another order, which their n-grams hardly show."""
    if language == "en":
        words = text.split()
        return " ".join([*words[5:], *words[:5]])
    return text[len(text) // 2 :] + text[: len(text) // 2]


def filled(every: list[str], *, threshold: float | None = None) -> tuple[Meanings, list]:
    """An index of texts as the practice teacher embeds them, and what it said of each."""
    meanings = Meanings(Dedupe(semantic=Semantic(embedder="e", threshold=threshold)))
    named = meant(every)
    if not meanings.is_open:
        meanings.calibrate(named[:300])
    return meanings, meanings.add(named)


def meant(every: list[str], *first: float) -> list[Meant]:
    """Texts with the vectors that the practice teacher gives them, after some numbers that they have in common."""
    vectors = [np.array([*first, *embedded(text)], np.float32) for text in every]
    return [
        Meant(f"{place:04d}", text, vector) for place, (text, vector) in enumerate(zip(every, vectors, strict=True))
    ]


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_same_words_in_another_order_are_found_and_unrelated_texts_stay(language):
    every = texts(language, 300)
    meanings, found = filled([*every, *(turned(text, language) for text in every[:50])])
    twins = {place: int(match.twin_id) for place, match in enumerate(found) if match is not None}
    assert sum(twins.get(300 + place) == place for place in range(50)) >= 45
    assert not [place for place in twins if place < 300]
    (calibration,) = meanings.summary().scripts
    assert (calibration.script, calibration.texts) == ("japanese" if language == "ja" else "latin", 300)
    assert sum(calibration.pairs) == 300 * 299 // 2
    assert calibration.exceeded_by_one_in_thousand < calibration.threshold < 1


def test_the_threshold_follows_the_embedder_so_that_one_that_finds_all_alike_removes_nothing():
    meanings = Meanings(Dedupe(semantic=Semantic(embedder="e")))
    named = meant(texts("ja", 200), 3.0)  # all of them beyond a cosine of 0.9, as small models see Japanese
    meanings.calibrate(named)
    assert meanings.add(named) == [None] * 200
    assert meanings.summary().scripts[0].threshold > 0.95


def test_scripts_have_thresholds_of_their_own_and_a_rare_one_passes_uncompared_until_there_is_enough_of_it():
    japanese, english = texts("ja", 299), texts("en", 70)
    every = [*japanese, *english[:40], turned(english[0], "en"), *english[40:], turned(english[1], "en")]
    meanings, found = filled(every)
    assert {one.script for one in meanings.summary().scripts} == {"japanese", "latin"}
    assert found[299 + 40] is None
    assert found[-1] is not None
    assert found[-1].twin_id == "0300"
    assert meanings.summary().uncompared == 64


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("りんごを3個買い、2個食べました。残りは？", "りんごを３個買い、１個食べました。残りは？"),
        ("りんごを3個買い、2個食べました。残りは？", "りんごを2個買い、3個食べました。残りは？"),
        ("She buys 3 apples and eats two; what is left?", "She eats one, having bought 3 apples; what is left?"),
    ],
)
def test_texts_with_other_numbers_are_other_questions(one, other):
    meanings, found = filled([one, other], threshold=0.3)
    assert found == [None, None]
    assert meanings.summary().twins == 0


def test_full_and_half_width_numbers_are_the_same():
    _, found = filled(["りんごを3個買い、2個食べました。", "３個のりんごを買い、食べたのは２個です。"], threshold=0.3)
    assert found[1] is not None
    assert (found[1].twin_id, found[1].kind) == ("0000", "semantic")


def test_a_text_without_a_vector_or_with_a_shorter_one_goes_on_uncompared():
    meanings = Meanings(Dedupe(semantic=Semantic(embedder="e", threshold=0.5)))
    vectors = {"a": np.ones(4, np.float32), "c": np.ones(3, np.float32), "d": np.zeros(4, np.float32)}
    assert meanings.add([Meant(name, "the same", vectors.get(name)) for name in "abcd"]) == [None] * 4
    assert meanings.summary().uncompared == 3


def test_similarities_do_not_depend_on_the_order_in_which_a_machine_adds():
    rng = np.random.default_rng(0)
    one, other = (whole(rng.normal(size=3072).astype(np.float32)) for _ in "ab")
    exact = int(one.astype(np.int64) @ other.astype(np.int64))
    order = rng.permutation(3072)
    assert int(one @ other) == int(one[order] @ other[order]) == exact
    assert float(one.astype(np.float64) @ one) < 2**24
    assert abs(np.linalg.norm(one) - LENGTH) < 40


@pytest.mark.parametrize("at_once", [1, 7, 500])
def test_what_is_found_does_not_depend_on_how_many_texts_come_at_once(at_once, monkeypatch):
    monkeypatch.setattr(shelf, "AT_ONCE", 64)
    monkeypatch.setattr(semantic, "MOST_BYTES", 2 * 256 * 400)
    every = [text for language in ("ja", "en") for text in (*texts(language, 200), *texts(language, 60, 1)[:40])]
    dice = random.Random(1)
    every += [turned(dice.choice(every), "ja") for _ in range(150)] + ["りんごを3個買う", "３個のりんごを買う"] * 2
    dice.shuffle(every)
    named = meant(every)
    one_by_one = Meanings(Dedupe(semantic=Semantic(embedder="e", threshold=0.8)))
    expected = [one_by_one.add([one])[0] for one in named]
    meanings = Meanings(Dedupe(semantic=Semantic(embedder="e", threshold=0.8)))
    found = [match for start in range(0, len(named), at_once) for match in meanings.add(named[start : start + at_once])]
    assert found == expected
    assert sum(match is not None for match in found) > 50
    assert meanings.summary() == one_by_one.summary()
    assert meanings.summary().unremembered > 50


def test_a_text_is_the_twin_of_the_closest_and_of_the_first_of_equally_close_ones():
    meanings = Meanings(Dedupe(semantic=Semantic(embedder="e", threshold=0.8)))
    vectors = [[1.0, 0.0], [0.78, 0.62], [0.78, 0.62], [0.8, 0.6]]
    words = ["海", "山", "川", "谷"]
    first = [Meant(str(place), words[place], np.array(vectors[place], np.float32)) for place in (0, 1)]
    assert meanings.add(first) == [None, None]
    late = [Meant(str(place), words[place], np.array(vectors[place], np.float32)) for place in (2, 3)]
    found = meanings.add(late)
    assert [match.twin_id for match in found] == ["1", "1"]
    assert found[0].similarity > found[1].similarity > 0.999


def test_a_text_belongs_to_the_script_that_most_of_it_is_written_in():
    assert script_of("Pythonのsorted()関数の使い方を、例を挙げて説明して") == "japanese"
    assert script_of("如何用三句话解释光合作用") == "chinese"
    assert script_of("광합성을 설명해 주세요") == "korean"
    assert script_of("What does the word 猫 mean in English?") == "latin"
    assert script_of("12 + 5 = ?") == "other"


RECIPE = """\
name: meanings
language: ja
seeds: {{kind: jsonl, path: seeds.jsonl}}
teachers:
  main: {{model: m, base_url: "replay:none", structured: prompt, limits: {{max_in_flight: {in_flight}}}}}
  embedder: {{model: e, base_url: "replay:none", price: {{input_usd: 1000, output_usd: 0}}}}
stages:
  - name: write
    generator: {{kind: self_instruct, prompt: write.md.j2, count: 5}}
    validators: [{{kind: length, max_chars: 200}}]
    dedupe: {{by: instruction, near: false, {more}semantic: {{embedder: {embedder}{threshold}}}}}
  - name: answer
    generator: {{kind: answer, prompt: answer.md.j2, question: instruction}}
selection: {{rows: {rows}}}
"""
USUAL = {"embedder": "embedder", "more": "", "threshold": "", "rows": "null", "in_flight": "16"}


class Both:
    """Writes and answers instructions, and embeds them as the practice teacher does; `bad` texts are refused."""

    def __init__(self, instructions, *, bad="", refuses=(), turned_off=False, broken=""):
        self.instructions, self.bad, self.refuses, self.turned_off = instructions, bad, refuses, turned_off
        self.broken = broken
        self.asked, self.embedded = [], []

    async def send(self, request):
        await asyncio.sleep(0)
        body = json.loads(request.body)
        if request.path == "/embeddings":
            return self.vectors(body["input"])
        prompt = body["messages"][-1]["content"]
        if prompt.startswith("WRITE "):
            start = int(prompt.split()[1])
            text = json.dumps({"instructions": self.instructions[start : start + 5]}, ensure_ascii=False)
        else:
            self.asked.append(prompt)
            text = "申し訳ありませんが、お応えできません。" if prompt in self.refuses else "はい、承知しました。"
        choice = {"message": {"content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 10, "completion_tokens": 10}
        return Outcome(200, json.dumps({"choices": [choice], "usage": usage}).encode())

    def vectors(self, texts):
        self.embedded.append(texts)
        if self.turned_off:
            return Outcome(404, b'{"detail": "Not Found"}')
        if self.bad and any(self.bad in text for text in texts):
            return Outcome(400, b'{"error": {"message": "input is too long", "type": "invalid_request_error"}}')
        if self.broken and any(self.broken in text for text in texts):
            return Outcome(200, b'{"data": [{"index": 7, "embedding": []}], "usage": {"prompt_tokens": 1}}')
        data = [{"index": place, "embedding": embedded(text)} for place, text in enumerate(texts)]
        usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
        return Outcome(200, json.dumps({"data": data, "usage": usage}).encode())


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Run the recipe; gives its result, its rows and the rejected."""
    (tmp_path / "write.md.j2").write_text("WRITE {{ start }}", encoding="utf-8")
    (tmp_path / "answer.md.j2").write_text("{{ instruction }}", encoding="utf-8")

    def run(teacher, *, folder="run", words=None, **options):
        monkeypatch.setattr(opening, "replay", lambda base_url, folder: teacher)
        (tmp_path / "recipe.yaml").write_text(RECIPE.format(**USUAL | (words or {})), encoding="utf-8")
        seeds = "".join(json.dumps({"start": place}) + "\n" for place in range(0, len(teacher.instructions), 5))
        (tmp_path / "seeds.jsonl").write_text(seeds, encoding="utf-8")
        result = asyncio.run(pipeline.run(load(tmp_path), Options(tmp_path / folder, **options)))
        files = [(tmp_path / folder / name).read_text(encoding="utf-8") for name in ("rows.jsonl", "rejected.jsonl")]
        return result, *[[json.loads(line) for line in text.splitlines()] for text in files]

    return run


def test_a_run_buys_no_answer_for_what_says_the_same_and_tells_how_the_threshold_was_found(make, tmp_path):
    every = texts("ja", 320)
    twin, late = turned(every[3], "ja"), turned(every[4], "ja")
    instructions = [*every[:100], twin, *every[100:], "長" * 300, late]
    teacher = Both(instructions)
    result, rows, rejected = make(teacher)
    found = {one["messages"][0]["content"]: one for one in rejected if one["reason"] == "semantic_duplicate"}
    assert set(found) == {twin, late}
    assert found[twin]["twin_id"] == "00000000/00/003"
    assert 0.5 < found[twin]["similarity"] < 1
    assert not {twin, late} & set(teacher.asked)
    assert len(rows) == len(teacher.asked) == 320
    assert all("長" not in text for some in teacher.embedded for text in some)
    record = read_manifest(tmp_path / "run" / "manifest.json").stages[0].semantic
    assert record is not None
    assert [(one.script, one.texts) for one in record.scripts] == [("japanese", 299)]
    assert (record.twins, record.uncompared) == (2, 0)
    assert result.manifest.stages[0].rejected == {"semantic_duplicate": 2, "too_long": 1}
    spent = sum(line.cost_microusd for line in result.manifest.ledger if line.stage == "write:meaning")
    assert spent == 322 * 1000
    assert rows[0]["cost_microusd"] == 1000
    before = (tmp_path / "run" / "rows.jsonl").read_bytes()
    again = Both(instructions)
    make(again, folder="other", reuse=(tmp_path / "run",))
    assert (tmp_path / "other" / "rows.jsonl").read_bytes() == before
    assert again.embedded == again.asked == []


def test_a_twin_by_meaning_is_called_back_when_the_first_comes_to_nothing(make):
    every = texts("ja", 99)
    twin = turned(every[3], "ja")
    teacher = Both([*every, twin], refuses=[every[3]])
    result, rows, rejected = make(teacher)
    assert [one["reason"] for one in rejected] == ["refusal"]
    assert twin in teacher.asked
    assert (len(rows), result.manifest.stages[0].called_back) == (99, 1)


def test_rows_and_rejections_do_not_depend_on_which_reply_comes_first(make, tmp_path):
    every = texts("ja", 400)
    dice = random.Random(7)
    instructions = [*every, *(turned(dice.choice(every), "ja") for _ in range(100))]
    dice.shuffle(instructions)

    class Unsteady(Both):
        """Takes its time, now and then."""

        async def send(self, request):
            await asyncio.sleep(dice.choice([0, 0, 0, 0.002, 0.01]))
            return await super().send(request)

    found = []
    for in_flight in ("2", "64", "64"):
        result, *_ = make(Unsteady(instructions), folder=f"run{len(found)}", words={"in_flight": in_flight})
        files = [(tmp_path / f"run{len(found)}" / name).read_bytes() for name in ("rows.jsonl", "rejected.jsonl")]
        found.append((*files, result.manifest.stages[0].semantic))
    assert found[0] == found[1] == found[2]
    assert found[0][1].count(b"semantic_duplicate") > 50


def test_a_twin_by_its_letters_buys_no_vector(make):
    every = texts("ja", 99)
    wide = every[3].translate({ord("で"): "ﾃﾞ", ord("カ"): "ｶ"}) + "　"
    teacher = Both([*every[:50], every[3], *every[50:], wide])
    _, rows, rejected = make(teacher)
    assert [one["reason"] for one in rejected] == ["duplicate", "duplicate"]
    assert sorted(text for some in teacher.embedded for text in some) == sorted(every)
    assert len(rows) == 99


def test_what_was_parked_for_want_of_a_vector_comes_last_and_loses_to_what_was_let_through(make):
    every = texts("ja", 95)
    twin = turned(every[93], "ja")
    teacher = Both([*every[:90], "嵐の夜の港について詩を", twin, *every[90:]], broken="嵐")
    result, rows, rejected = make(teacher, words={"threshold": ", threshold: 0.8"})
    assert result.manifest.stages[0].parked == 1
    assert (len(rows), rejected) == (92, [])
    teacher.broken = ""
    _, rows, rejected = make(teacher, words={"threshold": ", threshold: 0.8"}, retry=True)
    assert [(one["reason"], one["messages"][0]["content"]) for one in rejected] == [("semantic_duplicate", twin)]
    assert len(rows) == 96
    _, again, _ = make(teacher, words={"threshold": ", threshold: 0.8"}, offline=True)
    assert again == rows


def test_what_means_the_same_takes_no_place_of_its_seeds_quota(make):
    every = texts("ja", 12)
    turns = [[*every[:4], turned(every[0], "ja")], every[4:9]]

    class Taking(Both):
        """Writes other instructions each time."""

        def __init__(self):
            super().__init__(["from one seed"])
            self.turns = iter(turns)

        async def send(self, request):
            if b"WRITE" in request.body:
                self.instructions = next(self.turns)
            return await super().send(request)

    words = {"more": "per_seed: 5, ", "threshold": ", threshold: 0.8", "rows": "5"}
    result, rows, _ = make(Taking(), words=words)
    assert [row["messages"][0]["content"] for row in rows] == every[:5]
    assert result.manifest.stages[0].rejected == {"semantic_duplicate": 1, "seed_full": 4}


def test_a_text_that_the_embedder_refuses_goes_on_uncompared_and_the_others_beside_it_are_compared(make):
    every = texts("ja", 98)
    teacher = Both([*every, turned(every[3], "ja"), "嵐の夜の港について詩を"], bad="嵐")
    result, rows, rejected = make(teacher)
    assert [one["reason"] for one in rejected] == ["semantic_duplicate"]
    assert len(rows) == 99
    record = result.manifest.stages[0].semantic
    assert record is not None
    assert record.uncompared == 1


def test_an_embedder_without_embeddings_stops_the_run_with_a_sentence(make):
    result, rows, _ = make(Both(texts("ja", 10), turned_off=True))
    assert rows == []
    assert "embeddings" in result.message
    assert result.exit_code


def test_an_embedder_that_the_recipe_does_not_name_is_told_when_it_is_loaded(tmp_path):
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(**USUAL | {"embedder": "embeder"}), encoding="utf-8")
    (tmp_path / "seeds.jsonl").write_text('{"start": 0}\n')
    (tmp_path / "write.md.j2").write_text("WRITE {{ start }}")
    (tmp_path / "answer.md.j2").write_text("{{ instruction }}")
    with pytest.raises(RecipeError, match="there is no teacher 'embeder'; the recipe names main, embedder"):
        load(tmp_path)
