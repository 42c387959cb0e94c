"""Which filesystem a run folder lies on, as /proc/self/mounts tells it, and which of them are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from synth.errors import FolderError
from synth.storage import disk
from synth.storage.store import Store

MOUNTS = """\
/dev/vda1 / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
server:/export {root}/shared nfs4 rw,vers=4.2 0 0
/dev/vda1 {root}/shared/local ext4 rw 0 0
server:/export/家 {root}/my\\040runs\\011of\\012家\\134 nfs rw 0 0
//server/share {root}/share cifs rw 0 0
sshfs#host: {root}/far fuse.sshfs rw 0 0
ntfs {root}/near fuseblk rw 0 0
portal {root}/portal fuse.portal rw 0 0
/dev/vdb1 {root}/hidden ext4 rw 0 0
server:/export {root}/hidden nfs rw 0 0
"""


@pytest.mark.parametrize(
    ("name", "kind", "networked"),
    [
        ("plain", "ext4", False),
        ("shared", "nfs4", True),
        ("shared/runs/small", "nfs4", True),
        ("shared/local/runs", "ext4", False),  # a bind mount of a local disk inside a share
        ("shared-not", "ext4", False),
        ("my runs\tof\n家\\/run", "nfs", True),
        ("share", "cifs", True),
        ("far/run", "fuse.sshfs", True),
        ("near/run", "fuseblk", False),
        ("portal", "fuse.portal", False),
        ("hidden/run", "nfs", True),  # the later mount lies over the earlier
    ],
)
def test_the_filesystem_of_a_folder_is_that_of_the_innermost_mount(name, kind, networked, tmp_path):
    root = tmp_path.resolve()
    assert disk.filesystem(root / name, MOUNTS.format(root=root)) == kind
    assert disk.is_networked(kind) is networked


def test_a_run_folder_on_a_network_filesystem_is_refused_in_one_sentence(tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS.format(root=tmp_path.resolve()), encoding="utf-8")
    monkeypatch.setattr(disk, "MOUNTS", mounts)
    with pytest.raises(FolderError, match=r"network filesystem \(nfs4\)") as error:
        Store(tmp_path / "shared" / "run")
    assert "a run folder on a local disk" in str(error.value)
    assert not (tmp_path / "shared" / "run" / "run.db").exists()
    Store(tmp_path / "plain").close()


def test_a_link_to_a_share_is_where_it_leads(tmp_path):
    root = tmp_path.resolve()
    (root / "shared").mkdir()
    (root / "link").symlink_to(root / "shared")
    assert disk.filesystem(root / "link" / "run", MOUNTS.format(root=root)) == "nfs4"


def test_where_there_is_no_list_of_mounts_nothing_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "MOUNTS", Path("/nonesuch"))
    assert disk.filesystem(tmp_path) == ""
    assert not disk.is_networked("")
