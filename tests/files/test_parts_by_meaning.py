"""Files are deduplicated and decontaminated by meaning too: each vector is bought once, and thresholds are the file's."""

from __future__ import annotations

import asyncio
import json
import random

import numpy as np
import pytest

from synth import opening, sending
from synth.admission.halt import Halt
from synth.backends.practice.embedding import embedded
from synth.dedupe import Dedupe, Semantic
from synth.dedupe.decontaminate import Benchmarks, Item
from synth.errors import BudgetReached, Fatal, FolderError, RecipeError
from synth.files import parts_by_meaning
from synth.files.asking import desk
from synth.files.parts_by_meaning import EMBEDDER, JUDGE
from synth.money.budget import Caps
from synth.protocol.endpoint import Endpoint, Price
from synth.storage.store import Store
from synth.types import Outcome
from tests.written import lines

WORDS = {
    "ja": ["海辺", "古い", "船長", "地図", "手紙", "市場", "静かに", "数える", "りんご", "帽子", "噴水", "図書館", "駅前", "雨", "猫",
           "運ぶ", "描く", "先生", "祖母", "パン屋", "宇宙", "ロボット", "理由", "方法", "歴史", "説明"],
    "en": ["harbour", "ancient", "captain", "atlas", "letters", "market", "quietly", "gathers", "apples", "bonnet", "crescent",
           "library", "station", "rainfall", "kitten", "carries", "paints", "teacher", "granny", "bakery", "cosmos", "robots",
           "reason", "method", "history", "explains"],
}  # fmt: skip


def questions(language: str, count: int = 90) -> list[str]:
    """So many different questions."""
    dice = random.Random(language)
    gap = "の" if language == "ja" else " "
    return list(dict.fromkeys(gap.join(dice.sample(WORDS[language], 9)) for _ in range(count)))


def reworded(language: str, place: int) -> str:
    """What stands for the question at a place in other words: they have hardly a letter in common."""
    letters = "アイウエオカキクケコサシスセソ" if language == "ja" else "bdfhjklmnpqrtvwxz"
    return "".join(random.Random(f"{language}{place}").choices(letters, k=30))


MEANT = {reworded(language, place): questions(language)[place] for language in WORDS for place in range(10)}


def vector(text: str) -> list[float]:
    """As the practice teacher, but for a rewording: that of what it means, with some noise."""
    made = np.array(embedded(MEANT.get(text, text)))
    noise = np.random.default_rng(len(text)).normal(size=made.size)
    return (made + (0.1 if text in MEANT else 0.0) * noise / np.linalg.norm(noise)).tolist()


class Teacher:
    """Embeds, and judges; `bad` texts are refused, and of `broken` ones no reply can be read.
    `short` is how many of several texts it passes over."""

    def __init__(self, *, bad="", broken="", status=200, same=(), short=0):
        self.bad, self.broken, self.status, self.same, self.short = bad, broken, status, same, short
        self.embedded, self.judged, self.requests = [], [], 0

    async def send(self, request):
        await asyncio.sleep(0)
        self.requests += 1
        body = json.loads(request.body)
        if self.broken and self.broken in json.dumps(body, ensure_ascii=False):
            return Outcome(200, b'{"data": [], "choices": [], "usage": {"prompt_tokens": 1}}')
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        if request.path != "/embeddings":
            self.judged.append(body["messages"][-1]["content"])
            verdict = "same" if any(one in self.judged[-1] for one in self.same) else "different"
            text = json.dumps({"reason": "言い換え", "verdict": verdict}, ensure_ascii=False)
            choice = {"message": {"content": text}, "finish_reason": "stop"}
            return Outcome(200, json.dumps({"choices": [choice], "usage": usage}).encode())
        if self.status != 200:
            return Outcome(self.status, b'{"detail": "Not Found"}')
        if self.bad and any(self.bad in text for text in body["input"]):
            return Outcome(400, b'{"error": {"message": "input is too long", "type": "invalid_request_error"}}')
        self.embedded += body["input"]
        some = body["input"][self.short if len(body["input"]) > 1 else 0 :]
        data = [{"index": place, "embedding": vector(text)} for place, text in enumerate(some)]
        return Outcome(200, json.dumps({"data": data, "usage": usage}).encode())


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(sending, "BACKOFF_S", 0.0)


