"""Evolved instructions: what becomes of each round, and how a failure is told."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from synth.errors import Rejected
from synth.generators.evolve import Evolve, failed
from synth.types import Seed


class Evolving:
    """Gives objects in turn; remembers what was rendered."""

    draw = 0

    def __init__(self, *replies: Any) -> None:
        self.replies = list(replies)
        self.rendered: list[tuple[str, dict[str, Any]]] = []

    def render(self, template: str, values: Any) -> str:
        self.rendered.append((template, dict(values)))
        return template

    async def schema(self, model: Any, messages: Any, *, teacher: str) -> Any:
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return model.model_validate(reply)


def evolve(ask: Evolving, fields: dict[str, Any], **more: Any):
    generator = Evolve(**{"question": "instruction", "deepen": "d", "widen": "w", "teacher": "main", **more})
    return asyncio.run(generator.generate(Seed(id="00000000", fields=fields), ask))


PARENT = "消費税の端数処理について説明してください。"
CHILD = "消費税の端数処理について、請求書が二枚に分かれる場合も含めて説明してください。"
GRANDCHILD = "消費税の端数処理について、請求書が二枚に分かれる場合も含め、計算例を一つ挙げて説明してください。"


def test_each_round_evolves_what_the_last_one_made_and_every_child_knows_its_parents():
    ask = Evolving({"instruction": CHILD}, {"instruction": f" {GRANDCHILD}\n"})
    one, two = evolve(ask, {"instruction": PARENT}, rounds=2)
    assert [draft.messages[0].content for draft in (one, two)] == [CHILD, GRANDCHILD]
    assert [draft.fields["ancestors"] for draft in (one, two)] == [[PARENT], [PARENT, CHILD]]
    assert [draft.fields["evolved"] for draft in (one, two)] == [CHILD, GRANDCHILD]
    assert [values["parent"] for _, values in ask.rendered] == [PARENT, CHILD]


def test_a_failed_round_is_kept_with_its_reason_and_the_next_begins_with_the_same_parent():
    ask = Evolving({"instruction": f"{PARENT}"}, Rejected("invalid_output", "no JSON"), {"instruction": CHILD})
    drafts = evolve(ask, {"instruction": PARENT}, rounds=3)
    assert [draft.refused and draft.refused[0] for draft in drafts] == ["no_gain", "invalid_output", None]
    assert [values["parent"] for _, values in ask.rendered] == [PARENT] * 3
    assert drafts[2].fields["ancestors"] == [PARENT]


def test_a_way_that_failed_is_not_asked_of_the_same_parent_again_and_where_none_is_left_the_rounds_end():
    same = {"instruction": PARENT}
    ask = Evolving(same, same, {"instruction": CHILD})
    assert len(evolve(ask, {"instruction": PARENT}, rounds=3, ways=["deepen"])) == 1
    assert len(ask.rendered) == 1
    ask = Evolving(same, {"instruction": CHILD}, {"instruction": CHILD}, {"instruction": GRANDCHILD})
    ways = [draft.fields["way"] for draft in evolve(ask, {"instruction": PARENT}, rounds=4, ways=["deepen", "input"])]
    assert ways[0] != ways[1]  # of the parent
    assert ways[2] != ways[3]  # of its child
    assert len(ways) == 4


def test_the_teacher_is_asked_whether_anything_was_gained_and_only_when_the_letters_leave_it_open():
    ask = Evolving(
        {"instruction": CHILD},
        {"reason": "同じです。", "same": True},
        {"instruction": PARENT},
        {"instruction": CHILD},
        {"reason": "増えた。", "same": False},
    )
    drafts = evolve(ask, {"instruction": PARENT}, rounds=3, same="s")
    assert [draft.refused for draft in drafts[1:]] == [("no_gain", drafts[1].refused[1]), None]
    assert drafts[0].refused[0] == "no_gain"
    assert drafts[0].refused[1].endswith("同じです。")
    assert [name for name, _ in ask.rendered].count("s") == 2


def test_material_goes_with_the_instruction_and_widening_has_a_template_of_its_own():
    ask = Evolving({"instruction": CHILD})
    evolve(
        ask, {"instruction": "要約してください。", "input": " 本文です。"}, material="input", rounds=1, ways=["widen"]
    )
    ((template, values),) = ask.rendered
    assert (template, values["parent"]) == ("w", "要約してください。\n\n本文です。")
    with pytest.raises(Rejected, match="empty_question"):
        evolve(Evolving(), {"instruction": None})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("#Rewritten Prompt#: Explain rounding, and name one exception.", "prompt_leak"),
        ("The given prompt should ask about three exceptions as well.", "prompt_leak"),
        ("新しい指示：端数処理の例外も挙げてください。", "prompt_leak"),
        ("元の指示に例外の説明を足してください。", "prompt_leak"),
        ("And so?!", "hollow"),
        ("……。", "hollow"),
        ("それはそうですか。", "hollow"),
        ("EXPLAIN  rounding of tax.", "no_gain"),
        ("Explain rounding. " * 100, "too_long"),
        ("Explain rounding of tax, and say which rule a shop with two tills should take.", None),
        ("端数処理を説明し、レジが二台ある店ではどうするかも書いてください。", None),
    ],
)
def test_what_is_no_evolution_is_told_by_its_letters(text, reason):
    found = failed("Explain rounding of tax.", text)
    assert (found and found[0]) == reason


def test_a_parent_that_speaks_of_prompts_may_have_children_that_do():
    assert (
        failed("Improve the given prompt: Tell a joke.", "Improve the given prompt for a child: Tell a joke.") is None
    )


def test_its_drafts_are_json_for_the_manifest():
    (draft,) = evolve(Evolving({"instruction": CHILD}), {"instruction": PARENT}, rounds=1)
    assert json.loads(json.dumps(draft.fields)) == draft.fields
