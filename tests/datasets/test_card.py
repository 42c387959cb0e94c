from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from synth.datasets.card import card, escaped, publishable, size_category, write_card
from synth.datasets.export import Written, write_dataset
from synth.datasets.tokens import TokensRecord
from synth.datasets.told import in_japanese
from synth.formats.pairs import in_words
from synth.money.savings import Saved
from synth.recipes.views import Preference, Unpaired
from synth.results.manifest import Manifest, SeedsRecord
from synth.storage.database import Ledger
from synth.types import Sample
from tests.datasets.conftest import packed

WRITTEN = Written(rows={"train": 18, "test": 2}, files={"train": "data/train.parquet", "test": "data/test.parquet"})

Make = Callable[..., Manifest]


def header(text: str) -> dict[str, Any]:
    _, front, _ = text.split("---\n", 2)
    return yaml.safe_load(front)


def body(text: str) -> str:
    return text.split("---\n", 2)[2]


def test_the_front_matter_names_every_split_file(make_manifest: Make) -> None:
    front = header(card(make_manifest(license_id="cc-by-4.0"), WRITTEN))
    assert front["configs"] == [
        {
            "config_name": "default",
            "description": "rows sha256:",
            "data_files": [
                {"split": "train", "path": "data/train.parquet"},
                {"split": "test", "path": "data/test.parquet"},
            ],
        }
    ]
    assert front["license"] == "cc-by-4.0"
    assert front["language"] == ["en"]
    assert front["size_categories"] == ["n<1K"]
    assert {"synthetic", "synth"} <= set(front["tags"])


def test_a_licence_is_never_invented(make_manifest: Make) -> None:
    manifest = make_manifest(license_id=None)
    text = card(manifest, WRITTEN)
    assert "license" not in header(text)
    assert "No licence was given" in body(text)
    problem = publishable(manifest)
    assert problem is not None
    assert problem.field == "license"
    assert "cannot be published" in str(problem)


def test_a_licence_of_the_users_word_allows_publishing(make_manifest: Make) -> None:
    manifest = make_manifest(license_id="cc-by-4.0")
    assert publishable(manifest) is None
    assert "cc-by-4.0, as stated by the author of the recipe" in body(card(manifest, WRITTEN))


@pytest.mark.parametrize(("language", "words"), [("en", "This is practice data"), ("ja", "これは練習用データです")])
def test_practice_data_says_so_first_and_in_its_tags(make_manifest: Make, language: str, words: str) -> None:
    text = card(make_manifest(is_practice=True, language=language), WRITTEN)
    assert "practice-data" in header(text)["tags"]
    paragraphs = body(text).strip().split("\n\n")
    assert paragraphs[0].startswith("# ")
    assert paragraphs[1].startswith(f"> **{words}")


@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_real_teachers_data_has_no_word_of_practice(make_manifest: Make, language: str) -> None:
    text = card(make_manifest(language=language), WRITTEN)
    assert "practice" not in text
    assert "練習" not in text


def test_a_japanese_recipe_gets_a_japanese_card(make_manifest: Make) -> None:
    text = card(make_manifest(language="ja", name="日本語の算数"), WRITTEN)
    assert header(text)["pretty_name"] == "日本語の算数"
    assert "\n# 日本語の算数\n" in text
    assert "## 作り方" in text
    assert "不明 (unknown)" in text
    assert "ライセンスが指定されていない" in text


def test_the_card_says_how_the_rows_were_made(make_manifest: Make) -> None:
    text = body(card(make_manifest(), WRITTEN))
    assert "| answers | 30 | 28 | 21 | 7 | 2 |" in text
    assert "| near\\_duplicate | 3 |" in text
    assert "| threshold | 1 |" in text
    assert "| main | large\\|model | large-model-2026-10 | api.example.com | 0.7 | 512 | unknown |" in text
    assert "| answers | main | 28 | 4000 | 9000 | \\$1.50 |" in text
    assert "5f" * 32 in text


