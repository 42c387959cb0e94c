"""An embedded teacher for practice: an OpenAI-compatible server of checkable exercises whose faults are known.

It is no language model, and what it says is for trying synth and testing it, never for training.
"""

from __future__ import annotations

from synth.backends.practice.answering import Planted, Truth, truth
from synth.backends.practice.faults import NO_FAULTS, USUAL, Faults
from synth.backends.practice.questions import TOPICS
from synth.backends.practice.server import MODEL, practice_server, serve

__all__ = [
    "MODEL",
    "NO_FAULTS",
    "PRACTICE_MODELS",
    "TOPICS",
    "USUAL",
    "Faults",
    "Planted",
    "Truth",
    "faults_of",
    "practice_server",
    "serve",
    "truth",
]


PRACTICE_MODELS = "practice-"
"""How the names of the models begin that it serves, wherever it listens."""


def faults_of(base_url: str) -> Faults:
    """The faults that a recipe's `practice:` asks for: the usual ones, or none for `practice:faultless`.

    `practice:held_out` speaks faulty wordings that synth's own checks were not tuned on.
    """
    word = base_url.partition(":")[2]
    if word == "faultless":
        return NO_FAULTS
    return USUAL.model_copy(update={"templates": "held_out"}) if word == "held_out" else USUAL
