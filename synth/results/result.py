"""What a run is asked with, and what it leaves: its options, and its result as Python and a notebook see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from synth.admission.halt import Halt
from synth.datasets.rows import rejected_row, row
from synth.live.progress import Progress
from synth.recipes.recipe import LoadedRecipe
from synth.report.notebook import in_a_notebook, in_lines, in_words
from synth.report.table import Cost, Page, Table, models_of, records
from synth.report.words import words_of
from synth.results.manifest import Manifest
from synth.types import Rejection, Sample


@dataclass(frozen=True, slots=True)
class Options:
    """How to go about a run."""

    folder: Path | None = None
    """The run folder; the recipe's own choice, or `runs/<name>`, when None."""
    limit: int | None = None
    """The most seeds to read."""
    salt: str = ""
    """Another word asks everything anew."""
    reuse: tuple[Path, ...] = ()
    """Folders of earlier runs, whose stored replies need not be bought again."""
    retry: bool = False
    """Ask again for what failed for good: poisonous requests, and those the endpoint found wrong."""
    offline: bool = False
    """Send nothing: write what the store holds."""
    accept_change: bool = False
    """Go on although what the store's answers were asked with has changed."""
    write: bool = True
    """Whether to write the dataset; a preview only looks at it."""
    pilot: int | None = None
    """Use so many seeds, spread over all; none is written then."""
    decisions: Path | None = None
    """A file of what a person decided of single rows."""
    into: Path | None = None
    """Where a preview leaves what it looked at; nowhere when None."""
    say: Callable[[str], None] = lambda _: None
    """Told what the run waits for before its first request, and when vLLM of its own is started again."""


@dataclass(frozen=True, slots=True)
class Pilot:
    """What a few seeds, spread over all, brought."""

    rows: Mapping[str, int]
    """Of each of them its rows, by id."""
    of: int
    """How many seeds there are."""
    twins: Mapping[str, int]
    """How many samples of each stage were refused as twins of what another seed brought."""
    requests: frozenset[bytes]
    """The keys of all requests that they made."""
    in_flight: Mapping[str, float]
    """How many requests at once each teacher was found to bear that was asked anything new, by its name."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a run left, and how it ended."""

    folder: Path
    manifest: Manifest
    exit_code: int
    message: str
    """Why it ended early, or had nothing to do; empty for a whole run."""
    examples: list[Sample]
    """A few rows, spread over the run."""
    rejections: list[Rejection]
    """A few of every reason."""
    pilot: Pilot | None = None
    """What a pilot's seeds brought; None for other runs."""
    wrote: bool = True
    """Whether a dataset was to be written; a preview only looks."""
    is_whole: bool = True
    """Whether running again would change nothing, as long as what it starts from stays the same."""

    @property
    def rows(self) -> Table:
        """All rows in id order; of a preview those that it shows."""
        words = words_of(self.manifest.recipe.language)
        if self.wrote:
            return Table(self.folder / "rows.jsonl", words)
        models = models_of(self.manifest)
        return Table(records(row(sample, models) for sample in self.examples), words)

    @property
    def rejected(self) -> Table:
        """Every refused sample with its reason; of a preview a few of each."""
        words = words_of(self.manifest.recipe.language)
        if self.wrote:
            return Table(self.folder / "rejected.jsonl", words)
        models = models_of(self.manifest)
        return Table(records(rejected_row(rejection, models) for rejection in self.rejections), words)

    @property
    def cost(self) -> Cost:
        """What all requests in this folder came to."""
        return Cost(self.manifest.ledger, self.manifest.unpriced, words_of(self.manifest.recipe.language))

    @property
    def dataset(self) -> Path:
        """The folder that `datasets.load_dataset` reads."""
        return self.folder / "dataset"

    def report(self) -> Page:
        """The HTML page, which a notebook shows; its file is the page's `path`. A preview writes none."""
        return Page(self.folder / "report.html")

    def __repr__(self) -> str:
        return in_words(self.manifest, self.folder, self.message)

    def __str__(self) -> str:
        return in_lines(self.manifest, self.folder, self.message)

    def _repr_html_(self) -> str:
        """For a notebook: https://ipython.readthedocs.io/en/stable/config/integrating.html"""
        looked_at = None if self.wrote else (self.rows, self.rejected)
        return in_a_notebook(self.manifest, self.folder, self.message, looked_at)


Observer = Callable[[Progress, Halt], None]


def run_folder(loaded: LoadedRecipe, options: Options) -> Path:
    """The folder a run lives in."""
    return options.folder or Path(loaded.recipe.output.folder or f"runs/{loaded.recipe.name}")
