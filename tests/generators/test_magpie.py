"""Instructions that a model writes where a user's turn begins, and completions of texts as requests like others."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, get_args

import orjson
import pyarrow.parquet
import pytest
from pydantic import ValidationError

import synth
from synth.errors import Fatal, Rejected, Transient
from synth.generators.magpie import Family, Magpie, families
from synth.protocol.replies import read
from synth.types import COMPLETIONS, CONTINUED, Completion, Outcome, Seed
from tests.recipes.test_library import PROMPTS


class Going:
    """Goes on with a text as told, and remembers what it was asked."""

    draw = 0

    def __init__(self, reply: Completion) -> None:
        self.reply = reply
        self.asked: list[tuple[str, list[str]]] = []

    def render(self, template: str, values: Any) -> str:
        return f"You know {values['topic']}."

    async def continued(self, text: str, *, teacher: str, stop: Any = ()) -> Completion:
        self.asked.append((text, list(stop)))
        return self.reply


def written(ask: Going, **fields: Any):
    (draft,) = asyncio.run(Magpie(**fields).generate(Seed(id="0", fields={"topic": "税"}), ask))
    return draft


def test_every_family_can_be_named_and_ends_where_a_user_begins():
    assert get_args(Family) == tuple(families())
    for name, form in families().items():
        assert form.stop, name
        assert form.system == "" or "{system}" in form.system, name
        assert not any(mark in form.user for mark in ("{", "<s>", "begin_of_text")), name


@pytest.mark.parametrize(
    ("family", "text"),
    [
        ("chatml", "<|im_start|>system\nYou know 税.<|im_end|>\n<|im_start|>user\n"),
        (
            "llama3",
            "<|start_header_id|>system<|end_header_id|>\n\nYou know 税.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n",
        ),
        ("mistral", "[SYSTEM_PROMPT]You know 税.[/SYSTEM_PROMPT][INST]"),
    ],
)
def test_the_model_is_told_something_where_its_template_has_a_place_for_it(family, text):
    ask = Going(Completion(" 消費税の端数はどうしますか。\n", "stop"))
    draft = written(ask, family=family, system="s.md.j2")
    assert ask.asked == [(text, families()[family].stop)]
    assert [(one.role, one.content) for one in draft.messages] == [("user", "消費税の端数はどうしますか。")]
    assert draft.fields == {"instruction": "消費税の端数はどうしますか。"}


def test_nothing_is_told_without_a_template_and_a_model_of_ones_own_can_be_described():
    ask = Going(Completion("Hi<end>there", "stop"))
    draft = written(ask, pre_query={"user": "<me>", "stop": ["<end>"]})
    assert ask.asked == [("<me>", ["<end>"])]
    assert draft.messages[0].content == "Hi"  # of a server that does not heed stop sequences


def test_a_turn_that_ends_at_once_is_none_and_a_cut_one_is_kept_as_refused():
    with pytest.raises(Rejected, match="no_instructions"):
        written(Going(Completion(" \n", "stop")), family="gemma")
    assert written(Going(Completion("消費税の", "length")), family="gemma").refused[0] == "truncated"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "name the model's `family`"),
        ({"family": "gemma", "pre_query": {"user": "x"}}, "and not both"),
        ({"family": "gemma", "system": "s"}, "no place where a model is told something"),
        ({"family": "gpt5"}, "'chatml', 'llama3'"),
    ],
)
def test_a_form_that_is_none_is_a_mistake(fields, says):
    with pytest.raises(ValidationError, match=says):
        Magpie(**fields)


def reply(**choice: Any) -> Outcome:
    return Outcome(
        200, orjson.dumps({"model": "m", "choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})
    )


def test_a_completion_is_read_as_text_whatever_it_holds_and_one_without_text_is_none():
    found = read(reply(text="何？", finish_reason="stop", logprobs=None), CONTINUED)
    assert (found.text, found.finish_reason, found.usage.completion_tokens) == ("何？", "stop", 2)
    assert read(reply(text="", finish_reason="stop"), CONTINUED).text == ""
    assert read(reply(text="何？", finish_reason="stop", logprobs=None), None).text == "何？"
    with pytest.raises(Transient, match="no text"):
        read(reply(finish_reason="stop"), CONTINUED)
    with pytest.raises(Transient, match="abort"):
        read(reply(text="何", finish_reason="abort"), CONTINUED)
    with pytest.raises(Fatal, match="no log-probabilities"):
        read(reply(text="何？", logprobs=None), COMPLETIONS)


def test_each_draw_of_a_seed_is_a_request_of_its_own_and_none_is_bought_twice(tmp_path):
    first = synth.run(PROMPTS / "magpie-ja", folder=tmp_path / "run", limit=6)
    assert first.exit_code == 0, first.message
    rows = (tmp_path / "run" / "rows.jsonl").read_bytes()
    asked = {line.stage: line.attempts for line in first.manifest.ledger if line.failure == "ok"}
    assert asked["write"] == 12
    again = synth.run(PROMPTS / "magpie-ja", folder=tmp_path / "run", limit=6)
    assert again.manifest.ledger == first.manifest.ledger
    assert (tmp_path / "run" / "rows.jsonl").read_bytes() == rows
    questions = [json.loads(line)["messages"][0]["content"] for line in rows.splitlines()]
    assert len(set(questions)) == len(questions)


def test_what_was_gone_on_with_is_shown_by_trace_and_is_no_sampling(tmp_path, synth):
    copied = synth("new", "mine", "--from", "magpie-ja")
    assert copied.returncode == 0
    with (tmp_path / "mine" / "recipe.yaml").open("a", encoding="utf-8") as file:
        file.write("\noutput: {provenance: true}\n")
    assert synth("run", "mine", "--limit", "3", "--out", "run").returncode == 0
    row = json.loads((tmp_path / "run" / "rows.jsonl").read_text(encoding="utf-8").splitlines()[0])
    shown = synth("trace", "run", row["id"]).stdout
    assert re.search(r"^text\n\s+<\|im_start\|>system *\n", shown, re.MULTILINE)
    (table,) = list((tmp_path / "run" / "dataset" / "provenance").glob("train.*"))
    step = pyarrow.parquet.read_table(table).to_pylist()[0]["requests"][0]
    assert json.loads(step["sampling"]).keys() == {"max_tokens", "seed", "stop", "temperature", "top_p"}


def test_a_server_that_completes_no_texts_is_told_of_in_a_sentence(tmp_path, write_recipe):
    recipe = tmp_path / "recipe"
    recipe.mkdir()
    text = (
        "name: chat\nlanguage: en\nseeds: {kind: grid, axes: {topic: [a]}}\n"
        "teachers: {main: {model: practice-2, base_url: 'practice:'}}\n"
        "stages: [{name: write, generator: {kind: magpie, family: gemma}, validators: []}]\n"
    )
    (recipe / "recipe.yaml").write_text(text, encoding="utf-8")
    result = synth.run(recipe, folder=tmp_path / "run")
    assert result.exit_code == 4
    assert "practice-2" in result.message
