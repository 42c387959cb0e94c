"""The dataset card: what the Hub reads (YAML) and what people read, from the manifest alone. Nothing is invented.

The card stands in the dataset and so inside the promise of equal bytes: nothing in it depends on when a run was made,
how often it was stopped, or which sends had to be repeated. `manifest.json` and the report tell that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape

from synth.datasets.compiled import Compiled
from synth.datasets.export import Written
from synth.datasets.files import write_whole
from synth.datasets.plots import plots, write_plots
from synth.datasets.told import checks, description, fenced, in_japanese, limits, recipe_text, without_folders
from synth.errors import Problem
from synth.language.codes import is_japanese
from synth.language.text import several, visible
from synth.money.budget import usd
from synth.patterns import lazy
from synth.report.words import JAPANESE
from synth.results.manifest import Manifest
from synth.rights import licences
from synth.types import Sample

PRACTICE_TAG = "practice-data"

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_SIZES_ABOVE = ((10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"), (1_000_000_000, "100M<n<1B"))
_MARKDOWN = lazy(r"([\\`*_{}\[\]<>#|~&$]|:(?=//)|(?<=www)\.)", re.IGNORECASE)
"""What Markdown gives a meaning to, addresses among it, which some readers make links of."""
MOST_OF_A_TEXT = 1500
"""Characters of a text in the example row."""


def write_card(folder: Path, manifest: Manifest, written: Written, examples: Sequence[Sample] = ()) -> None:
    """Write `dataset/README.md` and its figures into the run folder, in Japanese for a Japanese recipe, or in English.

    The first of `examples` is shown. Raises FolderError when the disk refuses.
    """
    write_plots(folder / "dataset", plots(manifest))
    write_whole(folder / "dataset" / "README.md", card(manifest, written, examples).encode("utf-8", "replace"))


def card(manifest: Manifest, written: Written, examples: Sequence[Sample] = ()) -> str:
    """The text of the card."""
    header = yaml.safe_dump(_header(manifest, written), allow_unicode=True, sort_keys=False, width=1000)
    return load_card(manifest.recipe.language).render(
        manifest=manifest,
        written=written,
        header=header,
        used=[line for line in manifest.ledger if line.failure == "ok"],
        plots=plots(manifest),
        checks=checks(manifest),
        limits=list(limits(manifest)),
        several=several,
        description=description(manifest),
        reasons=JAPANESE.reasons,
        recipe=recipe_text(manifest),
        example=next(iter(examples), None),
        seeds_licences=[found for one in manifest.seeds_licences if (found := licences.known(one)) is not None],
    )


def load_card(language: str) -> Template:
    """The card's template for a dataset in this language, compiled."""
    return _environment().get_template("card.ja.md.j2" if is_japanese(language) else "card.md.j2")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("synth", "datasets"),
        autoescape=select_autoescape(),  # for HTML only; Markdown has its own filter
        undefined=StrictUndefined,
        bytecode_cache=Compiled(),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["md"] = escaped
    environment.filters["fenced"] = fenced
    environment.filters["without_folders"] = without_folders
    environment.filters["in_japanese"] = in_japanese
    environment.filters["shortened"] = shortened
    environment.filters["usd"] = usd
    return environment


def publishable(manifest: Manifest) -> Problem | None:
    """What stands in the way of publishing; None when nothing does. The licence is the user's word alone."""
    licence = manifest.recipe.license
    if licence is None:
        return Problem(
            "the recipe gives no licence for the result, so it cannot be published; "
            "decide on one, with the teachers' terms in view, and write it there",
            field="license",
        )
    said = [(teacher.name, one) for teacher in manifest.teachers for one in teacher.said]
    conflict = next(licences.conflicts(licence, licences.sources(", ".join(manifest.seeds_licences), said)), None)
    return None if conflict is None else Problem(conflict, field="license")


def escaped(text: object) -> str:
    """A text of the user's as literal Markdown on one line, also inside a table cell."""
    return _MARKDOWN.sub(r"\\\1", visible(" ".join(str(text).split())))


def shortened(text: str) -> str:
    """The beginning of a text."""
    return text if len(text) <= MOST_OF_A_TEXT else text[:MOST_OF_A_TEXT] + "…"


def _header(manifest: Manifest, written: Written) -> dict[str, object]:
    license_id = manifest.recipe.license
    splits = list(written.files)
    tags = ["synthetic", "synth", "distillation", "conversational"]
    return {
        **({"license": license_id} if license_id is not None else {}),
        **({"language": _languages(manifest)} if manifest.recipe.language else {}),
        "pretty_name": visible(" ".join(manifest.recipe.name.split())),
        "task_categories": ["text-generation"],
        "size_categories": [size_category(sum(written.rows.values()))],
        "annotations_creators": ["machine-generated"],
        "language_creators": ["machine-generated"],
        "source_datasets": [_source(manifest.seeds.identity)],
        "tags": [*tags, PRACTICE_TAG] if manifest.practice else tags,
        "configs": [
            {
                "config_name": "default",
                # `datasets` keys its cache of a local folder by the folder's name and this entry, not by the files
                "description": f"rows sha256:{written.sha256}",
                "data_files": [{"split": name, "path": written.files[name]} for name in splits],
            },
            *_views(manifest, splits),
            *_tokens(manifest, splits),
            *_provenance(manifest),
        ],
    }


def _languages(manifest: Manifest) -> list[str]:
    return list(dict.fromkeys([manifest.recipe.language, *(one.language for one in manifest.merged)]))


def _source(identity: str) -> str:
    """The dataset of the Hub that the seeds are of, by its id; `original` for all others."""
    kind, _, name = identity.partition(" ")
    return name if kind == "huggingface" and re.fullmatch(r"[\w.-]+/[\w.-]+", name, re.ASCII) else "original"


def _views(manifest: Manifest, splits: list[str]) -> list[dict[str, object]]:
    """Each view that has rows."""
    return [
        {
            "config_name": view.name,
            "description": f"view sha256:{view.sha256}",
            "data_files": [{"split": name, "path": list(view.files[name])} for name in splits if name in view.files],
        }
        for view in manifest.views
        if view.files
    ]


def _provenance(manifest: Manifest) -> list[dict[str, object]]:
    """Where the rows come from, where that is told."""
    found = manifest.provenance
    if found is None or not found.files:
        return []
    paths = [{"split": name, "path": path} for name, path in found.files.items()]
    return [{"config_name": "provenance", "description": f"provenance sha256:{found.sha256}", "data_files": paths}]


def _tokens(manifest: Manifest, splits: list[str]) -> list[dict[str, object]]:
    """What else can be loaded: the tokens of the rows, where they are told."""
    found = manifest.tokens
    if found is None or not found.files:
        return []
    paths = [{"split": name, "path": found.files[name]} for name in splits if name in found.files]
    return [{"config_name": "tokens", "description": f"tokens sha256:{found.sha256}", "data_files": paths}]


def size_category(rows: int) -> str:
    """The Hub's name for a number of rows, such as `1K<n<10K`."""
    return next((name for above, name in (*_SIZES, *_SIZES_ABOVE) if rows < above), "n>1B")
