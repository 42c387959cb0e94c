"""What a run tells programs beside its people: events as JSON lines, and spans."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synth.admission.halt import Halt
from synth.backends.practice import PRACTICE_MODELS
from synth.console.screen import ERR, OUT, say
from synth.errors import Fatal, Interrupted, MissingPackage, SynthError
from synth.live.control import Steering
from synth.live.events import Ended, Ending, Event, News, Started, Steered
from synth.live.progress import Progress
from synth.live.sink import STDOUT, Sink
from synth.live.snapshot import read_problems
from synth.recipes.fingerprint import NOTE
from synth.recipes.recipe import LoadedRecipe
from synth.results.result import Result
from synth.storage.database import connect, read_spent, readable

if TYPE_CHECKING:  # of an extra
    from synth.live.spans import Spans

LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be told beside the view."""

    events: str = ""
    """Where events go: a path, or `-` for standard output; nowhere when empty."""
    otel: bool = False
    """Whether spans go where the OTEL_ variables say."""


NOTHING = Wanted()


class Telling:
    """Tells of a run from its beginning to its end."""

    def __init__(self, name: str, folder: Path, loaded: LoadedRecipe, sink: Sink | None, spans: Spans | None) -> None:
        self._name = name
        self._folder = folder
        self._loaded = loaded
        self._sink = sink
        self._spans = spans
        self._news = News(self._write)
        self._steering: Steering | None = None
        self.over = False
        """Whether its end was told."""

    def begin(self, steering: Steering, progress: Progress, halt: Halt) -> None:
        """The run is about to ask."""
        self._steering = steering
        steering.done = self._steered
        halt.tell(self._ending)
        started = self._started(progress)
        self._write(started)
        if self._spans is not None:
            self._spans.begin(started.run)

    async def follow(self, steering: Steering) -> None:
        """Tell how it goes, until cancelled."""
        while self._sink is not None:
            self._news.look(steering.now())
            await asyncio.sleep(LOOK_EVERY_S)

    def end(self, result: Result) -> None:
        """The run is over."""
        if self._steering is not None:
            moment = self._steering.now().model_copy(update={"problems": read_problems(self._folder)})
            self._news.look(moment, last=True)
        manifest = result.manifest
        with readable(self._folder / "run.db"), closing(connect(self._folder / "run.db")) as connection:
            charged = read_spent(connection)
        self._write(
            Ended(
                at=self._news.now(),
                recipe=self._name,
                folder=str(self._folder.absolute()),
                state=manifest.state,
                exit_code=result.exit_code,
                text=result.message,
                rows=manifest.rows,
                refused=manifest.rejected,
                parked=sum(stage.parked for stage in manifest.stages),
                spent_microusd=manifest.cost_microusd,
                tokens=charged.tokens,
                requests=charged.requests,
                seconds=manifest.seconds,
            )
        )

    def fail(self, error: SynthError) -> None:
        """The run could not begin, or broke off."""
        self._write(
            Ended(
                at=self._news.now(),
                recipe=self._name,
                folder=str(self._folder.absolute()),
                state="interrupted" if isinstance(error, Interrupted) else "failed",
                exit_code=error.exit_code,
                text=str(error),
            )
        )

    def _started(self, progress: Progress) -> Started:
        recipe, path = self._loaded.recipe, self._folder / "run.db"
        with readable(path), closing(connect(path)) as connection:
            notes = dict(connection.execute("SELECT name, value FROM meta").fetchall())
            resumed = connection.execute("SELECT EXISTS (SELECT 1 FROM reply)").fetchone()[0]
        return Started(
            at=self._news.now(),
            recipe=self._name,
            folder=str(self._folder.absolute()),
            run=notes.get("identity", ""),
            resumed=bool(resumed),
            fingerprint=hashlib.sha256(notes[NOTE].encode()).hexdigest() if NOTE in notes else "",
            seeds=progress.total_seeds,
            stages=tuple(stage.name for stage in recipe.stages),
            teachers={name: endpoint.model for name, endpoint in recipe.teachers.items()},
            caps=progress.budget.caps,
            practice=any(
                endpoint.is_practice or endpoint.model.startswith(PRACTICE_MODELS)
                for endpoint in recipe.teachers.values()
            ),
            warning=progress.warning,
        )

    def _steered(self, command: str, value: str, said: str) -> None:
        self._write(Steered(at=self._news.now(), command=command, value=value, text=said))

    def _ending(self, error: Fatal) -> None:
        self._write(Ending(at=self._news.now(), exit_code=error.exit_code, text=str(error)))

    def _write(self, event: Event) -> None:
        if self._sink is not None:
            self._sink.add(event.model_dump_json())
        if isinstance(event, Ended):
            self.over = True
            self._close(event)

    def _close(self, ended: Ended) -> None:
        """Nothing more is told; what could not be is said."""
        problems: list[str] = []
        if self._spans is not None:
            figures = {"synth.rows": sum(ended.rows.values()), "synth.refused": sum(ended.refused.values())}
            problems.append(self._spans.end(ended.exit_code, ended.text, {"synth.state": ended.state, **figures}))
        if self._sink is not None:
            self._sink.close()
            problems.append(self._sink.problem)
        for problem in filter(None, problems):
            say(ERR, problem, style="yellow")


@contextmanager
def telling(name: str, folder: Path, loaded: LoadedRecipe, wanted: Wanted) -> Generator[Telling | None]:
    """Tell of the run in the block what is wanted.

    Raises RecipeError where events cannot be written or spans not sent, MissingPackage without the extra `otel`.
    """
    if wanted == NOTHING:
        yield None
        return
    spans = _spans(name, folder, loaded) if wanted.otel else None
    sink = Sink(wanted.events) if wanted.events else None
    OUT.stderr = wanted.events == STDOUT  # what is for people goes beside the events
    told = Telling(name, folder, loaded, sink, spans)
    try:
        yield told
    except SynthError as error:
        told.fail(error)
        raise
    except KeyboardInterrupt:  # while seeds were read, or the outputs written
        told.fail(Interrupted("Stopped by Ctrl-C; run again to go on."))
        raise
    finally:
        if not told.over:
            told.fail(SynthError("A bug broke it off; its traceback is on standard error."))


def _spans(name: str, folder: Path, loaded: LoadedRecipe) -> Spans:
    try:
        from synth.live.spans import Spans
    except ModuleNotFoundError as error:
        raise MissingPackage(
            f"--otel needs OpenTelemetry's SDK and exporter ({error.name} is missing): pip install 'synth[otel]'"
        ) from error
    return Spans(name, folder, loaded.recipe.teachers)
