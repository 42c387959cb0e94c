"""The report of a run: one HTML file that opens from a disk; only the texts of a large run lie beside it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from synth.datasets.compiled import Compiled
from synth.datasets.files import whole_file
from synth.language.text import Count
from synth.money.budget import usd
from synth.report.browser import Listing, write_rows
from synth.report.clusters import Cluster
from synth.report.course import course
from synth.report.figures import PLOT_HEIGHT, PLOT_WIDTH, Bar, bars, funnel, histograms, pairs, short, sizes, spending
from synth.report.texts import plain, shown, visible
from synth.report.words import duration, moment, words_of
from synth.results.manifest import Manifest
from synth.storage.pace import Pace
from synth.types import Rejection, Sample, Spend

MOST_EXAMPLES = 12
OPEN_EXAMPLES = 3
"""So many stand open; a press shows the others."""
MOST_PER_REASON = 2
MOST_CHARACTERS = 8000
"""Of one text in an example row."""
MOST_CHARACTERS_REFUSED = 1000
"""Of one text in a refused sample: enough to see why, and a repetition loop does not fill the page."""

MOST_CHARACTERS_TWIN = 240
"""Of one text in a cluster of twins."""
SCRIPT = ("index", "nodes", "texts", "commands", "decisions", "list", "find", "figures", "read", "keys")
"""The files that the browser's script is made of, in one scope."""
DATA_HERE = "<!-- rows -->"
"""Where the browser's data go, which are never in memory as a whole; texts cannot hold it, as they are escaped."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A refused sample with the one that was kept in its place, as far as the texts are known."""

    rejection: Rejection
    twin: Sample | None


@dataclass(frozen=True, slots=True)
class Reason:
    """How often samples were refused for one reason, and examples of it."""

    bar: Bar
    examples: tuple[Refused, ...]


def write_report(
    path: Path,
    manifest: Manifest,
    examples: Sequence[Sample],
    rejections: Sequence[Rejection],
    twins: Mapping[str, Sample] | None = None,
    clusters: Sequence[Cluster] = (),
    listing: Listing | None = None,
    pace: Pace | None = None,
) -> None:
    """Write the page: Japanese for a Japanese recipe, else English.

    All counts come from the manifest; `examples` and `rejections` are what to show (the first 12, and the first 2 of
    each reason), `twins` the kept samples by id that duplicates are shown beside, `clusters` the largest families, and
    `listing` says where all rows lie that the page's browser is to show; without it there is none. `pace` tells when
    the run's requests were sent.
    Raises FolderError when the disk refuses.
    """
    known = {sample.id: sample for sample in examples} | dict(twins or {})
    refused = reasons(manifest, rejections, known)
    html = page(manifest, examples, refused, clusters, pace, browsed=listing is not None).encode("utf-8", "replace")
    before, _, after = html.partition(DATA_HERE.encode())
    with whole_file(path) as file:
        file.write(before)
        if listing is not None:
            write_rows(file, listing, words_of(manifest.recipe.language))
        file.write(after)


def page(
    manifest: Manifest,
    examples: Sequence[Sample],
    refused: Sequence[Reason],
    clusters: Sequence[Cluster] = (),
    pace: Pace | None = None,
    *,
    browsed: bool = False,
) -> str:
    """The page as HTML; with a browser of rows, what it shows goes where `DATA_HERE` stands."""
    words = words_of(manifest.recipe.language)
    script = load_script() if browsed else ""
    return load_template().render(
        browser=words.browser if browsed else None,
        script=Markup(script),  # noqa: S704 (our own)
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data_here=Markup(DATA_HERE),  # noqa: S704
        manifest=manifest,
        words=words,
        counted=Count,
        shown=shown,
        most=MOST_CHARACTERS,
        most_refused=MOST_CHARACTERS_REFUSED,
        funnel=funnel(manifest, words),
        reasons=refused,
        clusters=clusters,
        most_twin=MOST_CHARACTERS_TWIN,
        pairs=pairs,
        sizes=sizes,
        plot=(PLOT_WIDTH, PLOT_HEIGHT),
        histograms=histograms(manifest),
        spending=spending(manifest.ledger),
        course=course(pace, words),
        charged=manifest.caps.at_stake(Spend(manifest.cost_microusd)),
        examples=examples[:MOST_EXAMPLES],
        few=OPEN_EXAMPLES,
        duration=duration(manifest.seconds, words.language),
    )


@cache
def load_script() -> str:
    """The browser's script, the only one that the page allows itself, with the files that it loads."""
    folder = files("synth.report").joinpath("script")
    parts = (folder.joinpath(f"{name}.js").read_text(encoding="utf-8") for name in SCRIPT)
    return "\n".join(['"use strict";', "(() => {", *parts, "})();", ""])


@cache
def load_template(name: str = "report.html.j2") -> Template:
    """A page's template, compiled."""
    environment = Environment(
        loader=PackageLoader("synth", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        bytecode_cache=Compiled(),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["usd"] = usd
    environment.filters["visible"] = visible
    environment.filters["plain"] = plain
    environment.filters["short"] = short
    environment.filters["moment"] = moment
    return environment.get_template(name)


def reasons(manifest: Manifest, rejections: Sequence[Rejection], known: Mapping[str, Sample]) -> tuple[Reason, ...]:
    """Every reason the manifest counts, most frequent first, with its first examples."""
    chosen: dict[str, list[Refused]] = {}
    for rejection in rejections:
        of_reason = chosen.setdefault(rejection.reason, [])
        if len(of_reason) < MOST_PER_REASON:
            of_reason.append(Refused(rejection, known.get(rejection.twin_id or "")))
    return tuple(Reason(bar, tuple(chosen.get(bar.label, ()))) for bar in bars(manifest.rejected.items()))
