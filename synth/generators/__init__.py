"""From seed to drafts. One file per generator; this union is what a recipe's `generator:` may be."""

from __future__ import annotations

from typing import Annotated

from pydantic import Discriminator, Field, SerializeAsAny, Tag, WrapValidator

from synth.generators.answer import Answer
from synth.generators.back_translate import BackTranslate
from synth.generators.conversation import Conversation
from synth.generators.evolve import Evolve
from synth.generators.magpie import Magpie
from synth.generators.objects import Objects
from synth.generators.self_instruct import SelfInstruct
from synth.generators.tool_calling import ToolCalling
from synth.own import OwnGenerator, own, which

Known = Annotated[
    Answer | BackTranslate | Conversation | Evolve | Magpie | Objects | SelfInstruct | ToolCalling,
    Field(discriminator="kind"),
]
Generator = Annotated[
    Annotated[Known, Tag("known")]
    | Annotated[SerializeAsAny[OwnGenerator], WrapValidator(own(OwnGenerator)), Tag("own")],
    Discriminator(which),
]
"""One of synth's, or a class in a file of the user's own."""
