"""How likely a model finds an answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from synth.ask import Ask
from synth.errors import Rejected
from synth.language.text import several
from synth.protocol.measures import Token
from synth.types import COMPLETIONS, Message, Sample, Score, TemplateFile, Value

Measure = Literal["logprob", "perplexity", "per_character", "per_byte", "ifd"]

MOST_LOSS = 700.0
"""E to more than that is no number any more."""


class Likelihood(Value):
    """How likely a model finds the answer, most often the student that is to be trained on it, before it is.

    `measure` is one of `logprob`, the mean log-probability (in nats) of the answer's tokens; `per_character` and
    `per_byte` (of UTF-8), the sum of log-probabilities by the answer's length, which compare across tokenisers and
    languages, as tokens do not; and two where more is harder: `perplexity`, e to the minus `logprob`, and `ifd`, the
    instruction-following difficulty (Li et al., arXiv:2308.12032), the mean loss of the answer after its question
    divided by its mean loss on its own. Near 1 the question helps the model little, above 1 it misleads.

    The teacher's server must give the log-probabilities of a prompt: `/completions` with `echo`, as vLLM does. What is
    before the answer is written by the template `prompt`, as no endpoint tells how its chat template would write it:
    `likelihood.md.j2` puts the turns one below the other, `likelihood.chatml.md.j2` as ChatML; both come with synth,
    and a file of that name beside the recipe goes first. A template sees the sample's fields, `messages` (the turns
    before the answer: none where `ifd` looks at the answer on its own) and `answer`, which must be its last word. What
    begins every text, such as `<s>`, is left to the server's tokeniser.

    The text before the answer is also sent alone: the answer's tokens begin where those of the two requests part, after
    what only repeats the prompt in other tokens. So positions in the text, which servers count differently where a
    token is a part of a character, play no role. A token that holds the end of the one and the beginning of the other
    counts as the answer's. A first token with nothing before it has no log-probability and counts nowhere.
    """

    template_values: ClassVar[dict[str, JsonValue]] = {
        "messages": [{"role": "user", "content": "1 + 1?"}],
        "answer": "2",
    }

    kind: Literal["likelihood"] = "likelihood"
    name: str = Field(default="likelihood", min_length=1)
    teacher: str
    measure: Measure = "logprob"
    prompt: TemplateFile = "likelihood.md.j2"

    @property
    def may_be_negative(self) -> bool:
        """Whether its value may be below 0."""
        return self.measure not in ("perplexity", "ifd")

    def template_files(self) -> tuple[str, ...]:
        """The template's file."""
        return (self.prompt,)

    async def score(self, sample: Sample, ask: Ask) -> Score:
        """Ask for the log-probabilities; raises Rejected(`no_verdict`) when there are none of this answer.

        Rejected(`template_error`) says that the template does not end with the answer.
        """
        answer = sample.answer().strip()
        if not answer:
            raise Rejected("no_verdict", "there is no answer")
        given = await self._logprobs(sample, sample.messages[:-1], answer, ask)
        alone = await self._logprobs(sample, (), answer, ask) if self.measure == "ifd" else []
        if alone and alone[0] is None:
            given, alone = given[1:], alone[1:]  # both means are of the same tokens
        losses, own = ([-one for one in each if one is not None] for each in (given, alone))
        if not losses or (self.measure == "ifd" and not any(own)):
            raise Rejected("no_verdict", "no token of the answer has a log-probability, as one with nothing before it")
        loss = fmean(losses)
        detail = f"{several(len(losses), 'token')}, {several(len(answer), 'character')}, loss {loss:.6g}"
        if self.measure == "ifd":
            detail += f", {fmean(own):.6g} without the question"
        value = {
            "logprob": lambda: -loss,
            "perplexity": lambda: math.exp(min(loss, MOST_LOSS)),
            "per_character": lambda: -math.fsum(losses) / len(answer),
            "per_byte": lambda: -math.fsum(losses) / len(answer.encode("utf-8", "surrogatepass")),
            "ifd": lambda: loss / fmean(own),
        }[self.measure]()
        return Score(name=self.name, value=value, detail=detail)

    async def _logprobs(self, sample: Sample, before: Sequence[Message], answer: str, ask: Ask) -> list[float | None]:
        """Of the answer's tokens; None for a first one with nothing before it."""
        turns: list[JsonValue] = [{"role": one.role, "content": one.content} for one in before]
        text = ask.render(self.prompt, {**sample.fields, "messages": turns, "answer": answer})
        if not text.endswith(answer):
            raise Rejected("template_error", f"{self.prompt} must end with {{{{ answer }}}}")
        try:
            whole = await self._tokens(text, ask)
            prompt = await self._tokens(text.removesuffix(answer), ask)
        except Rejected as error:
            raise Rejected("no_verdict", f"{error.reason}: {error.detail}") from error
        return [token.logprob for token in whole[_beginning(whole, prompt) :]]

    async def _tokens(self, text: str, ask: Ask) -> Sequence[Token]:
        if not text:
            return ()
        fields: dict[str, JsonValue] = {"prompt": text, "echo": True, "logprobs": 1, "max_tokens": 1, "temperature": 0}
        return await ask.found(COMPLETIONS, fields, teacher=self.teacher)


def _beginning(whole: Sequence[Token], prompt: Sequence[Token]) -> int:
    """Where the answer's tokens begin in those of the whole text: after all that only hold what the prompt says."""
    pairs = zip(whole, prompt, strict=False)
    at = next((at for at, (one, other) in enumerate(pairs) if one.text != other.text), len(prompt))
    rest = "".join(token.text for token in prompt[at:])  # cut otherwise, as line ends before letters by GPT-2's rules
    while rest and at < len(whole) and rest.startswith(whole[at].text):
        rest = rest.removeprefix(whole[at].text)
        at += 1
    return at
