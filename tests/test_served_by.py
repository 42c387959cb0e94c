"""A row names those to whom an endpoint that passes requests on says that it passed them."""

from __future__ import annotations

import json

import synth

RECIPE = """\
name: routed
language: ja
seeds: {kind: jsonl, path: seeds.jsonl}
teachers: {main: {model: m, base_url: "replay:replies.jsonl"}}
stages:
  - {name: pose, generator: {kind: answer, prompt: ask.md.j2}}
  - {name: answer, generator: {kind: answer, prompt: again.md.j2}}
"""


def response(text, provider):
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    return {"choices": [choice], **({"provider": provider} if provider else {})}


def test_a_row_names_each_of_those_who_served_it_once(tmp_path):
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "ask.md.j2").write_text("{{ 問 }}")
    (tmp_path / "again.md.j2").write_text("もう一度: {{ 問 }}")
    (tmp_path / "seeds.jsonl").write_text("".join(f'{{"問": "{one}"}}\n' for one in "一二三"), encoding="utf-8")
    who = {"一": ("さくら", "DeepInfra"), "二": ("さくら", "さくら"), "三": ("", "")}
    lines = [
        json.dumps({"prompt": f"{before}{one}", "response": response(f"{one}の答え", provider)})
        for one, providers in who.items()
        for before, provider in zip(("", "もう一度: "), providers, strict=True)
    ]
    (tmp_path / "replies.jsonl").write_text("\n".join(lines))
    result = synth.run(tmp_path, folder=tmp_path / "run")
    rows = [json.loads(line) for line in (result.folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["served_by"] for row in rows] == [["さくら", "DeepInfra"], ["さくら"], []]
