"""An embedded teacher for practice: an OpenAI-compatible server of checkable exercises whose faults are known.

It is no language model, and what it says is for trying synth and testing it, never for training.
"""

from __future__ import annotations

PRACTICE_MODELS = "practice-"
"""How the names of the models begin that it serves, wherever it listens."""
