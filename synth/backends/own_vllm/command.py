"""Where vLLM is on this machine, and what it is to serve."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from synth.errors import EngineStopped, RecipeError

VARIABLE = "SYNTH_VLLM"
"""The environment variable that names the `vllm` command of another environment."""
BESIDE = ".venv-vllm/bin/vllm"
"""Where `make vllm` puts it, beside the environment of synth."""
PATH_LIKE = ("./", "../", "/", "~")


def command_of(model: str) -> Path:
    """The `vllm` command: the one that SYNTH_VLLM names, that of synth's own environment, or the first on the path.

    Raises EngineStopped when there is none.
    """
    named = os.environ.get(VARIABLE, "").strip()
    if named:
        found = shutil.which(Path(named).expanduser())
        if found is None:
            raise EngineStopped(f"{VARIABLE} names {named}, which is no command; give the path of `vllm` itself.")
        return Path(found)
    own = (Path(sys.executable).parent / "vllm", Path(sys.prefix).parent / BESIDE)
    found = next(filter(None, map(shutil.which, (*own, "vllm"))), None)
    if found is None:
        raise EngineStopped(
            f"vLLM is to serve {model} and is not installed: pip install 'synth[vllm]' where there is a GPU, `make "
            f"vllm` for CPUs (an environment of its own), or name the command of another environment in {VARIABLE}."
        )
    return Path(found)


def python_of(vllm: Path) -> Path:
    """The Python that a `vllm` command belongs to.

    Raises EngineStopped when it does not stand beside it.
    """
    python = vllm.resolve().parent / "python"
    if not python.is_file():
        raise EngineStopped(
            f"There is no Python beside {vllm.resolve()}, so vLLM cannot be asked without a server; write base_url: "
            f'"serve:MODEL", or name the command of a virtual environment in {VARIABLE}.'
        )
    return python


def model_at(named: str, folder: Path) -> str:
    """What vLLM is to load: a folder, from the recipe's when it is relative, or a name on the Hub.

    Raises RecipeError when a path leads nowhere.
    """
    path = folder / Path(named).expanduser()
    if path.is_dir():
        return str(path.absolute())
    if named.startswith(PATH_LIKE):
        raise RecipeError(f"There is no model in {path.absolute()}; give its folder, or a name on the Hub.")
    return named
