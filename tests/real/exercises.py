"""A recipe of exercises that the trained tiny model answers rightly, by whichever server."""

from __future__ import annotations

import json
from pathlib import Path

from tests.real.started import THINKING

RECIPE = """\
name: tiny
language: ja
seeds: {{kind: jsonl, path: seeds.jsonl}}
teachers:
  main:
    model: tiny
    base_url: "{base_url}"
    sampling: {{max_tokens: 80, temperature: 0}}
    limits: {{max_in_flight: {in_flight}}}
    {more}
stages:
  - name: answer
    generator: {{kind: answer, prompt: ask.md.j2}}
"""
COUNT = 60


def recipe(folder: Path, exercises, base_url: str, *, in_flight: int = 32, own: bool = True) -> Path:
    folder.mkdir(exist_ok=True)
    more = f"vllm_args: {json.dumps(THINKING)}" if own else ""
    (folder / "recipe.yaml").write_text(RECIPE.format(base_url=base_url, in_flight=in_flight, more=more))
    (folder / "ask.md.j2").write_text("{{ q }}")
    seeds = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in exercises)
    (folder / "seeds.jsonl").write_text(seeds, encoding="utf-8")
    return folder