@pytest.fixture
def at_desk(tmp_path, monkeypatch):
    """Do a command's work with a teacher that answers in this process."""

    def call(teacher, work, *, caps=None, price=None, judge=False):
        monkeypatch.setattr(opening, "replay", lambda base_url, folder: teacher)
        monkeypatch.setattr(parts_by_meaning, "AT_ONCE", 50)
        endpoint = Endpoint(model="e", base_url="replay:none", price=price)
        endpoints = {EMBEDDER: endpoint, **({JUDGE: endpoint} if judge else {})}

        async def main():
            async with desk(tmp_path / "vectors", endpoints, caps or Caps(), Halt()) as opened:
                return await work(opened)

        return asyncio.run(main())

    return call


def written(path, texts):
    lines = [json.dumps({"prompt": text, "completion": "…"}, ensure_ascii=False) + "\n" for text in texts]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def deduped(at_desk, teacher, path, out, **how):
    settings = Dedupe(by="question", semantic=Semantic(embedder=EMBEDDER))
    return at_desk(teacher, lambda opened: parts_by_meaning.dedupe([path], out, settings, (), opened), **how)


EVERY = [*questions("ja"), *questions("en")]


def test_rows_in_other_words_are_removed_in_both_languages_with_their_twin_and_how_alike_they_are(at_desk, tmp_path):
    twins = [reworded(language, place) for language in WORDS for place in range(3)]
    path = written(tmp_path / "data.jsonl", [*EVERY, *twins])
    report = deduped(at_desk, Teacher(), path, tmp_path / "out")
    assert report.removed == {"semantic_duplicate": 6}
    assert [row["prompt"] for row in lines(tmp_path / "out" / "data.jsonl")] == EVERY
    removed = lines(tmp_path / "out" / "removed.jsonl")
    assert [one["columns"]["prompt"] for one in removed] == twins
    assert [one["pair"]["twin"] for one in removed] == [f"{path}:{place}" for place in (1, 2, 3, 91, 92, 93)]
    assert all(0.95 < one["pair"]["similarity"] < 1 for one in removed)
    assert {(one.script, one.texts) for one in report.semantic.scripts} == {("japanese", 93), ("latin", 93)}
    assert (report.semantic.uncompared, report.semantic.twins) == (0, 6)


