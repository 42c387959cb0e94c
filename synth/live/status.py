"""How far a run is, in one line and as a notebook shows it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from synth.language.text import Count, visible
from synth.live.progress import Progress
from synth.money.budget import usd
from synth.report import cards
from synth.report.words import ENGLISH, Words, duration

LINE = {
    "en": {
        "seeds": "{done} of {of} {count:seed|seeds}",
        "prompts": "{done} of {of} {count:prompt|prompts}",
        "rows": "{0} {0:row|rows}",
        "refused": "{} refused",
        "in_flight": "{} in flight",
        "silent": "{} has been out of reach for {} and is waited for {} more",
        "left": "about {} left",
        "goes_on": "; it goes on, and stop() ends it",
        "stopped": "; it is stopped",
        "clock": "s|min|h",
        "comma": ", ",
        "colon": ": ",
        "stop": ". ",
    },
    "ja": {
        "seeds": "シード {done}/{of}",
        "prompts": "プロンプト {done}/{of}",
        "rows": "{} 行",
        "refused": "不採用 {}",
        "in_flight": "送信中 {}",
        "silent": "{} に {} つながらず、あと {} 待ちます",
        "left": "残り約 {}",
        "goes_on": "。実行は続いています（stop() で終わります）",
        "stopped": "。停止しました",
        "clock": "秒|分|時間",
        "comma": "、",
        "colon": "：",
        "stop": "。",
        "complete": "完了",
        "partial": "完了（一部は保留）",
        "stopped_by_budget": "予算で停止",
        "interrupted": "中断",
        "failed": "失敗",
    },
}
"""The pieces of the one line, by the language of the recipe."""


@dataclass(frozen=True, slots=True)
class Status:
    """How far a run is."""

    name: str
    state: str = "running"
    """`running`, `complete`, `partial`, `stopped_by_budget`, `interrupted` or `failed`."""
    seeds_done: int = 0
    seeds: int | None = None
    """None until they are all known."""
    rows: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict[str, int])
    """Refused samples by reason."""
    in_flight: int = 0
    silent: Mapping[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    """Teachers that are out of reach: since how many seconds, and how many more they are waited for."""
    cost_microusd: int = 0
    seconds: float = 0.0
    left_s: float | None = None
    """Seconds left at the pace so far; None when that cannot be told."""
    message: str = ""
    """Why it ended early; empty otherwise."""
    words: Words = ENGLISH
    of: str = "seeds"
    """What is counted."""

    def __str__(self) -> str:
        phrases = LINE[self.words.language]
        count = Count(self.seeds or 0)
        of = "?" if self.seeds is None else count
        done = phrases[self.of].format(done=Count(self.seeds_done), of=of, count=count)
        said = [done, phrases["rows"].format(Count(self.rows))]
        said += [phrases["refused"].format(f"{sum(self.rejected.values()):,}")]
        said += [phrases["in_flight"].format(f"{self.in_flight:,}")] * (self.state == "running")
        for name, (for_s, more_s) in self.silent.items():
            said.append(phrases["silent"].format(name, self._clock(for_s), self._clock(more_s)))
        said += [usd(self.cost_microusd), self._clock(self.seconds)]
        if self.state == "running" and self.left_s is not None:
            said.append(phrases["left"].format(self._clock(self.left_s)))
        name = self.name if self.state == "running" else f"{self.name} {phrases.get(self.state, self.state)}"
        body = phrases["comma"].join(said)
        return visible(f"{name}{phrases['colon']}{body}{phrases['stop'] + self.message if self.message else ''}")

    def _clock(self, seconds: float) -> str:
        """A length of time in as few words as will do."""
        in_seconds, in_minutes, in_hours = LINE[self.words.language]["clock"].split("|")
        if seconds < 90:
            return f"{seconds:.0f} {in_seconds}"
        return f"{seconds / 60:.0f} {in_minutes}" if seconds < 5400 else f"{seconds / 3600:.1f} {in_hours}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.in_html()

    def in_html(self) -> str:
        """For a notebook."""
        words = self.words
        share = self.seeds_done / self.seeds if self.seeds else 0.0
        done = f"{self.seeds_done:,} / {'?' if self.seeds is None else f'{self.seeds:,}'}"
        body = [
            (words.seeds, cards.bar(share, done)),
            (words.rows, f"{self.rows:,}"),
            *((words.reasons.get(one, one), f"{number:,}") for one, number in self.rejected.items()),
            (words.cost, usd(self.cost_microusd)),
            (words.duration, duration(self.seconds, words.language)),
        ]
        title = cards.title(self.name, words.states.get(self.state) or cards.RUNNING[words.language])
        return cards.framed(words, title + cards.notes([self.message]) + cards.table((), body))


def status_of(name: str, progress: Progress, words: Words) -> Status:
    """How far a run of the recipe `name` is."""
    return Status(
        name,
        seeds_done=progress.seeds_done,
        seeds=progress.total_seeds,
        rows=progress.rows,
        rejected=dict(progress.rejected().most_common()),
        in_flight=progress.in_flight(),
        silent=progress.silent(),
        cost_microusd=progress.budget.spent_microusd,
        seconds=time.monotonic() - progress.began,
        left_s=progress.left_s(),
        words=words,
    )
