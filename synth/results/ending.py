"""How a run ended: its state, its exit code, and what the user should know of it in a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from synth.errors import Fatal, Interrupted
from synth.language.text import several
from synth.line import Enough, Line
from synth.report.words import JAPANESE
from synth.results.manifest import Manifest, State
from synth.results.selection import select
from synth.teacher import Teacher
from synth.types import Sample

PARKED_EXIT = 3


class Offline(Fatal):
    """Only what is stored is used."""

    exit_code = 0


def state_of(line: Line) -> State:
    """What has become of a run so far."""
    error, progress = line.halt.error, line.progress
    if error is None or isinstance(error, Enough | Offline):
        undone = not line.has_enough and progress.unfinished()
        return "partial" if undone or progress.parked() else "complete"
    if isinstance(error, Interrupted):
        return "interrupted"
    return "stopped_by_budget" if error.exit_code == 6 else "failed"


Told = tuple[str, str]
"""Sentences in English, and the same in Japanese; what is not had in it is empty there."""
NOTHING: Told = "", ""


def in_both(told: Sequence[Told]) -> Told:
    """What is told one after the other; where some is had in Japanese the rest stands in English among it."""
    english, japanese = zip(*told, strict=True)
    mixed = "".join(one[1] or one[0] for one in told)
    return " ".join(filter(None, english)), mixed if any(japanese) else ""


@dataclass(frozen=True, slots=True)
class Ending:
    """How the asking ended; unless told otherwise, with a reply to all that was asked."""

    exit_code: int = 0
    why: Told = NOTHING
    at_hosts: Told = NOTHING
    """What was left there."""
    of_no_use: Told = NOTHING
    """Which servers, or keys, were."""
    kept: Told = NOTHING
    """What rows stay in place of those that were not made."""

    @property
    def lacks(self) -> bool:
        """Whether anything is still to come."""
        return bool(self.exit_code) or (self.why, self.at_hosts, self.kept) != (NOTHING,) * 3


def ending_of(line: Line, kept: Told) -> Ending:
    """How the asking of a line ended."""
    teachers = line.teachers.values()
    return Ending(*_ending_of(line), left_at_hosts(teachers), _left_out(teachers), kept)


def wanting(ending: Ending, manifest: Manifest, *, rows: int | None, offline: bool, written: bool) -> Told:
    """What is wanting and why; of `rows`, where there are not to be any number of them."""
    message = ending.why
    if message == NOTHING and rows is not None and manifest.row_count < rows:
        message = _too_few(manifest, rows, offline=offline)
    if message == NOTHING and not manifest.row_count:
        message = _no_row(manifest, kept=written)
    return in_both((message, ending.at_hosts, ending.kept))


def _ending_of(line: Line) -> tuple[int, Told]:
    """Exit code and reason."""
    error, progress = line.halt.error, line.progress
    if error is not None and error.exit_code:
        return error.exit_code, (str(error), error.japanese)
    missing, parked = (0, 0) if line.has_enough else (progress.unfinished(), progress.parked())
    if missing:
        left = f"At least {several(missing, 'sample')} without a stored reply"
        return PARKED_EXIT, (
            f"{left}; `synth run` asks for what is missing.",
            f"少なくとも {missing:,} 件に保存済みの返答がありません。`synth run` で不足分を尋ねます。",
        )
    if parked:
        return PARKED_EXIT, parked_for(parked, progress.poison())
    return 0, NOTHING


def parked_for(parked: int, poison: int) -> Told:
    """What is to be done of so many samples without a usable reply, of which some failed in the same way each time."""
    if poison == parked:
        return (
            f"{several(parked, 'sample')} failed in the same way each time: parked, until `synth retry` asks again.",
            f"{parked:,} 件は毎回同じ失敗をしたため保留しました。`synth retry` でもう一度尋ねます。",
        )
    said = f"{several(parked, 'sample')} got no usable reply: parked, to be asked for once more when you run again"
    but = f", but for {poison:,} that failed in the same way each time: `synth retry`" if poison else ""
    but_ja = f"（うち毎回同じ失敗をした {poison:,} 件は `synth retry`）" if poison else ""
    return (
        f"{said}{but}.",
        f"{parked:,} 件は使える返答がなく保留しました。もう一度実行すると尋ね直します{but_ja}。",
    )


def left_at_hosts(teachers: Iterable[Teacher]) -> Told:
    """What was left at hosts for the next run to collect; a sentence, or empty."""
    left = [(one.endpoint.host, *one.batches.left) for one in teachers if one.batches is not None]
    left = [(host, requests, batches) for host, requests, batches in left if batches]
    if not left:
        return NOTHING
    at_hosts = (
        f"{several(requests, 'request')} in {several(batches, 'batch')} at {host}" for host, requests, batches in left
    )
    at_hosts_ja = (f"{host} のバッチ {batches:,} 個に {requests:,} 件" for host, requests, batches in left)
    return (
        f"{'; '.join(at_hosts)}: run again to collect what they bring, or with --online to wait no longer.",
        f"{'、'.join(at_hosts_ja)}が残っています。もう一度実行すると受け取り、--online を付けると待ちません。",
    )


def _left_out(teachers: Iterable[Teacher]) -> Told:
    """Which servers, or keys, were of no use in the end, while others were: what to mend; empty when all were."""
    whys = [why for one in teachers for why in one.health.left_out()]
    if not whys:
        return NOTHING
    return (
        f"{' '.join(whys)} The others of its teacher were asked instead.",
        f"{' '.join(whys)} 代わりに同じ教師のほかの接続先に尋ねました。",
    )


def _no_row(manifest: Manifest, *, kept: bool) -> Told:
    """That all was refused, and for what; `kept` tells whether that stays in the run's folder."""
    seen = ": see rejected.jsonl or `synth show --rejected`" if kept else ""
    seen_ja = "rejected.jsonl か `synth show --rejected` を見てください。" if kept else ""
    why, why_ja = _refused(manifest)
    return (
        f"No row was made; everything was refused ({why}){seen}.",
        f"行は一つもできませんでした。すべて不採用です（{why_ja}）。{seen_ja}",
    )


