"""What a person decides in the report, keeps, saves and has applied."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from synth.types import Function, Sample, ToolCall, ToolTurn
from tests.report.chromium import Page
from tests.report.visiting import TEXTS, TYPE, chosen, filtered, in_chromium, visit


@in_chromium
def test_keys_move_decide_and_take_back_and_a_reload_forgets_nothing(written: Callable[..., Path]) -> None:
    path = written(TEXTS)
    kept = "JSON.parse(localStorage.getItem('synth decisions r1')).decisions.map((one) => [one.id, one.decision])"

    async def act(page: Page) -> None:
        await page.press("/")
        assert await page.do("document.activeElement.id") == "search"
        await page.do("document.getElementById('list').focus()")
        await page.press("j")
        await page.wait("document.querySelector('#detail h3')?.textContent.startsWith('000001')")
        await page.press("r")
        await page.press("End")
        await page.wait("document.querySelector('#detail h3')?.textContent.startsWith('000004')")
        await page.press("a")
        assert await page.do(kept) == [["000001", "reject"], ["000004", "accept"]]
        await page.press("ArrowUp")
        await page.wait("document.querySelector('#detail h3')?.textContent.startsWith('000003')")
        await page.press("a")
        assert "before it became a row" in await page.do("document.getElementById('detail').textContent")
        assert await page.do(kept) == [["000001", "reject"], ["000004", "accept"]]
        await page.open(path)
        assert await page.do("document.getElementById('tally').textContent") == "1 accepted, 1 rejected, 0 edited"
        assert await filtered(page, "State", "decided") == ["コーヒーはいくつ？", "Bad one?"]
        await chosen(page, 0)
        await page.press("u")
        assert await page.do(kept) == [["000004", "accept"]]

    visit(path, act)


@in_chromium
def test_an_edit_keeps_its_original_and_is_saved_and_loaded_and_refused_elsewhere(written: Callable[..., Path]) -> None:
    load = """(() => {{ const files = new DataTransfer(); files.items.add(new File([{content}], 'decisions.json'));
        const node = document.getElementById('load'); node.files = files.files; node.dispatchEvent(new Event('change')); }})()"""

    async def act(page: Page) -> None:
        await page.do("""window.saved = null; URL.createObjectURL = (blob) => { window.saved = blob.text(); return 'blob:x'; };
            HTMLAnchorElement.prototype.click = () => {}; 1""")
        await page.do(TYPE.format(node="document.getElementById('who')", text='"健"', event="change"))
        await chosen(page, 1)
        await page.press("e")
        await page.do(
            "const area = [...document.querySelectorAll('#detail textarea')].at(-1); area.value = '四杯です。'; 1"
        )
        await page.do("document.querySelector('#detail .buttons button').click()")
        assert "四杯です。" in await page.do("document.getElementById('detail').textContent")
        await page.do("document.getElementById('save').click()")
        saved = json.loads(await page.do("window.saved"))
        (decision,) = saved["decisions"]
        assert (saved["run"], decision["by"], decision["decision"]) == ("r1", "健", "edit")
        assert decision["messages"][-1]["content"] == "四杯です。"
        assert decision["original"][-1]["content"] == TEXTS[1][1]
        await page.do("document.querySelectorAll('.buttons button')[3].click()")
        assert await page.do("document.getElementById('tally').textContent") == "None yet."
        await page.do(load.format(content=json.dumps(json.dumps(saved))))
        await page.wait("document.getElementById('tally').textContent === '0 accepted, 0 rejected, 1 edited'")
        await page.do(load.format(content=json.dumps(json.dumps(saved | {"run": "r2"}))))
        await page.wait("document.getElementById('done').textContent === 'These decisions are of another run.'")
        await page.do(load.format(content=json.dumps("[]")))
        await page.wait("document.getElementById('done').textContent === 'This is no file of decisions.'")

    visit(written(TEXTS), act)


@in_chromium
def test_an_edit_that_was_left_half_done_is_there_again_after_a_reload(written: Callable[..., Path]) -> None:
    path = written(TEXTS)
    area = "[...document.querySelectorAll('#detail textarea')].at(-1)"

    async def act(page: Page) -> None:
        await chosen(page, 1)
        await page.press("e")
        await page.do(TYPE.format(node=area, text='"半分だけ"', event="input"))
        await page.do("document.querySelectorAll('.line')[0].click()")
        await page.open(path)
        assert "半分だけ" not in await chosen(page, 1)
        await page.press("e")
        assert await page.do(f"{area}.value") == "半分だけ"
        await page.do("document.querySelectorAll('#detail .buttons button')[1].click()")
        await page.press("e")
        assert await page.do(f"{area}.value") == TEXTS[1][1]

    visit(path, act)


AREAS = "[...document.querySelectorAll('#detail textarea')]"
KEPT = "JSON.parse(localStorage.getItem('synth decisions r1')).decisions"


@in_chromium
def test_an_edit_keeps_calls_of_tools_as_they_are_and_reaches_the_reasoning(
    written: Callable[..., Path], make_sample: Callable[..., Sample]
) -> None:
    called = ToolCall(id="c1", function=Function(name="train_times", arguments='{"to":"京都"}'))
    turns = (
        ToolTurn(role="user", content="京都へは？"),
        ToolTurn(role="assistant", content="", tool_calls=(called,)),
        ToolTurn(role="tool", content='{"at":"9:00"}', tool_call_id="c1", name="train_times"),
        ToolTurn(role="assistant", content="九時です。", reasoning_content="表を見る。"),
    )
    path = written([replace(make_sample(0, "", ""), messages=turns), *TEXTS[-2:]])

    async def act(page: Page) -> None:
        assert '{"to":"京都"}' in await chosen(page, 0)
        await page.press("e")
        assert await page.do(f"{AREAS}.map((one) => one.value)") == [
            "京都へは？", '{"at":"9:00"}', "表を見る。", "九時です。",
        ]  # fmt: skip
        await page.do(f"{AREAS}[2].value = '時刻表を見る。'; {AREAS}[3].value = '９時です。'; 1")
        await page.do("document.querySelector('#detail .buttons button').click()")
        (decision,) = await page.do(KEPT)
        before, after = decision["original"], decision["messages"]
        assert after[1] == before[1]
        assert after[1]["tool_calls"][0]["function"]["arguments"] == '{"to":"京都"}'
        assert (after[3]["content"], after[3]["reasoning_content"]) == ("９時です。", "時刻表を見る。")
        assert before[3]["content"] == "九時です。"
        assert "表を見る。" in await page.do("document.querySelector('#detail .before').textContent")

    visit(path, act)


@in_chromium
def test_nothing_changed_is_no_edit_and_another_decision_does_not_lose_one(written: Callable[..., Path]) -> None:
    async def act(page: Page) -> None:
        await chosen(page, 1)
        await page.press("e")
        await page.do("document.querySelector('#detail .buttons button').click()")
        assert await page.do("document.getElementById('tally').textContent") == "None yet."
        await page.press("e")
        await page.do(f"{AREAS}[1].value = '四杯です。'; 1")
        await page.do("document.querySelector('#detail .buttons button').click()")
        await page.do("document.getElementById('why').value = '数えた'; 1")
        await page.do("document.querySelectorAll('#detail .buttons button')[1].click()")
        (decision,) = await page.do(KEPT)
        assert (decision["decision"], decision["note"], "messages" in decision) == ("reject", "数えた", False)
        await page.press("e")
        assert await page.do(f"{AREAS}[1].value") == "四杯です。"

    visit(written(TEXTS), act)


@in_chromium
def test_a_row_that_was_edited_and_exported_goes_back_to_what_it_first_said(
    written: Callable[..., Path], make_sample: Callable[..., Sample]
) -> None:
    first = [{"role": "user", "content": "いくつ？"}, {"role": "assistant", "content": "三つ。"}]
    now = [first[0], first[1] | {"content": "四つ。"}]
    applied = {"id": "000000", "decision": "edit", "messages": now, "original": first}
    path = written([("いくつ？", "四つ。"), *TEXTS[-2:]], decisions=[applied])

    async def act(page: Page) -> None:
        shown = await chosen(page, 0)
        assert "四つ。" in shown
        assert "edited by you" in shown
        await page.press("u")
        assert "四つ。" not in await page.do("document.getElementById('detail').textContent")
        await page.press("e")
        await page.do(f"{AREAS}[1].value = '五つ。'; 1")
        await page.do("document.querySelector('#detail .buttons button').click()")
        (decision,) = await page.do(KEPT)
        assert decision["original"] == first
        assert decision["messages"][1]["content"] == "五つ。"

    visit(path, act)


@in_chromium
def test_decisions_that_were_applied_since_join_those_kept_in_the_browser(written: Callable[..., Path]) -> None:
    path = written(TEXTS)
    tally = "document.getElementById('tally').textContent"

    async def act(page: Page) -> None:
        await chosen(page, 0)
        await page.press("r")
        written(TEXTS, decisions=[{"id": "000001", "decision": "accept"}])
        await page.open(path)
        assert await page.do(tally) == "1 accepted, 1 rejected, 0 edited"
        await chosen(page, 1)
        await page.press("u")
        await page.open(path)
        assert await page.do(tally) == "0 accepted, 1 rejected, 0 edited"

    visit(path, act)


@in_chromium
def test_what_another_tab_decides_is_seen_and_what_cannot_be_kept_is_said_at_once(written: Callable[..., Path]) -> None:
    other = """window.dispatchEvent(new StorageEvent('storage', { key: 'synth decisions r1', newValue: JSON.stringify(
        { decisions: [{ id: '000002', decision: 'accept' }], drafts: [], who: '' }) })); 1"""

    async def act(page: Page) -> None:
        await page.do(other)
        assert await page.do("document.getElementById('tally').textContent") == "1 accepted, 0 rejected, 0 edited"
        assert await page.do("document.getElementById('kept').hidden") is True
        await page.do("Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); }; 1")
        await chosen(page, 1)
        await page.press("e")
        await page.do(TYPE.format(node=f"{AREAS}[1]", text='"途中"', event="input"))
        assert await page.do("document.getElementById('kept').hidden") is False

    visit(written(TEXTS), act)


@in_chromium
def test_an_edit_made_in_the_page_is_the_row_once_it_was_selected(
    write_recipe: Callable[..., Path], synth: Callable[..., Any], tmp_path: Path
) -> None:
    recipe, run, saved = write_recipe(), tmp_path / "run", tmp_path / "decisions.json"
    assert synth("run", recipe, "--out", run).returncode == 0

    async def act(page: Page) -> None:
        await page.do("""URL.createObjectURL = (blob) => { window.saved = blob.text(); return 'blob:x'; };
            HTMLAnchorElement.prototype.click = () => {}; 1""")
        assert f"synth select {run} --decisions decisions.json" == await page.do(
            "document.getElementById('command').textContent"
        )
        await page.do(TYPE.format(node="document.getElementById('who')", text='"健"', event="change"))
        await chosen(page, 0)
        await page.press("e")
        await page.do(f"{AREAS}.at(-1).value = '書き直した答えです。'; 1")
        await page.do("document.querySelector('#detail .buttons button').click()")
        await page.do("document.getElementById('save').click()")
        saved.write_text(await page.do("window.saved"), encoding="utf-8")

    visit(run / "report.html", act)
    finished = synth("select", run, "--decisions", saved)
    assert finished.returncode == 0, finished.stderr
    row = json.loads((run / "rows.jsonl").read_text("utf-8").splitlines()[0])
    assert row["messages"][-1]["content"] == "書き直した答えです。"
    assert row["repairs"][-1].startswith("edited by hand, 20")
    (kept,) = [json.loads(one) for one in (run / "by_hand.jsonl").read_text("utf-8").splitlines()]
    assert (kept["by"], kept["original"][-1]["content"] != row["messages"][-1]["content"]) == ("健", True)

    async def look(page: Page) -> None:
        shown = await chosen(page, 0)
        assert "書き直した答えです。" in shown
        assert kept["original"][-1]["content"][:10] in await page.do("document.querySelector('.before').textContent")

    visit(run / "report.html", look)
