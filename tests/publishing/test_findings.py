"""What is looked for before anything is published."""

from __future__ import annotations

import pytest

from synth import publishing
from synth.protocol import keys
from synth.publishing.content import gather
from synth.publishing.findings import accepted_of, find

LONG = "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW2xY4z6B8cD0eF2gH4"
KEYS = {
    "an OpenAI or Anthropic key": f"sk-proj-{LONG}",
    "a Hugging Face token": f"hf_{LONG[:34]}",
    "a GitHub token": f"ghp_{LONG[:36]}",
    "a GitLab token": f"glpat-{LONG[:20]}",
    "an AWS access key": "AKIA4QZT7MNB2XWKJ5RD",
    "a Google API key": f"AIza{LONG[:35]}",
    "a Slack token": "xoxb-48301957264-70182934655-qWeRtYuIoPaSdFgH",
    "a Stripe key": f"sk_live_{LONG[:24]}",
    "a Groq key": f"gsk_{LONG}{LONG}",
    "a package index token": f"npm_{LONG[:36]}",
    "a JSON web token": "eyJhbGciOiJIUzI1NiIsInR5cCI6.eyJzdWIiOiI5ODc2NTQzMjEwIiwi.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV",
    "a private key": f"-----BEGIN RSA PRIVATE KEY-----\n{LONG}{LONG}\n-----END RSA PRIVATE KEY-----",
    "a password in an address": "postgres://admin:h7Kq92LmXz@db.internal:5432/app",
}


@pytest.mark.parametrize("what", KEYS)
@pytest.mark.parametrize("around", ["鍵は「{}」です。", "export KEY={}\n", "{}"])
def test_a_key_is_found_wherever_it_stands(make_run, what, around) -> None:
    found = find(gather(make_run({"train": ["答え", around.format(KEYS[what])]})), {})
    assert [(one.kind, one.what, one.count, one.places) for one in found if one.kind == "secret"] == [
        ("secret", what, 1, ["data/train.parquet:2"])
    ]


@pytest.mark.parametrize(
    "text",
    [
        "環境変数に sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxx を入れます。",
        "Use hf_YOUR_TOKEN_GOES_HERE_xxxxxxxxxxxx.",
        "aws_access_key_id = AKIAIOSFODNN7EXAMPLE",
        "postgres://user:password@localhost/db",
        "postgres://user:${DB_PASSWORD}@localhost/db",
        "sk-learn-contrib-imbalanced is a package",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        "git@github.com:owner/name.git",
        "https://example.com/@someone/12345",
        "連絡先は info@example.com です。",
    ],
)
def test_what_only_looks_like_one_is_not(make_run, text) -> None:
    assert find(gather(make_run({"train": [text]})), {}) == []


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("taro.yamada@gmail.com に送ります。", "an e-mail address"),
        ("電話は０９０－８７６５－４３２１です。", "a telephone number"),
        ("マイナンバーは 1234-5678-9018 です。", "a My Number"),
    ],
)
def test_personal_data_is_found_in_japanese_too(make_run, text, what) -> None:
    assert [(one.kind, one.what) for one in find(gather(make_run({"train": [text]})), {})] == [("pii", what)]


def test_files_that_are_no_rows_are_looked_through_for_keys(make_run) -> None:
    run = make_run()
    (run / "dataset" / "notes.txt").write_text(KEYS["a GitHub token"])
    assert [one.places for one in find(gather(run), {})] == [["notes.txt"]]


def test_a_key_in_use_is_found_to_the_letter_and_cannot_be_accepted(make_run) -> None:
    found = find(gather(make_run({"train": ["合言葉は ひらけごまだよ です"]})), {"SOME_KEY": "ひらけごまだよ"})
    accepted, refused = accepted_of(found, ["secret", "pii", "incomplete"])
    assert [one.what for one in refused] == ["the value of SOME_KEY"]
    assert accepted == ()


def test_a_key_that_looks_like_a_hash_is_found_where_it_stands_alone(make_run) -> None:
    key = "0123456789abcdef" * 2
    found = find(gather(make_run({"train": [key]})), {"SOME_KEY": key})
    assert [one.what for one in found] == ["the value of SOME_KEY"]


@pytest.mark.parametrize("where", [".", "run", "work"])
def test_a_key_that_a_file_holds_is_a_key_in_use(make_run, tmp_path, monkeypatch, where) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    monkeypatch.setattr(keys, "_read", {})
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    run = make_run({"train": ["合言葉は ひらけごまだよ一二三 です"]})
    (tmp_path / where / ".env").write_text("SOME_KEY=ひらけごまだよ一二三 # 鍵\n", encoding="utf-8")
    (tmp_path / where / ".env").chmod(0o600)
    outcome = publishing.to_folder(run, str(tmp_path / "out"), (), dry_run=False)
    assert [one.kind for one in outcome.refused] == ["own_key"]
    assert not (tmp_path / "out").exists()


def test_only_what_is_found_is_recorded_as_accepted(make_run) -> None:
    found = find(gather(make_run({"train": ["電話は 090-8765-4321 です"]})), {})
    accepted, refused = accepted_of(found, ["secret", "pii"])
    assert [(one.kind, one.found) for one in accepted] == [("pii", {"a telephone number": 1})]
    assert refused == []
