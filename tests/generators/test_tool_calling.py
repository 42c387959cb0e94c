"""Dialogues with tools: what is called, what the tools give back, and what is refused."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from pydantic import ValidationError

import synth
from synth.datasets.rows import line, row
from synth.errors import Rejected
from synth.generators.tool_calling import ToolCalling
from synth.recipes.loading import Overrides
from synth.results.outcomes import SAMPLES
from synth.types import Completion, Sample, Seed, ToolTurn

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "町の天気",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
            "required": ["city"],
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "get_time", "description": "今の時刻"}}
REQUEST = {"tools": [WEATHER, CLOCK], "instruction": "金沢の天気は？"}


class Scripted:
    """Takes steps from a list, plays tools with a fixed result, and remembers what it was asked."""

    draw = 0

    def __init__(self, *steps: Any) -> None:
        self.steps = list(steps)
        self.rendered: list[Any] = []

    def render(self, template: str, values: Any) -> str:
        self.rendered.append((template, values))
        return f"{template} {values.get('tool')} {json.dumps(values.get('arguments'), ensure_ascii=False)}"

    async def text(self, messages: Any, *, teacher: str) -> Completion:
        return Completion(f" played by {teacher}: {messages[0].content}\n", "stop")

    async def schema(self, model: Any, messages: Any, *, teacher: str) -> Any:
        calls, answer = self.steps.pop(0)
        return model(calls=[{"name": name, "arguments": told} for name, told in calls], answer=answer)


def use(*steps: Any, fields: Any = REQUEST, **options: Any):
    ask = Scripted(*steps)
    generator = ToolCalling(prompt="use", teacher="main", **{"simulator": "tool", **options})
    (draft,) = asyncio.run(generator.generate(Seed(id="0", fields=fields), ask))
    return draft, ask


def test_calls_their_results_and_the_answer_become_one_dialogue():
    calls = [("get_weather", '{"city": "金沢"}'), ("get_time", "")]
    draft, ask = use((calls, "今調べます"), ([], " 雨です。 "))
    user, called, weather, time, answer = draft.messages
    assert (user.role, user.content) == ("user", "金沢の天気は？")
    assert [(call.id, call.function.name, call.function.arguments) for call in called.tool_calls] == [
        ("call00001", "get_weather", '{"city":"金沢"}'),
        ("call00002", "get_time", "{}"),
    ]
    assert (weather.role, weather.tool_call_id, weather.content) == (
        "tool",
        "call00001",
        'tool get_weather {"city": "金沢"}',
    )
    assert (time.tool_call_id, time.name) == ("call00002", "get_time")
    assert answer.content == "雨です。"
    assert json.loads(draft.tools) == [WEATHER, CLOCK]
    assert [turn["role"] for turn in ask.rendered[-1][1]["turns"]] == ["user", "assistant", "tool", "tool"]


def test_without_a_call_there_is_only_an_answer_and_the_system_turn_comes_first():
    draft, _ = use(([], "どの町ですか。"), system="role")
    assert [turn.role for turn in draft.messages] == ["system", "user", "assistant"]


def test_the_teacher_can_play_the_tools():
    draft, _ = use(([("get_time", "{}")], ""), ([], "九時です。"), simulator=None, player="play")
    assert draft.messages[2].content == "played by main: play get_time {}"


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("get_rain", "{}", "unknown_tool.*'get_rain' is none of get_weather, get_time"),
        ("get_weather", '{"city": "金沢"', "broken_tool_call"),
        ("get_weather", '["金沢"]', "broken_tool_call.*no object"),
        ("get_weather", '{"city": "金沢", "days": 123456789012345678901234}', "broken_tool_call.*too long to be kept"),
        ("get_weather", "{}", "schema_mismatch.*'city' is a required property"),
        ("get_weather", '{"city": "金沢", "days": 0}', "schema_mismatch.*get_weather, days: 0"),
        ("get_weather", '{"city": "金沢", "hour": 3}', "schema_mismatch.*no parameter 'hour'"),
    ],
)
def test_a_call_that_fits_no_tool_refuses_the_dialogue(name, arguments, reason):
    with pytest.raises(Rejected, match=reason):
        use(([(name, arguments)], ""))


def test_calls_without_end_and_a_step_without_anything_are_refused():
    again = ([("get_time", "{}")], "")
    with pytest.raises(Rejected, match=r"too_many_calls.*after 2 turns"):
        use(again, again, again, most_steps=2)
    with pytest.raises(Rejected, match="no_answer"):
        use(([], "　"))


@pytest.mark.parametrize(
    "tools",
    [
        None,
        [],
        "get_weather",
        [{"name": "get_weather"}],
        [CLOCK, CLOCK],
        [{"type": "function", "function": {"name": "x", "parameters": {"type": "objekt"}}}],
    ],
)
def test_a_seed_whose_tools_are_none_is_refused_before_the_teacher_is_asked(tools):
    with pytest.raises(Rejected, match="invalid_tools"):
        use(fields={**REQUEST, "tools": tools})
    with pytest.raises(Rejected, match="empty_question"):
        use(fields={**REQUEST, "instruction": "　"})


def test_somebody_has_to_play_the_tools_and_only_one():
    for options in ({}, {"simulator": "a", "player": "b"}):
        with pytest.raises(ValidationError, match="say who plays the tools"):
            ToolCalling(prompt="use", **options)


def test_a_row_with_tools_is_read_back_whole():
    draft, _ = use(([("get_weather", '{"city": "金沢"}')], ""), ([], "雨です。"))
    beside: Any = {"parent_id": "0", "stage": "use", "draw": 0, "fields": {}}
    sample = Sample(id="0", seed_id="0", messages=draft.messages, tools=draft.tools, **beside)
    written = json.loads(line(row(sample, {"use": "m"})))
    assert json.loads(written["tools"]) == [WEATHER, CLOCK]
    back = SAMPLES.validate_python({**written, **beside})
    assert back.messages == sample.messages
    assert isinstance(back.messages[0], ToolTurn)
    assert back.messages[1].shown() == 'get_weather {"city":"金沢"}'


RECIPE = """\
name: tools
language: ja
seeds: {kind: jsonl, path: seeds.jsonl}
teachers: {main: {model: practice-1, base_url: "practice:faultless"}}
stages:
  - name: use
    generator: {kind: tool_calling, prompt: use.md.j2, simulator: tool.json.j2}
    validators: [{kind: tool_use, about: case, least: {one: 1, none: 0}}]
