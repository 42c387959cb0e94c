"""`synth account`: what runs that share an account file have spent."""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from rich.text import Text

from synth.console.screen import ERR, OUT, plain_table, say, write_json
from synth.errors import FolderError
from synth.money import account as accounts
from synth.money.budget import Caps, usd
from synth.storage.database import connect, read_spent, readable
from synth.storage.lock import Lock, holder
from synth.types import Spend


def account(file: Path, total_usd: float | None, folder: Path | None, *, as_json: bool) -> None:
    """Make or change an account file, release what a dead run holds of it, and show it.

    Raises FolderError when there is none, or the run is not dead, or not in it.
    """
    if total_usd is not None:
        accounts.set_total(file, Caps(usd=total_usd).microusd or 0)
    if folder is not None:
        if who := holder(folder):
            raise FolderError(f"{folder} is in use by {who}; it gives back what it does not spend when it ends.")
        _spent(folder)  # before it is locked: there must be one
        lock = Lock(folder)  # no run begins to spend what is just given back
        try:
            back = accounts.release(file, accounts.run_in(folder), _spent(folder).microusd)
        finally:
            lock.release()
        say(ERR, f"{usd(back)} came back from {folder}")
    total, leases = accounts.standing(file)
    leases = [_known(lease) for lease in leases]
    free = total - sum(lease.held_microusd for lease in leases)
    if as_json:
        write_json({"total_microusd": total, "free_microusd": free, "leases": leases})
        return
    say(OUT, f"{file}: {usd(max(0, free))} free of {usd(total)}")
    table = plain_table("folder", "spent", "held", "", right=1)
    for lease in leases:
        held = usd(lease.spent_microusd), usd(lease.held_microusd)
        table.add_row(Text(lease.folder), *held, Text(state(lease, file)))
    OUT.print(table)


def _known(lease: accounts.Lease) -> accounts.Lease:
    """A lease with what its run has spent by now, where that can be read: an account is told when more is leased."""
    folder = Path(lease.folder)
    with suppress(FolderError):
        if accounts.run_in(folder) == lease.run:
            return replace(lease, spent_microusd=_spent(folder).microusd)
    return lease


def state(lease: accounts.Lease, file: Path) -> str:
    """What becomes of what a run holds, for people; empty when it ended and holds nothing that it did not spend."""
    try:
        if holder(Path(lease.folder)):
            return "running"
    except FolderError:
        return "somebody else's, who alone can see whether it runs"
    if lease.held_microusd <= lease.spent_microusd:
        return ""
    if accounts.run_in(Path(lease.folder)) != lease.run:  # it may be gone, and another one in its place
        return "its run is no longer there, so all that it holds counts as spent"
    return f"not running; `synth account {file} --release {lease.folder}` frees what it holds"


def _spent(folder: Path) -> Spend:
    """What the run in a folder spent. Raises FolderError when there is none."""
    with readable(folder / "run.db"), closing(connect(folder / "run.db")) as connection:
        return read_spent(connection)
