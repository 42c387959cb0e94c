"""The notebooks run from a clean start, offline, and show what they are about."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SHOWN = {
    "explore-a-teacher": ["exercises from 5 of 5 prompts", "practice-1 at practice:", "'instrution' is not defined"],
    "inspect-a-run": ["258 rows", "not_best", "実行レポート"],
    "from-documents": ["no twins by asked", "grounded-qa-en complete: 11 of 11 seeds", "published is new"],
}
"""What stands in the outputs of each."""


def executed(path, folder, monkeypatch):
    """The cells of a notebook after it ran beside a copy of nothing but the recipes."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    (folder / "notebooks").mkdir()
    (folder / "prompts").symlink_to(ROOT / "prompts")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("IPYTHONDIR", str(folder / "ipython"))
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(folder / "notebooks")}}
    nbclient.NotebookClient(notebook, timeout=100, kernel_name="python3", resources=resources).execute()
    return notebook.cells


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("default")  # jupyter's own
def test_a_notebook_runs_offline_and_says_nothing_beside_its_outputs(path, tmp_path, monkeypatch):
    outputs = [one for cell in executed(path, tmp_path, monkeypatch) for one in cell.get("outputs", [])]
    told = [one.get("text", "") + "".join(map(str, one.get("data", {}).values())) for one in outputs]
    assert [one.text for one in outputs if one.output_type == "stream" and one.name == "stderr"] == []
    assert [words for words in SHOWN[path.stem] if not any(words in one for one in told)] == []
    pages = [one.data["text/html"] for one in outputs if "text/html" in one.get("data", {})]
    assert len(pages) >= 3
    assert not any("<script" in page for page in pages)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs_and_paths_of_a_machine(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert [cell["outputs"] for cell in cells if cell["cell_type"] == "code" and cell["outputs"]] == []
    assert not [cell for cell in cells if cell.get("execution_count")]
    assert os.fspath(ROOT) not in path.read_text(encoding="utf-8")


def test_every_notebook_is_told_of():
    assert SHOWN.keys() == {path.stem for path in NOTEBOOKS}
    page = (ROOT / "docs" / "notebook.md").read_text(encoding="utf-8")
    assert [path.name for path in NOTEBOOKS if path.name not in page] == []