def _too_few(manifest: Manifest, wanted: int, *, offline: bool) -> Told:
    """Why there are fewer rows than wanted, and what helps."""
    turns = manifest.seeds.turns
    over = "The seeds were taken once" if turns == 1 else f"The seeds were gone over {turns} times"
    told = f"{manifest.row_count:,} of {several(wanted, 'row')}: {over}"
    told_ja = f"{wanted:,} 行のうち {manifest.row_count:,} 行です。シードは {turns} 回使いました。"
    if offline:
        return (
            f"{told}; `synth run` draws them again while that brings more.",
            f"{told_ja}`synth run` は、行が増える間は繰り返し使います。",
        )
    why, why_ja = _refused(manifest)
    return (
        f"{told}, and another turn would bring too little{f' (refused: {why})' if why else ''}; add seeds, or "
        "loosen what refuses most.",
        f"{told_ja}もう一度使ってもほとんど増えません{f'（不採用：{why_ja}）' if why else ''}。"
        "シードを増やすか、最も多く除いている条件を緩めてください。",
    )


def _refused(manifest: Manifest) -> Told:
    """The most frequent reasons."""
    most = [*manifest.rejected.items()][:3]
    return (
        ", ".join(f"{reason} {count:,}" for reason, count in most),
        "、".join(f"{JAPANESE.reasons.get(reason, reason)} {count:,}" for reason, count in most),
    )


def kept_instead(line: Line, folder: Path) -> Told:
    """A sentence when an unfinished run without rows would take the place of a dataset with some; else empty."""
    rows = folder / "rows.jsonl"
    if state_of(line) == "complete" or not rows.is_file() or rows.stat().st_size == 0:
        return NOTHING
    if any(isinstance(chosen, Sample) for chosen in select(line.outcomes.accepted(), line.recipe.selection)):
        return NOTHING
    return (
        f"No row was made, so the earlier dataset in {folder} stays as it is.",
        f"行ができなかったので、{folder} の以前のデータセットはそのままです。",
    )
