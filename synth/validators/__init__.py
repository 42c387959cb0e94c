"""Cheap local checks: yes, or no with a reason. One file per validator; this union is what `validators:` may hold."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from synth.validators.answer_format import AnswerFormat
from synth.validators.finished import Finished
from synth.validators.json_schema import JsonSchema
from synth.validators.language import Language
from synth.validators.length import Length
from synth.validators.refusal import Refusal
from synth.validators.repetition import Repetition

Validator = Annotated[
    AnswerFormat | Finished | JsonSchema | Language | Length | Refusal | Repetition, Field(discriminator="kind")
]
