"""`synth publish` into folders and object stores, by fsspec."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synth import publishing
from synth.errors import PublishError, RecipeError
from synth.publishing.folder import UPLOADED

fsspec: Any = pytest.importorskip("fsspec", reason="fsspec is not installed")


@pytest.fixture
def memory() -> Iterator[Any]:
    files = fsspec.filesystem("memory")
    yield files
    files.rm("/", recursive=True)


class Dies(Exception):
    """Stands for a process that ends in mid-upload."""


def put(run: Path, url: str, **more: Any) -> publishing.Outcome:
    return publishing.to_folder(run, url, more.pop("accept", ()), dry_run=more.pop("dry_run", False))


def watched(monkeypatch: pytest.MonkeyPatch, files: Any, dies_at: str = "") -> list[str]:
    """The files of rows that are written from now on, by name."""
    seen: list[str] = []
    whole = type(files).put_file

    def put_file(self: Any, source: str, target: str, **more: Any) -> None:
        if dies_at and target.endswith(dies_at):
            raise Dies
        if target.endswith(".parquet"):
            seen.append(target.rpartition("/")[2])
        whole(self, source, target, **more)

    monkeypatch.setattr(type(files), "put_file", put_file)
    return seen


def test_a_folder_gets_the_dataset_and_reads_back(make_run, tmp_path) -> None:
    datasets: Any = pytest.importorskip("datasets", reason="datasets is not installed")
    done = put(make_run(), (tmp_path / "out").as_uri()).done
    assert done is not None
    assert done.is_new
    read = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert read["test"][0]["messages"][1]["content"] == "東京です。"
    assert not (tmp_path / "out" / UPLOADED).exists()


def test_the_same_again_writes_nothing_and_a_new_version_only_what_changed(memory, make_run, monkeypatch) -> None:
    put(make_run(), "memory://set")
    seen = watched(monkeypatch, memory)
    again = put(make_run(), "memory://set").done
    assert again is not None
    assert not again.is_new
    assert seen == []
    put(make_run({"train": ["新しい", "二つ目"], "test": ["東京です。"]}, folder="next"), "memory://set")
    assert seen == ["train.parquet"]
    previous = json.loads(memory.cat_file("/set/synth.json"))["previous"]
    assert previous["rows"] == 3
    assert f"`{previous['manifest_sha256'][:12]}` の版（3 行）" in memory.cat_file("/set/README.md").decode()


def test_files_that_a_new_version_has_no_more_are_removed(memory, make_run) -> None:
    put(make_run(), "memory://set")
    memory.pipe_file("/set/LICENSE", b"mine")
    put(make_run({"train": ["新しい"]}, folder="next"), "memory://set")
    assert memory.exists("/set/LICENSE")
    assert not memory.exists("/set/data/test.parquet")


def test_an_upload_that_dies_goes_on_where_it_stopped(memory, make_run, monkeypatch) -> None:
    run = make_run()
    with monkeypatch.context() as dying:
        watched(dying, memory, "train.parquet")
        with pytest.raises(Dies):
            put(run, "memory://set")
    assert not memory.exists("/set/synth.json")
    seen = watched(monkeypatch, memory)
    put(run, "memory://set")
    assert seen == ["train.parquet"]
    assert not memory.exists(f"/set/{UPLOADED}")
    assert put(run, "memory://set").plan.is_done


@pytest.mark.parametrize("published_before", [False, True])
def test_an_upload_that_dies_in_its_first_file_goes_on(memory, make_run, monkeypatch, published_before) -> None:
    if published_before:
        put(make_run({"train": ["前の版"]}, folder="before"), "memory://set")
    run = make_run({"train": ["新しい版の答えです。"]})

    def part(self: Any, source: str, target: str, **more: Any) -> None:
        self.pipe_file(target, b"half")
        raise Dies

    with monkeypatch.context() as dying:
        dying.setattr(type(memory), "put_file", part)
        with pytest.raises(Dies):
            put(run, "memory://set")
    put(run, "memory://set")
    record = json.loads(memory.cat_file("/set/synth.json"))
    assert all(memory.size(f"/set/{path}") == one["bytes"] for path, one in record["files"].items())
    assert not memory.exists(f"/set/{UPLOADED}")


def test_a_note_of_an_upload_that_was_cut_off_stops_nobody(memory, make_run) -> None:
    memory.pipe_file(f"/set/{UPLOADED}", b'{"data/tr')
    memory.pipe_file("/set/data/train.parquet", b"half")
    put(make_run(), "memory://set")
    assert put(make_run(), "memory://set").plan.is_done


def test_an_upload_that_dies_when_all_is_up_follows_no_version_of_itself(memory, make_run, monkeypatch) -> None:
    run = make_run()

    def dies(self: Any, path: str) -> None:
        raise Dies

    with monkeypatch.context() as dying:
        dying.setattr(type(memory), "rm_file", dies)
        with pytest.raises(Dies):
            put(run, "memory://set")
    assert memory.exists("/set/synth.json")
    again = put(run, "memory://set")
    assert again.plan.is_done
    assert not memory.exists(f"/set/{UPLOADED}")
    assert json.loads(memory.cat_file("/set/synth.json"))["previous"] is None


@pytest.mark.parametrize("url", ["ftp://taro:himitsu@example.com/set", "s3://KEY:ab/himitsu@bucket/set"])
def test_a_password_in_the_address_is_refused_and_not_repeated(synth, make_run, url) -> None:
    stopped = synth("publish", make_run(), url)
    assert "The address holds a password" in stopped.stderr
    assert "himitsu" not in stopped.stdout + stopped.stderr


def test_what_somebody_else_did_there_is_not_overwritten(memory, make_run) -> None:
    memory.pipe_file("/other/paper.pdf", b"%PDF")
    with pytest.raises(PublishError, match=r"holds what synth did not publish, such as paper\.pdf"):
        put(make_run(), "memory://other")
    put(make_run(), "memory://set")
    memory.pipe_file("/set/README.md", b"mended by hand")
    with pytest.raises(PublishError, match=r"Somebody else has changed README\.md"):
        put(make_run({"train": ["新しい"]}, folder="next"), "memory://set")
    assert memory.cat_file("/set/README.md") == b"mended by hand"


def test_another_version_since_this_run_was_published_is_not_replaced(memory, make_run) -> None:
    first = make_run()
    put(first, "memory://set")
    put(make_run({"train": ["同僚の版"]}, folder="colleague"), "memory://set")
    with pytest.raises(PublishError, match="Somebody else has published to memory://set since this run did"):
        put(make_run({"train": ["わたしの版"]}), "memory://set")


def test_a_version_that_comes_in_between_is_seen_before_the_record_is_written(memory, make_run, monkeypatch) -> None:
    run = make_run()
    whole = type(memory).put_file

    def meanwhile(self: Any, source: str, target: str, **more: Any) -> None:
        whole(self, source, target, **more)
        monkeypatch.setattr(type(memory), "put_file", whole)
        (run.parent / "other").mkdir()
        put(make_run({"train": ["同僚の版"]}, folder="colleague"), "memory://elsewhere")
        self.pipe_file("/set/synth.json", memory.cat_file("/elsewhere/synth.json"))

    monkeypatch.setattr(type(memory), "put_file", meanwhile)
    with pytest.raises(PublishError, match="in the meantime"):
        put(run, "memory://set")
    assert memory.cat_file("/set/synth.json") == memory.cat_file("/elsewhere/synth.json")


def test_a_dry_run_writes_nothing(memory, make_run) -> None:
    outcome = put(make_run(), "memory://set", dry_run=True)
    assert {item.path for item in outcome.plan.changed} >= {"README.md", "synth.json", "data/train.parquet"}
    assert not memory.exists("/set")


def test_personal_data_stops_it_here_too(memory, make_run) -> None:
    outcome = put(make_run({"train": ["電話は 090-8765-4321 です"]}), "memory://set")
    assert [one.kind for one in outcome.refused] == ["pii"]
    assert not memory.exists("/set")


def test_an_address_that_nothing_opens_is_a_sentence(make_run) -> None:
    with pytest.raises(RecipeError, match="nosuch://x cannot be opened"):
        put(make_run(), "nosuch://x")


def test_a_folder_that_cannot_be_written_is_a_sentence(make_run, tmp_path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(PublishError, match="cannot be written or read"):
        put(make_run(), (tmp_path / "file" / "out").as_uri())


def test_options_of_a_repository_are_none_of_a_folders(synth, make_run, tmp_path) -> None:
    stopped = synth("publish", make_run(), tmp_path.as_uri() + "/out", "--public")
    assert stopped.returncode == 2
    assert "--public is for repositories of the Hub" in stopped.stderr


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[str]:
    """A local S3 server with a bucket; gives its address."""
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    pytest.importorskip("moto", reason="moto is not installed")
    from moto.server import ThreadedMotoServer  # pyright: ignore[reportMissingImports]

    server: Any = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_a_bucket_of_s3_gets_the_dataset_once(s3: str, synth, make_run) -> None:
    env = {
        "AWS_ENDPOINT_URL": s3,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    make = "import s3fs; s3fs.S3FileSystem().mkdir('bucket')"
    subprocess.run([sys.executable, "-c", make], env=os.environ | env, check=True, timeout=60)
    run = make_run()
    first = synth("publish", run, "s3://bucket/sums", env=env)
    assert first.returncode == 0, first.stderr
    assert "it is there already" in synth("publish", run, "s3://bucket/sums", env=env).stdout
    absent = synth("publish", run, "s3://no-such-bucket/sums", env=env)
    assert absent.returncode == 8, absent.stderr
    assert "Traceback" not in absent.stderr
