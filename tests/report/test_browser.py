"""The row browser: what it is given, and what a person sees and does in a real browser."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from synth.report import browser
from synth.report.browser import Listing
from synth.report.page import write_report
from synth.results.manifest import Manifest
from synth.types import Sample, Seed
from tests.report.chromium import Page
from tests.report.visiting import SHOWN, TEXTS, TYPE, chosen, filtered, in_chromium, listed, searched, visit

AXE = Path(os.environ.get("SYNTH_AXE", "/nowhere"))
"""The file axe.min.js of npm's axe-core."""
FROM_DISK = re.compile(r'<script type="application/json" class="(\w+)">(.*?)</script>', re.DOTALL)


def data(path: Path) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for name, content in FROM_DISK.findall(path.read_text("utf-8")):
        found.setdefault(name, []).append(json.loads(content))
    return found


def test_hostile_texts_in_the_data_end_no_element_and_the_page_allows_one_script(written: Callable[..., Path]) -> None:
    path = written(TEXTS)
    text = path.read_text("utf-8")
    assert "hacked = 1</script>" not in text
    assert "evil.example/x\\" in text.replace("\\u003c", "<")
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", text, re.DOTALL)
    assert {attributes for attributes, _ in scripts} == {
        "", *(f' type="application/json" class="{name}"' for name in ("index", "texts", "told")),
    }  # fmt: skip
    (own,) = [content for attributes, content in scripts if not attributes]
    digest = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}' 'strict-dynamic'" in text
    assert "unsafe-inline'; script-src" in text


def test_a_small_run_has_all_its_texts_in_the_page(written: Callable[..., Path], tmp_path: Path) -> None:
    found = data(written(TEXTS))
    texts = [(tmp_path / f"{name}.jsonl").read_text("utf-8") for name in ("rows", "rejected")]
    lines = [json.loads(one) for text in texts for one in text.splitlines()]
    assert [one for page in found["texts"] for one in page] == lines
    assert [block["id"] for block in found["index"]] == [["000000", "000001", "000002"], ["000003", "000004"]]
    (told,) = found["told"]
    assert [told["reasons"][number] for number in found["index"][1]["reason"]] == ["refusal", "below_threshold"]
    assert found["index"][0]["scores"] == [[4.5, 4.5, 4.5]]
    assert not (tmp_path / "report").exists()


def test_a_large_run_has_its_texts_in_files_beside_the_page_and_the_same_bytes_each_time(
    written: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser, "MOST_EMBEDDED_BYTES", 0)
    monkeypatch.setattr(browser, "BYTES_AT_ONCE", 100)
    path = written(TEXTS)
    files = sorted((tmp_path / "report").iterdir())
    assert [file.name for file in files] == [f"rows-000{number}.js" for number in range(1, 6)]
    before = [file.read_bytes() for file in (path, *files)]
    first = re.fullmatch(rb'synthTexts\("r1",1,(.*)\);\n', files[0].read_bytes(), re.DOTALL)
    assert first is not None
    assert [one["id"] for one in json.loads(first[1])] == ["000000"]
    assert "texts" not in data(path)
    (tmp_path / "report" / "rows-0007.js").write_text("of an earlier, larger page")
    written(TEXTS)
    assert [file.read_bytes() for file in (path, *sorted((tmp_path / "report").iterdir()))] == before
    monkeypatch.undo()
    written(TEXTS)
    assert not (tmp_path / "report").exists()


def test_what_is_too_much_to_list_is_told(written: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "MOST_LISTED", 2)
    found = data(written(TEXTS))
    assert [name for block in found["index"] for name in block["id"]] == ["000000", "000001"]
    assert found["told"][0]["left_out"] == 3


