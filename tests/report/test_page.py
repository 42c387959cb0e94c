from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import synth
from synth.dedupe import TWIN_REASONS, Calibration, SemanticSummary, Summary
from synth.dedupe.semantic import script_of
from synth.gates.screen import CONTAMINATED, NOT_NOVEL, SEED_FULL
from synth.money.budget import Caps
from synth.money.savings import Saved
from synth.protocol.endpoint import Endpoint
from synth.report.clusters import Cluster
from synth.report.page import MOST_CHARACTERS, MOST_CHARACTERS_REFUSED, MOST_EXAMPLES, write_report
from synth.report.words import ENGLISH, JAPANESE
from synth.results.manifest import Manifest, RungRecord, StageRecord, teacher_record
from synth.storage.database import Ledger
from synth.types import Rejection, Sample

Make = Callable[..., Manifest]
MakeSample = Callable[..., Sample]
MakeRejection = Callable[..., Rejection]

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """Collects the elements, and checks that they close in the order they opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture
def report(tmp_path: Path) -> Callable[..., str]:
    def report(*arguments: Any) -> str:
        write_report(tmp_path / "report.html", *arguments)
        return (tmp_path / "report.html").read_text("utf-8")

    return report


HOSTILE = (
    '</script><script>alert(1)</script><img src="http://evil.example/x" onerror=alert(1)> {{ 7*7 }} \u202eabc\x00\ud800'
)


def test_hostile_texts_cannot_become_elements(
    report: Callable[..., str], make_manifest: Make, make_sample: MakeSample, make_rejection: MakeRejection
) -> None:
    sample = make_sample(1, HOSTILE, f"```{HOSTILE}\n{HOSTILE}\n```", HOSTILE)
    rejections = [make_rejection(sample, "near_duplicate", detail=HOSTILE, twin_id=HOSTILE)]
    manifest = make_manifest(name=HOSTILE.replace("\ud800", ""))
    page = Page(report(manifest, [sample], rejections, {HOSTILE: sample}))
    assert page.open == []
    assert not {"script", "img", "iframe", "link", "object", "base", "form"} & {tag for tag, _ in page.elements}
    attributes = {name for _, attributes in page.elements for name in attributes}
    assert not {name for name in attributes if name.startswith("on")} | ({"src", "href"} & attributes)
    assert "{{ 7*7 }}" in "".join(page.words)
    assert not re.search("[\x00\u202e]", "".join(page.words))


def test_the_page_forbids_itself_everything_but_its_own_style(report: Callable[..., str], make_manifest: Make) -> None:
    text = report(make_manifest(), [], [])
    page = Page(text)
    policies = [a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert not re.search(r"url\(|@import|https?://(?!api\.example\.com)", text)


def test_a_run_without_rows_has_a_page(report: Callable[..., str], make_manifest: Make) -> None:
    manifest = make_manifest(rows={"train": 0}, stages=(), ledger=(), scores={}, state="failed")
    text = report(manifest, [], [])
    assert Page(text).open == []
    for words in ("This run made no rows.", "No sample was refused.", "The rows carry no scores.", "Failed"):
        assert words in text


def test_the_headline_tells_rows_cost_time_and_state(report: Callable[..., str], make_manifest: Make) -> None:
    words = Page(report(make_manifest(budget_microusd=5_000_000), [], [])).words
    for expected in (
        "Arithmetic",
        "158",
        "train 150",
        "test 8",
        "$1.20",
        "Budget $5.00",
        "130,000",
        "2 min 5 s",
        "Complete",
    ):
        assert expected in words


def test_a_japanese_recipe_gets_a_japanese_page(
    report: Callable[..., str], make_manifest: Make, make_sample: MakeSample
) -> None:
    text = report(make_manifest(language="ja", name="算数"), [make_sample(1, "全部で何個ですか。", "12 個です。")], [])
    page = Page(text)
    assert ("html", {"lang": "ja"}) in page.elements
    for words in (
        "シードから行まで",
        "不採用の理由",
        "行の例",
        "全部で何個ですか。",
        "12 個です。",
        "2 分 5 秒",
        "不明",
    ):
        assert words in page.words
    assert not {"From seeds to rows", "Provenance", "User", "Complete"} & set(page.words)


@pytest.mark.parametrize(
    ("language", "japanese", "shown"),
    [
        ("en", "中断しました。", '<p class="note" lang="en">Stopped.</p>'),
        ("ja", "中断しました。", '<p class="note">中断しました。</p>'),
        ("ja", "", '<p class="note" lang="en">Stopped.</p>'),
    ],
)
def test_why_a_run_ended_is_told_in_the_language_of_the_page_where_it_is_had_in_it(
    report: Callable[..., str], make_manifest: Make, language: str, japanese: str, shown: str
) -> None:
    text = report(make_manifest(language=language, message="Stopped.", message_ja=japanese), [], [])
    assert shown in text
    assert ("Stopped." in text, "中断しました。" in text) == ("Stopped." in shown, "中断しました。" in shown)


@pytest.mark.parametrize(("language", "words"), [("en", "This is practice data"), ("ja", "これは練習用データです")])
def test_practice_data_says_so_before_anything_else(
    report: Callable[..., str], make_manifest: Make, language: str, words: str
) -> None:
    text = report(make_manifest(is_practice=True, language=language), [], [])
    body = text[text.index("<body>") :]
    assert body.index(words) < body.index("<h1>")
    assert words not in report(make_manifest(language=language), [], [])


def test_a_refused_duplicate_stands_beside_the_one_that_was_kept(
    report: Callable[..., str], make_manifest: Make, make_sample: MakeSample, make_rejection: MakeRejection
) -> None:
    kept = make_sample(1, "りんごは何個ですか", "12 個")
    twin = make_rejection(
        make_sample(2, "りんごは何個でしょう", "十二個"), "near_duplicate", twin_id=kept.id, similarity=0.914
    )
    words = Page(report(make_manifest(), [], [twin], {kept.id: kept})).words
    assert (
        words.index("りんごは何個でしょう") < words.index("The one that was kept") < words.index("りんごは何個ですか")
    )
    assert "similarity 0.91" in words
    assert "りんごは何個ですか" in Page(report(make_manifest(), [kept], [twin])).words


def test_every_reason_is_counted_and_shows_two_examples_at_most(
    report: Callable[..., str], make_manifest: Make, make_sample: MakeSample, make_rejection: MakeRejection
) -> None:
    many = [make_rejection(make_sample(i, f"question {i}", "No."), "refusal") for i in range(5)]
    words = Page(report(make_manifest(), [], many)).words
    assert words.index("near_duplicate") < words.index("refusal")
    assert [word for word in words if word.startswith("question")] == ["question 0", "question 1"]


def test_a_refusal_without_text_says_so(report: Callable[..., str], make_manifest: Make) -> None:
    silent = Rejection(id="1", seed_id="1", stage="answers", reason="refusal")
    assert "There was no text to keep." in report(make_manifest(), [], [silent])


def test_a_repetition_loop_does_not_fill_the_page(
    report: Callable[..., str], make_manifest: Make, make_sample: MakeSample, make_rejection: MakeRejection
) -> None:
    loop = make_rejection(make_sample(1, "説明して", "同じです。" * 10_000), "refusal")
    text = report(make_manifest(), [], [loop])
    assert text.count("同じです。") == MOST_CHARACTERS_REFUSED // 5
    assert "49,000 more characters" in text


def test_at_most_twelve_rows_are_shown(
    report: Callable[..., str], make_manifest: Make, make_sample: MakeSample
) -> None:
    text = report(make_manifest(), [make_sample(i, f"question {i}", "yes") for i in range(40)], [])
    assert len(re.findall(r"question \d+", text)) == MOST_EXAMPLES == 12


@pytest.mark.parametrize(
    ("language", "cost", "words"),
    [("en", 0, "Lost attempts: 2"), ("en", 7, "Lost attempts, still charged: 2"), ("ja", 0, "失われた送信: 2"),
        ("ja", 7, "失われた送信（費用に計上）: 2")],
)  # fmt: skip
def test_lost_attempts_are_called_charged_only_where_something_costs(
    report: Callable[..., str], make_manifest: Make, language: str, cost: int, words: str
) -> None:
    ledger = (Ledger("answers", "main", "lost", 2, cost, 0, 0, 0, 0),)
    assert words in Page(report(make_manifest(language=language, ledger=ledger, caps=Caps()), [], [])).words


@pytest.mark.parametrize(
    ("language", "reason", "failure", "stage"),
    [
        ("en", "Almost the same as an earlier one", "rate limit 7", "answers: scoring"),
        ("ja", "既出とほぼ同じ", "レート制限 7", "answers: 採点"),
    ],
)
def test_labels_are_plain_words_and_the_names_in_the_files_stand_beside_them(
    report: Callable[..., str], make_manifest: Make, language: str, reason: str, failure: str, stage: str
) -> None:
    stages = (StageRecord(name="answers", units=9, drafts=9, accepted=7, rejected={"near_duplicate": 1, "my_own": 1}),)
    ledger = (Ledger("answers:score", "main", "rate", 7, 0, 0, 0, 0, 0),)
    words = Page(report(make_manifest(language=language, stages=stages, ledger=ledger), [], [])).words
    assert words[words.index(reason) :][:3] == [reason, " ", "near_duplicate"]
    assert {failure, stage, "my_own"} <= set(words)
    assert "2026-11-24 12:00:00 UTC – 2026-11-24 12:02:05 UTC" in words


def test_every_reason_that_synth_gives_has_plain_words_in_both_languages() -> None:
    root = Path(synth.__file__).parent  # what cannot be converted is told by its command, and in no report
    paths = [path for path in root.rglob("*.py") if not {"formats", "lint"} & {*path.parts}]
    source = "".join(path.read_text(encoding="utf-8") for path in paths)
    given = set(re.findall(r'Rejected\(\s*"(\w+)"', source)) | {
        *TWIN_REASONS.values(),
        SEED_FULL,
        NOT_NOVEL,
        CONTAMINATED,
    }
    given |= set(re.findall(r'refused\(\s*"(\w+)"', source))
    assert len(given) > 12
    assert given <= ENGLISH.reasons.keys() == JAPANESE.reasons.keys()


def test_what_is_in_no_sum_is_named_beside_the_cost(report: Callable[..., str], make_manifest: Make) -> None:
    unpriced = teacher_record("own", Endpoint(model="m", base_url="https://models.example.com/v1"))
    assert "not counted, price unknown: own" in Page(report(make_manifest(teachers=(unpriced,)), [], [])).words
    assert "price unknown" not in report(make_manifest(), [], [])


def gated(**changed: Any) -> StageRecord:
    twins = Summary(pairs=(0,) * 10 + (7, 0, 0, 2) + (0,) * 6, threshold=0.65, sizes={2: 4, 3: 1}, largest=(("1", 3),))
    return StageRecord(name="write", units=9, drafts=90, accepted=80, twins=twins, **changed)


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        (
            "en",
            ["Duplicates", "9 pairs were compared", "From 0.65 on", "2 texts", "3 texts", "Up to 40 replies ($0.0900)"],
        ),
        ("ja", ["重複", "比べた組は 9 組です", "類似度 0.65 から", "2 件", "3 件", "およそ 40 件の応答（$0.0900）"]),
    ],
)
def test_the_page_tells_what_the_gate_compared_and_what_it_saved(
    report: Callable[..., str], make_manifest: Make, language: str, expected: list[str]
) -> None:
    saved = Saved(prompts=10, replies=40, cost_microusd=90_000)
    text = report(make_manifest(language=language, stages=(gated(),), saved=saved), [], [])
    said = " ".join(Page(text).words)
    assert [words for words in expected if words not in said] == []
    assert text.count("<rect") == 2
    assert text.count('class="twins"') == 1
    assert text.count('class="mark"') == 1


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", ["1 pair was compared", "Up to 1 reply was not bought, as 1 prompt had", "1 request by batch,", "1 more twin",
            "1 more character is not shown here"]),
        ("ja", ["比べた組は 1 組です", "1 件のプロンプトを先に除いたため", "うちバッチ 1 件", "1 件の重複を", "1 文字をこのページでは"]),
    ],
)  # fmt: skip
def test_what_there_is_one_of_is_told_in_the_singular(
    report: Callable[..., str], make_manifest: Make, make_sample: MakeSample, language: str, expected: list[str]
) -> None:
    twins = Summary(pairs=(0,) * 19 + (1,), threshold=0.65, sizes={2: 1}, largest=(("1", 2),))
    stage = StageRecord(name="write", units=1, drafts=1, accepted=1, twins=twins)
    batched = Ledger("answers", "main", "ok", 1, 10, 10, 10, 0, 0, batched=1, batched_microusd=10)
    manifest = make_manifest(
        language=language, stages=(stage,), saved=Saved(prompts=1, replies=1, cost_microusd=0), ledger=(batched,)
    )
    text = report(
        manifest, [make_sample(1, "何個？", "あ" * (MOST_CHARACTERS + 1))], [], None, [Cluster("write", "1", "", 2, ())]
    )
    said = " ".join(Page(text).words)
    assert [words for words in expected if words not in said] == []


MEANT = SemanticSummary(
    scripts=(
        Calibration(
            script="japanese",
            threshold=0.8731,
            texts=300,
            exceeded_by_one_in_thousand=0.4924,
            pairs=(9000, 21000, 10000, 4000, 600, 200, 40, 8, 2, *[0] * 11),
        ),
        Calibration(script="latin", threshold=0.9),
    ),
    uncompared=41,
    twins=17,
)


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        (
            "en",
            ["How close unrelated texts are in meaning: Japanese", "300 different texts", "44,850 pairs", "exceeds 0.4924",
             "From 0.9 on, as the recipe says", "Meant the same as an earlier one: 17", "enough texts in their script: 41"],
        ),
        (
            "ja",
            ["無関係なテキストどうしの意味の近さ：日本語", "異なる 300 件", "44,850 組のうち、0.4924 を超える", "0.8731 以上",
             "レシピの指定により、類似度 0.9 以上", "既出と同じ意味： 17", "比べていないもの： 41"],
        ),
    ],
)  # fmt: skip
def test_the_page_tells_how_close_unrelated_texts_of_a_script_are_in_meaning(
    report: Callable[..., str], make_manifest: Make, language: str, expected: list[str]
) -> None:
    text = report(make_manifest(language=language, stages=(gated(semantic=MEANT),)), [], [])
    said = " ".join(Page(text).words)
    assert [words for words in expected if words not in said] == []
    assert Page(text).open == []
    assert text.count('class="mark"') == 2
    assert "for want of room" not in text


def test_the_scripts_have_words_in_both_languages() -> None:
    texts = ["ひらがな", "你好", "한글", "Latin", "…"]
    assert {script_of(text) for text in texts} == ENGLISH.scripts.keys() == JAPANESE.scripts.keys()


def test_a_run_without_a_gate_says_nothing_of_duplicates(report: Callable[..., str], make_manifest: Make) -> None:
    assert not {"Duplicates", "How objects were asked for"} & set(Page(report(make_manifest(), [], [])).words)


def test_a_cluster_shows_the_kept_text_and_its_twins_shortened_and_escaped(
    report: Callable[..., str], make_manifest: Make
) -> None:
    family = Cluster("write", "1", HOSTILE, 9, (("りんごは何個でしょう" * 100, 0.914), ("リンゴは何個？", 1.0)))
    text = report(make_manifest(stages=(gated(),)), [], [], None, [family])
    page = Page(text)
    assert page.open == []
    assert not {"script", "img"} & {tag for tag, _ in page.elements}
    assert {"The one that was kept", "similarity 0.91", "similarity 1.00", "リンゴは何個？", "6 more twins"} <= set(
        page.words
    )
    assert text.count("りんごは何個でしょう") == 24


def test_the_page_tells_how_objects_were_asked_for(report: Callable[..., str], make_manifest: Make) -> None:
    rungs = {
        "exact": RungRecord(asked=30, fitted=25, cost_microusd=100),
        "fallback": RungRecord(asked=5, fitted=4, cost_microusd=70),
    }
    words = Page(report(make_manifest(stages=(gated(rungs=rungs),)), [], [])).words
    told = [word for word in words[words.index("How objects were asked for") : words.index("judge")] if word.strip()]
    assert told[6:16] == [
        *("write", "fitted as it came", "30", "25", "$0.0001"), *("write", "another teacher", "5", "4", "$0.0001"),
    ]  # fmt: skip
