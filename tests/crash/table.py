"""What the kills came to, and the rows of the README's table "What you can lose" that follow from it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Counted over every kill and every rerun to completion."""

    kills: Counter[str] = field(default_factory=Counter[str])
    """By the point at which the process died."""
    acknowledged: int = 0
    """Replies that the store had said were on disk when the process died, over all kills."""
    replies_lost: int = 0
    """Committed before a kill, then missing or changed."""
    bought_twice: int = 0
    """Paid replies beyond one for each request and one more for each attempt in flight at a kill."""
    in_flight: int = 0
    """Attempts journalled and without a reply at a kill: they may have been paid."""
    most_in_flight: int = 0
    bought_again: int = 0
    """Of those, how many the server's books show as paid and answered again."""
    charged_as_lost: int = 0
    """Attempts that the ledger keeps charged because of a kill."""
    damaged: int = 0
    """Databases that failed SQLite's integrity check after a kill."""
    runs_compared: int = 0
    runs_different: int = 0
    """Runs whose final rows, rejections or Parquet were not byte for byte those of an uninterrupted run."""

    def summary(self) -> str:
        points = "\n".join(f"  {count:>5}  {point}" for point, count in sorted(self.kills.items()))
        return f"{sum(self.kills.values())} kills\n{points}\n{self.markdown()}"

    def markdown(self) -> str:
        """Rows for the README."""
        kills = sum(self.kills.values())
        rows = (
            ("replies that were on disk", f"{self.replies_lost} of {self.acknowledged:,}"),
            ("replies bought twice, but for those in flight at a kill", f"{self.bought_twice}"),
            (
                "in flight at a kill, and so perhaps bought again",
                f"{self.in_flight:,} attempts, {self.bought_again:,} paid",
            ),
            ("most in flight at one kill", f"{self.most_in_flight}"),
            ("attempts that stay charged to the budget as `lost`", f"{self.charged_as_lost:,}"),
            ("stores damaged", f"{self.damaged} of {kills}"),
            ("datasets that differ from an uninterrupted run's", f"{self.runs_different} of {self.runs_compared}"),
        )
        head = f"| `kill -9`, {kills} times at {len(self.kills)} points | lost |\n|---|---|\n"
        return head + "\n".join(f"| {what} | {how_many} |" for what, how_many in rows)
