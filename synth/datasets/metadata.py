"""What the Hub takes in the front matter of a card, told without asking it.

The rules are those of https://huggingface.co/docs/hub/datasets-cards and repositories-licenses, whose list was read in
a copy; ids of licences that came to it later are here as far as they were known in November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from synth.patterns import lazy


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


LICENSES = _words(
    """apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0
    bigcode-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc
    cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0
    cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0
    cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1
    eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc h-research intel-research lppl-1.3c
    ms-pl apple-ascl apple-amlr mpl-2.0 odc-by odbl openmdw-1.0 openrail++ osl-3.0 postgresql ofl-1.1 ncsa
    unlicense zlib pddl lgpl-lr deepfloyd-if-license fair-noncommercial-research-license llama2 llama3 llama3.1
    llama3.2 llama3.3 llama4 grok2-community gemma unknown other"""
)
LANGUAGES = _words(
    """aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el
    en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu
    ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na
    nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg sh si sk sl sm sn
    so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"""
)
"""Of two letters (ISO 639-1); those of three are not listed here."""
TASKS = _words(
    """text-classification token-classification table-question-answering question-answering zero-shot-classification
    translation summarization feature-extraction text-generation fill-mask sentence-similarity text-ranking
    reinforcement-learning other"""
)
SIZES = lazy(r"n<1K|1K<n<10K|10K<n<100K|100K<n<1M|1M<n<10M|10M<n<100M|100M<n<1B|1B<n<10B|10B<n<100B|n>1T|n>1B")
CONFIG = lazy(r"[^<>:/\\|?*]{1,96}")
"""As `datasets` takes the name of a configuration: it becomes that of a folder."""


def wrong(header: object) -> Iterator[str]:
    """What the Hub or `datasets` would not take, a sentence each."""
    if not isinstance(header, dict):
        yield "the front matter is no mapping"
        return
    fields = cast("Mapping[str, Any]", header)
    licence = fields.get("license")
    if licence is not None and licence not in LICENSES:
        yield f"the Hub knows no licence {licence!r}: write one of its ids, or `other`"
    for code in _texts(fields.get("language")):
        if code not in LANGUAGES and not re.fullmatch(r"[a-z]{3}", code):
            yield f"{code!r} is no code of a language (ISO 639)"
    for task in _texts(fields.get("task_categories")):
        if task not in TASKS:
            yield f"the Hub knows no task {task!r}"
    for size in _texts(fields.get("size_categories")):
        if not SIZES.fullmatch(size):
            yield f"{size!r} is no size of a dataset"
    yield from _configs(fields.get("configs"))


def _configs(value: Any) -> Iterator[str]:
    configs = cast("list[Any]", value) if isinstance(value, list) else []
    if not configs:
        yield "it names no `configs`, so that nobody knows what to load"
    seen: set[str] = set()
    for config in configs:
        name = str(config.get("config_name", ""))
        if not CONFIG.fullmatch(name):
            yield f"{name!r} cannot name a configuration"
        if name in seen:
            yield f"the configuration {name!r} is there twice"
        seen.add(name)
        splits = [str(one["split"]) for one in config.get("data_files") or ()]
        if not splits:
            yield f"the configuration {name!r} names no files"
        if len(splits) != len(set(splits)):
            yield f"the configuration {name!r} names a split twice"
    if configs and "default" not in seen and not any(config.get("default") for config in configs):
        yield "none of the `configs` is the default"


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    return [str(one) for one in cast("list[Any]", value)] if isinstance(value, list) else [str(value)]
