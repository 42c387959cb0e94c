"""`synth account`: what runs that share an account file have spent."""

from __future__ import annotations

from pathlib import Path

from rich.text import Text

from synth.console.screen import ERR, OUT, plain_table, say, write_json
from synth.errors import FolderError
from synth.money import account as accounts
from synth.money.budget import Caps, usd
from synth.storage.lock import holder
from synth.storage.store import connect, read_spent


def account(file: Path, total_usd: float | None, folder: Path | None, *, as_json: bool) -> None:
    """Make or change an account file, release what a dead run holds of it, and show it.

    Raises FolderError when there is none, or the run is not dead.
    """
    if total_usd is not None:
        accounts.set_total(file, Caps(usd=total_usd).microusd or 0)
    if folder is not None:
        if who := holder(folder):
            raise FolderError(f"{folder} is in use by {who}; it gives back what it does not spend when it ends.")
        connection = connect(folder / "run.db")
        back = accounts.release(file, folder, read_spent(connection).microusd)
        connection.close()
        say(ERR, f"{usd(back)} came back from {folder}")
    total, leases = accounts.standing(file)
    free = total - sum(lease.held_microusd for lease in leases)
    if as_json:
        write_json({"total_microusd": total, "free_microusd": free, "leases": leases})
        return
    say(OUT, f"{file}: {usd(free)} free of {usd(total)}")
    table = plain_table("folder", "spent", "held", "", right=1)
    for lease in leases:
        state = "running" if holder(Path(lease.folder)) else ""
        if not state and lease.held_microusd > lease.spent_microusd:
            state = f"not running; `synth account {file} --release {lease.folder}` frees what it holds"
        table.add_row(Text(lease.folder), usd(lease.spent_microusd), usd(lease.held_microusd), Text(state))
    OUT.print(table)
