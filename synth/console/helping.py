"""What `--help` shows: commands by what they are for, a command's own options before the shared ones, examples."""

from __future__ import annotations

from collections.abc import Iterable

import click

SECTIONS = {
    "Begin": ("new", "check", "preview", "estimate", "compare"),
    "Make a dataset": ("run", "retry", "export", "select"),
    "Follow a run": ("status", "watch", "ctl", "show", "trace"),
    "Use it": ("convert", "publish", "merge", "diff"),
    "Rows of any file": ("lint", "dedupe", "decontaminate", "validate", "score", "split"),
    "Servers": ("hosts", "probe", "practice"),
    "Around": ("account", "doctor", "schema", "completion"),
}
"""Every command, in the order in which a person meets them."""
STAND_IN = frozenset({"teachers", "serve", "seeds", "caps", "allow_unknown_price", "accept_terms", "rows", "online"})
"""Options that many commands share, as they stand in for the recipe's own words."""
EXAMPLES = {
    "account": ("synth account team.db --usd 100", "synth run RECIPE --budget account=team.db"),
    "check": ("synth check mine", "synth check mine --teacher main=http://localhost:8000/v1,MODEL"),
    "compare": ("synth compare mine --teachers small,large -n 20",),
    "completion": ('eval "$(synth completion bash)"',),
    "convert": (
        "synth convert runs/mine --to llama-factory --out converted",
        "synth convert rows.jsonl --to openai --out upload --shuffle 7 --shards 4",
    ),
    "ctl": ("synth ctl runs/mine pause", "synth ctl runs/mine limit 8", "synth ctl runs/mine budget 30"),
    "decontaminate": ("synth decontaminate train.jsonl --against gsm8k-test.jsonl --out clean",),
    "dedupe": ("synth dedupe a.jsonl b.jsonl", "synth dedupe a.jsonl b.jsonl --by question --out unique"),
    "diff": ("synth diff runs/old runs/new",),
    "doctor": ("synth doctor", "synth doctor runs/mine --repair"),
    "estimate": ("synth estimate mine --budget 1",),
    "export": ("synth export mine",),
    "hosts": ("synth hosts", "synth hosts openai"),
    "lint": ("synth lint runs/mine/dataset", "synth lint train.jsonl --for llama-factory"),
    "merge": ("synth merge runs/a runs/b --out runs/both --against exam.jsonl",),
    "new": ("synth new", "synth new mine --from quickstart-en"),
    "practice": ("synth practice --port 8000",),
    "preview": ("synth preview mine", "synth preview mine -n 5 --teacher main=http://localhost:8000/v1,MODEL"),
    "probe": ("synth probe http://localhost:8000/v1", "synth probe https://api.example.com/v1 MODEL --key API_KEY"),
    "publish": ("synth publish runs/mine OWNER/NAME --dry-run", "synth publish runs/mine OWNER/NAME"),
    "retry": ("synth retry mine",),
    "run": (
        "synth run mine --budget 20",
        "synth run mine --teacher main=http://localhost:8000/v1,MODEL",
    ),
    "schema": ("synth schema > recipe.schema.json",),
    "score": ("synth score rows.jsonl --scorer '{kind: exact_answer, reference: answer}'",),
    "select": ("synth select mine --require judge=5", "synth select runs/mine --decisions decisions.jsonl"),
    "show": ("synth show runs/mine -n 5", "synth show runs/mine --reason refusal"),
    "split": ("synth split rows.jsonl --fractions train=0.9,test=0.1 --out dealt",),
    "status": ("synth status runs/mine",),
    "trace": ("synth trace runs/mine 00000007/00/003/01/000",),
    "validate": ("synth validate rows.jsonl --check '{kind: length, max_chars: 4000}'",),
    "watch": ("synth watch runs/mine",),
}


class Told(click.Command):
    """A command whose help ends with examples."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Its own options, and then those that stand in for the recipe's words."""
        own, shared = list[tuple[str, str]](), list[tuple[str, str]]()
        takes_recipe = any(isinstance(one, click.Argument) and one.name == "recipe" for one in self.params)
        for option in (one for one in self.get_params(ctx) if isinstance(one, click.Option)):
            if (record := option.get_help_record(ctx)) is not None:
                (shared if takes_recipe and option.name in STAND_IN else own).append(record)
        for title, records in (("Options", own), ("In place of the recipe's words", shared)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lines that can be typed."""
        _lines(formatter, "Examples", EXAMPLES[ctx.info_name.split()[-1] if ctx.info_name else ""])


class Grouped(click.Group):
    """A group that lists its commands in sections."""

    command_class = Told

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A line for each command, in the sections' order."""
        width = max(map(len, self.list_commands(ctx)))
        for title, names in SECTIONS.items():
            told = [(f"{name:{width}}", self.commands[name].get_short_help_str(100)) for name in names]
            with formatter.section(title):
                formatter.write_dl(told)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The way from nothing to a dataset."""
        name = ctx.info_name
        steps = ("new mine --from quickstart-en", "preview mine", "run mine")
        _lines(formatter, "The short way", [f"{name} {step}" for step in steps])


def _lines(formatter: click.HelpFormatter, title: str, lines: Iterable[str]) -> None:
    """Lines as they are, which a terminal may fold and a selection still copies whole."""
    with formatter.section(title):
        for line in lines:
            formatter.write(f"{'':{formatter.current_indent}}{line}\n")
