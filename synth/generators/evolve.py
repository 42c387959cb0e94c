"""Instructions made harder, or turned into rarer ones, round after round."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from synth.ask import Ask
from synth.dedupe.normalise import normalise
from synth.errors import Rejected
from synth.language.text import several
from synth.patterns import lazy
from synth.types import Draft, Fields, Message, Seed, TemplateFile, Value
from synth.validators.hollow import is_hollow

Way = Literal["constraints", "deepen", "concretise", "reasoning", "input", "widen"]

PROMPT_WORDS = lazy(
    r"#\s*(?:given|rewritten|created|original|new)\s+(?:prompt|instruction)|"
    r"\b(?:given|rewritten|created|evolved) (?:prompt|instruction)\b|\A(?:new|original) (?:prompt|instruction)\s*:|"
    r"\bthe instruction (?:above|below)\b|</?instruction>|"
    r"(?:元の|もとの|書き換えた|書き直した|作成した|変更後の|与えられた)(?:指示|プロンプト|頼みごと)|上記の指示|"
    r"\A(?:新しい|書き換え後の)?(?:指示|プロンプト|頼みごと)\s*[:：]",
    re.IGNORECASE,
)
"""Words of the prompt that asks for it, which have no place in an instruction."""
SHORTEST, SHORTEST_JA = 12, 5
LONGEST_TIMES, LONGEST_MORE = 4, 800
"""Beyond so many times its parent, and so many characters more, an instruction has not grown but got out of hand."""


class Evolved(BaseModel):
    """What the teacher is asked for."""

    model_config = ConfigDict(extra="forbid")

    instruction: str


class Sameness(BaseModel):
    """Whether two instructions ask for the same; the reason comes first, so that it is thought about."""

    model_config = ConfigDict(extra="forbid")

    reason: str
    same: bool


class Evolve(Value):
    """Make an instruction harder, or a rarer one of its kind, as Evol-Instruct does (Xu et al., arXiv:2304.12244).

    In each of `rounds` rounds one of the `ways`, chosen by the seed's id, is taken: `constraints`, `deepen`,
    `concretise`, `reasoning` and `input` by the template `deepen`, `widen` by the template of that name. Both see the
    seed's fields, `parent` (the instruction so far, at first the field `question`, and below it the field `material`
    where that is named), `way`, and in `avoid` those before.
    Every instruction that comes of it is a sample with the field `evolved`, and with its parents in `ancestors`.

    An evolution fails, is kept with its reason, and the next round begins again with its parent, where it says nothing
    or far too much (`hollow`, `too_long`), holds words of the prompt (`prompt_leak`), or asks for the same
    (`no_gain`): by its letters or, with a template `same`, which sees `parent` and `evolved`, by the teacher's word. A
    way that failed is not tried on the same parent again, as the same request would fail again; where none is left, the
    rounds end.
    """

    adds: ClassVar[tuple[str, ...]] = ("evolved", "ancestors", "way")
    asks: ClassVar[type[Evolved]] = Evolved
    usual_drafts: ClassVar[int] = 1
    template_values: ClassVar[Fields] = {"parent": "...", "evolved": "...", "way": "deepen", "avoid": ["..."]}

    kind: Literal["evolve"] = "evolve"
    question: str
    material: str = ""
    deepen: TemplateFile
    widen: TemplateFile
    same: TemplateFile | None = None
    rounds: int = Field(default=3, ge=1, le=10)
    ways: list[Way] = Field(default=["constraints", "deepen", "concretise", "reasoning", "widen"], min_length=1)
    teacher: str = ""

    def template_files(self) -> tuple[str, ...]:
        """The template files it renders."""
        files = (self.deepen, self.widen)
        return files if self.same is None else (*files, self.same)

    async def generate(self, seed: Seed, ask: Ask) -> list[Draft]:
        """One draft for each round: a conversation that ends with the user's turn.

        Raises Rejected(`empty_question`) where the field asks nothing.
        """
        parent = seed.fields.get(self.question)
        if not isinstance(parent, str) or not parent.strip():
            raise Rejected("empty_question", f"the field {self.question!r} is {str(parent)[:80]!r}, which asks nothing")
        material = str(seed.fields.get(self.material) or "").strip()
        family, drafts = [f"{parent}\n\n{material}" if material else parent], list[Draft]()
        failed_ways = set[Way]()
        for number in range(self.rounds):
            left: list[Way] = [way for way in self.ways if way not in failed_ways]
            if not left:
                break
            way = _one_of(left, f"{seed.id}/{ask.draw}/{number}")
            draft = await self._evolved(family, way, seed.fields, ask)
            drafts.append(draft)
            if draft.refused is None:
                family.append(draft.messages[-1].content)
                failed_ways.clear()
            else:
                failed_ways.add(way)
        return drafts

    async def _evolved(self, family: list[str], way: Way, fields: Fields, ask: Ask) -> Draft:
        """What one round makes of the youngest of a family."""
        parent = family[-1]
        kept: Fields = {"evolved": "", "ancestors": [*family], "way": way}
        try:
            values: Fields = {**fields, "parent": parent, "way": way, "avoid": [*family[:-1]]}
            prompt = ask.render(self.widen if way == "widen" else self.deepen, {**self.template_values, **values})
            written = await ask.schema(Evolved, [Message(role="user", content=prompt)], teacher=self.teacher)
            text = written.instruction.strip()
            failure = failed(parent, text) or await self._gains_nothing(parent, text, fields, ask)
        except Rejected as error:
            return Draft(messages=(), fields=kept, refused=(error.reason, f"{way}: {error.detail}"))
        refused = None if failure is None else (failure[0], f"{way} of {parent[:80]!r}: {failure[1]}")
        return Draft(messages=(Message(role="user", content=text),), fields={**kept, "evolved": text}, refused=refused)

    async def _gains_nothing(self, parent: str, text: str, fields: Fields, ask: Ask) -> tuple[str, str] | None:
        """Whether the teacher says that an evolution asks for what its parent asked for."""
        if self.same is None:
            return None
        prompt = ask.render(self.same, {**self.template_values, **fields, "parent": parent, "evolved": text})
        word = await ask.schema(Sameness, [Message(role="user", content=prompt)], teacher=self.teacher)
        return ("no_gain", word.reason) if word.same else None


def _one_of(ways: Sequence[Way], name: str) -> Way:
    """One of the ways, for a name always the same one."""
    return ways[int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % len(ways)]


def failed(parent: str, text: str) -> tuple[str, str] | None:
    """Why an evolution is none, as far as its letters show it; None when they do not."""
    if is_hollow(text) or len(text) < (SHORTEST if text.isascii() else SHORTEST_JA):
        return "hollow", repr(text)
    if len(text) > LONGEST_TIMES * len(parent) + LONGEST_MORE:
        return "too_long", f"{several(len(text), 'character')}, of {len(parent):,}"
    leaked = PROMPT_WORDS.search(text)
    if leaked and not PROMPT_WORDS.search(parent):
        return "prompt_leak", leaked[0]
    return ("no_gain", "it is the same") if normalise(text) == normalise(parent) else None
