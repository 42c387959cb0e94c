"""`synth publish` against a local Hub, with the real `huggingface_hub`, read back with the real `datasets`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest
import yaml

from tests.conftest import CANARY, ROOT
from tests.publishing.local_hub import LocalHub

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
pyarrow: Any = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")

REPO = "owner/sums"
WRITES = ("POST /api/repos/create", "PUT", "/commit/", "/branch/", "/settings", "/upload/")


def writes(hub: LocalHub) -> list[str]:
    return [said for said in (f"{method} {path}" for method, path in hub.log) if any(one in said for one in WRITES)]


def record(hub: LocalHub, revision: str = "main") -> dict[str, Any]:
    return json.loads(hub.files(REPO, revision)["synth.json"])


def card(hub: LocalHub, revision: str = "main") -> str:
    return hub.files(REPO, revision)["README.md"].decode()


def test_a_new_repository_is_private_and_reads_back_as_the_run_has_it(hub, publish, make_run, load) -> None:
    run = make_run()
    done = publish(run, "sums")
    assert done.returncode == 0, done.stderr
    assert hub.repositories[REPO].private
    assert f"{hub.url}/datasets/{REPO}" in done.stdout
    assert set(hub.files(REPO)) == {
        ".gitattributes",
        "README.md",
        "synth.json",
        "data/train.parquet",
        "data/test.parquet",
        "figures/way.svg",
    }
    assert hub.files(REPO)["data/train.parquet"] == (run / "dataset/data/train.parquet").read_bytes()
    assert load(REPO) == {"train": ["消費税は 10 % です。", "7 で割ると 3 余る。😀"], "test": ["東京です。"]}
    with pytest.raises(RuntimeError, match="DatasetNotFoundError"):
        load(REPO, token="hf_reader")


def test_what_is_there_already_is_not_sent_again(hub, publish, make_run) -> None:
    run = make_run()
    publish(run, REPO)
    commits, sent = len(hub.commits(REPO)), writes(hub)
    again = publish(run, REPO)
    assert again.returncode == 0
    assert "it is there already" in again.stdout
    assert len(hub.commits(REPO)) == commits
    assert writes(hub) == sent
    # from another machine, which knows nothing of the first time
    (run / "published.json").unlink()
    assert "it is there already" in publish(run, REPO).stdout
    assert writes(hub) == sent


def test_an_upload_killed_in_the_middle_goes_on_and_sends_nothing_twice(hub, hub_env, publish, make_run) -> None:
    run = make_run(
        {name: [f"{name} の答えは {number} です。" for number in range(50)] for name in ("a", "b", "c", "d")}
    )
    reached, release = threading.Event(), threading.Event()

    def hold(number: int) -> None:
        if number == 3:
            reached.set()
            release.wait(20)

    hub.before_upload = hold
    # one upload after the other, so that two are there and none is half there when it dies
    code = (
        "import huggingface_hub.hf_api as api\nwhole = api.HfApi.create_commit\n"
        "api.HfApi.create_commit = lambda self, *a, **k: whole(self, *a, num_threads=1, **k)\n"
        "from synth.cli import main\nmain()"
    )
    killed = subprocess.Popen(
        [sys.executable, "-c", code, "publish", str(run), REPO],
        env=os.environ | hub_env | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert reached.wait(60)
    killed.send_signal(signal.SIGKILL)
    killed.wait(10)
    release.set()
    assert len(hub.uploads) == 2
    assert len(hub.commits(REPO)) == 1
    hub.before_upload = lambda number: None
    done = publish(run, REPO)
    assert done.returncode == 0, done.stderr
    assert len(hub.uploads) == len(set(hub.uploads)) == 4
    assert len(hub.commits(REPO)) == 2
    assert record(hub)["rows"] == {"a": 50, "b": 50, "c": 50, "d": 50}


def test_xet_takes_the_large_files_where_the_client_has_it(hub, publish, make_run, tmp_path) -> None:
    pytest.importorskip("hf_xet", reason="hf_xet is not installed")
    hub.xet = tmp_path / "cas"
    run = make_run()
    done = publish(run, REPO, HF_HUB_DISABLE_XET="0")
    assert done.returncode == 0, done.stderr
    assert hub.uploads == []
    assert any(path.is_file() for path in (hub.xet / "xet" / "xorbs").rglob("*"))
    tree = hub.commits(REPO)[-1].tree
    assert tree["data/train.parquet"].sha256 == record(hub)["files"]["data/train.parquet"]["sha256"]
    assert "it is there already" in publish(run, REPO, HF_HUB_DISABLE_XET="0").stdout


def test_a_new_version_sends_what_changed_and_names_the_one_that_it_follows(hub, publish, make_run, load) -> None:
    publish(make_run({"test": ["同じ"], "train": ["一つ目"], "old": ["古い"]}), REPO)
    first, manifest = hub.commits(REPO)[-1].oid, record(hub)["manifest_sha256"]
    uploads = len(hub.uploads)
    done = publish(make_run({"test": ["同じ"], "train": ["一つ目", "二つ目"]}, folder="next"), REPO)
    assert done.returncode == 0, done.stderr
    assert f"It follows {first[:12]}, which had 3 rows." in done.stdout
    assert len(hub.uploads) == uploads + 1
    assert record(hub)["previous"] == {"commit": first, "manifest_sha256": manifest, "rows": 3}
    assert f"`{first}` の版（3 行）に続く版です。この版は 3 行あります。" in card(hub)
    assert load(REPO) == {"train": ["一つ目", "二つ目"], "test": ["同じ"]}
    assert "data/old.parquet" not in hub.files(REPO)


def test_an_english_card_tells_what_it_follows_in_english(hub, publish, make_run) -> None:
    publish(make_run({"train": ["one"]}, language="en"), REPO)
    publish(make_run({"train": ["one", "two"]}, language="en", folder="next"), REPO)
    assert ", which had 1 row; this one has 2." in card(hub)


def test_what_somebody_else_changed_is_not_overwritten(hub, publish, make_run) -> None:
    publish(make_run(), REPO)
    head = hub.push(REPO, "README.md", b"mended by hand")
    more = make_run({"train": ["新しい"]}, folder="next")
    stopped = publish(more, REPO)
    assert stopped.returncode == 8
    assert stopped.stderr.strip() == (
        f"Somebody else has changed README.md in {REPO} since synth published it. Nothing was overwritten; look at it, "
        f"and go on top of it with --parent {head[:12]}."
    )
    assert hub.commits(REPO)[-1].oid == head
    assert publish(more, REPO, "--parent", head[:12]).returncode == 0
    assert hub.commits(REPO)[-1].oid != head
    assert publish(make_run({"train": ["もっと"]}, folder="third"), REPO, "--parent", head[:12]).returncode == 8


def test_a_push_to_another_file_since_this_run_was_published_is_seen_too(hub, publish, make_run) -> None:
    publish(make_run(), REPO)
    head = hub.push(REPO, "NOTES.md", b"by a colleague")
    stopped = publish(make_run({"train": ["新しい"]}), REPO)
    assert stopped.returncode == 8
    assert f"Somebody else has pushed to {REPO} since this run was published there" in stopped.stderr
    assert hub.commits(REPO)[-1].oid == head


def test_a_push_between_looking_and_committing_makes_the_hub_refuse_it_whole(hub, publish, make_run) -> None:
    publish(make_run(), REPO)
    heads: list[str] = []
    hub.before_commit = lambda: heads.append(hub.push(REPO, "NOTES.md", b"in between"))
    stopped = publish(make_run({"train": ["新しい"]}, folder="next"), REPO)
    assert stopped.returncode == 8
    assert "nothing was overwritten" in stopped.stderr
    assert len(stopped.stderr.strip().splitlines()) == 1
    assert hub.commits(REPO)[-1].oid == heads[0]


def test_a_repository_that_synth_did_not_fill_is_left_alone(hub, hub_env, publish, make_run) -> None:
    publish(make_run(), REPO)
    hub.repositories[REPO].refs["main"] = hub.repositories[REPO].refs["main"][:1]
    head = hub.push(REPO, "paper.pdf", b"%PDF")
    stopped = publish(make_run(folder="other"), REPO)
    assert stopped.returncode == 8
    assert "holds what synth did not publish, such as paper.pdf" in stopped.stderr
    assert publish(make_run(folder="other"), REPO, "--parent", head).returncode == 0
    assert "paper.pdf" in hub.files(REPO)


@pytest.mark.parametrize(
    ("token", "says"),
    [
        ("hf_nobodys", "does not take the token (401); log in anew"),
        ("hf_reader", "The token may not do this to owner/sums (403"),
        ("", "There is no token for"),
    ],
)
def test_a_token_that_does_not_do_is_one_sentence_and_never_shown(hub, publish, make_run, token, says) -> None:
    stopped = publish(make_run(), REPO, HF_TOKEN=token)
    assert stopped.returncode == 8
    assert says in stopped.stderr
    assert len(stopped.stderr.strip().splitlines()) == 1
    assert not token or token not in stopped.stderr + stopped.stdout
    assert hub.repositories == {}


def test_the_token_that_hf_auth_login_left_is_found(hub, publish, make_run, tmp_path) -> None:
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "token").write_text("hf_writer")
    done = publish(make_run(), REPO, HF_TOKEN="")
    assert done.returncode == 0, done.stderr
    assert "hf_writer" not in done.stdout + done.stderr + "".join(
        path.read_text() for path in tmp_path.glob("run/*.json")
    )


def test_a_hub_that_is_not_there_is_one_sentence(publish, make_run) -> None:
    stopped = publish(make_run(), REPO, HF_ENDPOINT="http://127.0.0.1:9")
    assert stopped.returncode == 8
    assert "http://127.0.0.1:9 cannot be reached" in stopped.stderr
    assert "Traceback" not in stopped.stderr


def test_what_is_gated_is_read_by_nobody_who_was_not_let_in(hub, publish, make_run, load) -> None:
    done = publish(make_run(), REPO, "--gated", "manual", "--public")
    assert done.returncode == 0, done.stderr
    assert not hub.repositories[REPO].private
    assert hub.repositories[REPO].gated == "manual"
    settings = [said for said in writes(hub) if "/settings" in said]
    assert len(settings) == 2
    assert load(REPO)["test"] == ["東京です。"]
    with pytest.raises(RuntimeError, match="gated"):
        load(REPO, token="hf_reader")


def test_a_public_repository_takes_nothing_without_the_word_for_it(hub, publish, make_run) -> None:
    publish(make_run(), REPO, "--public")
    more = make_run({"train": ["新しい"]})
    stopped = publish(more, REPO)
    assert stopped.returncode == 8
    assert "is public: everybody could read this" in stopped.stderr
    assert publish(more, REPO, "--public").returncode == 0


def test_a_pull_request_is_opened_once_and_leaves_the_branch_as_it_is(hub, publish, make_run) -> None:
    publish(make_run(), REPO)
    head = hub.commits(REPO)[-1].oid
    hub.repositories[REPO].private = False
    more = make_run({"train": ["提案"]}, folder="next")
    done = publish(more, REPO, "--pull-request", "--public", HF_TOKEN="hf_other")
    assert done.returncode == 0, done.stderr
    assert f"{hub.url}/datasets/{REPO}/discussions/1" in done.stdout
    assert hub.commits(REPO)[-1].oid == head
    assert "data/train.parquet" in hub.files(REPO, "refs/pr/1")
    again = publish(more, REPO, "--pull-request", "--public", HF_TOKEN="hf_other")
    assert "proposed already" in again.stdout
    assert len(hub.repositories[REPO].requests) == 1


def test_a_revision_is_a_branch_of_its_own(hub, publish, make_run, load) -> None:
    publish(make_run(), REPO)
    head = hub.commits(REPO)[-1].oid
    assert publish(make_run({"train": ["枝"]}, folder="next"), REPO, "--revision", "v2").returncode == 0
    assert hub.commits(REPO)[-1].oid == head
    assert record(hub, "v2")["previous"]["commit"] == head
    assert json.loads(hub.files(REPO, "v2")["synth.json"])["rows"] == {"train": 1}


def test_a_first_publication_can_go_to_a_branch(hub, publish, make_run) -> None:
    done = publish(make_run(), REPO, "--revision", "draft")
    assert done.returncode == 0, done.stderr
    assert set(hub.files(REPO)) == {".gitattributes"}
    assert "synth.json" in hub.files(REPO, "draft")


def test_a_dry_run_sends_nothing_and_tells_all(hub, publish, make_run) -> None:
    told = publish(make_run(), REPO, "--dry-run")
    assert told.returncode == 0
    assert "new" in told.stdout
    assert "data/train.parquet" in told.stdout
    assert "Nothing was sent" in told.stdout
    assert writes(hub) == []
    as_json = json.loads(publish(make_run(), REPO, "--dry-run", "--json").stdout)
    assert {file["state"] for file in as_json["files"]} == {"new"}
    assert as_json["published"] is False


def test_several_configs_are_published_and_read(hub, publish, make_run, load) -> None:
    run = make_run()
    (run / "dataset" / "short").mkdir()
    rows = pyarrow.Table.from_pylist([{"messages": [{"role": "assistant", "content": "短い"}]}])
    pyarrow.parquet.write_table(rows, run / "dataset" / "short" / "train.parquet")
    text = (run / "dataset" / "README.md").read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    front["configs"].append({"config_name": "short", "data_files": [{"split": "train", "path": "short/train.parquet"}]})
    head = yaml.safe_dump(front, allow_unicode=True, sort_keys=False)
    (run / "dataset" / "README.md").write_text(f"---\n{head}---\n" + text.split("---\n", 2)[2])
    assert publish(run, REPO).returncode == 0
    assert load(REPO, "short") == {"train": ["短い"]}


SECRET = "hf_" + "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW2xY4z"
FOUND = {"secret": f"鍵は {SECRET} です", "pii": "連絡先は taro.yamada@gmail.com、電話は 090-8765-4321 です。"}


@pytest.mark.parametrize("kind", FOUND)
def test_what_is_found_stops_it_and_its_acceptance_is_recorded(hub, publish, make_run, kind) -> None:
    run = make_run({"train": ["普通の答え", FOUND[kind]]})
    stopped = publish(run, REPO)
    assert stopped.returncode == 1
    assert f"--accept {kind}" in stopped.stderr
    assert "data/train.parquet:2" in stopped.stderr
    assert SECRET not in stopped.stderr + stopped.stdout
    assert writes(hub) == []
    done = publish(run, REPO, "--accept", kind)
    assert done.returncode == 0, done.stderr
    assert [one["kind"] for one in record(hub)["accepted"]] == [kind]
    assert "公開前に見つかったもの" in card(hub)
    assert json.loads((run / "published.json").read_text())[0]["accepted"][0]["kind"] == kind


def test_a_key_of_this_machine_is_never_published(hub, publish, make_run) -> None:
    run = make_run({"train": [f"私の鍵は {CANARY} です"]})
    stopped = publish(run, REPO, "--accept", "secret", "--accept", "pii")
    shutil.rmtree(run)  # after all tests nothing may hold the key
    assert stopped.returncode == 1
    assert "A key of this machine is never published." in stopped.stderr
    assert "SOME_KEY" in stopped.stderr
    assert CANARY not in stopped.stderr + stopped.stdout
    assert writes(hub) == []


def test_a_run_that_is_not_complete_is_published_only_when_that_is_said(hub, publish, make_run) -> None:
    run = make_run(state="stopped_by_budget")
    assert publish(run, REPO).returncode == 1
    assert publish(run, REPO, "--accept", "incomplete").returncode == 0


def test_without_a_licence_nothing_goes_out(hub, publish, make_run) -> None:
    stopped = publish(make_run(license=None), REPO)
    assert stopped.returncode == 2
    assert "the recipe gives no licence" in stopped.stderr
    assert hub.log == []


@pytest.mark.parametrize(
    ("changed", "kind", "says"),
    [
        ({"seeds_license": None}, "seeds", "the licence of the seeds is not told"),
        ({"model": "own<b>|model"}, "terms", "what the terms of own<b>|model say of training is not known"),
    ],
)
def test_what_nobody_knows_of_terms_is_accepted_by_word_and_recorded(
    hub, publish, make_run, changed, kind, says
) -> None:
    stopped = publish(make_run(**changed), REPO)
    assert stopped.returncode == 1
    assert says in stopped.stderr
    assert publish(make_run(**changed), REPO, "--accept", kind).returncode == 0
    assert [one["kind"] for one in record(hub)["accepted"]] == [kind]
    assert "<b>" not in card(hub).replace("\\<b\\>", "")


def test_a_licence_that_the_seeds_do_not_bear_goes_nowhere(hub, publish, make_run) -> None:
    stopped = publish(make_run(license="apache-2.0", seeds_license="cc-by-nc-4.0"), REPO)
    assert stopped.returncode == 2
    assert "apache-2.0 cannot stand over the seeds (cc-by-nc-4.0)" in stopped.stderr
    assert "https://creativecommons.org/licenses/by-nc/4.0/legalcode" in stopped.stderr
    assert hub.log == []


def test_a_licence_that_the_hub_does_not_know_is_told_before_it_is_asked(hub, publish, make_run) -> None:
    stopped = publish(make_run(license="my-own-licence"), REPO)
    assert stopped.returncode == 2
    assert "the Hub knows no licence 'my-own-licence'" in stopped.stderr
    assert hub.log == []


def test_a_card_that_the_hub_does_not_take_is_one_sentence(hub, publish, make_run) -> None:
    stopped = publish(make_run(license="openmdw-1.0"), REPO)  # which this Hub does not know
    assert stopped.returncode == 8
    assert f"{hub.url} does not take the card: Invalid metadata in README.md." in stopped.stderr
    assert len(hub.commits(REPO)) == 1


def test_configs_of_several_kinds_are_told_before_they_cannot_be_read(publish, make_run) -> None:
    run = make_run()
    text = (run / "dataset" / "README.md").read_text().replace("data/test.parquet", "data/test.jsonl")
    (run / "dataset" / "README.md").write_text(text)
    (run / "dataset" / "data" / "test.parquet").rename(run / "dataset" / "data" / "test.jsonl")
    stopped = publish(run, REPO)
    assert stopped.returncode == 5
    assert "names files of several kinds (.jsonl, .parquet)" in stopped.stderr


def test_a_card_that_names_what_is_not_there_is_no_dataset(hub, publish, make_run) -> None:
    run = make_run()
    (run / "dataset" / "data" / "test.parquet").unlink()
    stopped = publish(run, REPO)
    assert stopped.returncode == 5
    assert "names data/test.parquet, which is not there" in stopped.stderr


def test_settings_belong_to_no_pull_request(publish, make_run) -> None:
    stopped = publish(make_run(), REPO, "--pull-request", "--gated", "auto")
    assert stopped.returncode == 2
    assert "--gated" in stopped.stderr
