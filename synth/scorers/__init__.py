"""From sample to number. One file per scorer; this union is what a recipe's `scorers:` may hold."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from synth.scorers.choice import Choice
from synth.scorers.code_tests import CodeTests
from synth.scorers.exact_answer import ExactAnswer
from synth.scorers.json_fields import JsonFields
from synth.scorers.judge import Judge

Scorer = Annotated[Choice | CodeTests | ExactAnswer | JsonFields | Judge, Field(discriminator="kind")]
