"""What a reward model gives an answer."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, JsonValue

from synth.ask import Ask
from synth.errors import Rejected
from synth.types import CLASSIFY, POOLING, SCORE, Sample, Score, Value

PATHS = {"pooling": POOLING, "classify": CLASSIFY, "score": SCORE}


class Reward(Value):
    """The number that a reward model gives a conversation that ends with the answer, or an answer beside its question.

    The teacher is a pooling server, such as `vllm serve MODEL --runner pooling`. `path` is what is asked of it:
    `pooling` and `classify` send the turns, which the server writes down by the model's own chat template, and `score`
    sends the turns before the answer as one text and the answer as the other, for rerankers. The number is the model's
    own, without the activation that vLLM puts on it by default: under a sigmoid the best answers become equal. `extra:
    {use_activation: true}` in the teacher's sampling brings it back.
    """

    template_values: ClassVar[dict[str, JsonValue]] = {}

    kind: Literal["reward"] = "reward"
    name: str = Field(default="reward", min_length=1)
    may_be_negative: ClassVar[bool] = True
    teacher: str
    path: Literal["pooling", "classify", "score"] = "pooling"

    def template_files(self) -> tuple[str, ...]:
        """It renders none."""
        return ()

    async def score(self, sample: Sample, ask: Ask) -> Score:
        """Ask for the reward; raises Rejected(`no_verdict`) when there is none of this answer."""
        answer = sample.answer()
        if not answer.strip():
            raise Rejected("no_verdict", "there is no answer")
        turns: list[JsonValue] = [{"role": one.role, "content": one.content} for one in sample.messages]
        fields: dict[str, JsonValue] = {"messages": turns}
        if self.path == "score":
            fields = {"text_1": "\n\n".join(one.content for one in sample.messages[:-1]), "text_2": answer}
        try:
            found = await ask.found(PATHS[self.path], {**fields, "use_activation": False}, teacher=self.teacher)
        except Rejected as error:
            raise Rejected("no_verdict", f"{error.reason}: {error.detail}") from error
        if len(found) != 1:
            raise Rejected("no_verdict", f"{len(found)} rewards came for one answer")
        return Score(name=self.name, value=found[0])
