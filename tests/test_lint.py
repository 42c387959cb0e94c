"""What spoils a training without a word is found in anybody's files, and nothing is found in sound ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from synth.errors import RecipeError
from synth.formats import FORMATS, aim_of
from synth.lint import lint
from synth.lint.table import HITS, TRAPS
from synth.lint.tokens import Tokens
from synth.lint.traps import traps_of

USER = {"role": "user", "content": "消費税は何％ですか。"}
ANSWER = {"role": "assistant", "content": "10％です。"}
ASKED = {"messages": [USER, ANSWER]}
CALL = {"id": "c1", "type": "function", "function": {"name": "lamp", "arguments": '{"room": "居間"}'}}
TOOLS = json.dumps([{"type": "function", "function": {"name": "lamp", "parameters": {"type": "object"}}}])
CALLING = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "ok"}


def conversation(*turns, **more):
    return {"messages": [*turns], **more}


def calling(call, **more):
    return conversation(USER, {**CALLING, "tool_calls": [call]}, RESULT, ANSWER, **more)


SOUND = [
    ASKED,
    conversation(
        {"role": "system", "content": "簡潔に。"}, USER, ANSWER, id="a", scores=[{"name": "judge", "value": 5}]
    ),
    conversation(USER, {**ANSWER, "reasoning_content": "標準税率は10％。"}),
    conversation(USER, {"role": "assistant", "content": "<think>標準税率</think>10％です。"}),
    conversation(USER, {**ANSWER, "reasoning_content": None, "tool_calls": None}),
    conversation(USER, CALLING, RESULT, ANSWER, tools=TOOLS),
    conversation(USER, ANSWER, tools=None),
    {"prompt": "Question: why?\n", "completion": "Because."},
    {"prompt": "なぜ", "completion": "雨だから。"},
    {"prompt": [USER], "completion": [ANSWER]},
    {"prompt": [USER], "completion": [ANSWER], "label": False},
    {"prompt": [USER], "chosen": [ANSWER], "rejected": [{**ANSWER, "content": "8％です。"}]},
    {"chosen": [USER, ANSWER], "rejected": [USER, {**ANSWER, "content": "8％です。"}]},
    {"prompt": [USER]},
    {"text": "吾輩は猫である。"},
]


@pytest.mark.parametrize("row", SOUND)
def test_nothing_is_found_in_sound_rows_of_any_format(row):
    assert traps_of(row) == set()


SPOILT = {
    "unknown_format": {"質問": "a", "答え": "b"},
    "two_formats": {"text": "a", **ASKED},
    "reserved_name": {**ASKED, "labels": "公民"},
    "sharegpt": {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
    "conversations_column": {"conversations": [USER, ANSWER]},
    "alpaca": {"instruction": "訳して", "input": "", "output": "b"},
    "unknown_role": conversation({"role": "human", "content": "a"}, USER, ANSWER),
    "system_not_first": conversation(USER, {"role": "system", "content": "a"}, ANSWER),
    "no_user_turn": conversation({"role": "system", "content": "a"}, ANSWER),
    "no_alternation": conversation(USER, USER, ANSWER),
    "no_answer": conversation(USER),
    "empty_completion": conversation(USER, {"role": "assistant", "content": "　\n"}),
    "empty_turn": conversation(USER, {"role": "assistant", "content": ""}, USER, ANSWER),
    "content_parts": conversation(USER, {"role": "assistant", "content": [{"type": "text", "text": "10％です。"}]}),
    "chosen_equals_rejected": {"prompt": [USER], "chosen": [ANSWER], "rejected": [ANSWER]},
    "mixed_pair": {"prompt": "a", "chosen": [ANSWER], "rejected": [USER]},
    "no_pair": {"prompt": "a", "chosen": "b", "rejected": None},
    "label_not_bool": {"prompt": "a\n", "completion": "b", "label": 1},
    "run_together": {"prompt": "Say", "completion": "hello"},
    "lost_reasoning": conversation(USER, {**ANSWER, "reasoning_content": "考え"}, USER, ANSWER),
    "reasoning_key": conversation(USER, {**ANSWER, "reasoning": "考え"}),
    "reasoning_column": {**ASKED, "reasoning": "考え"},
    "reasoning_twice": conversation(
        USER, {"role": "assistant", "content": "<think>考え</think>10％", "reasoning_content": "考え"}
    ),
    "open_think": conversation(USER, {"role": "assistant", "content": "考え</think>10％です。"}),
    "null_polluted": calling({"function": {"name": "lamp", "arguments": {"room": "居間", "colour": None}}}),
    "arguments_object": calling({"function": {"name": "lamp", "arguments": {"room": "居間"}}}),
    "broken_tool_call": calling({"function": {"name": "lamp", "arguments": '{"room": '}}),
    "broken_tools": conversation(USER, ANSWER, tools="lamp"),
    "undeclared_tool": calling({**CALL, "function": {"name": "door", "arguments": "{}"}}, tools=TOOLS),
    "stray_tool_result": conversation(USER, RESULT, ANSWER),
    "damaged_text": conversation(USER, {"role": "assistant", "content": "10％で\ufffd。"}),
}


@pytest.mark.parametrize("name", SPOILT)
def test_each_trap_is_found_by_its_name(name):
    assert name in traps_of(SPOILT[name])


def test_every_trap_that_is_told_has_a_test():
    of_files = {"mixed_formats", "huge_row", "newer_parquet", "over_length", "template_refuses", "other_column"}
    assert {*SPOILT} | of_files == {*TRAPS}
    readme = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
    assert f"{len(TRAPS)} traps" in readme


def test_tool_schemas_that_readers_filled_with_nulls_are_found():
    tools = [{"function": {"name": "lamp", "parameters": {"properties": {"room": {"type": "string"}, "floor": None}}}}]
    assert "null_polluted" in traps_of(conversation(USER, CALLING, RESULT, ANSWER, tools=tools))


def test_places_are_files_and_rows_and_only_the_first_are_named(tmp_path):
    path = tmp_path / "行.jsonl"
    rows = [ASKED, *[conversation(USER)] * 5, {"text": "a"}]
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    found = lint([path])
    assert (found.rows, found.formats) == (7, {"messages": 6, "text": 1})
    assert found.traps["no_answer"].rows == 5
    assert found.traps["no_answer"].places == [f"{path}:{line}" for line in (2, 3, 4)]
    assert found.traps["mixed_formats"].places == [f"{path}:7 (text after messages)"]
    assert not found.is_sound


def test_what_a_run_writes_is_sound_as_lines_and_as_a_table(synth, tmp_path):
    recipe = "name: r\nlanguage: ja\nseeds: {kind: grid, axes: {q: ['1 + 1?', '2 + 2?']}}\n"
    recipe += 'teachers: {main: {model: practice-1, base_url: "practice:faultless"}}\n'
    recipe += "stages: [{name: answer, generator: {kind: answer, prompt: ask.md.j2}, validators: []}]\n"
    (tmp_path / "recipe.yaml").write_text(recipe, encoding="utf-8")
    (tmp_path / "ask.md.j2").write_text("{{ q }}", encoding="utf-8")
    assert synth("run", ".", "--out", "run").returncode == 0
    for path in ("run", "run/rows.jsonl", "run/dataset/data/train.parquet"):
        finished = synth("lint", path)
        assert finished.returncode == 0, finished.stdout
        assert "2 rows (messages 2)" in finished.stdout
        assert "nothing that is known to fail" in finished.stdout


def test_the_command_ends_with_1_where_a_training_fails_and_tells_all_as_json(synth, tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps(SPOILT["sharegpt"]), encoding="utf-8")
    finished = synth("lint", "a.jsonl", "--json")
    assert finished.returncode == 1
    (trap,) = json.loads(finished.stdout)["traps"]
    assert (trap["trap"], trap["severity"], trap["rows"], trap["places"]) == ("sharegpt", "error", 1, ["a.jsonl:1"])
    assert "rename" in trap["says"]
    (tmp_path / "c.csv").write_text("質問", encoding="utf-8")
    only_warned = {**ASKED, "reasoning": "考え"}
    (tmp_path / "b.jsonl").write_text(json.dumps(only_warned), encoding="utf-8")
    assert synth("lint", "b.jsonl").returncode == 0
    for arguments, words in (
        (["none.jsonl"], "There is no file or folder none.jsonl"),
        (["c.csv"], "it should end in"),
        (["a.jsonl", "--max-length", "9"], "name the student's --tokenizer"),
        (["a.jsonl", "--tokenizer", "."], "There is no tokenizer.json in ."),
    ):
        wrong = synth("lint", *arguments)
        assert wrong.returncode == 2
        assert words in wrong.stderr


MIXED = {
    "会話.jsonl": conversation(USER, {**ANSWER, "reasoning_content": "標準税率。"}, USER, USER, ANSWER, labels="税"),
    "組.jsonl": {"prompt": "問い", "chosen": "同じ", "rejected": "同じ"},
    "印.jsonl": {"prompt": [USER], "completion": [ANSWER], "label": True},
    "答え.jsonl": {"prompt": "税は", "completion": "10％"},
}


@pytest.fixture
def views(tmp_path):
    """A folder of files, each of another format."""
    for name, row in MIXED.items():
        (tmp_path / name).write_text(json.dumps(row), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "file", "traps"),
    [
        ("messages", "会話.jsonl", {"lost_reasoning", "reserved_name"}),
        ("axolotl", "会話.jsonl", {"lost_reasoning"}),
        ("openai", "会話.jsonl", {"other_column"}),
        ("preference", "組.jsonl", {"chosen_equals_rejected"}),
        ("unpaired", "印.jsonl", set()),
        ("prompt-completion", "答え.jsonl", set()),
    ],
)
def test_for_one_format_its_files_and_what_hits_its_readers_count_alone(name, file, traps, views):
    found = lint([views], aim=aim_of(name))
    assert found.traps.keys() == traps
    assert views / file not in found.passed_over
    assert len(found.passed_over) == len(MIXED) - (2 if name == "prompt-completion" else 1)
    assert lint([views]).traps.keys() - traps  # what others stumble over


def test_turns_that_do_not_alternate_matter_to_llama_factory_alone(tmp_path):
    turns = [{"from": "human", "value": "問い"}, {"from": "human", "value": "？"}, {"from": "gpt", "value": "答え"}]
    (tmp_path / "a.jsonl").write_text(json.dumps({"conversations": turns}), encoding="utf-8")
    assert not lint([tmp_path], aim=aim_of("llama-factory")).traps.keys() & {"sharegpt"}
    assert "sharegpt" in lint([tmp_path]).traps
    assert {name for name, readers in HITS.items() if readers == {"llama-factory"}} == {"no_alternation"}


def test_every_trap_that_hits_somebody_is_one_and_so_is_every_reader():
    assert HITS.keys() <= TRAPS.keys()
    readers = {form.reader for form in FORMATS.values()}
    assert {reader for some in HITS.values() for reader in some} <= readers


def test_a_format_that_no_file_has_is_one_sentence(synth, views):
    done = synth("lint", views, "--for", "alpaca")
    assert done.returncode == 2
    assert "None of the files holds rows of the format alpaca" in done.stderr
    assert "is none of messages" in synth("lint", views, "--for", "鸚鵡").stderr
    told = synth("lint", views, "--for", "preference")
    assert told.returncode == 1
    assert "passed over, as of other formats: 3 files" in told.stdout


def test_the_sidecars_of_a_dataset_are_no_rows_to_train_on(tmp_path):
    for name in ("data", "provenance", "tokens"):
        (tmp_path / name).mkdir()
        row = ASKED if name == "data" else {"id": "000000/00/000"}
        (tmp_path / name / "train.jsonl").write_text(json.dumps(row), encoding="utf-8")
    (tmp_path / "README.md").write_text("カード", encoding="utf-8")
    assert lint([tmp_path]).formats == {"messages": 1}
    (tmp_path / "README.md").unlink()  # anybody's folder may have such names
    assert lint([tmp_path]).formats == {"messages": 1, "unknown": 2}


def test_a_folder_without_rows_is_said(tmp_path):
    with pytest.raises(RecipeError, match="There are no rows in"):
        lint([tmp_path])


@pytest.fixture
def tokenizer(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    one = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    one.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")  # a token for each character
    folder = tmp_path / "student"
    folder.mkdir()
    one.save(str(folder / "tokenizer.json"))
    return folder


TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}"
    "<{{ m.role }}>{% generation %}{{ m.content }}{% endgeneration %}{{ eos_token }}{% endfor %}"
)


def test_tokens_are_those_of_the_chat_template_and_long_rows_are_found(tokenizer, tmp_path):
    config = {"chat_template": TEMPLATE, "bos_token": "^", "eos_token": {"content": "$"}}
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    tokens = Tokens(str(tokenizer))
    written = "^<user>消費税は何％ですか。$<assistant>10％です。$"
    assert [*tokens.of(ASKED)] == [(len(written), "")]
    assert [*tokens.of({"prompt": [USER], "completion": [ANSWER]})] == [(len(written), "")]
    assert [*tokens.of({"prompt": "なぜ", "completion": "雨"})] == [(3, "")]
    assert len([*tokens.of({"prompt": [USER], "chosen": [ANSWER], "rejected": [ANSWER]})]) == 2
    path = tmp_path / "a.jsonl"
    rows = [ASKED, conversation(USER, {**ANSWER, "content": "あ" * 100}), conversation(USER, CALLING, RESULT, ANSWER)]
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    found = lint([path], tokens, max_length=60)
    assert found.traps["over_length"].places == [f"{path}:2 ({len(written) - 6 + 100} tokens)"]
    assert found.traps["template_refuses"].places == [f"{path}:3 (no tools here)"]
    assert len(found.tokens) == 2


def test_without_a_chat_template_the_texts_are_counted(tokenizer):
    tokens = Tokens(str(tokenizer))
    assert [*tokens.of(ASKED)] == [(len("消費税は何％ですか。\n10％です。"), "")]


def test_a_table_whose_metadata_old_readers_do_not_know_and_a_huge_row_are_found(tmp_path):
    datasets = pytest.importorskip("datasets")
    path = tmp_path / "a.parquet"
    datasets.Dataset.from_list([ASKED, conversation(USER, {**ANSWER, "content": "あ" * 700_000})]).to_parquet(path)
    found = lint([path])
    assert found.traps["newer_parquet"].places == [str(path)]
    assert found.traps["huge_row"].places == [f"{path}:2"]


def test_a_table_that_is_none_is_a_sentence(tmp_path, synth):
    (tmp_path / "壊れた.parquet").write_bytes(b"PAR1xxxx")
    done = synth("lint", "壊れた.parquet")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert done.stderr.startswith("壊れた.parquet cannot be read")
