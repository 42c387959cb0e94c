"""Finding twins: exact after normalising, and near by what characters they share."""

from __future__ import annotations

from synth.dedupe.normalise import normalise
from synth.dedupe.twins import Dedupe, Match, Summary, Twins, text_of

TWIN_REASONS = {"exact": "duplicate", "near": "near_duplicate", "template": "template_quota"}
"""What a sample is refused for, by the kind of its match."""

__all__ = ["TWIN_REASONS", "Dedupe", "Match", "Summary", "Twins", "normalise", "text_of"]