def test_fields_of_a_few_kinds_are_filters_and_others_are_not(written: Callable[..., Path]) -> None:
    topics = ["料理", "旅行", "料理", "音楽", "旅行"]
    seeds = [
        Seed(
            id=f"{number:06d}",
            fields={
                "topic": topic,
                "text": f"{topic} {number}",
                "n": number,
                "input": f"表{number}" if number < 5 else "",
            },
        )
        for number, topic in enumerate(topics * 3)
    ]
    found = data(written(TEXTS, seeds=[seeds]))
    (field,) = found["told"][0]["fields"]
    assert field["name"] == "topic"
    assert [field["values"][number] for number in found["index"][0]["fields"][0]] == topics[:3]


@in_chromium
def test_search_finds_japanese_whatever_its_width_and_kana_and_filters_combine(written: Callable[..., Path]) -> None:
    async def act(page: Page) -> None:
        assert len(await page.do(SHOWN)) == 5
        for query in ("杯です", "アイスコーヒー"):
            assert await searched(page, query) == ["コーヒーはいくつ？ ／ ｱｲｽｺｰﾋｰが三杯です。"]
        for query in ("コーヒー", "こーひー", "ｺｰﾋｰ"):
            assert await searched(page, query) == ["コーヒーはいくつ？"], query
        assert await searched(page, "APPLES") == ["How many apples?"]
        assert await searched(page, "") != []
        assert await filtered(page, "State", "refused") == ["No answer?", "Bad one?"]
        assert await filtered(page, "Reason", "Score too low") == ["Bad one?"]
        assert await searched(page, "nowhere") == []
        assert await page.do("document.getElementById('nothing').hidden") is False
        await page.do("document.getElementById('clear').click()")
        assert await filtered(page, "Script", "Japanese") == ["コーヒーはいくつ？"]

    visit(written(TEXTS), act)


@in_chromium
@pytest.mark.parametrize(
    ("language", "about", "length"),
    [("en", "1 row, 0 refused", "1 character"), ("ja", "採用 1 件、不採用 0 件", "1 字")],
)
def test_what_there_is_one_of_is_told_in_the_singular(
    written: Callable[..., Path], language: str, about: str, length: str
) -> None:
    async def act(page: Page) -> None:
        assert await listed(page) != []
        said = await page.do("[...document.querySelectorAll('.line .rest span')].map((one) => one.textContent)")
        assert any(one.endswith(length) for one in said), said
        assert about in await page.do("[...document.querySelectorAll('#figures .bar')].map((bar) => bar.title)")

    visit(written([("何", ""), *TEXTS[-2:]], language), act)


@in_chromium
def test_a_search_reaches_what_was_not_read_yet_and_a_row_that_holds_it_twice_is_one_row(
    written: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser, "BYTES_AT_ONCE", 3000)
    many = [(f"Is {number} even?\nカメラ", f"カメラは{number}台。\nカメラ") for number in range(3000)]
    found = "document.getElementById('found').textContent"

    async def act(page: Page) -> None:
        assert await searched(page, "かめら") != []
        assert await page.do(found) == "3,000 of 3,002"
        assert await searched(page, "2997台") == ["Is 2997 even… ／ カメラは2997台。 カメラ"]
        assert await searched(page, "I cannot (really). [ok]*") == ["No answer? ／ I cannot (really). [ok]*"]
        assert await searched(page, "") != []
        assert await page.do(found) == "3,002 of 3,002"
        await page.wait("document.getElementById('filters').textContent.includes('rows (3,000)')")
        assert await page.do("document.querySelectorAll('script.index, script.texts').length") == 0

    visit(written([*many, ("No answer?", "I cannot (really). [ok]*"), TEXTS[-1]]), act)


