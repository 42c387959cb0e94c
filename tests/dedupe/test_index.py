"""The index under load: what is planted is found, whatever the batch, and memory and templates are kept in bounds."""

from __future__ import annotations

import importlib.util
import json
import random
import sys
from collections import Counter
from pathlib import Path

import pytest

from synth.dedupe import Dedupe, Twins

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent.parent / "shared" / "data"
ROWS = 3000


def bench():
    if "duplicates" not in sys.modules:
        spec = importlib.util.spec_from_file_location("duplicates", ROOT / "bench" / "duplicates.py")
        sys.modules["duplicates"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["duplicates"])
    return sys.modules["duplicates"]


def told(dedupe: Dedupe, texts: list[str], batch: int):
    twins, ids = Twins(dedupe), [str(place) for place in range(len(texts))]
    matches = []
    for start in range(0, len(texts), batch):
        matches += twins.add_batch(ids[start : start + batch], texts[start : start + batch])
    return matches, twins.summary()


@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_planted_class_is_found_and_other_numbers_are_no_twins(language):
    rows = list(bench().corpus(language, ROWS, 2))
    matches, _ = told(Dedupe(), [row.text for row in rows], ROWS)
    planted, found = Counter(), Counter()
    for row, match in zip(rows, matches, strict=True):
        planted[row.kind] += 1
        found[row.kind] += match is not None
    print({kind: f"{found[kind]} of {planted[kind]}" for kind in sorted(planted)})
    assert found["original"] == found["numbers"] == 0
    assert planted["numbers"] > 50
    for kind in ("exact", "case", "width", "spacing", "punctuation", "kana", "edit 0.9", "edit 0.8", "edit 0.7"):
        assert found[kind] >= (0.95 if kind == "edit 0.7" else 0.99) * planted[kind], kind


@pytest.mark.parametrize(
    ("language", "template"),
    [("en", "Explain {} and {} to a child in {} words."), ("ja", "{}と{}を{}字で子供に説明してください。")],
)
@pytest.mark.parametrize("dedupe", [Dedupe(), Dedupe(per_template=2), Dedupe(near=False, per_template=2)])
def test_what_is_said_does_not_depend_on_how_many_are_asked_about_at_once(language, template, dedupe):
    rng = random.Random(4)
    texts = [row.text for row in bench().corpus(language, 400, 3)]
    words = [text[:6] for text in texts[:12]]
    texts += [template.format(*rng.choices(words, k=2), rng.randrange(50, 60)) for _ in range(400)]
    rng.shuffle(texts)
    one, summary = told(dedupe, texts, 1)
    kinds = {"exact"} | ({"near"} if dedupe.near else set()) | ({"template"} if dedupe.per_template else set())
    assert {match.kind for match in one if match} == kinds
    for batch in (9, len(texts)):
        assert told(dedupe, texts, batch) == (one, summary)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("りんごとバナナの栄養のちがいを説明してください。", "リンゴとバナナの栄養のちがいを説明してください。"),
        ("ﾊﾟｿｺﾝとﾌﾟﾘﾝﾀｰのつなぎ方を教えてください。", "パソコンとプリンターのつなぎ方を教えてください。"),
        ("ラーメンの作り方を初心者に教えてください。", "らーめんの作り方を初心者に教えてください。"),
        ("ラーメンの作り方を初心者に教えてください。", "ラ―メンの作り方を初心者に教えてください。"),
        ("ラーメンの作り方を初心者に教えてください。", "らあめんの作り方を初心者に教えてください。"),
        ("霞ヶ関への行き方を教えてください。", "霞ケ関への行き方を教えてください。"),
        ("人々が時々山に登るのはなぜですか。", "人人が時時山に登るのはなぜですか。"),
        ("きっと待っていてくださいと言った理由を答えなさい。", "きつと待つていてくださいと言つた理由を答えなさい。"),
    ],
)  # fmt: skip
def test_the_same_words_in_another_kana_writing_are_twins(one, other):
    twins = Twins(Dedupe())
    assert twins.add("0", one) is None
    match = twins.add("1", other)
    assert match is not None
    assert match.similarity > 0.75