def test_twins_by_their_letters_buy_no_vector_and_nothing_is_bought_twice_also_when_the_file_has_grown(
    at_desk, tmp_path
):
    wide = [EVERY[0] + "　", EVERY[100].upper()]
    path = written(tmp_path / "data.jsonl", [*EVERY, *wide, reworded("ja", 4)])
    teacher = Teacher()
    report = deduped(at_desk, teacher, path, tmp_path / "out", price=Price(input_usd=1000, output_usd=0))
    assert report.removed == {"duplicate": 2, "semantic_duplicate": 1}
    assert sorted(teacher.embedded) == sorted([*EVERY, reworded("ja", 4)])
    assert report.bought == (181, 6, 6000)
    again = Teacher()
    report = deduped(at_desk, again, path, tmp_path / "again")
    assert (again.requests, report.bought.vectors) == (0, 0)
    for name in ("data.jsonl", "removed.jsonl"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    grown = written(tmp_path / "grown.jsonl", ["嵐の夜に灯台守は何をしますか", *EVERY, reworded("ja", 4)])
    assert deduped(at_desk, again, grown, None).bought.vectors == 1
    assert again.embedded == ["嵐の夜に灯台守は何をしますか"]


def test_a_text_that_the_embedder_refuses_stays_and_the_others_beside_it_are_compared(at_desk, tmp_path):
    path = written(tmp_path / "data.jsonl", ["嵐の夜の港について", *EVERY, reworded("ja", 0)])
    report = deduped(at_desk, Teacher(bad="嵐"), path, tmp_path / "out")
    assert (report.removed, report.semantic.uncompared) == ({"semantic_duplicate": 1}, 1)


def test_a_text_of_which_no_reply_can_be_read_stays_and_is_asked_for_no_more(at_desk, tmp_path):
    path = written(tmp_path / "data.jsonl", ["嵐の夜の港について", *EVERY, reworded("ja", 0)])
    teacher = Teacher(broken="嵐")
    report = deduped(at_desk, teacher, path, tmp_path / "out")
    assert (report.removed, report.semantic.uncompared) == ({"semantic_duplicate": 1}, 1)
    asked = teacher.requests
    assert deduped(at_desk, teacher, path, tmp_path / "out").removed == {"semantic_duplicate": 1}
    assert teacher.requests == asked


def test_vectors_of_fewer_texts_than_were_sent_are_nobodys(at_desk, tmp_path):
    twins = [reworded(language, place) for language in WORDS for place in range(3)]
    path = written(tmp_path / "data.jsonl", [*EVERY, *twins])
    report = deduped(at_desk, Teacher(), path, tmp_path / "out")
    (tmp_path / "vectors").rename(tmp_path / "whole")
    short = Teacher(short=1)
    alone = deduped(at_desk, short, path, tmp_path / "alone")
    assert (alone.removed, alone.semantic.uncompared) == (report.removed, 0)
    assert (tmp_path / "alone" / "removed.jsonl").read_bytes() == (tmp_path / "out" / "removed.jsonl").read_bytes()
    asked = short.requests
    assert deduped(at_desk, short, path, None).removed == report.removed
    assert short.requests == asked


def test_a_row_about_which_the_judge_says_nothing_readable_is_removed_as_undecided(at_desk, tmp_path):
    path = written(tmp_path / "data.jsonl", [*questions("en"), reworded("ja", 7)])
    report = decontaminated(at_desk, Teacher(broken="</text>"), path, tmp_path / "out", judge=True)
    assert report.removed == {"no_verdict": 1}
    assert report.benchmarks[0].hits == 0


def test_a_script_with_few_rows_is_told_as_not_compared(at_desk, tmp_path):
    path = written(tmp_path / "data.jsonl", [*questions("ja"), *questions("en")[:20], reworded("en", 0)])
    report = deduped(at_desk, Teacher(), path, None)
    assert [one.script for one in report.semantic.scripts] == ["japanese"]
    assert (report.removed.total(), report.semantic.uncompared) == (0, 21)


def test_without_embeddings_a_command_ends_with_a_sentence_and_writes_nothing(at_desk, tmp_path):
    path = written(tmp_path / "data.jsonl", EVERY)
    with pytest.raises(Fatal, match="has no embeddings at /embeddings"):
        deduped(at_desk, Teacher(status=404), path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_budget_stops_the_asking_and_what_came_is_not_bought_again(at_desk, tmp_path):
    path, teacher = written(tmp_path / "data.jsonl", EVERY), Teacher()
    with pytest.raises(BudgetReached):
        deduped(at_desk, teacher, path, tmp_path / "out", caps=Caps(requests=2))
    assert (teacher.requests, len(teacher.embedded)) == (2, 64)
    report = deduped(at_desk, teacher, path, tmp_path / "out")
    assert sorted(teacher.embedded) == sorted(EVERY)
    assert report.bought.vectors == len(EVERY) - 64


def test_money_is_not_capped_where_no_price_is_known(tmp_path):
    async def main(**caps):
        endpoint = Endpoint(model="e", base_url="https://api.example.com/v1")
        async with desk(tmp_path / "vectors", {EMBEDDER: endpoint}, Caps(usd=1, **caps), Halt()):
            return "opened"

    with pytest.raises(RecipeError, match=r"price of e at https://api\.example\.com/v1 is not known"):
        asyncio.run(main())
    assert asyncio.run(main(allow_unknown_price=True)) == "opened"


def test_the_folder_of_a_recipes_run_is_not_taken(at_desk, tmp_path):
    async def own():
        store = Store(tmp_path / "vectors")
        await store.note("recipe", "mine")
        store.close()

    asyncio.run(own())
    with pytest.raises(FolderError, match=r"holds a run of a recipe; choose another folder \(--run FOLDER, or folder="):
        deduped(at_desk, Teacher(), written(tmp_path / "data.jsonl", EVERY), None)


ITEMS = Benchmarks([Item("bench", place, text) for place, text in enumerate(questions("ja"), 1)])


def decontaminated(at_desk, teacher, path, out, **how):
    return at_desk(
        teacher, lambda opened: parts_by_meaning.decontaminate([path], out, ITEMS, "question", opened), **how
    )


def test_benchmark_items_in_other_words_are_removed_and_verbatim_ones_buy_no_vector(at_desk, tmp_path):
    path = written(tmp_path / "data.jsonl", [*questions("en"), reworded("ja", 7), questions("ja")[8]])
    teacher = Teacher()
    report = decontaminated(at_desk, teacher, path, tmp_path / "out")
    assert report.removed == {"contaminated": 2}
    by_letters, by_meaning = sorted(lines(tmp_path / "out" / "removed.jsonl"), key=lambda one: -one["row"])
    assert (by_meaning["pair"]["item"], by_meaning["pair"]["how"]) == ("bench#8", "semantic")
    assert by_meaning["pair"]["similarity"] > 0.95
    assert by_letters["pair"]["item"] == "bench#9"
    assert len(teacher.embedded) == len(set(teacher.embedded)) == 90 + 90 + 1
    assert (report.benchmarks[0].hits, report.neighbours.refused) == (2, 1)
    (hit,) = lines(tmp_path / "out" / "contamination.jsonl")
    assert (hit["id"], hit["verdict"], hit["found_in"]) == (f"{path}:91", "near", [reworded("ja", 7)])


def test_a_judge_decides_in_the_grey_zone_and_is_asked_once(at_desk, tmp_path):
    path = written(tmp_path / "data.jsonl", [*questions("en"), reworded("ja", 7), reworded("ja", 9)])
    teacher = Teacher(same=[reworded("ja", 7)])
    report = decontaminated(at_desk, teacher, path, tmp_path / "out", judge=True)
    assert len(teacher.judged) == 2
    assert report.removed == {"contaminated": 1}
    assert (report.neighbours.refused, report.neighbours.cleared) == (1, 1)
    verdicts = {one["found_in"][0]: one["verdict"] for one in lines(tmp_path / "out" / "contamination.jsonl")}
    assert verdicts == {reworded("ja", 7): "same", reworded("ja", 9): "different"}
    again = Teacher()
    assert decontaminated(at_desk, again, path, None, judge=True).removed == {"contaminated": 1}
    assert again.requests == 0


def test_the_command_names_its_embedder_and_says_what_it_found_and_bought(synth, tmp_path):
    written(tmp_path / "data.jsonl", [*EVERY, EVERY[5]])
    practice = "practice:faultless,practice-embedding-1"
    finished = synth("dedupe", "data.jsonl", "--by", "question", "--semantic", practice, "--run", "kept")
    assert "181 rows: 180 kept, 1 removed" in finished.stdout, finished.stderr
    assert "by meaning, japanese: the same from 0." in finished.stdout
    assert "bought 180 vectors with 6 requests for $0.0000" in finished.stdout
    finished = synth("dedupe", "data.jsonl", "--by", "question", "--semantic", practice, "--run", "kept", "--json")
    told = json.loads(finished.stdout)
    assert told["bought"] == {"vectors": 0, "requests": 0, "cost_microusd": 0}
    assert [one["script"] for one in told["semantic"]["scripts"]] == ["japanese", "latin"]
    for wrong, words in (
        (["--semantic", "http://localhost:8000/v1"], "--semantic ...: write BASE_URL,MODEL[,KEY_VARIABLE]"),
        (["--semantic", "ftp://x/v1,m"], "--semantic ...: 'ftp://x/v1' is not a base URL"),
        (["--semantic", practice, "--budget", "dollars=5"], "--budget dollars=5"),
    ):
        finished = synth("dedupe", "data.jsonl", *wrong)
        assert (finished.returncode, finished.stdout, finished.stderr.count("\n")) == (2, "", 1), finished.stderr
        assert words in finished.stderr
    written(tmp_path / "bench.jsonl", questions("ja"))
    finished = synth("decontaminate", "data.jsonl", "--against", "bench.jsonl", "--judge", practice)
    assert (finished.returncode, "--judge decides about what --semantic finds" in finished.stderr) == (2, True)
    finished = synth("decontaminate", "data.jsonl", "--against", "bench.jsonl", "--semantic", practice)
    assert "texts compared with 90 items, 0 refused" in finished.stdout, finished.stderr
