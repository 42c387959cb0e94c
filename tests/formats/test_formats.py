"""A conversation comes out whole in every trainer's shape, or is refused with the reason."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from synth.errors import RecipeError, Rejected
from synth.formats import FORMATS, REFUSALS, conversation, distillation, makers, pairs
from synth.formats import convert as convert_module
from synth.formats.conversation import conversation_of
from synth.formats.convert import Wanted, convert
from synth.lint import lint
from synth.lint.table import TRAPS
from synth.lint.traps import traps_of

HARD = "消費税は？ 😀👨‍👩‍👧 \u2028\u0085 tab\t nul\u0000 \u001b[31m “引用” \\ ｶﾅ"
SYSTEM = {"role": "system", "content": "簡潔に。"}
USER = {"role": "user", "content": HARD}
ANSWER = {"role": "assistant", "content": "10％です。"}
THINKING = {**ANSWER, "reasoning_content": "標準税率は10％。\n食品は8％。"}
CALL = {"id": "c1", "type": "function", "function": {"name": "lamp", "arguments": '{"room": "居間", "on": null}'}}
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "ok"}
FUNCTION = {"name": "lamp", "description": "照明", "parameters": {"type": "object", "properties": {}}}
TOOLS = json.dumps([{"type": "function", "function": FUNCTION}], ensure_ascii=False)


def talk(*turns, **more):
    return {"messages": [*turns], **more}


PLAIN, REASONED = talk(USER, ANSWER, id="000001/0/0"), talk(SYSTEM, USER, THINKING, id="000002/0/0")
LONG = talk(USER, ANSWER, {"role": "user", "content": "なぜ？"}, THINKING)
WITH_TOOLS = talk(USER, CALLING, RESULT, ANSWER, tools=TOOLS)
ROWS = [PLAIN, REASONED, LONG, WITH_TOOLS]


def saved(path: Path, rows) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def lines(path: Path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def apart(row):
    """A row's prompt and what was answered to it."""
    return {"prompt": row["messages"][:-1], "tools": row.get("tools")}, row["messages"][-1:]


def fit_for(name):
    """Rows that a format has a place for: conversations, pairs, or labelled answers."""
    if FORMATS[name].is_pair:
        other = [{"role": "assistant", "content": f"知りません。{HARD}"}]
        return [{**prompt, "chosen": answer, "rejected": other} for prompt, answer in map(apart, ROWS)]
    if FORMATS[name].is_labelled:
        told = enumerate(map(apart, ROWS))
        return [{**prompt, "completion": answer, "label": number % 2 > 0} for number, (prompt, answer) in told]
    return ROWS


def made(row, name, style=None):
    told = conversation_of(row)
    return FORMATS[name].make(told.styled(style or FORMATS[name].styles[0]))


