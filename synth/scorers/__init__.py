"""From sample to number. One file per scorer; this union is what a recipe's `scorers:` may hold."""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator, Field, SerializeAsAny, Tag, WrapValidator

from synth.own import OwnScorer, own, which
from synth.scorers.choice import Choice
from synth.scorers.code_tests import CodeTests
from synth.scorers.compare import Compare
from synth.scorers.exact_answer import ExactAnswer
from synth.scorers.json_fields import JsonFields
from synth.scorers.judge import Judge
from synth.scorers.length import Length
from synth.scorers.likelihood import Likelihood
from synth.scorers.reward import Reward

Known = Annotated[
    Choice | CodeTests | Compare | ExactAnswer | JsonFields | Judge | Length | Likelihood | Reward,
    Field(discriminator="kind"),
]
Scorer = Annotated[
    Annotated[Known, Tag("known")] | Annotated[SerializeAsAny[OwnScorer], WrapValidator(own(OwnScorer)), Tag("own")],
    Discriminator(which),
]
"""One of synth's, or a class in a file of the user's own."""

VERIFIERS = (Choice, CodeTests, ExactAnswer, JsonFields)
"""Those that tell a right answer, 1, from others, by what the seed knows."""
JUDGES = (Compare, Judge, Reward)
"""Those that ask a teacher what it thinks of an answer."""
ASKING = (*JUDGES, Likelihood)
"""Those that ask a teacher anything."""
