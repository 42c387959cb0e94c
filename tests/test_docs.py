"""The reference pages say what the code says, and the schema behind one of them says what each field is for."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from synth.recipes.described import field_docs, json_schema
from synth.report.words import ENGLISH
from synth.types import Value

ROOT = Path(__file__).parent.parent
SPEC = importlib.util.spec_from_file_location("reference", ROOT / "tools" / "reference.py")
assert SPEC is not None
assert SPEC.loader is not None
reference = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(reference)


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_page_of_reference_is_what_the_code_says(name):
    written = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    assert written == reference.PAGES[name](), "run .venv/bin/python tools/reference.py"


def test_every_reason_says_what_to_do():
    assert reference.ADVICE.keys() == ENGLISH.reasons.keys()


class Basis(Value):
    first: int = 1
    """What the basis says."""


class Own(Basis):
    second: str = ""
    """値の説明。

    Two lines of it."""
    third: str = ""


def test_a_field_is_described_by_the_docstring_below_it():
    assert field_docs(Own) == {"first": "What the basis says.", "second": "値の説明。\n\nTwo lines of it."}


def test_the_schema_for_editors_describes_fields():
    stage = json_schema()["$defs"]["Stage"]["properties"]
    assert stage["ask_again"]["description"].startswith("How often to ask anew")