"""


def test_a_run_writes_calls_and_tools_as_texts_and_goes_on_without_asking_again(tmp_path):
    pyarrow = pytest.importorskip("pyarrow.parquet")
    prompts = synth.load("prompts/tool-calling-ja").folder
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    for name in ("use.md.j2", "tool.json.j2"):
        (tmp_path / name).write_text((prompts / name).read_text(encoding="utf-8"), encoding="utf-8")
    tools = json.loads((prompts / "seeds.jsonl").read_text(encoding="utf-8").splitlines()[0])["tools"]
    wish = "お願いします：町の一日の天気を調べる (町の名前: 仙台; 日: 今日)."
    seeds = [
        {"tools": tools, "case": "one", "instruction": wish},
        {"tools": tools, "case": "none", "instruction": "歌って。"},
    ]
    (tmp_path / "seeds.jsonl").write_text("".join(json.dumps(one) + "\n" for one in seeds))
    first = synth.run(tmp_path, folder=tmp_path / "run")
    rows = pyarrow.read_table(tmp_path / "run" / "dataset" / "data" / "train.parquet").to_pylist()
    assert [[turn["role"] for turn in one["messages"]] for one in rows] == [
        ["user", "assistant", "tool", "assistant"],
        ["user", "assistant"],
    ]
    (call,) = rows[0]["messages"][1]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {"city": "仙台", "day": "今日"}
    assert json.loads(rows[1]["tools"]) == tools
    assert "tool_calls" in rows[1]["messages"][0]
    assert "`tool_call_id`" in (tmp_path / "run" / "dataset" / "README.md").read_text(encoding="utf-8")
    before = (tmp_path / "run" / "rows.jsonl").read_bytes()
    again = synth.run(tmp_path, folder=tmp_path / "run")
    assert (tmp_path / "run" / "rows.jsonl").read_bytes() == before
    assert [asked(one.manifest) for one in (first, again)] == [3, 3]


def test_a_run_that_stops_in_the_middle_of_dialogues_goes_on_there(tmp_path):
    whole = synth.run("prompts/tool-calling-ja", folder=tmp_path / "whole", limit=3)
    for requests in (6, 12, 1000):
        loaded = synth.load("prompts/tool-calling-ja", Overrides(budget={"requests": requests}))
        parts = synth.run(loaded, folder=tmp_path / "parts", limit=3)
        assert parts.exit_code == (0 if requests == 1000 else 6)
    first, other = ((tmp_path / name / "rows.jsonl").read_bytes() for name in ("whole", "parts"))
    assert first == other
    assert bought(parts.manifest) == bought(whole.manifest) > 12


def bought(manifest: Any) -> int:
    """How many replies were of use."""
    return sum(one.attempts for one in manifest.ledger if one.failure == "ok")


def asked(manifest: Any) -> int:
    """How many requests a run folder holds."""
    return sum(one.attempts for one in manifest.ledger)
