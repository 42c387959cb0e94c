"""Finding twins: exact after normalising, near by what characters they share, and by meaning."""

from __future__ import annotations

from synth.dedupe.normalise import normalise
from synth.dedupe.twins import Calibration, Dedupe, Match, Semantic, SemanticSummary, Summary, Twins, text_of

TWIN_REASONS = {
    "exact": "duplicate",
    "near": "near_duplicate",
    "template": "template_quota",
    "semantic": "semantic_duplicate",
}
"""What a sample is refused for, by the kind of its match."""

__all__ = [
    "TWIN_REASONS",
    "Calibration",
    "Dedupe",
    "Match",
    "Semantic",
    "SemanticSummary",
    "Summary",
    "Twins",
    "normalise",
    "text_of",
]