@pytest.mark.parametrize("language", ["en", "ja"])
def test_every_table_line_has_its_headings_number_of_cells(make_manifest: Make, language: str) -> None:
    manifest = make_manifest(language=language)
    stage = manifest.stages[0].model_copy(update={"name": "a|b\n| c | `d`", "rejected": {"x|y": 1}})
    text = body(card(manifest.model_copy(update={"stages": (stage,)}), WRITTEN))
    width = 0
    tables = 0
    for line in text.splitlines():
        if not line.startswith("|"):
            width = 0
            continue
        cells = line.replace("\\|", "").count("|")
        tables += width == 0
        assert width in (0, cells), line
        width = cells
    assert tables == 6


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_card_is_the_same_whenever_and_however_often_the_run_was_stopped(
    make_manifest: Make, language: str
) -> None:
    smooth = make_manifest(language=language)
    trouble = (
        Ledger("answers", "main", "lost", 2, 700, 0, 0, 0, 0),
        Ledger("answers", "main", "rate", 9, 0, 0, 0, 0, 0),
    )
    killed = make_manifest(
        language=language, ledger=(*trouble, *smooth.ledger), started="2026-12-01T00:00:00+00:00", seconds=9e9
    )
    assert card(killed, WRITTEN) == card(smooth, WRITTEN)
    assert killed.cost_microusd > smooth.cost_microusd


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", ["synth 0.1.0 from 1 seed.\n1 row.", "edited 1, accepted 0", "for 1 row (1 token)", "with up to 1 likely one in",
            "There are none for 1 row:", "Up to 1 reply was not bought, as 1 prompt had"]),
        ("ja", ["1 件のシードから", "全 1 行。", "編集 1 件、採用 0 件", "1 行分（1 トークン）", "1 行には、",
            "最大でおよそ 1 件"]),
    ],
)  # fmt: skip
def test_what_there_is_one_of_is_told_in_the_singular(make_manifest: Make, language: str, expected: list[str]) -> None:
    manifest = make_manifest(
        language=language,
        seeds=SeedsRecord(identity="種.jsonl", count=1, repeated=1),
        rows={"train": 1},
        by_hand={"edit": 1},
        tokens=TokensRecord(rows=1, without=1, tokens=1, most=1, with_ids=1, files={"train": "tokens/train.parquet"}),
        saved=Saved(prompts=1, replies=1, cost_microusd=0),
    )
    text = body(card(manifest, Written(rows={"train": 1}, files={"train": "data/train.parquet"})))
    assert [words for words in expected if words not in text] == []


def test_a_run_that_is_not_complete_says_so(make_manifest: Make) -> None:
    assert "Its state is: stopped\\_by\\_budget" in card(make_manifest(state="stopped_by_budget"), WRITTEN)
    assert "not complete" not in card(make_manifest(), WRITTEN)


def test_user_text_is_literal_markdown_on_one_line() -> None:
    assert escaped("a|b `c` <img src=x>\n# *d* [e](f)") == "a\\|b \\`c\\` \\<img src=x\\> \\# \\*d\\* \\[e\\](f)"
    assert escaped("東京　タワー_1") == "東京 タワー\\_1"


def test_a_name_cannot_break_the_front_matter(make_manifest: Make) -> None:
    name = 'x\n---\nlicense: mit\n"quoted": # {{ 7 * 7 }}'
    text = card(make_manifest(name=name), WRITTEN)
    front = yaml.safe_load(text[4 : text.index("\n---\n\n")])
    assert front["pretty_name"] == 'x --- license: mit "quoted": # {{ 7 * 7 }}'
    assert "license" not in front
    assert r"\{\{ 7 \* 7 \}\}" in text


@pytest.mark.parametrize(
    ("rows", "name"), [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (250_000, "100K<n<1M"), (3 * 10**9, "n>1B")]
)
def test_sizes_have_the_hubs_names(rows: int, name: str) -> None:
    assert size_category(rows) == name