@in_chromium
@pytest.mark.parametrize("query", ["ﾋﾟｱﾉの調律", 'say "いいえ"', "O(n²) <b>"])
def test_what_stands_in_one_row_of_many_is_found_before_the_index_was_read(
    written: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    monkeypatch.setattr(browser, "MOST_EMBEDDED_BYTES", 0)
    monkeypatch.setattr(browser, "BYTES_AT_ONCE", 3000)
    many = [(f"Is {number} even?", "Yes.") for number in range(2000)]
    last = ("The last?", 'ピアノの調律: say "いいえ", or O(n²) <b>')
    path = written([*many, last, *TEXTS[-2:]])

    async def act(page: Page) -> None:
        unread = "document.querySelectorAll('script.index').length"
        type_it = TYPE.format(node="document.getElementById('search')", text=json.dumps(query), event="input")
        at_once = f"addEventListener('DOMContentLoaded', () => {{ {type_it} }})"
        await page.send("Page.addScriptToEvaluateOnNewDocument", source=at_once)
        await page.open(path)
        assert [one[:12] for one in await listed(page)] == ["The last? ／ "]
        await page.wait(f"{unread} === 0")

    visit(path, act)


@in_chromium
def test_what_was_searched_for_is_marked_whatever_its_width_and_what_stands_before_it(
    written: Callable[..., Path],
) -> None:
    marked = "[...CSS.highlights.get('sought')].map((one) => [one.toString(), one.startContainer.parentNode.className])"
    path = written([("……そこで㌔は？", "えっと……だいたい１２㌔。ここでｺｰﾋｰ、珈琲。コーヒー！"), *TEXTS[-2:]])

    async def act(page: Page) -> None:
        assert await searched(page, "こーひー") == ["……そこで㌔は？ ／ …２㌔。ここでｺｰﾋｰ、珈琲。コーヒー！"]
        await chosen(page, 0)
        assert await page.do(marked) == [
            ["ｺｰﾋｰ", "prose"],
            ["コーヒー", "prose"],
            ["ｺｰﾋｰ", "first"],
            ["コーヒー", "first"],
        ]
        assert await searched(page, "12キロ") != []
        assert ["１２㌔", "prose"] in await page.do(marked)
        assert await searched(page, "") != []
        assert await page.do(marked) == []

    visit(path, act)


@in_chromium
def test_figures_tell_what_fits_and_a_bar_that_is_pressed_is_a_filter(
    written: Callable[..., Path], make_sample: Callable[..., Sample]
) -> None:
    other = replace(make_sample(5, "足すと？", "七です。"), model="small")
    path = written([*TEXTS[:3], other, *TEXTS[3:]])
    bars = """[...document.querySelectorAll('#figures figure')].filter((one) => one.firstChild.textContent === '%s')
        .flatMap((one) => [...one.querySelectorAll('.bar')])"""
    told = f"{bars}.map((bar) => [bar.querySelector('.label').textContent, bar.title])"
    press = f"{bars}.find((bar) => bar.textContent.startsWith('%s')).click()"

    async def act(page: Page) -> None:
        await page.wait("!document.getElementById('figured').hidden")
        assert await page.do(told % "Model") == [["large", "3 rows, 2 refused"], ["small", "1 row, 0 refused"]]
        assert await page.do(told % "Script") == [
            ["Latin letters", "2 rows, 2 refused"],
            ["Japanese", "2 rows, 0 refused"],
        ]
        await page.do(press % ("Model", "large"))
        assert len(await listed(page)) == 5
        await page.do(press % ("Script", "Latin"))
        assert await filtered(page, "State", "refused") == ["No answer?", "Bad one?"]
        await page.wait(f"JSON.stringify({told % 'Model'}).includes('0 rows, 2 refused')")
        await page.do(press % ("Model", "large"))
        await page.do(press % ("Characters", "20"))
        assert await listed(page) == []
        await page.do(press % ("Characters", "20"))
        assert len(await listed(page)) == 2

    visit(path, act)


@in_chromium
def test_a_row_tells_the_command_that_traces_it_and_its_seed_finds_its_siblings(
    written: Callable[..., Path], tmp_path: Path
) -> None:
    async def act(page: Page) -> None:
        await chosen(page, 1)
        trace = "[...document.querySelectorAll('#detail button')].find((one) => one.title).title"
        assert await page.do(trace) == f"synth trace {tmp_path} 000001"
        await page.do("document.querySelector('#detail .link').click()")
        assert await listed(page) == ["コーヒーはいくつ？"]

    visit(written(TEXTS), act)


@in_chromium
def test_hostile_texts_are_shown_and_do_nothing(written: Callable[..., Path]) -> None:
    async def act(page: Page) -> None:
        text = await chosen(page, 2)
        assert "<script>window.hacked = 1</script>" in text
        assert "U+202E" in text
        assert await page.do("typeof window.hacked") == "undefined"
        assert await page.do("document.querySelectorAll('#detail script, #detail img, #list img').length") == 0

    visit(written(TEXTS), act)


@in_chromium
def test_texts_beside_the_page_are_loaded_one_by_one_searched_and_missed(
    written: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser, "MOST_EMBEDDED_BYTES", 0)
    monkeypatch.setattr(browser, "BYTES_AT_ONCE", 20_000)
    far = "長い文です。" * 200
    path = written([*((f"Question {number}", f"{far}{number}番の答え") for number in range(60)), *TEXTS[-2:]], "ja")

    async def act(page: Page) -> None:
        assert not [url for url in page.requests if "rows-" in url]
        assert "0番の答え" in await chosen(page, 0)
        assert len([url for url in page.requests if "rows-" in url]) == 1
        assert await searched(page, "41番の答え") == []
        await page.do("document.getElementById('deeper').click()")
        await page.wait("document.querySelectorAll('.line').length === 1")
        assert await page.do(SHOWN) == ["Question 41"]
        await page.do("document.getElementById('clear').click()")
        for file in (tmp_path / "report").iterdir():
            file.rename(file.with_suffix(".gone"))
        await page.open(path)
        await page.do("document.querySelectorAll('.line')[0].click()")
        await page.wait("document.getElementById('detail').textContent.includes('report/rows-0001.js')")
        assert "Question 0" in await page.do("document.querySelector('#detail .conversation').textContent")
        page.problems.clear()  # the browser itself says that the file is not there

    visit(path, act)


@in_chromium
def test_a_run_without_rows_and_refusals_has_nothing_to_browse(
    tmp_path: Path, make_manifest: Callable[..., Manifest]
) -> None:
    for name in ("rows.jsonl", "rejected.jsonl"):
        (tmp_path / name).touch()
    write_report(tmp_path / "report.html", make_manifest(rows={}), [], [], listing=Listing(tmp_path, "r1", 0))

    async def act(page: Page) -> None:
        assert await page.do("document.getElementById('browser').hidden") is True
        assert "This run made no rows." in await page.do("document.body.textContent")

    visit(tmp_path / "report.html", act)


@in_chromium
def test_only_what_can_be_seen_is_in_the_document(written: Callable[..., Path]) -> None:
    async def act(page: Page) -> None:
        assert await page.do("document.querySelectorAll('.line').length") < 40
        await page.do("document.getElementById('list').scrollTop = 1e9")
        await page.wait("[...document.querySelectorAll('.line')].at(-1).textContent.startsWith('Bad one?')")
        assert await page.do("document.querySelectorAll('.line').length") < 40

    visit(written([*[("Another?", "Yes.")] * 3000, *TEXTS[-2:]]), act)


@in_chromium
@pytest.mark.skipif(not AXE.is_file(), reason="SYNTH_AXE names no axe.min.js")
@pytest.mark.parametrize(("language", "width", "dark"), [("en", 1400, False), ("ja", 1400, True), ("ja", 390, False)])
def test_nothing_serious_stands_in_the_way_of_anybody(
    written: Callable[..., Path], language: str, width: int, dark: bool
) -> None:
    axe = AXE.read_text("utf-8") + "; 1"

    async def act(page: Page) -> None:
        await chosen(page, 1)
        await page.press("a")
        await page.do(axe)
        found = await page.do("axe.run().then((told) => told.violations.map((one) => [one.impact, one.id]))")
        assert [one for one in found if one[0] in ("serious", "critical")] == []

    visit(written(TEXTS, language), act, width=width, dark=dark)
