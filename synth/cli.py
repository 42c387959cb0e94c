"""The command line. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import errno
import io
import sys
from pathlib import Path

import click

from synth import stopping
from synth.console import file_commands, recipe_commands, run_commands
from synth.console.helping import Grouped
from synth.console.options import AS_JSON, Choice, dollars
from synth.errors import SynthError

FULL_EXIT = 5


def main() -> None:
    """The `synth` command: one sentence and an exit code of its own for every error a user may meet."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows no Japanese is no reason to fail
    stopping.heed()
    try:
        with stopping.doing(stopping.interrupt):
            code = command(standalone_mode=False)
    except SynthError as error:
        from synth.console.screen import ERR, say

        say(ERR, str(error))
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("Stopped.", err=True)
        sys.exit(stopping.CODE)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        click.echo("No space is left where this is written; free some, or write elsewhere, and run it again.", err=True)
        sys.stderr.close()  # what is left of the output would be told as a traceback
        sys.exit(FULL_EXIT)
    sys.exit(code if isinstance(code, int) else 0)


@click.group(cls=Grouped, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="synth")
def command() -> None:
    """Distil a strong teacher into a checked, deduplicated, scored instruction dataset."""


@command.command(short_help="Begin a recipe of your own with a copy of one of synth's.")
@click.argument("name", required=False, default="")
@click.option(
    "--from", "original", default="", metavar="RECIPE", help="The recipe to copy; without it, all are listed."
)
@AS_JSON
def new(name: str, original: str, as_json: bool) -> int:
    """Copy a recipe of synth's library, with its templates and seeds, to a new folder NAME. Nothing is written over."""
    from synth.console import beginning
    from synth.recipes import library

    if original and not name:
        raise click.UsageError(f"give the copy a name: synth new NAME --from {original}")
    if not original:
        return beginning.listed(library.recipes(), wanted=name, as_json=as_json)
    return beginning.begun(library.copy(original, Path(name)), original, as_json=as_json)


@command.command(short_help="Serve the practice teacher, for trying things out.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option(
    "--faults", default="usual", show_default=True, type=Choice(["usual", "held_out", "faultless", "unhealthy"])
)
@click.option("--key", default=None, help="Demand this API key.")
def practice(port: int, host: str, faults: str, key: str | None) -> int:
    """Serve the practice teacher: an OpenAI-compatible server of exercises, for trying things out."""
    from synth.console import hosts

    return hosts.practice(host, port, faults, key)


@command.command(short_help="Say what is known of the hosts that people ask.")
@click.argument("name", required=False, default="")
@AS_JSON
def hosts(name: str, as_json: bool) -> int:
    """Say what is known of the hosts that people ask, or all that is known of the one called NAME: what it takes, how
    it tells limits and reasoning, where its prices come from, and what its terms said."""
    from synth.console import hosts

    hosts.hosts(name, as_json=as_json)
    return 0


@command.command(short_help="Find out what a server can do, by about ten small requests.")
@click.argument("url")
@click.argument("model", required=False, default="")
@click.option("--key", default=None, metavar="VARIABLE", help="The environment variable that holds the key.")
@AS_JSON
def probe(url: str, model: str, key: str | None, as_json: bool) -> int:
    """Find out what the server at URL can do with MODEL (the only one it lists, unless given), by small requests.

    They are paid for like any others and are not kept: about 4,000 tokens in and 1,000 out at most.
    """
    from synth.console import hosts

    return hosts.probed(url, model, key, as_json=as_json)


@command.command()
def schema() -> int:
    """Print the JSON schema of recipes, for editors."""
    import json

    from synth.recipes.described import json_schema

    click.echo(json.dumps(json_schema(), ensure_ascii=False, indent=2))
    return 0


@command.command(short_help="Print what has a shell complete commands and options.")
@click.argument("shell", type=Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print the script by which SHELL completes commands, options and paths."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    script = found(command, {}, "synth", "_SYNTH_COMPLETE").source()
    click.echo(script.replace('string split ","', 'string split -m 1 ","'))  # fish: what is told may hold commas
    return 0


@command.command(short_help="Show, make or change a sum that several runs share.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--usd", type=float, callback=dollars, help="Make the account with this total, or change its total.")
@click.option("--release", type=click.Path(path_type=Path), metavar="FOLDER", help="Give back what a dead run holds.")
@AS_JSON
def account(file: Path, usd: float | None, release: Path | None, as_json: bool) -> int:
    """Show the account FILE that runs share with --budget account=FILE: its total, and what each run holds."""
    from synth.console import account

    account.account(file, usd, release, as_json=as_json)
    return 0


@command.command(short_help="Look over the installation, or a run's store.")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--repair", is_flag=True, help="Save what can be read of a damaged run.db; the old one stays beside it.")
@AS_JSON
def doctor(folder: Path | None, repair: bool, as_json: bool) -> int:
    """Look over the installation, and the run in FOLDER if one is given."""
    from synth.console import doctor

    if repair and folder is None:
        raise click.UsageError("--repair needs the FOLDER of a run.")
    return doctor.doctor(folder, repair=repair, as_json=as_json)


for each in (*recipe_commands.ALL, *run_commands.ALL, *file_commands.ALL):
    command.add_command(each)
