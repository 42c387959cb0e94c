"""Objects with named fields, with an `ask` that answers from a list."""

from __future__ import annotations

import asyncio
from datetime import date

import pytest
from pydantic import BaseModel, Field, ValidationError

from synth.errors import Rejected
from synth.generators.objects import Objects
from synth.types import Seed
from tests.generators.test_generators import Listed


def written(objects, seed=None, **fields):
    generator = Objects(prompt="w", fields=fields or {"problem": "text", "answer": "text"})
    return asyncio.run(generator.generate(seed or Seed(id="0", fields={}), Listed({"objects": objects})))


def test_each_object_becomes_a_draft_with_its_fields_and_the_first_one_is_shown():
    one, other = written([{"problem": "1＋1は？ ", "answer": "2"}, {"problem": "2+2?", "answer": "4"}])
    assert one.messages[-1].content == "1＋1は？"
    assert one.fields == {"problem": "1＋1は？ ", "answer": "2", "instruction": "1＋1は？"}
    assert other.fields["answer"] == "4"


def test_what_is_shown_can_be_a_template_over_seed_and_object():
    generator = Objects(prompt="w", fields={"asked": "text", "kind": ["事実", "推論"]}, shown="s")
    ask = Listed({"objects": [{"asked": "何時？", "kind": "推論"}]})
    (draft,) = asyncio.run(generator.generate(Seed(id="0", fields={"passage": "九時"}), ask))
    assert draft.messages[-1].content == "s: {'passage': '九時', 'asked': '何時？', 'kind': '推論'}"
    assert generator.adds == ("asked", "kind", "instruction")
    assert generator.template_files() == ("w", "s")


class Order(BaseModel):
    item: str = Field(alias="品物")
    count: int = Field(ge=1)
    day: date | None = None


def test_an_object_of_a_model_is_kept_as_its_schema_has_it():
    held = {"text": "本を二冊、三日までに。", "expected": {"品物": "本", "count": 2, "day": "2025-04-03"}}
    (draft,) = written([held], text="text", expected=Order)
    assert draft.fields["expected"] == {"品物": "本", "count": 2, "day": "2025-04-03"}
    with pytest.raises(ValidationError):
        written([{**held, "expected": {"品物": "本", "count": 0, "day": None}}], text="text", expected=Order)
    assert Objects(prompt="w", fields={"text": "text", "expected": Order}).template_values["expected"]["品物"] == "..."


def test_an_object_is_no_text_to_show():
    with pytest.raises(ValidationError, match="'expected', is an object and no text to show"):
        Objects(prompt="w", fields={"expected": Order, "text": "text"})


def test_a_choice_that_was_not_given_does_not_fit():
    with pytest.raises(ValidationError):
        written([{"kind": "opinion"}], kind=["fact", "guess"])


@pytest.mark.parametrize("objects", [[], [{"problem": "1+1?", "answer": "　"}], [{"problem": "", "answer": "2"}]])
def test_no_objects_and_blank_ones_are_a_rejection(objects):
    with pytest.raises(Rejected, match="no_instructions"):
        written(objects)


def test_an_empty_list_in_a_field_is_a_blank():
    with pytest.raises(Rejected, match="'tests' is blank"):
        written([{"problem": "1+1?", "tests": []}], problem="text", tests="texts")


def test_yes_no_and_numbers_keep_their_kind():
    (draft,) = written([{"text": "晴れ", "sunny": False, "degrees": 0}], text="text", sunny="yes_no", degrees="number")
    assert draft.fields["sunny"] is False
    assert draft.fields["degrees"] == 0


@pytest.mark.parametrize(("number", "shown"), [(42, "42"), (42.0, "42"), (0.5, "0.5")])
def test_a_number_is_shown_as_it_is_written(number, shown):
    (draft,) = written([{"answer": number, "problem": "6×7は？"}], answer="number", problem="text")
    assert draft.messages[-1].content == shown
    assert str(draft.fields["answer"]) == shown


def test_a_field_that_means_something_else_in_templates_is_a_mistake():
    with pytest.raises(ValidationError, match="'instruction' has a meaning of its own"):
        Objects(prompt="w", fields={"instruction": "text"})
