"""The templates of synth's own, compiled once: Jinja takes a quarter of a second for those that a run writes with."""

from __future__ import annotations

import hashlib
import marshal
import os
import sys
from contextlib import suppress
from importlib.metadata import version
from importlib.util import cache_from_source
from pathlib import Path

from jinja2 import BytecodeCache, Environment
from jinja2.bccache import Bucket


class Compiled(BytecodeCache):
    """Keeps what Jinja makes of a template where Python keeps what it makes of a module beside it, and under the same
    conditions; who cannot write there compiles anew."""

    def get_bucket(self, environment: Environment, name: str, filename: str | None, source: str) -> Bucket:
        """The kept code of a template, or none where the template, what it may use, or Jinja is another one."""
        assert filename is not None  # they are files
        escapes = environment.autoescape
        told = escapes(name) if callable(escapes) else escapes, sorted(environment.filters), version("jinja2")
        blanks = environment.trim_blocks, environment.lstrip_blocks, environment.keep_trailing_newline
        checksum = hashlib.sha256(f"{told}{blanks}{source}".encode()).hexdigest()
        bucket = Bucket(environment, cache_from_source(f"{filename}.j2"), checksum)
        self.load_bytecode(bucket)
        return bucket

    def load_bytecode(self, bucket: Bucket) -> None:
        """Called by Jinja."""
        with suppress(OSError, EOFError, ValueError, TypeError):
            checksum, bucket.code = marshal.loads(Path(bucket.key).read_bytes())  # noqa: S302 (lies beside our modules)
            if checksum != bucket.checksum:
                bucket.reset()

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Called by Jinja."""
        path = Path(bucket.key)
        partial = path.with_name(f"{path.name}.{os.getpid()}")  # others may compile it too
        if not sys.dont_write_bytecode:
            with suppress(OSError):
                path.parent.mkdir(parents=True, exist_ok=True)
                partial.write_bytes(marshal.dumps((bucket.checksum, bucket.code)))
                partial.replace(path)
