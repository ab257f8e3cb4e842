"""The notebooks run from top to bottom in a real kernel, without a warning, and are kept without outputs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

#: What a warning in a cell becomes: an error that fails the cell.
STRICT = "import warnings\nwarnings.simplefilter('error')"
#: The kernel's own warnings when it ends are not the notebook's. How busy the machine is does not count either.
AT_THE_END = "warnings.simplefilter('ignore')\nimport time\ntime.process_time()"
MOST_SECONDS = 60


def test_there_are_five() -> None:
    assert [path.name[:2] for path in NOTEBOOKS] == ["1-", "2-", "3-", "4-", "5-"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_kept_without_outputs(path: Path) -> None:
    notebook: dict[str, Any] = json.loads(path.read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["id"] for cell in cells if cell["outputs"] or cell["execution_count"] is not None] == []
    assert len(notebook["cells"]) - len(cells) >= 5, "text that teaches"


@pytest.mark.filterwarnings("default")  # of the machinery here; those of the notebook are errors in its kernel
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_without_a_warning(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(STRICT))
    notebook.cells.append(nbformat.v4.new_code_cell(AT_THE_END))
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(path.parent)}}).execute()
    took = float(notebook.cells[-1].outputs[0].data["text/plain"])
    assert took < MOST_SECONDS
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    told = [output.text for output in outputs if output.output_type == "stream" and output.name == "stderr"]
    # Said once on a machine, in whatever comes first.
    assert [text for text in told if not text.startswith("halfshake: compiling the packet kernels")] == []
    assert any("image/png" in output.get("data", {}) for output in outputs), "plots that show"
    (tmp_path / "executed.ipynb").write_text(nbformat.writes(notebook))