def test_a_folder_with_its_card_loads_as_the_card_says(
    tmp_path: Path, make_manifest: Make, make_sample: Callable[..., Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    datasets.disable_progress_bars()
    pairs = [("held_out" if i == 0 else "train", packed(make_sample(i, f"質問 {i}", "答え"))) for i in range(5)]
    written = write_dataset(pairs, tmp_path)
    write_card(tmp_path, make_manifest(language="ja"), written)
    dataset = datasets.load_dataset(str(tmp_path / "dataset"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(split) for name, split in dataset.items()} == {"train": 4, "held_out": 1}
    assert dataset["held_out"][0]["messages"][0] == {"role": "user", "content": "質問 0", "reasoning_content": None}


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_card_does_not_depend_on_when_or_how_often_a_run_was_stopped(make_manifest: Make, language: str) -> None:
    straight = make_manifest(language=language)
    stopped = make_manifest(
        language=language,
        started="2027-01-01T00:00:00+00:00",
        finished="2027-01-02T00:00:00+00:00",
        seconds=86400.0,
        ledger=(
            *(Ledger("answers", "main", name, 3, 900, 0, 0, 0, 0) for name in ("lost", "rate", "transient", "unsent")),
            *straight.ledger,
        ),
    )
    assert card(stopped, WRITTEN) == card(straight, WRITTEN)
    assert stopped.lost_attempts == 3


def test_two_folders_and_a_new_export_are_told_apart_in_one_cache(
    tmp_path: Path, make_manifest: Make, make_sample: Callable[..., Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    datasets.disable_progress_bars()

    def loaded(folder: str, text: str) -> str:
        written = write_dataset([("train", packed(make_sample(1, text, "答え")))], tmp_path / folder)
        write_card(tmp_path / folder, make_manifest(), written)
        dataset = datasets.load_dataset(str(tmp_path / folder / "dataset"), cache_dir=str(tmp_path / "cache"))
        return dataset["train"][0]["messages"][0]["content"]

    assert loaded("a", "一つ目") == "一つ目"
    assert loaded("b", "二つ目") == "二つ目"
    assert loaded("a", "書き直し") == "書き直し"


def test_equal_rows_give_an_equal_card_and_other_rows_another(
    tmp_path: Path, make_manifest: Make, make_sample: Callable[..., Sample]
) -> None:
    def card_of(folder: str, split: str, text: str) -> str:
        written = write_dataset([(split, packed(make_sample(1, text, "答え")))], tmp_path / folder)
        return card(make_manifest(), written)

    first = card_of("a", "train", "質問")
    assert card_of("b", "train", "質問") == first
    assert card_of("b", "train", "別の質問") != first


@pytest.mark.parametrize(
    ("identity", "source"),
    [
        ("huggingface openai/gsm8k", "openai/gsm8k"),
        ("huggingface /data/own/folder", "original"),
        ("jsonl seeds.jsonl sha256:ab", "original"),
        ("huggingface a/b\n- c", "original"),
    ],
)
def test_the_front_matter_names_the_dataset_that_the_seeds_are_of(make_manifest: Make, identity, source) -> None:
    manifest = make_manifest()
    seeds = manifest.seeds.model_copy(update={"identity": identity})
    assert header(card(manifest.model_copy(update={"seeds": seeds}), WRITTEN))["source_datasets"] == [source]


@pytest.mark.parametrize(
    ("language", "words"), [("en", "was not declared"), ("ja", "シードのライセンスは申告されていません")]
)
def test_the_card_tells_what_the_seeds_ask_with_source_and_date(make_manifest: Make, language, words) -> None:
    manifest = make_manifest(language=language, license_id="cc-by-nc-4.0")
    assert words in card(manifest, WRITTEN)
    seeds = manifest.seeds.model_copy(update={"license": "cc-by-nc-4.0"})
    text = card(manifest.model_copy(update={"seeds": seeds}), WRITTEN)
    assert words not in text
    assert "2026-11-29" in text
    assert "<https://creativecommons.org/licenses/by-nc/4.0/legalcode>" in text
    assert {"en": "may be used commercially", "ja": "商用に使ってはならない"}[language] in text


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_card_tells_checks_limits_prompts_and_an_example(
    make_manifest: Make, make_sample: Callable[..., Sample], language
) -> None:
    stage = {
        "name": "answers",
        "validators": [{"kind": "finished"}, {"kind": "pii"}],
        "dedupe": {"by": "question"},
        "scorers": [{"kind": "exact_answer", "name": "exact"}],
    }
    plan = {"name": "x", "teachers": {"main": {"base_url": "http://10.0.0.7/v1", "model": "m"}}, "stages": [stage]}
    manifest = make_manifest(language=language, scores={"exact": {1.0: 20}})
    recipe = manifest.recipe.model_copy(
        update={"text": json.dumps(plan), "prompts": {"answer.md.j2": "{{ question }}に答えてください。"}}
    )
    text = card(
        manifest.model_copy(update={"recipe": recipe}), WRITTEN, [make_sample(1, "17 + 25 は？", "```\n42\n```")]
    )
    assert "| answers | finished, pii | question | exact |" in text
    assert "```jinja\n{{ question }}に答えてください。\n```" in text
    assert "````text\n```\n42\n```\n````" in text
    assert "10.0.0.7" not in text
    limits = text[text.index({"en": "## Known limits", "ja": "## 分かっている限界"}[language]) :].split("\n## ")[0]
    assert limits.count("\n- ") == 3  # that people did not read them, benchmarks, one teacher


@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize(
    "path",
    ["/home/taro/データ 集/種.jsonl", "~/秘密/種.jsonl", "C:/Users/taro/種.jsonl", "C:\\Users\\taro\\種.jsonl"],
)
def test_the_card_tells_the_names_of_files_and_not_who_worked_where(make_manifest: Make, language, path) -> None:
    made = make_manifest(language=language)
    recipe = {"seeds": {"kind": "jsonl", "path": path}, "stages": [{"name": "a", "pattern": r"\d+/\w+/ /x.*/y"}]}
    manifest = made.model_copy(
        update={
            "seeds": made.seeds.model_copy(update={"identity": f"jsonl {path} sha256:ab; jsonl ../近所/種.jsonl"}),
            "recipe": made.recipe.model_copy(update={"text": json.dumps(recipe)}),
        }
    )
    text = card(manifest, WRITTEN)
    assert "jsonl 種.jsonl sha256:ab; jsonl ../近所/種.jsonl" in text
    assert "path: 種.jsonl" in text
    assert r"pattern: \d+/\w+/ /x.*/y" in text
    assert not any(one in text for one in ("taro", "秘密", "Users"))


def test_a_japanese_card_says_reasons_and_how_pairs_were_made_in_japanese(make_manifest: Make) -> None:
    manifest = make_manifest(language="ja")
    text = body(card(manifest, WRITTEN))
    assert "| 既出とほぼ同じ（near\\_duplicate） | 3 |" in text
    assert "| threshold | 1 |" in text  # a reason of one's own has no other words
    assert in_japanese("judge, at least 1 apart") == "judge の点数に 1 以上の差があるもの"
    assert in_japanese("refused for refusal, too_short") == "不採用の理由（refusal, too_short）"
    assert in_japanese("丁寧さ, good from 4, bad up to 2.5") == "丁寧さ が 4 以上なら良い、2.5 以下なら悪い"


@pytest.mark.parametrize("rule", [Preference(kind="preference"), Preference(kind="preference", by="a", gap=1.5),
                                  Unpaired(kind="unpaired", by="a", good=4, bad=2), Unpaired(kind="unpaired")])  # fmt: skip
def test_every_way_of_telling_answers_apart_has_japanese_words(rule: Preference | Unpaired) -> None:
    assert in_japanese(in_words(rule)) != in_words(rule)


@pytest.mark.parametrize(("language", "file"), [("en", "File"), ("ja", "ファイル")])
def test_a_card_begins_with_the_recipes_description_and_shows_a_check_of_ones_own_as_python(
    make_manifest: Make, language: str, file: str
) -> None:
    manifest = make_manifest(language=language)
    more = {
        "text": json.dumps({"name": "x", "description": "図書館の*質問*と答え。", "stages": []}),
        "prompts": {"checks.py": "class Desu: ..."},
        "templates": {"checks.py": "bb" * 32},
    }
    text = body(card(manifest.model_copy(update={"recipe": manifest.recipe.model_copy(update=more)}), WRITTEN))
    assert text.index("図書館の\\*質問\\*と答え。") < text.index("30")
    assert "```python\nclass Desu: ...\n```" in text
    assert f"| {file} checks.py |" in text
