"""What the kills came to, and the tables "What you can lose" that follow from it.

    python tests/crash/table.py --kills 200 --batch-kills 200

kills runs so often, keeps what came of it in `results.json`, and writes the tables of the README and of its page.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
RESULTS = HERE / "results.json"


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

    def markdown(self, head: str = "`kill -9` of a run") -> str:
        """Its table on the page."""
        kills = sum(self.kills.values())
        rows = (
            ("kills, and points at which", f"{kills}, {len(self.kills)}"),
            ("replies that were on disk and were lost", f"{self.replies_lost} of {self.acknowledged:,}"),
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
        return _table((head, "came to"), rows)


@dataclass
class BatchTally:
    """The same of runs that wait for batches."""

    kills: Counter[str] = field(default_factory=Counter[str])
    acknowledged: int = 0
    replies_lost: int = 0
    """Replies that were on disk at a kill and are not in the end."""
    batches: int = 0
    ordered_twice: int = 0
    requests: int = 0
    stateless: int = 0
    """Attempts that are not settled in the end."""
    bought_twice: int = 0
    """Replies paid for again though the first was neither online at a kill nor missing in what a batch brought."""
    in_flight: int = 0
    """Attempts that were online at a kill."""
    missing: int = 0
    runs_different: int = 0
    runs_compared: int = 0

    def markdown(self, head: str = "`kill -9` of a run that waits for batches") -> str:
        """Its table on the page."""
        rows = (
            ("kills, and points at which", f"{sum(self.kills.values())}, {len(self.kills)}"),
            ("replies that were on disk and were lost", f"{self.replies_lost} of {self.acknowledged:,}"),
            ("batches ordered twice", f"{self.ordered_twice} of {self.batches:,}"),
            ("attempts that ended in no state, or in two", f"{self.stateless} of {self.requests:,}"),
            ("bought twice, but for those named below", f"{self.bought_twice}"),
            ("online at a kill, and so perhaps bought again", f"{self.in_flight:,}"),
            ("missing in what a batch brought, charged and asked online", f"{self.missing:,}"),
            ("datasets that differ from an uninterrupted run's", f"{self.runs_different} of {self.runs_compared}"),
        )
        return _table((head, "came to"), rows)


KINDS = {"online": Tally, "draws": Tally, "batches": BatchTally, "given": Tally}
Results = Mapping[str, Tally | BatchTally]
HEADS = {
    "en": (
        *("`kill -9` of a run, then run again to its end", "kills", "replies on disk, lost", "bought twice"),
        *("in flight: perhaps bought again", "datasets that differ"),
    ),
    "ja": (
        *("`kill -9` で止め、最後まで再実行", "回数", "保存済みで失った返答", "二度買い"),
        *("送信中のため買い直しうる送信", "結果が違うデータセット"),
    ),
}
NAMES = {
    "en": {
        "online": "that asks online, at {} points",
        "draws": "that asks for several draws in one request",
        "batches": "that waits for batches, at {} points",
        "given": "that is given to another folder's, with `--reuse`",
    },
    "ja": {
        "online": "オンラインの実行（{}か所）",
        "draws": "一度に複数の答えを頼む実行",
        "batches": "バッチを待つ実行（{}か所）",
        "given": "`--reuse` で別のフォルダーへ引き継ぐ実行",
    },
}
OF = {"en": "{} of {:,}", "ja": "{1:,}件中{0}件"}


def keep(path: Path, name: str, tally: Tally | BatchTally) -> None:
    """Write down what a harness came to, beside what the others did."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**known, name: vars(tally)}, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def results() -> Results:
    """What the last runs of all harnesses came to."""
    known: dict[str, dict[str, Any]] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return {name: kind(**{**known[name], "kills": Counter(known[name]["kills"])}) for name, kind in KINDS.items()}


def overview(found: Results, language: str) -> str:
    """The table of a README."""
    rows = (
        (
            NAMES[language][name].format(len(tally.kills)),
            f"{sum(tally.kills.values())}",
            OF[language].format(tally.replies_lost, tally.acknowledged),
            f"{tally.bought_twice}",
            f"{tally.in_flight:,}",
            OF[language].format(tally.runs_different, tally.runs_compared),
        )
        for name, tally in found.items()
    )
    return _table(HEADS[language], rows)


def tables(found: Results) -> Iterator[tuple[str, str]]:
    """Each file with a table that it has to hold."""
    yield "README.md", overview(found, "en")
    yield "README.ja.md", overview(found, "ja")
    yield "docs/what-you-can-lose.md", found["online"].markdown()
    yield "docs/what-you-can-lose.md", found["batches"].markdown()


def _table(head: tuple[str, ...], rows: Any) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return (
        "\n".join(f"| {' | '.join(cells)} |" for cells in lines).replace("| --- |", "|---|").replace(" --- |", "---|")
    )


def write() -> None:
    """Put the tables in their places."""
    for name, table in tables(results()):
        page = (ROOT / name).read_text(encoding="utf-8")
        head = re.escape(table.splitlines()[0])
        page, times = re.subn(rf"^{head}\n(\|.*\n)+", lambda _, new=table: new + "\n", page, flags=re.MULTILINE)
        assert times == 1, (name, head)
        (ROOT / name).write_text(page, encoding="utf-8")


def main() -> None:
    harnesses = [HERE / "test_crash.py", HERE / "test_batch_crash.py"]
    command = [sys.executable, "-m", "pytest", "-n", "0", "-s", "--crash-results", RESULTS, *harnesses, *sys.argv[1:]]
    subprocess.run(command, cwd=ROOT, check=True)
    write()


if __name__ == "__main__":
    main()