def test_the_size_of_n_grams_does_not_tip_over_in_a_mixed_text():
    text = "Pythonのdataclassとpydanticのmodelを比べて、使い分けを説明してください"
    twins = Twins(Dedupe())
    assert twins.add("0", text) is None
    assert twins.add("1", text + " in detail please") is not None
    assert twins.add("2", "ぜひ、" + text + "。お願いします。") is not None


@pytest.mark.parametrize("near", [True, False])
def test_a_template_has_a_quota_of_its_own(near):
    twins = Twins(Dedupe(per_template=2, near=near))
    texts = [f"りんごを{count}個買いました。全部でいくらですか。" for count in (3, 5, 7, 5, 9)]
    matches = [twins.add(str(place), text) for place, text in enumerate(texts)]
    assert matches[:2] == [None, None]
    assert [(match.kind, match.twin_id) for match in matches[2:]] == [
        ("template", "0"),
        ("exact", "1"),
        ("template", "0"),
    ]
    assert twins.add("5", "みかんを3つ、友だちから借りた箱に入れました。") is None


def test_without_a_quota_all_of_a_template_stay():
    twins = Twins(Dedupe())
    assert not any(twins.add(str(count), f"What is {count} plus 3 in the decimal system?") for count in range(300))


def test_the_summary_tells_how_similar_the_pairs_were_and_how_large_the_clusters():
    twins = Twins(Dedupe())
    long = "Read the passage below, then sum up in one sentence what the author wants to say and why."
    for place, text in enumerate(["Name a fruit.", long, long.upper(), "name a fruit", long + " Please."]):
        twins.add(str(place), text)
    summary = twins.summary()
    assert summary.sizes == {2: 1, 3: 1}
    assert summary.largest == (("1", 3), ("0", 2))
    assert sum(summary.pairs) == summary.pairs[18] == 1


def test_long_texts_surrogates_and_nothing_at_all_do_no_harm():
    twins = Twins(Dedupe())
    texts = ["", " ", "a", "\ud800", "漢", "々々", "ー", "x" * 400_000, "x" * 400_001, "𠮷野家で食べた"]
    matches = twins.add_batch([str(place) for place in range(len(texts))], texts)
    assert [place for place, match in enumerate(matches) if match] == [1, 8]


@pytest.mark.parametrize(
    ("one", "other"),
    [("机を英語で何という？", "水を英語で何という？"), ("せの付く言葉は？", "さの付く言葉は？"), ("How to say cat?", "How to say rat?")],
)  # fmt: skip
def test_one_other_word_makes_another_question_of_a_short_one(one, other):
    twins = Twins(Dedupe())
    assert twins.add("0", one) is None
    assert twins.add("1", other) is None
    assert Twins(Dedupe(threshold=0.5)).add_batch(["0", "1"], [one, other])[1] is not None


@pytest.mark.skipif(not DATA.exists(), reason=f"{DATA} is absent")
@pytest.mark.parametrize("file", ["mgsm_en.tsv", "mgsm_ja.tsv", "self_instruct_seeds.jsonl", "jcommonsenseqa.jsonl"])
def test_questions_that_people_wrote_are_no_twins_of_each_other(file):
    lines = (DATA / file).read_text(encoding="utf-8").splitlines()
    if file.endswith("tsv"):
        texts = [line.split("\t")[0] for line in lines]
    else:
        rows = [json.loads(line) for line in lines]
        texts = [row.get("instruction") or row["question"] for row in rows]
    texts = list(dict.fromkeys(texts))
    matches, _ = told(Dedupe(), texts, len(texts))
    false = [(text, texts[int(match.twin_id)], match) for text, match in zip(texts, matches, strict=True) if match]
    print(len(texts), len(false), *false[:40], sep="\n")
    assert len(false) <= 0.01 * len(texts)
