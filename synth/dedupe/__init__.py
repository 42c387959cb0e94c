"""Finding twins: exact after normalising, and near by what characters they share."""

from __future__ import annotations

from synth.dedupe.normalise import normalise
from synth.dedupe.twins import Dedupe, Match, Twins, text_of

__all__ = ["Dedupe", "Match", "Twins", "normalise", "text_of"]
