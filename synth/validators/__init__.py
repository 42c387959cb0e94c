"""Cheap local checks: yes, or no with a reason. One file per validator; this union is what `validators:` may hold."""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator, Field, SerializeAsAny, Tag, WrapValidator

from synth.own import OwnValidator, own, which
from synth.validators.answer_format import AnswerFormat
from synth.validators.dialogue import Dialogue
from synth.validators.finished import Finished
from synth.validators.grounded import Grounded
from synth.validators.hollow import Hollow
from synth.validators.home_units import HomeUnits
from synth.validators.json_schema import JsonSchema
from synth.validators.kept import Kept
from synth.validators.language import Language
from synth.validators.leakage import Leakage
from synth.validators.length import Length
from synth.validators.markdown import Markdown
from synth.validators.mentions import Mentions
from synth.validators.merged import Merged
from synth.validators.pii import Pii
from synth.validators.placeholders import Placeholders
from synth.validators.reasoning import Reasoning
from synth.validators.references import References
from synth.validators.refusal import Refusal
from synth.validators.register import Register
from synth.validators.repetition import Repetition
from synth.validators.script import Script
from synth.validators.tool_use import ToolUse
from synth.validators.toxicity import Toxicity

Known = Annotated[
    AnswerFormat
    | Dialogue
    | Finished
    | Hollow
    | Grounded
    | HomeUnits
    | JsonSchema
    | Kept
    | Language
    | Leakage
    | Length
    | Markdown
    | Mentions
    | Merged
    | Pii
    | Placeholders
    | Reasoning
    | References
    | Refusal
    | Register
    | Repetition
    | Script
    | ToolUse
    | Toxicity,
    Field(discriminator="kind"),
]
Validator = Annotated[
    Annotated[Known, Tag("known")]
    | Annotated[SerializeAsAny[OwnValidator], WrapValidator(own(OwnValidator)), Tag("own")],
    Discriminator(which),
]
"""One of synth's, or a class in a file of the user's own."""
