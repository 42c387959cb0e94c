"""Tables that come with synth, in YAML."""

from __future__ import annotations

from typing import Any

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""In C where PyYAML was built with it: every command reads some tables, which takes a tenth of the time so."""


def shipped(text: str) -> Any:
    """What the text of a YAML file of synth's holds: mappings, lists, texts, numbers, dates."""
    return yaml.load(text, LOADER)  # noqa: S506 (both loaders are safe ones)
