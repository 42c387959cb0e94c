"""A small finished run, and a Hub to publish it on."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from synth.datasets.card import write_card
from synth.datasets.export import write_dataset, write_rejected
from synth.datasets.rows import line, row
from synth.protocol.endpoint import Endpoint, Price, Sampling
from synth.results.manifest import (
    Manifest,
    RecipeRecord,
    SeedsRecord,
    StageRecord,
    Versions,
    teacher_record,
    write_manifest,
)
from synth.storage.database import Ledger
from synth.types import Message, Sample
from tests.publishing.local_hub import LocalHub

Make = Callable[..., Path]
Publish = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    with LocalHub() as running:
        yield running


@pytest.fixture
def hub_env(hub: LocalHub, tmp_path: Path) -> dict[str, str]:
    """What the clients need to know to speak with the local Hub alone."""
    return {
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": "hf_writer",
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1",
    }


@pytest.fixture
def publish(synth: Any, hub_env: dict[str, str]) -> Publish:
    """`synth publish` against the local Hub."""

    def call(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        return synth("publish", *arguments, env=hub_env | env)

    return call


@pytest.fixture
def make_run(tmp_path: Path) -> Make:
    """Write the folder of a finished run with these answers."""

    def make(
        answers: dict[str, list[str]] | None = None,
        *,
        folder: str = "run",
        language: str = "ja",
        start: int = 0,
        **changed: Any,
    ) -> Path:
        answers = answers or {"train": ["消費税は 10 % です。", "7 で割ると 3 余る。😀"], "test": ["東京です。"]}
        place = tmp_path / folder
        numbered = enumerate(((split, text) for split, texts in answers.items() for text in texts), start)
        rows = ((split, _line(f"{number:06d}", text)) for number, (split, text) in numbered)
        written = write_dataset(rows, place)
        write_rejected([], place / "rejected.jsonl", {})
        manifest = _manifest(language, written.rows, **changed)
        write_manifest(place / "manifest.json", manifest)
        write_card(place, manifest, written)
        return place

    return make


QUESTIONS = (
    "消費税の軽減税率は、どんな品物にかかりますか。",
    "相続を放棄したいとき、いつまでに何をすればよいですか。",
    "年金の受け取りを遅らせると、金額はどう変わりますか。",
    "引っ越したあと、住民票はどこへ移せばよいのでしょうか。",
    "戸籍謄本を郵便で取り寄せる方法を教えてください。",
    "車検を受けずに公道を走った場合の罰則は何ですか。",
    "医療費控除に領収書の原本は要りますか。",
    "俳句に季語を二つ入れてはいけないのはなぜですか。",
    "電車の中で財布を落としました。まずどこへ連絡しますか。",
    "犬を飼い始めたら、役所への届け出は必要ですか。",
    "味噌汁の出汁は昆布と鰹のどちらを先に入れますか。",
    "富士山の山頂は何県にありますか。",
)


def _line(number: str, answer: str) -> bytes:
    question = Message(role="user", content=QUESTIONS[int(number) % len(QUESTIONS)])
    sample = Sample(
        id=f"{number}/0/0",
        seed_id=number,
        parent_id=number,
        stage="answers",
        draw=0,
        fields={},
        messages=(question, Message(role="assistant", content=answer)),
        requests=("ab" * 32,),
    )
    return line(row(sample, {"answers": "large-model"}))


def _manifest(language: str, rows: dict[str, int], **changed: Any) -> Manifest:
    teacher = Endpoint(
        model=changed.pop("model", "Qwen/Qwen3-8B"),
        base_url="https://api.example.com/v1",
        key_variable="SOME_KEY",
        sampling=Sampling(temperature=0.7, max_tokens=512),
        price=Price(input_usd=2, output_usd=8),
    )
    fields: dict[str, Any] = {
        "versions": Versions(synth="0.1.0", python="3.11.7", platform="Linux"),
        "state": "complete",
        "practice": False,
        "recipe": RecipeRecord(
            name=changed.pop("name", "sums"),
            language=language,
            license=changed.pop("license", "cc-by-4.0"),
            sha256="5f" * 32,
            text="name: sums\n",
            templates={"answer.j2": "aa" * 32},
        ),
        "seeds": SeedsRecord(identity="seeds.jsonl", license=changed.pop("seeds_license", "cc0-1.0"), count=3),
        "teachers": (teacher_record("main", teacher, ["qwen3"]),),
        "stages": (StageRecord(name="answers", units=3, drafts=3, accepted=3),),
        "rows": rows,
        "ledger": (Ledger("answers", "main", "ok", 3, 1500, 400, 900, 0, 0),),
        "started": "2026-11-24T12:00:00+00:00",
        "finished": "2026-11-24T12:01:00+00:00",
        "seconds": 60.0,
    }
    return Manifest(**(fields | changed))


@pytest.fixture
def load(tmp_path: Path, hub_env: dict[str, str], python: Callable[..., str]) -> Callable[..., dict[str, Any]]:
    """Read a published dataset with the real client; gives the answers by split."""

    def read(repo: str, *more: str, token: str = "hf_writer") -> dict[str, Any]:
        import json

        text = (
            "import json, sys\nfrom datasets import load_dataset\n"
            "found = load_dataset(*sys.argv[1:])\n"
            "print(json.dumps({name: [row['messages'][-1]['content'] for row in split] for name, split in found.items()}))"
        )
        return json.loads(
            python(text, repo, *more, env=hub_env | {"HF_TOKEN": token, "HF_HOME": str(tmp_path / token)})
        )

    return read


@pytest.fixture
def python(tmp_path: Path) -> Callable[..., str]:
    """Run a few lines in a process of their own; gives what they print, or their error."""
    import sys

    def run(text: str, *arguments: str, env: dict[str, str]) -> str:
        done = subprocess.run(
            [sys.executable, "-c", text, *arguments],
            cwd=tmp_path,
            env=os.environ | env,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stderr[-3000:])
        return done.stdout.splitlines()[-1]

    return run