def without_nulls(value):
    if isinstance(value, dict):
        return {name: without_nulls(one) for name, one in value.items() if one is not None}
    return [without_nulls(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", ["messages", "axolotl", "unsloth"])
def test_messages_keep_every_turn_call_and_thought(name):
    for row in ROWS:
        whole = without_nulls({**made(row, name), "id": row.get("id")})
        expected = without_nulls(row)
        expected["messages"] = [{"content": "", **turn} for turn in expected["messages"]]
        whole["tools"] = json.loads(whole["tools"]) if "tools" in whole else None
        expected["tools"] = json.loads(expected["tools"]) if "tools" in expected else None
        assert whole == expected


def test_prompt_and_completion_part_before_the_last_answer():
    row = without_nulls(made(LONG, "prompt-completion"))
    assert row == {"prompt": LONG["messages"][:-1], "completion": [THINKING]}


def test_a_prompt_ends_with_the_last_question():
    assert without_nulls(made(LONG, "prompt")) == {"prompt": LONG["messages"][:3]}
    assert without_nulls(made(WITH_TOOLS, "prompt"))["prompt"] == [USER]
    with pytest.raises(Rejected, match="no_user_turn"):
        made(talk(SYSTEM, ANSWER), "prompt")


def test_openai_files_hold_nothing_but_messages_and_tools():
    assert made(REASONED, "openai") == {"messages": [SYSTEM, USER, ANSWER]}
    row = made(WITH_TOOLS, "openai")
    assert row["tools"] == json.loads(TOOLS)
    assert row["messages"][1] == {"role": "assistant", "content": "", "tool_calls": [CALL]}


def test_nemo_gets_texts_and_lists_where_it_would_write_none_or_read_over():
    row = made(WITH_TOOLS, "nemo")
    assert all(isinstance(turn["content"], str) for turn in row["messages"])
    assert isinstance(row["tools"], list)
    assert made(REASONED, "nemo")["messages"][-1] == THINKING


def test_ms_swift_gets_reasoning_inline_and_tools_as_a_text():
    assert made(REASONED, "ms-swift")["messages"][-1]["content"] == (
        "<think>\n標準税率は10％。\n食品は8％。\n</think>\n\n10％です。"
    )
    assert json.loads(made(WITH_TOOLS, "ms-swift")["tools"]) == json.loads(TOOLS)


def test_sharegpt_names_roles_calls_and_results_as_its_readers_do():
    row = made(WITH_TOOLS, "sharegpt")
    assert [turn["from"] for turn in row["conversations"]] == ["human", "function_call", "observation", "gpt"]
    # an object in the text: LLaMA-Factory would write arguments that are a text as a text once more
    assert json.loads(row["conversations"][1]["value"]) == {"name": "lamp", "arguments": {"room": "居間", "on": None}}
    thought = talk(USER, {**CALLING, "reasoning_content": "暗い。"}, RESULT, ANSWER)
    assert made(thought, "sharegpt")["conversations"][1]["value"].startswith("<think>\n暗い。\n</think>\n\n{")


def test_what_was_made_for_sharegpt_or_alpaca_reads_back_as_the_same():
    for row in ROWS:
        told = conversation_of(row)
        again = conversation_of(made(row, "sharegpt"))
        assert [(turn.role, turn.content, turn.reasoning) for turn in again.turns] == [
            (turn.role, turn.content, turn.reasoning) for turn in told.turns
        ]
        assert again.tools == told.tools
    assert conversation_of(made(PLAIN, "alpaca")).turns == conversation_of(PLAIN).turns


def pair(row, bad):
    """A row's answer against another one."""
    prompt, answer = apart(row)
    return conversation_of({**prompt, "completion": answer}), conversation_of({**prompt, "completion": [bad]})


BAD = {"role": "assistant", "content": "知りません。"}


def test_pairs_stand_apart_as_openai_llama_factory_and_ms_swift_have_them():
    told = [one.styled("inline") for one in pair(LONG, BAD)]
    thought = "<think>\n標準税率は10％。\n食品は8％。\n</think>\n\n10％です。"
    assert makers.openai_preference(*pair(WITH_TOOLS, BAD)) == {
        "input": {"messages": [USER, {**CALLING, "content": ""}, RESULT], "tools": json.loads(TOOLS)},
        "preferred_output": [ANSWER],
        "non_preferred_output": [BAD],
    }
    assert makers.ms_swift_preference(*told) == {
        "messages": [*LONG["messages"][:-1], {**ANSWER, "content": thought}],
        "rejected_response": "知りません。",
    }
    made = makers.llama_factory_preference(*told)
    assert [turn["from"] for turn in made["conversations"]] == ["human", "gpt", "human"]
    assert (made["chosen"], made["rejected"]) == (
        {"from": "gpt", "value": thought}, {"from": "gpt", "value": "知りません。"},
    )  # fmt: skip
    with pytest.raises(Rejected, match="call_beside"):
        makers.ms_swift_preference(*pair(talk(USER, ANSWER), CALLING))
    with pytest.raises(Rejected, match="other_prompt"):
        makers.openai_preference(pair(PLAIN, BAD)[0], pair(LONG, BAD)[1])


def test_gemini_has_the_system_turn_apart_and_calls_as_parts():
    assert made(REASONED, "gemini") == {
        "systemInstruction": {"parts": [{"text": "簡潔に。"}]},
        "contents": [
            {"role": "user", "parts": [{"text": HARD}]},
            {"role": "model", "parts": [{"text": "10％です。"}]},
        ],
    }
    again = {"role": "tool", "tool_call_id": "c1", "content": '{"done": true}'}
    row = made(talk(USER, CALLING, RESULT, again, ANSWER, tools=TOOLS), "gemini")
    assert row["contents"][1]["parts"] == [{"functionCall": {"name": "lamp", "args": {"room": "居間", "on": None}}}]
    assert row["contents"][2] == {
        "role": "user",
        "parts": [
            {"functionResponse": {"name": "lamp", "response": {"output": "ok"}}},
            {"functionResponse": {"name": "lamp", "response": {"done": True}}},
        ],
    }
    assert row["tools"] == [{"functionDeclarations": [FUNCTION]}]


@pytest.mark.parametrize(
    ("row", "name", "reason"),
    [
        (LONG, "alpaca", "several_turns"),
        (REASONED, "alpaca", "system"),
        (WITH_TOOLS, "alpaca", "tools"),
        (talk(USER, {**CALLING, "content": "点けます。"}, RESULT, ANSWER), "sharegpt", "text_beside_calls"),
        (talk(USER, USER, ANSWER), "llama-factory", "no_alternation"),
        (talk(USER, CALLING, RESULT, RESULT, ANSWER), "llama-factory", "no_alternation"),
        (talk(USER, CALLING, {"role": "tool", "content": "ok"}, ANSWER), "gemini", "nameless_result"),
    ],
)
def test_what_a_format_has_no_place_for_is_refused(row, name, reason):
    with pytest.raises(Rejected, match=reason):
        made(row, name)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (talk({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, ANSWER), "not_text"),
        (talk({"role": "narrator", "content": "x"}, ANSWER), "unknown_role"),
        (talk(USER, {"role": "assistant", "content": "<think>終わらない"}), "open_think"),
        (talk(USER, {**CALLING, "tool_calls": [{"function": {"name": "lamp", "arguments": {"a": None}}}]}, RESULT),
         "null_polluted"),
        (talk(USER, {**CALLING, "tool_calls": [{"function": {"name": "lamp", "arguments": "{"}}]}), "broken_tool_call"),
        (talk(USER, {**CALLING, "tool_calls": [{"function": {"arguments": "{}"}}]}), "broken_tool_call"),
        (talk(USER, ANSWER, tools="{"), "broken_tools"),
        (talk(USER, ANSWER, tools=[{"function": {"name": "f", "parameters": {"default": None}}}]), "null_polluted"),
        ({"question": "?", "answer": "!"}, "unknown_format"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_told_whole_is_refused(row, reason):
    with pytest.raises(Rejected, match=reason):
        conversation_of(row)


def test_every_reason_has_words():
    sources = [
        Path(module.__file__).read_text(encoding="utf-8")
        for module in (conversation, makers, pairs, distillation, convert_module)
    ]
    reasons = {reason for source in sources for reason in re.findall(r'Rejected\("(\w+)"', source)}
    assert reasons - TRAPS.keys() == REFUSALS.keys()


def test_parts_history_and_tags_are_read():
    parts = talk({"role": "user", "content": [{"type": "text", "text": "一"}, {"type": "text", "text": "二"}]}, ANSWER)
    assert conversation_of(parts).turns[0].content == "一\n二"
    older = {"instruction": "Q", "input": "詳しく", "output": "A", "system": "短く", "history": [["q", "a"]]}
    assert [turn.content for turn in conversation_of(older).turns] == ["短く", "q", "a", "Q\n\n詳しく", "A"]
    tagged = conversation_of({"prompt": "Q", "completion": "<think>\nR\n</think>\n\nA"}).turns[1]
    assert (tagged.reasoning, tagged.content) == ("R", "A")


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
@pytest.mark.parametrize("name", [name for name, form in FORMATS.items() if form.make])
def test_every_file_written_is_sound_and_holds_every_row_that_fits(name, ending, tmp_path):
    form = FORMATS[name]
    if form.is_lines and ending == "parquet":
        pytest.skip("these files are lines of JSON")
    broken = [talk(USER), talk(USER, {**ANSWER, "content": " "}), talk(USER, ANSWER, SYSTEM, USER, ANSWER)]
    out = tmp_path / f"out.{ending}"
    rows = [*fit_for(name), *broken]
    converted = convert([saved(tmp_path / "a.jsonl", rows)], out, Wanted(name))
    found = lint([out])
    assert {trap for trap in found.traps if TRAPS[trap].severity == "error"} <= form.own_traps
    left_out = sum(one.rows for one in converted.left_out.values())
    assert found.rows == converted.rows() == len(rows) - left_out
    assert converted.rows() >= {"alpaca": 1, "tools": 1, "reasoning": 2}.get(name, 4)


@pytest.mark.parametrize("name", ["openai", "gemini", "sharegpt", "alpaca", "llama-factory", "ms-swift"])
def test_a_format_without_a_field_for_reasoning_does_not_get_one(name, tmp_path):
    with pytest.raises(RecipeError, match="has no field for reasoning"):
        convert([saved(tmp_path / "a.jsonl", ROWS)], tmp_path / "out.jsonl", Wanted(name, "field"))


Q, A = {"role": "user", "content": "問い"}, {"role": "assistant", "content": "答え"}


@pytest.mark.parametrize("form", ["conversations", "messages"])
def test_a_system_column_beside_the_turns_is_their_first_turn(form):
    row = {form: [Q, A], "system": "簡潔に。"}
    assert [turn.content for turn in conversation_of(row).turns] == ["簡潔に。", "問い", "答え"]
    same = {form: [SYSTEM, Q, A], "system": SYSTEM["content"]}
    assert len(conversation_of(same).turns) == 3


def test_an_empty_system_column_is_no_turn():
    row = {"instruction": "問い", "input": "", "output": "答え", "system": ""}
    assert made(row, "alpaca") == {"instruction": "問い", "input": "", "output": "答え"}


def test_a_null_content_beside_a_value_hides_no_text():
    row = {"conversations": [{"from": "human", "value": "問い", "content": None}, {"from": "gpt", "value": "答え"}]}
    assert [turn.content for turn in conversation_of(row).turns] == ["問い", "答え"]


def test_the_single_call_of_older_datasets_is_kept():
    call = {"name": "lamp", "arguments": '{"room": "居間"}'}
    [_, turn] = conversation_of(talk(Q, {**A, "function_call": call})).turns
    assert [(one.name, one.arguments) for one in turn.calls] == [("lamp", '{"room": "居間"}')]


def test_a_result_is_named_by_the_newest_call_with_its_id():
    other = {**CALL, "function": {"name": "fan", "arguments": "{}"}}
    again = {**CALLING, "tool_calls": [other]}
    contents = made(talk(Q, CALLING, RESULT, A, Q, again, RESULT, A), "gemini")["contents"]
    parts = [part for one in contents for part in one["parts"]]
    assert [part["functionResponse"]["name"] for part in parts if "functionResponse" in part] == ["lamp", "fan"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (talk(), "no_user_turn"),
        (talk(system="簡潔に。"), "no_user_turn"),
        (talk(Q, A, images=["猫.png"]), "not_text"),
        ({"instruction": {"問い": 1}, "output": "答え"}, "not_text"),
        ({"instruction": "問い", "output": "答え", "history": 3}, "unknown_format"),
        (talk(Q, {**A, "reasoning": [{"type": "image"}]}), "not_text"),
        (talk(Q, {**A, "tool_calls": True}), "broken_tool_call"),
        (talk(Q, {**A, "tool_calls": [{"function": "lamp", "arguments": "{}"}]}), "broken_tool_call"),
        (talk(Q, A, tools=[{"function": "lamp"}]), "broken_tools"),
    ],
)
def test_odd_rows_are_refused_with_their_reason(row, reason):
    with pytest.raises(Rejected, match=reason):
        conversation_of(row)
    traps_of(row)
