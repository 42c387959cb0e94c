"""What the disk under a run folder is: how much room it has, and whether it is one that a database may lie on."""

from __future__ import annotations

import os
from pathlib import Path

from synth.patterns import lazy

ROOM_BYTES = 1_000_000_000
ROOM_SHARE = 0.05
ROOM_INODES = 64
MOUNTS = Path("/proc/self/mounts")
ESCAPED = lazy(r"\\([0-7]{3})")
"""Blanks, tabs, line breaks and backslashes in /proc/self/mounts (getmntent(3))."""
NETWORKED = {
    *("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "9p", "ceph", "glusterfs", "lustre", "afs", "ncpfs", "beegfs"),
    *("gpfs", "pvfs2", "orangefs", "ocfs2", "gfs2", "davfs", "virtiofs"),
}
NETWORKED_FUSE = ("sshfs", "rclone", "s3", "gcsfuse", "glusterfs", "ceph", "davfs", "blobfuse", "goofys")
"""Parts of the names of FUSE filesystems that reach over a network; other FUSE filesystems are local."""


def shortage(folder: Path) -> str:
    """What the disk runs short of, in words; empty while there is room.

    Short is less than 1 GB, or than 5 % of a disk on which that is less.
    """
    disk = os.statvfs(folder)
    free, size = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
    if free < min(ROOM_BYTES, ROOM_SHARE * size):
        return f"only {megabytes(free)} are free on the disk of {folder}"
    if disk.f_files and disk.f_favail < ROOM_INODES:
        return f"the disk of {folder} has room for only {disk.f_favail} more files"
    return ""


def free_bytes(folder: Path) -> int:
    """What a user may still write on the disk of a folder."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def megabytes(count: int) -> str:
    """A number of bytes for people."""
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def filesystem(folder: Path, mounts: str | None = None) -> str:
    """The type of the filesystem a folder lies on, as in /proc/self/mounts; empty where that cannot be told."""
    if mounts is None:
        try:
            mounts = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return ""
    place, found, kind = f"{folder.resolve()}/", "", ""
    for line in filter(None, mounts.split("\n")):  # a name may hold what other systems break lines at
        _, where, what = line.split(" ", 3)[:3]
        where = ESCAPED.sub(lambda match: chr(int(match[1], 8)), where).rstrip("/") + "/"
        if place.startswith(where) and len(where) >= len(found):  # the later of two at one place hides the earlier
            found, kind = where, what
    return kind


def is_networked(kind: str) -> bool:
    """Whether a filesystem type reaches over a network, so that its locks and shared memory cannot be trusted."""
    if kind.startswith("fuse"):
        return any(name in kind for name in NETWORKED_FUSE)
    return kind in NETWORKED
