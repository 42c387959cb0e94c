"""`synth publish` into a folder of this machine, which needs no package beyond the core's."""

from __future__ import annotations

import sys

import pytest

from synth import publishing
from synth.errors import PublishError, RecipeError
from synth.publishing.hub import Wanted


@pytest.fixture(autouse=True)
def _no_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fsspec", "fsspec.core", "huggingface_hub"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize("address", ["{}", "file://{}", "{}/"])
def test_a_folder_is_published_to_without_any_package_and_not_twice(make_run, tmp_path, address: str) -> None:
    run, folder = make_run(), tmp_path / "公開 用"
    first = publishing.to_folder(run, address.format(folder), (), dry_run=False)
    assert first.done is not None
    assert first.done.is_new
    published = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert published == {item.path for item in first.plan.changed}
    assert (folder / "README.md").read_bytes() == (run / "dataset" / "README.md").read_bytes()
    again = publishing.to_folder(run, address.format(folder), (), dry_run=False)
    assert again.done is not None
    assert not again.done.is_new


def test_a_folder_with_something_else_in_it_is_left_as_it_is(make_run, tmp_path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "論文.txt").write_text("大事")
    with pytest.raises(PublishError, match=r"holds what synth did not publish, such as 論文\.txt"):
        publishing.to_folder(make_run(), str(tmp_path / "mine"), (), dry_run=False)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["論文.txt"]


def test_a_place_that_is_no_folder_is_one_sentence(make_run, tmp_path) -> None:
    (tmp_path / "file").write_text("a")
    with pytest.raises(PublishError, match="cannot be written or read"):
        publishing.to_folder(make_run(), str(tmp_path / "file" / "in"), (), dry_run=False)


def test_what_needs_a_package_names_it_and_the_way_without(make_run) -> None:
    with pytest.raises(RecipeError, match=r"needs a package.*synth\[s3\].*such as \./published needs none"):
        publishing.to_folder(make_run(), "s3://bucket/data", (), dry_run=True)
    with pytest.raises(RecipeError, match=r"huggingface_hub.*A folder is written as \./NAME"):
        publishing.to_hub(make_run(), Wanted("mine"), (), dry_run=True)
