"""Puts the library of recipes and its seeds into the wheel, for `synth new`; all else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

LIBRARY = ("prompts", "data")


class WithLibrary(build_py):
    """The package's modules, and beside them what lies in the repository's own folders."""

    def run(self) -> None:
        """Build; a clone that is installed as editable reads its own folders."""
        super().run()
        for name in LIBRARY if not self.editable_mode else ():
            shutil.copytree(name, Path(self.build_lib) / "synth" / "library" / name, dirs_exist_ok=True)


setup(cmdclass={"build_py": WithLibrary})
