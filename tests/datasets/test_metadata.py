"""The front matter of a card, by the rules of the Hub and without it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from synth.datasets.card import card, size_category
from synth.datasets.export import Written
from synth.datasets.metadata import LICENSES, wrong
from synth.rights.licences import every

FILES = [{"split": "train", "path": "data/train.parquet"}]
GOOD: dict[str, Any] = {
    "license": "cc-by-4.0",
    "language": ["ja"],
    "configs": [{"config_name": "default", "data_files": FILES}],
}


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_cards_that_are_written_are_as_the_hub_wants_them(make_manifest, language) -> None:
    written = Written(rows={"train": 18}, files={"train": "data/train.parquet"})
    text = card(make_manifest(language=language, license_id="cc-by-4.0", name='見出し: "x" #1'), written)
    header = yaml.safe_load(text.split("---\n", 2)[1])
    assert list(wrong(header)) == []
    cards: Any = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    read = cards.DatasetCard(text)
    assert read.data.license == "cc-by-4.0"
    assert read.data.language == [language]
    assert read.text.lstrip().startswith("# ")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"license": "cc-by"}, "the Hub knows no licence 'cc-by'"),
        ({"language": ["jp"]}, "'jp' is no code of a language"),
        ({"language": "日本語"}, "'日本語' is no code of a language"),
        ({"size_categories": ["1000"]}, "'1000' is no size of a dataset"),
        ({"task_categories": ["chatting"]}, "the Hub knows no task 'chatting'"),
        ({"configs": []}, "it names no `configs`"),
        (
            {"configs": [{"config_name": "a/b", "data_files": FILES, "default": True}]},
            "'a/b' cannot name a configuration",
        ),
        ({"configs": [{"config_name": "default", "data_files": FILES}] * 2}, "is there twice"),
        ({"configs": [{"config_name": "default", "data_files": FILES * 2}]}, "names a split twice"),
        ({"configs": [{"config_name": "default"}]}, "names no files"),
        ({"configs": [{"config_name": "other", "data_files": FILES}]}, "none of the `configs` is the default"),
    ],
)
def test_what_the_hub_would_refuse_is_told(changed, says) -> None:
    assert any(says in one for one in wrong(GOOD | changed))
    assert list(wrong(GOOD)) == []


def test_every_size_that_a_card_names_is_one_of_the_hubs() -> None:
    for rows in (0, 10**3, 10**4, 10**5, 10**6, 10**7, 10**8, 10**9, 10**10):
        assert list(wrong(GOOD | {"size_categories": [size_category(rows)]})) == []


def test_what_is_known_of_licences_is_of_the_hubs_ids() -> None:
    import re

    for one in every():
        assert any(re.fullmatch(one.names, licence) for licence in LICENSES), one.names
